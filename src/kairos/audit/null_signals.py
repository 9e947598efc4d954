"""Null markets, signals: p-values of what knows nothing.

Signals without any information, from noise to a characteristic that hardly changes in two years, are measured
as `kairos equity signals` measures them; then the planted ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.audit.null_rates import Sighting, Terms, World
from kairos.audit.panels import listings_of
from kairos.equity.outcome import forward_return
from kairos.evaluation.information import information_coefficient, summarise
from kairos.simulate import market
from kairos.simulate.planted import INSIDER, QUALITY, REVERSAL, stream
from kairos.simulate.truth import expected_ic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kairos.evaluation.information import ICSummary
    from kairos.settings import Settings
    from kairos.simulate import Market

TICKERS, YEARS = 100, 3
TRIPLES = 20_000
"""Draws of the true coefficient: they leave an error below 1 % of it."""

NOISE = "noise"
SLOW = (INSIDER, QUALITY)


def look(seed: int, terms: Terms) -> list[Sighting]:
    """What the p-values of one market find, without an effect and with the planted one."""
    found = list(_nothing(seed, terms))
    return [*found, *_planted(seed, terms)] if terms.effect else found


def horizons(settings: Settings) -> list[int]:
    """One session, the headline's, and the longest of the settings."""
    rules = settings.equity.signals
    return sorted({1, rules.horizon, max(rules.horizons)})


def _nothing(seed: int, terms: Terms) -> Iterator[Sighting]:
    world = market(TICKERS, YEARS, seed, premia=0.0)
    noise = stream(seed, "null noise").standard_normal(world.close.shape)
    signals = {NOISE: noise, **{one.name: world.characteristics[one.name] for one in (REVERSAL, *SLOW)}}
    for name, horizon, found in _measured(world, signals, terms):
        yield Sighting(World.NOTHING, _test(name, horizon), bool(found.p < terms.level), nominal=terms.level)


def _planted(seed: int, terms: Terms) -> Iterator[Sighting]:
    world = market(TICKERS, YEARS, seed, premia=terms.effect)
    lag, coefficients = terms.settings.equity.signals.lag, expected_ic(world, TRIPLES)
    # A value that is `lag` sessions old when its return begins has lost so much of what it knew.
    truth = {one.name: coefficients[one.name] * one.persistence**lag for one in SLOW}
    signals = {one.name: world.characteristics[one.name] for one in SLOW}
    for name, horizon, found in _measured(world, signals, terms):
        yield Sighting(World.PLANTED, _test(name, horizon), bool(found.p < terms.level), truth[name])
        if horizon == 1:
            test = f"{name}, {1.0 - terms.level:.0%} interval of the IC over 1 session misses the truth"
            missed = not found.low <= truth[name] <= found.high
            yield Sighting(World.PLANTED, test, missed, truth[name], terms.level)


def _test(name: str, horizon: int) -> str:
    return f"{name}, p of the IC over {horizon} session{'s' if horizon > 1 else ''}"


def _measured(
    world: Market, signals: dict[str, np.ndarray], terms: Terms
) -> Iterator[tuple[str, int, ICSummary]]:
    """Signals over all horizons, as the study of signals measures them; all priced names are members."""
    rules, gap = terms.settings.equity.signals, terms.settings.equity.listing.max_gap
    frame, outcomes = listings_of(world)
    for horizon in horizons(terms.settings):
        forward = forward_return(frame, world.closeadj, outcomes, gap, lag=rules.lag, horizon=horizon)
        for name, signal in signals.items():
            ic = information_coefficient(
                signal, forward, np.isfinite(world.closeadj), min_names=rules.min_names
            )
            yield name, horizon, summarise(ic, horizon, 1.0 - terms.level)
