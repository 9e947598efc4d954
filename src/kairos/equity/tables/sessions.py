"""The market's calendar as the data have it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.frame import dates, numbers
from kairos.errors import InputError

SPARSE = 0.1
"""A session with a smaller share of the usual number of prices is reported."""

COLUMNS = (
    Column("session", "number of the session, 0 = first session of the data", dtype="INTEGER"),
    Column("tickers", "tickers with a price on the session", dtype="INTEGER"),
)


def make(context: Context, _: Params, __: Renewal) -> Iterator[pa.Table]:
    """One row for every date on which any ticker has a price."""
    with context.connect("sep_base") as con:
        calendar = con.sql("""
            SELECT date, (row_number() OVER (ORDER BY date) - 1)::INTEGER AS session, tickers::INTEGER AS tickers
            FROM (SELECT date, count(*) AS tickers FROM sep_base GROUP BY date) ORDER BY date
        """).to_arrow_table()
    days, tickers = dates(calendar["date"]), numbers(calendar["tickers"])
    weekend = (days.astype(np.int64) + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    odd = days[weekend | (tickers < SPARSE * np.median(tickers))] if len(days) else days
    context.facts[TABLE.name] = {"odd": len(odd), "first_odd": str(odd[0]) if len(odd) else None}
    if not calendar.num_rows:
        raise InputError("sep_base holds no prices up to that date; `kairos equity ingest` loads them")
    yield calendar


TABLE = BaseTable(
    name="sessions",
    doc="The market's sessions: the dates on which any ticker has a price, numbered from 0. Windows, lags and "
    "horizons count these sessions, not the rows of a ticker.",
    inputs=("sep_base.close",),
    columns=lambda _: COLUMNS,
    key=("date",),
    make=make,
)
