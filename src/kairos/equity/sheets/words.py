"""Sentences of the reports: what was assumed, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kairos.equity.backtest.compat import survivorship

if TYPE_CHECKING:
    from kairos.equity.backtest.result import BacktestResult


def assumptions(result: BacktestResult) -> list[tuple[str, str]]:
    """What a backtest took for granted, one label and sentence each."""
    strategy, run = result.strategy, result.simulation
    rules, costs = strategy.backtest, strategy.backtest.costs
    every, lag = rules.rebalance_every, rules.lag
    wait = f"an order waits {rules.order_wait} sessions for a price, then is cancelled"
    part = (
        f"at most {costs.participation:.0%} of the average daily dollar volume a session"
        if costs.participation
        else "no limit on participation"
    )
    target = "none"
    if strategy.target_vol:
        by = (
            f"the {rules.volatility.window} sessions before"
            if rules.volatility.estimate == "trailing"
            else "the whole sample"
        )
        target = f"{strategy.target_vol:.0%} a year from the volatility of {by}, scale at most {rules.volatility.max_leverage:g}"
    split = rules.out_of_sample_from
    return [
        ("Universe", universe_text(result.facts)),
        ("Decision", f"every {f'{every} sessions' if every > 1 else 'session'}, from what is known after the close; {run.left_out:,} times a name with a signal was left out for lack of a known volume or volatility"),
        ("Fill", f"at the close {lag} session{'' if lag == 1 else 's'} later; {wait} ({run.scaled.unpriced:,} were); {part}"),
        ("Holding", f"the book drifts between fills; profit and loss is {'counted once a rebalance' if result.per_rebalance else 'daily'}; a name without a price earns nothing until its next one; a delisted name is paid out at its last price and the pay-out of its reason"),
        ("Costs", f"half-spread {costs.half_spread * 1e4:g} bp + {costs.impact:g} · daily volatility · √(trade / average daily volume), capital {rules.capital:,.0f} USD; borrow {costs.borrow:.2%}, financing {costs.financing_rate:.2%}, cash {costs.cash_rate:.2%} a year"),
        ("Volatility target", target),
        ("Benchmark", f"{result.bench_name}{', scaled to the same target by its own returns' if strategy.target_vol and not strategy.neutral else ''}, no trading cost"),
        ("Sample", f"in sample before {split}, out of sample from then" if split else "all in sample: no out-of-sample date is configured"),
        ("Sharpe ratio", f"mean / standard deviation · √{result.periods_per_year:g} of {'returns a rebalance' if result.per_rebalance else 'daily returns'}, no risk-free rate"),
    ]  # fmt: skip


def universe_text(facts: Mapping[str, Any]) -> str:
    """One sentence about the universe behind a result."""
    modes = {
        "point_in_time": "point in time",
        "option_b": "Option B, today's list applied to the past",
        "file": "the user's list",
    }
    parts = [modes.get(facts.get("mode", ""), "unknown")]
    if "members_mean" in facts:
        parts.append(
            f"{facts['members_mean']:,.0f} members a session, {facts['tickers_ever']:,} tickers in all"
        )
    if facts.get("mode") == "point_in_time":
        parts.append(
            "with a size rule" if facts.get("size_rule") else "without a size rule, because daily is missing"
        )
    if "classified_from_current_metadata" in facts:
        parts.append(
            f"{facts['classified_from_current_metadata']:.0%} classified by today's category and exchange"
        )
    return "; ".join(parts)


def warnings_of(facts: Mapping[str, Any], ahead: Sequence[str] | None = None) -> list[str]:
    """What must be said before any number: of the universe and the data.

    Parameters
    ----------
    ahead : sequence of str, optional
        What a result knows of the future; without it, what its universe does.
    """
    found = survivorship(facts) if ahead is None else list(ahead)
    if facts.get("mode") == "point_in_time" and not facts.get("size_rule"):
        found.append("The size rule was dropped because the table daily is missing.")
    if not facts.get("actions", True):
        found.append("No corporate actions are loaded: delistings have no reason and pay out the last price.")
    return [*found, *facts.get("data_warnings", ())]
