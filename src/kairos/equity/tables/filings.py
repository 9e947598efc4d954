"""Company reports as they were known: one row for each session on which a company had news."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa

from kairos.equity.companies import acts, company, register
from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.errors import InputError

FLOWS = ("netinc", "ncfo", "revenue", "gp", "ebit", "ebitda", "fcf")
STOCKS = ("equity", "assets", "debt", "tbvps", "currentratio")
GROWING = ("netinc", "revenue", "fcf")
PERIODS = 9
"""Fiscal quarters that a report is seen with: its own, and two years of earlier ones."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Days = np.ndarray[Any, np.dtype[np.int64]]


class FilingParams(Params):
    """Which reports count, and how they are matched in time; lengths in calendar days.

    `in_force`: of the reports known the one filed last (``datekey``; an amended old report is in force until
    the next filing), or the one of the latest period (``reportperiod``).
    """

    quarterly: str = "ARQ"
    trailing: str = "ART"
    in_force: Literal["datekey", "reportperiod"] = "datekey"
    max_age: int = 400
    quarter: tuple[int, int] = (75, 125)
    year: tuple[int, int] = (345, 385)


COLUMNS = (
    Column("first_listing", "first listing of the ticker that the report is of", dtype="SMALLINT"),
    Column("last_listing", "last listing of the ticker that the report is of", dtype="SMALLINT"),
    Column("datekey", "day of filing; the row acts from the session after it on", dtype="DATE"),
    Column("reportperiod", "end of the fiscal quarter", dtype="DATE"),
    *(Column(name, f"{name} of the quarterly report in force", dtype="DOUBLE") for name in STOCKS),
    *(Column(f"{name}_q", f"{name} of the fiscal quarter", dtype="DOUBLE") for name in FLOWS),
    *(Column(name, f"{name} of four quarters: the vendor's trailing figure, else the sum of four consecutive quarters", dtype="DOUBLE") for name in FLOWS),
    *(Column(f"{name}_1y", f"{name} of four quarters a fiscal year before, as known on the day of filing", dtype="DOUBLE") for name in GROWING),
    Column("equity_1y", "equity a fiscal year before, as known on the day of filing", dtype="DOUBLE"),
    Column("earnings_std_4q", "sample deviation of netinc over four consecutive quarters", dtype="DOUBLE"),
    Column("revenue_std_4q", "sample deviation of revenue over four consecutive quarters", dtype="DOUBLE"),
    Column("assets_mean_4q", "mean assets at the end of these quarters", dtype="DOUBLE"),
)  # fmt: skip


def make(context: Context, p: FilingParams, _: Renewal) -> Iterator[pa.Table]:
    """Reports in force, with what was known of earlier quarters on the day of filing."""
    for dimension in (p.quarterly, p.trailing):
        if not dimension.startswith("AR"):
            raise InputError(
                f"equity.tables.filings: dimension {dimension!r} holds restated figures, which nobody knew on the "
                "date they bear; use ARQ and ART (as reported)"
            )
    with context.connect("sf1", "tickers", "listings") as con:
        register(con, context)
        _versions(con, p)
        reports = con.sql("SELECT * FROM report ORDER BY id").to_arrow_table()
        known = con.sql("SELECT * FROM known ORDER BY id, reportperiod DESC").fetchnumpy()
    seen = Seen.of(reports.num_rows, known, p)
    values = {**_trailing(seen), **_year_before(seen), **_spread(seen)}
    yield pa.table({
        **{name: reports[name] for name in ("ticker", "date", "first_listing", "last_listing", "datekey", "reportperiod", *STOCKS)},
        **{name: pa.array(values.get(name, seen.quarter.get(name.removesuffix("_q"), [[]])[:, 0] if name.endswith("_q") else None), from_pandas=True)
           for name in (c.name for c in COLUMNS[4 + len(STOCKS):])},
    })  # fmt: skip


def _versions(con: duckdb.DuckDBPyConnection, p: FilingParams) -> None:
    """``report``: the reports in force, one for each company and usable session; ``known``: what each is seen with."""
    former = company("s", "datekey")
    fcf = "coalesce(fcf, ncfo + capex)"
    flows = ", ".join(fcf + " AS fcf" if name == "fcf" else name for name in FLOWS)
    latest = (
        ""
        if p.in_force == "datekey"
        else "QUALIFY reportperiod >= max(reportperiod) OVER (PARTITION BY ticker, former ORDER BY datekey, reportperiod)"
    )
    con.execute(
        f"""
        CREATE TEMP TABLE version AS
        SELECT s.ticker, s.dimension, s.datekey, s.reportperiod, s.lastupdated, {former} AS former, {acts(former)},
               {", ".join(STOCKS)}, {flows}
        FROM sf1 s LEFT JOIN companies c USING (ticker) WHERE s.dimension IN ($quarterly, $trailing);
        """,
        {"quarterly": p.quarterly, "trailing": p.trailing},
    )
    con.execute(
        f"""
        CREATE TEMP TABLE report AS
        SELECT row_number() OVER (ORDER BY ticker, date, former DESC) - 1 AS id, *
        FROM (
            SELECT v.*, d.date FROM (SELECT * FROM version WHERE dimension = $quarterly {latest}) v
            ASOF JOIN session_dates d ON v.datekey < d.date
            QUALIFY row_number() OVER (PARTITION BY v.ticker, former, d.date ORDER BY datekey DESC, reportperiod DESC, lastupdated DESC) = 1
        )
        """,
        {"quarterly": p.quarterly},
    )
    # the latest version of every period that was known on the day of filing
    con.execute(
        f"""
        CREATE TEMP TABLE known AS
        WITH newest AS (
            SELECT r.id, v.reportperiod,
                   arg_max(v, (v.datekey, v.lastupdated)) FILTER (v.dimension = $quarterly) AS q,
                   arg_max(v, (v.datekey, v.lastupdated)) FILTER (v.dimension = $trailing) AS t
            FROM report r JOIN version v ON v.ticker = r.ticker AND v.former = r.former
                 AND v.datekey <= r.datekey AND v.reportperiod BETWEEN r.reportperiod - 800 AND r.reportperiod
            GROUP BY ALL)
        SELECT id, reportperiod, {_fields("q", ("assets", "equity", *FLOWS))}, {_fields("t", FLOWS)}
        FROM newest WHERE q IS NOT NULL
        """,
        {"quarterly": p.quarterly, "trailing": p.trailing},
    )


def _fields(row: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{row}.{name} AS {row}_{name}" for name in names)


class Seen:
    """What each report is seen with: figures of its own fiscal quarter and of earlier ones, (F, PERIODS)."""

    def __init__(self, days: Days, quarter: Mapping[str, Floats], trailing: Mapping[str, Floats], p: FilingParams) -> None:
        self.days, self.quarter, self.trailing = days, quarter, trailing
        gap = days[:, :-1] - days[:, 1:]
        self.next = (days[:, 1:] > 0) & (gap >= p.quarter[0]) & (gap <= p.quarter[1])
        age = np.where(days > 0, np.abs(days[:, :1] - days - 365), 10_000)
        nearest = age.argmin(axis=1)
        since = days[:, 0] - days[np.arange(len(days)), nearest]
        inside = (since >= p.year[0]) & (since <= p.year[1]) & (age[np.arange(len(days)), nearest] < 10_000)
        self.year = np.where(inside, nearest, -1)

    @classmethod
    def of(cls, reports: int, known: Mapping[str, Any], p: FilingParams) -> Seen:
        """Spread the known periods of each report over columns, newest first."""
        ids = np.asarray(known["id"], dtype=np.int64)
        place = np.arange(len(ids)) - np.searchsorted(ids, ids)
        keep = place < PERIODS
        at = (ids[keep], place[keep])

        def matrix(values: Any, fill: float) -> Floats:
            room = np.full((reports, PERIODS), fill)
            room[at] = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)[keep]
            return room

        days = matrix(known["reportperiod"].astype("datetime64[D]").astype(np.int64), 0.0).astype(np.int64)
        quarter = {name: matrix(known[f"q_{name}"], np.nan) for name in ("assets", "equity", *FLOWS)}
        return cls(days, quarter, {name: matrix(known[f"t_{name}"], np.nan) for name in FLOWS}, p)

    def four(self, values: Floats, k: int) -> Floats:
        """(F, 4) values of the k-th period and the three before it; NaN unless the periods are consecutive."""
        found = np.full((len(values), 4), np.nan)
        width = min(4, PERIODS - k)
        if width == 4:
            unbroken = self.next[:, k : k + 3].all(axis=1)
            found[unbroken] = values[unbroken, k : k + 4]
        return found

    def of_four_quarters(self, name: str, k: int) -> Floats:
        """(F,) flow over the four quarters that end with the k-th period."""
        told = self.trailing[name][:, k]
        return np.where(np.isnan(told), self.four(self.quarter[name], k).sum(axis=1), told)


def _trailing(seen: Seen) -> dict[str, Floats]:
    return {name: seen.of_four_quarters(name, 0) for name in FLOWS}


def _year_before(seen: Seen) -> dict[str, Floats]:
    """Figures of the period a fiscal year before, where there is one."""
    found = {name: np.full(len(seen.year), np.nan) for name in (*GROWING, "equity")}
    for k in range(1, PERIODS):
        here = seen.year == k
        for name in GROWING:
            found[name][here] = seen.of_four_quarters(name, k)[here]
        found["equity"][here] = seen.quarter["equity"][here, k]
    return {f"{name}_1y": values for name, values in found.items()}


def _spread(seen: Seen) -> dict[str, Floats]:
    found = {"assets_mean_4q": seen.four(seen.quarter["assets"], 0).mean(axis=1)}
    for out, name in (("earnings_std_4q", "netinc"), ("revenue_std_4q", "revenue")):
        found[out] = seen.four(seen.quarter[name], 0).std(axis=1, ddof=1)
    return found


TABLE = BaseTable(
    name="filings",
    doc="The quarterly reports of the vendor (SF1) as they were known. A row acts on its company's sessions from "
    "`date`, the session after the filing, until the next row; when it is older than `max_age` days nothing is "
    "known. Flows are sums of four quarters; of every period the version filed last before the row's own filing "
    "counts. Restated dimensions (MR) are refused.",
    inputs=("sf1", "tickers.firstpricedate", "listings.last", "sessions.session"),
    columns=lambda _: COLUMNS,
    params=FilingParams,
    key=("ticker", "date", "first_listing"),
    meta=lambda p: {"acts": {"dated": "datekey", "max_age": p.max_age}},
    make=make,
)
