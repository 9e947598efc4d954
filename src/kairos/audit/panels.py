"""A simulated market in the panels of equity research, without files and tables.

What decisions look at is computed here from prices, with windows of 21 (volatility), 20 (volume) and 252
sessions (beta against the equal-weight market); the signal is the premium that the slow characteristics let
one expect, known after the close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.market import Market, settled_rows
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.equity.frame import Frame, Outcomes
from kairos.panel import Rolling, carry
from kairos.simulate.listings import SECTORS
from kairos.simulate.planted import PERSISTENT

if TYPE_CHECKING:
    from kairos.settings import Strategy
    from kairos.simulate import Market as SimulatedMarket

HISTORY = 252
PAID_AFTER = 10
"""Sessions from the last price of a listing that ends to its pay-out, of that price."""

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Stage:
    """A market, what its decisions know, and the true return of the market factor."""

    market: Market
    signals: Signals
    factor: Array

    def simulate(self, strategy: Strategy) -> Simulation:
        """A strategy from the first decision with a year of history on."""
        last = len(self.market.frame.sessions) - 1
        rows = decision_days(HISTORY + 5, last, strategy.backtest.rebalance_every)
        return simulate(self.market, self.signals, strategy, rows, last)


def listings_of(world: SimulatedMarket) -> tuple[Frame, Outcomes]:
    """The frame of a simulated market, and how its listings end."""
    priced = np.isfinite(world.closeadj)
    T, N = priced.shape
    rows = np.arange(T)[:, None]
    last = np.where(priced, rows, -1).max(axis=0)
    frame = Frame(
        world.dates.astype("datetime64[D]"),
        np.array([f"N{i:04d}" for i in range(N)]),
        np.ones(N, np.int64),
        np.where(priced, rows, T).min(axis=0),
        (),
    )
    return frame, Outcomes(last, last < T - 1, last + PAID_AFTER, np.zeros(N))


def stage(world: SimulatedMarket) -> Stage:
    """The stage of a simulated market."""
    frame, outcomes = listings_of(world)
    T, N = frame.shape
    priced = np.ascontiguousarray(np.isfinite(world.closeadj))
    days = np.concatenate([[0.0], np.diff(frame.sessions).astype(float)])
    ret = np.full((T, N), np.nan, order="F")
    ret[1:] = world.closeadj[1:] / world.closeadj[:-1] - 1.0
    volatility = Rolling(21, 17).std(ret)
    adv = Rolling(20, 16).mean(np.asfortranarray(world.close * world.volume))
    average = np.nansum(ret, axis=1) / np.maximum(np.isfinite(ret).sum(axis=1), 1)
    against = np.asfortranarray(np.repeat(average[:, None], N, axis=1))
    beta = Rolling(HISTORY, 200).beta(ret, against)
    alpha = np.sum([item.premium * world.characteristics[item.name] for item in PERSISTENT], axis=0)
    signals = Signals(
        alpha=np.where(priced, alpha, np.nan),
        members=priced & np.isfinite(beta),
        adv=_filled(adv),
        volatility=_filled(volatility),
        marketcap=None,
        allowed=np.ones(T, dtype=np.bool_),
        today={"sizing": volatility, "adv": adv, "volatility": volatility, "beta": beta},
        last={"beta": _filled(beta)},
        sector=world.listings.sector.astype(np.int64),
        sectors=list(SECTORS),
    )
    market = Market(frame, _filled(world.closeadj), priced, settled_rows(frame, outcomes), days)
    return Stage(market, signals, world.market_factor)


def _filled(panel: Array) -> Array:
    """Row by row in memory, the last known value carried on."""
    known = np.array(panel, order="C")
    carry(known)
    return known
