"""Limits that can't hold together: which give way, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import Limits
from kairos.errors import WorkError

ORDER = ("turnover", "participation", "sector", "sector_net", "name", "gross", "exposure", "beta", "net")
"""Kinds in the order in which they give way; the others never do."""

ROUNDED_UP = 1e-5
"""What a limit is relaxed by beyond the least, so that there is room for the solver."""


@dataclass(frozen=True)
class Relaxation:
    """A limit that was relaxed.

    Attributes
    ----------
    kind, label : str
        Of the limit.
    limit, relaxed : float
        As configured, and as it was used.
    """

    kind: str
    label: str
    limit: float
    relaxed: float


def relax(limits: Limits) -> tuple[Limits, tuple[Relaxation, ...]]:
    """The limits with as little relaxation as makes them possible together.

    From the last kind of `ORDER` to the first: the least by which this kind must be wider while those before
    it are free. So a kind gives way only where freeing all kinds before it isn't enough. All limits of a kind
    are widened by the same amount.

    Raises
    ------
    WorkError
        When no book at all fits: nothing that may be bought, for instance.
    """
    present = [kind for kind in ORDER if _has(limits, kind)]
    wide, found = limits, list[Relaxation]()
    for at in range(len(present) - 1, -1, -1):
        kind = present[at]
        excess = least_excess(wide, kind, free=present[:at])
        if excess > 0.0:
            excess += ROUNDED_UP
            found = _told(wide, kind, excess) + found
            wide = wide.widened(kind, excess)
    return wide, tuple(found)


def _has(limits: Limits, kind: str) -> bool:
    if kind == "name":
        return True
    if kind == "turnover":
        return bool(np.isfinite(limits.turnover))
    if kind == "participation":
        return bool(np.isfinite(limits.largest).any())
    return any(rule.kind == kind for rule in limits.rules)


def _told(limits: Limits, kind: str, by: float) -> list[Relaxation]:
    """One entry a limit of the kind; of names and of participation one for all, the tightest."""
    if kind == "name":
        tight = float(limits.name.min())
        return [Relaxation(kind, "weight of a name", tight, tight + by)]
    if kind == "turnover":
        return [Relaxation(kind, "turnover", limits.turnover, limits.turnover + by)]
    if kind == "participation":
        return [Relaxation(kind, "participation", 1.0, 1.0 + by)]
    rules = [rule for rule in limits.rules if rule.kind == kind]
    return [
        Relaxation(kind, rule.label, rule.high, rule.high + by)
        if np.isfinite(rule.high)
        else Relaxation(kind, rule.label, rule.low, rule.low - by)
        for rule in rules
    ]


def least_excess(limits: Limits, kind: str, free: list[str]) -> float:
    """Least e by which all limits of a kind must be wider, with the kinds in `free` left out; 0 if none.

    A linear programme over w = l − s, w − previous = b − d and e, all ≥ 0.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    n = len(limits.previous)
    one, parts = np.ones(n), sparse.identity(4 * n, format="csr")
    long, short, bought, sold = (parts[i * n : (i + 1) * n] for i in range(4))
    weight, size, step, trade = long - short, long + short, bought - sold, bought + sold
    above, most, relaxed = [weight, -weight], [limits.upper, -limits.lower], [0.0 * one, 0.0 * one]

    def upto(rows: Any, limit: Vector, of: str, gain: Vector) -> None:
        if of not in free:
            above.append(rows)
            most.append(limit)
            relaxed.append(gain if of == kind else np.zeros(len(limit)))

    upto(size, limits.name, "name", one)
    for rule in limits.rules:
        row = sparse.csr_matrix(rule.row) @ (size if rule.size else weight)
        if rule.high < np.inf:
            upto(row, np.array([rule.high]), rule.kind, one[:1])
        if rule.low > -np.inf:
            upto(-row, np.array([-rule.low]), rule.kind, one[:1])
    if np.isfinite(limits.turnover):
        upto(sparse.csr_matrix(one) @ trade, np.array([limits.turnover]), "turnover", one[:1])
    some = np.isfinite(limits.largest)
    upto(trade[some], limits.largest[some], "participation", limits.largest[some])
    result = linprog(
        np.r_[np.zeros(4 * n), 1.0],
        A_ub=sparse.hstack([sparse.vstack(above), -np.concatenate(relaxed)[:, None]], format="csr"),
        b_ub=np.concatenate(most),
        A_eq=sparse.hstack([weight - step, np.zeros((n, 1))], format="csr"),
        b_eq=limits.previous,
        method="highs",
    )
    if result.x is None:
        raise WorkError(
            f"no book fits the limits, whatever is relaxed of {', '.join([*free, kind])}: {result.message}"
        )
    return 0.0 if result.fun <= ROUNDED_UP / 10.0 else float(result.fun)
