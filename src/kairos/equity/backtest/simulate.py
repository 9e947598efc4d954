"""The engine: decide on t, fill at t + lag, hold, drift, pay; raw book, scaled book and benchmark."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.account import Account, Index
from kairos.equity.backtest.book import NOTHING, Book, Decision, book_of, mixed
from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.eligible import Filter, sections
from kairos.equity.backtest.hold import Held, hold
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.scaling import periods_per_year, trailing, whole_sample
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.strategy import Desk, Holding, Target
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.settings import Strategy


@dataclass
class Simulation:
    """One strategy through time.

    Attributes
    ----------
    rows : sequence of int
        Decision rows.
    raw, scaled : Account
        The book in its own units, and scaled to the volatility target; one and the same without a target.
    first, last : int
        Row of the first fill, before which there is no result; the last row.
    decided : list of Decision
        All decisions from the first one that holds a name, also those whose fill lies behind `last`.
    left_out : int
        Times that a name with a signal could not be bought for lack of a known dollar volume or volatility.
    parts : tuple of Simulation
        The strategies that a mix is made of.
    """

    market: Market
    signals: Signals
    strategy: Strategy
    rows: Sequence[int]
    last: int
    raw: Account
    scaled: Account
    parts: tuple[Simulation, ...] = ()
    shared: MutableMapping[Any, Any] = field(default_factory=dict)
    first: int = -1
    decided: list[Decision] = field(default_factory=list)
    left_out: int = 0
    held: Target = NOTHING
    """What the scaled book held at the close of the newest decision."""

    @property
    def filled(self) -> list[Decision]:
        """Decisions with a fill up to the last row."""
        return [d for d in self.decided if d.row + self.strategy.backtest.lag <= self.last]

    @property
    def decisions(self) -> list[int]:
        """Rows of the decisions that are filled."""
        return [d.row for d in self.filled]

    @property
    def fills(self) -> list[int]:
        """Rows of their fills."""
        return [d.row + self.strategy.backtest.lag for d in self.filled]

    @cached_property
    def starts(self) -> Index:
        """(P,) first row of each period, counted from the first fill.

        A period is a session. By rebalances it begins with the session after a fill, and the first one with
        the first fill, on which nothing is earned yet.
        """
        days = self.last + 1 - self.first
        if not self.strategy.backtest.manual.per_rebalance:
            return np.arange(days)
        fills = np.array(self.fills) - self.first
        return np.concatenate([[0], fills[(fills > 0) & (fills < days - 1)] + 1])

    def compounded(self, daily: Vector) -> Vector:
        """(P,) return of each period from the daily ones since the first fill."""
        found: Vector = np.multiply.reduceat(1.0 + daily, self.starts) - 1.0
        return found

    @property
    def scales(self) -> list[float]:
        """Scale of the book at each of them."""
        return [d.scale for d in self.filled]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All books, each once."""
        if self.scaled is self.raw:
            return self.raw, self.raw_bench
        return self.raw, self.scaled, self.raw_bench, self.bench

    @cached_property
    def benchmark(self) -> Held:
        """The filtered universe of each decision date, held on the same calendar."""
        plan = list(zip(self.decisions, self.fills, strict=True))
        if self.parts:

            def target_of(row: int) -> Target:
                parts = [part.benchmark_target(row) for part in self.parts]
                return mixed(self.signals, self.strategy, row, parts)

            return hold(self.market, self.strategy, self.rows[0], self.last, plan, target_of)
        key = self._benchmark_key()
        if key not in self.shared:
            eligible = {d.row: d.eligible for d in self.filled}
            self.shared[key] = hold(
                self.market,
                self.strategy,
                self.rows[0],
                self.last,
                plan,
                lambda row: _universe(self.signals, self.strategy, eligible[row], row),
            )
        held: Held = self.shared[key]
        return held

    @cached_property
    def _benchmark_of(self) -> dict[int, tuple[Index, float]]:
        """Names and scale of the benchmark by decision row."""
        scales = self.benchmark.scales
        return {d.row: (d.eligible, scale) for d, scale in zip(self.filled, scales, strict=True)}

    def benchmark_target(self, row: int) -> tuple[Target, float]:
        """Weights and scale of the benchmark at a decision."""
        if row not in self._benchmark_of:
            return NOTHING, 1.0
        names, scale = self._benchmark_of[row]
        return _universe(self.signals, self.strategy, names, row), scale

    @property
    def raw_bench(self) -> Account:
        """The benchmark in its own units."""
        return self.benchmark.raw

    @property
    def bench(self) -> Account:
        """The benchmark scaled to the volatility target by its own past."""
        return self.benchmark.scaled

    def _benchmark_key(self) -> tuple[Any, ...]:
        """What the benchmark depends on: variants of a strategy share it."""
        names = sha256()
        for decision in self.filled:
            names.update(f"{decision.row} {len(decision.eligible)}".encode())
            names.update(decision.eligible.tobytes())
        settings = self.strategy.backtest
        return (
            "benchmark", names.hexdigest(), self.strategy.neutral, settings.benchmark, settings.lag,
            settings.order_wait, self.rows[0], self.last, self.strategy.target_vol, settings.volatility,
            settings.costs.financing_rate, settings.costs.cash_rate,
        )  # fmt: skip


Trade = tuple[Account, Target, float, float]
"""Account, target, factor on the target's weights, and dollars per dollar of the account's book."""


def decision_days(first: int, last: int, every: int, also_last: bool = False) -> list[int]:
    """Decision rows: every `every`-th session from the first one, the same for every strategy of a run.

    With `also_last` the last row is one too, be it a row of this calendar or not.
    """
    rows = list(range(first, last + 1, every))
    return [*rows, last] if also_last and rows[-1] != last else rows


def simulate(
    market: Market,
    signals: Signals,
    strategy: Strategy,
    rows: Sequence[int],
    last: int,
    *,
    parts: Sequence[Strategy] = (),
    shared: MutableMapping[Any, Any] | None = None,
    desk: Desk | None = None,
) -> Simulation:
    """Run a strategy with decisions on some rows up to row `last`.

    A decision uses row t of the signals and the book held at its close only, whatever happens later. Its
    order fills at the close of t + lag; names without a price then are tried for `order_wait` sessions. The
    volatility scale of a decision comes from raw net returns up to t and applies from the fill.

    Parameters
    ----------
    rows : sequence of int
        Decision rows, ascending (:func:`decision_days`).
    parts : sequence of Strategy
        The strategies that a mix is made of.
    shared : mapping, optional
        Where cross-sections and benchmarks are kept that variants of a strategy have in common.
    desk : Desk, optional
        Whom the decision of row `last` is for. The parts of a mix go by the books that they would hold.
    """
    shared = {} if shared is None else shared
    own = None if desk is None else replace(desk, held=None)
    runs = tuple(simulate(market, signals, part, rows, last, shared=shared, desk=own) for part in parts)

    def run(chosen: Strategy, scale_of: Callable[[Vector], float]) -> Simulation:
        return _simulate(market, signals, chosen, rows, last, runs, shared, scale_of, desk)

    if strategy.target_vol and strategy.backtest.scales_by_all:
        plain = run(strategy.model_copy(update={"target_vol": 0.0}), lambda _: 1.0)
        returns = (
            plain.raw.ret[:0] if plain.first < 0 else plain.compounded(plain.raw.ret[plain.first : last + 1])
        )
        fixed = whole_sample(strategy, returns, periods_per_year(strategy))
        return run(strategy, lambda _: fixed)
    return run(strategy, lambda past: trailing(strategy, past))


def _simulate(
    market: Market,
    signals: Signals,
    strategy: Strategy,
    rows: Sequence[int],
    last: int,
    parts: tuple[Simulation, ...],
    shared: MutableMapping[Any, Any],
    scale_of: Callable[[Vector], float],
    desk: Desk | None,
) -> Simulation:
    lag, costs = strategy.backtest.lag, Costs.of(strategy.backtest)
    raw = Account(market, costs, rows[0], keep_book=True)
    scaled = Account(market, costs, rows[0], keep_book=True) if strategy.target_vol else raw
    run = Simulation(market, signals, strategy, rows, last, raw, scaled, parts, shared)
    chosen = Filter.of(strategy, costs, last)
    seen = sections(shared, signals, chosen)
    choose = book_of(strategy, market, signals, [part.decided for part in parts])
    pending: list[tuple[int, int, list[Trade]]] = []  # fill row, decision row, trades
    for t in rows:
        _advance(run, pending, t, replaced=lag == 0)
        if t not in seen:
            seen[t] = chosen.section(signals, market, t)
        section, left_out = seen[t]
        run.left_out += left_out
        past = run.raw.ret[run.first : t + 1] if run.first >= 0 else run.raw.ret[:0]
        scale = scale_of(past)
        run.held = scaled.target
        holding = Holding(raw.target, scaled.target.times(1.0 / scale), scale)
        if desk is not None and t == last:
            holding = held_by(desk, raw.target, scaled.target, scale)
            section = replace(section, barred=np.isin(section.names, desk.barred))
        book = choose(t, section, holding) if signals.allowed[t] else Book(NOTHING)
        target = book.target
        if run.first < 0 and not len(target.names):
            continue
        run.decided.append(Decision(t, book, section.names, scale))
        if t + lag <= last:
            run.first = t + lag if run.first < 0 else run.first
            trades = [(raw, target, 1.0, scale)]
            if strategy.target_vol:
                trades.append((scaled, target, scale, 1.0))
            pending.append((t + lag, t, trades))
    _advance(run, pending, last)
    return run


def _advance(
    run: Simulation, pending: list[tuple[int, int, list[Trade]]], to: int, *, replaced: bool = False
) -> None:
    """Hold the books until row `to`; what is due on the way is filled, at `to` too.

    At one close a name is traded for the newest order only; `replaced` says that one will fill at `to`.
    """
    while pending and pending[0][0] <= to:
        row, decided, trades = pending.pop(0)
        for account, target, factor, dollars in trades:
            account.advance(row, replaced=True)
            account.fill(
                target.times(factor),
                adv=run.signals.adv[decided],
                volatility=run.signals.volatility[decided],
                scale=dollars,
                expires=row + run.strategy.backtest.order_wait,
            )
    for account in (run.raw,) if run.scaled is run.raw else (run.raw, run.scaled):
        account.advance(to, replaced=replaced)


def held_by(desk: Desk, raw: Target, scaled: Target, scale: float) -> Holding:
    """What a desk holds; simulated shorts of names that it can't short don't count as held.

    What is really held was traded at the scale of the last fill, and has drifted since. So its raw book is
    counted with the scale that the simulated books have now: the ratio of their gross exposures.

    Parameters
    ----------
    raw, scaled : Target
        The simulated books.
    scale : float
        Of the next book.
    """
    if desk.held is not None:
        gross = float(np.abs(raw.weight).sum())
        now = float(np.abs(scaled.weight).sum()) / gross if gross else scale
        return Holding(desk.held.times(1.0 / now), desk.held.times(1.0 / scale), scale)
    raw, scaled = (_without(book, desk.barred) for book in (raw, scaled))
    return Holding(raw, scaled.times(1.0 / scale), scale)


def _without(book: Target, barred: Index) -> Target:
    """A book without its shorts of barred names."""
    keeps = (book.weight > 0.0) | ~np.isin(book.names, barred)
    return Target(book.names[keeps], book.weight[keeps])


def _universe(signals: Signals, strategy: Strategy, names: Index, t: int) -> Target:
    """Every filtered name, equally or by market capitalisation; a neutral book is held against cash."""
    if strategy.neutral:
        return NOTHING
    if strategy.backtest.benchmark == "cap":
        cap = np.full(len(names), np.nan) if signals.marketcap is None else signals.marketcap[t, names]
        sized = np.isfinite(cap)
        if not sized.any() and len(cap):
            raise InputError(
                "equity.backtest.benchmark = 'cap' needs the table daily: no market cap is known"
            )
        return Target(names[sized], cap[sized] / cap[sized].sum())
    return Target(names, np.full(len(names), 1.0 / max(len(names), 1)))
