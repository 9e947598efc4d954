"""What a result is worth: the choice among trials, intervals, and parts of the history."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.sheets.regimes import FEWEST
from kairos.evaluation.bootstrap import SEED, block_length, bootstrap_interval
from kairos.evaluation.growth import annual_return, max_drawdown
from kairos.evaluation.periods import Period, calendar_years, equal_parts, in_and_out_of_sample
from kairos.evaluation.sharpe import probabilistic_sharpe, sharpe_difference, sharpe_ratio, sharpe_se
from kairos.report.page import Block, Column, Figure, Figures, Note, Quantity, Section, Table

LEVEL, DRAWS = 0.90, 2000

Series = np.ndarray[Any, np.dtype[np.float64]]


def worth_section(result: BacktestResult) -> Section:
    """Deflated Sharpe ratio, bootstrap intervals, sub-periods."""
    blocks: list[Block] = []
    if result.deflation is not None:
        d = result.deflation
        blocks.append(
            Figures([
                Figure("Deflated Sharpe ratio", Quantity(d.deflated, "percent"), "confidence after the choice"),
                Figure("By the published formula", Quantity(d.published, "percent"), "observed variance, no lags"),
                Figure(
                    "Probabilistic Sharpe ratio", Quantity(d.probabilistic, "percent"),
                    f"before it; {Quantity(probabilistic_sharpe(result.judged), 'percent').text} without lags",
                ),
                Figure("Trials", Quantity(d.trials + d.extra, "count"), f"{d.trials} in the ledger"),
                Figure(
                    "Sharpe to be expected by luck",
                    Quantity(d.threshold * sqrt(d.periods_per_year), "ratio"),
                    f"this one {Quantity(d.sharpe * sqrt(d.periods_per_year), 'ratio').text}",
                ),
            ])
        )  # fmt: skip
    blocks += [_intervals(result), _parts(result), *_samples(result)]
    text = "" if result.deflation is None else result.deflation.sentence
    judged = "the raw net returns" if result.strategy.neutral else "the active net returns"
    blocks.append(
        Note(
            f"The probabilistic and the deflated Sharpe ratio are of {judged}, with an error that also allows for "
            "autocorrelation. Standard errors of Sharpe ratios on this page allow for skewness and fat tails; "
            "those of one year are about 1."
        )
    )
    return Section("How sure is it", text, blocks)


def interval(returns: Series, statistic: Any, periods_per_year: float) -> tuple[float, float]:
    """90 % bootstrap interval of the Sharpe ratio a year, or of the deepest drawdown."""
    low, high = bootstrap_interval(
        returns, statistic, block=block_length(returns), seed=SEED, draws=DRAWS, level=LEVEL
    )
    scale = sqrt(periods_per_year) if statistic == "sharpe" else 1.0
    return low * scale, high * scale


def _intervals(result: BacktestResult) -> Table:
    year = result.periods_per_year
    series = {"Portfolio": result.ret}
    if result.bench.any():
        series |= {"Benchmark": result.bench, "Active": result.ret - result.bench}
    rows: list[list[Any]] = []
    for name, returns in series.items():
        sharpe = sharpe_ratio(returns, year)
        rows.append([
            name,
            sharpe,
            sharpe_se(returns, year),
            *interval(returns, "sharpe", year),
            max_drawdown(returns),
            *interval(returns, "max_drawdown", year),
        ])  # fmt: skip
    block = block_length(result.ret)
    return Table(
        title="Intervals, 90%",
        columns=[
            Column(""),
            Column("Sharpe", "ratio"),
            Column("± se", "ratio"),
            Column("from", "ratio"),
            Column("to", "ratio"),
            Column("Max drawdown", "percent"),
            Column("from", "percent"),
            Column("to", "percent"),
        ],
        rows=rows,
        caption=f"From {DRAWS:,} histories resampled in blocks (of the portfolio {block:.0f} returns on "
        "average). Of the drawdown it says what another history of the same kind would have shown.",
    )


def _parts(result: BacktestResult) -> Table:
    parts = [
        *(_named(part, "third") for part in equal_parts(result.dates, min(3, len(result.dates)))),
        *((part.name, part) for part in calendar_years(result.dates)),
    ]
    return Table(
        title="Parts of the history",
        columns=_part_columns("Part"),
        rows=[_part(result, name, part) for name, part in parts],
        caption="Thirds of equal length, and calendar years; the first and the last year may be incomplete. "
        f"Fewer than {FEWEST} returns say nothing of a year.",
    )


def _named(part: Period, of: str) -> tuple[str, Period]:
    return f"{part.name.split(' ')[0]}. {of}, from {part.first}", part


def _part_columns(first: str) -> list[Column]:
    return [
        Column(first),
        Column("Returns", "count"),
        Column("Return a year", "percent"),
        Column("Sharpe", "ratio"),
        Column("± se", "ratio"),
        Column("Benchmark Sharpe", "ratio"),
        Column("Active Sharpe", "ratio"),
        Column("± se", "ratio"),
        Column("Max drawdown", "percent"),
    ]


def _part(result: BacktestResult, name: str, part: Period) -> list[Any]:
    year, ret, bench = result.periods_per_year, result.ret[part.rows], result.bench[part.rows]
    if len(ret) < FEWEST:
        return [name, len(ret), *[np.nan] * 7]
    active = ret - bench
    against = bench.any()
    return [
        name,
        len(ret),
        annual_return(ret, year),
        sharpe_ratio(ret, year),
        sharpe_se(ret, year),
        sharpe_ratio(bench, year) if against else np.nan,
        sharpe_ratio(active, year) if against else np.nan,
        sharpe_se(active, year) if against else np.nan,
        max_drawdown(ret),
    ]


def _samples(result: BacktestResult) -> list[Block]:
    split = result.strategy.backtest.out_of_sample_from
    if not split:
        return [
            Note(
                "No out-of-sample date is configured (equity.backtest.out_of_sample_from): all of it is in-sample."
            )
        ]
    parts = in_and_out_of_sample(result.dates, split)
    table = Table(
        title="In and out of sample",
        columns=_part_columns("Sample"),
        rows=[_part(result, part.name, part) for part in parts],
    )
    if len(parts) < 2 or min(len(result.judged[part.rows]) for part in parts) < 3:
        return [table]
    before, after = (result.judged[part.rows] for part in parts)
    change = sharpe_difference(before, after, result.periods_per_year)
    return [
        table,
        Note(
            f"Out of sample less in sample, of what is judged: {Quantity(change.difference, 'ratio').text} ± "
            f"{change.se:.2f} in Sharpe ratio, p {Quantity(change.p, 'p_value').text}."
        ),
    ]
