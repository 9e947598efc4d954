"""A book that is held, drifts and is traded: weights, cash, daily profit and loss."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import Target
from kairos.equity.frame import Mask
from kairos.errors import WorkError
from kairos.panel.weights import Trade, follow

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

    def trade(self, columns: Index, costs: Costs) -> Trade:
        """The order for the account's compiled loop, over ascending columns with its own among them."""
        return Trade(
            np.searchsorted(columns, self.names),
            self.weight,
            costs.largest(self.adv, self.scale),
            self.volatility,
            self.adv,
            np.ones(len(self.names), dtype=np.bool_),
            costs.capital * self.scale,
            self.cash,
            self.expires,
        )

    def left(self, open_: Mask) -> Order | None:
        """What is open of the order; nothing without an open name."""
        at = np.flatnonzero(open_)
        if len(at) == len(open_):
            return self
        one = replace(
            self,
            names=self.names[at],
            weight=self.weight[at],
            adv=self.adv[at],
            volatility=self.volatility[at],
        )
        return one if len(at) else None


NOBODY, NOTHING = np.zeros(0, dtype=np.int64), np.zeros(0)
NO_TRADE = Trade(NOBODY, NOTHING, NOTHING, NOTHING, NOTHING, np.zeros(0, dtype=np.bool_), 0.0, 0.0, 0)


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
        self.weight, self.row, self._told = np.zeros(N), self.begin, np.zeros((6, T))
        self.ret, self.cost, self.turnover, self.gross, self.net, self.names = self._told

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
        self._follow(self.row, at_first=True, at_last=True)

    def advance(self, to: int, *, replaced: bool = False) -> None:
        """Hold until the close of row `to`; what is still open of an order is tried at every close.

        With `replaced` another order fills at `to`, so the old one is no longer tried there.
        """
        if self.row < to:
            self._follow(to, at_first=False, at_last=not replaced)

    def _follow(self, to: int, *, at_first: bool, at_last: bool) -> None:
        market, order, first = self.market, self.order, self.row
        columns = self.held
        if order is not None:
            meant = self.weight != 0.0
            meant[order.names] = True
            columns = np.flatnonzero(meant)
        weight, trade = self.weight[columns], NO_TRADE if order is None else order.trade(columns, self.costs)
        held, part, ends, unpriced, lost = follow(
            market.world, self.costs.terms, columns, weight, trade,
            first, to, at_first, at_last, self._told, self.keep_book,
        )  # fmt: skip
        if lost >= 0:
            raise self._ruin(lost)
        if self.keep_book:
            begun = ends.tolist()
            for k in range(0 if at_first else 1, to - first + 1):
                here = slice(begun[k], begun[k + 1])
                self.book[first + k] = held[here], part[here]
        self.weight[columns], self.held, self.row = weight, columns[weight != 0.0], to
        self.unpriced += unpriced
        self.order = None if order is None else order.left(trade.open)

    def _ruin(self, row: int) -> WorkError:
        """Why nothing is left on a row, and of whom it comes."""
        day, order = self.market.frame.sessions[row], self.order
        if self.cost[row] < 1.0 or order is None:
            return WorkError(
                f"the book has lost everything on {day}: its shorts lost more than it owned; lower the "
                "leverage or check the prices"
            )
        change = order.weight - self.weight[order.names]
        dearest = int(np.argmax(self.costs.trade(change, order.volatility, order.adv, order.scale)))
        ticker = self.market.frame.tickers[order.names[dearest]]
        return WorkError(
            f"trading on {day} would cost more than the whole book, most of it for {ticker}: its volatility "
            f"is {order.volatility[dearest]:.3g} a day, its dollar volume {order.adv[dearest]:.3g}; check "
            "its prices around that day, or leave it out of the universe"
        )
