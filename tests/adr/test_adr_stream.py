"""What had arrived when, against plain loops."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.adr.clock import Clock
from kairos.adr.minutes import new_york_clock
from kairos.adr.stream import Stream, median, median_then, sample

ORIGIN = np.datetime64("2024-03-08T00:00", "ns")
MINUTE = np.timedelta64(1, "m")
LONDON = SimpleNamespace(exchange="XLON", close_offset=360, close_offset_early=None)


def at(minutes):
    return ORIGIN + np.asarray(minutes, dtype="timedelta64[m]")


def a_clock(references, closes):
    """Days from a reference time to a close, in minutes since the origin."""
    day = np.repeat(np.arange(len(references)), np.subtract(closes, references))
    times = np.concatenate([np.arange(c + 1, e + 1) for c, e in zip(references, closes, strict=True)])
    days = np.arange(len(references)).astype("datetime64[D]")
    return Clock("XLON", days, at(references), at(closes), at(times), day)


@st.composite
def streams(draw):
    known = sorted(draw(st.sets(st.integers(0, 120), min_size=1, max_size=40)))
    late = [draw(st.sampled_from([0, 0, 0, 1, 5, 40])) for _ in known]
    return known, [k + x for k, x in zip(known, late, strict=True)]


@given(streams(), st.integers(1, 30))
@settings(max_examples=150)
def test_values_and_anchors_are_the_plain_rule(bars, max_age):
    """At t: what was known last among what had arrived; at c: the last price up to c, as seen at t."""
    known, arrived = bars
    clock = a_clock([30, 90], [60, 118])
    values = np.arange(1.0, len(known) + 1)
    stream = Stream.of(at(known), values[:, None], "end", at(arrived))
    found = sample(stream, clock, 60 * max_age)
    for n, time in enumerate((clock.times - ORIGIN) // MINUTE):
        c = (30, 90)[clock.day[n]]
        for limit, mine in ((time, found.now), (c, found.then)):
            seen = [
                b for b, (k, a) in enumerate(zip(known, arrived, strict=True)) if a <= time and k <= limit
            ]
            last = max(seen, default=None)
            fresh = last is not None and limit - known[last] <= max_age
            expected = values[last] if fresh else np.nan
            np.testing.assert_equal(mine[n, 0], expected)
            if mine is found.now:
                np.testing.assert_equal(found.age[n], 60.0 * (time - known[last]) if fresh else np.nan)


@given(streams())
def test_on_time_and_without_arrivals_are_the_same(bars):
    known, _ = bars
    clock = a_clock([30, 90], [60, 118])
    values = np.arange(1.0, len(known) + 1)[:, None]
    plain = sample(Stream.of(at(known), values, "start"), clock, 600)
    arrived = Stream(at(known) + MINUTE, at(known) + MINUTE, values)
    general = sample(arrived, clock, 600)
    np.testing.assert_array_equal(plain.now, general.now)
    np.testing.assert_array_equal(plain.then, general.then)


def test_a_late_bar_corrects_later_minutes_only():
    clock = a_clock([30], [40])
    on_time = Stream.of(at([30, 31, 32]), np.array([[1.0], [2.0], [3.0]]), "end")
    late = Stream.of(at([30, 31, 32]), np.array([[1.0], [2.0], [3.0]]), "end", at([35, 31, 37]))
    np.testing.assert_array_equal(sample(on_time, clock, 900).now[:, 0], [2.0] + [3.0] * 9)
    found = sample(late, clock, 900)
    np.testing.assert_array_equal(found.now[:, 0], [2.0] * 6 + [3.0] * 4)
    np.testing.assert_array_equal(found.then[:, 0], [np.nan] * 4 + [1.0] * 6)


def test_the_median_of_the_last_five_minutes():
    clock = a_clock([30], [33])
    stream = Stream.of(at([26, 27, 29, 30, 31]), np.array([[1.0], [9.0], [2.0], [3.0], [50.0]]), "end")
    # as of 30, 29, 28, 27, 26: 3, 2, 9, 9, 1
    np.testing.assert_array_equal(median_then(stream, clock, 900)[:, 0], [3.0] * 3)


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=6))
def test_median_leaves_out_what_is_missing(values):
    column = np.array([np.nan if v is None else v for v in values])
    expected = np.nan if np.isnan(column).all() else np.median(column[~np.isnan(column)])
    np.testing.assert_allclose(median(column[:, None, None])[0, 0], expected)


def test_minutes_from_the_one_after_the_auction_to_new_yorks_close():
    """By hand: New York changed its clock on 10 March 2024, Europe on 31 March, Good Friday was the 29th."""
    clock = Clock.of(LONDON, np.datetime64("2024-03-07"), np.datetime64("2024-04-02"))
    local = pd.DatetimeIndex(new_york_clock(clock.times))
    first = pd.Series(local, index=clock.days[clock.day].astype(str)).groupby(level=0).first()
    assert {day: f"{time:%H:%M}" for day, time in first.items()} == {
        **{f"2024-03-0{d}": "11:37" for d in (7, 8)},
        **{f"2024-03-{d}": "12:37" for d in (11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 25, 26, 27, 28)},
        "2024-04-02": "11:37",
    }
    assert set(local[np.append(np.diff(clock.day) > 0, True)].strftime("%H:%M")) == {"16:00"}


def test_early_closes_on_either_side():
    clock = Clock.of(LONDON, np.datetime64("2024-11-29"), np.datetime64("2024-11-29"))
    local = pd.DatetimeIndex(new_york_clock(clock.times)).strftime("%H:%M")
    assert (local[0], local[-1]) == ("11:37", "13:00")  # the day after Thanksgiving
    clock = Clock.of(LONDON, np.datetime64("2024-12-24"), np.datetime64("2024-12-26"))
    local = pd.DatetimeIndex(new_york_clock(clock.times)).strftime("%H:%M")
    assert (local[0], local[-1]) == ("07:37", "13:00")  # both close early; London is closed on the 26th
    assert clock.days.astype(str).tolist() == ["2024-12-24"]


@given(st.lists(st.integers(0, 366 * 24 * 60), min_size=1, max_size=50))
def test_new_york_time_is_that_of_the_time_zone(minutes):
    times = np.datetime64("2024-01-01", "ns") + np.array(minutes, dtype="timedelta64[m]")
    zoned = pd.DatetimeIndex(times, tz="UTC").tz_convert("America/New_York").tz_localize(None)
    np.testing.assert_array_equal(new_york_clock(times), zoned.to_numpy().astype("datetime64[ns]"))
