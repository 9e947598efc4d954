"""Price momentum and short-term reversal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.panel import blend, change, clipped_z, lag, winsorise


class MomentumParams(Params):
    """Sessions of a month, three, six and twelve; quantiles of the date for winsorising; weights of the composite."""

    month: int = 21
    quarter: int = 63
    half: int = 126
    year: int = 252
    lower: float = 0.005
    upper: float = 0.995
    clip: float = 3.0
    momentum_weight: float = 0.6
    reversal_weight: float = 0.4


def columns(p: MomentumParams) -> tuple[Column, ...]:
    """Momenta, reversal and the composite."""
    return (
        *(Column(name, f"closeadj_t / closeadj_{{t-{k}}} - 1", sign=sign) for name, k, sign in (("mom_1m", p.month, -1), ("mom_3m", p.quarter, 1), ("mom_6m", p.half, 1), ("mom_12m", p.year, 1))),
        Column("mom_12_1", f"closeadj_{{t-{p.month}}} / closeadj_{{t-{p.year}}} - 1", "Jegadeesh & Titman (1993)", sign=1),
        Column("reversal_1m", "-mom_1m", "Jegadeesh (1990)", sign=1),
        Column("momentum_composite_z", f"{p.momentum_weight:g}·z(mom_12_1) + {p.reversal_weight:g}·z(reversal_1m), winsorised at {p.lower:g} and {p.upper:g}, clipped to ±{p.clip:g}", sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: MomentumParams) -> Mapping[str, Array]:
    """Value at t from total-return prices up to t, the last ones within `max_gap` sessions."""
    total = x["closeadj"]

    def past(k: int) -> Array:
        return np.where(np.isfinite(total), change(total, k, within=x.max_gap), np.nan)

    def score(y: Array) -> Array:
        return clipped_z(winsorise(y, x.members, p.lower, p.upper), x.members, p.clip)

    month = past(p.month)
    skipping = np.where(
        np.isfinite(total), lag(change(total, p.year - p.month, within=x.max_gap), p.month), np.nan
    )
    weights = [p.momentum_weight, p.reversal_weight]
    return {
        "mom_1m": month,
        "mom_3m": past(p.quarter),
        "mom_6m": past(p.half),
        "mom_12m": past(p.year),
        "mom_12_1": skipping,
        "reversal_1m": -month,
        "momentum_composite_z": blend([score(skipping), score(-month)], weights, 1),
    }


TABLE = FeatureTable(
    name="feat_momentum_v2",
    doc="Total returns over one to twelve months, twelve months without the last one, and its opposite for the "
    "last one.",
    inputs=("sep_base_academic.closeadj", "sep_base_academic.member"),
    columns=columns,
    params=MomentumParams,
    uses=("equity.listing",),
    history=lambda p, gap: max(p.month, p.quarter, p.half, p.year) + gap,
    scope=Scope.BOTH,
    compute=compute,
)
