"""All tables that exist: found in :mod:`kairos.equity.tables`, ordered by need."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import kairos.equity.tables
from kairos.equity.context import RAW
from kairos.equity.declare import Declaration, FeatureTable
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.settings import Settings


@cache
def declarations() -> Mapping[str, Declaration]:
    """Every derived table by name, in an order in which they can be built."""
    found: dict[str, Declaration] = {}
    for module in pkgutil.iter_modules(kairos.equity.tables.__path__, "kairos.equity.tables."):
        table = importlib.import_module(module.name).TABLE
        if table.name in found:
            raise InputError(f"table {table.name} is declared twice; the second time in {module.name}")
        found[table.name] = table
    order = TopologicalSorter({name: [r for r in t.reads if r in found] for name, t in found.items()})
    return {name: found[name] for name in order.static_order()}


def tables() -> tuple[Declaration, ...]:
    """Every derived table in build order (the documentation's table reference is made from this)."""
    return tuple(declarations().values())


def features() -> tuple[FeatureTable, ...]:
    """The ``feat_*`` tables in build order."""
    return tuple(t for t in tables() if isinstance(t, FeatureTable))


def select(names: Iterable[str]) -> tuple[Declaration, ...]:
    """The named tables and all that they need, in build order; every table when no name is given."""
    known = declarations()
    todo = list(names)
    for name in todo:
        if name in RAW:
            raise InputError(f"{name} is a table of the vendor: `kairos equity ingest` loads it")
    if not todo:
        return tables()
    wanted: set[str] = set()
    while todo:
        name = todo.pop()
        if name in wanted or name in RAW:
            continue
        if name not in known:
            raise InputError(
                f"no table named {name}{_nearest(name, known)}; `kairos equity status` lists them"
            )
        wanted.add(name)
        todo.extend(known[name].reads)
    return tuple(table for name, table in known.items() if name in wanted)


def check(settings: Settings) -> None:
    """Refuse entries of ``[equity.tables]`` that no table declares, or whose parameters don't exist."""
    known = declarations()
    for name, overrides in settings.equity.tables.items():
        if name not in known:
            raise InputError(f"equity.tables.{name}: no such table{_nearest(name, known)}")
        known[name].resolve(overrides)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
