"""A small data directory with the files that `train` reads, written directly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kairos.adr.desk import FEATURES, MODELS, TARGETS, Desk
from kairos.market import sessions
from kairos.settings import load

US = [f"U{i:02d}" for i in range(40)]
ADRS = {"ABC": ("XLON", "UKX"), "DEF": ("XPAR", "SX5E")}
START, END = "2024-01-02", "2025-06-30"


def desk(root: Path, *overrides: str, start: str = START, end: str = END, workers: int = 1) -> Desk:
    given = [f"adr.start={start}", f"adr.end={end}", f"run.workers={workers}", *overrides]
    return Desk(root, load(None, given))


def days_of(exchange: str, start: str = START, end: str = END) -> np.ndarray:
    """Days on which both New York and the exchange are open."""
    held = sessions(start, end, exchange)
    return held[np.isin(held, sessions(start, end))]


def rows(adr: str, seed: int = 0, strength: float = 0.25) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and targets of one ADR: the first two stocks drive it, the last one is listed late."""
    exchange, index = ADRS[adr]
    dates = days_of(exchange)
    r = np.random.default_rng([seed, sum(map(ord, adr))])
    factors = r.standard_normal((len(dates), 3)) * 0.008
    X = factors @ r.uniform(-1, 1, (3, len(US))) + 0.015 * r.standard_normal((len(dates), len(US)))
    X[r.random(X.shape) < 0.02] = 0.0
    X[dates < np.datetime64("2024-10-01"), -1] = 0.0
    residual = strength * (X[:, 0] - X[:, 1]) + 0.008 * r.standard_normal(len(dates))
    baseline = 0.009 * r.standard_normal(len(dates))
    stamps = pd.DatetimeIndex(dates.astype("datetime64[ns]"), name="date")
    features = pd.DataFrame(np.column_stack([residual, X]), stamps, ["ordinary_residual", *US])
    targets = pd.DataFrame(
        {
            "ticker": adr,
            "date": stamps,
            "previous": stamps,
            "exchange": exchange,
            "index": index,
            "ordinary_return": baseline + residual,
            "index_return": baseline,
            "beta": 1.0,
            "baseline": baseline,
            "ordinary_residual": residual,
        }
    )
    return features, targets


def write(root: Path, made: dict[str, tuple[pd.DataFrame, pd.DataFrame]], until: str = "2999-01-01") -> Path:
    """Write the files, with the rows up to a day."""
    (root / FEATURES).mkdir(parents=True, exist_ok=True)
    last = pd.Timestamp(until)
    for adr, (features, _) in made.items():
        features[features.index <= last].to_parquet(root / FEATURES / f"{adr}.parquet")
    targets = pd.concat([targets[targets["date"] <= last] for _, targets in made.values()])
    targets.to_parquet(root / TARGETS, index=False)
    return root


def market(seed: int = 0, adrs: Sequence[str] = tuple(ADRS)) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    return {adr: rows(adr, seed) for adr in adrs}


def files(root: Path, name: str = "lasso") -> dict[str, bytes]:
    """Content of every file that training wrote."""
    folder = root / MODELS / name
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
