"""Tangible book value against price."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import ratio
from kairos.equity.frame import Array, Inputs
from kairos.panel import winsorise, z


class TangibleParams(Params):
    """Quantiles of the date to which the raw value is winsorised before it is scored."""

    lower: float = 0.01
    upper: float = 0.99


def columns(p: TangibleParams) -> tuple[Column, ...]:
    """Raw value and its z."""
    return (
        Column("value_raw", "tbvps / close: tangible book value a share over price, both on today's split basis; negative stays negative", "Fama & French (1992)", sign=1),
        Column("value_z", f"z(value_raw winsorised at {p.lower:g} and {p.upper:g})", sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: TangibleParams) -> Mapping[str, Array]:
    """Value at t from the report in force and the close of t.

    The vendor adjusts per-share figures for later splits, as it does `close`; the basis cancels.
    """
    raw = ratio(x["tbvps"], x["close"])
    return {"value_raw": raw, "value_z": z(winsorise(raw, x.members, p.lower, p.upper), x.members)}


TABLE = FeatureTable(
    name="feat_value",
    doc="Tangible book value a share, as filed and adjusted for splits, over the split-adjusted close.",
    inputs=("filings.tbvps", "sep_base_academic.close", "sep_base_academic.member"),
    columns=columns,
    params=TangibleParams,
    history=lambda _, __: 0,
    scope=Scope.BOTH,
    compute=compute,
)
