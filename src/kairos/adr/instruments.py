"""Which ADRs are worked on: each ordinary with its ADR, exchange, currency, index and future.

The map joins ``adr_info.csv`` with ``futures_symbols.csv`` (by the future's Bloomberg symbol) and
``close_time_offsets.csv`` (by the exchange). What is in scope must be complete, and what isn't is listed with
the reason; a defect of a row that no ADR in scope uses disturbs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kairos.adr.desk import (
    ADR_INFO,
    CLOSE_OFFSETS,
    FUTURES_SYMBOLS,
    INDEX_CLOSES,
    ORDINARY_CLOSES,
    US_SECTORS,
    Desk,
)
from kairos.adr.files import US_LINE, Record, listed, read_names, read_records
from kairos.errors import InputError
from kairos.market import is_exchange

HUNDREDTHS = {"GBp": "GBP", "GBX": "GBP"}
"""Codes of a hundredth of a currency, as Bloomberg and others write pence."""

UNITS = {"s": 1, "sec": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Instrument:
    """An ordinary share in scope, its ADR, and what it is compared with.

    Attributes
    ----------
    adr
        Ticker of the ADR without " US Equity".
    ordinary
        The ordinary's column in the price files, e.g. "BP/ LN Equity".
    name
        Company, as far as the file has one.
    exchange
        Market code of the ordinary's exchange.
    currency, unit
        ISO currency in which the ordinary is quoted, and how much of it a quoted 1 is: 0.01 for pence.
    sh_per_adr
        Ordinary shares in one ADR.
    future
        Bloomberg symbol of the index future ("Z").
    symbol
        Symbol of its minute bars ("FTUK").
    index, index_currency
        Column of the index file ("UKX") and the currency of index and future.
    hedge
        US fund of the market.
    close_offset, close_offset_early
        Seconds from the calendar's close to the closing auction's price, and on half-days where that differs.
    """

    adr: str
    ordinary: str
    name: str
    exchange: str
    currency: str
    unit: float
    sh_per_adr: float
    future: str
    symbol: str
    index: str
    index_currency: str
    hedge: str
    close_offset: int
    close_offset_early: int | None


@dataclass(frozen=True)
class Skipped:
    """An ADR that is not worked on, and why."""

    adr: str
    ordinary: str
    exchange: str
    reason: str


@dataclass(frozen=True)
class InstrumentMap:
    """The ADRs of a data directory.

    Attributes
    ----------
    instruments
        Those in scope, by ADR.
    skipped
        The others, in the order of the file.
    """

    instruments: tuple[Instrument, ...]
    skipped: tuple[Skipped, ...]

    @property
    def by_adr(self) -> dict[str, Instrument]:
        """The instruments by their ADR."""
        return {instrument.adr: instrument for instrument in self.instruments}

    @property
    def exchanges(self) -> dict[str, Instrument]:
        """For each exchange, sorted, one of its instruments: they share the offsets of the close."""
        return {one.exchange: one for one in sorted(self.instruments, key=lambda one: one.exchange)}


@dataclass(frozen=True)
class UsStock:
    """Sector of a US stock, and its issuer where the file tells it ("" otherwise)."""

    ticker: str
    sector: str
    issuer: str


def read_instruments(desk: Desk) -> InstrumentMap:
    """Read the map of instruments and hold it against the files of closes.

    Parameters
    ----------
    desk : Desk
        The data directory; ``settings.adr.exchanges`` says what is in scope.

    Raises
    ------
    InputError
        A file, a column or a cell that an ADR in scope needs is missing or unreadable; an exchange is
        unknown; an ADR or an ordinary appears twice; a future or an index is not mapped; an exchange has no
        offset; the files of closes have no column for an ordinary or an index. The message names file, row
        and ADR.
    """
    scope = desk.settings.adr.exchanges
    for exchange in scope:
        if not is_exchange(exchange):
            raise InputError(f"adr.exchanges: {exchange!r} is not a known market code, such as XLON")
    chosen, skipped = [], []
    for record in _adr_info(desk):
        reason = _reason_to_skip(record, scope)
        if reason:
            skipped.append(
                Skipped(record["adr"].removesuffix(US_LINE), record["id"], record["exchange"], reason)
            )
        else:
            chosen.append(record)
    if not chosen:
        raise InputError(f"{desk.path(ADR_INFO)}: no ADR of the exchanges {', '.join(scope)} (adr.exchanges)")
    _refuse_twice(chosen, "adr")
    _refuse_twice(chosen, "id")
    futures, offsets = _futures(desk), _offsets(desk)
    found = sorted((_instrument(record, futures, offsets) for record in chosen), key=lambda one: one.adr)
    _columns_exist(desk, found)
    return InstrumentMap(tuple(found), tuple(skipped))


def read_us_sectors(desk: Desk) -> dict[str, UsStock]:
    """Sector, and issuer if there is such a column, of each US ticker; empty without ``us_sectors.csv``.

    Raises
    ------
    InputError
        A column or a ticker is missing, or a ticker appears twice.
    """
    if not desk.path(US_SECTORS).is_file():
        return {}
    stocks: dict[str, UsStock] = {}
    records = read_records(desk.path(US_SECTORS), ["ticker", "sector"], what="sectors of US stocks")
    for record in records:
        ticker = record["ticker"].removesuffix(US_LINE)
        if not ticker or ticker in stocks:
            raise record.wrong("ticker", "expected each US ticker once")
        stocks[ticker] = UsStock(ticker, record["sector"], record.cells.get("issuer", ""))
    return stocks


def _adr_info(desk: Desk) -> list[Record]:
    columns = ("id", "adr", "exchange", "currency", "sh_per_adr", "index_future_bbg", "market_etf_hedge")
    return read_records(desk.path(ADR_INFO), columns, what="the ADRs and their ordinaries")


def _reason_to_skip(record: Record, scope: Sequence[str]) -> str:
    if not is_exchange(record["exchange"]):
        raise record.wrong("exchange", "expected a market code, such as XLON")
    if record["exchange"] not in scope:
        return f"exchange {record['exchange']} is not in scope (adr.exchanges)"
    if not record["adr"]:
        return f"no ADR is given for the ordinary ({ADR_INFO}, row {record.row})"
    return ""


def _futures(desk: Desk) -> dict[str, list[Record]]:
    """Rows of the futures by Bloomberg symbol."""
    columns = ["bloomberg_symbol", "first_rate_symbol", "index", "currency"]
    return _by(
        "bloomberg_symbol",
        read_records(desk.path(FUTURES_SYMBOLS), columns, what="the index of each future"),
    )


def _offsets(desk: Desk) -> dict[str, list[Record]]:
    """Rows of the closing offsets by exchange; the column ``offset_early`` is optional."""
    return _by(
        "exchange_mic",
        read_records(
            desk.path(CLOSE_OFFSETS),
            ["exchange_mic", "offset"],
            what="the time from each exchange's close to its closing auction",
        ),
    )


def _by(column: str, records: Iterable[Record]) -> dict[str, list[Record]]:
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(record[column], []).append(record)
    return rows


def _instrument(
    record: Record, futures: dict[str, list[Record]], offsets: dict[str, list[Record]]
) -> Instrument:
    future = _the_row(record, "index_future_bbg", futures, FUTURES_SYMBOLS)
    offset = _the_row(record, "exchange", offsets, CLOSE_OFFSETS)
    for column in ("index", "first_rate_symbol"):
        if not future[column]:
            raise InputError(
                f"{future.path}, row {future.row}: no {column} for the future of {record['adr']}"
            )
    currency, unit = _currency(record)
    early = offset.cells.get("offset_early", "")
    return Instrument(
        adr=_us_ticker(record),
        ordinary=_filled(record, "id"),
        name=record.cells.get("name", ""),
        exchange=record["exchange"],
        currency=currency,
        unit=unit,
        sh_per_adr=record.positive("sh_per_adr"),
        future=record["index_future_bbg"],
        symbol=future["first_rate_symbol"],
        index=future["index"],
        index_currency=_currency(future)[0],
        hedge=record["market_etf_hedge"],
        close_offset=_seconds(offset, "offset"),
        close_offset_early=_seconds(offset, "offset_early") if early else None,
    )


def _the_row(record: Record, column: str, rows: dict[str, list[Record]], where: str) -> Record:
    """The one row that a cell of an ADR in scope points to."""
    found = rows.get(_filled(record, column), [])
    if len(found) != 1:
        count = "no row" if not found else "more than one row"
        raise record.wrong(column, f"{where} has {count} for it, which {record['adr']} needs")
    return found[0]


def _filled(record: Record, column: str) -> str:
    if not record[column]:
        raise record.wrong(column, f"{record['adr']} needs it")
    return record[column]


def _us_ticker(record: Record) -> str:
    ticker = record["adr"].removesuffix(US_LINE)
    if " " in ticker:
        raise record.wrong("adr", "expected a US line such as 'BP US Equity'")
    return ticker


def _currency(record: Record) -> tuple[str, float]:
    """ISO code, and how much of the currency a quoted 1 is."""
    code = record["currency"]
    if code in HUNDREDTHS:
        return HUNDREDTHS[code], 0.01
    if not re.fullmatch("[A-Z]{3}", code):
        raise record.wrong("currency", "expected an ISO code such as EUR, or GBp for pence")
    return code, 1.0


def _seconds(record: Record, column: str) -> int:
    found = re.fullmatch(rf"(\d+) ?({'|'.join(UNITS)})", record[column])
    if not found:
        raise record.wrong(column, "expected a length of time such as 6min (units s, sec, min, h)")
    return int(found[1]) * UNITS[found[2]]


def _refuse_twice(records: Sequence[Record], column: str) -> None:
    for value, rows in _by(column, records).items():
        if len(rows) > 1:
            raise rows[1].wrong(column, f"{value} stands in row {rows[0].row} already")


def _columns_exist(desk: Desk, instruments: Sequence[Instrument]) -> None:
    """Every ordinary and index has its column of closes."""
    for name, what, of in (
        (ORDINARY_CLOSES, "closes of the ordinaries", "ordinary"),
        (INDEX_CLOSES, "closes of the indices", "index"),
    ):
        columns = read_names(desk.path(name), what=what)
        absent = [f"{getattr(one, of)} ({one.adr})" for one in instruments if getattr(one, of) not in columns]
        if absent:
            raise InputError(f"{desk.path(name)}: no column {listed(absent)}")
