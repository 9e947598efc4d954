"""The market that a simulation runs in: what can be traded, and what a holding becomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kairos.equity.context import PRICES, Context
from kairos.equity.frame import Array, Frame, Mask, Outcomes
from kairos.panel import carry
from kairos.panel.weights import World


@dataclass(frozen=True)
class Market:
    """Prices and outcomes of every listing.

    Attributes
    ----------
    frame : Frame
        Sessions and listings.
    value : (T, N)
        Value of a holding at each close: the last price, and after the end the pay-out.
    priced : (T, N) bool
        A trade is possible at the close.
    settled : (N,) int
        Row from which a holding is cash; T where the listing never ends.
    days : (T,)
        Calendar days since the session before.
    """

    frame: Frame
    value: Array
    priced: Mask
    settled: np.ndarray[Any, np.dtype[np.int64]]
    days: np.ndarray[Any, np.dtype[np.float64]]

    @cached_property
    def world(self) -> World:
        """The same for the account's compiled loop."""
        return World(self.value, self.priced, self.settled, self.days)

    @classmethod
    def of(cls, context: Context) -> Market:
        """The market of a namespace."""
        panels = context.panels(PRICES)
        frame, outcomes = panels.frame, panels.outcomes
        rows = np.arange(len(frame.sessions))
        value = panels.some(f"{PRICES}.closeadj", rows).values  # row by row in memory, as the books read it
        priced = np.isfinite(value)
        carry(value)  # a holding without a price keeps its last value until its next one, or its pay-out
        settled = settled_rows(frame, outcomes)
        paid = np.flatnonzero((settled < len(rows)) & (outcomes.payout != 0.0))
        value[:, paid] *= np.where(rows[:, None] >= settled[paid], 1.0 + outcomes.payout[paid], 1.0)
        return cls(frame, value, priced, settled, _days(frame))

    def returns(self, t: int, sessions: int, names: np.ndarray[Any, np.dtype[np.int64]]) -> Array:
        """(sessions, n) daily total returns up to the close of t, NaN where either close has no price."""
        rows = slice(max(t - sessions, 0), t + 1)
        value = np.where(self.priced[rows][:, names], self.value[rows][:, names], np.nan)
        found: Array = value[1:] / value[:-1] - 1.0
        return found


def settled_rows(frame: Frame, outcomes: Outcomes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row of the frame from which each listing's holder has cash; T where there is none."""
    T = len(frame.sessions)
    return np.where(outcomes.ended, np.minimum(outcomes.settled - frame.start, T), T)


def _days(frame: Frame) -> np.ndarray[Any, np.dtype[np.float64]]:
    step = np.diff(frame.sessions).astype(np.int64)
    return np.concatenate([[0.0], step.astype(np.float64)])
