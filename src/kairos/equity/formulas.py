"""Small formulas that several tables share."""

from __future__ import annotations

import numpy as np

from kairos.equity.frame import Array, Mask
from kairos.panel import lag, last_valid


def ratio(a: Array, b: Array) -> Array:
    """A / b; NaN where b is 0 or either is missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, np.nan, a / b)


def log(x: Array) -> Array:
    """Natural logarithm; NaN where x is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, np.log(x), np.nan)


def flag(condition: Mask, *needs: Array) -> Array:
    """1 where the condition holds, 0 where it does not, NaN where one of `needs` is missing."""
    known = np.logical_and.reduce([np.isfinite(x) for x in needs])
    return np.where(known, condition, np.nan)


def true_range(high: Array, low: Array, before: Array) -> Array:
    """max(h - l, |h - c₋₁|, |l - c₋₁|); NaN without the close of the session before (Wilder 1978)."""
    return np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))


def over(a: Array, b: Array) -> Array:
    """A / b where b is positive; NaN elsewhere."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / b, np.nan)


def growth(now: Array, before: Array) -> Array:
    """(now - before) / |before|; NaN where before is 0 or either is missing."""
    return ratio(now - before, np.abs(before))


def known_before(x: Array, max_age: int) -> Array:
    """The vendor's figure of the session before, or the last one up to `max_age` sessions before that."""
    return last_valid(lag(x, 1), within=max_age)


def count_of(x: Array, members: Mask) -> Array:
    """(T,) members of each date with a value."""
    count: Array = (members & np.isfinite(x)).sum(axis=1).astype(np.float64)
    return count
