"""A benchmark's books: bought and held on a strategy's own calendar, without trading costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.account import Account
from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.scaling import trailing, whole_sample
from kairos.equity.backtest.strategy import Target

if TYPE_CHECKING:
    from kairos.settings import Strategy


@dataclass(frozen=True)
class Held:
    """A benchmark in its own units, scaled to the strategy's volatility target, and the scales."""

    raw: Account
    scaled: Account
    scales: tuple[float, ...]


def hold(
    market: Market,
    strategy: Strategy,
    first: int,
    last: int,
    plan: Sequence[tuple[int, int]],
    target_of: Callable[[int], Target],
) -> Held:
    """Hold the targets of the decisions in `plan` from their fills on, until row `last`.

    The scale of each decision comes from the raw book's own past up to it (or, like the strategy's, from
    the whole sample) and applies from the fill. Interest is paid, trading is free.

    Parameters
    ----------
    first : int
        Row from which the books exist, as cash.
    plan : sequence of (int, int)
        Rows of each decision and of its fill, ascending.
    target_of : function
        Weights that the decision of a row wants.
    """
    costs = Costs.of(strategy.backtest).financing_only()
    targets = [target_of(decision) for decision, _ in plan]
    free = np.ones(market.frame.shape[1])

    def book(scales: Sequence[float]) -> Account:
        account = Account(market, costs, first)
        for (_, fill), target, scale in zip(plan, targets, scales, strict=True):
            account.advance(fill, replaced=True)
            account.fill(
                target.times(scale),
                adv=free,
                volatility=free,
                scale=1.0,
                expires=fill + strategy.backtest.order_wait,
            )
        account.advance(last)
        return account

    raw = book([1.0] * len(plan))
    if not strategy.target_vol:
        return Held(raw, raw, (1.0,) * len(plan))
    begin = plan[0][1] if plan else last
    if strategy.backtest.volatility.estimate == "full_sample":
        scales = [whole_sample(strategy, raw.ret[begin : last + 1])] * len(plan)
    else:
        scales = [trailing(strategy, raw.ret[begin : decision + 1]) for decision, _ in plan]
    return Held(raw, book(scales), tuple(scales))
