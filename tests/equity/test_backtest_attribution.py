"""Attribution of what the engine did: with costs on, nothing is left unexplained but interest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_backtest_oracle import Rules, bt_random, bt_run

from kairos.equity.backtest.attribution import held, holding_returns
from kairos.evaluation.attribution import attribute_to_groups, exposures

RULES = Rules(
    top_n=4, bottom_n=3, half_spread=0.002, impact=0.5, capital=10e6, participation=0.1, target_vol=0.1
)


@pytest.mark.parametrize("rate", [0.0, 0.05])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_day_adds_up(seed: int, short: bool, rate: float) -> None:
    """Halts, endings, partial fills and a volatility target: names and costs explain every day, to the bit of
    interest that is paid for borrowed shares and money."""
    rules = replace(RULES, bottom_n=3 if short else 0, borrow=rate, financing_rate=rate)
    run = bt_run(bt_random(seed, rules, n=12, length=90, halts=0.05, ends=3))
    rows = slice(run.first, run.last + 1)
    groups = np.arange(run.market.value.shape[1]) % 3
    total, cost = run.scaled.ret[rows], run.scaled.cost[rows]
    found = attribute_to_groups(held(run), holding_returns(run), groups, 3, total, cost)
    assert cost.sum() > 0.0
    assert found.costs.sum() < 0.0
    np.testing.assert_allclose(found.groups.sum(axis=1) + found.costs + found.rest, total, atol=1e-15)
    assert found.rest.max() < 1e-12
    if rate == 0.0:
        assert found.rest.min() > -1e-12
    elif short:
        assert found.rest.sum() < -1e-4


def test_net_and_gross_are_the_engines_own() -> None:
    run = bt_run(bt_random(7, RULES, n=12, length=90, halts=0.05, ends=3))
    rows, book = slice(run.first, run.last + 1), held(run)
    found = exposures(book, np.arange(12) % 3, 3, {})
    np.testing.assert_allclose(found.net.sum(axis=1), run.scaled.net[rows], atol=1e-12)
    np.testing.assert_allclose(found.gross.sum(axis=1), run.scaled.gross[rows], atol=1e-12)
