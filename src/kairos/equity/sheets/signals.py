"""A study of signals as the report room's sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.sheets.words import universe_text, warnings_of
from kairos.evaluation.growth import wealth
from kairos.evaluation.significance import MeanTest, mean_test
from kairos.report import Estimate, Information, Signal, SignalSheet

if TYPE_CHECKING:
    from kairos.equity.signals import SignalResult, SignalStudy
    from kairos.evaluation.information import ICSummary


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
        warnings=warnings_of(study.facts),
        signals=[_signal(result, study) for result in study.signals],
        correlation=study.correlation if several else (),
        adjusted={"Holm": study.holm, "Romano–Wolf": study.romano_wolf} if several else {},
        assumptions=[
            ("Universe", universe_text(study.facts)),
            ("Coefficient", f"Spearman's, per session, over the members with a value and a return; sessions with fewer than {rules.min_names} names don't count"),
            ("Return", f"total return from the close of t + {rules.lag} over {rules.horizon} sessions; a ticker that ends pays its last price and the pay-out"),
            ("t-value", f"Newey–West with {rules.horizon - 1} lags, because neighbouring returns overlap"),
            ("p and interval", "of coefficients and slope: cosine series (EWC) with Student's t, which hold where the t-value finds too much"),
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
