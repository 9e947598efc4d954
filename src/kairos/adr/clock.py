"""The minutes of the signal: after the close of a foreign exchange, until New York closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.adr.minutes import MINUTE, new_york_clock
from kairos.market import close_times, reference_times, sessions

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.adr.instruments import Instrument
    from kairos.adr.minutes import Instants
    from kairos.market.exchange import Dates

NEVER = np.datetime64("NaT", "ns")


@dataclass(frozen=True, eq=False)
class Clock:
    """The signal minutes of one exchange.

    Attributes
    ----------
    exchange
        Market code.
    days : (D,) datetime64[D]
        Sessions of the exchange on which New York holds one, too, and closes later.
    reference, close : (D,) datetime64[ns]
        c of each day, and New York's close, UTC.
    times : (T,) datetime64[ns]
        From the first whole minute after c to New York's close, inclusive; day after day.
    day : (T,)
        Position of each minute's day.
    """

    exchange: str
    days: Dates
    reference: Instants
    close: Instants
    times: Instants
    day: npt.NDArray[np.intp]

    @classmethod
    def of(cls, one: Instrument, first: np.datetime64, last: np.datetime64) -> Clock:
        """Minutes of an instrument's exchange on the days from `first` to `last`.

        Examples
        --------
        London's auction is over at 11:36 in New York, and at 12:36 while only New York has changed its clock:

        >>> from types import SimpleNamespace
        >>> london = SimpleNamespace(exchange="XLON", close_offset=360, close_offset_early=None)
        >>> clock = Clock.of(london, np.datetime64("2024-03-08"), np.datetime64("2024-03-11"))
        >>> clock.times[[0, -1]].astype("datetime64[m]").astype(str).tolist()
        ['2024-03-08T16:37', '2024-03-11T20:00']
        >>> new_york_clock(clock.times[clock.day == 1][:1]).astype("datetime64[m]").astype(str).tolist()
        ['2024-03-11T12:37']
        """
        days = np.intersect1d(sessions(first, last, one.exchange), sessions(first, last))
        reference = reference_times(one.exchange, days, one.close_offset, one.close_offset_early)
        close = close_times("XNYS", days)
        before = reference < close
        days, reference, close = days[before], reference[before], close[before]
        start = reference.astype("datetime64[m]") + MINUTE  # the whole minute strictly after c
        length = (close.astype("datetime64[m]") - start) // MINUTE + 1
        day = np.repeat(np.arange(len(days)), length)
        step = np.arange(len(day)) - np.repeat(np.cumsum(length) - length, length)
        times = (start[day] + step * MINUTE).astype("datetime64[ns]")
        return cls(one.exchange, days, reference, close, times, day)

    def part(self, chosen: npt.NDArray[np.bool_]) -> tuple[Clock, npt.NDArray[np.intp]]:
        """The minutes of some days, (D,) bool, and their positions."""
        rows = np.flatnonzero(chosen[self.day])
        number = np.cumsum(chosen) - 1
        part = Clock(
            self.exchange,
            self.days[chosen],
            self.reference[chosen],
            self.close[chosen],
            self.times[rows],
            number[self.day[rows]],
        )
        return part, rows

    def in_new_york(self) -> Clock:
        """The same with naive times of New York's clock."""
        reference, close, times = (new_york_clock(each) for each in (self.reference, self.close, self.times))
        return Clock(self.exchange, self.days, reference, close, times, self.day)

    @property
    def first_rows(self) -> npt.NDArray[np.intp]:
        """Position of the first minute of each day, and one past the last of all; (D + 1,)."""
        return np.searchsorted(self.day, np.arange(len(self.days) + 1))

    @property
    def months(self) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """Calendar month of each day, (D,)."""
        return self.days.astype("datetime64[M]")
