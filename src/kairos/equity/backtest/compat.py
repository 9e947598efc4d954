"""The manual's accounting, and what each correction of it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kairos.settings import Strategy

FREE = dict.fromkeys(("half_spread", "impact", "participation", "borrow", "financing_rate", "cash_rate"), 0.0)
NAMESPACE = "option_b"
"""Where the static universe of the manual is built on demand."""


def manual(strategy: Strategy) -> Strategy:
    """The strategy under the manual's accounting; the universe is the namespace's."""
    return with_engine(
        strategy,
        lag=0,
        manual={"missing_target": True, "per_rebalance": True},
        volatility={"estimate": "full_sample"},
        costs=FREE,
    )


def corrections(strategy: Strategy) -> list[tuple[str, Strategy]]:
    """From the manual's accounting to the strategy's own, one correction after the other.

    The first entry is the manual's and runs on today's universe, like nothing else; the second runs on the
    strategy's own universe. The last one is the strategy itself.
    """
    own = strategy.backtest
    once = manual(strategy)
    seen = with_engine(once, manual={"missing_target": False})
    filled = with_engine(seen, lag=own.lag)
    daily = with_engine(filled, manual={"per_rebalance": False})
    trailing = with_engine(daily, volatility=own.volatility.model_dump())
    return [
        ("the manual's accounting", once),
        ("universe", once),
        ("missing-target filter", seen),
        ("fill", filled),
        ("daily P&L", daily),
        ("volatility target", trailing),
        ("costs", with_engine(trailing, costs=own.costs.model_dump())),
    ]


def with_engine(strategy: Strategy, **changes: Any) -> Strategy:
    """The strategy on an engine with some keys changed; sections are joined key by key."""
    engine = strategy.backtest
    joined = {
        key: getattr(engine, key).model_copy(update=value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    own = engine.model_copy(update={"compat_manual": False, **joined})
    return strategy.model_copy(update={"backtest": own})


def survivorship(facts: Mapping[str, Any]) -> list[str]:
    """What a universe knows of the future, in words for every output."""
    if facts.get("mode") != "option_b":
        return []
    return ["Survivorship bias: the universe is today's list, so names that failed are not in it."]


def look_ahead(strategy: Strategy, parts: Iterable[Strategy]) -> list[str]:
    """What an engine's settings know of the future, in words for every output.

    Parameters
    ----------
    parts : iterable of Strategy
        What a mix is made of: it has no target of its own, but theirs.
    """
    engine, found = strategy.backtest, []
    if engine.manual.missing_target:
        found.append("Look-ahead: names without a price at the next decision are left out.")
    if engine.lag == 0:
        found.append("Look-ahead: orders fill at the close that they were decided on.")
    if engine.manual.per_rebalance:
        found.append("One return a rebalance: drawdowns and volatility between rebalances are not seen.")
    if scaled_by_all(strategy, parts):
        found.append("Look-ahead: the volatility target uses the volatility of the whole sample.")
    return found


def scaled_by_all(strategy: Strategy, parts: Iterable[Strategy]) -> bool:
    """Whether a book, or a part of it, is scaled by the volatility of the whole sample."""
    targets = [one.target_vol for one in (strategy, *parts)]
    return strategy.backtest.scales_by_all and any(targets)
