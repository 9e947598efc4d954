"""Minimise a convex function of many bounded unknowns that few rows couple: a structured interior point.

Where neither F nor r are there and c is positive, `dual` does it faster; what it doesn't decide comes here.

    minimise    Σ ½·cᵢ·wᵢ² + q₀ᵢ·wᵢ + q₁ᵢ·|wᵢ| + q₂ᵢ·|wᵢ − pᵢ| + rᵢ·|wᵢ − pᵢ|^1.5  +  ½·‖F·w‖²
    subject to  lower ≤ w ≤ upper,   low ≤ A₀·w + A₁·|w| + A₂·|w − p| ≤ high

`A₁`, `A₂`, `q₁`, `q₂`, `r` are not negative where they aren't 0, and their rows have no lower limit, so
all is convex.

**Pieces.** The absolute values have their kinks at 0 and at p. Between kinks everything is linear, so wᵢ is
lowerᵢ plus at most three pieces xᵢⱼ, each between 0 and the length of its stretch. A convex function fills
them from the left to the right by itself. What is left is a problem with simple bounds, rows, and no |·|.

**Newton step.** F·w is a row as well, whose value costs ½s². With θ the curvature of the barrier, a name is a
block Bᵢ of at most 3 × 3 and a row r has an inverse curvature eᵣ (0 for an equation, 1 for a factor), so that
a step needs only

    (A·B⁻¹·Aᵀ + diag(e))·dλ = rhs

with as many unknowns as rows: for 400 names and 90 rows about 1 ms. Mehrotra's (1992) predictor and
corrector; |x|^1.5 is compatible with the barrier of x ≥ 0 (Nesterov & Nemirovskii 1994), hence it costs no
more iterations than a quadratic.

**Polish.** The answer of an interior point stops short of bounds and kinks. Names whose distance from one is
smaller than its multiplier are put on it, the others and the rows that bind are solved as equations. A name
that leaves its stretch then is put on the end of it, one that is pulled off its end is let go, likewise rows,
until nothing changes (the primal-dual active set method of Hintermüller, Ito & Kunisch 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kairos.panel import dual
from kairos.panel.arrays import Array
from kairos.panel.kernels import kernel
from kairos.panel.rows import (
    CONVERGED,
    EXACT,
    FAILED,
    NEAR,
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
    pieces_of,
    put,
    see,
    substitute,
)

ITERATIONS = 60
ACCURACY = 1e-11  # of the complementarity, in units of the objective's steepest slope times the widest bounds
RESIDUAL = 1e-10  # of rows and slopes, in the same units
POLISHES = 20  # Newton steps; one or two do where the first guess of bounds is right
PULL = 1e-8  # slopes below it are none when the polished point is judged
SNAP, LOOSE = 4e-16, 3e-10  # a bound or kink that is closer is meant
DIVERGED = 1e12
WEIGHT, SIZE, TRADE = 0, 1, 2


class State(NamedTuple):
    """Where the iteration is. Pieces, then rows, are V bounded values; one without a bound is ∞ away."""

    part: Array  # (3, n) w, |w|, |w − p|
    row: Array  # (k + m,) values that the rows should have
    multiplier: Array  # (k + m,)
    down: Array  # (V,) distance from the lower bound
    up: Array
    z: Array  # (V,) multiplier of the lower bound
    y: Array


class Local(NamedTuple):
    """The problem's curvature and slopes at a state."""

    inverse: Array  # (P, 3) B⁻¹, the rows of each name's block
    M: Array  # (6, n) the same seen by w, |w|, |w − p|: pairs 00, 10, 11, 20, 21, 22
    e: Array  # (k + m,)
    slope: Array  # (P + k + m,) of the Lagrangian without bounds
    unmet: Array  # (k + m,)
    back: Array  # (3, n) slopes of the rows
    rhs: Array  # (P + k + m,), and at least (n,): names without freedom have no piece
    down: Array  # (V,) 1 over the distances
    up: Array


class Step(NamedTuple):
    """A direction."""

    part: Array
    row: Array
    multiplier: Array
    move: Array  # (V,) of pieces and rows
    z: Array
    y: Array


@dataclass(frozen=True)
class Minimum:
    """Where the minimum is.

    Attributes
    ----------
    w : (n,)
        The unknowns.
    multiplier : (m,)
        Of each row: positive where it presses against its high limit, negative against the low one.
    converged, polished : bool
        Whether the method ended at the minimum, and whether bounds and kinks are met exactly.
    iterations : int
        Newton steps.
    """

    w: Array
    multiplier: Array
    converged: bool
    polished: bool
    iterations: int


def minimise(
    lower: Array,
    upper: Array,
    point: Array,
    curvature: Array,
    linear: Array,
    power: Array,
    factor: Array,
    rows: Array,
    of: Index,
    low: Array,
    high: Array,
    begin: Array | None = None,
) -> Minimum:
    """Minimise, see the module.

    Parameters
    ----------
    lower, upper, point : (n,) finite
        Bounds, and the point p that changes are counted from.
    curvature, power : (n,)
        c and r.
    linear : (3, n)
        Slopes q of w, |w| and |w − p|.
    factor : (k, n)
        F.
    rows : (m, n)
    of : (m,)
        What a row multiplies: 0 w, 1 |w|, 2 |w − p|; ascending.
    low, high : (m,)
        Limits of each row; equal for an equation, infinite for none.
    begin : (m,), optional
        Multipliers of a similar problem: a search on the dual is shorter from there, and ends at the same
        minimum to rounding.

    Examples
    --------
    The nearest point to (3, 1) with the sum 2 and at most 1.2 each:

    >>> n, none = 2, np.zeros(2)
    >>> found = minimise(none, np.full(n, 1.2), none, np.ones(n), np.array([[-3.0, -1.0], none, none]), none,
    ...     np.empty((0, n)), np.ones((1, n)), np.array([0]), np.array([2.0]), np.array([2.0]))
    >>> found.w.round(9).tolist(), found.converged
    ([1.2, 0.8], True)
    """
    unit, steep = _units(lower, upper, curvature, linear)
    if unit <= 0.0:
        value = _values(rows, of, lower, point)
        return Minimum(
            lower.copy(), np.zeros(len(rows)), bool(np.all((value >= low) & (value <= high))), True, 0
        )
    k = len(factor)
    cut = np.array([0, *(k + np.searchsorted(of, [SIZE, TRADE])), k + len(rows)])
    problem, pieces = _prepared(
        lower, upper, point, curvature, linear, power, factor, rows, cut, low, high, unit, steep
    )
    end = UNDECIDED
    if not k and not power.any() and curvature.min() > 0.0:
        start = np.zeros(len(rows)) if begin is None else begin / steep
        w, multiplier, end, iterations = dual.search(problem, pieces, start)
    if end == UNDECIDED:
        w, multiplier, end, iterations = _search(problem, pieces)
    close = SNAP if end == POLISHED else LOOSE  # the units' rounding, and what the iteration stops short of
    w = _placed(w, lower, upper, point, unit, close)
    return Minimum(w, multiplier * steep, end != FAILED, end == POLISHED, iterations)


@kernel
def _units(lower: Array, upper: Array, curvature: Array, linear: Array) -> tuple[float, float]:
    """The widest bounds, and the steepest slope within them."""
    unit, steep = 0.0, 1e-300
    for i in range(len(lower)):
        unit = max(unit, upper[i] - lower[i])
        kinks = abs(linear[0, i]) + abs(linear[1, i]) + abs(linear[2, i])
        steep = max(steep, kinks + curvature[i] * max(abs(lower[i]), abs(upper[i])))
    return unit, steep


@kernel
def _prepared(
    lower: Array,
    upper: Array,
    point: Array,
    curvature: Array,
    linear: Array,
    power: Array,
    factor: Array,
    rows: Array,
    cut: Index,
    low: Array,
    high: Array,
    unit: float,
    steep: float,
) -> tuple[Problem, Pieces]:
    """The problem in these units, and its stretches."""
    k = len(factor)
    A = np.empty((k + len(rows), len(lower)))
    A[:k], A[k:] = factor * math.sqrt(unit / steep), rows
    problem = Problem(
        lower / unit,
        upper / unit,
        point / unit,
        curvature * (unit / steep),
        linear / steep,
        power * (math.sqrt(unit) / steep),
        A,
        np.ascontiguousarray(A.T),
        k,
        cut,
        low / unit,
        high / unit,
    )
    return problem, pieces_of(problem)


@kernel
def _placed(w: Array, lower: Array, upper: Array, point: Array, unit: float, close: float) -> Array:
    """The unknowns in their own units, on the bound or kink that they are as close to."""
    found = np.empty(len(w))
    for i in range(len(w)):
        x = min(max(w[i] * unit, lower[i]), upper[i])
        if abs(x - point[i]) <= close * unit and lower[i] <= point[i] <= upper[i]:
            x = point[i]
        if abs(x) <= close * unit and lower[i] <= 0.0 <= upper[i]:
            x = 0.0
        found[i] = x
    return found


def _values(rows: Array, of: Index, w: Array, point: Array) -> Array:
    """Value of each row at w."""
    parts = np.stack([w, np.abs(w), np.abs(w - point)])
    value: Array = (rows * parts[of]).sum(axis=1)
    return value


@kernel
def _begin(p: Problem, pieces: Pieces) -> State:
    """All pieces half full, rows well inside their limits, and multipliers that all press alike."""
    n, P, k, m = len(p.lower), len(pieces.length), p.k, len(p.low)
    down, up, z, y = np.empty(P + m), np.empty(P + m), np.empty(P + m), np.empty(P + m)
    average = 0.0
    for j in range(P):
        down[j] = up[j] = 0.5 * pieces.length[j]
        average += pieces.length[j] / P
    part, row, multiplier = np.empty((3, n)), np.empty(k + m), np.zeros(k + m)
    for i in range(n):
        part[0, i], part[1, i], part[2, i] = p.lower[i], abs(p.lower[i]), abs(p.lower[i] - p.point[i])
        for j in range(pieces.first[i], pieces.first[i + 1]):
            part[0, i] += down[j]
            part[1, i] += pieces.size[j] * down[j]
            part[2, i] += pieces.trade[j] * down[j]
    forward(p, part, row)
    for r in range(m):
        low, high = p.low[r], p.high[r]
        room = 0.1 * (high - low)
        if not math.isfinite(room):
            room = max(0.1 * abs(high if math.isfinite(high) else low), average)
        row[k + r] = min(max(row[k + r], low + room), high - room)
        equal = low == high
        down[P + r] = np.inf if equal else row[k + r] - low
        up[P + r] = np.inf if equal else high - row[k + r]
    for b in range(P + m):
        z[b], y[b] = 0.5 * average / down[b], 0.5 * average / up[b]
    return State(part, row, multiplier, down, up, z, y)


@kernel
def _look(p: Problem, pieces: Pieces, state: State, at: Local) -> None:
    """Fill in slopes, curvatures and unmet rows at a state."""
    k, P, first, size, trade = p.k, len(pieces.length), pieces.first, pieces.size, pieces.trade
    forward(p, state.part, at.unmet)
    backward(p, state.multiplier, at.back)
    back = at.back
    for b in range(len(state.z)):
        at.down[b], at.up[b] = 1.0 / state.down[b], 1.0 / state.up[b]
    for i in range(len(p.lower)):
        bought, sold = pieces.bought[i], pieces.sold[i]
        for j in range(first[i], first[i + 1]):
            if trade[j] > 0.0:
                bought += state.down[j]
            else:
                sold += state.up[j]
        rise = fall = 0.0
        if p.power[i] > 0.0:
            rise, fall = math.sqrt(bought), math.sqrt(sold)
        slope = p.curvature[i] * state.part[0, i] + p.linear[0, i] + back[0, i]
        for j in range(first[i], first[i + 1]):
            root = rise if trade[j] > 0.0 else fall
            at.slope[j] = slope + size[j] * (p.linear[1, i] + back[1, i])
            at.slope[j] += trade[j] * (p.linear[2, i] + back[2, i] + 1.5 * p.power[i] * root)
            for a in range(first[i], first[i + 1]):
                bend = p.curvature[i]
                if trade[j] == trade[a] and p.power[i] > 0.0:
                    bend += 0.75 * p.power[i] / root
                at.inverse[j, a - first[i]] = bend
            at.inverse[j, j - first[i]] += state.z[j] * at.down[j] + state.y[j] * at.up[j]
        _invert(at.inverse, first[i], first[i + 1])
        for pair in range(6):
            at.M[pair, i] = 0.0
        for j in range(first[i], first[i + 1]):
            for a in range(first[i], first[i + 1]):
                v = at.inverse[j, a - first[i]]
                at.M[0, i] += v
                at.M[1, i] += size[j] * v
                at.M[2, i] += size[j] * size[a] * v
                at.M[3, i] += trade[j] * v
                at.M[4, i] += trade[j] * size[a] * v
                at.M[5, i] += trade[j] * trade[a] * v
    for r in range(k + len(p.low)):
        bend = 1.0
        at.slope[P + r] = -state.multiplier[r]
        if r < k:
            at.slope[P + r] += state.row[r]
        else:
            b = P + r - k
            bend = state.z[b] * at.down[b] + state.y[b] * at.up[b]
        at.e[r] = 1.0 / bend if bend > 0.0 else 0.0
        at.unmet[r] -= state.row[r]


@kernel
def _invert(block: Array, begin: int, end: int) -> None:
    """Invert the positive definite block in rows begin..end in place."""
    if end - begin == 1:
        block[begin, 0] = 1.0 / block[begin, 0]
    elif end - begin == 2:
        a, b, c = block[begin, 0], block[begin, 1], block[begin + 1, 1]
        scale = 1.0 / (a * c - b * b)
        block[begin, 0], block[begin + 1, 1] = c * scale, a * scale
        block[begin, 1] = block[begin + 1, 0] = -b * scale
    elif end - begin == 3:
        a, b, c = block[begin, 0], block[begin, 1], block[begin, 2]
        d, e, f = block[begin + 1, 1], block[begin + 1, 2], block[begin + 2, 2]
        ad, ae, be = d * f - e * e, c * e - b * f, b * e - c * d
        scale = 1.0 / (a * ad + b * ae + c * be)
        block[begin, 0], block[begin + 1, 1], block[begin + 2, 2] = (
            ad * scale, (a * f - c * c) * scale, (a * d - b * b) * scale,
        )  # fmt: skip
        block[begin, 1] = block[begin + 1, 0] = ae * scale
        block[begin, 2] = block[begin + 2, 0] = be * scale
        block[begin + 1, 2] = block[begin + 2, 1] = (b * c - a * e) * scale


@kernel
def _direct(
    p: Problem, pieces: Pieces, state: State, at: Local, S: Array, tz: Array, ty: Array, to: Step
) -> float:
    """Fill in the direction in which down·z and up·y become tz and ty; return how far it goes, at most 1."""
    n, P, k = len(p.lower), len(pieces.length), p.k
    rhs, back = at.rhs, at.back
    for r in range(len(at.slope)):
        rhs[r] = at.slope[r]
    for b in range(len(tz)):
        r = b if b < P else b + k
        rhs[r] += ty[b] * at.up[b] - tz[b] * at.down[b]
    for a in range(3):
        for i in range(n):
            back[a, i] = 0.0
    _fall(pieces, at.inverse, rhs, back, to)
    forward(p, to.part, to.multiplier)
    for r in range(len(at.e)):
        to.multiplier[r] += at.unmet[r] + at.e[r] * rhs[P + r]
    substitute(S, to.multiplier)
    backward(p, to.multiplier, back)
    _fall(pieces, at.inverse, rhs, back, to)
    for r in range(len(at.e)):
        to.row[r] = at.e[r] * (to.multiplier[r] - rhs[P + r])
        if r >= k:
            to.move[P + r - k] = to.row[r]
            if at.e[r] == 0.0:
                to.move[P + r - k] = 0.0
    step = 1.0
    for b in range(len(tz)):
        v = to.move[b]
        to.z[b] = (tz[b] - state.z[b] * v) * at.down[b] - state.z[b]
        to.y[b] = (ty[b] + state.y[b] * v) * at.up[b] - state.y[b]
        if state.down[b] + step * v < 0.0:
            step = -state.down[b] / v
        if state.up[b] - step * v < 0.0:
            step = state.up[b] / v
        if state.z[b] + step * to.z[b] < 0.0:
            step = -state.z[b] / to.z[b]
        if state.y[b] + step * to.y[b] < 0.0:
            step = -state.y[b] / to.y[b]
    return step


@kernel
def _fall(pieces: Pieces, inverse: Array, rhs: Array, back: Array, to: Step) -> None:
    """Fill in the moves −B⁻¹·(rhs + the rows' push) of all pieces, and what they add up to."""
    first, size, trade = pieces.first, pieces.size, pieces.trade
    for i in range(len(first) - 1):
        for a in range(3):
            to.part[a, i] = 0.0
        for j in range(first[i], first[i + 1]):
            v = 0.0
            for a in range(first[i], first[i + 1]):
                push = rhs[a] + back[0, i] + size[a] * back[1, i] + trade[a] * back[2, i]
                v -= inverse[j, a - first[i]] * push
            to.move[j] = v
            to.part[0, i] += v
            to.part[1, i] += size[j] * v
            to.part[2, i] += trade[j] * v


@kernel
def _search(p: Problem, pieces: Pieces) -> tuple[Array, Array, int, int]:
    """Interior point and polish."""
    n, P, k, m = len(p.lower), len(pieces.length), p.k, len(p.low)
    V = P + m
    state, S = _begin(p, pieces), np.empty((k + m, k + m))
    at = Local(
        np.empty((P, 3)), np.empty((6, n)), np.empty(k + m), np.empty(V + k), np.empty(k + m),
        np.empty((3, n)), np.empty(max(V + k, n)), np.empty(V), np.empty(V),
    )  # fmt: skip
    to = Step(np.empty((3, n)), np.empty(k + m), np.empty(k + m), np.empty(V), np.empty(V), np.empty(V))
    tz, ty = np.empty(V), np.empty(V)
    pairs = 0
    for b in range(V):
        pairs += int(state.z[b] > 0.0) + int(state.y[b] > 0.0)
    for iteration in range(ITERATIONS):
        _look(p, pieces, state, at)
        gap, worst = _distance(p, state, at)
        mu = gap / pairs
        if mu <= ACCURACY and worst <= RESIDUAL:
            end = _polish(p, pieces, state, at, S)
            return state.part[0], state.multiplier[k:], end, iteration
        if not math.isfinite(mu + worst) or mu > DIVERGED:
            break
        normal(p, at.M, at.e, S)
        factorise(S)
        for b in range(V):
            tz[b] = ty[b] = 0.0
        step = _direct(p, pieces, state, at, S, tz, ty, to)
        aim = max(
            mu * (_gap(state, to, step) / gap) ** 3, 0.1 * ACCURACY
        )  # slopes may need longer than the gap
        for b in range(V):
            tz[b], ty[b] = aim - to.move[b] * to.z[b], aim + to.move[b] * to.y[b]
        step = _direct(p, pieces, state, at, S, tz, ty, to)
        _advance(state, to, step if step == 1.0 else step * max(0.99, 1.0 - mu))
    return state.part[0], state.multiplier[k:], FAILED, ITERATIONS


@kernel
def _distance(p: Problem, state: State, at: Local) -> tuple[float, float]:
    """Complementarity gap, and the largest residual of slopes and rows."""
    k, P = p.k, len(state.down) - len(p.low)
    worst = 0.0
    for b in range(len(state.down)):
        if b < P or p.low[b - P] != p.high[b - P]:
            worst = max(worst, abs(at.slope[b if b < P else b + k] - state.z[b] + state.y[b]))
    for r in range(len(at.unmet)):
        worst = max(worst, abs(at.unmet[r]))
        if r < k:
            worst = max(worst, abs(at.slope[P + r]))
    zero = Step(state.part, state.row, state.multiplier, state.z, state.z, state.y)
    return _gap(state, zero, 0.0), worst


@kernel
def _gap(state: State, to: Step, step: float) -> float:
    """Complementarity gap after a step; NaN where anything is."""
    gap = 0.0
    for b in range(len(state.down)):
        if state.z[b] != 0.0:
            gap += (state.down[b] + step * to.move[b]) * (state.z[b] + step * to.z[b])
        if state.y[b] != 0.0:
            gap += (state.up[b] - step * to.move[b]) * (state.y[b] + step * to.y[b])
    return gap


@kernel
def _polish(p: Problem, pieces: Pieces, state: State, at: Local, S: Array) -> int:
    """Put names on the bounds and kinks that they are at and solve the others exactly.

    At the end the free names' slopes are 0 and every binding row is at its limit. Where no such point is
    found the state stays as it is.
    """
    n, k, m, P = len(p.lower), p.k, len(p.low), len(pieces.length)
    part, multiplier, bound = state.part.copy(), state.multiplier.copy(), np.zeros(k + m)
    free = np.empty(n, dtype=np.int64)  # the piece of a free name, −1 for the others
    for r in range(m):
        b = P + r
        bound[k + r] = np.inf
        if p.low[r] == p.high[r] or state.down[b] < state.z[b]:
            bound[k + r] = p.low[r]
        elif state.up[b] < state.y[b]:
            bound[k + r] = p.high[r]
        else:
            multiplier[k + r] = 0.0
    for i in range(n):
        free[i] = _settle(p, pieces, state, i, part)
    calm = 0
    for _ in range(POLISHES):
        _slopes(p, pieces, part, multiplier, free, at)
        for r in range(k + m):
            at.e[r] = 1.0 if r < k else 0.0
            at.unmet[r] -= multiplier[r] if r < k else bound[r]
            if bound[r] == np.inf:
                at.unmet[r], at.e[r] = 0.0, UNBOUND
        normal(p, at.M, at.e, S)
        factorise(S)
        rhs = np.zeros(k + m)
        move = np.zeros((3, n))
        for i in range(n):
            for a in range(3):
                move[a, i] = -at.M[a * (a + 1) // 2, i] * at.rhs[i]
        forward(p, move, rhs)
        for r in range(k + m):
            rhs[r] = 0.0 if bound[r] == np.inf else rhs[r] + at.unmet[r]
        substitute(S, rhs)
        for r in range(k + m):
            multiplier[r] += rhs[r]
        backward(p, rhs, at.back)
        for i in range(n):
            j = free[i]
            if j >= 0:
                push = at.rhs[i] + at.back[0, i]
                push += pieces.size[j] * at.back[1, i] + pieces.trade[j] * at.back[2, i]
                part[0, i] -= at.M[0, i] * push
                part[1, i], part[2, i] = abs(part[0, i]), abs(part[0, i] - p.point[i])
        calm = 0 if _revise(p, pieces, part, multiplier, free, bound, at) else calm + 1
        if calm == 2:  # one step more takes rounding away
            for i in range(n):
                state.part[0, i] = part[0, i]
            for r in range(k + m):
                state.multiplier[r] = multiplier[r]
            return POLISHED
    return CONVERGED


@kernel
def _settle(p: Problem, pieces: Pieces, state: State, i: int, part: Array) -> int:
    """Put a name on the bound or kink that it is at and return −1; otherwise the piece that it is in.

    A piece is at an end when its distance from there is smaller than the end's multiplier.
    """
    end, on, inside = p.lower[i], p.lower[i], -1
    for j in range(pieces.first[i], pieces.first[i + 1]):
        start, end = end, end + pieces.length[j]
        if state.up[j] < state.y[j]:
            on = end
        elif state.down[j] >= state.z[j] and start < part[0, i] < end:
            inside = j
    if inside >= 0:
        return inside
    put(p, part, i, on)
    return -1


@kernel
def _slope(p: Problem, pieces: Pieces, part: Array, back: Array, i: int, j: int) -> float:
    """Slope of the Lagrangian in a name on its piece j."""
    slope: float = p.curvature[i] * part[0, i] + p.linear[0, i] + back[0, i]
    slope += pieces.size[j] * (p.linear[1, i] + back[1, i])
    cost: float = p.linear[2, i] + back[2, i] + 1.5 * p.power[i] * math.sqrt(part[2, i])
    slope += pieces.trade[j] * cost
    return slope


@kernel
def _slopes(p: Problem, pieces: Pieces, part: Array, multiplier: Array, free: Index, at: Local) -> None:
    """Fill in the free names' slopes and inverse curvatures, and the rows' values."""
    forward(p, part, at.unmet)
    backward(p, multiplier, at.back)
    for i in range(len(free)):
        j = free[i]
        if j < 0:
            at.rhs[i] = 0.0
            see(at.M, i, 0.0, 1.0, 1.0)
            continue
        at.rhs[i] = _slope(p, pieces, part, at.back, i, j)
        bend = p.curvature[i]
        if p.power[i] > 0.0:
            bend += 0.75 * p.power[i] / math.sqrt(part[2, i])
        see(at.M, i, 1.0 / bend, pieces.size[j], pieces.trade[j])


@kernel
def _revise(
    p: Problem, pieces: Pieces, part: Array, multiplier: Array, free: Index, bound: Array, at: Local
) -> int:
    """Count what keeps a point from being the minimum, and change the guess of what is at its bound."""
    k, wrong = p.k, 0
    _slopes(p, pieces, part, multiplier, free, at)
    for i in range(len(free)):
        j = free[i]
        to = _leave(p, pieces, part, at.back, i) if j < 0 else _stay(p, pieces, part, i, j)
        wrong += int(to != j or (j >= 0 and not abs(at.rhs[i]) <= PULL))
        free[i] = to
    for r in range(k):
        wrong += int(not abs(at.unmet[r] - multiplier[r]) <= PULL)
    for r in range(k, len(multiplier)):
        low, high, value, before = p.low[r - k], p.high[r - k], at.unmet[r], bound[r]
        if value < low - EXACT:
            bound[r] = low
        elif value > high + EXACT:
            bound[r] = high
        elif low != high and (
            (before == low and multiplier[r] > PULL) or (before == high and multiplier[r] < -PULL)
        ):
            bound[r], multiplier[r] = np.inf, 0.0
        else:
            continue
        wrong += 1
    return wrong


@kernel
def _stay(p: Problem, pieces: Pieces, part: Array, i: int, j: int) -> int:
    """The piece that a free name stays in; −1 when it has left that one and is put on its end."""
    start = p.lower[i]
    for a in range(pieces.first[i], j):
        start += pieces.length[a]
    end = start + pieces.length[j]
    if start <= part[0, i] <= end:
        return j
    put(p, part, i, start if part[0, i] < start else end)
    return -1


@kernel
def _leave(p: Problem, pieces: Pieces, part: Array, back: Array, i: int) -> int:
    """The piece into which a name is pulled off its bound or kink; −1 where it stays."""
    end, into = p.lower[i], -1
    for j in range(pieces.first[i], pieces.first[i + 1]):
        start, end = end, end + pieces.length[j]
        if end - start < 2.0 * NEAR:
            continue
        if part[0, i] >= end - NEAR:
            into = j if _slope(p, pieces, part, back, i, j) > PULL else -1  # the last one is next to it
        elif part[0, i] <= start + NEAR:
            if into < 0 and _slope(p, pieces, part, back, i, j) < -PULL:
                into = j
            break
    if into >= 0 and p.power[i] > 0.0 and part[2, i] == 0.0:
        _depart(p, pieces, part, i, into, abs(_slope(p, pieces, part, back, i, into)))
    return into


@kernel
def _depart(p: Problem, pieces: Pieces, part: Array, i: int, j: int, pull: float) -> None:
    """Trade a name as far as its pull pays for: at 0, 1.5·r·√x has no curvature that a step could use."""
    far = min((pull / (1.5 * p.power[i])) ** 2, 0.5 * pieces.length[j])
    part[0, i] += pieces.trade[j] * far
    part[1, i], part[2, i] = abs(part[0, i]), far


@kernel
def _advance(state: State, to: Step, step: float) -> None:
    """Take a step."""
    for a in range(3):
        for i in range(state.part.shape[1]):
            state.part[a, i] += step * to.part[a, i]
    for r in range(len(to.row)):
        state.row[r] += step * to.row[r]
        state.multiplier[r] += step * to.multiplier[r]
    for b in range(len(to.move)):
        state.down[b] += step * to.move[b]
        state.up[b] -= step * to.move[b]
        state.z[b] += step * to.z[b]
        state.y[b] += step * to.y[b]
