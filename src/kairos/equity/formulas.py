"""Small formulas that several tables share."""

from __future__ import annotations

import numpy as np

from kairos.equity.frame import Array, Mask


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
