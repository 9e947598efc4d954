"""Covariance estimators against sklearn, NumPy and a planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.equity.backtest.covariance import covariance
from kairos.errors import InputError

ESTIMATORS = ["exponential", "factor", "ledoit_wolf", "shrunk"]


def sample(seed=0, sessions=60, n=40):
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0, 0.01, (sessions, 1)) * rng.normal(1.0, 0.3, n)
    return market + rng.normal(size=(sessions, n)) * rng.uniform(0.01, 0.03, n)


def test_shrunk_is_the_sample_with_smaller_covariances():
    x = sample()
    S = np.cov(x, rowvar=False)
    np.testing.assert_allclose(covariance(x).dense(), 0.7 * S + 0.3 * np.diag(np.diag(S)), atol=1e-16)


@pytest.mark.parametrize(("sessions", "n"), [(60, 40), (60, 300), (30, 5)])
def test_ledoit_wolf_is_sklearns(sessions, n):
    sklearn = pytest.importorskip("sklearn.covariance")
    x = sample(1, sessions, n)
    expected = sklearn.LedoitWolf().fit(x).covariance_ * sessions / (sessions - 1)  # it divides by T
    np.testing.assert_allclose(covariance(x, "ledoit_wolf").dense(), expected, atol=1e-14)


def test_exponential_weights():
    x = sample(2)
    d = x - x.mean(axis=0)
    weight = 0.5 ** (np.arange(60)[::-1] / 20.0)
    S = (d * (weight / weight.sum())[:, None]).T @ d * 60 / 59
    found = covariance(x, "exponential").dense()
    np.testing.assert_allclose(found, 0.7 * S + 0.3 * np.diag(np.diag(S)), atol=1e-16)


def test_factors_are_the_principal_components():
    x = sample(3)
    S = np.cov(x, rowvar=False)
    size, axes = np.linalg.eigh(S)
    common = (axes[:, -10:] * size[-10:]) @ axes[:, -10:].T
    found = covariance(x, "factor")
    np.testing.assert_allclose(found.factor.T @ found.factor, common, atol=1e-15)
    np.testing.assert_allclose(
        found.variance, np.maximum(np.diag(S), np.diag(common) + 0.05 * np.diag(S)), rtol=1e-9
    )


@pytest.mark.parametrize("estimator", ["factor", "ledoit_wolf"])
def test_a_planted_market_is_found(estimator):
    """With many sessions they come to the truth's variance of an equal book; the others shrink by a share."""
    rng = np.random.default_rng(4)
    beta, own = rng.normal(1.0, 0.3, 30), rng.uniform(0.01, 0.02, 30)
    x = rng.normal(0.0, 0.01, (5_000, 1)) * beta + rng.normal(size=(5_000, 30)) * own
    truth = 0.01**2 * np.outer(beta, beta) + np.diag(own**2)
    book = np.full(30, 1.0 / 30.0)
    assert book @ covariance(x, estimator).dense() @ book == pytest.approx(book @ truth @ book, rel=0.05)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_names_with_gaps(estimator):
    """Positive definite; what was observed sets the variance; what was hardly observed is not safe."""
    x = sample(5)
    full = covariance(x, estimator)
    x[::3, 0] = np.nan
    x[5:, 1] = np.nan
    x[:, 2] = np.nan
    x[:, 3] = 0.0
    found = covariance(x, estimator)
    assert np.linalg.eigvalsh(found.dense()).min() > 0.0
    assert 0.4 < found.variance[0] / full.variance[0] < 2.5
    others = np.delete(found.variance, [1, 2, 3])
    for name in (1, 2, 3):
        assert found.variance[name] == pytest.approx(np.median(others))
        assert np.all(found.factor[:, name] == 0.0)


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="choose one of"):
        covariance(sample(), "magic")
    with pytest.raises(InputError, match="vary"):
        covariance(np.full((60, 3), np.nan))
