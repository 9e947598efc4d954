"""Volatility for sizing positions."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.panel import returns


class VolSizingParams(Params):
    """Windows in sessions, and the weight of the short one in the blend."""

    short: int = 21
    long: int = 63
    weight: float = 0.5


def columns(p: VolSizingParams) -> tuple[Column, ...]:
    """Short, long, blend."""
    return (
        Column(f"vol_{p.short}", f"std_{p.short}(r), daily"),
        Column(f"vol_{p.long}", f"std_{p.long}(r), daily"),
        Column("vol_blend", f"{p.weight:g} · vol_{p.short} + {1 - p.weight:g} · vol_{p.long}, daily"),
    )


def compute(x: Inputs, p: VolSizingParams) -> Mapping[str, Array]:
    """Value at t from total returns up to t."""
    r = returns(x["closeadj"])
    short, long = x.rolling(p.short).std(r), x.rolling(p.long).std(r)
    return {
        f"vol_{p.short}": short,
        f"vol_{p.long}": long,
        "vol_blend": p.weight * short + (1.0 - p.weight) * long,
    }


TABLE = FeatureTable(
    name="feat_vol_sizing",
    doc="Daily volatility over one and three months and their blend; strategies divide by it.",
    inputs=("sep_base_academic.closeadj",),
    columns=columns,
    params=VolSizingParams,
    uses=("equity.windows",),
    history=lambda p, _: max(p.short, p.long),
    scope=Scope.TICKER,
    compute=compute,
)
