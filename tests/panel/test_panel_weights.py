"""The compiled account against a plain one that goes session by session over whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kairos.panel.weights import Terms, Trade, World, follow, interest, tilt, trading_costs

NOTHING = Trade(*np.zeros((4, 0)), np.zeros(0, dtype=bool), 1.0, np.zeros(0), 0)
FREE = Terms(0.0, 0.0, 0.0, 0.0, 0.0)
DEAR = Terms(0.001, 0.2, 0.01, 0.05, 0.03)


def plain(world: World, terms: Terms, weight: Any, trade: Trade, first: int, last: int, tries: Any) -> Any:
    """Weights by row before their cost, what is told of each row, weights at the end, open, given up."""
    w, still, books, told, given = weight.copy(), trade.open.copy(), {}, {}, 0
    goal, reserve = trade.target.copy(), float(trade.cash[0])
    for t in range(first, last + 1):
        ret = 0.0
        if t > first:
            gross, short = np.abs(w).sum(), -w[w < 0.0].sum()
            yearly = terms.cash * max(1.0 - gross, 0.0) - terms.financing * max(gross - 1.0, 0.0)
            cash = 1.0 - w.sum() + (yearly - terms.borrow * short) * world.days[t] / 365
            grown = w * world.value[t] / world.value[t - 1]
            ret = cash + grown.sum() - 1.0
            w = np.where(t < world.until, grown, 0.0) / (1.0 + ret)
            growth = world.value[t] / world.value[t - 1]
            goal = np.where(still, goal * np.where(np.isfinite(growth), growth, 1.0) / (1.0 + ret), goal)
            reserve = reserve / (1.0 + ret)
        cost = turnover = 0.0
        if t in tries and still.any():
            step = np.where(still & world.priced[t], np.clip(goal - w, -trade.most, trade.most), 0.0)
            rise, fall = step[step > 0.0].sum(), -step[step < 0.0].sum()
            if not ((w < 0.0).any() or (goal[still] < 0.0).any()):
                spare = 1.0 - w.sum() - reserve
                share = 0.0 if spare + fall <= 1e-12 else 1.0
                if share and rise > spare + fall + 1e-12:
                    share = (spare + fall) / rise
                step = np.where(step > 0.0, step * share, step)
            size = np.abs(step)
            with np.errstate(invalid="ignore"):
                move = trade.volatility * np.sqrt(size * trade.dollars / trade.adv)
            cost = float(np.sum(size * (terms.half_spread + terms.impact * np.where(size > 0.0, move, 0.0))))
            turnover = float(size.sum())
            whole = np.abs(goal - w - step) <= 1e-12
            w = np.where(still & whole, goal, w + step)
            still = still & ~whole & ((goal != 0.0) | (w != 0.0))
            late = still & ~world.priced[t] & (t >= trade.expires)
            given, still = given + int(late.sum()), still & ~late
        books[t] = w.copy()
        told[t] = [
            (1.0 + ret) * (1.0 - cost) - 1.0,
            cost,
            turnover,
            np.abs(w).sum(),
            w.sum(),
            (w != 0.0).sum(),
        ]
        w, reserve = w / (1.0 - cost), reserve / (1.0 - cost)
        goal = np.where(still, goal / (1.0 - cost), goal)
    return books, told, w, still, given


def case(seed: int, sign: float) -> tuple[World, Any, Trade]:
    """Forty columns with gaps, ends, sales and purchases that volume, cash or a missing price hold back."""
    rng = np.random.default_rng(seed)
    T, n = 14, 40
    value = np.exp(0.03 * rng.normal(size=(T, n)).cumsum(axis=0))
    until = np.where(rng.random(n) < 0.2, rng.integers(2, T, n), 99)
    priced = (rng.random((T, n)) < 0.6) & (np.arange(T)[:, None] < until)
    world = World(value, priced, until, rng.integers(1, 5, T).astype(float))
    weight = np.where(rng.random(n) < 0.5, rng.random(n) / 20, 0.0) * np.where(np.arange(n) % 4, 1.0, sign)
    target = np.where(rng.random(n) < 0.5, rng.random(n) / 20, 0.0) * np.where(np.arange(n) % 3, 1.0, sign)
    most = np.where(rng.random(n) < 0.5, np.inf, rng.random(n) * 0.01)
    adv = np.exp(rng.normal(15.0, 1.0, n))
    cash = 1.0 - target.sum(keepdims=True)
    wanted = rng.random(n) < 0.9
    return world, weight, Trade(target, most, rng.random(n) * 0.03, adv, wanted, 1e7, cash, 6)


def copied(trade: Trade) -> Trade:
    """What is changed in place is its own."""
    return trade._replace(target=trade.target.copy(), open=trade.open.copy(), cash=trade.cash.copy())


@pytest.mark.parametrize("terms", [FREE, DEAR])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("first", "last", "at_first", "at_last"), [
    (1, 12, False, True), (1, 12, True, False), (3, 3, True, True), (2, 5, False, False),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_an_account_is_followed_session_by_session(
    seed: int, terms: Terms, sign: float, first: int, last: int, at_first: bool, at_last: bool
) -> None:
    world, before, trade = case(seed, sign)
    wanted, fresh = copied(trade), copied(trade)
    tries = set(range(first + (not at_first), last + at_last))
    want = plain(world, terms, before, trade, first, last, tries)
    weight, columns, told = before.copy(), np.arange(40), np.zeros((6, 14))
    again, unseen = before.copy(), np.zeros((6, 14))

    held, part, ends, given, lost = follow(
        world, terms, columns, weight, wanted, first, last, at_first, at_last, told, True
    )

    none, *_ = follow(world, terms, columns, again, fresh, first, last, at_first, at_last, unseen, False)
    assert not len(none)
    np.testing.assert_array_equal(again, weight)
    np.testing.assert_array_equal(unseen, told)
    books, numbers, after, still, unpriced = want
    assert (given, lost) == (unpriced, -1)
    np.testing.assert_array_equal(wanted.open, still)
    np.testing.assert_allclose(weight, after, rtol=1e-12, atol=1e-17)
    for k, t in enumerate(range(first, last + 1)):
        here = slice(ends[k], ends[k + 1])
        if t == first and not at_first:
            assert here.start == here.stop
            assert not told[:, t].any()
            continue
        dense = np.zeros(40)
        dense[held[here]] = part[here]
        np.testing.assert_array_equal(held[here], np.flatnonzero(books[t]))
        np.testing.assert_allclose(dense, books[t], rtol=1e-12, atol=1e-17)
        np.testing.assert_allclose(told[:, t], numbers[t], rtol=1e-11, atol=1e-15)
    others = [t for t in range(14) if not first <= t <= last]
    assert not told[:, others].any()


@pytest.mark.parametrize("seed", range(3))
def test_the_cases_hold_what_they_are_for(seed: int) -> None:
    """Trades that wait, that are given up, that take several sessions, and that are done."""
    world, weight, trade = case(seed, 1.0)
    told, columns = np.zeros((6, 14)), np.arange(40)
    follow(world, DEAR, columns, weight, trade, 1, 2, True, True, told, True)
    assert 3 < trade.open.sum() < 30
    *_, given, _ = follow(world, DEAR, columns, weight, trade, 2, 12, False, True, told, True)
    assert given
    assert (told[2] > 0.0).sum() > 3
    assert not trade.open.any()


def test_what_is_open_is_a_number_of_shares() -> None:
    """A tenth is wanted, 4 % of equity a session can be traded, and the price doubles on the second one."""
    world = World(np.array([[1.0], [2.0], [2.0], [2.0]]), np.full((4, 1), True), np.full(1, 9), np.zeros(4))
    one, weight, told = np.ones(1), np.zeros(1), np.zeros((6, 4))
    trade = Trade(0.1 * one, 0.04 * one, 0.0 * one, one, one > 0.0, 1.0, 0.5 * one, 9)
    follow(world, FREE, np.arange(1), weight, trade, 0, 3, True, True, told, False)
    # 0.04 shares at 1, two times 0.04 · 1.04 / 2 at 2, and then what is left of 0.1: 0.0184 at 2
    assert told[2] == pytest.approx([0.04, 0.04, 0.04, 0.0184 * 2 / 1.04])
    assert told[0] == pytest.approx([0.0, 0.04, 0.0, 0.0])
    assert weight[0] * 1.04 / 2 == pytest.approx(0.1)
    assert not trade.open.any()


@pytest.mark.parametrize(("fall", "rise"), [(0.25, 0.25 + 1e-13), (1e-13, 0.25)])
def test_a_tiny_difference_is_rounding(fall: float, rise: float) -> None:
    """It neither holds a rise back, nor lets one of 1e-13 happen."""
    world = World(np.ones((1, 2)), np.full((1, 2), True), np.full(2, 9), np.zeros(1))
    weight, target = np.array([0.5, 0.5]), np.array([0.5 - fall, 0.5 + rise])
    free, open_ = np.full(2, np.inf), np.full(2, True)
    trade = Trade(target, free, np.zeros(2), np.ones(2), open_, 1.0, np.zeros(1), 9)
    follow(world, FREE, np.arange(2), weight, trade, 0, 0, True, True, np.zeros((6, 1)), True)
    assert weight[1] == (0.5 + rise if fall > 0.1 else 0.5)


@pytest.mark.parametrize("beyond", [0.0, 1e-17, 1e-13])
def test_a_rest_that_is_rounding_does_not_stay_open(beyond: float) -> None:
    """A book at the limit of participation is filled in one session, however its last digits fall."""
    world = World(np.ones((1, 1)), np.full((1, 1), True), np.full(1, 9), np.zeros(1))
    weight, most = np.array([0.25]), np.array([0.5])
    nothing, one = np.zeros(1), np.ones(1)
    trade = Trade(weight + most + beyond, most, nothing, one, one > 0.0, 1.0, nothing.copy(), 9)
    follow(world, FREE, np.arange(1), weight, trade, 0, 0, True, True, np.zeros((6, 1)), False)
    assert weight[0] == 0.75 + beyond
    assert not trade.open[0]


def test_nothing_left_of_equity_ends_it() -> None:
    """A short of all that is owned, of a price that doubles and doubles again."""
    world = World(2.0 ** np.arange(4)[:, None], np.full((4, 1), True), np.full(1, 9), np.ones(4))
    told = np.zeros((6, 4))
    *_, lost = follow(world, FREE, np.arange(1), np.array([-0.5]), NOTHING, 0, 3, False, True, told, True)
    assert lost == 2
    assert told[0, 1] == pytest.approx(-0.5)


def test_trades_that_cost_all_end_it() -> None:
    """A name whose volatility is a bad print."""
    world = World(np.ones((2, 1)), np.full((2, 1), True), np.full(1, 9), np.ones(2))
    one, told = np.ones(1), np.zeros((6, 2))
    trade = Trade(0.1 * one, one, 1e5 * one, 1e7 * one, one > 0.0, 1e7, 0.9 * one, 9)
    *_, lost = follow(world, DEAR, np.arange(1), np.zeros(1), trade, 0, 1, True, True, told, True)
    assert lost == 0
    assert told[1, 0] > 1.0


def test_cash_only() -> None:
    world = World(np.ones((3, 2)), np.full((3, 2), True), np.full(2, 9), np.full(3, 73.0))
    told = np.zeros((6, 3))
    nobody = np.zeros(0, dtype=np.int64)
    held, _, ends, *_ = follow(world, DEAR, nobody, np.zeros(0), NOTHING, 0, 2, False, True, told, True)
    assert not len(held)
    assert ends.tolist() == [0, 0, 0, 0]
    assert told[0].tolist() == pytest.approx([0.0, 0.01 / 5, 0.01 / 5])


def test_prices_of_trading_and_holding() -> None:
    change, zero = np.array([0.01, -0.04, 0.0]), np.array([np.nan])
    cost = trading_costs(change, np.array([0.02, 0.01, np.nan]), np.array([1e6, 4e6, 0.0]), 1e7, DEAR)
    assert cost.tolist() == pytest.approx(
        [0.01 * (0.001 + 0.2 * 0.02 * 0.1**0.5), 0.04 * (0.001 + 0.2 * 0.01 * 0.1**0.5), 0.0]
    )
    assert trading_costs(np.array([0.5]), zero, zero, 1e7, Terms(0.001, 0.0, 0.0, 0.0, 0.0)).tolist() == [
        0.0005
    ]
    assert interest(1.5, 0.25, 30.0, DEAR) == pytest.approx((-0.05 * 0.5 - 0.03 * 0.25) * 30 / 365)


def test_the_tilt_of_a_book_counts_for_what_has_no_value() -> None:
    """Gross 1.0, of which 0.75 has a value: 0.5·2 − 0.25·4 = 0; without the short 1.0, scaled by 1 / 0.5."""
    column, weight = np.array([0, 2, 3]), np.array([0.5, -0.25, 0.25])
    x = np.array([2.0, 9.0, 4.0, np.nan])
    assert tilt(column, weight, x) == 0.0
    x[2] = np.inf
    assert tilt(column, weight, x) == 2.0
    x[0] = np.nan
    assert np.isnan(tilt(column, weight, x))
    assert np.isnan(tilt(column[:0], weight[:0], x))
