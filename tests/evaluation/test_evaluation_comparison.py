from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from kairos.errors import InputError
from kairos.evaluation.bootstrap import stationary_bootstrap
from kairos.evaluation.comparison import sharpe_gaps


def sharpe(x):
    return x.mean() / x.std(ddof=1)


def market(seed, days=750, means=(0.0005, 0.0, 0.0002), common=0.8):
    """Series with a common part, so that their Sharpe ratios move together."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((days, 1))
    own = rng.standard_normal((days, len(means)))
    return 0.01 * (common * factor + sqrt(1 - common**2) * own) + np.array(means)


def test_differences_and_intervals_equal_those_of_each_history_by_itself():
    returns = market(1, days=120)
    rows = stationary_bootstrap(120, 4.0, 60, 3)
    found = sharpe_gaps(returns, 252, block=4.0, seed=3, draws=60, level=0.8)
    assert [(gap.first, gap.second) for gap in found] == [(0, 1), (0, 2), (1, 2)]
    for gap in found:
        one, other = returns[:, gap.first], returns[:, gap.second]
        assert gap.difference == pytest.approx((sharpe(one) - sharpe(other)) * sqrt(252), rel=1e-12)
        each = [(sharpe(one[row]) - sharpe(other[row])) * sqrt(252) for row in rows]
        np.testing.assert_allclose((gap.low, gap.high), np.quantile(each, [0.1, 0.9]), rtol=1e-9)


def test_p_is_that_of_the_asymptotic_error_for_independent_normal_returns():
    returns = market(7, days=4000, means=(0.0004, 0.0))
    (gap,) = sharpe_gaps(returns, 252, block=1.0, seed=0, draws=4000)
    one, other = sharpe(returns[:, 0]), sharpe(returns[:, 1])
    rho = np.corrcoef(returns.T)[0, 1]
    variance = 2 * (1 - rho) + (one**2 + other**2 - 2 * one * other * rho**2) / 2  # Jobson and Korkie, Memmel
    p = 2 * NormalDist().cdf(-abs(one - other) / sqrt(variance / len(returns)))
    assert 0.001 < p < 0.5
    assert gap.p == pytest.approx(p, abs=0.02)
    assert gap.adjusted == gap.p  # a single pair


def test_the_interval_covers_the_true_difference_and_equal_series_are_rarely_told_apart():
    covered = rejected = 0
    runs = 80
    for seed in range(runs):
        returns = market(100 + seed, days=400, means=(0.0006, 0.0006, 0.0006))
        found = sharpe_gaps(returns, 252, block=2.0, seed=seed, draws=300)
        covered += found[0].low <= 0.0 <= found[0].high
        rejected += min(gap.adjusted for gap in found) <= 0.10
    assert 0.80 <= covered / runs <= 0.98
    assert rejected / runs <= 0.20  # 10 %, three pairs together


def test_a_planted_difference_is_found_and_the_common_part_does_not_hide_it():
    returns = market(5, days=1500, means=(0.0012, 0.0), common=0.95)
    (gap,) = sharpe_gaps(returns, 252, block=5.0, seed=0)
    assert gap.low > 0.0
    assert gap.adjusted < 0.01


def test_what_has_no_difference_has_no_number():
    returns = market(2, days=100, means=(0.0, 0.0))
    same, flat = np.column_stack([returns[:, 0]] * 2), np.column_stack([returns[:, 0], np.zeros(100)])
    (gap,) = sharpe_gaps(same, 252, block=2.0, seed=0, draws=50)
    assert gap.difference == gap.low == gap.high == 0.0
    assert np.isnan(gap.p)
    assert np.isnan(gap.adjusted)
    (gap,) = sharpe_gaps(flat, 252, block=2.0, seed=0, draws=50)
    assert np.isnan([gap.difference, gap.low, gap.high, gap.p, gap.adjusted]).all()


@pytest.mark.parametrize(
    "returns", [np.zeros((5, 1)), np.zeros((2, 2)), np.full((5, 2), np.nan), np.zeros(5)]
)
def test_bad_returns_are_an_error(returns):
    with pytest.raises(InputError, match="sessions, series"):
        sharpe_gaps(returns, 252, block=2.0, seed=0)
