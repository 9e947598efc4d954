"""Model files: one pickle for an ADR and a month, read back without trusting it.

A file is a pickled dict of plain Python types and NumPy arrays. Python and NumPy alone can load it; this
reader refuses a pickle that names anything else, because loading a pickle can run code. The same model gives
the same bytes.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kairos.panel import Array

PROTOCOL = 4

ALLOWED = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "_reconstruct"),
}
"""All that a pickled array of numbers refers to."""


@dataclass(frozen=True)
class ModelFile:
    """The model of one ADR and month. Nothing in it is known later than the last day before that month.

    The prediction of the residual is Σ coef/scale·x over the residual returns x of the features, in
    fractions; there is no constant, so that x = 0 gives 0.

    Attributes
    ----------
    ticker, exchange, index : str
        ADR, market code of its ordinary, and index.
    month : str
        Month in which it is deployed, "2025-01".
    model : str
        `adr.model.name`.
    parameters : dict
        `adr.model.parameters`.
    selection : str
        Rule that chose the strength.
    alpha : float or None
        The strength; None for the zero model, for a combination, and for models without one.
    alphas, weights : (k,)
        Strengths that are combined, and their weights: one strength of weight 1, or none for the zero model.
    features : list of str
        US tickers with a coefficient other than 0, in alphabetical order.
    coef : (p,) or None
        Their coefficients, by standard deviation; None when the model is not linear.
    scale, mean : (p,)
        Standard deviation (ddof 0) and mean of their residual returns over all rows of the fit.
    n_features : int
        US stocks that the model could choose from.
    train, validation : [str, str]
        First and last date of the rows on which the strengths were fitted, and on which one was chosen. The
        coefficients are fitted on both.
    n_train, n_validation : int
        How many rows these are.
    validation_metrics : dict
        IC, R², mean squared error and hit rate of the choice in the validation month, and the error of zero.
    versions : dict
        Of the packages that made the file.
    """

    ticker: str
    exchange: str
    index: str
    month: str
    model: str
    parameters: Mapping[str, Any]
    selection: str
    alpha: float | None
    alphas: Array
    weights: Array
    features: list[str]
    coef: Array | None
    scale: Array
    mean: Array
    n_features: int
    train: list[str]
    validation: list[str]
    n_train: int
    n_validation: int
    validation_metrics: Mapping[str, float]
    versions: Mapping[str, str]

    def linear(self, path: Path) -> Array:
        """Weights of the residual returns, coef/scale, (p,).

        Raises
        ------
        InputError
            The model is not linear; the message names the file `path`.
        """
        if self.coef is None:
            raise InputError(
                f"{path}: the model {self.model} is not linear, so its file holds no coefficients. It can be "
                "trained and evaluated, but not run by minute; choose a linear one (adr.model.name)"
            )
        return self.coef / self.scale

    def write(self, path: Path) -> None:
        """Write the file; equal models give equal bytes."""
        content = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=PROTOCOL)
        pickler.fast = True  # no memory of shared objects, on which the bytes would depend
        pickler.dump(content)
        path.write_bytes(buffer.getvalue())


def _plain(value: Any) -> Any:
    """Arrays of float64, contiguous; dicts and lists of plain types."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, dtype=np.float64)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def read_model(path: Path) -> ModelFile:
    """Read a model file.

    Raises
    ------
    InputError
        The file is missing, is no pickle, refers to anything but arrays, or doesn't hold a model.
    """
    try:
        content = _Restricted(io.BytesIO(path.read_bytes())).load()
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is missing; it holds the model of a month") from error
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
        *(ImportError, OverflowError, MemoryError, RuntimeError, SystemError),
    ) as error:
        raise InputError(
            f"{path}: not a model file of this desk ({error}); train again, and don't load it by other means"
        ) from error
    names = {field.name for field in fields(ModelFile)}
    if not (isinstance(content, dict) and set(content) == names and _fits_together(content)):
        raise InputError(f"{path}: not a model file of this version; train again")
    return ModelFile(**content)


def _fits_together(content: Mapping[str, Any]) -> bool:
    """Whether there is one number of each kind for each feature."""
    columns = [content[name] for name in ("scale", "mean", "coef") if content[name] is not None]
    return isinstance(content["features"], list) and all(
        isinstance(column, np.ndarray)
        and column.dtype == np.float64
        and column.shape == (len(content["features"]),)
        for column in columns
    )
