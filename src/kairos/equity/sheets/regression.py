"""The returns of a backtest on factors that the user names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.factors import align
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.errors import InputError
from kairos.evaluation.regression import factor_regression, rolling_regression
from kairos.evaluation.significance import lag_rule
from kairos.report import charts
from kairos.report.page import Chart, Column, Figure, Figures, Note, Quantity, Section, Table

if TYPE_CHECKING:
    from kairos.equity.backtest.factors import Aligned, Dates, Factors
    from kairos.equity.frame import Array

TITLE = "Factors of the market"
WINDOW = 126
"""Sessions of the moving regression."""


def regression_section(result: BacktestResult, factors: Factors | None) -> list[Section]:
    """Loadings of the daily net returns on the factors, and what is left; nothing without a file.

    Where there is no regression (no shared session, too few, collinear factors) the section says why: the
    run is stored by then, and the rest of its report is as good as without factors.
    """
    if factors is None:
        return []
    try:
        return [_regression(result, factors)]
    except InputError as error:
        return [Section(TITLE, blocks=[Note(f"There is no regression: {error}.")])]


def _regression(result: BacktestResult, factors: Factors) -> Section:
    daily = result.simulation.scaled.ret[result.rows]
    found = align(factors, result.simulation.market.frame.sessions[result.rows])
    excess = daily[found.rows] - (0.0 if result.strategy.neutral else found.risk_free)
    lags = lag_rule(len(excess))
    fit = factor_regression(excess, found.values, found.names, SESSIONS_PER_YEAR, lags)
    funded = "" if result.strategy.neutral else ", less the risk-free rate"
    return Section(
        TITLE,
        f"Daily net returns{funded}, on the factors of the file, by least squares, with errors that allow "
        f"for autocorrelation over {lags} sessions. {found.said}",
        [
            Figures([
                Figure("Alpha a year", Quantity(fit.alpha, "percent"), f"t {Quantity(fit.alpha_t, 'ratio').text}"),
                Figure("R²", Quantity(fit.r2, "percent"), "explained by the factors"),
                Figure("Residual volatility", Quantity(fit.residual_volatility, "percent"), "a year"),
                Figure("Sessions", Quantity(fit.sessions, "count")),
            ]),
            Table(
                columns=[
                    Column("Factor"),
                    Column("Loading", "ratio"),
                    Column("± se", "ratio"),
                    Column("t", "ratio"),
                    Column("p", "p_value"),
                    Column("Earned a year", "percent", hint="loading times the factor's mean return"),
                ],
                rows=[
                    ["Alpha", Quantity(fit.alpha, "percent"), Quantity(fit.alpha_se, "percent"), fit.alpha_t, fit.alpha_p, fit.alpha],
                    *(
                        [*row, row[1] * mean * SESSIONS_PER_YEAR]
                        for row, mean in zip(
                            zip(fit.names, fit.beta, fit.beta_se, fit.beta_t, fit.beta_p, strict=True),
                            found.values.mean(axis=0).tolist(),
                            strict=True,
                        )
                    ),
                    ["Sum", None, None, None, None, float(np.mean(excess)) * SESSIONS_PER_YEAR],
                ],
            ),
            Note("Newey–West errors, probabilities from the normal distribution."),
            *_rolling(excess, found, result.simulation.market.frame.sessions[result.rows][found.rows]),
        ],
    )  # fmt: skip


def _rolling(excess: Array, found: Aligned, sessions: Dates) -> list[Chart]:
    """Loadings over a moving window; nothing where the history is hardly longer than one."""
    if len(excess) < 2 * WINDOW:
        return []
    fit = rolling_regression(excess, found.values, found.names, WINDOW, SESSIONS_PER_YEAR)
    full = slice(WINDOW - 1, None)
    loadings = {name: column[full] for name, column in zip(found.names, fit.beta.T, strict=True)}
    return [
        Chart(
            "Loadings over time",
            charts.lines(sessions[full], loadings, kind="ratio", zero=True),
            f"Each from the last {WINDOW} sessions up to a close.",
            f"Lines over time of the loadings on {', '.join(found.names)}.",
        )
    ]
