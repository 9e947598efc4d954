"""The same strategy under other assumptions: the bridge from the manual's numbers, lags, costs, capitals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.report import Estimate, charts
from kairos.report.page import Chart, Column, Note, Quantity, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.evaluation.performance import Performance

WITHIN = 1.96
"""Standard errors to each side of an interval of 95 %."""


def bridge_section(result: BacktestResult) -> list[Section]:
    """From the manual's accounting to this engine's; nothing without one."""
    if result.bridge is None:
        return []
    labels = [label for label, _ in result.bridge.steps]
    found = [step for _, step in result.bridge.steps]
    annual, sharpe = np.array([s.annual_return for s in found]), np.array([s.sharpe for s in found])
    rows: list[list[Any]] = [
        [
            label,
            step.annual_return,
            change,
            step.sharpe,
            step.sharpe_se,
            more,
            step.volatility,
            step.max_drawdown,
        ]
        for label, step, change, more in zip(
            labels, found, np.diff(annual, prepend=np.nan), np.diff(sharpe, prepend=np.nan), strict=True
        )
    ]
    return [
        Section(
            "Bridge from the manual's numbers",
            "Every line corrects one thing more than the line above it; the last one is the strategy on this "
            "engine. All lines before it look ahead or leave costs out, and so do the other numbers of this page.",
            [
                Chart(
                    "Annual return",
                    charts.waterfall(labels, annual, kind="percent"),
                    "What each correction takes or gives; the last bar is what is left.",
                    "Waterfall of the annual return from the manual's accounting to this engine's.",
                ),
                Chart(
                    "Sharpe ratio",
                    charts.waterfall(labels, sharpe, kind="ratio"),
                    "The same for the Sharpe ratio.",
                    "Waterfall of the Sharpe ratio from the manual's accounting to this engine's.",
                ),
                Table(
                    columns=[
                        Column("Corrected"),
                        Column("Return a year", "percent"),
                        Column("Change", "percent"),
                        Column("Sharpe", "ratio"),
                        Column("± se", "ratio"),
                        Column("Change", "ratio"),
                        Column("Volatility", "percent"),
                        Column("Max drawdown", "percent"),
                    ],
                    rows=rows,
                    caption="Steps are cumulative: in another order each would have another size. Costs are "
                    "half-spread, impact, borrow and financing, and that a session trades only so much of a "
                    f"name's volume. Making the manual's universe took {result.bridge.seconds:.1f} s, less "
                    "where another run had made it.",
                ),
            ],
        )
    ]  # fmt: skip


def stress_section(result: BacktestResult) -> Section:
    """Other lags, costs and capitals; a line that says how to ask for it when it was not asked for."""
    title, stress = "Lags, costs, capacity", result.stress
    if stress is None:
        return Section(title, blocks=[Note("Not computed: kairos equity backtest … --stress runs the strategy at other lags, costs and capitals.")])  # fmt: skip
    capacity = "no capital tried halves it"
    if np.isnan(stress.capacity):
        capacity = "there is no Sharpe ratio above zero to halve"
    elif np.isfinite(stress.capacity):
        capacity = f"it halves at about {Quantity(stress.capacity / 1e6, 'number').text} M USD"
    smallest = next(iter(stress.capitals.values()))
    if 0.0 < smallest.sharpe < WITHIN * smallest.sharpe_se:
        capacity += ", but it is within its error of zero there, and so is what is said of its half"
    same = "" if result.bridge else " (this run)"  # a bridge ends at the engine that these runs are made on
    lag = result.strategy.backtest.lag
    lags = {f"lag {n}{same if n == lag else ''}": found for n, found in stress.lags.items()}
    costs = {f"costs × {x:g}{same if x == 1.0 else ''}": found for x, found in stress.costs.items()}
    capitals = {f"{amount / 1e6:g} M USD": p for amount, p in stress.capitals.items()}
    return Section(
        title,
        "The same strategy run again; everything not named is as "
        f"{'in the last line of the bridge' if result.bridge else 'in this run'}. These runs are no trials: nothing "
        "was chosen by them. A lag of 0 fills at the close that was decided on and looks ahead. Costs are half-spread, "
        "impact and borrow; financing and cash stay as configured.",
        [
            Chart(
                "Net Sharpe ratio against capital",
                charts.intervals(_estimates(capitals), kind="ratio"),
                f"With 95% intervals. Against the smallest capital: {capacity}.",
                "Bars of the net Sharpe ratio at each capital.",
            ),
            Table(
                title="Again at other assumptions",
                columns=[
                    Column("Run"),
                    Column("Return a year", "percent"),
                    Column("Sharpe", "ratio"),
                    Column("± se", "ratio"),
                    Column("Active Sharpe", "ratio"),
                    Column("Max drawdown", "percent"),
                    Column("Cost a year", "percent", digits=2),
                    Column("Turnover a year", "ratio"),
                ],
                rows=[
                    [label, p.annual_return, p.sharpe, p.sharpe_se, p.information_ratio, p.max_drawdown, p.cost_drag, p.turnover]
                    for label, p in {**lags, **costs, **capitals}.items()
                ],
            ),
        ],
    )  # fmt: skip


def _estimates(found: Mapping[str, Performance]) -> list[Estimate]:
    return [
        Estimate(label, p.sharpe, p.sharpe - WITHIN * p.sharpe_se, p.sharpe + WITHIN * p.sharpe_se)
        for label, p in found.items()
    ]
