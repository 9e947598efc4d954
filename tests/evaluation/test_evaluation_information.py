from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kairos.errors import InputError
from kairos.evaluation import information as info
from kairos.evaluation.significance import cosine_se, newey_west_se


@pytest.fixture(scope="module")
def market():
    """Signal with ties and gaps, a forward return it knows something about, and members that come and go."""
    random = np.random.default_rng(7)
    shape = (60, 40)
    signal = random.normal(size=shape).round(1)
    forward = 0.002 * signal + 0.02 * random.standard_t(5, size=shape)
    signal[random.random(shape) < 0.1] = np.nan
    forward[random.random(shape) < 0.1] = np.nan
    members = random.random(shape) < 0.8
    members[5] = False
    members[6, 9:] = False
    signal[7] = 0.1
    signal[8, 3], forward[8, 4] = np.inf, -np.inf
    return np.asfortranarray(signal), np.asfortranarray(forward), np.asfortranarray(members)


def pairs(market, t):
    signal, forward, members = (panel[t] for panel in market)
    both = members & np.isfinite(signal) & np.isfinite(forward)
    return signal[both], forward[both]


@pytest.mark.parametrize(
    ("method", "oracle"), [("spearman", scipy.stats.spearmanr), ("pearson", scipy.stats.pearsonr)]
)
def test_information_coefficient_equals_scipy(market, method, oracle):
    found = info.information_coefficient(*market, method=method, min_names=10)
    for t, value in enumerate(found):
        x, y = pairs(market, t)
        if x.size < 10 or np.ptp(x) == 0.0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(oracle(x, y).statistic, abs=1e-12)
    assert np.isnan(found[[5, 6, 7]]).all()
    assert np.isfinite(found).sum() == 57


def test_min_names_is_a_limit_on_pairs(market):
    signal, forward, members = market
    counts = (members & np.isfinite(signal) & np.isfinite(forward)).sum(axis=1)
    found = info.information_coefficient(*market, min_names=int(np.median(counts)))
    varies = np.arange(60) != 7
    assert (np.isfinite(found) == (counts >= int(np.median(counts))) & varies).all()


def test_one_date_knows_nothing_of_another(market):
    whole = info.information_coefficient(*market)
    slopes = info.fama_macbeth(*market, horizon=1).slopes
    for lo, hi in ((0, 1), (0, 30), (17, 18), (20, 60)):
        part = tuple(panel[lo:hi] for panel in market)
        np.testing.assert_array_equal(info.information_coefficient(*part), whole[lo:hi])
        np.testing.assert_array_equal(info.fama_macbeth(*part, horizon=1).slopes, slopes[lo:hi])


values = hnp.arrays(np.float64, (3, 12), elements=st.one_of(st.integers(-20, 20), st.just(np.nan)))


@settings(deadline=None)
@given(values, values, hnp.arrays(bool, (3, 12)), st.permutations(range(12)), st.data())
def test_rank_coefficient_is_invariant(signal, forward, members, order, data):
    found = info.information_coefficient(signal, forward, members, min_names=3)
    rising = np.exp(signal / 10.0) * data.draw(st.sampled_from([0.25, 1.0, 8.0])) - 3.0
    same = info.information_coefficient(rising, forward * 4.0 + 1.0, members, min_names=3)
    np.testing.assert_array_equal(same, found)
    moved = info.information_coefficient(signal[:, order], forward[:, order], members[:, order], min_names=3)
    np.testing.assert_allclose(moved, found, atol=1e-14)
    opposite = info.information_coefficient(-signal, forward, members, min_names=3)
    np.testing.assert_allclose(opposite, -found, atol=1e-14)
    both_ways = info.information_coefficient(forward, signal, members, min_names=3)
    np.testing.assert_allclose(both_ways, found, atol=1e-14)


@settings(deadline=None)
@given(values, values)
def test_value_coefficient_is_invariant_to_scale_and_shift(signal, forward):
    everyone = np.full(signal.shape, True)
    found = info.information_coefficient(signal, forward, everyone, "pearson", 3)
    same = info.information_coefficient(signal * 8.0 + 5.0, forward / 4.0, everyone, "pearson", 3)
    np.testing.assert_allclose(same, found, atol=1e-12)


def test_a_planted_correlation_is_found():
    """Spearman's coefficient of normal pairs with correlation ρ is 6/π·asin(ρ/2)."""
    random = np.random.default_rng(3)
    signal, noise = random.normal(size=(2, 400, 500))
    for rho in (0.0, 0.05, -0.3):
        forward = 0.02 * (rho * signal + np.sqrt(1.0 - rho**2) * noise)
        everyone = np.full(signal.shape, True)
        truth = 6.0 / np.pi * np.arcsin(rho / 2.0)
        summary = info.summarise(info.information_coefficient(signal, forward, everyone), horizon=1)
        assert summary.mean == pytest.approx(truth, abs=4.0 * summary.se)
        assert summary.se < 0.003
        plain = info.information_coefficient(signal, forward, everyone, "pearson")
        assert plain.mean() == pytest.approx(rho, abs=0.01)


def test_intervals_cover_the_planted_coefficient():
    random = np.random.default_rng(14)
    covered = []
    truth = 6.0 / np.pi * np.arcsin(0.05 / 2.0)
    for _ in range(200):
        signal, noise = random.normal(size=(2, 80, 60))
        forward = 0.05 * signal + np.sqrt(1.0 - 0.05**2) * noise
        ic = info.information_coefficient(signal, forward, np.full(signal.shape, True))
        summary = info.summarise(ic, horizon=1)
        covered.append(summary.low <= truth <= summary.high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_summary_by_hand():
    found = info.summarise([0.1, np.nan, -0.1, 0.3, 0.1], horizon=2)
    assert found.mean == pytest.approx(0.1)
    assert found.std == pytest.approx(np.sqrt(0.08 / 3.0))
    assert found.icir == pytest.approx(0.1 / np.sqrt(0.08 / 3.0))
    assert (found.positive, found.n) == (0.75, 4)
    # deviations 0, –, −0.2, 0.2, 0: squares 0.08, neighbours −0.04 weighted ½ twice; times 4/3 over 16
    assert found.se == pytest.approx(np.sqrt((0.08 - 0.04) * 4.0 / 3.0 / 16.0))
    assert found.t == pytest.approx(0.1 / found.se)
    # 4 values are fewer than three horizons
    assert np.isnan([found.p, found.low, found.high]).all()


def test_p_and_interval_of_a_summary_are_those_of_cosines():
    ic = 0.05 + np.random.default_rng(9).normal(size=120)
    ic[40:50] = np.nan
    found = info.summarise(ic, horizon=10, level=0.9)
    error, freedom = cosine_se(ic, 10)
    assert freedom == 3  # 110 values hold three spans of three horizons
    assert found.p == pytest.approx(2.0 * scipy.stats.t.sf(abs(found.mean) / error, 3))
    expected = scipy.stats.t.interval(0.9, 3, found.mean, error)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.t == pytest.approx(found.mean / newey_west_se(ic, 9))


def test_summary_of_nothing():
    nothing = info.summarise([np.nan, np.nan], horizon=1)
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.std, nothing.icir, nothing.positive, nothing.t]).all()
    constant = info.summarise([0.1] * 5, horizon=1)
    assert (constant.std, constant.positive) == (0.0, 1.0)
    assert np.isnan(constant.icir)
    with pytest.raises(InputError, match="horizon = 0"):
        info.summarise([0.1], horizon=0)


def test_decay_uses_the_lags_of_each_horizon(market):
    signal, forward, members = market
    horizons = {1: forward, 5: -forward}
    found = info.decay(signal, horizons, members)
    ic = info.information_coefficient(signal, forward, members)
    assert list(found) == [1, 5]
    assert found[1] == info.summarise(ic, 1)
    assert found[5].mean == pytest.approx(-found[1].mean)
    assert found[5].se == pytest.approx(newey_west_se(ic, 4))


def test_by_group_counts_lags_in_sessions():
    ic = np.random.default_rng(1).normal(size=200)
    labels = np.where(np.arange(200) % 3 == 0, "bear", "bull")
    found = info.by_group(ic, labels, horizon=3)
    assert list(found) == ["bear", "bull"]
    assert found["bear"].n + found["bull"].n == 200
    assert found["bear"].mean == pytest.approx(ic[::3].mean())
    # bear days are three sessions apart: two lags never see a neighbour
    assert found["bear"].se == pytest.approx(ic[::3].std(ddof=1) / np.sqrt(67))
    with pytest.raises(InputError, match=r"labels has shape \(2,\)"):
        info.by_group(ic, np.array([1, 2]), horizon=1)


@pytest.mark.parametrize("moving", [False, True])
def test_by_sector_equals_members_of_the_sector(market, moving):
    signal, forward, members = market
    sectors = np.random.default_rng(2).integers(-1, 3, size=signal.shape if moving else signal.shape[1])
    found = info.by_sector(signal, forward, members, sectors, horizon=2, min_names=5)
    assert list(found) == [0, 1, 2]
    for sector, summary in found.items():
        inside = members & (np.broadcast_to(sectors, signal.shape) == sector)
        expected = info.summarise(info.information_coefficient(signal, forward, inside, min_names=5), 2)
        assert summary.n == expected.n > 0
        assert (summary.mean, summary.t) == pytest.approx((expected.mean, expected.t))


def test_fama_macbeth_equals_statsmodels(market):
    found = info.fama_macbeth(*market, horizon=5)
    expected = np.full(60, np.nan)
    for t in range(60):
        x, y = pairs(market, t)
        if x.size >= 10 and np.ptp(x) > 0.0:
            expected[t] = sm.OLS(y, sm.add_constant(x)).fit().params[1]
    np.testing.assert_allclose(found.slopes, expected, rtol=1e-9, atol=1e-13)
    signal, forward, members = (panel[9:] for panel in market)  # from here no date is missing
    tail = info.fama_macbeth(signal, forward, members, horizon=5)
    fit = sm.OLS(tail.slopes, np.ones(51)).fit(
        cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": True}, use_t=False
    )
    assert (tail.test.mean, tail.test.t) == pytest.approx((fit.params[0], fit.tvalues[0]))
    error, freedom = cosine_se(tail.slopes, 5)
    assert tail.test.p == pytest.approx(2.0 * scipy.stats.t.sf(abs(tail.test.mean) / error, freedom))


def test_constant_sides():
    """Equal signals have neither a slope nor a correlation; equal returns have the slope 0."""
    line, flat = np.arange(12.0)[None, :], np.full((1, 12), 0.1)
    everyone = np.full((1, 12), True)
    assert np.isnan(info.fama_macbeth(flat, line, everyone, horizon=1).slopes).all()
    assert info.fama_macbeth(line, flat, everyone, horizon=1).slopes.tolist() == [0.0]
    for method in ("spearman", "pearson"):
        assert np.isnan(info.information_coefficient(flat, line, everyone, method)).all()
        assert np.isnan(info.information_coefficient(line, flat, everyone, method)).all()


def test_fama_macbeth_finds_a_planted_slope():
    random = np.random.default_rng(8)
    signal = random.normal(size=(250, 200))
    market_move = 0.01 * random.normal(size=(250, 1))
    forward = market_move + 0.0015 * signal + 0.02 * random.normal(size=signal.shape)
    test = info.fama_macbeth(signal, forward, np.full(signal.shape, True), horizon=1).test
    assert test.mean == pytest.approx(0.0015, abs=4.0 * test.se)
    assert test.t > 10.0


def test_rank_autocorrelation_equals_scipy(market):
    signal, _, members = market
    found = info.rank_autocorrelation(signal, members, k=2)
    assert np.isnan(found[:2]).all()
    for t in range(10, 60):
        both = members[t] & members[t - 2] & np.isfinite(signal[t]) & np.isfinite(signal[t - 2])
        expected = scipy.stats.spearmanr(signal[t, both], signal[t - 2, both]).statistic
        assert found[t] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(info.rank_autocorrelation(signal, members, k=60)).all()
    with pytest.raises(InputError, match="k = 0"):
        info.rank_autocorrelation(signal, members, k=0)


def test_signal_correlation(market):
    signal, forward, members = market
    found = info.signal_correlation([signal, -signal, forward], members)
    np.testing.assert_array_equal(np.diag(found), 1.0)
    np.testing.assert_array_equal(found, found.T)
    assert found[0, 1] == pytest.approx(-1.0)
    assert found[0, 2] == pytest.approx(np.nanmean(info.information_coefficient(*market)))
    unknown = info.signal_correlation([signal, np.full_like(signal, np.nan)], members)
    assert np.isnan(unknown[0, 1])


def test_misaligned_panels_are_named(market):
    signal, forward, members = market
    with pytest.raises(InputError, match=r"forward has shape \(60, 39\) but signal has \(60, 40\)"):
        info.information_coefficient(signal, forward[:, 1:], members)
    with pytest.raises(InputError, match="signal has 1 dimensions"):
        info.fama_macbeth(signal[0], forward[0], members[0], horizon=1)
    with pytest.raises(InputError, match="method = 'kendall'"):
        info.information_coefficient(signal, forward, members, method="kendall")
    with pytest.raises(InputError, match="sectors has shape"):
        info.by_sector(signal, forward, members, np.zeros(3, dtype=int), horizon=1)
