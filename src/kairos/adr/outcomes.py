"""What happens after a signal: the returns of an ADR from a minute after it, as they can be traded.

For the signal of the minute t the trade is at the quote of t + 1 min: at the ask to buy, at the bid to sell.
mid(t) is a part of the signal, and trading at it would count the quote's noise as profit. A position ends

* at New York's close, at the quote of that minute, on the side that closes it;
* at the next open of the ordinary, valued at open · rate · ordinaries in one ADR.

A quote that is too wide or too old is no price, and the observation is left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.adr.clock import Clock
from kairos.adr.desk import ORDINARY_CLOSES, ORDINARY_OPENS, ORDINARY_UNADJUSTED
from kairos.adr.files import Prices, listed, read_names, read_prices
from kairos.adr.minutes import MINUTE, fx_at, fx_name, has_fx, new_york_clock
from kairos.adr.returns import on_days
from kairos.adr.sources import ASK, BID, MID, fund_files, read_quotes, read_us
from kairos.market import early_closes, next_session, open_times

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument
    from kairos.adr.minutes import Instants
    from kairos.adr.stream import Stream

SAME_FACTOR = 2e-4
"""A change of adjusted over unadjusted closes that is no ex-date: they carry rounding."""

OK, WIDE, OLD, NONE = "", "wide", "old", "no quote"


@dataclass(frozen=True, eq=False)
class Entries:
    """Moments at which the signal of one ADR is taken: every entry time of every day.

    Attributes
    ----------
    day : (K,) datetime64[D]
        Day of each entry.
    entry : (K,)
        Time of day in New York, "13:00".
    time, close : (K,) datetime64[ns]
        The minute of the signal and New York's close, UTC.
    """

    day: np.ndarray
    entry: np.ndarray
    time: Instants
    close: Instants


@dataclass(frozen=True, eq=False)
class Traded:
    """What one ADR did after each entry, (K,) each; NaN where it can't be traded.

    Attributes
    ----------
    mid_close, long_close, short_close
        Return to New York's close: from mid to mid; bought at the ask and sold at the bid; sold at the bid
        and bought back at the ask. All are returns of the ADR: what a short position loses.
    mid_open, long_open, short_open
        The same to the value of the next open of the ordinary.
    fund
        Return of the market's fund from the same minute to New York's close.
    state
        Why there is no return to the close: "", "wide", "old" or "no quote".
    early
        New York or the exchange closed early that day.
    ex_date
        The ordinary goes ex dividend or splits at its next session. There is no return to its open then, nor
        where that is not known.
    """

    mid_close: Array
    long_close: Array
    short_close: Array
    mid_open: Array
    long_open: Array
    short_open: Array
    fund: Array
    state: np.ndarray
    early: np.ndarray
    ex_date: np.ndarray


def entries_of(clock: Clock, times: Sequence[str]) -> Entries:
    """Entry times of each day after the reference time, with time to trade before New York closes."""
    offsets = np.array([np.timedelta64(60 * int(t[:2]) + int(t[3:]), "m") for t in times])
    shift = clock.close - new_york_clock(clock.close)  # New York trades on one side of a change of its clock
    midnight = clock.days.astype("datetime64[ns]") + shift
    moment = (midnight[:, None] + offsets).astype("datetime64[ns]")
    good = (moment > clock.reference[:, None]) & (moment + MINUTE < clock.close[:, None])
    day, entry = np.nonzero(good)
    return Entries(clock.days[day], np.array(times)[entry], moment[good], clock.close[day])


def traded(desk: Desk, one: Instrument, entries: Entries) -> Traded:
    """Returns of one ADR after each entry.

    Parameters
    ----------
    desk
        The data directory; quotes, and where they exist the fund's bars, the unadjusted opens and closes of
        the ordinaries, and the rates.
    one
        The ADR.
    entries
        When.
    """
    stream = read_quotes(desk, one.adr).stream
    into, entered = _quotes(desk, stream, entries.time + MINUTE)
    out, left = _quotes(desk, stream, entries.close)
    value, ex_date = _next_open(desk, one, entries)
    nothing = np.isnan(into[:, MID]) | np.isnan(out[:, MID])
    state = np.where(entered != OK, entered, left)
    return Traded(
        mid_close=out[:, MID] / into[:, MID] - 1.0,
        long_close=out[:, BID] / into[:, ASK] - 1.0,
        short_close=out[:, ASK] / into[:, BID] - 1.0,
        mid_open=value / into[:, MID] - 1.0,
        long_open=value / into[:, ASK] - 1.0,
        short_open=value / into[:, BID] - 1.0,
        fund=_fund(desk, one, entries),
        state=np.where(nothing, state, OK),
        early=early_closes("XNYS", entries.day) | early_closes(one.exchange, entries.day),
        ex_date=ex_date,
    )


def by_side(forecast: Array, long: Array, short: Array) -> Array:
    """Return of the ADR on the side that a forecast takes: bought when it is positive, else sold."""
    return np.where(np.isnan(forecast), np.nan, np.where(forecast > 0.0, long, short))


def _quotes(desk: Desk, stream: Stream, times: Instants) -> tuple[Array, np.ndarray]:
    """Quotes at times, (K, 3), NaN where they are none to trade at, and why."""
    rules = desk.settings.adr.signal_evaluation
    rows = stream.newest(times)
    age = stream.age(rows, times)
    found = stream.take(rows, age, np.inf)
    with np.errstate(invalid="ignore"):
        wide = (found[:, ASK] - found[:, BID]) / found[:, MID] > rules.max_spread
    state = np.select([np.isnan(age), age > rules.max_age, wide], [NONE, OLD, WIDE], OK)
    found[state != OK] = np.nan
    return found, state


def _fund(desk: Desk, one: Instrument, entries: Entries) -> Array:
    """Return of the market's fund from the minute of the trade to the close; NaN without its bars."""
    path = fund_files(desk).get(one.hedge)
    if path is None:
        return np.full(len(entries.time), np.nan)
    stream, max_age = read_us(desk, path), desk.settings.adr.max_age.us
    prices = []
    for times in (entries.time + MINUTE, entries.close):
        local = new_york_clock(times)
        rows = stream.newest(local)
        prices.append(stream.take(rows, stream.age(rows, local), max_age)[:, 0])
    return prices[1] / prices[0] - 1.0


def _next_open(desk: Desk, one: Instrument, entries: Entries) -> tuple[Array, np.ndarray]:
    """USD value of the ordinaries in one ADR at their next open, and whether it is an ex-date, (K,).

    The value is missing on an ex-date, and where nobody knows whether it is one.
    """
    missing = np.full(len(entries.day), np.nan), np.zeros(len(entries.day), dtype=np.bool_)
    opens = _column(desk, ORDINARY_OPENS, one.ordinary)
    if opens is None or not len(entries.day) or not has_fx(desk, one.currency):
        return missing
    days, back = np.unique(entries.day, return_inverse=True)
    following = next_session(days, one.exchange)
    rate = fx_at(desk, one.currency, open_times(one.exchange, following))
    value = on_days(opens, following)[:, 0] * one.unit * one.sh_per_adr * rate
    change = _factor_change(desk, one, days, following)
    with np.errstate(invalid="ignore"):
        ex_date, plain = change > SAME_FACTOR, change <= SAME_FACTOR
    return np.where(plain, value, np.nan)[back], ex_date[back]


def _factor_change(desk: Desk, one: Instrument, days: np.ndarray, following: np.ndarray) -> Array:
    """How much adjusted over unadjusted closes change from a day to the next; NaN where it is not known."""
    adjusted, plain = (_column(desk, name, one.ordinary) for name in (ORDINARY_CLOSES, ORDINARY_UNADJUSTED))
    if adjusted is None or plain is None:
        return np.full(len(days), np.nan)
    before, after = (on_days(adjusted, d)[:, 0] / on_days(plain, d)[:, 0] for d in (days, following))
    return np.abs(after / before - 1.0)


def lacking_for_open(desk: Desk, instruments: Sequence[Instrument]) -> list[str]:
    """What the returns to the next open need and don't have: files, columns of them, and for whom."""
    found = []
    ordinaries = {one.ordinary for one in instruments}
    for name, of in (
        (ORDINARY_OPENS, "the opens"),
        (ORDINARY_UNADJUSTED, "ex-dates are unknown without unadjusted closes"),
    ):
        path = desk.path(name)
        if not path.is_file():
            found.append(f"{name} is missing ({of})")
        elif absent := sorted(ordinaries - set(read_names(path, what=of))):
            found.append(f"{name} has no column {listed(absent)} ({of})")
    currencies = sorted({one.currency for one in instruments if not has_fx(desk, one.currency)})
    return [*found, *(f"{fx_name(currency)} is missing (the rate at the open)" for currency in currencies)]


def _column(desk: Desk, name: str, ordinary: str) -> Prices | None:
    """Prices of one ordinary; None without the file or its column."""
    path = desk.path(name)
    what = "prices of the ordinaries"
    if not path.is_file() or ordinary not in read_names(path, what=what):
        return None
    return read_prices(path, [ordinary], what=what)
