"""The live desk fed from files: the bars of a day that had arrived at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kairos.adr.live import Bar, FutureBar, LiveDesk, LiveSignal, Quote, UsBar, minute, nanoseconds
from kairos.adr.minutes import MINUTE, new_york_clock
from kairos.adr.sources import (
    ASK,
    BID,
    IN_USD,
    RATE,
    RATE_AGE,
    quoted,
    read_future,
    read_quotes,
    read_us,
    us_files,
)
from kairos.adr.stream import NO_TIME

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.live import Stamp
    from kairos.adr.stream import Stream


def live(desk: Desk, at: Stamp | None = None) -> LiveDesk:
    """Feed a desk with the bars in the files that had arrived at a moment, by default now.

    Parameters
    ----------
    desk
        The data directory.
    at : datetime64 or datetime
        Signals are given of the last whole minute at or before it: ``live(desk, at).signal(minute(at))``.

    Raises
    ------
    InputError
        New York holds no session on that day, or a file is missing or wrong.
    """
    return _fed(desk, minute(at))[0]


class Moment(NamedTuple):
    """Signals of a moment, and what is to be said of the bars.

    Attributes
    ----------
    signals
        By ADR.
    set_aside
        Bars and quotes of the day that had arrived and have no usable price.
    revised
        Bars that arrived later would have made other signals.
    """

    signals: list[LiveSignal]
    set_aside: int
    revised: bool


def moment(desk: Desk, at: Stamp | None = None) -> Moment:
    """Signals of a moment, by default now, from what had arrived; parameters and errors of :func:`live`."""
    time = minute(at)
    found, later = _fed(desk, time)
    signals, set_aside = found.signal(time), found.set_aside
    for bar in later:
        found.update(bar)
    return Moment(signals, set_aside, found.revised() > 0)


def _fed(desk: Desk, time: np.datetime64) -> tuple[LiveDesk, list[Bar]]:
    """A desk with the bars that had arrived at a minute, and those that arrived later."""
    found = LiveDesk(desk, new_york_clock(np.array([time]))[0].astype("datetime64[D]"))
    limit, later = nanoseconds(time), []
    for arrived, bar in arrivals(desk, found):
        if arrived <= limit:
            found.update(bar)
        else:
            later.append(bar)
    return found, later


def arrivals(desk: Desk, live: LiveDesk) -> list[tuple[int, Bar]]:
    """Bars of the day in the files, as far as a desk needs them, in the order in which they arrived.

    Quotes that are none are among them: the desk sets them aside and counts them.
    """
    label = desk.settings.adr.bar_label
    found: list[tuple[int, Bar]] = []
    begin = live.day.astype("datetime64[ns]")
    utc = begin + (begin - new_york_clock(begin[None])[0])  # New York's midnight, within an hour
    span = (utc - np.timedelta64(1, "h"), utc + np.timedelta64(25, "h"))
    delay = {"start": MINUTE, "end": NO_TIME}
    for symbol in live.symbols:
        stream = read_future(desk, symbol)
        rows, stamps, arrived = _part(stream, span, delay[label.futures])
        each = zip(stamps, stream.values[rows].tolist(), strict=True)
        bars = (FutureBar(symbol, s, row[IN_USD], row[RATE], row[RATE_AGE]) for s, row in each)
        found += list(zip(arrived, bars, strict=True))
    quotes, stocks = quoted(desk), us_files(desk)
    for adr in (adr for adr in live.adrs if adr in quotes):
        book = read_quotes(desk, adr)
        for stream in (book.stream, book.aside):
            rows, stamps, arrived = _part(stream, span, delay[label.adr_quotes])
            each = zip(stamps, stream.values[rows].tolist(), strict=True)
            found += list(zip(arrived, (Quote(adr, s, row[BID], row[ASK]) for s, row in each), strict=True))
    noon = begin + np.timedelta64(17, "h")
    shift = noon - new_york_clock(noon[None])[0]  # that of all hours in which New York trades
    for stock in (stock for stock in live.stocks if stock in stocks):
        stream = read_us(desk, stocks[stock])
        local = (begin, begin + np.timedelta64(24, "h"))
        rows, stamps, arrived = _part(stream, local, delay[label.us], shift)
        each = zip(stamps, stream.values[rows].tolist(), strict=True)
        found += list(zip(arrived, (UsBar(stock, s, row[0]) for s, row in each), strict=True))
    return sorted(found, key=lambda item: item[0])


def _part(
    stream: Stream,
    span: tuple[np.datetime64, np.datetime64],
    delay: np.timedelta64,
    shift: np.timedelta64 = NO_TIME,
) -> tuple[slice, np.ndarray, list[int]]:
    """Rows of a stream that were known in a span, their labels and arrivals in UTC."""
    first, last = np.searchsorted(stream.known, np.array(span))
    rows = slice(int(first), int(last))
    arrived = stream.known if stream.arrived is None else stream.arrived
    times = (arrived[rows] + shift).astype("datetime64[ns]").astype(np.int64).tolist()
    return rows, stream.known[rows] - delay + shift, times
