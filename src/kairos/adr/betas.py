"""Betas of the ordinaries on their indices: the step `betas`, and which beta is known on a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.adr.desk import BETAS
from kairos.adr.files import write_prices
from kairos.adr.instruments import read_instruments
from kairos.adr.returns import change, read_venues
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.returns import Venue
    from kairos.market.exchange import Dates
    from kairos.panel import Array
    from kairos.settings.tree import IndexBetas


@dataclass(frozen=True)
class BetaOf:
    """What the step found for one ADR.

    Attributes
    ----------
    adr, exchange, index
        Names.
    days
        Rows with a beta.
    missing
        Sessions from `adr.start` on without one.
    mean, last
        Of the betas; NaN when there is none.
    """

    adr: str
    exchange: str
    index: str
    days: int
    missing: int
    mean: float
    last: float


@dataclass(frozen=True)
class BetasReport:
    """Outcome of the step `betas`.

    Attributes
    ----------
    source
        "user" when the user's file is used as it is and nothing was done, else "desk".
    found
        One entry for each ADR; empty for a user's file.
    last : datetime64[D]
        Last row of the file: the session after the last date. NaT for a user's file.
    """

    source: str
    found: tuple[BetaOf, ...]
    last: np.datetime64

    def remarks(self) -> list[str]:
        """Plain sentences."""
        if self.source == "user":
            return [f"{BETAS} is yours; it is used as it is (--force replaces it)."]
        without = [entry.adr for entry in self.found if entry.days == 0]
        remarks = [f"The last row is the session {self.last}, and knows nothing of that day."]
        if without:
            remarks.append(f"No beta at all, too few pairs of returns: {', '.join(without)}.")
        return remarks

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR."""
        columns = ["ADR", "Exchange", "Index", "Days", "Missing", "Mean beta", "Last beta"]
        return columns, [[e.adr, e.exchange, e.index, e.days, e.missing, e.mean, e.last] for e in self.found]


def betas(desk: Desk) -> BetasReport:
    """Write the betas of all ordinaries on their indices, unless the user has a file of them.

    A row dated t uses the returns of the days strictly before t, and there is a row for the session after the
    last date. Returns run from one day to the next of the days on which exchange, index and ordinary have a
    price (the US grid has no part in them), in the currency of the index; those of the index as
    `Venue.index_returns` gives them.

    Raises
    ------
    InputError
        An input is missing or wrong, or there are too few returns for a single beta.
    """
    if desk.is_users(BETAS) and not desk.force:
        return BetasReport("user", (), np.datetime64("NaT", "D"))
    rules, start = desk.settings.adr.betas, desk.settings.adr.start
    venues = read_venues(desk, read_instruments(desk).instruments)
    dates = np.unique(np.concatenate([venue.days for venue in venues]))
    columns, found = {}, {}
    for venue in venues:
        counted = venue.days >= np.datetime64(start or venue.days[0])
        for n, instrument in enumerate(venue.instruments):
            beta = beta_of(venue, n, rules)
            columns[instrument.adr] = np.full(len(dates), np.nan)
            columns[instrument.adr][np.searchsorted(dates, venue.days)] = beta
            known = beta[np.isfinite(beta)]
            found[instrument.adr] = BetaOf(
                adr=instrument.adr,
                exchange=venue.exchange,
                index=venue.index,
                days=len(known),
                missing=int(np.isnan(beta[counted]).sum()),
                mean=float(known.mean()) if len(known) else np.nan,
                last=float(known[-1]) if len(known) else np.nan,
            )
    names = sorted(columns)
    values = np.column_stack([columns[name] for name in names])
    filled = np.flatnonzero(np.isfinite(values).any(axis=1))
    if len(filled) == 0:
        raise InputError(
            f"no ordinary has the {rules.min_pairs} pairs of returns (adr.betas.min_pairs) that a beta needs"
        )
    rows = slice(filled[0], None)
    desk.save([(BETAS, lambda path: write_prices(path, dates[rows], names, values[rows]))])
    return BetasReport("desk", tuple(found[name] for name in names), dates[-1])


def beta_of(venue: Venue, n: int, rules: IndexBetas) -> Array:
    """Beta of one ordinary before each of the venue's days, (T,); see `betas`."""
    rows = np.flatnonzero(np.isfinite(venue.closes) & np.isfinite(venue.ordinaries[:, n]))
    before, now = rows[:-1], rows[1:]
    return trailing_slope(
        change(venue.ordinaries[:, n], before, now),
        venue.index_returns(before, now).values,
        venue.days[now],
        venue.days,
        rules.window_days,
        rules.min_pairs,
    )


def trailing_slope(y: Array, x: Array, dates: Dates, at: Dates, window: int, min_pairs: int) -> Array:
    """Slope of y on x, with intercept, over the calendar days [t − window, t − 1].

    Σ(x − x̄)(y − ȳ)/Σ(x − x̄)², the ordinary least squares slope. A value depends on the pairs of its window
    only, to the last bit.

    Parameters
    ----------
    y, x : (K,)
        Pairs; none is missing.
    dates : (K,) datetime64[D]
        Their days, strictly increasing.
    at : (T,) datetime64[D]
        Days t.
    window
        Calendar days.
    min_pairs
        Pairs that a slope needs.

    Returns
    -------
    (T,). NaN with fewer pairs than that, or when x has no variance.

    Examples
    --------
    The pair of the day itself is not used:

    >>> days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> x = np.array([1.0, 2.0, 3.0, 9.0])
    >>> trailing_slope(2 * x + 1, x, days, days, window=3, min_pairs=3).tolist()
    [nan, nan, nan, 2.0]
    """
    if len(dates) == 0:
        return np.full(len(at), np.nan)
    last = np.searchsorted(dates, at)  # pairs before t
    pair = last[:, None] - np.arange(window, 0, -1)  # there are at most as many pairs as days
    early = pair < 0
    pair[early] = 0
    inside = ~early & (dates[pair] >= (at - np.timedelta64(window, "D"))[:, None])
    count = inside.sum(axis=1)
    dx, dy = (_centred(values, pair, inside, count) for values in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        slope: Array = (dx * dy).sum(axis=1) / (dx * dx).sum(axis=1)
    slope[(count < max(min_pairs, 2)) | ~np.isfinite(slope)] = np.nan
    return slope


def _centred(values: Array, pair: np.ndarray, inside: np.ndarray, count: np.ndarray) -> Array:
    """Distance of each value to the mean of its window, 0 outside of it; exactly 0 for equal values."""
    distance = np.where(inside, values[pair] - values[pair[:, -1:]], 0.0)
    mean = distance.sum(axis=1) / np.maximum(count, 1)
    return np.where(inside, distance - mean[:, None], 0.0)


def known_betas(betas: Array, dates: Dates, days: Dates, *, after: bool, max_age: int) -> Array:
    """Return the beta that counts on each session: that of its row, or of the last row that is not too old.

    Parameters
    ----------
    betas : (K,)
        Column of the file; NaN = missing.
    dates : (K,) datetime64[D]
        Rows of the file.
    days : (T,) datetime64[D]
        Sessions of the exchange, without a gap. Rows before the first one are not looked at.
    after
        A row is known only after the session that it is dated with, so the row before counts.
    max_age
        Sessions by which a row may be older than the one that should be there.

    Returns
    -------
    (T,). NaN where no row is recent enough. There is no other stand-in for a beta.

    Examples
    --------
    >>> days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> known_betas(np.array([0.8]), days[:1], days, after=False, max_age=2).tolist()
    [0.8, 0.8, 0.8, nan]
    >>> known_betas(np.array([0.8]), days[:1], days, after=True, max_age=2).tolist()
    [nan, 0.8, 0.8, 0.8]
    """
    there = np.isfinite(betas) & (dates >= days[0])
    rows, values = dates[there], betas[there]
    if len(rows) == 0:
        return np.full(len(days), np.nan)
    last = np.searchsorted(rows, days, side="left" if after else "right") - 1
    age = np.arange(1, len(days) + 1) - np.searchsorted(days, rows, side="right")[last] - int(after)
    return np.where((last >= 0) & (age <= max_age), values[last], np.nan)
