"""What happens to the securities of a simulated desk: listings, delistings, splits, dividends, halts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.simulate.planted import stream

if TYPE_CHECKING:
    from kairos.simulate.adr_desk.planted import Planted
    from kairos.simulate.adr_desk.timeline import Dates, Timeline
    from kairos.simulate.listings import Floats, Ints

LATE, DELISTED = 0.05, 0.05  # shares of the US stocks
LATE_BETWEEN, DELISTED_BETWEEN = (0.15, 0.60), (0.40, 0.95)  # of the planned sessions
SPLIT, PAYERS = 0.08, 0.40
SPLIT_RATIOS = (2.0, 3.0, 4.0, 0.1)
LAST_SPLIT = 12  # one stock splits this many sessions before the planned end, among the latest minutes
QUARTER, HALF_YEAR = 63, 126
STOCK_YIELD, ORDINARY_YIELD = (0.002, 0.010), (0.010, 0.025)  # of one dividend
FEWEST_SESSIONS = 60  # a shorter desk has no late listing and no delisting
LATE_ORDINARY, HALTED_ORDINARY = 5, 2  # position of the ADR, in desks that have so many
HALT_SESSIONS = 5
DIVIDE, MULTIPLY = 1, 2


@dataclass(frozen=True)
class Adjustments:
    """Price adjustments, one per row, sorted by security and ex-date.

    Attributes
    ----------
    column
        Security.
    date
        Ex-date: prices strictly before it are adjusted.
    factor, operator
        As the file has them: 1 divides by the factor, 2 multiplies with it.
    """

    column: Ints
    date: Dates
    factor: Floats
    operator: Ints

    def later(self, days: Dates, width: int) -> Floats:
        """Product of what adjusts the prices of each day, the ex-dates after it: (T, width)."""
        effect = np.where(self.operator == DIVIDE, 1.0 / self.factor, self.factor)
        steps = np.ones((len(days) + 1, width))
        np.multiply.at(steps, (np.searchsorted(days, self.date), self.column), effect)
        return np.asarray(np.cumprod(steps[::-1], axis=0)[::-1][1:])


@dataclass(frozen=True)
class Events:
    """The events of a desk; arrays over the US stocks have shape (N,), over the ADRs (n,).

    Attributes
    ----------
    us_first, us_last
        First and last day of each US stock.
    us_adjustments, adjustments
        Of the US stocks, and of the ordinaries with their ADRs.
    ordinary_first
        First day of each ordinary.
    halted_from, halted_to
        Days on which an ordinary is halted, NaT where it never is.
    unquoted
        A day on which an ADR has no quote, NaT where there is none.
    """

    us_first: Dates
    us_last: Dates
    us_adjustments: Adjustments
    adjustments: Adjustments
    ordinary_first: Dates
    halted_from: Dates
    halted_to: Dates
    unquoted: Dates


def draw_events(planted: Planted, timeline: Timeline) -> Events:
    """Draw the events, all of them on planned days: the future that may follow has none."""
    rng = stream(planted.seed, "desk events")
    us = timeline.us_closes.days[timeline.us_closes.days <= timeline.planned]
    first, last = _spans(planted, us, rng)
    ordinary_first, halted_from, halted_to, unquoted = _ordinaries(planted, timeline, us, rng)
    return Events(
        us_first=first,
        us_last=last,
        us_adjustments=_us_adjustments(planted, us, first, last, rng),
        adjustments=_ordinary_adjustments(planted, timeline, rng),
        ordinary_first=ordinary_first,
        halted_from=halted_from,
        halted_to=halted_to,
        unquoted=unquoted,
    )


def _spans(planted: Planted, us: Dates, rng: np.random.Generator) -> tuple[Dates, Dates]:
    """First and last day of the US stocks; predictors and twins are there from end to end."""
    n = len(planted.stocks.tickers)
    first = np.full(n, np.datetime64("1970-01-01"))
    last = np.full(n, np.datetime64("9999-12-31"))
    busy = np.concatenate([pair.predictors for pair in planted.pairs])
    free = rng.permutation(np.setdiff1d(np.flatnonzero(planted.stocks.twin_of < 0), busy))
    late, gone = max(1, round(LATE * n)), max(1, round(DELISTED * n))
    if len(us) >= FEWEST_SESSIONS:
        come, go = free[:late], free[late : late + gone]
        first[come] = us[(rng.uniform(*LATE_BETWEEN, len(come)) * len(us)).astype(np.int64)]
        last[go] = us[(rng.uniform(*DELISTED_BETWEEN, len(go)) * len(us)).astype(np.int64)]
    return first, last


def _us_adjustments(
    planted: Planted, us: Dates, first: Dates, last: Dates, rng: np.random.Generator
) -> Adjustments:
    """Splits, and dividends once a quarter, on days on which the stock is listed."""
    n = len(planted.stocks.tickers)
    plain = planted.stocks.twin_of < 0
    splits = np.flatnonzero(plain & (rng.random(n) < SPLIT))
    on = rng.integers(0, len(us), len(splits))
    always = np.flatnonzero(plain & (first < us[0]) & (last > us[-1]))[:1]
    splits, on = np.append(splits, always), np.append(on, np.full(len(always), max(0, len(us) - LAST_SPLIT)))
    ratio = rng.choice(SPLIT_RATIOS, len(splits), p=(0.55, 0.2, 0.1, 0.15))

    payers = np.flatnonzero(plain & (rng.random(n) < PAYERS))
    paid = rng.integers(0, QUARTER, len(payers))[:, None] + QUARTER * np.arange(len(us) // QUARTER + 1)
    which, quarter = np.nonzero(paid < len(us))
    dividend = rng.uniform(*STOCK_YIELD, len(payers))[which]

    column = np.concatenate([splits, payers[which]])
    date = us[np.concatenate([on, paid[which, quarter]])]
    factor = np.concatenate([ratio, (1.0 - dividend).round(6)])
    operator = np.repeat([DIVIDE, MULTIPLY], [len(splits), len(which)])
    held = (date > first[column]) & (date <= last[column]) & (date > us[0])
    return _sorted(column[held], date[held], factor[held], operator[held])


def _ordinary_adjustments(planted: Planted, timeline: Timeline, rng: np.random.Generator) -> Adjustments:
    """Two dividends a year of each ordinary; its ADR goes ex on the same day."""
    columns, dates, factors = [], [], []
    for position, pair in enumerate(planted.pairs):
        days = timeline.references[pair.venue.exchange].days
        days = days[days <= timeline.planned][1:]
        paid = days[int(rng.integers(0, HALF_YEAR)) :: HALF_YEAR]
        factors.append(np.full(len(paid), round(1.0 - float(rng.uniform(*ORDINARY_YIELD)), 6)))
        columns.append(np.full(len(paid), position))
        dates.append(paid)
    column = np.concatenate(columns)
    return _sorted(column, np.concatenate(dates), np.concatenate(factors), np.full(len(column), MULTIPLY))


def _ordinaries(
    planted: Planted, timeline: Timeline, us: Dates, rng: np.random.Generator
) -> tuple[Dates, Dates, Dates, Dates]:
    """First days, halts and days without a quote; in a small desk nothing happens."""
    n = len(planted.pairs)
    first = np.full(n, np.datetime64("1970-01-01"))
    halted_from, halted_to, unquoted = (np.full(n, np.datetime64("NaT", "D")) for _ in range(3))
    if len(us) < FEWEST_SESSIONS:
        return first, halted_from, halted_to, unquoted
    if n > LATE_ORDINARY:
        days = timeline.references[planted.pairs[LATE_ORDINARY].venue.exchange].days
        days = days[days <= timeline.planned]
        first[LATE_ORDINARY] = days[int(0.4 * len(days))]
    if n > HALTED_ORDINARY:
        days = timeline.references[planted.pairs[HALTED_ORDINARY].venue.exchange].days
        days = days[days <= timeline.planned]
        begin = int(rng.integers(len(days) // 3, len(days) // 2))
        halted_from[HALTED_ORDINARY], halted_to[HALTED_ORDINARY] = (
            days[begin],
            days[begin + HALT_SESSIONS - 1],
        )
    unquoted[0] = us[-int(rng.integers(2, 10))]
    return first, halted_from, halted_to, unquoted


def _sorted(column: Ints, date: Dates, factor: Floats, operator: Ints) -> Adjustments:
    order = np.lexsort((operator, date, column))
    return Adjustments(column[order], date[order], factor[order], operator[order])
