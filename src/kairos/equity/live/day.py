"""The session that live output is for: which one, whether the tables reach it, and what it looks like."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity import registry
from kairos.equity.backtest.inputs import REGIMES
from kairos.equity.backtest.signals import UNKNOWN
from kairos.equity.context import PRICES, Context, Excerpt, Panels
from kairos.equity.sectors import coded
from kairos.equity.staleness import staleness
from kairos.errors import InputError
from kairos.market import close_times
from kairos.market import sessions as exchange_sessions
from kairos.panel import carry

if TYPE_CHECKING:
    from kairos.equity.backtest.costs import Vector
    from kairos.equity.frame import Array
    from kairos.settings import Live


SPLIT = 0.01
"""Least change of a stock's number of shares that is a split and not the rounding of prices."""

NEW_YORK, LONGEST = "XNYS", dt.timedelta(days=21)
"""The calendar that data are held against, and days that surely hold a session of it."""


@dataclass(frozen=True)
class Reach:
    """How far a table reaches, and whether it is what a build would make of it now."""

    table: str
    last: str
    state: str


def session_of(context: Context, date: dt.date | None) -> int:
    """Absolute number of the session of a date, by default of the last one.

    Raises
    ------
    InputError
        The date is no session, or prices of later sessions wait for a build.
    """
    sessions = context.sessions
    if date is None or date > sessions[-1].item():
        newest = max((part.hi for part in context.table("sep_base").parts if part.hi), default=None)
        if newest is not None and newest > sessions[-1].item():
            raise InputError(
                f"prices run to {newest}, but the tables are built to {sessions[-1]}: run "
                f"`kairos equity build`, or ask for --date {sessions[-1]}"
            )
    if date is None:
        return len(sessions) - 1
    row = int(np.searchsorted(sessions, np.datetime64(date, "D"), side="right")) - 1
    if row < 0:
        raise InputError(f"--date {date}: the data begin on {sessions[0]}")
    if sessions[row] != np.datetime64(date, "D"):
        last = " (the last one of the data)" if row == len(sessions) - 1 else ""
        raise InputError(f"--date {date} is no session; the nearest earlier one is {sessions[row]}{last}")
    return row


def behind_exchange(context: Context, now: dt.datetime | None = None) -> str:
    """What to say of data that end before the last session of New York's calendar that had closed by `now`.

    Empty when they reach it.

    Parameters
    ----------
    now : datetime, optional
        With its zone; by default this moment.
    """
    moment = (now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).replace(tzinfo=None)
    today = np.datetime64(moment.date(), "D")
    days = exchange_sessions(today - np.timedelta64(LONGEST.days, "D"), today)
    last, closed = context.sessions[-1], days[close_times(NEW_YORK, days) <= np.datetime64(moment)][-1]
    if last >= closed:
        return ""
    return f"the data end on {last}, and {closed} is over: load newer prices and run `kairos equity build`"


def reach_of(context: Context, tables: Iterable[str], date: dt.date) -> list[Reach]:
    """How far each table reaches.

    Raises
    ------
    InputError
        A table ends before the date: a decision would go by yesterday's values, or by none.
    """
    declared = registry.declarations(context.settings)
    found = []
    for name in dict.fromkeys(tables):
        table = context.table(name)
        last = max((part.hi for part in table.parts if part.hi), default=None)
        if last is None or last < date:
            raise InputError(
                f"table {name} ends on {last or 'no date'}, before the session {date}: run "
                f"`kairos equity build {name}`; nothing was written"
            )
        why = staleness(context, declared[name]).reasons if name in declared else ()
        found.append(Reach(name, str(last), f"stale: {'; '.join(why)}" if why else "current"))
    return found


def stale(reach: Iterable[Reach]) -> list[str]:
    """What to say of tables that a build would make anew."""
    return [f"{t.table} is {t.state}; `kairos equity build` renews it" for t in reach if t.state != "current"]


def check_breadth(alpha: Vector, what: str, rules: Live, date: dt.date) -> None:
    """Refuse a cross-section that is too thin or has too little spread to decide on."""
    if len(alpha) < rules.min_names:
        raise InputError(
            f"{date}: only {len(alpha)} {what}; a decision needs {rules.min_names} "
            "(equity.live.min_names). Nothing was written"
        )
    spread = float(alpha.std(ddof=1)) if len(alpha) > 1 else 0.0
    if spread < rules.min_std:
        raise InputError(
            f"{date}: the standard deviation of the signal is {spread:.3g}, below {rules.min_std:g} "
            "(equity.live.min_std, meant for z-scores: set it lower for a signal in smaller units). "
            "Nothing was written"
        )


@dataclass(frozen=True)
class Day:
    """One row of the panels."""

    context: Context
    panels: Panels
    row: int

    @classmethod
    def alone(cls, context: Context, session: int) -> Day:
        """The session and as much before it as prices may be old."""
        start = max(session - context.settings.equity.listing.max_gap, 0)
        return cls(context, context.panels(PRICES, Excerpt(start)), session - start)

    @property
    def date(self) -> dt.date:
        """The session."""
        day: dt.date = self.panels.frame.sessions[self.row].item()
        return day

    def values(self, name: str) -> Vector:
        """(N,) values of ``table.column``."""
        found: Vector = self.panels.some(name, np.array([self.row])).values[0]
        return found

    def prices(self) -> tuple[Vector, Array]:
        """(N,) last price as traded of each listing, USD, and how many sessions old it is.

        Where prices as traded were not delivered, the split-adjusted close stands in. A price older than
        `equity.listing.max_gap` sessions is missing: the listing has ended.
        """
        rows = np.arange(max(self.row - self.context.settings.equity.listing.max_gap, 0), self.row + 1)
        traded = self.panels.some(f"{PRICES}.closeunadj", rows).values
        if not np.isfinite(traded).any():
            traded = self.panels.some(f"{PRICES}.close", rows).values
        known = np.isfinite(traded)
        age = np.where(known.any(axis=0), np.argmax(known[::-1], axis=0), np.nan)
        carry(traded)
        return traded[-1], age

    def splits(self, sessions: int) -> Vector:
        """(N,) shares that one share has become by splits of the last sessions, 1.0 where there was none.

        From prices as traded over split-adjusted ones, which are rounded: a change below 1 % is none.
        """
        rows = np.arange(max(self.row - sessions, 0), self.row + 1)
        columns = (f"{PRICES}.closeunadj", f"{PRICES}.close")
        traded, adjusted = (self.panels.some(name, rows).values for name in columns)
        factor = traded / adjusted
        backwards = factor[::-1].copy()
        carry(factor)
        carry(backwards)
        became = backwards[-1] / factor[-1]
        return np.where(np.abs(became - 1.0) > SPLIT, np.round(became, 4), 1.0)

    def sectors(self) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
        """(N,) name of each listing's sector."""
        labels, code = coded(self.panels["tickers.sector"])
        return np.array(labels, dtype=object)[code]

    def regime(self) -> str:
        """The market's regime."""
        if not self.context.has(f"{REGIMES}.regime"):
            return UNKNOWN
        return str(self.panels[f"{REGIMES}.regime"][self.row] or UNKNOWN)


def ranks(alpha: Vector) -> Vector:
    """1 for the highest value; equal ones in the order that they have; NaN where the value is missing."""
    place = np.full(len(alpha), np.nan)
    known = np.flatnonzero(np.isfinite(alpha))
    place[known[np.argsort(-alpha[known], kind="stable")]] = np.arange(1, len(known) + 1)
    return place
