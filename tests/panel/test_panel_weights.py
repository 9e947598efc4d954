"""Weights against plain definitions on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.panel import approach, hold, positions


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rows", [range(3, 4), range(9), range(5, 30)])
def test_an_account_holds_positions_and_pays_interest(rows: range, sign: float) -> None:
    rng = np.random.default_rng(len(rows))
    x = np.exp(0.02 * rng.normal(size=(30, 50)).cumsum(axis=0))
    columns = np.flatnonzero(rng.random(50) < 0.6)
    weight = rng.random(50) / 20 * np.where(np.arange(50) % 3, 1.0, sign)
    until = rng.integers(rows.start, 40, 50)
    days = rng.integers(1, 5, 30).astype(float)
    cash, financing, borrow = rates = (0.01, 0.05, 0.03)

    part, sums = hold(x, rows, columns, weight, until, days, rates)

    every = weight[columns] * (x[rows][:, columns] / x[rows.start, columns])
    counts = np.array(rows)[:, None] < until[columns]
    there = np.where(counts, every, 0.0)
    long, short = np.maximum(there, 0.0).sum(axis=1), np.maximum(-there, 0.0).sum(axis=1)
    equity, money = [1.0], 1.0 - every[0].sum()
    for k in range(1, len(rows)):
        gross = long[k - 1] + short[k - 1]
        yearly = cash * max(equity[-1] - gross, 0.0) - financing * max(gross - equity[-1], 0.0)
        money += (yearly - borrow * short[k - 1]) * days[rows[k]] / 365
        equity.append(money + every[k].sum())
    np.testing.assert_allclose(part, there / np.array(equity)[:, None], rtol=1e-13)
    want = [equity, (long + short) / equity, (long - short) / equity, counts.sum(axis=1)]
    np.testing.assert_allclose(sums, want, rtol=1e-13, atol=1e-15)


def test_an_account_of_cash_only() -> None:
    none = np.array([], dtype=int)
    part, sums = hold(np.ones((3, 2)), range(3), none, np.zeros(2), np.full(2, 9), np.ones(3), (0.0,) * 3)
    assert part.shape == (3, 0)
    assert sums.tolist() == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]


def test_positions_are_the_weights_other_than_zero() -> None:
    weight = np.where(np.arange(50) % 3, 0.0, np.random.default_rng(1).normal(size=50))
    columns, part, gross, net = positions(weight)
    np.testing.assert_array_equal(columns, np.flatnonzero(weight))
    np.testing.assert_array_equal(part, weight[columns])
    assert (gross, net) == (pytest.approx(np.abs(weight).sum()), pytest.approx(weight.sum()))
    assert len(positions(np.zeros(4))[0]) == 0


@pytest.mark.parametrize("spare", [0.0, 0.1, 1.0, np.inf])
@pytest.mark.parametrize("seed", range(5))
def test_approach_is_a_bounded_step(seed: int, spare: float) -> None:
    rng = np.random.default_rng(seed)
    before = np.where(rng.random(60) < 0.5, 0.0, rng.normal(0.01, 0.02, 60))
    columns = rng.permutation(60)[:40]
    target = np.where(rng.random(40) < 0.3, 0.0, rng.normal(0.02, 0.02, 40))
    most = np.where(rng.random(40) < 0.5, np.inf, rng.random(40) * 0.02)
    movable = rng.random(60) < 0.8
    weight = before.copy()

    step, left = approach(weight, columns, target, most, movable, spare)

    change = target - before[columns]
    want = np.where(movable[columns], np.clip(change, -most, most), 0.0)
    rise, fall = want[want > 0.0].sum(), -want[want < 0.0].sum()
    share = min((spare + fall) / rise, 1.0)
    want = np.where(want > 0.0, want * share, want)
    np.testing.assert_allclose(step, want, rtol=1e-12)
    whole = step == change
    np.testing.assert_array_equal(weight[columns], np.where(whole, target, before[columns] + step))
    np.testing.assert_array_equal(left, ~whole & ((target != 0.0) | (weight[columns] != 0.0)))
    others = np.setdiff1d(np.arange(60), columns)
    np.testing.assert_array_equal(weight[others], before[others])
    assert whole.any()
    assert left.any()
    assert share == 1.0 or step.sum() == pytest.approx(spare, abs=1e-15)


@pytest.mark.parametrize(("fall", "rise"), [(0.25, 0.25 + 1e-13), (1e-13, 0.25)])
def test_approach_takes_a_tiny_difference_for_rounding(fall: float, rise: float) -> None:
    """It neither holds a rise back, nor lets one of 1e-13 happen."""
    step, _ = approach(
        np.array([0.5, 0.0]),
        np.arange(2),
        np.array([0.5 - fall, rise]),
        np.full(2, np.inf),
        np.full(2, True),
        0.0,
    )
    assert step[1] == (rise if fall > 0.1 else 0.0)
