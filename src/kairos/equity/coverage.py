"""The registry of factors: what each column of a feature table is, and which share of the members has it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kairos.equity import registry
from kairos.equity.composites import CompositeTable
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.declare import FeatureTable, tables_of
from kairos.equity.frame import dates
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store import Table
from kairos.store.sql import quote

YEAR = np.timedelta64(365, "D")
"""What the last year is, back from the last session with a member."""

Days = np.ndarray[Any, np.dtype[np.datetime64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Factor:
    """One column of a feature table: what its declaration says, and what the stored values show.

    Attributes
    ----------
    table, column : str
        Where it stands.
    kind : str
        ``feature``, ``composite`` or ``target`` (which looks ahead and can't be a signal).
    formula, source : str
        As a reader would write it, and the paper that it is from.
    sign : int
        Direction in which the literature expects returns to follow: 1, -1, or 0 where it says nothing.
    inputs : tuple of str
        Tables that its table reads.
    history : int
        Sessions of them before t from which the value of t is made.
    first : date, optional
        First date on which a member has a value.
    coverage, last_year : float, optional
        Share of the members' rows that have a value: of all, and of those of the last 365 days.
    why : str
        Why there is no coverage; empty where there is.
    """

    table: str
    column: str
    kind: str
    formula: str
    source: str
    sign: int
    inputs: tuple[str, ...]
    history: int
    first: dt.date | None = None
    coverage: float | None = None
    last_year: float | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """Its full name, ``table.column``."""
        return f"{self.table}.{self.column}"


def factors(settings: Settings) -> tuple[Factor, ...]:
    """Every column of every feature table, as it is declared, in build order."""
    return tuple(factor for table in registry.features(settings) for factor in _declared(table, settings))


def coverage(
    db: Path,
    tables: Sequence[str] = (),
    *,
    settings: Settings,
    namespace: str = "main",
    snapshot: str | None = None,
) -> list[Factor]:
    """Every factor, with the share of the members' rows that have a value.

    Words (sector, regime) count like numbers. A table that is not built, or that was built from other rows
    than those of the price base as it is, has no coverage, and its factors say why.

    Parameters
    ----------
    db : Path
        The catalog.
    tables : sequence of str
        Feature tables that are looked at; none means all.
    namespace, snapshot : str
        The set of tables, and an earlier state of the catalog.

    Raises
    ------
    InputError
        When a name is that of no feature table, or nothing is built yet.
    """
    known = {table.name: table for table in registry.features(settings)}
    for name in tables:
        if name not in known:
            raise InputError(f"{name} is no feature table; there are {', '.join(known)}")
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    context.table(PRICES)
    wanted = [table for name, table in known.items() if not tables or name in tables]
    return [found for table in wanted for found in _covered(context, list(_declared(table, settings)))]


def _declared(table: FeatureTable, settings: Settings) -> Iterator[Factor]:
    params, gap = table.resolve(settings.equity.tables.get(table.name, {})), settings.equity.listing.max_gap
    kind = (
        "target"
        if table.forward(params, gap)
        else "composite"
        if isinstance(table, CompositeTable)
        else "feature"
    )
    inputs, history = tables_of((*table.inputs, *table.optional)), table.history(params, gap)
    for column in table.columns(params):
        yield Factor(
            table.name, column.name, kind, column.formula, column.source, column.sign, inputs, history
        )


def _covered(context: Context, declared: Sequence[Factor]) -> list[Factor]:
    """The factors of one table with what is stored of them."""
    table = context.find(declared[0].table)
    why = _unlike(context, table)
    if table is None or why:
        return [replace(factor, why=why) for factor in declared]
    names = [factor.column for factor in declared if factor.column in table.names]
    days, rows, had = _counts(context, table.name, names)
    lately = days > days[-1:] - YEAR
    found = []
    for factor in declared:
        has = had.get(factor.column)
        if has is None:
            found.append(replace(factor, why="the table was built with other settings"))
            continue
        first = days[has > 0][:1].tolist()
        share, last = (int(has[part].sum()) / max(int(rows[part].sum()), 1) for part in (slice(None), lately))
        found.append(replace(factor, first=first[0] if first else None, coverage=share, last_year=last))
    return found


def _unlike(context: Context, table: Table | None) -> str:
    """Why the rows of a table can't be laid beside those of the price base; empty when they can."""
    if table is None:
        return "not built"
    same = table.meta.get("keys") == context.table(PRICES).meta["keys"]
    return "" if same else f"{PRICES} has other rows by now: run `kairos equity build {table.name}`"


def _counts(context: Context, name: str, columns: Sequence[str]) -> tuple[Days, Counts, dict[str, Counts]]:
    """Dates with members, ascending, how many there are, and how many of them have a value of each column.

    A feature table has the rows of the price base in its order, so the two are laid side by side.
    """
    counted = "".join(f", count(t.{quote(column)})" for column in columns)
    with context.connect(PRICES, name) as con:
        rows = con.sql(
            f"SELECT b.date, count(*){counted} FROM {quote(PRICES)} b POSITIONAL JOIN {quote(name)} t "
            "WHERE b.member GROUP BY b.date ORDER BY b.date"
        ).to_arrow_table()
    members, *had = (column.to_numpy() for column in rows.columns[1:])
    return dates(rows.column(0)), members, dict(zip(columns, had, strict=True))
