"""Minimise a separable quadratic of bounded unknowns under few rows: Newton's method on the dual.

    minimise    Σ ½·cᵢ·wᵢ² + q₀ᵢ·wᵢ + q₁ᵢ·|wᵢ| + q₂ᵢ·|wᵢ − pᵢ|,   c > 0
    subject to  lower ≤ w ≤ upper,   low ≤ A₀·w + A₁·|w| + A₂·|w − p| ≤ high

Given the rows' multipliers λ every name is on its own: it fills its stretches from the left until the slope
is 0, in closed form. What λ is best is a concave function of as many unknowns as rows,

    D(λ) = min over w of  objective(w) + λ·A(w)  −  Σ λᵣ·(highᵣ if λᵣ > 0 else lowᵣ)

whose slope is the rows' excess over their limits, and whose curvature, A·C⁻¹·Aᵀ over the names that are
within a stretch, changes only where a name enters or leaves one. Newton's method on it (semismooth; Li, Sun
& Toh 2018 for this damping) ends at the minimum itself, bounds and kinks included. No such w exists exactly
if some λ makes the constant part of D positive without an objective; that proof ends the search too.
"""

from __future__ import annotations

import numpy as np

from kairos.panel.arrays import Array
from kairos.panel.kernels import kernel
from kairos.panel.rows import (
    EXACT,
    FAILED,
    POLISHED,
    UNBOUND,
    UNDECIDED,
    Index,
    Pieces,
    Problem,
    backward,
    factorise,
    forward,
    normal,
    put,
    see,
    substitute,
)

STEPS = 60
HALVINGS = 30
DAMPING = 1e-3  # at most; less as the rows come closer
JITTER = 1e-7  # of a row's curvature: rows that say the same of all names within stretches stay apart
ROUNDING = 1e-15  # of what D is the sum of
STRAIGHT = 0.75  # share of its promise that a step keeps where D hardly bends; half where it is a parabola
RISE = 1e-4  # share of the slope's promise that a step must keep
PROVE = 4  # steps between attempts to prove that no w keeps all rows
PROOF = 1e-9  # by how much, over what the multipliers weigh, limits must miss each other


@kernel
def search(p: Problem, pieces: Pieces, begin: Array) -> tuple[Array, Array, int, int]:
    """Weights, multipliers, POLISHED, FAILED (no such w) or UNDECIDED, and steps taken from `begin`."""
    n, m = len(p.lower), len(p.low)
    part, back, free = np.empty((3, n)), np.empty((3, n)), np.empty(n, dtype=np.int64)
    M, S, e = np.zeros((6, n)), np.empty((m, m)), np.empty(m)
    multiplier, ahead, value, excess = np.zeros(m), np.empty(m), np.empty(m), np.empty(m)
    for r in range(m):
        if (p.high[r] if begin[r] > 0.0 else -p.low[r]) < np.inf:  # there is a limit to press against
            multiplier[r] = begin[r]
    worth = _answer(p, pieces, multiplier, back, part, free)
    for step in range(STEPS):
        forward(p, part, value)
        worst, largest = 0.0, 1.0
        for r in range(m):
            excess[r] = _excess(p.low[r], p.high[r], value[r], multiplier[r])
            worst, largest = max(worst, abs(excess[r])), max(largest, abs(multiplier[r]))
        if worst <= EXACT * min(largest, 1e3):  # λ is rounded, and so is what names do
            return part[0], multiplier, POLISHED, step
        if step % PROVE == PROVE - 1 and _impossible(p, pieces, multiplier, back):
            return part[0], multiplier, FAILED, step
        for r in range(m):
            bound = multiplier[r] != 0.0 or p.low[r] == p.high[r] or excess[r] != 0.0
            e[r] = min(DAMPING, worst) if bound else UNBOUND
        _bend(p, pieces, free, M)
        normal(p, M, e, S)
        for r in range(m):
            S[r, r] *= 1.0 + JITTER
        factorise(S)
        move = excess.copy()
        substitute(S, move)
        for r in range(m):
            if e[r] == UNBOUND:
                move[r] = 0.0  # not nearly 0, which would count as pressing
        found, worth = _climb(p, pieces, multiplier, excess, move, worth, ahead, back, part, free)
        if not found:
            return part[0], multiplier, UNDECIDED, step
        multiplier[:] = ahead
    return part[0], multiplier, UNDECIDED, STEPS


@kernel
def _climb(
    p: Problem,
    pieces: Pieces,
    multiplier: Array,
    excess: Array,
    move: Array,
    worth: float,
    ahead: Array,
    back: Array,
    part: Array,
    free: Index,
) -> tuple[bool, float]:
    """Fill in the multipliers that a move leads to and what names do there; whether D rises, and D."""
    length, other = 1.0, np.empty(len(ahead))
    for _ in range(HALVINGS):
        promise = _ahead(p, multiplier, excess, move, length, ahead)
        after = _answer(p, pieces, ahead, back, part, free)
        if after >= worth + RISE * promise - ROUNDING * (1.0 + abs(worth) + _limited(p, ahead)[1]):
            break
        length *= 0.5
    else:
        return False, worth
    # D is concave along the move: go on as far again where it hardly bends, go back where it was overshot
    factor = 0.5 if length < 1.0 else 2.0
    for _ in range(HALVINGS):
        if length >= 1.0 and after - worth <= STRAIGHT * promise:
            break
        length *= factor
        promise = _ahead(p, multiplier, excess, move, length, other)
        there = _answer(p, pieces, other, back, part, free)
        if not there > after:
            _answer(p, pieces, ahead, back, part, free)
            break
        after = there
        ahead[:] = other
    return True, after


@kernel
def _ahead(p: Problem, multiplier: Array, excess: Array, move: Array, length: float, ahead: Array) -> float:
    """Fill in the multipliers after so much of a move, and return what the slope promises of it.

    A row presses against one limit, or against none: a multiplier that would change its sign ends at 0.
    """
    promise = 0.0
    for r in range(len(multiplier)):
        ahead[r] = multiplier[r] + length * move[r]
        side = multiplier[r] if multiplier[r] != 0.0 else excess[r]
        if p.low[r] != p.high[r] and side * ahead[r] < 0.0:
            ahead[r] = 0.0
        promise += excess[r] * (ahead[r] - multiplier[r])
    return promise


@kernel
def _excess(low: float, high: float, value: float, multiplier: float) -> float:
    """What a row is above (below, negative) the limit that it presses against; 0 where it presses none."""
    if low == high or multiplier > 0.0:
        return value - high
    if multiplier < 0.0:
        return value - low
    return max(value - high, 0.0) + min(value - low, 0.0)


@kernel
def _answer(p: Problem, pieces: Pieces, multiplier: Array, back: Array, part: Array, free: Index) -> float:
    """Fill in what each name does given the multipliers, and the piece it is in or −1; return D."""
    backward(p, multiplier, back)
    worth = -_limited(p, multiplier)[0]
    for i in range(len(p.lower)):
        c, slope = p.curvature[i], p.linear[0, i] + back[0, i]
        at_zero, at_point = p.linear[1, i] + back[1, i], p.linear[2, i] + back[2, i]
        w, end, free[i] = p.lower[i], p.lower[i], -1
        for j in range(pieces.first[i], pieces.first[i + 1]):
            start, end = end, end + pieces.length[j]
            there = -(slope + pieces.size[j] * at_zero + pieces.trade[j] * at_point) / c
            if there <= start:
                break
            if there < end:
                w, free[i] = there, j
                break
            w = end
        put(p, part, i, w)
        w = part[0, i]
        worth += 0.5 * c * w * w + slope * w + at_zero * part[1, i] + at_point * part[2, i]
    return worth


@kernel
def _limited(p: Problem, multiplier: Array) -> tuple[float, float]:
    """λ times the limits that it presses against, and the size of these terms, which may cancel.

    Of rows that nearly oppose each other λ is large.
    """
    total = size = 0.0
    for r in range(len(multiplier)):
        if multiplier[r] != 0.0:
            term = multiplier[r] * (p.high[r] if multiplier[r] > 0.0 else p.low[r])
            total += term
            size += abs(term)
    return total, size


@kernel
def _bend(p: Problem, pieces: Pieces, free: Index, M: Array) -> None:
    """Fill in each name's inverse curvature, 0 for one at its bound."""
    for i in range(len(free)):
        j = free[i]
        if j < 0:
            see(M, i, 0.0, 1.0, 1.0)
        else:
            see(M, i, 1.0 / p.curvature[i], pieces.size[j], pieces.trade[j])


@kernel
def _impossible(p: Problem, pieces: Pieces, multiplier: Array, back: Array) -> bool:
    """Whether the multipliers prove that no w keeps all rows: even the least λ·A(w) is above λ's limits.

    `back` is the rows' slopes with these multipliers, as the last answer has left it.
    """
    least = -_limited(p, multiplier)[0]
    for i in range(len(p.lower)):
        w, end = p.lower[i], p.lower[i]
        for j in range(pieces.first[i], pieces.first[i + 1]):
            end += pieces.length[j]
            if back[0, i] + pieces.size[j] * back[1, i] + pieces.trade[j] * back[2, i] >= 0.0:
                break
            w = end
        least += back[0, i] * w + back[1, i] * abs(w) + back[2, i] * abs(w - p.point[i])
    return bool(least > PROOF * np.abs(multiplier).sum())
