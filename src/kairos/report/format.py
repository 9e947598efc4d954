"""How a raw number is written for a reader.

Values arrive as they were computed (fractions, not percent); a kind says how they are shown. A missing number
is an en dash, never a zero; a negative number has a true minus sign, so that the two can't be confused.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Literal, SupportsFloat, TypeAlias, TypeGuard

import numpy as np

Kind: TypeAlias = Literal[
    "text", "percent", "ratio", "number", "count", "coefficient", "p_value", "basis_points", "money"
]
Value: TypeAlias = SupportsFloat | str | date | np.datetime64 | None

MISSING = "–"
MINUS = "−"

_DIGITS: dict[Kind, int] = {
    "text": 4,
    "percent": 1,
    "ratio": 2,
    "number": 1,
    "count": 0,
    "coefficient": 4,
    "p_value": 3,
    "basis_points": 1,
    "money": 0,
}
_UNIT: dict[Kind, tuple[float, str]] = {"percent": (1e2, "%"), "basis_points": (1e4, " bp")}


def show(value: Value, kind: Kind = "text", digits: int | None = None) -> str:
    """Write one value as a reader sees it.

    Parameters
    ----------
    value : number, str, date, datetime64 or None
        The raw value; None, NaN and NaT are missing. Text and dates are shown as they are, whatever the kind.
    kind : Kind
        "percent" (0.123 is 12.3%), "basis_points" (0.0005 is 5.0 bp), "ratio" (Sharpe, t), "coefficient"
        (correlations), "p_value", "number", "count", "money" (thousands separated), or "text".
    digits : int, optional
        Decimals; each kind has its own default.

    Returns
    -------
    str
        The text, an en dash if the value is missing.

    Examples
    --------
    >>> show(0.1234, "percent"), show(-1.5, "ratio"), show(float("nan"), "ratio"), show(0.00004, "p_value")
    ('12.3%', '−1.50', '–', '<0.001')
    >>> show(1234567.8, "money"), show(-0.00001, "percent"), show(float("inf"), "ratio")
    ('1,234,568', '0.0%', '∞')
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value or MISSING
    if isinstance(value, np.datetime64):
        return MISSING if np.isnat(value) else str(value)
    if isinstance(value, date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    return _number(float(value), kind, _DIGITS[kind] if digits is None else digits)


def is_number(value: Value) -> TypeGuard[SupportsFloat]:
    """Tell whether a value is a number that can be drawn: not text, not a date, not missing, not infinite."""
    return not (value is None or isinstance(value, str | date | np.datetime64)) and math.isfinite(
        float(value)
    )


def _number(value: float, kind: Kind, digits: int) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if kind == "p_value" and 0 <= value < 10**-digits:
        return f"<{10**-digits:.{digits}f}"
    factor, unit = _UNIT.get(kind, (1.0, ""))
    text = f"{abs(value) * factor:,.{digits}f}"
    sign = MINUS if value < 0 and any(digit in "123456789" for digit in text) else ""
    return f"{sign}{text}{unit}"
