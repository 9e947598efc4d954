from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.panel import ListingState, change, lag, last_valid, listed, listing_state, returns


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


def test_nothing_crosses_into_an_earlier_listing() -> None:
    p = column(100.0, 101.0, np.nan, np.nan, np.nan, 5.0, 6.0, 7.0)
    ages = listed(p, max_gap=2)
    ended = column(1, 2, 3, np.nan, np.nan, 1, 2, 3)
    np.testing.assert_array_equal(ages, ended)
    nan = np.nan
    np.testing.assert_array_equal(last_valid(p, 9, ages)[:, 0], [100, 101, 101, nan, nan, 5, 6, 7])
    np.testing.assert_allclose(
        change(p, 2, 9, ages)[:, 0], [nan, nan, 0.01, nan, nan, nan, nan, 0.4], rtol=1e-12
    )
    adjoining = column(100.0, 5.0, 6.0)
    mark = np.array([[True], [False], [False]])
    np.testing.assert_allclose(returns(adjoining, listed(adjoining, ended=mark))[:, 0], [nan, nan, 0.2])


def test_a_field_that_begins_after_its_listing_has_no_value_of_the_earlier_one() -> None:
    prices = column(1.0, np.nan, np.nan, 5.0, 6.0, 7.0)
    volume = column(10.0, np.nan, 30.0, np.nan, np.nan, 60.0)
    got = last_valid(volume, 9, listed(prices, max_gap=2))[:, 0]
    np.testing.assert_array_equal(got, [10.0, 10.0, np.nan, np.nan, np.nan, 60.0])


# Listings, against a plain walk over one ticker ------------------------------------------------------------


def walk(prices: np.ndarray, max_gap: int, ended: np.ndarray) -> list[float]:
    """The definition, read off the whole history of the prices before each row."""
    ages = []
    for t in range(len(prices)):
        start = None
        last = None
        for s in range(t + 1):
            if np.isfinite(prices[s]):
                broken = last is not None and (s - last > max_gap or ended[last:s].any())
                if start is None or broken:
                    start = s
                last = s
        over = last is None or t - last >= max_gap or ended[last + 1 : t + 1].any()
        if last is not None and last < t and ended[last]:
            over = True
        ages.append(np.nan if over or start is None else t - start + 1)
    return ages


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    max_gap=st.integers(1, 6),
    cut=st.integers(0, 40),
)
def test_listings_follow_the_definition_also_in_slices(seed: int, rows: int, max_gap: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    prices = np.where(rng.random((rows, 3)) < 0.5, np.nan, 7.0)
    ended = rng.random((rows, 3)) < 0.1
    whole = listed(prices, max_gap, ended)
    for j in range(3):
        np.testing.assert_array_equal(whole[:, j], walk(prices[:, j], max_gap, ended[:, j]))
    cut = min(cut, rows)
    state = listing_state(prices[:cut], max_gap, ended[:cut])
    np.testing.assert_array_equal(listed(prices[cut:], max_gap, ended[cut:], state), whole[cut:])
    np.testing.assert_array_equal(listed(prices[:cut], max_gap, ended[:cut]), whole[:cut])


def test_without_marks_only_the_gap_ends_a_listing() -> None:
    p = column(np.nan, 1, np.nan, np.nan, 1, np.nan, np.nan, np.nan, 1)
    nan = np.nan
    np.testing.assert_array_equal(listed(p, max_gap=3)[:, 0], [nan, 1, 2, 3, 4, 5, 6, nan, 1])


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (1, [1, 2, np.nan, np.nan, 1, 2]),  # on the day of the last price
        (2, [1, 2, np.nan, np.nan, 1, 2]),  # on a day without a price
        (3, [1, 2, 3, np.nan, 1, 2]),  # known only later: until then the count went on
        (0, [1, 1, 2, 3, 4, 5]),  # the next price, a day later, is another listing
    ],
)
def test_a_mark_ends_a_listing_from_the_day_it_is_known(mark: int, expected: list[float]) -> None:
    p = column(1, 1, np.nan, np.nan, 1, 1)
    ended = np.zeros(p.shape, dtype=bool)
    ended[mark] = True
    np.testing.assert_array_equal(listed(p, 10, ended)[:, 0], expected)


def test_a_state_is_not_changed_by_its_use() -> None:
    state = ListingState(np.array([3.0]), np.array([0.0]))
    listed(column(1, 1), state=state)
    assert state.count[0] == 3.0
    np.testing.assert_array_equal(listed(column(1, 1), state=state)[:, 0], [4, 5])


def test_errors_say_what_is_wrong(messy: np.ndarray) -> None:
    with pytest.raises(InputError, match="look ahead"):
        lag(messy, -1)
    with pytest.raises(InputError, match="-1 rows old"):
        last_valid(messy, -1)
    with pytest.raises(InputError, match="at least 1"):
        change(messy, 0)
    with pytest.raises(InputError, match="at least 1, not 0"):
        listed(messy, 0)
    with pytest.raises(InputError, match="ended must be boolean"):
        listed(messy, 5, np.zeros((2, 2), dtype=bool))
    with pytest.raises(InputError, match="listed has the shape"):
        returns(messy, messy[:5])
    with pytest.raises(InputError, match=r"state is of \(1,\) tickers"):
        listed(messy, state=ListingState(np.zeros(1), np.zeros(1)))
