"""Sessions against closures and yearly counts that the exchanges published."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.market import next_session, sessions

# Trading days a year as published by the NYSE; 2012 lost two to Sandy, 2018 one to a day of mourning.
SESSIONS_A_YEAR = {
    2012: 250,
    2015: 252,
    2016: 252,
    2017: 251,
    2018: 251,
    2019: 252,
    2020: 253,
    2021: 252,
    2022: 251,
}
CLOSED = ["2012-10-29", "2012-10-30", "2015-04-03", "2018-12-05", "2021-12-24", "2022-06-20", "2024-03-29"]
OPEN = ["2012-10-31", "2015-11-27", "2018-12-24", "2021-06-18", "2021-12-31", "2024-12-24"]


@pytest.mark.parametrize(("year", "count"), SESSIONS_A_YEAR.items())
def test_sessions_of_a_year(year, count):
    assert len(sessions(f"{year}-01-01", f"{year}-12-31")) == count


@pytest.mark.parametrize("day", CLOSED)
def test_closed(day):
    assert len(sessions(day, day)) == 0


@pytest.mark.parametrize("day", OPEN)
def test_open(day):
    assert sessions(day, day).astype(str).tolist() == [day]


def test_accepts_dates_and_includes_both_ends():
    found = sessions(datetime.date(2015, 1, 2), np.datetime64("2015-01-06"))
    assert found.dtype == np.dtype("datetime64[D]")
    assert found.astype(str).tolist() == ["2015-01-02", "2015-01-05", "2015-01-06"]


def test_other_exchange():
    boxing_day = "2019-12-26"
    assert len(sessions(boxing_day, boxing_day, "XNYS")) == 1
    assert len(sessions(boxing_day, boxing_day, "XLON")) == 0


def test_the_shared_array_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        sessions("2015-01-02", "2015-02-02")[0] = np.datetime64("2000-01-01")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("2015-01-02", "2016-01-02", "XFOO"), "XFOO"),
        (("2016-01-02", "2015-01-02"), "before the start"),
        (("1970-01-02", "1971-01-02", "XTKS"), "1997"),
    ],
)
def test_bad_input(arguments, said):
    with pytest.raises(InputError, match=said):
        sessions(*arguments)


@settings(deadline=None)  # the first example loads the calendar
@given(st.lists(st.dates(datetime.date(2017, 6, 1), datetime.date(2019, 2, 1)), max_size=20))
def test_next_session_is_the_first_one_after(days):
    calendar = sessions("2017-01-01", "2019-12-31").tolist()
    expected = [min(session for session in calendar if session > day) for day in days]
    assert next_session(np.array(days, dtype="datetime64[D]")).tolist() == expected


def test_next_session_keeps_shape_and_missing():
    found = next_session(np.array([["2018-12-04", "NaT"]], dtype="datetime64[D]"))
    assert found.shape == (1, 2)
    assert str(found[0, 0]) == "2018-12-06"  # the 5th was a day of mourning
    assert np.isnat(found[0, 1])
    assert str(next_session("2018-12-24")) == "2018-12-26"
