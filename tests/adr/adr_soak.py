"""Simulated desks taken from prices to improvements by the desk's own steps, and what their models are worth.

A fitted model is worth what it does on a long future: the same desk goes on for years after the test
months, and the models of the test months forecast it as they are. With a, b, q for the ordinary's return, the
baseline and what a model adds, and sums of products S within a month,

    IC(b + λq) = (S_ab + λ·S_aq) / √(S_aa·(S_bb + 2λ·S_bq + λ²·S_qq))

so one set of sums tells what a model is worth with its forecasts scaled by any λ.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from kairos.adr.betas import betas
from kairos.adr.desk import FEATURES, TARGETS, Desk
from kairos.adr.evaluate import Days, _compare, _test_days, gate_table
from kairos.adr.features import features
from kairos.adr.modelfile import read_model
from kairos.adr.train import METADATA, output, train
from kairos.evaluation.prediction import Comparison
from kairos.settings import load
from kairos.simulate.adr import simulate_desk

ADRS, US_STOCKS, MONTHS = 4, 60, 26
START, END = "2024-01-02", "2026-02-28"
FIXED = (f"adr.start={START}", "run.workers=1", "adr.evaluation.draws=500")

LARGEST = 1000.0
"""At this λ forecasts are as good as nothing but the model's part."""


@dataclass(frozen=True, eq=False)
class Worth:
    """Sums of products of one ADR's models on the long future.

    Attributes
    ----------
    zero : (K,)
        Whether a model is the zero model.
    sums : (6, M, K)
        S_aa, S_bb, S_ab, S_aq, S_bq, S_qq of each future month and model.
    """

    zero: np.ndarray
    sums: np.ndarray

    def improvement(self, scale: float = 1.0) -> float:
        """Mean over models and months of IC(b + λq) − IC(b); the zero model improves nothing."""
        aa, bb, ab, aq, bq, qq = self.sums
        with_it = (ab + scale * aq) / np.sqrt(aa * (bb + 2.0 * scale * bq + scale**2 * qq))
        return float(np.where(self.zero, 0.0, with_it - ab / np.sqrt(aa * bb)).mean())

    def boundary(self) -> float:
        """The λ > 0 at which the scaled forecasts improve nothing; 0 where none does."""
        smallest = 1.0 / LARGEST
        if self.improvement(smallest) <= 0.0 or self.improvement(LARGEST) >= 0.0:
            return 0.0
        return float(brentq(self.improvement, smallest, LARGEST))


@dataclass(frozen=True, eq=False)
class Soaked:
    """One desk: its test days, and what its models are worth."""

    desk: Desk
    days: Days
    added: np.ndarray
    worth: tuple[Worth, ...]

    def compare(self, scale: float | np.ndarray = 1.0) -> Comparison:
        """What the step `evaluate` finds, the forecasts scaled by λ, a number or (N,)."""
        return _compare(self.desk, self.days, self.added * scale)

    def noise_share(self, comparison: Comparison) -> float:
        """Share of ADRs without a true improvement that the full-sample gate admits, as the report states."""
        gate = gate_table(comparison, self.desk.settings.adr.gate).set_index("mode")
        return float(gate.loc["full_sample", "noise_share"])


def soak(
    root: Path,
    seeds: range,
    strength: tuple[float, float],
    without: float,
    future_months: int = 0,
    selection: str = "mse_1se",
) -> Iterator[Soaked]:
    """Simulate desks one after the other, and take each through the steps.

    Betas and features are made for the whole span at once: a row knows only what is before it. Models are
    trained up to END.
    """
    for seed in seeds:
        folder = simulate_desk(
            root / str(seed),
            adrs=ADRS,
            us_stocks=US_STOCKS,
            months=MONTHS,
            seed=seed,
            start=START,
            minutes=0,
            strength=strength,
            without=without,
            future_months=future_months,
        )
        whole, desk = (
            Desk(folder, load(None, [*FIXED, f"adr.end={end}", f"adr.model.selection={selection}"]))
            for end in ("", END)
        )
        betas(whole)
        features(whole)
        train(desk)
        days, added = _test_days(desk)
        yield Soaked(desk, days, added, tuple(worth(desk, adr) for adr in days.names if future_months))
        shutil.rmtree(folder)


def worth(desk: Desk, adr: str) -> Worth:
    """What the models of an ADR's counted test months do on all days after END."""
    folder = desk.path(output(desk))
    trained = pd.read_csv(folder / METADATA)
    counted = trained["n_test"] >= desk.settings.adr.evaluation.min_days
    paths = [folder / name for name in trained.loc[counted & (trained["ticker"] == adr), "model_file"]]
    rows = pd.read_parquet(desk.path(TARGETS), filters=[("ticker", "==", adr)]).set_index("date")
    X = pd.read_parquet(desk.path(f"{FEATURES}/{adr}.parquet"))
    X, rows = X[X.index > END], rows[rows.index > END]
    models = [read_model(path) for path in paths]
    added = [X[one.features] @ one.linear(path) for one, path in zip(models, paths, strict=True)]
    q = np.column_stack(added)
    a, b = (np.broadcast_to(rows[[name]], q.shape) for name in ("ordinary_return", "baseline"))
    months = X.index.to_period("M")
    a, b, q = (pd.DataFrame(each).set_index(months).pipe(_less_monthly_mean) for each in (a, b, q))
    products = (a * a, b * b, a * b, a * q, b * q, q * q)
    sums = np.stack([product.groupby(level=0).sum().to_numpy() for product in products])
    return Worth(~q.to_numpy().any(axis=0), sums)


def _less_monthly_mean(values: pd.DataFrame) -> pd.DataFrame:
    return values - values.groupby(level=0).transform("mean")
