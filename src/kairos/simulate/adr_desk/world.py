"""The factors of a simulated desk, drawn at the instants of its timeline and, between them, at any minute.

A path at minutes is a Brownian bridge through the values at the instants: the daily world doesn't know for
which months minutes are written, and minutes and days are one world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kairos.simulate.adr_desk.planted import INDEX, SECTOR, WORLD, Pair, Planted, us_betas
from kairos.simulate.adr_desk.timeline import Times, clock
from kairos.simulate.adr_desk.venues import CURRENCIES
from kairos.simulate.listings import SECTORS, Floats, Ints
from kairos.simulate.planted import stream


@dataclass(frozen=True)
class Factors:
    """Logarithms at some times, 0 at the first instant of the desk.

    Attributes
    ----------
    world
        (T,) W.
    sectors
        (T, S) h.
    indices, currencies
        g of each index and x of each currency, (T,).
    """

    world: Floats
    sectors: Floats
    indices: dict[str, Floats]
    currencies: dict[str, Floats]


@dataclass(frozen=True)
class Bridge:
    """Brownian paths at some times, given their values at the instants.

    ::

        B(t) = L(a) + F(t) − F(a) + (τ_t − τ_a)/(τ_b − τ_a)·(L(b) − L(a) − F(b) + F(a)),   a ≤ t < b

    with the levels L at the instants and a free path F. At an instant B equals L to the last bit.

    Attributes
    ----------
    times
        (F,) increasing; all instants are among them.
    left, right
        (F,) the instants a and b of each time.
    at
        (I,) positions of the instants in `times`.
    share
        (F,) (τ_t − τ_a)/(τ_b − τ_a).
    step
        (F,) √Δτ since the time before.
    """

    times: Times
    left: Ints
    right: Ints
    at: Ints
    share: Floats
    step: Floats

    def draw(self, levels: Floats, deviation: float, rng: np.random.Generator) -> Floats:
        """Path (F,) of a process with given levels (I,) and deviation a day."""
        free = np.cumsum(deviation * self.step * rng.standard_normal(len(self.times)))
        at_left, at_right = free[self.at[self.left]], free[self.at[self.right]]
        rest = levels[self.right] - levels[self.left] - at_right + at_left
        return np.asarray(levels[self.left] + (free - at_left) + self.share * rest)


def bridge(instants: Times, minutes: Times) -> Bridge:
    """Prepare paths at the instants and at those minutes that lie between the first and the last of them."""
    inside = minutes[(minutes >= instants[0]) & (minutes <= instants[-1])]
    times = np.union1d(instants, inside)
    left = np.searchsorted(instants, times, side="right") - 1
    right = np.minimum(left + 1, len(instants) - 1)
    tau, knots = clock(times), clock(instants)
    gap = knots[right] - knots[left]
    share = np.divide(tau - knots[left], gap, out=np.zeros(len(times)), where=gap > 0)
    return Bridge(
        times=times,
        left=left,
        right=right,
        at=np.searchsorted(times, instants),
        share=share,
        step=np.sqrt(np.diff(tau, prepend=tau[:1])),
    )


class Source:
    """Independent Brownian motions by name, at the instants or, with a bridge, at its times."""

    def __init__(self, seed: int, tau: Floats, between: Bridge | None = None) -> None:
        self.seed, self.between = seed, between
        self.step = np.sqrt(np.diff(tau, prepend=tau[:1]))

    def motion(self, name: str, deviation: float) -> Floats:
        """Path of one motion with a deviation a day, 0 at the first instant."""
        levels = self.motions(name, np.array([deviation]))[:, 0]
        if self.between is None:
            return levels
        return self.between.draw(levels, deviation, stream(self.seed, f"desk minutes {name}"))

    def motions(self, name: str, deviations: Floats) -> Floats:
        """Levels (I, N) of several motions at the instants, row by row: a longer desk begins the same."""
        shocks = stream(self.seed, f"desk {name}").standard_normal((len(self.step), len(deviations)))
        shocks *= self.step[:, None]
        np.cumsum(shocks, axis=0, out=shocks)
        shocks *= deviations
        return shocks


def draw_factors(planted: Planted, source: Source) -> Factors:
    """Draw world, sectors, indices and currencies; see `kairos.simulate.adr_desk.planted`."""
    world, europe = source.motion("world", 1.0), source.motion("Europe", 1.0)
    indices, currencies = {}, {}
    for contract in planted.contracts:
        own = np.sqrt((100.0 * INDEX) ** 2 - contract.world**2 - contract.europe**2)
        alone = source.motion(f"index {contract.index}", float(own) / 100.0)
        indices[contract.index] = contract.world / 100.0 * world + contract.europe / 100.0 * europe + alone
    euro = source.motion("currency EUR", CURRENCIES["EUR"].own / 100.0)
    currencies["EUR"] = euro
    for name in planted.currencies:
        if name != "EUR":
            about = CURRENCIES[name]
            currencies[name] = about.euro * euro + source.motion(f"currency {name}", about.own / 100.0)
    sectors = [source.motion(f"sector {name}", SECTOR) for name in SECTORS]
    return Factors(WORLD * world, np.stack(sectors, axis=1), indices, currencies)


def stock_level(planted: Planted, factors: Factors, column: int, own: Floats) -> Floats:
    """Level s of a US stock that is no twin, a·W + h + own, at the times of the factors."""
    stocks = planted.stocks
    path = stocks.loading[column] * factors.world
    path += factors.sectors[:, stocks.sector[column]]
    path += own
    return np.asarray(path)


def fair_level(
    planted: Planted, pair: Pair, factors: Factors, stocks: dict[int, Floats], own: Floats
) -> Floats:
    """Level f of an ordinary, β·g + Σ_j w_j·(s_j − b_j·g) + η, in the currency of its index."""
    index = factors.indices[pair.contract.index]
    betas = us_betas(planted.stocks, pair.contract)
    level = pair.beta * index + own
    for column, weight in zip(pair.predictors, pair.weights, strict=True):
        level += weight * (stocks[int(column)] - betas[column] * index)
    return np.asarray(level)


def own_deviation(pair: Pair) -> float:
    """Deviation a day of η, √(1 − R²)·σ_e."""
    return float(np.sqrt(1.0 - pair.strength)) * pair.residual
