"""`kairos equity backtest`: strategies on a signal, from the tables to results, weights and ledger."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kairos.equity.backtest.benchmark import benchmark_returns, follow
from kairos.equity.backtest.inputs import REGIMES, decision_rows, market_of, period, signals_of
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.equity.columns import looks_ahead, resolve, warnings_of
from kairos.equity.context import Context, open_store
from kairos.errors import InputError
from kairos.settings import Settings, Strategy
from kairos.store import RESULT, Transaction
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
    context: Context,
    strategy: Strategy,
    column: str,
    lower_is_better: bool,
    benchmark: str | None = None,
) -> BacktestResult:
    """Simulate one strategy on one column; nothing is stored."""
    simulation = simulated(context, strategy, column, lower_is_better)
    frame = simulation.market.frame
    if simulation.first < 0:
        begin = period(context, strategy, column)[0]
        raise InputError(
            f"{strategy.name} on {column}: no decision between {frame.sessions[begin]} "
            f"and {frame.sessions[simulation.last]} holds a name"
        )
    days = slice(simulation.first, simulation.last + 1)
    bench_raw, bench = simulation.raw_bench.ret[days], simulation.bench.ret[days]
    name = _benchmark_name(strategy)
    if benchmark is not None:
        bench_raw, bench = follow(simulation, benchmark_returns(context, benchmark, frame.sessions[days]))
        name = benchmark
    labelled = looks_ahead(context, REGIMES) if strategy.regimes or strategy.mix.strategies else []
    facts = context.facts_of_data(list(dict.fromkeys([*warnings_of(context, column), *labelled])))
    beta = resolve(context, strategy.backtest.columns.beta)
    return BacktestResult(
        strategy,
        column,
        lower_is_better,
        simulation,
        decision_rows(context, beta, np.array(simulation.rows)),
        bench_raw,
        bench,
        name,
        facts,
    )


def simulated(
    context: Context, strategy: Strategy, column: str, lower_is_better: bool, *, decide_last: bool = False
) -> Simulation:
    """Run the engine on one column; the parts of a mix run on the mix's calendar, lag, capital and costs."""
    equity = context.settings.equity
    parts = [
        equity.strategy(name).model_copy(update={"backtest": strategy.backtest})
        for name in strategy.mix.strategies
    ]
    nested = [part.name for part in parts if part.mix.strategies]
    if nested:
        raise InputError(f"equity.strategies.{strategy.name}.mix: {nested[0]} is a mix itself")
    first, last = period(context, strategy, column)
    rows = decision_days(first, last, strategy.backtest.rebalance_every, decide_last)
    signals = signals_of(context, [strategy, *parts], column, lower_is_better, np.array(rows))
    return simulate(market_of(context), signals, strategy, rows, last, parts=parts, shared=context.shared)


def _benchmark_name(strategy: Strategy) -> str:
    if strategy.mix.strategies:
        return "the benchmarks of its parts in the same mix"
    weights = "market-cap weight" if strategy.backtest.benchmark == "cap" else "equal weight"
    return "cash" if strategy.neutral else f"{weights} of the filtered universe"


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
