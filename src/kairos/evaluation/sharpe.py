"""The Sharpe ratio, its standard error, and what it is worth after many trials.

``returns[t]`` is known at the close of session t. `sharpe_ratio`, `sharpe_se` and `rolling_sharpe` are
annualised; the probabilistic and the deflated Sharpe ratio work per period, where their theory lives.
"""

from __future__ import annotations

from math import e, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, deviation, positive, ratio
from kairos.evaluation.risk import excess_kurtosis, rolling_moments, skewness

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array

EULER = 0.5772156649015329


def sharpe_ratio(
    returns: npt.ArrayLike, periods_per_year: float, risk_free: npt.ArrayLike | None = None
) -> float:
    """Sharpe ratio: mean(e) / std(e, ddof 1) · √periods_per_year, with e = r − risk_free.

    Parameters
    ----------
    returns : (T,)
        Simple returns.
    periods_per_year : float
        Sessions a year of the series.
    risk_free : (T,), optional
        Risk-free return of each period (not a yearly rate); none is subtracted unless given.

    Returns
    -------
    float, NaN when the volatility is zero or there is a single observation.

    References
    ----------
    Sharpe, W. F. (1994), The Sharpe ratio, Journal of Portfolio Management 21(1).
    """
    excess = _excess(returns, risk_free)
    return ratio(float(excess.mean()), deviation(excess)) * sqrt(positive(periods_per_year))


def rolling_sharpe(returns: npt.ArrayLike, window: int, periods_per_year: float) -> Array:
    """Sharpe ratio of the last ``window`` returns; NaN before the first full window or at zero volatility."""
    mean, spread = rolling_moments(returns, window)
    spread[spread == 0.0] = np.nan
    return mean / spread * sqrt(positive(periods_per_year))


def sharpe_se(
    returns: npt.ArrayLike, periods_per_year: float, risk_free: npt.ArrayLike | None = None
) -> float:
    """Return the standard error of the annualised Sharpe ratio of independent returns, normal or not.

    With S the Sharpe ratio per period, γ₃ the skewness and γ₄ the kurtosis (3 for a normal):

        se = √((1 − γ₃·S + (γ₄ − 1)/4 · S²) / (T − 1)) · √periods_per_year

    which for normal returns is Lo's √((1 + S²/2) / T). Autocorrelation is not accounted for: use a block
    bootstrap (`kairos.evaluation.significance.bootstrap_interval`) where it matters. T − 1 makes it the same
    number that stands in the probabilistic Sharpe ratio. NaN at zero volatility.

    References
    ----------
    Lo, A. (2002), The statistics of Sharpe ratios, Financial Analysts Journal 58(4).
    Mertens, E. (2002), Comments on variance of the IID estimator in Lo (2002), University of Basel.
    """
    excess = _excess(returns, risk_free)
    observed = ratio(float(excess.mean()), deviation(excess))
    variance = sharpe_variance(observed, excess.size, skewness(excess), excess_kurtosis(excess))
    return sqrt(variance * positive(periods_per_year))


def sharpe_variance(observed: float, n: int, skew: float, kurtosis: float) -> float:
    """Variance of a Sharpe ratio estimated from n returns, everything per period; see `sharpe_se`.

    Parameters
    ----------
    observed : float
        Sharpe ratio per period.
    n : int
        Number of returns.
    skew, kurtosis : float
        Of the returns; the kurtosis of a normal is 0 here (excess).
    """
    if n < 2:
        return np.nan
    variance = (1.0 - skew * observed + (kurtosis + 2.0) / 4.0 * observed**2) / (n - 1)
    return float(np.maximum(variance, 0.0))  # never below 0 in exact arithmetic; NaN stays NaN


def probability_above(observed: float, threshold: float, n: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio exceeds a threshold, from the moments of n returns.

    Φ((S − S*) / √var(S)), with var from `sharpe_variance`; everything per period, kurtosis over the normal's.

    Examples
    --------
    Two years of monthly returns, S = 0.458 a month, negatively skewed and fat-tailed (Bailey and López de
    Prado, 2012):

    >>> round(probability_above(0.458, 0.0, n=24, skew=-2.448, kurtosis=7.164), 3)
    0.913
    """
    variance = sharpe_variance(observed, n, skew, kurtosis)
    return NormalDist().cdf((observed - threshold) / sqrt(variance)) if variance > 0.0 else np.nan


def probabilistic_sharpe(returns: npt.ArrayLike, threshold: float = 0.0) -> float:
    """Probabilistic Sharpe ratio: the probability that the true Sharpe ratio per period exceeds a threshold.

    Parameters
    ----------
    returns : (T,)
        Simple returns, in excess of whatever they are measured against.
    threshold : float
        Sharpe ratio **per period** (a yearly one divided by √periods_per_year).

    Returns
    -------
    float in [0, 1]; NaN at zero volatility.

    References
    ----------
    Bailey, D. and López de Prado, M. (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2).
    """
    series = complete_series(returns, "returns")
    observed = ratio(float(series.mean()), deviation(series))
    return probability_above(observed, threshold, series.size, skewness(series), excess_kurtosis(series))


def expected_maximum(trials: float, variance: float) -> float:
    """Sharpe ratio that the best of several worthless trials is expected to show.

        √variance · ((1 − γ)·Φ⁻¹(1 − 1/trials) + γ·Φ⁻¹(1 − 1/(trials·e))),   γ = 0.5772… (Euler)

    never below 0; a single trial expects 0.

    Parameters
    ----------
    trials : float
        Number of independent trials, at least 1 (an effective number need not be whole).
    variance : float
        Variance of the trials' Sharpe ratios, per period.

    Raises
    ------
    InputError
        Fewer than one trial, or a negative or missing variance.

    Examples
    --------
    >>> round(expected_maximum(100, 0.5 / 250), 4)
    0.1132
    """
    if not trials >= 1.0:
        raise InputError(f"trials = {trials}: at least the one that is reported counts")
    if not variance >= 0.0:
        raise InputError(f"variance = {variance}: pass the variance of the trials' Sharpe ratios per period")
    if trials == 1.0:
        return 0.0
    quantile = NormalDist().inv_cdf
    largest = (1.0 - EULER) * quantile(1.0 - 1.0 / trials) + EULER * quantile(1.0 - 1.0 / (trials * e))
    return max(0.0, sqrt(variance) * largest)


def deflated_sharpe(returns: npt.ArrayLike, trials: float, variance: float) -> float:
    """Deflated Sharpe ratio: the probabilistic one against the best of that many worthless trials.

    Parameters
    ----------
    returns : (T,)
        Simple returns of the trial that was chosen.
    trials : float
        Number of independent trials it was chosen from, itself included.
    variance : float
        Variance of the trials' Sharpe ratios **per period**.

    Returns
    -------
    float in [0, 1]: confidence that the true Sharpe ratio is above zero after the selection; with one trial
    the probabilistic Sharpe ratio against 0.

    References
    ----------
    Bailey, D. and López de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio Management
    40(5).
    """
    return probabilistic_sharpe(returns, expected_maximum(trials, variance))


def effective_trials(returns: npt.ArrayLike) -> float:
    """Count the independent trials that correlated ones amount to: ρ̄ + (1 − ρ̄)·N.

    Parameters
    ----------
    returns : (T, N)
        Returns of the N trials over common sessions, none missing.

    Returns
    -------
    float between 1 and N; ρ̄ is the mean correlation of all pairs, a negative one counted as 0. NaN when a
    trial has no volatility.

    References
    ----------
    Bailey, D. and López de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio Management
    40(5).
    """
    panel = np.asarray(returns, dtype=np.float64)
    if panel.ndim != 2 or not panel.size or not np.isfinite(panel).all():
        raise InputError("returns of the trials must be a (sessions, trials) array without missing values")
    n = panel.shape[1]
    if n == 1:
        return 1.0
    if (panel.max(axis=0) == panel.min(axis=0)).any():
        return np.nan
    pairs = np.asarray(np.corrcoef(panel, rowvar=False))[np.triu_indices(n, k=1)]
    average = min(max(float(pairs.mean()), 0.0), 1.0)
    return float(average + (1.0 - average) * n)


def _excess(returns: npt.ArrayLike, risk_free: npt.ArrayLike | None) -> Array:
    series = complete_series(returns, "returns")
    if risk_free is None:
        return series
    return series - complete_series(risk_free, "risk_free", series.size)
