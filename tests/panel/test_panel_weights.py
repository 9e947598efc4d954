"""Weights against plain definitions on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.panel import approach, drift


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rows", [range(3, 4), range(9), range(5, 30)])
def test_drift_is_growth_since_the_first_row(rows: range, sign: float) -> None:
    rng = np.random.default_rng(len(rows))
    x = np.exp(rng.normal(size=(30, 50)).cumsum(axis=0))
    columns = np.flatnonzero(rng.random(50) < 0.6)
    weight = rng.random(50) * np.where(np.arange(50) % 3, 1.0, sign)
    until = rng.integers(rows.start, 40, 50)

    part, sums = drift(x, rows, columns, weight, until)

    every = weight[columns] * (x[rows][:, columns] / x[rows.start, columns])
    counts = np.array(rows)[:, None] < until[columns]
    want = np.where(counts, every, 0.0)
    np.testing.assert_array_equal(part, want)
    np.testing.assert_allclose(
        sums, [every.sum(axis=1), want.sum(axis=1), np.abs(want).sum(axis=1), counts.sum(axis=1)], rtol=1e-13
    )


def test_drift_of_nothing() -> None:
    part, sums = drift(np.ones((3, 2)), range(3), np.array([], dtype=int), np.zeros(2), np.full(2, 9))
    assert part.shape == (3, 0)
    assert not sums.any()


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
