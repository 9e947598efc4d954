"""Whether the desk's evaluation tells the truth: on simulated desks, from prices to intervals and tests.

Twenty desks in `make test`; hundreds, with a longer future, in `make soak`, which shows the numbers.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from adr_soak import MONTHS, soak

LEVEL, SIGNIFICANT, GATE, PLANTED = 0.9, 0.05, 0.04, 0.10
TEST_MONTHS = MONTHS - 12


def risk_limit(n_desks: int) -> float:
    """5 % and two standard errors."""
    return SIGNIFICANT + 2.0 * np.sqrt(SIGNIFICANT * (1.0 - SIGNIFICANT) / n_desks)


def mean_and_error(of_desks: np.ndarray) -> tuple[float, float]:
    """Mean over desks and its standard error: the ADRs of a desk share their days, so a desk is one draw."""
    return float(of_desks.mean()), float(of_desks.std(ddof=1) / np.sqrt(len(of_desks)))


def coverage_of_estimate(future_months: int) -> float:
    """Coverage that is left when the truth itself is known from so many months only.

    An improvement over T months has the variance v/T, its truth over F months v/F, so their difference is
    √(1 + T/F) times as wide as the interval allows for.
    """
    normal = NormalDist()
    quantile = normal.inv_cdf((1.0 + LEVEL) / 2.0)
    return 2.0 * normal.cdf(quantile / np.sqrt(1.0 + TEST_MONTHS / future_months)) - 1.0


@pytest.mark.parametrize(
    ("n_desks", "future_months"),
    [(20, 60), pytest.param(200, 240, marks=pytest.mark.soak)],
)
def test_the_evaluation_tells_what_fitted_models_are_worth(tmp_path, n_desks, future_months):
    """Three ADRs of a desk have predictors of all strengths, one has none.

    * The intervals cover what the fitted models are worth on the long future. They do not cover, and don't
      claim to, what the rule would be worth when fitted again and again on that future: of this the test
      months, whose training windows share most of their days, say less; for it, 90 % intervals had a coverage
      of 75 % to 87 %.
    * A true improvement of 0.10 passes the adjusted test.
    * No ADR that gains nothing passes it, whatever the others of the desk gain.
    * Nor do forecasts whose true improvement is exactly 0: the models' own, scaled up until what they know is
      offset by what they disturb. The gate admits as many of these as the report says.
    """
    covered, truth, told, boundary_told, admitted, stated, scales = ([] for _ in range(7))
    for desk in soak(tmp_path, range(n_desks), (0.1, 0.5), without=0.25, future_months=future_months):
        each = desk.compare().each
        truth.append([worth.improvement() for worth in desk.worth])
        inside = (each.low <= truth[-1]) & (truth[-1] <= each.high)
        covered.append(np.where(np.isnan(each.se), np.nan, inside))
        told.append(each.stepwise <= SIGNIFICANT)
        scales.append([worth.boundary() for worth in desk.worth])
        at_boundary = desk.compare(np.array(scales[-1]))
        boundary_told.append((at_boundary.each.stepwise <= SIGNIFICANT).any())
        admitted.append(np.mean(at_boundary.each.value >= GATE))
        stated.append(desk.noise_share(at_boundary))
    truth, told = np.array(truth), np.array(told)

    coverage, error = mean_and_error(np.nanmean(covered, axis=1))
    near = np.abs(truth - PLANTED) <= 0.02
    power, false = told[near].mean(), (told & (truth <= 0.0)).any(axis=1).mean()
    excess, excess_error = mean_and_error(np.subtract(admitted, stated))
    print(
        f"\n{n_desks} desks; truth {truth.mean():+.3f}, {truth.min():+.3f} to {truth.max():+.3f}\n"
        f"coverage {coverage:.3f} ± {error:.3f}, expected {coverage_of_estimate(future_months):.3f}\n"
        f"passing: {power:.3f} of {near.sum()} with a truth near 0.10 (mean {truth[near].mean():.3f})\n"
        f"desks with a false pass {false:.3f}; at the boundary {np.mean(boundary_told):.3f}, scaled by "
        f"{np.median(scales):.1f} (median)\n"
        f"the gate admits at the boundary {np.mean(admitted):.3f}, stated {np.mean(stated):.3f}, difference "
        f"{excess:+.3f} ± {excess_error:.3f}"
    )
    assert coverage_of_estimate(future_months) - 2.0 * error <= coverage <= LEVEL + 2.0 * error
    assert near.sum() >= n_desks / 5
    assert power >= 0.8
    assert false <= risk_limit(n_desks)
    assert np.mean(boundary_told) <= risk_limit(n_desks)
    assert abs(excess) <= 2.0 * excess_error


@pytest.mark.parametrize(
    ("n_desks", "selection"),
    [
        (20, "mse_1se"),
        pytest.param(200, "mse_1se", marks=pytest.mark.soak),
        pytest.param(200, "ic", marks=pytest.mark.soak),
    ],
)
def test_without_predictors_nothing_is_found(tmp_path, n_desks, selection):
    """Models fitted to nothing disturb the baseline, so they lose: they pass the test and the gate less often
    than models that neither gain nor lose, for which both are made."""
    told, admitted, stated, values = [], [], [], []
    for desk in soak(tmp_path, range(n_desks), (0.0, 0.0), without=1.0, selection=selection):
        found = desk.compare()
        told.append((found.each.stepwise <= SIGNIFICANT).any())
        admitted.append(np.mean(found.each.value >= GATE))
        stated.append(desk.noise_share(found))
        values.append(found.each.value)
    share, n_adrs = float(np.mean(stated)), np.size(values)
    print(
        f"\n{n_desks} desks without predictors, {selection}: improvement {np.mean(values):+.4f}; "
        f"any ADR passes on {np.mean(told):.3f}; the gate admits {np.mean(admitted):.4f}, stated {share:.4f}"
    )
    assert np.mean(told) <= risk_limit(n_desks)
    assert np.mean(admitted) <= share + 2.0 * np.sqrt(share * (1.0 - share) / n_adrs)
    assert np.mean(values) < 0.0
