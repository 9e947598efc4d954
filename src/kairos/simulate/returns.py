"""Returns of a simulated market: factors, characteristics, shocks, and the walk that adds the reversal.

Histories here have shape (N, T), one security a row; `kairos.simulate.prices` hands them out as (T, N)
panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from kairos.simulate.listings import SECTORS, Floats, Ints, Listings
from kairos.simulate.planted import (
    CALM,
    NEWS_SCALE,
    NEWS_SHARE,
    PERSISTENT,
    REVERSAL,
    REVERSAL_BOUND,
    REVERSAL_WINDOW,
    SECTOR_VOLATILITY,
    SESSIONS_PER_YEAR,
    STRESSED,
    stream,
)

if TYPE_CHECKING:
    from kairos.simulate.listings import Bools

# A session, near the end of a listing.
PINNED_VOLATILITY = 0.002  # a target once its price follows the offer
ROUGH_VOLATILITY = 0.05  # added to a security in distress


def market_factor(sessions: int, seed: int) -> Floats:
    """Market return per session, (T,): normal within a calm or a stressed regime with exponential stays."""
    rng = stream(seed, "market")
    stays = 2 * (4 + sessions // int(CALM[2]))
    length = np.ceil(rng.exponential(np.resize([CALM[2], STRESSED[2]], stays))).astype(np.int64)
    begins_stressed = rng.random() < STRESSED[2] / (CALM[2] + STRESSED[2])
    stressed = np.repeat(np.arange(stays) % 2, length)
    if begins_stressed:
        stressed = stressed[length[0] :]
    while len(stressed) < sessions:  # short stays by chance
        stressed = np.concatenate([stressed, stressed])
    annual = np.array([CALM, STRESSED])[stressed[:sessions]]
    mean, deviation = annual[:, 0] / SESSIONS_PER_YEAR, annual[:, 1] / np.sqrt(SESSIONS_PER_YEAR)
    return np.asarray(mean + deviation * rng.standard_normal(sessions))


def sector_factors(sessions: int, seed: int) -> Floats:
    """Sector returns per session, (number of sectors, T): independent, mean 0."""
    deviation = SECTOR_VOLATILITY / np.sqrt(SESSIONS_PER_YEAR)
    return np.asarray(deviation * stream(seed, "sectors").standard_normal((len(SECTORS), sessions)))


def _autoregress(x: Floats, persistence: float) -> None:
    innovation = np.sqrt(1.0 - persistence**2)
    for i in range(x.shape[0]):
        for t in range(1, x.shape[1]):
            x[i, t] = persistence * x[i, t - 1] + innovation * x[i, t]


def _walk(
    shock: Floats,
    traded: Bools,
    first: Ints,
    last: Ints,
    window: int,
    slope: float,
    bound: float,
    level: Floats,
    past: Floats,
) -> None:
    for i in range(shock.shape[0]):
        latent = 1.0
        known = 1.0
        for t in range(first[i], last[i] + 1):
            if t > first[i]:
                pull = 0.0
                if t > first[i] + window:
                    pull = slope * min(max(past[i, t - 1], -bound), bound)
                latent *= 1.0 + shock[i, t] + pull
            if traded[i, t]:
                known = latent
            level[i, t] = known
            if t >= first[i] + window:
                past[i, t] = known / level[i, t - window] - 1.0


autoregress = njit(cache=True)(_autoregress)  # white noise to a stationary AR(1) along each row, in place
walk = njit(cache=True)(_walk)  # fills the known total-return level and its past return


def characteristics(n: int, sessions: int, seed: int) -> dict[str, Floats]:
    """Draw the persistent characteristics, by name, each (N, T)."""
    found = {}
    for item in PERSISTENT:
        z = stream(seed, f"characteristic {item.name}").standard_normal((n, sessions))
        autoregress(z, item.persistence)
        found[item.name] = z
    return found


def idiosyncratic_shocks(listings: Listings, sessions: int, seed: int) -> Floats:
    """Idiosyncratic returns with the volatility of the listing, (N, T): ordinary or news sessions."""
    rng = stream(seed, "idiosyncratic")
    shock = rng.standard_normal((len(listings.beta), sessions))
    news = rng.random(shock.shape, dtype=np.float32) < NEWS_SHARE
    shock[news] *= NEWS_SCALE
    unit = np.sqrt(1.0 - NEWS_SHARE + NEWS_SHARE * NEWS_SCALE**2)
    shock *= listings.idiosyncratic[:, None] / (unit * np.sqrt(SESSIONS_PER_YEAR))
    return shock


def total_return_level(
    listings: Listings, market: Floats, sectors: Floats, z: dict[str, Floats], seed: int, premia: float
) -> tuple[Floats, Floats]:
    """Known total-return level and its past 21-session return, both (N, T).

    The level is 1 at the first listed session. In a halt, or on a session without a trade, the last known
    level stays; the next trade carries the whole move. NaN where not listed.
    """
    shock = idiosyncratic_shocks(listings, len(market), seed)
    shock += listings.beta[:, None] * market
    shock += sectors[listings.sector]
    for item in PERSISTENT:
        if item.premium:
            shock[:, 1:] += premia * item.premium * z[item.name][:, :-1]
    _endings(shock, listings, seed)
    level = np.full_like(shock, np.nan)
    past = np.full_like(shock, np.nan)
    walk(
        shock,
        listings.traded,
        listings.first,
        listings.last,
        REVERSAL_WINDOW,
        premia * REVERSAL.premium,
        REVERSAL_BOUND,
        level,
        past,
    )
    return level, past


def _endings(shock: Floats, listings: Listings, seed: int) -> None:
    """Add what a coming end does to the price, in place; nothing of it can be seen in earlier prices.

    An offer moves the price at once and then pins it; a bankruptcy takes most of it on one session; after
    that, and before a regulatory delisting, trading is rough.
    """
    rng = stream(seed, "endings")
    gone = np.flatnonzero(listings.reason != "")
    reason = listings.reason[gone]
    taken, bankrupt, regulatory = (
        np.isin(reason, words)[:, None]
        for words in (("acquisition", "merger"), ("bankruptcy",), ("regulatory",))
    )
    ranges = np.array([(0.2, 0.5), (-0.05, 0.05), (-0.85, -0.6)])  # acquisition, merger, bankruptcy
    jumps = rng.uniform(ranges[:, :1], ranges[:, 1:], (3, len(gone)))
    jump = np.select([reason == "acquisition", reason == "merger", reason == "bankruptcy"], list(jumps))
    notice = np.where(taken[:, 0], rng.integers(20, 61, len(gone)), rng.integers(5, 21, len(gone)))[:, None]
    left = listings.last[gone, None] - np.arange(shock.shape[1])  # sessions until the last one
    noise = rng.standard_normal(left.shape)
    after = (left >= 0) & (left < notice)
    ending = shock[gone]
    ending = np.where(taken & after, PINNED_VOLATILITY * noise, ending)
    ending += np.where((bankrupt | regulatory) & after, ROUGH_VOLATILITY * noise, 0.0)
    ending += np.where(left == notice, jump[:, None], 0.0)
    shock[gone] = np.maximum(ending, -0.9)
