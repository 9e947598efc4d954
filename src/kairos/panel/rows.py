"""Functions of many bounded unknowns that few rows couple: stretches between kinks, and rows' equations."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kairos.panel.arrays import Array
from kairos.panel.kernels import kernel

Index = npt.NDArray[np.int64]

DEPENDENT = 1e-13  # a row whose pivot falls below this share of its diagonal follows from the rows before it
UNBOUND = 1e30  # inverse curvature of a row that doesn't bind
EXACT = 1e-12  # rows are met to this, in units of the widest bounds
NEAR = 1e-14  # a bound or kink that is closer is meant
UNDECIDED, FAILED, CONVERGED, POLISHED = -1, 0, 1, 2


class Problem(NamedTuple):
    """The problem in units of the widest bounds and of the steepest slope; F and the rows are one matrix.

    It is there twice, as sums go along rows and the equations of names along columns.
    """

    lower: Array
    upper: Array
    point: Array
    curvature: Array
    linear: Array
    power: Array
    A: Array  # (k + m, n)
    Z: Array  # (n, k + m), its transpose
    k: int
    cut: Index  # where the rows of w, |w| and |w − p| begin, and the end
    low: Array
    high: Array


class Pieces(NamedTuple):
    """Stretches between kinks, name after name."""

    first: Index  # (n + 1,) of each name
    length: Array  # (P,) and so on
    size: Array  # slope of |w|
    trade: Array  # slope of |w − p|
    bought: Array  # (n,) what the bounds force to be bought and sold
    sold: Array


@kernel
def pieces_of(p: Problem) -> Pieces:
    """Cut each name's range at 0 and at its point, where something depends on that side."""
    n, cut = len(p.lower), p.cut
    at_zero, at_point = cut[1] < cut[2], cut[2] < cut[3]
    for i in range(n):
        at_zero |= p.linear[1, i] != 0.0
        at_point |= p.linear[2, i] != 0.0 or p.power[i] != 0.0
    first, count = np.zeros(n + 1, dtype=np.int64), 0
    length, size, trade = np.empty(3 * n), np.empty(3 * n), np.empty(3 * n)
    bought, sold = np.empty(n), np.empty(n)
    ends = np.empty(3)
    for i in range(n):
        start = p.lower[i]
        ends[0] = min(max(0.0, start), p.upper[i]) if at_zero else start
        ends[1] = min(max(p.point[i], start), p.upper[i]) if at_point else start
        ends[2] = p.upper[i]
        if ends[0] > ends[1]:
            ends[0], ends[1] = ends[1], ends[0]
        for end in ends:
            if end > start:
                middle = 0.5 * (start + end)
                length[count] = end - start
                size[count] = 1.0 if middle > 0.0 else -1.0
                trade[count] = 1.0 if middle > p.point[i] else -1.0
                start, count = end, count + 1
        first[i + 1] = count
        bought[i], sold[i] = max(p.lower[i] - p.point[i], 0.0), max(p.point[i] - p.upper[i], 0.0)
    return Pieces(first, length[:count], size[:count], trade[:count], bought, sold)


@kernel
def forward(p: Problem, part: Array, out: Array) -> None:
    """Fill in the value of each row, part (3, n) being w, |w| and |w − p|."""
    n = len(p.lower)
    whole = n - n % 4
    for a in range(3):
        v = part[a]
        for r in range(p.cut[a], p.cut[a + 1]):
            row = p.A[r]
            s0 = s1 = s2 = s3 = 0.0  # four sums at a time: one would wait for each addition
            for i in range(0, whole, 4):
                s0 += row[i] * v[i]
                s1 += row[i + 1] * v[i + 1]
                s2 += row[i + 2] * v[i + 2]
                s3 += row[i + 3] * v[i + 3]
            for i in range(whole, n):
                s0 += row[i] * v[i]
            out[r] = (s0 + s1) + (s2 + s3)


@kernel
def backward(p: Problem, multiplier: Array, out: Array) -> None:
    """Fill in the slopes (3, n) of the rows with their multipliers."""
    out[:] = 0.0
    for a in range(3):
        for r in range(p.cut[a], p.cut[a + 1]):
            if multiplier[r] != 0.0:  # few rows press
                for i in range(len(p.lower)):
                    out[a, i] += p.A[r, i] * multiplier[r]


@kernel
def put(p: Problem, part: Array, i: int, w: float) -> None:
    """Fill in w, |w| and |w − p| of a name that is at a bound or kink."""
    if abs(w - p.point[i]) < NEAR:
        w = p.point[i]
    part[0, i], part[1, i], part[2, i] = w, abs(w), abs(w - p.point[i])


@kernel
def see(M: Array, i: int, v: float, size: float, trade: float) -> None:
    """Fill in a name's inverse curvature v, seen by w, |w| and |w − p|: pairs 00, 10, 11, 20, 21, 22."""
    M[0, i], M[1, i], M[2, i] = v, size * v, v
    M[3, i], M[4, i], M[5, i] = trade * v, trade * size * v, v


@kernel
def normal(p: Problem, M: Array, e: Array, S: Array) -> None:
    """Fill in the lower half of A·B⁻¹·Aᵀ + diag(e)."""
    m = len(e)
    for r in range(m):
        for q in range(m):
            S[r, q] = 0.0
        S[r, r] = e[r]
    for i in range(len(p.Z)):
        row = p.Z[i]
        if M[0, i] == 0.0:
            continue  # a name at its bound
        pair = 0
        for a in range(3):
            for b in range(a + 1):
                for r in range(p.cut[a], p.cut[a + 1]):
                    v = row[r] * M[pair, i]
                    if v != 0.0:
                        for q in range(p.cut[b], min(p.cut[b + 1], r + 1)):
                            S[r, q] += v * row[q]
                pair += 1


@kernel
def factorise(S: Array) -> None:
    """Cholesky factor, in place.

    A row that depends on those before it gets an infinite pivot: its unknown stays 0.
    """
    for j in range(len(S)):
        before = S[j, j]
        pivot = before
        for a in range(j):
            pivot -= S[j, a] * S[j, a]
        dependent = not pivot > DEPENDENT * before
        S[j, j] = np.inf if dependent else math.sqrt(pivot)
        for b in range(j + 1, len(S)):
            total = S[b, j]
            for a in range(j):
                total -= S[b, a] * S[j, a]
            S[b, j] = 0.0 if dependent else total / S[j, j]


@kernel
def substitute(L: Array, x: Array) -> None:
    """Solve L·Lᵀ·x = b, in place of b."""
    for j in range(len(x)):
        for a in range(j):
            x[j] -= L[j, a] * x[a]
        x[j] /= L[j, j]
    for j in range(len(x) - 1, -1, -1):
        x[j] /= L[j, j]
        for a in range(j):
            x[a] -= L[j, a] * x[j]
