"""Institutional ownership and its change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import ratio
from kairos.equity.frame import Array, Inputs
from kairos.panel import clipped_z, winsorise


class InstitutionalParams(Params):
    """Bound of the share flow; quantiles of the date to which it is winsorised before it is scored."""

    bound: float = 2.0
    lower: float = 0.01
    upper: float = 0.99
    clip: float = 3.0


def columns(p: InstitutionalParams) -> tuple[Column, ...]:
    """Holdings and flows."""
    source = "Gompers & Metrick (2001)"
    return (
        Column("inst_value", "value held by institutions, as the vendor has it", dtype="DOUBLE"),
        Column("inst_shares", "shares held by institutions, as the vendor has them", dtype="DOUBLE", level=True),
        Column("inst_num", "distinct investors"),
        Column("inst_flow_value_qoq", "inst_value / that of the calendar quarter before - 1", source, sign=1),
        Column("inst_flow_shares_qoq", f"inst_shares / those of the calendar quarter before - 1, on one split basis, within ±{p.bound:g}", source, sign=1),
        Column("inst_num_change", "investors less those of the calendar quarter before", "Chen, Hong & Stein (2002)", sign=1),
        Column("inst_z", f"z(inst_flow_shares_qoq winsorised at {p.lower:g} and {p.upper:g}) clipped to ±{p.clip:g}", source, sign=1),
    )  # fmt: skip


def compute(x: Inputs, p: InstitutionalParams) -> Mapping[str, Array]:
    """Value at t from the quarter whose reports were due by then."""
    flow = np.clip(ratio(x["inst_shares"], x["shares_before"]) - 1.0, -p.bound, p.bound)
    return {
        "inst_value": x["inst_value"],
        "inst_shares": x["inst_shares"],
        "inst_num": x["inst_num"],
        "inst_flow_value_qoq": ratio(x["inst_value"], x["value_before"]) - 1.0,
        "inst_flow_shares_qoq": flow,
        "inst_num_change": x["inst_num"] - x["num_before"],
        "inst_z": clipped_z(winsorise(flow, x.members, p.lower, p.upper), x.members, p.clip),
    }


TABLE = FeatureTable(
    name="feat_institutional_academic",
    doc="Shares held by institutions, how many hold them, and the change against the calendar quarter before.",
    inputs=(
        *(
            f"holdings.{name}"
            for name in (
                "inst_value",
                "inst_shares",
                "inst_num",
                "value_before",
                "shares_before",
                "num_before",
            )
        ),
        "sep_base_academic.member",
    ),
    columns=columns,
    params=InstitutionalParams,
    history=lambda _, __: 0,
    scope=Scope.BOTH,
    compute=compute,
)
