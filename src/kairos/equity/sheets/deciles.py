"""What the signal itself was worth on the decision dates: groups of the filtered names."""

from __future__ import annotations

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.errors import InputError
from kairos.evaluation.growth import wealth
from kairos.evaluation.quantiles import QuantilePortfolios, quantile_portfolios
from kairos.evaluation.significance import mean_test
from kairos.report import Estimate, charts
from kairos.report.page import Chart, Figure, Figures, Grid, Note, Quantity, Section

GROUPS = 10
TITLE = "Deciles of the signal"


def portfolios(result: BacktestResult) -> QuantilePortfolios:
    """Equal-weight portfolios of the filtered names by the signal, on the strategy's calendar and lag.

    Raises
    ------
    InputError
        No decision has a name to buy for every group.
    """
    run, engine = result.simulation, result.strategy.backtest
    first = run.decided[0].row
    market, rows = run.market, slice(first, run.last + 1)
    shape = (run.last + 1 - first, len(market.frame.tickers))
    signal, filtered = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    for decision in run.decided:
        if decision.row <= run.last:
            signal[decision.row - first] = run.signals.alpha[decision.row]
            filtered[decision.row - first, decision.eligible] = True
    value, priced = market.value[rows], market.priced[rows]
    moves = np.full(shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        moves[1:] = value[1:] / value[:-1] - 1.0
    row = np.arange(rows.start, rows.stop)[:, None]
    moves = np.where(priced | (row == market.settled), moves, np.nan)
    alive = row < market.settled
    return quantile_portfolios(
        signal, filtered, moves, alive, groups=GROUPS, every=engine.rebalance_every, lag=engine.lag
    )


def decile_section(result: BacktestResult) -> Section:
    """Return a year of each group, growth of the groups, and the spread of the top over the bottom one."""
    try:
        found = portfolios(result)
    except InputError as error:
        return Section(TITLE, blocks=[Note(f"There are no deciles: {error}.")])
    run, every = result.simulation, result.strategy.backtest.rebalance_every
    dates = run.market.frame.sessions[run.decided[0].row :][found.sessions]
    labels = [f"D{group + 1}" for group in range(GROUPS)]
    year, spread = SESSIONS_PER_YEAR, mean_test(found.spread, every)
    estimates = [
        Estimate(label, test.mean * year, test.low * year, test.high * year, test.t, test.n)
        for label, test in zip(labels, found.tests(every), strict=True)
    ]
    order = found.monotonicity()
    bounds = f"95%: {Quantity(spread.low * year, 'percent').text} to {Quantity(spread.high * year, 'percent').text}"
    split = result.strategy.backtest.out_of_sample_from
    mark = np.datetime64(split, "D") if split else None
    return Section(
        TITLE,
        "The filtered names of each decision in ten groups of equal count, D10 with the best signal; bought in "
        "equal weights with the strategy's lag, held and drifted until the next decision, before costs.",
        [
            Figures([
                Figure("D10 less D1, a year", Quantity(spread.mean * year, "percent"), bounds),
                Figure("t of the spread", Quantity(spread.t, "ratio"), f"Newey–West, {every} lags"),
                Figure("Order of the groups", Quantity(order.spearman, "ratio"), "rank correlation, 1 is perfect"),
            ]),
            Grid([
                Chart(
                    "Mean return a year",
                    charts.intervals(estimates, kind="percent"),
                    "Mean of the daily returns times 252, with 95% intervals.",
                    "Bars of the mean return of each group.",
                ),
                Chart(
                    "D10 less D1",
                    charts.equity_curve(dates, {"D10 less D1": wealth(found.spread)}, split=mark),
                    "Growth of 1 in the daily spread.",
                    "Line over time of the growth of the spread.",
                ),
            ]),
            Chart(
                "Growth of 1 by group",
                charts.groups(
                    dates,
                    {label: wealth(r) for label, r in zip(labels, found.returns.T, strict=True)},
                    split=mark,
                ),
                "From the lowest group (orange) to the highest (blue).",
                "Lines over time of the growth of each group.",
            ),
        ],
    )  # fmt: skip
