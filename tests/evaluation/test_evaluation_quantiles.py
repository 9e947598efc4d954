from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kairos.errors import InputError
from kairos.evaluation import quantiles as q
from kairos.evaluation.significance import mean_test


def test_groups_of_distinct_values_equal_pandas():
    random = np.random.default_rng(1)
    signal = random.normal(size=(20, 50))  # 50 names: ten groups of five
    found = q.quantile_groups(signal, np.full(signal.shape, True), groups=10)
    for row, groups in zip(signal, found, strict=True):
        np.testing.assert_array_equal(groups, pd.qcut(row, 10, labels=False))


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, (2, 23), elements=st.one_of(st.integers(-3, 3), st.just(np.nan), st.just(np.inf))),
    hnp.arrays(bool, (2, 23)),
    st.integers(2, 7),
)
def test_groups_are_even_ordered_and_stable(signal, members, groups):
    found = q.quantile_groups(signal, members, groups)
    for row, inside, numbers in zip(signal, members, found, strict=True):
        ranked = inside & np.isfinite(row)
        if ranked.sum() < groups:
            assert (numbers == -1).all()
            continue
        assert ((numbers >= 0) == ranked).all()
        sizes = np.bincount(numbers[ranked], minlength=groups)
        assert sizes.size == groups
        assert sizes.max() - sizes.min() <= 1
        # in order of value, and of column among equal values, group numbers never fall
        order = sorted(np.flatnonzero(ranked), key=lambda column: (row[column], column))
        assert (np.diff(numbers[order]) >= 0).all()


def test_top_group_turnover_by_hand():
    signal = np.array([[1, 2, 3, 4], [1, 2, 3, 4], [4, 2, 3, 1], [4, 3, 2, 1], [np.nan] * 4], dtype=float)
    found = q.top_group_turnover(signal, np.full(signal.shape, True), groups=2)
    np.testing.assert_array_equal(found, [np.nan, 0.0, 0.5, 0.5, np.nan])
    apart = q.top_group_turnover(signal, np.full(signal.shape, True), groups=2, every=3)
    np.testing.assert_array_equal(apart, [np.nan] * 3 + [1.0, np.nan])
    with pytest.raises(InputError, match="every = 0"):
        q.top_group_turnover(signal, np.full(signal.shape, True), every=0)


def purses(signal, members, returns, alive, groups, every, lag):
    """Count the money of every group, name by name and day by day."""
    sessions, tickers = returns.shape
    orders = {}
    for t in range(0, sessions - lag, every):
        ranked = [i for i in range(tickers) if members[t, i] and np.isfinite(signal[t, i])]
        if len(ranked) < groups:
            continue
        ranked.sort(key=lambda i: (signal[t, i], i))
        split = [[] for _ in range(groups)]
        for position, i in enumerate(ranked):
            if alive[t + lag, i] and np.isfinite(returns[t + lag, i]):
                split[position * groups // len(ranked)].append(i)
        if all(split):
            orders[t + lag] = split
    first = min(orders)
    stock = [{} for _ in range(groups)]
    cash = [1.0] * groups
    daily, turnover = [], []
    for t in range(first, sessions):
        gained = []
        for g in range(groups):
            before = cash[g] + sum(stock[g].values())
            for i in list(stock[g]):
                stock[g][i] *= 1.0 + (returns[t, i] if np.isfinite(returns[t, i]) else 0.0)
                if not alive[t, i]:
                    cash[g] += stock[g].pop(i)
            gained.append((cash[g] + sum(stock[g].values())) / before - 1.0)
        if t > first:
            daily.append(gained)
        if t in orders:
            traded = []
            for g, names in enumerate(orders[t]):
                total = cash[g] + sum(stock[g].values())
                target = dict.fromkeys(names, total / len(names))
                touched = set(target) | set(stock[g])
                traded.append(sum(abs(target.get(i, 0.0) - stock[g].get(i, 0.0)) for i in touched) / total)
                stock[g], cash[g] = target, 0.0
            turnover.append(traded)
    return sorted(orders), np.array(daily), np.array(turnover)


def rough_market(seed, sessions=47, tickers=31):
    """Gaps, names that end with a pay-out, and one ticker that comes back as another company."""
    random = np.random.default_rng(seed)
    shape = (sessions, tickers)
    signal = random.normal(size=shape).round(1)
    returns = np.clip(0.03 * random.standard_t(4, size=shape), -0.9, None)
    returns[random.random(shape) < 0.08] = np.nan
    signal[random.random(shape) < 0.05] = np.nan
    members = random.random(shape) < 0.9
    alive = np.full(shape, True)
    for ticker in range(0, tickers, 4):
        end = random.integers(5, sessions - 8)
        returns[end, ticker] = -0.3
        alive[end:, ticker] = False
        returns[end + 1 :, ticker] = np.nan
    alive[-6:, 0], returns[-6:, 0] = True, 0.05
    return tuple(np.asfortranarray(panel) for panel in (signal, members, returns, alive))


@pytest.mark.parametrize(
    ("every", "lag", "groups"), [(5, 1, 5), (5, 0, 5), (1, 1, 3), (7, 3, 10), (3, 5, 2), (40, 1, 4)]
)
def test_portfolios_equal_counted_money(every, lag, groups):
    market = rough_market(every * 10 + lag)
    found = q.quantile_portfolios(*market, groups=groups, every=every, lag=lag)
    fills, daily, turnover = purses(*market, groups, every, lag)
    assert found.fills.tolist() == fills
    assert found.sessions.tolist() == list(range(fills[0] + 1, 47))
    np.testing.assert_allclose(found.returns, daily, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.turnover, turnover, rtol=1e-10, atol=1e-14)


def test_portfolios_by_hand():
    """Two groups of two names; the second name of the top group ends on the second day, its money is cash."""
    signal = np.tile([1.0, 2.0, 3.0, 4.0], (5, 1))
    returns = np.array(
        [
            [0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5, 0.5],  # the purchase is at this close: earned by nobody
            [0.1, 0.1, 0.2, -0.5],
            [0.0, np.nan, 0.5, np.nan],
            [0.0, 0.2, 0.0, 0.9],
        ]
    )
    alive = np.full(returns.shape, True)
    alive[2:4, 3] = False
    everyone = np.full(signal.shape, True)
    found = q.quantile_portfolios(signal, everyone, returns, alive, groups=2, every=9, lag=1)
    assert found.fills.tolist() == [1]
    assert found.sessions.tolist() == [2, 3, 4]
    bottom = [0.1, 0.0, 1.21 / 1.1 - 1.0]  # (1.1 + 1.1)/2, then (1.1 + 1.32)/2
    top = [-0.15, 1.15 / 0.85 - 1.0, 0.0]  # (1.2 + 0.5)/2, then (1.8 + 0.5)/2, the new company is not held
    np.testing.assert_allclose(found.returns, np.column_stack([bottom, top]), atol=1e-15)
    np.testing.assert_allclose(found.spread, np.subtract(top, bottom), atol=1e-15)
    assert found.turnover.tolist() == [[1.0, 1.0]]
    assert (found.names.tolist(), found.unfilled.tolist(), found.skipped) == ([[2, 2]], [0], 0)


def test_names_without_a_price_at_the_fill_are_counted_not_bought():
    signal = np.tile([1.0, 2.0, 3.0, 4.0], (6, 1))
    returns = np.full(signal.shape, 0.01)
    returns[1, 0] = np.nan
    returns[3, :2] = np.nan
    found = q.quantile_portfolios(
        signal, np.full(signal.shape, True), returns, np.full(signal.shape, True), groups=2, every=2, lag=1
    )
    # the formation of row 2 has nothing to buy for the bottom group: the book of row 1 is kept
    assert (found.fills.tolist(), found.skipped) == ([1, 5], 1)
    assert (found.names.tolist(), found.unfilled.tolist()) == ([[1, 2], [2, 2]], [1, 0])


def test_a_later_row_changes_nothing_before():
    market = rough_market(77)
    whole = q.quantile_portfolios(*market, groups=4, every=5, lag=1)
    for end in (12, 20, 21, 22, 40):
        part = q.quantile_portfolios(*(panel[:end] for panel in market), groups=4, every=5, lag=1)
        np.testing.assert_array_equal(part.returns, whole.returns[: part.sessions.size])
        np.testing.assert_array_equal(part.turnover, whole.turnover[: part.fills.size])


def test_order_of_tickers_changes_nothing():
    signal, members, returns, alive = rough_market(5)
    signal = np.random.default_rng(5).normal(size=signal.shape)  # without ties
    order = np.random.default_rng(6).permutation(signal.shape[1])
    found = q.quantile_portfolios(signal, members, returns, alive, groups=4)
    moved = q.quantile_portfolios(
        signal[:, order], members[:, order], returns[:, order], alive[:, order], groups=4
    )
    np.testing.assert_allclose(moved.returns, found.returns, atol=1e-14)
    np.testing.assert_allclose(moved.turnover, found.turnover, atol=1e-13)


def test_a_planted_premium_makes_a_rising_staircase():
    random = np.random.default_rng(2)
    signal = np.repeat(random.normal(size=(1, 400)), 500, axis=0)
    returns = np.full(signal.shape, 0.0)
    returns[1:] = 0.001 * signal[:-1] + 0.005 * random.normal(size=(499, 400))
    everyone = np.full(signal.shape, True)
    found = q.quantile_portfolios(signal, everyone, returns, everyone, groups=10)
    steps = found.monotonicity()
    assert (steps.spearman, steps.rising) == (pytest.approx(1.0), 1.0)
    tests = found.tests(lags=0)
    assert tests[9] == mean_test(found.returns[:, 9], 0)
    assert tests[0].t < -2.0 < 2.0 < tests[9].t
    ordered = np.sort(signal[0])
    spread = mean_test(found.spread, 0)
    truth = 0.001 * (ordered[-40:].mean() - ordered[:40].mean())
    assert spread.mean == pytest.approx(truth, abs=4.0 * spread.se)
    assert spread.se < 0.03 * truth


def test_monotonicity_equals_scipy():
    means = np.array([0.1, 0.3, 0.2, 0.2, 0.5])
    found = q.monotonicity(means)
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(means, np.arange(5)).statistic)
    assert found.rising == 0.5
    assert np.isnan(q.monotonicity(np.full(4, 0.1)).spearman)


def test_a_group_that_lost_everything_earns_nothing():
    signal = np.tile([1.0, 2.0], (5, 1))
    returns = np.array([[0.0, 0.0], [0.0, 0.0], [-1.0, 0.1], [0.3, 0.1], [0.0, 0.0]])
    everyone = np.full(signal.shape, True)
    found = q.quantile_portfolios(signal, everyone, returns, everyone, groups=2, every=3, lag=0)
    np.testing.assert_allclose(found.returns[:, 0], [0.0, -1.0, 0.3 - 0.3, 0.0])
    assert np.isfinite(found.turnover).all()


def test_bad_input_is_named():
    signal, members, returns, alive = rough_market(1)
    with pytest.raises(InputError, match=r"alive has shape \(46, 31\)"):
        q.quantile_portfolios(signal, members, returns, alive[1:])
    with pytest.raises(InputError, match="every = 0, lag = 1"):
        q.quantile_portfolios(signal, members, returns, alive, every=0)
    with pytest.raises(InputError, match="groups = 1"):
        q.quantile_portfolios(signal, members, returns, alive, groups=1)
    with pytest.raises(InputError, match="no date has a name to buy for each of 32 groups"):
        q.quantile_portfolios(signal, members, returns, alive, groups=32)
    returns[3, 2] = -1.5
    with pytest.raises(InputError, match=r"returns\[3, 2\] = -1.5"):
        q.quantile_portfolios(signal, members, returns, alive)
