"""`kairos equity backtest`: strategies on a signal, from the tables to results, weights and ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kairos.equity.backtest.benchmark import benchmark_returns
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.simulate import Signals, simulate
from kairos.equity.columns import resolve
from kairos.equity.context import PRICES, Context, open_store
from kairos.errors import InputError
from kairos.panel import last_valid
from kairos.settings import Settings, Strategy
from kairos.store import Transaction
from kairos.store.ledger import Run, new_run, record

TABLES = {"risk4": "longonly_r4", "ls_opt": "ls_opt", "regime_switching": "regime_switching"}
"""Names under which the manual's queries look for results; other strategies use their own."""


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
            saved.append((result, _save(tx, context, result, name)))
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
    panels, rules = context.panels(PRICES), strategy.backtest
    frame, columns = panels.frame, rules.columns
    sign = -1.0 if lower_is_better else 1.0
    known = frame.shape[0]
    signals = Signals(
        alpha=sign * panels[column],
        members=np.isfinite(panels["universe.price"]),
        adv=last_valid(panels[columns.adv], within=known),
        volatility=last_valid(panels[columns.volatility], within=known),
        allowed=_allowed(context, strategy),
    )
    has = np.flatnonzero((np.isfinite(signals.alpha) & signals.members).any(axis=1))
    if not len(has):
        raise InputError(f"{column} has no value for any member of the universe")
    first, last = _period(context, strategy, int(has[0]))
    simulation = simulate(_market(context), signals, strategy, first, last)
    if simulation.first < 0:
        raise InputError(
            f"{strategy.name} on {column}: no decision between {frame.sessions[first]} and {frame.sessions[last]} holds a name"
        )
    rows = slice(simulation.first, last + 1)
    bench_raw, bench = simulation.raw_bench.ret[rows], simulation.bench.ret[rows]
    name = "cash" if strategy.bottom_n else "equal weight of the filtered universe"
    if benchmark is not None:
        bench_raw = benchmark_returns(context, benchmark, frame.sessions[rows])
        bench, name = bench_raw, benchmark
    facts = context.facts_of_data()
    return BacktestResult(
        strategy, column, lower_is_better, simulation, panels[columns.beta], bench_raw, bench, name, facts
    )


def _period(context: Context, strategy: Strategy, first_signal: int) -> tuple[int, int]:
    """First decision row and last row: the configured dates inside the data."""
    sessions, rules = context.panels(PRICES).frame.sessions, strategy.backtest
    first = int(np.searchsorted(sessions, np.datetime64(rules.start, "D"))) if rules.start else first_signal
    last = (
        int(np.searchsorted(sessions, np.datetime64(rules.end, "D"), side="right")) - 1
        if rules.end
        else len(sessions) - 1
    )
    if first + rules.lag >= last:
        raise InputError(
            f"the period from {rules.start or sessions[first_signal]} to {rules.end or sessions[-1]} holds no session after the first fill; the data run from {sessions[0]} to {sessions[-1]}"
        )
    return first, last


def _allowed(context: Context, strategy: Strategy) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(T,) True on sessions in one of the strategy's regimes; everywhere when it names none."""
    sessions = context.panels(PRICES).frame.sessions
    if not strategy.regimes:
        return np.ones(len(sessions), dtype=np.bool_)
    rows = context.read("regime_history_academic", ["date", "regime"]).to_pydict()
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


def _save(tx: Transaction, context: Context, result: BacktestResult, name: str) -> Run:
    strategy = result.strategy
    run = new_run(
        f"equity backtest {strategy.name} --alpha {result.alpha}{' --lower-is-better' if result.lower_is_better else ''}",
        snapshot=context.snapshot.id,
        config={"strategy": strategy.model_dump(mode="json"), "equity": context.settings.part("equity")},
        headline={**result.headline(), "data": result.facts["prices"], "table": f"backtest_results_{name}"},
    )
    meta = {"run": run.id, "strategy": strategy.name, "alpha": result.alpha}
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
