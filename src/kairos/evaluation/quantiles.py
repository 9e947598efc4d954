"""Portfolios of a signal's quantiles: bought in equal weights, held and drifted between formations.

Time convention: a group is formed from row t of the signal, known after the close of t, and bought at the
close of t + lag; it earns from session t + lag + 1 on. ``returns[t]`` is earned over the session that ends at
the close of t. Group 0 has the lowest values, the last group the highest: negate a signal of which low is
good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kairos.errors import InputError
from kairos.evaluation.arrays import same_shape
from kairos.evaluation.information import information_coefficient
from kairos.evaluation.significance import MeanTest, mean_test

if TYPE_CHECKING:
    from kairos.panel import Array, Mask

Groups = npt.NDArray[np.int16]


def quantile_groups(signal: Array, members: Mask, groups: int = 10) -> Groups:
    """Split the members of each date by rank into groups of equal count.

    The n members with a value, in ascending order (ties in the order of the columns), get positions
    p = 0 … n − 1 and the group ⌊p·groups/n⌋: sizes differ by at most one.

    Parameters
    ----------
    signal : (T, N)
        Known after the close of each row; infinite is missing.
    members : (T, N) bool
        Names that count on each date.
    groups : int
        Number of groups, at least 2.

    Returns
    -------
    (T, N) numbers of the groups from 0 (lowest); −1 for names in none, and for every name of a date with
    fewer names than groups.

    Examples
    --------
    >>> signal = np.array([[3.0, 1.0, np.nan, 2.0, 2.0]])
    >>> quantile_groups(signal, np.full(signal.shape, True), groups=2).tolist()
    [[1, 0, -1, 0, 1]]
    """
    same_shape({"signal": signal, "members": members})
    if not 2 <= groups <= np.iinfo(np.int16).max:
        raise InputError(f"groups = {groups}: a split needs at least 2 groups")
    ranked = members & np.isfinite(signal)
    n = ranked.sum(axis=1, keepdims=True)
    order = np.argsort(np.where(ranked, signal, np.inf), axis=1, kind="stable")
    position = np.empty_like(order)
    np.put_along_axis(position, order, np.arange(signal.shape[1])[None, :], axis=1)
    number = position * groups // np.maximum(n, 1)
    return np.where(ranked & (n >= groups), number, -1).astype(np.int16)


def top_group_turnover(signal: Array, members: Mask, *, groups: int = 10, every: int = 1) -> Array:
    """Share of the names in the top group that were not in it ``every`` sessions before.

    Returns
    -------
    (T,) with NaN in the first ``every`` rows, and where either date has no groups.
    """
    if every < 1:
        raise InputError(f"every = {every}: compare with at least one session before")
    top = quantile_groups(signal, members, groups) == groups - 1
    now, before = top[every:], top[:-every]
    size = now.sum(axis=1).astype(np.float64)
    size[~before.any(axis=1)] = 0.0
    result = np.full(signal.shape[0], np.nan)
    np.divide((now & ~before).sum(axis=1), size, out=result[every:], where=size > 0.0)
    return result


@dataclass(frozen=True)
class QuantilePortfolios:
    """Daily returns of the groups, and how they came about.

    Attributes
    ----------
    sessions : (T',) int array
        Rows of the panels at which a return was earned: all after the first purchase.
    returns : (T', G) array
        Simple return of each group in each session, before costs.
    fills : (F,) int array
        Rows at whose close the groups were bought.
    turnover : (F, G) array
        Σ|Δw| at each purchase, from the drifted to the new weights: 1 for the first, 2 when every name is
        replaced.
    names : (F, G) int array
        Names bought.
    unfilled : (F,) int array
        Names in a group that could not be bought: no price at the fill, or ended before it.
    skipped : int
        Formations that did not happen because a group had no name to buy; the book before was kept.
    """

    sessions: npt.NDArray[np.int64]
    returns: Array
    fills: npt.NDArray[np.int64]
    turnover: Array
    names: npt.NDArray[np.int64]
    unfilled: npt.NDArray[np.int64]
    skipped: int

    @property
    def spread(self) -> Array:
        """Daily return of the top less the bottom group, (T',)."""
        return self.returns[:, -1] - self.returns[:, 0]

    def tests(self, lags: int) -> tuple[MeanTest, ...]:
        """Test each group's mean daily return, with Newey-West errors of that many lags."""
        return tuple(mean_test(group, lags) for group in self.returns.T)

    def monotonicity(self) -> Monotonicity:
        """Measure how steadily the mean daily return rises from the bottom to the top group."""
        return monotonicity(self.returns.mean(axis=0))


@dataclass(frozen=True)
class Monotonicity:
    """How steadily group means rise.

    Attributes
    ----------
    spearman : float
        Rank correlation of the group means with the group numbers; NaN when all means are equal.
    rising : float
        Share of the steps from one group to the next that go up.
    """

    spearman: float
    rising: float


def monotonicity(means: Array) -> Monotonicity:
    """Measure how steadily a row of group means rises from the first to the last.

    Examples
    --------
    >>> monotonicity(np.array([0.01, 0.02, 0.03]))
    Monotonicity(spearman=1.0, rising=1.0)
    """
    if means.ndim != 1 or means.size < 2:
        raise InputError(f"means has shape {means.shape}: pass the means of at least two groups")
    row, number = means[None, :], np.arange(means.size, dtype=np.float64)[None, :]
    spearman = information_coefficient(row, number, np.ones(row.shape, dtype=bool), min_names=2)
    return Monotonicity(float(spearman[0]), float(np.mean(np.diff(means) > 0.0)))


def quantile_portfolios(
    signal: Array,
    members: Mask,
    returns: Array,
    alive: Mask,
    *,
    groups: int = 10,
    every: int = 5,
    lag: int = 1,
) -> QuantilePortfolios:
    """Buy each group in equal weights every few sessions, and let it drift in between.

    Groups are formed on rows 0, every, 2·every, …, without a look at the future, and bought at the close
    ``lag`` sessions later. A name that has ended by then, or has no return (no price) in that session, is not
    bought: the others of its group get its share. From then on a group is worth its names' mean growth:

        V_s = (1/n) Σ_i Π_{f < u ≤ s} (1 + r_i,u),    r_g,s = V_s / V_{s−1} − 1

    Parameters
    ----------
    signal : (T, N)
        Known after the close of each row.
    members : (T, N) bool
        Names that are ranked on each date.
    returns : (T, N)
        Simple total return of each session. NaN (no price) earns 0; the return of the session in which a name
        trades again carries the whole move, that of the session in which it is paid out the pay-out.
    alive : (T, N) bool
        The name is still a position after the close of the session: False from its pay-out on. From then its
        money is cash until the next purchase, also if another company takes over the ticker.
    groups, every, lag : int
        Number of groups; sessions between formations; sessions from the formation to the purchase.

    Raises
    ------
    InputError
        The shapes differ, an argument is out of range, a return is below −1 (row and column are named), or no
        date has a name to buy for every group.
    """
    shape = same_shape({"signal": signal, "members": members, "returns": returns, "alive": alive})
    if every < 1 or lag < 0:
        raise InputError(f"every = {every}, lag = {lag}: every must be at least 1, lag at least 0")
    wrong = np.argwhere(returns < -1.0)
    if wrong.size:
        row, column = wrong[0]
        raise InputError(
            f"returns[{row}, {column}] = {returns[row, column]:.6g} loses more than everything: check prices"
        )
    formed = np.arange(0, shape[0] - lag, every)
    wanted = quantile_groups(signal[formed], members[formed], groups)
    bought = np.where(alive[formed + lag] & np.isfinite(returns[formed + lag]), wanted, -1)
    names = np.stack([(bought == group).sum(axis=1) for group in range(groups)], axis=1)
    happens = (names > 0).all(axis=1)
    if not happens.any():
        raise InputError(f"no date has a name to buy for each of {groups} groups: use fewer, or more names")
    fills = formed[happens] + lag
    daily, turnover = _drift(bought[happens], names[happens], fills, returns, alive)
    return QuantilePortfolios(
        sessions=np.arange(fills[0] + 1, shape[0]),
        returns=daily,
        fills=fills,
        turnover=turnover,
        names=names[happens],
        unfilled=((wanted >= 0) & (bought < 0))[happens].sum(axis=1),
        skipped=int(np.sum(~happens)),
    )


def _drift(
    bought: Groups, names: npt.NDArray[np.int64], fills: npt.NDArray[np.int64], returns: Array, alive: Mask
) -> tuple[Array, Array]:
    """Daily returns (T', G) of books bought at the fills, and the turnover (F, G) of each purchase."""
    sessions, tickers = returns.shape
    groups = names.shape[1]
    daily = np.empty((sessions - fills[0] - 1, groups))
    turnover = np.empty(names.shape)
    book = np.zeros((groups, tickers))
    ends = np.append(fills[1:], sessions - 1)
    for formation, (fill, end) in enumerate(zip(fills, ends, strict=True)):
        group, count = bought[formation], names[formation]
        held = np.flatnonzero(group >= 0)
        held = held[np.argsort(group[held], kind="stable")]  # names of a group side by side
        target = np.zeros_like(book)
        target[group[held], held] = 1.0 / count[group[held]]
        turnover[formation] = np.abs(target - book).sum(axis=1)

        running = np.logical_and.accumulate(alive[fill : end + 1, held], axis=0)
        moves = np.ascontiguousarray(returns[fill + 1 : end + 1, held])
        growth = np.cumprod(1.0 + np.where(running[:-1] & np.isfinite(moves), moves, 0.0), axis=0)
        value = np.add.reduceat(growth, np.cumsum(count) - count, axis=1) / count
        before = np.vstack([np.ones(groups), value[:-1]])
        change = np.divide(value, before, out=np.ones_like(value), where=before > 0.0)  # nothing left earns 0
        daily[fill - fills[0] : end - fills[0]] = change - 1.0

        book = np.zeros_like(book)
        if end > fill:
            stock = np.where(running[-1], growth[-1], 0.0) / count[group[held]]  # a pay-out is cash
            worth = value[-1, group[held]]
            book[group[held], held] = np.divide(stock, worth, out=np.zeros_like(stock), where=worth > 0.0)
    return daily, turnover
