"""Results in the store: daily returns, weights, limits, and a row of the ledger."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.sources import sources
from kairos.equity.backtest.trials import Deflation, daily_returns, deflate, trials_of
from kairos.equity.context import Context
from kairos.errors import InputError
from kairos.evaluation.bootstrap import SEED
from kairos.store import RESULT, Snapshot, Store, Transaction
from kairos.store.ledger import Run, new_run, record, runs

TABLES = {"risk4": "longonly_r4", "ls_opt": "ls_opt", "regime_switching": "regime_switching"}
"""Names under which the manual's queries look for results; other strategies use their own."""

ALIASES = {"regime_switching": "regime"}
"""Second names of results."""

MANUAL = "_manual"
"""Ending of results under the manual's accounting, so that they don't replace honest ones."""


def save(
    store: Store,
    context: Context,
    results: Sequence[BacktestResult],
    *,
    save_as: str | None,
    benchmark: str | None,
    trials: int,
    wait: bool,
) -> list[tuple[BacktestResult, Run]]:
    """Publish results together; each is deflated by the trials in the ledger and those of this call."""
    named = []
    for result in results:
        name = result_name(result.strategy.name, save_as, several=len(results) > 1)
        if result.bridge is not None and save_as is None:
            name += MANUAL
        named.append((result, name, run_row(context, result, name, benchmark)))
    saved = []
    with store.publish(wait=wait) as tx:
        known = [*runs(tx.base), *(run for _, _, run in named)]
        for result, name, run in named:
            deflation = _deflation(tx.base, result, run, known, trials)
            run = run.with_headline(**deflation.headline())
            _put(tx, context, result, name, run)
            saved.append((replace(result, deflation=deflation), run))
        record(tx, *(run for _, run in saved))
    return saved


def _deflation(
    snapshot: Snapshot, result: BacktestResult, run: Run, known: Sequence[Run], trials: int
) -> Deflation:
    competing = trials_of(run, known)
    return deflate(
        competing,
        result.judged,
        periods_per_year=result.periods_per_year,
        extra=trials,
        daily=daily_returns(snapshot, competing),
        judged="raw net returns" if result.strategy.neutral else "active net returns",
    )


def result_name(strategy: str, save_as: str | None, *, several: bool) -> str:
    """Suffix of the result tables: the strategy's own name, `save_as`, or `save_as`_strategy when several."""
    name = TABLES.get(strategy, strategy)
    if save_as is not None:
        name = f"{save_as}_{strategy}" if several else save_as
    if not re.fullmatch(r"\w{1,100}", name):
        what = f"the strategy {strategy!r}" if save_as is None else f"--save-as {save_as!r}"
        raise InputError(
            f"{what}: the name of a result is made of letters, digits and underscores, 100 at most"
        )
    return name


def run_row(context: Context, result: BacktestResult, name: str, benchmark: str | None) -> Run:
    """The row of the ledger; without a name the daily results are not stored."""
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
    return new_run(
        shlex.join(["equity", "backtest", strategy.name, *flags]),
        snapshot=result.facts["snapshot"],
        config={
            "strategy": strategy.model_dump(mode="json"),
            "equity": context.settings.part("equity"),
            "asked": asked,
        },
        headline={
            **result.headline(),
            "data": result.facts["prices"],
            "namespace": result.facts["namespace"],
            "table": f"backtest_results_{name}" if name else "",
            "sources": sources(result, benchmark),
        },
        seed=SEED,
    )


def _put(tx: Transaction, context: Context, result: BacktestResult, name: str, run: Run) -> None:
    meta = {
        RESULT: True,
        "run": run.id,
        "strategy": result.strategy.name,
        "alpha": result.alpha,
        "looks_ahead": result.looks_ahead,
    }
    tables: dict[str, tuple[pa.Table, tuple[str, ...]]] = {
        "results": (result.daily(), ("date",)),
        "weights": (result.fills(), ("date", "ticker")),
        "limits": (result.limits(), ("date", "kind", "limit_of")),
    }
    for kind, (rows, key) in tables.items():
        table = tx.put(f"backtest_{kind}_{name}", [rows], key=key, namespace=context.namespace, meta=meta)
        if name in ALIASES:
            tx.name(f"backtest_{kind}_{ALIASES[name]}", table, context.namespace)
