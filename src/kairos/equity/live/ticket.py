"""From a decision to what is bought and sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.book import rules_of
from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.limits import Rule
from kairos.equity.backtest.strategy import CrossSection
from kairos.equity.columns import resolve
from kairos.equity.live.day import ranks
from kairos.equity.live.lots import Rebalance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.equity.backtest.account import Index
    from kairos.equity.backtest.costs import Vector
    from kairos.equity.backtest.simulate import Simulation
    from kairos.equity.live.day import Day
    from kairos.equity.live.decision import Request
    from kairos.settings import Live, Strategy

Texts = np.ndarray[Any, np.dtype[np.object_]]


@dataclass(frozen=True)
class Ticket:
    """Everything that is held or wanted, and the trades between.

    Attributes
    ----------
    names : (n,) int
        Columns of the grid, ascending.
    ticker, sector : (n,) of str
    weight : (n,)
        Wanted, of capital: the scaled book.
    rank, alpha_z : (n,)
        Among the names that pass the strategy's filter; NaN for others.
    price : (n,)
        USD, as traded.
    current, target, trade : (n,)
        Shares held, shares that the weight would be, and shares traded in whole lots.
    cost : (n,)
        USD, of each trade; NaN where its volume or volatility is unknown.
    adv, volatility : (n,)
        USD a day, daily, as the decision knows them.
    unit : (n,)
        Weight of one share in the raw book.
    rules : tuple of Rule
        Limits of the raw book over many names.
    capital : float
        USD.
    """

    names: Index
    ticker: Texts
    sector: Texts
    weight: Vector
    rank: Vector
    alpha_z: Vector
    sizing: Vector
    price: Vector
    current: Vector
    target: Vector
    trade: Vector
    cost: Vector
    adv: Vector
    volatility: Vector
    unit: Vector
    rules: tuple[Rule, ...]
    capital: float

    @property
    def after(self) -> Vector:
        """(n,) shares held after the trades."""
        return self.current + self.trade

    def picks(self) -> pa.Table:
        """The names that are wanted, or held after the trades, the largest first."""
        wanted = np.flatnonzero((self.weight != 0.0) | (self.after != 0.0))
        wanted = wanted[np.argsort(-np.abs(self.weight[wanted]), kind="stable")]

        def number(values: Vector) -> pa.Array:
            return pa.array(values[wanted], from_pandas=True)

        return pa.table({
            "rank": number(self.rank).cast(pa.int32()),
            "ticker": pa.array(self.ticker[wanted].tolist(), pa.string()),
            "weight": number(self.weight),
            "sector": pa.array(self.sector[wanted].tolist(), pa.string()),
            "alpha_z": number(self.alpha_z),
            "vol_blend": number(self.sizing),
            "adv_20": number(self.adv),
            "price": number(self.price),
            "target_value": number(self.weight * self.capital),
            "shares": number(self.after),
        })  # fmt: skip

    def trades(self) -> pa.Table:
        """The trades, the largest first; what crosses zero is closed in one row and opened in another."""
        crosses = self.current * self.after < 0.0
        closing = np.where(crosses, -self.current, self.trade)
        both = np.concatenate([closing, np.where(crosses, self.trade - closing, 0.0)])
        at = np.concatenate([np.arange(len(self.names))] * 2)
        before = np.concatenate([self.current, np.zeros(len(self.names))])
        traded = np.flatnonzero(both != 0.0)
        traded = traded[np.argsort(-np.abs(self.trade * self.price)[at[traded]], kind="stable")]
        name, shares, held = at[traded], both[traded], before[traded]
        action = np.select(
            [(shares > 0.0) & (held < 0.0), shares > 0.0, held > 0.0], ["cover", "buy", "sell"], "short"
        )
        part = np.abs(shares) / np.abs(self.trade[name])
        return pa.table({
            "ticker": pa.array(self.ticker[name].tolist(), pa.string()),
            "action": pa.array(action.tolist(), pa.string()),
            "shares": pa.array(np.abs(shares)),
            "price": pa.array(self.price[name]),
            "trade_value": pa.array(np.abs(shares) * self.price[name]),
            "current_value": pa.array(self.current[name] * self.price[name]),
            "target_value": pa.array(self.weight[name] * self.capital),
            "estimated_cost": pa.array(self.cost[name] * part, from_pandas=True),
        })  # fmt: skip


def ticket(request: Request, run: Simulation, day: Day, price: Vector, rules: Live) -> Ticket:
    """Size the newest decision of a simulation, against what is really held or else the simulated book."""
    strategy, decision, t = request.strategy, run.decided[-1], day.row
    prior, wanted, capital = request.prior, decision.target, request.capital
    held = run.held.names if prior is None else prior.names
    names = np.union1d(held, wanted.names)
    weight, current = np.zeros(len(names)), np.zeros(len(names))
    weight[np.searchsorted(names, wanted.names)] = wanted.weight * decision.scale
    paid = price[names]
    now = np.searchsorted(names, held)
    if prior is None:  # in whole lots, as if they had been bought
        current[now] = np.trunc(run.held.weight * capital / paid[now] / rules.lot) * rules.lot
    else:
        current[now] = prior.shares
    target = weight * capital / paid
    unit = paid / (capital * decision.scale)
    limits = limits_of(strategy, run, names, np.where(weight == 0.0, current, weight))
    priced = np.isfinite(paid)
    trade = np.zeros(len(names))
    plan = Rebalance(current[priced], target[priced], paid[priced], unit[priced], rules.lot, rules.min_trade)
    inside = [Rule(r.kind, r.label, r.row[priced], r.low, r.high, r.size) for r in limits]
    most = np.inf if strategy.max_name is None else strategy.max_name
    turnover = np.inf if strategy.turnover is None else strategy.turnover
    trade[priced] = plan.within(plan.trades(), most, inside, turnover)
    adv, volatility = run.signals.adv[t, names], run.signals.volatility[t, names]
    cost = Costs.of(strategy.backtest).trade(trade * np.where(priced, paid, 0.0) / capital, volatility, adv)
    place, z = np.full(day.panels.frame.shape[1], np.nan), np.full(day.panels.frame.shape[1], np.nan)
    alpha = run.signals.alpha[t, decision.eligible]
    place[decision.eligible] = ranks(alpha)
    z[decision.eligible] = CrossSection(decision.eligible, alpha).alpha_z
    sizing = day.values(resolve(day.context, strategy.backtest.columns.sizing))
    return Ticket(
        names=names,
        ticker=day.panels.frame.tickers[names],
        sector=day.sectors()[names],
        weight=weight,
        rank=place[names],
        alpha_z=z[names],
        sizing=sizing[names],
        price=paid,
        current=current,
        target=target,
        trade=trade,
        cost=np.where(np.isfinite(cost), cost * capital, np.nan),
        adv=adv,
        volatility=volatility,
        unit=unit,
        rules=limits,
        capital=capital,
    )


def limits_of(strategy: Strategy, run: Simulation, names: Index, side: Vector) -> tuple[Rule, ...]:
    """The limits of the raw book over many names, for any sizes of its positions; a mix has none of its own.

    Parameters
    ----------
    side : (n,)
        Above 0 for longs, below 0 for shorts.
    """
    if strategy.mix.strategies:
        return ()
    decision, signals = run.decided[-1], run.signals
    section = CrossSection(decision.eligible, signals.alpha[decision.row, decision.eligible])
    found = rules_of(strategy, signals, decision.row, section, names, None)
    known = [Rule(r.kind, r.label, np.nan_to_num(r.row), r.low, r.high, r.size) for r in found]
    if strategy.book == "optimised":
        ones = np.ones(len(names))
        gross = Rule("gross", "gross", ones, -np.inf, 1.0, size=True)
        return (*known, gross, Rule("net", "sum of weights", ones, 0.0, 0.0))
    each = 0.5 if strategy.top_n and strategy.bottom_n else 1.0
    longs, shorts = (side > 0.0).astype(float), (side < 0.0).astype(float)
    budget = [Rule("budget", "size of longs", longs, -np.inf, each if strategy.top_n else 0.0, size=True)]
    budget.append(
        Rule("budget", "size of shorts", shorts, -np.inf, each if strategy.bottom_n else 0.0, size=True)
    )
    return (*known, *budget)


def over_many(rules: Sequence[Rule], weight: Vector) -> list[float]:
    """What a book has of each limit."""
    return [float(rule.row @ (np.abs(weight) if rule.size else weight)) for rule in rules]
