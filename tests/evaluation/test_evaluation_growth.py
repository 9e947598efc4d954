from __future__ import annotations

import empyrical
import numpy as np
import pandas as pd
import pytest

from kairos.errors import InputError
from kairos.evaluation import growth


def test_growth_equals_empyrical(returns):
    assert growth.total_return(returns) == pytest.approx(empyrical.cum_returns_final(returns), rel=1e-12)
    assert growth.annual_return(returns, 252) == pytest.approx(
        empyrical.annual_return(returns, annualization=252), rel=1e-12
    )
    assert growth.max_drawdown(returns) == pytest.approx(empyrical.max_drawdown(returns), rel=1e-12)
    np.testing.assert_allclose(
        growth.wealth(returns), empyrical.cum_returns(returns, starting_value=1.0), rtol=1e-12
    )


def test_drawdown_equals_its_definition(returns):
    peak, value = 1.0, 1.0
    for r, found in zip(returns, growth.drawdown(returns), strict=True):
        value *= 1.0 + r
        peak = max(peak, value)
        assert found == pytest.approx(value / peak - 1.0, abs=1e-14)


def test_loss_on_the_first_day_is_a_drawdown():
    assert growth.max_drawdown([-0.2, 0.1]) == pytest.approx(-0.2)


DAYS = np.arange("2020-01-01", "2020-01-09", dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        # 1.1, 0.88, 0.968, 1.21, 1.089: peak on the first day, trough on the second, recovered on the fourth
        ([0.1, -0.2, 0.1, 0.25, -0.1], growth.Drawdown(-0.2, DAYS[0], DAYS[1], DAYS[3], 2)),
        # 0.9, 0.81, 1.0, never deeper: the starting 1.0 is the peak
        ([-0.1, -0.1, 1 / 0.81 - 1.0, 0.0], growth.Drawdown(-0.19, None, DAYS[1], DAYS[2], 2)),
        # 1.5, 0.75, 0.9: never recovered
        ([0.5, -0.5, 0.2], growth.Drawdown(-0.5, DAYS[0], DAYS[1], None, 2)),
        # two that are as deep: the first counts; a flat day at the peak moves the peak
        ([0.0, 0.0, -0.5, 1.0, -0.5], growth.Drawdown(-0.5, DAYS[1], DAYS[2], DAYS[3], 1)),
        ([0.1, 0.0, 0.1], growth.Drawdown(0.0, None, None, None, 0)),
        ([0.1, -1.0, 0.0], growth.Drawdown(-1.0, DAYS[0], DAYS[1], None, 2)),
    ],
)
def test_worst_drawdown_by_hand(returns, expected):
    found = growth.worst_drawdown(returns, DAYS[: len(returns)])
    assert found.depth == pytest.approx(expected.depth)
    assert (found.peak, found.trough, found.recovery) == (expected.peak, expected.trough, expected.recovery)
    assert found.sessions == expected.sessions


def test_calendar_returns_equal_pandas(returns, dates):
    series = pd.Series(returns, index=pd.DatetimeIndex(dates))
    for unit, frequency in (("M", "ME"), ("Y", "YE")):
        periods, values = growth.period_returns(returns, dates, unit)
        expected = (1.0 + series).resample(frequency).prod() - 1.0
        np.testing.assert_allclose(values, expected.to_numpy(), rtol=1e-11, atol=1e-14)
        assert [str(p) for p in periods] == [str(p) for p in expected.index.to_period(unit)]


def test_monthly_table_places_every_month(returns, dates):
    years, months, totals = growth.monthly_table(returns, dates)
    assert [str(year) for year in years] == ["2019", "2020", "2021", "2022"]
    assert np.isnan(months[0, :10]).all()
    assert not np.isnan(months[1:3]).any()
    for month, value in zip(*growth.period_returns(returns, dates, "M"), strict=True):
        year, number = (int(part) for part in str(month).split("-"))
        assert months[year - 2019, number - 1] == value
    np.testing.assert_allclose(totals, np.nanprod(1.0 + months, axis=1) - 1.0, rtol=1e-10)


def test_monthly_table_keeps_a_year_without_sessions():
    years, months, totals = growth.monthly_table([0.1, 0.2], ["2020-03-02", "2022-05-02"])
    assert len(years) == 3
    assert np.isnan(months[1]).all()
    assert np.isnan(totals[1])
    assert (months[0, 2], months[2, 4]) == pytest.approx((0.1, 0.2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: growth.total_return([0.1, np.nan, np.inf]), r"returns\[1\] is missing or infinite \(2 such"),
        (lambda: growth.total_return([]), "returns is empty"),
        (lambda: growth.total_return([[0.1]]), "2 dimensions"),
        (lambda: growth.total_return([0.1, -1.5]), r"returns\[1\] = -1.5 loses more than everything"),
        (lambda: growth.annual_return([0.1], 0), "periods_per_year = 0"),
        (lambda: growth.worst_drawdown([0.1, 0.2], DAYS[:1]), r"dates has shape \(1,\), expected \(2,\)"),
        (lambda: growth.worst_drawdown([0.1, 0.2], DAYS[[1, 1]]), r"dates\[1\] = 2020-01-02"),
        (lambda: growth.worst_drawdown([0.1], ["NaT"]), r"dates\[0\] = NaT"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
