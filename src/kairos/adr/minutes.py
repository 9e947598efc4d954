"""Minute bars: the last price known at a time.

One rule for every source: the last price known at or before the time, not older than the source's `max_age`,
else missing. A bar stamped by the start of its minute is known a minute after its stamp, one stamped by the
end at its stamp; the age counts from when the price was known. A row without a price is no price.

Files with naive times hold New York's clock, and times are compared on that clock. It jumps at two in the
morning of two Sundays a year, when none of the markets here trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset

from kairos.adr.desk import FUTURES, FX_MINUTES, Desk
from kairos.adr.files import Array, listed
from kairos.adr.reading import decoding
from kairos.errors import InputError

Instants = np.ndarray[Any, np.dtype[np.datetime64]]

MINUTE = np.timedelta64(1, "m")
NEW_YORK = "America/New_York"
FX_COLUMNS = {"day": "VARCHAR", "clock": "VARCHAR", "open": "VARCHAR", "high": "VARCHAR", "low": "VARCHAR",
              "close": "DOUBLE", "volume": "VARCHAR"}  # fmt: skip


def last_known(
    stamps: Instants, prices: Array, times: Instants, *, label: Literal["start", "end"], max_age: int
) -> Array:
    """Last price known at each time.

    Parameters
    ----------
    stamps : (B,) datetime64
        Strictly increasing labels of the bars, on the same clock as `times`.
    prices : (B,) float64
        Price of each bar, none missing.
    times : (T,) datetime64
        In any order; NaT gives NaN.
    label : {"start", "end"}
        Whether a bar is stamped by the start or the end of its minute.
    max_age : int
        Oldest price that counts, in seconds since it was known.

    Returns
    -------
    (T,) float64
        NaN where no price is known or the last one is too old.

    Examples
    --------
    The bar that starts at 16:35 is known at 16:36, and a minute is as old as a price may be here:

    >>> stamps = np.array(["2024-03-08T16:34", "2024-03-08T16:35"], "datetime64[s]")
    >>> times = np.array(["2024-03-08T16:35:59", "2024-03-08T16:36", "2024-03-08T16:38"], "datetime64[s]")
    >>> last_known(stamps, np.array([1.0, 2.0]), times, label="start", max_age=60)
    array([ 1.,  2., nan])
    """
    known = stamps + MINUTE if label == "start" else stamps
    last = np.searchsorted(known, times, side="right") - 1
    found = np.full(len(times), np.nan)
    some = (last >= 0) & ~np.isnat(times)
    some[some] = times[some] - known[last[some]] <= np.timedelta64(max_age, "s")
    found[some] = prices[last[some]]
    return found


def new_york_clock(times: Instants) -> Instants:
    """Naive New York times of instants in UTC; NaT stays NaT.

    The offset is looked up once an hour, where it can change.

    Examples
    --------
    The US close before and after New York's change of the clock:

    >>> closes = np.array(["2024-03-08T21:00", "2024-03-11T20:00"], "datetime64[ns]")
    >>> new_york_clock(closes).astype("datetime64[m]").astype(str).tolist()
    ['2024-03-08T16:00', '2024-03-11T16:00']
    """
    hours, back = np.unique(times.astype("datetime64[h]"), return_inverse=True)
    zoned = pd.DatetimeIndex(hours.astype("datetime64[ns]"), tz="UTC").tz_convert(NEW_YORK).tz_localize(None)
    shift = zoned.to_numpy().astype("datetime64[ns]") - hours.astype("datetime64[ns]")
    clock: Instants = times.astype("datetime64[ns]") + shift[back]
    return clock


def has_fx(desk: Desk, currency: str) -> bool:
    """Whether the rate of a currency in USD can be had: it is the dollar, or its minute file is there."""
    return currency == "USD" or desk.path(fx_name(currency)).is_file()


def fx_at(desk: Desk, currency: str, times: Instants) -> Array:
    """USD for one unit of a currency at each time.

    Parameters
    ----------
    desk : Desk
        The data directory; reads ``{currency}USD_full_1min.txt``, which has no header: date (yyyymmdd), time,
        open, high, low, close, volume.
    currency : str
        ISO code. The dollar is 1 and needs no file.
    times : (T,) datetime64[ns]
        Instants, UTC.

    Returns
    -------
    (T,) float64
        The last close known at or before each time and at most `max_age.fx` old, NaN otherwise.

    Raises
    ------
    InputError
        The file is missing or unreadable, bars are out of order, a minute is there twice, or a rate is not
        above 0.
    """
    if currency == "USD":
        return np.where(np.isnat(times), np.nan, 1.0)
    path = desk.existing(fx_name(currency), f"minute rates of {currency} in USD")
    label, max_age = desk.settings.adr.bar_label.fx, desk.settings.adr.max_age.fx
    clock = new_york_clock(times)
    if np.isnat(clock).all():
        return np.full(len(times), np.nan)
    first, last = (str(time.astype("datetime64[D]")).replace("-", "") for time in _span(clock, max_age))
    try:
        with duckdb.connect() as con:
            rows = con.execute(
                f"""
                SELECT strptime(day || ' ' || clock, '%Y%m%d %H:%M:%S') AS stamp, close
                FROM read_csv($path, header = false, delim = ',', auto_detect = false, columns = {FX_COLUMNS})
                WHERE day BETWEEN $first AND $last AND NOT isnan(close)
                """,
                {"path": str(path), "first": first, "last": last},
            ).fetchnumpy()
    except duckdb.Error as error:
        raise InputError(f"{path}: {'; '.join(str(error).splitlines()[:3])}") from None
    stamps, rates = rows["stamp"], rows["close"]
    refuse_bad_bars(path, stamps, rates)
    return last_known(stamps, rates, clock, label=label, max_age=max_age)


def has_future(desk: Desk, symbol: str) -> bool:
    """Whether there are minute bars of a future, converted to USD."""
    return any(desk.path(future_name(symbol)).glob("*.parquet"))


def future_at(desk: Desk, symbol: str, times: Instants) -> Array:
    """Price of an index future in its own currency at each time.

    ::

        local = close / fx_rate

    `close` is in USD per contract, so `local` is the quoted price times the contract's multiplier, which
    cancels in returns.

    Parameters
    ----------
    desk : Desk
        The data directory; reads timestamp (with a timezone), close and fx_rate of
        ``symbol={symbol}/*.parquet``.
    symbol : str
        E.g. "FTUK".
    times : (T,) datetime64[ns]
        Instants, UTC.

    Returns
    -------
    (T,) float64
        The last price known at or before each time and at most `max_age.futures` old, NaN otherwise. A bar
        without a price or without a rate is no price.

    Raises
    ------
    InputError
        There are no such files, a column is missing or of another type, bars of a file are out of order, a
        minute is there twice, or a price is not above 0.
    """
    folder = desk.path(future_name(symbol))
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(f"{folder}: no Parquet file; it holds minute bars of the future {symbol} in USD")
    label, max_age = desk.settings.adr.bar_label.futures, desk.settings.adr.max_age.futures
    if np.isnat(times).all():
        return np.full(len(times), np.nan)
    parts = [_future_bars(file, *_span(times, max_age)) for file in files]
    stamps, prices = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(stamps, kind="stable")  # of the files: each is in order by itself
    stamps, prices = stamps[order], prices[order]
    refuse_bad_bars(folder, stamps, prices)
    return last_known(stamps, prices, times, label=label, max_age=max_age)


def _future_bars(path: Path, first: np.datetime64, last: np.datetime64) -> tuple[Instants, Array]:
    """Labels (UTC) and local prices of one file's bars that have both a price and a rate."""
    columns = ["timestamp", "close", "fx_rate"]
    with decoding(path):
        bars = pyarrow.dataset.dataset(str(path))
        check_columns(path, bars.schema, "timestamp", columns[1:], zoned=True)
        stamp, kind = pyarrow.dataset.field("timestamp"), bars.schema.field("timestamp").type
        low, high = (pa.scalar(pd.Timestamp(time, tz="UTC"), kind) for time in (first, last))
        rows = bars.to_table(columns, filter=(stamp >= low) & (stamp <= high))
    prices = rows["close"].to_numpy() / rows["fx_rate"].to_numpy()
    some = ~np.isnan(prices)
    stamps, prices = rows["timestamp"].to_numpy().astype("datetime64[ns]")[some], prices[some]
    refuse_bad_bars(path, stamps, prices)
    return stamps, prices


def check_columns(path: Path, schema: pa.Schema, stamp: str, prices: Sequence[str], *, zoned: bool) -> None:
    """Refuse a file of bars that lacks a column, or whose columns are of another type.

    Parameters
    ----------
    path : Path
        For the message.
    schema : pyarrow.Schema
        Of the file.
    stamp : str
        Column of the times.
    prices : sequence of str
        Columns of numbers.
    zoned : bool
        Whether the times must have a timezone, or must be naive.

    Raises
    ------
    InputError
        Naming the column.
    """
    absent = [name for name in (stamp, *prices) if name not in schema.names]
    if absent:
        raise InputError(f"{path}: no column {listed(absent)}; it has {', '.join(schema.names)}")
    kind = schema.field(stamp).type
    if not pa.types.is_timestamp(kind) or (kind.tz is not None) != zoned:
        wanted = "with a timezone" if zoned else "without a timezone (New York's clock)"
        raise InputError(f"{path}: the column {stamp} is {kind}; expected a timestamp {wanted}")
    for name in prices:
        kind = schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise InputError(f"{path}: the column {name} is {kind}; expected numbers")


def refuse_bad_bars(path: Path, stamps: Instants, prices: Array) -> None:
    """Refuse bars that are out of order or there twice, and prices that are not above 0 or infinite.

    Raises
    ------
    InputError
        Naming the first such bar by its time and its number (1 is the first bar with a price).
    """
    wrong = np.flatnonzero(~(np.diff(stamps) > np.timedelta64(0)))
    if wrong.size:
        b = int(wrong[0]) + 1
        how = "is there twice" if stamps[b] == stamps[b - 1] else f"stands after {_minute(stamps[b - 1])}"
        raise InputError(
            f"{path}: the bar of {_minute(stamps[b])} (number {b + 1}) {how}; times must increase"
        )
    bad = np.flatnonzero(~((prices > 0) & (prices < np.inf)))
    if bad.size:
        b = int(bad[0])
        raise InputError(
            f"{path}: the bar of {_minute(stamps[b])} (number {b + 1}) has the price {prices[b]}"
        )


def _minute(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]")).replace("T", " ")


def _span(times: Instants, max_age: int) -> tuple[np.datetime64, np.datetime64]:
    """First and last label that can matter."""
    known = times[~np.isnat(times)]
    return known.min() - np.timedelta64(max_age, "s") - MINUTE, known.max()


def fx_name(currency: str) -> str:
    """File of a currency's minute rates in USD, relative to the data directory."""
    return f"{FX_MINUTES}/{currency}USD_full_1min.txt"


def future_name(symbol: str) -> str:
    """Folder of a future's minute bars in USD, relative to the data directory."""
    return f"{FUTURES}/symbol={symbol}"
