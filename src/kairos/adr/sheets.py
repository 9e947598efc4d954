"""What the report shows of an evaluation, read from the desk's files. Numbers only, no layout."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos.adr.desk import FEATURES, TARGETS
from kairos.adr.evaluate import (
    BY_ADR,
    GATE,
    MONTHLY,
    NULLS,
    SELECTIONS,
    gate_reading,
    reading,
    stale,
)
from kairos.adr.instruments import read_instruments
from kairos.adr.modelfile import read_model
from kairos.adr.results import read_csv, read_rows
from kairos.adr.train import METADATA, evaluation_output, output
from kairos.report import AdrForecast, AdrGate, AdrMonth, AdrRow, AdrSheet, Estimate

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from kairos.adr.desk import Desk

MOST_USED = 20
"""US stocks that the report lists."""

_ESTIMATE = ("improvement", "low", "high", "t", "months")
_FORECAST = (*_ESTIMATE, "month_t", "adrs", "adrs_told_from_luck")
_COLUMNS: Mapping[str, Mapping[str, Sequence[str]]] = {
    BY_ADR: {
        "texts": ("ticker",),
        "numbers": (
            *_ESTIMATE,
            *(f"{which}_{what}" for which in ("baseline", "model") for what in ("ic", "rank_ic", "r2")),
            *("baseline_hit_rate", "model_hit_rate", "stepwise_p", "holm_p", "zero_months"),
        ),
        "flags": ("passes_gate",),
    },
    MONTHLY: {
        "texts": ("ticker",),
        "months": ("month",),
        "numbers": ("baseline_ic", "model_ic", "ic_improvement"),
        "flags": ("counted", "zero_model"),
    },
    NULLS: {"texts": ("forecast",), "numbers": _FORECAST},
    SELECTIONS: {"texts": ("rule",), "numbers": _FORECAST},
    GATE: {
        "texts": ("mode",),
        "numbers": ("adrs_passing", "share_used", "improvement_used", "gain", "noise_share"),
    },
    METADATA: {
        "texts": ("ticker", "selection", "status", "model_file"),
        "numbers": ("n_nonzero", "alpha", "n_not_converged", "n_test"),
    },
}
"""Columns of the tables that the report shows, by what they hold."""

_NULLS = {
    "model": "The model",
    "zero": "Zero",
    "own_lag": "The ordinary's residual of the day before",
    "market_average": "Mean of the US residuals",
    "sector_average": "Mean of the US residuals in its sector",
}
_MODES = {"full_sample": "Full sample (in-sample)", "expanding": "Expanding (past months only)"}


def adr_sheet(desk: Desk) -> AdrSheet:
    """Fill the sheet of the configured model's evaluation.

    Raises
    ------
    InputError
        A file of the steps `features`, `train` or `evaluate` is missing.
    """
    by_adr, monthly, nulls, selections, gate = (
        read_csv(desk, f"{evaluation_output(desk)}/{name}", "evaluate", **_COLUMNS[name])
        for name in (BY_ADR, MONTHLY, NULLS, SELECTIONS, GATE)
    )
    metadata = read_csv(desk, f"{output(desk)}/{METADATA}", "train", **_COLUMNS[METADATA])
    targets = read_rows(
        *(desk.existing(TARGETS, "the targets; run `features` first"), "features"),
        ["ticker", "date", "exchange", "index", "index_asynchronous"],
    )
    targets = targets[targets["ticker"].isin(by_adr["ticker"])]
    counted = monthly[monthly["counted"]]
    model = nulls[nulls["forecast"] == "model"].iloc[0]
    settings = desk.settings.adr
    rule = str(metadata["selection"].iloc[0])  # the settings may have changed since
    by_month = counted.groupby("month")[["baseline_ic", "model_ic"]].mean().mean()
    trained = metadata[~metadata["status"].str.startswith("skipped")]
    return AdrSheet(
        model=settings.model.name,
        facts=_facts(desk, targets, metadata, rule),
        warnings=[*stale(nulls, selections, rule), *_warnings(desk, targets, monthly, metadata)],
        reading=[*reading(by_adr, nulls, settings.evaluation.level), gate_reading(gate)],
        level=settings.evaluation.level,
        overall=_estimate(model, "All ADRs", "months"),
        baseline_ic=by_month["baseline_ic"],
        model_ic=by_month["model_ic"],
        adrs=_adrs(by_adr, targets, trained),
        months=[_month(str(month), rows) for month, rows in counted.groupby("month")],
        improvements=counted.pivot(index="ticker", columns="month", values="ic_improvement")
        .reindex(by_adr["ticker"])
        .to_numpy(dtype=np.float64),
        selections=[_forecast(row, row["rule"]) for _, row in selections.iterrows()],
        nulls=[_forecast(row, _NULLS[row["forecast"]]) for _, row in nulls.iterrows()],
        selection=rule,
        gate=[
            AdrGate(
                mode=_MODES[row["mode"]],
                passing=row["adrs_passing"],
                share_used=row["share_used"],
                improvement_used=row["improvement_used"],
                gain=row["gain"],
            )
            for _, row in gate.iterrows()
        ],
        gate_threshold=settings.gate.min_improvement,
        noise_share=gate.set_index("mode").loc["full_sample", "noise_share"],
        nonzero=trained["n_nonzero"].to_numpy(dtype=np.float64),
        alphas=[
            Estimate(f"{alpha:.2g}", float(count))
            for alpha, count in trained["alpha"].value_counts().sort_index(ascending=False).items()
        ],
        stocks=_stocks(desk, trained),
        suspicious=_suspicious(desk, by_adr["ticker"].tolist()),
        assumptions=_assumptions(desk),
    )


def _estimate(row: pd.Series[float], label: str, n: Hashable) -> Estimate:
    return Estimate(label, row["improvement"], row["low"], row["high"], row["t"], int(row[n]))


def _forecast(row: pd.Series[float], label: str) -> AdrForecast:
    return AdrForecast(
        improvement=_estimate(row, label, "months"),
        month_t=row["month_t"],
        adrs=int(row["adrs"]),
        told=int(row["adrs_told_from_luck"]),
        zero_models=row.get("zero_models", np.nan),
        n_nonzero=row.get("n_nonzero", np.nan),
    )


def _adrs(by_adr: pd.DataFrame, targets: pd.DataFrame, trained: pd.DataFrame) -> list[AdrRow]:
    of = targets.groupby("ticker")[["exchange", "index"]].last()
    stocks = trained.groupby("ticker")["n_nonzero"].mean()
    return [
        AdrRow(
            ticker=row["ticker"],
            exchange=of.loc[row["ticker"], "exchange"],
            index=of.loc[row["ticker"], "index"],
            improvement=_estimate(row, row["ticker"], "months"),
            baseline_ic=row["baseline_ic"],
            model_ic=row["model_ic"],
            baseline_rank_ic=row["baseline_rank_ic"],
            model_rank_ic=row["model_rank_ic"],
            baseline_r2=row["baseline_r2"],
            model_r2=row["model_r2"],
            baseline_hit_rate=row["baseline_hit_rate"],
            model_hit_rate=row["model_hit_rate"],
            stepwise_p=row["stepwise_p"],
            holm_p=row["holm_p"],
            zero_months=row["zero_months"],
            n_nonzero=stocks.get(row["ticker"], np.nan),
            passes=bool(row["passes_gate"]),
        )
        for _, row in by_adr.iterrows()
    ]


def _month(month: str, rows: pd.DataFrame) -> AdrMonth:
    return AdrMonth(
        month=month,
        adrs=len(rows),
        baseline_ic=rows["baseline_ic"].mean(),
        model_ic=rows["model_ic"].mean(),
        improvement=rows["ic_improvement"].mean(),
        better=(rows["ic_improvement"] > 0.0).mean(),
        unchanged=rows["zero_model"].mean(),
    )


def _stocks(desk: Desk, trained: pd.DataFrame) -> list[tuple[str, int, int]]:
    """US stocks by the number of models that use them, and of ADRs whose models do."""
    models: Counter[str] = Counter()
    adrs: dict[str, set[str]] = {}
    for name in trained["model_file"]:
        model = read_model(desk.existing(f"{output(desk)}/{name}", "a model; run `train` again"))
        models.update(model.features if model.coef is not None else [])
        for stock in model.features:
            adrs.setdefault(stock, set()).add(model.ticker)
    most = sorted(models, key=lambda stock: (-models[stock], stock))[:MOST_USED]
    return [(stock, models[stock], len(adrs[stock])) for stock in most]


def _suspicious(desk: Desk, names: list[str]) -> list[tuple[str, str, float]]:
    found = []
    for adr in names:
        rows = read_rows(desk.existing(f"{FEATURES}/{adr}.parquet", f"the features of {adr}"), "features")
        seen = rows.drop(columns="ordinary_residual")
        x, y = seen.to_numpy(), rows["ordinary_residual"].to_numpy()
        x, y = x - x.mean(axis=0), y - y.mean()
        size = np.sqrt((x * x).sum(axis=0) * (y @ y))
        correlation = np.divide(y @ x, size, out=np.zeros_like(size), where=size > 0.0)
        high = np.flatnonzero(np.abs(correlation) > desk.settings.adr.features.suspicious)
        found += [(adr, str(seen.columns[i]), float(correlation[i])) for i in high]
    return found


def _facts(desk: Desk, targets: pd.DataFrame, metadata: pd.DataFrame, rule: str) -> list[tuple[str, str]]:
    tests = metadata.loc[metadata["n_test"] > 0, "month"]
    return [
        ("Data", str(desk.root)),
        ("Targets", f"{targets['date'].min():%Y-%m-%d} to {targets['date'].max():%Y-%m-%d}"),
        ("Test months", f"{tests.min()} to {tests.max()}"),
        ("Selection", rule),
    ]


def _warnings(desk: Desk, targets: pd.DataFrame, monthly: pd.DataFrame, metadata: pd.DataFrame) -> list[str]:
    warnings = []
    skipped = read_instruments(desk).skipped
    for reason in dict.fromkeys(one.reason for one in skipped):
        names = sorted(one.adr or one.ordinary for one in skipped if one.reason == reason)
        warnings.append(f"Skipped, {reason}: {', '.join(names)}.")
    asynchronous = targets[targets["index_asynchronous"]]
    if len(asynchronous):
        late = ", ".join(sorted(set(asynchronous["ticker"])))
        warnings.append(
            f"The index closes at another time than the ordinary, and no future's price stands in for it, on "
            f"{len(asynchronous)} days of {late}: part of what the model explains there is time, not stocks."
        )
    untrained = metadata[metadata["status"].str.startswith("skipped")]
    if len(untrained):
        short = ", ".join(sorted(set(untrained["ticker"])))
        warnings.append(f"{len(untrained)} months of ADRs have no model for want of data: {short}.")
    if not_counted := int((~monthly["counted"]).sum()):
        warnings.append(
            f"{not_counted} months of ADRs don't count: fewer than {desk.settings.adr.evaluation.min_days} "
            "test days, or an IC that can't be computed."
        )
    if failed := int(metadata["n_not_converged"].sum()):
        warnings.append(f"{failed} fits did not converge.")
    return warnings


def _assumptions(desk: Desk) -> list[tuple[str, str]]:
    adr = desk.settings.adr
    evaluation, windows = adr.evaluation, adr.windows
    facts = {
        "Windows": f"{windows.train_months} months to fit, {windows.validation_months} to choose the "
        "strength, refitted on both, deployed on the month after.",
        "Information coefficient": "Pearson correlation of forecast and return within a month of at least "
        f"{evaluation.min_days} days; the month of a zero model counts as no improvement.",
        "Intervals": f"{evaluation.level:.0%}, from {evaluation.draws:,} resampled calendars (stationary "
        f"bootstrap, blocks of {evaluation.block:g} days on average), the same for all ADRs; monthly ICs are "
        "computed anew in each. They hold for the models as they were fitted: models fitted on another year "
        "may do better or worse.",
        "Several ADRs": "Romano and Wolf's stepwise method on improvements over their bootstrap errors, "
        "one-sided; Holm's method beside it.",
        "Noise and the gate": "The chance, mean over ADRs, that the resampled noise of an improvement alone "
        "reaches the threshold.",
    }
    return list(facts.items())
