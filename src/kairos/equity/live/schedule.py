"""When a strategy decides and trades next."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from kairos.market import sessions as exchange_sessions

AHEAD = 4
"""Rebalances that are told."""

Dates = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Schedule:
    """The decisions around a session.

    Attributes
    ----------
    regular : bool
        Whether the strategy's calendar has a decision on the session.
    fill : date
        Session at whose close a decision of this one is traded.
    following : list of (decision, fill)
        The next ones of the calendar.
    """

    regular: bool
    fill: dt.date
    following: list[tuple[dt.date, dt.date]]


def schedule_of(sessions: Dates, first: int, row: int, every: int, lag: int) -> Schedule:
    """Decisions fall on every `every`-th session from row `first`; behind the data on New York's calendar.

    Parameters
    ----------
    sessions : (T,)
        Of the data.
    """
    later = first + ((row - first) // every + 1) * every + every * np.arange(AHEAD)
    need = int(later[-1]) + lag + 1 - len(sessions)
    if need > 0:
        end = sessions[-1] + np.timedelta64(2 * need + 14, "D")  # more than enough sessions
        beyond = exchange_sessions(sessions[-1] + np.timedelta64(1, "D"), end)
        sessions = np.concatenate([sessions, beyond])
    days = [(sessions[t].item(), sessions[t + lag].item()) for t in later.tolist()]
    return Schedule((row - first) % every == 0, sessions[row + lag].item(), days)
