"""Newton's method on the dual against the conditions of a minimum, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.panel import dual
from kairos.panel.rows import FAILED, POLISHED, UNDECIDED, Problem, pieces_of

INF = np.inf


def problem(seed: int, n: int, *, turnover: float) -> Problem:
    """A book near a wanted one: sums to 1, sectors at most 1.3 times their share, a row with both limits.

    Most names may only shrink, and of those most are nearly nothing: ranges from 1 down to 1e-8.
    """
    rng = np.random.default_rng(seed)
    sectors = 5
    sector = rng.integers(0, sectors, n)
    held = rng.exponential(size=n) * 10.0 ** rng.integers(-7, 1, n)
    held /= held.sum()
    upper = np.where(rng.random(n) < 0.6, held, 1.0)
    upper[:sectors] = 1.0
    sector[:sectors] = np.arange(sectors)
    wanted = np.where(upper == 1.0, rng.exponential(size=n), 0.0)
    wanted /= wanted.sum()
    linear = np.zeros((3, n))
    linear[0] = -(0.7 * held + 0.3 * wanted)
    linear[1:] = rng.exponential(size=(2, n)) * 1e-4 * (rng.random() < 0.5)
    exposure = rng.normal(size=n)
    rows = [np.ones(n), *((sector == s).astype(float) for s in range(sectors)), exposure, np.ones(n)]
    share = np.bincount(sector, minlength=sectors) / n
    middle = exposure @ held
    low = np.array([1.0, *[-INF] * sectors, middle - 0.01, -INF])
    high = np.array([1.0, *(np.maximum(1.3 * share, np.bincount(sector, held))), middle + 0.01, turnover])
    cut = np.array([0, 7, 7, 8])
    return Problem(
        np.zeros(n), upper, held, rng.uniform(0.5, 2.0, n), linear, np.zeros(n),
        np.array(rows), np.ascontiguousarray(np.array(rows).T), 0, cut, low, high,
    )  # fmt: skip


def found(p: Problem) -> tuple[np.ndarray, np.ndarray, int, int]:
    return dual.search(p, pieces_of(p), np.zeros(len(p.low)))


def lagrangian(p: Problem, multiplier: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(n,) each name's share of the Lagrangian at w."""
    parts = np.stack([w, np.abs(w), np.abs(w - p.point)])
    back = np.array([p.Z[:, a:b] @ multiplier[a:b] for a, b in zip(p.cut[:-1], p.cut[1:], strict=True)])
    return 0.5 * p.curvature * w**2 + ((p.linear + back) * parts).sum(axis=0)


@pytest.mark.parametrize("n", [8, 60, 1500])
@pytest.mark.parametrize("turnover", [0.02, 0.2, INF])
@pytest.mark.parametrize("seed", range(8))
def test_every_condition_of_a_minimum_holds(seed: int, turnover: float, n: int) -> None:
    p = problem(seed, n, turnover=turnover)
    w, multiplier, end, steps = found(p)
    assert end == POLISHED
    assert steps < 40
    assert (w >= p.lower).all()
    assert (w <= p.upper).all()
    value = np.array([*(p.Z[:, :7].T @ w), np.abs(w - p.point) @ p.Z[:, 7]])
    assert (value >= p.low - 1e-11).all()
    assert (value <= p.high + 1e-11).all()
    for r, pressed in enumerate(multiplier):  # a row that presses is at its limit
        if pressed:
            assert value[r] == pytest.approx(p.high[r] if pressed > 0 else p.low[r], abs=1e-11)
    here = lagrangian(p, multiplier, w)
    for other in (p.lower, p.upper, np.clip(p.point, p.lower, p.upper), *np.linspace(p.lower, p.upper, 41)):
        assert (here <= lagrangian(p, multiplier, other) + 1e-13).all()
    for near in (1e-3, 1e-6):
        for other in (w - near, w + near):
            assert (here <= lagrangian(p, multiplier, np.clip(other, p.lower, p.upper)) + 1e-13).all()


@pytest.mark.parametrize("seed", range(8))
def test_what_cannot_be_is_proven_so(seed: int) -> None:
    """A sum of 1 where the names may be 0.999 together, and less turnover than the exits need."""
    p = problem(seed, 200, turnover=0.2)
    short = p._replace(upper=p.upper * 0.999 / p.upper.sum())
    assert found(short)[2] == FAILED
    gone = np.where(p.point > np.median(p.point), 0.0, p.upper)
    least = p.point[gone == 0.0].sum()
    tight = p._replace(upper=gone, high=np.array([*np.full(6, 1.0), INF, 1.9 * least]), low=p.low.copy())
    tight.low[6] = -INF
    assert found(tight)[2] == FAILED
    room = tight._replace(high=np.array([*np.full(6, 1.0), INF, 2.1 * least]))
    assert found(room)[2] == POLISHED


def exits_first(seed: int, by: float) -> Problem:
    """Sixty names to buy, 340 that are sold by half; turnover for no more than these sales and purchases.

    In units of the largest weight, 3 %: all names that buy are held by two rows that agree.
    """
    rng = np.random.default_rng(seed)
    bought = np.arange(400) < 60
    held = np.where(bought, rng.exponential(0.1, 400), rng.exponential(size=400) ** 3)
    held *= 100 / 3 / held.sum()
    wanted = np.where(bought, rng.exponential(size=400), 0.0)
    linear = np.stack([-wanted * 100 / 3 / wanted.sum(), *np.zeros((2, 400))])
    upper = np.where(bought, 1.0, held / 2.0)
    needed = held[~bought].sum()
    return Problem(
        np.zeros(400), upper, held, np.ones(400), linear, np.zeros(400),
        np.ones((2, 400)), np.ones((400, 2)), 0, np.array([0, 1, 1, 2]),
        np.array([100 / 3, -INF]), np.array([100 / 3, needed + by]),
    )  # fmt: skip


@pytest.mark.parametrize("by", [0.0, 1e-9, 1e-6, 1e-3])
def test_rows_that_leave_next_to_no_room(by: float) -> None:
    """One in eight may be left to the interior point, which is slow."""
    undecided = 0
    for seed in range(16):
        p = exits_first(seed, by)
        w, _, end, _ = found(p)
        undecided += end == UNDECIDED
        if end != UNDECIDED:
            assert end == POLISHED
            assert w.sum() == pytest.approx(100 / 3, abs=3e-9)
            assert np.abs(w - p.point).sum() <= p.high[1] + 3e-9
    assert undecided <= 2


@pytest.mark.parametrize("seed", range(8))
def test_where_the_search_begins_changes_its_length_only(seed: int) -> None:
    p = problem(seed, 200, turnover=0.2)
    w, multiplier, _, steps = found(p)
    again, same, end, few = dual.search(p, pieces_of(p), multiplier)
    assert (end, few) == (POLISHED, 0)
    np.testing.assert_array_equal(again, w)
    np.testing.assert_array_equal(same, multiplier)
    far = np.random.default_rng(seed).normal(size=len(p.low))  # some press against limits that are not there
    other, _, end, _ = dual.search(p, pieces_of(p), far)
    assert end == POLISHED
    np.testing.assert_allclose(other, w, atol=1e-11)
    assert steps > 2
