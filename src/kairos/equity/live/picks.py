"""`kairos equity picks`: the book that a strategy wants on a day, and the trades towards it."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.execute import strategies_of
from kairos.equity.backtest.inputs import REGIMES, columns_of
from kairos.equity.columns import resolve
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.live.day import Day, behind_exchange, check_breadth, reach_of, session_of
from kairos.equity.live.decision import Request, check_tradable, decide
from kairos.equity.live.files import write
from kairos.equity.live.holdings import columns_of as columns_of_tickers
from kairos.equity.live.holdings import holdings, read_tickers
from kairos.equity.live.schedule import schedule_of
from kairos.equity.live.summary import summary
from kairos.equity.live.ticket import ticket
from kairos.errors import InputError
from kairos.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from kairos.equity.backtest.account import Index
    from kairos.settings import Strategy


LARGEST = 1e12
"""USD of a book above which a number in a file or a command is a slip."""


@dataclass(frozen=True)
class Picks:
    """The book of a day.

    Attributes
    ----------
    date : date
        The session after whose close the book is decided.
    picks : Table
        One row a name that is wanted, or still held after the trades: rank (by alpha among the names that
        pass the filter), ticker, weight (of capital), sector, alpha_z, vol_blend, adv_20 (USD), price (as
        traded, USD), target_value (USD), and the shares held after the trades.
    trades : Table
        ticker, action (buy, sell, short, cover), shares, price, trade_value, current_value, target_value,
        estimated_cost (USD). What crosses zero stands in two rows.
    summary : dict
        The contents of ``portfolio_summary.json``.
    """

    date: dt.date
    picks: pa.Table
    trades: pa.Table
    summary: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The summary."""
        return self.summary


def picks(
    db: Path,
    strategy: str,
    *,
    alpha: str,
    settings: Settings,
    date: dt.date | None = None,
    lower_is_better: bool = False,
    prior: Path | None = None,
    capital: float | None = None,
    hard_to_borrow: Path | None = None,
    out: Path | None = None,
    namespace: str = "main",
    snapshot: str | None = None,
    now: dt.datetime | None = None,
) -> Picks:
    """Decide a strategy's book after the close of a session, by the engine that backtests it.

    The strategy is simulated from its start to the session, on the given capital: its past gives the
    volatility scale, and without `prior` the book that it holds. Lots and the smallest trade are
    `equity.live.lot` and `equity.live.min_trade`.

    Parameters
    ----------
    db : Path
        The catalog.
    strategy : str
        Entry of ``[equity.strategies]``.
    alpha : str
        Column of a feature table, plain or as ``table.column``; higher is better unless `lower_is_better`.
    date : date, optional
        The session; by default the last one, which must then be the exchange's last one too. It need not be
        one of the strategy's calendar.
    prior : Path, optional
        CSV file of what is really held: ``ticker``, and ``shares`` or ``value``; a row CASH for the cash.
    capital : float, optional
        USD that the weights are fractions of. By default the worth of `prior` when it tells the cash, or else
        the strategy's capital.
    hard_to_borrow : Path, optional
        CSV file with the column ``ticker``: names that can't be shorted anew.
    out : Path, optional
        Folder for ``picks.csv``, ``trades.csv`` and ``portfolio_summary.json``; all are written, or none.
    now : datetime, optional
        With its zone; by default this moment.

    Raises
    ------
    InputError
        The date is no session, or none is given and the data are behind the exchange; a table that is read
        ends before it, the cross-section is too thin, a file is wrong, the strategy looks ahead, or it holds
        nothing on that day. Nothing is written then.
    """
    wanted = settings.equity.strategy(strategy)
    check_tradable(wanted, strategies_of(settings, wanted)[1:])
    if capital is not None and not 0.0 < capital < math.inf:
        raise InputError(f"--capital {capital}: an amount above 0, in USD")
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    column = resolve(context, alpha)
    row = session_of(context, date)
    if date is None and (late := behind_exchange(context, now)):
        raise InputError(f"{late}, or ask for --date {context.sessions[row]}. Nothing was written")
    day = Day(context, context.panels(PRICES), row)
    reach = reach_of(context, _tables(context, wanted, column), day.date)
    price, age = day.prices()
    held = None if prior is None else holdings(prior, day, price)
    worth = None
    if held is not None and held.cash is not None:
        worth = held.cash + float(held.shares @ price[held.names])
        if capital is None and not worth > 0.0:
            raise InputError(f"{prior}: positions and cash are worth {worth:,.2f} USD; give --capital")
    funds = capital or worth or wanted.backtest.capital
    _check_size(funds, "--capital" if capital or prior is None else f"{prior}, positions and cash together")
    if held is not None:
        gross = float(np.abs(held.shares) @ price[held.names])
        _check_size(gross, f"{prior}, positions")
    barred, strangers = _barred(hard_to_borrow, day)
    engine = wanted.backtest.model_copy(update={"end": day.date, "capital": funds})
    request = Request(
        strategy=wanted.model_copy(update={"backtest": engine}),
        alpha=column,
        lower_is_better=lower_is_better,
        prior=held,
        barred=barred,
        strangers=tuple(strangers),
    )
    run, dropped = decide(request, day, price)
    names = run.decided[-1].eligible
    signal = run.signals.alpha[day.row, names]
    check_breadth(signal, f"names pass the filter of {strategy}", settings.equity.live, day.date)
    made = ticket(request, run, day, price, settings.equity.live)
    plan = schedule_of(context.sessions, run.rows[0], day.row, engine.rebalance_every, engine.lag)
    told = summary(request, run, day, made, age, dropped, reach, plan)
    found = Picks(day.date, made.picks(), made.trades(), told)
    if out is not None:
        write(out, {"picks.csv": found.picks, "trades.csv": found.trades, "portfolio_summary.json": told})
    return found


def _tables(context: Context, strategy: Strategy, column: str) -> list[str]:
    """The tables that the decision reads."""
    strategies = strategies_of(context.settings, strategy)
    names = [name.partition(".")[0] for name in columns_of(context, strategies, column)]
    if any(s.regimes or s.mix.strategies for s in strategies) or context.has(f"{REGIMES}.regime"):
        names.append(REGIMES)
    sizing = resolve(context, strategy.backtest.columns.sizing).partition(".")[0]
    return ["sep_base", PRICES, "universe", *names, sizing]


def _barred(path: Path | None, day: Day) -> tuple[Index, list[str]]:
    """Columns of the names that can't be shorted, and tickers that have never been listed up to the day."""
    if path is None:
        return np.zeros(0, dtype=np.int64), []
    tickers = read_tickers(path)
    column = columns_of_tickers(day, tickers)
    return np.unique(column[column >= 0]), [tickers[i] for i in np.flatnonzero(column < 0)]


def _check_size(funds: float, where: str) -> None:
    if funds > LARGEST:
        raise InputError(
            f"{where}: {funds:,.0f} USD is more than any market takes ({LARGEST:,.0f}): check it"
        )
