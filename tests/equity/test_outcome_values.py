"""What a holder gets, against a plain reading of the rule for one name and one session."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_backtest_oracle import Case, End, Panels, Rules, bt_frame, bt_market, bt_random

from kairos.equity.outcome import alive, forward_return, lead, value_path
from kairos.equity.signals import daily_returns

GAP = 10
few = settings(max_examples=10, deadline=None, derandomize=True)


def last_price(case: Case, name: str, t: int) -> float:
    """The newest price that is at most ten sessions old."""
    window = case.prices[name][max(t - GAP, 0) : t + 1]
    return next((p for p in reversed(window) if p is not None), math.nan)


def priced(case: Case, name: str) -> list[int]:
    return [t for t, p in enumerate(case.prices[name]) if p is not None]


def plain_forward(case: Case, name: str, t: int, lag: int, horizon: int) -> float:
    """(worth at t + lag + horizon) / (price at t + lag) - 1."""
    at, until = t + lag, t + lag + horizon
    if until >= case.length:
        return math.nan
    rows, end = priced(case, name), case.ends.get(name)
    if at < rows[0] or (end is not None and at > rows[-1]):
        return math.nan
    if end is not None and until > rows[-1]:
        worth = (case.prices[name][rows[-1]] or math.nan) * (1 + end.payout)
    else:
        worth = last_price(case, name, until)
    return worth / last_price(case, name, at) - 1


def plain_day(case: Case, name: str, t: int) -> float:
    """Return of holding through session t: NaN where it has no price and no pay-out."""
    rows, end = priced(case, name), case.ends.get(name)
    if end is not None and t == rows[-1] + 1:
        return end.payout
    price = case.prices[name][t]
    if price is None or t == rows[0]:
        return math.nan
    return price / last_price(case, name, t - 1) - 1


@few
@given(seed=st.integers(0, 10_000), lag=st.sampled_from([0, 1, 3]), horizon=st.sampled_from([1, 2, 5, 21]))
def test_forward_returns_across_halts_and_endings(seed: int, lag: int, horizon: int) -> None:
    case = bt_random(seed, Rules(), halts=0.06, ends=4)
    frame, outcomes, closeadj = bt_frame(case)
    found = forward_return(frame, closeadj, outcomes, GAP, lag=lag, horizon=horizon)
    want = np.array(
        [[plain_forward(case, name, t, lag, horizon) for name in case.names] for t in range(case.length)]
    )
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-12)


@few
@given(seed=st.integers(0, 10_000))
def test_daily_returns_across_halts_and_endings(seed: int) -> None:
    case = bt_random(seed, Rules(), halts=0.06, ends=4)
    found = daily_returns(Panels.of(case), GAP)  # type: ignore[arg-type]
    want = np.array([[plain_day(case, name, t) for name in case.names] for t in range(case.length)])
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-12)


def test_one_ending_by_hand() -> None:
    """100, 110, then bankruptcy at -30 %: from row 0 over two sessions 110 · 0.7 / 100 - 1 = -23 %."""
    case = Case(
        {"A": [100, 110, None, None, None], "B": [50, None, 60, 66, 66]},
        {"A": [1.0] * 5, "B": [1.0] * 5},
        ends={"A": End(settled=4, payout=-0.3)},
    )
    frame, outcomes, closeadj = bt_frame(case)
    nan = math.nan
    two = forward_return(frame, closeadj, outcomes, GAP, lag=0, horizon=2)
    np.testing.assert_allclose(two[:, 0], [-0.23, -0.30, nan, nan, nan], atol=1e-12)
    # B is halted on row 1: its price is still 50
    np.testing.assert_allclose(two[:, 1], [0.20, 0.32, 0.10, nan, nan], atol=1e-12)
    lagged = forward_return(frame, closeadj, outcomes, GAP, lag=1, horizon=1)
    np.testing.assert_allclose(lagged[:, 0], [-0.30, nan, nan, nan, nan], atol=1e-12)
    assert alive(frame, outcomes)[:, 0].tolist() == [True, True, False, False, False]
    # signals count the pay-out in the session after the last price, a book when it is paid
    assert value_path(frame, closeadj, outcomes, GAP)[:, 0].tolist() == pytest.approx([100, 110, 77, 77, 77])
    late = bt_market(case)
    assert late.value[:, 0].tolist() == pytest.approx([100, 110, 110, 110, 77])
    assert late.priced[:, 0].tolist() == [True, True, False, False, False]
    by_day = daily_returns(Panels.of(case), GAP)  # type: ignore[arg-type]
    np.testing.assert_allclose(by_day[:, 0], [nan, 0.10, -0.30, nan, nan], atol=1e-12)
    np.testing.assert_allclose(by_day[:, 1], [nan, nan, 0.20, 0.10, 0.0], atol=1e-12)


def test_lead_is_the_future_value() -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    np.testing.assert_array_equal(lead(x, 0), x)
    np.testing.assert_array_equal(lead(x, 2)[0], x[2])
    assert np.isnan(lead(x, 2)[1:]).all()
    assert np.isnan(lead(x, 7)).all()
