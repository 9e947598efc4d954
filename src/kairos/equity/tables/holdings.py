"""Institutional holdings by quarter, as 13F reports made them known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa

from kairos.equity.companies import acts, company, register
from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.splice import first_session, spliced
from kairos.store import Part

REACH = 300
"""Days before the last day of filing in which three quarters end: the filers of two earlier ones decide, too."""

QUARTER = 92
"""Days of the longest quarter."""


class HoldingParams(Params):
    """How holdings are read.

    `delay`: calendar days from the end of a quarter to the day by which managers must have filed; the figures
    are used from the second session after it. `units`: the vendor's share counts are as ``reported``, or
    ``adjusted`` for later splits. `filers`: a quarter with a smaller share of the filers of the quarter before
    is partial. `max_age`: calendar days from the end of the quarter.
    """

    security: str = "SHR"
    delay: int = 45
    units: Literal["reported", "adjusted"] = "reported"
    filers: float = 0.7
    max_age: int = 200


COLUMNS = (
    Column("first_listing", "first listing of the ticker that the holdings are of", dtype="SMALLINT"),
    Column("last_listing", "last listing of the ticker that the holdings are of", dtype="SMALLINT"),
    Column("quarter", "end of the calendar quarter", dtype="DATE"),
    Column("inst_value", "value held, as the vendor has it; NULL in a partial quarter", dtype="DOUBLE"),
    Column("inst_shares", "shares held, as the vendor has them", dtype="DOUBLE"),
    Column("inst_num", "distinct investors", dtype="DOUBLE"),
    Column("value_before", "value held at the end of the calendar quarter before", dtype="DOUBLE"),
    Column("shares_before", "shares held then, on the split basis of this quarter's end", dtype="DOUBLE"),
    Column("num_before", "investors then", dtype="DOUBLE"),
)


def make(context: Context, p: HoldingParams, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """Holdings of each company and quarter beside those of the quarter before.

    A change in a quarter reaches the rows after it only, so the earlier ones are taken over.
    """
    row = first_session(context, renewal)
    since = context.sessions[row].item()
    quarters = since - dt.timedelta(days=p.delay + REACH) if row else dt.date.min
    former = company("s", "calendardate")
    basis = "1.0" if p.units == "adjusted" else "(now.factor / earlier.factor)"
    with context.connect("sf3", "sep_base", "tickers", "listings") as con:
        register(con, context)
        con.execute(
            f"""
            CREATE TEMP TABLE quarter AS
            SELECT s.ticker, s.calendardate AS quarter, {former} AS former, {acts(former)},
                   sum(value) AS inst_value, sum(units) AS inst_shares, count(DISTINCT investorname)::DOUBLE AS inst_num
            FROM sf3 s LEFT JOIN companies c USING (ticker)
            WHERE s.securitytype = $security AND s.calendardate >= $quarters GROUP BY ALL
            """,
            {"security": p.security, "quarters": quarters},
        )
        con.execute(
            """
            CREATE TEMP TABLE filers AS
            WITH everybody AS (
                SELECT calendardate AS quarter, count(DISTINCT investorname) AS filers FROM sf3
                WHERE securitytype = $security AND calendardate >= $quarters GROUP BY ALL)
            SELECT n.quarter, coalesce(n.filers < $filers * before.filers, FALSE) AS partial
            FROM everybody n LEFT JOIN everybody before ON before.quarter = last_day(n.quarter - INTERVAL 3 MONTH)
            """,
            {"security": p.security, "filers": p.filers, "quarters": quarters},
        )
        con.execute(
            f"""
            CREATE TEMP TABLE basis AS
            SELECT s.ticker, e.quarter, {company("s", "date")} AS former, arg_max(s.closeunadj / s.close, s.date) AS factor
            FROM (SELECT q.quarter, d.number AS last FROM (SELECT DISTINCT quarter FROM quarter) q
                  ASOF JOIN session_dates d ON q.quarter >= d.date) e
            JOIN session_dates d ON d.number BETWEEN e.last - $gap AND e.last
            JOIN sep_base s ON s.date = d.date LEFT JOIN companies c ON c.ticker = s.ticker GROUP BY ALL
            """,
            {"gap": context.settings.equity.listing.max_gap},
        )
        rows = con.sql(
            f"""
            WITH complete AS (SELECT q.* FROM quarter q JOIN filers f USING (quarter) WHERE NOT f.partial)
            SELECT q.ticker, u.date, q.first_listing, q.last_listing, q.quarter,
                   n.inst_value, n.inst_shares, n.inst_num, b.inst_value AS value_before,
                   b.inst_shares / {basis} AS shares_before, b.inst_num AS num_before
            FROM quarter q
            ASOF JOIN session_dates d ON q.quarter + $delay::INTEGER < d.date
            JOIN session_dates u ON u.number = d.number + 1
            LEFT JOIN complete n ON (n.ticker, n.former, n.quarter) = (q.ticker, q.former, q.quarter)
            LEFT JOIN complete b ON (b.ticker, b.former, b.quarter) = (n.ticker, n.former, last_day(n.quarter - INTERVAL 3 MONTH))
            LEFT JOIN basis now ON (now.ticker, now.former, now.quarter) = (n.ticker, n.former, n.quarter)
            LEFT JOIN basis earlier ON (earlier.ticker, earlier.former, earlier.quarter) = (b.ticker, b.former, b.quarter)
            WHERE u.date >= $since
            QUALIFY row_number() OVER (PARTITION BY q.ticker, q.former, u.date ORDER BY q.quarter DESC) = 1
            ORDER BY q.ticker, u.date, q.first_listing
            """,
            params={"delay": p.delay, "since": since},
        ).to_arrow_table()
    yield from spliced(context, renewal, rows, row, TABLE.key)


TABLE = BaseTable(
    name="holdings",
    doc="Shares held by institutions (SF3) by quarter. A row acts from the second session after the day by which "
    "13F reports are due, until the next one. Both quarters' shares are on one split basis. A quarter for which "
    "too few managers are there is partial and known to be nothing.",
    inputs=(
        "sf3",
        "sep_base.close",
        "sep_base.closeunadj",
        "tickers.firstpricedate",
        "listings.last",
        "sessions.session",
    ),
    columns=lambda _: COLUMNS,
    params=HoldingParams,
    uses=("equity.listing",),
    key=("ticker", "date", "first_listing"),
    meta=lambda p: {"acts": {"dated": "quarter", "max_age": p.max_age}},
    history=lambda p, gap: (p.max_age + QUARTER) * 252 // 365 + gap,  # the split basis a quarter before
    make=make,
)
