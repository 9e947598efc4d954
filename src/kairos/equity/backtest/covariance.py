"""Covariance of daily returns for a decision, in factor form Σ = FᵀF + diag(d)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import Matrix
from kairos.errors import InputError

SHRINKAGE = 0.3
FACTORS = 10
HALF_LIFE = 20.0
FEWEST = 20
"""Observations below which a name's own deviation isn't used."""


@dataclass(frozen=True)
class Covariance:
    """Σ = FᵀF + diag(d), daily.

    Attributes
    ----------
    factor : (k, n)
        F, k at most the number of sessions of the window: Σ itself is never made.
    specific : (n,)
        d, positive.
    """

    factor: Matrix
    specific: Vector

    @property
    def variance(self) -> Vector:
        """(n,) diagonal of Σ."""
        total: Vector = np.sum(self.factor**2, axis=0) + self.specific
        return total

    def dense(self) -> Matrix:
        """(n, n) matrix."""
        full: Matrix = self.factor.T @ self.factor + np.diag(self.specific)
        return full


def covariance(
    returns: Matrix,
    estimator: str = "shrunk",
    *,
    shrinkage: float = SHRINKAGE,
    factors: int = FACTORS,
    half_life: float = HALF_LIFE,
) -> Covariance:
    """Estimate from the last T sessions up to the decision.

    Variances and covariances are sample ones (ddof 1). A missing return counts as the name's mean, and its
    sums are scaled by T over its observations less one: its variance is the one of what was observed, its
    covariances are of the sessions on which both traded, with the deviations stretched alike; Σ is positive
    definite whatever is missing, which the pairwise estimate isn't. A name with fewer than `FEWEST`
    observations has the median variance of the others, uncorrelated: too little is known of it to call it
    safe.

    Parameters
    ----------
    returns : (T, n)
        Daily total returns, oldest first; NaN where there is none.
    estimator : {"shrunk", "ledoit_wolf", "factor", "exponential"}
    shrinkage : float
        Share of the diagonal, of `shrunk` and `exponential`.
    factors : int
        Of `factor`.
    half_life : float
        Sessions, of `exponential`.

    Raises
    ------
    InputError
        When the estimator is unknown, or no name has `FEWEST` observations and a variance.
    """
    estimators: dict[str, Callable[[Matrix], Covariance]] = {
        "shrunk": partial(shrunk, to_diagonal=shrinkage),
        "ledoit_wolf": ledoit_wolf,
        "factor": partial(principal, factors=factors),
        "exponential": partial(exponential, half_life=half_life, to_diagonal=shrinkage),
    }
    if estimator not in estimators:
        raise InputError(
            f"covariance {estimator!r} is unknown; choose one of {', '.join(sorted(estimators))}"
        )
    seen = np.isfinite(returns)
    count = seen.sum(axis=0)
    centred = np.where(seen, returns, 0.0)
    mean = centred.sum(axis=0) / np.maximum(count, 1)
    centred = np.where(seen, centred - mean, 0.0) * np.sqrt(len(returns) / np.maximum(count - 1, 1))
    known = (count >= FEWEST) & (np.abs(centred).max(axis=0, initial=0.0) > 1e-12)
    if not known.any():
        raise InputError(
            f"no stock has {FEWEST} returns that vary in the {len(returns)} sessions of the covariance; "
            "lengthen the window, or begin later"
        )
    few = estimators[estimator](centred[:, known])
    factor, specific = np.zeros((len(few.factor), returns.shape[1])), np.zeros(returns.shape[1])
    factor[:, known], specific[known] = few.factor, few.specific
    specific[~known] = np.median(few.variance)
    return Covariance(factor, specific)


def shrunk(centred: Matrix, to_diagonal: float = SHRINKAGE) -> Covariance:
    """(1 − δ)·S + δ·diag(S), S = XᵀX/T."""
    T = len(centred)
    variance = np.sum(centred**2, axis=0) / T
    return Covariance(centred * np.sqrt((1.0 - to_diagonal) / T), to_diagonal * variance)


def ledoit_wolf(centred: Matrix) -> Covariance:
    """(1 − δ)·S + δ·m·I with the δ of least expected loss (Ledoit & Wolf 2004, J. Multivariate Analysis 88).

    m = tr S/n is the mean variance, d² = ‖S − m·I‖² the spread around it, b² = min(d², Σₜ‖xₜxₜᵀ − S‖²/T²) the
    error of S, and δ = b²/d². All come from the T × T matrix X·Xᵀ.
    """
    T, n = centred.shape
    inner = centred @ centred.T
    level = np.trace(inner) / (T * n)
    squared = np.sum(inner**2) / T**2  # ‖S‖²
    spread = squared - n * level**2
    error = min(spread, (np.sum(np.diag(inner) ** 2) - T * squared) / T**2)
    share = error / spread if spread > 1e-12 * squared else 1.0
    return Covariance(centred * np.sqrt((1.0 - share) / T), np.full(n, share * level))


def principal(centred: Matrix, factors: int = FACTORS) -> Covariance:
    """The first principal components of S, and the rest of each variance as specific.

    A name whose components explain nearly all keeps 5 % of its variance: S has at most T − 1 dimensions, and
    what it leaves over of a name is not its true risk.
    """
    T = len(centred)
    _, size, axes = np.linalg.svd(centred / np.sqrt(T), full_matrices=False)
    loads = size[:factors, None] * axes[:factors]
    variance = np.sum(centred**2, axis=0) / T
    return Covariance(loads, np.maximum(variance - np.sum(loads**2, axis=0), 0.05 * variance))


def exponential(centred: Matrix, half_life: float = HALF_LIFE, to_diagonal: float = SHRINKAGE) -> Covariance:
    """As `shrunk`, with sessions weighted by 2^(−age/half-life)."""
    weight = 0.5 ** (np.arange(len(centred))[::-1] / half_life)
    return shrunk(centred * np.sqrt(weight / weight.mean())[:, None], to_diagonal)
