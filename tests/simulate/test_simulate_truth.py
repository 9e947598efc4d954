"""The true coefficients: their intervals cover them, and their parts agree with plain definitions."""

import dataclasses

import bottleneck
import numpy as np
import pytest
from scipy import signal, stats

from kairos.simulate import expected_ic, market
from kairos.simulate.planted import CHARACTERISTICS, REVERSAL
from kairos.simulate.truth import response

SEEDS = 120


def newey_west_error(x, lags=5):
    """Standard error of a mean with Bartlett weights (Newey and West 1987)."""
    e = x - x.mean()
    variance = e @ e
    for k in range(1, lags + 1):
        variance += 2.0 * (1.0 - k / (lags + 1)) * (e[k:] @ e[:-k])
    return np.sqrt(variance) / len(x)


def daily_ic(characteristic, returns):
    """Spearman correlation of each session's cross-section."""
    seen = np.isfinite(characteristic) & np.isfinite(returns)
    enough = seen.sum(axis=1) > 2
    ranks = (
        bottleneck.nanrankdata(np.where(seen, x, np.nan)[enough], axis=1) for x in (characteristic, returns)
    )
    a, b = (rank - np.nanmean(rank, axis=1, keepdims=True) for rank in ranks)
    return np.nansum(a * b, axis=1) / np.sqrt(np.nansum(a * a, axis=1) * np.nansum(b * b, axis=1))


def test_daily_ic_is_spearman():
    m = market(tickers=40, years=1, seed=1)
    returns = m.closeadj[1:] / m.closeadj[:-1] - 1.0
    value = m.characteristics["value"][:-1]
    expected = [stats.spearmanr(value[t], returns[t], nan_policy="omit").statistic for t in range(20)]
    np.testing.assert_allclose(daily_ic(value, returns)[:20], expected, rtol=1e-12)


def test_premia_scale_what_is_planted():
    none, usual, twice = (market(tickers=40, years=1, seed=1, premia=factor) for factor in (0.0, 1.0, 2.0))
    assert list(expected_ic(none, triples=5_000).values()) == pytest.approx([0.0] * 5, abs=1e-12)
    assert not np.nansum(np.abs(none.expected_premium()))
    doubled = expected_ic(twice, triples=5_000)
    for name, coefficient in expected_ic(usual, triples=5_000).items():  # the reversal eats a part of it all
        assert 1.5 * abs(coefficient) <= abs(doubled[name]) <= 2.0 * abs(coefficient)
    for m in (none, twice):  # what is drawn stays; the reversal is the price's own
        np.testing.assert_array_equal(m.characteristics["value"], usual.characteristics["value"])
        np.testing.assert_array_equal(m.listings.last, usual.listings.last)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    """The 95 % interval of the mean daily IC covers the truth in 90 to 99 % of markets, zero included."""
    names = [item.name for item in CHARACTERISTICS]
    mean, error, truth = (np.empty((SEEDS, len(names))) for _ in range(3))
    for seed in range(SEEDS):
        m = market(tickers=150, years=2, seed=seed)
        returns = m.closeadj[1:] / m.closeadj[:-1] - 1.0
        expected = expected_ic(m, triples=50_000)
        for k, name in enumerate(names):
            ic = daily_ic(m.characteristics[name][:-1], returns)
            mean[seed, k], truth[seed, k] = ic.mean(), expected[name]
            error[seed, k] = stats.t.ppf(0.975, len(ic) - 1) * newey_west_error(ic)
    covered = (np.abs(mean - truth) <= error).mean(axis=0)
    assert ((covered >= 0.90) & (covered <= 0.99)).all(), dict(zip(names, covered, strict=True))
    bias = (mean - truth).mean(axis=0)
    uncertainty = (mean - truth).std(axis=0, ddof=1) / np.sqrt(SEEDS)
    assert (np.abs(bias) < 3.5 * uncertainty).all(), dict(zip(names, bias / uncertainty, strict=True))
    # the planted ones would not pass for nothing, and nothing not for them
    assert (np.abs(mean.mean(axis=0))[:4] > 10 * uncertainty[:4]).all()
    assert np.abs(mean.mean(axis=0)[4]) < 3.5 * uncertainty[4]


def test_signs():
    truth = expected_ic(market(tickers=200, years=2, seed=4))
    assert truth["leverage"] == 0.0
    assert truth["reversal"] < -0.01
    assert min(truth["value"], truth["quality"], truth["insider"]) > 0.005


def test_truth_does_not_read_the_sample():
    """Same listings and seed with all prices erased: the same coefficients."""
    m = market(tickers=100, years=1, seed=2)
    erased = dataclasses.replace(
        m,
        **{
            name: np.full_like(m.close, np.nan)
            for name in ("open", "high", "low", "close", "closeadj", "closeunadj")
        },
        characteristics={},
    )
    assert expected_ic(erased) == expected_ic(m)


def test_monte_carlo_error_of_the_triples_is_small():
    m = market(tickers=150, years=2, seed=1)
    few, many = expected_ic(m, triples=200_000), expected_ic(m, triples=2_000_000)
    for name in ("reversal", "value", "quality", "insider"):
        assert few[name] == pytest.approx(many[name], rel=0.01)


def test_closed_form_against_direct_draws():
    """One-session cross-sections drawn outright: equal betas, one sector."""
    m = market(tickers=60, years=1, seed=3)
    n = 60
    same = dataclasses.replace(
        m.listings,
        beta=np.ones(n),
        sector=np.zeros(n, dtype=np.int64),
        first=np.zeros(n, dtype=np.int64),
        last=np.full(n, 251),
    )
    expected = expected_ic(dataclasses.replace(m, listings=same))["insider"]
    rng = np.random.default_rng(0)
    draws = 60_000
    z = rng.standard_normal((3, draws, n))
    news = np.where(rng.random((draws, n)) < 0.04, 3.0, 1.0) / np.sqrt(0.96 + 0.04 * 9.0)
    own = same.idiosyncratic / np.sqrt(252) * news * rng.standard_normal((draws, n))
    lags = 2.0 ** (-np.arange(1, 22) / 42.0)
    insider = 0.0004 / (1.0 + 0.006 * lags.sum())  # what the reversal leaves of the premium
    # past sums differ between securities as their volatilities do; their part in the next return is small
    past = -0.006 * 0.88 * np.sqrt(21) * same.idiosyncratic / np.sqrt(252) * rng.standard_normal((draws, n))
    r = insider * z[0] + 0.0003 * (z[1] + z[2]) + own + past
    found = daily_ic(z[0], r)
    assert found.mean() == pytest.approx(expected, abs=4.5 * found.std() / np.sqrt(draws))
    assert found.std() / np.sqrt(draws) < 0.05 * expected


@pytest.mark.parametrize("persistence", [0.0, 0.9, 0.998])
@pytest.mark.parametrize("c", [0.0, REVERSAL.premium, 0.01])
def test_response_is_that_of_the_recursion(c, persistence):
    """Moments from the impulse response of r_t = noise_t + c·(r_t−1 + … + r_t−21), by SciPy's filter."""
    impulse = np.zeros(12_000)
    impulse[0] = np.sqrt(1.0 - persistence**2)
    noise = signal.lfilter([1.0], [1.0, -persistence], impulse)
    r = signal.lfilter([1.0], [1.0, *[-c] * 21], noise)
    past = signal.lfilter(np.ones(21), [1.0], r)
    found = response(c, persistence)
    assert found.now == pytest.approx(r @ r, rel=1e-6)
    assert found.past == pytest.approx(past @ past, rel=1e-6)
    assert found.joint == pytest.approx(past[:-1] @ r[1:], rel=1e-6, abs=1e-6)
