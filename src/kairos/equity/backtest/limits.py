"""What a book may look like on the traded day: bounds of names, rules over many of them, trading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.equity.frame import Mask

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int64]]

HOLDS = 1e-9
"""A limit that is missed by less, in weight, holds."""

BINDS = 1e-7
"""A limit that is closer, in weight, binds."""


@dataclass(frozen=True)
class Rule:
    """low ≤ row·w ≤ high, or low ≤ row·|w| ≤ high.

    Attributes
    ----------
    kind : str
        ``budget``, ``long``, ``short``, ``beta``, ``sector``, ``sector_net``, ``gross``, ``net``: what is
        relaxed together.
    label : str
        For users: "sector Energy".
    row : (n,)
    low, high : float
        Equal for an equation; infinite for none.
    size : bool
        Of the absolute weights. Its row is not negative then, and it has no low.
    """

    kind: str
    label: str
    row: Vector
    low: float
    high: float
    size: bool = False


@dataclass(frozen=True)
class Usage:
    """How close a book is to one limit.

    Attributes
    ----------
    kind, label : str
        Of the rule; ``name`` for a name's weight, ``turnover``, ``participation``.
    value, limit : float
        What the book has, and the nearer of the rule's limits. Of names the largest weight is told, with the
        limit that it comes closest to; of participation the largest part of what may be traded.
    slack : float
        Distance from the limit, negative where it is broken.
    """

    kind: str
    label: str
    value: float
    limit: float
    slack: float

    @property
    def holds(self) -> bool:
        """Whether the limit holds."""
        return self.slack >= -HOLDS

    @property
    def binding(self) -> bool:
        """Whether the book is at the limit."""
        return self.slack <= BINDS


@dataclass(frozen=True)
class Limits:
    """All limits of one decision over its n names.

    Attributes
    ----------
    lower, upper : (n,) finite
        What a name may be at all, and what is never relaxed: its side, or that it may only shrink.
    name : (n,)
        |w| ≤ name.
    rules : tuple of Rule
        Over many names.
    previous : (n,)
        The book as it has drifted.
    turnover : float
        Σ|w − previous| ≤ turnover; inf for none.
    largest : (n,)
        |w − previous| ≤ largest, by participation; inf for none.
    """

    lower: Vector
    upper: Vector
    name: Vector
    rules: tuple[Rule, ...]
    previous: Vector
    turnover: float
    largest: Vector

    def __post_init__(self) -> None:
        bounds = (self.lower, self.upper, self.name, self.previous)
        if not all(np.isfinite(values).all() for values in bounds):
            raise InputError("lower, upper and name limits and the previous weights must be finite numbers")
        if (self.lower > self.upper).any() or (self.name < 0.0).any() or (self.largest < 0.0).any():
            raise InputError(
                "a lower bound is above the upper one, or a limit on weights or trades is negative"
            )
        for rule in self.rules:
            if rule.size and (rule.low > -np.inf or (rule.row < 0.0).any()):
                raise InputError(f"{rule.label}: only an upper limit on sums of absolute weights can be kept")

    def bounds(self) -> tuple[Vector, Vector]:
        """Range of each name by its side, name limit and participation; empty where lower > upper."""
        lower = np.maximum(np.maximum(self.lower, -self.name), self.previous - self.largest)
        upper = np.minimum(np.minimum(self.upper, self.name), self.previous + self.largest)
        return lower, upper

    def usage(self, weight: Vector) -> list[Usage]:
        """How close a book is to each limit, in the order names, rules, turnover, participation."""
        found = []
        if len(weight):
            size = np.abs(weight)
            at = int(np.argmin(self.name - size))
            found.append(_upto("name", "weight of a name", size[at], self.name[at]))
        for rule in self.rules:
            value = float(rule.row @ (np.abs(weight) if rule.size else weight))
            low, high = value - rule.low, rule.high - value
            limit, slack = (rule.low, low) if low < high else (rule.high, high)
            found.append(Usage(rule.kind, rule.label, value, limit, slack))
        step = np.abs(weight - self.previous)
        if np.isfinite(self.turnover):
            found.append(_upto("turnover", "turnover", step.sum(), self.turnover))
        some = np.isfinite(self.largest)
        if some.any():
            at = int(np.argmin(np.where(some, self.largest - step, np.inf)))
            found.append(_upto("participation", "participation", step[at], self.largest[at]))
        return found

    def broken(self, weight: Vector) -> list[Usage]:
        """The limits that a book breaks; sides and directions of trade count as limits on names."""
        found = [usage for usage in self.usage(weight) if not usage.holds]
        out = np.maximum(self.lower - weight, weight - self.upper)
        if len(weight) and out.max() > HOLDS:
            at = int(out.argmax())
            limit = self.lower[at] if weight[at] < self.lower[at] else self.upper[at]
            found.append(Usage("side", "side of a name", float(weight[at]), float(limit), -float(out[at])))
        return found

    def no_new_shorts(self, barred: Mask) -> Limits:
        """The limits with what is barred no further short than it is."""
        least = np.where(barred, np.minimum(self.previous, 0.0), self.lower)
        return replace(self, lower=np.maximum(self.lower, least))

    def widened(self, kind: str, by: float) -> Limits:
        """The limits of one kind `by` wider: in weight, for participation in multiples of itself."""
        if kind == "name":
            return replace(self, name=self.name + by)
        if kind == "turnover":
            return replace(self, turnover=self.turnover + by)
        if kind == "participation":
            return replace(self, largest=self.largest * (1.0 + by))
        wide = (
            replace(rule, low=rule.low - by, high=rule.high + by) if rule.kind == kind else rule
            for rule in self.rules
        )
        return replace(self, rules=tuple(wide))


def _upto(kind: str, label: str, value: float, limit: float) -> Usage:
    return Usage(kind, label, float(value), float(limit), float(limit - value))


def sector_rules(
    sector: Index, labels: Sequence[str], limit: Vector, kind: str = "sector", *, size: bool = False
) -> tuple[Rule, ...]:
    """One rule a sector that has names: their weights, absolute with `size`, sum to at most its limit.

    Parameters
    ----------
    sector : (n,)
        Number of each name's sector; below 0 unknown, and under no rule.
    labels, limit : (S,)
        Names and limits of the sectors.
    """
    return tuple(
        Rule(kind, f"sector {labels[s]}", (sector == s).astype(float), -np.inf, float(limit[s]), size=size)
        for s in np.unique(sector[sector >= 0])
    )


def long_only(
    previous: Vector,
    name: float,
    sectors: tuple[Rule, ...] = (),
    turnover: float = np.inf,
    *,
    allow_cash: bool = False,
) -> Limits:
    """Weights from 0 to `name` that sum to 1, or to at most 1."""
    n = len(previous)
    budget = Rule("budget", "sum of weights", np.ones(n), -np.inf if allow_cash else 1.0, 1.0)
    zero, one = np.zeros(n), np.ones(n)
    return Limits(zero, one, np.full(n, name), (budget, *sectors), previous, turnover, np.full(n, np.inf))


def long_short(
    side: Vector,
    beta: Vector,
    name: float,
    sector: Index,
    labels: Sequence[str],
    sector_limit: Vector,
    previous: Vector,
    turnover: float = np.inf,
) -> Limits:
    """Longs that sum to one half and shorts that sum to minus one half, without beta.

    Parameters
    ----------
    side : (n,)
        1 for longs, −1 for shorts.
    sector_limit : (S,)
        Of the absolute weights of each sector. As the sides are fixed, that is linear.
    """
    n = len(side)
    half = (
        Rule("long", "sum of longs", (side > 0.0).astype(float), 0.5, 0.5),
        Rule("short", "sum of shorts", (side < 0.0).astype(float), -0.5, -0.5),
        Rule("beta", "beta", beta, 0.0, 0.0),
    )
    gross = tuple(replace(rule, row=rule.row * side) for rule in sector_rules(sector, labels, sector_limit))
    lower, upper = np.where(side < 0.0, -1.0, 0.0), np.where(side > 0.0, 1.0, 0.0)
    return Limits(lower, upper, np.full(n, name), (*half, *gross), previous, turnover, np.full(n, np.inf))
