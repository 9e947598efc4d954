"""What the reports show: results of this desk as the report room's sheets. Numbers only, no layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.evaluation import rolling_sharpe
from kairos.evaluation.growth import drawdown, monthly_table, wealth
from kairos.evaluation.performance import performance
from kairos.evaluation.risk import rolling_volatility
from kairos.evaluation.significance import MeanTest, mean_test
from kairos.report import Estimate, Headline, Information, Signal, SignalSheet, TearSheet

if TYPE_CHECKING:
    from kairos.equity.signals import SignalResult, SignalStudy
    from kairos.evaluation.information import ICSummary
    from kairos.store.ledger import Run

ROLLING = 126
"""Sessions of the rolling statistics of a tear sheet."""


def tear_sheet(result: BacktestResult, run: Run) -> TearSheet:
    """All that the tear sheet of one strategy shows."""
    dates, strategy = result.dates, result.strategy
    rows, book = result.rows, result.simulation.scaled
    years, months, totals = monthly_table(result.ret, dates)
    _, _, bench_totals = monthly_table(result.bench, dates)
    series = {"Net of costs": result.ret, "Before costs": result.before_cost, "Benchmark": result.bench}
    rolled = {"Net of costs": result.ret, "Benchmark": result.bench}
    fills = np.array(result.simulation.fills) - rows.start
    ends = np.append(fills[1:], len(dates))
    split = strategy.backtest.out_of_sample_from
    return TearSheet(
        strategy=strategy.name,
        alpha=f"{'−' if result.lower_is_better else ''}{result.alpha}",
        facts=[
            ("Run", run.id),
            ("Command", f"kairos {run.command}"),
            ("Period", f"{dates[0]} to {dates[-1]}, {len(dates):,} sessions"),
            ("Snapshot", result.facts["snapshot"]),
            ("Code", run.code_version),
        ],
        warnings=_warnings(result.facts, strategy.backtest.volatility.estimate),
        headline=headline(result, slice(None)),
        samples=_samples(result),
        dates=dates,
        returns=result.ret,
        wealth={name: wealth(r) for name, r in series.items()},
        drawdowns={name: drawdown(r) for name, r in rolled.items()},
        rolling_window=ROLLING,
        rolling_sharpe={n: rolling_sharpe(r, ROLLING, SESSIONS_PER_YEAR) for n, r in rolled.items()},
        rolling_volatility={n: rolling_volatility(r, ROLLING, SESSIONS_PER_YEAR) for n, r in rolled.items()},
        years=years,
        months=months,
        year_returns=totals,
        year_benchmark=bench_totals,
        year_active=totals - bench_totals,
        rebalance_dates=dates[fills],
        turnover=_sums(book.turnover[rows], fills, ends),
        cost=_sums(book.cost[rows], fills, ends),
        n_positions=book.names[rows],
        gross=book.gross[rows],
        net=book.net[rows],
        assumptions=_assumptions(result),
        out_of_sample_from=np.datetime64(split, "D") if split else None,
    )


def headline(result: BacktestResult, part: slice) -> list[Headline]:
    """The headline table over a part of the sessions: portfolio, benchmark, active."""
    own = result.over(part)
    bench = performance(result.bench[part], result.dates[part], SESSIONS_PER_YEAR)
    active = performance((result.ret - result.bench)[part], result.dates[part], SESSIONS_PER_YEAR)
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
        Headline("Hit rate, days", "percent", own.hit_rate, bench.hit_rate, active.hit_rate),
        Headline("Best day", "percent", own.best, bench.best, active.best),
        Headline("Worst day", "percent", own.worst, bench.worst, active.worst),
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


def _assumptions(result: BacktestResult) -> list[tuple[str, str]]:
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
        ("Decision", f"every {every} sessions, from what is known after the close; {run.left_out:,} times a name with a signal was left out for lack of a known volume or volatility"),
        ("Fill", f"at the close {lag} session{'' if lag == 1 else 's'} later; {wait} ({run.scaled.unpriced:,} were); {part}"),
        ("Holding", "the book drifts between fills; profit and loss is daily; a name without a price earns nothing until its next one; a delisted name is paid out at its last price and the pay-out of its reason"),
        ("Costs", f"half-spread {costs.half_spread * 1e4:g} bp + {costs.impact:g} · daily volatility · √(trade / average daily volume), capital {rules.capital:,.0f} USD; borrow {costs.borrow:.2%}, financing {costs.financing_rate:.2%}, cash {costs.cash_rate:.2%} a year"),
        ("Volatility target", target),
        ("Benchmark", f"{result.bench_name}{', scaled to the same target by its own returns' if strategy.target_vol else ''}, no trading cost"),
        ("Sample", f"in sample before {split}, out of sample from then" if split else "all in sample: no out-of-sample date is configured"),
        ("Sharpe ratio", "mean / standard deviation · √252 of daily returns, no risk-free rate"),
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


def _warnings(facts: Mapping[str, Any], estimate: str) -> list[str]:
    found = []
    if facts.get("mode") == "option_b":
        found.append("Survivorship bias: the universe is today's list, so names that failed are not in it.")
    if facts.get("mode") == "point_in_time" and not facts.get("size_rule"):
        found.append("The size rule was dropped because the table daily is missing.")
    if estimate == "full_sample":
        found.append("Look-ahead: the volatility target uses the volatility of the whole sample.")
    if not facts.get("actions", True):
        found.append("No corporate actions are loaded: delistings have no reason and pay out the last price.")
    return [*found, *facts.get("data_warnings", ())]


def signal_sheet(study: SignalStudy, command: str) -> SignalSheet:
    """All that the signal report shows."""
    rules = study.settings.equity.signals
    split = study.settings.equity.backtest.out_of_sample_from
    several = len(study.signals) > 1
    exposures = ", ".join(rules.neutralise) or "nothing"
    return SignalSheet(
        horizon=rules.horizon,
        lag=rules.lag,
        facts=[
            ("Command", f"kairos {command}"),
            ("Period", f"{study.sessions[0]} to {study.sessions[-1]}"),
            ("Snapshot", study.facts["snapshot"]),
        ],
        warnings=_warnings(study.facts, "trailing"),
        signals=[_signal(result, study) for result in study.signals],
        correlation=study.correlation if several else (),
        adjusted={"Holm": study.holm, "Romano–Wolf": study.romano_wolf} if several else {},
        assumptions=[
            ("Universe", universe_text(study.facts)),
            ("Coefficient", f"Spearman's, per session, over the members with a value and a return; sessions with fewer than {rules.min_names} names don't count"),
            ("Return", f"total return from the close of t + {rules.lag} over {rules.horizon} sessions; a ticker that ends pays its last price and the pay-out"),
            ("t-value", f"Newey–West with {rules.horizon - 1} lags, because neighbouring returns overlap"),
            ("Neutral", f"residual of a regression on {exposures}, per session; sector is today's"),
            ("Portfolios", f"{rules.groups} groups of equal count, bought every {rules.horizon} sessions with the lag, equal weight, held and drifted, before costs"),
            ("Sample", f"in sample before {split}, out of sample from then" if split else "all in sample: no out-of-sample date is configured"),
        ],
        out_of_sample_from=np.datetime64(split, "D") if split else None,
    )  # fmt: skip


def _signal(result: SignalResult, study: SignalStudy) -> Signal:
    sessions = study.sessions
    seen = np.isfinite(result.ic)
    months, at = np.unique(sessions[seen].astype("datetime64[M]"), return_index=True)
    sums = np.add.reduceat(result.ic[seen], at)
    portfolios, groups = result.quantiles, study.settings.equity.signals.groups
    lags = study.settings.equity.signals.horizon
    tests, order = portfolios.tests(lags), portfolios.monotonicity()
    spread = portfolios.spread
    year = SESSIONS_PER_YEAR
    labels = [f"D{g + 1}" if groups == 10 else f"Q{g + 1}" for g in range(groups)]
    summaries = [("All members", result.headline), ("Neutral", result.neutral)]
    summaries += [
        (n, s) for n, s in (("In sample", result.in_sample), ("Out of sample", result.out_of_sample)) if s
    ]
    return Signal(
        name=f"{'−' if result.lower_is_better else ''}{result.column}",
        information=[_information(name, summary) for name, summary in summaries],
        months=months.astype("datetime64[D]"),
        monthly=sums / np.diff(np.append(at, seen.sum())),
        dates=sessions[seen],
        cumulative=np.cumsum(result.ic[seen]),
        decay=[_estimate(f"{h} session{'' if h == 1 else 's'}", s) for h, s in result.decay.items()],
        groupings={
            "Year": [_estimate(str(y), s) for y, s in result.years.items() if s.n],
            "Sector": [_estimate(name, s) for name, s in result.sectors.items() if s.n],
        },
        quantiles=[
            Estimate(label, test.mean * year, test.low * year, test.high * year, test.t, test.n)
            for label, test in zip(labels, tests, strict=True)
        ],
        quantile_dates=sessions[portfolios.sessions],
        quantile_wealth={label: wealth(r) for label, r in zip(labels, portfolios.returns.T, strict=True)},
        spread_wealth=wealth(spread),
        spread=spread_estimate(result, lags),
        monotonicity=order.spearman,
        rising=order.rising,
        rank_autocorrelation=[
            Estimate(f"{k} session{'' if k == 1 else 's'}", value)
            for k, value in result.autocorrelation.items()
        ],
        turnover=[
            Estimate(label, float(value))
            for label, value in zip(labels, portfolios.turnover[1:].mean(axis=0), strict=True)
        ],
        fama_macbeth=Estimate("slope", *_interval(result.slope.test)),
    )


def spread_estimate(result: SignalResult, lags: int) -> Estimate:
    """Top less bottom portfolio: mean return a year with its interval."""
    test = mean_test(result.quantiles.spread, lags)
    year = SESSIONS_PER_YEAR
    return Estimate("spread", test.mean * year, test.low * year, test.high * year, test.t, test.n)


def _information(label: str, s: ICSummary) -> Information:
    return Information(
        label=label, mean=s.mean, std=s.std, icir=s.icir, positive=s.positive,
        t=s.t, p=s.p, low=s.low, high=s.high, n=s.n,
    )  # fmt: skip


def _estimate(label: str, s: ICSummary) -> Estimate:
    return Estimate(label, *_interval(s))


def _interval(test: MeanTest) -> tuple[float, float, float, float, int]:
    return test.mean, test.low, test.high, test.t, test.n
