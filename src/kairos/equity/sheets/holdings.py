"""What a book held every day, with what its last decision knew of the names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kairos.equity.backtest.attribution import held, holding_returns
from kairos.equity.backtest.inputs import decision_rows
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.context import PRICES
from kairos.equity.frame import Array, Mask
from kairos.equity.sectors import Codes, sectors
from kairos.evaluation.attribution import Book
from kairos.panel import clipped_z

Dates = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Holdings:
    """Positions of the scaled book at every close, and the panels that explain them; T' sessions, N listings.

    Attributes
    ----------
    dates : (T',)
        From the first fill to the end.
    book : Book
        What is held after the trades of each close.
    returns : (T', N)
        Growth of a holding over each session: 0 without a price, the pay-out included.
    traded : (T', N) bool
        The listing has a price at the close and at the one before.
    members : (T', N) bool
        Universe of the last decision.
    characteristics : mapping to (T', N)
        ``size``, ``beta`` and ``alpha``, as z-scores over the members of the last decision, clipped at ±3,
        so that one bad price is not the whole spread; without ``size`` when its column does not exist.
    sectors, sector : sequence of str, (N,) int
        Names of the sectors, and the number of each listing's one.
    total, cost : (T',)
        Daily net return and trading cost of the scaled book.
    """

    dates: Dates
    book: Book
    returns: Array
    traded: Mask
    members: Mask
    characteristics: dict[str, Array]
    sectors: list[str]
    sector: Codes
    total: Array
    cost: Array


def holdings(result: BacktestResult) -> Holdings:
    """Follow the scaled book of a result from close to close."""
    run, rows, context = result.simulation, result.rows, result.context
    market, decisions = run.market, np.array(run.rows)
    days = np.arange(rows.start, rows.stop)
    last = np.searchsorted(decisions, days, side="right") - 1
    members = decision_rows(context, f"{PRICES}.member", decisions).values == 1.0
    rules = context.settings.equity.signals
    known = {"beta": result.beta.values}
    if context.has(rules.size_column):
        known = {"size": decision_rows(context, rules.size_column, decisions).values, **known}
    known["alpha"] = decision_rows(context, result.alpha, decisions).values * (
        -1.0 if result.lower_is_better else 1.0
    )
    priced = market.priced[rows]
    traded = np.zeros(priced.shape, dtype=np.bool_)
    traded[1:] = priced[1:] & priced[:-1]
    labels, sector = sectors(context)
    return Holdings(
        dates=market.frame.sessions[rows],
        book=held(run),
        returns=holding_returns(run),
        traded=traded,
        members=members[last],
        characteristics={name: clipped_z(panel, members)[last] for name, panel in known.items()},
        sectors=labels,
        sector=sector,
        total=run.scaled.ret[rows],
        cost=run.scaled.cost[rows],
    )
