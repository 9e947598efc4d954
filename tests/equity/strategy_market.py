"""A simulated market in the engine's own panels (`kairos.audit.panels`), with its planted premia."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kairos.audit.panels import HISTORY, Stage, stage
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.settings import load
from kairos.simulate import market

__all__ = ["HISTORY", "Planted", "planted"]


@dataclass(frozen=True)
class Planted(Stage):
    """A stage on which strategies are named, with regimes, and whose columns can change places."""

    def run(self, strategy: str, *overrides: str) -> Simulation:
        """A strategy from the first decision with a year of history on."""
        return self.simulate(load(overrides=list(overrides)).equity.strategy(strategy))

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """(T,) regimes that change every 23 sessions; nothing at first."""
        names = ["unknown", "low_vol_bull", "high_vol_bear", "normal_vol_neutral", "low_vol_bear"]
        T = len(self.market.frame.sessions)
        return np.array([names[(t // 23) % 5] for t in range(T)], dtype=object)

    def run_mix(self, *overrides: str) -> Simulation:
        """`regime_switching` on these labels."""
        equity = load(overrides=list(overrides)).equity
        mix = equity.strategy("regime_switching")
        parts = [
            equity.strategy(name).model_copy(update={"backtest": mix.backtest}) for name in mix.mix.strategies
        ]
        last = len(self.market.frame.sessions) - 1
        rows = decision_days(HISTORY + 5, last, mix.backtest.rebalance_every)
        signals = replace(self.signals, regime=self.labels)
        return simulate(self.market, signals, mix, rows, last, parts=parts)

    def permuted(self, order: np.ndarray[Any, Any]) -> Planted:
        """The same market with its columns in another order."""
        market, signals = self.market, self.signals
        assert signals.sector is not None

        def panels(found: Any) -> dict[str, Any]:
            return {name: panel[:, order] for name, panel in found.items()}

        return replace(
            self,
            market=replace(
                market,
                value=np.ascontiguousarray(market.value[:, order]),
                priced=np.ascontiguousarray(market.priced[:, order]),
                settled=market.settled[order],
            ),
            signals=replace(
                signals,
                **panels({n: getattr(signals, n) for n in ("alpha", "members", "adv", "volatility")}),
                today=panels(signals.today),
                last=panels(signals.last),
                sector=signals.sector[order],
            ),
        )


def planted(tickers: int, years: int, seed: int) -> Planted:
    """Simulate a market and what its decisions know."""
    found = stage(market(tickers, years, seed))
    return Planted(found.market, found.signals, found.factor)
