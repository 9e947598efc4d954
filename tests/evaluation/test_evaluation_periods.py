from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.evaluation import periods
from kairos.evaluation.capacity import capacity


def described(parts):
    return [(part.name, part.rows.start, part.rows.stop) for part in parts]


def test_in_and_out_of_sample(dates):
    parts = periods.in_and_out_of_sample(dates, dt.date(2021, 1, 2))  # a Saturday
    cut = int(np.sum(dates < np.datetime64("2021-01-02")))
    assert described(parts) == [("in-sample", 0, cut), ("out-of-sample", cut, len(dates))]
    assert (parts[0].last, parts[1].first) == (np.datetime64("2021-01-01"), np.datetime64("2021-01-04"))
    exact = periods.in_and_out_of_sample(dates, dates[5])
    assert exact[1].first == dates[5]
    assert described(periods.in_and_out_of_sample(dates, "2100-01-01")) == [("in-sample", 0, len(dates))]
    assert described(periods.in_and_out_of_sample(dates, "1990-01-01")) == [("out-of-sample", 0, len(dates))]


def test_calendar_years(dates):
    parts = periods.calendar_years(dates)
    assert [part.name for part in parts] == ["2019", "2020", "2021", "2022"]
    for part in parts:
        assert {str(day)[:4] for day in dates[part.rows]} == {part.name}
        assert (part.first, part.last) == (dates[part.rows][0], dates[part.rows][-1])
    gap = np.array(["2019-12-31", "2021-01-04"], dtype="datetime64[D]")
    assert described(periods.calendar_years(gap)) == [("2019", 0, 1), ("2021", 1, 2)]


@given(st.integers(1, 300), st.integers(1, 12))
def test_parts_are_whole_and_equal(n, number):
    days = np.datetime64("2020-01-01") + np.arange(n)
    if number > n:
        with pytest.raises(InputError, match="can't be cut"):
            periods.equal_parts(days, number)
        return
    parts = periods.equal_parts(days, number)
    sizes = [part.rows.stop - part.rows.start for part in parts]
    assert len(parts) == number
    assert sum(sizes) == n
    assert max(sizes) - min(sizes) <= 1
    assert [part.rows.start for part in parts[1:]] == [part.rows.stop for part in parts[:-1]]


def test_sub_periods_of_the_user(dates):
    parts = periods.sub_periods(dates, ["2020-02-20", "2020-06-01", "2099-01-01"])
    cuts = [int(np.sum(dates < np.datetime64(day))) for day in ("2020-02-20", "2020-06-01")]
    names = ["2019-11-27 to 2020-02-19", "2020-02-20 to 2020-05-29", f"2020-06-01 to {dates[-1]}"]
    assert described(parts) == [
        (names[0], 0, cuts[0]),
        (names[1], *cuts),
        (names[2], cuts[1], len(dates)),
    ]
    assert len(periods.sub_periods(dates, [dates[0]])) == 1
    with pytest.raises(InputError, match="sort them"):
        periods.sub_periods(dates, ["2020-06-01", "2020-02-20"])
    with pytest.raises(InputError, match="no dates"):
        periods.calendar_years([])


def test_capacity_by_hand():
    """Halfway in log capital between 10 and 100 million, where the ratio passes 0.6."""
    capital = [1e6, 1e7, 1e8, 1e9]
    assert capacity(capital, [1.2, 1.0, 0.2, 0.1]) == pytest.approx(10**7.5)
    assert capacity(capital, [1.2, 0.6, 0.2, 0.1]) == pytest.approx(1e7)
    assert capacity(capital, [1.2, 1.0, 0.2, 0.1], share=0.9) == pytest.approx(10 ** (6 + 0.12 / 0.2))
    assert capacity(capital, [1.2, 1.1, 1.0, 0.9]) == np.inf
    assert capacity(capital, [1.2, 0.5, 1.0, 0.1]) < 1e7  # the first fall counts
    assert np.isnan(capacity(capital, [-0.1, -0.2, -0.3, -0.4]))
    with pytest.raises(InputError, match="ascending"):
        capacity([1e7, 1e6], [1.0, 0.9])
    with pytest.raises(InputError, match="share = 1"):
        capacity(capital, [1.2, 1.0, 0.2, 0.1], share=1.0)
    with pytest.raises(InputError, match="sharpe has 1 values"):
        capacity(capital, [1.2])
