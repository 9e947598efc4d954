from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from kairos.errors import InputError
from kairos.evaluation import bootstrap as boot
from kairos.evaluation.growth import max_drawdown
from kairos.evaluation.significance import mean_test


def autocorrelated(seed, n, phi=0.6):
    """A normal AR(1), the first 500 steps thrown away."""
    noise = np.random.default_rng(seed).normal(size=n + 500)
    return lfilter([1.0], [1.0, -phi], noise)[500:]


def clustered(seed, n, drift=0.0004):
    """Daily returns whose volatility comes in spells: a GARCH(1, 1) of 1 % a day."""
    noise = np.random.default_rng(seed).normal(size=n + 250)
    variance, returns = 1e-4, np.empty(n + 250)
    for t, shock in enumerate(noise):
        returns[t] = np.sqrt(variance) * shock
        variance = 2e-6 + 0.08 * returns[t] ** 2 + 0.90 * variance
    return drift + returns[250:]


def test_bootstrap_rows_are_blocks_of_the_series():
    rows = boot.stationary_bootstrap(50, 8.0, 2000, seed=1)
    assert rows.shape == (2000, 50)
    assert (rows.min(), rows.max()) == (0, 49)
    follows = rows[:, 1:] == (rows[:, :-1] + 1) % 50
    # a row follows its neighbour unless a block begins (1/8), and then by chance (1/50)
    assert follows.mean() == pytest.approx(7 / 8 + 1 / 8 / 50, abs=0.005)
    share = np.bincount(rows.ravel(), minlength=50) / rows.size
    np.testing.assert_allclose(share, 1 / 50, rtol=0.06)
    assert (
        boot.stationary_bootstrap(50, 8.0, 20, seed=1) == boot.stationary_bootstrap(50, 8.0, 20, seed=1)
    ).all()
    assert (
        boot.stationary_bootstrap(50, 8.0, 20, seed=1) != boot.stationary_bootstrap(50, 8.0, 20, seed=2)
    ).any()


def test_a_long_block_is_a_rotation():
    rows = boot.stationary_bootstrap(7, 1e12, 5, seed=3)
    for row in rows:
        assert row.tolist() == [(row[0] + step) % 7 for step in range(7)]


def test_bootstrap_interval_agrees_with_newey_west():
    series = 0.1 + autocorrelated(21, 2000)
    low, high = boot.bootstrap_interval(series, "mean", block=25, seed=1)
    test = mean_test(series, 25)
    assert (high - low) / (test.high - test.low) == pytest.approx(1.0, abs=0.12)
    assert (low + high) / 2.0 == pytest.approx(test.mean, abs=0.2 * test.se)


def test_bootstrap_interval_of_a_sharpe_ratio():
    """For independent normal returns it is the ratio ± 1.96 of Lo's errors."""
    series = np.random.default_rng(2).normal(0.1, 1.0, size=1500)
    low, high = boot.bootstrap_interval(series, "sharpe", block=1, seed=1)
    ratio = series.mean() / series.std(ddof=1)
    error = np.sqrt((1.0 + ratio**2 / 2.0) / 1500)
    assert (low, high) == pytest.approx((ratio - 1.96 * error, ratio + 1.96 * error), abs=0.2 * error)
    narrow = boot.bootstrap_interval(series, "sharpe", block=1, seed=1, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_refuses_what_it_cannot_do():
    assert np.isnan(boot.bootstrap_interval([0.1] * 9, "sharpe", block=2, seed=1)).all()
    assert boot.bootstrap_interval([0.25] * 9, "mean", block=2, seed=1) == (0.25, 0.25)
    with pytest.raises(InputError, match=r"series\[1\] is missing"):
        boot.bootstrap_interval([0.1, np.nan], "mean", block=2, seed=1)
    with pytest.raises(InputError, match=r"block = 0\.5"):
        boot.bootstrap_interval([0.1, 0.2], "mean", block=0.5, seed=1)


def automatic_by_definition(x):
    """The selection rule with one sum after the other."""
    T = len(x)
    if T < 4 or max(x) == min(x):
        return 1.0
    mean = sum(x) / T

    def autocovariance(k):
        return sum((x[t] - mean) * (x[t + k] - mean) for t in range(T - k)) / T

    run = max(5, math.ceil(math.sqrt(math.log10(T))))
    longest = min(math.ceil(math.sqrt(T)) + run, T - 1)
    limit = 2.0 * math.sqrt(math.log10(T) / T)
    rho = {k: autocovariance(k) / autocovariance(0) for k in range(1, longest + 1)}
    m = 0
    while any(abs(rho.get(m + k, 0.0)) >= limit for k in range(1, run + 1)):
        m += 1
    M = min(2 * max(m, 1), longest)

    def flat_top(s):
        return 1.0 if abs(s) <= 0.5 else 2.0 * (1.0 - abs(s))

    G = sum(flat_top(k / M) * abs(k) * autocovariance(abs(k)) for k in range(-M, M + 1))
    g = sum(flat_top(k / M) * autocovariance(abs(k)) for k in range(-M, M + 1))
    return min(max((2 * G**2 / (2 * g**2)) ** (1 / 3) * T ** (1 / 3), 1.0), min(3 * math.sqrt(T), T / 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 150), st.sampled_from([-0.5, 0.0, 0.4, 0.9]))
def test_block_length_equals_its_definition(seed, n, phi):
    series = 0.01 * autocorrelated(seed, n, phi)
    expected = max(automatic_by_definition(list(series)), automatic_by_definition(list(series**2)))
    assert boot.block_length(series) == pytest.approx(expected, rel=1e-8)


def test_block_length_of_an_autoregression_is_the_theoretical_one():
    """For an AR(1), G/g = 2φ/(1 − φ²), so that b = (2φ/(1 − φ²))^(2/3)·T^(1/3)."""
    found = np.median([boot._automatic(autocorrelated(seed, 4000, 0.5)) for seed in range(40)])
    assert found == pytest.approx((2 * 0.5 / (1 - 0.25)) ** (2 / 3) * 4000 ** (1 / 3), rel=0.2)


def test_block_length_sees_spells_of_volatility():
    independent = [boot.block_length(np.random.default_rng(s).normal(size=2500)) for s in range(20)]
    spells = [boot.block_length(clustered(s, 2500)) for s in range(20)]
    assert np.median(independent) < 4.0
    assert np.median(spells) > 15.0
    assert boot.block_length([0.01] * 50) == 1.0
    assert boot.block_length([0.01]) == 1.0


def test_bootstrap_of_a_drawdown_equals_its_definition():
    """Every resampled history by itself, with the drawdown of the room."""
    series = clustered(3, 400)
    low, high = boot.bootstrap_interval(series, "max_drawdown", block=10, seed=5, draws=300, level=0.8)
    rows = boot.stationary_bootstrap(400, 10, 300, (5, 0))
    depths = [max_drawdown(series[row]) for row in rows]
    assert (low, high) == pytest.approx(tuple(np.quantile(depths, [0.1, 0.9])), rel=1e-12)
    assert -1.0 < low < high <= 0.0


def test_drawdown_of_hand_made_histories():
    assert boot.bootstrap_interval([0.1, 0.2], "max_drawdown", block=1, seed=1) == (0.0, 0.0)
    assert boot.bootstrap_interval([-0.5], "max_drawdown", block=1, seed=1) == (-0.5, -0.5)
    # of three days the first loses everything in any order in which it is drawn
    low, high = boot.bootstrap_interval([-1.0, 0.1, 0.1], "max_drawdown", block=1, seed=1)
    assert (low, high) == (-1.0, 0.0)
    with pytest.raises(InputError, match="more than everything"):
        boot.bootstrap_interval([-1.5, 0.1], "max_drawdown", block=1, seed=1)


def test_intervals_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    """Chunks draw their own numbers; many small ones say the same within the noise of the draws."""
    series = clustered(7, 300)
    wide = boot.bootstrap_interval(series, "sharpe", block=5, seed=1, draws=8000)
    monkeypatch.setattr(boot, "_CELLS", 3000)
    small = boot.bootstrap_interval(series, "sharpe", block=5, seed=1, draws=8000)
    assert small == pytest.approx(wide, abs=0.05 * (wide[1] - wide[0]))
    again = boot.bootstrap_interval(series, "sharpe", block=5, seed=1, draws=8000)
    assert again == small


def coverage(make, truth, statistic, n, trials, draws, level=0.9):
    inside = []
    for seed in range(trials):
        series = make(seed, n)
        low, high = boot.bootstrap_interval(
            series, statistic, block=boot.block_length(series), seed=seed, draws=draws, level=level
        )
        inside.append(low <= truth(seed) <= high)
    return float(np.mean(inside))


def test_sharpe_interval_covers_the_truth():
    """Autocorrelated returns: a Sharpe ratio of 0.1 a day, covered by about 90 % of intervals of 90 %."""

    def make(seed, n):
        return 0.1 + autocorrelated(seed, n, 0.3) * np.sqrt(1 - 0.09)

    assert 0.80 <= coverage(make, lambda _: 0.1, "sharpe", 500, 150, 200) <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "truth"),
    [(clustered, 0.04), (lambda seed, n: 0.03 + autocorrelated(seed, n, 0.2), 0.03 * np.sqrt(1 - 0.04))],
    ids=["spells of volatility", "autocorrelation"],
)
def test_sharpe_interval_covers_the_truth_at_length(make, truth):
    """Ten years, 400 histories."""
    assert 0.86 <= coverage(make, lambda _: truth, "sharpe", 2500, 400, 400) <= 0.94


@pytest.mark.slow
def test_drawdown_interval_covers_that_of_another_history():
    """90 % of other histories of the same kind should lie within; the observed mean is not the true one, so
    the interval is somewhat too narrow."""
    found = coverage(
        clustered, lambda seed: max_drawdown(clustered(seed + 10**6, 2500)), "max_drawdown", 2500, 400, 400
    )
    assert 0.72 <= found <= 0.94


def test_drawdown_interval_covers_that_of_another_history_in_short():
    found = coverage(
        lambda seed, n: 0.01 * np.random.default_rng(seed).standard_t(5, size=n),
        lambda seed: max_drawdown(0.01 * np.random.default_rng(seed + 10**6).standard_t(5, size=500)),
        "max_drawdown",
        500,
        200,
        200,
    )
    assert 0.65 <= found <= 0.95


@pytest.mark.bench
def test_a_thousand_draws_of_ten_years_take_less_than_a_second():
    series = clustered(1, 2500)
    boot.block_length(series)
    for statistic in ("sharpe", "max_drawdown"):
        begin = time.perf_counter()
        boot.bootstrap_interval(series, statistic, block=20, seed=1, draws=1000)
        assert time.perf_counter() - begin < 1.0
