"""From weights to trades in whole lots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.limits import HOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.equity.backtest.costs import Vector
    from kairos.equity.backtest.limits import Rule
    from kairos.equity.frame import Mask

NEARLY = 1e-6
"""Of a lot: as much less than a whole one counts as one."""


@dataclass(frozen=True)
class Rebalance:
    """From what is held to what is wanted, in shares.

    Attributes
    ----------
    current, target : (n,)
        Shares, below 0 where short.
    price : (n,)
        USD.
    unit : (n,)
        Weight of one share in the raw book, to which the limits refer.
    lot : int
        Shares.
    min_trade : float
        USD.
    """

    current: Vector
    target: Vector
    price: Vector
    unit: Vector
    lot: int
    min_trade: float

    @property
    def _crosses(self) -> Mask:
        """(n,) positions that go from long to short, or back: closed whole, and opened anew in lots."""
        return self.target * self.current < 0.0

    def trades(self) -> Vector:
        """(n,) shares to trade: rounded to lots towards no trade, exits whole, small ones left out."""
        trade = self._rounded()
        return np.where(np.abs(trade) * self.price < self.min_trade, 0.0, trade)

    def _rounded(self) -> Vector:
        gap = self.target - self.current
        trade = np.where(self._crosses, self._whole(self.target) - self.current, self._whole(gap))
        return np.where(self.target == 0.0, gap, trade)

    def _whole(self, shares: Vector) -> Vector:
        """(n,) shares in whole lots, towards none."""
        return np.trunc(shares / self.lot + np.sign(shares) * NEARLY) * self.lot

    def within(self, trade: Vector, name: float, rules: Sequence[Rule], turnover: float) -> Vector:
        """(n,) the trades, with reductions rounded up where a limit needs it.

        Where rounding, or a trade that is left out, has kept a position larger than it should be and a name
        or a sum of sizes therefore exceeds its limit, the reduction is rounded up. If the turnover then
        exceeds its own, purchases are made smaller by lots. A limit that the exact book exceeds, because it
        was relaxed, counts as it is there.

        Parameters
        ----------
        name : float
            |w| of a name.
        rules : sequence of Rule
            Upper limits on sums of |w|; others are not looked at.
        turnover : float
            Σ|Δw|.
        """
        exact, more = np.abs(self.target) * self.unit, self._more()
        gain = (np.abs(self.current + trade) - np.abs(self.current + more)) * self.unit
        over = np.abs(self.current + trade) * self.unit > np.maximum(name, exact) + HOLDS
        trade = np.where(over & (gain > 0.0), more, trade)
        for rule in rules:
            if not (rule.size and np.isfinite(rule.high)):
                continue
            size = np.abs(self.current + trade) * self.unit
            excess = float(rule.row @ size) - max(rule.high, float(rule.row @ exact)) - HOLDS
            gain = rule.row * (size - np.abs(self.current + more) * self.unit)
            trade = np.where(_enough(gain, excess), more, trade)
        return self._less(trade, max(turnover, float(np.abs(self.target - self.current) @ self.unit)))

    def _more(self) -> Vector:
        """(n,) trades with reductions rounded up; a position is closed at most, or crosses as it should."""
        gap = self.target - self.current
        more = np.sign(gap) * np.ceil(np.abs(gap) / self.lot - NEARLY) * self.lot
        shrinks = gap * self.current < 0.0
        size = np.minimum(np.abs(more), np.abs(self.current))
        return np.where(self._crosses, self._rounded(), np.where(shrinks, np.sign(gap) * size, more))

    def _less(self, trade: Vector, turnover: float) -> Vector:
        """(n,) trades whose purchases are made smaller, the largest lots first, until the turnover holds."""
        while True:
            excess = float(np.abs(trade) @ self.unit) - turnover - HOLDS
            after = self.current + trade
            crosses = self.current * after < 0.0
            grows = crosses | (np.abs(after) > np.abs(self.current))
            step = np.where(grows, np.minimum(np.abs(np.where(crosses, after, trade)), self.lot), 0.0)
            cut = _enough(step * self.unit, excess)
            if not cut.any():
                return trade
            trade = np.where(cut, trade - np.sign(trade) * step, trade)


def _enough(gain: Vector, excess: float) -> Mask:
    """(n,) the largest gains, as few as make up for an excess; those above 0 only."""
    order = np.argsort(-gain, kind="stable")
    before = np.cumsum(gain[order]) - gain[order]
    chosen = np.zeros(len(gain), dtype=np.bool_)
    chosen[order] = (before < excess) & (gain[order] > 0.0)
    return chosen
