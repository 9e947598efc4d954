"""The regimes behind a result: bands on its chart, and what it earned in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from kairos.equity.backtest.inputs import REGIMES, regimes
from kairos.equity.backtest.result import BacktestResult
from kairos.evaluation.sharpe import sharpe_ratio, sharpe_se
from kairos.report.charts import BLUE, INK, ORANGE, Band
from kairos.report.page import Column, Section, Table

Labels = np.ndarray[Any, Any]
Dates = np.ndarray[Any, np.dtype[np.datetime64]]

SHADES = (
    ("_bull", BLUE, 0.10, 0.0, 1.0),
    ("_bear", ORANGE, 0.16, 0.0, 1.0),
    ("high_vol", INK, 0.5, 0.0, 0.025),
)
"""Part of a label, colour, opacity and place of its band."""


FEWEST = 20
"""Returns of which a yearly figure is told."""


def regimes_of(result: BacktestResult) -> Labels | None:
    """(T',) label of each session of the result; None when there is no table of regimes."""
    if not result.context.has(f"{REGIMES}.regime"):
        return None
    labels: Labels = regimes(result.context)[result.rows]
    return labels


def bands(sessions: Dates, labels: Labels) -> list[Band]:
    """Bands of rising and falling markets, and strips of high volatility; one for each unbroken stretch."""
    found = []
    for part, colour, opacity, low, high in SHADES:
        inside = np.array([part in label for label in labels.tolist()])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
        found += [
            Band(sessions[first], sessions[min(end, len(sessions) - 1)], colour, opacity, low, high)
            for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        ]
    return found


def regime_section(result: BacktestResult, labels: Labels | None) -> list[Section]:
    """Return and Sharpe ratio in each regime; the label is the one known at the close before a return."""
    if labels is None:
        return []
    before = labels[np.maximum(result.starts - 1, 0)]
    year = result.periods_per_year
    rows: list[list[Any]] = []
    for label in sorted(set(before.tolist())):
        inside = before == label
        ret, active = result.ret[inside], (result.ret - result.bench)[inside]
        some = inside.sum() >= FEWEST
        rows.append([
            label.replace("_", " "),
            int(inside.sum()),
            inside.mean(),
            ret.mean() * year if some else np.nan,
            result.bench[inside].mean() * year if some else np.nan,
            sharpe_ratio(ret, year) if some else np.nan,
            sharpe_se(ret, year) if some else np.nan,
            sharpe_ratio(active, year) if some and active.any() else np.nan,
            ret.min(),
        ])  # fmt: skip
    table = Table(
        columns=[
            Column("Regime"),
            Column(f"{'Rebalances' if result.per_rebalance else 'Sessions'}", "count"),
            Column("Share", "percent"),
            Column("Return a year", "percent", hint="mean · periods a year, not compounded"),
            Column("Benchmark", "percent"),
            Column("Sharpe", "ratio"),
            Column("± se", "ratio"),
            Column("Active Sharpe", "ratio"),
            Column("Worst", "percent"),
        ],
        rows=rows,
        caption="The standard error takes the returns of a regime as independent. Fewer than "
        f"{FEWEST} returns say nothing of a year.",
    )
    text = "Each return counts under the label that was known at the close before it. Returns are means, times the periods of a year."
    return [Section("By regime", text, [table])]
