"""How many backtests a result was chosen from, by the run ledger, and what it is worth after that choice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.frame import Array, dates, numbers
from kairos.errors import InputError
from kairos.evaluation.sharpe import (
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    probabilistic_sharpe,
    sharpe_ratio,
    sharpe_se,
)
from kairos.evaluation.significance import lag_rule

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.store import Snapshot
    from kairos.store.ledger import Run


SHORTEST = 0.25
"""Years of a trial below which its Sharpe ratio tells nothing of the variance; it counts all the same."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried on one signal.

    Attributes
    ----------
    run : str
        Identifier of its latest run.
    config_hash, alpha : str
        What makes it a trial of its own.
    data, namespace : str
        Fingerprint of the prices as ingested, and the namespace whose universe was used.
    first, last : str
        Dates of the first and last daily return, ISO.
    sessions : int
        Number of returns.
    judged : str
        Column of the daily results that the Sharpe ratio is taken of: ``active_ret`` for a long-only book,
        ``port_ret_raw`` for a neutral one; both are net of costs.
    sharpe : float
        Of that column, **per return**; NaN when it has no volatility or the run did not record it.
    periods_per_year : float
        Returns a year: 252, or fewer where there is one a rebalance.
    table : str
        Name of the table of daily results.
    """

    run: str
    config_hash: str
    alpha: str
    data: str
    namespace: str
    first: str
    last: str
    sessions: int
    judged: str
    sharpe: float
    periods_per_year: float
    table: str

    @classmethod
    def of(cls, run: Run) -> Trial | None:
        """Read a row of the ledger; None when it is no backtest."""
        headline: dict[str, Any] = json.loads(run.headline)
        if not {"alpha", "data", "start", "end", "sessions", "table"} <= headline.keys():
            return None
        sharpe = headline.get("judged_sharpe")
        return cls(
            run=run.id,
            config_hash=run.config_hash,
            alpha=headline["alpha"],
            data=headline["data"],
            namespace=headline.get("namespace") or _asked_namespace(run),
            first=headline["start"],
            last=headline["end"],
            sessions=headline["sessions"],
            judged=headline.get("judged", ""),
            sharpe=np.nan if sharpe is None else float(sharpe),
            periods_per_year=headline.get("periods_per_year", SESSIONS_PER_YEAR),
            table=headline["table"],
        )

    @property
    def outcome(self) -> tuple[object, ...]:
        """Equal for two configurations that give the very same returns, so that their difference is none."""
        if np.isnan(self.sharpe):
            return self.config_hash, self.alpha
        return self.judged, self.first, self.last, self.sessions, self.sharpe

    def competes_with(self, other: Trial) -> bool:
        """Tell whether both were tried on the same data over dates that overlap, in whatever namespace."""
        return self.data == other.data and self.first <= other.last and other.first <= self.last


def _asked_namespace(run: Run) -> str:
    """Namespace of a run that did not record it in its headline."""
    asked = json.loads(run.config).get("asked", {})
    return asked.get("--namespace") or "main"


def trials_of(judged: Run, runs: Iterable[Run]) -> list[Trial]:
    """List the trials that a run was chosen from, itself once and in the last place.

    A trial is a distinct pair of configuration hash and signal over the same prices, in any namespace, with
    dates that overlap those of the judged run. Of several runs of one trial the latest one stands. Nor is it
    another trial when a configuration has the Sharpe ratio of another one to the last bit: what was changed
    plays no role in its returns.

    Parameters
    ----------
    judged : Run
        The run that is reported, recorded or not.
    runs : iterable of Run
        Rows of the ledger, and other runs of the same command that are about to be recorded.

    Raises
    ------
    InputError
        The judged run is no backtest.
    """
    own = Trial.of(judged)
    if own is None:
        raise InputError(f"run {judged.id} is no backtest: it has no daily results to judge")
    latest: dict[tuple[str, str], Trial] = {}
    for run in sorted(runs, key=lambda run: (run.time, run.id)):
        trial = Trial.of(run)
        if trial is not None and trial.competes_with(own):
            latest[trial.config_hash, trial.alpha] = trial
    latest.pop((own.config_hash, own.alpha), None)
    distinct = {trial.outcome: trial for trial in latest.values()}
    distinct.pop(own.outcome, None)
    return [*distinct.values(), own]


def daily_returns(snapshot: Snapshot, trials: Sequence[Trial]) -> Array:
    """Read the judged returns of the trials whose results still exist, over common sessions.

    Only those with as many returns a year as the judged trial, the last one. Results are kept under the
    strategy's name, so a later run of that name has replaced those of an earlier trial.

    Returns
    -------
    (T, n) array, n the trials that are left; (0, n) without a common session.
    """
    series = [
        snapshot.read(trial.table, ["date", trial.judged], namespace=trial.namespace)
        for trial in trials
        if trial.judged
        and trial.periods_per_year == trials[-1].periods_per_year
        and _still_there(snapshot, trial)
    ]
    if not series:
        return np.empty((0, 0))
    days = [dates(rows["date"]) for rows in series]
    common = days[0]
    for other in days[1:]:
        common = np.intersect1d(common, other)
    columns = [
        numbers(rows.column(1))[np.searchsorted(own, common)] for rows, own in zip(series, days, strict=True)
    ]
    return np.column_stack(columns)


def _still_there(snapshot: Snapshot, trial: Trial) -> bool:
    key = (trial.namespace, trial.table)
    return key in snapshot.tables and snapshot.tables[key].meta.get("run") == trial.run


@dataclass(frozen=True)
class Deflation:
    """A Sharpe ratio after the choice among trials. Ratios and variances are per return of the judged run.

    Attributes
    ----------
    trials, extra : int
        Distinct trials by the ledger, the judged one included, and those made elsewhere.
    unknown : int
        Trials by the ledger without a Sharpe ratio, or shorter than `SHORTEST` years: they are counted,
        but tell nothing of the variance.
    sharpe : float
        Of the judged run.
    observed : float
        Variance of the trials' Sharpe ratios; NaN with fewer than two.
    worthless : float
        Variance that unrelated trials without any skill would have: sampling error alone.
    variance : float
        What the threshold was made with.
    threshold : float
        Sharpe ratio that the best of as many worthless trials is expected to show.
    probabilistic, deflated : float
        Confidence that the true Sharpe ratio is above 0, before and after the choice.
    published : float
        The deflated ratio by the published formula: observed variance, independent returns.
    effective : float
        Independent trials that those whose daily returns still exist amount to; NaN with fewer than two.
    compared : int
        How many those are.
    lags : int
        Autocorrelation that the error allows for.
    periods_per_year : float
        Returns a year.
    judged : str
        Whose Sharpe ratio it is, for the sentence.
    """

    trials: int
    extra: int
    unknown: int
    sharpe: float
    observed: float
    worthless: float
    variance: float
    threshold: float
    probabilistic: float
    deflated: float
    published: float
    effective: float
    compared: int
    lags: int
    periods_per_year: float
    judged: str = ""

    @property
    def sentence(self) -> str:
        """What it says, for a report."""
        year = sqrt(self.periods_per_year)
        elsewhere = f" and {self.extra} made elsewhere" if self.extra else ""
        if np.isnan(self.deflated):
            return f"One of {self.trials} trials on these data{elsewhere}; it has no Sharpe ratio."
        if self.trials + self.extra == 1:
            chosen = "This is the only trial on these data by the ledger"
        else:
            chosen = (
                f"The best of {self.trials} trials on these data{elsewhere} would be expected to show a "
                f"Sharpe ratio of {self.threshold * year:.2f} a year if all were worthless"
            )
        alike = (
            f" The {self.compared} trials whose daily returns still exist move like {self.effective:.1f} "
            "independent ones."
            if np.isfinite(self.effective)
            else ""
        )
        verdict = "" if min(self.deflated, self.published) > 0.95 else ", which is not significant at 5 %"
        of = f" of its {self.judged}" if self.judged else ""
        return (
            f"{chosen}; this one shows {self.sharpe * year:.2f}{of}. The "
            f"confidence that its true Sharpe ratio is above 0 is {self.deflated:.1%} after that choice "
            f"({self.published:.1%} by the published formula){verdict}.{alike}"
        )

    def headline(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        return {
            "deflated_sharpe": self.deflated,
            "published_deflated_sharpe": self.published,
            "trials": self.trials,
            "trials_elsewhere": self.extra,
        }

    def as_dict(self) -> dict[str, Any]:
        """Every number by name."""
        return asdict(self)


def deflate(
    trials: Sequence[Trial],
    returns: npt.ArrayLike,
    *,
    periods_per_year: float,
    extra: int = 0,
    daily: Array | None = None,
    lags: int | None = None,
    judged: str = "",
) -> Deflation:
    """Deflate the Sharpe ratio of a run by the trials that it was chosen from.

    The threshold is E[max] of N = trials + extra worthless ones (`expected_maximum`). Its variance is

        (n·min(observed, worthless) + extra·worthless) / (n + extra)

    with *worthless* the sampling variance of a Sharpe ratio of such returns, averaged over the trials'
    lengths; ratios and lengths of trials that count by other periods are converted to the judged run's. The
    published formula takes the observed variance of all trials. That is the same when none has skill, but
    differences in true skill add to it, up to the point at which one good strategy among bad ones is rejected
    because it is good. Trials that move together have an observed variance below it, which is what makes
    their number count less. Nothing is known of trials made elsewhere: they count as unrelated.

    Parameters
    ----------
    trials : sequence of Trial
        From `trials_of`: the judged one stands last.
    returns : (T,)
        Daily returns of the judged run that its Sharpe ratio is taken of (`Trial.judged`).
    periods_per_year : float
        Returns a year of the judged run.
    extra : int
        Trials made elsewhere (``--trials``).
    daily : (T', n), optional
        Daily returns of trials over common sessions, from `daily_returns`.
    lags : int, optional
        Autocorrelation that the error allows for; `lag_rule` of the length unless given.
    judged : str
        Whose returns they are, for the sentence: "active net returns".

    Raises
    ------
    InputError
        `extra` is negative, or a return is missing.

    References
    ----------
    Bailey, D. and López de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio Management
    40(5).
    """
    if extra < 0:
        raise InputError(f"--trials {extra}: pass the number of trials made elsewhere, 0 or more")
    series = np.asarray(returns, dtype=np.float64)
    allowed = lag_rule(series.size) if lags is None else lags
    own = sharpe_ratio(series, 1.0)
    others = [trial for trial in trials[:-1] if trial.sessions / trial.periods_per_year >= SHORTEST]
    finer = np.array([*(trial.periods_per_year for trial in others), periods_per_year]) / periods_per_year
    ratios = np.array([*(trial.sharpe for trial in others), own]) * np.sqrt(finer)
    lengths = np.array([*(trial.sessions for trial in others), series.size]) / finer
    ratios, lengths, n = ratios[np.isfinite(ratios)], lengths[lengths > 1.0], len(trials)
    worthless = sharpe_se(series, 1.0, lags=allowed) ** 2 * float(np.mean((series.size - 1) / (lengths - 1)))
    observed = float(ratios.var(ddof=1)) if ratios.size > 1 else np.nan
    within = worthless if np.isnan(observed) else min(observed, worthless)
    variance = (n * within + extra * worthless) / (n + extra)
    defined = np.isfinite(own) and np.isfinite(variance)
    compared = 0 if daily is None or len(daily) < 2 else daily.shape[1]
    return Deflation(
        trials=n,
        extra=extra,
        unknown=n - ratios.size,
        sharpe=own,
        observed=observed,
        worthless=worthless,
        variance=variance,
        threshold=expected_maximum(n + extra, variance) if defined else np.nan,
        probabilistic=probabilistic_sharpe(series, lags=allowed),
        deflated=deflated_sharpe(series, n + extra, variance, allowed) if defined else np.nan,
        published=deflated_sharpe(series, n + extra, variance if np.isnan(observed) else observed)
        if defined
        else np.nan,
        effective=effective_trials(daily) if compared > 1 and daily is not None else np.nan,
        compared=compared,
        lags=allowed,
        periods_per_year=periods_per_year,
        judged=judged,
    )
