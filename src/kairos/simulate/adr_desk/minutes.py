"""The minutes of a simulated desk: bars and quotes that the daily prices are samples of.

A bar is stamped by the start of its minute and closes at the level one minute later; a quote stamped t holds
at t. Where a US stock did not trade at an instant, it has no bar since the instant before, so that the last
price known at the instant is the daily one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kairos.simulate.adr_desk.daily import (
    BASIS,
    DECIMALS,
    FUTURE_DECIMALS,
    FX_DECIMALS,
    SimulatedDesk,
    mispricing,
    quotes,
)
from kairos.simulate.adr_desk.timeline import LONDON, MINUTE, NEW_YORK, Times, local_times
from kairos.simulate.adr_desk.venues import CONTRACTS, CURRENCIES, Contract
from kairos.simulate.adr_desk.world import (
    Bridge,
    Factors,
    Source,
    bridge,
    draw_factors,
    fair_level,
    own_deviation,
    stock_level,
)
from kairos.simulate.planted import stream

if TYPE_CHECKING:
    from kairos.simulate.listings import Bools, Floats, Ints

MISSING_BAR = 0.03
MISSING_RATE = 0.02  # of currencies and futures
WICK = 2e-4  # by which high and low go beyond open and close
CROSS = 1e-4  # of the closing cross, stamped by the close itself
FUTURES_HOURS = (60, 21 * 60)  # minutes of the day in London

FUNDS = {"EWU": ("Z ", 34.0), "FEZ": ("VG", 49.0)}
"""US funds of a market: the future of the index that they hold, and USD on the first day."""


class Bars(NamedTuple):
    """Minute bars, one per row: stamps (UTC, the start of the minute), prices and volume."""

    label: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Ints


class Quotes(NamedTuple):
    """Quotes of an ADR, one per minute: stamps (UTC), bid, ask, and the fair value behind them."""

    stamp: Times
    bid: Floats
    ask: Floats
    fair: Floats


@dataclass(frozen=True)
class SimulatedMinutes:
    """Minutes of some months of a desk.

    Attributes
    ----------
    desk
        The daily world.
    months
        (M,) datetime64[M], the months with all their minutes.
    around, session
        Bridges over all minutes of the months, and over those of New York's sessions.
    everywhere, factors
        Factors at the times of either bridge.
    row
        US session of each of the session's times; −1 outside the sessions of the months.
    """

    desk: SimulatedDesk
    months: Times
    around: Bridge
    session: Bridge
    everywhere: Factors
    factors: Factors
    row: Ints

    @cached_property
    def traded(self) -> Ints:
        """Positions in the session's times that end a minute of trading."""
        minutes = np.flatnonzero(self.row >= 0)
        opens = self.desk.timeline.instants[self.desk.timeline.us_opens.at[self.row[minutes]]]
        return minutes[self.session.times[minutes] >= opens]

    @cached_property
    def fair(self) -> Floats:
        """Levels f of the ordinaries at the session's times, (F, n)."""
        levels = []
        for column, pair in enumerate(self.desk.pairs):
            rng = stream(self.desk.planted.seed, f"desk minutes {pair.ordinary}")
            own = self.session.draw(self.desk.own[:, column], own_deviation(pair), rng)
            stocks = {int(i): self.stock(int(i)) for i in pair.predictors}
            levels.append(fair_level(self.desk.planted, pair, self.factors, stocks, own))
        return np.stack(levels, axis=1)

    def stock(self, column: int) -> Floats:
        """Level s of a US stock at the session's times, (F,)."""
        planted, stocks = self.desk.planted, self.desk.planted.stocks
        rng = stream(planted.seed, f"desk minutes {stocks.tickers[column]}")
        own = self.session.draw(self.desk.us_own[:, column], float(stocks.own[column]), rng)
        of = int(stocks.twin_of[column])
        if of < 0:
            return stock_level(planted, self.factors, column, own)
        currency = planted.pairs[of].contract.currency
        return np.asarray(self.fair[:, of] + self.factors.currencies[currency] + own)

    def stock_bars(self, column: int) -> Bars:
        """Bars of a US stock, unadjusted USD; the last of a session is the closing cross."""
        desk = self.desk
        ticker, at = desk.us_tickers[column], self.traded
        rng = stream(desk.planted.seed, f"desk bars {ticker}")
        value = desk.planted.stocks.price[column] * np.exp(self.stock(column))
        value = value / desk.us_factor[self.row, column]
        after = self.session.left[at] + (self.session.share[at] > 0)  # the instant that ends or follows
        seldom = (self.session.share[at] > 0) & (rng.random(len(at)) < MISSING_BAR)
        shown = desk.us_traded[after, column] & ~seldom
        bars = _bars(
            self.session.times[at] - MINUTE, value[at - 1], value[at], DECIMALS, rng, typical_volume=2000
        )
        return _with_cross(_kept(bars, shown), self._last_minute[shown], rng)

    def fund_bars(self, fund: str) -> Bars:
        """Bars of a US fund of a market, USD."""
        future, price = FUNDS[fund]
        contract, at = CONTRACTS[future], self.traded
        rng = stream(self.desk.planted.seed, f"desk bars {fund}")
        factors = self.factors
        value = price * np.exp(factors.indices[contract.index] + factors.currencies[contract.currency])
        bars = _bars(
            self.session.times[at] - MINUTE, value[at - 1], value[at], DECIMALS, rng, typical_volume=9000
        )
        return _kept(bars, rng.random(len(at)) >= MISSING_BAR)

    def currency_bars(self, currency: str) -> Bars:
        """Bars of a currency in USD: minutes of the months, and outside them the one before each instant."""
        value = CURRENCIES[currency].level * np.exp(self.everywhere.currencies[currency])
        return self._around_the_clock(f"currency {currency}", value, FX_DECIMALS, self._currencies_trade)

    def future_bars(self, contract: Contract) -> Bars:
        """Bars of an index future in index points; minutes as of the currencies."""
        value = BASIS * contract.level * np.exp(self.everywhere.indices[contract.index])
        london = local_times(self.around.times - MINUTE, LONDON)
        day = london.astype("datetime64[D]")
        minute = (london - day).astype(np.int64)
        begin, end = FUTURES_HOURS
        open_ = np.isin(day, self.desk.timeline.index_closes[contract.index].days)
        open_ &= (minute >= begin) & (minute < end)
        return self._around_the_clock(f"future {contract.symbol}", value, FUTURE_DECIMALS, open_)

    def adr_quotes(self, column: int) -> Quotes:
        """Best bid and ask of an ADR in each minute of New York's sessions, unadjusted USD."""
        desk, pair, at = self.desk, self.desk.pairs[column], self.traded
        timeline = desk.timeline
        row, times = self.row[at], self.session.times[at]
        minute = (times - timeline.instants[timeline.us_opens.at[row]]) // MINUTE + 1
        delta = mispricing(desk.planted.seed, pair, len(timeline.us_opens.days))[row, minute]
        days = self.session.times.astype("datetime64[D]")
        fair = desk.adr_fair(column, self.fair, self.factors, days)[at]
        bid, ask = quotes(pair, fair * (1.0 + delta))
        rng = stream(desk.planted.seed, f"desk quotes {pair.adr}")
        at_c = timeline.instants[timeline.references[pair.venue.exchange].at]
        shown = (rng.random(len(at)) >= MISSING_BAR) | np.isin(times, at_c)
        shown &= desk.quoted_days(column)[row]
        return Quotes(times[shown], bid[shown], ask[shown], fair[shown])

    def _around_the_clock(self, name: str, value: Floats, decimals: int, open_: Bools) -> Bars:
        rng = stream(self.desk.planted.seed, f"desk bars {name}")
        times = self.around.times
        before = np.concatenate([value[:1], value[:-1]])
        before = np.where(np.diff(times, prepend=times[0]) == MINUTE, before, value)
        bars = _bars(times - MINUTE, before, value, decimals, rng, typical_volume=60)
        between = self.around.share > 0
        return _kept(bars, open_ & ~(between & (rng.random(len(times)) < MISSING_RATE)))

    @cached_property
    def _currencies_trade(self) -> Bools:
        """From Sunday 17:00 to Friday 17:00 in New York."""
        local = local_times(self.around.times - MINUTE, NEW_YORK)
        day = local.astype("datetime64[D]")
        minute = (local - day).astype(np.int64)
        weekday = (day.astype(np.int64) + 3) % 7
        evening = minute >= 17 * 60
        return np.asarray((weekday < 4) | ((weekday == 4) & ~evening) | ((weekday == 6) & evening))

    @cached_property
    def _last_minute(self) -> Bools:
        """Which of the traded minutes ends a session."""
        timeline = self.desk.timeline
        ends = timeline.instants[timeline.us_closes.at]
        return np.isin(self.session.times[self.traded], ends)


def draw_minutes(desk: SimulatedDesk, months: Times) -> SimulatedMinutes:
    """Draw the factors at the minutes of some months, datetime64[M], none for the instants alone."""
    timeline = desk.timeline
    around = bridge(timeline.instants, _minutes(months))
    opens = timeline.instants[timeline.us_opens.at] - MINUTE
    ends = timeline.instants[timeline.us_closes.at]
    row = np.searchsorted(opens, around.times, side="right") - 1
    inside = (row >= 0) & (around.times <= ends[row]) & np.isin(around.times.astype("datetime64[M]"), months)
    session = bridge(timeline.instants, around.times[inside])
    everywhere = draw_factors(desk.planted, Source(desk.planted.seed, timeline.clock, around))
    pick = np.searchsorted(around.times, session.times)
    return SimulatedMinutes(
        desk=desk,
        months=months,
        around=around,
        session=session,
        everywhere=everywhere,
        factors=Factors(
            world=everywhere.world[pick],
            sectors=everywhere.sectors[pick],
            indices={name: path[pick] for name, path in everywhere.indices.items()},
            currencies={name: path[pick] for name, path in everywhere.currencies.items()},
        ),
        row=np.where(inside, row, -1)[pick],
    )


def _minutes(months: Times) -> Times:
    """All minutes of some months."""
    starts = months.astype("datetime64[m]")
    ends = (months + 1).astype("datetime64[m]")
    return np.concatenate(
        [np.arange(a, b) for a, b in zip(starts, ends, strict=True)] or [np.empty(0, dtype="datetime64[m]")]
    )


def _bars(
    label: Times, before: Floats, after: Floats, decimals: int, rng: np.random.Generator, typical_volume: int
) -> Bars:
    """Bars from the level before a minute and the one at its end."""
    wicks = WICK * rng.random((2, len(label)))
    high = (np.maximum(before, after) * (1.0 + wicks[0])).round(decimals)
    low = (np.minimum(before, after) * (1.0 - wicks[1])).round(decimals)
    volume = (typical_volume * np.exp(0.8 * rng.standard_normal(len(label)))).astype(np.int64) + 1
    return Bars(label, before.round(decimals), high, low, after.round(decimals), volume)


def _kept(bars: Bars, shown: Bools) -> Bars:
    return Bars._make(values[shown] for values in bars)


def _with_cross(bars: Bars, last: Bools, rng: np.random.Generator) -> Bars:
    """Add the closing cross after the last bar of each session."""
    n = int(last.sum())
    price = (bars.close[last] * (1.0 + CROSS * rng.standard_normal(n))).round(DECIMALS)
    volume = 20 * bars.volume[last]
    cross = Bars(bars.label[last] + MINUTE, price, price, price, price, volume)
    order = np.argsort(np.concatenate([bars.label, cross.label]), kind="stable")
    return Bars._make(np.concatenate(both)[order] for both in zip(bars, cross, strict=True))
