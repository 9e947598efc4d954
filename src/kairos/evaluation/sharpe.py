"""The Sharpe ratio, its standard error, and what it is worth after many trials.

``returns[t]`` is known at the close of session t. `sharpe_ratio`, `sharpe_se` and `rolling_sharpe` are
annualised; the probabilistic and the deflated Sharpe ratio work per period, where their theory lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, hypot, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, deviation, positive, ratio
from kairos.evaluation.risk import excess_kurtosis, rolling_moments, skewness
from kairos.evaluation.significance import newey_west_se, two_sided_p

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
    returns: npt.ArrayLike,
    periods_per_year: float,
    risk_free: npt.ArrayLike | None = None,
    lags: int = 0,
) -> float:
    """Return the standard error of the annualised Sharpe ratio, of normal returns or not.

    With S the Sharpe ratio per period, γ₃ the skewness and γ₄ the kurtosis (3 for a normal), of independent
    returns:

        se = √((1 − γ₃·S + (γ₄ − 1)/4 · S²) / (T − 1)) · √periods_per_year

    which for normal returns is Lo's √((1 + S²/2) / T). T − 1 makes it the same number that stands in the
    probabilistic Sharpe ratio. With `lags` autocorrelation enters: the estimate is the mean of
    z − S/2·(z² − 1), z = (r − r̄)/σ, in first order, and its Newey-West error is taken, which without lags is
    the formula above. NaN at zero volatility.

    Parameters
    ----------
    returns : (T,)
        Simple returns.
    periods_per_year : float
        Sessions a year of the series.
    risk_free : (T,), optional
        Risk-free return of each period.
    lags : int
        Longest autocorrelation allowed for; `kairos.evaluation.significance.lag_rule` chooses by length.

    References
    ----------
    Lo, A. (2002), The statistics of Sharpe ratios, Financial Analysts Journal 58(4).
    Mertens, E. (2002), Comments on variance of the IID estimator in Lo (2002), University of Basel.
    """
    excess = _excess(returns, risk_free)
    return _error(excess, lags) * sqrt(positive(periods_per_year))


def _error(series: Array, lags: int) -> float:
    """Return the standard error per period."""
    observed = ratio(float(series.mean()), deviation(series))
    if lags == 0 or np.isnan(observed):
        variance = sharpe_variance(observed, series.size, skewness(series), excess_kurtosis(series))
        return sqrt(variance)
    z = (series - series.mean()) / series.std()
    return newey_west_se(z - observed / 2.0 * (z**2 - 1.0), lags)


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


def probabilistic_sharpe(returns: npt.ArrayLike, threshold: float = 0.0, lags: int = 0) -> float:
    """Probabilistic Sharpe ratio: the probability that the true Sharpe ratio per period exceeds a threshold.

    Parameters
    ----------
    returns : (T,)
        Simple returns, in excess of whatever they are measured against.
    threshold : float
        Sharpe ratio **per period** (a yearly one divided by √periods_per_year).
    lags : int
        Longest autocorrelation that the error allows for (`sharpe_se`); 0 is the published formula.

    Returns
    -------
    float in [0, 1]; NaN at zero volatility.

    References
    ----------
    Bailey, D. and López de Prado, M. (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2).
    """
    series = complete_series(returns, "returns")
    observed, error = ratio(float(series.mean()), deviation(series)), _error(series, lags)
    return NormalDist().cdf((observed - threshold) / error) if error > 0.0 else np.nan


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


def deflated_sharpe(returns: npt.ArrayLike, trials: float, variance: float, lags: int = 0) -> float:
    """Deflated Sharpe ratio: the probabilistic one against the best of that many worthless trials.

    Parameters
    ----------
    returns : (T,)
        Simple returns of the trial that was chosen.
    trials : float
        Number of independent trials it was chosen from, itself included.
    variance : float
        Variance of the trials' Sharpe ratios **per period**.
    lags : int
        Longest autocorrelation that the error allows for (`sharpe_se`); 0 is the published formula.

    Returns
    -------
    float in [0, 1]: confidence that the true Sharpe ratio is above zero after the selection; with one trial
    the probabilistic Sharpe ratio against 0.

    References
    ----------
    Bailey, D. and López de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio Management
    40(5).
    """
    return probabilistic_sharpe(returns, expected_maximum(trials, variance), lags)


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


@dataclass(frozen=True)
class SharpeDifference:
    """Two Sharpe ratios of periods that do not overlap, and the test that the true ones are equal.

    Attributes
    ----------
    first, second : float
        Sharpe ratios, annualised.
    difference, se, z : float
        second − first, its standard error, and their quotient.
    p : float
        Two-sided, from the normal distribution.
    """

    first: float
    second: float
    difference: float
    se: float
    z: float
    p: float


def sharpe_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, periods_per_year: float, lags: int = 0
) -> SharpeDifference:
    """Test whether the Sharpe ratio changed between two periods: z = (S₂ − S₁) / √(se₁² + se₂²).

    The periods must not overlap. Their errors are those of `sharpe_se`, so a short period has little power:
    one year can hardly contradict anything, its error is about 1.

    Parameters
    ----------
    first, second : (T₁,), (T₂,)
        Returns before and after, in-sample and out-of-sample for example.
    periods_per_year : float
        Sessions a year of both.
    lags : int
        Longest autocorrelation allowed for.

    Returns
    -------
    SharpeDifference; NaN where a period has no volatility.

    Examples
    --------
    >>> quiet, busy = [0.01, -0.01] * 20, [0.03, -0.01] * 20
    >>> found = sharpe_difference(quiet, busy, 252)
    >>> round(found.difference, 2), round(found.p, 3)
    (7.84, 0.029)
    """
    before, after = (sharpe_ratio(part, periods_per_year) for part in (first, second))
    errors = [sharpe_se(part, periods_per_year, lags=lags) for part in (first, second)]
    difference, se = after - before, hypot(*errors)
    z = difference / se if se > 0.0 else np.nan
    return SharpeDifference(before, after, difference, se, z, two_sided_p(z))


def _excess(returns: npt.ArrayLike, risk_free: npt.ArrayLike | None) -> Array:
    series = complete_series(returns, "returns")
    if risk_free is None:
        return series
    return series - complete_series(risk_free, "risk_free", series.size)
