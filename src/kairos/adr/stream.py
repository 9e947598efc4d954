"""A source of minute prices as a trading desk sees it: when each price was known, and when it arrived.

A bar that is stamped by the start of its minute is known a minute after its stamp, one stamped by the end at
its stamp. It arrives then or later. What a desk may use at a time t is the price that was known last among
those that had arrived by t; a price that arrives late corrects what comes after it, never what came before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from kairos.adr.minutes import MINUTE

if TYPE_CHECKING:
    from kairos.adr.clock import Clock
    from kairos.adr.files import Array
    from kairos.adr.minutes import Instants

Rows = npt.NDArray[np.intp]
Seconds = np.ndarray[Any, np.dtype[np.float64]]

SECOND = np.timedelta64(1, "s")
NO_TIME = np.timedelta64(0, "m")


@dataclass(frozen=True, eq=False)
class Stream:
    """Prices of one source.

    Attributes
    ----------
    known : (B,) datetime64[ns]
        When each price was known, strictly increasing.
    arrived : (B,) datetime64[ns] or None
        When the desk had it, not before it was known; None when everything arrived at once.
    values : (B, K) float64
        Prices and what comes with them, none missing.
    """

    known: Instants
    arrived: Instants | None
    values: Array

    @classmethod
    def of(
        cls,
        stamps: Instants,
        values: Array,
        label: Literal["start", "end"],
        received: Instants | None = None,
    ) -> Stream:
        """Make a stream of bars by their labels; a bar can't arrive before it is known.

        Parameters
        ----------
        stamps : (B,) datetime64[ns]
            Labels, strictly increasing.
        values : (B, K)
            Their prices.
        label : {"start", "end"}
            What a label stands for.
        received : (B,) datetime64[ns], optional
            When each bar came in; NaT means on time.
        """
        delay = MINUTE if label == "start" else NO_TIME
        known: Instants = (stamps.astype("datetime64[ns]") + delay).astype("datetime64[ns]")
        if received is None or not (received > known).any():
            return cls(known, None, values)
        return cls(known, np.where(received > known, received, known), values)

    def newest(self, times: Instants) -> Rows:
        """Row of the price known last among those that had arrived at each time; −1 when there is none.

        Parameters
        ----------
        times : (T,) datetime64[ns]
            NaT gives −1.
        """
        if self.arrived is None:
            found = np.searchsorted(self.known, times, side="right") - 1
        else:
            order = np.argsort(self.arrived, kind="stable")
            best = np.append(np.maximum.accumulate(order), -1)  # the last place serves those before the first
            found = best[np.searchsorted(self.arrived[order], times, side="right") - 1]
        return np.where(np.isnat(times), -1, found)

    def anchor(self, clock: Clock, back: np.timedelta64 = NO_TIME) -> Rows:
        """Row of the price at the reference time of each minute's day, as far as it had arrived; −1 for none.

        Parameters
        ----------
        clock : Clock
            Minutes and the reference times of their days.
        back : timedelta64
            How long before the reference time to look.
        """
        at = clock.reference - back
        if self.arrived is None:
            return self.newest(at)[clock.day]
        following = np.minimum(np.searchsorted(clock.close, self.known), len(clock.close) - 1)
        later = (self.known > at[following]) & (self.known <= clock.close[following])
        kept = np.flatnonzero(~later)
        before = Stream(self.known[kept], self.arrived[kept], self.values[kept])
        found = before.newest(clock.times)
        return np.where(found >= 0, kept[found] if len(kept) else -1, -1)

    def age(self, rows: Rows, times: Instants) -> Seconds:
        """Seconds from when a price was known to a time, (T,); NaN without a price."""
        found = rows >= 0
        seconds = np.full(len(rows), np.nan)
        seconds[found] = (times[found] - self.known[rows[found]]) / SECOND
        return seconds

    def take(self, rows: Rows, age: Seconds, max_age: float) -> Array:
        """Values of rows, (T, K); NaN without a row, and where the price is older than `max_age` seconds."""
        with np.errstate(invalid="ignore"):
            fresh = age <= max_age
        found = np.full((len(rows), self.values.shape[1]), np.nan)
        found[fresh] = self.values[rows[fresh]]
        return found


@dataclass(frozen=True, eq=False)
class Sampled:
    """A source at the minutes of a clock.

    Attributes
    ----------
    now : (T, K)
        Values at each minute; NaN where there is none that is recent enough.
    then : (T, K)
        Values at the reference time of the minute's day.
    age : (T,)
        Seconds since the value of each minute was known; NaN where `now` is.
    age_then : (T,)
        Seconds from when the value at the reference time was known to that time; NaN without a value.
    """

    now: Array
    then: Array
    age: Seconds
    age_then: Seconds


def sample(stream: Stream, clock: Clock, max_age: float) -> Sampled:
    """Sample a source at every minute of a clock and at its reference times."""
    rows, anchors = stream.newest(clock.times), stream.anchor(clock)
    age = stream.age(rows, clock.times)
    age_then = stream.age(anchors, clock.reference[clock.day])
    then, now = stream.take(anchors, age_then, max_age), stream.take(rows, age, max_age)
    return Sampled(now, then, np.where(np.isnan(now[:, 0]), np.nan, age), age_then)


def median_then(stream: Stream, clock: Clock, max_age: float, minutes: int = 5) -> Array:
    """Median of the values at the reference time and at the minutes before it, (T, K)."""
    found = []
    for minute in range(minutes):
        back = minute * MINUTE
        rows = stream.anchor(clock, back)
        age = stream.age(rows, (clock.reference - back)[clock.day])
        found.append(stream.take(rows, age, max_age))
    return median(np.stack(found))


def median(values: Array) -> Array:
    """Median over the first axis of what is not missing; NaN where everything is."""
    ordered = np.sort(values, axis=0)  # missing values come last
    count = (~np.isnan(values)).sum(axis=0)
    middle = [np.maximum(count - 1, 0) // 2, count // 2]
    low, high = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in middle)
    high = np.where(count % 2 == 1, low, high)
    return np.where(count > 0, (low + high) / 2.0, np.nan)
