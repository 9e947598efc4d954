"""Growth against the year before."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import growth
from kairos.equity.frame import Array, Inputs
from kairos.panel import blend, clipped_z, winsorise

OF = {
    "revenue_growth_yoy": "revenue",
    "earnings_growth_yoy": "netinc",
    "fcf_growth_yoy": "fcf",
    "book_value_growth_yoy": "equity",
}


class GrowthParams(Params):
    """Quantiles of the date to which the growths are winsorised before they are scored."""

    lower: float = 0.01
    upper: float = 0.99
    clip: float = 3.0


def columns(p: GrowthParams) -> tuple[Column, ...]:
    """Growths and their composite."""
    return (
        *(
            Column(name, f"({of} - {of} a fiscal year before) / |{of} a fiscal year before|, of four quarters" if of != "equity" else "(equity - equity a fiscal year before) / |equity a fiscal year before|", "Lakonishok, Shleifer & Vishny (1994)", sign=sign)
            for (name, of), sign in zip(OF.items(), (-1, 1, 1, -1), strict=True)
        ),
        Column("growth_composite_z", f"mean of the z that exist of the growths winsorised at {p.lower:g} and {p.upper:g}, each clipped to ±{p.clip:g}", sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: GrowthParams) -> Mapping[str, Array]:
    """Value at t from the report in force after the close of t and that of the same fiscal period a year before."""
    growths = {name: growth(x[of], x[f"{of}_1y"]) for name, of in OF.items()}
    scores = [
        clipped_z(winsorise(g, x.members, p.lower, p.upper), x.members, p.clip) for g in growths.values()
    ]
    return {**growths, "growth_composite_z": blend(scores, [1.0] * len(scores), 1)}


TABLE = FeatureTable(
    name="feat_growth_v2",
    doc="Growth of revenue, earnings, free cash flow and book value against the report one fiscal year before, "
    "as both were known.",
    inputs=(
        *(f"filings.{of}{year}" for of in OF.values() for year in ("", "_1y")),
        "sep_base_academic.member",
    ),
    columns=columns,
    params=GrowthParams,
    history=lambda _, __: 0,
    scope=Scope.BOTH,
    compute=compute,
)
