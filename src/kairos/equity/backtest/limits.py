"""What a book may look like on the traded day: bounds of names, rules over many of them, trading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

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


class Rule(NamedTuple):
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


class Usage(NamedTuple):
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
        |w − previous| ≤ largest and |w − traded| ≤ largest, by participation; inf for none.
    traded : (n,), optional
        What is really held and traded, in units of this book; without it `previous`. A change of scale lies
        between the two.
    halted : (n,) bool, optional
        Has no price today, so that `largest` is no volume.
    """

    lower: Vector
    upper: Vector
    name: Vector
    rules: tuple[Rule, ...]
    previous: Vector
    turnover: float
    largest: Vector
    traded: Vector | None = None
    halted: Mask | None = None

    def __post_init__(self) -> None:
        bounds = (self.lower, self.upper, self.name, self.previous)
        if not all(np.isfinite(values).all() for values in bounds):
            raise InputError("lower, upper and name limits and the previous weights must be finite numbers")
        if (self.lower > self.upper).any() or (self.name < 0.0).any() or (self.largest < 0.0).any():
            raise InputError(
                "a lower bound is above the upper one, or a limit on weights or trades is negative"
            )
        for rule in self.rules:
            if not np.isfinite(rule.row).all():
                missing = np.count_nonzero(~np.isfinite(rule.row))
                raise InputError(f"{rule.label} is not known of {missing} names; filter them first")
            if rule.size and (rule.low > -np.inf or (rule.row < 0.0).any()):
                raise InputError(f"{rule.label}: only an upper limit on sums of absolute weights can be kept")

    @cached_property
    def bounds(self) -> tuple[Vector, Vector]:
        """Range of each name by its side, name limit and participation; empty where lower > upper."""
        low, high = self.reach
        return np.maximum(np.maximum(self.lower, -self.name), low), np.minimum(
            np.minimum(self.upper, self.name), high
        )

    @property
    def reach(self) -> tuple[Vector, Vector]:
        """Range of each name by participation; empty where low > high."""
        traded = self.previous if self.traded is None else self.traded
        return reach(self.previous, traded, self.largest)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the rules, then of turnover where it is limited."""
        return (*(rule.label for rule in self.rules), *(["turnover"] if np.isfinite(self.turnover) else []))

    @cached_property
    def coefficients(self) -> Matrix:
        """(m, n) or (m + 1, n): rows of the rules, then ones for the trades where turnover is limited."""
        m, n = len(self.rules), len(self.lower)
        found = np.ones((m + int(np.isfinite(self.turnover)), n))
        for row, rule in zip(found[:m], self.rules, strict=True):
            row[:] = rule.row
        return found

    @property
    def rows(self) -> Matrix:
        """(m, n) rows of the rules."""
        return self.coefficients[: len(self.rules)]

    @cached_property
    def ranges(self) -> Matrix:
        """(2, m) low and high of the rules."""
        return np.array([[rule.low, rule.high] for rule in self.rules]).reshape(-1, 2).T

    @cached_property
    def sizes(self) -> Mask:
        """(m,) True for rules of the absolute weights."""
        return np.array([rule.size for rule in self.rules], dtype=np.bool_)

    def values(self, weight: Vector) -> Vector:
        """(m,) what each rule limits, at a book."""
        found: Vector = self.rows @ weight
        if self.sizes.any():
            found[self.sizes] = self.rows[self.sizes] @ np.abs(weight)
        return found

    def usage(self, weight: Vector) -> list[Usage]:
        """How close a book is to each limit, in the order names, rules, turnover, participation."""
        found, size, step = [], np.abs(weight), np.abs(weight - self.previous)
        if len(weight):
            at = _closest(self.name - size)
            found.append(_upto("name", "weight of a name", size[at], self.name[at]))
        for rule, value in zip(self.rules, self.values(weight).tolist(), strict=True):
            low, high = value - rule.low, rule.high - value
            nearer = low < high
            if rule.kind == "budget" and rule.low < rule.high:
                nearer = abs(rule.low) > abs(rule.high)  # cash is allowed: told is what may be invested
            limit, slack = (rule.low, low) if nearer else (rule.high, high)
            found.append(Usage(rule.kind, rule.label, value, limit, slack))
        if np.isfinite(self.turnover):
            found.append(_upto("turnover", "turnover", step.sum(), self.turnover))
        return [*found, *self._participation(weight, step)]

    def _participation(self, weight: Vector, step: Vector) -> list[Usage]:
        """Of the name that takes the largest part of its limit; what is halted has none to take."""
        change = step if self.traded is None else np.maximum(step, np.abs(weight - self.traded))
        some = np.isfinite(self.largest)
        if self.halted is not None:
            some &= ~self.halted | (change > self.largest + HOLDS)
        if not some.any():
            return []
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.nan_to_num(change / self.largest, posinf=np.inf)
        at = _closest(np.where(some, 1.0 - part, np.inf))
        return [_upto("participation", "participation", change[at], self.largest[at])]

    def broken(self, weight: Vector) -> list[Usage]:
        """The limits that a book breaks; sides and directions of trade count as limits on names."""
        found = [one for one in self.usage(weight) if not one.holds]
        out = np.maximum(self.lower - weight, weight - self.upper)
        if len(weight) and out.max() > HOLDS:
            at = int(out.argmax())
            limit = self.lower[at] if weight[at] < self.lower[at] else self.upper[at]
            found.append(Usage("side", "side of a name", float(weight[at]), float(limit), -float(out[at])))
        return found

    def allow(self, weight: Vector) -> bool:
        """Tell whether a book breaks no limit."""
        if not np.abs(weight - self.previous).sum() <= self.turnover + HOLDS:
            return False
        (lower, upper), (low, high), value = self.bounds, self.ranges, self.values(weight)
        over = (lower - weight, weight - upper, low - value, value - high)
        return all(by.max(initial=0.0) <= HOLDS for by in over)

    def no_new_shorts(self, barred: Mask) -> Limits:
        """The limits with what is barred no further short than it is, or than a session can cover."""
        kept = np.minimum(np.minimum(self.previous, self.reach[1]), 0.0)
        least = np.where(barred, kept, self.lower)
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
            rule._replace(low=rule.low - by, high=rule.high + by) if rule.kind == kind else rule
            for rule in self.rules
        )
        return replace(self, rules=tuple(wide))


def reach(previous: Vector, traded: Vector, largest: Vector) -> tuple[Vector, Vector]:
    """Lowest and highest weight within `largest` of both books."""
    return np.maximum(previous, traded) - largest, np.minimum(previous, traded) + largest


def _closest(slack: Vector) -> int:
    """The first of the names with the least slack; rounding does not choose among those at their limits."""
    return int(np.argmin(np.round(slack, 12)))


def _upto(kind: str, label: str, value: float, limit: float) -> Usage:
    return Usage(kind, label, float(value), float(limit), float(limit - value))
