"""Which company a ticker meant on a date, and the session on which something filed can be used."""

from __future__ import annotations

import duckdb
import numpy as np

from kairos.equity.context import ONE_ROW, Context

LAST = 32_767
"""Number behind every listing of a ticker."""


def register(con: duckdb.DuckDBPyConnection, context: Context) -> None:
    """Make the tables ``companies`` and ``session_dates`` for a query on filings.

    ``companies(ticker, begins, former)`` has the tickers that meant another company before: `former` is the
    number of the last listing that ended before today's company was listed on `begins` (``firstpricedate`` of
    the metadata). What is dated before `begins` acts on the listings 1..former, the rest on the others.
    Needs the tables tickers and listings in the connection.
    """
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE companies AS
        SELECT l.ticker, o.firstpricedate AS begins, max(l.listing)::SMALLINT AS former
        FROM listings l JOIN ({ONE_ROW}) o USING (ticker) WHERE l."last" < o.firstpricedate GROUP BY ALL
    """)
    days = context.sessions
    con.register("session_days", {"number": np.arange(len(days)), "date": days.astype("datetime64[s]")})
    con.execute("""
        CREATE OR REPLACE TEMP TABLE session_dates AS
        SELECT number::INTEGER AS number, date::DATE AS date FROM session_days ORDER BY date
    """)
    con.unregister("session_days")


def company(row: str, day: str) -> str:
    """SQL condition that a row, dated by `day`, belongs to the former company of its ticker (alias ``c``)."""
    return f"(c.former IS NOT NULL AND {row}.{day} < c.begins)"


def acts(former: str) -> str:
    """SQL of the first and the last listing that a row acts on."""
    return (
        f"CASE WHEN {former} THEN 1 ELSE coalesce(c.former, 0) + 1 END::SMALLINT AS first_listing, "
        f"CASE WHEN {former} THEN c.former ELSE {LAST} END::SMALLINT AS last_listing"
    )
