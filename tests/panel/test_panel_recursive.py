from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.panel import exponential, warmup


@pytest.mark.parametrize("gap_aware", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 0.3, 2 / 13, 1.0])
def test_average_is_that_of_pandas(messy: np.ndarray, alpha: float, gap_aware: bool) -> None:
    """Pandas' unadjusted ewm is the independent answer: ignore_na is our average without ageing."""
    finite = pd.DataFrame(messy).replace([np.inf, -np.inf], np.nan)
    expected = finite.ewm(alpha=alpha, adjust=False, ignore_na=not gap_aware).mean().where(finite.notna())
    np.testing.assert_allclose(exponential(messy, alpha, gap_aware=gap_aware), expected, rtol=1e-12)


def test_by_hand() -> None:
    x = np.array([[10.0], [np.nan], [np.nan], [20.0], [20.0]])
    kept = [10.0, 0.3 * 20 + 0.7 * 10]
    old = 0.7**3
    aged = [10.0, (0.3 * 20 + old * 10) / (0.3 + old)]
    for gap_aware, (first, second) in ((False, kept), (True, aged)):
        got = exponential(x, 0.3, gap_aware=gap_aware)[:, 0]
        expected = [first, np.nan, np.nan, second, 0.3 * 20 + 0.7 * second]
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_a_constant_stays_exactly_the_constant() -> None:
    x = np.full((300, 1), 0.1)
    assert (exponential(x, 0.3) == 0.1).all()
    assert (exponential(x, 0.3, gap_aware=True) == 0.1).all()


@settings(max_examples=40, deadline=None)
@given(alpha=st.floats(0.01, 1.0), weight=st.floats(1e-15, 0.5))
def test_warmup_is_the_first_number_below_the_weight(alpha: float, weight: float) -> None:
    n = warmup(alpha, weight)
    assert (1 - alpha) ** n < weight * (1 + 1e-9)
    assert n == 1 or (1 - alpha) ** (n - 1) >= weight * (1 - 1e-9)


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_after_the_warmup_a_slice_is_the_whole(alpha: float, rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 3))
    n = warmup(alpha)
    difference = np.abs(exponential(x, alpha)[100 + n :] - exponential(x[100:], alpha)[n:])
    assert difference.max() <= 1e-9 * np.ptp(x)


def test_later_rows_do_not_matter(messy: np.ndarray) -> None:
    whole = exponential(messy, 0.2, gap_aware=True)
    np.testing.assert_array_equal(exponential(messy[:40], 0.2, gap_aware=True), whole[:40])


def test_errors_say_what_is_wrong(messy: np.ndarray) -> None:
    for alpha in (0.0, 1.1, float("nan")):
        with pytest.raises(InputError, match="alpha"):
            exponential(messy, alpha)
        with pytest.raises(InputError, match="alpha"):
            warmup(alpha)
    with pytest.raises(InputError, match="remaining weight"):
        warmup(0.3, 1.0)
