"""Model files: one pickle for an ADR and a month, read back without trusting it.

A file is a pickled dict of plain Python types and NumPy arrays. Python and NumPy alone can load it; this
reader refuses a pickle that names anything else, because loading a pickle can run code. The same model gives
the same bytes.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kairos.panel import Array

PROTOCOL = 4

LARGEST = 1 << 26
"""Bytes of a file that can be a model; one has some thousands."""

CODES = frozenset({
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
    *("LONG", "LONG1", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES"),
    *("BINBYTES", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND"),
    *("APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"),
})  # fmt: skip
"""Instructions of a pickle that are followed. None of them uses an object twice, so that what is made is no
larger than the file."""


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


class _Kind:
    """Stands in for a dtype while a file is read: only that of a float64 is one."""

    def __init__(self, name: object, _align: object, _copy: object) -> None:
        if name != "f8":
            raise pickle.UnpicklingError(f"an array holds {name!r}, not numbers")

    def __setstate__(self, state: object) -> None:
        if state != (3, "<", None, None, None, -1, -1, 0):
            raise pickle.UnpicklingError("an array's numbers are not plain ones")


class _Numbers:
    """Stands in for an array while a file is read; NumPy itself never sees what a file says."""

    values: Array

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[object, tuple[int, ...], object, object, bytes]) -> None:
        _, shape, kind, _, raw = state
        if not (isinstance(kind, _Kind) and isinstance(raw, bytes)):
            raise pickle.UnpicklingError("an array is none")
        self.values = np.frombuffer(raw, dtype="<f8").reshape(shape).copy()


_STAND_INS = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Numbers,
    ("numpy._core.multiarray", "_reconstruct"): _Numbers,
    ("numpy.core.multiarray", "_reconstruct"): _Numbers,
}
"""All that a pickled array of numbers refers to, and what is taken for it."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return _STAND_INS[module, name]


def read_model(path: Path) -> ModelFile:
    """Read a model file.

    Raises
    ------
    InputError
        The file is missing, is no pickle, refers to anything but arrays, or doesn't hold a model.
    """
    try:
        content = _content(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file is missing; it holds the model of a month") from error
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
        *(ImportError, OverflowError, MemoryError, RuntimeError, SystemError),
    ) as error:
        raise InputError(
            f"{path}: not a model file of this desk ({error}); train again, and don't load it by other means"
        ) from error
    if isinstance(content, dict):
        content = {
            name: value.values if isinstance(value, _Numbers) else value for name, value in content.items()
        }
    names = {field.name for field in fields(ModelFile)}
    if not (isinstance(content, dict) and set(content) == names and _fits_together(content)):
        raise InputError(f"{path}: not a model file of this version; train again")
    return ModelFile(**content)


def _content(path: Path) -> object:
    """What is pickled in a file, when all its instructions are harmless."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    raw = path.read_bytes()
    for count, (code, argument, _) in enumerate(pickletools.genops(raw)):
        if code.name not in CODES or ("PUT" in code.name and int(argument or 0) > count):
            raise pickle.UnpicklingError(f"it holds the instruction {code.name}")
    return _Restricted(io.BytesIO(raw)).load()


def _fits_together(content: Mapping[str, Any]) -> bool:
    """Whether every entry is of its kind, and there is one number of each kind for each feature."""
    coef, scale, features = content["coef"], content["scale"], content["features"]
    texts = ("ticker", "exchange", "index", "model", "selection")
    return (
        all(isinstance(content[name], str) for name in texts)
        and isinstance(content["month"], str)
        and re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", content["month"]) is not None
        and all(isinstance(content[name], int) for name in ("n_features", "n_train", "n_validation"))
        and all(isinstance(content[name], dict) for name in ("parameters", "validation_metrics", "versions"))
        and all(_texts(content[name]) for name in ("features", "train", "validation"))
        and (content["alpha"] is None or isinstance(content["alpha"], int | float))
        and _finite(content["weights"])
        and (content["alpha"] is None or _finite(content["alphas"]))  # NaN for a model without strengths
        and isinstance(content["alphas"], np.ndarray)
        and all(
            _finite(column) and column.shape == (len(features),)
            for column in (scale, content["mean"], *([] if coef is None else [coef]))
        )
        and (coef is None or bool((scale > 0.0).all()))
    )


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _finite(value: object) -> bool:
    return isinstance(value, np.ndarray) and bool(np.isfinite(value).all())
