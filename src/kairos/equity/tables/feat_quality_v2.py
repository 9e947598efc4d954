"""Profitability and accruals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import over
from kairos.equity.frame import Array, Inputs
from kairos.panel import blend, clipped_z


class QualityParams(Params):
    """`ttm`: flows of four quarters, or of the single one. Ratios at or beyond `odd` are missing, then clipped."""

    ttm: bool = True
    roe_odd: float = 2.0
    roe_clip: float = 1.0
    roa_odd: float = 0.5
    roa_clip: float = 0.3
    accruals_clip: float = 1.0
    clip: float = 3.0


def columns(p: QualityParams) -> tuple[Column, ...]:
    """Ratios, their z and the composite."""
    of = "four quarters" if p.ttm else "the quarter"
    return (
        Column("computed_roe", f"netinc / equity, equity > 0, of {of}; NULL from ±{p.roe_odd:g}, clipped to ±{p.roe_clip:g}", "Novy-Marx (2013); Hou, Xue & Zhang (2015)", sign=1),
        Column("computed_roa", f"netinc / assets of {of}; NULL from ±{p.roa_odd:g}, clipped to ±{p.roa_clip:g}", "Balakrishnan, Bartov & Faurel (2010)", sign=1),
        Column("computed_accruals", f"(netinc - ncfo) / assets of {of}, clipped to ±{p.accruals_clip:g}", "Sloan (1996)", sign=-1),
        Column("roe_z", f"z(computed_roe) clipped to ±{p.clip:g}", sign=1),
        Column("roa_z", f"z(computed_roa) clipped to ±{p.clip:g}", sign=1),
        Column("accruals_z", f"z(-computed_accruals) clipped to ±{p.clip:g}", sign=1),
        Column("quality_composite_z", "mean of the three, a missing one counting as 0; NULL without any", "Asness, Frazzini & Pedersen (2019)", sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: QualityParams) -> Mapping[str, Array]:
    """Value at t from the report in force after the close of t."""
    flow = "" if p.ttm else "_q"
    income, cash = x[f"netinc{flow}"], x[f"ncfo{flow}"]
    roe = _bounded(over(income, x["equity"]), p.roe_odd, p.roe_clip)
    roa = _bounded(over(income, x["assets"]), p.roa_odd, p.roa_clip)
    accruals = _bounded(over(income - cash, x["assets"]), np.inf, p.accruals_clip)
    scores = [clipped_z(y, x.members, p.clip) for y in (roe, roa, -accruals)]
    return {
        "computed_roe": roe,
        "computed_roa": roa,
        "computed_accruals": accruals,
        **dict(zip(("roe_z", "roa_z", "accruals_z"), scores, strict=True)),
        "quality_composite_z": blend(scores, [1.0] * 3, 1, missing="neutral"),
    }


def _bounded(ratio: Array, odd: float, clip: float) -> Array:
    with np.errstate(invalid="ignore"):
        return np.clip(np.where(np.abs(ratio) >= odd, np.nan, ratio), -clip, clip)


TABLE = FeatureTable(
    name="feat_quality_v2",
    doc="Return on equity and on assets, and how much of the income is not cash; z-scores over the members of the "
    "date, and their composite.",
    inputs=(
        *(f"filings.{name}" for name in ("netinc", "ncfo", "netinc_q", "ncfo_q", "equity", "assets")),
        "sep_base_academic.member",
    ),
    columns=columns,
    params=QualityParams,
    history=lambda _, __: 0,
    scope=Scope.BOTH,
    compute=compute,
)
