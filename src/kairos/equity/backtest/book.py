"""What a strategy wants to hold: its scores, and the limits that its book keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.covariance import covariance
from kairos.equity.backtest.limits import Limits, Rule, Usage
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.nearest import Solution, best, nearest, within
from kairos.equity.backtest.optimise import Decision as Known
from kairos.equity.backtest.optimise import Optimiser
from kairos.equity.backtest.relax import Relaxation, reachable
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.skill import Skill
from kairos.equity.backtest.strategy import CrossSection, Holding, Target, among, decide, select, union
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.equity.backtest.account import Index
    from kairos.equity.backtest.costs import Vector
    from kairos.equity.frame import Mask
    from kairos.settings import Strategy

HALVINGS = 10
"""Of half the turnover: to a thousandth of it is told how much of it sales that come first may take."""

NOTHING = Target(np.zeros(0, dtype=np.int64), np.zeros(0))


@dataclass(frozen=True)
class Book:
    """Weights of the raw book, how close they are to each limit, and which limits were relaxed for them.

    `fallback` says that only the general solver found it.
    """

    target: Target
    usage: tuple[Usage, ...] = ()
    relaxed: tuple[Relaxation, ...] = ()
    fallback: bool = False


@dataclass(frozen=True)
class Decision:
    """What was decided after the close of one session.

    Attributes
    ----------
    row : int
        The session.
    book : Book
        What is wanted.
    eligible : (n,) int
        Names that passed the filter.
    scale : float
        Scale of the book, from its past up to `row`.
    """

    row: int
    book: Book
    eligible: Index
    scale: float

    @property
    def target(self) -> Target:
        """Weights of the raw book."""
        return self.book.target


Chooser = Callable[[int, CrossSection, Holding], Book]
"""From a row, its filtered cross-section, and what is held at its close."""


def book_of(
    strategy: Strategy, market: Market, signals: Signals, parts: Sequence[Sequence[Decision]]
) -> Chooser:
    """How a strategy gets from a cross-section and what it holds to its next book.

    Parameters
    ----------
    parts : sequence of sequences of Decision
        What the parts of a mix decide; they grow while the simulations run.
    """
    if strategy.mix.strategies:

        def mix(t: int, *_: object) -> Book:
            return Book(mixed(signals, strategy, t, [of_row(part, t) for part in parts]))

        return mix
    if strategy.book == "nearest":
        costs, worth = Costs.of(strategy.backtest), dict[str, float]()  # of each limit at the decision before
        return lambda t, section, holding: within_limits(
            strategy, market, signals, costs, t, section, holding, worth
        )
    if strategy.book == "optimised":
        return optimised(strategy, market, signals)
    return lambda _, section, __: Book(decide(section, strategy))


def within_limits(
    strategy: Strategy,
    market: Market,
    signals: Signals,
    costs: Costs,
    t: int,
    section: CrossSection,
    holding: Holding,
    worth: dict[str, float],
) -> Book:
    """The nearest book to the scores within the limits.

    With a `turnover` limit, or a `refresh` below 1, what is held stays among the names: the scores are then
    (1 - refresh) · held + refresh · scored, and a name that is no longer selected may only be sold. Sales of
    such names come first: they may take half of the turnover, as each sale needs a purchase, unless the
    other limits don't leave them so much; one that would fall below `vanish` is sold altogether, before all
    others. Idle cash is invested outside the turnover limit, and so is the first book. A book with such a
    memory is kept where no name has a score.

    Without a memory, what is held and no longer selected is sold as far as participation allows; the rest of
    it counts in the limits. So does what has no price: it stays as it is.

    `worth` is where the search begins, which makes it shorter, and is replaced by where it has ended.
    """
    scored, recalls = decide(section, strategy), _recalls(strategy, holding)
    if not len(scored.names):
        return Book(holding.raw if recalls else NOTHING)
    names = union(scored.names, holding.raw.names, holding.traded.names)
    wish = _wish(strategy, section, scored, names, _today(market, signals, costs, t, names, holding), recalls)
    limits = _limits(strategy, signals, t, section, wish, recalls)
    wide, relaxed = reachable(limits)
    half = np.inf if strategy.turnover is None else strategy.turnover / 2.0
    found = most_sold(lambda most: within(wish.aim, _sold(wide, wish, wish.leaving, most), worth), half)
    if found is not None:
        found = replace(found, relaxed=relaxed)
    else:  # what vanishes does so all the same
        found = nearest(wish.aim, _sold(limits, wish, wish.leaving & (wish.aim == 0.0), half))
    worth.update(found.worth)
    return _book(wish.names, found, limits)


def _recalls(strategy: Strategy, holding: Holding) -> bool:
    """Whether what is held plays a role in the scores."""
    return (strategy.turnover is not None or strategy.refresh < 1.0) and len(holding.raw.names) > 0


class Today(NamedTuple):
    """What is held of some names, and what a session can trade of them; see `Limits`.

    Attributes
    ----------
    previous, traded : (n,)
        The raw book, and the scaled one in its units.
    largest : (n,)
        Of what is halted that is nothing: only what a change of scale is between the two books.
    halted : (n,) bool
        Without a price.
    """

    previous: Vector
    traded: Vector
    largest: Vector
    halted: Mask


def _today(market: Market, signals: Signals, costs: Costs, t: int, names: Index, holding: Holding) -> Today:
    previous, traded = holding.raw.on(names), holding.traded.on(names)
    volume, halted = costs.largest(signals.adv[t, names], holding.scale), ~market.priced[t, names]
    return Today(previous, traded, np.where(halted, np.abs(previous - traded), volume), halted)


class Wish(NamedTuple):
    """What would be held without limits.

    Attributes
    ----------
    names : (n,) int
        Candidates, and what is held.
    today : Today
        Of them.
    rest : (n,)
        Size that a session can't sell.
    leaving : (n,) bool
        May only be sold.
    side : (n,)
        1 for longs, -1 for shorts.
    aim : (n,)
        Weights.
    """

    names: Index
    today: Today
    rest: Vector
    leaving: Mask
    side: Vector
    aim: Vector


def _wish(
    strategy: Strategy,
    section: CrossSection,
    scored: Target,
    names: Index,
    today: Today,
    recalls: bool,
) -> Wish:
    previous, traded, largest, _ = today
    rest = np.maximum(np.maximum(np.abs(previous), np.abs(traded)) - largest, 0.0)
    chosen, wanted = among(names, scored.names), scored.on(names)
    side = _sides(strategy, section, names, np.where(traded != 0.0, traded, previous), ~chosen)
    stuck = (side * traded < 0.0) & (rest > 0.0)  # no session brings it to the other side
    leaving, side = ~chosen | stuck, np.where(stuck, -side, side)
    wanted[stuck] = 0.0
    aim = (1.0 - strategy.refresh) * previous + strategy.refresh * wanted if recalls else wanted
    aim[leaving & (np.abs(aim) < strategy.vanish)] = 0.0
    return Wish(names, today, rest, leaving, side, aim)


def _limits(
    strategy: Strategy, signals: Signals, t: int, section: CrossSection, wish: Wish, recalls: bool
) -> Limits:
    turnover, size = np.inf, np.abs(wish.today.previous)
    if recalls and strategy.turnover is not None:
        invested = 1.0 if strategy.neutral or strategy.allow_cash else float(size.sum())
        turnover = strategy.turnover + max(1.0 - invested, 0.0)
    ceiling = np.where(wish.leaving, np.maximum(size, wish.rest) if recalls else wish.rest, 1.0)
    return Limits(
        lower=np.where(wish.side < 0.0, -ceiling, 0.0),
        upper=np.where(wish.side > 0.0, ceiling, 0.0),
        name=np.full(len(wish.names), 1.0 if strategy.max_name is None else strategy.max_name),
        rules=(
            *_budget(strategy, wish.side),
            *rules_of(strategy, signals, t, section, wish.names, wish.side),
        ),
        turnover=turnover,
        **wish.today._asdict(),
    )


def _sold(limits: Limits, wish: Wish, which: Mask, most: float) -> Limits:
    """The limits with some names no larger than after sales of `most` together."""
    after = np.where(which, _after_sales(wish.today.previous, wish.aim, which, wish.rest, most), np.inf)
    return replace(limits, lower=np.maximum(limits.lower, -after), upper=np.minimum(limits.upper, after))


def most_sold(selling: Callable[[float], Solution | None], most: float) -> Solution | None:
    """The book with as much as `most` sold first, or with as much as the other limits leave room for."""
    found = selling(most)
    if found is not None or np.isinf(most):
        return found
    low, high = 0.0, most
    found = selling(low)
    for _ in range(HALVINGS if found is not None else 0):
        some = (low + high) / 2.0
        more = selling(some)
        low, high, found = (low, some, found) if more is None else (some, high, more)
    return found


def _book(names: Index, solution: Solution, limits: Limits) -> Book:
    kept = solution.weight != 0.0
    target = Target(names[kept], solution.weight[kept])
    return Book(target, tuple(limits.usage(solution.weight)), solution.relaxed, solution.fallback)


def _sides(
    strategy: Strategy, section: CrossSection, names: Index, previous: Vector, leaving: Mask
) -> Vector:
    """(n,) 1 for names that may be held long, -1 for those that may be held short."""
    if not strategy.neutral:
        return np.ones(len(names))
    if not strategy.top_n:
        return -np.ones(len(names))
    _, short = select(section, strategy)
    side = np.where(among(names, section.names[short]), -1.0, 1.0)
    return np.where(leaving, np.where(previous < 0.0, -1.0, 1.0), side)


def _after_sales(previous: Vector, aim: Vector, leaving: Mask, rest: Vector, most: float) -> Vector:
    """(n,) size of each name that is no longer selected after its sale, all sales together at most `most`.

    What vanishes is sold first, the smallest before the larger ones, as far as `most` goes; all others share
    what is left of it in proportion.

    Parameters
    ----------
    rest : (n,)
        What a session can't sell.
    """
    size = np.abs(previous)
    sale = np.where(leaving, np.maximum(size - np.maximum(np.abs(aim), rest), 0.0), 0.0)
    gone = np.flatnonzero((aim == 0.0) & (sale > 0.0))
    order = gone[np.argsort(sale[gone], kind="stable")]
    before = np.cumsum(sale[order]) - sale[order]
    left = max(most - float(sale[order].sum()), 0.0)
    others = sale.copy()
    others[gone] = 0.0
    total = float(others.sum())
    sold = min(1.0, left / total) * others if total > 0.0 else others
    sold[order] = np.clip(most - before, 0.0, sale[order])
    return np.maximum(size - sold, rest)


def _budget(strategy: Strategy, side: Vector) -> tuple[Rule, ...]:
    """What the sides sum to: 1, -1, or one half each."""
    both = strategy.top_n > 0 and strategy.bottom_n > 0
    each = 0.5 if both else 1.0
    found = []
    if strategy.top_n:
        low = 0.0 if strategy.allow_cash else each
        found.append(Rule("budget", "sum of longs", (side > 0.0).astype(float), low, each))
    if strategy.bottom_n:
        high = 0.0 if strategy.allow_cash else -each
        found.append(Rule("budget", "sum of shorts", (side < 0.0).astype(float), -each, high))
    if both and strategy.allow_cash:
        found.append(Rule("budget", "net", np.ones(len(side)), 0.0, 0.0))
    return tuple(found)


def rules_of(
    strategy: Strategy,
    signals: Signals,
    t: int,
    section: CrossSection,
    names: Index,
    side: Vector | None,
) -> tuple[Rule, ...]:
    """Limits over many names: sectors, beta, exposures.

    A sector's limit is a multiple of its share of the filtered names, by count.

    Parameters
    ----------
    side : (n,), optional
        1 or -1 where the sign of each weight is known; None where it is free.
    """
    found: list[Rule] = []
    if strategy.max_sector is not None or strategy.max_sector_net is not None:
        assert signals.sector is not None  # noqa: S101 - read for every strategy that needs it
        count = np.bincount(signals.sector[section.names], minlength=len(signals.sectors))
        share = count / max(len(section.names), 1)
        rows = np.take(signals.inside, names, axis=1)
        signed = rows if side is None or (side > 0.0).all() else rows * side
        for s in np.flatnonzero(rows.any(axis=1)).tolist():
            label = signals.sectors[s]
            if strategy.max_sector is not None:
                most = strategy.max_sector * float(share[s])
                found.append(Rule("sector", f"sector {label}", signed[s], -np.inf, most, size=side is None))
            if strategy.max_sector_net is not None:
                net = strategy.max_sector_net
                found.append(Rule("sector_net", f"net of sector {label}", rows[s], -net, net))
    exposures = {f"exposure to {column}": (column, most) for column, most in strategy.max_exposures.items()}
    if strategy.max_beta is not None:
        exposures = {"beta": ("beta", strategy.max_beta), **exposures}
    for label, (column, most) in exposures.items():
        kind = "beta" if column == "beta" else "exposure"
        found.append(Rule(kind, label, signals.last[column][t, names], -most, most))
    return tuple(found)


def optimised(strategy: Strategy, market: Market, signals: Signals) -> Chooser:
    """The book of the optimiser among the selected names and what is held."""
    rules, engine = strategy.optimise, strategy.backtest
    costs = Costs.of(engine)
    optimiser = Optimiser(
        costs=costs,
        horizon=engine.rebalance_every,
        holding_period=rules.holding_period,
        ic=rules.ic,
        target_vol=strategy.target_vol,
        risk_aversion=rules.risk_aversion,
        name=1.0 if strategy.max_name is None else strategy.max_name,
        turnover=np.inf if strategy.turnover is None else strategy.turnover,
        cost_model=rules.cost,
    )

    skill = Skill(market, engine.lag, engine.rebalance_every, rules.ic_window)

    def choose(t: int, section: CrossSection, holding: Holding) -> Book:
        shown = skill.up_to(t, section) if rules.ic_window else None
        held, scale = holding.raw, holding.scale
        candidates = np.concatenate(select(section, strategy))
        names = union(section.names[candidates], held.names, holding.traded.names)
        if not len(candidates):
            return Book(NOTHING)  # held on without an aim it would drift out of neutrality
        z = np.full(len(names), np.nan)
        z[np.searchsorted(names, section.names[candidates])] = section.alpha_z[candidates]
        decision = Known(
            candidate=np.isfinite(z),
            alpha_z=z,
            rules=rules_of(strategy, signals, t, section, names, side=None),
            covariance=covariance(
                market.returns(t, rules.window, names),
                rules.covariance,
                shrinkage=rules.shrinkage,
                factors=rules.factors,
                half_life=rules.half_life,
            ),
            volatility=signals.volatility[t, names],
            adv=signals.adv[t, names],
            scale=scale,
            first=not len(held.names),
            ic=shown,
            **_today(market, signals, costs, t, names, holding)._asdict(),
        )
        limits = optimiser.limits(decision)
        if section.barred is not None:
            limits = limits.no_new_shorts(among(names, section.names[section.barred]))
        return _book(names, best(optimiser.objective(decision), limits), limits)

    return choose


def mixed(signals: Signals, strategy: Strategy, t: int, parts: Sequence[tuple[Target, float]]) -> Target:
    """The scaled books of the parts, weighted by the regime of t: Σ m · scale · w, names netted.

    Raises
    ------
    InputError
        The regime has no weights.
    """
    regime = signals.regime_in_force(t, strategy.mix.confirm)
    shares = strategy.mix.weights.get(regime)
    if shares is None:
        raise InputError(
            f"equity.strategies.{strategy.name}.mix.weights has no entry for the regime {regime!r}; "
            f"it has {', '.join(sorted(strategy.mix.weights)) or 'none'}"
        )
    names = union(*(target.names for target, _ in parts))
    weight = np.zeros(len(names))
    for (target, scale), share in zip(parts, shares, strict=True):
        weight[np.searchsorted(names, target.names)] += share * scale * target.weight  # names are distinct
    kept = weight != 0.0
    return Target(names[kept], weight[kept])


def of_row(decided: Sequence[Decision], t: int) -> tuple[Target, float]:
    """Target and scale of the decision of a row; nothing before the first one."""
    at = bisect_left(decided, t, key=lambda decision: decision.row)
    if at < len(decided) and decided[at].row == t:
        return decided[at].target, decided[at].scale
    return NOTHING, 1.0
