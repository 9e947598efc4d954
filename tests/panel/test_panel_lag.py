from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kairos.errors import InputError
from kairos.panel import carry, change, lag, last_valid, returns


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


@pytest.mark.parametrize("k", [0, 1, 5, 90, 200])
def test_lag_is_a_shift(messy: np.ndarray, k: int) -> None:
    np.testing.assert_array_equal(lag(messy, k), pd.DataFrame(messy).shift(k))


def test_lag_of_a_mask_begins_with_false() -> None:
    mask = np.array([[True, False], [False, True], [True, True]])
    got = lag(mask, 1)
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got, [[False, False], [True, False], [False, True]])


@pytest.mark.parametrize("within", [0, 1, 4, 100])
def test_last_valid_is_a_limited_fill(messy: np.ndarray, within: int) -> None:
    finite = pd.DataFrame(messy).replace([np.inf, -np.inf], np.nan)
    expected = finite.ffill(limit=within) if within else finite
    np.testing.assert_array_equal(last_valid(messy, within), expected)


def test_returns_need_both_prices() -> None:
    p = column(2.0, 3.0, np.nan, 6.0, 0.0, 5.0, np.inf, 4.0)
    expected = [np.nan, 0.5, np.nan, np.nan, -1.0, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(returns(p)[:, 0], expected)


@pytest.mark.parametrize(("k", "within"), [(1, 0), (3, 2), (10, 10), (21, 1)])
def test_change_takes_the_last_price_at_both_ends(messy: np.ndarray, k: int, within: int) -> None:
    finite = pd.DataFrame(messy).replace([np.inf, -np.inf], np.nan)
    filled = finite.ffill(limit=within) if within else finite
    expected = filled / filled.shift(k) - 1
    np.testing.assert_allclose(change(messy, k, within), expected.where(filled.shift(k) > 0), rtol=1e-14)


def test_errors_say_what_is_wrong(messy: np.ndarray) -> None:
    with pytest.raises(InputError, match="look ahead"):
        lag(messy, -1)
    with pytest.raises(InputError, match="-1 rows old"):
        last_valid(messy, -1)
    with pytest.raises(InputError, match="at least 1"):
        change(messy, 0)


def test_carry_is_pandas_forward_fill() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 40))
    x[rng.random(x.shape) < 0.4] = np.nan
    x[rng.random(x.shape) < 0.05] = np.inf
    want = pd.DataFrame(x).replace(np.inf, np.nan).ffill().to_numpy()
    carry(x)
    np.testing.assert_array_equal(x, want)
    with pytest.raises(InputError, match="row-major"):
        carry(np.asfortranarray(x))
