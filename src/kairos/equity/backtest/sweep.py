"""Many variants of a strategy on one signal, as tasks of the executor; each is a trial in the ledger."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from kairos import executor
from kairos.equity.backtest.execute import run_strategy
from kairos.equity.backtest.save import run_row
from kairos.equity.backtest.trials import Deflation, deflate, trials_of
from kairos.equity.columns import resolve
from kairos.equity.context import Context, open_store
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store.ledger import Run, record, runs

Series = np.ndarray[Any, np.dtype[np.float64]]
Dates = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Variant:
    """One variant's row of the ledger, and its daily returns that a Sharpe ratio is taken of."""

    run: Run
    headline: dict[str, Any]
    dates: Dates
    judged: Series


@dataclass(frozen=True)
class Sweep:
    """All variants, the best by what is judged first, and what that one is worth after the choice."""

    variants: tuple[Variant, ...]
    deflation: Deflation


def variants_of(strategy: str, over: Sequence[str]) -> dict[str, str]:
    """Entries of the configuration for all combinations: name of each variant, and its entry as TOML.

    Parameters
    ----------
    over : sequence of str
        ``key=value,value,…`` of the strategy, each value as TOML has it.

    Examples
    --------
    >>> variants_of("risk4", ["turnover=0.1,0.2"])
    {'risk4_1': "{base = 'risk4', turnover = 0.1}", 'risk4_2': "{base = 'risk4', turnover = 0.2}"}
    """
    axes = []
    for text in over:
        key, equals, values = text.partition("=")
        if not equals or not values.strip():
            raise InputError(f"--over {text}: expected key=value,value, e.g. --over turnover=0.1,0.2")
        axes.append([f"{key.strip()} = {value}" for value in _values(values)])
    combinations = enumerate(product(*axes), start=1)
    return {f"{strategy}_{i}": f"{{base = '{strategy}', {', '.join(keys)}}}" for i, keys in combinations}


def _values(text: str) -> list[str]:
    """The values of ``value,value``, as they stand there; commas within arrays and texts part nothing."""
    found, begun = [], ""
    for piece in text.split(","):
        begun = f"{begun},{piece}" if begun else piece
        try:
            tomllib.loads(f"value = {begun}")
        except tomllib.TOMLDecodeError:
            continue
        found.append(begun.strip())
        begun = ""
    if begun:
        raise InputError(f"--over …={text}: {begun.strip()} is no value of TOML; texts stand in quotes")
    return found


def sweep(
    db: Path,
    strategies: Sequence[str],
    *,
    alpha: str,
    settings: Settings,
    lower_is_better: bool = False,
    trials: int = 0,
    namespace: str = "main",
    snapshot: str | None = None,
    wait: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Sweep:
    """Run strategies as tasks of the executor `run`; of each only the row of the ledger is stored.

    Parameters
    ----------
    strategies : sequence of str
        Entries of ``[equity.strategies]``; see :func:`variants_of`.
    trials : int
        Trials made elsewhere.
    progress : function, optional
        Called after each one with how many are done and how many there are.

    Raises
    ------
    InputError
        As :func:`kairos.equity.backtest.backtest`.
    """
    for name in strategies:
        settings.equity.strategy(name)
    store = open_store(db, settings)
    seen = store.snapshot(snapshot)
    column = resolve(Context(seen, settings, namespace), alpha)
    work = partial(_one, db.resolve(), seen.id, namespace, settings, column, lower_is_better)
    found = executor.run(work, list(strategies), workers=settings.run, progress=progress)
    found.sort(key=lambda variant: -np.nan_to_num(variant.headline["judged_sharpe"], nan=-np.inf))
    with store.publish(wait=wait) as tx:
        record(tx, *(variant.run for variant in found))
        known = [*runs(tx.base), *(variant.run for variant in found)]
    best = found[0]
    common = _common(found)
    deflation = deflate(
        trials_of(best.run, known),
        best.judged,
        periods_per_year=best.headline["periods_per_year"],
        extra=trials,
        daily=common,
    )
    return Sweep(tuple(found), deflation)


def _one(
    db: Path,
    snapshot: str,
    namespace: str,
    settings: Settings,
    column: str,
    lower_is_better: bool,
    name: str,
) -> Variant:
    context = _context(db, snapshot, namespace, settings)
    result = run_strategy(context, settings.equity.strategy(name), column, lower_is_better)
    run = run_row(context, result, "", None)
    return Variant(run, result.headline(), result.dates, result.judged)


_read: list[tuple[tuple[object, ...], Context]] = []


def _context(db: Path, snapshot: str, namespace: str, settings: Settings) -> Context:
    """What a process reads once for all its variants: the context of the last call, if it is the same."""
    key = (db, snapshot, namespace, settings)
    if not _read or _read[0][0] != key:
        _read[:] = [(key, Context(open_store(db, settings).snapshot(snapshot), settings, namespace))]
    return _read[0][1]


def _common(variants: Sequence[Variant]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(T, n) returns over the sessions that all variants have."""
    days = variants[0].dates
    for variant in variants[1:]:
        days = np.intersect1d(days, variant.dates)
    return np.column_stack([v.judged[np.searchsorted(v.dates, days)] for v in variants])
