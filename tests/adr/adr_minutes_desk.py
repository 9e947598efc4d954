"""A simulated desk with minutes, and models that are the planted truth: quick to make, and known exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kairos.adr.convert import convert
from kairos.adr.desk import MODELS, Desk
from kairos.adr.features import features
from kairos.adr.modelfile import ModelFile
from kairos.settings import load
from kairos.simulate.adr import simulate_desk

MONTHS = ("2024-07", "2024-11", "2025-03")
"""A US early close on 3 July; Europe has changed its clock a week before New York in November; New York three
weeks before Europe in March."""
MODEL_MONTHS = ("2024-11", "2025-03")
WITHOUT_MODEL = "HEV"
CLOSED = "DAS"
"""An ADR that the gate refuses."""

SETTINGS = ("run.workers=1", "adr.start=2024-01-02", "adr.end=2025-03-31", "adr.gate.min_months=1")


def settings(*overrides: str) -> tuple[str, ...]:
    return (*SETTINGS, *overrides)


def open_desk(root: Path, *overrides: str, force: bool = False) -> Desk:
    return Desk(root, load(overrides=[*SETTINGS, *overrides]), force)


def build(root: Path, adrs: int = 6, us_stocks: int = 24, minutes: Sequence[str] = MONTHS) -> Desk:
    """ADRs on as many exchanges, without what the desk makes itself from minutes."""
    simulate_desk(
        root,
        adrs=adrs,
        us_stocks=us_stocks,
        months=15,
        seed=4,
        minutes=minutes,
        derived=("us_closes", "betas"),
    )
    desk = open_desk(root)
    convert(desk)
    features(desk)
    for adr in truth(desk)["adrs"]:
        if adr != WITHOUT_MODEL:
            for month in MODEL_MONTHS:
                write_model(desk, adr, month)
    write_gate(desk)
    return desk


def truth(desk: Desk) -> dict:
    return json.loads((desk.root / "truth.json").read_text(encoding="utf-8"))


def write_model(desk: Desk, adr: str, month: str, weights: dict[str, float] | None = None) -> None:
    """The planted predictors as a model of a month; standard deviations are made up, and cancel."""
    about = truth(desk)["adrs"][adr]
    weights = dict(sorted((about["predictors"] if weights is None else weights).items()))
    scale = np.linspace(0.01, 0.02, len(weights))
    model = ModelFile(
        ticker=adr,
        exchange=about["exchange"],
        index=about["index"],
        month=month,
        model="lasso",
        parameters={},
        selection="planted",
        alpha=None,
        alphas=np.empty(0),
        weights=np.empty(0),
        features=list(weights),
        coef=np.array(list(weights.values())) * scale,
        scale=scale,
        mean=np.zeros(len(weights)),
        n_features=24,
        train=["2024-01-02", "2024-01-02"],
        validation=["2024-01-02", "2024-01-02"],
        n_train=0,
        n_validation=0,
        validation_metrics={},
        versions={},
    )
    path = desk.root / MODELS / "lasso" / adr / f"{month.replace('-', '_')}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    model.write(path)


def write_gate(desk: Desk, improvement: dict[str, dict[str, float]] | None = None) -> None:
    """What the step `evaluate` says of each ADR and month: all but one pass."""
    adrs = sorted(truth(desk)["adrs"])
    months = ("2024-10", "2024-11", "2025-03")
    if improvement is None:
        improvement = {adr: dict.fromkeys(months, -0.1 if adr == CLOSED else 0.1) for adr in adrs}
    rows = [
        {"ticker": adr, "month": month, "ic_improvement": value, "counted": True}
        for adr, of in improvement.items()
        for month, value in of.items()
    ]
    into = desk.root / MODELS / "lasso_evaluation"
    into.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(into / "baseline_comparison.csv", index=False)
    means = [{"ticker": adr, "improvement": np.mean(list(of.values()))} for adr, of in improvement.items()]
    pd.DataFrame(means).to_csv(into / "improvement_by_adr.csv", index=False)


def copy(desk: Desk, to: Path, *overrides: str, force: bool = False) -> Desk:
    """A copy of a desk, in which files may be changed."""
    shutil.copytree(desk.root, to)
    return open_desk(to, *overrides, force=force)
