"""From a feature table's declaration to its parts: compute on panels, store row by row.

Only what is stale is computed: the rows from a date on, and the past of tickers that are new in the price
base. The other rows are taken over, parts that hold nothing else without being read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.changes import BEGINNING, Since
from kairos.equity.context import PRICES, Context, Excerpt, Panels
from kairos.equity.declare import Array, Coded, DateTable, FeatureTable, PanelTable, Params, Scope
from kairos.equity.frame import Inputs, Ints, numbers
from kairos.equity.rows import Plan, Rows
from kairos.equity.staleness import ALL, Staleness
from kairos.errors import WorkError
from kairos.panel import pick
from kairos.store import Part

ARROW_TYPES = {
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "TINYINT": pa.int8(),
    "VARCHAR": pa.string(),
}
BLOCK = 64
"""Listings that are computed together: ten years of one panel are 1.3 MB."""

STRETCH = 128
"""Sessions of a cross-sectional table that are computed together, or twice its history."""

STEPS = (0, 30, 126, 273, 504)
"""Histories, in sessions, for which tables share their panels."""

Values = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Wanted:
    """Rows of one part that are computed on a grid: their cells, ascending, and their places in the part."""

    cell: Ints
    at: Ints | None
    """None when they are all rows of the part, in their order."""

    def of(self, chosen: Ints | slice) -> Ints | slice:
        """Places of some of the cells."""
        return chosen if self.at is None else self.at[chosen]


class Renewed:
    """The parts of a feature table after a change: which are kept, and which rows are computed."""

    def __init__(self, context: Context, declaration: FeatureTable, params: Params, stale: Staleness) -> None:
        self.context, self.declaration, self.params = context, declaration, params
        self.kinds = {c.name: ARROW_TYPES[c.dtype] for c in declaration.columns(params)}
        before = context.find(declaration.name)
        self.plan = Plan.of(context, before, _first_row(context, declaration, params, stale))
        self.first = self.plan.first
        self.before = before if self.first else None
        empty = self.before.meta.get("empty", []) if self.before else self.kinds
        self.empty = [name for name in self.kinds if name in empty]
        """Columns without any value; complete when the parts are written."""

    def changes(self, stale: Staleness) -> Since:
        """From which date on each column differs from the old table."""
        gap = self.context.settings.equity.listing.max_gap
        since = _shifted(self.context, stale.since, self.declaration.forward(self.params, gap))
        defined = self.kinds if ALL in stale.columns else stale.columns
        return {
            **dict.fromkeys(self.kinds if since < dt.date.max else (), since),
            **dict.fromkeys(defined, BEGINNING),
        }

    def parts(self) -> Iterator[pa.Table | Part]:
        """The parts in order; what is computed is computed at once, what is written is made one by one."""
        values, plan = self._room(), self.plan
        if past := plan.past:  # first, for recursions go on from it
            self._compute(values, self._past(), 0, past)
        if plan.made and plan.first < len(self.context.sessions):
            self._compute(values, self._excerpt(), plan.first)
        return self._write(values)

    def _write(self, values: dict[int, Values]) -> Iterator[pa.Table | Part]:
        made = {rows.number: rows.keys for rows in self.plan.made}
        for i in sorted({*made, *self.plan.kept}):
            if self.before and i in self.plan.kept:
                yield self.before.parts[self.plan.kept[i]]
            else:
                columns = {name: _column(values[i].pop(name), kind) for name, kind in self.kinds.items()}
                for name, column in columns.items():
                    if name in self.empty and column.null_count < len(column):
                        self.empty.remove(name)
                yield pa.table({"ticker": made[i]["ticker"], "date": made[i]["date"], **columns})

    def _room(self) -> dict[int, Values]:
        """Columns of the parts to be made, with what the old table knew of them."""
        names, before = list(self.kinds), self.before
        pool = [self.context.part(before, before.parts[at], names) for at in self.plan.pool] if before else []
        held = pa.concat_tables(pool) if pool else None
        found: dict[int, Values] = {rows.number: {} for rows in self.plan.made}
        for name, kind in self.kinds.items():
            known = None if held is None else _values(held[name])
            for rows in self.plan.made:
                found[rows.number][name] = _taken(known, rows, kind)
        return found

    def _excerpt(self) -> Excerpt:
        """The slice of sessions that the stale rows need; few different ones, so that tables share panels."""
        history = self.declaration.resumed or self.declaration.history
        need = history(self.params, self.context.settings.equity.listing.max_gap)
        return Excerpt(_start(self.first, need))

    def _past(self) -> Excerpt:
        """The tickers with a new past, from the history of their first price on."""
        need = self.declaration.history(self.params, self.context.settings.equity.listing.max_gap)
        first = int(np.searchsorted(self.context.sessions, self.plan.earliest))
        return Excerpt(_start(first, need), self.plan.newcomers, min(self.plan.past))

    def _known(self, panels: Panels, values: dict[int, Values], column: str) -> Array:
        """What is known before the first stale session: of the old table, and of a new past."""
        held = panels.by_key(self.context.table(self.declaration.name), column)
        for number, past in self.plan.past.items():
            part = panels.frame.parts[number]
            rows = np.arange(part.keys.num_rows) if part.rows is None else part.rows
            new = np.isin(rows, past)
            held.T.reshape(-1)[part.cell[new]] = values[number][column][rows[new]]
        held[self.first - panels.frame.start :] = np.nan
        return held

    def _compute(
        self, values: dict[int, Values], excerpt: Excerpt, first: int, only: Mapping[int, Ints] | None = None
    ) -> None:
        """Compute on an excerpt; fill in the rows from the session `first` on, or `only` some of a part."""
        panels = self.context.panels(PRICES, excerpt)
        inputs, frame = panels.inputs((*self.declaration.inputs, *self.declaration.optional)), panels.frame
        if first and self.declaration.resumed:
            inputs = replace(inputs, known=cache(lambda column: self._known(panels, values, column)))
        wanted = {}
        for number in values:
            part = frame.parts[number]
            if only is None and first <= frame.start:
                wanted[number] = Wanted(part.cell, part.rows)
                continue
            rows = np.arange(part.keys.num_rows) if part.rows is None else part.rows
            late = part.cell % len(frame.sessions) >= first - frame.start
            keep = late if only is None else np.isin(rows, only.get(number, []))
            wanted[number] = Wanted(part.cell[keep], rows[keep])
        _fill(self.declaration, self.params, inputs, wanted, values, self.context.settings.run.threads)


def _taken(known: np.ndarray[Any, Any] | None, rows: Rows, kind: pa.DataType) -> np.ndarray[Any, Any]:
    """A column of the rows with the known values, missing elsewhere."""
    text = pa.types.is_string(kind)
    form = np.dtype(object if text else np.float64 if kind == pa.float64() else np.float32)
    if known is None or not len(known):
        return np.full(rows.keys.num_rows, None if text else np.nan, form)
    column = known[rows.old].astype(form, copy=False)
    column[rows.new] = None if text else np.nan
    return column


def _values(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """A column as numbers in their precision, or texts with None for NULL."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return column.to_numpy() if pa.types.is_floating(column.type) else numbers(column)


def _start(first: int, need: int) -> int:
    """First session that is read for values from the session `first` on that need a history."""
    steps = [step for step in STEPS if step >= need]
    return max(first - steps[0], 0) if steps else 0


def _stretch(need: int) -> int:
    """Sessions that are computed together with a history, which each stretch computes again."""
    return STRETCH * max(1, -(-2 * need // STRETCH))


def _shifted(context: Context, day: dt.date, sessions: int) -> dt.date:
    """The date some sessions before a date; the beginning and the end stay what they are."""
    if day in (BEGINNING, dt.date.max) or not sessions:
        return day
    row = int(np.searchsorted(context.sessions, np.datetime64(day))) - sessions
    return context.sessions[row].item() if row > 0 else BEGINNING


def _first_row(context: Context, declaration: FeatureTable, params: Params, stale: Staleness) -> int:
    """First session whose values are computed; 0 for all of them."""
    forward = declaration.forward(params, context.settings.equity.listing.max_gap)
    since = BEGINNING if stale.columns else _shifted(context, stale.since, forward)
    return int(np.searchsorted(context.sessions, np.datetime64(since)))


def _fill(
    declaration: FeatureTable,
    params: Params,
    inputs: Inputs,
    wanted: Mapping[int, Wanted],
    values: dict[int, Values],
    threads: int,
) -> None:
    """Compute the columns of a table and put the wanted rows where they belong.

    A table that never looks across tickers is computed block by block: the intermediate panels of a block
    stay in the cache and in memory that is used again. The rows of a block of listings stand side by side in
    every part, for both are in the order of the tickers. The others are computed by stretches of sessions.
    """
    frame = inputs.frame
    T, N = frame.shape
    inputs.ready()
    if declaration.scope is Scope.TICKER:
        frame.listed  # noqa: B018 - made once, before threads ask for it

        def fill(lo: int) -> None:
            hi = min(lo + BLOCK, N)
            block = computed(declaration, params, inputs.block(lo, hi))
            for number, rows in wanted.items():
                a, b = np.searchsorted(rows.cell, np.array([lo * T, hi * T], rows.cell.dtype))  # else a copy
                for name, panel in block.items():
                    _put(panel, rows.cell[a:b], lo * T, values[number][name], rows.of(slice(a, b)))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, range(0, N, BLOCK)))
        return
    need = declaration.history(params, inputs.max_gap)
    length = T if declaration.resumed else _stretch(need)
    placed = {number: Placed.of(rows.cell, T, length) for number, rows in wanted.items()}
    begin = min((int(p.row.min()) for p in placed.values() if len(p.row)), default=T) // length * length

    def stretch(lo: int) -> None:
        hi, start = min(lo + length, T), max(lo - need, 0)
        made = computed(declaration, params, inputs.sessions(start, hi))
        for number, p in placed.items():
            inside = p.of_stretch(lo // length)
            cell = p.column[inside] * (hi - start) + (p.row[inside] - start)
            at = wanted[number].of(inside)
            for name, panel in made.items():
                _put(panel, cell, 0, values[number][name], at)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(stretch, range(begin, T, length)))


@dataclass(frozen=True)
class Placed:
    """Columns and rows of cells, and the cells in the order of stretches of rows."""

    column: Ints
    row: Ints
    order: Ints
    bounds: Ints

    @classmethod
    def of(cls, cell: Ints, T: int, length: int) -> Placed:
        """Take the cells of a panel with T rows apart."""
        column = cell // cell.dtype.type(T)
        row = cell - column * cell.dtype.type(T)
        number = (row // length).astype(np.int16)
        counts = np.bincount(number, minlength=1)
        return cls(column, row, np.argsort(number, kind="stable"), np.append(0, np.cumsum(counts)))

    def of_stretch(self, number: int) -> Ints:
        """Positions of the cells in one stretch, ascending."""
        if number + 1 >= len(self.bounds):
            return self.order[:0]
        found: Ints = self.order[self.bounds[number] : self.bounds[number + 1]]
        return found


def _put(panel: Array | Coded, cell: Ints, begin: int, out: np.ndarray[Any, Any], at: Ints | slice) -> None:
    """Put the values at some cells of a panel into places of a column, in its precision."""
    codes = panel.codes if isinstance(panel, Coded) else panel
    if isinstance(at, slice) and not isinstance(panel, Coded):
        pick(codes, cell, begin, out[at])
        return
    found = np.empty(len(cell), np.float64 if isinstance(panel, Coded) else out.dtype)
    pick(codes, cell, begin, found)
    if isinstance(panel, Coded):
        labels = np.array([*panel.labels, None], dtype=object)
        out[at] = labels[np.where(np.isnan(found), len(panel.labels), found).astype(np.int64)]
    else:
        out[at] = found


def computed(declaration: FeatureTable, params: Params, inputs: Inputs) -> dict[str, Array | Coded]:
    """The columns of a table; WorkError when they are not the declared ones."""
    made = {
        name: panel if isinstance(panel, Coded) else np.asfortranarray(panel)
        for name, panel in declaration.compute(inputs, params).items()
    }
    _check_names(declaration, params, made)
    return made


def _check_names(declaration: PanelTable, params: Params, made: Mapping[str, Any]) -> None:
    odd = set(made) ^ {column.name for column in declaration.columns(params)}
    if odd:
        names = ", ".join(sorted(odd))
        raise WorkError(f"{declaration.name}: computed and declared columns differ in {names}")


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Column of a part: NaN and what overflows the type are NULL."""
    if pa.types.is_string(kind):
        return pa.array(values, kind)
    if pa.types.is_floating(kind):
        with np.errstate(over="ignore"):
            cast = values.astype(kind.to_pandas_dtype(), copy=False)
        return pa.array(cast, kind, mask=~np.isfinite(cast))
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(kind.to_pandas_dtype()), kind, mask=missing)


def date_rows(context: Context, declaration: DateTable, params: Params, stale: Staleness) -> pa.Table:
    """The rows of a table of dates: measured from the first stale session on, derived from all of them."""
    sessions = context.sessions
    whole = bool(stale.columns) or stale.since == BEGINNING
    first = 0 if whole else int(np.searchsorted(sessions[:-1], np.datetime64(stale.since)))
    need = declaration.history(params, context.settings.equity.listing.max_gap)
    start = _start(first, need)
    panels = context.panels(PRICES, Excerpt(start))
    inputs = panels.inputs((*declaration.inputs, *declaration.optional))
    series = _measured(declaration, params, inputs, first - start, context.settings.run.threads)
    if first:
        before = context.read(declaration.name, series)
        series = {name: np.append(numbers(before[name])[:first], new) for name, new in series.items()}
    derived = declaration.derive({**series, "dates": sessions}, params)
    made = {**series, **derived}
    _check_names(declaration, params, made)
    kinds = {c.name: ARROW_TYPES[c.dtype] for c in declaration.columns(params)}
    return pa.table(
        {
            "date": pa.array(sessions),
            **{name: _column(np.asarray(made[name]), kind) for name, kind in kinds.items()},
        }
    )


def _measured(
    declaration: DateTable, params: Params, inputs: Inputs, first: int, threads: int
) -> dict[str, Array]:
    """Series of a table of dates from the row `first` on, by stretches of sessions."""
    T, need = len(inputs.frame.sessions), declaration.history(params, inputs.max_gap)
    length = _stretch(need)

    def stretch(lo: int) -> Mapping[str, Array]:
        start = max(lo - need, 0)
        made = declaration.measure(inputs.sessions(start, min(lo + length, T)), params)
        return {name: values[lo - start :] for name, values in made.items()}

    inputs.ready()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(stretch, range(first, T, length)))
    return {name: np.concatenate([made[name] for made in found]) for name in found[0]}
