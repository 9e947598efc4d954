from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.rolling import RollingOLS

from kairos.errors import InputError
from kairos.evaluation.regression import factor_regression, rolling_regression

NAMES = ("mkt", "smb", "hml")


def market(seed, n=700):
    """A strategy on three correlated factors of very different size, with autocorrelated residuals."""
    random = np.random.default_rng(seed)
    f = random.standard_t(5, size=(n, 3)) @ np.array([[1.0, 0.3, 0.0], [0.0, 1.0, -0.2], [0.0, 0.0, 1.0]])
    f *= np.array([0.01, 0.005, 0.5])
    noise = random.normal(size=n + 1)
    y = 0.0005 + f @ np.array([0.9, -0.4, 0.002]) + 0.004 * (noise[1:] + 0.4 * noise[:-1])
    return y, f


@pytest.mark.parametrize("lags", [0, 1, 6, 20])
@pytest.mark.parametrize("seed", [1, 2])
def test_regression_equals_statsmodels(seed, lags):
    y, f = market(seed)
    fit = sm.OLS(y, sm.add_constant(f)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=False
    )
    found = factor_regression(y, f, NAMES, 252, lags)
    np.testing.assert_allclose([found.alpha / 252, *found.beta], fit.params, rtol=1e-9)
    np.testing.assert_allclose([found.alpha_se / 252, *found.beta_se], fit.bse, rtol=1e-9)
    np.testing.assert_allclose([found.alpha_t, *found.beta_t], fit.tvalues, rtol=1e-9)
    np.testing.assert_allclose([found.alpha_p, *found.beta_p], fit.pvalues, rtol=1e-6, atol=1e-300)
    assert found.r2 == pytest.approx(fit.rsquared, rel=1e-10)
    assert found.residual_volatility == pytest.approx(np.sqrt(fit.mse_resid * 252), rel=1e-10)
    assert (found.sessions, found.lags, found.names) == (700, lags, NAMES)


def test_planted_loadings_are_within_their_errors():
    """Over many markets the t-value of (estimate − truth) is a standard normal."""
    t = []
    for seed in range(200):
        y, f = market(seed, 500)
        found = factor_regression(y, f, NAMES, 252, 5)
        t.append((found.beta[0] - 0.9) / found.beta_se[0])
    assert np.mean(np.abs(t) < 1.96) > 0.90
    assert 0.8 < np.std(t) < 1.25


def test_units_do_not_matter():
    y, f = market(4)
    small, large = (factor_regression(y, f * np.array([1.0, k, 1.0]), NAMES, 252, 3) for k in (1.0, 1e9))
    assert large.beta[1] * 1e9 == pytest.approx(small.beta[1], rel=1e-8)
    assert large.alpha_t == pytest.approx(small.alpha_t, rel=1e-8)


def test_what_cannot_be_regressed():
    y, f = market(5)
    with pytest.raises(InputError, match="factor hml is constant or explained"):
        factor_regression(y, np.column_stack([f[:, :2], f[:, 0] - 2.0 * f[:, 1]]), NAMES, 252, 3)
    with pytest.raises(InputError, match="factor smb is constant"):
        factor_regression(y, np.column_stack([f[:, 0], np.full(len(y), 0.1)]), NAMES[:2], 252, 3)
    with pytest.raises(InputError, match="too few"):
        factor_regression(y[:7], f[:7], NAMES, 252, 3)
    with pytest.raises(InputError, match=r"shape \(700, 3\), expected \(700, 2\)"):
        factor_regression(y, f, NAMES[:2], 252, 3)
    f[9, 1] = np.nan
    with pytest.raises(InputError, match=r"factor smb\[9\] is missing"):
        factor_regression(y, f, NAMES, 252, 3)
    flat = factor_regression([0.01] * 50, f[100:150], NAMES, 252, 3)
    assert np.isnan(flat.r2)
    assert flat.alpha == pytest.approx(2.52)


def test_rolling_equals_statsmodels():
    y, f = market(6)
    window = 60
    found = rolling_regression(y, f, NAMES, window, 252)
    fit = RollingOLS(pd.Series(y), sm.add_constant(pd.DataFrame(f, columns=NAMES)), window=window).fit()
    np.testing.assert_allclose(found.alpha / 252, fit.params["const"], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.beta, fit.params[list(NAMES)], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.r2, fit.rsquared, rtol=1e-8)
    assert np.isnan(found.beta[: window - 1]).all()
    assert np.isfinite(found.beta[window - 1 :]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 20))
def test_rolling_ends_at_the_regression_of_its_window(seed, K, more):
    random = np.random.default_rng(seed)
    window = K + 2 + more
    f, y = random.normal(size=(window + 9, K)), random.normal(size=window + 9)
    found = rolling_regression(y, f, NAMES[:K] if K < 4 else (*NAMES, "mom"), window, 1)
    rows = slice(4, 4 + window)
    X = np.column_stack([np.ones(window), f[rows]])
    coefficients = np.linalg.lstsq(X, y[rows], rcond=None)[0]
    at = rows.stop - 1
    np.testing.assert_allclose([found.alpha[at], *found.beta[at]], coefficients, rtol=1e-6, atol=1e-8)


def test_rolling_over_a_collinear_stretch():
    y, f = market(7, 200)
    f[50:80, 2] = f[50:80, 0]
    found = rolling_regression(y, f, NAMES, 20, 252)
    assert np.isnan(found.beta[69:80]).all()
    assert np.isfinite(found.beta[19:69]).all()
    assert np.isfinite(found.beta[81:]).all()
    with pytest.raises(InputError, match="window = 4"):
        rolling_regression(y, f, NAMES, 4, 252)
