"""The inputs of the ADR desk, written anew as a trial changes them; the user's folder is only read.

Daily rows are dated, and those of the moment's day are known at the moment, which lies after every close.
Rows of minutes are known when their bar is, or when they arrived. Files without dates, and files that a trial
leaves as they are, are linked.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from kairos.adr.align import DIVIDE, FACTOR_COLUMNS, made_here, us_closes_name
from kairos.adr.baseline import is_given
from kairos.adr.convert import converted_here, raw_texts
from kairos.adr.desk import (
    BASELINE,
    BETAS,
    FUTURE_TEXTS,
    INDEX_CLOSES,
    ORDINARY_CLOSES,
    ORDINARY_OPENS,
    ORDINARY_UNADJUSTED,
    US_FACTORS,
    US_SECTORS,
)
from kairos.adr.files import US_LINE, read_betas, read_names, read_prices, read_records, write_prices
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import files_of
from kairos.adr.minutes import MINUTE, future_name, fx_name, new_york_clock
from kairos.adr.run import MAP
from kairos.adr.sources import RECEIVED, UNNAMED, fund_files, quoted, us_files
from kairos.audit.findings import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kairos.adr.desk import Desk
    from kairos.adr.files import Prices

DAILY_STEP, MINUTE_STEP = 0.02, 0.0005
"""Standard deviations of the random walk that another future is multiplied by, a row."""

SHARE_SPLIT = 1 / 3
"""Share of the tickers that a later split restates."""

NEVER_RESTATED = (INDEX_CLOSES, ORDINARY_UNADJUSTED, ORDINARY_OPENS, BETAS)
"""Daily files in which a split changes nothing before it."""

OHLC = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Change:
    """What a trial does to the inputs.

    Attributes
    ----------
    kind : Trial
    moment : datetime64
        In UTC. ``cut`` and ``future``: the last moment that is left alone; ``start``: the first one.
    day : datetime64[D]
        Its day in New York: the last daily row that is left alone, or the first one. ``split``: a day after
        all data.
    seed : int
        Of the random numbers.
    """

    kind: Trial
    moment: np.datetime64
    day: np.datetime64
    seed: int

    def numbers(self, name: str) -> np.random.Generator:
        """Random numbers of one file."""
        return np.random.default_rng([self.seed, crc32(name.encode())])


def write_inputs(desk: Desk, into: Path, change: Change | None) -> None:
    """Write everything that the desk reads into another folder.

    Files that the desk made itself are left out, for a trial makes them again.

    Parameters
    ----------
    desk
        The user's data directory.
    into
        A new folder.
    change
        What is altered; None links all files as they are.

    Raises
    ------
    InputError
        An input is missing or wrong.
    """
    for name in (*MAP, US_SECTORS):
        if desk.path(name).is_file():
            _link(desk.path(name), into / name)
    for name in _daily_names(desk):
        if change is None:
            _link(desk.path(name), into / name)
        else:
            _write_daily(desk, name, into / name, change)
    if desk.path(US_FACTORS).is_file():
        if change is None:
            _link(desk.path(US_FACTORS), into / US_FACTORS)
        else:
            _write_factors(desk, into / US_FACTORS, change)
    for one in _minute_files(desk):
        if change is None or change.kind is Trial.SPLIT:
            _link(desk.path(one.name), into / one.name)
        else:
            one.write(desk.path(one.name), into / one.name, change)


def users_files(desk: Desk) -> list[str]:
    """What the user brought although the desk could make it: taken as it is, so nothing is known of it."""
    made = converted_here(desk)
    symbols = {one.symbol for one in read_instruments(desk).instruments}
    names = [us_closes_name(e) for e in read_instruments(desk).exchanges if e not in made_here(desk)]
    names += [BETAS] if desk.is_users(BETAS) else []
    folders = [future_name(s) for s in sorted(symbols) if future_name(s) not in made]
    names += [folder for folder in folders if desk.path(folder).is_dir()]
    return names + [name for adr, name in files_of(desk, BASELINE).items() if is_given(desk, adr)]


def _daily_names(desk: Desk) -> list[str]:
    """Wide daily files that are there and that the desk doesn't make."""
    names = [ORDINARY_CLOSES, INDEX_CLOSES, ORDINARY_UNADJUSTED, ORDINARY_OPENS]
    names += [name for name in users_files(desk) if name.endswith(".csv")]
    return [name for name in names if desk.path(name).is_file()]


def _write_daily(desk: Desk, name: str, path: Path, change: Change) -> None:
    prices = _read_daily(desk, name)
    dates, values = prices.dates, prices.values
    if change.kind in (Trial.CUT, Trial.START):
        rows = dates <= change.day if change.kind is Trial.CUT else dates >= change.day
        dates, values = dates[rows], values[rows]
    elif change.kind is Trial.FUTURE:
        steps = change.numbers(name).normal(0.0, DAILY_STEP, values.shape)
        values = values * np.exp(np.cumsum(steps * (dates > change.day)[:, None], axis=0))
    elif name not in NEVER_RESTATED:
        values = values * np.where(change.numbers(name).random(values.shape[1]) < SHARE_SPLIT, 0.5, 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_prices(path, dates, prices.names, values)


def _read_daily(desk: Desk, name: str) -> Prices:
    """The columns of a file that the desk reads."""
    instruments, path, what = read_instruments(desk).instruments, desk.path(name), "an input of the desk"
    there = read_names(path, what=what)
    if name == BETAS:
        return read_betas(path, [one.adr for one in instruments if one.adr in there], what=what)
    if name == INDEX_CLOSES:
        return read_prices(path, sorted({one.index for one in instruments}), what=what)
    if name in (ORDINARY_CLOSES, ORDINARY_UNADJUSTED, ORDINARY_OPENS):
        return read_prices(path, [one.ordinary for one in instruments if one.ordinary in there], what=what)
    return read_prices(path, what=what)


def _write_factors(desk: Desk, path: Path, change: Change) -> None:
    """Factors after the day are not known yet, or are others: splits that restate the past."""
    records = read_records(desk.path(US_FACTORS), FACTOR_COLUMNS, what="adjustment factors")
    rows = [[record[column] for column in FACTOR_COLUMNS] for record in records]
    later = [record.day("adjustment_date") > change.day for record in records]
    if change.kind in (Trial.CUT, Trial.FUTURE):
        rows = [row for row, after in zip(rows, later, strict=True) if not after]
    if change.kind in (Trial.FUTURE, Trial.SPLIT):
        tickers = list(us_files(desk))
        split = change.numbers(US_FACTORS).random(len(tickers)) < SHARE_SPLIT
        ex_date = str(change.day + 1)
        rows += [
            [f"{ticker}{US_LINE}", ex_date, "2", f"{DIVIDE:.0f}", "1"]
            for ticker, chosen in zip(tickers, split, strict=True)
            if chosen
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([FACTOR_COLUMNS, *rows])


@dataclass(frozen=True)
class _Bars:
    """A Parquet file of bars or quotes.

    Attributes
    ----------
    name
        Relative to the data directory.
    stamp
        Column of the times.
    groups
        Columns of prices; those of a group are multiplied alike.
    label
        What a time stands for.
    """

    name: str
    stamp: str
    groups: Sequence[Sequence[str]]
    label: str

    def write(self, source: Path, path: Path, change: Change) -> None:
        table = pq.read_table(source)
        stamp = self.stamp if self.stamp in table.column_names else UNNAMED
        known = table[stamp].to_numpy().astype("datetime64[ns]") + _delay(self.label)
        if RECEIVED in table.column_names:
            known = np.fmax(known, table[RECEIVED].to_numpy().astype("datetime64[ns]"))
        zoned = table.schema.field(stamp).type.tz is not None
        later = _later(known, change, zoned=zoned)
        if change.kind is not Trial.FUTURE:
            keep = later if change.kind is Trial.START else ~later
            if keep.all():
                _link(source, path)
            elif keep.any():
                _write_parquet(table.filter(pa.array(keep)), path)
            return
        if not later.any():
            _link(source, path)
            return
        rng = change.numbers(self.name)
        for group in self.groups:
            factor = _walk(rng, later)
            for name in (name for name in group if name in table.column_names):
                values = table[name].to_numpy().astype(np.float64) * factor
                place = table.column_names.index(name)
                table = table.set_column(place, name, pa.array(values, from_pandas=True))
        _write_parquet(table, path)


@dataclass(frozen=True)
class _Signal:
    """A futures-only signal of the user's; its name relative to the data directory."""

    name: str

    def write(self, source: Path, path: Path, change: Change) -> None:
        frame = pd.read_parquet(source)
        stamps = frame.index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
        later = _later(stamps, change, zoned=True)
        if change.kind is not Trial.FUTURE:
            frame = frame[later if change.kind is Trial.START else ~later]
        else:
            rng = change.numbers(self.name)
            for name in frame.select_dtypes("number"):
                frame[name] = frame[name] + later * rng.normal(0.0, DAILY_STEP, len(frame))
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(frame):
            frame.to_parquet(path)


@dataclass(frozen=True)
class _Text:
    """A vendor's text of bars: no header, New York's clock.

    Attributes
    ----------
    name
        Relative to the data directory.
    clock
        Columns of the time, and how they are written.
    label
        What a time stands for.
    """

    name: str
    clock: Sequence[str]
    form: str
    label: str

    def write(self, source: Path, path: Path, change: Change) -> None:
        names = (*self.clock, *OHLC, "volume")
        table = pyarrow.csv.read_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(column_names=names),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        text = pc.binary_join_element_wise(*(table[name] for name in self.clock), " ")
        stamps = pc.strptime(text, self.form, "s", error_is_null=True).to_numpy().astype("datetime64[ns]")
        later = _later(stamps + _delay(self.label), change, zoned=False)
        if change.kind is not Trial.FUTURE:
            table = table.filter(pa.array(later if change.kind is Trial.START else ~later))
        else:
            factor = _walk(change.numbers(self.name), later)
            for name in OHLC:
                scaled = pc.multiply(_number(table[name]), pa.array(factor)).cast(pa.string())
                place = table.column_names.index(name)
                table = table.set_column(place, name, pc.if_else(pa.array(later), scaled, table[name]))
        path.parent.mkdir(parents=True, exist_ok=True)
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(table, path, options)


def _minute_files(desk: Desk) -> Iterator[_Bars | _Signal | _Text]:
    """Files of minutes that are there and that the desk doesn't make."""
    labels, instruments = desk.settings.adr.bar_label, read_instruments(desk).instruments
    for path in (*us_files(desk).values(), *fund_files(desk).values()):
        yield _Bars(_name(desk, path), "DateTime", [[name.title() for name in OHLC]], labels.us)
    for path in quoted(desk).values():
        yield _Bars(_name(desk, path), "ts_recv", [["nbbo_bid", "nbbo_ask"]], labels.adr_quotes)
    for folder in (name for name in users_files(desk) if desk.path(name).is_dir()):
        for path in sorted(desk.path(folder).glob("*.parquet")):
            yield _Bars(f"{folder}/{path.name}", "timestamp", [OHLC, ["fx_rate"]], labels.futures)
    for name in (name for name in raw_texts(desk) if name.startswith(FUTURE_TEXTS)):
        yield _Text(name, ["stamp"], "%Y-%m-%d %H:%M:%S", labels.futures)
    for currency in sorted({each for one in instruments for each in (one.currency, one.index_currency)}):
        if desk.path(fx_name(currency)).is_file():
            yield _Text(fx_name(currency), ["day", "clock"], "%Y%m%d %H:%M:%S", labels.fx)
    for adr, name in files_of(desk, BASELINE).items():
        if is_given(desk, adr):
            yield _Signal(name)


def _name(desk: Desk, path: Path) -> str:
    return str(path.relative_to(desk.root.resolve()))


def _delay(label: str) -> np.timedelta64:
    return MINUTE if label == "start" else np.timedelta64(0, "m")


def _later(known: np.ndarray, change: Change, *, zoned: bool) -> np.ndarray:
    """Rows after the moment; of ``start`` those from it on. `zoned`: in UTC, else on New York's clock."""
    instant = np.array([change.moment], dtype="datetime64[ns]")
    moment = (instant if zoned else new_york_clock(instant))[0]
    later: np.ndarray = known >= moment if change.kind is Trial.START else known > moment
    return later


def _walk(rng: np.random.Generator, later: np.ndarray) -> np.ndarray:
    """Factors of another future: 1 up to the moment, a random walk after it."""
    factor: np.ndarray = np.exp(np.cumsum(rng.normal(0.0, MINUTE_STEP, len(later)) * later))
    return np.where(later, factor, 1.0)


def _number(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(texts, ""), None, texts).cast(pa.float64())


def _write_parquet(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _link(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(source.resolve())
