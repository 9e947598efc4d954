"""A book that is held, drifts and is traded: weights, cash, daily profit and loss."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import Target
from kairos.errors import WorkError
from kairos.panel import approach, hold, positions

Index = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Order:
    """Weights to reach, for every name that is held or wanted.

    Attributes
    ----------
    names : (n,) int
        Columns of the market.
    weight : (n,)
        Weight to reach, as a fraction of equity.
    adv, volatility : (n,)
        Average daily dollar volume (USD) and daily volatility, as known at the decision.
    scale : float
        Dollars per dollar of the book that the weights refer to.
    cash : float
        What is left of equity when all weights are reached; below 0 for a leveraged book.
    expires : int
        Last row on which a name without a price is waited for.
    """

    names: Index
    weight: Vector
    adv: Vector
    volatility: Vector
    scale: float
    cash: float
    expires: int

    @classmethod
    def towards(
        cls, target: Target, held: Vector, *, adv: Vector, volatility: Vector, scale: float, expires: int
    ) -> Order:
        """Every held name to its target, those that are not wanted to 0.

        Parameters
        ----------
        held, adv, volatility : (N,)
            Of all columns of the market.
        """
        wanted = np.zeros_like(held)
        wanted[target.names] = target.weight
        names: Index = np.flatnonzero((wanted != 0.0) | (held != 0.0))
        weight = wanted[names]
        cash = 1.0 - float(weight.sum())
        return cls(names, weight, adv[names], volatility[names], scale, cash, expires)


@dataclass
class Account:
    """Follows one book through time. Weights are fractions of equity; what is left of 1 is cash.

    Attributes
    ----------
    weight : (N,)
        Weights now.
    held : (n,) int
        Columns with a position.
    ret, cost, turnover, gross, net, names : (T,)
        Daily return after costs, cost, Σ|Δw|, exposures after the close's trades, number of positions.
    book : dict
        Names and weights after the trades of each close, by row; only with `keep_book`.
    unpriced : int
        Orders for a name that were given up because no price came in time.
    """

    market: Market
    costs: Costs
    begin: int
    keep_book: bool = False
    weight: Vector = field(init=False)
    held: Index = field(init=False, default_factory=lambda: np.zeros(0, dtype=np.int64))
    row: int = field(init=False)
    ret: Vector = field(init=False)
    cost: Vector = field(init=False)
    turnover: Vector = field(init=False)
    gross: Vector = field(init=False)
    net: Vector = field(init=False)
    names: Vector = field(init=False)
    book: dict[int, tuple[Index, Vector]] = field(init=False, default_factory=dict)
    order: Order | None = field(init=False, default=None)
    unpriced: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        T, N = self.market.frame.shape
        self.weight, self.row = np.zeros(N), self.begin
        self.ret, self.cost, self.turnover = np.zeros(T), np.zeros(T), np.zeros(T)
        self.gross, self.net, self.names = np.zeros(T), np.zeros(T), np.zeros(T)

    @property
    def target(self) -> Target:
        """What is held now."""
        return Target(self.held, self.weight[self.held])

    @property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(T, N) weights after the trades of each close, as a panel."""
        dense = np.zeros(self.market.frame.shape)
        for row, (names, weight) in self.book.items():
            dense[row, names] = weight
        return dense

    def fill(self, order: Order) -> None:
        """Trade towards an order at the present close; it replaces what was still open."""
        self.order = order
        self._trade()

    def advance(self, to: int, *, replaced: bool = False) -> None:
        """Hold until the close of row `to`; what is still open of an order is tried at every close.

        With `replaced` another order fills at `to`, so the old one is no longer tried there.
        """
        while self.row < to:
            self._hold(self._next_try(to))
            if self.order is not None and not (replaced and self.row == to):
                self._trade()

    def _next_try(self, to: int) -> int:
        """Next row up to `to` on which a name of the open order has a price, or is given up."""
        if self.order is None:
            return to
        last = min(max(self.order.expires, self.row + 1), to)
        tries = range(self.row + 1, last)
        return next((row for row in tries if self.market.priced[row, self.order.names].any()), last)

    def _hold(self, to: int) -> None:
        """Drift from the present close to the close of row `to`; interest and fees are paid day by day."""
        market, t, held = self.market, self.row, self.held
        days, rates = market.days, self.costs.rates
        share, (equity, gross, net, names) = hold(
            market.value, range(t, to + 1), held, self.weight, market.settled, days, rates
        )
        if equity.min() <= 0.0:
            day = market.frame.sessions[t + int(np.argmax(equity <= 0.0))]
            raise WorkError(
                f"the book has lost everything on {day}: its shorts lost more than it owned; "
                "lower the leverage or check the prices"
            )
        rows = slice(t + 1, to + 1)
        self.ret[rows] = equity[1:] / equity[:-1] - 1.0
        self.gross[rows], self.net[rows], self.names[rows] = gross[1:], net[1:], names[1:]
        if self.keep_book:
            self.book.update((t + i, (held, share[i])) for i in range(1, len(share)))
        self.weight[held] = share[-1]
        if names[-1] < len(held):
            self.held = held[market.settled[held] > to]
        self.row = to

    def _trade(self) -> None:
        """Move towards the order's weights as far as prices and participation allow, and pay for it."""
        order, t = self.order, self.row
        assert order is not None  # noqa: S101 - the callers have looked
        largest = self.costs.largest(order.adv, order.scale)
        step, left = approach(
            self.weight, order.names, order.weight, largest, self.market.priced[t], self._spare(order)
        )
        cost = float(self.costs.trade(step, order.volatility, order.adv, order.scale).sum())
        self.cost[t] += cost
        self.turnover[t] += float(np.abs(step).sum())
        self.ret[t] = (1.0 + self.ret[t]) * (1.0 - cost) - 1.0
        self.held, weight, self.gross[t], self.net[t] = positions(self.weight)
        self.names[t] = len(weight)
        if self.keep_book:
            self.book[t] = (self.held, weight)
        if cost:  # it is paid out of cash, so the positions weigh more in what is left
            self.weight[self.held] = weight / (1.0 - cost)
        self._leave_open(order, left)

    def _spare(self, order: Order) -> float:
        """Cash that purchases may take on top of what sales bring, as a fraction of equity.

        A long-only book borrows no more than its order asks for: while sales wait for a price or for volume,
        purchases wait too. A book with shorts is financed by them and is not held back.
        """
        weight = self.weight[self.held]
        if (order.weight < 0.0).any() or (weight < 0.0).any():
            return np.inf
        return max(1.0 - float(weight.sum()) - order.cash, 0.0)

    def _leave_open(self, order: Order, still: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Go on with the names that are not done; one that has found no price by `expires` is given up.

        What volume or cash held back goes on until the next order replaces it.
        """
        if self.row >= order.expires:
            waiting = still & ~self.market.priced[self.row, order.names]
            self.unpriced += int(waiting.sum())
            still = still & ~waiting
        at, self.order = np.flatnonzero(still), None
        if len(at):
            self.order = replace(
                order,
                names=order.names[at],
                weight=order.weight[at],
                adv=order.adv[at],
                volatility=order.volatility[at],
            )
