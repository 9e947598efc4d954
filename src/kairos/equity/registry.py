"""All tables that exist: found in :mod:`kairos.equity.tables` and in the settings, ordered by need."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from graphlib import TopologicalSorter

import kairos.equity.tables
from kairos.equity.composites import composite_tables
from kairos.equity.context import RAW
from kairos.equity.declare import Declaration, FeatureTable
from kairos.equity.matrix import check_owners, matrix_tables
from kairos.errors import InputError
from kairos.settings import Settings


@cache
def found() -> Mapping[str, Declaration]:
    """Every table that is declared in a module of its own."""
    declared: dict[str, Declaration] = {}
    for module in pkgutil.iter_modules(kairos.equity.tables.__path__, "kairos.equity.tables."):
        table = importlib.import_module(module.name).TABLE
        if table.name in declared:
            raise InputError(f"table {table.name} is declared twice; the second time in {module.name}")
        declared[table.name] = table
    return declared


def declarations(settings: Settings) -> Mapping[str, Declaration]:
    """Every derived table by name, in an order in which they can be built.

    Raises
    ------
    InputError
        When a composite of the settings can't be.
    """
    return _declarations(_Entries(settings))


class _Entries:
    """Settings, equal to others with the same composites."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.digest = settings.digest("equity.composites", "equity.composite_defaults", "equity.tables")

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Entries) and other.digest == self.digest


@lru_cache(maxsize=32)
def _declarations(entries: _Entries) -> Mapping[str, Declaration]:
    declared = dict(found())
    declared.update(composite_tables(entries.settings, declared))
    order = TopologicalSorter({name: [r for r in t.reads if r in declared] for name, t in declared.items()})
    ordered = {name: declared[name] for name in order.static_order()}
    return {**ordered, **matrix_tables([t for t in ordered.values() if isinstance(t, FeatureTable)])}


def tables(settings: Settings) -> tuple[Declaration, ...]:
    """Every derived table in build order (the documentation's table reference is made from this)."""
    return tuple(declarations(settings).values())


def features(settings: Settings) -> tuple[FeatureTable, ...]:
    """The ``feat_*`` tables in build order."""
    return tuple(t for t in tables(settings) if isinstance(t, FeatureTable))


def select(names: Iterable[str], settings: Settings) -> tuple[Declaration, ...]:
    """The named tables and all that they need, in build order; every table when no name is given."""
    known = declarations(settings)
    todo = list(names)
    for name in todo:
        if name in RAW:
            raise InputError(f"{name} is a table of the vendor: `kairos equity ingest` loads it")
    if not todo:
        return tables(settings)
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
    """Refuse entries of the settings that name tables, parameters or columns that don't exist."""
    known = declarations(settings)
    for name, overrides in settings.equity.tables.items():
        if name not in known:
            raise InputError(f"equity.tables.{name}: no such table{_nearest(name, known)}")
        known[name].resolve(overrides)
    check_owners(settings, features(settings))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
