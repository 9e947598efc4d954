from __future__ import annotations

import empyrical
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.evaluation import risk, sharpe


def test_ratios_equal_empyrical(returns):
    assert risk.volatility(returns, 252) == pytest.approx(
        empyrical.annual_volatility(returns, annualization=252), rel=1e-12
    )
    assert risk.sortino(returns, 252) == pytest.approx(
        empyrical.sortino_ratio(returns, annualization=252), rel=1e-12
    )
    assert risk.calmar(returns, 252) == pytest.approx(
        empyrical.calmar_ratio(returns, annualization=252), rel=1e-12
    )


def test_annualisation_is_the_callers(returns):
    assert risk.volatility(returns, 12) == pytest.approx(risk.volatility(returns, 252) / np.sqrt(21.0))


def test_moments_equal_scipy(returns):
    assert risk.skewness(returns) == pytest.approx(scipy.stats.skew(returns), rel=1e-10)
    assert risk.excess_kurtosis(returns) == pytest.approx(scipy.stats.kurtosis(returns), rel=1e-10)


def test_hit_rate_counts_zero_as_a_miss():
    assert risk.hit_rate([0.1, 0.0, -0.1, 0.2]) == 0.5


def test_beta_equals_a_regression(returns):
    random = np.random.default_rng(9)
    strategy = 0.7 * returns + 0.004 * random.normal(size=returns.size)
    expected = scipy.stats.linregress(returns, strategy).slope
    assert risk.beta(strategy, returns) == pytest.approx(expected, rel=1e-10)


def test_rolling_equals_pandas(returns):
    series = pd.Series(returns)
    rolling = series.rolling(63)
    np.testing.assert_allclose(
        risk.rolling_volatility(returns, 63, 252), rolling.std() * np.sqrt(252.0), rtol=1e-8
    )
    np.testing.assert_allclose(
        sharpe.rolling_sharpe(returns, 63, 252), rolling.mean() / rolling.std() * np.sqrt(252.0), rtol=1e-6
    )


def test_rolling_of_a_short_or_constant_series():
    assert np.isnan(risk.rolling_volatility([0.1, 0.2], 3, 252)).all()
    assert risk.rolling_volatility([0.1] * 4, 3, 252).tolist()[2:] == [0.0, 0.0]
    assert np.isnan(sharpe.rolling_sharpe([0.1] * 4, 3, 252)).all()
    with pytest.raises(InputError, match="window = 1"):
        risk.rolling_volatility([0.1, 0.2], 1, 252)


@given(st.floats(-0.9, 10.0), st.integers(2, 300))
def test_constant_returns_have_no_volatility_and_no_ratios(value, n):
    series = np.full(n, value)
    assert risk.volatility(series, 252) == 0.0
    assert np.isnan(sharpe.sharpe_ratio(series, 252))
    assert np.isnan(sharpe.sharpe_se(series, 252))
    assert np.isnan(risk.skewness(series))
    assert np.isnan(risk.excess_kurtosis(series))
    assert np.isnan(risk.beta(np.linspace(0.0, 0.1, n), series))
    assert np.isnan(sharpe.probabilistic_sharpe(series))


def test_what_a_single_return_cannot_say():
    assert np.isnan(risk.volatility([0.1], 252))
    assert np.isnan(sharpe.sharpe_ratio([0.1], 252))
    assert np.isnan(sharpe.sharpe_se([0.1], 252))
    assert np.isnan(risk.sortino([0.1], 252))
    assert np.isnan(risk.calmar([0.1], 252))
