"""The manual's static universe list."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from kairos.equity.context import Context
from kairos.equity.declare import BaseTable, Column, Params, Renewal
from kairos.equity.universe import option_b_list

COLUMNS = (
    *(Column(name, f"today's {name} in tickers", dtype="VARCHAR") for name in ("name", "exchange", "category", "scalemarketcap")),
    Column("isdelisted", "today's flag in tickers", dtype="BOOLEAN"),
    Column("adv_60d", "mean dollar volume over equity.universe.adv_window sessions, USD", dtype="DOUBLE"),
    Column("last_close", "unadjusted close of the last session, USD", dtype="DOUBLE"),
)  # fmt: skip


def make(context: Context, _: Params, __: Renewal) -> Iterator[pa.Table]:
    """The list of the last session."""
    yield option_b_list(context)


TABLE = BaseTable(
    name="option_b",
    doc="The manual's Option B list as of the last session: today's domestic common stock on an eligible "
    "exchange in one of the configured size classes, with enough dollar volume and price. Nobody could have "
    "known it before.",
    inputs=("sep_base.close", "sep_base.volume", "sep_base.closeunadj", "tickers", "listings", "sessions"),
    columns=lambda _: COLUMNS,
    uses=("equity.universe", "equity.listing"),
    key=("ticker",),
    dated=None,
    make=make,
)
