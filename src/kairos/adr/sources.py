"""The files of minutes as streams: US bars, futures in USD, quotes of the ADRs.

Every reader looks at the columns that it needs. A column `received_at`, where a file has it, says when each
row came in, on the clock of the file's stamps; without it, or where it is empty, a row was on time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kairos.adr.desk import ADR_QUOTES, ETF_MINUTES, US_MINUTES, Desk
from kairos.adr.minutes import check_columns, future_name, refuse_bad_bars
from kairos.adr.reading import decoding
from kairos.adr.stream import Stream
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kairos.adr.minutes import Instants

RECEIVED = "received_at"
UNNAMED = "__index_level_0__"
"""What pandas calls an index without a name in a Parquet file."""

MID, BID, ASK = 0, 1, 2
"""Columns of a stream of quotes."""

LOCAL, RATE, RATE_AGE, IN_USD = 0, 1, 2, 3
"""Columns of a stream of a future: price in its currency, USD for one unit of it, age of that rate in seconds
when the bar was known, price in USD."""


@dataclass(frozen=True)
class Quotes:
    """Quotes of one ADR, and what was set aside.

    Attributes
    ----------
    stream : Stream
        Mid, bid and ask, USD.
    aside : Stream
        The same of what is no quote, as the file has it.
    empty, crossed : int
        Quotes without a price above 0 on one side, and those whose bid is above the ask.
    """

    stream: Stream
    aside: Stream
    empty: int
    crossed: int


def quote_file(desk: Desk, adr: str) -> Path:
    """File of an ADR's quotes."""
    return desk.path(f"{ADR_QUOTES}/ticker={quote(adr, safe='')}/data.parquet")


def quoted(desk: Desk) -> dict[str, Path]:
    """Files of quotes by ADR, sorted."""
    return _by_ticker(desk.path(ADR_QUOTES))


def us_files(desk: Desk) -> dict[str, Path]:
    """Files of minute bars by US ticker, sorted."""
    return _by_ticker(desk.path(US_MINUTES))


def fund_files(desk: Desk) -> dict[str, Path]:
    """Files of minute bars by US fund, sorted."""
    return _by_ticker(desk.path(ETF_MINUTES))


def quoted_span(desk: Desk, adr: str) -> tuple[np.datetime64, np.datetime64] | None:
    """Days of the first and the last quote of an ADR; None when its file is empty."""
    stamps, _, _ = _columns(quote_file(desk, adr), "ts_recv", [], zoned=True)
    if not len(stamps):
        return None
    first, last = np.array([stamps.min(), stamps.max()]).astype("datetime64[D]")
    return first, last


def read_quotes(desk: Desk, adr: str) -> Quotes:
    """Read the best bid and ask of an ADR.

    A quote with a side that is empty, zero or negative, and one whose bid is above its ask, is no quote: it
    is set aside and counted. One with equal sides is.

    Raises
    ------
    InputError
        The file is missing or not Parquet, a column is missing or of another type, stamps have no time zone,
        are out of order or there twice.
    """
    path = quote_file(desk, adr)
    stamps, (bid, ask), received = _columns(path, "ts_recv", ["nbbo_bid", "nbbo_ask"], zoned=True)
    refuse_bad_bars(path, stamps, np.ones(len(stamps)))
    there = (bid > 0.0) & (ask > 0.0) & np.isfinite(bid) & np.isfinite(ask)
    crossed = there & (bid > ask)
    values = np.column_stack([(bid + ask) / 2.0, bid, ask])
    stream, aside = (
        Stream.of(
            stamps[rows],
            values[rows],
            desk.settings.adr.bar_label.adr_quotes,
            received[rows] if received is not None else None,
        )
        for rows in (there & ~crossed, ~there | crossed)
    )
    return Quotes(stream, aside, int((~there).sum()), int(crossed.sum()))


def read_future(desk: Desk, symbol: str) -> Stream:
    """Read the minute bars of an index future, converted to USD.

    ::

        local = close / fx_rate

    A bar without a price or a rate is no price. The files that the step `convert` makes have a column
    `fx_age_s`, the age of the rate when the bar was known; without it a rate is as old as its bar.

    Raises
    ------
    InputError
        There is no file, a column is missing or of another type, bars of a file are out of order, a minute is
        there twice, or a price is not above 0.
    """
    folder = desk.path(future_name(symbol))
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(
            f"{folder}: no Parquet file; it holds minute bars of the future {symbol} in USD, which "
            "`kairos adr convert` makes from the raw texts"
        )
    parts = [_future_part(file) for file in files]
    stamps = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts])
    received = np.concatenate([part[2] for part in parts])
    order = np.argsort(stamps, kind="stable")  # of the files: each is in order by itself
    stamps, values, received = stamps[order], values[order], received[order]
    refuse_bad_bars(folder, stamps, values[:, LOCAL])
    label = desk.settings.adr.bar_label.futures
    return Stream.of(stamps, values, label, None if np.isnat(received).all() else received)


def read_us(desk: Desk, path: Path) -> Stream:
    """Read the minute bars of a US ticker; times are naive, on New York's clock.

    Raises
    ------
    InputError
        The file is not Parquet, a column is missing or of another type, bars are out of order or there twice,
        or a close is not above 0.
    """
    stamps, (closes,), received = _columns(path, "DateTime", ["Close"], zoned=False)
    some = ~np.isnan(closes)
    if not some.all():
        stamps, closes = stamps[some], closes[some]
        received = received[some] if received is not None else None
    refuse_bad_bars(path, stamps, closes)
    return Stream.of(stamps, closes[:, None], desk.settings.adr.bar_label.us, received)


def _by_ticker(folder: Path) -> dict[str, Path]:
    found = sorted(folder.glob("ticker=*/data.parquet"))
    return {unquote(path.parent.name.removeprefix("ticker=")): path for path in found}


def _future_part(path: Path) -> tuple[Instants, np.ndarray, Instants]:
    """Labels, values and arrivals of one file's bars that have both a price and a rate."""
    stamps, (close, rate, age), received = _columns(
        path, "timestamp", ["close", "fx_rate", "fx_age_s"], zoned=True, absent={"fx_age_s": 0.0}
    )
    values = np.column_stack([close / rate, rate, age, close])
    some = ~np.isnan(values[:, LOCAL])
    refuse_bad_bars(path, stamps[some], values[some, LOCAL])
    if received is None:
        received = np.full(len(stamps), np.datetime64("NaT", "ns"))
    return stamps[some], values[some], received[some]


def _columns(
    path: Path,
    stamp: str,
    prices: Sequence[str],
    *,
    zoned: bool,
    absent: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Instants, list[np.ndarray], Instants | None]:
    """Stamps, columns of numbers, and arrivals where the file has them; `absent` stands in for columns."""
    if not path.is_file():
        raise InputError(f"{path}: the file is missing")
    with decoding(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        if stamp not in schema.names and UNNAMED in schema.names:
            stamp = UNNAMED  # the stamps are the index, without a name
        there = [name for name in prices if name in schema.names or name not in absent]
        check_columns(path, schema, stamp, there, zoned=zoned)
        more = [RECEIVED] if RECEIVED in schema.names else []
        if more:
            check_columns(path, schema, RECEIVED, (), zoned=zoned)
        table = file.read([stamp, *there, *more], use_threads=False)
    if table[stamp].null_count:
        row = pc.index(pc.is_null(table[stamp]), True).as_py() + 1
        raise InputError(f"{path}: row {row} has no time ({stamp})")
    stamps = _instants(table, stamp)
    columns = [
        table[name].to_numpy().astype(np.float64, copy=False)
        if name in there
        else np.full(len(stamps), absent[name])
        for name in prices
    ]
    return stamps, columns, _instants(table, RECEIVED) if more else None


def _instants(table: pa.Table, name: str) -> Instants:
    found: Instants = table[name].to_numpy().astype("datetime64[ns]", copy=False)
    return found
