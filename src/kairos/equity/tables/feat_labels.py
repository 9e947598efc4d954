"""Sector and regime of every row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Coded, Column, FeatureTable, Params, Scope
from kairos.equity.frame import Inputs
from kairos.equity.sectors import coded
from kairos.equity.tables.regime_history_academic import REGIMES

COLUMNS = (
    Column("regime", "regime_history_academic.regime of the date", dtype="VARCHAR"),
    Column("sector", "today's sector in tickers, Unknown without one", dtype="VARCHAR"),
)


def compute(x: Inputs, _: Params) -> Mapping[str, Coded]:
    """The date's regime, known after its close, and the ticker's sector, which is always today's."""
    number = {label: float(i) for i, label in enumerate(REGIMES)}
    regime = np.array([number.get(label, np.nan) for label in x["regime"].tolist()])
    labels, sector = coded(x["sector"])
    shape = x.frame.shape
    return {
        "regime": Coded(np.asfortranarray(np.broadcast_to(regime[:, None], shape)), REGIMES),
        "sector": Coded(np.asfortranarray(np.broadcast_to(sector.astype(np.float64), shape)), labels),
    }


TABLE = FeatureTable(
    name="feat_labels",
    doc="The words by which rows are grouped: the market's regime, and the ticker's sector.",
    inputs=("regime_history_academic.regime", "tickers.sector"),
    columns=lambda _: COLUMNS,
    history=lambda _, __: 0,
    scope=Scope.TICKER,
    compute=compute,
)
