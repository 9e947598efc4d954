"""The same minimum by a general conic solver, for what the structured one can't do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import Limits
from kairos.errors import WorkError

if TYPE_CHECKING:
    from kairos.equity.backtest.nearest import Objective


def conic(objective: Objective, limits: Limits) -> tuple[Vector, Vector]:
    """Weights, and multipliers of the rules and of turnover, by Clarabel.

    Unknowns are w, |w|, |w − previous|, its power 1.5 and F·w. (v, 1, u) in the power cone of ⅔ is u^1.5 ≤ v.

    Raises
    ------
    WorkError
        When there is no such book, or the solver says that it can't find it.
    """
    import clarabel
    from scipy import sparse

    n, k = len(limits.previous), len(objective.factor)
    w, size, step, power, y = np.split(np.arange(4 * n + k), [n, 2 * n, 3 * n, 4 * n])
    eye = sparse.identity(4 * n + k, format="csr")
    lower, upper = limits.bounds
    equal: list[tuple[Any, Any]] = []  # rows and their right hand sides
    below: list[tuple[Any, Any]] = []
    signs: list[tuple[bool, int, float]] = []  # equation?, place, sign of each rule's multiplier
    for rule in limits.rules:
        row = sparse.csr_matrix(rule.row) @ eye[size if rule.size else w]
        if rule.low == rule.high:
            signs.append((True, len(equal), 1.0))
            equal.append((row, [rule.high]))
            continue
        signs.append((False, len(below), -1.0 if rule.high == np.inf else 1.0))
        below += [(row, [rule.high])] if rule.high < np.inf else []
        below += [(-row, [-rule.low])] if rule.low > -np.inf else []
    if np.isfinite(limits.turnover):
        signs.append((False, len(below), 1.0))
        below.append((eye[step].sum(axis=0), [limits.turnover]))
    below += [
        (eye[w], upper), (-eye[w], -lower),
        (eye[w] - eye[size], np.zeros(n)), (-eye[w] - eye[size], np.zeros(n)),
        (eye[w] - eye[step], limits.previous), (-eye[w] - eye[step], -limits.previous),
    ]  # fmt: skip
    risk = [(sparse.csr_matrix(objective.factor) @ eye[w] - eye[y], np.zeros(k))] if k else []
    parts, limit = zip(*risk, *equal, *below, strict=True)
    priced = np.flatnonzero(objective.power)
    blank = sparse.csr_matrix((1, 4 * n + k))
    triples = [part for i in priced for part in (-eye[power[i]], blank, -eye[step[i]])]
    count = sum(len(values) for _, values in equal) + k
    cones = [clarabel.ZeroConeT(count), clarabel.NonnegativeConeT(sum(map(len, limit)) - count)]
    cones += [clarabel.PowerConeT(2.0 / 3.0) for _ in priced]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_feas = settings.tol_gap_abs = settings.tol_gap_rel = 1e-11
    quadratic = sparse.diags(np.r_[objective.curvature, np.zeros(3 * n), np.ones(k)]).tocsc()
    linear = np.r_[objective.linear.ravel(), objective.power, np.zeros(k)]
    rows = sparse.vstack([*map(sparse.csr_matrix, (*parts, *triples))], format="csc")
    values = np.concatenate([*limit, np.tile([0.0, 1.0, 0.0], len(priced))])
    found = clarabel.DefaultSolver(quadratic, linear, rows, values, cones, settings).solve()
    if found.status not in (clarabel.SolverStatus.Solved, clarabel.SolverStatus.AlmostSolved):
        raise WorkError(f"no book was found within the limits: the solver ends with {found.status}")
    dual = np.asarray(found.z)[k:]
    at = np.array([place + (0 if equation else len(equal)) for equation, place, _ in signs], dtype=np.int64)
    multiplier = dual[at] * np.array([sign for *_, sign in signs])
    return np.clip(np.asarray(found.x)[:n], lower, upper), multiplier
