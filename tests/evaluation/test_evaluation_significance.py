from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kairos.errors import InputError
from kairos.evaluation import significance as sig
from kairos.evaluation.bootstrap import stationary_bootstrap


def autocorrelated(seed: int, n: int, phi: float = 0.6) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    series = np.empty(n)
    series[0] = noise[0] / np.sqrt(1.0 - phi**2)
    for t in range(1, n):
        series[t] = phi * series[t - 1] + noise[t]
    return series


@pytest.mark.parametrize("lags", [0, 1, 4, 20])
def test_newey_west_equals_statsmodels(lags):
    series = 0.2 + autocorrelated(lags, 300)
    fit = sm.OLS(series, np.ones(series.size)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=False
    )
    found = sig.mean_test(series, lags)
    assert found.se == pytest.approx(fit.bse[0], rel=1e-10)
    assert found.t == pytest.approx(fit.tvalues[0], rel=1e-10)
    assert found.p == pytest.approx(fit.pvalues[0], rel=1e-8)
    np.testing.assert_allclose([found.low, found.high], fit.conf_int()[0], rtol=1e-10)
    assert (found.mean, found.n) == (pytest.approx(series.mean()), 300)


@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=4, max_size=40), st.integers(0, 3))
def test_newey_west_with_gaps_equals_its_definition(values, lags):
    series = [np.nan if value is None else value / 8.0 for value in values]
    existing = [x for x in series if not np.isnan(x)]
    n = len(existing)
    found = sig.newey_west_se(series, lags)
    if n < 2 or n <= lags + 1:
        assert np.isnan(found)
        return
    mean = sum(existing) / n
    total = 0.0
    for s, x in enumerate(series):
        for t, y in enumerate(series):
            if abs(s - t) <= lags and not np.isnan(x) and not np.isnan(y):
                total += (1.0 - abs(s - t) / (lags + 1)) * (x - mean) * (y - mean)
    expected = total / n**2 * n / (n - 1)
    assert found**2 == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_gaps_at_the_ends_change_nothing():
    series = autocorrelated(8, 100)
    padded = np.concatenate([[np.nan] * 5, series, [np.inf] * 7])
    assert sig.newey_west_se(padded, 4) == pytest.approx(sig.newey_west_se(series, 4), rel=1e-12)


def test_what_cannot_be_tested():
    constant = sig.mean_test([0.1] * 10, 2)
    assert (constant.se, constant.low, constant.high) == (0.0, constant.mean, constant.mean)
    assert np.isnan(constant.t)
    assert np.isnan(constant.p)
    nothing = sig.mean_test([np.nan, np.nan], 0)
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.se, nothing.t, nothing.p, nothing.low, nothing.high]).all()
    assert np.isnan(sig.mean_test([1.0, 2.0, 3.0], 2).t)
    with pytest.raises(InputError, match="lags = -1"):
        sig.newey_west_se([1.0, 2.0], -1)
    with pytest.raises(InputError, match="level = 95"):
        sig.mean_test([1.0, 2.0], 0, level=95)


def test_newey_west_on_overlapping_returns():
    """A zero mean of returns over five sessions: without lags the interval is far too short, with h − 1 it is
    short by the √0.68 of Bartlett's weights, with more it covers."""
    random = np.random.default_rng(2)
    series = [np.convolve(random.normal(size=604), np.ones(5), mode="valid") for _ in range(1500)]
    covered, size = {}, {}
    for lags in (0, 4, 16):
        tests = [sig.mean_test(overlapping, lags) for overlapping in series]
        covered[lags] = np.mean([test.low <= 0.0 <= test.high for test in tests])
        size[lags] = np.mean([test.se for test in tests]) / (5.0 / np.sqrt(600.0))
    assert covered[0] < 0.7
    assert size[4] == pytest.approx(np.sqrt(0.68), abs=0.02)
    assert 0.91 <= covered[16] <= 0.96


@pytest.mark.parametrize(
    ("n", "horizon", "cosines"),
    [(756, 1, 33), (735, 21, 11), (252, 5, 15), (30, 1, 4), (10, 1, 3), (100, 21, 1), (3, 1, 1)],
)
def test_cosine_error_by_its_definition(n, horizon, cosines):
    """Lazarus et al. (2018), equations of the equal-weighted cosine estimator, term by term."""
    series = 0.1 + autocorrelated(n, n)
    projections = [
        np.sqrt(2.0 / n) * sum(series[t - 1] * np.cos(np.pi * j * (t - 0.5) / n) for t in range(1, n + 1))
        for j in range(1, cosines + 1)
    ]
    variance = sum(value**2 for value in projections) / cosines
    t = np.sqrt(n) * np.mean(series) / np.sqrt(variance)
    error, freedom = sig.cosine_se(series, horizon)
    assert freedom == cosines
    assert error == pytest.approx(np.sqrt(variance / n), rel=1e-9)
    found = sig.overlap_test(series, horizon, level=0.9)
    assert found.p == pytest.approx(2.0 * scipy.stats.t.sf(abs(t), cosines), rel=1e-8)
    expected = scipy.stats.t.interval(0.9, cosines, np.mean(series), error)
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-8)
    usual = sig.mean_test(series, horizon - 1)
    np.testing.assert_array_equal(
        [found.mean, found.se, found.t, found.n], [usual.mean, usual.se, usual.t, n]
    )


def test_cosine_error_leaves_gaps_out():
    series = autocorrelated(4, 120)
    gapped = np.insert(series, [0, 0, 30, 31, 90, 120], [np.nan, np.inf, np.nan, np.nan, -np.inf, np.nan])
    assert sig.cosine_se(gapped, 3) == sig.cosine_se(series, 3)


def test_what_has_no_cosine_error():
    found = sig.overlap_test([0.1] * 30, horizon=5)
    assert (found.low, found.high) == (found.mean, found.mean)
    assert np.isnan(found.p)
    few = sig.overlap_test(autocorrelated(1, 14), horizon=5)  # Newey and West still have an error
    assert np.isfinite([few.mean, few.se, few.t]).all()
    assert np.isnan([few.p, few.low, few.high]).all()
    assert np.isnan(sig.overlap_test([np.nan, np.nan], 1).p)
    with pytest.raises(InputError, match="horizon = 0"):
        sig.overlap_test([1.0, 2.0, 3.0], 0)
    with pytest.raises(InputError, match="level = 95"):
        sig.overlap_test([1.0, 2.0, 3.0], 1, level=95)


def nominal(found, tests):
    """Within what chance leaves to a sound test at 5 %, in 999 of 1000 runs."""
    return scipy.stats.binom.ppf(0.0005, tests, 0.05) <= found <= scipy.stats.binom.ppf(0.9995, tests, 0.05)


@pytest.mark.parametrize(("n", "horizon"), [(750, 1), (750, 5), (735, 21), (252, 21), (100, 21), (60, 1)])
def test_overlapping_means_are_found_as_often_as_promised(n, horizon):
    """Sums over the horizon of noise, a slow signal's case, at any length; Newey and West find more."""
    random, tests = np.random.default_rng(horizon), 1000
    series = [
        np.convolve(random.normal(size=n + horizon - 1), np.ones(horizon), "valid") for _ in range(tests)
    ]
    found = [sig.overlap_test(one, horizon) for one in series]
    assert nominal(sum(test.p < 0.05 for test in found), tests)
    assert all((test.p < 0.05) == (not test.low <= 0.0 <= test.high) for test in found)
    usual = sum(abs(test.t) > 1.96 for test in found)
    assert nominal(usual, tests) == (horizon == 1)


def test_a_long_memory_is_tested_best_with_its_length():
    """AR(1) of 0.9, where no lag is enough: near the level with a horizon of several half-lives."""
    series = [autocorrelated(seed, 750, 0.9) for seed in range(600)]
    found = {h: np.mean([sig.overlap_test(one, h).p < 0.05 for one in series]) for h in (1, 25)}
    usual = np.mean([sig.mean_test(one, 24).p < 0.05 for one in series])
    assert found[25] < found[1] < 0.15
    assert found[25] < 0.08 < usual


def test_an_effect_is_found_nearly_as_often_as_with_a_known_error():
    """A mean of three true errors: Student's t costs little where the normal test finds 85 %."""
    random, h, n = np.random.default_rng(3), 21, 735
    noise = [np.convolve(random.normal(size=n + h - 1), np.ones(h), "valid") for _ in range(500)]
    found = np.mean([sig.overlap_test(3.0 * h / np.sqrt(n) + one, h).p < 0.05 for one in noise])
    expected = scipy.stats.nct.sf(scipy.stats.t.isf(0.025, 11), 11, 3.0)
    assert found == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("t", [0.0, 0.5, -1.96, 3.3, 8.0])
def test_p_value_equals_scipy(t):
    assert sig.two_sided_p(t) == pytest.approx(2.0 * scipy.stats.norm.sf(abs(t)), rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_holm_equals_statsmodels(n):
    p_values = np.random.default_rng(n).random(n).round(1) ** 3  # with ties, 0 and 1
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(sig.holm(p_values), expected, rtol=1e-12, atol=1e-300)


def test_holm_leaves_missing_tests_out():
    found = sig.holm([0.01, np.nan, 0.04])
    assert found[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])
    with pytest.raises(InputError, match="between 0 and 1"):
        sig.holm([0.5, 1.5])


def romano_wolf_definition(panel, block, seed, draws):
    """Algorithm 4.2 of Romano and Wolf (2016), one hypothesis after the other."""
    rows = stationary_bootstrap(len(panel), block, draws, seed)
    resampled = np.array([np.nanmean(panel[row], axis=0) for row in rows])
    mean, error = np.nanmean(panel, axis=0), resampled.std(axis=0, ddof=1)
    t, deviations = np.abs(mean / error), np.abs((resampled - mean) / error)
    adjusted, last, left = np.full(len(t), np.nan), 0.0, list(range(len(t)))
    while left:
        best = max(left, key=lambda s: t[s])
        exceed = sum(max(draw[s] for s in left) >= t[best] for draw in deviations)
        last = max(last, (1 + exceed) / (draws + 1))
        adjusted[best] = last
        left.remove(best)
    return adjusted


def test_romano_wolf_equals_its_definition():
    random = np.random.default_rng(6)
    panel = random.normal([0.0, 0.2, 0.1, 0.0, 0.13], 1.0, size=(250, 5)) + random.normal(size=(250, 1)) * 0.5
    panel[random.random(panel.shape) < 0.1] = np.nan
    expected = romano_wolf_definition(panel, 5.0, 3, 400)
    np.testing.assert_allclose(sig.romano_wolf(panel, block=5.0, seed=3, draws=400), expected, rtol=1e-12)


def test_romano_wolf_between_a_single_test_and_holm():
    random = np.random.default_rng(11)
    series = random.normal(0.08, 1.0, size=800)
    single = sig.romano_wolf(series[:, None], block=1, seed=1, draws=5000)[0]
    assert single == pytest.approx(sig.mean_test(series, 0).p, abs=0.01)
    copies = sig.romano_wolf(np.repeat(series[:, None], 10, axis=1), block=1, seed=1, draws=5000)
    np.testing.assert_allclose(copies, single)  # ten times the same signal is one signal
    others = sig.romano_wolf(
        np.column_stack([series, random.normal(size=(800, 9))]), block=1, seed=1, draws=5000
    )
    assert others[0] == pytest.approx(1.0 - (1.0 - single) ** 10, abs=0.03)


def test_romano_wolf_keeps_the_error_rate():
    """Ten worthless signals: in about 5 % of markets is any called significant at 5 %."""
    random = np.random.default_rng(10)
    found = [
        sig.romano_wolf(random.normal(size=(150, 10)), block=1, seed=seed, draws=300).min() <= 0.05
        for seed in range(300)
    ]
    assert 0.02 <= np.mean(found) <= 0.09


def test_romano_wolf_on_what_cannot_be_tested():
    panel = np.random.default_rng(1).normal(size=(60, 3))
    panel[:, 1] = 0.1
    panel[5:, 2] = np.nan
    found = sig.romano_wolf(panel, block=1, seed=1, draws=500)
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()
    alone = sig.romano_wolf(panel[:, :1], block=1, seed=1, draws=500)
    assert found[0] == alone[0]
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        sig.romano_wolf([0.1, 0.2, 0.3], block=1, seed=1)


def test_lag_rule_by_hand():
    assert [sig.lag_rule(n) for n in (1, 100, 252, 1000, 2520)] == [1, 4, 4, 6, 8]
