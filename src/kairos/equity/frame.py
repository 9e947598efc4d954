"""The rows of a price table as a dense grid: sessions down, listings across.

A column of the grid is one *listing*: a ticker between its first price and its end. A ticker that another
company takes over later has two columns, so no window, return or recursion can ever mix the two companies.
Panels are (T, N) float64 arrays in Fortran order, missing = NaN (see :mod:`kairos.panel`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.panel import Rolling

Array = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class PartRows:
    """One stored part: its key columns as stored, and the grid cell of each of its rows."""

    keys: pa.Table
    cell: Ints
    """Flat index ``column · T + row`` into a Fortran-ordered panel."""
    rows: Ints | None = None
    """Which rows of the part these are, ascending; None for all. `keys` has every row."""


@dataclass(frozen=True)
class Frame:
    """Labels and layout of the grid.

    Attributes
    ----------
    sessions : (T,) datetime64[D]
        Market sessions; row 0 has the absolute session number `start`.
    tickers : (N,) str
        Ticker of each column, ascending; the listings of one ticker stand side by side in time order.
    listing : (N,) int
        1 for a ticker's first listing, 2 for the second, ...
    first : (N,) int
        Absolute number of the first session of each listing.
    parts : tuple of PartRows
        The stored rows, part by part, in stored order.
    """

    sessions: np.ndarray[Any, np.dtype[np.datetime64]]
    tickers: np.ndarray[Any, Any]
    listing: Ints
    first: Ints
    parts: tuple[PartRows, ...]
    start: int = 0
    """Absolute number of the first session: a grid may hold a slice of the sessions, and some tickers."""

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions and listings."""
        return len(self.sessions), len(self.tickers)

    @cached_property
    def numbers(self) -> Ints:
        """(T,) absolute session numbers."""
        return np.arange(self.start, self.start + len(self.sessions), dtype=np.int64)

    @cached_property
    def listed(self) -> Array:
        """(T, N) sessions since the start of the listing, today included; ≤ 0 before it."""
        age: Array = (self.numbers[None, :] - self.first[:, None] + 1).astype(np.float64).T
        return age

    @cached_property
    def exists(self) -> Mask:
        """(T, N) True where a row is stored."""
        mask = np.zeros(self.shape, dtype=np.bool_, order="F")
        for part in self.parts:
            mask.T.reshape(-1)[part.cell] = True
        return mask

    @cached_property
    def names(self) -> np.ndarray[Any, Any]:
        """Distinct tickers, ascending."""
        return np.unique(self.tickers)

    @cached_property
    def _begins(self) -> tuple[Ints, ...]:
        """First column of each ticker; first row of its 2nd, 3rd, ... listing, T where there is none."""
        name = np.searchsorted(self.names, self.tickers)
        column = np.searchsorted(name, np.arange(len(self.names)))
        rank = np.arange(len(name)) - column[name]
        later = []
        for k in range(1, int(rank.max(initial=0)) + 1):
            later.append(np.full(len(self.names), len(self.sessions)))
            later[-1][name[rank == k]] = self.first[rank == k] - self.start
        return column, *later

    def block(self, lo: int, hi: int) -> Frame:
        """The listings lo..hi, without stored rows."""
        part = Frame(
            self.sessions, self.tickers[lo:hi], self.listing[lo:hi], self.first[lo:hi], (), self.start
        )
        part.__dict__["listed"] = self.listed[:, lo:hi]  # a view of what is there already
        return part

    def empty(self) -> Array:
        """A panel of NaN."""
        return np.full(self.shape, np.nan, order="F")

    def gather(self, panel: np.ndarray[Any, Any], part: PartRows) -> np.ndarray[Any, Any]:
        """Values of a panel at the rows of a part, in stored order."""
        return np.asfortranarray(panel).T.reshape(-1)[part.cell]

    def cells(
        self, names: np.ndarray[Any, Any], code: Ints, date: np.ndarray[Any, Any], *, stored: bool = True
    ) -> Ints:
        """Flat cell of each row (ticker ``names[code]``, `date`), -1 where the grid has no such row.

        With `stored` false a session of the ticker counts even where it has no row.
        """
        known = np.searchsorted(self.names, names)
        known[known == len(self.names)] = 0
        known = (
            np.where(self.names[known] == names, known, -1) if len(self.names) else np.full(len(names), -1)
        )
        name, row = known[code], rows_of(self.sessions, date)
        outside = (name < 0) | (row < 0)
        begin, *later = self._begins
        column = np.append(begin, 0)[name]  # -1 counts from the end, where nothing is taken from
        for starts in later:
            column += row >= np.append(starts, len(self.sessions))[name]
        cell: Ints = column * np.int64(len(self.sessions)) + row
        if stored:
            outside |= ~self.exists.T.reshape(-1)[cell] if self.exists.size else True
        cell[outside] = -1
        return cell

    def of_company(self, cell: Ints, first: Array, last: Array) -> Ints:
        """Cells moved to the nearest listing of their ticker with a number in first..last; -1 without one."""
        T = len(self.sessions)
        column = cell // T
        number = self.listing[column]
        moved = np.clip(
            column + (np.clip(number, first, last) - number).astype(np.int64), 0, len(self.tickers) - 1
        )
        same = (cell >= 0) & (self.tickers[moved] == self.tickers[column])
        same &= (self.listing[moved] >= first) & (self.listing[moved] <= last)
        return np.where(same, moved * T + cell % T, -1)

    def since(self, number: Ints) -> Mask:
        """(T, N) True from the given absolute session of each listing on."""
        mask: Mask = (self.numbers[None, :] >= number[:, None]).T
        return mask


@dataclass(frozen=True)
class Outcomes:
    """How each listing of a frame ended.

    Attributes
    ----------
    last : (N,) int
        Absolute session of the last price.
    ended : (N,) bool
        False where the listing is still alive when the data end.
    settled : (N,) int
        Absolute session on which a holder is paid out; meaningless where not ended.
    payout : (N,) float
        Return on top of the last price; 0 where not ended.
    """

    last: Ints
    ended: np.ndarray[Any, np.dtype[np.bool_]]
    settled: Ints
    payout: np.ndarray[Any, np.dtype[np.float64]]

    def block(self, lo: int, hi: int) -> Outcomes:
        """Of the listings lo..hi."""
        return Outcomes(self.last[lo:hi], self.ended[lo:hi], self.settled[lo:hi], self.payout[lo:hi])


def build_frame(
    sessions: np.ndarray[Any, np.dtype[np.datetime64]],
    parts: Sequence[pa.Table],
    listings: pa.Table,
    start: int = 0,
    tickers: frozenset[str] | None = None,
) -> Frame:
    """Grid of the rows in `parts`, from the session `start` on, of the named tickers (None: all).

    Parameters
    ----------
    sessions : (T,) datetime64[D]
        The market's sessions from absolute number 0.
    parts : sequence of tables (ticker, date)
        The stored rows; a row belongs to the listing of its ticker that began last.
    listings : table (ticker, listing, first_session)
        Sorted by (ticker, listing).
    """
    T = len(sessions) - start
    name = listings["ticker"].to_numpy(zero_copy_only=False).astype(str)
    kind = np.int32 if T * len(name) < 2**31 else np.int64  # half the memory traffic wherever it suffices
    first = listings["first_session"].to_numpy().astype(np.int64)
    number = listings["listing"].to_numpy().astype(np.int64)
    names, begins, code = np.unique(name, return_index=True, return_inverse=True)
    later = []  # for the second, third, ... listing: its first session by ticker, T where there is none
    for k in range(2, int(number.max(initial=1)) + 1):
        later.append(np.full(len(names), len(sessions)))
        later[-1][code[number == k]] = first[number == k]
    chosen = None if tickers is None else np.isin(names, list(tickers))

    def placed_rows(part: pa.Table) -> tuple[Ints, Ints, Ints | None]:
        told, index = encode(part["ticker"])
        row = _rows_of_days(sessions, part["date"].cast(pa.date32()).cast(pa.int32()).to_numpy())
        known = np.minimum(np.searchsorted(names, told), len(names) - 1)  # a dictionary may name more
        rows = None
        if start or chosen is not None:
            inside = row >= start
            rows = np.flatnonzero(inside if chosen is None else inside & chosen[known][index])
            index, row = index[rows], row[rows]
        column = np.take(begins[known].astype(kind), index)
        for starts in later:
            begun = starts[known]
            again = np.flatnonzero(np.take(begun < len(sessions), index))  # few tickers have a second listing
            column[again] = column[again] + (row[again] >= begun[index[again]])
        return column, row - row.dtype.type(start), rows

    with ThreadPoolExecutor(2) as pool:  # long arrays, for which NumPy lets go of the interpreter
        found = list(pool.map(placed_rows, parts))
    seen = np.zeros(len(name), dtype=np.bool_)
    for column, _, _ in found:
        seen[column] = True
    position = (np.cumsum(seen) - 1).astype(kind)
    placed = []
    for part, (column, row, rows) in zip(parts, found, strict=True):
        cell = np.take(position, column)
        cell *= kind(T)  # in place: the arrays are long
        cell += row
        placed.append(PartRows(part.select(["ticker", "date"]), cell, rows))
    return Frame(sessions[start:], name[seen], number[seen], first[seen], tuple(placed), start)


def rows_of(sessions: np.ndarray[Any, np.dtype[np.datetime64]], date: np.ndarray[Any, Any]) -> Ints:
    """Row of each date among the sessions, -1 where it is none (a look-up by day instead of a search)."""
    return _rows_of_days(sessions, date.astype("datetime64[D]").view(np.int64))


def _rows_of_days(sessions: np.ndarray[Any, np.dtype[np.datetime64]], day: Ints) -> Ints:
    """The same of days since 1970."""
    if not len(sessions):
        return np.full(len(day), -1, dtype=np.int32)
    known = sessions.astype("datetime64[D]").view(np.int64)
    first, span = known[0], int(known[-1] - known[0]) + 1
    row_of_day = np.full(span + 1, -1, dtype=np.int32)  # the last place stands for every day outside
    row_of_day[known - first] = np.arange(len(sessions))
    day = day - first.astype(day.dtype)
    if len(day) and (day.min() < 0 or day.max() >= span):
        day = np.where((day < 0) | (day >= span), span, day)
    rows: Ints = np.take(row_of_day, day)
    return rows


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray[Any, Any], Ints]:
    """Distinct strings of a column, and the index of each row into them."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    names = array.dictionary.to_numpy(zero_copy_only=False).astype(str)
    return names, array.indices.to_numpy()


def dates(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Date column as datetime64[D]."""
    days: np.ndarray[Any, np.dtype[np.datetime64]] = (
        column.cast(pa.date32()).to_numpy().astype("datetime64[D]")
    )
    return days


def numbers(column: pa.ChunkedArray, rows: Ints | None = None) -> Array:
    """Numeric, boolean or date column (days since 1970) as float64, NULL as NaN; some of its rows only."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    values = column.to_numpy()
    found: Array = (values if rows is None else values[rows]).astype(np.float64, copy=False)
    return found


@dataclass(frozen=True)
class SomeRows:
    """A panel with only some rows in memory; ``panel[t]`` and ``panel[t, names]`` go by the row's number.

    Attributes
    ----------
    values : (R, N)
        The rows, in ascending order.
    at : (T,) int
        Position of each row of the frame among them, -1 where it was not loaded.
    """

    values: np.ndarray[Any, Any]
    at: Ints

    def __getitem__(self, key: int | tuple[int, Ints]) -> np.ndarray[Any, Any]:
        row, *names = key if isinstance(key, tuple) else (key,)
        if self.at[row] < 0:
            raise IndexError(f"row {row} was not loaded")
        found: np.ndarray[Any, Any] = self.values[(int(self.at[row]), *names)]
        return found


@dataclass(frozen=True)
class Inputs:
    """What a feature table's ``compute`` sees: its declared inputs as panels, and the windows' rules.

    ``x["close"]`` is the panel of the input ``"<table>.close"``; an optional input that does not exist is
    None through :meth:`get`. What has one value a date is a series (T,), texts are objects with None for
    NULL, and an attribute of the tickers has one value a column (N,).
    """

    frame: Frame
    load: Callable[[str], np.ndarray[Any, Any] | None]
    names: tuple[str, ...]
    coverage: float
    max_gap: int
    load_outcomes: Callable[[], Outcomes]
    known: Callable[[str], Array | None] = lambda _: None
    """What the table that is computed held before the first stale session, by column; NaN from there on."""

    @property
    def outcomes(self) -> Outcomes:
        """How the listings ended: for targets only, which declare the input ``listings``."""
        if "listings" not in self.names:
            raise KeyError("listings is not a declared input")
        return self.load_outcomes()

    def get(self, column: str) -> np.ndarray[Any, Any] | None:
        """The panel of an input column or ``table.column``, None where an optional input is absent."""
        full = [name for name in self.names if column in (name, name.partition(".")[2])]
        if len(full) != 1:
            raise KeyError(f"{column} is not a declared input, or not a unique one: {', '.join(self.names)}")
        return self.load(full[0])

    def __getitem__(self, column: str) -> np.ndarray[Any, Any]:
        panel = self.get(column)
        if panel is None:
            raise KeyError(f"the optional input {column} is absent; use get()")
        return panel

    @cached_property
    def members(self) -> Mask:
        """(T, N) True for the members of the universe; needs the input ``sep_base_academic.member``."""
        member: Mask = self["member"] == 1.0
        return member

    def ready(self) -> None:
        """Load every input, before threads ask for it."""
        for name in self.names:
            if "." in name:
                self.load(name)

    def block(self, lo: int, hi: int) -> Inputs:
        """The same inputs for the listings lo..hi only."""

        def load(name: str) -> np.ndarray[Any, Any] | None:
            panel = self.load(name)
            if panel is None or (panel.ndim == 1 and not _of_tickers(name)):
                return panel
            return panel[..., lo:hi]

        return replace(
            self,
            frame=self.frame.block(lo, hi),
            load=load,
            load_outcomes=lambda: self.load_outcomes().block(lo, hi),
            known=lambda column: None if (panel := self.known(column)) is None else panel[:, lo:hi],
        )

    def sessions(self, lo: int, hi: int) -> Inputs:
        """The same inputs for the sessions lo..hi of the grid only."""
        whole = self.frame
        frame = replace(whole, sessions=whole.sessions[lo:hi], parts=(), start=whole.start + lo)

        def load(name: str) -> np.ndarray[Any, Any] | None:
            panel = self.load(name)
            return panel if panel is None or _of_tickers(name) else np.asfortranarray(panel[lo:hi])

        def known(column: str) -> Array | None:
            panel = self.known(column)
            return None if panel is None else panel[lo:hi]

        return replace(self, frame=frame, load=load, known=known)

    def rolling(self, window: int, *, min_obs: int | None = None) -> Rolling:
        """A window of `window` sessions, listed that long, with `coverage` of the values or `min_obs`."""
        need = ceil(Decimal(str(self.coverage)) * window) if min_obs is None else min_obs
        listed = self.frame.listed if min_obs is None else None
        return Rolling(window=window, min_obs=need, start=self.frame.start, listed=listed)


def _of_tickers(name: str) -> bool:
    """Tell whether an input has one value a column, whatever the session."""
    return name.startswith("tickers.")
