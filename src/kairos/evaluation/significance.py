"""Is a mean different from zero? Newey-West and cosine errors, and adjustment for several tests.

Probabilities of Newey-West errors come from the normal distribution: these are right in large samples only,
where Student's t adds nothing. Where returns overlap they are too small in any sample, and `overlap_test`
takes probabilities from cosine errors, which have known degrees of freedom.

Series are in order of time with one entry a session. NaN marks a session without a value, and keeps its place
so that Newey-West lags always count sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import erfc, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import bottleneck as bn
import numpy as np
from scipy.special import stdtr, stdtrit

from kairos.errors import InputError
from kairos.evaluation.arrays import gapped_series, share_of_one
from kairos.evaluation.bootstrap import stationary_bootstrap

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array


@dataclass(frozen=True)
class MeanTest:
    """A mean, its Newey-West standard error, and the test that it is zero.

    Attributes
    ----------
    mean, se, t : float
        The mean, its Newey-West standard error, and mean / se.
    p : float
        Two-sided: of t in `mean_test`, of the cosine error in `overlap_test`.
    low, high : float
        Confidence interval of the mean, which leaves out 0 where p is small.
    n : int
        Observations that exist.
    """

    mean: float
    se: float
    t: float
    p: float
    low: float
    high: float
    n: int


def newey_west_se(series: npt.ArrayLike, lags: int) -> float:
    """Return the standard error of a mean under heteroskedasticity and autocorrelation up to ``lags``.

    With u the deviations from the mean (0 where a value is missing) and n the values that exist:

        se² = n/(n−1) · (Σ_t u_t² + 2·Σ_{j=1..lags} (1 − j/(lags+1))·Σ_t u_t·u_{t−j}) / n²

    Bartlett weights keep se² from being negative. The factor n/(n−1) is the small-sample correction of a
    regression on a constant; it makes lags = 0 the usual s/√n. A pair of sessions counts only when both
    exist, at its distance in sessions (the amplitude modulated estimator).

    Bartlett weights shorten the error of overlapping returns: when returns over h sessions come from a signal
    that hardly changes, lags = h − 1 finds (2 + 1/h²)/3 of their variance, an error up to 18 % too small.
    `overlap_test` has probabilities that hold there.

    Parameters
    ----------
    series : (T,)
        Values in order of time, NaN where missing.
    lags : int
        Longest autocorrelation allowed for: h − 1 for returns over h overlapping sessions.

    Returns
    -------
    float; exactly 0 for a constant series, NaN when no more than lags + 1 values exist.

    Raises
    ------
    InputError
        lags is negative, or the series not one-dimensional.

    References
    ----------
    Newey, W. and West, K. (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix, Econometrica 55(3).
    Datta, D. and Du, W. (2012), Nonparametric HAC estimation for time series data with missing observations,
    Federal Reserve Board, International Finance Discussion Paper 1060.

    Examples
    --------
    >>> round(newey_west_se([1.0, 2.0, 3.0, 4.0], lags=0), 6)  # 1.290994 / 2
    0.645497
    """
    if lags < 0:
        raise InputError(f"lags = {lags}: pass 0 for no autocorrelation, h - 1 for returns over h sessions")
    values = gapped_series(series, "series")
    exists = ~np.isnan(values)
    n = int(exists.sum())
    if n < 2 or n <= lags + 1:
        return np.nan
    if values[exists].max() == values[exists].min():
        return 0.0
    deviations = np.where(exists, values - values[exists].mean(), 0.0)
    total = float(deviations @ deviations)
    for lag in range(1, lags + 1):
        total += 2.0 * (1.0 - lag / (lags + 1)) * float(deviations[lag:] @ deviations[:-lag])
    return float(np.sqrt(max(total, 0.0) / (n * (n - 1))))


def lag_rule(n: int) -> int:
    """Lags for n daily values whose memory is short but unknown: ⌊4·(n/100)^(2/9)⌋.

    Too few where returns overlap or prices are stale for weeks: name the lags there.

    References
    ----------
    Newey, W. and West, K. (1994), Automatic lag selection in covariance matrix estimation, Review of
    Economic Studies 61(4).

    Examples
    --------
    >>> lag_rule(252), lag_rule(2520)
    (4, 8)
    """
    return int(4.0 * (n / 100.0) ** (2.0 / 9.0))


def two_sided_p(t: float) -> float:
    """Probability of a t-value at least this far from 0 under the normal distribution; NaN for NaN.

    Examples
    --------
    >>> round(two_sided_p(1.959964), 6)
    0.05
    """
    return erfc(abs(t) / sqrt(2.0))


def mean_test(series: npt.ArrayLike, lags: int, level: float = 0.95) -> MeanTest:
    """Test that the mean of a series is zero, with the Newey-West standard error.

    Parameters
    ----------
    series : (T,)
        Values in order of time, NaN where missing.
    lags : int
        See `newey_west_se`.
    level : float
        Coverage of the confidence interval mean ± Φ⁻¹((1 + level)/2)·se.

    Returns
    -------
    MeanTest; t and p are NaN when the standard error is 0 or undefined, everything is NaN without a value.
    """
    values = gapped_series(series, "series")
    exists = ~np.isnan(values)
    n = int(exists.sum())
    mean = float(values[exists].mean()) if n else np.nan
    se = newey_west_se(values, lags)
    t = mean / se if se > 0.0 else np.nan
    margin = NormalDist().inv_cdf((1.0 + share_of_one(level, "level")) / 2.0) * se
    return MeanTest(mean, se, t, two_sided_p(t), mean - margin, mean + margin, n)


def cosine_se(series: npt.ArrayLike, horizon: int) -> tuple[float, int]:
    """Return the standard error of a mean from B cosines (EWC), and B, its degrees of freedom.

    With x_1 … x_n the values that exist:

        Λ_j = √(2/n) · Σ_t x_t·cos(π·j·(t − ½)/n),  se² = Σ_{j=1..B} Λ_j² / (B·n)

    The cosines are orthogonal to a constant and to each other, so in large samples the Λ_j are independent
    and have the long-run variance: mean / se has Student's t distribution with B degrees of freedom. With
    independent normal values it has that in any sample.

    B is ⌊0.4·n^(2/3)⌋, the rule of Lazarus et al., but at least 4; and never more than ⌊n/(3h)⌋, because
    cosines as short as the overlap no longer see all of it: sums over h values have the spectrum
    sin²(hω/2)/sin²(ω/2), which has lost 3 % on average over frequencies up to π/(3h), but 23 % up to π/h.

    Parameters
    ----------
    series : (T,)
        Values in order of time. Missing ones (NaN) are left out: neighbours of a gap become neighbours, which
        only shortens an overlap.
    horizon : int
        Sessions over which a value runs; neighbours share horizon − 1 of them.

    Returns
    -------
    The error, exactly 0 for a constant series and NaN with fewer than 3h values; and B.

    Raises
    ------
    InputError
        horizon is below 1, or the series not one-dimensional.

    References
    ----------
    Lazarus, E., Lewis, D., Stock, J. and Watson, M. (2018), HAR inference: recommendations for practice,
    Journal of Business & Economic Statistics 36(4).

    Examples
    --------
    >>> error, freedom = cosine_se([1.0, 4.0, 2.0, 3.0, 5.0, 3.0], horizon=1)
    >>> round(error, 6), freedom
    (0.50407, 2)
    """
    if horizon < 1:
        raise InputError(f"horizon = {horizon}: returns run over at least one session")
    values = gapped_series(series, "series")
    values = values[~np.isnan(values)]
    n = values.size
    freedom = min(max(4, int(0.4 * n ** (2.0 / 3.0))), n // (3 * horizon))
    if freedom == 0:
        return np.nan, 0
    if values.max() == values.min():
        return 0.0, freedom
    waves = np.cos(np.pi / n * np.outer(np.arange(1, freedom + 1), np.arange(n) + 0.5))
    weights = waves @ (values - values.mean())
    return float(np.sqrt(2.0 * (weights @ weights) / freedom)) / n, freedom


def overlap_test(series: npt.ArrayLike, horizon: int, level: float = 0.95) -> MeanTest:
    """Test that the mean of values over overlapping horizons is zero.

    The error and t are those of Newey and West with horizon − 1 lags, as usual. That error is too small where
    values overlap (see `newey_west_se`), so p and the interval come from `cosine_se` with Student's t.

    Parameters
    ----------
    series : (T,)
        Values in order of time, NaN where missing.
    horizon : int
        Sessions over which a value runs; 1 for no overlap.
    level : float
        Coverage of the confidence interval.

    Returns
    -------
    MeanTest; p is NaN for a constant series, p and the interval are with fewer than 3·horizon values.

    Raises
    ------
    InputError
        horizon is below 1, level not between 0 and 1, or the series not one-dimensional.
    """
    error, freedom = cosine_se(series, horizon)
    usual = mean_test(series, horizon - 1, level)
    t = usual.mean / error if error > 0.0 else np.nan
    p = 2.0 * float(stdtr(freedom, -abs(t)))
    margin = float(stdtrit(freedom, (1.0 + level) / 2.0)) * error
    return replace(usual, p=p, low=usual.mean - margin, high=usual.mean + margin)


def holm(p_values: npt.ArrayLike) -> Array:
    """Adjust p-values for several tests at once, by Holm's step-down method.

    With m tests in ascending order of p: p̃_(i) = max_{j ≤ i} min(1, (m − j + 1)·p_(j)). A test with p̃ ≤ 0.05
    is significant with at most 5 % risk that any of those so called is false, whatever their dependence.

    Parameters
    ----------
    p_values : (S,)
        One for each test; NaN (a test that could not be made) stays NaN and is not counted.

    Raises
    ------
    InputError
        A p-value is outside [0, 1].

    References
    ----------
    Holm, S. (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = gapped_series(p_values, "p_values")
    if ((values < 0.0) | (values > 1.0)).any():
        raise InputError("p_values must lie between 0 and 1")
    order = np.argsort(values, kind="stable")[: int(np.sum(~np.isnan(values)))]
    adjusted = np.full(values.size, np.nan)
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return adjusted


def romano_wolf(series: npt.ArrayLike, *, block: float, seed: int, draws: int = 2000) -> Array:
    """Adjust the p-values of several means for each other, using how they move together.

    Every mean is divided by its bootstrap standard error. In descending order of |t|, a mean's p-value is the
    share of resampled markets in which the largest |t*| of this and all later means (t* centred at the
    observed mean) reaches its |t|, made monotone. Like Holm's method it keeps the risk of any false
    discovery, but signals that say the same thing cost little.

    Parameters
    ----------
    series : (T, S)
        Daily values of S signals (information coefficients) over common sessions, NaN where missing.
    block : float
        Mean length of a bootstrap block in sessions; several times the horizon of the returns.
    seed : int
        Of the random numbers.
    draws : int
        Number of resampled series; the smallest p-value is 1/(draws + 1).

    Returns
    -------
    (S,) two-sided adjusted p-values; NaN for a signal that is constant or whose sessions are too few for a
    resampled mean to exist in every draw.

    Raises
    ------
    InputError
        The series is not two-dimensional or empty, or an argument is out of range.

    References
    ----------
    Romano, J. and Wolf, M. (2005), Stepwise multiple testing as formalized data snooping, Econometrica 73(4).
    Romano, J. and Wolf, M. (2016), Efficient computation of adjusted p-values for resampling-based stepdown
    multiple testing, Statistics & Probability Letters 113.
    """
    panel = np.asarray(series, dtype=np.float64)
    if panel.ndim != 2 or not panel.size or draws < 2:
        raise InputError(
            f"series has shape {panel.shape}, draws = {draws}: pass (sessions, signals) and 2 or more"
        )
    panel = np.where(np.isfinite(panel), panel, np.nan)
    rows = stationary_bootstrap(panel.shape[0], block, draws, seed)
    observed, resampled = _means(panel, np.arange(panel.shape[0])[None, :])[0], _means(panel, rows)
    constant = bn.nanmax(panel, axis=0) == bn.nanmin(panel, axis=0)
    error = np.where(constant, np.nan, resampled.std(axis=0, ddof=1))
    t = np.abs(observed) / error
    order = np.argsort(-t, kind="stable")[: int(np.sum(~np.isnan(t)))]
    deviations = np.abs(resampled[:, order] - observed[order]) / error[order]
    largest = np.maximum.accumulate(deviations[:, ::-1], axis=1)[:, ::-1]
    reached = (1 + np.sum(largest >= t[order], axis=0)) / (draws + 1)
    adjusted = np.full(t.size, np.nan)
    adjusted[order] = np.maximum.accumulate(reached)
    return adjusted


def _means(panel: Array, rows: npt.NDArray[np.int64]) -> Array:
    """Mean of each column over each set of rows, (draws, S); NaN where no value exists in the set."""
    exists = ~np.isnan(panel)
    draws, n = rows.shape
    counts = np.bincount((rows + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n)
    weights = counts.reshape(draws, n).astype(np.float64)
    found = weights @ exists
    total = weights @ np.where(exists, panel, 0.0)
    return np.divide(total, found, out=np.full_like(total, np.nan), where=found > 0)
