"""Weights of an account that is held and traded, session by session.

For the one consumer that goes row by row: panels are row-major here, and weights are fractions of equity.

Half of an account in a name that rises by a half; at its close everything is sold at a cost of 1 %:

>>> world = World(np.array([[4.0], [6.0]]), np.full((2, 1), True), np.array([9]), np.ones(2))
>>> one, weight, told = np.ones(1), np.array([0.5]), np.zeros((6, 2))
>>> sale = Trade(0.0 * one, one, one, one, one > 0.0, 1.0, one, 9)
>>> terms = Terms(half_spread=0.01, impact=0.0, cash=0.0, financing=0.0, borrow=0.0)
>>> _ = follow(world, terms, np.array([0]), weight, sale, 0, 1, False, True, told, False)
>>> weight.tolist(), told[:, 1].round(4).tolist()
([0.0], [0.2425, 0.006, 0.6, 0.0, 0.0, 0.0])
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kairos.panel.arrays import Array, Mask
from kairos.panel.kernels import kernel

Index = npt.NDArray[np.int64]

DAYS_PER_YEAR = 365.0

ROUNDING = 1e-12
"""Sums of weights that differ by less are equal."""

RETURN, COST, TURNOVER, GROSS, NET, NUMBER = range(6)
"""Rows of what is told of each session."""


class World(NamedTuple):
    """What weights meet, by row t and column j."""

    value: Array  # (T, N) C-contiguous, without gaps where something is held
    priced: Mask  # (T, N) a trade is possible
    until: Index  # (N,) row from which a position is cash
    days: Array  # (T,) calendar days since the row before


class Terms(NamedTuple):
    """What trading and holding cost."""

    half_spread: float
    impact: float
    cash: float  # yearly, earned on what gross exposure leaves of equity
    financing: float  # yearly, paid on gross exposure above 1
    borrow: float  # yearly, paid on shorts


class Trade(NamedTuple):
    """Positions that an account's columns are to reach; all vectors are empty where there is no trade.

    They are weights at the close of the first try. What is open then is as many shares, whatever prices do:
    its target drifts as a holding does, and so does the cash that is to be left.
    """

    target: Array  # (n,)
    most: Array  # (n,) the longest step of a session
    volatility: Array  # (n,) daily
    adv: Array  # (n,) USD a day
    open: Mask  # (n,) False where there is nothing left to do
    dollars: float  # that a weight of 1 is
    cash: Array  # (1,) what is left of equity when all are reached; of no trade (0,)
    expires: int  # row from which what has no price is given up


@kernel
def interest(gross: float, short: float, days: float, terms: Terms) -> float:
    """Return on equity of ``days`` calendar days, ACT/365; exposures are fractions of it, shorts positive."""
    yearly = (
        terms.cash * max(1.0 - gross, 0.0) - terms.financing * max(gross - 1.0, 0.0) - terms.borrow * short
    )
    return yearly * days / DAYS_PER_YEAR


@kernel
def trading_cost(size: float, volatility: float, adv: float, dollars: float, terms: Terms) -> float:
    """|Δw| · (half spread + impact · σ · √(|Δw| · dollars / adv)), a fraction of equity."""
    if size == 0.0:
        return 0.0
    move = volatility * math.sqrt(size * dollars / adv) if terms.impact > 0.0 else 0.0
    return size * (terms.half_spread + terms.impact * move)


@kernel
def trading_costs(change: Array, volatility: Array, adv: Array, dollars: float, terms: Terms) -> Array:
    """(n,) cost of each change of weight."""
    costs = np.empty(len(change))
    for i in range(len(change)):
        costs[i] = trading_cost(abs(change[i]), volatility[i], adv[i], dollars, terms)
    return costs


@kernel
def follow(
    world: World,
    terms: Terms,
    columns: Index,
    weight: Array,
    trade: Trade,
    first: int,
    last: int,
    at_first: bool,
    at_last: bool,
    told: Array,
    keep: bool,
) -> tuple[Index, Array, Index, int, int]:
    """Hold from the close of ``first`` to that of ``last``, and try at every close what is open of a trade.

    Each session, in units of the equity at the close before: positions wⱼ · xₜⱼ / xₜ₋₁ⱼ, cash 1 − Σw and
    its interest. Then, at the close, the step that `_try` makes; its cost is paid out of cash.

    Parameters
    ----------
    columns : (n,)
        Columns with a weight or an open trade.
    weight : (n,)
        Weights after the close of ``first``; changed in place to those after ``last``.
    trade : Trade
        Of these columns, or of none; ``target``, ``open`` and ``cash`` are changed in place.
    at_first, at_last : bool
        Whether there is a try at these two closes.
    told : (6, T)
        `RETURN`, `COST`, `TURNOVER`, `GROSS`, `NET`, `NUMBER` of each row; those that pass are filled in.
    keep : bool
        Whether the positions are returned.

    Returns
    -------
    held, part : (P,)
        Columns and weights after each close's trades, before their cost, one row after the other.
    ends : (last − first + 2,)
        Where each row's positions begin, from ``first`` on, and the end.
    unpriced : int
        Columns that were given up.
    lost : int
        The row on which nothing is left of equity, lost or paid for trades, where all ends; -1 without one.
    """
    n, rows, unpriced = len(columns), last - first + 1, 0
    room = n * rows if keep else 0
    held, part = np.empty(room, dtype=np.int64), np.empty(room)
    ends, step = np.zeros(rows + 1, dtype=np.int64), np.empty(len(trade.open))
    for k in range(rows):
        t = first + k
        if k > 0:
            equity = _hold(world, terms, columns, weight, trade, t)
            if equity <= 0.0:
                return held, part, ends, unpriced, t
            told[RETURN, t] = equity - 1.0
        cost = 0.0
        if (k > 0 or at_first) and (t < last or at_last) and trade.open.any():
            cost = _try(world, terms, columns, weight, trade, t, step)
            told[COST, t] += cost
            if cost >= 1.0:
                return held, part, ends, unpriced, t
            told[TURNOVER, t] += np.abs(step).sum()
            told[RETURN, t] = (1.0 + told[RETURN, t]) * (1.0 - cost) - 1.0
            unpriced += _give_up(world, columns, trade, t)
        number, gross, net = 0, 0.0, 0.0
        if k > 0 or at_first:
            for i in range(n):
                if weight[i] != 0.0:
                    if keep:
                        held[ends[k] + number], part[ends[k] + number] = columns[i], weight[i]
                    gross += abs(weight[i])
                    net += weight[i]
                    number += 1
            told[GROSS, t], told[NET, t], told[NUMBER, t] = gross, net, number
        ends[k + 1] = ends[k] + number if keep else 0
        if cost > 0.0:  # the positions weigh more in what is left
            weight /= 1.0 - cost
            _drift(trade, 1.0 - cost)
    return held[: ends[rows]], part[: ends[rows]], ends, unpriced, -1


@kernel
def _drift(trade: Trade, equity: float) -> None:
    """What is to be reached, in units of another equity."""
    for i in range(len(trade.open)):
        if trade.open[i]:
            trade.target[i] /= equity
    for i in range(len(trade.cash)):
        trade.cash[i] /= equity


@kernel
def _hold(world: World, terms: Terms, columns: Index, weight: Array, trade: Trade, t: int) -> float:
    """Let weights, and what is open of a trade, grow to the close of t; equity in units of the one before."""
    gross = net = total = 0.0
    for i in range(len(columns)):
        j = columns[i]
        gross += abs(weight[i])
        net += weight[i]
        if weight[i] != 0.0:
            weight[i] *= world.value[t, j] / world.value[t - 1, j]
        total += weight[i]
    equity = 1.0 - net + interest(gross, (gross - net) / 2.0, world.days[t], terms) + total
    for i in range(len(columns)):
        weight[i] = weight[i] / equity if t < world.until[columns[i]] else 0.0
    for i in range(len(trade.open)):
        if trade.open[i]:
            growth = world.value[t, columns[i]] / world.value[t - 1, columns[i]]
            trade.target[i] *= growth if math.isfinite(growth) else 1.0
    _drift(trade, equity)
    return equity


@kernel
def _try(
    world: World, terms: Terms, columns: Index, weight: Array, trade: Trade, t: int, step: Array
) -> float:
    """Move weights to their targets where there is a price, at most so far; fill in the steps.

    A long-only book borrows no more than its trade asks for: while sales wait for a price or for volume,
    purchases wait too, so all rises are cut by one factor to what sales and spare cash pay for. A book with
    shorts is financed by them and is not held back.
    """
    rise = fall = net = 0.0
    short = False
    for i in range(len(columns)):
        net += weight[i]
        short |= weight[i] < 0.0
    for i in range(len(step)):
        step[i] = 0.0
        if trade.open[i]:
            short |= trade.target[i] < 0.0
            if world.priced[t, columns[i]]:
                step[i] = min(max(trade.target[i] - weight[i], -trade.most[i]), trade.most[i])
                rise += max(step[i], 0.0)
                fall -= min(step[i], 0.0)
    spare = np.inf if short else 1.0 - net - trade.cash[0]  # below 0 where costs were paid with borrowed cash
    share = 1.0
    if spare + fall <= ROUNDING:
        share = 0.0
    elif rise - fall > spare + ROUNDING:
        share = (spare + fall) / rise
    cost = 0.0
    for i in range(len(step)):
        if trade.open[i]:
            if step[i] > 0.0:
                step[i] *= share
            whole = abs(trade.target[i] - weight[i] - step[i]) <= ROUNDING  # no such rest waits for a session
            weight[i] = trade.target[i] if whole else weight[i] + step[i]
            trade.open[i] = not whole and (trade.target[i] != 0.0 or weight[i] != 0.0)
            cost += trading_cost(abs(step[i]), trade.volatility[i], trade.adv[i], trade.dollars, terms)
    return cost


@kernel
def _give_up(world: World, columns: Index, trade: Trade, t: int) -> int:
    """Close what has found no price in time, and count it; what volume or cash held back goes on."""
    given = 0
    for i in range(len(trade.open)):
        if trade.open[i] and t >= trade.expires and not world.priced[t, columns[i]]:
            trade.open[i] = False
            given += 1
    return given


@kernel
def tilt(column: Index, weight: Array, x: Array) -> float:
    """Σ w·x over the positions with a value x, scaled up to the whole gross exposure.

    Parameters
    ----------
    column, weight : (n,)
        Positions.
    x : (N,)
        Values by column.

    Returns
    -------
    float
        NaN where less than half of the gross exposure has a value.
    """
    gross = covered = total = 0.0
    for i in range(len(column)):
        value, size = x[column[i]], abs(weight[i])
        gross += size
        if math.isfinite(value):
            covered += size
            total += weight[i] * value
    return total * gross / covered if covered > 0.0 and covered >= 0.5 * gross else math.nan
