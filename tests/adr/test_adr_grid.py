"""Which days count, and when an index closes."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

from kairos.adr.grid import grid, is_busy
from kairos.market.index import INDEX_CLOSES, index_close_times


def plainly_busy(counts: list[int], min_share: float, window: int) -> list[bool]:
    """By the words: at least a share of the median number of the days with any price before."""
    out = []
    for t, number in enumerate(counts):
        past = [n for n in counts[:t] if n > 0][-window:]
        out.append(number > 0 and (not past or number >= min_share * float(np.median(past))))
    return out


@pytest.mark.parametrize(("seed", "window"), [(0, 60), (1, 5), (2, 1)])
def test_a_busy_day_by_its_definition(seed: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 100, 150) * (rng.random(150) > 0.1)
    busy = is_busy(counts, 0.5, window)
    assert busy.tolist() == plainly_busy(counts.tolist(), 0.5, window)
    assert 20 < busy.sum() < 130
    for end in (1, 40, 149):
        assert is_busy(counts[:end], 0.5, window).tolist() == busy[:end].tolist()


def test_a_short_past_and_none() -> None:
    assert is_busy(np.array([0, 0]), 0.5, 60).tolist() == [False, False]
    assert is_busy(np.array([], dtype=np.int64), 0.5, 60).tolist() == []
    assert is_busy(np.array([3]), 0.5, 60).tolist() == [True]


def test_exactly_the_share_counts() -> None:
    assert is_busy(np.array([10, 5, 4]), 0.5, 60).tolist() == [True, True, True]  # median of 10 and 5: 7.5
    assert is_busy(np.array([10, 10, 5, 4]), 0.5, 60).tolist() == [True, True, True, False]


def test_the_grid_needs_the_index_too() -> None:
    index = np.array([7000.0, np.nan, 7010.0, 7020.0])
    assert grid(index, np.array([9, 9, 0, 9]), 0.5, 60).tolist() == [True, False, False, True]


def test_a_row_without_the_index_still_tells_what_is_usual() -> None:
    index = np.array([np.nan, np.nan, 7000.0])
    assert grid(index, np.array([100, 100, 3]), 0.5, 60).tolist() == [False, False, False]


# By hand from the exchanges' calendars, in UTC: FTSE 16:35 and 12:35 London; Euronext 17:35 and 14:10 Paris;
# Xetra 17:35, and 14:05 on the last trading day of the year; Tokyo 15:00, from 2024-11-05 on 15:30.
CLOSES = [
    ("UKX", "2024-01-15", "2024-01-15T16:35"),
    ("UKX", "2024-07-15", "2024-07-15T15:35"),
    ("UKX", "2024-12-24", "2024-12-24T12:35"),
    ("UKX", "2024-12-25", "NaT"),
    ("SX5E", "2024-03-15", "2024-03-15T16:35"),
    ("SXXP", "2024-12-31", "2024-12-31T13:10"),
    ("SXXP", "2024-12-30", "2024-12-30T16:35"),
    ("SX7E", "2024-05-01", "NaT"),
    ("DAX", "2024-12-30", "2024-12-30T13:05"),
    ("CAC", "2024-04-01", "NaT"),
    ("AEX", "2024-10-28", "2024-10-28T16:35"),
    ("NKY", "2024-11-01", "2024-11-01T06:00"),
    ("NKY", "2024-11-05", "2024-11-05T06:30"),
]


@pytest.mark.parametrize(("index", "day", "close"), CLOSES)
def test_when_an_index_closes(index: str, day: str, close: str) -> None:
    found = index_close_times(index, np.array([day], dtype="datetime64[D]"))
    assert found.astype("datetime64[m]").astype(str).tolist() == [close]


def test_every_declaration_has_a_source_and_a_case() -> None:
    assert {index for index, _, _ in CLOSES} == set(INDEX_CLOSES)
    assert all(close.source for close in INDEX_CLOSES.values())


def test_nobody_knows_when_an_undeclared_index_closes() -> None:
    days = np.arange("2024-01-01", "2024-02-01", dtype="datetime64[D]")
    found = index_close_times("MXEF", days)
    assert found.shape == days.shape
    assert np.isnat(found).all()


@pytest.mark.parametrize("module", ["adr.betas", "adr.exclusions", "adr.grid", "adr.returns", "market.index"])
def test_examples(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"kairos.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
