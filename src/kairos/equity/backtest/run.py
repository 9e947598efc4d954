"""`kairos equity backtest`: strategies on a signal, from the tables to results, weights and ledger."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kairos.equity.backtest.benchmark import benchmark_returns, follow
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.simulate import Signals, calendar, simulate
from kairos.equity.columns import looks_ahead, resolve, warnings_of
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.frame import SomeRows
from kairos.errors import InputError
from kairos.panel import carry
from kairos.settings import Settings, Strategy
from kairos.store import RESULT, Transaction
from kairos.store.ledger import Run, new_run, record
from kairos.store.sql import quote, scan

TABLES = {"risk4": "longonly_r4", "ls_opt": "ls_opt", "regime_switching": "regime_switching"}
"""Names under which the manual's queries look for results; other strategies use their own."""

REGIMES = "regime_history_academic"


def backtest(
    db: Path,
    strategies: Sequence[str],
    *,
    alpha: str,
    settings: Settings,
    lower_is_better: bool = False,
    benchmark: str | None = None,
    save_as: str | None = None,
    namespace: str = "main",
    snapshot: str | None = None,
    wait: bool = False,
) -> list[tuple[BacktestResult, Run]]:
    """Run strategies on one signal and publish results, weights and a row of the ledger for each.

    The value of the signal on t is known after the close of t; an order fills at the close of t + lag.

    Parameters
    ----------
    db : Path
        The catalog.
    strategies : sequence of str
        Entries of ``[equity.strategies]``.
    alpha : str
        Column of a feature table, plain or as ``table.column``; higher is better unless `lower_is_better`.
    benchmark : str, optional
        A ticker or a file instead of the equal-weight universe.
    save_as : str, optional
        Name of the result instead of the strategy's; with several strategies it is a prefix.

    Returns
    -------
    list of (BacktestResult, Run)
        One for each strategy, as stored.

    Raises
    ------
    InputError
        A strategy, column or table does not exist, the column looks ahead, or no session has a signal.
    """
    chosen = [settings.equity.strategy(name) for name in strategies]
    if not chosen:
        raise InputError(f"name a strategy: {', '.join(sorted(settings.equity.strategies))}")
    store = open_store(db, settings)
    context = Context(store.snapshot(snapshot), settings, namespace)
    column = resolve(context, alpha)
    results = [run_strategy(context, strategy, column, lower_is_better, benchmark) for strategy in chosen]
    saved = []
    with store.publish(wait=wait) as tx:
        for result in results:
            name = result_name(result.strategy.name, save_as, several=len(results) > 1)
            saved.append((result, _save(tx, context, result, name, benchmark)))
    return saved


def result_name(strategy: str, save_as: str | None, *, several: bool) -> str:
    """Suffix of the result tables: the strategy's own name, `save_as`, or `save_as`_strategy when several."""
    own = TABLES.get(strategy, strategy)
    name = own if save_as is None else f"{save_as}_{own}" if several else save_as
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"--save-as {save_as!r}: a name is made of letters, digits and underscores")
    return name


def run_strategy(
    context: Context, strategy: Strategy, column: str, lower_is_better: bool, benchmark: str | None
) -> BacktestResult:
    """Simulate one strategy on one column; nothing is stored."""
    if strategy.backtest.compat_manual:
        raise InputError(
            "equity.backtest.compat_manual = true: the manual's close-to-close accounting is not part of "
            "this version; set it to false"
        )
    panels, columns = context.panels(PRICES), strategy.backtest.columns
    with ThreadPoolExecutor(2) as pool:  # reading is most of the work; two files at a time
        grid = pool.submit(lambda: (panels.frame, panels.outcomes))
        first, last = _period(context, strategy, column)
        frame, _ = grid.result()
        rows = np.array(calendar(first, last, strategy.backtest.rebalance_every))

        def read(name: str) -> Future[SomeRows]:
            return pool.submit(panels.some, name, rows)

        market = pool.submit(_market, context)
        listed = read(f"{PRICES}.member")
        alpha = read(column)
        adv, volatility, beta = (
            read(resolve(context, name)) for name in (columns.adv, columns.volatility, columns.beta)
        )
        marketcap = read("universe.marketcap") if strategy.backtest.benchmark == "cap" else None
        ranked, named = alpha.result(), listed.result()
        signals = Signals(
            alpha=replace(ranked, values=-ranked.values if lower_is_better else ranked.values),
            members=replace(named, values=named.values == 1.0),
            adv=_last_known(adv.result()),
            volatility=_last_known(volatility.result()),
            marketcap=marketcap.result() if marketcap else None,
            allowed=_allowed(context, strategy),
        )
        simulation = simulate(market.result(), signals, strategy, first, last)  # beta may still be read
    if simulation.first < 0:
        raise InputError(
            f"{strategy.name} on {column}: no decision between {frame.sessions[first]} "
            f"and {frame.sessions[last]} holds a name"
        )
    days = slice(simulation.first, last + 1)
    bench_raw, bench = simulation.raw_bench.ret[days], simulation.bench.ret[days]
    weights = "market-cap weight" if strategy.backtest.benchmark == "cap" else "equal weight"
    name = "cash" if strategy.bottom_n else f"{weights} of the filtered universe"
    if benchmark is not None:
        bench_raw, bench = follow(simulation, benchmark_returns(context, benchmark, frame.sessions[days]))
        name = benchmark
    regimes = looks_ahead(context, REGIMES) if strategy.regimes else []
    facts = context.facts_of_data(list(dict.fromkeys([*warnings_of(context, column), *regimes])))
    return BacktestResult(
        strategy,
        column,
        lower_is_better,
        simulation,
        beta.result(),
        bench_raw,
        bench,
        name,
        facts,
    )


def _last_known(panel: SomeRows) -> SomeRows:
    """Fill in what is missing as the decisions before knew it, in place: a name may outlive its data."""
    carry(panel.values)
    return panel


def _period(context: Context, strategy: Strategy, column: str) -> tuple[int, int]:
    """First decision row and last row: the configured dates, or else from the first member with a signal."""
    sessions, rules = context.sessions, strategy.backtest
    begin = rules.start or _first_signal(context, column)
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
    """First date on which a member has a signal; the parts are read until one has."""
    table, _, name = column.partition(".")
    members = context.table("universe").parts
    for part in context.table(table).parts:
        near = [m.path for m in members if m.lo <= part.hi and part.lo <= m.hi]  # type: ignore[operator]
        if near:
            with context.snapshot.connect() as con:
                found = con.execute(
                    f"SELECT min(date) FROM ({scan(['ticker', 'date', name], [part.path])}) "
                    f"SEMI JOIN ({scan(['ticker', 'date'], near)}) USING (ticker, date) "
                    f"WHERE {quote(name)} IS NOT NULL"
                ).fetchone()
            if found and found[0]:
                first: dt.date = found[0]
                return first
    raise InputError(f"{column} has no value for any member of the universe")


def _allowed(context: Context, strategy: Strategy) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(T,) True on sessions in one of the strategy's regimes; everywhere when it names none."""
    sessions = context.panels(PRICES).frame.sessions
    if not strategy.regimes:
        return np.ones(len(sessions), dtype=np.bool_)
    rows = context.read(REGIMES, ["date", "regime"]).to_pydict()
    wanted = {
        day for day, regime in zip(rows["date"], rows["regime"], strict=True) if regime in strategy.regimes
    }
    return np.isin(sessions, np.array(sorted(wanted), dtype="datetime64[D]"))


def _market(context: Context) -> Market:
    key = "market"
    if key not in context.shared:
        context.shared[key] = Market.of(context)
    market: Market = context.shared[key]
    return market


def _save(tx: Transaction, context: Context, result: BacktestResult, name: str, benchmark: str | None) -> Run:
    strategy = result.strategy
    asked = {
        "--alpha": result.alpha,
        "--lower-is-better": result.lower_is_better,
        "--benchmark": benchmark,
        "--namespace": context.namespace if context.namespace != "main" else None,
    }
    flags = [
        word for flag, value in asked.items() if value for word in (flag, value) if isinstance(word, str)
    ]
    run = new_run(
        shlex.join(["equity", "backtest", strategy.name, *flags]),
        snapshot=context.snapshot.id,
        config={
            "strategy": strategy.model_dump(mode="json"),
            "equity": context.settings.part("equity"),
            "asked": asked,
        },
        headline={**result.headline(), "data": result.facts["prices"], "table": f"backtest_results_{name}"},
    )
    meta = {RESULT: True, "run": run.id, "strategy": strategy.name, "alpha": result.alpha}
    tx.put(
        f"backtest_results_{name}", [result.daily()], key=("date",), namespace=context.namespace, meta=meta
    )
    tx.put(
        f"backtest_weights_{name}",
        [result.fills()],
        key=("date", "ticker"),
        namespace=context.namespace,
        meta=meta,
    )
    record(tx, run)
    return run
