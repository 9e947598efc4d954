"""Strategies on markets with planted premia (`make test-slow`): what theory says of their order holds.

The preset is fixed: 600 securities, 4 years, seeds 0 to 19, the signal is the expected premium of the slow
characteristics. The first year is history. The cap on leverage is lifted, because a book of gross 1 in 150
names has a volatility of 3 to 5 % a year here: with the default cap of 2 the targets of 10 and 12 % are out
of reach.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from strategy_market import planted

from kairos.equity.backtest.simulate import Simulation

SEEDS = range(20)
TARGETS = {"ls": 0.12, "ls_opt": 0.10}
STRATEGIES = ("risk1", "risk2", "risk3", "risk4", "ls", "ls_opt")
UNCAPPED = "equity.backtest.volatility.max_leverage=8.0"
WARM = 130
"""Sessions after the first fill that a trailing volatility needs."""


def facts(run: Simulation, factor: np.ndarray) -> dict[str, float]:
    rows = slice(run.first + WARM, run.last + 1)
    ret, market = run.scaled.ret[rows], factor[rows]
    beta = np.cov(ret, market)[0, 1] / market.var(ddof=1)
    rest = ret - beta * market
    return {
        "sharpe": float(ret.mean() / ret.std(ddof=1) * np.sqrt(252)),
        "volatility": float(ret.std(ddof=1) * np.sqrt(252)),
        "beta": float(beta),
        "beta_se": float(rest.std(ddof=2) / market.std(ddof=1) / np.sqrt(len(ret))),
    }


@pytest.fixture(scope="module")
def found() -> dict[str, list[dict[str, float]]]:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in STRATEGIES}
    for seed in SEEDS:
        world = planted(600, 4, seed)
        for name in STRATEGIES:
            results[name].append(facts(world.run(name, UNCAPPED), world.factor))
    if told := os.environ.get("KAIROS_PLANTED_FACTS"):
        Path(told).write_text(json.dumps(results))
    return results


def column(found: dict[str, list[dict[str, float]]], name: str, key: str) -> np.ndarray:
    return np.array([one[key] for one in found[name]])


def better(one: np.ndarray, two: np.ndarray) -> float:
    """t of the mean difference over the markets."""
    difference = one - two
    return float(difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference))))


@pytest.mark.slow
def test_optimising_beats_the_rule(found: dict[str, list[dict[str, float]]]) -> None:
    wins = column(found, "ls_opt", "sharpe") > column(found, "ls", "sharpe")
    assert wins.sum() >= 0.8 * len(SEEDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "less"), [("ls_opt", "ls"), ("ls", "risk4"), ("risk2", "risk1"), ("risk4", "risk1")]
)
def test_net_sharpe_ratios_are_ordered(
    found: dict[str, list[dict[str, float]]], more: str, less: str
) -> None:
    """Neutral before long-only, which has the market's risk; weights by score before equal ones.

    Between `risk3` and `risk4` theory has no answer: what the older book saves in costs it loses in signal
    (on these markets the mean difference is 0.007, t 0.4).
    """
    assert better(column(found, more, "sharpe"), column(found, less, "sharpe")) > 1.7


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_neutral_books_have_no_beta(found: dict[str, list[dict[str, float]]], name: str) -> None:
    beta, error = column(found, name, "beta"), column(found, name, "beta_se")
    assert abs(beta.mean()) < 0.05
    assert (np.abs(beta) < 0.05 + 2.0 * error).mean() >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), list(TARGETS.items()))
def test_the_volatility_is_the_target(
    found: dict[str, list[dict[str, float]]], name: str, target: float
) -> None:
    realised = column(found, name, "volatility")
    assert abs(realised.mean() / target - 1.0) < 0.15
    assert (np.abs(realised / target - 1.0) < 0.15).mean() >= 0.9
