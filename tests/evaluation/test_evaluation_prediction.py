from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import scipy.stats

from kairos.errors import InputError
from kairos.evaluation import prediction
from kairos.evaluation.bootstrap import stationary_bootstrap
from kairos.evaluation.significance import holm

SETTINGS = {"min_days": 10, "block": 5.0, "draws": 200, "level": 0.9, "seed": 3}


def panels(seed: int, n_months: int = 5, n_names: int = 4, gaps: float = 0.08):
    """Returns, baseline and what a model adds, with gaps, months of unequal length and a zero model."""
    random = np.random.default_rng(seed)
    months = np.repeat(np.arange(n_months), random.integers(14, 24, n_months))
    shape = (len(months), n_names)
    baseline, residual = 0.009 * random.normal(size=shape), 0.01 * random.normal(size=shape)
    added = 0.3 * residual + 0.004 * random.normal(size=shape)
    added[months == 1, 0] = 0.0
    for panel in (baseline, residual, added):
        panel[random.random(shape) < gaps / 3] = np.nan
    residual[months == 2, 1:2] = np.nan
    return baseline + residual, baseline, added, months


def pearson(a, p):
    constant = len(a) < 2 or np.ptp(a) == 0.0 or np.ptp(p) == 0.0
    return np.nan if constant else scipy.stats.pearsonr(a, p).statistic


def definition(a, p):
    """All scores of one name and month, by other means."""
    nonzero = (a != 0.0) & (p != 0.0)
    rank = np.nan if np.isnan(pearson(a, p)) else scipy.stats.spearmanr(a, p).statistic
    return {
        "ic": pearson(a, p),
        "rank_ic": rank,
        "r2": 1.0 - np.sum((a - p) ** 2) / np.sum(a**2),
        "mse": np.mean((a - p) ** 2),
        "hit_rate": np.mean(np.sign(a[nonzero]) == np.sign(p[nonzero])),
        "n": len(a),
    }


def test_scores_equal_their_definitions():
    outcome, baseline, added, months = panels(1)
    forecast = np.round(baseline + added, 3)  # with ties
    forecast[5, 0] = outcome[6, 0] = 0.0
    found = prediction.scores(outcome, forecast, months)
    long = pd.DataFrame(
        {
            "month": np.repeat(months, outcome.shape[1]),
            "name": np.tile(np.arange(outcome.shape[1]), len(outcome)),
            "a": outcome.ravel(),
            "p": forecast.ravel(),
        }
    ).dropna()
    for (month, name), rows in long.groupby(["month", "name"]):
        for score, value in definition(rows["a"].to_numpy(), rows["p"].to_numpy()).items():
            assert getattr(found, score)[month, name] == pytest.approx(value, rel=1e-10), score
    assert found.n[2, 1] == 0
    assert np.isnan([found.ic[2, 1], found.r2[2, 1], found.mse[2, 1], found.hit_rate[2, 1]]).all()


def test_scores_by_hand():
    outcome = np.array([[0.01, 0.01], [-0.02, 0.01], [0.0, 0.01], [0.03, np.nan]])
    forecast = np.array([[0.02, 0.03], [0.01, 0.01], [0.05, 0.02], [0.03, 0.01]])
    found = prediction.scores(outcome, forecast, np.zeros(4))
    assert found.hit_rate[0].tolist() == pytest.approx([2 / 3, 1.0])  # the day of a zero return doesn't count
    assert found.mse[0, 0] == pytest.approx((1e-4 + 9e-4 + 25e-4) / 4)
    assert found.r2[0, 0] == pytest.approx(1 - 35 / 14)
    assert np.isnan([found.ic[0, 1], found.rank_ic[0, 1]]).all()  # a constant side has no correlation
    assert found.n[0].tolist() == [4, 3]


def test_a_tiny_spread_on_a_large_level_is_not_constant():
    random = np.random.default_rng(2)
    outcome, forecast = random.normal(size=(2, 30, 1))
    near = prediction.scores(1e6 + outcome, 1e6 + forecast, np.zeros(30)).ic[0, 0]
    assert near == pytest.approx(scipy.stats.pearsonr(outcome[:, 0], forecast[:, 0]).statistic, abs=1e-8)


@pytest.mark.parametrize("months", [np.array([0, 1, 0]), np.array([0, 0])])
def test_months_must_be_runs_of_days(months):
    with pytest.raises(InputError, match="months"):
        prediction.scores(np.zeros((3, 1)), np.zeros((3, 1)), months)


def improvement_of(a, b, q):
    exists = np.isfinite(a) & np.isfinite(b) & np.isfinite(q)
    a, b, q = a[exists], b[exists], q[exists]
    if len(a) < SETTINGS["min_days"]:
        return np.nan
    return 0.0 if not q.any() else pearson(a, b + q) - pearson(a, b)


def by_month(outcome, baseline, added, months):
    """Improvements (months, names), one after the other."""
    return np.array(
        [
            [improvement_of(a[months == month], b[months == month], q[months == month])
             for a, b, q in zip(outcome.T, baseline.T, added.T, strict=True)]
            for month in range(months[-1] + 1)
        ]
    )  # fmt: skip


def test_monthly_improvements_equal_their_definition():
    data = panels(4)
    found = prediction.compare(*data, **SETTINGS)
    expected = by_month(*data)
    np.testing.assert_allclose(found.monthly, expected, atol=1e-12)
    assert found.monthly[1, 0] == 0.0  # the zero model counts, as no improvement
    assert np.isnan(found.monthly[2, 1])  # no day, no month
    np.testing.assert_allclose(found.each.value, np.nanmean(expected, axis=0))
    assert found.each.n_months.tolist() == (~np.isnan(expected)).sum(axis=0).tolist()
    assert found.overall.value[0] == pytest.approx(np.nanmean(np.nanmean(expected, axis=1)))


def test_a_month_counts_from_min_days_on():
    outcome, baseline, added, months = panels(5, n_names=1, gaps=0.0)
    rows = np.flatnonzero(months == 3)
    for days, counts in ((9, False), (10, True)):
        short = added.copy()
        short[rows[days:]] = np.nan
        found = prediction.compare(outcome, baseline, short, months, **SETTINGS)
        assert found.each.n_months[0] == 4 + counts
        assert np.isnan(found.monthly[3, 0]) != counts


def reference(outcome, baseline, added, months):
    """Resampled values of all names, draw by draw, and of their mean."""
    rows = stationary_bootstrap(len(months), SETTINGS["block"], SETTINGS["draws"], SETTINGS["seed"])
    each, overall = [], []
    for row in rows:
        monthly = by_month(outcome[row], baseline[row], added[row], months)
        each.append(np.nanmean(monthly, axis=0))
        overall.append(np.nanmean(np.nanmean(monthly, axis=1)))
    return np.array(each), np.array(overall)


def test_resampled_histories_equal_their_definition(monkeypatch):
    data = panels(6)
    each, overall = reference(*data)
    value = np.nanmean(by_month(*data), axis=0)
    noise = each - each.mean(axis=0)
    monkeypatch.setattr(prediction, "_CHUNK", 40_000)  # several blocks of draws
    found = prediction.compare(*data, **SETTINGS)
    np.testing.assert_allclose(found.each.noise, noise, atol=1e-12)
    np.testing.assert_allclose(found.each.se, each.std(axis=0, ddof=1))
    np.testing.assert_allclose(found.each.t, value / each.std(axis=0, ddof=1))
    np.testing.assert_allclose(found.each.p, scipy.stats.norm.sf(value / each.std(axis=0, ddof=1)))
    np.testing.assert_allclose(found.each.holm, holm(found.each.p))
    np.testing.assert_allclose(found.each.low, value + np.quantile(noise, 0.05, axis=0))
    np.testing.assert_allclose(found.each.high, value + np.quantile(noise, 0.95, axis=0))
    np.testing.assert_allclose(found.overall.noise[:, 0], overall - overall.mean(), atol=1e-12)
    np.testing.assert_allclose(found.each.chance_of(0.02), (noise >= 0.02).mean(axis=0))


def test_the_draws_are_the_same_for_all_names():
    outcome, baseline, added, months = panels(7, gaps=0.0)
    twice = [np.column_stack([panel, panel[:, ::-1]]) for panel in (outcome, baseline, added)]
    found, alone = (
        prediction.compare(*data, months, **SETTINGS) for data in (twice, (outcome, baseline, added))
    )
    np.testing.assert_allclose(found.each.noise[:, 4:], found.each.noise[:, 3::-1], atol=1e-13)
    np.testing.assert_allclose(found.each.noise[:, :4], alone.each.noise, atol=1e-13)
    np.testing.assert_allclose(found.each.stepwise[:4], alone.each.stepwise)  # copies cost nothing
    np.testing.assert_allclose(found.overall.value, alone.overall.value)


def test_a_model_that_adds_nothing_has_no_interval():
    outcome, baseline, added, months = panels(8)
    added[:, 0] = 0.0
    added[:, 1] = np.nan
    found = prediction.compare(outcome, baseline, added, months, **SETTINGS).each
    assert found.value[0] == 0.0
    assert np.isnan(found.value[1])
    for part in (found.se, found.t, found.low, found.high, found.p, found.stepwise, found.holm):
        assert np.isnan(part).tolist() == [True, True, False, False]
    assert found.n_months.tolist()[:2] == [5, 0]
    chance = found.chance_of(0.04)
    assert chance[0] == 0.0
    assert np.isnan(chance[1])


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"min_days": 1}, {"draws": 1}, {"block": 0.5}])
def test_compare_refuses_what_it_cannot_do(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        prediction.compare(*panels(9), **{**SETTINGS, **wrong})


def test_stepwise_equals_its_definition():
    random = np.random.default_rng(10)
    t = np.array([1.2, 3.1, np.nan, -0.5, 2.2, 2.1])
    noise = random.normal(size=(500, 6)) + 0.8 * random.normal(size=(500, 1))
    expected, left, last = np.full(6, np.nan), [0, 1, 3, 4, 5], 0.0
    while left:
        best = max(left, key=lambda name: t[name])
        last = max(last, (1 + sum(max(draw[left]) >= t[best] for draw in noise)) / 501)
        expected[best] = last
        left.remove(best)
    np.testing.assert_allclose(prediction.stepwise(t, noise), expected)


def test_expanding_mean_equals_pandas():
    monthly = np.random.default_rng(11).normal(size=(12, 3))
    monthly[[0, 4, 5], [0, 1, 1]] = np.nan
    expected = pd.DataFrame(monthly).expanding(3).mean().shift().to_numpy()
    np.testing.assert_allclose(prediction.expanding_mean(monthly, 3), expected, atol=1e-14)


def test_slope_forecast_equals_its_definition():
    random = np.random.default_rng(12)
    days = np.arange("2023-01-01", "2024-12-31", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    days, months = days[months != np.datetime64("2023-06")], months[months != np.datetime64("2023-06")]
    y, x = random.normal(size=(2, len(days), 2))
    x[random.random(x.shape) < 0.1] = np.nan
    found = prediction.slope_forecast(y, x, months, 4, 80)
    for month in np.unique(months):
        past = (months < month) & (months >= month - 4)
        for n in range(2):
            known = past & ~np.isnan(x[:, n])
            slope = np.nan
            if known.sum() >= 80:
                slope = np.linalg.lstsq(x[known, n][:, None], y[known, n], rcond=None)[0][0]
            np.testing.assert_allclose(found[months == month, n], slope * x[months == month, n], rtol=1e-9)
    early = months < np.datetime64("2024-06")
    cut = prediction.slope_forecast(y[early], x[early], months[early], 4, 80)
    np.testing.assert_array_equal(cut, found[early])  # nothing of the future is in it


BASELINE_IC = 0.6
PLANTED = (0.5, 0.4)  # an improvement of 0.10


def market(random, strengths, n_months=13, n_days=21):
    """A desk with planted improvements: returns, baseline, forecasts of fitted models, months, and the truth.

    Returns have a common volatility that clusters. The model of a month adds w·u to the baseline, with
    correlation k to the residual; months differ in k, and some have the zero model. For variances v of the
    baseline and 1 of the residual, the IC on a long future of that month's model is
    (v + w·k)/√((v + w²)(v + 1)).
    """
    n = n_months * n_days
    log_volatility = scipy.signal.lfilter([0.08], [1.0, -0.97], random.normal(size=n))
    scale = 0.01 * np.exp(log_volatility)[:, None]
    v = BASELINE_IC**2 / (1.0 - BASELINE_IC**2)
    common = random.normal(size=(n, 1))
    residual = 0.4 * common + np.sqrt(0.84) * random.normal(size=(n, len(strengths)))
    baseline = np.sqrt(v) * random.normal(size=(n, 1)) * np.ones(len(strengths))
    k, w = np.array([k for k, _ in strengths]), np.array([w for _, w in strengths])
    k = np.where(w > 0.0, k, 0.0) + 0.08 * random.normal(size=(n_months, len(strengths)))
    w = w * (random.random((n_months, len(strengths))) < 0.85)
    truth = np.mean((v + w * k) / np.sqrt((v + w**2) * (v + 1)) - BASELINE_IC, axis=0)
    k_of, w_of = np.repeat(k, n_days, axis=0), np.repeat(w, n_days, axis=0)
    u = k_of * residual + np.sqrt(1.0 - k_of**2) * random.normal(size=residual.shape)
    months = np.repeat(np.arange(n_months), n_days)
    return scale * (baseline + residual), scale * baseline, scale * w_of * u, months, truth


def boundary(w: float) -> float:
    """Correlation with the residual at which adding w·u leaves the IC as it is."""
    v = BASELINE_IC**2 / (1.0 - BASELINE_IC**2)
    return (np.sqrt(v * (v + w * w)) - v) / w


def study(n_desks, strengths, draws, seed):
    random = np.random.default_rng(seed)
    covered, told = [], []
    for _ in range(n_desks):
        *data, truth = market(random, strengths)
        found = prediction.compare(
            *data, min_days=10, block=10.0, draws=draws, level=0.9, seed=int(random.integers(2**31))
        ).each
        covered.append((found.low <= truth) & (truth <= found.high))
        told.append(found.stepwise <= 0.05)
    return np.array(covered), np.array(told)


STRENGTHS = [(0.6, 0.5), (0.3, 0.3), (0.2, 0.15), (boundary(0.3), 0.3)]


def test_intervals_cover_what_the_fitted_models_are_worth():
    covered, _ = study(120, STRENGTHS, 300, seed=1)
    assert abs(covered.mean() - 0.9) <= 3.0 * np.sqrt(0.09 / covered.size)


def test_luck_is_told_from_skill():
    n = 100
    _, nothing = study(n, [(boundary(w), w) for w in (0.2, 0.3, 0.4, 0.5)], 300, seed=2)
    assert nothing.any(axis=1).mean() <= 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / n)
    _, _, _, _, truth = market(np.random.default_rng(0), [PLANTED] * 2000, n_days=1)
    assert truth.mean() == pytest.approx(0.10, abs=0.005)
    _, one = study(n, [PLANTED, *[(boundary(0.3), 0.3)] * 3], 300, seed=3)
    assert one[:, 0].mean() >= 0.8


@pytest.mark.slow
def test_intervals_and_tests_at_length():
    covered, _ = study(600, STRENGTHS, 1000, seed=4)
    assert abs(covered.mean() - 0.9) <= 3.0 * np.sqrt(0.09 / covered.size)
    _, nothing = study(600, [(boundary(w), w) for w in (0.2, 0.3, 0.4, 0.5)], 1000, seed=5)
    assert nothing.any(axis=1).mean() <= 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / 600)
