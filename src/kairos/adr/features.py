"""What the models see: the step `features`.

For an interval from one of an ordinary's days, d0, to the next, d1, the feature of the US stock i is

    x_i = r_i(d0→d1) − b_i,d1 · r_index(d0→d1)

with its beta b_i as it is known before d1. A row is dated d1, and known at the ordinary's close on d1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kairos.adr.align import NEW_YORK, read_us_closes
from kairos.adr.betas import known_betas
from kairos.adr.desk import BETAS, FEATURES, ORDINARY_CLOSES, TARGETS, US_BETAS
from kairos.adr.exclusions import excluded, read_issuers
from kairos.adr.files import listed, read_betas, read_names
from kairos.adr.grid import grid
from kairos.adr.instruments import read_instruments
from kairos.adr.returns import on_days, read_venues
from kairos.adr.targets import Targets, multi_day, targets_of
from kairos.adr.usbetas import UsResiduals, us_residuals
from kairos.errors import WorkError
from kairos.market import is_open
from kairos.panel import Rolling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kairos.adr.desk import Desk
    from kairos.adr.files import Prices
    from kairos.adr.returns import Venue
    from kairos.market.exchange import Dates
    from kairos.panel import Array


@dataclass(frozen=True)
class FeaturesOf:
    """What the step found for one ADR, among the rows from `adr.start` to `adr.end`.

    Attributes
    ----------
    adr, exchange, index
        Names.
    rows
        Rows written.
    first, last : datetime64[D]
        Their dates; NaT without rows.
    features
        US stocks.
    multi_day
        Rows whose return spans more than one day on which New York or the exchange was open.
    no_beta
        Rows left out because no beta of the ordinary is known.
    warm_up
        Rows left out because no US stock has a beta yet.
    no_fx
        Days left out because an exchange rate at the close is missing.
    from_future, asynchronous
        Rows whose index return is that of the future, and those for which it should be but can't.
    suspicious
        US stocks whose residual correlates with the target above `adr.features.suspicious`, and how much.
    """

    adr: str
    exchange: str
    index: str
    rows: int
    first: np.datetime64
    last: np.datetime64
    features: int
    multi_day: int
    no_beta: int
    warm_up: int
    no_fx: int
    from_future: int
    asynchronous: int
    suspicious: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class GridOf:
    """Sessions of a venue from `adr.start` to `adr.end`, and why some are no rows of its grid."""

    exchange: str
    index: str
    sessions: int
    no_index: int
    no_us: int
    few_us: int


@dataclass(frozen=True)
class FeaturesReport:
    """Outcome of the step `features`.

    Attributes
    ----------
    found
        One entry for each ADR with rows, by name.
    skipped
        ADR and reason, those out of scope included.
    unused
        ADRs that `adr.features.exclude` names and that are not worked on.
    grids
        One entry for each exchange and index.
    beta_source
        Whose betas the targets have: "user" or "desk".
    """

    found: tuple[FeaturesOf, ...]
    skipped: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    grids: tuple[GridOf, ...]
    beta_source: str

    def remarks(self) -> list[str]:
        """Plain sentences."""
        remarks = [f"Skipped: {text}." for text in _by_reason(self.skipped)]
        if self.unused:
            remarks.append(f"adr.features.exclude names no ADR that is worked on: {listed(self.unused)}.")
        for g in self.grids:
            left = g.sessions - g.no_index - g.no_us - g.few_us
            remarks.append(
                f"{g.exchange} and {g.index}: {left} of {g.sessions} sessions count ({g.no_index} without "
                f"the index, {g.no_us} without US prices, {g.few_us} with too few of them)."
            )
        for what, count in {
            "whose return spans more than one open day": sum(e.multi_day for e in self.found),
            "left out, no beta of the ordinary is known": sum(e.no_beta for e in self.found),
            "left out, no US stock has a beta yet": sum(e.warm_up for e in self.found),
            "with the future's return at the close for the index": sum(e.from_future for e in self.found),
        }.items():
            if count:
                remarks.append(f"{count} rows {what}.")
        asynchronous = [e.adr for e in self.found if e.asynchronous]
        if asynchronous:
            rows = sum(e.asynchronous for e in self.found)
            remarks.append(
                f"{rows} rows of {listed(asynchronous)} have an index return that was not taken at the close "
                "of the ordinary."
            )
        for e in self.found:
            if e.no_fx:
                remarks.append(f"{e.adr}: {e.no_fx} days have no exchange rate at the close.")
            for ticker, correlation in e.suspicious:
                remarks.append(
                    f"{e.adr}: the residual of {ticker} has the correlation {correlation:.2f} with the "
                    "target; if it is a line of the same issuer, name it in adr.features.exclude."
                )
        return remarks

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR."""
        columns = ["ADR", "Exchange", "Index", "Rows", "First", "Last", "Features", "Multi-day", "No beta"]
        columns += ["Warm-up", "Future", "Asynchronous"]
        return columns, [
            [
                *(e.adr, e.exchange, e.index, e.rows, e.first, e.last, e.features, e.multi_day, e.no_beta),
                *(e.warm_up, e.from_future, e.asynchronous),
            ]
            for e in self.found
        ]


def features(desk: Desk) -> FeaturesReport:
    """Write the features of every ADR, the targets of all, and the betas of the US stocks.

    * ``features/{ADR}.parquet``: index ``date``, ``ordinary_residual``, then the residuals of the US stocks;
      0 where a stock has no price at either end or no beta yet. The ADR itself and other lines of its issuer
      are left out.
    * ``targets.parquet``: one row for each ADR and date, with what the target is made of.
    * ``russell_betas/{exchange}_{index}.parquet``: betas of the US stocks as known before each session of the
      exchange, the session after the last date included.

    Rows are those dated from `adr.start` to `adr.end`; a return over several days belongs to its last. A row
    needs both prices of the ordinary, its beta, and a beta of one US stock at least. It doesn't change when
    later data are added to any input.

    Raises
    ------
    InputError
        An input is missing or wrong, or a file would be replaced that the desk did not make.
    WorkError
        No ADR has a row.
    """
    scope = read_instruments(desk)
    venues = read_venues(desk, scope.instruments)
    us = {venue.exchange: read_us_closes(desk, venue.exchange) for venue in venues}
    betas = _read_betas(desk, [one.adr for one in scope.instruments])
    issuers, exclude = read_issuers(desk), desk.settings.adr.features.exclude
    us_files = {venue: f"{US_BETAS}/{venue.exchange}_{venue.index}.parquet" for venue in venues}
    files = {one.adr: f"{FEATURES}/{one.adr}.parquet" for one in scope.instruments}
    desk.refuse_users([*us_files.values(), *files.values(), TARGETS])
    found: list[FeaturesOf] = []
    skipped = [(one.adr, one.reason) for one in scope.skipped]
    grids, tables, written = [], [], []
    for venue in venues:
        stocks, of_grid = _us_stocks(desk, venue, us[venue.exchange])
        grids.append(of_grid)
        written += desk.save([(us_files[venue], _us_betas_file(stocks))])
        for n, one in enumerate(venue.instruments):
            if one.adr not in betas.names:
                skipped.append((one.adr, f"{betas.path} has no column for it"))
                continue
            beta = _known(desk, venue, betas, one.adr)
            targets = targets_of(stocks, n, beta, _start(desk, venue))
            if len(targets.now) == 0:
                skipped.append((one.adr, _why_empty(targets)))
                continue
            seen = _features(stocks, targets, excluded(one.adr, issuers, exclude))
            found.append(_summary(desk, venue, n, targets, seen))
            tables.append(targets.table)
            written += desk.save([(files[one.adr], _features_file(targets, seen))])
    if not found:
        raise WorkError("no ADR has a row: " + "; ".join(_by_reason(skipped)))
    beta_source = "user" if desk.is_users(BETAS) else "desk"
    table = pd.concat(tables).sort_values(["ticker", "date"], ignore_index=True)
    write = partial(table.assign(beta_source=beta_source).to_parquet, index=False, write_page_checksum=True)
    desk.save([(TARGETS, write)])
    _remove_others(desk, written)
    return FeaturesReport(
        found=tuple(sorted(found, key=lambda entry: entry.adr)),
        skipped=tuple(skipped),
        unused=tuple(sorted(set(exclude) - {one.adr for one in scope.instruments})),
        grids=tuple(grids),
        beta_source=beta_source,
    )


def _start(desk: Desk, venue: Venue) -> np.datetime64:
    """First date of a row."""
    start = desk.settings.adr.start
    return venue.days[0] if start is None else np.datetime64(start, "D")


def _read_betas(desk: Desk, adrs: Sequence[str]) -> Prices:
    """Betas of the ordinaries; an ADR without a column is left out, and has no rows."""
    what = "the betas of the ordinaries on their indices (the step `betas` makes it)"
    path = desk.existing(BETAS, what)
    there = set(read_names(path, what=what))
    return read_betas(path, [adr for adr in adrs if adr in there], what=what)


def _known(desk: Desk, venue: Venue, betas: Prices, adr: str) -> Array:
    """Beta of an ordinary before each of the venue's days."""
    rules = desk.settings.adr.betas
    return known_betas(
        betas.column(adr), betas.dates, venue.days, after=rules.known == "after", max_age=rules.max_age
    )


def _us_stocks(desk: Desk, venue: Venue, us: Prices) -> tuple[UsResiduals, GridOf]:
    """Residuals of the US stocks on the venue's grid, and what the grid is made of."""
    days, betas = desk.settings.adr.grid, desk.settings.adr.us_betas
    # what a file has for a time at which New York is closed is no price of that day
    counts = np.isfinite(on_days(us, venue.days)).sum(axis=1) * is_open(NEW_YORK, venue.times)
    on = grid(venue.closes, counts, days.min_share, days.window)
    counted = (venue.days >= _start(desk, venue))[:-1]
    index, traded, on_grid = (x[:-1][counted] for x in (np.isfinite(venue.closes), counts > 0, on))
    of_grid = GridOf(
        exchange=venue.exchange,
        index=venue.index,
        sessions=int(counted.sum()),
        no_index=int((~index).sum()),
        no_us=int((index & ~traded).sum()),
        few_us=int((index & traded & ~on_grid).sum()),
    )
    return us_residuals(venue, us, on, betas.window, betas.min_pairs), of_grid


def _by_reason(skipped: Sequence[tuple[str, str]]) -> list[str]:
    """ADRs that were skipped, and why: one text for each reason."""
    adrs: dict[str, list[str]] = {}
    for adr, reason in skipped:
        adrs.setdefault(reason, []).append(adr or "(no ticker)")
    return [f"{listed(names)}: {reason}" for reason, names in adrs.items()]


def _why_empty(targets: Targets) -> str:
    venue, n = targets.venue, targets.venue.instruments.index(targets.instrument)
    priced = np.isfinite(venue.ordinaries[:, n])
    if not (priced | venue.without_fx[:, n]).any():
        return f"{ORDINARY_CLOSES} has no price of the ordinary up to adr.end"
    if not priced.any():
        return "no exchange rate is known at any close of the ordinary"
    if targets.no_beta:
        return "no beta is known before any of its days"
    if targets.warm_up:
        return "no US stock has a beta on the index before any of its days"
    return "no two days with prices of the ordinary, the index and the US stocks, the later from adr.start on"


def _features(stocks: UsResiduals, targets: Targets, barred: set[str]) -> pd.DataFrame:
    """Residuals of the US stocks over the intervals of the targets; NaN = missing."""
    kept = [column for column, ticker in enumerate(stocks.tickers) if ticker not in barred]
    return pd.DataFrame(
        stocks.over(targets.before, targets.now)[:, kept], columns=[stocks.tickers[column] for column in kept]
    )


def _summary(desk: Desk, venue: Venue, n: int, targets: Targets, seen: pd.DataFrame) -> FeaturesOf:
    """What the report says about one ADR."""
    table, limit = targets.table, desk.settings.adr.features.suspicious
    least = min(desk.settings.adr.us_betas.min_pairs, len(table))
    # a diagnostic over all rows: nothing is chosen by it
    correlation = Rolling(len(table), min_obs=least).corr(seen.to_numpy(), targets.residual)[-1]
    without_fx = venue.without_fx[venue.days >= _start(desk, venue), n]
    return FeaturesOf(
        adr=targets.instrument.adr,
        exchange=venue.exchange,
        index=venue.index,
        rows=len(table),
        first=venue.days[targets.now[0]],
        last=venue.days[targets.now[-1]],
        features=seen.shape[1],
        multi_day=int(multi_day(venue, targets.before, targets.now).sum()),
        no_beta=targets.no_beta,
        warm_up=targets.warm_up,
        no_fx=int(without_fx.sum()),
        from_future=int((table["index_source"] == "future").sum()),
        asynchronous=int(table["index_asynchronous"].sum()),
        suspicious=tuple(
            (str(seen.columns[i]), float(correlation[i])) for i in np.flatnonzero(np.abs(correlation) > limit)
        ),
    )


def _features_file(targets: Targets, seen: pd.DataFrame) -> Callable[[Path], None]:
    """Writer of the target and the features of one ADR: a missing residual is 0."""
    values = np.column_stack([targets.residual, np.nan_to_num(seen.to_numpy())])
    days = targets.venue.days[targets.now]
    return partial(_write_panel, days, ["ordinary_residual", *seen.columns], values)


def _us_betas_file(stocks: UsResiduals) -> Callable[[Path], None]:
    """Writer of the betas of the US stocks by day, from the first day on which one is known."""
    known = np.flatnonzero(np.isfinite(stocks.betas).any(axis=1))
    rows = slice(known[0] if len(known) else len(stocks.betas), None)
    return partial(_write_panel, stocks.venue.days[rows], stocks.tickers, stocks.betas[rows])


def _write_panel(days: Dates, names: Sequence[str], values: Array, path: Path) -> None:
    """Write an array (T, N) as Parquet; pandas reads it back with the index ``date``.

    Ten times as fast as a data frame of a thousand columns would be written. Pandas' note of the index need
    not name the other columns. A dictionary of numbers that never repeat is of no use.
    """
    dates = days.astype("datetime64[ms]")
    index = pd.DatetimeIndex(dates[:0], name="date")
    note = pa.Schema.from_pandas(pd.DataFrame(index=index, columns=pd.Index([], dtype="str"))).metadata
    columns = [pa.array(dates), *map(pa.array, np.ascontiguousarray(values.T))]
    table = pa.Table.from_arrays(columns, names=["date", *names]).replace_schema_metadata(note)
    pq.write_table(table, path, use_dictionary=False, write_statistics=False, write_page_checksum=True)


def _remove_others(desk: Desk, written: Sequence[Path]) -> None:
    """Delete files of ADRs, exchanges and indices of an earlier run that this run doesn't have."""
    kept = {path.name for path in written}
    for folder in (FEATURES, US_BETAS):
        there = desk.path(folder).glob("*.parquet")
        desk.remove(f"{folder}/{path.name}" for path in there if path.name not in kept)
