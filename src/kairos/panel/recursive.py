"""Recursive averages."""

from __future__ import annotations

import math

import numpy as np

from kairos.errors import InputError
from kairos.panel import kernels
from kairos.panel.arrays import Array, columns, in_ranges


def exponential(x: Array, alpha: float, *, gap_aware: bool = False, known: Array | None = None) -> Array:
    """Exponential average sₜ = α·xₜ + (1 − α)·sₜ₋₁ of each column, seeded with its first value.

    Where x is missing (or infinite) the result is NaN and the state is carried over unchanged. With
    ``gap_aware`` a gap of k missing values ages the state: its weight is (1 − α)^(k + 1), and both weights
    are renormalised, sₜ = (α·xₜ + (1 − α)^(k + 1)·s)/(α + (1 − α)^(k + 1)). Without a gap both are the same.
    A state whose weight is below 1e-12 is forgotten.

    The value at t uses rows ≤ t. A recursion never forgets entirely: on a slice, begin `warmup` values
    early and allow a difference of that weight; everything else is exact.

    Parameters
    ----------
    x
        (T, N).
    alpha
        Weight of today's value, in (0, 1]; 2/(span + 1) for a span.
    gap_aware
        Age the state over gaps.
    known
        (T, N) average as it was computed before, NaN elsewhere: from its last value the recursion goes on, to
        the last bit as if it had run from the beginning.

    Raises
    ------
    InputError
        When alpha is not in (0, 1].

    Examples
    --------
    >>> x = np.array([[1.0], [3.0], [np.nan], [4.0]])
    >>> exponential(x, 0.5).ravel().tolist()
    [1.0, 2.0, nan, 3.0]
    >>> exponential(x, 0.5, known=np.array([[np.nan], [2.5], [np.nan], [np.nan]])).ravel().tolist()
    [1.0, 2.5, nan, 3.25]
    """
    _check(alpha)
    xs = columns(x)
    out = np.empty_like(xs)
    before = np.empty((0, 0)) if known is None else columns(known)
    if before.size and before.shape != xs.shape:
        raise InputError(f"the average known has the shape {before.shape[::-1]}, the panel {x.shape}")
    in_ranges(lambda lo, hi: kernels.exponential(xs, alpha, gap_aware, before, out, lo, hi), len(xs), xs.size)
    return out.T


def warmup(alpha: float, weight: float = 1e-9) -> int:
    """Return the number of values after which the seed's weight (1 − α)ⁿ is below ``weight``.

    Counted in values of the column: gaps come on top, unless the average is gap-aware.

    Raises
    ------
    InputError
        When alpha is not in (0, 1] or the weight is not in (0, 1).

    Examples
    --------
    >>> warmup(0.3)
    59
    """
    _check(alpha)
    if not 0.0 < weight < 1.0:
        raise InputError(f"a remaining weight is in (0, 1), not {weight}")
    return 1 if alpha == 1.0 else math.floor(math.log(weight) / math.log1p(-alpha)) + 1


def _check(alpha: float) -> None:
    if not 0.0 < alpha <= 1.0:
        raise InputError(f"alpha, the weight of today's value, is in (0, 1], not {alpha}")
