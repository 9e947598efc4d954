"""From a cross-section to the weights that a strategy would hold without limits: select and score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.costs import Vector

if TYPE_CHECKING:
    from kairos.equity.backtest.account import Index
    from kairos.equity.frame import Mask
    from kairos.settings import Strategy

CLIP = 3.0


@dataclass(frozen=True)
class CrossSection:
    """What is known of the filtered names after the close of a decision date.

    Attributes
    ----------
    names : (n,) int
        Columns, in the order of the tickers.
    alpha : (n,)
        The signal, higher is better.
    sizing : (n,), optional
        Daily volatility that scores are divided by; only some scores need it.
    barred : (n,) bool, optional
        Names that are no candidates for shorts.
    scored : dict
        The target that was scored from it last, for strategies that select and score alike.
    """

    names: Index
    alpha: Vector
    sizing: Vector | None = None
    barred: Mask | None = None
    scored: dict[tuple[object, ...], Target] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def alpha_z(self) -> Vector:
        """(n,) z-score of alpha over these names, clipped."""
        return alpha_z(self.alpha)


@dataclass(frozen=True)
class Target:
    """The weights that are wanted: of the raw book, as fractions of capital."""

    names: Index
    weight: Vector

    def times(self, factor: float) -> Target:
        """The same names at a multiple of the weights."""
        return Target(self.names, self.weight * factor)

    def on(self, names: Index) -> Vector:
        """Weights of some ascending columns; 0 for those that it doesn't hold."""
        weight = np.zeros(_width(names, self.names))
        weight[self.names] = self.weight
        return weight[names]


@dataclass(frozen=True)
class Holding:
    """What a decision finds: the raw book, and what is really traded.

    Attributes
    ----------
    raw : Target
        The raw book at the close; turnover and what is kept are counted from it.
    traded : Target
        The scaled book at the close, in units of the raw book at its new scale: participation is counted
        from it too.
    scale : float
        Scale of the next book.
    """

    raw: Target
    traded: Target
    scale: float


@dataclass(frozen=True)
class Desk:
    """Whom the newest decision is for: what a desk really holds, and what it can't short.

    Attributes
    ----------
    held : Target, optional
        The scaled book; without it the desk holds what the simulation does, less its shorts of barred names.
    barred : (b,) int
        Columns of names that can't be shorted anew.
    """

    held: Target | None
    barred: Index


def union(*names: Index) -> Index:
    """All columns that stand in one of the sets, ascending; by a mask, as they are small numbers."""
    held = np.zeros(_width(*names), dtype=np.bool_)
    for some in names:
        held[some] = True
    return np.flatnonzero(held)


def among(names: Index, some: Index) -> Mask:
    """Which columns are among some others, by a mask too."""
    there = np.zeros(_width(names, some), dtype=np.bool_)
    there[some] = True
    return there[names]


def _width(*names: Index) -> int:
    """Length of a row that has all these columns."""
    return 1 + max(int(some.max(initial=-1)) for some in names)


def alpha_z(alpha: Vector) -> Vector:
    """z-score over the names of the date (sample deviation), clipped at ±3; 0 where all are equal."""
    spread = alpha.std(ddof=1) if len(alpha) > 1 else 0.0
    if spread == 0.0:
        return np.zeros_like(alpha)
    z: Vector = np.clip((alpha - alpha.mean()) / spread, -CLIP, CLIP)
    return z


def _by_z(section: CrossSection, at: Index, side: float) -> Vector:
    return np.maximum(side * section.alpha_z[at], 0.0)


def _by_z_over_volatility(section: CrossSection, at: Index, side: float) -> Vector:
    assert section.sizing is not None  # noqa: S101 - the filter has asked for it
    return _by_z(section, at, side) / section.sizing[at]


SCORES: Mapping[str, Callable[[CrossSection, Index, float], Vector]] = {
    "equal": lambda _, at, __: np.ones(len(at)),
    "alpha_z": _by_z,
    "alpha_z_over_vol": _by_z_over_volatility,
}
"""Score of the names at some places of a section that are held long (side 1) or short (side -1)."""


def select(section: CrossSection, strategy: Strategy) -> tuple[Index, Index]:
    """Places of the longs and of the shorts in a section, the best first.

    The best `top_n` by alpha (or by its clipped z, ties by alpha, then by ticker) are held long, the worst
    `bottom_n` short. With both, nobody is on two sides, and nothing is held where one of them is empty.
    """
    n, both = len(section.names), strategy.top_n > 0 and strategy.bottom_n > 0
    bottom = min(strategy.bottom_n, n // 2 if both else n)
    top = min(strategy.top_n, n - bottom)
    if both and not (top and bottom):
        top = bottom = 0
    some_barred = section.barred is not None and section.barred.any()
    near = np.arange(n) if some_barred else _extremes(section.alpha, top, bottom)
    keys = [-section.alpha[near]]
    if strategy.rank_by == "alpha_z":
        keys.append(-section.alpha_z[near])
    ranked = near[np.lexsort(keys)]  # stable, and names ascend
    rest = ranked[top:]
    if section.barred is not None:
        rest = rest[~section.barred[rest]]
    return ranked[:top], rest[max(len(rest) - bottom, 0) :]


def decide(section: CrossSection, strategy: Strategy) -> Target:
    """Select, and weight by score: a single side sums to 1 (short: -1), with both each sums to one half.

    Names whose score is 0 are in the target with weight 0. Where no name of a side has a score above 0,
    nothing is held.
    """
    key = (strategy.top_n, strategy.bottom_n, strategy.rank_by, strategy.score)
    if key not in section.scored:
        section.scored.clear()  # one target is as large as the section
        section.scored[key] = _scored(section, strategy)
    return section.scored[key]


def _scored(section: CrossSection, strategy: Strategy) -> Target:
    long, short = select(section, strategy)
    each = 0.5 if strategy.top_n and strategy.bottom_n else 1.0
    score = SCORES[strategy.score]
    weights = []
    for at, side in ((long, 1.0), (short, -1.0)):
        raw = score(section, at, side)
        total = raw.sum()
        if len(at) and not total > 0.0:
            return Target(section.names[:0], np.zeros(0))
        weights.append(side * each * (raw / total if len(at) else raw))
    return Target(section.names[np.concatenate([long, short])], np.concatenate(weights))


def _extremes(alpha: Vector, top: int, bottom: int) -> Index:
    """Positions of the `top` largest and the `bottom` smallest values, and of all that equal one of them."""
    n = len(alpha)
    high = np.partition(alpha, n - top)[n - top] if top else np.inf
    low = np.partition(alpha, bottom - 1)[bottom - 1] if bottom else -np.inf
    return np.flatnonzero((alpha >= high) | (alpha <= low))
