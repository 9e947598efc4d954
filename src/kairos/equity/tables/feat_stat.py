"""Distribution and path of prices and returns."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import flag, ratio
from kairos.equity.frame import Array, Inputs
from kairos.panel import returns


class StatParams(Params):
    """Windows in sessions; `oversold` is the z-score under which the flag is set."""

    short: int = 21
    long: int = 63
    year: int = 252
    oversold: float = -2.0


def columns(p: StatParams) -> tuple[Column, ...]:
    """z-scores, moments, drawdowns."""
    return (
        Column(f"close_zscore_{p.short}d", f"(c - mean_{p.short}(c)) / std_{p.short}(c); NULL when the window is constant"),
        Column(f"ret_1d_zscore_{p.short}d", f"r / std_{p.short}(r)"),
        Column(f"vol_{p.short}d", f"std_{p.short}(r), daily"),
        Column(f"skew_{p.long}d", f"bias-adjusted skewness of r over {p.long} sessions", "Joanes & Gill (1998), G1"),
        Column(f"kurt_{p.long}d", f"bias-adjusted excess kurtosis of r over {p.long} sessions", "Joanes & Gill (1998), G2"),
        Column(f"rolling_max_{p.short}d", f"highest c of {p.short} sessions", level=True),
        Column(f"max_drawdown_{p.long}d", f"worst fall of closeadj from a peak within {p.long} sessions, ≤ 0"),
        Column(f"max_drawdown_{p.year}d", f"worst fall of closeadj from a peak within {p.year} sessions, ≤ 0"),
        Column("dist_52w_high", f"c / max_{p.year}(h) - 1", "George & Hwang (2004)"),
        Column("mean_reversion_flag", f"1 when close_zscore_{p.short}d < {p.oversold:g}, else 0"),
    )  # fmt: skip


def compute(x: Inputs, p: StatParams) -> Mapping[str, Array]:
    """Value at t from prices up to t."""
    c, total = x["close"], x["closeadj"]
    r = returns(total)
    short, long, year = x.rolling(p.short), x.rolling(p.long), x.rolling(p.year)
    vol = short.std(r)
    zscore = ratio(c - short.mean(c), short.std(c))
    return {
        f"close_zscore_{p.short}d": zscore,
        f"ret_1d_zscore_{p.short}d": ratio(r, vol),
        f"vol_{p.short}d": vol,
        f"skew_{p.long}d": long.skew(r),
        f"kurt_{p.long}d": long.kurt(r),
        f"rolling_max_{p.short}d": short.max(c),
        f"max_drawdown_{p.long}d": long.drawdown(total),
        f"max_drawdown_{p.year}d": year.drawdown(total),
        "dist_52w_high": ratio(c, year.max(x["high"])) - 1.0,
        "mean_reversion_flag": flag(zscore < p.oversold, zscore),
    }


TABLE = FeatureTable(
    name="feat_stat",
    doc="Where the price stands in its recent distribution, the moments of daily total returns, and drawdowns.",
    inputs=("sep_base_academic.close", "sep_base_academic.high", "sep_base_academic.closeadj"),
    columns=columns,
    params=StatParams,
    uses=("equity.windows",),
    history=lambda p, _: max(p.short, p.long, p.year),
    scope=Scope.TICKER,
    compute=compute,
)
