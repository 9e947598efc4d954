"""Earlier values, changes over time, and how long a ticker has been listed.

Everything here looks backwards: the value at row t uses rows ≤ t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kairos.errors import InputError
from kairos.panel import kernels
from kairos.panel.arrays import Array, Mask, columns, in_ranges, mask_columns

Panel = TypeVar("Panel", Array, Mask)

_ANY = np.empty((0, 0))
_NEVER = np.empty((0, 0), dtype=np.bool_)


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


def last_valid(x: Array, within: int, listed: Array | None = None) -> Array:
    """Return the last finite value that is at most ``within`` rows old, else NaN.

    With ``listed`` (T, N) the value must belong to the current listing.

    Raises
    ------
    InputError
        When ``within`` is negative or the shapes differ.

    Examples
    --------
    >>> last_valid(np.array([[5.0], [np.nan], [np.nan]]), 1).ravel().tolist()
    [5.0, 5.0, nan]
    """
    if within < 0:
        raise InputError(f"a value can't be {within} rows old")
    xs = columns(x)
    ages = _ANY if listed is None else columns(_same_shape(listed, x))
    out = np.empty_like(xs)
    in_ranges(lambda lo, hi: kernels.last_valid(xs, ages, within, out, lo, hi), len(xs), xs.size)
    return out.T


def returns(x: Array, listed: Array | None = None) -> Array:
    """Return the simple return over one session, xₜ/xₜ₋₁ − 1; NaN unless both exist and xₜ₋₁ > 0.

    With ``listed`` (T, N) the first session of a listing has no return: a return never crosses into an
    earlier listing.

    Raises
    ------
    InputError
        When the shapes differ.

    Examples
    --------
    >>> returns(np.array([[4.0], [5.0], [np.nan], [5.0]])).ravel().tolist()
    [nan, 0.25, nan, nan]
    """
    return _ratio(x, lag(x, 1), 1, listed)


def change(x: Array, k: int, within: int = 10, listed: Array | None = None) -> Array:
    """Return over k sessions, pₜ/pₜ₋ₖ − 1, with p the last value at most ``within`` rows old.

    NaN unless both exist and pₜ₋ₖ > 0. With ``listed`` (T, N) a change never crosses into an earlier
    listing: it is NaN in the first k sessions of one.

    Raises
    ------
    InputError
        When k is not positive, ``within`` is negative, or the shapes differ.

    Examples
    --------
    >>> x = np.array([[4.0], [5.0], [np.nan], [6.0]])
    >>> change(x, 2, within=1).ravel().tolist()
    [nan, nan, 0.25, 0.19999999999999996]
    """
    if k < 1:
        raise InputError(f"a change over {k} sessions: the number must be at least 1")
    prices = last_valid(x, within, listed)
    return _ratio(prices, lag(prices, k), k, listed)


@dataclass(frozen=True, eq=False)
class ListingState:
    """What `listed` must know of the rows before a slice.

    Attributes
    ----------
    count
        (N,) sessions since the listing began, at the row before; 0 where no listing is open.
    gap
        (N,) rows since the last price, at the row before; 0 if that row has a price.
    """

    count: Array
    gap: Array


def listed(
    prices: Array, max_gap: int = 10, ended: Mask | None = None, state: ListingState | None = None
) -> Array:
    """Count the sessions since the current listing of a ticker began, today included.

    A listing begins with a price (1) and counts sessions of the market, those without a price included. It
    ends, and the count is NaN, at the ``max_gap``-th session in a row without a price, or after a mark in
    ``ended`` that is at or after the last price and before the next one. The next price begins a new
    listing. Inside a gap nobody knows yet that the ticker will not come back, so the count goes on until
    ``max_gap`` is reached: the value at t uses rows ≤ t only.

    Parameters
    ----------
    prices
        (T, N); a finite value is a price.
    max_gap
        Sessions without a price that end a listing, at least 1.
    ended
        (T, N) boolean, True on the session of a known end (delisting).
    state
        For a slice: `listing_state` of the rows before. Without it nothing is listed before row 0.

    Raises
    ------
    InputError
        When ``max_gap`` is not positive or the shapes differ.

    Examples
    --------
    >>> p = np.array([[np.nan], [7.0], [np.nan], [8.0], [np.nan], [np.nan], [9.0]])
    >>> listed(p, max_gap=2).ravel().tolist()
    [nan, 1.0, 2.0, 3.0, 4.0, nan, 1.0]
    """
    return _listing(prices, max_gap, ended, state)[0]


def listing_state(
    prices: Array, max_gap: int = 10, ended: Mask | None = None, state: ListingState | None = None
) -> ListingState:
    """Return the state after the last row, with which `listed` goes on; parameters as there.

    Examples
    --------
    >>> p = np.array([[7.0], [8.0], [np.nan], [9.0]])
    >>> listed(p[2:], state=listing_state(p[:2])).ravel().tolist()
    [3.0, 4.0]
    """
    return _listing(prices, max_gap, ended, state)[1]


def _listing(
    prices: Array, max_gap: int, ended: Mask | None, state: ListingState | None
) -> tuple[Array, ListingState]:
    if max_gap < 1:
        raise InputError(f"a listing ends after max_gap sessions without a price, at least 1, not {max_gap}")
    xs = columns(prices)
    marks = _NEVER if ended is None else mask_columns(ended, prices.shape, "ended")
    count = np.zeros(len(xs)) if state is None else state.count.astype(np.float64)
    gap = np.zeros(len(xs)) if state is None else state.gap.astype(np.float64)
    if count.shape != (len(xs),) or gap.shape != (len(xs),):
        raise InputError(f"the state is of {count.shape} tickers, the prices are of {len(xs)}")
    out = np.empty_like(xs)
    in_ranges(
        lambda lo, hi: kernels.listing_age(xs, marks, max_gap, count, gap, out, lo, hi), len(xs), xs.size
    )
    return out.T, ListingState(count, gap)


def _ratio(now: Array, before: Array, k: int, listed: Array | None) -> Array:
    with np.errstate(all="ignore"):
        out = now / before
        out -= 1.0
        known = (before > 0.0) & np.isfinite(before) & np.isfinite(out)
    if listed is not None:
        known &= _same_shape(listed, now) > k
    out[~known] = np.nan
    return np.asfortranarray(out)


def _same_shape(listed: Array, x: Array) -> Array:
    if listed.shape != x.shape:
        raise InputError(f"listed has the shape {listed.shape}, the panel {x.shape}")
    return listed
