"""Months and windows on real calendars."""

from __future__ import annotations

import numpy as np
import pytest

from kairos.adr.windows import Window, is_full, windows
from kairos.settings import load
from kairos.settings.tree import WalkForward

LENGTHS = load().adr.windows


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def months(found: list[Window]) -> list[str]:
    return [str(window.month) + ("*" if window.live else "") for window in found]


@pytest.mark.parametrize("exchange", ["XLON", "XPAR", "XSTO", "XCSE"])
def test_the_users_range_has_thirteen_test_months_and_a_live_one(exchange: str) -> None:
    found = windows(day("2024-01-02"), day("2026-01-30"), exchange, LENGTHS, day("2026-01-30"))
    assert months(found) == [f"2025-{m:02d}" for m in range(1, 13)] + ["2026-01", "2026-02*"]
    first = found[0]
    assert (str(first.train), str(first.validation)) == ("2024-01", "2024-12")


@pytest.mark.parametrize(
    ("last", "end", "live"),
    [
        ("2026-01-29", "2026-01-30", "2026-01"),  # Friday the 30th is the last session of the month
        ("2026-01-30", "2026-01-29", "2026-01"),
        ("2026-01-30", None, "2026-02"),
        ("2026-01-30", "2026-03-31", "2026-02"),  # the settings reach further than the files
        ("2026-02-02", "2026-02-02", "2026-02"),
    ],
)
def test_a_month_that_is_not_full_is_live(last: str, end: str | None, live: str) -> None:
    found = windows(day("2024-01-02"), day(last), "XLON", LENGTHS, None if end is None else day(end))
    assert str(found[-1].month) == live
    assert [window.live for window in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(
    ("exchange", "month", "last", "full"),
    [
        ("XLON", "2024-12", "2024-12-30", True),  # half-day on the 31st, over before New York opens
        ("XLON", "2024-12", "2024-12-27", False),
        ("XETR", "2024-12", "2024-12-30", True),  # closed on the 31st
        ("XPAR", "2021-05", "2021-05-28", True),  # Monday the 31st: Memorial Day
        ("XLON", "2024-03", "2024-03-28", True),  # Good Friday the 29th
        ("XLON", "2025-05", "2025-05-30", True),
        ("XLON", "2025-05", "2025-05-29", False),
    ],
)
def test_days_without_a_possible_row_do_not_keep_a_month_open(
    exchange: str, month: str, last: str, full: bool
) -> None:
    assert is_full(np.datetime64(month, "M"), exchange, day(last)) is full


def test_too_short_a_range_has_no_window() -> None:
    assert windows(day("2024-01-02"), day("2024-12-20"), "XLON", LENGTHS) == []
    assert months(windows(day("2024-01-02"), day("2024-12-30"), "XLON", LENGTHS)) == ["2025-01*"]


def test_rows_of_a_window() -> None:
    """A return over several days belongs to the month in which it ends: rows are dated by their end."""
    dates = np.array(["2024-01-31", "2024-11-29", "2024-12-02", "2024-12-31", "2025-01-02", "2025-01-31"])
    dates = np.concatenate([dates, ["2025-02-03"]]).astype("datetime64[D]")
    window = windows(day("2024-01-02"), day("2025-02-28"), "XLON", LENGTHS)[0]
    assert dates[window.train_rows(dates)].astype(str).tolist() == ["2024-01-31", "2024-11-29"]
    assert dates[window.validation_rows(dates)].astype(str).tolist() == ["2024-12-02", "2024-12-31"]
    assert dates[window.test_rows(dates)].astype(str).tolist() == ["2025-01-02", "2025-01-31"]
    assert window.refit_rows(dates) == slice(0, 4)


def test_a_live_month_has_no_test() -> None:
    dates = np.array(["2025-01-02", "2025-01-03"], dtype="datetime64[D]")
    window = windows(day("2024-01-02"), day("2025-01-03"), "XLON", LENGTHS)[-1]
    assert (str(window.month), window.live) == ("2025-01", True)
    assert window.test_rows(dates) == slice(0, 0)


def test_other_lengths() -> None:
    lengths = WalkForward(
        train_months=4, validation_months=2, min_train=10, min_validation=5, min_present=0.5
    )
    found = windows(day("2024-01-02"), day("2024-08-30"), "XLON", lengths)
    assert months(found) == ["2024-07", "2024-08", "2024-09*"]
    assert [str(window.validation) for window in found] == ["2024-05", "2024-06", "2024-07"]
