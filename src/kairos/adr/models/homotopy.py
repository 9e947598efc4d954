"""The whole LASSO path, exactly: as the penalty falls, follow the solution from knot to knot.

Between two knots the set A of features in use and their signs s stay as they are, and the solution is linear
in the penalty λ = n·α (the lasso variant of LARS):

    w_A(λ) = z − λ·u    with (X_A'X_A)·z = X_A'y and (X_A'X_A)·u = s
    c(λ)   = X'(y − X·w) changes at the rate −a = −X'X_A·u as λ falls; on A it is s·λ

The next knot is where a feature outside reaches |c_j| = λ, and joins, or a coefficient inside reaches 0, and
leaves. z and u are solved anew at every knot, so errors don't build up along the path.

:func:`sklearn.linear_model.lars_path` follows the same path, and the tests compare with it. It isn't used
here because residuals of a thousand stocks hold share classes and late listings that are nearly combinations
of each other: there it stops early, or goes on with wrong coefficients and says nothing, and coordinate
descent needs seconds for one fit. Here a feature that moves in lockstep with those in use waits until one of
them leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array, Mask

LOCKSTEP = 1e-9
"""A feature whose slack to the penalty changes by less than this, as the penalty falls by 1, can't join."""

PIVOT = 1e-12
"""Nor can one of whose sum of squares less than this share is left beside the features in use."""


@njit(cache=True)
def _forward(L: Array, m: int, b: Array, x: Array, first: int) -> None:
    """Solve L·x = b for the leading m rows of a lower triangle; rows before the first are solved already."""
    for i in range(first, m):
        x[i] = (b[i] - np.dot(L[i, :i], x[:i])) / L[i, i]


@njit(cache=True)
def _back(L: Array, m: int, b: Array) -> Array:
    """Solve L'·x = b for the leading m rows."""
    x = b[:m].copy()
    for i in range(m - 1, -1, -1):
        x[i] /= L[i, i]
        for j in range(i):
            x[j] -= L[i, j] * x[i]
    return x


@njit(cache=True)
def _append(L: Array, m: int, products: Array, square: float) -> bool:
    """Extend the factor by a feature, given its products with those in use; False when it depends on them."""
    for i in range(m):
        L[m, i] = (products[i] - np.dot(L[i, :i], L[m, :i])) / L[i, i]
    left = square - np.dot(L[m, :m], L[m, :m])
    if left <= PIVOT * square:
        return False
    L[m, m] = np.sqrt(left)
    return True


@njit(cache=True)
def _delete(L: Array, m: int, k: int) -> None:
    """Take the feature k out of the factor of m features, by Givens rotations."""
    for i in range(k, m - 1):
        L[i, : i + 2] = L[i + 1, : i + 2]
        r = np.hypot(L[i, i], L[i, i + 1])
        cos, sin = L[i, i] / r, L[i, i + 1] / r
        L[i, i], L[i, i + 1] = r, 0.0
        for row in range(i + 2, m):
            a, b = L[row, i], L[row, i + 1]
            L[row, i], L[row, i + 1] = cos * a + sin * b, cos * b - sin * a


@njit(cache=True)
def _first_to_join(c: Array, a: Array, free: Mask, lam: float, step: float) -> tuple[int, float]:
    """Feature outside that reaches the penalty before it falls by `step`, or −1, and the fall until then."""
    joins = -1
    for j in range(len(c)):
        if free[j]:
            for sign in (1.0, -1.0):
                slack, rate = lam - sign * c[j], 1.0 - sign * a[j]
                if rate > LOCKSTEP and slack < step * rate:
                    joins, step = j, max(slack / rate, 0.0)
    return joins, step


@njit(cache=True)
def _first_to_leave(w: Array, u: Array, step: float) -> tuple[int, float]:
    """Position inside whose coefficient reaches 0 before the penalty falls by `step`, or −1, and the fall."""
    leaves = -1
    for i in range(len(w)):
        if w[i] * u[i] < 0.0 and -w[i] / u[i] < step:
            leaves, step = i, -w[i] / u[i]
    return leaves, step


@njit(cache=True)
def _path(X: Array, y: Array, penalties: Array, limit: int) -> tuple[Array, int]:
    """Follow the path for `limit` knots at most; X is (features, rows), penalties fall."""
    p, n = X.shape
    W, most = np.zeros((len(penalties), p)), min(n, p)
    L, inside = np.zeros((most, most)), np.zeros(most, np.int64)
    s, q = np.zeros(most), np.zeros(most)
    half_u, half_z, stale = np.zeros(most), np.zeros(most), 0
    free, waiting = np.ones(p, np.bool_), np.zeros(p, np.bool_)
    c = X @ y
    m, joins = 0, int(np.argmax(np.abs(c)))
    lam, reached = abs(c[joins]), 0
    while reached < len(penalties) and penalties[reached] >= lam:
        reached += 1
    for _ in range(limit):
        if reached == len(penalties):
            break
        fresh = False
        if joins >= 0:
            products = np.array([np.dot(X[inside[i]], X[joins]) for i in range(m)])
            fresh = m < most and _append(L, m, products, np.dot(X[joins], X[joins]))
            free[joins], waiting[joins] = False, not fresh
        if fresh:
            inside[m], s[m], q[m] = joins, np.sign(c[joins]), np.dot(X[joins], y)
            m += 1
        _forward(L, m, s, half_u, stale)
        _forward(L, m, q, half_z, stale)
        stale = m
        u, z = _back(L, m, half_u), _back(L, m, half_z)
        fit = np.zeros(n)
        for i in range(m):
            fit += u[i] * X[inside[i]]
        a = X @ fit
        w = z - lam * u
        if fresh:
            w[m - 1] = 0.0  # it begins here, whatever rounding says
        step = lam - penalties[-1]
        leaves, step = _first_to_leave(w, u, step)
        joins, step = _first_to_join(c, a, free, lam, step)
        last = joins < 0 and leaves < 0
        while reached < len(penalties) and (last or penalties[reached] >= lam - step):
            W[reached, inside[:m]] = z - penalties[reached] * u
            reached += 1
        c -= step * a
        lam -= step
        free |= ~waiting  # whoever left at the last knot
        free[inside[:m]] = False
        if joins < 0 and leaves >= 0:
            waiting[:] = False
            free[:] = True
            free[inside[:m]] = False  # with the one that leaves: it can't come back at once
            _delete(L, m, leaves)
            for i in range(leaves, m - 1):
                inside[i], s[i], q[i] = inside[i + 1], s[i + 1], q[i + 1]
            m -= 1
            stale = leaves
    return W, reached


def lasso_path(X: Array, y: Array, alphas: npt.ArrayLike) -> tuple[Array, int]:
    """Exact LASSO coefficients without intercept at falling strengths.

    They minimise |y − X·w|²/(2n) + α·|w|₁, scikit-learn's convention, at every α.

    Parameters
    ----------
    X : (n, p)
        Features.
    y : (n,)
        Target.
    alphas : (K,)
        Strengths, positive and falling.

    Returns
    -------
    coefficients : (K, p)
        Row k belongs to alphas[k].
    reached : int
        Rows that are filled: all of them, unless ties keep the path from going on.

    References
    ----------
    Osborne, M., Presnell, B. and Turlach, B. (2000), A new approach to variable selection in least squares
    problems, IMA Journal of Numerical Analysis 20(3).
    Efron, B., Hastie, T., Johnstone, I. and Tibshirani, R. (2004), Least angle regression, Annals of
    Statistics 32(2).

    Examples
    --------
    With orthogonal features each coefficient is X'y/n, shrunk by α:

    >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> coefficients, reached = lasso_path(X, X @ [0.5, -0.2], [0.6, 0.3, 0.1])
    >>> coefficients.round(12).tolist()
    [[0.0, 0.0], [0.2, 0.0], [0.4, -0.1]]
    """
    n, p = X.shape
    penalties = n * np.asarray(alphas, dtype=np.float64)
    if not X.size:
        return np.zeros((len(penalties), p)), len(penalties)
    return _path(np.ascontiguousarray(X.T), y, penalties, 20 * min(n, p) + 100)
