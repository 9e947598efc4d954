"""Moving averages and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import ratio
from kairos.equity.frame import Array, Inputs
from kairos.panel import exponential, lag, warmup


class TrendParams(Params):
    """Windows and spans, in sessions. `base` is the average that the price is compared with."""

    sma: tuple[int, ...] = (5, 21, 50, 200)
    base: int = 21
    slope: int = 5
    fast: int = 12
    slow: int = 26
    signal: int = 9
    cross_fast: int = 50
    cross_slow: int = 200


def columns(p: TrendParams) -> tuple[Column, ...]:
    """Averages, distances, crossings."""
    return (
        *(Column(f"sma_{n}", f"mean of c over {n} sessions", level=True) for n in p.sma),
        *(Column(f"ema_{n}", f"recursive average of c, alpha 2/({n}+1), seeded with the first close", dtype="DOUBLE", level=True) for n in (p.fast, p.slow)),
        Column(f"price_vs_sma_{p.base}", f"(c - sma_{p.base}) / sma_{p.base}"),
        Column(f"sma_{p.base}_slope", f"sma_{p.base} - sma_{p.base} {p.slope} sessions ago", level=True),
        Column(f"sma_{p.cross_fast}_{p.cross_slow}_cross", f"sign(sma_{p.cross_fast} - sma_{p.cross_slow})"),
        Column("macd", f"ema_{p.fast} - ema_{p.slow}", "Appel (1979)", level=True),
        Column("macd_signal", f"recursive average of macd, alpha 2/({p.signal}+1)", "Appel (1979)", "DOUBLE", level=True),
        Column("macd_hist", "macd - macd_signal", "Appel (1979)", level=True),
    )  # fmt: skip


def compute(x: Inputs, p: TrendParams) -> Mapping[str, Array]:
    """Value at t from closes up to t; the recursive averages start with the listing."""
    c = x["close"]
    sma = {n: x.rolling(n).mean(c) for n in {*p.sma, p.base, p.cross_fast, p.cross_slow}}
    base = sma[p.base]
    fast, slow = (exponential(c, _alpha(n), known=x.known(f"ema_{n}")) for n in (p.fast, p.slow))
    macd = fast - slow
    signal = exponential(macd, _alpha(p.signal), known=x.known("macd_signal"))
    return {
        **{f"sma_{n}": sma[n] for n in p.sma},
        f"ema_{p.fast}": fast,
        f"ema_{p.slow}": slow,
        f"price_vs_sma_{p.base}": ratio(c - base, base),
        f"sma_{p.base}_slope": base - lag(base, p.slope),
        f"sma_{p.cross_fast}_{p.cross_slow}_cross": np.sign(sma[p.cross_fast] - sma[p.cross_slow]),
        "macd": macd,
        "macd_signal": signal,
        "macd_hist": macd - signal,
    }


def _alpha(span: int) -> float:
    return 2.0 / (span + 1.0)


def _warmup(p: TrendParams) -> int:
    """Prices after which less than 1e-9 of the seed is left; a ticker may trade as seldom as once in `gap`."""
    return warmup(_alpha(p.slow)) + warmup(_alpha(p.signal))


TABLE = FeatureTable(
    name="feat_trend",
    doc="Simple and recursive moving averages of the split-adjusted close, the distance of the price from them, "
    "their slope and crossings, and MACD.",
    inputs=("sep_base_academic.close",),
    columns=columns,
    params=TrendParams,
    uses=("equity.windows",),
    history=lambda p, gap: max(*p.sma, p.cross_slow, p.base + p.slope, gap * _warmup(p)),
    resumed=lambda p, gap: max(*p.sma, p.cross_slow, p.base + p.slope, gap),
    scope=Scope.TICKER,
    compute=compute,
)
