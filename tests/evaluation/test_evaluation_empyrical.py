"""Every headline statistic against empyrical, on series of all lengths, and by hand where it errs."""

from __future__ import annotations

from math import isnan

import empyrical
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.evaluation.growth import drawdown
from kairos.evaluation.performance import performance
from kairos.evaluation.sharpe import sharpe_difference

EXACT = {"rel": 1e-10, "abs": 1e-10}

series_of = st.builds(
    lambda seed, n, drift, size, digits: np.maximum(
        drift + size * np.random.default_rng(seed).standard_t(3, size=n), -0.9
    ).round(digits),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 600),
    drift=st.sampled_from([-0.02, -0.0005, 0.0, 0.0005, 0.02]),
    size=st.sampled_from([1e-5, 0.002, 0.01, 0.05]),
    digits=st.sampled_from([3, 16]),  # three digits make zeros and ties
)


def measured(returns, benchmark=None, year=252):
    days = np.datetime64("2000-01-03") + np.arange(len(returns))
    return performance(returns, days, year, benchmark=benchmark)


@settings(max_examples=150, deadline=None)
@given(series_of, st.sampled_from([12, 52, 252]))
def test_headline_equals_empyrical(returns, year):
    found = measured(returns, year=year)
    assert found.total_return == pytest.approx(empyrical.cum_returns_final(returns), **EXACT)
    assert found.annual_return == pytest.approx(empyrical.annual_return(returns, annualization=year), **EXACT)
    assert found.max_drawdown == pytest.approx(empyrical.max_drawdown(returns), **EXACT)
    assert found.hit_rate == pytest.approx(np.mean(returns > 0.0), **EXACT)
    assert (found.best, found.worst) == (returns.max(), returns.min())
    if found.max_drawdown < 0.0:
        expected = empyrical.calmar_ratio(returns, annualization=year)
        assert found.calmar == pytest.approx(expected, **EXACT)
    else:
        assert isnan(found.calmar)
    if returns.min() < 0.0:
        expected = empyrical.sortino_ratio(returns, annualization=year) if len(returns) > 1 else None
        by_hand = returns.mean() / np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)) * np.sqrt(year)
        assert found.sortino == pytest.approx(by_hand if expected is None else expected, **EXACT)
    else:
        assert isnan(found.sortino)  # empyrical: infinite
    if len(returns) == 1:
        assert isnan(found.volatility)
        assert isnan(found.sharpe)
        assert isnan(found.sharpe_se)
    elif returns.max() == returns.min():
        assert found.volatility == 0.0
        assert isnan(found.sharpe)  # empyrical divides by the rounding of its deviation
        assert isnan(found.skewness)
    else:
        expected = empyrical.annual_volatility(returns, annualization=year)
        assert found.volatility == pytest.approx(expected, **EXACT)
        assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(returns, annualization=year), **EXACT)
        assert found.skewness == pytest.approx(scipy.stats.skew(returns), rel=1e-8, abs=1e-8)
        assert found.excess_kurtosis == pytest.approx(scipy.stats.kurtosis(returns), rel=1e-8, abs=1e-8)


@settings(max_examples=100, deadline=None)
@given(series_of, st.integers(0, 2**32), st.floats(-2.0, 2.0))
def test_against_a_benchmark_equals_empyrical(returns, seed, slope):
    benchmark = 0.01 * np.random.default_rng(seed).normal(size=len(returns))
    mixed = returns + slope * benchmark
    mixed = np.maximum(mixed, -0.95)
    found = measured(mixed, benchmark)
    active = mixed - benchmark
    assert found.active_return == pytest.approx(active.mean() * 252, **EXACT)
    if len(returns) < 3:
        return
    assert found.beta == pytest.approx(empyrical.beta(mixed, benchmark), rel=1e-8, abs=1e-10)
    if active.max() > active.min():
        assert found.tracking_error == pytest.approx(active.std(ddof=1) * np.sqrt(252), **EXACT)
        expected = empyrical.excess_sharpe(mixed, benchmark) * np.sqrt(252)
        assert found.information_ratio == pytest.approx(expected, rel=1e-10, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(series_of)
def test_drawdown_dates_are_those_of_the_path(returns):
    """Depth, peak, trough and recovery by a plain walk along the wealth."""
    found = measured(returns)
    path, peaks = [1.0], [1.0]
    for r in returns:
        path.append(path[-1] * (1.0 + r))
        peaks.append(max(peaks[-1], path[-1]))
    depths = [value / peak - 1.0 for value, peak in zip(path, peaks, strict=True)]
    assert found.max_drawdown == pytest.approx(min(depths), **EXACT)
    np.testing.assert_allclose(drawdown(returns), depths[1:], atol=1e-12)
    if min(depths) == 0.0:
        assert found.drawdown_trough is None
        return
    start = np.datetime64("2000-01-03")
    trough = int((found.drawdown_trough - start).astype(int)) + 1
    assert depths[trough] == pytest.approx(min(depths), **EXACT)
    begin = 0 if found.drawdown_peak is None else int((found.drawdown_peak - start).astype(int)) + 1
    assert path[begin] == pytest.approx(peaks[trough], **EXACT)
    if found.drawdown_recovery is not None:
        end = int((found.drawdown_recovery - start).astype(int)) + 1
        assert path[end] >= peaks[trough] * (1.0 - 1e-12)
        assert end - begin - 1 == found.drawdown_sessions


def test_a_total_loss():
    found = measured(np.array([0.1, -1.0, 0.0]))
    assert (found.total_return, found.annual_return, found.max_drawdown) == (-1.0, -1.0, -1.0)
    assert found.calmar == -1.0


@settings(max_examples=60, deadline=None)
@given(series_of, series_of)
def test_sharpe_difference_is_the_difference_of_two_headlines(first, second):
    found = sharpe_difference(first, second, 252)
    before, after = measured(first), measured(second)
    expected = (after.sharpe - before.sharpe, np.hypot(before.sharpe_se, after.sharpe_se))
    np.testing.assert_allclose((found.difference, found.se), expected, rtol=1e-12)
