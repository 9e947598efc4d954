"""Where the return of a book came from: sectors, factors, costs, and what is left.

A book is three vectors with an entry for every position on every day: the row of the session, the column of
the name, and its weight after the close of that session. Weights of the close of t − 1 earn the return of t.
Exposures are known at the close of their row, so those of t − 1 go with the return of t too. The
parts of a day add up to its return exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import Codes, complete_series, same_shape
from kairos.panel import demean, inner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from kairos.panel import Array, Mask


@dataclass(frozen=True)
class Book:
    """Positions over time.

    Attributes
    ----------
    day, column : (P,) int
        Row of the session, and column of the name in the panels.
    weight : (P,)
        Weight after the close, as a fraction of equity; negative for a short.
    shape : (int, int)
        Sessions and names of the panels.
    """

    day: Codes
    column: Codes
    weight: Array
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if not self.day.shape == self.column.shape == self.weight.shape or self.day.ndim != 1:
            raise InputError(
                f"a book needs three vectors of one length, not {self.day.shape}, {self.column.shape} "
                f"and {self.weight.shape}"
            )
        for name, values, bound in zip(("day", "column"), (self.day, self.column), self.shape, strict=True):
            if values.size and not 0 <= values.min() <= values.max() < bound:
                raise InputError(f"{name} of a position lies outside the {bound} of the panel")
        if not np.isfinite(self.weight).all():
            raise InputError("a weight is missing or infinite: a position that is not held has no entry")

    def sums(self, values: Array) -> Array:
        """(T,) sum over the positions of each day of a value each."""
        return np.bincount(self.day, values, self.shape[0]).astype(np.float64)

    def tilt(self, x: Array) -> Array:
        """(T,) Σ w·x of each day over the positions with a value x, scaled up to the whole gross exposure.

        NaN where less than half of the gross exposure has a value.
        """
        known, size = np.isfinite(x), np.abs(self.weight)
        gross, covered = self.sums(size), self.sums(np.where(known, size, 0.0))
        total = self.sums(np.where(known, self.weight * x, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((covered > 0.0) & (covered >= 0.5 * gross), total * gross / covered, np.nan)

    def sums_by(self, groups: Codes, number: int, values: Array) -> Array:
        """(T, G) sum over the positions of each day and group."""
        at = self.day * number + groups
        return np.bincount(at, values, self.shape[0] * number).reshape(-1, number).astype(np.float64)


@dataclass(frozen=True)
class Exposures:
    """What a book bets on, at each close.

    Attributes
    ----------
    net, gross : (T, G)
        Sum of the weights, and of their sizes, by group.
    mean : dict of str to (T,)
        Σ w·x of each characteristic: of a z-score, the tilt in standard deviations of a book of gross 1; of a
        beta, the book's. NaN on a day on which less than half of the gross exposure has a value, scaled up
        to the whole gross otherwise.
    """

    net: Array
    gross: Array
    mean: dict[str, Array]


def exposures(
    book: Book, groups: npt.NDArray[np.signedinteger], number: int, characteristics: Mapping[str, Array]
) -> Exposures:
    """Exposure of a book to groups and characteristics.

    Parameters
    ----------
    book : Book
        Positions.
    groups : (N,) or (T, N) int
        Number of each name's group, all of them in 0..number − 1 (unknown is a group of its own).
    number : int
        Groups.
    characteristics : mapping of name to (T, N)
        For example z-scores of log market capitalisation, or betas.

    Raises
    ------
    InputError
        Shapes differ, or a group of a position is out of range.
    """
    of = _groups_of(book, groups, number)
    mean = {}
    for name, panel in characteristics.items():
        same_shape({"the book": np.empty(book.shape), name: panel})
        mean[name] = book.tilt(panel[book.day, book.column])
    return Exposures(
        net=book.sums_by(of, number, book.weight),
        gross=book.sums_by(of, number, np.abs(book.weight)),
        mean=mean,
    )


@dataclass(frozen=True)
class GroupAttribution:
    """Daily return of a book by group.

    ``groups.sum(axis=1) + costs + rest`` is the book's return.

    Attributes
    ----------
    groups : (T, G)
        Σ w_{t−1}·r_t over the names of each group.
    costs : (T,)
        What trading at the close of the day cost (≤ 0).
    rest : (T,)
        Interest, fees, and whatever the weights and returns do not explain.
    """

    groups: Array
    costs: Array
    rest: Array


def attribute_to_groups(
    book: Book,
    returns: Array,
    groups: npt.NDArray[np.signedinteger],
    number: int,
    total: npt.ArrayLike,
    cost: npt.ArrayLike,
) -> GroupAttribution:
    """Split the daily return of a book into groups, costs and the rest.

    A day's return is (1 + b)·(1 − c) − 1 with b what was earned before the trades at its close and c their
    cost: the cost's part is −c·(1 + b). The weights of a close are fractions of the equity before that
    close's cost, so they earn w/(1 − c_{t−1}) in units of the equity after it.

    Parameters
    ----------
    book : Book
        Positions after each close.
    returns : (T, N)
        Return of a holding over each session, pay-outs included; a held name without a price earns 0.
    groups, number
        See `exposures`; a name's group is that of the close before.
    total, cost : (T,)
        Net return of the book, and cost of the day's trades as a fraction of equity.

    Raises
    ------
    InputError
        Shapes differ, a position has no return on the day after, or a series has a gap.
    """
    earned = _earned(book, returns, cost)
    of = _groups_of(book, groups, number)
    parts = _next_day(book.sums_by(of, number, earned))
    before, costs = _before_cost(total, cost, book.shape[0])
    return GroupAttribution(parts, costs, before - parts.sum(axis=1))


@dataclass(frozen=True)
class FactorReturns:
    """What a unit of each exposure earned on each day, from a regression across names.

    Attributes
    ----------
    names : tuple of str
        Of the characteristics.
    characteristics : (T, K)
        Return for one unit of each; NaN on a day whose regression could not be made.
    groups : (T, G)
        Return of each group with all characteristics at 0; NaN for a group without a name.
    """

    names: tuple[str, ...]
    characteristics: Array
    groups: Array


def factor_returns(
    returns: Array,
    characteristics: Mapping[str, Array],
    groups: npt.NDArray[np.signedinteger],
    number: int,
    members: Mask,
) -> FactorReturns:
    """Regress the returns of a day on the exposures of the close before, across the members.

        r_{i,t} = g_{group(i),t} + Σ_k f_{k,t}·x_{i,k,t−1} + e_{i,t}

    by least squares with one dummy per group and no constant: the dummies carry the market. Group means are
    taken out of returns and exposures first, which leaves K equations a day (Frisch–Waugh–Lovell). A name
    enters when it is a member on t − 1 and its return and all exposures exist.

    Parameters
    ----------
    returns : (T, N)
        Of each session; NaN where none.
    characteristics : mapping of name to (T, N)
        Known at the close of the row, in z-scores or other comparable units: size, beta, the signal.
    groups : (N,) int
        Number of each name's group, 0..number − 1.
    number : int
        Groups.
    members : (T, N) bool
        Universe at each close.

    Raises
    ------
    InputError
        Shapes differ, or a group is out of range.

    References
    ----------
    Fama, E. and MacBeth, J. (1973), Risk, return, and equilibrium: empirical tests, Journal of Political
    Economy 81(3).
    Menchero, J. (2010), The characteristics of factor portfolios, Journal of Performance Measurement 15(1).
    """
    T, N = same_shape({"returns": returns, "members": members, **characteristics})
    codes = np.asarray(groups)
    if codes.shape != (N,) or (N and not 0 <= codes.min() <= codes.max() < number):
        raise InputError(f"groups must be ({N},) numbers in 0..{number - 1}")
    names, K = tuple(characteristics), len(characteristics)
    y, X = returns[1:], [characteristics[name][:-1] for name in names]
    complete = np.asfortranarray(members[:-1]) & np.isfinite(y)  # panels lie column by column
    for x in X:
        complete &= np.isfinite(x)
    yd, Xd = demean(y, codes, complete), [demean(x, codes, complete) for x in X]
    gram, moment = np.empty((T - 1, K, K)), np.empty((T - 1, K))
    for i in range(K):
        moment[:, i] = inner(Xd[i], yd)
        for j in range(i + 1):
            gram[:, i, j] = gram[:, j, i] = inner(Xd[i], Xd[j])
    slopes = _solved(gram, moment)
    rest = np.where(complete, y, 0.0)
    for k in range(K):
        rest -= np.where(complete, slopes[:, k, None] * X[k], 0.0)
    is_in = (codes[:, None] == np.arange(number)).astype(np.float64)
    count = complete.astype(np.float64) @ is_in
    levels = np.full((T, number), np.nan)
    np.divide(rest @ is_in, count, out=levels[1:], where=count > 0.0)
    return FactorReturns(names, np.concatenate([np.full((1, K), np.nan), slopes]), levels)


@dataclass(frozen=True)
class FactorAttribution:
    """Daily return of a book by factor.

    ``characteristics.sum(axis=1) + groups.sum(axis=1) + specific + costs + rest`` is the book's return.

    Attributes
    ----------
    characteristics : (T, K)
        Exposure at the close before × the factor's return.
    groups : (T, G)
        Net weight in the group × the group's return.
    specific : (T,)
        Return of the names beyond the factors, names without an exposure included.
    costs, rest : (T,)
        See `GroupAttribution`.
    """

    characteristics: Array
    groups: Array
    specific: Array
    costs: Array
    rest: Array


def attribute_to_factors(
    book: Book,
    returns: Array,
    factors: FactorReturns,
    characteristics: Sequence[Array],
    groups: npt.NDArray[np.signedinteger],
    total: npt.ArrayLike,
    cost: npt.ArrayLike,
) -> FactorAttribution:
    """Split the daily return of a book into factors, the names' own part, costs and the rest.

    The factors' returns come from regressions across names (`factor_returns`), not over time: exposures are
    then those of the book held on the day, which a regression over time would average over books that had
    nothing in common, and every day adds up. A name with a missing exposure, and a day or group without
    factor returns, are specific as a whole.

    Parameters
    ----------
    book, returns, total, cost
        See `attribute_to_groups`.
    factors : FactorReturns
        From `factor_returns` on the same panels.
    characteristics : sequence of (T, N)
        The exposures that `factors` names, in that order.
    groups : (N,) int
        As in `factor_returns`.

    Raises
    ------
    InputError
        As in `attribute_to_groups`, or the number of characteristics differs.
    """
    T, number = factors.groups.shape
    if len(characteristics) != len(factors.names) or book.shape[0] != T:
        raise InputError(
            f"{len(characteristics)} characteristics and {book.shape[0]} sessions, but the factors have "
            f"{len(factors.names)} and {T}"
        )
    earned = _earned(book, returns, cost)
    of = _groups_of(book, groups, number)
    after = np.minimum(book.day + 1, T - 1)
    own, level = grossed(book, cost), factors.groups[after, of]
    loads = [panel[book.day, book.column] for panel in characteristics]
    paid = [load * factors.characteristics[after, k] for k, load in enumerate(loads)]
    explained = np.isfinite(level) & np.isfinite(np.sum(paid, axis=0))
    by_name = [book.sums(np.where(explained, own * part, 0.0)) for part in paid]
    chars = _next_day(np.column_stack(by_name) if by_name else np.empty((T, 0)))
    levels = _next_day(book.sums_by(of, number, np.where(explained, own * level, 0.0)))
    invested = _next_day(book.sums(earned)[:, None])[:, 0]
    before, costs = _before_cost(total, cost, T)
    return FactorAttribution(
        characteristics=chars,
        groups=levels,
        specific=invested - chars.sum(axis=1) - levels.sum(axis=1),
        costs=costs,
        rest=before - invested,
    )


def linked(parts: Array, total: npt.ArrayLike) -> Array:
    """Return what each part contributed to the compounded return: Σ_t W_{t−1}·part_t.

    W is the wealth of the whole book from 1.0: each part of a day is worth what it earned in units of the
    starting capital, and the sums add up to the total return.

    Parameters
    ----------
    parts : (T, G)
        Daily parts that add up to the book's daily return.
    total : (T,)
        The daily return.

    Examples
    --------
    >>> linked(np.array([[0.1, 0.0], [0.0, 0.1]]), [0.1, 0.1]).round(4).tolist()
    [0.1, 0.11]
    """
    series = complete_series(total, "total", len(parts))
    before = np.concatenate([[1.0], np.cumprod(1.0 + series)[:-1]])
    return np.asarray(before @ parts)


def grossed(book: Book, cost: npt.ArrayLike) -> Array:
    """Weights in units of the equity after the cost of their own close: w/(1 − c)."""
    paid = complete_series(cost, "cost", book.shape[0])
    return book.weight / (1.0 - paid[book.day])


def _earned(book: Book, returns: Array, cost: npt.ArrayLike) -> Array:
    """w·r of each position on the day after; 0 for those of the last close."""
    same_shape({"the book": np.empty(book.shape), "returns": returns})
    T = book.shape[0]
    ends = book.day == T - 1
    earned = np.where(ends, 0.0, returns[np.minimum(book.day + 1, T - 1), book.column])
    missing = np.flatnonzero(~np.isfinite(earned))
    if missing.size:
        at = missing[0]
        raise InputError(
            f"the position of row {book.day[at]}, column {book.column[at]} has no return in the row after "
            f"({missing.size} such positions): a held name without a price earns 0"
        )
    return grossed(book, cost) * earned


def _before_cost(total: npt.ArrayLike, cost: npt.ArrayLike, length: int) -> tuple[Array, Array]:
    net = complete_series(total, "total", length)
    before = (1.0 + net) / (1.0 - complete_series(cost, "cost", length)) - 1.0
    return before, net - before


def _groups_of(book: Book, groups: npt.NDArray[np.signedinteger], number: int) -> Codes:
    codes = np.asarray(groups)
    if codes.shape not in (book.shape, book.shape[1:]):
        raise InputError(f"groups have the shape {codes.shape}, the panel {book.shape}")
    of = codes[book.column] if codes.ndim == 1 else codes[book.day, book.column]
    if of.size and not 0 <= of.min() <= of.max() < number:
        raise InputError(f"a position has a group outside 0..{number - 1}: unknown is a group of its own")
    return of.astype(np.int64)


def _next_day(sums: Array) -> Array:
    """What the closes earned, moved to the day on which it was earned; nothing on the first."""
    return np.concatenate([np.zeros((1, sums.shape[1])), sums[:-1]])


def _solved(gram: Array, moment: Array) -> Array:
    """Solve the equations of each day, in correlations; NaN where they have no single solution."""
    K = gram.shape[1]
    if K == 0:
        return moment
    size = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = gram / size[:, :, None] / size[:, None, :]
    known = np.asarray(np.isfinite(scaled).all(axis=(1, 2)))
    scaled = np.where(known[:, None, None], scaled, np.eye(K))
    regular = known & (np.linalg.eigvalsh(scaled)[:, 0] > 1e-10)
    scaled = np.where(regular[:, None, None], scaled, np.eye(K))
    size = np.where(regular[:, None], size, 1.0)
    found = np.linalg.solve(scaled, (moment / size)[:, :, None])[:, :, 0] / size
    return np.where(regular[:, None], found, np.nan)
