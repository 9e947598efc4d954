"""Market regimes: volatility, trend and dispersion against their own past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from kairos.equity.declare import Column, DateTable, Params
from kairos.equity.frame import Array, Inputs
from kairos.panel import change, expanding_quantile, lag, quantile_of, returns, std_of

VOLATILITY = ("low_vol", "normal_vol", "high_vol")
TREND = ("bear", "neutral", "bull")
DISPERSION = ("low_dispersion", "high_dispersion")
REGIMES = tuple(f"{vol}_{trend}" for vol in VOLATILITY for trend in TREND)
"""Nine labels; split one at the last underscore."""


class RegimeParams(Params):
    """Windows in sessions, quantiles of the labels, and the sessions that an expanding quantile needs.

    `lookback`: ``expanding`` compares a session with those before it; ``full_sample`` with all, the future
    included, and exists for comparison only.
    """

    volatility: int = 21
    trend: int = 60
    low: float = 0.33
    high: float = 0.66
    min_obs: int = 252
    lookback: Literal["expanding", "full_sample"] = "expanding"


def columns(p: RegimeParams) -> tuple[Column, ...]:
    """Measures, bounds and labels."""
    over = "the sessions up to t-1" if p.lookback == "expanding" else "ALL sessions, the future included"
    return (
        Column("vol", f"median over the members of t-1 of std_{p.volatility}(r)", dtype="DOUBLE"),
        Column("trend", f"median over the members of t-1 of their return over {p.trend} sessions, last prices within equity.listing.max_gap sessions", dtype="DOUBLE"),
        Column("dispersion", "deviation of r_t over the members of t-1", dtype="DOUBLE"),
        Column("vol_regime", f"vol below the {p.low:g} or above the {p.high:g} quantile over {over}", dtype="VARCHAR"),
        Column("trend_regime", f"trend below the {p.low:g} or above the {p.high:g} quantile over {over}", dtype="VARCHAR"),
        Column("dispersion_regime", f"dispersion above the median over {over}, or not", dtype="VARCHAR"),
        Column("regime", "vol_regime and trend_regime, joined by an underscore", dtype="VARCHAR"),
    )  # fmt: skip


def measure(x: Inputs, p: RegimeParams) -> Mapping[str, Array]:
    """Value at t from returns up to t, over the members of the session before."""
    total, known = x["closeadj"], lag(x.members, 1)
    r, path = returns(total), change(total, p.trend, within=x.max_gap)
    return {
        "vol": quantile_of(x.rolling(p.volatility).std(r), known, 0.5),
        "trend": quantile_of(path, known, 0.5),
        "dispersion": std_of(r, known),
    }


def derive(s: Mapping[str, Any], p: RegimeParams) -> Mapping[str, Any]:
    """Labels of t from the measures up to t."""
    vol = _label(s["vol"], (p.low, p.high), VOLATILITY, p)
    trend = _label(s["trend"], (p.low, p.high), TREND, p)
    both = [f"{a}_{b}" if a and b else None for a, b in zip(vol, trend, strict=True)]
    return {
        "vol_regime": vol,
        "trend_regime": trend,
        "dispersion_regime": _label(s["dispersion"], (0.5,), DISPERSION, p),
        "regime": np.array(both, dtype=object),
    }


def _label(values: Array, levels: tuple[float, ...], words: tuple[str, ...], p: RegimeParams) -> Any:
    """Word by the number of bounds that a value exceeds (of the first one: does not fall below)."""
    if p.lookback == "expanding":
        bounds = [expanding_quantile(values, level, p.min_obs) for level in levels]
    else:
        bounds = [np.full(len(values), np.nanquantile(values, level)) for level in levels]
    known = np.isfinite(values) & np.isfinite(bounds[0])
    number = (values > bounds[-1]).astype(np.int64)
    if len(levels) == 2:
        number += values >= bounds[0]
    found = np.array(words, dtype=object)[number]
    found[~known] = None
    return found


def in_sample(p: RegimeParams) -> str:
    """What a label knows of the future."""
    return "labels each session against the whole sample" if p.lookback == "full_sample" else ""


TABLE = DateTable(
    name="regime_history_academic",
    doc="The state of the market on each session: how volatile it is, where it trends, how far its names are "
    "apart, each against its own past. The label of t is known after the close of t.",
    inputs=("sep_base_academic.closeadj", "sep_base_academic.member"),
    columns=columns,
    params=RegimeParams,
    uses=("equity.listing", "equity.windows"),
    history=lambda p, gap: max(p.volatility, p.trend + gap) + 1,
    measure=measure,
    derive=derive,
    ahead=in_sample,
)
