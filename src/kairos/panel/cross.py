"""Statistics over the columns of one date.

Every function takes ``members``, a boolean panel (T, N), and uses the finite values of the members of each
date; infinite values are missing. Results at non-members are NaN, a missing value stays NaN. One date never
influences another, so a slice of dates gives the same bits as the whole. Sums run in the order of the
columns: another order of them may change the last bits.

Where several apply, the order is `winsorise`, `z`, clip (`clipped_z` is the last two).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import bottleneck as bn
import numpy as np
import numpy.typing as npt

from kairos.errors import InputError
from kairos.panel import kernels
from kairos.panel.arrays import Array, Mask, columns, in_ranges, member_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

# A column whose norm falls to this share of what it was is explained by the exposures; the rest is rounding.
_EXPLAINED = 1e-12


def mean_of(x: Array, members: Mask) -> Array:
    """Return the mean of each date (T,); NaN without a value.

    Examples
    --------
    >>> mean_of(np.array([[1.0, 3.0, 9.0]]), np.array([[True, True, False]])).tolist()
    [2.0]
    """
    return _moments(x, members)[0]


def std_of(x: Array, members: Mask) -> Array:
    """Return the sample standard deviation of each date (T,), exactly 0 for equal values; NaN below 2."""
    return _moments(x, members)[1]


def quantile_of(x: Array, members: Mask, q: float) -> Array:
    """Return the q-quantile of each date (T,), between values by linear interpolation; NaN without a value.

    Hyndman & Fan (1996), type 7, NumPy's default. ``q = 0.5`` is the median.

    Raises
    ------
    InputError
        When q is not in [0, 1] or the shapes differ.

    Examples
    --------
    >>> quantile_of(np.array([[1.0, 2.0, 4.0]]), np.array([[True, True, True]]), 0.75).tolist()
    [3.0]
    """
    found: Array = _quantiles(columns(x), member_columns(members, x.shape), (q,))[0]
    return found


def z(x: Array, members: Mask) -> Array:
    """Return (x − mean)/std over the members of the date, std with ddof 1.

    With fewer than 2 values, or std 0, it is 0 where x exists.

    Examples
    --------
    >>> z(np.array([[1.0, 2.0, 3.0, 99.0]]), np.array([[True, True, True, False]])).tolist()
    [[-1.0, 0.0, 1.0, nan]]
    """
    return clipped_z(x, members, bound=np.inf)


def clipped_z(x: Array, members: Mask, bound: float = 3.0) -> Array:
    """Return `z` clipped to ±bound.

    Raises
    ------
    InputError
        When the bound is not positive or the shapes differ.
    """
    if not bound > 0.0:
        raise InputError(f"z is clipped at a positive bound, not {bound}")
    mean, std = _moments(x, members)
    xs, ms = columns(x), member_columns(members, x.shape)
    out = np.empty_like(xs)
    in_ranges(lambda lo, hi: kernels.standardise(xs, ms, mean, std, bound, out, lo, hi), xs.shape[1], xs.size)
    return out.T


def rank(x: Array, members: Mask) -> Array:
    """Return the rank among the members of the date, scaled to (0, 1].

    (number below + (number equal + 1)/2)/n: the smallest of n distinct values has 1/n, the largest 1, ties
    share their mean rank.

    Examples
    --------
    >>> rank(np.array([[5.0, 1.0, 5.0, 2.0]]), np.ones((1, 4), dtype=bool)).tolist()
    [[0.875, 0.25, 0.875, 0.5]]
    """
    values = _member_values(x, members)

    def task(lo: int, hi: int) -> None:
        ranks = bn.nanrankdata(values[lo:hi], axis=1)
        values[lo:hi] = ranks / np.maximum(np.isfinite(ranks).sum(axis=1, keepdims=True), 1)

    in_ranges(task, len(values), values.size)
    return np.asfortranarray(values)


def winsorise(x: Array, members: Mask, lower: float, upper: float) -> Array:
    """Return x with the values beyond the date's ``lower`` and ``upper`` quantiles set to them.

    Quantiles as in `quantile_of`, over the members of the date.

    Raises
    ------
    InputError
        Unless 0 ≤ lower < upper ≤ 1, or when the shapes differ.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0, 2.0, 3.0, 100.0]])
    >>> winsorise(x, np.ones((1, 5), dtype=bool), 0.25, 0.75).tolist()
    [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """
    if not lower < upper:
        raise InputError(f"winsorising needs lower < upper, not {lower} and {upper}")
    xs, ms = columns(x), member_columns(members, x.shape)
    low, high = _quantiles(xs, ms, (lower, upper))
    out = np.empty_like(xs)
    in_ranges(lambda lo, hi: kernels.clip_members(xs, ms, low, high, out, lo, hi), xs.shape[1], xs.size)
    return out.T


def group_mean(x: Array, groups: npt.NDArray[np.integer], members: Mask) -> Array:
    """Return the mean over the members of the cell's group on the date, at every member with a group.

    It exists also where x itself is missing, as long as the group has a value on that date.

    Parameters
    ----------
    x, members
        (T, N).
    groups
        Integers (N,), or (T, N) where membership of a group changes; negative is unknown: the result is NaN
        and the value enters no mean.

    Raises
    ------
    InputError
        When groups are not integers, or the shapes differ.

    Examples
    --------
    >>> x = np.array([[1.0, 3.0, 10.0, 5.0]])
    >>> group_mean(x, np.array([0, 0, 1, -1]), np.ones((1, 4), dtype=bool)).tolist()
    [[2.0, 2.0, 10.0, nan]]
    """
    xs, ms = columns(x), member_columns(members, x.shape)
    gs = _group_columns(groups, x.shape)
    number = int(gs.max(initial=-1)) + 1
    out = np.empty_like(xs)
    in_ranges(lambda lo, hi: kernels.group_means(xs, gs, ms, number, out, lo, hi), xs.shape[1], xs.size)
    return out.T


def demean(x: Array, groups: npt.NDArray[np.integer], members: Mask) -> Array:
    """Return x less the mean of its group (`group_mean`); NaN where the group is unknown."""
    with np.errstate(invalid="ignore"):
        return _finite(x - group_mean(x, groups, members))


def neutralise(
    x: Array,
    members: Mask,
    exposures: Sequence[Array],
    groups: npt.NDArray[np.integer] | None = None,
) -> Array:
    """Return the part of x that the exposures and groups of the date don't explain.

    The residual of the date's least squares regression of x on the exposures and on one dummy per group (a
    constant without groups). Rows enter when x, every exposure and the group exist; elsewhere the result is
    NaN. Computed by taking group means out of every column and then removing one exposure after another
    from those that follow (Frisch–Waugh–Lovell, modified Gram–Schmidt), which needs no matrix inverse. An
    exposure that others explain (to 1e-12 of its size) explains nothing more; when x is explained as far,
    its residual is exactly 0.

    Parameters
    ----------
    x, members
        (T, N).
    exposures
        Panels (T, N), may be empty.
    groups
        Integers (N,) or (T, N), negative is unknown; None for one group.

    Raises
    ------
    InputError
        When shapes differ, or groups are not integers.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 3.0, 5.0]])
    >>> size = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> neutralise(x, np.ones((1, 4), dtype=bool), [size]).round(6).tolist()
    [[0.2, -0.1, -0.4, 0.3]]
    """
    group_of = np.zeros(x.shape[1], dtype=np.int32) if groups is None else groups
    complete = members & (np.broadcast_to(group_of, x.shape) >= 0)
    for panel in (x, *exposures):
        if panel.shape != x.shape:
            raise InputError(f"an exposure has the shape {panel.shape}, x {x.shape}")
        complete &= np.isfinite(panel)

    residuals: list[Array] = []
    for panel in (*exposures, x):
        raw = np.where(complete, panel, np.nan)
        scale = inner(raw, raw)
        rest = demean(raw, group_of, complete)
        for earlier in residuals:
            size = inner(earlier, earlier)
            slope = inner(rest, earlier) / np.where(size > 0.0, size, 1.0)
            rest -= slope[:, None] * earlier
        rest *= (inner(rest, rest) > _EXPLAINED**2 * scale)[:, None]
        residuals.append(rest)
    return residuals[-1]


def blend(
    parts: Sequence[Array],
    weights: Sequence[float | Array],
    min_components: int,
    missing: Literal["skip", "neutral"] = "skip",
) -> Array:
    """Return the weighted mean of the components that exist, Σwᵢxᵢ/Σ|wᵢ|.

    NaN where fewer than ``min_components`` exist, where none exists, and where the weights of those that
    exist are all 0. A component with the weight 0 counts as existing.

    Parameters
    ----------
    parts
        Panels (T, N).
    weights
        One per part: a number, or a series (T,) when it changes by date. A negative one turns its component
        round. A NaN weight makes its component missing on that date.
    min_components
        At least 1.
    missing
        ``"skip"`` renormalises over the components that exist; ``"neutral"`` lets a missing one count as 0
        with its full weight.

    Raises
    ------
    InputError
        When there is no part, the numbers or shapes differ, ``min_components`` is not in 1..number of
        parts, or ``missing`` is another word.

    Examples
    --------
    >>> a, b = np.array([[1.0, np.nan]]), np.array([[2.0, 4.0]])
    >>> blend([a, b], [0.5, 0.5], min_components=1).tolist()
    [[1.5, 4.0]]
    >>> blend([a, b], [0.5, 0.5], min_components=1, missing="neutral").tolist()
    [[1.5, 2.0]]
    """
    if not parts or len(parts) != len(weights):
        raise InputError(
            f"a blend needs one weight per component: {len(parts)} parts, {len(weights)} weights"
        )
    if not 1 <= min_components <= len(parts):
        raise InputError(f"min_components is in 1..{len(parts)}, not {min_components}")
    if missing not in ("skip", "neutral"):
        raise InputError(f'missing is "skip" or "neutral", not {missing!r}')

    shape = parts[0].shape
    total, size = np.zeros(shape[::-1]), np.zeros(shape[::-1])
    number = np.zeros(shape[::-1], dtype=np.int16)
    for part, given in zip(parts, weights, strict=True):
        if part.shape != shape:
            raise InputError(f"a component has the shape {part.shape}, the first {shape}")
        xs = columns(part)
        series = np.ascontiguousarray(np.broadcast_to(np.asarray(given, dtype=np.float64), shape[:1]))

        def add(lo: int, hi: int, xs: Array = xs, series: Array = series) -> None:
            kernels.add_component(xs, series, missing == "neutral", total, size, number, lo, hi)

        in_ranges(add, len(xs), xs.size)
    in_ranges(
        lambda lo, hi: kernels.divide_components(total, size, number, min_components, lo, hi),
        len(total),
        total.size,
    )
    return total.T


def _moments(x: Array, members: Mask) -> tuple[Array, Array]:
    xs, ms = columns(x), member_columns(members, x.shape)
    count, mean, std = np.empty((3, len(x)))
    in_ranges(lambda lo, hi: kernels.cross_moments(xs, ms, count, mean, std, lo, hi), xs.shape[1], xs.size)
    return mean, std


def inner(x: Array, y: Array) -> Array:
    """Return the sum over the columns of x·y of each date (T,), over the cells where both exist.

    Examples
    --------
    >>> inner(np.array([[1.0, 2.0, np.nan]]), np.array([[3.0, 4.0, 5.0]])).tolist()
    [11.0]
    """
    xs, ys = columns(x), columns(y)
    out = np.empty(len(x))
    in_ranges(lambda lo, hi: kernels.inner_products(xs, ys, out, lo, hi), xs.shape[1], xs.size)
    return out


def _member_values(x: Array, members: Mask) -> Array:
    """Return x as a C-contiguous copy (dates are contiguous) with NaN where no member has a finite value."""
    member_columns(members, x.shape)
    return np.ascontiguousarray(np.where(members & np.isfinite(x), x, np.nan))


def _quantiles(xs: Array, members: Mask, levels: tuple[float, ...]) -> Array:
    """Quantiles of each date, (levels, T), of panels that are (N, T) in memory."""
    for level in levels:
        if not 0.0 <= level <= 1.0:
            raise InputError(f"a quantile's level is in [0, 1], not {level}")
    wanted, out = np.array(levels), np.empty((len(levels), xs.shape[1]))
    in_ranges(lambda lo, hi: kernels.quantiles(xs, members, wanted, out, lo, hi), xs.shape[1], xs.size)
    return out


def _group_columns(groups: npt.NDArray[np.integer], shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    if not np.issubdtype(groups.dtype, np.integer):
        raise InputError(f"groups are integers (unknown: −1), not {groups.dtype}")
    if groups.shape not in (shape, shape[1:]):
        raise InputError(f"groups have the shape {groups.shape}, the panel {shape}")
    return np.ascontiguousarray(np.broadcast_to(groups, shape).T, dtype=np.int32)


def _finite(x: Array) -> Array:
    x[~np.isfinite(x)] = np.nan
    return np.asfortranarray(x)
