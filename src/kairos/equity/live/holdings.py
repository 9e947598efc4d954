"""What a desk holds, and what it can't borrow, from its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kairos import textfile
from kairos.equity.backtest.market import settled_rows
from kairos.equity.context import PRICES
from kairos.equity.live.day import Day
from kairos.errors import InputError
from kairos.store.sql import quote

if TYPE_CHECKING:
    from kairos.equity.backtest.account import Index
    from kairos.equity.backtest.costs import Vector
    from kairos.equity.frame import Mask

CASH = "CASH"
"""Ticker of the row that tells the cash."""


@dataclass(frozen=True)
class Line:
    """One row of a holdings file: shares, or a value in USD."""

    number: int
    ticker: str
    shares: float | None
    value: float | None


@dataclass(frozen=True)
class PaidOut:
    """A holding of a listing that has ended and been settled: it is cash now."""

    ticker: str
    shares: float
    value: float


@dataclass(frozen=True)
class Holdings:
    """A desk's positions on a day.

    Attributes
    ----------
    names : (n,) int
        Columns of the grid, ascending.
    shares : (n,)
        Below 0 where short.
    cash : float, optional
        USD, with what has been paid out; None when the file doesn't tell.
    paid_out : tuple of PaidOut
        Holdings that the day finds settled.
    """

    names: Index
    shares: Vector
    cash: float | None
    paid_out: tuple[PaidOut, ...]


def read_lines(path: Path) -> list[Line]:
    """Rows of a holdings file: the columns ``ticker``, and ``shares`` or ``value`` (USD) or both.

    Where a row has both, its shares count. Further columns are left out, so an earlier ``picks.csv`` will do.

    Raises
    ------
    InputError
        No such file, no such column, a number that is none, or a ticker that stands there twice.
    """
    found: list[Line] = []
    seen: dict[str, int] = {}
    for number, row in _rows(path):
        if not {"shares", "value"} & row.keys():
            raise InputError(f"{path}: it needs the column shares or value; it has {', '.join(row)}")
        ticker = row["ticker"]
        shares, value = (_number(path, number, row, name) for name in ("shares", "value"))
        if shares is None and value is None:
            raise InputError(f"{path}, line {number}: {ticker} has neither shares nor a value")
        if ticker in seen:
            raise InputError(f"{path}, line {number}: {ticker} stands in line {seen[ticker]} already")
        seen[ticker] = number
        found.append(Line(number, ticker, shares, value))
    return found


def read_tickers(path: Path) -> list[str]:
    """The column ``ticker`` of a file.

    Raises
    ------
    InputError
        No such file or column.
    """
    return [row["ticker"] for _, row in _rows(path)]


def holdings(path: Path, day: Day, price: Vector) -> Holdings:
    """The positions of a file, as the day finds them.

    A ticker means the listing that has it on the day, or had it last. One that has been settled by then is
    paid out: shares · last price · (1 + pay-out of its end).

    Parameters
    ----------
    price : (N,)
        Last price of each listing.

    Raises
    ------
    InputError
        The file is wrong, or a ticker has never been listed up to the day.
    """
    lines = read_lines(path)
    frame, outcomes = day.panels.frame, day.panels.outcomes
    cash = next((line for line in lines if line.ticker == CASH), None)
    lines = [line for line in lines if line.ticker != CASH]
    column = columns_of(day, [line.ticker for line in lines])
    unknown = _named(lines, column < 0)
    if unknown:
        raise InputError(
            f"{path}: not in {PRICES} up to {day.date}: {unknown}. Correct the tickers, or take out what "
            "is no part of this strategy"
        )
    ended = (settled_rows(frame, outcomes) <= day.row)[column]
    last = _last_prices(day, [line.ticker for line, gone in zip(lines, ended, strict=True) if gone])
    paid = []
    for line, at in ((lines[i], column[i]) for i in np.flatnonzero(ended)):
        shares = line.shares if line.shares is not None else (line.value or 0.0) / last[line.ticker]
        worth = shares * last[line.ticker] * (1.0 + float(outcomes.payout[at]))
        paid.append(PaidOut(line.ticker, shares, worth))
    held = np.flatnonzero(~ended)
    told = [lines[i] for i in held]
    value = np.array([np.nan if line.value is None else line.value for line in told])
    shares_told = np.array([np.nan if line.shares is None else line.shares for line in told])
    names = column[held]
    shares_held = np.where(np.isfinite(shares_told), shares_told, value / price[names])
    unpriced = _named(told, ~np.isfinite(price[names]))
    if unpriced:
        raise InputError(f"{path}: no price up to {day.date} of {unpriced}: take them out")
    order = np.argsort(names)
    kept = order[shares_held[order] != 0.0]
    told_cash = None
    if cash is not None:
        amount = cash.value if cash.value is not None else cash.shares or 0.0
        told_cash = amount + sum(holding.value for holding in paid)
    return Holdings(names[kept], shares_held[kept], told_cash, tuple(paid))


def _named(lines: Sequence[Line], which: Mask) -> str:
    return ", ".join(f"{lines[i].ticker} (line {lines[i].number})" for i in np.flatnonzero(which).tolist())


def columns_of(day: Day, tickers: list[str]) -> Index:
    """Column of the listing that each ticker means on the day, -1 where it has never been listed."""
    frame = day.panels.frame
    known = np.flatnonzero(frame.first <= frame.start + day.row)
    newest = dict(zip(frame.tickers[known].tolist(), known.tolist(), strict=True))  # the last listing wins
    return np.array([newest.get(ticker, -1) for ticker in tickers], dtype=np.int64)


def _last_prices(day: Day, tickers: list[str]) -> dict[str, float]:
    """Last price as traded of some tickers up to the day."""
    if not tickers:
        return {}
    with day.context.connect(PRICES) as con:
        rows = con.execute(
            f"SELECT ticker, arg_max(coalesce(closeunadj, close), date) FROM {quote(PRICES)} "
            "WHERE list_contains($tickers, ticker) AND date <= $date GROUP BY ticker",
            {"tickers": tickers, "date": day.date},
        ).fetchall()
    return dict(rows)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows of a CSV file, values without surrounding blanks; empty rows are left out."""
    if not path.is_file():
        raise InputError(f"{path} is not a file; it names a CSV file with the column ticker")
    for line, row in textfile.records(path, ["ticker"]):
        if not row["ticker"]:
            raise InputError(f"{path}, line {line}: the ticker is missing")
        yield line, row


def _number(path: Path, line: int, row: dict[str, str], name: str) -> float | None:
    text = row.get(name, "")
    if not text:
        return None
    value = textfile.number(text)
    if value is None:
        raise InputError(f"{path}, line {line}: {name} {text!r} is no number")
    return value
