"""Risk and shape of a series of simple returns.

``returns[t]`` is known at the close of session t. Nothing is annualised without ``periods_per_year``, which
never has a default. A series whose largest value equals its smallest has a volatility of exactly 0.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, deviation, positive, ratio
from kairos.evaluation.growth import annual_return, max_drawdown

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array


def volatility(returns: npt.ArrayLike, periods_per_year: float) -> float:
    """Annualised standard deviation: std(r, ddof 1) · √periods_per_year. NaN for a single observation."""
    return deviation(complete_series(returns, "returns")) * sqrt(positive(periods_per_year))


def sortino(returns: npt.ArrayLike, periods_per_year: float) -> float:
    """Sortino ratio against a target of 0: mean(r) / √mean(min(r, 0)²) · √periods_per_year.

    The downside deviation averages over all observations, gains counting as 0. NaN without a loss.

    References
    ----------
    Sortino, F. and Price, L. (1994), Performance measurement in a downside risk framework, Journal of
    Investing 3(3).
    """
    series = complete_series(returns, "returns")
    downside = float(np.sqrt(np.mean(np.minimum(series, 0.0) ** 2)))
    return ratio(float(series.mean()), downside) * sqrt(positive(periods_per_year))


def calmar(returns: npt.ArrayLike, periods_per_year: float) -> float:
    """Compounded annual return over the size of the deepest drawdown; NaN without a drawdown."""
    return ratio(annual_return(returns, periods_per_year), -max_drawdown(returns))


def hit_rate(returns: npt.ArrayLike) -> float:
    """Share of all observations that are above zero."""
    return float(np.mean(complete_series(returns, "returns") > 0.0))


def skewness(returns: npt.ArrayLike) -> float:
    """Skewness of the sample, g₁ = m₃ / m₂^1.5 with population moments; NaN for a constant series."""
    return _standardised_moment(complete_series(returns, "returns"), 3)


def excess_kurtosis(returns: npt.ArrayLike) -> float:
    """Kurtosis of the sample over the normal's, g₂ = m₄ / m₂² − 3; NaN for a constant series."""
    return _standardised_moment(complete_series(returns, "returns"), 4) - 3.0


def beta(returns: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Realised beta to a benchmark: cov(r, b) / var(b); NaN for a constant benchmark."""
    series = complete_series(returns, "returns")
    market = complete_series(benchmark, "benchmark", series.size)
    deviations = market - market.mean()
    spread = float(deviations @ deviations) if deviation(market) > 0.0 else 0.0
    return ratio(float(deviations @ (series - series.mean())), spread)


def rolling_volatility(returns: npt.ArrayLike, window: int, periods_per_year: float) -> Array:
    """Annualised standard deviation of the last ``window`` returns; NaN before the first full window."""
    _, spread = rolling_moments(returns, window)
    return spread * sqrt(positive(periods_per_year))


def rolling_moments(returns: npt.ArrayLike, window: int) -> tuple[Array, Array]:
    """Mean and sample standard deviation of the last ``window`` returns; NaN before the first full window.

    Raises
    ------
    InputError
        The window is shorter than two returns.
    """
    series = complete_series(returns, "returns")
    if window < 2:
        raise InputError(f"window = {window}: a rolling deviation needs at least 2 returns")
    mean, spread = np.full((2, series.size), np.nan)
    if window <= series.size:
        windows = np.lib.stride_tricks.sliding_window_view(series, window)
        constant = windows.max(axis=1) == windows.min(axis=1)
        mean[window - 1 :] = windows.mean(axis=1)
        spread[window - 1 :] = np.where(constant, 0.0, windows.std(axis=1, ddof=1))
    return mean, spread


def _standardised_moment(series: Array, order: int) -> float:
    if deviation(series) > 0.0:
        return float(np.mean(((series - series.mean()) / series.std()) ** order))
    return np.nan
