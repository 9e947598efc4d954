"""Prices of the manual's Option B list."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Params
from kairos.equity.tables.sep_base_academic import VALUES, prices_of
from kairos.equity.universe import option_b_list


def make(context: Context, _: Params) -> Iterator[pa.Table]:
    """Prices of every ticker on the Option B list."""
    tickers = option_b_list(context)["ticker"].combine_chunks().cast(pa.string())
    context.facts[TABLE.name] = {"tickers": len(tickers)}
    yield from prices_of(context, tickers)


TABLE = BaseTable(
    name="sep_base_expanded",
    doc="All prices of the tickers on the Option B list (the static list of the last session, whatever the "
    "universe's mode). Only survivors are on that list: use it for look-ups, not for backtests.",
    inputs=("sep_base", "tickers", "listings", "sessions"),
    columns=lambda _: VALUES,
    uses=("equity.universe", "equity.listing"),
    key=("ticker", "date"),
    make=make,
)
