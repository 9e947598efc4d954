"""The step `convert`: raw minutes into what the desk works with.

* The bars of an index future and of its currency, both text files, become bars in USD:
  price × multiplier × USD for one unit of the currency, the rate as of the moment in which the bar was known.
* The quotes of the ADRs become the mids at each exchange's close.

What the user has already is used as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow.parquet as pq

from kairos.adr.clock import Clock
from kairos.adr.desk import ADR_MIDS, ADR_QUOTES, FUTURE_TEXTS, Desk
from kairos.adr.files import listed, read_prices, write_prices
from kairos.adr.instruments import read_instruments
from kairos.adr.minutes import FX_COLUMNS, future_name, fx_name, has_future, refuse_bad_bars
from kairos.adr.sources import MID, quoted, read_quotes
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument
    from kairos.market.exchange import Dates

FUTURE_COLUMNS = {"stamp": "TIMESTAMP", "open": "DOUBLE", "high": "DOUBLE", "low": "DOUBLE",
                  "close": "DOUBLE", "volume": "BIGINT"}  # fmt: skip
SAME_MID = 1e-4
"""A mid of the user's file that is further from that of the quotes, as a share of it, is counted."""


@dataclass(frozen=True)
class Converted:
    """Bars of one future.

    Attributes
    ----------
    symbol
        Of the future.
    source
        "user": the files were there; "texts": made here; "none": there are neither.
    bars, without_rate
        Bars made here, and those of them whose rate is missing or older than allowed.
    first, last
        Days of the bars in New York.
    """

    symbol: str
    source: str
    bars: int = 0
    without_rate: int = 0
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class ConvertReport:
    """What the step did.

    Attributes
    ----------
    futures
        One entry for each future in scope.
    mids_source
        Whose file of mids it is: "user", "quotes", or "none" without quotes.
    mids, off
        Mids that the file and the quotes both have, and those that differ by more than a basis point.
    days, adrs
        Of the file made here.
    without_quotes
        ADRs in scope that have no file of quotes.
    set_aside
        Quotes of each ADR that are no quotes: without a price on one side, and crossed.
    """

    futures: tuple[Converted, ...]
    mids_source: str
    mids: int
    off: int
    days: int
    adrs: int
    without_quotes: tuple[str, ...]
    set_aside: Mapping[str, tuple[int, int]]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each future."""
        columns = ["symbol", "source", "bars", "without_rate", "first", "last"]
        return columns, [[getattr(one, column) for column in columns] for one in self.futures]

    def remarks(self) -> list[str]:
        """Plain sentences."""
        said = []
        users = [one.symbol for one in self.futures if one.source == "user"]
        if users:
            said.append(f"The user's own bars of {listed(users, 20)} are used as they are.")
        absent = [one.symbol for one in self.futures if one.source == "none"]
        if absent:
            said.append(f"No minute bars of {listed(absent, 20)}: their ADRs have no minute signal.")
        said += [
            f"{one.symbol}: {one.without_rate} of {one.bars} bars have no exchange rate."
            for one in self.futures
            if one.without_rate
        ]
        if self.mids_source == "user":
            said.append(
                f"The user's own mids at the close are used as they are; {self.off} of {self.mids} differ "
                "from those of the quotes by more than 1 bp."
            )
        elif self.mids_source == "quotes":
            said.append(f"Mids at the close: {self.mids} of {self.adrs} ADRs on {self.days} days.")
        if self.without_quotes:
            said.append(f"No quotes of {listed(self.without_quotes, 20)}: no minute signal.")
        said += set_aside_remarks(self.set_aside)
        return said


def set_aside_remarks(aside: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say how many quotes of which ADR are no quotes."""
    return [
        f"{adr}: {empty} quotes without a price above 0 on one side and {crossed} crossed ones are set aside."
        for adr, (empty, crossed) in aside.items()
        if empty or crossed
    ]


def convert(desk: Desk) -> ConvertReport:
    """Write the bars of the futures in USD and the mids of the ADRs, where the user has none.

    A bar of a future is joined with the last rate known when the bar was, at most `max_age.fx` old::

        usd = price · multiplier · fx_rate

    Without such a rate the bar has no prices. A future in dollars has the rate 1. Mids are those of the last
    quote known at c, at most `max_age.adr_quotes` old; later ones change nothing.

    Raises
    ------
    InputError
        A text is unreadable, its rows are out of order, a minute is there twice or a price not above 0; the
        rate's file is missing, or the multiplier (adr.multipliers); a file of quotes is wrong; a file would
        be replaced that the desk did not make, or bars be written beside those of the user.
    """
    scope = read_instruments(desk)
    contracts = _futures(scope.instruments)
    for one in contracts:
        _refuse_bars_beside(desk, one)
    futures = [_convert(desk, one) for one in contracts]
    files = quoted(desk)
    with_quotes = [one for one in scope.instruments if one.adr in files]
    aside: dict[str, tuple[int, int]] = {}
    columns: dict[str, tuple[Dates, Array]] = {}
    for one in with_quotes:
        columns[one.adr], aside[one.adr] = _mids(desk, one)
    source, mids, off, days = _write_or_compare(desk, columns)
    return ConvertReport(
        futures=tuple(futures),
        mids_source=source,
        mids=mids,
        off=off,
        days=days,
        adrs=len(columns),
        without_quotes=tuple(one.adr for one in scope.instruments if one.adr not in files),
        set_aside=aside,
    )


def converted_here(desk: Desk) -> list[str]:
    """Folders and files that the step writes, because the user doesn't have them."""
    futures = _futures(read_instruments(desk).instruments)
    folders = [future_name(one.symbol) for one in futures if _is_made_here(desk, one)]
    mids = [ADR_MIDS] if quoted(desk) and (desk.force or not desk.is_users(ADR_MIDS)) else []
    return [*folders, *mids]


def raw_texts(desk: Desk) -> list[str]:
    """Texts that the step reads, as far as they are there, and the quotes."""
    futures = [one for one in _futures(read_instruments(desk).instruments) if _is_made_here(desk, one)]
    names = [_text_name(one.symbol) for one in futures]
    names += [fx_name(one.index_currency) for one in futures if one.index_currency != "USD"]
    return [*dict.fromkeys(names), *([ADR_QUOTES] if quoted(desk) else [])]


def _futures(instruments: Sequence[Instrument]) -> list[Instrument]:
    """One instrument for each future, by its symbol."""
    return [one for _, one in sorted({one.symbol: one for one in instruments}.items())]


def _text_name(symbol: str) -> str:
    return f"{FUTURE_TEXTS}/{symbol}_full_1min_continuous_ratio_adjusted.txt"


def _file_name(symbol: str) -> str:
    return f"{future_name(symbol)}/{symbol}_close_to_usd_1min.parquet"


def _is_made_here(desk: Desk, one: Instrument) -> bool:
    """Whether there is a text and no file of the user in the folder."""
    return desk.path(_text_name(one.symbol)).is_file() and (desk.force or not _users_bars(desk, one))


def _users_bars(desk: Desk, one: Instrument) -> list[str]:
    """Files of the user in a future's folder."""
    there = sorted(desk.path(future_name(one.symbol)).glob("*.parquet"))
    names = [f"{future_name(one.symbol)}/{path.name}" for path in there]
    return [name for name in names if desk.is_users(name)]


def _refuse_bars_beside(desk: Desk, one: Instrument) -> None:
    """Refuse to write bars beside those of the user: every minute would be there twice."""
    if not _is_made_here(desk, one):
        return
    if beside := [name for name in _users_bars(desk, one) if name != _file_name(one.symbol)]:
        raise InputError(
            f"{desk.path(beside[0])}: --force would write the bars of {one.symbol} beside yours, and every "
            "minute would be there twice; move your file away"
        )


def _convert(desk: Desk, one: Instrument) -> Converted:
    if not _is_made_here(desk, one):
        return Converted(one.symbol, "user" if has_future(desk, one.symbol) else "none")
    bars = _in_usd(desk, one)
    desk.save(
        [
            (
                _file_name(one.symbol),
                partial(pq.write_table, bars, compression="zstd", write_page_checksum=True),
            )
        ]
    )
    days = bars["timestamp"].to_pandas().dt.strftime("%Y-%m-%d")
    return Converted(one.symbol, "texts", len(bars), bars["fx_rate"].null_count, days.iloc[0], days.iloc[-1])


def _in_usd(desk: Desk, one: Instrument) -> pa.Table:
    """Bars of a future joined with the rates of its currency."""
    text, settings = desk.path(_text_name(one.symbol)), desk.settings.adr
    if one.symbol not in settings.multipliers:
        raise InputError(
            f"adr.multipliers: no multiplier of {one.symbol}, whose bars are in {text}; say what one index "
            "point is worth in its currency"
        )
    rates = desk.path(fx_name(one.index_currency))
    if one.index_currency != "USD" and not rates.is_file():
        raise InputError(
            f"{rates}: the file is missing; it holds minute rates of {one.index_currency} in USD, by which "
            f"the bars of {one.symbol} are converted"
        )
    minute = "INTERVAL 1 MINUTE"
    of_future = minute if settings.bar_label.futures == "start" else "INTERVAL 0 MINUTE"
    of_rate = minute if settings.bar_label.fx == "start" else "INTERVAL 0 MINUTE"
    with duckdb.connect() as con:
        try:
            con.execute(
                f"""CREATE TABLE bars AS SELECT *, stamp + {of_future} AS known
                FROM read_csv($path, header = false, delim = ',', auto_detect = false,
                              columns = {FUTURE_COLUMNS}, timestampformat = '%Y-%m-%d %H:%M:%S')
                WHERE close IS NOT NULL AND NOT isnan(close)""",
                {"path": str(text)},
            )
            if one.index_currency == "USD":
                con.execute(
                    "CREATE TABLE rates AS SELECT known AS stamp, known, 1.0::DOUBLE AS rate FROM bars"
                )
            else:
                con.execute(
                    f"""CREATE TABLE rates AS
                    SELECT strptime(day || ' ' || clock, '%Y%m%d %H:%M:%S') AS stamp,
                           stamp + {of_rate} AS known, close AS rate
                    FROM read_csv($path, header = false, delim = ',', auto_detect = false,
                                  columns = {FX_COLUMNS})
                    WHERE close IS NOT NULL AND NOT isnan(close)""",
                    {"path": str(rates)},
                )
        except duckdb.Error as error:
            raise InputError(f"{text} or {rates}: {'; '.join(str(error).splitlines()[:3])}") from None
        for path, table, price in ((text, "bars", "close"), (rates, "rates", "rate")):
            rows = con.execute(f"SELECT stamp, {price} AS price FROM {table}").fetchnumpy()  # as in the file
            refuse_bad_bars(path, rows["stamp"], rows["price"])
        if not con.execute("SELECT count(*) FROM bars").fetchall()[0][0]:
            raise InputError(f"{text}: no bar; it holds minute bars of the future {one.symbol}")
        prices = ", ".join(
            f"{name} * $multiplier * rate AS {name}" for name in ("open", "high", "low", "close")
        )
        con.execute("SET TimeZone = 'America/New_York'")
        joined: pa.Table = con.sql(
            f"""WITH joined AS (
                SELECT b.*, r.known AS rated,
                       CASE WHEN epoch(b.known - r.known) <= $max_age THEN r.rate END AS rate
                FROM bars b ASOF LEFT JOIN rates r ON b.known >= r.known)
            SELECT timezone('America/New_York', stamp) AS timestamp, {prices}, volume, rate AS fx_rate,
                   CASE WHEN rate IS NOT NULL THEN epoch(known - rated)::DOUBLE END AS fx_age_s
            FROM joined ORDER BY stamp""",
            params={"multiplier": settings.multipliers[one.symbol], "max_age": settings.max_age.fx},
        ).to_arrow_table()
        return joined


def _mids(desk: Desk, one: Instrument) -> tuple[tuple[Dates, Array], tuple[int, int]]:
    """Mids of an ADR at the closes of its exchange, (D,), and the quotes that were set aside."""
    quotes = read_quotes(desk, one.adr)
    stream, aside = quotes.stream, (quotes.empty, quotes.crossed)
    if not len(stream.known):
        return (np.empty(0, dtype="datetime64[D]"), np.empty(0)), aside
    first, last = stream.known[[0, -1]].astype("datetime64[D]")
    clock = Clock.of(one, first, last)
    rows = stream.newest(clock.reference)
    age = stream.age(rows, clock.reference)
    return (clock.days, stream.take(rows, age, desk.settings.adr.max_age.adr_quotes)[:, MID]), aside


def _write_or_compare(desk: Desk, columns: Mapping[str, tuple[Dates, Array]]) -> tuple[str, int, int, int]:
    """Whose mids they are; mids, those that differ, days."""
    found = {adr: (days[~np.isnan(mids)], mids[~np.isnan(mids)]) for adr, (days, mids) in columns.items()}
    if desk.is_users(ADR_MIDS) and not desk.force:
        there = read_prices(desk.path(ADR_MIDS), what="mids of the ADRs at their ordinaries' closes")
        both, off = 0, 0
        for adr in set(found) & set(there.names):
            days, mids = found[adr]
            _, mine, theirs = np.intersect1d(days, there.dates, return_indices=True)
            share = there.column(adr)[theirs] / mids[mine] - 1.0
            both += int((~np.isnan(share)).sum())
            off += int((np.abs(share) > SAME_MID).sum())
        return "user", both, off, len(there.dates)
    dates = np.unique(np.concatenate([days for days, _ in found.values()] or [np.empty(0, "datetime64[D]")]))
    if not len(dates):
        return "none", 0, 0, 0
    values = np.full((len(dates), len(found)), np.nan)
    for column, (days, mids) in enumerate(found.values()):
        values[np.searchsorted(dates, days), column] = mids
    desk.save([(ADR_MIDS, partial(_write, dates, list(found), values))])
    return "quotes", int((~np.isnan(values)).sum()), 0, len(dates)


def _write(dates: Dates, names: Sequence[str], values: Array, path: Path) -> None:
    write_prices(path, dates, names, values)
