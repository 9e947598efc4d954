"""Which values of the ADR desk a trial must leave as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.adr.align import read_us_closes
from kairos.adr.clock import Clock
from kairos.adr.desk import BETAS, INDEX_CLOSES, ORDINARY_CLOSES
from kairos.adr.files import read_prices
from kairos.adr.instruments import read_instruments
from kairos.adr.minutes import new_york_clock
from kairos.adr.windows import is_full
from kairos.audit.adr_outputs import Known, Needs
from kairos.audit.findings import Trial
from kairos.market import next_session, sessions

if TYPE_CHECKING:
    import pandas as pd

    from kairos.adr.desk import Desk
    from kairos.audit.adr_inputs import Change
    from kairos.audit.adr_outputs import Column, Panel
    from kairos.market.exchange import Dates

MARGIN = 1.1
"""Rows that a window of rows may need more than it has: half-days abroad are no rows."""

Span = tuple[np.datetime64, np.datetime64]

HOLIDAYS = np.timedelta64(14, "D")
"""Calendar days by which the first return after a start may be late."""


@dataclass(frozen=True)
class Horizon:
    """What is compared in one trial.

    Attributes
    ----------
    change : Change
        What is done to the inputs.
    last : datetime64[D]
        The last daily row that is the same on both sides.
    done : exchange → datetime64[M]
        The last month that is over at the moment.
    full : exchange → history → datetime64[D]
        Of ``start``: the first day whose history is whole.
    """

    change: Change
    last: np.datetime64
    done: Mapping[str, np.datetime64]
    full: Mapping[str, Mapping[Needs, np.datetime64]]

    def rows(self, panel: Panel, column: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Rows of a column, (T,), that must be equal."""
        known, needs = column.rule
        moments = panel.moments
        minutes = moments.dtype == np.dtype("datetime64[ns]")
        days = (new_york_clock(moments) if minutes else moments).astype("datetime64[D]")
        if self.change.kind is Trial.START:
            first = self.full[panel.exchange].get(needs)
            return np.zeros(len(days), np.bool_) if first is None else np.asarray(days >= first)
        if self.change.kind is Trial.SPLIT:
            return np.ones(len(days), np.bool_)
        return np.asarray(self._known(known, panel.exchange, moments, days))

    def _known(self, known: Known, exchange: str, moments: Dates, days: Dates) -> np.ndarray[Any, Any]:
        """Rows that may be known at the moment."""
        day = self.change.day
        if known is Known.MINUTE:
            return moments <= self.change.moment
        if known is Known.DAY_OVER:
            return days < day
        if known is Known.NEXT_OPEN:
            return (days < day) & (next_session(days, exchange) <= day)
        if known is Known.DAY:
            return days <= self.last
        if known is Known.BEFORE:
            return days <= next_session(self.last, exchange)
        months = days.astype("datetime64[M]")
        if known is Known.MONTH_BEGUN:
            return np.asarray(months <= day.astype("datetime64[M]"))
        done = self.done[exchange]
        return months <= (done + 1 if known is Known.MONTH else done)


def horizon_of(desk: Desk, change: Change, targets: pd.DataFrame) -> Horizon:
    """Find what is compared in a trial.

    Parameters
    ----------
    desk
        The uncut desk, all of whose steps have been run.
    change
        What is done to the inputs.
    targets
        Its targets.
    """
    exchanges = ["", *read_instruments(desk).exchanges]
    if change.kind is Trial.START:
        full = {exchange: _full(desk, exchange, change.day) for exchange in exchanges}
        return Horizon(change, change.day, {}, full)
    closes = _dates(desk, ORDINARY_CLOSES)
    end = desk.settings.adr.end
    limit = change.day if end is None else min(change.day, np.datetime64(end, "D"))
    last = closes[closes <= limit][-1]
    rows = targets["date"].to_numpy().astype("datetime64[D]")
    seen = rows[rows <= last].max()
    done = {exchange: _done(exchange or "XNYS", seen, end) for exchange in exchanges}
    return Horizon(change, last, done, {})


def moments_of(desk: Desk, targets: pd.DataFrame, quoted: Dates | None) -> dict[np.datetime64, Span]:
    """Days on which a cut can be made, a test month being over, with the first and the last minute of each.

    Parameters
    ----------
    desk
        The uncut desk.
    targets
        Its targets.
    quoted : (D,) datetime64[D] or None
        Days with quotes of an ADR, which are taken when there are any.
    """
    days = np.intersect1d(_dates(desk, ORDINARY_CLOSES), targets["date"].to_numpy().astype("datetime64[D]"))
    settings, first = desk.settings.adr, targets["date"].to_numpy().astype("datetime64[D]").min()
    if settings.start is not None:
        first = max(first, np.datetime64(settings.start, "D"))
    windows = settings.windows
    tested = first.astype("datetime64[M]") + windows.train_months + windows.validation_months + 1
    days = days[days.astype("datetime64[M]") >= tested][:-1]
    if quoted is not None and len(both := np.intersect1d(days, quoted)):
        days = both
    return _minutes(desk, days)


def _minutes(desk: Desk, days: Dates) -> dict[np.datetime64, Span]:
    """First minute of each day at which every exchange has closed, and the last but one of New York; UTC."""
    found: dict[np.datetime64, Span] = {}
    if not len(days):
        return found
    for one in read_instruments(desk).exchanges.values():
        clock = Clock.of(one, days[0], days[-1])
        for day, start, close in zip(
            clock.days, clock.times[clock.first_rows[:-1]], clock.close, strict=True
        ):
            first = max(start, found[day][0]) if day in found else start
            found[day] = first, close - np.timedelta64(1, "m")
    return {day: found[day] for day in days if day in found and found[day][0] <= found[day][1]}


def _done(exchange: str, seen: np.datetime64, end: object) -> np.datetime64:
    """The last month that is over when the last row is that of a day."""
    month = seen.astype("datetime64[M]")
    limit = None if end is None else np.datetime64(end, "D")  # type: ignore[call-overload]
    while not is_full(month, exchange, seen, limit):
        month -= 1
    return np.datetime64(month, "M")


def _full(desk: Desk, exchange: str, start: np.datetime64) -> dict[Needs, np.datetime64]:
    """First days whose history is whole when the data begin on a day; none where it never is."""
    settings = desk.settings.adr
    found = {Needs.PRICES: start + HOLIDAYS}
    if not exchange:
        return found
    window = 0 if desk.is_users(BETAS) else settings.betas.window_days
    found[Needs.BETA] = start + HOLIDAYS + np.timedelta64(window, "D")
    us = read_us_closes(desk, exchange)
    days = us.dates[np.isfinite(us.values).any(axis=1)]
    days = np.intersect1d(days[days >= start], _dates(desk, INDEX_CLOSES))
    days = days[np.isin(days, sessions(us.dates[0], us.dates[-1], exchange))]
    rows = int(MARGIN * (settings.grid.window + settings.us_betas.window + 2))
    if rows >= len(days):
        return found
    found[Needs.US] = days[rows]
    found[Needs.FEATURES] = max(found[Needs.US], found[Needs.BETA])
    month = (found[Needs.FEATURES] - 1).astype("datetime64[M]") + 1  # the first one that begins with it
    months = settings.windows.train_months + settings.windows.validation_months
    found[Needs.MODEL] = (month + months).astype("datetime64[D]")
    return found


def _dates(desk: Desk, name: str) -> Dates:
    return read_prices(desk.path(name), [], what="daily prices").dates
