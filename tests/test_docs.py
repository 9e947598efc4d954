"""Examples of the documentation run, its settings are valid, its commands exist, its reference is whole."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import typer.main

import kairos
from kairos.cli import app
from kairos.equity import backtest, build, ingest, registry, vendor
from kairos.equity.context import Context, open_store
from kairos.equity.features import Renewed
from kairos.equity.staleness import EVERYTHING
from kairos.settings import load
from kairos.settings.load import defaults
from kairos.settings.tree import all_keys
from kairos.simulate.equity import simulate

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(language: str) -> list[Any]:
    """Code blocks of one language on all pages, with the page and the line for the name of the test."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            line = text[: block.start()].count("\n") + 1
            if block[1] == language:
                found.append(pytest.param(block[2], id=f"{page.relative_to(REPOSITORY)}:{line}"))
    return found


def modules() -> list[str]:
    """Every module of the package."""
    return sorted(module.name for module in pkgutil.walk_packages(kairos.__path__, "kairos."))


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", REPOSITORY / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        run(test)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database that the pages speak of, of a small market."""
    folder = tmp_path_factory.mktemp("desk")
    simulate(folder / "sharadar", tickers=60, years=2, seed=3)
    db, settings = folder / "data" / "kairos.duckdb", load()
    ingest([folder / "sharadar"], db, settings=settings)
    build(db, settings=settings)
    backtest(db, ["baseline", "risk1"], alpha="ret_21d", settings=settings)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_examples_on_pages(
    page: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples of a page run one after the other; a later one may use the names of an earlier one."""
    code = "\n".join(block[2] for block in FENCE.finditer(page.read_text("utf-8")) if block[1] == "pycon")
    fixture = "desk" if "data/kairos.duckdb" in code else "tmp_path"
    monkeypatch.chdir(request.getfixturevalue(fixture))
    run(doctest.DocTestParser().get_doctest(code, {}, page.name, None, None))


def run(test: doctest.DocTest) -> None:
    """Run one example; the report of what differs is the message."""
    report: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=OPTIONS).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("query", blocks("sql"))
def test_queries_on_pages_find_rows(query: str, desk: Path) -> None:
    with duckdb.connect(str(desk / "data" / "kairos.duckdb"), read_only=True) as con:
        assert con.execute(query).fetchall()


@pytest.mark.parametrize("code", blocks("python"))
def test_code_on_pages_runs(code: str) -> None:
    exec(code, {"__name__": "page"})


def test_the_table_of_the_guide_is_what_its_definition_says(desk: Path) -> None:
    guide = (REPOSITORY / "docs" / "guides" / "add-a-table.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "guide"}
    for block in FENCE.finditer(guide):
        if block[1] == "python":
            exec(block[2], names)
    table, expected = names["TABLE"], names["expected"]
    settings = load()
    context = Context(open_store(desk / "data" / "kairos.duckdb", settings).snapshot(), settings)
    made = pa.concat_tables(Renewed(context, table, table.params(), EVERYTHING).parts()).to_pandas()
    prices = context.snapshot.read("sep_base_academic").to_pandas().merge(made, on=["ticker", "date"])
    listings = context.snapshot.read("listings").to_pandas().groupby("ticker").size()
    sessions = pd.DatetimeIndex(context.sessions)
    compared = 0
    for ticker, rows in prices[prices["ticker"].map(listings) == 1].groupby("ticker"):
        own = rows.set_index(pd.DatetimeIndex(rows["date"]))
        listed = own.reindex(sessions[(sessions >= own.index[0]) & (sessions <= own.index[-1])])
        want = expected(listed).loc[own.index].to_numpy()
        np.testing.assert_allclose(own["open_gap_21d"], want, rtol=1e-6, atol=1e-9, err_msg=ticker)
        compared += np.isfinite(want).sum()
    assert compared > 5000


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_on_pages_are_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kairos.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file).digest() != load().digest()
    registry.check(load(file))


@pytest.mark.parametrize("text", blocks("console"))
def test_commands_on_pages_exist(text: str) -> None:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.startswith("$ kairos "):
            assert_command(shlex.split(line, comments=True)[2:])


def assert_command(words: list[str]) -> None:
    """Find the command and each of its options in the application."""
    command: Any = typer.main.get_command(app)
    path = ["kairos"]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        path.append(words.pop(0))
        assert path[-1] in command.commands, f"there is no command `{' '.join(path)}`"
        command = command.commands[path[-1]]
    known = {name for param in command.params for name in param.opts} | {"--help", "--version"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    assert unknown == [], f"`{' '.join(path)}` has no such option"
    for position, word in enumerate(words):
        if word == "--set":
            key = words[position + 1]
            names = ["baseline", "risk1"] if path[-1] == "backtest" else []
            load(overrides=[key], strategies=names)


def test_tests_named_on_pages_exist() -> None:
    named = [
        (page.name, path, test)
        for page in PAGES
        for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    ]
    assert len(named) > 30
    text = {
        path: (REPOSITORY / path).read_text(encoding="utf-8")
        for _, path, _ in named
        if (REPOSITORY / path).is_file()
    }
    missing = [one for one in named if f"\ndef {one[2]}(" not in text.get(one[1], "")]
    assert missing == []


def test_make_targets_on_pages_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8")))
    for page in PAGES:
        found = re.findall(r"(?m)`make ([a-z-]+)`|^(?:\$ )?make ([a-z-]+)$", page.read_text(encoding="utf-8"))
        assert {one or two for one, two in found} <= targets, page


def test_settings_reference_has_every_key(hooks: ModuleType) -> None:
    page = hooks.settings_page()
    assert [key for key in all_keys(defaults()) if not is_written(page, key.split("."))] == []


def is_written(page: str, parts: list[str]) -> bool:
    """A key has a heading of its own, or a row below one: its own, or that of the inline table it is in."""
    if f"\n## {'.'.join(parts)}\n" in page or f"\n## {'.'.join(parts)}." in page:
        return True
    for i in range(1, len(parts)):
        section = page.partition(f"\n## {'.'.join(parts[:i])}\n")[2].partition("\n## ")[0]
        names = [".".join(parts[i:j]) for j in range(i + 1, len(parts) + 1)]
        if any(f"| `{name}` |" in section or f'| `"{name}"` |' in section for name in names):
            return True
    return False


def test_reference_has_every_command(hooks: ModuleType) -> None:
    page = hooks.commands_page()
    for path, command in hooks.commands(typer.main.get_command(app), ["kairos"]):
        section = page.partition(f"## {' '.join(path)}\n")[2].partition("\n## ")[0]
        assert section
        assert all(param.opts[-1] in section or param.name.upper() in section for param in command.params)


def test_reference_has_every_table_and_column(hooks: ModuleType) -> None:
    page = hooks.tables_page()
    for table in registry.tables(load()):
        section = page.partition(f"## {table.name}\n")[2].partition("\n## ")[0]
        assert [c.name for c in table.columns(table.params()) if f"| `{c.name}` |" not in section] == [], (
            table.name
        )
    raw = hooks.vendor_page()
    assert [table.name for table in vendor.TABLES if f"## {table.name}\n" not in raw] == []


def test_factors_are_listed_with_formula_sign_and_source(hooks: ModuleType) -> None:
    page = hooks.factors_page()
    groups = {heading: page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] for heading in GROUPS}
    seen = 0
    for table in registry.features(load()):
        params, signs = table.params(), {1: "+1", -1: "−1", 0: ""}
        (inside,) = [text for text in groups.values() if f"### {table.name}\n" in text]
        section = inside.partition(f"### {table.name}\n")[2].partition("\n### ")[0]
        assert f"history {table.history(params, 10)} sessions" in section
        assert all(f"`{name.partition('.')[0]}`" in section for name in (*table.inputs, *table.optional))
        for column in table.columns(params):
            formula = column.formula.replace("|", "\\|")
            row = f"| `{column.name}` | {formula} | {signs[column.sign]} | {column.source} |"
            assert row in section
            seen += 1
    assert seen > 150
    assert "| `accruals` | (netinc - ncfo) / assets | −1 | Sloan (1996) |" in groups["Features"]
    assert "`alpha_composite_v8`" in groups["Composites"]
    assert "`ret_5d_f`" in groups["Targets"]
    assert "`ret_5d_f`" not in groups["Features"] + groups["Composites"]


GROUPS = ("Features", "Composites", "Targets")


FACTS = {
    "feat_value": [
        "key: `ticker`, `date`",
        "scope: both",
        "| sign | source |",
        "| +1 | Fama & French (1992) |",
    ],
    "feat_targets": ["looks forward", "key: `ticker`, `date`"],
    "feat_composite_v5": ["entries of `[equity.composites]`", "`feat_value_v2.value_quality_adj`"],
    "market": ["kind: a row for each session", "key: `date`", "history: 1 sessions"],
    "feat_matrix": ["a query over other tables", "key: `ticker`, `date`", "`feat_trend`", "`equity.matrix`"],
    "filings": ["key: `ticker`, `date`, `first_listing`", "until the next one", "400 days after `datekey`"],
    "insider_forms": ["an event of its session"],
    "listings": ["key: `ticker`, `listing`"],
}
"""What the page of tables must say of the kinds of declarations."""


@pytest.mark.parametrize("table", FACTS)
def test_tables_are_described_by_their_kind(hooks: ModuleType, table: str) -> None:
    section = hooks.tables_page().partition(f"## {table}\n")[2].partition("\n## ")[0]
    assert [text for text in FACTS[table] if text not in section] == []


@pytest.mark.parametrize("name", ["kairos.panel", "kairos.evaluation", "kairos.store", "kairos.adr"])
def test_reference_has_every_public_function(hooks: ModuleType, name: str) -> None:
    page = hooks.interface_page(name)
    package = importlib.import_module(name)
    documented = [public for public in package.__all__ if inspect.isroutine(getattr(package, public))]
    assert [public for public in documented if f"## {public}\n" not in page] == []
    assert page.count("\n## ") >= max(1, len(documented))


def test_docstring_becomes_markdown(hooks: ModuleType) -> None:
    text = """Sum.

    Parameters
    ----------
    x, y
        Two of ``them``,
        on two lines.

    Examples
    --------
    >>> 1 + 1
    2
    """
    assert hooks.prose(inspect.cleandoc(text)).split("\n\n") == [
        "Sum.",
        "**Parameters**",
        "* `x, y`: Two of `them`, on two lines.",
        "**Examples**",
        "```pycon\n>>> 1 + 1\n2\n```\n",
    ]
