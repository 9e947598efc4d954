"""The step `train`: walk-forward models of every ADR.

Under ``with_us_stocks/{model}/`` it writes one file for each ADR and month (:mod:`kairos.adr.modelfile`),
``training_metadata.csv`` and ``predictions.parquet``.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn

from kairos import __version__, executor
from kairos.adr.desk import FEATURES, MODELS, TARGETS
from kairos.adr.modelfile import ModelFile
from kairos.adr.models import folder, make
from kairos.adr.results import read_rows
from kairos.adr.selection import rules
from kairos.adr.walkforward import Plan, Sample, walk
from kairos.adr.windows import Window, windows
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kairos.adr.desk import Desk
    from kairos.adr.walkforward import Dates, Trained
    from kairos.settings.tree import Model as ModelSettings

METADATA = "training_metadata.csv"
PREDICTIONS = "predictions.parquet"
SELECTION_PREDICTIONS = "selection_predictions.parquet"

PREDICTION_COLUMNS = ["ticker", "date", "month", "prediction"]
TARGET_COLUMNS = ["ticker", "date", "exchange", "index", "ordinary_return", "baseline", "ordinary_residual"]


@dataclass(frozen=True)
class Task:
    """One ADR to train: all that its process needs."""

    ticker: str
    exchange: str
    index: str
    features: Path
    targets: pd.DataFrame
    windows: Sequence[Window]
    plan: Plan
    model: ModelSettings


@dataclass(frozen=True)
class Result:
    """What comes back of one window under one rule.

    Attributes
    ----------
    file : ModelFile or None
        The model; None when the window was skipped.
    record : dict
        Its row of the metadata, without the file's name.
    predictions : DataFrame
        rule, ticker, date, month, prediction, n_nonzero of the test days.
    """

    file: ModelFile | None
    record: dict[str, object]
    predictions: pd.DataFrame


@dataclass(frozen=True)
class TrainReport:
    """Outcome of the step `train`.

    Attributes
    ----------
    metadata : DataFrame
        The rows of ``training_metadata.csv``.
    """

    metadata: pd.DataFrame

    def remarks(self) -> list[str]:
        """Plain sentences."""
        rows = self.metadata
        skipped = rows["status"].str.startswith("skipped")
        made, zero = int((~skipped).sum()), int((rows["status"] == "zero model").sum())
        remarks = [f"{made} models of {rows['ticker'].nunique()} ADRs, {zero} of them the zero model."]
        for ticker, reasons in rows[skipped].groupby("ticker", sort=True)["status"]:
            counted = Counter(reason.partition(" (")[0] for reason in reasons)
            remarks.append(
                f"{ticker}: " + "; ".join(f"{n} × {reason}" for reason, n in counted.items()) + "."
            )
        if failed := int(rows["n_not_converged"].sum()):
            remarks.append(f"{failed} fits did not converge; the metadata tells of which models.")
        return remarks

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and one row for each ADR."""
        columns = ["ADR", "Exchange", "Index", "Models", "Zero", "Skipped", "Stocks used", "Validation IC"]
        return columns, [
            [
                *(ticker, rows["exchange"].iloc[0], rows["index"].iloc[0]),
                int((~rows["status"].str.startswith("skipped")).sum()),
                int((rows["status"] == "zero model").sum()),
                int(rows["status"].str.startswith("skipped").sum()),
                rows["n_nonzero"].mean(),
                rows["val_ic"].mean(),
            ]
            for ticker, rows in self.metadata.groupby("ticker", sort=True)
        ]


def output(desk: Desk) -> str:
    """Folder of the configured model, relative to the root."""
    return f"{MODELS}/{folder(desk.settings.adr.model.name)}"


def evaluation_output(desk: Desk) -> str:
    """Folder of the configured model's evaluation, relative to the root."""
    return f"{output(desk)}_evaluation"


def train(desk: Desk, progress: Callable[[int, int], object] | None = None) -> TrainReport:
    """Train every ADR's models with the configured selection, and write them.

    * ``{ADR}/{YYYY_MM}.pkl``: the model of a month, the live month included. * ``training_metadata.csv``: one
    row for each ADR and month, those that were skipped included. ``val_…`` and
      ``test_…`` score the predicted residual; the live month has no test.
    * ``predictions.parquet``: predicted residuals of the test months, by ADR and date.

    Model files of earlier runs whose month or ADR is no longer trained are removed.

    Parameters
    ----------
    desk
        Data directory and settings.
    progress
        Called with the number of ADRs done and of all.

    Raises
    ------
    InputError
        Features or targets are missing or don't belong together, the model doesn't exist, no month can be
        trained, or a file would be replaced that the desk did not make.

    Notes
    -----
    A file of month m and the predictions of m don't change when later data come.
    """
    tasks = _tasks(desk, [desk.settings.adr.model.selection])
    results = _run(desk, tasks, progress)
    into = output(desk)
    files: list[tuple[str, Callable[[Path], object]]] = []
    for result in results:
        name = f"{result.record['ticker']}/{str(result.record['month']).replace('-', '_')}.pkl"
        result.record["model_file"] = name if result.file else ""
        if result.file:
            files.append((f"{into}/{name}", result.file.write))
    metadata = pd.DataFrame([result.record for result in results])[METADATA_COLUMNS]
    predictions = pd.concat([result.predictions for result in results], ignore_index=True)
    files += [
        (f"{into}/{METADATA}", partial(metadata.to_csv, index=False)),
        (f"{into}/{PREDICTIONS}", partial(_write, predictions[PREDICTION_COLUMNS])),
    ]
    _remove_others(desk, desk.save(files))
    return TrainReport(metadata)


def compare_selections(desk: Desk, progress: Callable[[int, int], object] | None = None) -> pd.DataFrame:
    """Predict the test months with every selection rule on the same windows.

    The path of a window is fitted once for all rules. Models are not kept; what they predict is written to
    ``selection_predictions.parquet``.

    Parameters and errors are those of :func:`train`.

    Returns
    -------
    DataFrame with the columns rule, ticker, date, month, prediction, n_nonzero (stocks that the month's model
    uses), sorted by rule, ticker and date.
    """
    tasks = _tasks(desk, sorted(rules()))
    found = pd.concat([result.predictions for result in _run(desk, tasks, progress)])
    found = found.sort_values(["rule", "ticker", "date"], ignore_index=True)
    desk.save([(f"{evaluation_output(desk)}/{SELECTION_PREDICTIONS}", partial(_write, found))])
    return found


def _tasks(desk: Desk, chosen: Sequence[str]) -> list[Task]:
    """One task for each ADR that has targets."""
    settings = desk.settings.adr
    path = desk.existing(TARGETS, "the targets of all ADRs (the step `features` makes it)")
    targets = read_rows(path, "features", TARGET_COLUMNS)
    exponents = settings.model.alphas.logspace
    plan = Plan(
        model=make(settings.model.name, settings.model.parameters),
        alphas=np.logspace(*exponents),
        rules=chosen,
        limits=settings.windows,
    )
    dates = targets["date"].to_numpy().astype("datetime64[D]")
    if not len(dates):
        raise InputError(f"{path}: no rows; the step `features` makes them")
    first = dates.min() if settings.start is None else np.datetime64(settings.start, "D")
    end = None if settings.end is None else np.datetime64(settings.end, "D")
    spans = {
        exchange: windows(first, dates.max(), exchange, settings.windows, end)
        for exchange in sorted(set(targets["exchange"]))
    }
    if not any(spans.values()):
        needed = settings.windows.train_months + settings.windows.validation_months
        raise InputError(f"{path}: {first} to {dates.max()} has no {needed} full months, which a model needs")
    return [
        Task(
            ticker=ticker,
            exchange=rows["exchange"].iloc[0],
            index=rows["index"].iloc[0],
            features=desk.existing(f"{FEATURES}/{ticker}.parquet", f"the features of {ticker}"),
            targets=rows,
            windows=spans[rows["exchange"].iloc[0]],
            plan=plan,
            model=settings.model,
        )
        for ticker, rows in targets.groupby("ticker", sort=True)
    ]


def _run(desk: Desk, tasks: Sequence[Task], progress: Callable[[int, int], object] | None) -> list[Result]:
    """Results of all ADRs, by ticker, month and rule; one of them at least has a model."""
    found = executor.run(
        train_one,
        tasks,
        workers=desk.settings.run,
        name=lambda task: task.ticker,
        progress=progress,
    )
    results = [result for of_one in found for result in of_one]
    if not any(result.file for result in results):
        last = results[-1].record
        raise InputError(
            f"no month of any ADR can be trained; {last['ticker']} in {last['month']}, for one, is "
            f"{last['status']}. See adr.windows for what a window needs"
        )
    return results


def train_one(task: Task) -> list[Result]:
    """Train the windows of one ADR."""
    sample = read_sample(task.features, task.targets)
    results = []
    for one in walk(sample, task.windows, task.plan):
        file = model_file(task, sample, one)
        record = _record(task, one, file)
        predictions = pd.DataFrame(
            {
                "rule": one.rule,
                "ticker": task.ticker,
                "date": one.dates.astype("datetime64[ns]"),
                "month": str(one.window.month),
                "prediction": one.prediction,
                "n_nonzero": record["n_nonzero"],
            }
        )
        results.append(Result(file, record, predictions))
    return results


def read_sample(path: Path, targets: pd.DataFrame) -> Sample:
    """Read the features of an ADR, and join its targets.

    Raises
    ------
    InputError
        Their dates or residuals differ, or a number is missing.
    """
    features = read_rows(path, "features")
    names = np.array(sorted(name for name in features.columns if name != "ordinary_residual"), dtype=np.str_)
    dates = features.index.to_numpy().astype("datetime64[D]")
    X = features[list(names)].to_numpy(dtype=np.float64)
    y, baseline, ordinary = (
        targets[name].to_numpy(dtype=np.float64)
        for name in ("ordinary_residual", "baseline", "ordinary_return")
    )
    same = np.array_equal(dates, targets["date"].to_numpy().astype("datetime64[D]")) and np.array_equal(
        features["ordinary_residual"].to_numpy(dtype=np.float64), y
    )
    if not same or (np.diff(dates) <= np.timedelta64(0, "D")).any():
        raise InputError(f"{path}: its dates or residuals are not those of {TARGETS}; run `features` again")
    for what, values in {
        "a feature": X,
        "a residual": y,
        "a baseline": baseline,
        "a return": ordinary,
    }.items():
        if not np.isfinite(values).all():
            row = np.flatnonzero(~np.isfinite(values).reshape(len(dates), -1).all(axis=1))[0]
            raise InputError(f"{path}: {what} of {dates[row]} is missing; run `features` again")
    return Sample(dates, names, X, y, baseline, ordinary)


def model_file(task: Task, sample: Sample, one: Trained) -> ModelFile | None:
    """What is saved of a window; None when it was skipped."""
    if one.deployed is None:
        return None
    scaling, coef = one.deployed.scaling, one.deployed.coef
    used = np.arange(len(scaling.columns)) if coef is None else np.flatnonzero(coef)
    return ModelFile(
        ticker=task.ticker,
        exchange=task.exchange,
        index=task.index,
        month=str(one.window.month),
        model=task.model.name,
        parameters=task.model.parameters,
        selection=one.rule,
        alpha=one.alpha,
        alphas=one.alphas,
        weights=one.deployed.weights,
        features=sample.names[scaling.columns[used]].tolist(),
        coef=None if coef is None else coef[used],
        scale=scaling.scale[used],
        mean=scaling.mean[used],
        n_features=len(scaling.columns),
        train=_span(sample.dates[one.window.train_rows(sample.dates)]),
        validation=_span(sample.dates[one.window.validation_rows(sample.dates)]),
        n_train=one.n_train,
        n_validation=one.n_validation,
        validation_metrics=one.validation,
        versions={"kairos": __version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__},
    )


def _span(dates: Dates) -> list[str]:
    return [str(dates[0]), str(dates[-1])]


def _record(task: Task, one: Trained, file: ModelFile | None) -> dict[str, object]:
    """Row of the metadata, but for the file's name."""
    deployed = one.deployed
    return {
        "ticker": task.ticker,
        "exchange": task.exchange,
        "index": task.index,
        "month": str(one.window.month),
        "alpha": one.alpha,
        "n_train": one.n_train,
        "n_val": one.n_validation,
        "n_test": len(one.dates),
        "n_features": file.n_features if file else 0,
        "n_nonzero": len(file.features) if file else 0,
        "val_ic": one.validation["ic"],
        "test_ic": one.test["ic"],
        "test_r2": one.test["r2"],
        "test_mse": one.test["mse"],
        "test_hit_rate": one.test["hit_rate"],
        "top_5_features": ";".join(_top(file)) if file else "",
        "model_file": "",
        "status": one.status,
        "live": one.window.live,
        "selection": one.rule,
        "alpha_max": one.alpha_max,
        "position": one.position,
        "n_alphas": len(one.alphas),
        "weight": float(deployed.weights.sum()) if deployed else math.nan,
        "val_mse": one.validation["mse"],
        "val_mse_zero": one.validation["mse_zero"],
        "n_not_converged": one.not_converged,
    }


METADATA_COLUMNS = [
    *(
        "ticker",
        "exchange",
        "index",
        "month",
        "alpha",
        "n_train",
        "n_val",
        "n_test",
        "n_features",
        "n_nonzero",
    ),
    *("val_ic", "test_ic", "test_r2", "test_mse", "test_hit_rate", "top_5_features", "model_file", "status"),
    *("live", "selection", "alpha_max", "position", "n_alphas", "weight", "val_mse", "val_mse_zero"),
    "n_not_converged",
]


def _top(file: ModelFile) -> list[str]:
    """Five stocks with the largest coefficients by standard deviation, the largest first."""
    if file.coef is None:
        return []
    return [file.features[i] for i in np.argsort(-np.abs(file.coef), kind="stable")[:5]]


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, without an index."""
    pq.write_table(
        pa.Table.from_pandas(table, preserve_index=False), path, compression="zstd", write_page_checksum=True
    )


def _remove_others(desk: Desk, kept: Iterable[Path]) -> None:
    """Remove model files of earlier runs that this one did not write."""
    there = set(desk.path(output(desk)).glob("*/*.pkl")) - set(kept)
    desk.remove(str(path.relative_to(desk.root)) for path in sorted(there))
