"""What the console says of backtests, of their comparison and of a repetition."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kairos.cli import console

if TYPE_CHECKING:
    from kairos.equity.backtest import BacktestResult
    from kairos.equity.compare import Comparison
    from kairos.equity.rerun import Rerun
    from kairos.store.ledger import Run


def print_worth(found: "Sequence[tuple[BacktestResult, Run]]") -> None:
    """Print what looks ahead, which limits gave way, deflated Sharpe ratios, and the bridge."""
    for result, run in found:
        name = result.strategy.name
        for line in result.looks_ahead:
            console.note(f"{name}: {line}")
        for line in result.odd_betas:
            console.note(f"{name}: {line}")
        _print_relaxed(result, run)
        if result.bridge is not None:
            _print_bridge(result)
        if result.deflation is not None:
            console.say(f"{name}: {result.deflation.sentence}")


def _print_relaxed(result: "BacktestResult", run: "Run") -> None:
    from kairos.equity.recorded import table_of

    decided = result.simulation.decided
    relaxed = [decision for decision in decided if decision.book.relaxed]
    if not relaxed:
        return
    kinds = Counter(kind for decision in relaxed for kind in {one.kind for one in decision.book.relaxed})
    day = result.simulation.market.frame.sessions[relaxed[0].row]
    gave = ", ".join(f"{kind} gave way at {n:,}" for kind, n in kinds.most_common())
    console.note(
        f"{result.strategy.name}: limits could not hold together at {len(relaxed):,} of {len(decided):,} "
        f"decisions, first on {day}: {gave}; each is in {table_of(run, 'limits')}"
    )


def _print_bridge(result: "BacktestResult") -> None:
    assert result.bridge is not None  # noqa: S101 - the caller has looked
    steps = result.bridge.steps
    before = [None, *(step for _, step in steps[:-1])]
    console.table(
        ["corrected, cumulative", "return a year", "change", "Sharpe", "change", "max drawdown"],
        [
            [
                label,
                step.annual_return,
                step.annual_return - last.annual_return if last else None,
                step.sharpe,
                step.sharpe - last.sharpe if last else None,
                step.max_drawdown,
            ]
            for (label, step), last in zip(steps, before, strict=True)
        ],
    )
    console.note(f"{result.strategy.name}: making the manual's universe took {result.bridge.seconds:.1f} s")


def print_comparison(found: "Comparison") -> None:
    """Print the numbers side by side, the differences in pairs, and the keys that differ."""
    from kairos.equity.sheets.comparison import NUMBERS

    rows: list[list[Any]] = [
        [label.lower(), *(one.headline.get(key) for one in found.runs)] for key, label, _ in NUMBERS
    ]
    rows += [
        ["Sharpe, 90% from", *(one.sharpe[0] for one in found.runs)],
        ["Sharpe, 90% to", *(one.sharpe[1] for one in found.runs)],
    ]
    console.table(["", *found.labels], rows)
    if found.gaps:
        console.say("")
        console.table(
            ["difference of the Sharpe ratios", "a year", "90% from", "to", "p", "p adjusted"],
            [
                [
                    f"{found.labels[gap.first]} less {found.labels[gap.second]}",
                    gap.difference,
                    gap.low,
                    gap.high,
                    gap.p,
                    gap.adjusted,
                ]
                for gap in found.gaps
            ],
        )
    if found.settings:
        console.say("")
        console.table(["differs", *found.labels], [[key, *values] for key, values in found.settings])
    for line in found.warnings:
        console.note(line)


def print_rerun(found: "Rerun") -> None:
    """Print whether a repetition is equal, what differs, and what changed."""
    console.say(found.verdict)
    for line in found.differences:
        console.say(f"  {line}")
    for line in found.changed:
        console.say(f"changed: {line}")
    console.note(f"kairos {found.command}, on snapshot {found.snapshot}")
    if found.saved:
        console.note(f"stored as run {found.saved}")
