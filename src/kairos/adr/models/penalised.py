"""Models that penalise coefficients one by one: the LASSO and the elastic net.

Their strength is an α of `adr.model.alphas` in scikit-learn's convention, whose squared error is a mean:
|y − X·w|²/(2n) + α·penalty. One strength is fitted by scikit-learn, to a relative duality gap of 1e-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn import linear_model

from kairos.adr.models.base import Model, register
from kairos.adr.models.homotopy import lasso_path
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.panel import Array, Mask

TOLERANCE = 1e-8
"""Of the duality gap, relative to |y|²."""

ITERATIONS = 100_000
"""Passes of coordinate descent after which a fit counts as not converged."""

OPTIMAL = 1e-5
"""How far from optimal, relative to α, a solution of the path may be."""


@register("elasticnet")
class ElasticNet(Model):
    """|y − X·w|²/(2n) + α·(l1_ratio·|w|₁ + (1 − l1_ratio)/2·|w|²).

    A path goes from strength to strength, each fit beginning at the one before.
    """

    def __init__(self, l1_ratio: float = 0.5) -> None:
        if not 0.0 < l1_ratio <= 1.0:
            raise InputError(f"adr.model.parameters.l1_ratio = {l1_ratio}: expected more than 0, at most 1")
        self.l1_ratio = l1_ratio

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one strength, beginning at `coef` where there is one."""
        regression = linear_model.ElasticNet(
            alpha=self.strength,
            l1_ratio=self.l1_ratio,
            fit_intercept=False,
            tol=TOLERANCE,
            max_iter=ITERATIONS,
            warm_start=True,
        )
        # a copy, because the fit changes it in place
        regression.coef_ = np.zeros(X.shape[1]) if self.coef is None else self.coef.copy()
        self.coef = regression.fit(X, y).coef_
        return self

    def path(self, X: Array, y: Array, strengths: Array) -> Sequence[Model]:
        """Fit every strength, the largest first."""
        fits: list[Model] = []
        last: Model = self
        for strength in strengths:
            last = last.at(strength).fit_counted(X, y)
            fits.append(last)
        return fits

    def alpha_max(self, X: Array, y: Array) -> float:
        """From max|X'y|/(n·l1_ratio) on, no coefficient is worth its penalty."""
        return float(np.abs(y @ X).max(initial=0.0) / len(y) / self.l1_ratio)


@register("lasso")
class Lasso(ElasticNet):
    """|y − X·w|²/(2n) + α·|w|₁.

    The path is followed exactly (:mod:`kairos.adr.models.homotopy`), and every strength on it is checked. The
    fit of one strength begins there, too: scikit-learn's LASSO, its elastic net with l1_ratio = 1, is left
    with little to do but to certify it.
    """

    def __init__(self) -> None:
        super().__init__(l1_ratio=1.0)

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one strength."""
        if self.coef is None:
            self.coef = lasso_path(X, y, [self.strength])[0][0]
        return super().fit(X, y)

    def path(self, X: Array, y: Array, strengths: Array) -> Sequence[Model]:
        """Fit every strength; where the path is not optimal, coordinate descent goes on from it."""
        coefficients, _ = lasso_path(X, y, strengths)
        fits = [self.at(strength) for strength in strengths]
        for fit, coef, good in zip(fits, coefficients, optimal(X, y, coefficients, strengths), strict=True):
            fit.coef = coef
            if not good:
                fit.fit_counted(X, y)
        return fits


def optimal(X: Array, y: Array, coefficients: Array, alphas: Array) -> Mask:
    """Whether the rows of (K, p) coefficients solve the LASSO at (K,) alphas.

    With g = X'(y − X·w)/n, a solution has g_j = α·sign(w_j) where w_j ≠ 0 and |g_j| ≤ α elsewhere.
    """
    g = (y - coefficients @ X.T) @ X / len(y)
    limit = alphas[:, None]
    away = np.where(coefficients == 0.0, np.abs(g) - limit, np.abs(g - limit * np.sign(coefficients)))
    return np.asarray(away.max(axis=1, initial=0.0) <= OPTIMAL * alphas)
