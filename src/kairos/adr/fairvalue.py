"""What an ADR should have done since its ordinary closed: the formulas of the minute signal.

With c the reference time of the ordinary's close, for a minute t after it::

    index(t)    = future(t)/future(c) − 1                       in the currency of the index
    fx(t)       = rate(t)/rate(c) − 1                           USD for one unit of it
    residual(t) = stock(t)/stock(c) − 1 − b·index(t)            of a US stock
    model(t)    = Σ w·residual(t)                               w = coef/scale, over the stocks with a price
    inferred(t) = (1 + β·index(t) + model(t))·(1 + fx(t)) − 1
    adr(t)      = mid(t)/mid(c) − 1
    signal(t)   = inferred(t) − adr(t)

A positive signal says that the ADR has lagged behind. Arguments are numbers or arrays that broadcast; NaN is
missing and stays so. Batch and live compute with these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.adr.files import Array

Leg = Literal["local_future", "usd_future"]

ROUNDING = 1e-9


def change(now: Array, then: Array) -> Array:
    """Return since the reference time, now/then − 1."""
    return now / then - 1.0


def stock_residual(now: Array, then: Array, beta: Array, index: Array) -> Array:
    """Return of a US stock without its index, now/then − 1 − b·index; NaN where anything is missing."""
    return now / then - 1.0 - beta * index


def futures_only(beta: Array, index: Array, fx: Array, leg: Leg) -> Array:
    """Inferred return in USD without the model.

    ``local_future``: (1 + β·index)·(1 + fx) − 1, the currency reaches the ADR one for one. ``usd_future``:
    β·((1 + index)·(1 + fx) − 1), beta times the future in USD.

    Examples
    --------
    >>> beta, index, fx = (np.array([x]) for x in (0.5, 0.02, 0.01))
    >>> [futures_only(beta, index, fx, leg).round(6).tolist() for leg in ("local_future", "usd_future")]
    [[0.0201], [0.0151]]
    """
    if leg == "usd_future":
        return beta * ((1.0 + index) * (1.0 + fx) - 1.0)
    return (1.0 + beta * index) * (1.0 + fx) - 1.0


def in_usd(model: Array, fx: Array) -> Array:
    """What the model adds to the inferred return in USD, model·(1 + fx)."""
    return model * (1.0 + fx)


def covered(coverage: Array, least: float) -> npt.NDArray[np.bool_]:
    """Tell where a coverage is enough; sums in another order may differ by rounding.

    >>> covered(np.array([0.8 - 1e-15, 0.79]), 0.8).tolist()
    [True, False]
    """
    return np.asarray(coverage >= least - ROUNDING)


def oldest(*ages: Array) -> Array:
    """Age of the oldest of several sources; NaN where one is missing."""
    found: Array = np.maximum.reduce(ages)
    return found
