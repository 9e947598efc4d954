"""The shape of the day's bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import ratio
from kairos.equity.frame import Array, Inputs
from kairos.panel import lag

COLUMNS = (
    Column("body_size", "|c - o|", level=True),
    Column("upper_wick", "h - max(o, c)", level=True),
    Column("lower_wick", "min(o, c) - l", level=True),
    Column("candle_range", "h - l", level=True),
    Column("body_pct_of_range", "|c - o| / (h - l); NULL on a flat bar"),
    Column("upper_wick_pct", "(h - max(o, c)) / (h - l); NULL on a flat bar"),
    Column("lower_wick_pct", "(min(o, c) - l) / (h - l); NULL on a flat bar"),
    Column("gap_open", "o - c₋₁", level=True),
    Column("gap_pct", "o / c₋₁ - 1"),
)


def compute(x: Inputs, _: Params) -> Mapping[str, Array]:
    """Value at t from the bar of t and the close before."""
    o, h, l, c = x["open"], x["high"], x["low"], x["close"]  # noqa: E741 - the field's letters
    before = lag(c, 1)
    body, span = np.abs(c - o), h - l
    upper, lower = h - np.maximum(o, c), np.minimum(o, c) - l
    return {
        "body_size": body,
        "upper_wick": upper,
        "lower_wick": lower,
        "candle_range": span,
        "body_pct_of_range": ratio(body, span),
        "upper_wick_pct": ratio(upper, span),
        "lower_wick_pct": ratio(lower, span),
        "gap_open": o - before,
        "gap_pct": ratio(o - before, before),
    }


TABLE = FeatureTable(
    name="feat_price_shape",
    doc="Body, wicks and gap of the day's split-adjusted bar.",
    inputs=tuple(f"sep_base_academic.{c}" for c in ("open", "high", "low", "close")),
    columns=lambda _: COLUMNS,
    history=lambda _, __: 1,
    scope=Scope.TICKER,
    compute=compute,
)
