"""Prices of a simulated market: splits, dividends, bars and volume over the planted returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.errors import InputError
from kairos.market import sessions
from kairos.simulate.listings import Floats, Ints, Listings, draw_listings
from kairos.simulate.planted import CHARACTERISTICS, REVERSAL, REVERSAL_BOUND, SESSIONS_PER_YEAR, stream
from kairos.simulate.returns import characteristics, market_factor, sector_factors, total_return_level

if TYPE_CHECKING:
    from collections.abc import Mapping

Dates = np.ndarray[Any, np.dtype[np.datetime64]]

DECIMALS = 4  # of every price
PAYERS = 0.45  # share of securities that pay a dividend
QUARTER = 63
FEWEST = 10  # securities of a market; a rank correlation of fewer says nothing
SPLIT_CHANCE = 0.5  # that a board looks at the price in each half of the sample


@dataclass(frozen=True)
class Market:
    """A simulated market: what its vendor files are written from, and the truth behind it.

    A panel has shape (T, N), Fortran order, NaN where there is no row. A column is a security.

    Attributes
    ----------
    seed
        The seed it was drawn with.
    premia
        Factor on all planted premia.
    dates
        (T,) sessions.
    listings
        The securities: symbols, spans, exposures, reasons of delisting.
    open, high, low, close, volume
        Split-adjusted bars, USD and shares.
    closeadj, closeunadj
        Close adjusted for dividends too; close as traded.
    split_factor
        Shares today per share held on the session: close·split_factor = closeunadj.
    characteristics
        Name to panel, known after the close of the row; it earns over the session that follows.
    market_factor, sector_factors
        (T,) and (T, S) factor returns of the session.
    splits
        Columns, sessions, ratios (new shares per old) of the splits.
    dividends
        Columns, ex-sessions, split-adjusted USD per share.
    """

    seed: int
    premia: float
    dates: Dates
    listings: Listings
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    closeadj: Floats
    closeunadj: Floats
    split_factor: Floats
    characteristics: Mapping[str, Floats]
    market_factor: Floats
    sector_factors: Floats
    splits: tuple[Ints, Ints, Floats]
    dividends: tuple[Ints, Ints, Floats]

    @property
    def tickers(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        """(N,) symbols; a reused symbol occurs twice."""
        return self.listings.tickers

    def expected_premium(self) -> Floats:
        """Return of the next session that the row's characteristics let one expect, Σ_k λ_k·z_k: (T, N)."""
        bounded = {**self.characteristics}
        bounded[REVERSAL.name] = np.clip(bounded[REVERSAL.name], -REVERSAL_BOUND, REVERSAL_BOUND)
        total = np.zeros_like(self.close)
        for item in CHARACTERISTICS:
            if item.premium:
                total += self.premia * item.premium * np.nan_to_num(bounded[item.name])
        total[np.isnan(self.close)] = np.nan
        return total


def market(
    tickers: int = 500, years: int = 5, seed: int = 0, start: str = "2015-01-02", premia: float = 1.0
) -> Market:
    """Simulate a market in memory.

    Parameters
    ----------
    tickers
        Number of securities N, at least 10.
    years
        Calendar years from `start`, at least 1.
    seed
        Same seed and arguments, same market to the last bit.
    start
        First day, ISO text.
    premia
        Factor on all planted premia; 0 plants none, and everything else stays as it is.

    Raises
    ------
    InputError
        An argument is out of range, or the market would reach beyond today.

    Examples
    --------
    >>> m = market(tickers=30, years=1, seed=7)
    >>> m.close.shape, m.close.flags.f_contiguous
    ((252, 30), True)
    """
    dates = _dates(tickers, years, seed, start)
    listings = draw_listings(tickers, len(dates), seed)
    z = characteristics(tickers, len(dates), seed)
    factor, sectors = market_factor(len(dates), seed), sector_factors(len(dates), seed)
    level, z[REVERSAL.name] = total_return_level(listings, factor, sectors, z, seed, premia)

    yields, dividends = _dividends(listings, len(dates), seed)
    ex_dividend = np.cumprod(1.0 - yields, axis=1)
    raw = listings.price[:, None] * level * ex_dividend  # price as traded, had there been no split
    factors, splits = _splits(raw, listings, seed)
    closeunadj = raw / factors
    split_factor = factors[:, -1:] / factors
    close = closeunadj / split_factor
    closeadj = close * ex_dividend[:, -1:] / ex_dividend
    amounts = yields[dividends] * close[dividends[0], dividends[1] - 1]
    bars = _bars(close, listings, seed)
    volume = _volume(closeunadj, split_factor, level, listings, seed)

    def panel(history: Floats, decimals: int | None = None) -> Floats:
        shown = np.where(listings.quoted, history, np.nan)
        return (shown if decimals is None else shown.round(decimals)).T

    return Market(
        seed=seed,
        premia=premia,
        dates=dates,
        listings=listings,
        open=panel(bars[0], DECIMALS),
        high=panel(bars[1], DECIMALS),
        low=panel(bars[2], DECIMALS),
        close=panel(close, DECIMALS),
        volume=panel(volume),
        closeadj=panel(closeadj, DECIMALS),
        closeunadj=panel(closeunadj, DECIMALS),
        split_factor=panel(split_factor),
        characteristics={item.name: panel(z.pop(item.name)) for item in CHARACTERISTICS},
        market_factor=factor,
        sector_factors=sectors.T,
        splits=splits,
        dividends=(*dividends, amounts.round(6)),
    )


def _dates(tickers: int, years: int, seed: int, start: str) -> Dates:
    """Sessions of the market, after a look at the arguments."""
    if tickers < FEWEST or years < 1 or seed < 0:
        raise InputError(
            f"tickers {tickers}, years {years}, seed {seed}: at least {FEWEST}, 1 and 0 are needed."
        )
    try:
        begin = np.datetime64(start, "D")
    except ValueError as error:
        raise InputError(f"start {start!r} is not a day in the form 2015-01-02.") from error
    month = begin.astype("datetime64[M]")
    end = (month + 12 * years).astype("datetime64[D]") + (begin - month.astype("datetime64[D]")) - 1
    if end > np.datetime64("today", "D"):
        raise InputError(
            f"{years} years from {start} end on {end}, after today: choose an earlier start or fewer years."
        )
    return sessions(begin, end)


def _dividends(listings: Listings, length: int, seed: int) -> tuple[Floats, tuple[Ints, Ints]]:
    """Dividend as a fraction of the previous close, (N, T), and the columns and sessions of the payments."""
    rng = stream(seed, "dividends")
    n = len(listings.beta)
    quarterly = np.where(rng.random(n) < PAYERS, rng.uniform(0.01, 0.05, n) / 4.0, 0.0)
    ex_session = rng.integers(0, QUARTER, n)[:, None] + QUARTER * np.arange(length // QUARTER + 1)
    who, which = np.nonzero(
        (quarterly[:, None] > 0)
        & (ex_session > listings.first[:, None])
        & (ex_session <= listings.last[:, None])
    )
    when = ex_session[who, which]
    paid = listings.traded[who, when] & listings.quoted[who, when - 1]
    who, when = who[paid], when[paid]
    yields = np.zeros((n, length))
    yields[who, when] = quarterly[who]
    return yields, (who, when)


def _splits(raw: Floats, listings: Listings, seed: int) -> tuple[Floats, tuple[Ints, Ints, Floats]]:
    """Cumulative split factor, (N, T), and the splits.

    A board looks at the previous close once in each half of the sample: above 60 USD it splits 2:1 (above
    150, 3:1), below 4 USD it merges ten shares into one.
    """
    rng = stream(seed, "splits")
    n, length = raw.shape
    ratio = np.ones((n, length))
    owners = np.arange(n)
    applied = np.ones(n)
    for half in range(2):
        when = rng.integers(half * length // 2, (half + 1) * length // 2, n)
        looks = (rng.random(n) < SPLIT_CHANCE) & (when > listings.first + 5) & (when < listings.last - 5)
        looks &= listings.traded[owners, when]
        price = raw[owners, when - 1] / applied
        chosen = np.select([~looks, price > 150.0, price > 60.0, price < 4.0], [1.0, 3.0, 2.0, 0.1], 1.0)
        ratio[owners, when] *= chosen
        applied *= chosen
    who, when = (x.astype(np.int64) for x in np.nonzero(ratio != 1.0))
    return np.asarray(np.cumprod(ratio, axis=1)), (who, when, ratio[who, when])


def _bars(close: Floats, listings: Listings, seed: int) -> tuple[Floats, Floats, Floats]:
    """Open, high and low around split-adjusted closes; all equal to the close when there is no trade."""
    rng = stream(seed, "bars")
    before = np.hstack([close[:, :1], close[:, :-1]])
    before = np.where(np.isnan(before), close, before)
    noise = (listings.idiosyncratic / np.sqrt(SESSIONS_PER_YEAR))[:, None] * listings.traded
    opening = before * np.exp(0.3 * np.log(close / before) + 0.3 * noise * rng.standard_normal(close.shape))
    opening = np.where(listings.traded, opening, close)
    high = np.maximum(opening, close) * np.exp(0.4 * noise * np.abs(rng.standard_normal(close.shape)))
    low = np.minimum(opening, close) * np.exp(-0.4 * noise * np.abs(rng.standard_normal(close.shape)))
    return opening, high, np.maximum(low, 10.0**-DECIMALS)


def _volume(closeunadj: Floats, split_factor: Floats, level: Floats, listings: Listings, seed: int) -> Floats:
    """Split-adjusted shares traded: more at higher prices and on larger moves; 0 without a trade."""
    rng = stream(seed, "volume")
    move = np.abs(np.diff(np.log(level), axis=1, prepend=np.nan))
    surprise = 0.6 + 0.5 * np.nan_to_num(move) * np.sqrt(SESSIONS_PER_YEAR) / listings.idiosyncratic[:, None]
    dollars = listings.adv[:, None] * level * surprise * np.exp(0.45 * rng.standard_normal(level.shape) - 0.1)
    shares = np.maximum(np.round(dollars / closeunadj * split_factor), 1.0)
    return np.where(listings.traded, shares, 0.0)
