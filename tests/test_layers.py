"""Imports run downwards only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "kairos"

FLOORS = [
    {"cli"},
    {"audit"},
    {"equity", "adr", "simulate"},
    {"report"},
    {"evaluation"},
    {"panel"},
    {"market"},
    {"store"},
    {"executor", "pipeline", "textfile", "turns"},
    {"disk", "remote"},
    {"settings"},
    {"errors"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

WITHOUT_FILES = {"panel", "evaluation", "market"}
FILES = {"store", "settings", "duckdb", "pyarrow"}

MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(module: Path) -> str:
    """Room of a module; the package's own ``__init__`` has none."""
    first = module.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(module: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a module imports, at any depth of its code.

    ``from a import b`` counts as ``a.b``: whether ``b`` is a module or a name in one, the room is the same.
    """
    package = ["kairos", *module.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (
                (node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant)
            )


def violations(module: Path, text: str) -> list[str]:
    """Imports of a module that run upwards, sideways between desks, or to files where none are known."""
    found = []
    here = room_of(module)
    for line, name in imports(module, text):
        first, *rest = name.split(".")
        there = rest[0] if first == "kairos" and rest and rest[0] in FLOOR else ""
        target = there if first == "kairos" else first
        upwards = bool(there) and there != here and (here not in FLOOR or FLOOR[there] <= FLOOR[here])
        if upwards or (here in WITHOUT_FILES and target in FILES):
            found.append(f"{module.relative_to(SOURCE)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downwards(module: Path) -> None:
    assert violations(module, module.read_text(encoding="utf-8")) == []


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms <= set(FLOOR)
    assert {"cli", "settings", "errors"} <= rooms


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("settings/tree.py", "from kairos.store import Store"),
        ("store/catalog.py", "import kairos.panel.kernels"),
        ("equity/build.py", "from kairos.simulate import market"),
        ("adr/models.py", "from kairos import equity"),
        ("simulate/market.py", "from ..equity import vendor"),
        ("panel/grid.py", "def f():\n    from kairos.settings import load"),
        ("panel/deep/grid.py", "from ...store import Store"),
        ("market/sessions.py", "import duckdb"),
        ("evaluation/ic.py", "import pyarrow.parquet as pq"),
        ("report/page.py", "importlib.import_module('kairos.cli.console')"),
        ("errors.py", "from kairos.settings import load"),
        ("__init__.py", "from kairos.cli import main"),
    ],
)
def test_a_wrong_import_is_found(module: str, text: str) -> None:
    assert len(violations(SOURCE / module, text)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("cli/config.py", "from kairos.equity import build"),
        ("equity/build.py", "from kairos.store import Store\nimport duckdb"),
        ("equity/tables/beta.py", "from ..declare import table"),
        ("panel/rolling.py", "from . import kernels\nfrom kairos.panel.kernels import rolling_sum"),
        ("store/ledger.py", "from kairos import __version__"),
        ("evaluation/ic.py", "from kairos.panel import rank\nfrom kairos.errors import InputError"),
    ],
)
def test_a_right_import_is_not(module: str, text: str) -> None:
    assert violations(SOURCE / module, text) == []
