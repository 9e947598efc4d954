"""What a model is: a family of regressions without a constant, from the simplest to the most flexible.

A model is one class, made known by one declaration::

    @register("mine")
    class Mine(Model):
        def fit(self, X, y):
            self.coef = ...
            return self

It sees standardised features (on the rows of the fit the columns of X have mean 0 and standard deviation 1)
and a target that is not centred. Its prediction is used without constant, f(x) − f(0) in raw returns: no
return of the US stocks, no prediction.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from kairos.errors import InputError, WorkError

if TYPE_CHECKING:
    from kairos.panel import Array


class Model(ABC):
    """A regression at one strength. A subclass writes `fit`, and whatever else it does differently.

    The arguments of its ``__init__`` are those of `adr.model.parameters`.

    Attributes
    ----------
    strength : float
        How strongly the fit is held back; NaN for a model that has no such choice.
    coef : (p,) or None
        Coefficients of the standardised features after a fit; None when the prediction is not linear in them.
    converged : bool
        Whether the fit reached its tolerance.
    """

    strength: float = math.nan
    coef: Array | None = None
    converged: bool = True

    @abstractmethod
    def fit(self, X: Array, y: Array) -> Self:
        """Fit standardised features (n, p) to a target (n,), at the model's strength."""

    def predict(self, X: Array) -> Array:
        """Predict from standardised features, (n,)."""
        if self.coef is None:
            raise WorkError(f"{type(self).__name__} has no coefficients: it is not fitted, or not linear")
        return np.asarray(X @ self.coef)

    def grid(self, alphas: Array) -> Array:
        """Strengths to try, the simplest model first; the alphas of the settings are given in any order."""
        return np.sort(alphas)[::-1]

    def alpha_max(self, X: Array, y: Array) -> float:  # noqa: ARG002
        """Strength from which on the model is zero; NaN where there is none."""
        return math.nan

    def path(self, X: Array, y: Array, strengths: Array) -> Sequence[Model]:
        """Fit every strength: one by one, unless the model knows a quicker way."""
        return [self.at(strength).fit_counted(X, y) for strength in strengths]

    def at(self, strength: float) -> Self:
        """The same model at another strength, not fitted."""
        other = copy.copy(self)
        other.strength = float(strength)
        return other

    def fit_counted(self, X: Array, y: Array) -> Self:
        """Fit, and note in `converged` what scikit-learn would warn of; other warnings are passed on."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.fit(X, y)
        self.converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
        for w in caught:
            if not issubclass(w.category, ConvergenceWarning):
                warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
        return self


Class = TypeVar("Class", bound=type[Model])

_MODELS: dict[str, type[Model]] = {}


def register(name: str) -> Callable[[Class], Class]:
    """Declare a model under the name by which `adr.model.name` chooses it.

    Raises
    ------
    InputError
        Another class has the name.
    """

    def declare(model: Class) -> Class:
        other = _MODELS.setdefault(name, model)
        if other.__qualname__ != model.__qualname__ or other.__module__ != model.__module__:
            raise InputError(
                f"the model {name!r} is declared twice: in {other.__module__}, {model.__module__}"
            )
        return model

    return declare


def registered() -> Mapping[str, type[Model]]:
    """Every declared model by name."""
    return _MODELS
