"""Models of a few directions instead of single stocks: ridge, principal components, partial least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.cross_decomposition import PLSRegression

from kairos.adr.models.base import Model, register
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.panel import Array


@register("ridge")
class Ridge(Model):
    """|y − X·w|²/(2n) + α·p/2·|w|², with p features.

    X'X/n has the trace p, so the α of the settings span the way from almost no model to almost no penalty
    whatever the number of stocks; scikit-learn's `Ridge` calls the same model alpha = n·p·α. By X = U·D·V':

        w = V·diag(d/(d² + n·p·α))·U'y
    """

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one strength."""
        self.coef = self.path(X, y, np.array([self.strength]))[0].coef
        return self

    def path(self, X: Array, y: Array, strengths: Array) -> Sequence[Model]:
        """Fit every strength from one decomposition."""
        U, d, V = np.linalg.svd(X, full_matrices=False)
        fits = [self.at(strength) for strength in strengths]
        for fit in fits:
            fit.coef = (d / (d * d + X.size * fit.strength) * (y @ U)) @ V
        return fits


class Components(Model):
    """A regression on the first components 1, 2, … of the features: as many as `strength` says."""

    def __init__(self, components: int = 10) -> None:
        if components < 1:
            raise InputError(f"adr.model.parameters.components = {components}: expected 1 or more")
        self.components = components

    def grid(self, alphas: Array) -> Array:  # noqa: ARG002
        """1, 2, … components; the alphas are not used."""
        return np.arange(1.0, self.components + 1.0)


@register("pcr")
class PrincipalComponents(Components):
    """Least squares on the principal components of the features with the largest variance.

    By X = U·D·V', with k components: w = V_k·diag(1/d_k)·U_k'y. Components of no variance are left out.
    """

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one number of components."""
        self.coef = self.path(X, y, np.array([self.strength]))[0].coef
        return self

    def path(self, X: Array, y: Array, strengths: Array) -> Sequence[Model]:
        """Fit every number of components from one decomposition."""
        U, d, V = np.linalg.svd(X, full_matrices=False)
        rank = int((d > d[0] * max(X.shape) * np.finfo(float).eps).sum())
        fits = [self.at(strength) for strength in strengths]
        for fit in fits:
            k = min(int(fit.strength), rank)
            fit.coef = (y @ U[:, :k] / d[:k]) @ V[:k]
        return fits


@register("pls")
class PartialLeastSquares(Components):
    """Partial least squares (scikit-learn's `PLSRegression`): components that vary along with the target."""

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one number of components, no more than there are rows or features."""
        k = min(int(self.strength), *X.shape)
        self.coef = PLSRegression(n_components=k, scale=False).fit(X, y).coef_.ravel()
        return self
