"""How well forecasts of returns meet them, month by month, and whether one forecast is better than another.

Panels are (T, N) = (days in order, names), NaN where a name has no forecast or no return on a day. A month is
a run of days with the same label. A forecast of row t is made for the return that ends at t.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import bottleneck as bn
import numpy as np
import numpy.typing as npt

from kairos.errors import InputError
from kairos.evaluation.arrays import same_shape
from kairos.evaluation.bootstrap import stationary_bootstrap
from kairos.evaluation.significance import holm

if TYPE_CHECKING:
    from kairos.panel import Array

Counts = npt.NDArray[np.int64]

_CHUNK = 4_000_000
"""Numbers that are resampled at once: bounds the memory, doesn't change a result."""


@dataclass(frozen=True)
class Scores:
    """How well a forecast p meets an outcome a; arrays (M, N), one row a month.

    Attributes
    ----------
    ic, rank_ic
        Pearson's and Spearman's correlation of a and p; NaN where either side is constant.
    r2
        1 − Σ(a − p)²/Σa²: 0 for a forecast of zero, negative for a worse one; NaN where a is 0 throughout.
    mse
        Mean of (a − p)².
    hit_rate
        Share of days on which a and p have the same sign, of the days on which neither is 0.
    n
        Days that have both.
    """

    ic: Array
    rank_ic: Array
    r2: Array
    mse: Array
    hit_rate: Array
    n: Counts


def scores(outcome: Array, forecast: Array, months: npt.NDArray[np.generic]) -> Scores:
    """Score a forecast within each month.

    Parameters
    ----------
    outcome, forecast : (T, N)
        Returns as fractions; a day counts for a name when it has both.
    months : (T,)
        Label of each day's month; equal labels are neighbours. One label throughout pools all days.

    Returns
    -------
    Scores with a row for each month, in the order of their days; NaN where no day counts.

    Raises
    ------
    InputError
        The shapes differ, or a month's days aren't neighbours.

    Examples
    --------
    >>> found = scores(np.array([[0.01], [-0.02], [0.03]]), np.array([[0.02], [0.01], [0.03]]), np.zeros(3))
    >>> found.ic.round(4).tolist(), found.hit_rate.round(4).tolist(), found.n.tolist()
    ([[0.9934]], [[0.6667]], [[3]])
    """
    same_shape({"outcome": outcome, "forecast": forecast})
    begins = _begins(months, len(outcome))
    both = np.isfinite(outcome) & np.isfinite(forecast)
    a, p = (_by_month(np.where(both, values, np.nan), begins) for values in (outcome, forecast))
    exists = ~np.isnan(a)
    n = exists.sum(axis=1)
    squared, signs = (a - p) ** 2, np.sign(a) * np.sign(p)
    error = _total(squared)
    return Scores(
        ic=_correlation(a, p),
        rank_ic=_correlation(bn.nanrankdata(a, axis=1), bn.nanrankdata(p, axis=1)),
        r2=1.0 - _quotient(error, _total(a * a)),
        mse=_quotient(error, n.astype(float)),
        hit_rate=_quotient(_total((signs > 0).astype(float)), _total(np.abs(np.nan_to_num(signs)))),
        n=n,
    )


@dataclass(frozen=True)
class Improvement:
    """By how much a model raises the monthly IC of a baseline, and whether that can be luck; arrays (N,).

    Attributes
    ----------
    value
        Mean over the counted months of IC(model) − IC(baseline).
    se, t
        Standard deviation of the value over resampled histories, and value / se.
    low, high
        Interval of the value.
    p
        One-sided, 1 − Φ(t): chance of such a t, or a larger one, without any true improvement.
    stepwise, holm
        p adjusted for all names together, by Romano and Wolf's stepwise method and by Holm's.
    n_months
        Counted months.
    noise : (draws, N)
        Deviations of the resampled values from their mean.

    A name to which the model never adds anything has the value 0 and no noise to judge it by: se, t, bounds
    and p are NaN. So is everything of a name without a counted month.
    """

    value: Array
    se: Array
    t: Array
    low: Array
    high: Array
    p: Array
    stepwise: Array
    holm: Array
    n_months: Counts
    noise: Array

    def chance_of(self, threshold: float) -> Array:
        """Chance that noise alone, the true improvement being 0, shows at least the threshold; (N,)."""
        exists = (~np.isnan(self.noise)).sum(axis=0)
        return _quotient((self.noise >= threshold).sum(axis=0).astype(float), exists.astype(float))


@dataclass(frozen=True)
class Comparison:
    """A model against a baseline.

    Attributes
    ----------
    monthly : (M, N)
        IC(model) − IC(baseline) of each month; exactly 0 where the model adds nothing on all days of the
        month, NaN where the month doesn't count.
    each : Improvement of N names
    overall : Improvement of one
        Mean over the months of the mean over the names that count in the month.
    """

    monthly: Array
    each: Improvement
    overall: Improvement


def compare(
    outcome: Array,
    baseline: Array,
    added: Array,
    months: npt.NDArray[np.generic],
    *,
    min_days: int,
    block: float,
    draws: int,
    level: float,
    seed: int,
) -> Comparison:
    """Compare the forecast baseline + added with the baseline by their monthly ICs.

    A name's improvement is the mean of IC_m(baseline + added) − IC_m(baseline) over the months m that count.
    Its noise comes from resampled calendars: blocks of days from anywhere in the calendar, of random length,
    fill the days of all months in turn (the stationary bootstrap), the ICs of the months so filled are
    computed anew, and the noise is their mean's deviation from its mean over all draws. All names share the
    draws, a name that has no forecast on a resampled day just lacks it, so their noise moves together as
    their forecasts do. The interval is value + the quantiles of the noise.

    Blocks are taken from the whole calendar, not from within each month, so that the interval knows that some
    months go better than others; two blocks wrapped inside a month of 21 days show a third less noise than
    there is. The interval is for the fitted models as they are: the improvement that they would show on a
    long future. It doesn't know that models fitted on another year could be better or worse, which the
    overlapping training windows of one year of months can't tell.

    Parameters
    ----------
    outcome : (T, N)
        Returns, as fractions.
    baseline : (T, N)
        Forecast without the model.
    added : (T, N)
        What the model adds to it. A day counts for a name when all three exist.
    months : (T,)
        Label of each day's month; equal labels are neighbours.
    min_days : int
        Days that a month, as observed or as resampled, needs to count.
    block : float
        Mean length of a block in days.
    draws : int
        Resampled histories.
    level : float
        Coverage of the intervals.
    seed : int
        Of the random numbers.

    Raises
    ------
    InputError
        The shapes differ, a month's days aren't neighbours, or an argument is out of range.

    References
    ----------
    Politis, D. and Romano, J. (1994), The stationary bootstrap, Journal of the American Statistical
    Association 89(428).
    Romano, J. and Wolf, M. (2005), Stepwise multiple testing as formalized data snooping, Econometrica 73(4).
    """
    n_days, n_names = same_shape({"outcome": outcome, "baseline": baseline, "added": added})
    if not 0.0 < level < 1.0 or min_days < 2 or draws < 2:
        raise InputError(
            f"level = {level}, min_days = {min_days}, draws = {draws}: a share, 2 or more, 2 or more"
        )
    begins = _begins(months, n_days)
    moments = _moments(outcome, baseline, added)
    monthly = _monthly(moments[None], begins, min_days)[0]
    rows = stationary_bootstrap(n_days, block, draws, seed)
    step = max(1, _CHUNK // moments.size)
    drawn = [
        _averages(_monthly(moments[rows[at : at + step]], begins, min_days)) for at in range(0, draws, step)
    ]
    value, resampled = _averages(monthly[None])[0], np.concatenate(drawn)
    n_months = (~np.isnan(monthly)).sum(axis=0)
    n_any = (~np.isnan(monthly)).any(axis=1).sum(keepdims=True)
    return Comparison(
        monthly=monthly,
        each=_improvement(value[:n_names], resampled[:, :n_names], n_months, level),
        overall=_improvement(value[n_names:], resampled[:, n_names:], n_any, level),
    )


def stepwise(t: Array, noise: Array) -> Array:
    """Adjust one-sided tests for each other by Romano and Wolf's stepwise method.

    In descending order of t, a name's p-value is the share of draws in which the largest noise of this and
    all later names reaches its t, made monotone. The risk that any name with p ≤ 0.05 has no true
    improvement is at most 5 %, and names whose noise moves together cost little.

    Parameters
    ----------
    t : (N,)
        Studentised improvements; NaN stays NaN and isn't counted.
    noise : (draws, N)
        Their studentised noise, from the same draws for all names.

    Returns
    -------
    (N,) p-values; the smallest is 1/(draws + 1).

    References
    ----------
    Romano, J. and Wolf, M. (2016), Efficient computation of adjusted p-values for resampling-based stepdown
    multiple testing, Statistics & Probability Letters 113.
    """
    order = np.argsort(-t, kind="stable")[: int(np.sum(~np.isnan(t)))]
    largest = np.fmax.accumulate(noise[:, order[::-1]], axis=1)[:, ::-1]
    reached = (1 + np.sum(largest >= t[order], axis=0)) / (len(noise) + 1)
    adjusted = np.full(t.size, np.nan)
    adjusted[order] = np.maximum.accumulate(reached)
    return adjusted


def expanding_mean(monthly: Array, min_months: int) -> Array:
    """Mean of the months before each, as far as they count: what was known when the month began.

    Parameters
    ----------
    monthly : (M, N)
        Values of the months in order; NaN where a month doesn't count.
    min_months : int
        Counted months that are needed.

    Returns
    -------
    (M, N), NaN where fewer than `min_months` months before count.

    Examples
    --------
    >>> expanding_mean(np.array([[0.1], [np.nan], [0.3], [9.0]]), 2).ravel().round(2).tolist()
    [nan, nan, nan, 0.2]
    """
    counts = np.cumsum(~np.isnan(monthly), axis=0)
    sums = np.cumsum(np.nan_to_num(monthly), axis=0)
    means = np.where(counts >= max(min_months, 1), _quotient(sums, counts.astype(float)), np.nan)
    return np.vstack([np.full((1, monthly.shape[1]), np.nan), means[:-1]])


def slope_forecast(
    outcome: Array, predictor: Array, months: npt.NDArray[np.datetime64], window: int, min_days: int
) -> Array:
    """Forecast by one predictor, with the slope (without a constant) of the calendar months before.

    In month m, f_t = b_m·x_t with b_m = Σ x·y / Σ x² over the days of the `window` months before m.

    Parameters
    ----------
    outcome, predictor : (T, N)
        y and x; a day counts for a name when it has both.
    months : (T,) datetime64[M]
        Month of each day, ascending.
    window : int
        Months of the regression.
    min_days : int
        Days that it needs.

    Returns
    -------
    (T, N), NaN where the slope or the predictor doesn't exist.
    """
    same_shape({"outcome": outcome, "predictor": predictor})
    begins = _begins(months, len(outcome))
    both = np.isfinite(outcome) & np.isfinite(predictor)
    x, y = (np.where(both, values, 0.0) for values in (predictor, outcome))
    month = (months[begins] - months[0]).astype(np.int64)
    sums = np.zeros((int(month[-1]) + window + 1, 3, outcome.shape[1]))
    sums[month + window] = np.add.reduceat(np.stack([x * y, x * x, both], axis=1), begins, axis=0)
    last_year = np.lib.stride_tricks.sliding_window_view(sums, window, axis=0)[:-1].sum(axis=-1)
    sxy, sxx, n = np.moveaxis(last_year[month], 1, 0)
    slope = np.where(n >= min_days, _quotient(sxy, sxx), np.nan)
    lengths = np.diff(np.append(begins, len(outcome)))
    return np.asarray(np.repeat(slope, lengths, axis=0) * predictor)


def _improvement(value: Array, resampled: Array, n_months: Counts, level: float) -> Improvement:
    noise = resampled - bn.nanmean(resampled, axis=0)
    spread = bn.nanstd(noise, axis=0, ddof=1)
    se = np.where(spread > 0.0, spread, np.nan)
    t = value / se
    known = np.where(np.isnan(se), 0.0, noise)
    tails = np.nanquantile(known, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    low, high = np.where(np.isnan(se), np.nan, value + tails)
    p = np.array([NormalDist().cdf(-one) for one in t])
    return Improvement(value, se, t, low, high, p, stepwise(t, noise / se), holm(p), n_months, noise)


def _moments(outcome: Array, baseline: Array, added: Array) -> Array:
    """Daily terms whose sums over a month give its two ICs: (10, T, N), 0 where a day doesn't count.

    Returns are measured from each name's mean and in its own size, so that sums of squares keep their digits.
    """
    exists = np.isfinite(outcome) & np.isfinite(baseline) & np.isfinite(added)
    a, b, p = (_standard(values, exists) for values in (outcome, baseline, baseline + added))
    changed = exists & (added != 0.0)
    terms = [exists, changed, a, b, p, a * a, b * b, p * p, a * b, a * p]
    return np.stack([np.asarray(term, dtype=np.float64) for term in terms], axis=1)


def _standard(values: Array, exists: npt.NDArray[np.bool_]) -> Array:
    n = np.maximum(exists.sum(axis=0), 1)
    centred = np.where(exists, values, 0.0)
    centred = np.where(exists, centred - centred.sum(axis=0) / n, 0.0)
    size = np.sqrt((centred * centred).sum(axis=0) / n)
    return np.asarray(centred / np.where(size > 0.0, size, 1.0))


def _monthly(moments: Array, begins: Counts, min_days: int) -> Array:
    """Improvement of each month from daily terms (draws, T, 10, N); (draws, M, N)."""
    sums = np.add.reduceat(moments, begins, axis=1)
    n, changed, a, b, p, aa, bb, pp, ab, ap = np.moveaxis(sums, 2, 0)
    gain = _moment_ic(n, a, p, aa, pp, ap) - _moment_ic(n, a, b, aa, bb, ab)
    return np.where(n < min_days, np.nan, np.where(changed == 0.0, 0.0, gain))


def _moment_ic(n: Array, x: Array, y: Array, xx: Array, yy: Array, xy: Array) -> Array:
    n = np.maximum(n, 1.0)
    sxx, syy, sxy = xx - x * x / n, yy - y * y / n, xy - x * y / n
    varies = (sxx > 1e-12 * xx) & (syy > 1e-12 * yy)
    return _quotient(sxy, np.where(varies, np.sqrt(np.abs(sxx * syy)), 0.0))


def _averages(monthly: Array) -> Array:
    """Mean over months of each name and, last, of the mean over names; (draws, N + 1)."""
    names = bn.nanmean(monthly, axis=1)
    overall = bn.nanmean(bn.nanmean(monthly, axis=2), axis=1)
    return np.column_stack([names, overall])


def _begins(months: npt.NDArray[np.generic], n_days: int) -> Counts:
    """Row at which each month begins."""
    if months.shape != (n_days,) or not n_days:
        raise InputError(f"months has shape {months.shape}, expected ({n_days},) and not empty")
    begins = np.flatnonzero(np.concatenate([[True], months[1:] != months[:-1]]))
    if np.unique(months).size != begins.size:
        raise InputError("months: the days of a month must be neighbours; sort the rows by date")
    return begins


def _by_month(panel: Array, begins: Counts) -> Array:
    """Days of each month below each other, filled up with NaN: (M, longest month, N)."""
    lengths = np.diff(np.append(begins, len(panel)))
    steps = np.arange(lengths.max())
    rows = np.minimum(begins[:, None] + steps, len(panel) - 1)
    return np.where((steps < lengths[:, None])[:, :, None], panel[rows], np.nan)


def _correlation(x: Array, y: Array) -> Array:
    """Pearson's correlation along axis 1 of values that are missing together."""
    constant = (bn.nanmax(x, axis=1) == bn.nanmin(x, axis=1)) | (bn.nanmax(y, axis=1) == bn.nanmin(y, axis=1))
    x, y = (values - bn.nanmean(values, axis=1)[:, None] for values in (x, y))
    spread = np.sqrt(_total(x * x) * _total(y * y))
    return _quotient(_total(x * y), np.where(constant, 0.0, spread))


def _total(values: Array) -> Array:
    return np.asarray(np.where(np.isnan(values), 0.0, values).sum(axis=1))


def _quotient(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)
