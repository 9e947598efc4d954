"""Trading sessions of an exchange.

A session is a calendar day on which the exchange held a market, early closes included. Exchanges are named by
their ISO 10383 market code (New York is XNYS); the facts come from the package `exchange_calendars`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import exchange_calendars
import numpy as np
from exchange_calendars.errors import CalendarError

from kairos.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

Dates = np.ndarray[Any, np.dtype[np.datetime64]]

LONGEST_CLOSURE = np.timedelta64(366, "D")  # no exchange has stayed closed for longer since 1970


@lru_cache(maxsize=64)
def calendar_of_years(exchange: str, first: int, last: int) -> Any:
    """Calendar of the package over the years first to last.

    Raises
    ------
    InputError
        The exchange is unknown, or its calendar does not reach that far.
    """
    try:
        return exchange_calendars.get_calendar(exchange, start=f"{first}-01-01", end=f"{last}-12-31")
    except CalendarError as error:
        raise InputError(f"exchange {exchange!r}: {error} Use a market code such as XNYS or XLON.") from error
    except ValueError as error:
        raise InputError(f"exchange {exchange!r}, years {first} to {last}: {error}") from error


@lru_cache(maxsize=32)
def _sessions_of_years(exchange: str, first: int, last: int) -> Dates:
    """All sessions of the calendar years first to last."""
    days: Dates = calendar_of_years(exchange, first, last).sessions.to_numpy().astype("datetime64[D]")
    days.flags.writeable = False  # shared by every caller
    return days


def is_exchange(code: str) -> bool:
    """Whether a text is the market code of an exchange whose sessions are known.

    >>> is_exchange("XLON"), is_exchange("London")
    (True, False)
    """
    return code in exchange_calendars.get_calendar_names(include_aliases=False)


def sessions(start: npt.ArrayLike, end: npt.ArrayLike, exchange: str = "XNYS") -> Dates:
    """Sessions from `start` to `end`, both included.

    Parameters
    ----------
    start, end
        Days, as ISO text, `datetime.date` or `datetime64`.
    exchange
        Market code, for example XNYS, XLON, XTKS.

    Returns
    -------
    datetime64[D], increasing, read-only. Empty when no session lies between the two days.

    Raises
    ------
    InputError
        The exchange is unknown, `end` is before `start`, or the calendar does not reach that far.

    Examples
    --------
    >>> sessions("2015-12-23", "2015-12-29").astype(str).tolist()
    ['2015-12-23', '2015-12-24', '2015-12-28', '2015-12-29']
    """
    lo, hi = np.asarray(start, dtype="datetime64[D]")[()], np.asarray(end, dtype="datetime64[D]")[()]
    if not lo <= hi:
        raise InputError(f"sessions: the end {hi} is before the start {lo}, or one of them is missing.")
    days = _sessions_of_years(exchange, *(int(str(day)[:4]) for day in (lo, hi)))
    return days[np.searchsorted(days, lo) : np.searchsorted(days, hi, side="right")]


def next_session(days: npt.ArrayLike, exchange: str = "XNYS") -> Dates:
    """First session strictly after each day: when something published on that day can be used.

    Parameters
    ----------
    days
        Days of any shape; sessions or not. NaT stays NaT.
    exchange
        Market code.

    Returns
    -------
    datetime64[D] of the same shape (a scalar gives a zero-dimensional array).

    Examples
    --------
    A Friday, a Saturday and the day before Thanksgiving:

    >>> next_session(["2015-11-20", "2015-11-21", "2015-11-25"]).astype(str).tolist()
    ['2015-11-23', '2015-11-23', '2015-11-27']
    """
    asked = np.asarray(days, dtype="datetime64[D]")
    following = np.full(asked.shape, np.datetime64("NaT"), dtype="datetime64[D]")
    known = ~np.isnat(asked)
    if known.any():
        calendar = sessions(asked[known].min(), asked[known].max() + LONGEST_CLOSURE, exchange)
        following[known] = calendar[np.searchsorted(calendar, asked[known], side="right")]
    return following
