"""What a signal knows about the returns that follow: information coefficients and regression slopes by date.

Time convention: row t of a signal is known after the close of session t. Row t of a forward return is what a
position decided on t earns: from the close of t + lag over h sessions. The caller computes it; NaN means that
the data end before the horizon does. Nothing here looks across rows: a value of date t uses row t alone
(`rank_autocorrelation` also row t − k). Panels are (T, N), missing or infinite is NaN; ``members`` says which
names count on a date.

A pooled correlation over all dates is not offered: it confuses picking names with timing the market.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import bottleneck as bn
import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import Codes, deviation, gapped_series, same_shape
from kairos.evaluation.significance import MeanTest, overlap_test
from kairos.panel import Array, Mask, inner, mean_of, rank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

Method = Literal["spearman", "pearson"]


def information_coefficient(
    signal: Array, forward: Array, members: Mask, method: Method = "spearman", min_names: int = 10
) -> Array:
    """Correlate a signal with the return that follows, across the members of each date.

    Names are ranked among those that have both values (ties share the average rank); Spearman's coefficient
    is the correlation of the ranks, Pearson's that of the values.

    Parameters
    ----------
    signal : (T, N)
        Known after the close of each row.
    forward : (T, N)
        Return that follows, as a fraction.
    members : (T, N) bool
        Names that count on each date.
    method : "spearman" or "pearson"
        Ranks or values.
    min_names : int
        A date with fewer pairs has no coefficient.

    Returns
    -------
    (T,) coefficients in [−1, 1]; NaN with too few pairs, or when either side is constant.

    Raises
    ------
    InputError
        The shapes differ, or the method is unknown.

    Examples
    --------
    >>> signal, forward = np.array([[1.0, 2.0, 3.0]]), np.array([[0.01, 0.03, 0.02]])
    >>> information_coefficient(signal, forward, np.full((1, 3), True), min_names=3).round(4).tolist()
    [0.5]
    """
    same_shape({"signal": signal, "forward": forward, "members": members})
    if method not in ("spearman", "pearson"):
        raise InputError(f"method = {method!r}: use 'spearman' or 'pearson'")
    both = _both(signal, forward, members)
    if method == "spearman":
        signal, forward = rank(signal, both), rank(forward, both)
    sxx, sxy, syy = _second_moments(signal, forward, both, min_names)
    return np.clip(_quotient(sxy, np.sqrt(sxx * syy)), -1.0, 1.0)


@dataclass(frozen=True)
class ICSummary(MeanTest):
    """The mean of a series of information coefficients, tested, and how steady they are.

    Attributes
    ----------
    std : float
        Sample standard deviation of the coefficients.
    icir : float
        mean / std of single coefficients, not annualised.
    positive : float
        Share of the coefficients above zero.
    """

    std: float
    icir: float
    positive: float


def summarise(ic: npt.ArrayLike, horizon: int, level: float = 0.95) -> ICSummary:
    """Summarise a daily series of information coefficients.

    Parameters
    ----------
    ic : (T,)
        One for each session, NaN where undefined.
    horizon : int
        Sessions over which the forward returns run; neighbouring coefficients share horizon − 1 of them. So
        many lags the Newey-West t has; p and the interval allow for the whole overlap (see `overlap_test`).
    level : float
        Coverage of the interval of the mean.
    """
    values = gapped_series(ic, "ic")
    found = values[~np.isnan(values)]
    test = overlap_test(values, horizon, level)
    std = deviation(found)
    return ICSummary(
        **asdict(test),
        std=std,
        icir=test.mean / std if std > 0.0 else np.nan,
        positive=float(np.mean(found > 0.0)) if found.size else np.nan,
    )


def decay(
    signal: Array,
    returns_for_horizon: Mapping[int, Array],
    members: Mask,
    method: Method = "spearman",
    min_names: int = 10,
) -> dict[int, ICSummary]:
    """Summarise the information coefficient against returns over several horizons.

    Parameters
    ----------
    signal, members, method, min_names
        See `information_coefficient`.
    returns_for_horizon : mapping of h to (T, N)
        Forward return over h sessions.

    Returns
    -------
    The summary of each horizon, in the order given.
    """
    return {
        horizon: summarise(information_coefficient(signal, forward, members, method, min_names), horizon)
        for horizon, forward in returns_for_horizon.items()
    }


def by_group(ic: npt.ArrayLike, labels: npt.NDArray[np.generic], horizon: int) -> dict[int | str, ICSummary]:
    """Summarise a daily series for each label of its dates: years, regimes, in and out of sample.

    Parameters
    ----------
    ic : (T,)
        Information coefficients.
    labels : (T,) integers or text
        Group of each date, known to the caller.
    horizon : int
        See `summarise`. Dates of other groups count as missing, so that the lags of t still count sessions.

    Returns
    -------
    The summary of each label, in ascending order.

    Examples
    --------
    >>> years = np.array([2019, 2019, 2019, 2020, 2020, 2020])
    >>> groups = by_group([0.1, 0.2, 0.3, -0.1, 0.0, 0.1], years, horizon=1)
    >>> [(year, round(group.mean, 3)) for year, group in groups.items()]
    [(2019, 0.2), (2020, 0.0)]
    """
    values = gapped_series(ic, "ic")
    if labels.shape != values.shape:
        raise InputError(
            f"labels has shape {labels.shape} but ic has {values.shape}: one label for each date"
        )
    return {
        label.item(): summarise(np.where(labels == label, values, np.nan), horizon)
        for label in np.unique(labels)
    }


def by_sector(
    signal: Array,
    forward: Array,
    members: Mask,
    sectors: Codes,
    horizon: int,
    method: Method = "spearman",
    min_names: int = 10,
) -> dict[int, ICSummary]:
    """Summarise the information coefficient within each sector.

    Parameters
    ----------
    signal, forward, members, method, min_names
        See `information_coefficient`; a sector with fewer than ``min_names`` pairs on a date has none on it.
    sectors : (N,) or (T, N) integers
        Sector of each name, −1 unknown (in no sector).
    horizon : int
        See `summarise`.

    Returns
    -------
    The summary of each sector by its number, in ascending order.
    """
    shape = same_shape({"signal": signal, "forward": forward, "members": members})
    if sectors.shape not in (shape, shape[1:]):
        raise InputError(f"sectors has shape {sectors.shape}, expected {shape[1:]} or {shape}")
    summaries = {}
    for sector in np.unique(sectors[sectors >= 0]):
        inside = sectors == sector
        names = np.atleast_2d(inside).any(axis=0)  # only these columns can have a pair: the work stays O(T·N)
        ic = information_coefficient(
            signal[:, names],
            forward[:, names],
            members[:, names] & inside[..., names],
            method,
            min_names,
        )
        summaries[int(sector)] = summarise(ic, horizon)
    return summaries


@dataclass(frozen=True)
class FamaMacBeth:
    """Slopes of daily cross-sectional regressions, and the test that their mean is zero.

    Attributes
    ----------
    slopes : (T,) array
        Return for one unit of the signal on each date; NaN where undefined.
    test : MeanTest
        Of the slopes.
    """

    slopes: Array
    test: MeanTest


def fama_macbeth(
    signal: Array, forward: Array, members: Mask, horizon: int, min_names: int = 10
) -> FamaMacBeth:
    """Regress the return that follows on the signal across members, date by date, and average the slopes.

    slope_t = Σ_i (x_i − x̄)(y_i − ȳ) / Σ_i (x_i − x̄)² over the members that have both, which is OLS with a
    constant. For a return per standard deviation pass a signal in z-scores.

    Parameters
    ----------
    signal, forward, members, min_names
        See `information_coefficient`.
    horizon : int
        Sessions over which the forward returns run; the mean slope is tested by `overlap_test`.

    Raises
    ------
    InputError
        The shapes differ.

    References
    ----------
    Fama, E. and MacBeth, J. (1973), Risk, return, and equilibrium: empirical tests, Journal of Political
    Economy 81(3).
    """
    same_shape({"signal": signal, "forward": forward, "members": members})
    sxx, sxy, _ = _second_moments(signal, forward, _both(signal, forward, members), min_names)
    slopes = _quotient(sxy, sxx)
    return FamaMacBeth(slopes, overlap_test(slopes, horizon))


def rank_autocorrelation(signal: Array, members: Mask, k: int, min_names: int = 10) -> Array:
    """Spearman correlation of a signal with itself k sessions before, over the members of both dates.

    Returns
    -------
    (T,) with NaN in the first k rows: how slowly the signal changes its mind.
    """
    same_shape({"signal": signal, "members": members})
    if k < 1:
        raise InputError(f"k = {k}: compare with at least one session before")
    stayed = members[k:] & members[:-k]
    result = np.full(signal.shape[0], np.nan)
    result[k:] = information_coefficient(signal[k:], signal[:-k], stayed, min_names=min_names)
    return result


def signal_correlation(signals: Sequence[Array], members: Mask, min_names: int = 10) -> Array:
    """Mean over dates of the daily cross-sectional Spearman correlation of each pair of signals.

    Returns
    -------
    (S, S) symmetric, 1 on the diagonal; NaN for a pair that has no date with enough names.
    """
    matrix = np.eye(len(signals))
    for i, j in combinations(range(len(signals)), 2):
        daily = information_coefficient(signals[i], signals[j], members, min_names=min_names)
        matrix[i, j] = matrix[j, i] = bn.nanmean(daily)
    return matrix


def _both(signal: Array, forward: Array, members: Mask) -> Mask:
    return members & np.isfinite(signal) & np.isfinite(forward)


def _second_moments(x: Array, y: Array, both: Mask, min_names: int) -> Array:
    """Sum squares and products of row deviations: Σx², Σxy, Σy² as (3, T); NaN with too few pairs.

    Sums run in the order of the columns over the pairs alone: further columns without a pair change no bit.
    """
    x, y = _deviations(x, both), _deviations(y, both)
    moments = np.stack([inner(x, x), inner(x, y), inner(y, y)])
    moments[:, both.sum(axis=1) < min_names] = np.nan
    return moments


def _deviations(values: Array, exists: Mask) -> Array:
    """Deviations from the row's mean, NaN where missing; all exactly 0 in a constant row."""
    with np.errstate(invalid="ignore"):
        return np.where(exists, values - mean_of(values, exists)[:, None], np.nan)


def _quotient(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0.0)
