"""The last price known at a time, against a plain loop and cases worked out by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adr_inputs_desk import make_desk, write, write_future, write_fx
from hypothesis import given
from hypothesis import strategies as st

from kairos.adr.desk import FUTURES, FX_MINUTES
from kairos.adr.minutes import future_at, fx_at, has_future, has_fx, last_known, new_york_clock
from kairos.errors import InputError
from kairos.market import reference_times


def instants(*texts):
    return np.array(texts, dtype="datetime64[ns]")


@given(
    st.lists(st.integers(0, 60), unique=True, max_size=12),
    st.lists(st.integers(-5, 70 * 60), max_size=12),
    st.sampled_from(["start", "end"]),
    st.integers(0, 900),
)
def test_last_known_is_the_plain_rule(minutes, seconds, label, max_age):
    origin = np.datetime64("2024-03-08T10:00:00", "s")
    minutes = sorted(minutes)
    prices = np.arange(1.0, len(minutes) + 1)
    expected = []
    for second in seconds:
        price = np.nan
        for minute, value in zip(minutes, prices, strict=True):
            known = 60 * (minute + (label == "start"))
            if known <= second and second - known <= max_age:
                price = value
            elif known <= second:
                price = np.nan
        expected.append(price)
    stamps = origin + np.array(minutes, dtype="timedelta64[m]")
    times = origin + np.array(seconds, dtype="timedelta64[s]")
    found = last_known(stamps, prices, times, label=label, max_age=max_age)
    np.testing.assert_array_equal(found, expected)


def test_new_york_clock_through_the_year():
    times = instants("2024-03-08T21:00", "2024-03-11T20:00", "NaT", "2024-11-01T20:00", "2024-11-04T21:00")
    clock = new_york_clock(times)
    assert np.isnat(clock[2])
    assert {str(time)[11:16] for time in clock[~np.isnat(clock)]} == {"16:00"}


class TestFx:
    def test_weeks_in_which_clocks_differ(self, tmp_path):
        """London's auction is over at 11:36 New York time on the 8th, and at 12:36 on the 11th."""
        desk = make_desk(tmp_path)
        bars = {}
        for day in ("2024-03-08", "2024-03-11"):
            bars |= {f"{day} 11:34": 1.1, f"{day} 11:35": 1.2, f"{day} 11:36": 1.3}
            bars |= {f"{day} 12:35": 1.4, f"{day} 12:36": 1.5}
        write_fx(tmp_path, "GBP", bars)
        times = reference_times("XLON", ["2024-03-08", "2024-03-09", "2024-03-11"], 360)
        np.testing.assert_array_equal(fx_at(desk, "GBP", times), [1.2, np.nan, 1.4])
        ends = make_desk(tmp_path, "adr.bar_label.fx=end")
        np.testing.assert_array_equal(fx_at(ends, "GBP", times), [1.3, np.nan, 1.5])

    def test_age_counts_from_when_the_price_was_known(self, tmp_path):
        write_fx(
            tmp_path, "EUR", {"2024-03-08 11:20": 1.1, "2024-03-08 11:21": "nan", "2024-03-08 11:22": ""}
        )
        times = instants("2024-03-08T16:20:59", "2024-03-08T16:21", "2024-03-08T16:36", "2024-03-08T16:36:01")
        found = fx_at(make_desk(tmp_path), "EUR", times)  # known at 11:21, and 15 minutes are allowed
        np.testing.assert_array_equal(found, [np.nan, 1.1, 1.1, np.nan])

    def test_over_midnight_and_times_out_of_order(self, tmp_path):
        write_fx(tmp_path, "EUR", {"2024-03-07 23:58": 1.1, "2024-03-08 00:03": 1.2})
        times = instants("2024-03-08T05:01", "2024-03-08T05:04", "2024-03-08T05:00")
        assert fx_at(make_desk(tmp_path), "EUR", times).tolist() == [1.1, 1.2, 1.1]

    def test_the_dollar_needs_no_file(self, tmp_path):
        desk = make_desk(tmp_path)
        np.testing.assert_array_equal(fx_at(desk, "USD", instants("2024-03-08T16:36", "NaT")), [1, np.nan])
        assert has_fx(desk, "USD")
        assert not has_fx(desk, "GBP")
        with pytest.raises(InputError, match=r"GBPUSD_full_1min.txt: the file is missing"):
            fx_at(desk, "GBP", instants("2024-03-08T16:36"))

    def test_no_time_reads_nothing(self, tmp_path):
        write_fx(tmp_path, "EUR", {"2024-03-08 00:03": 1.2})
        desk = make_desk(tmp_path)
        assert np.isnan(fx_at(desk, "EUR", instants("NaT", "NaT"))).all()
        assert fx_at(desk, "EUR", instants()).shape == (0,)

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("20240308,11:30:00,1,1,1,dear,0\n", "dear"),
            ("20240308,11:30:00,1,1,1,0,0\n", "the bar of 2024-03-08 11:30:00 (number 1) has the price 0.0"),
            ("20240308,11:30:00,1,1,1,1,0\n" * 2, "2024-03-08 11:30:00 (number 2) is there twice"),
            (
                "20240308,11:31:00,1,1,1,1,0\n20240308,11:30:00,1,1,1,1,0\n",
                "2024-03-08 11:30:00 (number 2) stands after 2024-03-08 11:31:00",
            ),
            ("20240308,11:30,1,1,1,1,0\n", "11:30"),
            ("20240308,11:30:00,1,1,1\n", "Line: 1"),
        ],
    )
    def test_defects_are_named(self, tmp_path, rows, said):
        write(tmp_path, f"{FX_MINUTES}/GBPUSD_full_1min.txt", rows)
        with pytest.raises(InputError) as caught:
            fx_at(make_desk(tmp_path), "GBP", instants("2024-03-08T16:36"))
        assert said in str(caught.value)
        assert "GBPUSD_full_1min.txt" in str(caught.value)


class TestFutures:
    def test_the_rate_is_taken_out(self, tmp_path):
        bars = {
            "2024-03-08 16:33": (96_000.0, 1.28),  # 7 500 points at 10 pounds
            "2024-03-08 16:34": (None, 1.28),
            "2024-03-08 16:35": (100_000.0, None),
            "2024-03-08 16:36": (97_536.0, 1.27),
        }
        write_future(tmp_path, "FTUK", bars)
        desk = make_desk(tmp_path)
        times = instants("2024-03-08T16:36", "2024-03-08T16:37", "2024-03-08T16:33", "NaT")
        np.testing.assert_allclose(
            future_at(desk, "FTUK", times), [75_000, 76_800, np.nan, np.nan], rtol=1e-15
        )
        ends = make_desk(tmp_path, "adr.bar_label.futures=end")
        np.testing.assert_allclose(future_at(ends, "FTUK", times)[:3], [76_800, 76_800, 75_000], rtol=1e-15)
        assert has_future(desk, "FTUK")
        assert not has_future(desk, "FESX")

    def test_age_and_several_files(self, tmp_path):
        write_future(tmp_path, "FESX", {"2024-03-08 16:00": (2.0, 1.0)}, file="2025")
        write_future(tmp_path, "FESX", {"2024-03-07 16:00": (1.0, 1.0)}, file="a2024", zone="UTC")
        times = instants("2024-03-07T16:16", "2024-03-07T16:16:01", "2024-03-08T16:16")
        np.testing.assert_array_equal(future_at(make_desk(tmp_path), "FESX", times), [1, np.nan, 2])

    def test_defects_are_named(self, tmp_path):
        desk, time = make_desk(tmp_path), instants("2024-03-08T16:36")
        with pytest.raises(InputError, match="symbol=FTUK: no Parquet file"):
            future_at(desk, "FTUK", time)
        write_future(tmp_path, "FTUK", {"2024-03-08 16:30": (1.0, 1.0)}, zone=None)
        with pytest.raises(InputError, match="expected a timestamp with a timezone"):
            future_at(desk, "FTUK", time)
        write_future(tmp_path, "FTUK", {"2024-03-08 16:30": (-1.0, 1.0)})
        with pytest.raises(InputError, match=r"has the price -1\.0"):
            future_at(desk, "FTUK", time)
        write_future(tmp_path, "FTUK", {"2024-03-08 16:31": (1.0, 1.0), "2024-03-08 16:30": (1.0, 1.0)})
        with pytest.raises(InputError, match=r"bars\.parquet.*16:30:00 .number 2. stands after .*16:31:00"):
            future_at(desk, "FTUK", time)
        write_future(tmp_path, "FTUK", {"2024-03-08 16:30": (1.0, 1.0)})
        write_future(tmp_path, "FTUK", {"2024-03-08 16:30": (1.0, 1.0)}, file="again")
        with pytest.raises(InputError, match=r"2024-03-08 16:30:00 .number 2. is there twice"):
            future_at(desk, "FTUK", time)
        pq.write_table(pa.table({"close": [1.0]}), tmp_path / FUTURES / "symbol=FTUK" / "again.parquet")
        with pytest.raises(InputError, match="no column timestamp, fx_rate; it has close"):
            future_at(desk, "FTUK", time)
        write(tmp_path, f"{FUTURES}/symbol=FTUK/again.parquet", "not parquet")
        with pytest.raises(InputError, match="symbol=FTUK"):
            future_at(desk, "FTUK", time)
