"""The step `evaluate`: whether the model foretells the ordinary's return better than its index alone.

The baseline is β·r_index, the model baseline + predicted residual; both are held against the return of the
ordinary on the test days, by month and over all of them. What it writes is in
``with_us_stocks/{model}_evaluation/``:

* ``baseline_comparison.csv``: a row for each ADR and test month;
* ``improvement_by_adr.csv``: a row for each ADR: its improvement, the mean over the months that count of
  IC(model) − IC(baseline), with interval and tests, and the scores over all its test days;
* ``nulls.csv``: the mean improvement of the model and of forecasts that need no model;
* ``selection_comparison.csv``: the same of every selection rule on the same windows;
* ``gate.csv``: what the gate lets through, chosen in-sample and with the past only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import bottleneck as bn
import numpy as np
import numpy.typing as npt
import pandas as pd

from kairos.adr.desk import FEATURES, TARGETS
from kairos.adr.instruments import read_us_sectors
from kairos.adr.results import read_rows
from kairos.adr.train import PREDICTIONS, compare_selections, evaluation_output, output
from kairos.errors import InputError
from kairos.evaluation.prediction import (
    Comparison,
    Scores,
    compare,
    expanding_mean,
    scores,
    slope_forecast,
)
from kairos.evaluation.significance import mean_test

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kairos.adr.desk import Desk
    from kairos.panel import Array
    from kairos.settings.tree import Gate

MONTHLY = "baseline_comparison.csv"
BY_ADR = "improvement_by_adr.csv"
NULLS = "nulls.csv"
SELECTIONS = "selection_comparison.csv"
GATE = "gate.csv"

SIGNIFICANT = 0.05
"""Adjusted p-value up to which an improvement is told from luck."""


@dataclass(frozen=True, eq=False)
class Days:
    """Returns of all ADRs on a common calendar: every date on which any of them has a target.

    Attributes
    ----------
    dates : (T,) datetime64[D]
    names : N ADRs
    outcome, baseline, residual : (T, N)
        Return of the ordinary = baseline + residual; NaN on a day that the ordinary lacks.
    """

    dates: npt.NDArray[np.datetime64]
    names: tuple[str, ...]
    outcome: Array
    baseline: Array
    residual: Array

    @property
    def months(self) -> npt.NDArray[np.datetime64]:
        """Calendar month of each date: a return over several days belongs to the month of its end."""
        return self.dates.astype("datetime64[M]")

    def panel(self, rows: pd.DataFrame, column: str) -> Array:
        """A column of rows with ticker and date, on the calendar; (T, N)."""
        wide = rows.pivot(index="date", columns="ticker", values=column)
        found: Array = wide.reindex(index=self.dates, columns=self.names).to_numpy(dtype=np.float64)
        return found


@dataclass(frozen=True)
class EvaluateReport:
    """Outcome of the step `evaluate`.

    Attributes
    ----------
    by_adr, nulls, gate : DataFrame
        The rows of ``improvement_by_adr.csv``, ``nulls.csv`` and ``gate.csv``.
    level : float
        Coverage of the intervals.
    not_counted : int
        Months of ADRs with too few test days to count.
    stale : list of str
        Whether the models come from other settings than the comparison of the rules.
    """

    by_adr: pd.DataFrame
    nulls: pd.DataFrame
    gate: pd.DataFrame
    level: float
    not_counted: int
    stale: list[str]

    def remarks(self) -> list[str]:
        """Plain sentences."""
        remarks = [*self.stale, *reading(self.by_adr, self.nulls, self.level), gate_reading(self.gate)]
        if self.not_counted:
            remarks.append(
                f"Months of ADRs with too few test days to count, or without an IC: {self.not_counted}."
            )
        return remarks

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR."""
        columns = ["ADR", "Months", "Baseline IC", "Model IC", "Improvement", "Low", "High", "Adjusted p"]
        shown = [
            "ticker", "months", "baseline_ic", "model_ic", "improvement", "low", "high", "stepwise_p",
        ]  # fmt: skip
        return columns, self.by_adr[shown].to_numpy(dtype=object).tolist()


def evaluate(desk: Desk, progress: Callable[[int, int], object] | None = None) -> EvaluateReport:
    """Evaluate the configured model against the baseline, nulls and other selection rules.

    Parameters
    ----------
    desk
        Data directory and settings; the steps `features` and `train` have been run.
    progress
        Called with the number of ADRs done and of all, while the selection rules are compared.

    Raises
    ------
    InputError
        A file of an earlier step is missing or doesn't fit the others, no ADR has a test day, or a file would
        be replaced that the desk did not make.
    """
    days, added = _test_days(desk)
    full = _compare(desk, days, added)
    by_month, by_adr = _by_month(days, added, full), _by_adr(desk, days, added, full)
    nulls = pd.DataFrame(
        [_row("forecast", "model", full, added)]
        + [
            _row("forecast", name, _compare(desk, days, forecast), forecast)
            for name, forecast in _null_forecasts(desk, days, added).items()
        ]
    )
    gate = gate_table(full, desk.settings.adr.gate)
    selections = _selections(desk, days, compare_selections(desk, progress))
    into = evaluation_output(desk)
    tables = {
        MONTHLY: by_month,
        BY_ADR: by_adr,
        NULLS: nulls,
        SELECTIONS: selections,
        GATE: gate,
    }
    desk.save((f"{into}/{name}", partial(table.to_csv, index=False)) for name, table in tables.items())
    not_counted = int((~by_month["counted"]).sum())
    settings = desk.settings.adr
    found = stale(nulls, selections, settings.model.selection)
    return EvaluateReport(by_adr, nulls, gate, settings.evaluation.level, not_counted, found)


def stale(nulls: pd.DataFrame, selections: pd.DataFrame, rule: str) -> list[str]:
    """Say that the models do not have the improvement which their rule has when it is trained anew."""
    model = float(nulls.loc[nulls["forecast"] == "model", "improvement"].iloc[0])
    anew = float(selections.loc[selections["rule"] == rule, "improvement"].iloc[0])
    if np.isclose(model, anew, rtol=0.0, atol=1e-6, equal_nan=True):
        return []
    text = (
        f"The models were trained with other settings or features than those of this evaluation: {rule}, "
        f"trained anew, changes the IC by {anew:+.4f}, and they by {model:+.4f}. Run `train` again, then "
        "`evaluate`."
    )
    return [text]


def reading(by_adr: pd.DataFrame, nulls: pd.DataFrame, level: float) -> list[str]:
    """What the improvements say, in sentences: of all ADRs together, and of each."""
    overall = nulls[nulls["forecast"] == "model"].iloc[0]
    told = by_adr.loc[by_adr["stepwise_p"] <= SIGNIFICANT, "ticker"].tolist()
    mean = (
        f"The model changes the mean monthly IC of {len(by_adr)} ADRs by {overall['improvement']:+.3f} over "
        f"{overall['months']} months"
    )
    if np.isnan(overall["low"]):
        return [f"{mean}: it never adds anything to the baseline."]
    bounds = f"{level:.0%} interval {overall['low']:+.3f} to {overall['high']:+.3f}"
    verdict = "which is luck as far as these months can tell"
    if overall["low"] > 0.0:
        verdict = "an improvement"
    elif overall["high"] < 0.0:
        verdict = "a loss"
    each = (
        f"{len(told)} of the {len(by_adr)} improvements can be told from luck: {', '.join(told)}"
        if told
        else f"None of the {len(by_adr)} improvements can be told from luck"
    )
    tests = f"at {SIGNIFICANT:.0%}, all ADRs tested together"
    return [f"{mean} ({bounds}), {verdict}.", f"{each} ({tests})."]


def gate_reading(gate: pd.DataFrame) -> str:
    """What passes the gate, and how much of it noise alone would let through, in a sentence."""
    full = gate.set_index("mode").loc["full_sample"]
    return (
        f"{full['adrs_passing']:.0f} of {full['adrs']:.0f} ADRs pass the full-sample gate of an improvement "
        f"of {full['min_improvement']:g}; over {full['months']:.0f} test months it would admit "
        f"{full['noise_share']:.0%} of ADRs whose true improvement is 0."
    )


def gate_table(comparison: Comparison, gate: Gate) -> pd.DataFrame:
    """What the gate lets through in both modes, on the months that both can judge.

    `full_sample` lets all months of an ADR through when its improvement over all of them reaches the
    threshold; `expanding` lets a month through when the improvement over the months before it does. Both are
    measured on the months that have `min_months` counted months before them. `gain` is the mean improvement
    over all ADRs and those months when the model is used where the gate says so; what `full_sample` gains
    more is the advantage of hindsight. `noise_share` is the mean over ADRs of the chance that an improvement
    reaches the threshold by its noise alone.
    """
    monthly, each = comparison.monthly, comparison.each
    past = expanding_mean(monthly, gate.min_months)
    judged = ~np.isnan(monthly) & ~np.isnan(past)
    passing = each.value >= gate.min_improvement
    open_months = {
        "full_sample": judged & passing,
        "expanding": judged & (np.nan_to_num(past, nan=-np.inf) >= gate.min_improvement),
    }
    return pd.DataFrame(
        {
            "mode": mode,
            "min_improvement": gate.min_improvement,
            "adrs": int((each.n_months > 0).sum()),
            "adrs_passing": int(passing.sum() if mode == "full_sample" else used.any(axis=0).sum()),
            "share_used": _mean(used[judged]),
            "improvement_used": _mean(monthly[used]),
            "gain": _mean(np.where(used, monthly, 0.0)[judged]),
            "noise_share": bn.nanmean(each.chance_of(gate.min_improvement))
            if mode == "full_sample"
            else np.nan,
            "months": int(comparison.overall.n_months[0]),
        }
        for mode, used in open_months.items()
    )


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(values.mean()) if values.size else np.nan


def _test_days(desk: Desk) -> tuple[Days, Array]:
    """Returns of the ADRs that have predictions, and what the model adds to their baselines; (T, N)."""
    columns = ["ticker", "date", "ordinary_return", "baseline", "ordinary_residual"]
    targets = _read(desk, TARGETS, columns, "features")
    name = f"{output(desk)}/{PREDICTIONS}"
    predictions = _read(desk, name, ["ticker", "date", "prediction"], "train")
    if predictions.empty:
        raise InputError(f"{desk.path(name)}: no predictions; no ADR has a test month")
    known = pd.MultiIndex.from_frame(targets[["ticker", "date"]])
    stray = ~pd.MultiIndex.from_frame(predictions[["ticker", "date"]]).isin(known)
    if stray.any():
        one = predictions[stray].iloc[0]
        raise InputError(
            f"{desk.path(name)}: {one['ticker']} has no target on {one['date']:%Y-%m-%d}; "
            "run `train` again after `features`"
        )
    names = tuple(sorted(set(predictions["ticker"])))
    targets = targets[targets["ticker"].isin(names)]
    dates = np.unique(targets["date"].to_numpy().astype("datetime64[D]"))
    empty = np.empty((len(dates), 0))
    calendar = Days(dates, names, empty, empty, empty)
    outcome, baseline, residual = (calendar.panel(targets, column) for column in columns[2:])
    days = Days(dates, names, outcome, baseline, residual)
    return days, days.panel(predictions, "prediction")


def _read(desk: Desk, name: str, columns: Sequence[str], step: str) -> pd.DataFrame:
    """Read a file with one row for each ticker and date."""
    path = desk.existing(name, f"what the step `{step}` makes; run it first")
    rows = read_rows(path, step, columns)
    if missing := set(columns) - set(rows.columns):
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}; run `{step}` again")
    twice = rows.duplicated(["ticker", "date"])
    if twice.any():
        one = rows[twice].iloc[0]
        raise InputError(f"{path}: {one['ticker']} has two rows on {one['date']:%Y-%m-%d}")
    return rows


def _compare(desk: Desk, days: Days, added: Array) -> Comparison:
    """Compare on the dates on which any ADR has a forecast."""
    settings, test = desk.settings.adr.evaluation, np.isfinite(added).any(axis=1)
    return compare(
        days.outcome[test],
        days.baseline[test],
        added[test],
        days.months[test],
        min_days=settings.min_days,
        block=settings.block,
        draws=settings.draws,
        level=settings.level,
        seed=settings.seed,
    )


def _null_forecasts(desk: Desk, days: Days, added: Array) -> dict[str, Array]:
    """Forecasts of the residual that need no model, on the days of the model's.

    Beside zero they have one slope each, fitted on the twelve months (of training and validation) before.
    """
    windows = desk.settings.adr.windows
    predictors = {"own_lag": _own_lag(days.residual), **_us_averages(desk, days)}
    length, rows = (
        windows.train_months + windows.validation_months,
        windows.min_train + windows.min_validation,
    )
    forecasts = {"zero": np.zeros_like(added)} | {
        name: slope_forecast(days.residual, predictor, days.months, length, rows)
        for name, predictor in predictors.items()
    }
    on_test_days = {name: np.where(np.isfinite(added), f, np.nan) for name, f in forecasts.items()}
    return {name: f for name, f in on_test_days.items() if np.isfinite(f).any()}


def _own_lag(residual: Array) -> Array:
    """Residual of each ADR's own day before, whatever the calendar says in between."""
    lagged = np.full_like(residual, np.nan)
    for n, column in enumerate(residual.T):
        rows = np.flatnonzero(~np.isnan(column))
        lagged[rows[1:], n] = column[rows[:-1]]
    return lagged


def _us_averages(desk: Desk, days: Days) -> dict[str, Array]:
    """Mean of each ADR's US residuals: of all stocks, and of those in the sector of its own US line."""
    sector = {ticker: stock.sector for ticker, stock in read_us_sectors(desk).items()}
    averages = {
        "market_average": np.full_like(days.residual, np.nan),
        "sector_average": np.full_like(days.residual, np.nan),
    }
    for n, adr in enumerate(days.names):
        path = desk.existing(f"{FEATURES}/{adr}.parquet", f"the features of {adr}; run `features` first")
        features = read_rows(path, "features").drop(columns="ordinary_residual")
        rows = np.searchsorted(days.dates, features.index.to_numpy().astype("datetime64[D]"))
        peers = [us for us in features.columns if sector.get(us) and sector.get(us) == sector.get(adr)]
        averages["market_average"][rows, n] = features.to_numpy().mean(axis=1)
        if peers:
            averages["sector_average"][rows, n] = features[peers].to_numpy().mean(axis=1)
    return averages


def _scored(days: Days, added: Array, months: npt.NDArray[np.generic]) -> dict[str, Scores]:
    """Scores of baseline and model on the days that have both."""
    outcome = np.where(np.isfinite(added), days.outcome, np.nan)
    return {
        "baseline": scores(outcome, days.baseline, months),
        "model": scores(outcome, days.baseline + added, months),
    }


def _by_month(days: Days, added: Array, full: Comparison) -> pd.DataFrame:
    test = np.isfinite(added).any(axis=1)
    part = Days(days.dates[test], days.names, days.outcome[test], days.baseline[test], days.residual[test])
    scored = _scored(part, added[test], part.months)
    changed = pd.DataFrame(np.nan_to_num(added[test]) != 0.0).groupby(part.months).any().to_numpy()
    columns = {
        "ticker": np.broadcast_to(np.array(days.names, dtype=object), full.monthly.shape),
        "month": np.broadcast_to(np.unique(part.months).astype(str)[:, None], full.monthly.shape),
        "baseline_ic": scored["baseline"].ic,
        "model_ic": scored["model"].ic,
        "ic_improvement": full.monthly,
        "n_samples": scored["model"].n,
        **_side_by_side(scored, ("r2", "mse", "hit_rate", "rank_ic")),
        "counted": ~np.isnan(full.monthly),
        "zero_model": ~changed,
    }
    table = pd.DataFrame({name: values.T.ravel() for name, values in columns.items()})
    return table[table["n_samples"] > 0].reset_index(drop=True)


def _by_adr(desk: Desk, days: Days, added: Array, full: Comparison) -> pd.DataFrame:
    each, gate = full.each, desk.settings.adr.gate
    pooled = _scored(days, added, np.zeros(len(days.dates)))
    columns = {
        "ticker": np.array(days.names, dtype=object),
        "months": each.n_months,
        "zero_months": (full.monthly == 0.0).sum(axis=0),
        "improvement": each.value,
        "low": each.low,
        "high": each.high,
        "t": each.t,
        "p": each.p,
        "stepwise_p": each.stepwise,
        "holm_p": each.holm,
        **{name: values[0] for name, values in _side_by_side(pooled, ("ic", "rank_ic")).items()},
        **{name: values[0] for name, values in _side_by_side(pooled, ("r2", "mse", "hit_rate")).items()},
        "n_samples": pooled["model"].n[0],
        "passes_gate": each.value >= gate.min_improvement,
        "noise_passes_gate": each.chance_of(gate.min_improvement),
    }
    return pd.DataFrame(columns)


def _side_by_side(scored: dict[str, Scores], names: Sequence[str]) -> dict[str, Array]:
    return {f"{side}_{name}": getattr(scored[side], name) for name in names for side in scored}


def _selections(desk: Desk, days: Days, predictions: pd.DataFrame) -> pd.DataFrame:
    """Mean improvement of every selection rule."""
    rows = []
    for rule, of_rule in predictions.groupby("rule", sort=True):
        added = days.panel(of_rule, "prediction")
        models = of_rule.drop_duplicates(["ticker", "month"])
        rows.append(
            {
                **_row("rule", str(rule), _compare(desk, days, added), added),
                "zero_models": float((models["n_nonzero"] == 0).mean()),
                "n_nonzero": models["n_nonzero"].mean(),
            }
        )
    return pd.DataFrame(rows)


def _row(kind: str, name: str, comparison: Comparison, added: Array) -> dict[str, object]:
    """One forecast's mean improvement over months and ADRs, with the t-value of its monthly means."""
    overall, monthly = comparison.overall, bn.nanmean(comparison.monthly, axis=1)
    return {
        kind: name,
        "improvement": overall.value[0],
        "low": overall.low[0],
        "high": overall.high[0],
        "t": overall.t[0],
        "p": overall.p[0],
        "month_t": mean_test(monthly, lags=0).t,
        "adrs": int(np.isfinite(added).any(axis=0).sum()),
        "adrs_told_from_luck": int(np.sum(comparison.each.stepwise <= SIGNIFICANT)),
        "months": int(overall.n_months[0]),
    }
