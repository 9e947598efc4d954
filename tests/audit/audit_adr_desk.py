"""A small simulated desk for audits: short windows, so that nine months of it have everything."""

from __future__ import annotations

from pathlib import Path

from kairos.adr.desk import Desk
from kairos.settings import load
from kairos.simulate.adr import simulate_desk

SETTINGS = (
    *("run.workers=1", "adr.start=2024-01-02", "adr.end=2024-09-30"),
    *("adr.windows.train_months=3", "adr.windows.min_train=30", "adr.betas.window_days=50"),
    *("adr.betas.min_pairs=15", "adr.us_betas.window=15", "adr.us_betas.min_pairs=8", "adr.grid.window=10"),
    *("adr.model.alphas.logspace=[-4, 1, 12]", "adr.evaluation.draws=100", "adr.gate.min_months=1"),
    *("adr.signal.calibration=past", "adr.signal.min_calibration=5"),
)


def write(root: Path) -> Path:
    """Two ADRs and twenty US stocks; two months have minutes, and the rest of the US prices is given."""
    minutes = ("2024-07", "2024-08")
    return simulate_desk(root, adrs=2, us_stocks=20, months=9, seed=3, minutes=minutes, derived=["us_closes"])


def open_desk(root: Path, *overrides: str) -> Desk:
    return Desk(root, load(overrides=[*SETTINGS, *overrides]))
