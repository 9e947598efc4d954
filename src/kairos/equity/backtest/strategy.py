"""From a cross-section to the weights that a strategy wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.costs import Vector

if TYPE_CHECKING:
    from kairos.equity.backtest.account import Index
    from kairos.settings import Strategy

CLIP = 3.0


@dataclass(frozen=True)
class CrossSection:
    """What is known of the eligible names after the close of a decision date.

    Attributes
    ----------
    names : (n,) int
        Columns, in the order of the tickers.
    alpha : (n,)
        The signal, higher is better.
    """

    names: Index
    alpha: Vector


@dataclass(frozen=True)
class Target:
    """The weights that are wanted: of the raw book, as fractions of capital."""

    names: Index
    weight: Vector


def alpha_z(alpha: Vector) -> Vector:
    """z-score over the names of the date (sample deviation), clipped at ±3; 0 where all are equal."""
    spread = alpha.std(ddof=1) if len(alpha) > 1 else 0.0
    if spread == 0.0:
        return np.zeros_like(alpha)
    z: Vector = np.clip((alpha - alpha.mean()) / spread, -CLIP, CLIP)
    return z


def decide(section: CrossSection, strategy: Strategy) -> Target:
    """Select and weight.

    The best `top_n` by alpha (or by its clipped z, ties by alpha, then by ticker) are held long, the worst
    `bottom_n` short, with equal weights. A single side sums to 1; with both, each sums to one half, and
    nothing is held where one of them would be empty.
    """
    n, both = len(section.names), strategy.top_n > 0 and strategy.bottom_n > 0
    bottom = min(strategy.bottom_n, n // 2 if both else n)
    top = min(strategy.top_n, n - bottom)
    if both and not (top and bottom):
        top = bottom = 0
    near = _extremes(section.alpha, top, bottom)
    keys = [-section.alpha[near]]
    if strategy.rank_by == "alpha_z":
        keys.append(-alpha_z(section.alpha)[near])
    names = section.names[near[np.lexsort(keys)]]  # stable, and names ascend
    long, short = names[:top], names[len(names) - bottom :]
    side = 0.5 if both else 1.0
    weight = np.concatenate([np.full(top, side / max(top, 1)), np.full(bottom, -side / max(bottom, 1))])
    return Target(np.concatenate([long, short]), weight)


def _extremes(alpha: Vector, top: int, bottom: int) -> Index:
    """Positions of the `top` largest and the `bottom` smallest values, and of all that equal one of them."""
    n = len(alpha)
    high = np.partition(alpha, n - top)[n - top] if top else np.inf
    low = np.partition(alpha, bottom - 1)[bottom - 1] if bottom else -np.inf
    return np.flatnonzero((alpha >= high) | (alpha <= low))
