"""Announcements in force and quantiles of the past, against their definitions in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.errors import InputError
from kairos.panel import expanding_quantile, in_force, take

DAY = np.datetime64("2020-01-01", "D")


def plain_in_force(day, rows, kind, max_age):
    """Position of the last of the rows (position, since, low, high, dated) that began and is meant."""
    begun = [row for row in rows if row[1] <= day and row[2] <= kind <= row[3]]
    return begun[-1][0] if begun and day - begun[-1][4] <= max_age else -1


@st.composite
def announcements(draw):
    """Days, a list of announcements in blocks, and columns that share the blocks."""
    days = sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=12)))
    blocks, rows = [], []
    for _ in range(draw(st.integers(1, 3))):
        begin = len(rows)
        for since in sorted(draw(st.lists(st.integers(-5, 35), max_size=6))):
            low = draw(st.integers(1, 3))
            rows.append(
                (len(rows), since, low, low + draw(st.integers(0, 2)), since - draw(st.integers(0, 12)))
            )
        blocks.append((begin, len(rows)))
    columns = draw(
        st.lists(st.tuples(st.sampled_from([*blocks, (0, 0)]), st.integers(1, 4)), min_size=1, max_size=5)
    )
    return days, rows, columns, draw(st.integers(0, 15))


@settings(deadline=None)
@given(announcements())
def test_the_last_announcement_that_began_is_in_force(case):
    days, rows, columns, max_age = case
    listed = np.array(rows, dtype=np.int64).reshape(-1, 5)
    found = in_force(
        days=DAY + np.array(days),
        columns=(
            np.array([begin for (begin, _), _ in columns]),
            np.array([end for (_, end), _ in columns]),
            np.array([kind for _, kind in columns]),
        ),
        since=DAY + listed[:, 1],
        acts=(listed[:, 2], listed[:, 3]),
        dated=DAY + listed[:, 4],
        max_age=max_age,
    )
    expected = [
        [plain_in_force(day, rows[begin:end], kind, max_age) for (begin, end), kind in columns]
        for day in days
    ]
    assert found.tolist() == expected


def one_column(days, since, *, acts=None, dated=None, max_age=100, kind=1):
    n = len(since)
    return in_force(
        days=DAY + np.array(days),
        columns=(np.array([0]), np.array([n]), np.array([kind])),
        since=DAY + np.array(since, dtype=np.int64),
        acts=acts or (np.zeros(n), np.full(n, 9.0)),
        dated=DAY + np.array(since if dated is None else dated, dtype=np.int64),
        max_age=max_age,
    ).ravel()


def test_cases_of_announcements_by_hand():
    assert one_column([0, 1, 2, 5], [1, 2]).tolist() == [-1, 0, 1, 1]
    assert one_column([3], [1, 2, 3]).tolist() == [2]  # several between two sessions: the last
    assert one_column([3], [2, 2]).tolist() == [1]  # of one day the later in the list
    assert one_column([0, 1], []).tolist() == [-1, -1]
    assert one_column([2, 3, 4], [1], max_age=2).tolist() == [0, 0, -1]  # as old as allowed still counts


def test_an_announcement_that_is_too_old_does_not_revive_the_one_before():
    assert one_column([5], [1, 2], dated=[4, -20], max_age=10).tolist() == [-1]


def test_an_announcement_acts_on_the_columns_that_it_is_meant_for():
    acts = (np.array([1.0, 2.0]), np.array([1.0, 9.0]))
    assert one_column([5], [1, 2], acts=acts, kind=1).tolist() == [0]
    assert one_column([5], [1, 2], acts=acts, kind=2).tolist() == [1]
    assert one_column([5], [1, 2], acts=acts, kind=10).tolist() == [-1]


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 4),
    st.data(),
)
def test_taken_values_stand_where_their_position_does(values, T, N, data):
    at = data.draw(
        st.lists(st.lists(st.integers(-1, len(values) - 1), min_size=N, max_size=N), min_size=T, max_size=T)
    )
    found = take(np.array(values), np.array(at, dtype=np.int32))
    assert found.shape == (T, N)
    for t in range(T):
        for i in range(N):
            expected = values[at[t][i]] if at[t][i] >= 0 else math.nan
            if math.isfinite(expected):
                assert found[t, i] == expected
            else:
                assert math.isnan(found[t, i])


# Quantiles of the past


levels = st.sampled_from([0.0, 0.33, 0.5, 0.66, 1.0]) | st.floats(0.0, 1.0)
measured = st.lists(
    st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float) | st.sampled_from([math.nan, math.inf, -math.inf]),
    min_size=0,
    max_size=40,
)


@settings(deadline=None)
@given(measured, levels, st.integers(1, 12))
def test_an_expanding_quantile_is_numpys_of_the_values_before(series, level, least):
    found = expanding_quantile(np.array(series), level, least)
    assert len(found) == len(series)
    for t, value in enumerate(found):
        past = [x for x in series[:t] if math.isfinite(x)]
        if len(past) < least:
            assert math.isnan(value)
        else:
            scale = max(map(abs, past))
            assert value == pytest.approx(np.quantile(past, level), rel=1e-12, abs=1e-12 * scale)


@settings(deadline=None)
@given(measured, levels, st.integers(1, 6), st.integers(0, 39))
def test_an_expanding_quantile_knows_nothing_of_today_and_later(series, level, least, t):
    whole = expanding_quantile(np.array(series), level, least)
    changed = [x if i < t else 1e12 for i, x in enumerate(series)]
    after = expanding_quantile(np.array(changed), level, least)
    np.testing.assert_array_equal(whole[: t + 1], after[: t + 1])


def test_cases_of_quantiles_by_hand():
    """Type 7: position (n-1)·level between the ordered values."""
    x = np.array([4.0, 1.0, np.nan, 3.0, 2.0, 0.0])
    assert np.isnan(expanding_quantile(x, 0.5, 3)[:4]).all()
    assert expanding_quantile(x, 0.5, 3)[4:].tolist() == [3.0, 2.5]  # of 1 3 4, of 1 2 3 4
    np.testing.assert_allclose(expanding_quantile(x, 0.33, 3)[4:], [2.32, 1.99], rtol=1e-12)
    np.testing.assert_allclose(expanding_quantile(x, 0.66, 3)[4:], [3.32, 2.98], rtol=1e-12)
    assert expanding_quantile(x, 0.0, 1)[1:].tolist() == [4.0, 1.0, 1.0, 1.0, 1.0]
    assert expanding_quantile(x, 1.0, 1)[1:].tolist() == [4.0, 4.0, 4.0, 4.0, 4.0]


@pytest.mark.parametrize("level", [-0.01, 1.01, math.nan])
def test_a_level_that_is_none(level):
    with pytest.raises(InputError, match="quantile"):
        expanding_quantile(np.array([1.0, 2.0]), level, 1)
