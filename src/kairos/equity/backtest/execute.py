"""One strategy on one signal: from the tables to a result. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kairos.equity.backtest.benchmark import benchmark_returns, follow
from kairos.equity.backtest.inputs import REGIMES, decision_rows, market_of, period, signals_of
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.equity.backtest.strategy import Desk
from kairos.equity.columns import looks_ahead, resolve, warnings_of
from kairos.equity.context import Context
from kairos.errors import InputError
from kairos.settings import Settings, Strategy


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
        context,
    )


def simulated(
    context: Context,
    strategy: Strategy,
    column: str,
    lower_is_better: bool,
    *,
    desk: Callable[[Signals, int], Desk] | None = None,
) -> Simulation:
    """Run the engine on one column; the parts of a mix run on the mix's calendar, lag, capital and costs.

    With a `desk`, made from what the decisions see and the last row, that row decides for it, be it a row of
    the calendar or not.
    """
    strategies = strategies_of(context.settings, strategy)
    first, last = period(context, strategy, column)
    rows = decision_days(first, last, strategy.backtest.rebalance_every, desk is not None)
    signals = signals_of(context, strategies, column, lower_is_better, np.array(rows))
    return simulate(
        market_of(context),
        signals,
        strategy,
        rows,
        last,
        parts=strategies[1:],
        shared=context.shared,
        desk=None if desk is None else desk(signals, last),
    )


def _benchmark_name(strategy: Strategy) -> str:
    if strategy.mix.strategies:
        return "the benchmarks of its parts in the same mix"
    weights = "market-cap weight" if strategy.backtest.benchmark == "cap" else "equal weight"
    return "cash" if strategy.neutral else f"{weights} of the filtered universe"


def strategies_of(settings: Settings, strategy: Strategy) -> list[Strategy]:
    """A strategy, and what it is a mix of, all on its engine.

    Raises
    ------
    InputError
        A part does not exist, or is a mix itself.
    """
    parts = [
        settings.equity.strategy(name).model_copy(update={"backtest": strategy.backtest})
        for name in strategy.mix.strategies
    ]
    nested = [part.name for part in parts if part.mix.strategies]
    if nested:
        raise InputError(f"equity.strategies.{strategy.name}.mix: {nested[0]} is a mix itself")
    return [strategy, *parts]
