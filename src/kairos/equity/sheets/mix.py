"""The parts of a mix over time."""

from __future__ import annotations

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.evaluation.performance import performance
from kairos.report import charts
from kairos.report.page import Chart, Column, Section, Table


def mix_section(result: BacktestResult) -> list[Section]:
    """Share of each part at each decision, and the parts by themselves; nothing for a strategy alone."""
    run, strategy = result.simulation, result.strategy
    names = strategy.mix.strategies
    if not names:
        return []
    rows = [decision.row for decision in run.decided]
    labels = [run.signals.regime_in_force(row, strategy.mix.confirm) for row in rows]
    shares = np.array([strategy.mix.weights[label] for label in labels])
    changes = int((np.diff(shares, axis=0) != 0.0).any(axis=1).sum())
    figure = charts.lines(
        run.market.frame.sessions[rows],
        {name: shares[:, k] for k, name in enumerate(names)},
        kind="percent",
        zero=True,
    )
    figure.update_traces(line_shape="hv")
    table = Table(
        title="The parts by themselves",
        columns=[
            Column("Part"),
            Column("Share, mean", "percent"),
            Column("Return a year", "percent"),
            Column("Sharpe", "ratio"),
            Column("± se", "ratio"),
            Column("Max drawdown", "percent"),
        ],
        rows=[
            [name, shares[:, k].mean(), own.annual_return, own.sharpe, own.sharpe_se, own.max_drawdown]
            for k, name in enumerate(names)
            for own in [
                performance(
                    run.parts[k].scaled.ret[result.rows],
                    run.market.frame.sessions[result.rows],
                    SESSIONS_PER_YEAR,
                )
            ]
        ],
        caption="Daily net returns of each part's scaled book over the sessions of the mix, with its own costs.",
    )
    return [
        Section(
            "The mix",
            f"Shares by the regime of the decision date; they changed at {changes:,} of {len(rows):,} decisions. "
            "Trades of the parts are netted before they are charged.",
            [
                Chart(
                    "Shares",
                    figure,
                    "Weight of each part's scaled book at each decision.",
                    f"Lines over time of the shares of {', '.join(names)}.",
                ),
                table,
            ],
        )
    ]
