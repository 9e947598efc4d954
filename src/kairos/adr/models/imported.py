"""A scikit-learn regressor, or a model of one's own, by its import path."""

from __future__ import annotations

import importlib
import inspect
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, ClusterMixin

from kairos.adr.models.base import Model
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.panel import Array

LINEAR = 1e-6
"""How far, relative to the largest prediction, coefficients may be from the predictions they stand for."""


class Imported(Model):
    """A regressor with `fit` and `predict`, of one strength.

    It is made without intercept and with the seed 0 where it has these arguments and the settings don't give
    them; whatever it still predicts for raw returns of zero is taken off. `coef` are its coefficients when
    its predictions follow from them. A regressor that is not linear has none: it can be trained and
    evaluated, but its files can't be run by minute.
    """

    def __init__(self, regressor: type[Any], parameters: Mapping[str, Any]) -> None:
        known = inspect.signature(regressor).parameters
        defaults = {"fit_intercept": False, "random_state": 0}
        self.arguments = {key: value for key, value in defaults.items() if key in known} | dict(parameters)
        self.regressor = regressor

    def grid(self, alphas: Array) -> Array:  # noqa: ARG002
        """One strength without a name."""
        return np.array([math.nan])

    def fit(self, X: Array, y: Array) -> Self:
        """Fit a new regressor."""
        self.fitted = self.regressor(**self.arguments).fit(X, y)
        self.coef = self._linear(X)
        return self

    def predict(self, X: Array) -> Array:
        """Predict from standardised features, (n,)."""
        return np.asarray(self.fitted.predict(X), dtype=np.float64).reshape(len(X))

    def _linear(self, X: Array) -> Array | None:
        coef = np.asarray(getattr(self.fitted, "coef_", ()), dtype=np.float64).ravel()
        if coef.shape != X.shape[1:]:
            return None
        said = self.predict(X) - self.predict(np.zeros((1, X.shape[1])))
        return coef if np.abs(said - X @ coef).max() <= LINEAR * np.abs(said).max() else None


def import_model(path: str, parameters: Mapping[str, Any]) -> Model:
    """Make a model from an import path, e.g. `sklearn.linear_model.HuberRegressor`.

    Raises
    ------
    InputError
        Nothing can be imported from there, or it is neither a :class:`Model` nor a regressor.
    """
    where, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(where), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"adr.model.name = {path!r}: can't be imported ({error})") from error
    if inspect.isabstract(found):
        raise InputError(f"adr.model.name = {path!r}: this class is abstract; name one that has a fit")
    if isinstance(found, type) and issubclass(found, Model):
        check_parameters(path, found, parameters)
        return found(**parameters)
    if not (isinstance(found, type) and hasattr(found, "fit") and hasattr(found, "predict")):
        raise InputError(f"adr.model.name = {path!r}: this is no class with fit and predict")
    if issubclass(found, ClassifierMixin | ClusterMixin):
        raise InputError(f"adr.model.name = {path!r}: this foretells classes, not returns; name a regressor")
    check_parameters(path, found, parameters)
    return Imported(found, parameters)


def check_parameters(name: str, maker: type[Any], parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that a class doesn't have."""
    known = inspect.signature(maker).parameters
    if any(argument.kind is argument.VAR_KEYWORD for argument in known.values()):
        return
    for key in parameters:
        if key not in known:
            there = ", ".join(known) or "none"
            raise InputError(f"adr.model.parameters.{key}: {name} has no such parameter; it has: {there}")
