"""What a build, a backtest or a signal evaluation can see: tables of one snapshot, and their panels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
)
from kairos.equity.vendor import TABLES
from kairos.errors import InputError, WorkError
from kairos.panel import place
from kairos.settings import Settings
from kairos.store import Snapshot, Store, Table
from kairos.store.sql import quote, scan

RAW = {"sep_base": "date", **{table.name: table.year for table in TABLES}}
"""Tables that `ingest` loads, and the column that dates their rows; all namespaces see those of ``main``."""

PRICES = "sep_base_academic"
"""The price table whose rows every feature table shares."""


def open_store(db: Path, settings: Settings) -> Store:
    """The store at `db`, with the limits of the configuration."""
    return Store(
        db,
        keep_snapshots=settings.store.keep_snapshots,
        compact_parts=settings.store.compact_parts,
        memory_limit=settings.run.memory_limit,
        threads=settings.run.threads,
    )


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
        What is made once and used by several strategies.
    """

    snapshot: Snapshot
    settings: Settings
    namespace: str = "main"
    as_of: np.datetime64 | None = None
    made: dict[str, Table] = field(default_factory=dict)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    _panels: dict[str, Panels] = field(default_factory=dict)

    def find(self, name: str) -> Table | None:
        """The table, None when it does not exist."""
        if name in self.made:
            return self.made[name]
        return self.snapshot.tables.get(("main" if name in RAW else self.namespace, name))

    def table(self, name: str) -> Table:
        """The table; InputError names it and the command that makes it when it does not exist."""
        found = self.find(name)
        if found is None:
            command = "kairos equity ingest" if name in RAW else f"kairos equity build {name}"
            raise InputError(f"table {name} does not exist in namespace {self.namespace}; run `{command}`")
        return found

    def facts_of_data(self, warnings: Sequence[str] = ()) -> dict[str, Any]:
        """What every report says about universe and data, `warnings` first."""
        raw = self.table("sep_base").meta.get("warnings", {})
        return {
            **self.table("universe").meta.get("facts", {}),
            "data_warnings": [*warnings, *(f"Prices: {what}: {count:,}" for what, count in raw.items())],
            "snapshot": self.snapshot.id,
            "namespace": self.namespace,
            "prices": self.table(PRICES).fingerprint,
        }

    def connect(self, *names: str) -> duckdb.DuckDBPyConnection:
        """A private DuckDB with a view for each named table that exists, cut at `as_of`."""
        con = self.snapshot.connect(self.namespace)
        for table in filter(None, map(self.find, names)):
            cut = self._cut(table)
            where = f" WHERE {quote(cut)} <= DATE '{self.as_of}'" if cut else ""
            rows = scan(table.names, [part.path for part in table.parts])
            con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(table.name)} AS {rows}{where}")
        return con

    def parts(self, name: str, columns: Iterable[str]) -> Iterator[pa.Table]:
        """The stored parts of a table one by one, rows in stored order, cut at `as_of`."""
        table = self.table(name)
        cut = self._cut(table)
        columns = list(columns)
        for part in table.parts:
            wanted = list(dict.fromkeys([*columns, *([cut] if cut else [])]))
            rows = pq.read_table(part.path, columns=wanted, read_dictionary=["ticker"])
            if cut and self.as_of is not None:
                rows = rows.filter(pc.less_equal(rows[cut], pa.scalar(self.as_of.item())))
            yield rows.select(columns)

    def read(self, name: str, columns: Iterable[str]) -> pa.Table:
        """The named columns of a table, rows in stored order, cut at `as_of`."""
        return pa.concat_tables(self.parts(name, columns)).unify_dictionaries()

    def panels(self, prices: str = PRICES) -> Panels:
        """Panels on the grid of a price table."""
        if prices not in self._panels:
            self._panels[prices] = Panels(self, prices)
        return self._panels[prices]

    @property
    def loaded(self) -> frozenset[str]:
        """Price tables whose grid is in use."""
        return frozenset(self._panels)

    def release(self) -> None:
        """Forget all panels and what was shared: they are read again when asked for."""
        self._panels.clear()
        self.shared.clear()

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
    """Columns of tables as panels on the grid of one price table, loaded once each."""

    def __init__(self, context: Context, prices: str = PRICES) -> None:
        self.context = context
        self.prices = prices
        self._loaded: dict[str, Array | None] = {}
        self._selected: dict[bytes, list[tuple[Ints, Ints | None, int]]] = {}

    @cached_property
    def frame(self) -> Frame:
        """The grid."""
        keys = list(self.context.parts(self.prices, ["ticker", "date"]))
        listings = self.context.read("listings", ["ticker", "listing", "first_session"])
        return build_frame(self.context.sessions, keys, listings)

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

    def get(self, name: str) -> Array | None:
        """The panel of ``"table.column"``, None when the table does not exist.

        Feature tables share the rows of ``sep_base_academic`` and are placed by position; other tables with
        the key (ticker, date) are placed by key, and their rows outside the grid are left out.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name) if self.context.find(name.partition(".")[0]) else None
        return self._loaded[name]

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
        for cell, value in self._cells(name, at >= 0):
            place(cell, value, at, values)
        return SomeRows(values, at)

    def _load(self, name: str) -> Array:
        panel = self.frame.empty()
        flat = panel.T.reshape(-1)
        for cell, value in self._cells(name):
            flat[cell] = value
        return panel

    def _cells(self, name: str, rows: Mask | None = None) -> Iterator[tuple[Ints, Array]]:
        """Cells and values of a column, part by part; with `rows` (T,) only those of some rows.

        Raises
        ------
        InputError
            The table or the column does not exist.
        WorkError
            A feature table has not the rows of the price base.
        """
        name, _, column = name.partition(".")
        table = self.context.table(name)
        if column not in table.names:
            raise InputError(f"table {name} has no column {column}; it has {', '.join(table.names)}")
        if name == self.prices or (self.prices == PRICES and name.startswith("feat_")):
            cells = self._stored_cells(rows)
            stored = self.context.parts(name, [column])
            if len(table.parts) != len(cells):
                raise _misaligned(name)
            for (cell, chosen, length), part in zip(cells, stored, strict=True):
                value = numbers(part[column])
                if len(value) != length:
                    raise _misaligned(name)
                yield cell, value if chosen is None else value[chosen]
            return
        wanted = None if rows is None else pa.array(self.frame.sessions[rows])
        for part in self.context.parts(name, dict.fromkeys(("ticker", "date", column))):
            kept = part if wanted is None else part.filter(pc.is_in(part["date"], value_set=wanted))
            names, code = encode(kept["ticker"])
            cell = self.frame.cells(names, code, dates(kept["date"]))
            inside = cell >= 0
            yield cell[inside], numbers(kept[column])[inside]

    def _stored_cells(self, rows: Mask | None) -> list[tuple[Ints, Ints | None, int]]:
        """Cells of the price base part by part, which rows of the part they are (None: all), of how many."""
        if rows is None or rows.all():
            return [(part.cell, None, len(part.cell)) for part in self.frame.parts]
        key = rows.tobytes()
        if key not in self._selected:
            T = len(rows)
            found: list[tuple[Ints, Ints | None, int]] = []
            for part in self.frame.parts:
                chosen = np.flatnonzero(rows[part.cell % T])
                found.append((part.cell[chosen], chosen, len(part.cell)))
            self._selected = {key: found}
        return self._selected[key]


def _misaligned(name: str) -> WorkError:
    return WorkError(
        f"table {name} has not the rows of {PRICES}: rebuild it with `kairos equity build {name} --force`"
    )
