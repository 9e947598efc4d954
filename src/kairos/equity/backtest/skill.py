"""How well a signal has ranked the names of past decisions, as far as that is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kairos.evaluation.information import information_coefficient

if TYPE_CHECKING:
    from kairos.equity.backtest.market import Market
    from kairos.equity.backtest.strategy import CrossSection


@dataclass
class Skill:
    """Rank information coefficients of past decisions over their own horizon.

    Attributes
    ----------
    market : Market
        Prices.
    lag, horizon : int
        Sessions from a decision to its fill, and from the fill to the next one.
    window : int
        Decisions that are averaged.
    """

    market: Market
    lag: int
    horizon: int
    window: int
    _open: list[tuple[int, CrossSection]] = field(init=False, default_factory=list)
    _known: list[float] = field(init=False, default_factory=list)

    def up_to(self, t: int, section: CrossSection) -> float | None:
        """Mean coefficient of the last `window` decisions whose horizon is over by the close of t.

        Not below 0: nothing is expected of a signal that has been wrong. None as long as there are fewer.

        Parameters
        ----------
        t : int
            Row of a decision, later than those of earlier calls.
        section : CrossSection
            Its filtered names, which become a past decision.
        """
        while self._open and self._open[0][0] + self.lag + self.horizon <= t:
            found = self._coefficient(*self._open.pop(0))
            self._known += [found] if np.isfinite(found) else []
        self._open.append((t, section))
        past = self._known[-self.window :]
        return max(float(np.mean(past)), 0.0) if len(past) == self.window else None

    def _coefficient(self, row: int, section: CrossSection) -> float:
        begin, end = self.market.value[[row + self.lag, row + self.lag + self.horizon]][:, section.names]
        pair = section.alpha[None], (end / begin - 1.0)[None]
        return float(information_coefficient(*pair, np.ones((1, len(section.names)), dtype=np.bool_))[0])
