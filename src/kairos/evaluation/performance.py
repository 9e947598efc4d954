"""The headline numbers of a strategy, from its series of net returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.evaluation.arrays import complete_series, ratio, session_dates
from kairos.evaluation.growth import annual_return, total_return, worst_drawdown
from kairos.evaluation.risk import beta, calmar, excess_kurtosis, hit_rate, skewness, sortino, volatility
from kairos.evaluation.sharpe import sharpe_ratio, sharpe_se

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Performance:
    """The headline numbers of a strategy. NaN is a number that was not asked for or is not defined.

    Attributes
    ----------
    start, end : numpy.datetime64
        First and last date of the series.
    sessions : int
        Number of returns.
    periods_per_year : float
        The annualisation used throughout.
    total_return, annual_return : float
        Compounded.
    volatility, sharpe, sharpe_se, sortino, calmar : float
        Annualised; see the functions of the same names.
    max_drawdown : float
        ≤ 0; ``drawdown_peak`` (None: the start), ``drawdown_trough``, ``drawdown_recovery`` (None: not yet)
        and ``drawdown_sessions`` say when and for how long.
    hit_rate, best, worst, skewness, excess_kurtosis : float
        Of single returns, not annualised.
    turnover : float
        Sum of |Δw| a year.
    cost_drag : float
        Sum of the costs a year, as a fraction of capital.
    n_positions, gross, net : float
        Averages over the sessions.
    beta, active_return, tracking_error, information_ratio : float
        Against the benchmark: cov/var; mean(r − b)·periods_per_year (arithmetic, so that it is the product of
        the other two); std(r − b)·√periods_per_year; and their ratio.
    """

    start: np.datetime64
    end: np.datetime64
    sessions: int
    periods_per_year: float
    total_return: float
    annual_return: float
    volatility: float
    sharpe: float
    sharpe_se: float
    sortino: float
    calmar: float
    max_drawdown: float
    drawdown_peak: np.datetime64 | None
    drawdown_trough: np.datetime64 | None
    drawdown_recovery: np.datetime64 | None
    drawdown_sessions: int
    hit_rate: float
    best: float
    worst: float
    skewness: float
    excess_kurtosis: float
    turnover: float
    cost_drag: float
    n_positions: float
    gross: float
    net: float
    beta: float
    active_return: float
    tracking_error: float
    information_ratio: float

    def as_dict(self) -> dict[str, float | int | str | None]:
        """Every number by name, dates as ISO text: ready for JSON or a row of the run ledger."""
        return {
            name: str(value) if isinstance(value, np.datetime64) else value
            for name, value in asdict(self).items()
        }


def performance(
    returns: npt.ArrayLike,
    dates: npt.ArrayLike,
    periods_per_year: float,
    *,
    risk_free: npt.ArrayLike | None = None,
    turnover: npt.ArrayLike | None = None,
    cost: npt.ArrayLike | None = None,
    gross: npt.ArrayLike | None = None,
    net: npt.ArrayLike | None = None,
    n_positions: npt.ArrayLike | None = None,
    benchmark: npt.ArrayLike | None = None,
) -> Performance:
    """All headline numbers of a strategy's net returns.

    Parameters
    ----------
    returns : (T,)
        Simple net returns.
    dates : (T,)
        Session at whose close each return is known.
    periods_per_year : float
        Sessions a year of the series.
    risk_free : (T,), optional
        Risk-free return of each period, subtracted in the Sharpe ratio and its standard error only.
    turnover, cost : (T,), optional
        Of each session: sum of |Δw|, and what trading cost as a fraction of capital (0 without a trade).
    gross, net, n_positions : (T,), optional
        Book at each close.
    benchmark : (T,), optional
        Returns of the benchmark over the same sessions.

    Raises
    ------
    InputError
        A series is empty, of another length or has a missing value; dates are out of order; a return is
        below −1.

    Examples
    --------
    >>> stats = performance([0.01, -0.02, 0.03], ["2020-01-02", "2020-01-03", "2020-01-06"], 252)
    >>> round(stats.total_return, 6), round(stats.max_drawdown, 6), str(stats.drawdown_trough)
    (0.019494, -0.02, '2020-01-03')
    """
    series = complete_series(returns, "returns")
    days = session_dates(dates, series.size)
    worst = worst_drawdown(series, days)

    def average(values: npt.ArrayLike | None, name: str) -> float:
        return np.nan if values is None else float(complete_series(values, name, series.size).mean())

    active_return = tracking_error = realised_beta = np.nan
    if benchmark is not None:
        active = series - complete_series(benchmark, "benchmark", series.size)
        active_return = float(active.mean()) * periods_per_year
        tracking_error = volatility(active, periods_per_year)
        realised_beta = beta(series, benchmark)
    return Performance(
        start=days[0],
        end=days[-1],
        sessions=series.size,
        periods_per_year=periods_per_year,
        total_return=total_return(series),
        annual_return=annual_return(series, periods_per_year),
        volatility=volatility(series, periods_per_year),
        sharpe=sharpe_ratio(series, periods_per_year, risk_free),
        sharpe_se=sharpe_se(series, periods_per_year, risk_free),
        sortino=sortino(series, periods_per_year),
        calmar=calmar(series, periods_per_year),
        max_drawdown=worst.depth,
        drawdown_peak=worst.peak,
        drawdown_trough=worst.trough,
        drawdown_recovery=worst.recovery,
        drawdown_sessions=worst.sessions,
        hit_rate=hit_rate(series),
        best=float(series.max()),
        worst=float(series.min()),
        skewness=skewness(series),
        excess_kurtosis=excess_kurtosis(series),
        turnover=average(turnover, "turnover") * periods_per_year,
        cost_drag=average(cost, "cost") * periods_per_year,
        n_positions=average(n_positions, "n_positions"),
        gross=average(gross, "gross"),
        net=average(net, "net"),
        beta=realised_beta,
        active_return=active_return,
        tracking_error=tracking_error,
        information_ratio=ratio(active_return, tracking_error),
    )
