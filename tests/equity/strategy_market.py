"""A simulated market in the engine's own panels: strategies run on it without files and tables.

The market is the simulator's (`kairos.simulate.prices.market`), with its planted premia. What decisions look
at is computed here from prices, with windows of 21 (volatility), 20 (volume) and 252 sessions (beta against
the equal-weight market); the signal is the premium that the slow characteristics let one expect, known after
the close.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kairos.equity.backtest.market import Market
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.equity.frame import Frame
from kairos.panel import Rolling, carry
from kairos.settings import load
from kairos.simulate.listings import SECTORS
from kairos.simulate.planted import PERSISTENT
from kairos.simulate.prices import market as simulated_market

HISTORY = 252


@dataclass(frozen=True)
class Planted:
    """A market, what decisions know, and the true return of the market factor."""

    market: Market
    signals: Signals
    factor: np.ndarray[Any, np.dtype[np.float64]]

    def run(self, strategy: str, *overrides: str) -> Simulation:
        """A strategy from the first decision with a year of history on."""
        chosen = load(overrides=list(overrides)).equity.strategy(strategy)
        last = len(self.market.frame.sessions) - 1
        rows = decision_days(HISTORY + 5, last, chosen.backtest.rebalance_every)
        return simulate(self.market, self.signals, chosen, rows, last)

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
    world = simulated_market(tickers, years, seed, "2015-01-02")
    T, N = world.close.shape
    priced = np.ascontiguousarray(np.isfinite(world.closeadj))
    value = np.ascontiguousarray(world.closeadj)
    carry(value)
    last_price = np.where(priced, np.arange(T)[:, None], -1).max(axis=0)
    settled = np.where(last_price < T - 1, np.minimum(last_price + 10, T), T)
    frame = Frame(
        world.dates.astype("datetime64[D]"),
        np.array([f"N{i:04d}" for i in range(N)]),
        np.ones(N, np.int64),
        np.zeros(N, np.int64),
        (),
    )
    days = np.concatenate([[0.0], np.diff(frame.sessions).astype(float)])
    ret = np.full((T, N), np.nan, order="F")
    ret[1:] = world.closeadj[1:] / world.closeadj[:-1] - 1.0
    volatility = Rolling(21, 17).std(ret)
    adv = Rolling(20, 16).mean(np.asfortranarray(world.close * world.volume))
    average = np.nansum(ret, axis=1) / np.maximum(np.isfinite(ret).sum(axis=1), 1)
    against = np.asfortranarray(np.repeat(average[:, None], N, axis=1))
    beta = Rolling(HISTORY, 200).beta(ret, against)
    alpha = sum(item.premium * world.characteristics[item.name] for item in PERSISTENT)
    member = priced & np.isfinite(beta)
    known = {"sizing": volatility, "adv": adv, "beta": beta}
    signals = Signals(
        alpha=np.where(priced, alpha, np.nan),
        members=member,
        adv=_filled(adv),
        volatility=_filled(volatility),
        marketcap=None,
        allowed=np.ones(T, dtype=np.bool_),
        today=known,
        last={"beta": _filled(beta)},
        sector=world.listings.sector.astype(np.int64),
        sectors=list(SECTORS),
    )
    return Planted(Market(frame, value, priced, settled, days), signals, world.market_factor)


def _filled(panel: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known = np.ascontiguousarray(panel)
    carry(known)
    return known
