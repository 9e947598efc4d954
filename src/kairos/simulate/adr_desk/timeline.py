"""When a simulated desk is looked at: the instants of its daily data, and the market clock between them.

All times are UTC, in whole minutes. The daily world is drawn at few instants a day: the opening in Europe and
in New York, the close of each index, the reference time c of each exchange, New York's close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kairos.errors import InputError
from kairos.market import sessions
from kairos.market.auction import close_times, reference_times
from kairos.market.index import index_close_times
from kairos.simulate.adr_desk.planted import Planted
from kairos.simulate.adr_desk.venues import AUCTION_MINUTES
from kairos.simulate.listings import Bools, Floats, Ints

Dates = np.ndarray[Any, np.dtype[np.datetime64]]
Times = np.ndarray[Any, np.dtype[np.datetime64]]

NEW_YORK, LONDON = "America/New_York", "Europe/London"
MINUTE = np.timedelta64(1, "m")

# Share of a working day's variance between 07:00 and 21:00 UTC; a day of the weekend has little of it.
BUSY_HOURS, BUSY_SHARE, WEEKEND_DAY = (7, 21), 0.7, 0.05


@dataclass(frozen=True)
class Moments:
    """One instant on each of some days.

    Attributes
    ----------
    days
        (T,) days, increasing.
    at
        (T,) positions in `Timeline.instants`.
    """

    days: Dates
    at: Ints


@dataclass(frozen=True)
class Timeline:
    """The instants of a desk.

    Attributes
    ----------
    instants
        (I,) increasing, datetime64[m], UTC.
    clock
        (I,) τ of the instants in days.
    planned
        Last day on which anything is planted; what comes later is future.
    references
        c of each exchange, by market code.
    index_closes
        Closes of each index, by index.
    europe_opens
        08:00 in London, when all of these exchanges open.
    us_opens, us_closes
        The first minute of each US session has traded, and it ends.
    us_row
        (I,) row in `us_closes` of the US session that an instant is in, −1 outside.
    """

    instants: Times
    clock: Floats
    planned: np.datetime64
    references: dict[str, Moments]
    index_closes: dict[str, Moments]
    europe_opens: Moments
    us_opens: Moments
    us_closes: Moments
    us_row: Ints

    @property
    def days(self) -> Dates:
        """Day of each instant, (I,)."""
        return self.instants.astype("datetime64[D]")

    @property
    def ordinary_days(self) -> Dates:
        """Days on which at least one exchange of the ordinaries is open: the rows of their files."""
        return np.unique(np.concatenate([moments.days for moments in self.references.values()]))


def draw_timeline(planted: Planted, start: str, months: int, future_months: int) -> Timeline:
    """Collect the instants of `months` + `future_months` calendar months from a day on."""
    first, planned, last = _span(start, months, future_months)
    found: dict[str, tuple[Dates, Times]] = {}
    for exchange in planted.exchanges:
        days = sessions(first, last, exchange)
        found[exchange] = (days, reference_times(exchange, days, 60 * AUCTION_MINUTES[exchange]))
    europe = np.unique(np.concatenate([days for days, _ in found.values()]))
    for contract in planted.contracts:
        closes = index_close_times(contract.index, europe)
        found[contract.index] = (europe[~np.isnat(closes)], closes[~np.isnat(closes)])
    us = sessions(first, last)
    found["Europe opens"] = (europe, utc(europe, 8 * 60, LONDON))
    found["US opens"] = (us, utc(us, 9 * 60 + 31, NEW_YORK))
    found["US closes"] = (us, close_times("XNYS", us))

    instants = np.unique(np.concatenate([times for _, times in found.values()]).astype("datetime64[m]"))

    def moments(name: str) -> Moments:
        days, times = found[name]
        return Moments(days, np.searchsorted(instants, times.astype("datetime64[m]")))

    us_opens, us_closes = moments("US opens"), moments("US closes")
    row = np.searchsorted(us_opens.at, np.arange(len(instants)), side="right") - 1
    row = np.where((row >= 0) & (np.arange(len(instants)) <= us_closes.at[row]), row, -1)
    return Timeline(
        instants=instants,
        clock=clock(instants),
        planned=planned,
        references={exchange: moments(exchange) for exchange in planted.exchanges},
        index_closes={contract.index: moments(contract.index) for contract in planted.contracts},
        europe_opens=moments("Europe opens"),
        us_opens=us_opens,
        us_closes=us_closes,
        us_row=row,
    )


def clock(times: Times) -> Floats:
    """Market clock τ in days: the variance that prices have gathered since 1970, for a deviation of 1 a day.

    It runs through 70 % of a working day between 07:00 and 21:00 UTC, and through 5 % of a day on each day of
    a weekend. It never stands still, so that prices move overnight too.
    """
    day = times.astype("datetime64[D]")
    number = day.astype(np.int64)
    weekday = (number + 3) % 7  # 0 is Monday, as on 1969-12-29
    weekend = weekday >= 5
    weeks = (number + 3) // 7
    before = weeks * (5.0 + 2.0 * WEEKEND_DAY) + np.minimum(weekday, 5)
    before += WEEKEND_DAY * np.maximum(weekday - 5, 0)
    hours = (times - day).astype("timedelta64[m]").astype(np.float64) / 60.0
    begin, end = BUSY_HOURS
    quiet = (1.0 - BUSY_SHARE) / (24 - end + begin)  # an hour
    share = np.interp(hours, [0.0, begin, end, 24.0], [0.0, quiet * begin, quiet * begin + BUSY_SHARE, 1.0])
    return np.asarray(before + np.where(weekend, WEEKEND_DAY * hours / 24.0, share))


def utc(days: Dates, minute: int, zone: str) -> Times:
    """UTC of a minute of the day in a zone, on each day: datetime64[m]."""
    index = pd.DatetimeIndex(days.astype("datetime64[s]")) + pd.Timedelta(minutes=minute)
    return np.asarray(index.tz_localize(zone).tz_convert(None).to_numpy().astype("datetime64[m]"))


def local_times(times: Times, zone: str) -> Times:
    """Local times of UTC times, datetime64[m] without a zone."""
    index = pd.DatetimeIndex(times.astype("datetime64[s]"), tz="UTC")
    return np.asarray(index.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[m]"))


def within(days: Dates, first: Dates, last: Dates) -> Bools:
    """Which days lie in each span, both ends included: (T, N)."""
    return np.asarray((days[:, None] >= first) & (days[:, None] <= last))


def _span(start: str, months: int, future_months: int) -> tuple[np.datetime64, np.datetime64, np.datetime64]:
    """First day, last planned day, last day."""
    if months < 1 or future_months < 0:
        raise InputError(f"months {months}, future_months {future_months}: at least 1 and 0 are needed.")
    try:
        first = np.datetime64(start, "D")
    except ValueError as error:
        raise InputError(f"start {start!r} is not a day in the form 2024-01-02.") from error
    month = first.astype("datetime64[M]")

    def last_day(count: int) -> np.datetime64:
        return np.datetime64((month + count).astype("datetime64[D]") - 1)

    return first, last_day(months), last_day(months + future_months)
