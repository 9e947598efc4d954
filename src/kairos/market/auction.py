"""When an exchange's close is known: the calendar's close of each day plus the closing auction.

The reference time of a day is the close of that very day, early closes included, plus an offset until the
auction has printed. It is an instant in UTC, so weeks in which Europe and America change their clocks on
different dates are ordinary weeks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.market.exchange import calendar_of_years

if TYPE_CHECKING:
    import numpy.typing as npt

Instants = np.ndarray[Any, np.dtype[np.datetime64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@lru_cache(maxsize=32)
def _closes_of_years(exchange: str, first: int, last: int) -> tuple[Instants, Instants, Instants, Flags]:
    """Sessions of the calendar years, their opens and closes (UTC) and whether they close early."""
    calendar = calendar_of_years(exchange, first, last)
    days = calendar.sessions.to_numpy().astype("datetime64[D]")
    opens, closes = (
        times.dt.tz_convert(None).to_numpy().astype("datetime64[ns]")
        for times in (calendar.opens, calendar.closes)
    )
    early = np.isin(days, calendar.early_closes.to_numpy().astype("datetime64[D]"))
    for shared in (days, opens, closes, early):
        shared.flags.writeable = False
    return days, opens, closes, early


def _lookup(exchange: str, days: npt.ArrayLike) -> tuple[Instants, Flags]:
    """Close and early flag of each day, of the same shape; NaT and False where there is no session."""
    asked = np.asarray(days, dtype="datetime64[D]")
    closes = np.full(asked.shape, np.datetime64("NaT"), dtype="datetime64[ns]")
    early = np.zeros(asked.shape, dtype=np.bool_)
    known = asked[~np.isnat(asked)]
    if known.size:
        sessions, _, times, is_early = _closes_of_years(exchange, *_years(known))
        at = np.minimum(np.searchsorted(sessions, asked), len(sessions) - 1)
        held = sessions[at] == asked
        closes[held], early[held] = times[at[held]], is_early[at[held]]
    return closes, early


def _years(times: Instants) -> tuple[int, int]:
    """First and last calendar year of times, none missing."""
    first, last = (int(str(time)[:4]) for time in (times.min(), times.max()))
    return first, last


def close_times(exchange: str, days: npt.ArrayLike) -> Instants:
    """Close of each day's session by the exchange's calendar.

    Parameters
    ----------
    exchange
        Market code, for example XNYS, XLON.
    days
        Days of any shape; sessions or not.

    Returns
    -------
    datetime64[ns] of the same shape, UTC; NaT where the exchange held no session.

    Raises
    ------
    InputError
        The exchange is unknown, or its calendar does not reach that far.

    Examples
    --------
    An ordinary day, the half-day before Christmas, and Christmas:

    >>> days = ["2024-12-23", "2024-12-24", "2024-12-25"]
    >>> close_times("XLON", days).astype("datetime64[m]").astype(str).tolist()
    ['2024-12-23T16:30', '2024-12-24T12:30', 'NaT']
    """
    return _lookup(exchange, days)[0]


def open_times(exchange: str, days: npt.ArrayLike) -> Instants:
    """Open of each day's session by the exchange's calendar; parameters and errors as :func:`close_times`.

    Examples
    --------
    >>> opens = open_times("XLON", ["2024-03-08", "2024-03-09", "2024-04-02"])
    >>> opens.astype("datetime64[m]").astype(str).tolist()
    ['2024-03-08T08:00', 'NaT', '2024-04-02T07:00']
    """
    asked = np.asarray(days, dtype="datetime64[D]")
    found = np.full(asked.shape, np.datetime64("NaT"), dtype="datetime64[ns]")
    known = asked[~np.isnat(asked)]
    if known.size:
        held, opens, _, _ = _closes_of_years(exchange, *_years(known))
        at = np.minimum(np.searchsorted(held, asked), len(held) - 1)
        there = held[at] == asked
        found[there] = opens[at[there]]
    return found


def early_closes(exchange: str, days: npt.ArrayLike) -> Flags:
    """Whether each day is a session that closed earlier than the exchange's ordinary days then did.

    Parameters and errors are those of :func:`close_times`.

    Examples
    --------
    >>> early_closes("XLON", ["2024-12-23", "2024-12-24", "2024-12-25"]).tolist()
    [False, True, False]
    """
    return _lookup(exchange, days)[1]


def is_open(exchange: str, times: Instants) -> Flags:
    """Whether the exchange holds its regular session at each time, from the open to the close inclusive.

    Parameters
    ----------
    exchange
        Market code, for example XNYS.
    times : datetime64
        Instants in UTC, of any shape; at NaT nothing is open.

    Returns
    -------
    bool of the same shape. It is known years ahead.

    Raises
    ------
    InputError
        The exchange is unknown, or its calendar does not reach that far.

    Examples
    --------
    New York when London closes: on an ordinary day, on Christmas Eve, on Thanksgiving:

    >>> closes = reference_times("XLON", ["2024-12-23", "2024-12-24", "2024-11-28"], offset=360)
    >>> is_open("XNYS", closes).tolist()
    [True, False, False]
    """
    found = np.zeros(times.shape, dtype=np.bool_)
    known = ~np.isnat(times)
    if known.any():
        _, opens, closes, _ = _closes_of_years(exchange, *_years(times[known]))
        last = np.searchsorted(opens, times[known], side="right") - 1
        found[known] = (last >= 0) & (times[known] <= closes[last])
    return found


def reference_times(
    exchange: str, days: npt.ArrayLike, offset: int, offset_early: int | None = None
) -> Instants:
    """Time c at which the close of each day is known: the calendar's close plus the closing auction.

    ::

        c(d) = close(d) + offset        offset_early on early closes

    Parameters
    ----------
    exchange
        Market code of the exchange.
    days
        Days of any shape.
    offset
        Seconds from the calendar's close to the auction's price.
    offset_early
        The same on early closes; by default `offset`.

    Returns
    -------
    datetime64[ns] of the same shape, UTC; NaT where the exchange held no session.

    Raises
    ------
    InputError
        The exchange is unknown, or its calendar does not reach that far.

    Notes
    -----
    c is known years ahead; a price may be compared with a close of day d from c(d) on.

    Examples
    --------
    London closes at 16:30 local time, and its auction is over six minutes later. On 2024-03-11 New York had
    changed its clock and London had not; on 2024-04-02 both had:

    >>> days = ["2024-03-08", "2024-03-11", "2024-04-02"]
    >>> reference_times("XLON", days, offset=360).astype("datetime64[m]").astype(str).tolist()
    ['2024-03-08T16:36', '2024-03-11T16:36', '2024-04-02T15:36']
    """
    closes, early = _lookup(exchange, days)
    wait = np.where(early, offset if offset_early is None else offset_early, offset)
    times: Instants = closes + wait.astype("timedelta64[s]")
    return times
