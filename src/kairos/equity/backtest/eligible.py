"""Which names a decision may choose from: members with a signal, of whom all that is needed is known."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.strategy import CrossSection

if TYPE_CHECKING:
    from kairos.equity.backtest.costs import Costs
    from kairos.equity.backtest.market import Market
    from kairos.equity.backtest.signals import Signals
    from kairos.equity.frame import Mask
    from kairos.settings import Strategy


@dataclass(frozen=True)
class Filter:
    """What decides on the eligible names of a session; row t of the signals is known after its close.

    Attributes
    ----------
    needs : tuple of str
        What must be known of a name: ``sector``, ``sizing``, ``adv``, ``beta``, ``table.column``.
    min_adv : float
        USD a day that a name must trade; 0 for no minimum.
    liquid : bool
        Whether its trades must have a cost: its dollar volume and volatility are known.
    ahead : int
        The manual's filter, which knows the future: a price so many sessions later, where that is not after
        row `last`; 0 for none.
    """

    needs: tuple[str, ...]
    min_adv: float
    liquid: bool
    ahead: int = 0
    last: int = 0

    @classmethod
    def of(cls, strategy: Strategy, costs: Costs, last: int) -> Filter:
        """The filter of a strategy in a simulation up to row `last`."""
        ahead = strategy.backtest.rebalance_every if strategy.backtest.manual.missing_target else 0
        return cls(strategy.needs, strategy.min_adv, costs.needs_liquidity, ahead, last if ahead else 0)

    def section(self, signals: Signals, market: Market, t: int) -> tuple[CrossSection, int]:
        """The eligible names of session t, and how many more only lack a dollar volume or volatility."""
        named, left_out = signals.members[t] & np.isfinite(signals.alpha[t]), 0
        if self.liquid:
            adv, volatility = signals.today["adv"][t], signals.today["volatility"][t]
            known = np.isfinite(adv) & np.isfinite(volatility) & (adv > 0.0)
            left_out = int((named & ~known).sum())
            named &= known
        named &= self._known(signals, t)
        if self.ahead and t + self.ahead <= self.last:
            named &= market.priced[t + self.ahead]
        names = np.flatnonzero(named)
        sizing = signals.today["sizing"][t, names] if "sizing" in self.needs else None
        return CrossSection(names, signals.alpha[t, names], sizing), left_out

    def _known(self, signals: Signals, t: int) -> Mask:
        """(N,) names of which everything that is needed is known on t."""
        found: Mask = np.ones(np.shape(signals.members[t]), dtype=np.bool_)
        for need in self.needs:
            if need == "sector":
                assert signals.sector is not None  # noqa: S101 - read for every strategy that needs it
                found &= signals.sector >= 0
            else:
                value = signals.today[need][t]
                found &= np.isfinite(value)
                if need == "sizing":
                    found &= value > 0.0
        if self.min_adv:
            found &= signals.today["adv"][t] >= self.min_adv
        return found


def sections(
    shared: MutableMapping[Any, Any], signals: Signals, chosen: Filter
) -> dict[int, tuple[CrossSection, int]]:
    """What `Filter.section` has found by row so far, for all strategies that filter alike.

    Only those of the newest filter are kept: each is some tens of megabytes.
    """
    key = (signals.source, chosen)
    if "sections" not in shared or shared["sections"][0] != key:
        shared["sections"] = key, {}
    found: dict[int, tuple[CrossSection, int]] = shared["sections"][1]
    return found
