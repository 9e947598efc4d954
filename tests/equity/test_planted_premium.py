"""The planted reversal, found by the whole pipeline, from vendor files to signals (`make test-slow`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kairos.equity import build, ingest, signals
from kairos.settings import load
from kairos.simulate.equity import simulate

SEEDS = 50
EVERYONE = [f"equity.universe.{rule}=0.0" for rule in ("min_adv", "min_price", "min_size")]


@pytest.mark.slow
def test_intervals_cover_the_planted_coefficient(tmp_path: Path) -> None:
    """Of the 95 % intervals for the IC of `ret_21d` over the next session, 90 to 99 % hold the truth."""
    settings = load(overrides=[*EVERYONE, "equity.signals.horizon=1", "equity.signals.lag=0"])
    covered = 0
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        simulate(folder / "vendor", tickers=100, years=2, seed=seed, format="parquet")
        truth = json.loads((folder / "vendor" / "truth.json").read_text())
        ingest([folder / "vendor"], folder / "k.duckdb", settings=settings)
        build(folder / "k.duckdb", ["feat_price_action", "feat_adv", "feat_beta"], settings=settings)
        (result,) = signals(folder / "k.duckdb", ["ret_21d"], settings=settings).signals
        expected = truth["characteristics"]["reversal"]["expected_ic"]
        covered += result.headline.low <= expected <= result.headline.high
    assert 0.90 * SEEDS <= covered <= 0.99 * SEEDS
