"""Weights of some columns that grow with their values and move towards targets.

For the one consumer that goes row by row: panels are row-major here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.panel import kernels
from kairos.panel.arrays import Array, Mask

Index = npt.NDArray[np.int64]


def drift(x: Array, rows: range, columns: Index, weight: Array, until: Index) -> tuple[Array, Array]:
    """Let weights grow with their columns, wⱼ · xₜⱼ / x₀ⱼ with 0 the first of the rows, and add up each row.

    Parameters
    ----------
    x : (T, N) C-contiguous
        Values without gaps in the rows and columns asked for.
    columns : (n,)
        Columns with a weight.
    weight, until : (N,)
        Weight in the first of the rows, and the row from which it no longer counts.

    Returns
    -------
    part : (R, n)
        The weights grown; 0 from ``until`` on.
    sums : (4, R)
        The sum of all as if none ended; of those that still count the sum, the sum of absolute values and the
        number.

    Examples
    --------
    >>> x = np.array([[4.0, 5.0], [6.0, 5.0]])
    >>> part, sums = drift(x, range(2), np.array([0, 1]), np.ones(2), np.array([9, 1]))
    >>> part.tolist()
    [[1.0, 1.0], [1.5, 0.0]]
    >>> sums[:, 1].tolist()
    [2.5, 1.5, 1.5, 1.0]
    """
    part, sums = np.empty((len(rows), len(columns))), np.empty((4, len(rows)))
    kernels.drift(x, rows.start, columns, weight, until, part, sums)
    return part, sums


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
