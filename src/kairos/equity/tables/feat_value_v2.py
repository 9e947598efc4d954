"""Value from the vendor's daily ratios."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import count_of, known_before
from kairos.equity.frame import Array, Inputs, Mask
from kairos.panel import blend, clipped_z, quantile_of


class ValueParams(Params):
    """Bounds of the ratios that are turned into yields, and the penalty of the cheapest names."""

    pe: tuple[float, float] = (0.0, 100.0)
    pb: tuple[float, float] = (0.0, 20.0)
    evebitda: tuple[float, float] = (0.0, 50.0)
    ps: tuple[float, float] = (0.0, 20.0)
    clip: float = 3.0
    cheapest: float = 0.9
    crowd: int = 100
    penalty: float = 1.0


YIELDS = {"earnings_yield": "pe", "book_yield": "pb", "ebitda_yield": "evebitda", "sales_yield": "ps"}


def columns(p: ValueParams) -> tuple[Column, ...]:
    """Yields and their composites."""
    sources = (
        "Basu (1977)",
        "Rosenberg, Reid & Lanstein (1985)",
        "Loughran & Wellman (2011)",
        "Barbee, Mukherji & Raines (1996)",
    )
    return (
        *(
            Column(name, f"1 / {of}(t-1) for {getattr(p, of)[0]:g} < {of} < {getattr(p, of)[1]:g}", source, sign=1)
            for (name, of), source in zip(YIELDS.items(), sources, strict=True)
        ),
        Column("value_composite_z", f"mean of the z of the yields that exist, each clipped to ±{p.clip:g}", "Asness, Moskowitz & Pedersen (2013)", sign=1),
        Column("value_quality_adj", f"value_composite_z - {p.penalty:g} for each yield at or above its {p.cheapest:g} quantile of the date (more than {p.crowd} names)", sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: ValueParams) -> Mapping[str, Array]:
    """Value at t from the ratios of the session before."""
    members, yields = x.members, {}
    for name, of in YIELDS.items():
        low, high = getattr(p, of)
        ratio = known_before(x[of], x.max_gap)
        with np.errstate(invalid="ignore", divide="ignore"):
            yields[name] = np.where((ratio > low) & (ratio < high), 1.0 / ratio, np.nan)
    composite = blend([clipped_z(y, members, p.clip) for y in yields.values()], [1.0] * len(yields), 1)
    penalties = [_cheapest(y, members, p) for y in yields.values()]
    return {
        **yields,
        "value_composite_z": composite,
        "value_quality_adj": composite - p.penalty * np.sum(penalties, axis=0),
    }


def _cheapest(y: Array, members: Mask, p: ValueParams) -> Array:
    """1 where a yield is among the highest of a date with enough names, else 0."""
    bound = np.where(count_of(y, members) > p.crowd, quantile_of(y, members, p.cheapest), np.inf)
    with np.errstate(invalid="ignore"):
        return (y >= bound[:, None]).astype(np.float64)


TABLE = FeatureTable(
    name="feat_value_v2",
    doc="Earnings, book, EBITDA and sales yields from the ratios of the session before, and a composite that "
    "distrusts the very cheapest names: they are often in distress.",
    inputs=(*(f"daily.{of}" for of in YIELDS.values()), "sep_base_academic.member"),
    columns=columns,
    params=ValueParams,
    uses=("equity.listing",),
    history=lambda _, gap: gap + 1,
    scope=Scope.BOTH,
    compute=compute,
)
