"""The step `align`: US prices at the close of each foreign exchange, from minute bars.

An ordinary's close and the US prices that stand beside it are taken at one time, the reference time c of the
ordinary's exchange. A file of the user is used as it is and not made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow.parquet as pq

from kairos.adr.desk import US_CLOSES, US_FACTORS, US_MINUTES, Desk
from kairos.adr.files import US_LINE, Array, Dates, Prices, listed, read_prices, read_records, write_prices
from kairos.adr.instruments import Instrument, read_instruments
from kairos.adr.minutes import (
    Instants,
    check_columns,
    last_known,
    new_york_clock,
    refuse_bad_bars,
)
from kairos.adr.reading import decoding
from kairos.errors import InputError
from kairos.market import reference_times, sessions

NEW_YORK = "XNYS"

OPERATOR, FLAG = "adjustment_factor_operator_type", "adjustment_factor_flag"
FACTOR_COLUMNS = ("ticker", "adjustment_date", "adjustment_factor", OPERATOR, FLAG)
DIVIDE, MULTIPLY = 1.0, 2.0
VOLUMES_ONLY = 2.0
"""The flag of a factor that adjusts volumes and no prices; 1 adjusts prices, 3 both."""


@dataclass(frozen=True)
class Factors:
    """Adjustment factors of one ticker.

    Attributes
    ----------
    ex_dates : (K,) datetime64[D]
        Increasing; a date may be there several times.
    multipliers : (K,) float64
        What prices strictly before the ex-date are multiplied by.
    """

    ex_dates: Dates
    multipliers: Array

    def on(self, days: Dates) -> Array:
        """Product of all factors whose ex-date is later than each day, (T,).

        Examples
        --------
        Two for one on 9 January: prices before that day are halved.

        >>> two_for_one = Factors(np.array(["2024-01-09"], "datetime64[D]"), np.array([0.5]))
        >>> two_for_one.on(np.array(["2024-01-08", "2024-01-09", "2024-01-10"], "datetime64[D]"))
        array([0.5, 1. , 1. ])
        """
        later = np.append(np.cumprod(self.multipliers[::-1])[::-1], 1.0)
        product: Array = later[np.searchsorted(self.ex_dates, days, side="right")]
        return product


@dataclass(frozen=True)
class Aligned:
    """What the file of one exchange holds: made by this step, or the user's."""

    exchange: str
    source: str
    first: str
    last: str
    days: int
    tickers: int
    present: float


@dataclass(frozen=True)
class AlignReport:
    """What the step did, exchange by exchange.

    Attributes
    ----------
    exchanges
        A row for each exchange on which an instrument trades.
    without_factors
        US tickers with bars of which the factor file has no row: taken as never adjusted.
    """

    exchanges: tuple[Aligned, ...]
    without_factors: tuple[str, ...]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and rows for a printed table."""
        columns = ["exchange", "source", "first", "last", "days", "tickers", "present"]
        return columns, [[getattr(one, column) for column in columns] for one in self.exchanges]

    def remarks(self) -> list[str]:
        """What the user should know."""
        users = [one.exchange for one in self.exchanges if one.source == "user"]
        said = [f"The user's own files of {listed(users, 20)} are used as they are."] if users else []
        if self.without_factors:
            said.append(
                f"{len(self.without_factors)} US tickers have no adjustment factor at all and are taken as "
                f"never adjusted: {listed(self.without_factors)}."
            )
        return said


def us_closes_name(exchange: str) -> str:
    """File of the US prices at an exchange's close, relative to the data directory."""
    return f"{US_CLOSES}/{exchange}.csv"


def read_us_closes(desk: Desk, exchange: str) -> Prices:
    """Adjusted US prices at the close of an exchange, the user's file or the one of :func:`align`.

    Raises
    ------
    InputError
        As :func:`kairos.adr.files.read_prices`.
    """
    what = f"US prices at the close of {exchange}; `kairos adr align` makes it from minute bars"
    return read_prices(desk.path(us_closes_name(exchange)), what=what)


def align(desk: Desk) -> AlignReport:
    """Sample adjusted US prices at the close of each exchange in scope and write ``{exchange}.csv``.

    ::

        price(d) = raw(c_d) · Π over factors with ex-date > d of the factor

    Rows are the sessions of the exchange on which New York also held one, from the first minute bar to the
    last one or `end`; c_d is the close of that very day, auction included, and raw(c_d) the last bar known at
    or before c_d and at most `max_age.us` old. On a foreign half-day c may lie before New York's open: that
    row has few prices or none, and the step `features` leaves it out.

    Parameters
    ----------
    desk : Desk
        The data directory. Minute bars are needed only for an exchange whose file the user doesn't have.

    Returns
    -------
    AlignReport

    Raises
    ------
    InputError
        There is neither the file of an exchange nor minute bars to make it from; the factor file is missing
        or wrong; bars are out of order, there twice or not above 0 (the message names the file and the bar).

    Notes
    -----
    The row of day d uses bars known at c_d only. Later factors change it: a split multiplies all prices
    before it by one number, so returns between days before it stay what they were.
    """
    exchanges = read_instruments(desk).exchanges
    files = _bar_files(desk)
    to_make = {exchange: exchanges[exchange] for exchange in made_here(desk)}
    factors = read_factors(desk) if to_make else {}
    if to_make:
        desk.save(
            (us_closes_name(exchange), partial(write_prices, dates=p.dates, names=p.names, values=p.values))
            for exchange, p in _sample(desk, to_make, files, factors).items()
        )
    return AlignReport(
        tuple(_describe(desk, exchange) for exchange in exchanges),
        tuple(ticker for ticker in files if to_make and ticker not in factors),
    )


def made_here(desk: Desk) -> list[str]:
    """Exchanges whose file the step makes, because the user has none.

    Raises
    ------
    InputError
        There is neither the file of an exchange nor minute bars to make it from.
    """
    bars = bool(_bar_files(desk))
    return [e for e in read_instruments(desk).exchanges if _is_made_here(desk, e, bars=bars)]


def read_factors(desk: Desk) -> dict[str, Factors]:
    """Adjustment factors by US ticker.

    Operator 1 divides prices before the ex-date by the factor, 2 multiplies them. Factors that adjust volumes
    only, by their flag, are left out.

    Raises
    ------
    InputError
        The file or a column is missing, a factor is not above 0, a date is unreadable, or another operator
        appears (3 and 4 add and subtract, which no product of factors does).
    """
    found: dict[str, list[tuple[np.datetime64, float]]] = {}
    what = "splits and dividends of the US stocks, for which their bars are adjusted"
    for record in read_records(desk.path(US_FACTORS), FACTOR_COLUMNS, what=what):
        factor, operator = record.positive("adjustment_factor"), record.positive(OPERATOR)
        if operator not in (DIVIDE, MULTIPLY):
            raise record.wrong(OPERATOR, "expected 1 (divide by the factor) or 2 (multiply)")
        if record[FLAG] and record.positive(FLAG) == VOLUMES_ONLY:
            continue
        multiplier = 1 / factor if operator == DIVIDE else factor
        ticker = record["ticker"].removesuffix(US_LINE)
        found.setdefault(ticker, []).append((record.day("adjustment_date"), multiplier))
    return {ticker: _factors(rows) for ticker, rows in found.items()}


def read_bars(path: Path) -> tuple[Instants, Array]:
    """Labels (naive, New York's clock) and closes of the minute bars of one US ticker.

    Bars without a close are left out.

    Raises
    ------
    InputError
        The file is not Parquet, a column is missing or of another type, bars are out of order or there
        twice, or a close is not above 0.
    """
    with decoding(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        check_columns(path, file.schema_arrow, "DateTime", ["Close"], zoned=False)
        bars = file.read(["DateTime", "Close"])
    stamps = bars["DateTime"].to_numpy().astype("datetime64[ns]")
    closes = bars["Close"].to_numpy().astype(np.float64)
    some = ~np.isnan(closes)
    refuse_bad_bars(path, stamps[some], closes[some])
    return stamps[some], closes[some]


def _factors(rows: list[tuple[np.datetime64, float]]) -> Factors:
    days, multipliers = zip(*sorted(rows), strict=True)
    return Factors(np.array(days, dtype="datetime64[D]"), np.array(multipliers))


def _bar_files(desk: Desk) -> dict[str, Path]:
    """File of minute bars by US ticker, sorted."""
    found = desk.path(US_MINUTES).glob("ticker=*/data.parquet")
    return {unquote(path.parent.name.removeprefix("ticker=")): path for path in sorted(found)}


def _is_made_here(desk: Desk, exchange: str, *, bars: bool) -> bool:
    """Whether an exchange's file is to be made: there are bars, and no file of the user."""
    name = us_closes_name(exchange)
    if bars:
        return desk.force or not desk.is_users(name)
    if desk.path(name).is_file():
        return False
    raise InputError(
        f"{desk.path(name)}: the file is missing, and so are the minute bars to make it from, "
        f"{desk.path(US_MINUTES)}/ticker=*/data.parquet"
    )


def _sample(
    desk: Desk, exchanges: Mapping[str, Instrument], files: Mapping[str, Path], factors: Mapping[str, Factors]
) -> dict[str, Prices]:
    """Adjusted prices at each exchange's closes; the bars of one ticker are in memory at a time."""
    label, max_age = desk.settings.adr.bar_label.us, desk.settings.adr.max_age.us
    first, last = _first_and_last_day(desk)
    days, times, values = {}, {}, {}
    for exchange, one in exchanges.items():
        both = np.intersect1d(sessions(first, last, exchange), sessions(first, last, NEW_YORK))
        closes = reference_times(exchange, both, one.close_offset, one.close_offset_early)
        days[exchange], times[exchange] = both, new_york_clock(closes)
        values[exchange] = np.full((len(both), len(files)), np.nan)
    for n, (ticker, path) in enumerate(files.items()):
        stamps, prices = read_bars(path)
        for exchange in exchanges:
            raw = last_known(stamps, prices, times[exchange], label=label, max_age=max_age)
            values[exchange][:, n] = raw * factors[ticker].on(days[exchange]) if ticker in factors else raw
    for exchange in exchanges:
        if np.isnan(values[exchange]).all():
            raise InputError(
                f"{desk.path(US_MINUTES)}: no bar at any close of {exchange} from {first} to {last}; "
                "an exchange that closes outside New York's hours can't be in adr.exchanges"
            )
    return {e: Prices(days[e], tuple(files), values[e], desk.path(us_closes_name(e))) for e in exchanges}


def _first_and_last_day(desk: Desk) -> tuple[np.datetime64, np.datetime64]:
    """Days of the first bar, and of the last one or the end of the run, whichever is earlier."""
    bars = desk.path(US_MINUTES) / "ticker=*/data.parquet"
    try:
        with duckdb.connect() as con:
            query = """SELECT min("DateTime")::DATE, max("DateTime")::DATE FROM read_parquet($bars)"""
            first, last = con.execute(query, {"bars": str(bars)}).fetchall()[0]
    except duckdb.Error as error:
        for path in _bar_files(desk).values():
            read_bars(path)  # it names the file, which DuckDB doesn't
        raise InputError(f"{bars}: {'; '.join(str(error).splitlines()[:3])}") from None
    end = desk.settings.adr.end
    first, last = np.datetime64(first, "D"), np.datetime64(min(last, end) if end else last, "D")
    if first > last:
        raise InputError(f"{bars}: the first bar is of {first}, after adr.end = {end}")
    return first, last


def _describe(desk: Desk, exchange: str) -> Aligned:
    prices = read_us_closes(desk, exchange)
    return Aligned(
        exchange=exchange,
        source="user" if desk.is_users(us_closes_name(exchange)) else "bars",
        first=str(prices.dates[0]),
        last=str(prices.dates[-1]),
        days=len(prices.dates),
        tickers=len(prices.names),
        present=float(np.mean(~np.isnan(prices.values))),
    )
