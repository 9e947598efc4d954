"""Trading activity and range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import ratio, true_range
from kairos.equity.frame import Array, Inputs
from kairos.panel import lag, returns


class VolumeVolatilityParams(Params):
    """Windows in sessions."""

    week: int = 5
    range: int = 14
    month: int = 21


def columns(p: VolumeVolatilityParams) -> tuple[Column, ...]:
    """Volume, volatility, range, illiquidity."""
    return (
        Column("dollar_volume", "c · v, USD", dtype="DOUBLE"),
        Column(f"vol_zscore_{p.month}d", f"(v - mean_{p.month}(v)) / std_{p.month}(v); NULL when the window is constant"),
        Column("volume_pct_change_1d", "v / v₋₁ - 1; NULL when v₋₁ is 0"),
        Column(f"ret_std_{p.week}d", f"std_{p.week}(r), daily"),
        Column(f"ret_std_{p.month}d", f"std_{p.month}(r), daily"),
        Column(f"atr_{p.range}d", f"mean of the true range over {p.range} sessions", "Wilder (1978), simple mean", level=True),
        Column(f"amihud_{p.month}d", f"mean over {p.month} sessions of |r| / dollar volume; sessions without volume left out", "Amihud (2002)"),
    )  # fmt: skip


def compute(x: Inputs, p: VolumeVolatilityParams) -> Mapping[str, Array]:
    """Value at t from bars up to t."""
    c, v = x["close"], x["volume"]
    r, before = returns(x["closeadj"]), lag(v, 1)
    week, month = x.rolling(p.week), x.rolling(p.month)
    dollars = c * v
    return {
        "dollar_volume": dollars,
        f"vol_zscore_{p.month}d": ratio(v - month.mean(v), month.std(v)),
        "volume_pct_change_1d": ratio(v - before, before),
        f"ret_std_{p.week}d": week.std(r),
        f"ret_std_{p.month}d": month.std(r),
        f"atr_{p.range}d": x.rolling(p.range).mean(true_range(x["high"], x["low"], lag(c, 1))),
        f"amihud_{p.month}d": month.mean(ratio(np.abs(r), dollars)),
    }


TABLE = FeatureTable(
    name="feat_volume_volatility",
    doc="Dollar volume, unusual volume, daily volatility, average true range and price impact per dollar.",
    inputs=tuple(f"sep_base_academic.{c}" for c in ("high", "low", "close", "volume", "closeadj")),
    columns=columns,
    params=VolumeVolatilityParams,
    uses=("equity.windows",),
    history=lambda p, _: max(p.week, p.month, p.range) + 1,
    scope=Scope.TICKER,
    compute=compute,
)
