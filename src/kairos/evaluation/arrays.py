"""The shapes that the statistics of this room accept, and the errors for those they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.panel import Array

Codes = npt.NDArray[np.signedinteger]
Dates = npt.NDArray[np.datetime64]


def gapped_series(values: npt.ArrayLike, name: str) -> Array:
    """Return a 1-D float series in which NaN and infinite values are missing (NaN).

    Raises
    ------
    InputError
        The values are not one-dimensional.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise InputError(f"{name} has {series.ndim} dimensions: pass a one-dimensional series")
    return np.where(np.isfinite(series), series, np.nan)


def complete_series(values: npt.ArrayLike, name: str, length: int | None = None) -> Array:
    """Return a 1-D float series without missing values, of the given length if one is given.

    Raises
    ------
    InputError
        The series is empty, has the wrong length, or a value is missing or infinite (its index is named).
    """
    series = gapped_series(values, name)
    if not series.size:
        raise InputError(f"{name} is empty: at least one observation is needed")
    if length is not None and series.size != length:
        raise InputError(f"{name} has {series.size} values, expected {length}: one for each return")
    missing = np.flatnonzero(np.isnan(series))
    if missing.size:
        raise InputError(
            f"{name}[{missing[0]}] is missing or infinite ({missing.size} such values in all): "
            "fill or cut the series before it is measured"
        )
    return series


def session_dates(dates: npt.ArrayLike, length: int) -> Dates:
    """Return dates as ``datetime64[D]``: one for each return, strictly increasing.

    Raises
    ------
    InputError
        Wrong length, a missing date, or dates out of order (the index is named).
    """
    days = np.asarray(dates, dtype="datetime64[D]")
    if days.shape != (length,):
        raise InputError(f"dates has shape {days.shape}, expected ({length},): one date for each return")
    wrong = np.flatnonzero(~(days[1:] > days[:-1]))
    if wrong.size or np.isnat(days[0]):
        at = wrong[0] + 1 if wrong.size else 0
        raise InputError(f"dates[{at}] = {days[at]} is missing or not after the date before it: sort them")
    return days


def same_shape(panels: Mapping[str, npt.NDArray[np.generic]]) -> tuple[int, int]:
    """Return the common shape (T, N) of the panels.

    Raises
    ------
    InputError
        A panel is not two-dimensional or has another shape than the first.
    """
    (first, panel), *others = panels.items()
    if panel.ndim != 2:
        raise InputError(f"{first} has {panel.ndim} dimensions: a panel has two (sessions, tickers)")
    for name, other in others:
        if other.shape != panel.shape:
            raise InputError(
                f"{name} has shape {other.shape} but {first} has {panel.shape}: align them first"
            )
    return panel.shape[0], panel.shape[1]


def positive(periods_per_year: float) -> float:
    """Return the periods per year.

    Raises
    ------
    InputError
        They are not a positive finite number.
    """
    if not 0.0 < periods_per_year < np.inf:
        raise InputError(
            f"periods_per_year = {periods_per_year}: pass the sessions a year, 252 for daily returns"
        )
    return periods_per_year


def deviation(series: Array) -> float:
    """Sample standard deviation (ddof 1): exactly 0 for a constant series, NaN for a single observation."""
    if series.size < 2:
        return np.nan
    return 0.0 if series.max() == series.min() else float(series.std(ddof=1))


def ratio(numerator: float, denominator: float) -> float:
    """Quotient of two numbers; NaN unless the denominator is above 0."""
    return numerator / denominator if denominator > 0.0 else np.nan


def share_of_one(value: float, name: str) -> float:
    """Return a share, such as a confidence level.

    Raises
    ------
    InputError
        It is not between 0 and 1.
    """
    if not 0.0 < value < 1.0:
        raise InputError(f"{name} = {value}: pass a share between 0 and 1, such as 0.95")
    return value
