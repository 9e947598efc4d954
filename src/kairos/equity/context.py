"""What a build, a backtest or a signal evaluation can see: tables of one snapshot, and their panels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import proxy

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.frame import (
    Array,
    Frame,
    Inputs,
    Ints,
    Mask,
    Outcomes,
    SomeRows,
    build_frame,
    dates,
    encode,
    numbers,
    rows_of,
)
from kairos.equity.vendor import TABLES
from kairos.errors import InputError, WorkError
from kairos.panel import Rows, carry, in_force, in_rows, place, take
from kairos.settings import Settings
from kairos.store import Part, Snapshot, Store, Table, check_content, plain_form, read_part
from kairos.store.sql import quote, scan

RAW = {"sep_base": "date", **{table.name: table.dated for table in TABLES}}
"""Tables that `ingest` loads, and the column that dates their rows; all namespaces see those of ``main``."""

PRICES = "sep_base_academic"
"""The price table whose rows every feature table shares."""

ONE_ROW = """
    SELECT * FROM tickers
    QUALIFY row_number() OVER (PARTITION BY ticker ORDER BY ("table" <> 'SEP'), "table") = 1"""
"""One row of ``tickers`` for each ticker: it has one for each vendor table, and that of SEP is preferred."""


def open_store(db: Path, settings: Settings) -> Store:
    """The store at `db`, with the limits of the configuration."""
    return Store(
        db,
        keep_snapshots=settings.store.keep_snapshots,
        compact_parts=settings.store.compact_parts,
        memory_limit=settings.run.memory_limit,
        threads=settings.run.threads,
    )


@dataclass(frozen=True)
class Excerpt:
    """A part of the grid of a price table.

    Attributes
    ----------
    start : int
        Absolute number of the first session.
    tickers : frozenset of str, optional
        Only these.
    part : int
        The parts before this one hold no row of it.
    """

    start: int = 0
    tickers: frozenset[str] | None = None
    part: int = 0


@dataclass
class Context:
    """Tables and panels behind one piece of work.

    Parameters
    ----------
    snapshot : Snapshot
        The published state that is read.
    settings : Settings
        The resolved configuration.
    namespace : str
        Where derived tables are looked up; the vendor's tables always come from ``main``.
    as_of : datetime64[D], optional
        Rows of vendor tables dated later are not read (``tickers`` has no date: it is always today's).
    made : dict
        Tables written by the running build, not yet published.
    facts : dict
        What the making of a base table found out, by table; stored with it.
    shared : dict
        What is made once and used by several tables or strategies.
    remembered : dict
        What the making of a base table wants stored with it, by table.
    """

    snapshot: Snapshot
    settings: Settings
    namespace: str = "main"
    as_of: np.datetime64 | None = None
    made: dict[str, Table] = field(default_factory=dict)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    shared: dict[Any, Any] = field(default_factory=dict)
    remembered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _panels: dict[tuple[str, Excerpt], Panels] = field(default_factory=dict)
    _keys: dict[int, pa.Table] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)

    def find(self, name: str) -> Table | None:
        """The table, None when it does not exist."""
        if name in self.made:
            return self.made[name]
        return self.snapshot.tables.get(("main" if name in RAW else self.namespace, name))

    def has(self, name: str) -> bool:
        """Tell whether a table, or a column written ``table.column``, exists."""
        table, _, column = name.partition(".")
        found = self.find(table)
        return found is not None and (not column or column in found.names)

    def table(self, name: str) -> Table:
        """The table; InputError names it and the command that makes it when it does not exist."""
        found = self.find(name)
        if found is None:
            command = "kairos equity ingest" if name in RAW else f"kairos equity build {name}"
            raise InputError(f"table {name} does not exist in namespace {self.namespace}; run `{command}`")
        return found

    @property
    def prices_fingerprint(self) -> str:
        """Fingerprint of the prices as ingested: what trials have in common, whatever the universe."""
        return self.table("sep_base").fingerprint

    def facts_of_data(self, warnings: Sequence[str] = ()) -> dict[str, Any]:
        """What every report says about universe and data, `warnings` first."""
        raw = self.table("sep_base").meta.get("warnings", {})
        return {
            **self.table("universe").meta.get("facts", {}),
            "data_warnings": [*warnings, *(f"Prices: {what}: {count:,}" for what, count in raw.items())],
            "snapshot": self.snapshot.id,
            "namespace": self.namespace,
            "prices": self.prices_fingerprint,
        }

    def connect(self, *names: str) -> duckdb.DuckDBPyConnection:
        """A private DuckDB with a view for each named table that exists, cut at `as_of`.

        DuckDB takes no notice of the pages' checksums: the content of a table is checked once before.
        """
        con = self._database.cursor()
        for table in filter(None, map(self.find, names)):
            if table.fingerprint not in self._sound:
                check_content([table], self.snapshot.engine.threads)
                self._sound.add(table.fingerprint)
            cut = self._cut(table)
            where = f" WHERE {quote(cut)} <= DATE '{self.as_of}'" if cut else ""
            rows = scan(table.names, [part.path for part in table.parts])
            con.execute(f"CREATE TEMP VIEW {quote(table.name)} AS {rows}{where}")
        return con

    def parts(self, name: str, columns: Iterable[str], since: dt.date = dt.date.min) -> Iterator[pa.Table]:
        """The stored parts of a table one by one, rows in stored order, cut at `as_of`.

        Parts that end before `since` are left out, as long as one is left.
        """
        table, columns = self.table(name), list(columns)
        late = [part for part in table.parts if part.hi is None or part.hi >= since]
        for part in late or table.parts[-1:]:
            yield self.part(table, part, columns)

    def part(
        self, table: Table, part: Part, columns: Sequence[str], tickers: Iterable[str] | None = None
    ) -> pa.Table:
        """Columns of one part of a table, rows in stored order, cut at `as_of`; of some tickers only."""
        cut = self._cut(table)
        wanted = list(dict.fromkeys([*columns, *([cut] if cut else [])]))
        coded = ["ticker"] if "ticker" in wanted or tickers is not None else []
        chosen = None if tickers is None else pc.field("ticker").isin(list(tickers))
        rows = read_part(part, wanted, filters=chosen, coded=coded)
        if cut and self.as_of is not None:
            rows = rows.filter(pc.less_equal(rows[cut], pa.scalar(self.as_of.item())))
        return rows.select(columns)

    def read(self, name: str, columns: Iterable[str], since: dt.date = dt.date.min) -> pa.Table:
        """The named columns of a table, rows in stored order; parts and cut as :meth:`parts` has them."""
        return pa.concat_tables(self.parts(name, columns, since)).unify_dictionaries()

    def written_keys(self, number: int) -> pa.Table:
        """Ticker and date of the rows of one part of the price base, in the form that all tables share."""
        if number not in self._keys:
            table = self.table(PRICES)
            self._keys[number] = plain_form(self.part(table, table.parts[number], ["ticker", "date"]))
        return self._keys[number]

    def panels(self, prices: str = PRICES, excerpt: Excerpt | None = None) -> Panels:
        """Panels on the grid of a price table, or on an excerpt of it."""
        key = (prices, excerpt or Excerpt())
        if key not in self._panels:
            self._panels[key] = Panels(self, *key)
        return self._panels[key]

    @property
    def loaded(self) -> frozenset[str]:
        """Price tables whose grid is in use."""
        return frozenset(prices for prices, _ in self._panels)

    def release(self) -> None:
        """Forget all panels and what was shared: they are read again when asked for."""
        self._panels.clear()
        self._keys.clear()
        self.shared.clear()

    def forget(self, wanted: Collection[str]) -> None:
        """Forget loaded columns other than the `wanted` ones (``table.column``)."""
        for panels in self._panels.values():
            panels.forget(wanted)

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """One DuckDB for all views, each in a connection of its own: opening one costs more than a query."""
        return self.snapshot.engine.connect()

    @cached_property
    def sessions(self) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """(T,) dates of the market's sessions; the position is the absolute session number."""
        return dates(self.read("sessions", ["date"])["date"])

    @property
    def last_row(self) -> int:
        """Row of the last session up to `as_of`."""
        if self.as_of is None:
            return len(self.sessions) - 1
        return int(np.searchsorted(self.sessions, self.as_of, side="right")) - 1

    def _cut(self, table: Table) -> str | None:
        return None if self.as_of is None else RAW.get(table.name)


class Panels:
    """Columns of tables as panels on the grid of one price table, loaded once each.

    They can be asked for as long as their context is there.
    """

    def __init__(self, context: Context, prices: str, excerpt: Excerpt) -> None:
        # Weakly: each would keep the other, and some hundred megabytes, until the collector of cycles comes.
        self.context: Context = proxy(context)
        self.prices = prices
        self.excerpt = excerpt
        self._loaded: dict[str, np.ndarray[Any, Any] | None] = {}
        self._in_force: dict[str, tuple[Ints, Rows]] = {}
        self._selected: dict[bytes, list[tuple[Ints, Ints | None, int]]] = {}

    @cached_property
    def frame(self) -> Frame:
        """The grid."""
        context, excerpt = self.context, self.excerpt
        table, none = (
            context.table(self.prices),
            pa.table({"ticker": pa.array([], pa.string()), "date": pa.array([], pa.date32())}),
        )
        first = context.sessions[excerpt.start].item() if excerpt.start else None
        keys = [
            none
            if i < excerpt.part or (first and part.hi and part.hi < first)
            else context.part(table, part, ["ticker", "date"])
            for i, part in enumerate(table.parts)
        ]
        listings = context.read("listings", ["ticker", "listing", "first_session"])
        return build_frame(context.sessions, keys, listings, excerpt.start, excerpt.tickers)

    @cached_property
    def listings(self) -> Ints:
        """Row of the table ``listings`` of each column of the grid."""
        rows = self.context.read("listings", ["ticker", "listing"])
        keys = zip(rows["ticker"].to_pylist(), rows["listing"].to_pylist(), strict=True)
        at = {key: i for i, key in enumerate(keys)}
        columns = zip(self.frame.tickers.tolist(), self.frame.listing.tolist(), strict=True)
        return np.array([at[key] for key in columns], dtype=np.int64)

    @cached_property
    def outcomes(self) -> Outcomes:
        """How each listing of the grid ended."""
        rows = self.context.read("listings", ["last_session", "ended", "settled_session", "payout"])
        column = {name: numbers(rows[name])[self.listings] for name in rows.column_names}
        return Outcomes(
            last=column["last_session"].astype(np.int64),
            ended=column["ended"] == 1.0,
            settled=np.nan_to_num(column["settled_session"], nan=-1.0).astype(np.int64),
            payout=np.nan_to_num(column["payout"]),
        )

    def get(self, name: str) -> np.ndarray[Any, Any] | None:
        """The panel of ``"table.column"``, None when it does not exist.

        Feature tables share the rows of ``sep_base_academic`` and are placed by position. Of other tables:

        * with the key (ticker, date): placed by key, and rows outside the grid are left out; *events* are
          placed on any session of their listing;
        * whose rows *act* until the next one (filings): the row in force on each session;
        * with the key (date): a series (T,);
        * ``tickers``: one value for each column (N,), of the row that counts.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name) if self.context.has(name) else None
        return self._loaded[name]

    def forget(self, wanted: Collection[str]) -> None:
        """Forget loaded columns other than the `wanted` ones, and rows in force of other tables."""
        self._loaded = {name: panel for name, panel in self._loaded.items() if name in wanted}
        tables = {name.partition(".")[0] for name in wanted}
        self._in_force = {name: rows for name, rows in self._in_force.items() if name in tables}

    def __getitem__(self, name: str) -> Array:
        """As :meth:`get`; an absent table is an InputError that says how to make it."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        panel = self._loaded[name]
        return self._load(name) if panel is None else panel

    def inputs(self, names: tuple[str, ...]) -> Inputs:
        """What the ``compute`` of a feature table with these inputs sees."""
        settings = self.context.settings.equity
        return Inputs(
            frame=self.frame,
            load=self.get,
            names=names,
            coverage=settings.windows.coverage,
            max_gap=settings.listing.max_gap,
            load_outcomes=lambda: self.outcomes,
        )

    def some(self, name: str, rows: Ints) -> SomeRows:
        """Only the given rows of a panel: what decisions look at is a fraction of the whole."""
        T, N = self.frame.shape
        at = np.full(T, -1, dtype=np.int64)
        at[rows] = np.arange(len(rows))
        values = np.full((len(rows), N), np.nan)
        for cell, value in self._cells(*self._find(name), at >= 0):
            place(cell, value, at, values)
        return SomeRows(values, at)

    def some_and_last(self, name: str, rows: Ints) -> tuple[SomeRows, SomeRows]:
        """The given rows of a panel, ascending, as `some` has them, and with last known values."""
        T, N = self.frame.shape
        at, until = np.full(T, -1, dtype=np.int64), np.searchsorted(rows, np.arange(T))
        at[rows] = np.arange(len(rows))
        until[until == len(rows)] = -1  # each row goes into the next one of the given rows
        values, known = np.full((2, len(rows), N), np.nan)
        for cell, value in self._cells(*self._find(name)):
            place(cell, value, at, values)
            place(cell, value, until, known)
        carry(known)
        return SomeRows(values, at), SomeRows(known, at)

    def _find(self, name: str) -> tuple[Table, str]:
        """Table and column; InputError when either does not exist."""
        name, _, column = name.partition(".")
        table = self.context.table(name)
        if column not in table.names:
            raise InputError(f"table {name} has no column {column}; it has {', '.join(table.names)}")
        return table, column

    def _load(self, name: str) -> np.ndarray[Any, Any]:
        table, column = self._find(name)
        if table.key == ("date",):
            return self._series(table, column)
        if "acts" in table.meta:
            order, rows = self._rows_in_force(table)
            values = self.context.read(table.name, [column], self._acting(table))[column]
            return take(numbers(values)[order], rows)
        if table.name == "tickers":
            return self._attribute(column)
        panel = self.frame.empty()
        flat = panel.T.reshape(-1)
        for cell, value in self._cells(table, column):
            flat[cell] = value
        return panel

    def _series(self, table: Table, column: str) -> np.ndarray[Any, Any]:
        """(T,) value of each session, NaN or None where the table has no row."""
        rows = self.context.read(table.name, ["date", column])
        at = rows_of(self.frame.sessions, dates(rows["date"]))
        text = not (pa.types.is_primitive(rows[column].type))
        values = np.array(rows[column].to_pylist(), dtype=object) if text else numbers(rows[column])
        series = np.full(len(self.frame.sessions), None if text else np.nan, dtype=values.dtype)
        series[at[at >= 0]] = values[at >= 0]
        return series

    def _attribute(self, column: str) -> np.ndarray[Any, Any]:
        """(N,) what ``tickers`` says of each column's ticker today, None where it says nothing."""
        with self.context.connect("tickers") as con:
            known = dict(con.sql(f"SELECT ticker, {quote(column)} FROM ({ONE_ROW})").fetchall())
        return np.array([known.get(ticker) for ticker in self.frame.tickers.tolist()], dtype=object)

    def _acting(self, table: Table) -> dt.date:
        """The day before which no row can be in force on the grid: what it tells is older than its date."""
        age = dt.timedelta(days=int(table.meta["acts"]["max_age"]))
        first: dt.date = self.frame.sessions[0].item()
        return first - age if self.frame.start else dt.date.min

    def _rows_in_force(self, table: Table) -> tuple[Ints, Rows]:
        """Order of the table's rows by ticker and date; (T, N) place in it of the row in force, or -1."""
        if table.name not in self._in_force:
            rules = table.meta["acts"]
            rows = self.context.read(
                table.name,
                ["ticker", "date", rules["dated"], "first_listing", "last_listing"],
                self._acting(table),
            )
            names, code = encode(rows["ticker"])
            frame, ranks = self.frame, np.argsort(np.argsort(names))
            names, code, since = np.sort(names), ranks[code], dates(rows["date"])
            first, last = (numbers(rows[name]) for name in ("first_listing", "last_listing"))
            order = np.lexsort((first, since, code))
            known = np.minimum(np.searchsorted(names, frame.tickers), max(len(names) - 1, 0))
            there = names[known] == frame.tickers if len(names) else np.zeros(len(frame.tickers), np.bool_)
            begin = np.searchsorted(code[order], known)
            end = np.where(there, np.searchsorted(code[order], known, side="right"), begin)
            self._in_force[table.name] = (
                order,
                in_force(
                    days=frame.sessions,
                    columns=(begin, end, frame.listing),
                    since=since[order],
                    acts=(first[order], last[order]),
                    dated=dates(rows[rules["dated"]])[order],
                    max_age=int(rules["max_age"]),
                ),
            )
        return self._in_force[table.name]

    def by_key(self, table: Table, column: str) -> Array:
        """Panel of a column of a table with other rows than the price base has now, by ticker and date."""
        panel = self.frame.empty()
        flat = panel.T.reshape(-1)
        for cell, value in self._cells_by_key(table, column):
            flat[cell] = value
        return panel

    def _cells(self, table: Table, column: str, rows: Mask | None = None) -> Iterator[tuple[Ints, Array]]:
        """Cells and values of a column, part by part; with `rows` (T,) only those of some rows.

        Raises
        ------
        WorkError
            A feature table has not the rows of the price base.
        """
        if table.name == self.prices or (self.prices == PRICES and table.name.startswith("feat_")):
            cells = self._stored_cells(rows)
            if len(table.parts) != len(cells):
                raise _misaligned(table.name)
            for (cell, chosen, length), part in zip(cells, table.parts, strict=True):
                if not len(cell):
                    continue
                values = self.context.part(table, part, [column])[column]
                if len(values) != length:
                    raise _misaligned(table.name)
                yield cell, numbers(values, chosen)
            return
        yield from self._cells_by_key(table, column, rows)

    def _cells_by_key(
        self, table: Table, column: str, rows: Mask | None = None
    ) -> Iterator[tuple[Ints, Array]]:
        sessions = self.frame.sessions if rows is None else self.frame.sessions[rows]
        wanted = None if rows is None else pa.array(sessions)
        extra = ("last_listing",) if "events" in table.meta else ()
        for part in table.parts:
            if not len(sessions) or (part.hi is not None and part.hi < sessions[0].item()):
                continue
            needed = list(dict.fromkeys((*table.key, *extra, column)))
            read = self.context.part(table, part, needed, self.excerpt.tickers)
            kept = read if wanted is None else read.filter(pc.is_in(read["date"], value_set=wanted))
            names, code = encode(kept["ticker"])
            events = "events" in table.meta
            cell = self.frame.cells(names, code, dates(kept["date"]), stored=not events)
            if events:
                cell = self.frame.of_company(
                    cell, numbers(kept["first_listing"]), numbers(kept["last_listing"])
                )
            inside = cell >= 0
            yield cell[inside], numbers(kept[column])[inside]

    def _stored_cells(self, rows: Mask | None) -> list[tuple[Ints, Ints | None, int]]:
        """Cells of the price base part by part, which rows of the part they are (None: all), of how many."""
        if rows is None or rows.all():
            return [(part.cell, part.rows, part.keys.num_rows) for part in self.frame.parts]
        key = rows.tobytes()
        if key not in self._selected:
            found: list[tuple[Ints, Ints | None, int]] = []
            for part in self.frame.parts:
                chosen = in_rows(part.cell, rows)
                at = chosen if part.rows is None else part.rows[chosen]
                found.append((part.cell[chosen], at, part.keys.num_rows))
            self._selected = {key: found}
        return self._selected[key]


def _misaligned(name: str) -> WorkError:
    return WorkError(
        f"table {name} has not the rows of {PRICES}: rebuild it with `kairos equity build {name} --force`"
    )
