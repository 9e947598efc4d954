"""Clustered errors, against statsmodels and against the spread over many draws."""

import numpy as np
import pytest
import statsmodels.api as sm

from kairos.errors import InputError
from kairos.evaluation.clustered import clustered_correlation, clustered_slope


def drawn(seed, days=60, each=12, share=0.6, slope=0.3):
    """Observations with a common part on each day, on both sides."""
    r = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), each)
    common = r.standard_normal((2, days))[:, day]
    x, noise = np.sqrt(share) * common + np.sqrt(1 - share) * r.standard_normal((2, days * each))
    return x, slope * x + noise, day


@pytest.mark.parametrize("constant", [True, False])
def test_a_slope_is_that_of_statsmodels(constant):
    x, y, day = drawn(1)
    y += 0.2
    found = clustered_slope(x, y, day, 0.9, constant=constant)
    fit = sm.OLS(y, sm.add_constant(x) if constant else x).fit(cov_type="cluster", cov_kwds={"groups": day})
    assert found.value == pytest.approx(fit.params[-1], rel=1e-10)
    assert found.se == pytest.approx(fit.bse[-1], rel=1e-10)
    assert found.t == pytest.approx(fit.tvalues[-1], rel=1e-10)
    assert found.r2 == pytest.approx(fit.rsquared, rel=1e-8)
    low, high = np.atleast_2d(fit.conf_int(alpha=0.1))[-1]
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-8), pytest.approx(high, rel=1e-8))
    assert (found.n, found.clusters) == (720, 60)


def test_a_correlation_is_that_of_numpy_and_its_error_that_of_many_draws():
    draws = [clustered_correlation(*drawn(seed)) for seed in range(400)]
    values = np.array([d.value for d in draws])
    x, y, _ = drawn(7)
    assert draws[7].value == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-12)
    assert np.mean([d.se for d in draws]) == pytest.approx(values.std(), rel=0.12)
    # taken as independent, the same observations would seem twice as sure
    alone = [clustered_correlation(x, y, np.arange(len(x))).se for x, y, _ in map(drawn, range(20))]
    assert np.mean(alone) < 0.6 * values.std()


def test_intervals_cover():
    true = 0.3 / np.sqrt(1 + 0.3**2)
    covered = [d.low <= true <= d.high for d in (clustered_correlation(*drawn(s), 0.9) for s in range(400))]
    assert 0.84 < np.mean(covered) < 0.94


def test_what_can_not_be_computed_is_missing():
    one = np.ones(5)
    assert np.isnan(clustered_correlation(one, np.arange(5.0), np.arange(5)).value)
    assert np.isnan(clustered_slope(one, np.arange(5.0), np.arange(5)).value)
    found = clustered_correlation(
        np.arange(5.0), np.array([1.0, 0.0, np.nan, 3.0, 2.0]), np.array([1, 1, 1, 2, 2])
    )
    assert (found.n, found.clusters) == (4, 2)
    assert np.isnan(found.se)
    assert np.isfinite(found.value)
    assert clustered_correlation([], [], np.array([])).n == 0
    with pytest.raises(InputError, match="one x, y and cluster"):
        clustered_slope(np.ones(3), np.ones(4), np.ones(3))
