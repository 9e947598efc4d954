"""Company reports as they were known: one row for each session on which a company had news."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa

from kairos.equity.companies import acts, company, register
from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.splice import first_session, spliced
from kairos.errors import InputError
from kairos.store import Part

FLOWS = ("netinc", "ncfo", "revenue", "gp", "ebit", "ebitda", "fcf")
STOCKS = ("equity", "assets", "debt", "tbvps", "currentratio")
GROWING = ("netinc", "revenue", "fcf")
PERIODS = 9
"""Fiscal quarters that a report is seen with: its own, and two years of earlier ones."""

CANDIDATES = PERIODS + 4
"""Periods that are looked at for them: some may not have been known yet."""

REACH = 800
"""Days that these periods lie back at most."""

SPAN = 1 << 20
"""More than there are days."""

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


def make(context: Context, p: FilingParams, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """Reports in force, with what was known of earlier quarters on the day of filing.

    A change in a report reaches the rows after its filing only, so the earlier ones are taken over.
    """
    row = first_session(context, renewal)
    for dimension in (p.quarterly, p.trailing):
        if not dimension.startswith("AR"):
            raise InputError(
                f"equity.tables.filings: dimension {dimension!r} holds restated figures, which nobody knew on the "
                "date they bear; use ARQ and ART (as reported)"
            )
    with context.connect("sf1", "tickers", "listings") as con:
        register(con, context)
        reports, quarterly, trailing = _read(
            con, p, context.sessions[row].item(), context.sessions[max(row - 1, 0)].item() if row else None
        )
    seen = Seen.of(reports, quarterly, trailing, p)
    values = {**_trailing(seen), **_year_before(seen), **_spread(seen)}
    values |= {f"{name}_q": seen.quarter[name][:, 0] for name in FLOWS}
    kept = ("ticker", "date", "first_listing", "last_listing", "datekey", "reportperiod", *STOCKS)
    computed = (c.name for c in COLUMNS[4 + len(STOCKS) :])
    rows = pa.table(
        {
            **{name: reports[name] for name in kept},
            **{name: pa.array(values[name], from_pandas=True) for name in computed},
        }
    )
    yield from spliced(context, renewal, rows, row, TABLE.key)


def _read(
    con: duckdb.DuckDBPyConnection, p: FilingParams, since: dt.date, filed: dt.date | None
) -> tuple[pa.Table, Versions, Versions]:
    """The reports in force, one for each company and usable session from `since` on, and all versions of all periods.

    With `filed` of companies that filed from that day on only: no other one can have such a session.
    """
    some = f"AND s.ticker IN (SELECT ticker FROM sf1 WHERE datekey >= DATE '{filed}')" if filed else ""
    former = company("s", "datekey")
    flows = ", ".join("coalesce(fcf, ncfo + capex) AS fcf" if name == "fcf" else name for name in FLOWS)
    con.execute(
        f"""
        CREATE TEMP TABLE version AS
        SELECT s.ticker, s.dimension, s.datekey, s.reportperiod, s.lastupdated, {former} AS former, {acts(former)},
               {", ".join(STOCKS)}, {flows},
               2 * (dense_rank() OVER (ORDER BY ticker) - 1) + {former}::INTEGER AS company
        FROM sf1 s LEFT JOIN companies c USING (ticker) WHERE s.dimension IN ($quarterly, $trailing) {some}
        """,
        {"quarterly": p.quarterly, "trailing": p.trailing},
    )
    newest = "reportperiod >= max(reportperiod) OVER (PARTITION BY company ORDER BY datekey, reportperiod)"
    latest = "" if p.in_force == "datekey" else f"QUALIFY {newest}"
    reports = con.sql(
        f"""
        SELECT v.*, d.date FROM (SELECT * FROM version WHERE dimension = $quarterly {latest}) v
        ASOF JOIN session_dates d ON v.datekey < d.date
        QUALIFY row_number() OVER (
            PARTITION BY company, d.date ORDER BY datekey DESC, reportperiod DESC, lastupdated DESC) = 1
            AND d.date >= $since
        ORDER BY v.ticker, d.date, v.first_listing
        """,
        params={"quarterly": p.quarterly, "since": since},
    ).to_arrow_table()
    order = "ORDER BY company, reportperiod, datekey, lastupdated"
    versions = [
        Versions.of(
            con.execute(f"SELECT * FROM version WHERE dimension = ? {order}", [dimension]).fetchnumpy()
        )
        for dimension in (p.quarterly, p.trailing)
    ]
    return reports, versions[0], versions[1]


@dataclass(frozen=True)
class Versions:
    """Versions of company reports, in the order of company, fiscal period and day of filing.

    Attributes
    ----------
    period : (V,) int
        Company and fiscal period, as one number.
    filed : (V,) int
        Day of filing.
    values : dict of (V,)
        Figures.
    """

    period: Days
    filed: Days
    values: Mapping[str, Floats]

    @classmethod
    def of(cls, rows: Mapping[str, Any]) -> Versions:
        """From the columns of a query."""
        values = {
            name: np.ma.filled(np.ma.asarray(rows[name], np.float64), np.nan)
            for name in ("assets", "equity", *FLOWS)
        }
        period = rows["company"].astype(np.int64) * SPAN + _days(rows["reportperiod"])
        return cls(period, _days(rows["datekey"]), values)

    def known(self, period: Days, day: Days) -> Days:
        """Position of the version of each period that was filed last up to a day, -1 where none was."""
        ids = np.unique(self.period)
        number = np.searchsorted(ids, self.period)
        wanted = np.minimum(np.searchsorted(ids, period), max(len(ids) - 1, 0))
        if not len(ids):
            return np.full(period.shape, -1)
        at = np.searchsorted(number * SPAN + self.filed, wanted * SPAN + day, side="right") - 1
        return np.where((at >= 0) & (self.period[np.maximum(at, 0)] == period), at, -1)


def _days(dates: Any) -> Days:
    return np.asarray(dates).astype("datetime64[D]").astype(np.int64)


class Seen:
    """What each report is seen with: figures of its own fiscal quarter and of earlier ones, (F, PERIODS)."""

    def __init__(
        self, days: Days, quarter: Mapping[str, Floats], trailing: Mapping[str, Floats], p: FilingParams
    ) -> None:
        self.days, self.quarter, self.trailing = days, quarter, trailing
        gap = days[:, :-1] - days[:, 1:]
        self.next = (days[:, 1:] > 0) & (gap >= p.quarter[0]) & (gap <= p.quarter[1])
        since = np.where(days > 0, days[:, :1] - days, 0)
        year = (since >= p.year[0]) & (since <= p.year[1])
        nearest = np.where(year, np.abs(since - 365), SPAN).argmin(axis=1)
        self.year = np.where(year.any(axis=1), nearest, -1)

    @classmethod
    def of(cls, reports: pa.Table, quarterly: Versions, trailing: Versions, p: FilingParams) -> Seen:
        """Of the periods up to each report's own the ones that were known on its day of filing, newest first."""
        company, day = reports["company"].to_numpy().astype(np.int64), _days(reports["datekey"])
        own = company * SPAN + _days(reports["reportperiod"])
        ids = np.unique(quarterly.period)
        back = np.searchsorted(ids, own)[:, None] - np.arange(CANDIDATES)
        period = ids[np.maximum(back, 0)]
        at = quarterly.known(period, day[:, None])
        at[(back < 0) | (period < own[:, None] - REACH)] = -1
        order = np.argsort(at < 0, axis=1, kind="stable")[:, :PERIODS]  # the known ones move up
        at, period = (np.take_along_axis(x, order, axis=1) for x in (at, period))
        told = np.where(at >= 0, trailing.known(period, day[:, None]), -1)
        days = np.where(at >= 0, period - company[:, None] * SPAN, 0)

        def taken(versions: Versions, name: str, rows: Days) -> Floats:
            return np.where(rows >= 0, np.append(versions.values[name], np.nan)[rows], np.nan)

        quarter = {name: taken(quarterly, name, at) for name in quarterly.values}
        return cls(days, quarter, {name: taken(trailing, name, told) for name in FLOWS}, p)

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
