"""A book that is held, drifts and is traded: weights, cash, daily profit and loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import Target, union
from kairos.equity.frame import Mask
from kairos.errors import WorkError
from kairos.panel.weights import Trade, follow, trading_costs

Index = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Order:
    """Weights to reach, for every name that is held or wanted.

    Attributes
    ----------
    names : (n,) int
        Columns of the market, ascending.
    trade : Trade
        Of these names: what they are to reach, and what is still open of it.
    """

    names: Index
    trade: Trade


NOTHING = np.zeros(0)
NO_TRADE = Trade(NOTHING, NOTHING, NOTHING, NOTHING, np.zeros(0, dtype=np.bool_), 0.0, NOTHING, 0)


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
    order : Order, optional
        What is still open; `due` where its first try is at the close of `row`.
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
    due: bool = field(init=False, default=False)
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

    def fill(self, target: Target, *, adv: Vector, volatility: Vector, scale: float, expires: int) -> None:
        """Trade every held name to its target from the present close on, what is not wanted to 0.

        It replaces what was still open. The first try is made when the book is advanced; what is left open
        then is a number of shares.

        Parameters
        ----------
        adv, volatility : (N,)
            Average daily dollar volume (USD) and daily volatility of all columns, as known at the decision.
        scale : float
            Dollars per dollar of the book that the weights refer to.
        expires : int
            Last row on which a name without a price is waited for.
        """
        names = union(target.names, self.held)
        weight, adv = target.on(names), adv[names]
        trade = Trade(
            weight,
            self.costs.largest(adv, scale),
            volatility[names],
            adv,
            np.full(len(names), True),
            self.costs.capital * scale,
            np.array([1.0 - weight.sum()]),
            expires,
        )
        self.order, self.due = Order(names, trade), True

    def advance(self, to: int, *, replaced: bool = False) -> None:
        """Hold until the close of row `to`; what is open of an order is tried at every close.

        With `replaced` another order fills at `to`, so the old one is no longer tried there.
        """
        if self.row == to and not self.due:
            return
        order, first, due = self.order, self.row, self.due
        columns, trade = (self.held, NO_TRADE) if order is None else (order.names, order.trade)
        weight, was_open = self.weight[columns], trade.open.copy()
        held, part, ends, unpriced, lost = follow(
            self.market.world, self.costs.terms, columns, weight, trade,
            first, to, due, not replaced, self._told, self.keep_book,
        )  # fmt: skip
        if lost >= 0:
            raise self._ruin(lost, was_open)
        if self.keep_book:
            begun = ends.tolist()
            for k in range(0 if due else 1, to - first + 1):
                here = slice(begun[k], begun[k + 1])
                self.book[first + k] = held[here], part[here]
        self.weight[columns], self.held, self.row = weight, columns[weight != 0.0], to
        self.unpriced += unpriced
        self.due = False
        if not trade.open.any():
            self.order = None

    def _ruin(self, row: int, was_open: Mask) -> WorkError:
        """Why nothing is left on a row, and of whom it comes."""
        day, order = self.market.frame.sessions[row], self.order
        if self.cost[row] < 1.0 or order is None:
            return WorkError(
                f"the book has lost everything on {day}: its shorts lost more than it owned; lower the "
                "leverage or check the prices"
            )
        trade = order.trade
        change = np.where(was_open, trade.target - self.weight[order.names], 0.0)
        costs = trading_costs(change, trade.volatility, trade.adv, trade.dollars, self.costs.terms)
        dearest = int(np.argmax(costs))
        ticker = self.market.frame.tickers[order.names[dearest]]
        return WorkError(
            f"trading on {day} would cost more than the whole book, most of it for {ticker}: its volatility "
            f"is {trade.volatility[dearest]:.3g} a day, its dollar volume {trade.adv[dearest]:.3g}; check "
            "its prices around that day, or leave it out of the universe"
        )
