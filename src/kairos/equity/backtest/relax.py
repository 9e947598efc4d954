"""Limits that can't hold together: which give way, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import HOLDS, Limits
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
    are widened by the same amount; but before that participation as in `reachable`.

    Raises
    ------
    WorkError
        When no book at all fits: nothing that may be bought, for instance.
    """
    present = [kind for kind in ORDER if _has(limits, kind)]
    wide = _kept(limits)
    for at in range(len(present) - 1, -1, -1):
        wide = _reaching(wide) if present[at] == "participation" else wide
        excess = least_excess(wide, present[at], free=present[:at])
        if excess > 0.0:
            wide = wide.widened(present[at], excess + ROUNDED_UP)
    return wide, tuple(one for kind in present for one in _told(kind, limits, wide))


def reachable(limits: Limits) -> tuple[Limits, tuple[Relaxation, ...]]:
    """The limits with room for each name that could not come within its own bounds otherwise.

    What is halted stays as it is, be it larger than a name may be; of others more may be traded than a
    session's part of their volume. So one name's volume, or its missing price, is not everybody's.
    """
    wide = _kept(limits)
    wide = _reaching(wide) if _has(limits, "participation") else wide
    return wide, tuple(one for kind in ("participation", "name") for one in _told(kind, limits, wide))


def _kept(limits: Limits) -> Limits:
    """The limits with every halted name as large as it is."""
    if limits.halted is None:
        return limits
    size = np.abs(limits.previous)
    least = size if limits.traded is None else np.minimum(size, np.abs(limits.traded))
    return replace(limits, name=np.where(limits.halted, np.maximum(limits.name, least), limits.name))


def _reaching(limits: Limits) -> Limits:
    lower, upper = np.maximum(limits.lower, -limits.name), np.minimum(limits.upper, limits.name)
    low, high = limits.reach
    short = np.maximum(np.maximum(low - upper, lower - high), (low - high) / 2.0)
    return replace(limits, largest=limits.largest + np.where(short > 0.0, short + ROUNDED_UP, 0.0))


def _has(limits: Limits, kind: str) -> bool:
    if kind == "name":
        return True
    if kind == "turnover":
        return bool(np.isfinite(limits.turnover))
    if kind == "participation":
        return bool(np.isfinite(limits.largest).any())
    return any(rule.kind == kind for rule in limits.rules)


def _told(kind: str, limits: Limits, wide: Limits) -> list[Relaxation]:
    """One entry a limit of the kind that is wider.

    Of names' limits the one that is wider by most, of participation the one by the largest factor.
    """
    if kind == "name":
        at = int(np.argmax(wide.name - limits.name))
        pairs = [("weight of a name", float(limits.name[at]), float(wide.name[at]))]
    elif kind == "turnover":
        pairs = [("turnover", limits.turnover, wide.turnover)]
    elif kind == "participation":
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(wide.largest > limits.largest, wide.largest / limits.largest, 1.0)
        at = int(np.argmax(np.round(factor, 9)))  # rounding does not choose among those widened alike
        pairs = [("participation", float(limits.largest[at]), float(wide.largest[at]))]
    else:
        pairs = [
            (rule.label, rule.high, now.high) if np.isfinite(rule.high) else (rule.label, rule.low, now.low)
            for rule, now in zip(limits.rules, wide.rules, strict=True)
            if rule.kind == kind
        ]
    return [Relaxation(kind, label, before, now) for label, before, now in pairs if now != before]


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
    low, high = limits.reach
    upto(weight[some], high[some], "participation", limits.largest[some])
    upto(-weight[some], -low[some], "participation", limits.largest[some])
    result = linprog(
        np.r_[np.zeros(4 * n), 1.0],
        A_ub=sparse.hstack([sparse.vstack(above), -np.concatenate(relaxed)[:, None]], format="csr"),
        b_ub=np.concatenate(most),
        A_eq=sparse.hstack([weight - step, np.zeros((n, 1))], format="csr"),
        b_eq=limits.previous,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10},  # the least that it takes, well below HOLDS
    )
    if result.x is None:
        raise WorkError(
            f"no book fits the limits, whatever is relaxed of {', '.join([*free, kind])}: {result.message}"
        )
    return 0.0 if result.fun <= HOLDS else float(result.fun)
