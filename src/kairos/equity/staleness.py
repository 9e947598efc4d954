"""Which tables are current, and why the others are not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kairos.equity import registry
from kairos.equity.context import RAW, Context, open_store
from kairos.equity.declare import Declaration, Params, code_fingerprint, params_fingerprint
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store import Table


@dataclass(frozen=True)
class TableStatus:
    """State of one table: what it holds, and why it is not current."""

    name: str
    rows: int | None
    parts: int | None
    last: str | None
    state: str
    """``current``, ``stale``, ``not built`` or ``raw``."""
    why: tuple[str, ...] = ()


def reasons(context: Context, declaration: Declaration) -> tuple[str, ...]:
    """Why a table is stale: what differs between how it was made and how it would be made now."""
    table = context.find(declaration.name)
    if table is None:
        return ("never built",)
    made, now = table.meta.get("recipe", {}), recipe(context, declaration)
    why = []
    for name in dict.fromkeys((*made.get("inputs", {}), *now["inputs"])):
        before, after = made.get("inputs", {}).get(name), now["inputs"].get(name)
        if before != after:
            why.append(f"{name} {'is new' if before is None else 'is gone' if after is None else 'changed'}")
    if made.get("params") != now["params"]:
        why.append("settings changed")
    if made.get("code") != now["code"]:
        why.append("its formula changed")
    if made.get("files", {}) != now["files"]:
        why.append("a file that it reads changed")
    if made.get("as_of") != now["as_of"]:
        why.append("as-of date changed")
    return tuple(why)


def recipe(context: Context, declaration: Declaration) -> dict[str, Any]:
    """All that decides a table's content: fingerprints of inputs, parameters and code."""
    equity = context.settings
    params = params_of(context, declaration)
    found = {name: context.find(name) for name in declaration.reads}
    return {
        "inputs": {name: table.fingerprint for name, table in found.items() if table is not None},
        "params": params_fingerprint(params, {section: equity.part(section) for section in declaration.uses}),
        "code": code_fingerprint(declaration.work),
        "files": {str(path): _content(path) for path in declaration.files(context.settings)},
        "as_of": str(context.as_of) if context.as_of is not None else None,
    }


def _content(path: Path) -> str | None:
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
    stale: set[str] = set()
    for declaration in registry.tables():
        table = context.find(declaration.name)
        missing = [name for name in declaration.requires if context.find(name) is None]
        why = (*reasons(context, declaration), *(f"{n} is stale" for n in declaration.reads if n in stale))
        if table is None:
            why = tuple(f"{name} missing" for name in missing) or why
        elif table.meta.get("recipe", {}).get("as_of"):
            why = tuple(w for w in why if w != "as-of date changed")
        if why:
            stale.add(declaration.name)
        found.append(
            _state(
                declaration.name, table, "not built" if table is None else "stale" if why else "current", why
            )
        )
    for (space, name), table in sorted(context.snapshot.tables.items()):
        if space == namespace and name not in {f.name for f in found}:
            found.append(_state(name, table, "result", ()))
    return found


def _state(name: str, table: Table | None, state: str, why: tuple[str, ...]) -> TableStatus:
    if table is None:
        return TableStatus(name, None, None, None, state, why)
    highs = [part.hi for part in table.parts if part.hi is not None]
    return TableStatus(name, table.rows, len(table.parts), str(max(highs)) if highs else None, state, why)


def params_of(context: Context, declaration: Declaration) -> Params:
    """Parameters of a table as the settings have them."""
    return declaration.resolve(context.settings.equity.tables.get(declaration.name, {}))
