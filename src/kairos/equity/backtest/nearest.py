"""The book that is best within the limits: nearest to a target, or cheapest by an objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kairos.equity.backtest.conic import conic
from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import Limits, Matrix, Usage
from kairos.equity.backtest.relax import Relaxation, relax
from kairos.errors import InputError, WorkError
from kairos.panel import interior
from kairos.panel.interior import SIZE, TRADE, WEIGHT


@dataclass(frozen=True)
class Objective:
    """½·Σ cᵢ·wᵢ² + q₀·w + q₁·|w| + q₂·|w − previous| + r·|w − previous|^1.5 + ½·‖F·w‖², to be minimised.

    Attributes
    ----------
    curvature, power : (n,)
        c and r.
    linear : (3, n)
        q.
    factor : (k, n)
        F.
    """

    curvature: Vector
    linear: Matrix
    power: Vector
    factor: Matrix

    def value(self, weight: Vector, previous: Vector) -> float:
        """Objective at a book."""
        step = np.abs(weight - previous)
        parts = np.stack([weight, np.abs(weight), step])
        smooth = 0.5 * self.curvature @ weight**2 + 0.5 * np.sum((self.factor @ weight) ** 2)
        return float(smooth + np.sum(self.linear * parts) + self.power @ step**1.5)


@dataclass(frozen=True)
class Solution:
    """A book within its limits.

    Attributes
    ----------
    weight : (n,)
        The book.
    relaxed : tuple of Relaxation
        Limits that had to give way, in the order in which they do; empty when all hold as configured.
    limits : Limits
        As they were used.
    multiplier : (m,)
        What one unit more of each rule, then of turnover, is worth; negative where the rule's low binds.
    minimised : Objective
        What is least here.
    fallback : bool
        Whether the general solver was needed.
    """

    weight: Vector
    relaxed: tuple[Relaxation, ...]
    limits: Limits
    multiplier: Vector
    minimised: Objective
    fallback: bool = False

    @property
    def objective(self) -> float:
        """The least value."""
        return self.minimised.value(self.weight, self.limits.previous)

    @property
    def worth(self) -> dict[str, float]:
        """The multipliers by label."""
        return dict(zip(self.limits.labels, self.multiplier.tolist(), strict=True))

    @property
    def binding(self) -> tuple[str, ...]:
        """Labels of the limits that the book is at, other than equations."""
        equations = {rule.label for rule in self.limits.rules if rule.low == rule.high}
        return tuple(one.label for one in self.usage if one.binding and one.label not in equations)

    @cached_property
    def usage(self) -> list[Usage]:
        """How close the book is to each limit as it was used."""
        return self.limits.usage(self.weight)


def nearest(target: Vector, limits: Limits) -> Solution:
    """The book within the limits with the least Σ(w − target)².

    There is exactly one; a target that keeps all limits is its own. Limits that can't hold together are
    relaxed, see `relax`.

    Parameters
    ----------
    target : (n,)
        Weights that are wanted.

    Raises
    ------
    InputError
        When a target is missing.
    WorkError
        When nothing fits whatever is relaxed.
    """
    return within(target, limits) or _given_way(_distance(target), limits)


def within(target: Vector, limits: Limits, worth: Mapping[str, float] | None = None) -> Solution | None:
    """The nearest book as :func:`nearest` finds it, and nothing where a limit would have to be relaxed.

    Parameters
    ----------
    worth : mapping, optional
        `Solution.worth` of a similar book: where the search begins.
    """
    if not np.isfinite(target).all():
        raise InputError("a target weight is missing or infinite; leave the name out or give it 0")
    objective = _distance(target)
    if limits.allow(target):
        return Solution(target.copy(), (), limits, np.zeros(len(limits.labels)), objective)
    found = _solve(objective, limits, worth)
    return None if found is None else Solution(found[0], (), limits, found[1], objective)


def _distance(target: Vector) -> Objective:
    """½·‖w − target‖² without its constant."""
    n = len(target)
    linear = np.zeros((3, n))
    linear[0] = -target
    return Objective(np.ones(n), linear, np.zeros(n), np.empty((0, n)))


def best(objective: Objective, limits: Limits) -> Solution:
    """The book within the limits with the least objective; the limits are relaxed where they must be."""
    found = _solve(objective, limits)
    if found is None:
        return _given_way(objective, limits)
    return Solution(found[0], (), limits, found[1], objective)


def _given_way(objective: Objective, limits: Limits) -> Solution:
    """The best book where the limits as they are gave none: relaxed, or by the general solver."""
    limits, relaxed = relax(limits)
    found = _solve(objective, limits)
    if found is not None:
        return Solution(found[0], relaxed, limits, found[1], objective)
    weight, multiplier = conic(objective, limits)
    broken = limits.broken(weight)
    if broken:
        worst = min(broken, key=lambda usage: usage.slack)
        raise WorkError(f"the solver left {worst.label} at {worst.value} where {worst.limit} is the limit")
    return Solution(weight, relaxed, limits, multiplier, objective, fallback=True)


def _solve(
    objective: Objective, limits: Limits, worth: Mapping[str, float] | None = None
) -> tuple[Vector, Vector] | None:
    """Weights and the rules' multipliers; nothing where the method doesn't end, as without any such book."""
    lower, upper = limits.bounds
    if (lower > upper).any():
        return None
    of, rows, (low, high) = np.where(limits.sizes, SIZE, WEIGHT), limits.coefficients, limits.ranges
    if len(rows) > len(of):
        of, low, high = np.append(of, TRADE), np.append(low, -np.inf), np.append(high, limits.turnover)
    begin = np.array([(worth or {}).get(label, 0.0) for label in limits.labels])
    # Rows of sizes stand behind the others; where there are none, nothing is copied.
    order = np.argsort(of, kind="stable") if limits.sizes.any() else slice(None)
    found = interior.minimise(
        lower, upper, limits.previous,
        objective.curvature, objective.linear, objective.power, objective.factor,
        rows[order], of[order], low[order], high[order], begin[order],
    )  # fmt: skip
    if not found.converged or not limits.allow(found.w):  # converged by its own measure, which is relative
        return None
    multiplier = np.empty(len(of))
    multiplier[order] = found.multiplier
    return found.w, multiplier
