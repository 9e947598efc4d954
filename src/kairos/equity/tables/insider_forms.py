"""Open-market trades of insiders by the session on which their forms could be read."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from kairos.equity.companies import acts, company, register
from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.splice import first_session, spliced
from kairos.store import Part


class FormParams(Params):
    """Codes of purchases and sales on the open market."""

    bought: tuple[str, ...] = ("P",)
    sold: tuple[str, ...] = ("S",)


COLUMNS = (
    Column("first_listing", "first listing of the ticker that the forms are of", dtype="SMALLINT"),
    Column("last_listing", "last listing of the ticker that the forms are of", dtype="SMALLINT"),
    Column("buy_value", "value of the purchases, USD", dtype="DOUBLE"),
    Column("sell_value", "value of the sales, USD", dtype="DOUBLE"),
    Column("buy_count", "number of purchases", dtype="DOUBLE"),
    Column("sell_count", "number of sales", dtype="DOUBLE"),
)


def make(context: Context, p: FormParams, renewal: Renewal) -> Iterator[pa.Table | Part]:
    """Sums over the forms of each company and session; forms filed before the first session are left out."""
    row = first_session(context, renewal)
    since, filed = (context.sessions[max(i, 0)].item() for i in (row, row - 1))
    former = company("s", "filingdate")
    with context.connect("sf2", "tickers", "listings") as con:
        register(con, context)
        rows = con.sql(
            f"""
            WITH form AS (
                SELECT s.ticker, s.filingdate, {acts(former)}, list_contains($bought, s.transactioncode) AS bought,
                       abs(coalesce(transactionvalue, transactionshares * transactionpricepershare, 0)) AS worth
                FROM sf2 s LEFT JOIN companies c USING (ticker)
                WHERE s.filingdate >= $filed
                  AND (list_contains($bought, s.transactioncode) OR list_contains($sold, s.transactioncode)))
            SELECT f.ticker, d.date, f.first_listing, f.last_listing,
                   coalesce(sum(worth) FILTER (bought), 0.0) AS buy_value, coalesce(sum(worth) FILTER (NOT bought), 0.0) AS sell_value,
                   (count(*) FILTER (bought))::DOUBLE AS buy_count, (count(*) FILTER (NOT bought))::DOUBLE AS sell_count
            FROM form f ASOF JOIN session_dates d ON f.filingdate < d.date
            WHERE d.date >= $since
            GROUP BY ALL ORDER BY f.ticker, d.date, f.first_listing
            """,
            params={"bought": list(p.bought), "sold": list(p.sold), "since": since, "filed": filed},
        ).to_arrow_table()
    yield from spliced(context, renewal, rows, row, TABLE.key)


TABLE = BaseTable(
    name="insider_forms",
    doc="Purchases and sales of insiders on the open market (SF2), summed over the forms that could first be read "
    "on a session: the one after the filing.",
    inputs=("sf2", "tickers.firstpricedate", "listings.last", "sessions.session"),
    columns=lambda _: COLUMNS,
    params=FormParams,
    key=("ticker", "date", "first_listing"),
    meta=lambda _: {"events": True},
    make=make,
)
