"""Which tables are current, why the others are not, and from which date on they must be made anew."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kairos.equity import registry
from kairos.equity.changes import BEGINNING, first_change
from kairos.equity.context import PRICES, RAW, Context, open_store
from kairos.equity.declare import (
    Declaration,
    FeatureTable,
    Params,
    code_fingerprint,
    columns_of,
)
from kairos.errors import InputError
from kairos.remote import reading
from kairos.settings import Settings
from kairos.store import Table

ALL = "*"


@dataclass(frozen=True)
class TableStatus:
    """State of one table: what it holds, and why it is not current."""

    name: str
    rows: int | None
    parts: int | None
    last: str | None
    state: str
    """``current``, ``stale``, ``not built``, ``raw`` or ``result``."""
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Staleness:
    """What of a table must be made anew.

    Attributes
    ----------
    reasons : tuple of str
        Why; empty when the table is current.
    since : date
        From which date on the inputs differ from those that it was made from.
    columns : frozenset of str
        Columns whose definition is another one: all of their values are stale. ``*`` means every column.
    """

    reasons: tuple[str, ...] = ()
    since: dt.date = dt.date.max
    columns: frozenset[str] = field(default_factory=frozenset)


EVERYTHING = Staleness(("asked for",), BEGINNING, frozenset({ALL}))
NEVER_BUILT = replace(EVERYTHING, reasons=("never built",))


def staleness(context: Context, declaration: Declaration) -> Staleness:
    """Compare how a table was made with how it would be made now."""
    table = context.find(declaration.name)
    if table is None:
        return NEVER_BUILT
    made, now = table.meta.get("recipe", {}), recipe(context, declaration)
    why = [text for key, text in _WHOLE.items() if made.get(key, {}) != now[key]]
    seen: Mapping[str, str] = made.get("inputs", {})
    why += [f"{name} is new" for name in now["inputs"] if name not in seen]
    why += [f"{name} is gone" for name in seen if name not in now["inputs"]]
    if why:
        return replace(EVERYTHING, reasons=tuple(why))
    since = dt.date.max
    for name, columns in columns_of(declaration).items():
        source = context.find(name)
        changed = None if source is None else first_change(source, seen.get(name), columns)
        if changed is not None:
            why.append(f"{name} changed")
            since = min(since, changed)
    if isinstance(declaration, FeatureTable) and table.meta.get("keys") != context.table(PRICES).meta.get(
        "keys"
    ):
        why = list(dict.fromkeys([*why, f"{PRICES} changed"]))
    odd = frozenset(_differing(made.get("columns", {}), now["columns"]))
    return Staleness((*why, *["settings changed"] * bool(odd)), since, odd)


_WHOLE = {
    "code": "its formula changed",
    "files": "a file that it reads changed",
    "as_of": "as-of date changed",
}
"""Entries of a recipe that decide about every value, and what is said when they differ."""


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> Collection[str]:
    if before.get(ALL) != now.get(ALL):
        return {ALL}
    return {name for name in {**before, **now} if before.get(name) != now.get(name)}


def recipe(context: Context, declaration: Declaration) -> dict[str, Any]:
    """All that decides a table's content: fingerprints of inputs, parameters and code."""
    params = params_of(context, declaration)
    extra = {section: context.settings.part(section) for section in declaration.uses}
    found = {name: context.find(name) for name in declaration.reads}
    return {
        "inputs": {name: table.fingerprint for name, table in found.items() if table is not None},
        "columns": declaration.digests(params, extra),
        "code": code_fingerprint(declaration.work),
        "files": {place: _content(place) for place in declaration.files(context.settings)},
        "as_of": str(context.as_of) if context.as_of is not None else None,
    }


def _content(place: str) -> str | None:
    with reading(place) as path:
        return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else None


def status(
    db: Path, *, settings: Settings, namespace: str = "main", snapshot: str | None = None
) -> list[TableStatus]:
    """Every table of a namespace: rows, last session, and whether it is current or why not."""
    registry.check(settings)
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    spaces = {space for space, _ in context.snapshot.tables} | {"main"}
    if namespace not in spaces:
        raise InputError(f"no namespace {namespace}; there are {', '.join(sorted(spaces))}")
    found = []
    for name in sorted(RAW):
        table = context.find(name)
        if table is not None:
            found.append(_state(name, table, "raw", ()))
    stale: dict[str, frozenset[str]] = {}
    for declaration in registry.tables(settings):
        state, columns = _declared(context, declaration, stale)
        if columns:
            stale[declaration.name] = columns
        found.append(state)
    for (space, name), table in sorted(context.snapshot.tables.items()):
        if space == namespace and name not in {f.name for f in found}:
            found.append(_state(name, table, "result", ()))
    return found


def _declared(
    context: Context, declaration: Declaration, stale: Mapping[str, frozenset[str]]
) -> tuple[TableStatus, frozenset[str]]:
    """State of a derived table, and its stale columns; `stale` are those of the tables before it."""
    table = context.find(declaration.name)
    missing = declaration.lacks(context.has)
    if table is None and missing:
        return _state(declaration.name, None, "not built", (f"{', '.join(missing)} missing",)), frozenset()
    own = staleness(context, declaration)
    reasons = own.reasons
    if table is not None and table.meta.get("recipe", {}).get("as_of"):
        reasons = tuple(why for why in reasons if why != "as-of date changed")
    upstream = [
        name
        for name, columns in columns_of(declaration).items()
        if (odd := stale.get(name)) and (columns is None or ALL in odd or columns & odd)
    ]
    why = (*reasons, *(f"{name} is stale" for name in upstream))
    state = _state(
        declaration.name, table, "not built" if table is None else "stale" if why else "current", why
    )
    if table is not None and not why and table.meta.get("empty"):
        state = replace(state, why=(f"no value in {', '.join(table.meta['empty'])}",))
    only_definitions = not upstream and reasons == ("settings changed",)
    return state, (own.columns if only_definitions else frozenset({ALL})) if why else frozenset()


def _state(name: str, table: Table | None, state: str, why: tuple[str, ...]) -> TableStatus:
    if table is None:
        return TableStatus(name, None, None, None, state, why)
    highs = [part.hi for part in table.parts if part.hi is not None]
    last = str(max(highs)) if highs else table.meta.get("last")
    rows = int(table.meta["rows"]) if table.sql else table.rows
    return TableStatus(name, rows, len(table.parts), last, state, why)


def params_of(context: Context, declaration: Declaration) -> Params:
    """Parameters of a table as the settings have them."""
    return declaration.resolve(context.settings.equity.tables.get(declaration.name, {}))
