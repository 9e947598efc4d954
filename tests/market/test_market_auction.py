"""Closes against answers made with other libraries and from what exchanges published (see `answers/`)."""

import csv
import datetime as dt
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from kairos.errors import InputError
from kairos.market import close_times, early_closes, is_exchange, is_open, reference_times, sessions

ANSWERS = Path(__file__).parent / "answers"
REAL = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))

CLOCKS = {
    "XMAD": "Europe/Madrid",
    "XETR": "Europe/Berlin",
    "XAMS": "Europe/Amsterdam",
    "XBRU": "Europe/Brussels",
    "XPAR": "Europe/Paris",
    "XDUB": "Europe/Dublin",
    "XSTO": "Europe/Stockholm",
    "XHEL": "Europe/Helsinki",
    "XCSE": "Europe/Copenhagen",
    "XOSL": "Europe/Oslo",
    "XLON": "Europe/London",
    "XTKS": "Asia/Tokyo",
    "XNYS": "America/New_York",
}


def answers(name):
    with (ANSWERS / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def utc(exchange, day, clock):
    """An exchange's wall clock in UTC, by the standard library."""
    local = dt.datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(CLOCKS[exchange]))
    return np.datetime64(local.astimezone(dt.UTC).replace(tzinfo=None), "ns")


TWELVE_YEARS = np.arange("2015-01-01", "2027-01-01", dtype="datetime64[D]")


@pytest.mark.parametrize("exchange", ["XLON", "XSWX", "XOSL", "XNYS", "XTKS"])
def test_every_close_of_twelve_years(exchange):
    closes = close_times(exchange, TWELVE_YEARS)
    days, closes = TWELVE_YEARS[~np.isnat(closes)], closes[~np.isnat(closes)]
    spans = [row for row in answers("closes_by_span.csv") if row["exchange"] == exchange]
    for row in spans:
        first, last = (np.datetime64(row[end]) for end in ("first", "last"))
        within = (days >= first) & (days <= last)
        assert within.sum() == int(row["sessions"])
        assert set(np.datetime_as_string(closes[within], unit="m")) == {
            f"{day}T{row['close_utc']}" for day in days[within]
        }
    assert sum(int(row["sessions"]) for row in spans) == len(days)


@pytest.mark.parametrize("exchange", ["XLON", "XNYS", "XMIL", "XAMS", "XBRU", "XSTO", "XCSE"])
def test_closed_weekdays_of_twelve_years(exchange):
    closed = TWELVE_YEARS[np.isnat(close_times(exchange, TWELVE_YEARS)) & np.is_busday(TWELVE_YEARS)]
    rows = [row for row in answers("closed_weekdays.csv") if row["exchange"] == exchange]
    expected = [f"{row['year']}-{day}" for row in rows for day in row["days"].split()]
    assert len(rows) == 12
    assert closed.astype(str).tolist() == expected


@pytest.mark.parametrize("exchange", sorted({row["exchange"] for row in answers("published_closes.csv")}))
def test_published_closes(exchange):
    rows = [row for row in answers("published_closes.csv") if row["exchange"] == exchange]
    expected = [
        np.datetime64("NaT") if row["close"] == "closed" else utc(exchange, row["day"], row["close"])
        for row in rows
    ]
    found = close_times(exchange, [row["day"] for row in rows])
    np.testing.assert_array_equal(found, np.array(expected, dtype="datetime64[ns]"))


@pytest.mark.parametrize(
    ("exchange", "half_days", "others"),
    [
        ("XLON", ["2023-12-22", "2023-12-29"], ["2023-12-21", "2023-12-25", "2023-12-28"]),
        ("XPAR", ["2019-12-24", "2019-12-31"], ["2019-12-23", "2019-12-26", "2019-12-30"]),
        ("XSTO", ["2024-01-05", "2024-11-01"], ["2024-01-04", "2024-12-24", "2024-12-30"]),
        ("XNYS", ["2024-07-03", "2024-11-29"], ["2024-07-02", "2024-07-04", "2024-12-31"]),
        ("XCSE", [], ["2024-03-27", "2024-12-23", "2024-12-30"]),
        ("XTKS", [], ["2024-11-01", "2024-11-05"]),  # 15:00 was not early before the change
    ],
)
def test_early_closes(exchange, half_days, others):
    assert early_closes(exchange, half_days).all()
    assert not early_closes(exchange, others).any()


@pytest.mark.parametrize(
    ("day", "london", "new_york"),
    [
        ("2024-03-08", "16:36", "11:36"),  # both in winter
        ("2024-03-11", "16:36", "12:36"),  # New York changed on the 10th, London on the 31st
        ("2024-03-28", "16:36", "12:36"),
        ("2024-04-02", "16:36", "11:36"),
        ("2024-10-25", "16:36", "11:36"),
        ("2024-10-28", "16:36", "12:36"),  # London changed on the 27th, New York on 3 November
        ("2024-11-01", "16:36", "12:36"),
        ("2024-11-04", "16:36", "11:36"),
        ("2025-03-07", "16:36", "11:36"),
        ("2025-03-10", "16:36", "12:36"),
        ("2025-03-31", "16:36", "11:36"),
        ("2025-10-27", "16:36", "12:36"),
        ("2025-11-03", "16:36", "11:36"),
    ],
)
def test_weeks_in_which_clocks_differ(day, london, new_york):
    found = reference_times("XLON", [day], offset=360)[0]
    assert found == utc("XLON", day, london)
    assert found == utc("XNYS", day, new_york)


def test_an_offset_of_its_own_on_early_closes():
    days = ["2024-12-23", "2024-12-24", "2024-12-25"]
    clock = reference_times("XPAR", days, 360, offset_early=60).astype("datetime64[m]").astype(str).tolist()
    assert clock == ["2024-12-23T16:36", "2024-12-24T13:06", "NaT"]
    clock = reference_times("XPAR", days, 360).astype("datetime64[m]").astype(str).tolist()
    assert clock == ["2024-12-23T16:36", "2024-12-24T13:11", "NaT"]


def test_days_of_any_shape_and_order():
    days = np.array([["2024-12-24", "NaT"], ["2024-12-22", "2023-07-03"]], dtype="datetime64[D]")
    closes = close_times("XNYS", days)
    assert closes.dtype == np.dtype("datetime64[ns]")
    assert np.isnat(closes).tolist() == [[False, True], [True, False]]
    assert str(closes[1, 1].astype("datetime64[m]")) == "2023-07-03T17:00"
    assert early_closes("XNYS", days).tolist() == [[True, False], [False, True]]
    assert close_times("XNYS", np.array([], dtype="datetime64[D]")).shape == (0,)


def test_unknown_exchange():
    with pytest.raises(InputError, match="XFOO"):
        close_times("XFOO", ["2024-01-02"])
    assert is_exchange("XCSE")
    assert not is_exchange("XFOO")


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="the real market data are not here")
@pytest.mark.parametrize(
    ("suffix", "exchange"),
    [
        ("AS", "XAMS"),
        ("PA", "XPAR"),
        ("DE", "XETR"),
        ("MI", "XMIL"),
        ("BR", "XBRU"),
        ("MC", "XMAD"),
        ("HE", "XHEL"),
        ("I", "XDUB"),
    ],
)
def test_sessions_are_the_days_on_which_stocks_traded(suffix, exchange):
    import duckdb

    traded = (
        duckdb.sql(f"""
        SELECT DISTINCT date FROM '{REAL}/europe_daily.parquet'
        WHERE source = 'sx5e_refinitiv' AND volume > 0 AND suffix(ticker, '.{suffix}') ORDER BY date
    """)
        .fetchnumpy()["date"]
        .astype("datetime64[D]")
    )
    assert len(traded) > 2500
    np.testing.assert_array_equal(sessions(traded[0], traded[-1], exchange), traded)


@pytest.mark.parametrize(
    ("exchange", "day", "clock", "answer"),
    [
        ("XNYS", "2024-03-11", "09:29", False),
        ("XNYS", "2024-03-11", "09:30", True),  # the day after New York's change of the clock
        ("XNYS", "2024-03-11", "16:00", True),
        ("XNYS", "2024-03-11", "16:01", False),
        ("XNYS", "2024-11-29", "13:00", True),  # the half-day after Thanksgiving
        ("XNYS", "2024-11-29", "13:01", False),
        ("XNYS", "2024-07-04", "12:00", False),
        ("XNYS", "2024-07-06", "12:00", False),  # a Saturday
        ("XNYS", "2024-01-01", "12:00", False),  # before the first session of the year
        ("XLON", "2024-12-24", "12:30", True),
        ("XLON", "2024-12-24", "12:31", False),
    ],
)
def test_whether_an_exchange_is_open(exchange, day, clock, answer):
    times = np.array([[utc(exchange, day, clock), np.datetime64("NaT", "ns")]])
    assert is_open(exchange, times).tolist() == [[answer, False]]
