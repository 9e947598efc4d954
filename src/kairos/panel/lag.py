"""Earlier values and changes over time.

Everything here looks backwards: the value at row t uses rows ≤ t.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from kairos.errors import InputError
from kairos.panel import kernels
from kairos.panel.arrays import Array, Mask, columns, in_ranges

Panel = TypeVar("Panel", Array, Mask)
Ints = npt.NDArray[np.integer[Any]]
Rows = npt.NDArray[np.int32]


def lag(x: Panel, k: int) -> Panel:
    """Return the value k rows earlier; NaN (False for a boolean panel) in the first k rows.

    Raises
    ------
    InputError
        When k is negative: that would be a look ahead.

    Examples
    --------
    >>> lag(np.array([[1.0], [2.0], [3.0]]), 1).ravel().tolist()
    [nan, 1.0, 2.0]
    """
    if k < 0:
        raise InputError(f"a lag of {k} sessions would look ahead")
    out = np.empty_like(x, order="F")
    out[:k] = False if x.dtype == np.bool_ else np.nan
    out[k:] = x[: max(len(x) - k, 0)]
    return out


def last_valid(x: Array, within: int) -> Array:
    """Return the last finite value that is at most ``within`` rows old, else NaN.

    Raises
    ------
    InputError
        When ``within`` is negative.

    Examples
    --------
    >>> last_valid(np.array([[5.0], [np.nan], [np.nan]]), 1).ravel().tolist()
    [5.0, 5.0, nan]
    """
    if within < 0:
        raise InputError(f"a value can't be {within} rows old")
    xs = columns(x)
    out = np.empty_like(xs)
    in_ranges(lambda lo, hi: kernels.last_valid(xs, within, out, lo, hi), len(xs), xs.size)
    return out.T


def carry(x: Array) -> None:
    """Fill every missing value with the last finite one before it, however old, in place.

    For the one consumer that reads row by row: x is row-major, unlike the other panels.

    Raises
    ------
    InputError
        When x is not C-contiguous.

    Examples
    --------
    >>> x = np.array([[np.nan], [5.0], [np.nan]])
    >>> carry(x)
    >>> x.ravel().tolist()
    [nan, 5.0, 5.0]
    """
    if not x.flags.c_contiguous:
        raise InputError("carry works in place on a row-major panel")
    in_ranges(lambda lo, hi: kernels.carry(x, lo, hi), x.shape[1], x.size)


def pick(x: Array, cell: npt.NDArray[np.integer[Any]], begin: int, out: npt.NDArray[Any]) -> None:
    """Take values of a panel by flat cell, in the precision of ``out``; what overflows it is infinite.

    Parameters
    ----------
    x : (T, N)
        A block of neighbouring columns of a larger panel.
    cell : (K,)
        ``column · T + row`` in the larger panel, inside the block.
    begin : int
        Cell of the block's first value.
    out : (K,) float32 or float64
        Is filled.

    Examples
    --------
    >>> out = np.empty(2, dtype=np.float32)
    >>> pick(np.array([[1.0, 3.0], [2.0, 4.0]]), np.array([11, 12]), 10, out)
    >>> out.tolist()
    [2.0, 3.0]
    """
    kernels.pick(columns(x), cell, begin, out)


def place(cell: npt.NDArray[np.integer[Any]], values: Array, at: npt.NDArray[np.int64], out: Array) -> None:
    """Put values into some rows of a panel, row-major, by their flat cells in the whole one.

    Where several rows of the panel go into one, the last value that is not missing stays.

    Parameters
    ----------
    cell : (K,)
        ``column · T + row`` in the whole panel, of each column in the order of its rows.
    values : (K,)
        What stands there; a missing value leaves what is in ``out``.
    at : (T,)
        Row of ``out`` for each row of the whole panel, −1 for none.
    out : (R, N) C-contiguous
        Is filled.

    Examples
    --------
    >>> out = np.full((1, 2), np.nan)
    >>> place(np.array([0, 1, 3]), np.array([5.0, np.nan, 6.0]), np.array([0, 0]), out)
    >>> out.tolist()
    [[5.0, 6.0]]
    >>> place(np.array([0, 1]), np.array([7.0, 8.0]), np.array([0, -1]), out)
    >>> out.tolist()
    [[7.0, 6.0]]
    """
    kernels.place(cell, values, len(at), at, out)


def in_rows(cell: npt.NDArray[np.integer[Any]], wanted: Mask) -> npt.NDArray[np.int64]:
    """Return the positions of those flat cells of a panel (T, N) that lie in wanted rows.

    Parameters
    ----------
    cell : (K,)
        ``column · T + row``.
    wanted : (T,)
        True for rows that are wanted.

    Examples
    --------
    >>> in_rows(np.array([0, 1, 2, 3]), np.array([False, True])).tolist()
    [1, 3]
    """
    return kernels.in_rows(cell, wanted)


def in_force(
    *,
    days: npt.NDArray[np.datetime64],
    columns: tuple[Ints, Ints, Ints],
    since: npt.NDArray[np.datetime64],
    acts: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    dated: npt.NDArray[np.datetime64],
    max_age: int,
) -> Rows:
    """Which row of a list of announcements is in force in each cell: the last one up to the day.

    Parameters
    ----------
    days : (T,)
        Days of the rows of the panel, ascending.
    columns : three of (N,)
        First row and row behind the last one of the list for each column, and the column's number.
    since : (K,)
        Day from which each announcement is in force; ascending in the range of a column.
    acts : two of (K,)
        Smallest and largest number of the columns that an announcement is meant for.
    dated : (K,)
        Day from which its age counts.
    max_age : int
        Calendar days after which an announcement is too old; then nothing is in force.

    Returns
    -------
    (T, N) positions in the list, −1 where nothing is in force.

    Examples
    --------
    >>> days = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    >>> in_force(days=days, columns=(np.array([0]), np.array([1]), np.array([1])), since=days[1:2],
    ...          acts=(np.array([1]), np.array([9])), dated=days[:1], max_age=2).ravel().tolist()
    [-1, 0, 0, -1]
    """
    out = np.empty((len(columns[0]), len(days)), dtype=np.int32)
    begin, end, number = (np.ascontiguousarray(x, dtype=np.int64) for x in columns)
    day, from_day, dated_day = (x.astype("datetime64[D]").astype(np.int64) for x in (days, since, dated))
    low, high = (x.astype(np.int64) for x in acts)

    def task(lo: int, hi: int) -> None:
        kernels.in_force(day, begin, end, number, from_day, low, high, dated_day, max_age, out, lo, hi)

    in_ranges(task, len(out), out.size)
    return out.T


def take(values: Array, at: Rows) -> Array:
    """Return the panel of the values at the positions (T, N), NaN where a position is negative.

    Examples
    --------
    >>> take(np.array([5.0, 7.0]), np.array([[1, -1]], dtype=np.int32)).tolist()
    [[7.0, nan]]
    """
    positions = np.ascontiguousarray(at.T)
    out = np.empty(positions.shape)
    in_ranges(lambda lo, hi: kernels.take(values, positions, out, lo, hi), len(out), out.size)
    return out.T


def expanding_quantile(x: Array, level: float, min_obs: int) -> Array:
    """Return the quantile of the values of a series (T,) before each row, NaN with fewer than ``min_obs``.

    The value at t uses rows < t. Between values by linear interpolation (Hyndman & Fan 1996, type 7).

    Raises
    ------
    InputError
        When the level is not in [0, 1].

    Examples
    --------
    >>> expanding_quantile(np.array([1.0, 3.0, 2.0, 9.0]), 0.5, 2).tolist()
    [nan, nan, 2.0, 2.0]
    """
    if not 0.0 <= level <= 1.0:
        raise InputError(f"a quantile's level is in [0, 1], not {level}")
    out = np.empty(len(x))
    kernels.expanding_quantile(np.ascontiguousarray(x, dtype=np.float64), level, min_obs, out)
    return out


def returns(x: Array) -> Array:
    """Return the simple return over one session, xₜ/xₜ₋₁ − 1; NaN unless both exist and xₜ₋₁ > 0.

    Examples
    --------
    >>> returns(np.array([[4.0], [5.0], [np.nan], [5.0]])).ravel().tolist()
    [nan, 0.25, nan, nan]
    """
    return _ratio(x, lag(x, 1))


def change(x: Array, k: int, within: int = 10) -> Array:
    """Return over k sessions, pₜ/pₜ₋ₖ − 1, with p the last value at most ``within`` rows old.

    NaN unless both exist and pₜ₋ₖ > 0.

    Raises
    ------
    InputError
        When k is not positive or ``within`` is negative.

    Examples
    --------
    >>> x = np.array([[4.0], [5.0], [np.nan], [6.0]])
    >>> change(x, 2, within=1).ravel().tolist()
    [nan, nan, 0.25, 0.19999999999999996]
    """
    if k < 1:
        raise InputError(f"a change over {k} sessions: the number must be at least 1")
    prices = last_valid(x, within)
    return _ratio(prices, lag(prices, k))


def _ratio(now: Array, before: Array) -> Array:
    with np.errstate(all="ignore"):
        out = now / before
        out -= 1.0
        known = (before > 0.0) & np.isfinite(before) & np.isfinite(out)
    out[~known] = np.nan
    return np.asfortranarray(out)
