"""What tests find on many markets, counted: how often they do, how often they may, and what that says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from kairos.settings import Settings, Strategy

CONFIDENCE = 0.95
"""That all intervals of an audit hold together."""


class World(StrEnum):
    """What is in a market."""

    NOTHING = "no effect"
    PLANTED = "planted"


class Verdict(StrEnum):
    """What a rate says of its test."""

    TOO_MANY = "too many"
    AS_PROMISED = "as promised"
    CONSERVATIVE = "conservative"
    POWER = "power"
    """The effect is there: no rate is promised, a higher one is better."""


@dataclass(frozen=True)
class Terms:
    """What the markets of an audit have in common.

    Attributes
    ----------
    settings : Settings
        The user's.
    level : float
        Share of markets on which a test may find what is not there.
    effect : float
        Factor on what is planted; with 0 nothing is.
    strategies : tuple of Strategy
        Whose backtests are the trials.
    """

    settings: Settings
    level: float
    effect: float
    strategies: tuple[Strategy, ...]


@dataclass(frozen=True)
class Sighting:
    """What one test says on one market.

    Attributes
    ----------
    world : World
    test : str
        What is tested, and how.
    found : bool
        Something was found, or an interval misses the truth.
    truth : float
        The true effect, in the test's own unit.
    nominal : float
        The chance of it that the test promises; NaN where it promises none.
    """

    world: World
    test: str
    found: bool
    truth: float = 0.0
    nominal: float = np.nan


@dataclass(frozen=True)
class Rate:
    """One test on all its markets.

    Attributes
    ----------
    part, world, test
        See `Sighting`.
    truth, nominal : float
        Means over the markets.
    markets, found : int
        How many were looked at, and on how many something was found.
    low, high : float
        Clopper-Pearson interval of the rate. All intervals of an audit hold together with `CONFIDENCE`.
    """

    part: str
    world: World
    test: str
    truth: float
    nominal: float
    markets: int
    found: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share of the markets on which something was found."""
        return self.found / self.markets

    @property
    def verdict(self) -> Verdict:
        """What the interval says against the promise."""
        if np.isnan(self.nominal):
            return Verdict.POWER
        if self.low > self.nominal:
            return Verdict.TOO_MANY
        return Verdict.CONSERVATIVE if self.high < self.nominal else Verdict.AS_PROMISED


@dataclass(frozen=True)
class NullAudit:
    """How often tests find something on markets whose truth is known.

    Attributes
    ----------
    rates : list of Rate
        One for each test, by part; markets without an effect first.
    markets, seed : int
        Markets of each part, and the seed of the first one.
    level, effect : float
        See `Terms`.
    remarks : list of str
        What a reader must know.
    seconds : float
        Wall time.
    """

    rates: list[Rate]
    markets: int
    seed: int
    level: float
    effect: float
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def too_many(self) -> list[Rate]:
        """The tests that find more than they promise."""
        return [rate for rate in self.rates if rate.verdict is Verdict.TOO_MANY]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a printed summary."""
        columns = [
            "part", "world", "test", "truth", "markets", "found", "rate", "nominal", "low", "high", "verdict",
        ]  # fmt: skip
        return columns, [
            [
                *(one.part, str(one.world), one.test, one.truth, one.markets, one.found),
                *(one.rate, one.nominal, one.low, one.high, str(one.verdict)),
            ]
            for one in self.rates
        ]

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data."""
        rates = [{**asdict(one), "rate": one.rate, "verdict": str(one.verdict)} for one in self.rates]
        return {**asdict(self), "rates": rates, "too_many": len(self.too_many), "confidence": CONFIDENCE}


def rates_of(found: Iterable[tuple[str, Iterable[Sighting]]]) -> list[Rate]:
    """Count the sightings of all markets, given as pairs of a part and what was seen on one market.

    Every interval is as wide as it must be for all intervals of tests that promise a rate to hold at once
    with `CONFIDENCE` (Bonferroni): of twenty sound tests, each with an interval of its own at 95 %, one would
    be accused by chance in about every third audit.
    """
    groups: dict[tuple[str, World, str], list[Sighting]] = {}
    for part, sightings in found:
        for one in sightings:
            groups.setdefault((part, one.world, one.test), []).append(one)
    promising = sum(not np.isnan(some[0].nominal) for some in groups.values())
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(promising, 1)
    return [_rate(*key, some, confidence) for key, some in groups.items()]


def _rate(part: str, world: World, test: str, some: list[Sighting], confidence: float) -> Rate:
    found, markets = sum(one.found for one in some), len(some)
    interval = binomtest(found, markets).proportion_ci(confidence, method="exact")
    return Rate(
        part=part,
        world=world,
        test=test,
        truth=float(np.mean([one.truth for one in some])),
        nominal=float(np.mean([one.nominal for one in some])),
        markets=markets,
        found=found,
        low=float(interval.low),
        high=float(interval.high),
    )
