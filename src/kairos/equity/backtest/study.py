"""The same strategy run again under other assumptions: what a result depends on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kairos.equity.backtest.compat import NAMESPACE, corrections, with_engine
from kairos.equity.backtest.execute import run_strategy, strategies_of
from kairos.equity.backtest.inputs import columns_of
from kairos.equity.build import build
from kairos.equity.context import Context
from kairos.errors import InputError
from kairos.evaluation.capacity import capacity
from kairos.evaluation.performance import Performance
from kairos.settings import Settings, Strategy
from kairos.store import Store

LAGS = (0, 1, 2)
COSTS = (0.5, 1.0, 2.0)
CAPITALS = (1e6, 3e6, 1e7, 3e7, 1e8, 3e8)
STRESSES = len(LAGS) + len(COSTS) + len(CAPITALS)
"""Runs that a strategy is stressed by."""


@dataclass(frozen=True)
class Static:
    """The manual's universe, today's list applied to the past, and how long it took to make."""

    context: Context
    seconds: float


@dataclass(frozen=True)
class Bridge:
    """From the manual's numbers to the true ones, one correction after the other.

    Attributes
    ----------
    steps : tuple of (str, Performance)
        What was corrected last, and the result then; the first is the manual's.
    seconds : float
        What making the manual's universe took.
    """

    steps: tuple[tuple[str, Performance], ...]
    seconds: float


@dataclass(frozen=True)
class Stress:
    """Headline numbers at other lags, costs and capitals; everything else as in the run.

    Attributes
    ----------
    lags, costs, capitals : dict
        By sessions of lag, by factor on half-spread, impact and borrow, by capital in USD.
    capacity : float
        Capital at which the net Sharpe ratio has fallen to half of that at the smallest one; NaN if
        there is nothing to lose, infinite if it has not by the largest.
    """

    lags: dict[int, Performance]
    costs: dict[float, Performance]
    capitals: dict[float, Performance]
    capacity: float


def static_universe(
    store: Store, context: Context, strategy: Strategy, column: str, snapshot: str | None, *, wait: bool
) -> Static:
    """Build the tables that a strategy needs on today's universe, in a namespace of their own.

    Raises
    ------
    InputError
        With an old snapshot, to which nothing can be added.
    """
    if snapshot is not None:
        raise InputError(
            "compat_manual builds today's universe in a namespace of its own, which can't be added to an old "
            "snapshot: leave --snapshot out"
        )
    begun = time.monotonic()
    settings = _with_static_universe(context.settings)
    read = columns_of(context, strategies_of(context.settings, strategy), column)
    tables = sorted({name.partition(".")[0] for name in read})
    build(store.layout.db, tables, settings=settings, into=NAMESPACE, wait=wait)
    return Static(Context(store.snapshot(), settings, NAMESPACE), time.monotonic() - begun)


def _with_static_universe(settings: Settings) -> Settings:
    universe = settings.equity.universe.model_copy(update={"mode": "option_b"})
    return settings.model_copy(update={"equity": settings.equity.model_copy(update={"universe": universe})})


def bridge(
    old: Static,
    context: Context,
    strategy: Strategy,
    column: str,
    lower_is_better: bool,
    benchmark: str | None = None,
) -> Bridge:
    """Run a strategy under the manual's accounting, and after each correction of it."""
    steps = []
    for i, (label, corrected) in enumerate(corrections(strategy)):
        result = run_strategy(context if i else old.context, corrected, column, lower_is_better, benchmark)
        steps.append((label, result.performance))
    return Bridge(tuple(steps), old.seconds)


def stressed(
    context: Context,
    strategy: Strategy,
    column: str,
    lower_is_better: bool,
    benchmark: str | None = None,
    done: Callable[[], object] = lambda: None,
) -> Stress:
    """Run a strategy at other lags, costs and capitals; `done` is called after each."""

    def run(**changes: object) -> Performance:
        changed = with_engine(strategy, **changes)
        found = run_strategy(context, changed, column, lower_is_better, benchmark).performance
        done()
        return found

    engine = strategy.backtest
    dear = {factor: engine.costs.scaled(factor).model_dump() for factor in COSTS}
    capitals = {amount: run(capital=amount) for amount in CAPITALS}
    return Stress(
        lags={lag: run(lag=lag) for lag in LAGS},
        costs={factor: run(costs=costs) for factor, costs in dear.items()},
        capitals=capitals,
        capacity=capacity(list(capitals), [found.sharpe for found in capitals.values()]),
    )
