"""Compiled loops. Every kernel reads (N, T) C-contiguous columns and fills ``out`` for a range lo..hi.

Rolling kernels share one scheme, which makes a value independent of where the array starts. Sessions are
cut into blocks of ``window`` sessions, beginning at absolute session numbers divisible by the window. A
window that ends at position k of a block is the part 0..k of that block (the *head*, accumulated forwards)
and the part k+1.. of the block before (the *tail*, accumulated backwards, kept in a table). Both are merged
with the pairwise formulas of Chan, Golub & LeVeque (1979) and Pébay (2008). Nothing is ever taken out of a
sum, so nothing drifts, a past level leaves no trace, and the moments of a constant are exact.

Cross-sectional kernels run over the columns in their order, and keep one sum per date.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel.arrays import Array, Mask

SUM, MEAN, VAR, STD = 0, 1, 2, 3
SKEW, KURT = 0, 1
COV, CORR, BETA, RESIDUAL_STD = 0, 1, 2, 3
MIN, MAX, DRAWDOWN = 0, 1, 2
Function = TypeVar("Function", bound=Callable[..., Any])

FORGOTTEN = 1e-12  # weight below which an aged average is left out, so that a slice need not reach back to it


def kernel(function: Function) -> Function:
    """Compile a function; what is compiled is kept for the next process where there is a place to keep it."""
    try:
        compiled: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither beside the package nor in the user's own cache may anything be written
        compiled = njit(nogil=True, error_model="numpy")(function)
    kept: Function = compiled
    return kept


@kernel
def _finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan


@kernel
def _ready(listed: Array, j: int, t: int, window: int, start: int) -> bool:
    """Tell whether the window is inside the array and, where ``listed`` is given, inside the listing."""
    if start > 0 and t < window - 1:
        return False
    return listed.size == 0 or listed[j, t] >= window


# Rolling -------------------------------------------------------------------------------------------------


@kernel
def _add2(n: float, mean: float, m2: float, value: float) -> tuple[float, float, float]:
    n += 1.0
    delta = value - mean
    mean += delta / n
    return n, mean, m2 + delta * (value - mean)


@kernel
def moments(
    x: Array,
    listed: Array,
    window: int,
    min_obs: int,
    start: int,
    statistic: int,
    out: Array,
    lo: int,
    hi: int,
) -> None:
    """Fill in the rolling sum, mean, variance or standard deviation."""
    rows = x.shape[1]
    tail = np.empty((window + 1, 4))
    for j in range(lo, hi):
        tail[:] = 0.0
        for block in range(-(start % window), rows, window):
            first, last = max(block, 0), min(block + window, rows)
            n = mean = m2 = total = 0.0
            for t in range(first, last):
                value = x[j, t]
                if math.isfinite(value):
                    n, mean, m2 = _add2(n, mean, m2, value)
                    total += value
                k = t - block + 1
                count = tail[k, 0] + n
                result = math.nan
                if count >= min_obs and _ready(listed, j, t, window, start):
                    if statistic == SUM:
                        result = tail[k, 3] + total
                    else:
                        share = n / count
                        delta = mean - tail[k, 1]
                        if statistic == MEAN:
                            result = tail[k, 1] + delta * share
                        else:
                            result = (tail[k, 2] + m2 + delta * delta * tail[k, 0] * share) / (count - 1.0)
                            if statistic == STD:
                                result = math.sqrt(result)
                out[j, t] = _finite_or_nan(result)
            n = mean = m2 = total = 0.0
            for t in range(last - 1, first - 1, -1):
                value = x[j, t]
                if math.isfinite(value):
                    n, mean, m2 = _add2(n, mean, m2, value)
                    total += value
                k = t - block
                tail[k, 0], tail[k, 1], tail[k, 2], tail[k, 3] = n, mean, m2, total


@kernel
def _add4(
    n: float, mean: float, m2: float, m3: float, m4: float, value: float
) -> tuple[float, float, float, float, float]:
    before, n = n, n + 1.0
    delta = value - mean
    step = delta / n
    term = delta * step * before
    m4 += term * step * step * (n * n - 3.0 * n + 3.0) + 6.0 * step * step * m2 - 4.0 * step * m3
    m3 += term * step * (n - 2.0) - 3.0 * step * m2
    return n, mean + step, m2 + term, m3, m4


@kernel
def _merge4(a: Array, n: float, mean: float, m2: float, m3: float, m4: float) -> tuple[float, float, float]:
    """M2, M3 and M4 of the tail ``a`` and the head together."""
    total = a[0] + n
    p, q = a[0] / total, n / total
    delta = mean - a[1]
    delta2 = delta * delta
    cross = a[0] * q * delta2
    merged3 = a[3] + m3 + cross * delta * (p - q) + 3.0 * delta * (p * m2 - q * a[2])
    merged4 = (
        a[4]
        + m4
        + cross * delta2 * (p * p - p * q + q * q)
        + 6.0 * delta2 * (p * p * m2 + q * q * a[2])
        + 4.0 * delta * (p * m3 - q * a[3])
    )
    return a[2] + m2 + cross, merged3, merged4


@kernel
def higher_moments(
    x: Array,
    listed: Array,
    window: int,
    min_obs: int,
    start: int,
    statistic: int,
    out: Array,
    lo: int,
    hi: int,
) -> None:
    """Fill in the rolling skewness or excess kurtosis, bias-adjusted."""
    rows = x.shape[1]
    tail = np.empty((window + 1, 5))
    for j in range(lo, hi):
        tail[:] = 0.0
        for block in range(-(start % window), rows, window):
            first, last = max(block, 0), min(block + window, rows)
            n = mean = m2 = m3 = m4 = 0.0
            for t in range(first, last):
                value = x[j, t]
                if math.isfinite(value):
                    n, mean, m2, m3, m4 = _add4(n, mean, m2, m3, m4, value)
                k = t - block + 1
                count = tail[k, 0] + n
                result = math.nan
                if count >= min_obs and _ready(listed, j, t, window, start):
                    s2, s3, s4 = _merge4(tail[k], n, mean, m2, m3, m4)
                    if s2 == 0.0:
                        result = math.nan
                    elif statistic == SKEW:
                        result = count * math.sqrt(count - 1.0) / (count - 2.0) * s3 / (s2 * math.sqrt(s2))
                    else:
                        result = (count - 1.0) / ((count - 2.0) * (count - 3.0))
                        result *= (count + 1.0) * count * s4 / (s2 * s2) - 3.0 * (count - 1.0)
                out[j, t] = _finite_or_nan(result)
            n = mean = m2 = m3 = m4 = 0.0
            for t in range(last - 1, first - 1, -1):
                value = x[j, t]
                if math.isfinite(value):
                    n, mean, m2, m3, m4 = _add4(n, mean, m2, m3, m4, value)
                k = t - block
                tail[k, 0], tail[k, 1], tail[k, 2], tail[k, 3], tail[k, 4] = n, mean, m2, m3, m4


@kernel
def _add_pair(
    n: float, mx: float, my: float, sxx: float, syy: float, sxy: float, x: float, y: float
) -> tuple[float, float, float, float, float, float]:
    n += 1.0
    dx, dy = x - mx, y - my
    mx += dx / n
    my += dy / n
    return n, mx, my, sxx + dx * (x - mx), syy + dy * (y - my), sxy + dx * (y - my)


@kernel
def _pair_statistic(statistic: int, n: float, sxx: float, syy: float, sxy: float) -> float:
    if statistic == COV:
        return sxy / (n - 1.0)
    if sxx == 0.0:
        return math.nan
    if statistic == BETA:
        return sxy / sxx
    if statistic == RESIDUAL_STD:
        return math.sqrt(max(syy - sxy / sxx * sxy, 0.0) / (n - 1.0))
    if syy == 0.0:
        return math.nan
    return min(max(sxy / (math.sqrt(sxx) * math.sqrt(syy)), -1.0), 1.0)


@kernel
def comoments(
    x: Array,
    y: Array,
    listed: Array,
    window: int,
    min_obs: int,
    start: int,
    statistic: int,
    out: Array,
    lo: int,
    hi: int,
) -> None:
    """Fill in the rolling covariance, correlation, slope or residual deviation of y on x over the pairs.

    x or y may have a single column, which then serves every column of the other.
    """
    rows = x.shape[1]
    tail = np.empty((window + 1, 6))
    for j in range(lo, hi):
        xs = x[j if x.shape[0] > 1 else 0]
        ys = y[j if y.shape[0] > 1 else 0]
        tail[:] = 0.0
        for block in range(-(start % window), rows, window):
            first, last = max(block, 0), min(block + window, rows)
            n = mx = my = sxx = syy = sxy = 0.0
            for t in range(first, last):
                if math.isfinite(xs[t]) and math.isfinite(ys[t]):
                    n, mx, my, sxx, syy, sxy = _add_pair(n, mx, my, sxx, syy, sxy, xs[t], ys[t])
                a = tail[t - block + 1]
                count = a[0] + n
                result = math.nan
                if count >= min_obs and _ready(listed, j, t, window, start):
                    dx, dy = mx - a[1], my - a[2]
                    cross = a[0] * (n / count)
                    result = _pair_statistic(
                        statistic,
                        count,
                        a[3] + sxx + dx * dx * cross,
                        a[4] + syy + dy * dy * cross,
                        a[5] + sxy + dx * dy * cross,
                    )
                out[j, t] = _finite_or_nan(result)
            n = mx = my = sxx = syy = sxy = 0.0
            for t in range(last - 1, first - 1, -1):
                if math.isfinite(xs[t]) and math.isfinite(ys[t]):
                    n, mx, my, sxx, syy, sxy = _add_pair(n, mx, my, sxx, syy, sxy, xs[t], ys[t])
                a = tail[t - block]
                a[0], a[1], a[2], a[3], a[4], a[5] = n, mx, my, sxx, syy, sxy


@kernel
def extremes(
    x: Array,
    listed: Array,
    window: int,
    min_obs: int,
    start: int,
    statistic: int,
    out: Array,
    lo: int,
    hi: int,
) -> None:
    """Fill in the rolling minimum, maximum or maximum drawdown.

    The deepest fall of two stretches after one another is the deepest of the first, of the second, and of
    the highest value of the first to the lowest of the second.
    """
    rows = x.shape[1]
    tail = np.empty((window + 1, 4))
    for j in range(lo, hi):
        tail[:, 0], tail[:, 1], tail[:, 2], tail[:, 3] = 0.0, math.inf, -math.inf, 0.0
        for block in range(-(start % window), rows, window):
            first, last = max(block, 0), min(block + window, rows)
            n, low, high, fall = 0.0, math.inf, -math.inf, 0.0
            for t in range(first, last):
                value = x[j, t]
                if math.isfinite(value):
                    n += 1.0
                    low, high = min(low, value), max(high, value)
                    fall = min(fall, value / high - 1.0)
                k = t - block + 1
                result = math.nan
                if tail[k, 0] + n >= min_obs and _ready(listed, j, t, window, start):
                    bottom = min(tail[k, 1], low)
                    if statistic == MIN:
                        result = bottom
                    elif statistic == MAX:
                        result = max(tail[k, 2], high)
                    elif bottom > 0.0:
                        result = min(tail[k, 3], fall)
                        if tail[k, 0] > 0.0 and n > 0.0:
                            result = min(result, low / tail[k, 2] - 1.0)
                out[j, t] = result
            n, low, high, fall = 0.0, math.inf, -math.inf, 0.0
            for t in range(last - 1, first - 1, -1):
                value = x[j, t]
                if math.isfinite(value):
                    n += 1.0
                    low, high = min(low, value), max(high, value)
                    fall = min(fall, low / value - 1.0)
                k = t - block
                tail[k, 0], tail[k, 1], tail[k, 2], tail[k, 3] = n, low, high, fall


@kernel
def rank_in_window(
    x: Array, listed: Array, window: int, min_obs: int, start: int, out: Array, lo: int, hi: int
) -> None:
    """Rank of the last value among the values of its window, ties averaged, divided by their number."""
    rows = x.shape[1]
    values = np.empty(rows)
    for j in range(lo, hi):
        for t in range(rows):
            values[t] = _finite_or_nan(x[j, t])
        for t in range(rows):
            value = values[t]
            out[j, t] = math.nan
            if math.isnan(value) or not _ready(listed, j, t, window, start):
                continue
            n = below = equal = 0
            for s in range(max(t - window + 1, 0), t + 1):
                n += values[s] == values[s]
                below += values[s] < value
                equal += values[s] == value
            if n >= min_obs:
                out[j, t] = (below + 0.5 * (equal + 1)) / n


# Recursion and history ------------------------------------------------------------------------------------


@kernel
def exponential(x: Array, alpha: float, gap_aware: bool, known: Array, out: Array, lo: int, hi: int) -> None:
    """Recursive average, seeded with the first value, or going on from what is known of it."""
    for j in range(lo, hi):
        state = math.nan
        old = 1.0
        for t in range(x.shape[1]):
            old *= 1.0 - alpha
            value = x[j, t]
            out[j, t] = math.nan
            if known.size and math.isfinite(known[j, t]):
                state = known[j, t]
                old = 1.0
                out[j, t] = state
            elif math.isfinite(value):
                if math.isnan(state) or (gap_aware and old < FORGOTTEN):
                    state = value
                elif gap_aware:
                    state += alpha / (alpha + old) * (value - state)
                else:
                    state += alpha * (value - state)
                old = 1.0
                out[j, t] = state


@kernel
def last_valid(x: Array, within: int, out: Array, lo: int, hi: int) -> None:
    """Last finite value, at most ``within`` rows old."""
    for j in range(lo, hi):
        value, age = math.nan, 0
        for t in range(x.shape[1]):
            age += 1
            if math.isfinite(x[j, t]):
                value, age = x[j, t], 0
            out[j, t] = value if age <= within else math.nan


@kernel
def carry(x: Array, lo: int, hi: int) -> None:
    """Fill what is missing in the columns lo to hi of a row-major panel with the row before, in place."""
    for t in range(x.shape[0]):
        for j in range(lo, hi):
            if not math.isfinite(x[t, j]):
                x[t, j] = x[t - 1, j] if t > 0 else math.nan


@kernel
def pick(
    x: Array, cell: npt.NDArray[np.integer[Any]], begin: int, out: npt.NDArray[np.floating[Any]]
) -> None:
    """Take the values at flat cells ``cell − begin`` of the columns, in the precision of ``out``."""
    flat = x.ravel()
    for i in range(cell.size):
        out[i] = flat[cell[i] - begin]


@kernel
def place(
    cell: npt.NDArray[np.integer[Any]], values: Array, length: int, at: npt.NDArray[np.int64], out: Array
) -> None:
    """Put values of flat cells ``column · length + row`` into the row ``at[row]`` of a row-major array.

    What is missing, and the row -1, is left out.
    """
    for i in range(cell.size):
        column = cell[i] // length
        row = at[cell[i] - column * length]
        if row >= 0 and math.isfinite(values[i]):
            out[row, column] = values[i]


@kernel
def in_rows(cell: npt.NDArray[np.integer[Any]], wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Positions of the flat cells ``column · T + row`` whose row is wanted."""
    found, number = np.empty(cell.size, dtype=np.int64), 0
    for i in range(cell.size):
        found[number] = i
        number += wanted[cell[i] % wanted.size]
    return found[:number].copy()


@kernel
def in_force(
    day: npt.NDArray[np.int64],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    kind: npt.NDArray[np.int64],
    since: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
    dated: npt.NDArray[np.int64],
    max_age: int,
    out: npt.NDArray[np.int32],
    lo: int,
    hi: int,
) -> None:
    """Last of the rows begin..end of each column that began by the day, is meant for it and not too old."""
    for j in range(lo, hi):
        row, current = begin[j], -1
        for t in range(day.size):
            while row < end[j] and since[row] <= day[t]:
                if low[row] <= kind[j] <= high[row]:
                    current = row
                row += 1
            out[j, t] = current if current >= 0 and day[t] - dated[current] <= max_age else -1


@kernel
def take(values: Array, at: npt.NDArray[np.int32], out: Array, lo: int, hi: int) -> None:
    """Fill in the values at the positions, NaN at negative ones."""
    for j in range(lo, hi):
        for t in range(at.shape[1]):
            out[j, t] = _finite_or_nan(values[at[j, t]]) if at[j, t] >= 0 else math.nan


@kernel
def expanding_quantile(x: Array, level: float, min_obs: int, out: Array) -> None:
    """Quantile of the finite values before each one, by insertion into the sorted ones."""
    ordered = np.empty(x.size)
    n = 0
    for t in range(x.size):
        out[t] = math.nan
        if n >= min_obs:
            place = (n - 1) * level
            below = int(place)
            above = min(below + 1, n - 1)
            out[t] = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
        if math.isfinite(x[t]):
            i = n
            while i > 0 and ordered[i - 1] > x[t]:
                ordered[i] = ordered[i - 1]
                i -= 1
            ordered[i] = x[t]
            n += 1


# Cross-section --------------------------------------------------------------------------------------------


@kernel
def cross_moments(x: Array, members: Mask, count: Array, mean: Array, std: Array, lo: int, hi: int) -> None:
    """Count, mean and sample deviation of the members of dates lo to hi.

    Sums are taken of the distances to the date's first value, so that equal values have the deviation 0.
    """
    count[lo:hi], mean[lo:hi], std[lo:hi] = 0.0, 0.0, 0.0
    anchor = np.empty(hi - lo)
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            value = x[j, t]
            if members[j, t] and math.isfinite(value):
                if count[t] == 0.0:
                    anchor[t - lo] = value
                count[t] += 1.0
                mean[t] += value - anchor[t - lo]
    for t in range(lo, hi):
        mean[t] = anchor[t - lo] + mean[t] / count[t] if count[t] > 0.0 else math.nan
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            value = x[j, t]
            if members[j, t] and math.isfinite(value):
                std[t] += (value - mean[t]) * (value - mean[t])
    for t in range(lo, hi):
        std[t] = math.sqrt(std[t] / (count[t] - 1.0)) if count[t] > 1.0 else math.nan


@kernel
def _select(values: Any, n: int, k: int) -> Any:
    """Return the k-th smallest of the first n values, which are moved: smaller before, larger behind it."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@kernel
def quantiles(x: Array, members: Mask, levels: Array, out: Array, lo: int, hi: int) -> None:
    """Quantiles of the members of dates lo to hi, between values by linear interpolation: (levels, dates).

    Some dates are gathered at a time, for those of one column lie side by side in memory.
    """
    together = 16
    room = np.empty((together, x.shape[0]))
    count = np.empty(together, dtype=np.int64)
    for first in range(lo, hi, together):
        last = min(first + together, hi)
        count[:] = 0
        for j in range(x.shape[0]):
            for t in range(first, last):
                if members[j, t] and math.isfinite(x[j, t]):
                    room[t - first, count[t - first]] = x[j, t]
                    count[t - first] += 1
        for t in range(first, last):
            values, n = room[t - first], count[t - first]
            for i in range(levels.size):
                out[i, t] = math.nan
                if n > 0:
                    place = (n - 1) * levels[i]
                    k = int(place)
                    value = _select(values, n, k)
                    if place > k:
                        above = values[k + 1]
                        for m in range(k + 2, n):
                            above = min(above, values[m])
                        value = min(value + (above - value) * (place - k), above)
                    out[i, t] = value


@kernel
def clip_members(x: Array, members: Mask, low: Array, high: Array, out: Array, lo: int, hi: int) -> None:
    """The members' values between the bounds of dates lo to hi, NaN elsewhere."""
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            value = x[j, t]
            known = members[j, t] and math.isfinite(value)
            out[j, t] = min(max(value, low[t]), high[t]) if known else math.nan


@kernel
def add_component(
    part: Array, weight: Array, neutral: bool, total: Array, weights: Array, number: Any, lo: int, hi: int
) -> None:
    """Add weight·part to the total where both exist, its size to the weights, and count it."""
    for j in range(lo, hi):
        for t in range(part.shape[1]):
            w = weight[t]
            if math.isfinite(part[j, t]) and math.isfinite(w):
                total[j, t] += w * part[j, t]
                weights[j, t] += abs(w)
                number[j, t] += 1
            elif neutral and math.isfinite(w):
                weights[j, t] += abs(w)


@kernel
def divide_components(total: Array, weights: Array, number: Any, least: int, lo: int, hi: int) -> None:
    """The total over the weights where enough components exist, else NaN, in place."""
    for j in range(lo, hi):
        for t in range(total.shape[1]):
            enough = number[j, t] >= least
            total[j, t] = _finite_or_nan(total[j, t] / weights[j, t]) if enough else math.nan


@kernel
def standardise(
    x: Array, members: Mask, mean: Array, std: Array, bound: float, out: Array, lo: int, hi: int
) -> None:
    """(x − mean)/std inside ±bound; 0 where the date has no deviation."""
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            value = x[j, t]
            out[j, t] = math.nan
            if members[j, t] and math.isfinite(value):
                score = (value - mean[t]) / std[t] if std[t] > 0.0 else 0.0
                out[j, t] = min(max(score, -bound), bound)


@kernel
def group_means(
    x: Array, groups: npt.NDArray[np.int32], members: Mask, number: int, out: Array, lo: int, hi: int
) -> None:
    """Mean of the members of each cell's group on dates lo to hi, at every member with a group (≥ 0)."""
    anchor = np.empty((number, hi - lo))
    total = np.zeros((number, hi - lo))
    count = np.zeros((number, hi - lo))
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            g, value = groups[j, t], x[j, t]
            if members[j, t] and g >= 0 and math.isfinite(value):
                if count[g, t - lo] == 0.0:
                    anchor[g, t - lo] = value
                count[g, t - lo] += 1.0
                total[g, t - lo] += value - anchor[g, t - lo]
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            g = groups[j, t]
            out[j, t] = math.nan
            if members[j, t] and g >= 0 and count[g, t - lo] > 0.0:
                out[j, t] = anchor[g, t - lo] + total[g, t - lo] / count[g, t - lo]


@kernel
def inner_products(x: Array, y: Array, out: Array, lo: int, hi: int) -> None:
    """Sum over columns of x·y per date, over the cells where both exist."""
    out[lo:hi] = 0.0
    for j in range(x.shape[0]):
        for t in range(lo, hi):
            product = x[j, t] * y[j, t]
            if not math.isnan(product):
                out[t] += product
