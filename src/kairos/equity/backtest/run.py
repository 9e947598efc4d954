"""`kairos equity backtest`: strategies on a signal, from the tables to results, weights and ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kairos.equity.backtest.compat import manual
from kairos.equity.backtest.execute import run_strategy
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.save import save
from kairos.equity.backtest.study import bridge, static_universe, stressed
from kairos.equity.columns import resolve
from kairos.equity.context import Context, open_store
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store.ledger import Run


def backtest(
    db: Path,
    strategies: Sequence[str],
    *,
    alpha: str,
    settings: Settings,
    lower_is_better: bool = False,
    benchmark: str | None = None,
    save_as: str | None = None,
    trials: int = 0,
    stress: bool = False,
    namespace: str = "main",
    snapshot: str | None = None,
    wait: bool = False,
    done: Callable[[], object] = lambda: None,
) -> list[tuple[BacktestResult, Run]]:
    """Run strategies on one signal and publish results, weights, limits and a row of the ledger for each.

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
    trials : int
        Trials made elsewhere, on top of those in the ledger, from which the result was chosen.
    stress : bool
        Also run each strategy at other lags, costs and capitals; these runs are not trials and not stored.
    done : function
        Called after each strategy, and after each of its `STRESSES`.

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
    twice = next((name for name in strategies if list(strategies).count(name) > 1), None)
    if twice:
        raise InputError(f"{twice} is named twice: name each strategy once")
    if trials < 0:
        raise InputError(f"--trials {trials}: pass the number of trials made elsewhere, 0 or more")
    store = open_store(db, settings)
    context = Context(store.snapshot(snapshot), settings, namespace)
    column = resolve(context, alpha)
    results = []
    for strategy in chosen:
        if strategy.backtest.compat_manual:
            static = static_universe(store, context, strategy, column, snapshot, wait=wait)
            result = run_strategy(static.context, manual(strategy), column, lower_is_better, benchmark)
            result = replace(
                result, bridge=bridge(static, context, strategy, column, lower_is_better, benchmark)
            )
        else:
            result = run_strategy(context, strategy, column, lower_is_better, benchmark)
        if stress:
            found = stressed(context, strategy, column, lower_is_better, benchmark, done)
            result = replace(result, stress=found)
        results.append(result)
        done()
    return save(store, context, results, save_as=save_as, benchmark=benchmark, trials=trials, wait=wait)
