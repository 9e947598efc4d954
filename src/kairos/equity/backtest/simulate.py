"""The engine: decide on t, fill at t + lag, hold, drift, pay; raw book, scaled book and benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.account import Account, Index, Order
from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import CrossSection, Target, decide
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.equity.frame import Array, Mask, SomeRows
    from kairos.settings import Strategy

SESSIONS_PER_YEAR = 252
NOTHING = Target(np.zeros(0, dtype=np.int64), np.zeros(0))


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
    marketcap : (T, N), optional
        USD; only a benchmark by market capitalisation needs it.
    allowed : (T,) bool
        False on sessions on which the strategy holds nothing (regimes).
    """

    alpha: Array | SomeRows
    members: Mask | SomeRows
    adv: Array | SomeRows
    volatility: Array | SomeRows
    marketcap: Array | SomeRows | None
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
        Times that a name with a signal could not be bought for lack of a known dollar volume or volatility.
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
    if strategy.target_vol and strategy.backtest.volatility.estimate == "full_sample":
        plain = simulate(market, signals, strategy.model_copy(update={"target_vol": 0.0}), first, last)
        begin = max(plain.first, 0)
        fixed = [whole_sample(strategy, a.ret[begin : last + 1]) for a in (plain.raw, plain.raw_bench)]
        return _simulate(market, signals, strategy, first, last, lambda _, i: fixed[i])
    return _simulate(market, signals, strategy, first, last, lambda past, _: trailing(strategy, past))


def _simulate(
    market: Market,
    signals: Signals,
    strategy: Strategy,
    first: int,
    last: int,
    scale_of: Callable[[Vector, int], float],
) -> Simulation:
    settings = strategy.backtest
    costs = Costs.of(settings)
    financed = costs.financing_only()
    raw, raw_bench = Account(market, costs, first, keep_book=True), Account(market, financed, first)
    scaled = Account(market, costs, first, keep_book=True) if strategy.target_vol else raw
    scaled_bench = Account(market, financed, first) if strategy.target_vol else raw_bench
    run = Simulation(market, signals, strategy, last, raw, scaled, raw_bench, scaled_bench)
    pending: list[tuple[int, int, list[Trade]]] = []  # fill row, decision row, trades
    for t in calendar(first, last, settings.rebalance_every):
        _advance(run, pending, t, replaced=settings.lag == 0)
        section = _eligible(run, t)
        target = decide(section, strategy) if signals.allowed[t] else NOTHING
        if run.first < 0 and not len(target.names):
            continue
        bench = _benchmark(run, section, t)
        past = slice(run.first, t + 1) if run.first >= 0 else slice(0)
        scale, bench_scale = scale_of(run.raw.ret[past], 0), scale_of(run.raw_bench.ret[past], 1)
        trades = [(run.raw, target, 1.0, scale), (run.raw_bench, bench, 1.0, 1.0)]
        if strategy.target_vol:
            trades += [(run.scaled, target, scale, 1.0), (run.bench, bench, bench_scale, 1.0)]
        if t + settings.lag <= last:
            run.first = t + settings.lag if run.first < 0 else run.first
            run.decisions.append(t)
            run.fills.append(t + settings.lag)
            run.scales.append(scale)
            pending.append((t + settings.lag, t, trades))
    _advance(run, pending, last)
    return run


def _advance(
    run: Simulation, pending: list[tuple[int, int, list[Trade]]], to: int, *, replaced: bool = False
) -> None:
    """Hold all books until row `to`; what is due on the way is filled, at `to` too.

    At one close a name is traded for the newest order only; `replaced` says that one will fill at `to`.
    """
    while pending and pending[0][0] <= to:
        row, decided, trades = pending.pop(0)
        for account, target, factor, dollars in trades:
            account.advance(row, replaced=True)
            account.fill(_order(run, account, target, factor, dollars, decided, row))
    for account in run.accounts:
        account.advance(to, replaced=replaced)


def _benchmark(run: Simulation, section: CrossSection, t: int) -> Target:
    """Every eligible name, equally or by market capitalisation; a book with shorts is held against cash."""
    if run.strategy.bottom_n:
        return NOTHING
    if run.strategy.backtest.benchmark == "cap":
        known = run.signals.marketcap
        cap = np.full(len(section.names), np.nan) if known is None else known[t, section.names]
        sized = np.isfinite(cap)
        if not sized.any() and len(cap):
            raise InputError(
                "equity.backtest.benchmark = 'cap' needs the table daily: no market cap is known"
            )
        return Target(section.names[sized], cap[sized] / cap[sized].sum())
    return Target(section.names, np.full(len(section.names), 1.0 / max(len(section.names), 1)))


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
    """Members with a signal on t whose trades can be priced."""
    signals = run.signals
    named = signals.members[t] & np.isfinite(signals.alpha[t])
    if Costs.of(run.strategy.backtest).needs_liquidity:
        known = np.isfinite(signals.adv[t]) & np.isfinite(signals.volatility[t]) & (signals.adv[t] > 0.0)
        run.left_out += int((named & ~known).sum())
        named &= known
    names = np.flatnonzero(named)
    return CrossSection(names, signals.alpha[t, names])


def trailing(strategy: Strategy, past: Vector) -> float:
    """Scale from the last `window` raw net returns up to the decision; 1 with fewer than `min_obs`."""
    rules = strategy.backtest.volatility
    window = past[-rules.window :]
    return whole_sample(strategy, window) if len(window) >= rules.min_obs else 1.0


def whole_sample(strategy: Strategy, returns: Vector) -> float:
    """Scale target / (√252 · std of the returns), at most `max_leverage`; 1 without a target or a spread."""
    daily = float(returns.std(ddof=1)) if strategy.target_vol and len(returns) > 1 else 0.0
    if not daily > 0.0:
        return 1.0
    scale = strategy.target_vol / (np.sqrt(SESSIONS_PER_YEAR) * daily)
    return float(min(scale, strategy.backtest.volatility.max_leverage))
