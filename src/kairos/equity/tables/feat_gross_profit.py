"""Gross profitability."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import over
from kairos.equity.frame import Array, Inputs

COLUMNS = (Column("gross_profitability", "gp of four quarters / assets", "Novy-Marx (2013)", sign=1),)


def compute(x: Inputs, _: Params) -> Mapping[str, Array]:
    """Value at t from the report in force after the close of t."""
    return {"gross_profitability": over(x["gp"], x["assets"])}


TABLE = FeatureTable(
    name="feat_gross_profit",
    doc="Gross profit over assets: what a company earns before it is managed.",
    inputs=("filings.gp", "filings.assets"),
    columns=lambda _: COLUMNS,
    history=lambda _, __: 0,
    scope=Scope.TICKER,
    compute=compute,
)
