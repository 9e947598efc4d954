"""The daily prices of a simulated desk, as its files have them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kairos.simulate.adr_desk.events import Events, draw_events
from kairos.simulate.adr_desk.planted import Pair, Planted
from kairos.simulate.adr_desk.timeline import MINUTE, Dates, Timeline, draw_timeline, within
from kairos.simulate.adr_desk.venues import CONTRACTS, CURRENCIES
from kairos.simulate.adr_desk.world import (
    Factors,
    Source,
    draw_factors,
    fair_level,
    own_deviation,
    stock_level,
)
from kairos.simulate.planted import stream

if TYPE_CHECKING:
    from kairos.simulate.adr_desk.timeline import Moments
    from kairos.simulate.listings import Bools, Floats, Ints

SILENT = 0.006  # chance that a US stock has not traded since the instant before
HALTED_DAY = 0.0005  # chance that it does not trade on a day
MAX_AGE = np.timedelta64(60, "m")  # of a US price at an instant
DECIMALS = 4  # of prices as traded
FX_DECIMALS, FUTURE_DECIMALS, INDEX_DECIMALS = 6, 1, 2
BASIS = 1.003  # future over index
SESSION_MINUTES = 390

Daily = tuple["Dates", "Floats"]
"""Days (T,) and values (T,) or (T, N); NaN = missing."""


@dataclass(frozen=True)
class SimulatedDesk:
    """A desk with a planted truth, at the instants of its timeline.

    Prices are given as the files have them: rounded as traded, then adjusted. Every method returns days and
    values; a value of a day is known from the exchange's reference time of that day on.

    Attributes
    ----------
    planted
        The parameters, fixed before any price.
    timeline, events, factors
        Instants, what happens, and the levels behind the prices.
    us_own
        (I, N) own parts of the US stocks, logarithms.
    us_traded
        (I, N) whether a US stock traded in the minute that ends at an instant.
    us_prices
        (I, N) adjusted price at each instant: of the last instant with a trade, at most an hour old.
    own
        (I, n) η of each ordinary.
    fair
        (I, n) f of each ordinary.
    """

    planted: Planted
    timeline: Timeline
    events: Events
    factors: Factors
    us_own: Floats
    us_traded: Bools
    us_prices: Floats
    own: Floats
    fair: Floats

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The ADRs with their ordinaries."""
        return self.planted.pairs

    @property
    def us_tickers(self) -> tuple[str, ...]:
        """Columns of the US prices."""
        return self.planted.stocks.tickers

    def us_closes(self, exchange: str) -> Daily:
        """Adjusted US prices (T, N) at an exchange's c, on its sessions that are sessions of New York too.

        A row is missing where c comes before New York opens, as on a half-day.
        """
        at_c = self.timeline.references[exchange]
        both = np.isin(at_c.days, self.timeline.us_closes.days)
        return at_c.days[both], self.us_prices[at_c.at[both]]

    def ordinary_closes(self, adjusted: bool = True) -> Daily:
        """Closes of the ordinaries (T, n) on all days on which one of their exchanges is open.

        Local currency as quoted (pence in London). An ordinary is missing on its own holidays, before its
        listing and while it is halted.
        """
        return self._ordinaries(self.timeline.references, adjusted)

    def ordinary_opens(self) -> Daily:
        """Opening prices of the ordinaries, unadjusted; else as the closes."""
        opens = self.timeline.europe_opens
        held = {
            exchange: type(at_c)(at_c.days, opens.at[np.searchsorted(opens.days, at_c.days)])
            for exchange, at_c in self.timeline.references.items()
        }
        return self._ordinaries(held, adjusted=False)

    def index_closes(self, index: str) -> Daily:
        """Levels (T,) of an index at its own close."""
        at = self.timeline.index_closes[index]
        return at.days, self.index_levels(index).round(INDEX_DECIMALS)[at.at]

    def futures(self, index: str, exchange: str) -> Daily:
        """Prices (T,) of an index future at an exchange's c, on days on which the index is calculated."""
        at_c = self.timeline.references[exchange]
        held = np.isin(at_c.days, self.timeline.index_closes[index].days)
        return at_c.days[held], (BASIS * self.index_levels(index)).round(FUTURE_DECIMALS)[at_c.at[held]]

    def exchange_rates(self, currency: str, exchange: str) -> Daily:
        """USD for one unit of a currency (T,) at an exchange's c."""
        at_c = self.timeline.references[exchange]
        rates = CURRENCIES[currency].level * np.exp(self.factors.currencies[currency])
        return at_c.days, rates.round(FX_DECIMALS)[at_c.at]

    def adr_mids(self) -> Daily:
        """Mid quotes (T, n) of the ADRs at c, unadjusted USD; missing without a US session at c."""
        days = self.timeline.ordinary_days
        mids = np.full((len(days), len(self.pairs)), np.nan)
        opens = self.timeline.us_opens
        for column, pair in enumerate(self.pairs):
            at_c = self.timeline.references[pair.venue.exchange]
            row = self.timeline.us_row[at_c.at]
            minute = (self.timeline.instants[at_c.at] - self.timeline.instants[opens.at[row]]) // MINUTE + 1
            open_ = row >= 0
            open_ &= self.quoted_days(column)[row]
            delta = mispricing(self.planted.seed, pair, len(opens.days))[row[open_], minute[open_]]
            fair = self.adr_fair(column, self.fair, self.factors)[at_c.at][open_]
            bid, ask = quotes(pair, fair * (1.0 + delta))
            mids[np.searchsorted(days, at_c.days[open_]), column] = (bid + ask) / 2.0
        return days, mids

    def quoted_days(self, column: int) -> Bools:
        """US sessions (S,) on which an ADR is quoted."""
        days = self.timeline.us_closes.days
        return np.asarray(
            (days >= self.events.ordinary_first[column]) & (days != self.events.unquoted[column])
        )

    def adr_fair(self, column: int, fair: Floats, factors: Factors, days: Dates | None = None) -> Floats:
        """Fair value of an ADR in USD, unadjusted: of one column of levels f (T, n) at the times of factors.

        Parameters
        ----------
        column
            Position of the ADR.
        fair, factors
            Levels, at the desk's instants or at other times.
        days
            (T,) day of each time; by default those of the instants.
        """
        pair = self.pairs[column]
        when = self.timeline.days if days is None else days
        rows, back = np.unique(when, return_inverse=True)
        adjust = self.events.adjustments.later(rows, len(self.pairs))[back, column]
        level = fair[:, column] + factors.currencies[pair.contract.currency]
        return np.asarray(pair.adr_price * np.exp(level) / adjust)

    def index_levels(self, index: str) -> Floats:
        """Level of an index at the instants, not rounded: (I,)."""
        (contract,) = (contract for contract in CONTRACTS.values() if contract.index == index)
        return np.asarray(contract.level * np.exp(self.factors.indices[index]))

    @cached_property
    def us_factor(self) -> Floats:
        """What adjusts the US prices of each US session, (S, N): adjusted = traded·factor."""
        return self.events.us_adjustments.later(self.timeline.us_closes.days, len(self.us_tickers))

    def _ordinaries(self, moments: dict[str, Moments], adjusted: bool) -> Daily:
        days = self.timeline.ordinary_days
        prices = np.full((len(days), len(self.pairs)), np.nan)
        events = self.events
        factor = events.adjustments.later(days, len(self.pairs))
        for column, pair in enumerate(self.pairs):
            at = moments[pair.venue.exchange]
            row = np.searchsorted(days, at.days)
            rates = self.factors.currencies
            level = self.fair[:, column] + rates[pair.contract.currency] - rates[pair.venue.iso]
            traded = (pair.price * np.exp(level[at.at]) / factor[row, column]).round(DECIMALS)
            halted = (at.days >= events.halted_from[column]) & (at.days <= events.halted_to[column])
            there = (at.days >= events.ordinary_first[column]) & ~halted
            shown = traded * factor[row, column] if adjusted else traded
            prices[row[there], column] = shown[there]
        return days, prices


def draw(planted: Planted, start: str, months: int, future_months: int) -> SimulatedDesk:
    """Draw the daily world of a desk."""
    timeline = draw_timeline(planted, start, months, future_months)
    events = draw_events(planted, timeline)
    source = Source(planted.seed, timeline.clock)
    factors = draw_factors(planted, source)
    us_own = source.motions("stocks", planted.stocks.own)
    own = source.motions("ordinaries", np.array([own_deviation(pair) for pair in planted.pairs]))
    fair = np.stack(
        [
            fair_level(planted, pair, factors, _predictors(planted, pair, factors, us_own), own[:, column])
            for column, pair in enumerate(planted.pairs)
        ],
        axis=1,
    )
    traded = _traded(planted, timeline, events)
    return SimulatedDesk(
        planted=planted,
        timeline=timeline,
        events=events,
        factors=factors,
        us_own=us_own,
        us_traded=traded,
        us_prices=_us_prices(planted, timeline, events, factors, us_own, fair, traded),
        own=own,
        fair=fair,
    )


def mispricing(seed: int, pair: Pair, sessions: int) -> Floats:
    """δ of an ADR in every minute of every US session, (S, 391): minute 0 is the open.

    ::

        δ_m = e^{−κm}·(δ_0 + σ·√(1 − e^{−2κ})·Σ_{1≤j≤m} e^{κj}·z_j),   κ = log 2 / half-life

    stationary from the open on, and independent from one session to the next.
    """
    kappa = np.log(2.0) / pair.half_life
    growth = np.exp(kappa * np.arange(SESSION_MINUTES + 1))
    z = stream(seed, f"desk mispricing {pair.adr}").standard_normal((sessions, SESSION_MINUTES + 1))
    z[:, 1:] *= np.sqrt(1.0 - np.exp(-2.0 * kappa)) * growth[1:]
    return np.asarray(pair.mispricing * np.cumsum(z, axis=1) / growth)


def quotes(pair: Pair, value: Floats) -> tuple[Floats, Floats]:
    """Bid and ask in whole cents around a value; the spread belongs to the ADR."""
    spread = 0.01 if pair.adr_price < 40.0 else 0.02 if pair.adr_price < 80.0 else 0.03
    bid = (value - spread / 2.0).round(2)
    return bid, (bid + spread).round(2)


def _predictors(planted: Planted, pair: Pair, factors: Factors, own: Floats) -> dict[int, Floats]:
    return {int(i): stock_level(planted, factors, int(i), own[:, i]) for i in pair.predictors}


def _traded(planted: Planted, timeline: Timeline, events: Events) -> Bools:
    """Whether each US stock traded in the minute that ends at each instant, (I, N)."""
    days, n = timeline.us_closes.days, len(planted.stocks.tickers)
    halted = stream(planted.seed, "desk halted days").random((len(days), n)) < HALTED_DAY
    whole_day = within(days, events.us_first, events.us_last) & ~halted
    silent = stream(planted.seed, "desk silence").random((len(timeline.instants), n)) < SILENT
    return np.asarray((timeline.us_row >= 0)[:, None] & whole_day[timeline.us_row] & ~silent)


def _us_prices(
    planted: Planted,
    timeline: Timeline,
    events: Events,
    factors: Factors,
    own: Floats,
    fair: Floats,
    traded: Bools,
) -> Floats:
    """Adjusted US prices at the instants as of the last trade, (I, N)."""
    stocks = planted.stocks
    level = factors.world[:, None] * stocks.loading
    level += factors.sectors[:, stocks.sector]
    level += own
    for column in np.flatnonzero(stocks.twin_of >= 0):
        of = int(stocks.twin_of[column])
        currency = planted.pairs[of].contract.currency
        level[:, column] = fair[:, of] + factors.currencies[currency] + own[:, column]
    factor = events.us_adjustments.later(timeline.us_closes.days, len(stocks.tickers))[timeline.us_row]
    price = (stocks.price * np.exp(level) / factor).round(DECIMALS) * factor
    last: Ints = np.where(traded, np.arange(len(timeline.instants))[:, None], -1)
    np.maximum.accumulate(last, axis=0, out=last)
    fresh = (last >= 0) & (timeline.instants[:, None] - timeline.instants[last] <= MAX_AGE)
    fresh &= (timeline.us_row >= 0)[:, None]
    return np.where(fresh, np.take_along_axis(price, np.maximum(last, 0), axis=0), np.nan)
