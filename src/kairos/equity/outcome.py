"""What a holder of a listing gets after t: prices across halts, and the pay-out at the end.

Everything here looks ahead of t by nature. Targets, signal evaluation and the profit and loss of a backtest
use it; no feature and no decision does.
"""

from __future__ import annotations

import numpy as np

from kairos.equity.frame import Array, Frame, Mask, Outcomes
from kairos.panel import last_valid


def value_path(frame: Frame, closeadj: Array, outcomes: Outcomes, within: int) -> Array:
    """Value of a holding at the close of each session, on the scale of `closeadj`.

    The last price, at most `within` sessions old; after the end of the listing p_last · (1 + payout), from
    the session after the last price on.
    NaN before the listing.
    """
    value = last_valid(closeadj, within=within)
    at = outcomes.last - frame.start
    paid = closeadj[np.clip(at, 0, len(frame.sessions) - 1), np.arange(len(at))] * (1.0 + outcomes.payout)
    never = frame.numbers[-1] + 1
    np.copyto(value, paid, where=frame.since(np.where(outcomes.ended, outcomes.last + 1, never)))
    return value


def alive(frame: Frame, outcomes: Outcomes) -> Mask:
    """(T, N) True on the sessions from the first price to the last (to the data's end where not ended)."""
    never = frame.numbers[-1] + 1
    return frame.since(frame.first) & ~frame.since(np.where(outcomes.ended, outcomes.last + 1, never))


def forward_return(
    frame: Frame, closeadj: Array, outcomes: Outcomes, max_gap: int, *, lag: int, horizon: int
) -> Array:
    """Total return from the close of t + lag over `horizon` sessions, at row t.

    (value at t + lag + horizon) / (last price at t + lag) - 1. NaN where the data end before, or where the
    listing has not begun or has already ended at t + lag.
    """
    value = value_path(frame, closeadj, outcomes, max_gap)
    base = np.where(alive(frame, outcomes), value, np.nan)
    return lead(value, lag + horizon) / lead(base, lag) - 1.0


def lead(x: Array, k: int) -> Array:
    """The value k sessions later; NaN in the last k rows."""
    out = np.full_like(x, np.nan, order="F")
    out[: max(len(x) - k, 0)] = x[k:]
    return out
