"""The price base of all features."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params

VALUES = (
    Column("open", "split-adjusted", dtype="DOUBLE"),
    Column("high", "split-adjusted", dtype="DOUBLE"),
    Column("low", "split-adjusted", dtype="DOUBLE"),
    Column("close", "split-adjusted", dtype="DOUBLE"),
    Column("volume", "split-adjusted shares", dtype="DOUBLE"),
    Column("closeadj", "split- and dividend-adjusted (total return)", dtype="DOUBLE"),
    Column("closeunadj", "as traded", dtype="DOUBLE"),
)


def prices_of(context: Context, tickers: pa.Array) -> Iterator[pa.Table]:
    """All prices of the named tickers, in the parts of ``sep_base``."""
    for rows in context.parts("sep_base", ["ticker", "date", *(c.name for c in VALUES)]):
        yield rows.filter(pc.is_in(rows["ticker"].cast(pa.string()), tickers))


def make(context: Context, _: Params) -> Iterator[pa.Table]:
    """Prices of every ticker that is ever a member."""
    members = context.read("universe", ["ticker"])["ticker"].cast(pa.string())
    return prices_of(context, pc.unique(members.combine_chunks()))


TABLE = BaseTable(
    name="sep_base_academic",
    doc="All prices of every ticker that is ever a member of the universe. Every feature table has exactly "
    "these rows, in this order and in these parts.",
    inputs=("sep_base", "universe"),
    columns=lambda _: VALUES,
    key=("ticker", "date"),
    make=make,
)
