"""Weights of some columns, held in an account that grows with their values, and moved towards targets.

For the one consumer that goes row by row: panels are row-major here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.panel import kernels
from kairos.panel.arrays import Array, Mask

Index = npt.NDArray[np.int64]


def hold(
    x: Array,
    rows: range,
    columns: Index,
    weight: Array,
    until: Index,
    days: Array,
    rates: tuple[float, float, float],
) -> tuple[Array, Array]:
    """An account that is not traded, from the first of the rows on: positions grow, cash earns and pays.

    In units of the equity E in the first row, with 0: positionⱼ(t) = wⱼ · xₜⱼ / x₀ⱼ, Eₜ = cashₜ + Σ
    positions, and cashₜ = cashₜ₋₁ + Eₜ₋₁ · interest(gross, short, days) with the exposures of t − 1.

    Parameters
    ----------
    x : (T, N) C-contiguous
        Values without gaps in the rows and columns asked for.
    columns : (n,)
        Columns with a position.
    weight, until : (N,)
        Fraction of equity in the first of the rows, and the row from which it is cash.
    days : (T,)
        Calendar days since the row before.
    rates : three floats
        Yearly: earned on cash, paid on gross exposure above 1, paid on shorts; ACT/365.

    Returns
    -------
    part : (R, n)
        The positions as fractions of equity; 0 from ``until`` on.
    sums : (4, R)
        Equity; gross and net exposure as fractions of it; number of positions. Where equity is 0 or less the
        account has lost everything, and what follows means nothing.

    Examples
    --------
    >>> x = np.array([[4.0, 5.0], [6.0, 5.0]])
    >>> half, until, free = np.full(2, 0.5), np.array([9, 1]), (0.0, 0.0, 0.0)
    >>> part, sums = hold(x, range(2), np.arange(2), half, until, np.ones(2), free)
    >>> part.tolist()
    [[0.5, 0.5], [0.6, 0.0]]
    >>> sums[:, 1].tolist()
    [1.25, 0.6, 0.6, 1.0]
    """
    part, sums = np.empty((len(rows), len(columns))), np.empty((4, len(rows)))
    kernels.hold(x, rows.start, columns, weight, until, days, rates, part, sums)
    return part, sums


def positions(weight: Array) -> tuple[Index, Array, float, float]:
    """The columns with a weight, ascending, their weights, the sum of absolute weights and the sum.

    Examples
    --------
    >>> columns, held, gross, net = positions(np.array([0.5, 0.0, -0.25]))
    >>> columns.tolist(), held.tolist(), gross, net
    ([0, 2], [0.5, -0.25], 0.75, 0.25)
    """
    columns, part = np.empty(len(weight), dtype=np.int64), np.empty(len(weight))
    number, gross, net = kernels.positions(weight, columns, part)
    return columns[:number].copy(), part[:number].copy(), gross, net


def approach(
    weight: Array, columns: Index, target: Array, most: Array, movable: Mask, spare: float
) -> tuple[Array, Mask]:
    """Move weights towards their targets, in place.

    A step is at most ``most`` long. All rises are cut by one factor so that together they are at most the
    falls and ``spare``; a difference below 1e-12 is rounding.

    Parameters
    ----------
    weight, movable : (N,)
        Weights, which are changed, and whether each can be.
    columns, target, most : (n,)
        Columns with a target, the target, and the longest step.
    spare : float
        By how much the rises may exceed the falls.

    Returns
    -------
    step : (n,)
        Changes made.
    left : (n,)
        True where the target is not reached; not where weight and target are both 0.

    Examples
    --------
    >>> weight = np.array([0.5, 0.25])
    >>> step, left = approach(weight, np.arange(2), np.array([0.25, 1.0]), np.ones(2), np.full(2, True), 0.25)
    >>> weight.tolist(), step.tolist(), left.tolist()
    ([0.25, 0.75], [-0.25, 0.5], [False, True])
    """
    step, left = np.empty(len(columns)), np.empty(len(columns), dtype=np.bool_)
    kernels.approach(weight, columns, target, most, movable, spare, step, left)
    return step, left
