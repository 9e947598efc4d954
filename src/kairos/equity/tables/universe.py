"""The universe: which tickers a strategy may know about on a date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params
from kairos.equity.universe import PRICES, configured

COLUMNS = (
    Column("adv_60", "mean of close · volume over equity.universe.adv_window sessions, USD", dtype="DOUBLE"),
    Column("price", "unadjusted close, USD", dtype="DOUBLE"),
    Column("marketcap", "marketcap(t-1) · c_t / c_{t-1}, USD; NULL without daily", dtype="DOUBLE"),
)


def make(context: Context, _: Params) -> Iterator[pa.Table]:
    """One row for every member and session."""
    found = configured(context)
    context.facts["universe"] = found.facts
    frame = context.panels(PRICES).frame
    for part in frame.parts:
        rows = np.flatnonzero(frame.gather(found.member, part))
        keys = part.keys.take(rows)
        if keys.num_rows:
            values = {"adv_60": found.adv, "price": found.price, "marketcap": found.marketcap}
            yield pa.table({
                "ticker": keys["ticker"],
                "date": keys["date"],
                **{name: pa.array(frame.gather(panel, part)[rows], from_pandas=True) for name, panel in values.items()},
            })  # fmt: skip


TABLE = BaseTable(
    name="universe",
    doc="Members of the universe. Point in time: a row for every session on which the rules held, by what was "
    "known after its close, tickers that were delisted later included. Option B: the static list of the last "
    "session applied to all history, which only survivors are on.",
    inputs=("sep_base.close", "sep_base.volume", "sep_base.closeunadj", "tickers", "listings", "sessions"),
    optional=("daily.marketcap",),
    columns=lambda _: COLUMNS,
    uses=("equity.universe", "equity.listing"),
    files=lambda settings: (
        (Path(settings.equity.universe.file),) if settings.equity.universe.mode == "file" else ()
    ),
    key=("ticker", "date"),
    make=make,
)
