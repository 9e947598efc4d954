"""A simulated desk with minutes, as far as the minute signal needs it: raw files and trained models."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kairos.adr.betas import betas
from kairos.adr.convert import convert
from kairos.adr.desk import Desk
from kairos.adr.evaluate import evaluate
from kairos.adr.features import features
from kairos.adr.train import train
from kairos.settings import load
from kairos.simulate.adr import simulate_desk

MONTHS = ("2025-02", "2025-03")
"""A short February, and a March in which New York changes its clock three weeks before Europe."""

SETTINGS = (
    "run.workers=1",
    "adr.end=2025-03-31",
    "adr.betas.window_days=90",
    "adr.betas.min_pairs=20",
    "adr.model.selection=fourth",
    "adr.evaluation.draws=100",
    "adr.evaluation.min_days=5",
    "adr.gate.min_improvement=-9",
    "adr.gate.min_months=1",
)
"""A gate that is open for every ADR, from the second test month on in the mode `expanding`."""


def simulate(root: Path, **more: object) -> Path:
    """Six ADRs on six exchanges, without what the desk can make itself from minutes."""
    arguments = {"adrs": 6, "us_stocks": 24, "months": 15, "seed": 4, "minutes": MONTHS, **more}
    return simulate_desk(root, derived=("us_closes",), **arguments)


def open_desk(root: Path, *overrides: str, force: bool = False) -> Desk:
    return Desk(root, load(overrides=[*SETTINGS, *overrides]), force)


def trained(root: Path) -> Desk:
    """The daily half of the desk, and the futures in USD."""
    simulate(root)
    desk = open_desk(root)
    for step in (convert, betas, features, train, evaluate):
        step(desk)
    return desk


def copy(desk: Desk, to: Path, *overrides: str, force: bool = False) -> Desk:
    """A copy of a desk, in which files may be changed."""
    subprocess.run(["cp", "-r", str(desk.root), str(to)], check=True)
    return open_desk(to, *overrides, force=force)
