"""From the tables to what the decisions of a simulation may look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from kairos.equity.backtest.market import Market
from kairos.equity.backtest.signals import UNKNOWN, Signals
from kairos.equity.columns import resolve
from kairos.equity.context import PRICES, Context
from kairos.equity.frame import Ints, SomeRows
from kairos.equity.sectors import UNKNOWN as NO_SECTOR
from kairos.equity.sectors import sectors
from kairos.errors import InputError
from kairos.settings import Strategy

REGIMES = "regime_history_academic"

SOME = 126
"""Sessions that are looked through at a time for the first signal."""

Made = TypeVar("Made")


def shared(context: Context, key: object, make: Callable[[], Made]) -> Made:
    """What several simulations of one context have in common, made once."""
    if key not in context.shared:
        context.shared[key] = make()
    found: Made = context.shared[key]
    return found


def market_of(context: Context) -> Market:
    """Prices and outcomes of every listing."""
    return shared(context, "market", lambda: Market.of(context))


def signals_of(
    context: Context, strategies: Sequence[Strategy], column: str, lower_is_better: bool, rows: Ints
) -> Signals:
    """Read what the decisions of some strategies need, on the decision `rows` only; each panel once.

    Parameters
    ----------
    strategies : sequence of Strategy
        A strategy, or a mix and what it is made of; they run on the first one's engine.
    column : str
        ``table.column`` of the signal.
    rows : (R,) int
        Rows of the grid, ascending.

    Raises
    ------
    InputError
        A table or column that a strategy needs does not exist.
    """
    engine, key = strategies[0].backtest, rows.tobytes()
    named = _named(context, strategies)
    adv, volatility = named["adv"], named["volatility"]
    held = [need for s in strategies for need in (*(["beta"] if "beta" in s.needs else []), *s.max_exposures)]

    def today(name: str) -> SomeRows:
        return decision_rows(context, name, rows)

    def last(name: str) -> SomeRows:
        return last_known(context, name, rows)

    wanted = [f"{PRICES}.member", column, *named.values()]
    if engine.benchmark == "cap":
        wanted.append("universe.marketcap")
    kept = {adv, volatility, *(named[need] for need in held)}
    with ThreadPoolExecutor(2) as pool:  # reading is most of the work; two files at a time
        market = pool.submit(market_of, context)
        list(pool.map(lambda name: last(name) if name in kept else today(name), dict.fromkeys(wanted)))
        market.result()
    alpha, members = today(column), today(f"{PRICES}.member")
    labels: Sequence[str] = ()
    sector = None
    if any("sector" in strategy.needs for strategy in strategies):
        labels, sector = shared(context, "sectors", lambda: sectors(context))
        if NO_SECTOR in labels:
            sector = np.where(sector == labels.index(NO_SECTOR), -1, sector)
    return Signals(
        alpha=replace(alpha, values=-alpha.values if lower_is_better else alpha.values),
        members=replace(members, values=members.values == 1.0),
        adv=last(adv),
        volatility=last(volatility),
        marketcap=today("universe.marketcap") if engine.benchmark == "cap" else None,
        allowed=_allowed(context, strategies[0]),
        today={need: today(name) for need, name in named.items()},
        last={need: last(named[need]) for need in held},
        sector=sector,
        sectors=labels,
        regime=regimes(context) if strategies[0].mix.strategies else None,
        source=(column, lower_is_better, key, tuple(named.items())),
    )


def _named(context: Context, strategies: Sequence[Strategy]) -> dict[str, str]:
    """Full name of each column that the engine, filters, scores and limits need, by what it is needed as."""
    columns = strategies[0].backtest.columns
    needs = dict.fromkeys(need for s in strategies for need in s.needs if need != "sector")
    always = {key: resolve(context, getattr(columns, key)) for key in ("adv", "volatility", "beta")}
    others = [need for need in needs if need not in always]
    return always | {need: resolve(context, getattr(columns, need, need), as_signal=False) for need in others}


def columns_of(context: Context, strategies: Sequence[Strategy], column: str) -> list[str]:
    """Full names of the columns that a signal and some strategies read."""
    return list(dict.fromkeys([column, *_named(context, strategies).values()]))


def decision_rows(context: Context, name: str, rows: Ints) -> SomeRows:
    """The panel of ``table.column`` on some rows, read once."""
    return shared(context, ("rows", name, rows.tobytes()), lambda: context.panels(PRICES).some(name, rows))


def last_known(context: Context, name: str, rows: Ints) -> SomeRows:
    """The panel of ``table.column`` on some rows, with last known values; read once for both."""

    def make() -> SomeRows:
        here, known = context.panels(PRICES).some_and_last(name, rows)
        context.shared["rows", name, rows.tobytes()] = here
        return known

    return shared(context, ("last known", name, rows.tobytes()), make)


def regimes(context: Context) -> np.ndarray[Any, Any]:
    """(T,) regime label of each session of the grid, `unknown` where there is none."""
    labels: np.ndarray[Any, Any] = context.panels(PRICES)[f"{REGIMES}.regime"]
    return np.array([label or UNKNOWN for label in labels.tolist()], dtype=object)


def _allowed(context: Context, strategy: Strategy) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(T,) True on sessions in one of the strategy's regimes; everywhere when it names none."""
    sessions = context.panels(PRICES).frame.sessions
    if not strategy.regimes:
        return np.ones(len(sessions), dtype=np.bool_)
    return np.isin(regimes(context), list(strategy.regimes))


def period(context: Context, strategy: Strategy, column: str) -> tuple[int, int]:
    """First decision row and last row: the configured dates, or else from the first member with a signal."""
    rules = strategy.backtest
    sessions = context.panels(PRICES).frame.sessions  # the grid is made here, before two threads ask for it
    begin = rules.start or shared(context, ("first signal", column), lambda: _first_signal(context, column))
    end = rules.end or sessions[-1].item()
    first = int(np.searchsorted(sessions, np.datetime64(begin, "D")))
    last = int(np.searchsorted(sessions, np.datetime64(end, "D"), side="right")) - 1
    if first + rules.lag >= last:
        raise InputError(
            f"the period from {begin} to {end} holds no session after the first fill; "
            f"the data run from {sessions[0]} to {sessions[-1]}"
        )
    return first, last


def _first_signal(context: Context, column: str) -> dt.date:
    """First date on which a member has a signal; so many sessions are read at a time until one has."""
    sessions, panels = context.sessions, context.panels(PRICES)
    for begin in range(0, len(sessions), SOME):
        rows = np.arange(begin, min(begin + SOME, len(sessions)))
        with ThreadPoolExecutor(2) as pool:
            value, member = pool.map(partial(panels.some, rows=rows), (column, f"{PRICES}.member"))
        found = (np.isfinite(value.values) & (member.values == 1.0)).any(axis=1)
        if found.any():
            first: dt.date = sessions[rows[found.argmax()]].item()
            return first
    raise InputError(f"{column} has no value for any member of the universe")
