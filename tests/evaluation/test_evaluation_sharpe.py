from __future__ import annotations

import empyrical
import numpy as np
import pytest
import scipy.stats

from kairos.errors import InputError
from kairos.evaluation import sharpe


def test_sharpe_equals_empyrical(returns):
    risk_free = np.full(returns.size, 0.0001)
    assert sharpe.sharpe_ratio(returns, 252) == pytest.approx(
        empyrical.sharpe_ratio(returns, annualization=252), rel=1e-12
    )
    assert sharpe.sharpe_ratio(returns, 252, risk_free) == pytest.approx(
        empyrical.sharpe_ratio(returns, risk_free=0.0001, annualization=252), rel=1e-10
    )


def test_risk_free_must_match():
    with pytest.raises(InputError, match="risk_free has 1 values, expected 2"):
        sharpe.sharpe_ratio([0.1, 0.2], 252, [0.0])


def test_standard_error_of_normal_returns_is_lo():
    ratios = np.array([0.05, 0.4, 1.5])
    found = [np.sqrt(sharpe.sharpe_variance(ratio, 61, 0.0, 0.0)) for ratio in ratios]
    np.testing.assert_allclose(found, np.sqrt((1.0 + 0.5 * ratios**2) / 60.0), rtol=1e-12)


def test_standard_error_covers_skewed_returns():
    """The error of many skewed, fat-tailed samples equals the spread of their Sharpe ratios."""
    random = np.random.default_rng(5)
    samples = 0.3 - (random.gamma(2.0, 1.0, size=(4000, 400)) - 2.0)
    ratios = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    errors = [sharpe.sharpe_se(sample, 1) for sample in samples[:300]]
    assert np.mean(errors) == pytest.approx(ratios.std(), rel=0.05)
    normal_error = np.sqrt((1.0 + ratios.mean() ** 2 / 2.0) / 400)
    assert abs(normal_error / ratios.std() - 1.0) > 0.08  # the case needs the skewness


def test_published_example_of_the_probabilistic_ratio():
    """Bailey and López de Prado (2012): 24 months, S = 0.458, skewness −2.448, kurtosis 10.164."""
    assert sharpe.probability_above(0.458, 0.0, 24, 0.0, 0.0) == pytest.approx(0.982, abs=0.001)
    assert sharpe.probability_above(0.458, 0.0, 24, -2.448, 7.164) == pytest.approx(0.913, abs=0.001)


def test_published_example_of_the_deflated_ratio():
    """Bailey and López de Prado (2014): yearly S = 2.5, 1250 days, skewness −3, kurtosis 10, V = ½ a year."""
    daily = 2.5 / np.sqrt(250.0)
    threshold = sharpe.expected_maximum(100, 0.5 / 250.0)
    assert threshold == pytest.approx(0.1132, abs=5e-5)
    assert sharpe.probability_above(daily, threshold, 1250, -3.0, 7.0) == pytest.approx(0.9004, abs=5e-5)
    fewer = sharpe.expected_maximum(46, 0.5 / 250.0)
    assert sharpe.probability_above(daily, fewer, 1250, -3.0, 7.0) == pytest.approx(0.9505, abs=5e-5)
    normal = sharpe.expected_maximum(88, 0.5 / 250.0)
    assert sharpe.probability_above(daily, normal, 1250, 0.0, 0.0) == pytest.approx(0.9505, abs=5e-5)


def test_ratios_of_a_series_equal_their_definitions(returns):
    s = returns.mean() / returns.std(ddof=1)
    g3, g4 = scipy.stats.skew(returns), scipy.stats.kurtosis(returns, fisher=False)
    n = returns.size

    def probability(threshold):
        return scipy.stats.norm.cdf(
            (s - threshold) * np.sqrt(n - 1) / np.sqrt(1.0 - g3 * s + (g4 - 1.0) / 4.0 * s**2)
        )

    assert sharpe.probabilistic_sharpe(returns) == pytest.approx(probability(0.0), rel=1e-10)
    assert sharpe.probabilistic_sharpe(returns, 0.03) == pytest.approx(probability(0.03), rel=1e-10)
    gamma, norm = np.euler_gamma, scipy.stats.norm
    threshold = 0.02 * ((1.0 - gamma) * norm.ppf(1.0 - 1.0 / 7) + gamma * norm.ppf(1.0 - 1.0 / (7 * np.e)))
    assert sharpe.deflated_sharpe(returns, 7, 0.0004) == pytest.approx(probability(threshold), rel=1e-10)
    assert sharpe.deflated_sharpe(returns, 1, 0.0004) == sharpe.probabilistic_sharpe(returns)


@pytest.mark.parametrize("trials", [5, 20, 200])
def test_expected_maximum_is_that_of_normal_draws(trials):
    best = np.random.default_rng(trials).normal(scale=0.05, size=(20_000, trials)).max(axis=1)
    assert sharpe.expected_maximum(trials, 0.05**2) == pytest.approx(best.mean(), rel=0.03)


def test_expected_maximum_never_helps():
    assert sharpe.expected_maximum(1, 0.01) == 0.0
    assert sharpe.expected_maximum(1.01, 0.01) == 0.0
    assert sharpe.expected_maximum(50, 0.0) == 0.0
    for trials, variance, name in ((0.5, 0.1, "trials"), (np.nan, 0.1, "trials"), (2, -0.1, "variance")):
        with pytest.raises(InputError, match=f"{name} = "):
            sharpe.expected_maximum(trials, variance)


def test_effective_trials():
    random = np.random.default_rng(3)
    common, own = random.normal(size=(20_000, 1)), random.normal(size=(20_000, 9))
    assert sharpe.effective_trials(own) == pytest.approx(9.0, abs=0.1)
    assert sharpe.effective_trials(np.repeat(common, 9, axis=1)) == pytest.approx(1.0)
    assert sharpe.effective_trials(common + own) == pytest.approx(0.5 + 0.5 * 9, abs=0.15)
    assert sharpe.effective_trials(common) == 1.0
    assert np.isnan(sharpe.effective_trials(np.column_stack([own[:, :1], np.full(20_000, 0.1)])))
    with pytest.raises(InputError, match="without missing values"):
        sharpe.effective_trials([[0.1, np.nan]])


@pytest.mark.parametrize("skew", [-3.0, -0.7, 0.1, 1.0 / 3.0, 2.6])
def test_variance_is_never_negative(skew):
    """Two points have kurtosis = skewness² + 1; the variance then has a double root at 2/skewness."""
    found = sharpe.sharpe_variance(2.0 / skew, 10, skew, skew**2 - 2.0)
    assert 0.0 <= found < 1e-15
