"""The tear sheet of one backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.sheets.attribution import attribution_sections
from kairos.equity.sheets.deciles import decile_section
from kairos.equity.sheets.exposures import exposure_section
from kairos.equity.sheets.holdings import holdings
from kairos.equity.sheets.limits import limit_section
from kairos.equity.sheets.mix import mix_section
from kairos.equity.sheets.regimes import bands, regime_section, regimes_of
from kairos.equity.sheets.regression import regression_section
from kairos.equity.sheets.studies import bridge_section, stress_section
from kairos.equity.sheets.words import assumptions, warnings_of
from kairos.equity.sheets.worth import worth_section
from kairos.evaluation import rolling_sharpe
from kairos.evaluation.growth import drawdown, monthly_table, wealth
from kairos.evaluation.performance import performance
from kairos.evaluation.risk import rolling_volatility
from kairos.report import Headline, TearSheet

if TYPE_CHECKING:
    from kairos.equity.backtest.factors import Factors
    from kairos.report.page import Section
    from kairos.store.ledger import Run

ROLLING = 126
"""Sessions of the rolling statistics of a tear sheet."""


def tear_sheet(result: BacktestResult, run: Run, factors: Factors | None = None) -> TearSheet:
    """All that the tear sheet of one strategy shows.

    Parameters
    ----------
    factors : Factors, optional
        Factor returns that the user named; the returns are regressed on them.
    """
    dates, strategy, year = result.dates, result.strategy, result.periods_per_year
    rows, book = result.rows, result.simulation.scaled
    sessions = result.simulation.market.frame.sessions[rows]
    years, months, totals = monthly_table(result.ret, dates)
    _, _, bench_totals = monthly_table(result.bench, dates)
    bench = {"Benchmark": result.bench} if result.bench.any() else {}  # cash that earns nothing is no line
    series = {"Net of costs": result.ret, "Before costs": result.before_cost, **bench}
    rolled = {"Net of costs": result.ret, **bench}
    window = round(ROLLING * year / SESSIONS_PER_YEAR)
    fills = np.array(result.simulation.fills) - rows.start
    ends = np.append(fills[1:], len(sessions))
    split = strategy.backtest.out_of_sample_from
    regimes = regimes_of(result)
    return TearSheet(
        strategy=strategy.name,
        alpha=f"{'−' if result.lower_is_better else ''}{result.alpha}",
        facts=[
            ("Run", run.id),
            ("Command", f"kairos {run.command}"),
            ("The same again", f"kairos rerun {run.id}"),
            ("Period", f"{sessions[0]} to {sessions[-1]}, {len(sessions):,} sessions"),
            ("Snapshot", result.facts["snapshot"]),
            ("Code", run.code_version),
        ],
        warnings=[*warnings_of(result.facts, result.looks_ahead), *result.odd_betas],
        headline=headline(result, slice(None)),
        samples=_samples(result),
        dates=dates,
        returns=result.ret,
        wealth={name: wealth(r) for name, r in series.items()},
        drawdowns={name: drawdown(r) for name, r in rolled.items()},
        looks_ahead=bool(result.looks_ahead),
        period="rebalance" if result.per_rebalance else "session",
        rolling_window=window,
        rolling_sharpe={n: rolling_sharpe(r, window, year) for n, r in rolled.items()},
        rolling_volatility={n: rolling_volatility(r, window, year) for n, r in rolled.items()},
        years=years,
        months=months,
        year_returns=totals,
        year_benchmark=bench_totals,
        year_active=totals - bench_totals,
        rebalance_dates=sessions[fills],
        turnover=_sums(book.turnover[rows], fills, ends),
        cost=_sums(book.cost[rows], fills, ends),
        n_positions=result.at_ends(book.names),
        gross=result.at_ends(book.gross),
        net=result.at_ends(book.net),
        bands=[] if regimes is None else bands(sessions, regimes),
        worth=[*bridge_section(result), worth_section(result), *regime_section(result, regimes)],
        studies=_studies(result, factors),
        assumptions=assumptions(result),
        out_of_sample_from=np.datetime64(split, "D") if split else None,
    )


def _studies(result: BacktestResult, factors: Factors | None) -> list[Section]:
    held = holdings(result)
    return [
        *mix_section(result),
        exposure_section(result, held),
        *limit_section(result),
        decile_section(result),
        *attribution_sections(result, held),
        *regression_section(result, factors),
        stress_section(result),
    ]


def headline(result: BacktestResult, part: slice) -> list[Headline]:
    """The headline table over a part of the periods: portfolio, benchmark, active."""
    own, dates, year = result.over(part), result.dates[part], result.periods_per_year
    bench = performance(result.bench[part], dates, year)
    active = performance((result.ret - result.bench)[part], dates, year)
    period = "rebalance" if result.per_rebalance else "day"
    return [
        Headline(
            "Annual return",
            "percent",
            own.annual_return,
            bench.annual_return,
            own.annual_return - bench.annual_return,
        ),
        Headline(
            "Sharpe ratio",
            "ratio",
            own.sharpe,
            bench.sharpe,
            own.information_ratio,
        ),
        Headline(
            "Volatility",
            "percent",
            own.volatility,
            bench.volatility,
            own.tracking_error,
        ),
        Headline("Max drawdown", "percent", own.max_drawdown, bench.max_drawdown, active.max_drawdown),
        Headline("Trading cost a year", "percent", own.cost_drag, digits=2),
        Headline("Turnover a year", "ratio", own.turnover),
        Headline("Total return", "percent", own.total_return, bench.total_return, None),
        Headline("Sharpe, standard error", "ratio", own.sharpe_se, bench.sharpe_se, active.sharpe_se),
        Headline("Sortino ratio", "ratio", own.sortino, bench.sortino, active.sortino),
        Headline("Calmar ratio", "ratio", own.calmar, bench.calmar, None),
        Headline(f"Hit rate, {period}s", "percent", own.hit_rate, bench.hit_rate, active.hit_rate),
        Headline(f"Best {period}", "percent", own.best, bench.best, active.best),
        Headline(f"Worst {period}", "percent", own.worst, bench.worst, active.worst),
        Headline("Skewness", "ratio", own.skewness, bench.skewness, active.skewness),
        Headline(
            "Excess kurtosis", "ratio", own.excess_kurtosis, bench.excess_kurtosis, active.excess_kurtosis
        ),
        Headline("Beta to benchmark", "ratio", own.beta),
        Headline("Names", "number", own.n_positions),
        Headline("Gross exposure", "percent", own.gross),
        Headline("Net exposure", "percent", own.net),
    ]


def _samples(result: BacktestResult) -> Mapping[str, Sequence[Headline]]:
    split = result.strategy.backtest.out_of_sample_from
    if not split:
        return {}
    at = int(np.searchsorted(result.dates, np.datetime64(split, "D")))
    parts = {
        f"In sample, before {split}": slice(0, at),
        f"Out of sample, from {split}": slice(at, len(result.dates)),
    }
    return {name: headline(result, part) for name, part in parts.items() if part.stop - part.start > 1}


def _sums(daily: np.ndarray[Any, Any], starts: Any, ends: Any) -> np.ndarray[Any, Any]:
    total = np.concatenate([[0.0], np.cumsum(daily)])
    sums: np.ndarray[Any, Any] = total[ends] - total[starts]
    return sums
