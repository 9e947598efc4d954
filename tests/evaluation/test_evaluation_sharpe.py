from __future__ import annotations

import empyrical
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from statsmodels.stats.sandwich_covariance import S_hac_simple

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


def autocorrelated(seed, n, phi):
    noise = np.random.default_rng(seed).standard_t(5, size=n)
    return scipy.signal.lfilter([1.0], [1.0, -phi], noise)


def test_standard_error_with_lags_is_that_of_the_moments(returns):
    """Hansen's error of (mean, second moment) by statsmodels, carried to the ratio by the delta method."""
    series, lags = returns + 0.002, 6
    moments = np.column_stack([series, series**2])
    deviations = moments - moments.mean(axis=0)
    long_run = cov_hac_simple_of(deviations, lags)
    mean, variance = series.mean(), series.var()
    gradient = np.array([(variance + mean**2) / variance**1.5, -mean / 2.0 / variance**1.5])
    expected = np.sqrt(gradient @ long_run @ gradient / series.size)
    assert sharpe.sharpe_se(series, 1, lags=lags) == pytest.approx(expected, rel=2e-3)
    assert sharpe.sharpe_se(series, 252, lags=lags) == pytest.approx(
        sharpe.sharpe_se(series, 1, lags=lags) * np.sqrt(252)
    )


def cov_hac_simple_of(deviations, lags):
    """Bartlett's long-run covariance, by statsmodels' sum over lags."""
    return S_hac_simple(deviations, nlags=lags) / len(deviations)


def test_standard_error_without_lags_is_the_limit(returns):
    """The first-order form and the formula in skewness and kurtosis are the same."""
    z = (returns - returns.mean()) / returns.std()
    observed = returns.mean() / returns.std(ddof=1)
    influence = z - observed / 2.0 * (z**2 - 1.0)
    expected = influence.std(ddof=1) / np.sqrt(returns.size)
    assert sharpe.sharpe_se(returns, 1) == pytest.approx(expected, rel=1e-6)
    assert sharpe.sharpe_se(returns, 1, lags=0) == sharpe.sharpe_se(returns, 1)


def test_standard_error_with_lags_is_the_spread_of_autocorrelated_ratios():
    samples = [autocorrelated(seed, 1500, 0.3) for seed in range(600)]
    ratios = [sharpe.sharpe_ratio(sample, 1) for sample in samples]
    plain = np.mean([sharpe.sharpe_se(sample, 1) for sample in samples])
    robust = np.mean([sharpe.sharpe_se(sample, 1, lags=15) for sample in samples])
    assert robust == pytest.approx(np.std(ratios), rel=0.1)
    assert plain < 0.8 * np.std(ratios)


def test_probabilistic_and_deflated_ratio_with_lags(returns):
    error, observed = sharpe.sharpe_se(returns, 1, lags=4), sharpe.sharpe_ratio(returns, 1)
    expected = scipy.stats.norm.cdf((observed - 0.01) / error)
    assert sharpe.probabilistic_sharpe(returns, 0.01, lags=4) == pytest.approx(expected, rel=1e-12)
    threshold = sharpe.expected_maximum(9, 0.0003)
    assert sharpe.deflated_sharpe(returns, 9, 0.0003, lags=4) == pytest.approx(
        scipy.stats.norm.cdf((observed - threshold) / error), rel=1e-12
    )
    assert np.isnan(sharpe.probabilistic_sharpe([0.1] * 9, lags=2))


def test_sharpe_difference_by_hand():
    first, second = [0.03, -0.01] * 100, [0.01, -0.01] * 150
    found = sharpe.sharpe_difference(first, second, 252)
    assert found.first == sharpe.sharpe_ratio(first, 252)
    assert found.second == 0.0
    se = np.sqrt(sharpe.sharpe_se(first, 252) ** 2 + sharpe.sharpe_se(second, 252) ** 2)
    assert (found.difference, found.se) == pytest.approx((-found.first, se))
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(abs(found.z)))
    nothing = sharpe.sharpe_difference([0.1] * 5, second, 252)
    assert np.isnan([nothing.difference, nothing.se, nothing.z, nothing.p]).all()


def test_sharpe_difference_rejects_as_often_as_it_says():
    random = np.random.default_rng(8)
    p = [
        sharpe.sharpe_difference(
            0.05 + random.standard_t(6, size=800), 0.05 + random.standard_t(6, size=400), 252
        ).p
        for _ in range(800)
    ]
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.075
