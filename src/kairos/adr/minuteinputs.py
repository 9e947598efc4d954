"""What the minute signal is made of for one exchange and index: its clock, the future, and betas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.adr import fairvalue
from kairos.adr.betas import known_betas
from kairos.adr.clock import Clock
from kairos.adr.desk import ADR_MIDS, BETAS, ORDINARY_UNADJUSTED
from kairos.adr.files import listed, read_betas, read_names, read_prices
from kairos.adr.minutes import fx_at, has_future, has_fx
from kairos.adr.returns import on_days
from kairos.adr.sources import LOCAL, RATE, RATE_AGE, quoted, read_future
from kairos.adr.stream import sample
from kairos.errors import InputError
from kairos.market import sessions

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument
    from kairos.adr.stream import Stream
    from kairos.market.exchange import Dates

BEFORE = np.timedelta64(60, "D")
"""How far before the first day rows of betas may count; more than `adr.betas.max_age` sessions need."""

Key = tuple[str, str]
"""An exchange and the symbol of a future."""


@dataclass(frozen=True, eq=False)
class IndexMinutes:
    """The future of an index, and its currency, at the minutes of an exchange.

    Attributes
    ----------
    clock : Clock
        The minutes.
    index, fx : (T,)
        Return of the future in its own currency, and of that currency in USD, since the reference time.
    future_then : (T,)
        Price of the future in its own currency at the reference time.
    rate_then : (T,)
        USD for one unit of the currency at the reference time.
    age : (T,)
        Seconds since the older of future and rate was known.
    """

    clock: Clock
    index: Array
    fx: Array
    future_then: Array
    rate_then: Array
    age: Array


def index_minutes(desk: Desk, future: Stream, clock: Clock) -> IndexMinutes:
    """Sample a future and its rate; a rate counts while it is at most `max_age.fx` old itself, at c, too."""
    limits = desk.settings.adr.max_age
    sampled = sample(future, clock, limits.futures)
    now, then = sampled.now.copy(), sampled.then.copy()
    rate_age = sampled.age + now[:, RATE_AGE]
    with np.errstate(invalid="ignore"):
        now[rate_age > limits.fx, RATE] = np.nan
        then[sampled.age_then + then[:, RATE_AGE] > limits.fx, RATE] = np.nan
    index = fairvalue.change(now[:, LOCAL], then[:, LOCAL])
    fx = fairvalue.change(now[:, RATE], then[:, RATE])
    return IndexMinutes(
        clock=clock,
        index=index,
        fx=fx,
        future_then=then[:, LOCAL],
        rate_then=then[:, RATE],
        age=fairvalue.oldest(sampled.age, rate_age),
    )


class Venues:
    """Clocks and futures of the exchanges and indices of some instruments; each file is read once."""

    def __init__(
        self, desk: Desk, instruments: Sequence[Instrument], first: np.datetime64, last: np.datetime64
    ):
        self.clocks: dict[str, Clock] = {}
        self._found: dict[Key, IndexMinutes] = {}
        futures: dict[str, Stream] = {}
        for one in instruments:
            if one.exchange not in self.clocks:
                self.clocks[one.exchange] = Clock.of(one, first, last)
            if one.symbol not in futures:
                futures[one.symbol] = read_future(desk, one.symbol)
            key = (one.exchange, one.symbol)
            if key not in self._found:
                self._found[key] = index_minutes(desk, futures[one.symbol], self.clocks[one.exchange])

    def of(self, one: Instrument) -> IndexMinutes:
        """The future of an instrument at the minutes of its exchange."""
        return self._found[one.exchange, one.symbol]


def with_minutes(desk: Desk, instruments: Sequence[Instrument]) -> tuple[list[Instrument], dict[str, str]]:
    """Instruments that have quotes and a future, and why the others are left out."""
    quotes = quoted(desk)
    kept, left = [], {}
    for one in instruments:
        if one.adr not in quotes:
            left[one.adr] = "no file of quotes"
        elif not has_future(desk, one.symbol):
            left[one.adr] = f"no minute bars of the future {one.symbol}"
        else:
            kept.append(one)
    return kept, left


def beta_on(desk: Desk, adrs: Sequence[str], clocks: Mapping[str, Clock]) -> dict[str, Array]:
    """Beta of each ADR as known before each day of its clock, (D,); NaN where none is recent enough.

    Parameters
    ----------
    desk
        The data directory.
    adrs
        ADRs; one that the file has no column for has no beta.
    clocks
        By ADR.
    """
    what = "the betas of the ordinaries on their indices (the step `betas` makes it)"
    path = desk.existing(BETAS, what)
    names = set(read_names(path, what=what))
    betas = read_betas(path, [adr for adr in adrs if adr in names], what=what)
    rules = desk.settings.adr.betas
    found = {}
    for adr in adrs:
        clock = clocks[adr]
        found[adr] = np.full(len(clock.days), np.nan)
        if adr in names and len(clock.days):
            days = sessions(clock.days[0] - BEFORE, clock.days[-1], clock.exchange)
            known = known_betas(
                betas.column(adr), betas.dates, days, after=rules.known == "after", max_age=rules.max_age
            )
            found[adr] = known[np.searchsorted(days, clock.days)]
    return found


def mids_given(desk: Desk, adr: str, days: Dates) -> Array:
    """Mids of an ADR at the reference times in the file of the user, (D,); NaN where it has none.

    A file that the step `convert` made has what the quotes say, and is not looked at; nor is any where the
    anchor is another one than the mid at c.
    """
    what = "mids of the ADRs at their ordinaries' closes"
    path = desk.path(ADR_MIDS)
    asked = desk.settings.adr.signal.anchor == "mid_at_c" and len(days)
    if not asked or not desk.is_users(ADR_MIDS) or adr not in read_names(path, what=what):
        return np.full(len(days), np.nan)
    return on_days(read_prices(path, [adr], what=what), days)[:, 0]


def parity(desk: Desk, one: Instrument, venue: IndexMinutes) -> Array:
    """USD value at the reference time of the ordinaries in one ADR, (T,): close·unit·sh_per_adr·rate.

    NaN without the file of unadjusted closes, its column or its price, or without a rate at that time.
    """
    clock = venue.clock
    of_future = has_rate_of_future(desk, one)
    rate = venue.rate_then if of_future else rate_at_close(desk, one, clock)[clock.day]
    return ordinaries_in_one(desk, one, clock.days)[clock.day] * rate


def ordinaries_in_one(desk: Desk, one: Instrument, days: Dates) -> Array:
    """Value of the ordinaries in one ADR at their closes in their own currency, (D,); NaN where not known."""
    path = desk.path(ORDINARY_UNADJUSTED)
    what = "unadjusted closes of the ordinaries"
    if not path.is_file() or one.ordinary not in read_names(path, what=what) or not len(days):
        return np.full(len(days), np.nan)
    closes = on_days(read_prices(path, [one.ordinary], what=what), days)[:, 0]
    return closes * one.unit * one.sh_per_adr


def has_rate_of_future(desk: Desk, one: Instrument) -> bool:
    """Whether an ordinary's rate is that of its future's bars, for want of a file of its own."""
    return one.currency == one.index_currency and not has_fx(desk, one.currency)


def rate_at_close(desk: Desk, one: Instrument, clock: Clock) -> Array:
    """USD for one unit of an ordinary's currency at each reference time, (D,); NaN without its file."""
    if has_fx(desk, one.currency):
        return fx_at(desk, one.currency, clock.reference)
    return np.full(len(clock.days), np.nan)


def refuse_without_minutes(kept: Sequence[Instrument], left: Mapping[str, str]) -> None:
    """Refuse a desk on which no ADR has both quotes and a future.

    Raises
    ------
    InputError
        Naming a few of them with the reason.
    """
    if not kept:
        reasons = [f"{adr}: {reason}" for adr, reason in left.items()]
        raise InputError(f"no ADR has minutes: {listed(reasons, 3)}")
