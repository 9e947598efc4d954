"""What a simulated book held and what its holdings returned, in the form that attribution works on."""

from __future__ import annotations

import numpy as np

from kairos.equity.backtest.simulate import Simulation
from kairos.equity.frame import Array
from kairos.evaluation.attribution import Book


def held(run: Simulation) -> Book:
    """Positions of the scaled book after each close, from the first fill to the end.

    Row 0 is the session of the first fill; columns are those of the market.
    """
    positions = [run.scaled.book[row] for row in range(run.first, run.last + 1)]
    day = np.repeat(np.arange(len(positions)), [len(names) for names, _ in positions])
    column = np.concatenate([names for names, _ in positions])
    weight = np.concatenate([weight for _, weight in positions])
    return Book(day, column, weight, (len(positions), run.market.value.shape[1]))


def holding_returns(run: Simulation) -> Array:
    """(T', N) return of a holding over each session, from the first fill to the end.

    0 on the first row, without a new price, and after the pay-out; the pay-out is in the session on which it
    is made. Names that can't be held yet have 0.
    """
    value = run.market.value[run.first : run.last + 1]
    before = value[:-1]
    returns = np.zeros_like(value)
    np.divide(value[1:] - before, before, out=returns[1:], where=before > 0.0)
    return returns
