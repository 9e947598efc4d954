"""Statistics over a moving window of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.panel import kernels
from kairos.panel.arrays import Array, columns, in_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

_ANY = np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class Rolling:
    """A window of market sessions, and when it counts as valid.

    The value at row t is a statistic of the finite observations in the rows t − window + 1 .. t, so it is
    known when the observation of t is known. Infinite observations are missing. The value is NaN unless

    * at least ``min_obs`` observations exist (and as many as the statistic needs: 2 for a dispersion,
      3 for ``skew``, 4 for ``kurt``; two-sample statistics count pairs), and
    * the column has been listed for ``window`` sessions, where ``listed`` is given, and
    * the window lies inside the array, when the array is a slice (``start`` > 0).

    Without ``listed`` the windows of the first sessions of the store (``start`` = 0) are short ones, and
    ``min_obs`` alone decides.

    **Slice and whole.** A value does not depend on the rows before its window, to the last bit, provided
    ``start`` is right; in a slice the first window − 1 rows are NaN. So on rows lo..hi one computes on the
    slice that begins at lo − window + 1 (or at 0) and keeps what is from lo on. A value does not depend on
    other columns either. The cost of a cell does not grow with the window, except for ``rank``.

    Parameters
    ----------
    window
        Length in sessions of the market, not in observations of the column.
    min_obs
        Observations that a valid window has, 1 to ``window``.
    start
        Absolute session number of row 0.
    listed
        (T, N) number of sessions since the column's listing began, today included; 0, negative or NaN where
        it is not listed.

    Raises
    ------
    InputError
        When the window is not positive, ``min_obs`` is not in 1..window, ``start`` is negative, or an array
        has another shape than the others.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [np.nan], [6.0]])
    >>> Rolling(window=3, min_obs=2).mean(x).ravel().tolist()
    [nan, 1.5, 1.5, 4.0]
    """

    window: int
    min_obs: int
    start: int = 0
    listed: Array | None = None

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"a rolling window has at least 1 session, not {self.window}")
        if not 1 <= self.min_obs <= self.window:
            raise InputError(
                f"a window of {self.window} sessions needs min_obs in 1..{self.window}, not {self.min_obs}"
            )
        if self.start < 0:
            raise InputError(f"sessions are numbered from 0; start = {self.start} is before the first")

    def sum(self, x: Array) -> Array:
        """Sum of the observations."""
        return self._single(kernels.moments, x, kernels.SUM)

    def mean(self, x: Array) -> Array:
        """Mean of the observations; of equal observations exactly their value."""
        return self._single(kernels.moments, x, kernels.MEAN)

    def var(self, x: Array) -> Array:
        """Sample variance Σ(x − x̄)²/(n − 1); of equal observations exactly 0."""
        return self._single(kernels.moments, x, kernels.VAR, needs=2)

    def std(self, x: Array) -> Array:
        """Sample standard deviation √(Σ(x − x̄)²/(n − 1)); of equal observations exactly 0."""
        return self._single(kernels.moments, x, kernels.STD, needs=2)

    def skew(self, x: Array) -> Array:
        """Skewness, the bias-adjusted Fisher–Pearson G₁ (as pandas and SAS have it); NaN when std is 0.

        G₁ = √(n(n − 1))/(n − 2) · m₃/m₂^1.5 with mₖ = Σ(x − x̄)ᵏ/n. Joanes & Gill (1998).
        """
        return self._single(kernels.higher_moments, x, kernels.SKEW, needs=3)

    def kurt(self, x: Array) -> Array:
        """Excess kurtosis, bias-adjusted G₂ (as pandas and SAS have it); NaN when std is 0.

        G₂ = (n − 1)/((n − 2)(n − 3)) · ((n + 1)·m₄/m₂² − 3(n − 1)), 0 in expectation for normal
        observations. Joanes & Gill (1998).
        """
        return self._single(kernels.higher_moments, x, kernels.KURT, needs=4)

    def min(self, x: Array) -> Array:
        """Smallest observation."""
        return self._single(kernels.extremes, x, kernels.MIN)

    def max(self, x: Array) -> Array:
        """Largest observation."""
        return self._single(kernels.extremes, x, kernels.MAX)

    def drawdown(self, prices: Array) -> Array:
        """Deepest fall from an earlier peak of the same window, as a fraction ≤ 0.

        min over i ≤ j in the window of pⱼ/pᵢ − 1. NaN where the window holds a price ≤ 0.
        """
        return self._single(kernels.extremes, prices, kernels.DRAWDOWN)

    def rank(self, x: Array) -> Array:
        """Rank of today's value among the observations of the window, scaled to (0, 1].

        (number below + (number equal + 1)/2)/n, today's own value included: the smallest of n distinct
        values has 1/n, the largest 1, ties share their mean rank. NaN where today's value is missing.
        Costs ``window`` comparisons a cell.
        """
        xs = columns(x)
        out = np.empty_like(xs)
        listed = self._listed(xs.shape)

        def task(lo: int, hi: int) -> None:
            kernels.rank_in_window(xs, listed, self.window, self.min_obs, self.start, out, lo, hi)

        in_ranges(task, len(xs), xs.size)
        return out.T

    def cov(self, x: Array, y: Array) -> Array:
        """Sample covariance Σ(x − x̄)(y − ȳ)/(n − 1) over the pairs in which both exist.

        In this and the next methods either array may be one series (T,), common to all columns.
        """
        return self._pairs(x, y, kernels.COV)

    def corr(self, x: Array, y: Array) -> Array:
        """Pearson correlation over the pairs, in [−1, 1]; NaN when x or y has no variance."""
        return self._pairs(x, y, kernels.CORR)

    def beta(self, y: Array, x: Array) -> Array:
        """Slope of y on x, cov(x, y)/var(x) over the pairs; NaN when x has no variance."""
        return self._pairs(x, y, kernels.BETA)

    def residual_std(self, y: Array, x: Array) -> Array:
        """Sample deviation over the window of y − β·x, with β the slope of that same window.

        √((S_yy − β·S_xy)/(n − 1)), S the sums of products about the means of the pairs. The mean of the
        residual is taken out, one degree of freedom counted. Never negative; a perfect line gives a value
        of the order of 1e-8 of std(y).
        """
        return self._pairs(x, y, kernels.RESIDUAL_STD)

    def _single(self, kernel: Callable[..., None], x: Array, statistic: int, needs: int = 1) -> Array:
        xs = columns(x)
        out = np.empty_like(xs)
        listed = self._listed(xs.shape)
        least = max(self.min_obs, needs)

        def task(lo: int, hi: int) -> None:
            kernel(xs, listed, self.window, least, self.start, statistic, out, lo, hi)

        in_ranges(task, len(xs), xs.size)
        return out.T

    def _pairs(self, x: Array, y: Array, statistic: int) -> Array:
        xs, ys = (columns(a[:, None] if a.ndim == 1 else a) for a in (x, y))
        shape = (xs if x.ndim == 2 else ys).shape
        if any(a.ndim == 2 and c.shape != shape for a, c in ((x, xs), (y, ys))) or len(x) != len(y):
            raise InputError(f"x {x.shape} and y {y.shape} must be panels of one shape, or one a series (T,)")
        out = np.empty(shape)
        listed = self._listed(shape)
        least = max(self.min_obs, 2)

        def task(lo: int, hi: int) -> None:
            kernels.comoments(xs, ys, listed, self.window, least, self.start, statistic, out, lo, hi)

        in_ranges(task, len(out), out.size)
        return out.T

    def _listed(self, shape: tuple[int, ...]) -> Array:
        if self.listed is None:
            return _ANY
        listed = columns(self.listed)
        if listed.shape != shape:
            raise InputError(f"listed has the shape {self.listed.shape}, the panel {shape[::-1]}")
        return listed
