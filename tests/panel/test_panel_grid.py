from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.panel import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = np.array(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"], dtype="datetime64[D]")


@pytest.fixture
def grid() -> Grid:
    return Grid(DAYS, ("A", "BB", "C"), start=10)


def test_scatter_is_the_pivot_of_pandas(grid: Grid) -> None:
    frame = pd.DataFrame(
        {
            "ticker": ["BB", "A", "C", "A", "BB"],
            "date": DAYS[[3, 0, 2, 2, 0]],
            "value": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    expected = frame.pivot(index="date", columns="ticker", values="value").reindex(
        index=DAYS, columns=["A", "BB", "C"]
    )
    rows, cols = grid.rows(frame["date"].to_numpy().astype("datetime64[D]")), grid.cols(list(frame["ticker"]))
    got = grid.scatter(rows, cols, frame["value"].to_numpy())
    np.testing.assert_array_equal(got, expected.to_numpy())
    assert got.flags.f_contiguous


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_gather_returns_what_scatter_took_sorted_by_ticker_and_date(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid(DAYS, ("A", "BB", "C"))
    chosen = rng.permutation(12)[: rng.integers(0, 13)]
    rows, cols = chosen % 4, chosen // 4
    values = rng.normal(size=len(chosen))
    panel = grid.scatter(rows, cols, values)
    mask = np.isfinite(panel)
    order = np.lexsort((rows, cols))
    np.testing.assert_array_equal(grid.gather(panel, mask), values[order])
    got_cols, got_rows = grid.keys(mask)
    np.testing.assert_array_equal(got_cols, cols[order])
    np.testing.assert_array_equal(got_rows, rows[order])


def test_a_row_with_a_missing_value_is_a_row(grid: Grid) -> None:
    panel = grid.scatter(np.array([1, 2]), np.array([1, 1]), np.array([np.nan, 3.0]))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:3, 1] = True
    np.testing.assert_array_equal(grid.gather(panel, mask), [np.nan, 3.0])


def test_a_slice_carries_its_absolute_start(grid: Grid) -> None:
    part = grid.slice(1, 3)
    assert part.start == 11
    assert part.shape == (2, 3)
    np.testing.assert_array_equal(part.dates, DAYS[1:3])
    assert part.slice(1, 2).start == 12
    np.testing.assert_array_equal(part.rows(DAYS[[2, 1]]), [1, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: Grid(DAYS[::-1], ("A",)), "2024-01-04 follows 2024-01-05"),
        (lambda g: Grid(DAYS[[0, 0]], ("A",)), "2024-01-02 follows 2024-01-02"),
        (lambda g: Grid(DAYS.astype("datetime64[ns]"), ("A",)), r"datetime64\[ns\]"),
        (lambda g: Grid(DAYS, ("B", "A")), "'A' follows 'B'"),
        (lambda g: Grid(DAYS, ("A", "A")), "'A' follows 'A'"),
        (lambda g: g.slice(2, 9), r"rows 2\.\.9"),
        (lambda g: g.rows(np.array(["2024-01-06"], dtype="datetime64[D]")), "2024-01-06 is not a session"),
        (lambda g: g.rows(np.array(["2023-12-29"], dtype="datetime64[D]")), "2023-12-29 is not a session"),
        (lambda g: g.slice(0, 0).rows(DAYS[:1]), "2024-01-02 is not a session"),
        (lambda g: g.cols(["A", "Z"]), "'Z' is not a ticker"),
        (lambda g: g.scatter(np.array([4]), np.array([0]), np.ones(1)), "row 4, column 0 is outside"),
        (lambda g: g.scatter(np.array([0]), np.array([-1]), np.ones(1)), "column -1 is outside"),
        (lambda g: g.scatter(np.array([0]), np.array([0]), np.ones(2)), "equally many"),
        (
            lambda g: g.scatter(np.array([1, 0, 1]), np.array([2, 0, 2]), np.ones(3)),
            r"\(C, 2024-01-03\) comes more than once \(1 such",
        ),
        (lambda g: g.gather(np.ones((4, 2)), np.ones((4, 3), dtype=bool)), r"panel \(4, 2\)"),
        (lambda g: g.keys(np.ones((4, 2), dtype=bool)), r"mask has the shape \(4, 2\)"),
    ],
)
def test_errors_name_the_place(grid: Grid, call: Callable[[Grid], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(grid)
