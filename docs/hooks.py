"""Reference pages, made from the declarations whenever the site is built."""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from kairos.cli import app
from kairos.equity import Factor, factors, registry, vendor
from kairos.equity.composites import CompositeTable
from kairos.equity.declare import AssembledTable, BaseTable, DateTable, Declaration, FeatureTable, PanelTable
from kairos.settings import Settings, load
from kairos.settings.load import defaults_text
from kairos.settings.tree import Backtest, CompositeDefaults, Section, StrategyDefaults

WIDTH = 88
"""Characters of a line of code that fit a page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that are written by hand."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def grid(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def code(text: object) -> str:
    """Set a text in code type."""
    return f"`{text}`" if str(text) else ""


# Settings


def settings_page() -> str:
    """Every key of the settings with its default, type and meaning."""
    parts = [
        """# Settings

Defaults, under `kairos.toml`, under `--set key=value`. `kairos config show` prints what holds and where it
comes from, `kairos config check` checks a file.
"""
    ]
    for section, meaning, entries in sections(defaults_text()):
        rows = [(code(key), code(value), type_of(f"{section}.{key}"), text) for key, value, text in entries]
        parts += [
            f"## {section}\n",
            f"{meaning}\n",
            grid(["key", "default", "type", "meaning"], rows) if rows else "",
        ]
    return "\n".join(parts)


def sections(text: str) -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """Sections of the defaults, each with its comment and its (key, default, comment)."""
    name, meaning, comment = "", "", ""
    entries: list[tuple[str, str, str]] = []
    for line in [*text.splitlines(), "[]"]:
        if line.startswith("#"):
            comment = f"{comment} {line[1:].strip()}".strip()
        elif line.startswith("["):
            if name:
                yield name, meaning, entries
            name, meaning, comment, entries = line.strip("[]"), comment, "", []
        elif line:
            key, value = (part.strip() for part in line.split("=", 1))
            entries.append((key, value, comment))
            comment = ""
        else:
            comment = ""


def type_of(key: str) -> str:
    """Type and bounds of a setting, in words."""
    parts = re.findall(r'"[^"]*"|[^.]+', key)
    model: type[Section] = Settings
    if parts[:2] == ["equity", "strategies"] and parts[3:] == ["base"]:
        return "name of a strategy"
    if parts[:2] == ["equity", "strategies"]:
        parts, model = parts[3:], StrategyDefaults if parts[3] in StrategyDefaults.model_fields else Backtest
    elif parts[:2] == ["equity", "composites"]:
        parts, model = parts[3:], CompositeDefaults
    root = model.model_json_schema()
    schema = root
    for part in parts:
        schema = resolved(root, schema)
        schema = (
            schema["properties"][part]
            if part in schema.get("properties", {})
            else schema["additionalProperties"]
        )
    return words(resolved(root, schema))


def resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Follow a reference inside a JSON schema."""
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def words(schema: Mapping[str, Any]) -> str:
    """Say a JSON schema of one value in words."""
    if "anyOf" in schema:
        return " or ".join(words(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(code(choice) for choice in schema.get("enum", [schema.get("const")]))
    if "prefixItems" in schema:
        return f"list of {', '.join(map(words, schema['prefixItems']))}"
    if schema["type"] == "array":
        return f"list of {words(schema['items'])}"
    names = {
        "integer": "whole number",
        "boolean": "true or false",
        "string": "text",
        "null": "empty",
        "object": "table",
    }
    name = "date" if schema.get("format") == "date" else names.get(schema["type"], schema["type"])
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join([name, *(f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema)])


# Commands


def commands_page() -> str:
    """Every command with its usage and options."""
    parts = [
        """# Commands

Exit codes: 0 done, 1 the work failed, 2 the input or the configuration is wrong. Results go to stdout,
everything else to stderr.
"""
    ]
    for path, command in commands(typer.main.get_command(app), ["kairos"]):
        text, _, example = inspect.cleandoc(command.help or "").replace("\b", "").partition("Example:")
        parts += [f"## {' '.join(path)}\n", text.strip() + "\n"]
        if example:
            parts.append(f"```console\n$ {' '.join(example.split())}\n```\n")
        rows = [(option(param), param.help or "", default(param)) for param in command.params]
        parts.append(grid(["option", "meaning", "default"], rows))
    return "\n".join(parts)


def commands(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Commands below a group, depth first."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield path, command
        return
    for name, below in inside.items():
        yield from commands(below, [*path, name])


def option(param: Any) -> str:
    """Spelling of an option or argument, as it is typed."""
    if param.param_type_name == "argument":
        return code(param.name.upper() + (" …" if param.nargs != 1 else ""))
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return code(", ".join(param.opts) + value)


def default(param: Any) -> str:
    """Give a default that says something: not an absent value and not an unset flag."""
    return (
        code(param.default)
        if isinstance(param.default, str | int | float) and param.default is not False
        else ""
    )


# Tables


def tables_page() -> str:
    """Every table that Kairos makes, from its declaration."""
    parts = [
        """# Tables

A value at `date` t uses only what was known after the close of session t, unless the table looks forward and
says so. Missing is NULL. Parameters stand under `[equity.tables.<table>]`.
"""
    ]
    for table in registry.tables(load()):
        params = table.params()
        parts += [f"## {table.name}\n", f"{table.doc}\n", facts(table, params), columns(table, params)]
        if values := params.model_dump(mode="json"):
            parts.append(
                grid(["parameter", "default"], [(code(key), code(value)) for key, value in values.items()])
            )
    return "\n".join(parts)


def columns(table: Declaration, params: Any) -> str:
    """Write a table's columns; what none of them has (a sign, a source) is left out."""
    found = table.columns(params)
    headings = {"column": [code(c.name) for c in found], "type": [c.dtype for c in found]}
    headings |= {"formula": [c.formula for c in found]}
    headings |= {"sign": [SIGNS[c.sign] for c in found], "source": [c.source for c in found]}
    shown = {heading: cells for heading, cells in headings.items() if any(cells)}
    return grid(list(shown), zip(*shown.values(), strict=True)) if shown else ""


SIGNS = {1: "+1", -1: "−1", 0: ""}
"""The direction in which the literature expects returns to follow."""

KINDS: Mapping[type[Declaration], str] = {
    CompositeTable: "a row for each row of `sep_base_academic`, from entries of `[equity.composites]`",
    FeatureTable: "a row for each row of `sep_base_academic`",
    DateTable: "a row for each session",
    AssembledTable: "a query over other tables, without rows of its own",
    BaseTable: "made of the vendor's tables and other tables of this kind",
}
"""What kinds of tables there are; of several that fit the first."""


def facts(table: Declaration, params: Any) -> str:
    """What a table is, what it reads, how far it looks back, and across what."""
    max_gap = load().equity.listing.max_gap
    lines = [f"kind: {next(text for kind, text in KINDS.items() if isinstance(table, kind))}"]
    lines += [f"key: {listed(key_of(table))}", f"reads {listed(table.inputs)}"]
    if table.optional:
        lines.append(f"reads where it exists: {listed(table.optional)}")
    if table.uses:
        lines.append(f"settings: {listed(table.uses)}")
    if isinstance(table, BaseTable):
        lines += acting(table.meta(params))
    if isinstance(table, PanelTable):
        lines.append(f"history: {table.history(params, max_gap)} sessions")
    if isinstance(table, FeatureTable):
        lines.append(f"scope: {table.scope}")
        if forward := table.forward(params, max_gap):
            lines.append(f"**looks forward** {forward} sessions: a target, never an input of a signal")
    if ahead := table.in_sample(params):
        lines.append(f"**look-ahead**: {ahead}")
    return "".join(f"* {line}\n" for line in lines)


def listed(names: Iterable[str]) -> str:
    """Write names one after the other."""
    return ", ".join(map(code, names))


def key_of(table: Declaration) -> tuple[str, ...]:
    """Columns that identify a row."""
    if isinstance(table, BaseTable | AssembledTable):
        return table.key
    return ("date",) if isinstance(table, DateTable) else ("ticker", "date")


def acting(meta: Mapping[str, Any]) -> list[str]:
    """On which sessions the rows of a table count that are not of one session."""
    if "acts" in meta:
        rule = meta["acts"]
        until = f"until the next one, and for {rule['max_age']} days after {code(rule['dated'])} at most"
        return [f"a row acts from its date on, {until}"]
    return ["a row is an event of its session"] if "events" in meta else []


# Factors


def factors_page() -> str:
    """Every column of every feature table in one list."""
    parts = [
        """# Factors

Every column of every feature table. **Sign** is the direction in which the literature expects returns to
follow, and empty where it says nothing. **History** is in sessions of the inputs before t. The parameters in
a formula are listed under [Tables](tables.md).

Which share of the members has a value, and since when, depends on your data, so it is not told here:
`kairos equity factors --db data/kairos.duckdb` prints this list with it, `--json` for a script.
"""
    ]
    every = factors(load())
    for heading, kind, text in GROUPS:
        parts += [f"## {heading}\n", f"{text}\n"]
        inside = [factor for factor in every if factor.kind == kind]
        for table in dict.fromkeys(factor.table for factor in inside):
            parts += [f"### {table}\n", of_table([factor for factor in inside if factor.table == table])]
    return "\n".join(parts)


GROUPS = (
    ("Features", "feature", "Made of prices, filings, forms and holdings, each in its own units."),
    (
        "Composites",
        "composite",
        """Entries of `[equity.composites]`, each with its standardised components: see
[Composites](../concepts/composites.md). An entry of yours is a factor like these.""",
    ),
    ("Targets", "target", "What came after t. They look ahead, and no signal may use them."),
)


def of_table(inside: Sequence[Factor]) -> str:
    """Write the factors of one table."""
    rows = [(code(f.column), f.formula, SIGNS[f.sign], f.source) for f in inside]
    facts = f"Reads {listed(inside[0].inputs)}; history {inside[0].history} sessions.\n\n"
    return facts + grid(["factor", "formula", "sign", "source"], rows)


def vendor_page() -> str:
    """Every vendor table that `ingest` reads, from its declaration."""
    parts = ["# Vendor tables\n", "What `kairos equity ingest` reads, and how it judges a row.\n"]
    for table in vendor.TABLES:
        columns = [(code(c.name), c.kind.value, c.need.value, c.doc) for c in table.columns]
        parts += [f"## {table.name}\n", f"{table.doc}\n", f"Key: {', '.join(map(code, table.key))}.\n"]
        parts.append(grid(["column", "type", "in the file", "meaning"], columns))
        if table.rules:
            parts.append("What makes a row wrong:\n")
            parts.append("".join(f"* {code(rule.column)}: {rule.reason}\n" for rule in table.rules))
    return "\n".join(parts)


# Interfaces


def interface_page(name: str) -> str:
    """Write the public names of a package, with their docstrings."""
    package = importlib.import_module(name)
    parts = [f"# {name}\n", prose(inspect.getdoc(package) or "")]
    for public in package.__all__:
        thing = getattr(package, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            parts += [f"## {public}\n", signature(public, thing), prose(inspect.getdoc(thing) or "")]
            parts += members(thing) if inspect.isclass(thing) else []
    return "\n".join(parts)


def members(thing: type) -> list[str]:
    """Write the documented public methods and properties of a class."""
    parts = []
    for name, member in vars(thing).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        head = f"*{thing.__name__}.{name}*\n" if isinstance(member, property) else signature(name, function)
        parts += [f"### {thing.__name__}.{name}\n", head, prose(inspect.getdoc(function) or "")]
    return parts


def signature(name: str, thing: Callable[..., Any]) -> str:
    """Write the signature of a function or class as Python code, on one line if it fits."""
    if dataclasses.is_dataclass(thing):
        return fenced(name, [field.name for field in dataclasses.fields(thing)])
    called = inspect.signature(thing)
    head, _, result = str(called).rpartition(" -> ") if "->" in str(called) else (str(called), "", "")
    shown = [
        re.sub(QUOTED, r"\1\3", str(param)) for param in called.parameters.values() if param.name != "self"
    ]
    kinds = [param.kind for param in called.parameters.values() if param.name != "self"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    if keyword in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        shown.insert(kinds.index(keyword), "*")
    return fenced(name, shown, result.strip("'\"") if head else "")


QUOTED = re.compile(r"""(: )(["'])(.*?)\2(?= = |$)""")
"""An annotation that is kept as a text."""


def fenced(name: str, params: Sequence[str], result: str = "") -> str:
    """Set a call in a block of code, one parameter a line when it is long."""
    tail = f" -> {result}" if result else ""
    line = f"{name}({', '.join(params)}){tail}"
    if len(line) > WIDTH:
        line = f"{name}(\n" + "".join(f"    {param},\n" for param in params) + f"){tail}"
    return f"```python\n{line}\n```\n"


def prose(docstring: str) -> str:
    """Turn a numpy-style docstring into Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", docstring).replace("``", "`")
    text = re.sub(r"(?m)^([A-Z][A-Za-z ]+)\n-{3,}$", r"\n**\1**\n", text)
    blocks = []
    for block in re.split(r"\n\s*\n", text):
        if block.lstrip().startswith(">>>"):
            blocks.append(f"```pycon\n{inspect.cleandoc(block)}\n```")
        elif re.search(r"(?m)^\S.*\n    \S", block):
            blocks.append(definitions(block))
        elif block.startswith("    "):
            blocks.append(f"```text\n{inspect.cleandoc(block)}\n```")
        else:
            blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def definitions(block: str) -> str:
    """Turn names with indented descriptions into a list."""
    lines: list[str] = []
    for line in block.splitlines():
        if not line.startswith(" "):
            lines.append(f"* `{line.strip().replace('`', '')}`")
        else:
            lines[-1] += (": " if lines[-1].endswith("`") and "`: " not in lines[-1] else " ") + line.strip()
    return "\n".join(lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands_page,
    "settings": settings_page,
    "factors": factors_page,
    "tables": tables_page,
    "vendor": vendor_page,
    "panel": lambda: interface_page("kairos.panel"),
    "evaluation": lambda: interface_page("kairos.evaluation"),
    "store": lambda: interface_page("kairos.store"),
    "adr": lambda: interface_page("kairos.adr"),
}
