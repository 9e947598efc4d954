"""The engine: decide on t, fill at t + lag, hold, drift, pay; raw book, scaled book and benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.account import Account, Index, Order
from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import CrossSection, Target, decide

if TYPE_CHECKING:
    from kairos.equity.frame import Array, Mask, SomeRows
    from kairos.settings import Strategy

SESSIONS_PER_YEAR = 252


@dataclass(frozen=True)
class Signals:
    """What decisions may look at; row t of each panel is known after the close of session t.

    Only decision rows are read, so the panels need no others.

    Attributes
    ----------
    alpha : (T, N)
        Higher is better.
    members : (T, N) bool
        The universe.
    adv, volatility : (T, N)
        For costs and participation: USD a day, daily volatility.
    allowed : (T,) bool
        False on sessions on which the strategy holds nothing (regimes).
    """

    alpha: Array | SomeRows
    members: Mask | SomeRows
    adv: Array | SomeRows
    volatility: Array | SomeRows
    allowed: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Simulation:
    """One strategy through time.

    Attributes
    ----------
    raw, scaled : Account
        The book in its own units, and scaled to the volatility target; one and the same without a target.
    raw_bench, bench : Account
        The equal-weight benchmark, and the same scaled to the target by its own past.
    first : int
        Row of the first fill; there is no result before it.
    decisions, fills : list of int
        Rows of decisions and of their fills.
    scales : list of float
        Scale of the book at each decision.
    left_out : int
        Names with a signal that could not be bought for lack of a known dollar volume or volatility.
    """

    market: Market
    signals: Signals
    strategy: Strategy
    last: int
    raw: Account
    scaled: Account
    raw_bench: Account
    bench: Account
    first: int = -1
    decisions: list[int] = field(default_factory=list)
    fills: list[int] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    left_out: int = 0

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All books, each once."""
        if self.scaled is self.raw:
            return self.raw, self.raw_bench
        return self.raw, self.scaled, self.raw_bench, self.bench


Trade = tuple[Account, Target, float, float]
"""Account, target, factor on the target's weights, and dollars per dollar of the account's book."""


def calendar(first: int, last: int, every: int) -> range:
    """Decision rows: every `every`-th session from the first one, the same for every strategy of a run."""
    return range(first, last + 1, every)


def simulate(market: Market, signals: Signals, strategy: Strategy, first: int, last: int) -> Simulation:
    """Run a strategy from decision row `first` to row `last`.

    A decision uses row t of the signals only, whatever happens later. Its order fills at the close of
    t + lag; names without a price then are tried for `order_wait` sessions. The volatility scale of a
    decision comes from raw net returns up to t and applies from the fill.
    """
    settings = strategy.backtest
    if strategy.target_vol and settings.volatility.estimate == "full_sample":
        whole = simulate(market, signals, strategy.model_copy(update={"target_vol": 0.0}), first, last)
        spread = [_spread(a.ret[max(whole.first, 0) : last + 1]) for a in (whole.raw, whole.raw_bench)]
        return _simulate(market, signals, strategy, first, last, lambda _, i: _scale(strategy, spread[i]))
    return _simulate(market, signals, strategy, first, last, lambda past, _: _trailing(strategy, past))


def _simulate(
    market: Market,
    signals: Signals,
    strategy: Strategy,
    first: int,
    last: int,
    scale_of: Callable[[Vector, int], float],
) -> Simulation:
    settings = strategy.backtest
    costs, free = Costs.of(settings), Costs.none(settings.capital)
    financed = replace(free, financing_rate=costs.financing_rate, cash_rate=costs.cash_rate)
    raw, raw_bench = Account(market, costs, first, keep_weights=True), Account(market, financed, first)
    scaled = Account(market, costs, first, keep_weights=True) if strategy.target_vol else raw
    bench = Account(market, financed, first) if strategy.target_vol else raw_bench
    run = Simulation(market, signals, strategy, last, raw, scaled, raw_bench, bench)
    pending: list[tuple[int, int, list[Trade]]] = []  # fill row, decision row, trades
    for t in calendar(first, last, settings.rebalance_every):
        _advance(run, pending, t)
        section = _eligible(run, t)
        target = decide(section, strategy)
        if run.first < 0 and not len(target.names):
            continue
        market_weight = Target(section.names, np.full(len(section.names), 1.0 / max(len(section.names), 1)))
        if strategy.bottom_n:
            market_weight = Target(
                section.names[:0], market_weight.weight[:0]
            )  # a neutral book is held against cash
        past = slice(max(run.first, 0), t + 1) if run.first >= 0 else slice(0, 0)
        scale, bench_scale = scale_of(run.raw.ret[past], 0), scale_of(run.raw_bench.ret[past], 1)
        trades = [(raw, target, 1.0, scale), (raw_bench, market_weight, 1.0, 1.0)]
        if strategy.target_vol:
            trades += [(scaled, target, scale, 1.0), (bench, market_weight, bench_scale, 1.0)]
        if t + settings.lag <= last:
            run.first = t + settings.lag if run.first < 0 else run.first
            run.decisions.append(t)
            run.fills.append(t + settings.lag)
            run.scales.append(scale)
            pending.append((t + settings.lag, t, trades))
    _advance(run, pending, last)
    return run


def _advance(run: Simulation, pending: list[tuple[int, int, list[Trade]]], to: int) -> None:
    """Hold all books until row `to`; what is due on the way is filled. A fill at `to` is done too."""
    while pending and pending[0][0] <= to:
        row, decided, trades = pending.pop(0)
        for account, target, factor, dollars in trades:
            account.advance(row)
            account.fill(_order(run, account, target, factor, dollars, decided, row))
    for account in run.accounts:
        account.advance(to)


def _order(
    run: Simulation, account: Account, target: Target, factor: float, dollars: float, decided: int, row: int
) -> Order:
    """Every held name to its target, those that are not wanted to 0, priced by what the decision knew."""
    wanted = np.zeros_like(account.weight)
    wanted[target.names] = target.weight * factor
    names: Index = np.flatnonzero((wanted != 0.0) | (account.weight != 0.0))
    weight = wanted[names]
    expires = row + run.strategy.backtest.order_wait
    adv, volatility = run.signals.adv[decided, names], run.signals.volatility[decided, names]
    return Order(names, weight, adv, volatility, dollars, 1.0 - float(weight.sum()), expires)


def _eligible(run: Simulation, t: int) -> CrossSection:
    """Members with a signal on t that can be priced; nothing when the strategy is out of the market."""
    signals = run.signals
    named = signals.members[t] & np.isfinite(signals.alpha[t]) & signals.allowed[t]
    if Costs.of(run.strategy.backtest).needs_liquidity:
        known = np.isfinite(signals.adv[t]) & np.isfinite(signals.volatility[t]) & (signals.adv[t] > 0.0)
        run.left_out += int((named & ~known).sum())
        named &= known
    names = np.flatnonzero(named)
    return CrossSection(names, signals.alpha[t, names])


def _trailing(strategy: Strategy, past: Vector) -> float:
    """Scale from the last `window` raw net returns up to the decision; 1 with fewer than `min_obs`."""
    rules = strategy.backtest.volatility
    window = past[-rules.window :]
    return _scale(strategy, _spread(window)) if len(window) >= rules.min_obs else 1.0


def _scale(strategy: Strategy, daily: float) -> float:
    """Target / (√252 · daily volatility), at most `max_leverage`; 1 without a target or a volatility."""
    if not strategy.target_vol or not daily > 0.0:
        return 1.0
    scale = strategy.target_vol / (np.sqrt(SESSIONS_PER_YEAR) * daily)
    return float(min(scale, strategy.backtest.volatility.max_leverage))


def _spread(returns: Vector) -> float:
    return float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
