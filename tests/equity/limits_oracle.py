"""How far a book is from the best one, by a linear programme: nothing of the solver under test is used."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def polytope(limits, elastic=()):
    """(A, b, A_eq, b_eq) over (w, |w|, |w − previous|, e): e widens the kinds in `elastic`."""
    n = len(limits.previous)
    eye, zero = np.eye(n), np.zeros((n, n))
    w, size, step = np.hstack([eye, zero, zero]), np.hstack([zero, eye, zero]), np.hstack([zero, zero, eye])
    A, b, soft, eq, eq_b = [], [], [], [], []

    def add(rows, limit, kind=""):
        A.append(np.atleast_2d(rows))
        b.append(np.atleast_1d(np.asarray(limit, dtype=float)))
        soft.append(np.full(len(b[-1]), -1.0 if kind in elastic else 0.0))

    add(w, limits.upper)
    add(-w, -limits.lower)
    add(w - size, np.zeros(n))
    add(-w - size, np.zeros(n))
    add(w - step, limits.previous)
    add(-w - step, -limits.previous)
    add(size, limits.name, "name")
    some = np.isfinite(limits.largest)
    add(step[some], limits.largest[some], "participation")
    for rule in limits.rules:
        row = rule.row @ (size if rule.size else w)
        if rule.low == rule.high and rule.kind not in elastic:
            eq.append(row)
            eq_b.append(rule.high)
            continue
        if rule.high < np.inf:
            add(row, rule.high, rule.kind)
        if rule.low > -np.inf:
            add(-row, -rule.low, rule.kind)
    if np.isfinite(limits.turnover):
        add(step.sum(axis=0), limits.turnover, "turnover")
    left = np.hstack([np.vstack(A), np.concatenate(soft)[:, None]])
    equations = np.hstack([np.array(eq), np.zeros((len(eq), 1))]) if eq else None
    return left, np.concatenate(b), equations, np.array(eq_b) if eq else None


def excess(objective, limits, weight):
    """Upper bound of f(weight) − min f: f is above its tangents, which a linear programme minimises.

    |w − p|^1.5 is smooth; |w| and |w − p| stay in the programme.
    """
    n = len(weight)
    step = weight - limits.previous
    slope = objective.curvature * weight + objective.factor.T @ (objective.factor @ weight)
    slope = slope + objective.linear[0] + 1.5 * objective.power * np.sqrt(np.abs(step)) * np.sign(step)
    price = np.concatenate([slope, objective.linear[1], objective.linear[2], [0.0]])
    A, b, eq, eq_b = polytope(limits)
    free = [(None, None)] * n + [(0, None)] * (2 * n) + [(0, 0)]
    least = linprog(price, A, b + 1e-12, eq, eq_b, free, method="highs")
    assert least.status == 0, least.message
    return float(price[:-1] @ np.concatenate([weight, np.abs(weight), np.abs(step)]) - least.fun)


def possible(limits):
    """Whether any book fits."""
    n = len(limits.previous)
    A, b, eq, eq_b = polytope(limits)
    free = [(None, None)] * n + [(0, None)] * (2 * n) + [(0, 0)]
    return linprog(np.zeros(3 * n + 1), A, b, eq, eq_b, free, method="highs").status == 0
