"""US prices at foreign closes, on bars written by hand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from adr_inputs_desk import FILES, make_desk, write, write_us_bars

from kairos.adr.align import align, read_bars, read_factors, read_us_closes, us_closes_name
from kairos.adr.desk import INDEX_CLOSES, ORDINARY_CLOSES, US_FACTORS, US_MINUTES, Desk
from kairos.adr.files import read_prices
from kairos.adr.instruments import read_instruments
from kairos.errors import InputError
from kairos.market import sessions
from kairos.settings import load

REAL = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
WRITER = REAL.parent / "tools" / "real_adr_desk.py"

LONDON = 'adr.exchanges=["XLON"]'


def add_factors(root, *rows):
    """Rows of ticker, ex-date, factor, operator, flag."""
    write(root, US_FACTORS, FILES[US_FACTORS] + "".join(row + "\n" for row in rows))


def prices_at_london(desk):
    align(desk)
    return pd.read_csv(desk.path(us_closes_name("XLON")), index_col=0)


def test_the_bar_known_at_the_close_of_that_very_day(tmp_path):
    """11:36 in New York, 12:36 between the two changes of the clock; 7:36 on London's half-day."""
    bars = {}
    for day in ("2024-03-08", "2024-03-11", "2024-03-28", "2024-04-02", "2024-12-23", "2024-12-24"):
        bars |= {f"{day} 07:35": 1.0, f"{day} 11:34": 2.0, f"{day} 11:35": 3.0, f"{day} 11:36": 4.0}
        bars |= {f"{day} 12:34": 5.0, f"{day} 12:35": 6.0, f"{day} 12:36": 7.0}
    write_us_bars(tmp_path, "AAPL", bars)
    found = prices_at_london(make_desk(tmp_path, LONDON))["AAPL"].dropna()
    assert found.to_dict() == {
        "2024-03-08": 3.0,
        "2024-03-11": 6.0,
        "2024-03-28": 6.0,
        "2024-04-02": 3.0,
        "2024-12-23": 3.0,
        "2024-12-24": 1.0,
    }
    found = prices_at_london(make_desk(tmp_path, LONDON, "adr.bar_label.us=end"))["AAPL"].dropna()
    assert found["2024-03-08"] == 4.0
    assert found["2024-03-11"] == 7.0


def test_rows_are_the_days_on_which_both_traded(tmp_path):
    write_us_bars(tmp_path, "AAPL", {"2024-07-03 11:30": 1.0, "2024-08-30 11:30": 1.0})
    dates = prices_at_london(make_desk(tmp_path, LONDON)).index
    assert dates[0] == "2024-07-03"
    assert dates[-1] == "2024-08-30"
    assert "2024-07-04" not in dates  # Independence Day
    assert "2024-08-26" not in dates  # London's bank holiday
    assert len(dates) == 41  # 43 weekdays


def test_no_row_after_the_end(tmp_path):
    write_us_bars(tmp_path, "AAPL", {"2024-03-07 11:30": 1.0, "2024-03-12 11:30": 1.0})
    desk = make_desk(tmp_path, LONDON, "adr.end=2024-03-08", "adr.start=2024-03-08")
    assert prices_at_london(desk).index.tolist() == ["2024-03-07", "2024-03-08"]
    with pytest.raises(InputError, match=r"the first bar is of 2024-03-07, after adr.end = 2024-01-05"):
        align(make_desk(tmp_path, LONDON, "adr.end=2024-01-05"))


def test_a_stale_bar_is_missing(tmp_path):
    days = {"2024-03-07": "10:35", "2024-03-08": "10:34", "2024-03-11": "11:35"}  # an hour is allowed
    write_us_bars(tmp_path, "AAPL", {f"{day} {clock}": 5.0 for day, clock in days.items()})
    write_us_bars(tmp_path, "MSFT", {"2024-03-08 11:00": np.nan, "2024-03-08 11:30": 7.0})
    found = prices_at_london(make_desk(tmp_path, LONDON))
    np.testing.assert_array_equal(found["AAPL"], [5, np.nan, 5])
    np.testing.assert_array_equal(found["MSFT"], [np.nan, 7, np.nan])


def test_prices_strictly_before_the_ex_date_are_adjusted(tmp_path):
    """A 4-for-1 split and a dividend on one date, and a later dividend."""
    days = ["2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11"]
    raw = [400.0, 404.0, 101.0, 102.0, 103.0]
    clock = ["11:30"] * 4 + ["12:30"]
    bars = {f"{day} {at}": price for day, at, price in zip(days, clock, raw, strict=True)}
    write_us_bars(tmp_path, "AAPL", bars)
    write_us_bars(tmp_path, "MSFT", bars)
    add_factors(
        tmp_path,
        "AAPL US Equity,2024-03-11,0.98,2,1",
        "AAPL US Equity,2024-03-07,4.0,1.0,3.0",
        "AAPL US Equity,2024-03-07,0.99,2.0,1.0",
        "AAPL US Equity,2024-03-06,10,1,2",  # adjusts volumes only
        "AAPL US Equity,2024-03-01,0.5,2,1",  # before the first bar
    )
    desk = make_desk(tmp_path, LONDON)
    found = prices_at_london(desk)
    expected = [400 / 4 * 0.99 * 0.98, 404 / 4 * 0.99 * 0.98, 101 * 0.98, 102 * 0.98, 103]
    np.testing.assert_allclose(found["AAPL"], expected, rtol=1e-15)
    np.testing.assert_array_equal(found["MSFT"], raw)
    assert "1 US tickers have no adjustment factor" in " ".join(align(desk).remarks())


def test_later_bars_change_nothing_and_later_factors_no_return(tmp_path):
    rng = np.random.default_rng(3)
    days = sessions("2024-02-26", "2024-04-19", "XNYS").astype(str)
    bars = {
        f"{day} {hour:02d}:{minute:02d}": price
        for day in days
        for hour in (10, 11, 12)
        for minute, price in zip(range(0, 60, 7), rng.uniform(90, 110, 9), strict=True)
    }
    write_us_bars(tmp_path, "AAPL", bars)
    whole = prices_at_london(make_desk(tmp_path, LONDON))
    early = {stamp: price for stamp, price in bars.items() if stamp < "2024-03-19 13"}
    write_us_bars(tmp_path, "AAPL", early)
    pd.testing.assert_frame_equal(prices_at_london(make_desk(tmp_path, LONDON)), whole[:"2024-03-19"])
    write_us_bars(tmp_path, "AAPL", bars)
    add_factors(tmp_path, "AAPL US Equity,2024-04-10,3,1,3")
    split = prices_at_london(make_desk(tmp_path, LONDON))[:"2024-03-19"]
    np.testing.assert_allclose(split, whole[:"2024-03-19"] / 3, rtol=1e-15)
    np.testing.assert_allclose(split.pct_change(), whole[:"2024-03-19"].pct_change(), rtol=1e-12)


def test_exchanges_differ(tmp_path):
    """Copenhagen closes at 17:00 and Xetra's auction is over at 17:36, an hour ahead of London's clock."""
    bars = {"10:58": 1.0, "10:59": 2.0, "11:35": 3.0}
    write_us_bars(tmp_path, "AAPL", {f"2024-03-08 {at}": price for at, price in bars.items()})
    desk = make_desk(tmp_path, 'adr.exchanges=["XLON", "XETR", "XCSE"]')
    report = align(desk)
    found = {one: read_us_closes(desk, one).column("AAPL").tolist() for one in ("XLON", "XETR", "XCSE")}
    assert found == {"XLON": [3.0], "XETR": [3.0], "XCSE": [2.0]}
    columns, rows = report.table()
    assert columns[:2] == ["exchange", "source"]
    assert [row[:2] for row in rows] == [["XCSE", "bars"], ["XETR", "bars"], ["XLON", "bars"]]


def test_the_users_file_is_used_and_left_alone(tmp_path):
    write_us_bars(tmp_path, "AAPL", {"2024-03-08 11:35": 3.0})
    desk = make_desk(tmp_path, 'adr.exchanges=["XLON", "XETR"]')
    own = "date,AAPL\n2024-03-08,99\n"
    path = write(tmp_path, us_closes_name("XLON"), own)
    report = align(desk)
    assert path.read_text() == own
    assert {one.exchange: one.source for one in report.exchanges} == {"XLON": "user", "XETR": "bars"}
    assert "The user's own files of XLON are used" in " ".join(report.remarks())
    align(desk)  # the desk's own file of Xetra is made anew
    align(make_desk(tmp_path, LONDON, force=True))
    assert read_us_closes(desk, "XLON").column("AAPL").tolist() == [3.0]


def test_without_bars_every_file_must_be_there(tmp_path):
    desk = make_desk(tmp_path, LONDON)
    with pytest.raises(InputError) as caught:
        align(desk)
    assert us_closes_name("XLON") in str(caught.value)
    assert f"{US_MINUTES}/ticker=*/data.parquet" in str(caught.value)
    write(tmp_path, us_closes_name("XLON"), "date,AAPL US Equity\n2024-03-08,99\n")
    desk.path(US_FACTORS).unlink()  # not needed then
    assert [one.source for one in align(desk).exchanges] == ["user"]
    assert read_us_closes(desk, "XLON").names == ("AAPL",)


def test_factors_are_required_for_bars(tmp_path):
    write_us_bars(tmp_path, "AAPL", {"2024-03-08 11:35": 3.0})
    desk = make_desk(tmp_path, LONDON)
    desk.path(US_FACTORS).unlink()
    with pytest.raises(InputError, match=r"adjustment_factors.csv: the file is missing"):
        align(desk)


def test_an_exchange_that_closes_before_new_york_opens(tmp_path):
    write_us_bars(tmp_path, "SONY", {"2024-03-08 11:35": 3.0})
    text = FILES["data/raw/close_time_offsets.csv"] + "XTKS,1min\n"
    write(tmp_path, "data/raw/close_time_offsets.csv", text)
    futures = FILES["data/raw/futures_symbols.csv"] + "\nNIY,NH,NIY,NKY,JPY\n"
    write(tmp_path, "data/raw/futures_symbols.csv", futures)
    for name in ("data/raw/indices/indices_PX_LAST.csv", "data/raw/ordinary/ord_PX_LAST_adjust_all.csv"):
        write(tmp_path, name, "date,NKY,6758 JP Equity\n")
    with pytest.raises(InputError, match="no bar at any close of XTKS"):
        align(make_desk(tmp_path, 'adr.exchanges=["XTKS"]'))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("AAPL,2024-03-07,0,2,1", "row 2: adjustment_factor is '0'; expected a number above 0"),
        ("AAPL,2024-03-07,,2,1", "row 2: adjustment_factor is ''"),
        ("AAPL,2024-03-07,1.5,3,1", "row 2: adjustment_factor_operator_type is '3'; expected 1"),
        ("AAPL,2024-03-07,1.5,,1", "row 2: adjustment_factor_operator_type is ''"),
        ("AAPL,03/07/2024,1.5,2,1", "row 2: adjustment_date is '03/07/2024'; expected a date"),
        ("AAPL,2024-03,1.5,2,1", "row 2: adjustment_date is '2024-03'; expected a date"),
        ("AAPL,NaT,1.5,2,1", "row 2: adjustment_date is 'NaT'; expected a date"),
    ],
)
def test_factors_that_make_no_sense(tmp_path, row, said):
    desk = make_desk(tmp_path)
    add_factors(tmp_path, row)
    with pytest.raises(InputError) as caught:
        read_factors(desk)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("bars", "kind", "said"),
    [
        ({"2024-03-08 11:31": 1, "2024-03-08 11:30": 1}, None, "2024-03-08 11:30:00 (number 2) stands after"),
        ({"2024-03-08 11:30": 1, "2024-03-08 11:31": 0}, None, "(number 2) has the price 0.0"),
        ({"2024-03-08 11:30": np.inf}, None, "has the price inf"),
        ({"2024-03-08 11:30": 1}, pa.timestamp("us", "UTC"), "expected a timestamp without a timezone"),
        ({"2024-03-08 11:30": 1}, pa.date64(), "expected a timestamp without a timezone"),
    ],
)
def test_bad_bars_are_named(tmp_path, bars, kind, said):
    write_us_bars(tmp_path, "AAPL", bars, kind=kind)
    with pytest.raises(InputError) as caught:
        read_bars(tmp_path / US_MINUTES / "ticker=AAPL" / "data.parquet")
    assert said in str(caught.value)
    assert "ticker=AAPL" in str(caught.value)


def test_repeated_bars_and_files_that_are_not_parquet(tmp_path):
    write_us_bars(tmp_path, "AAPL", {"2024-03-08 11:30:00": 1, "2024-03-08 11:30": 2})
    path = tmp_path / US_MINUTES / "ticker=AAPL" / "data.parquet"
    with pytest.raises(InputError, match="is there twice"):
        read_bars(path)
    path.write_text("no")
    with pytest.raises(InputError, match="ticker=AAPL"):
        read_bars(path)
    with pytest.raises(InputError, match=r"ticker=AAPL/data\.parquet: damaged"):
        align(make_desk(tmp_path, LONDON))


@pytest.mark.realdata
@pytest.mark.skipif(not WRITER.exists(), reason="the real market data are not here")
def test_real_minutes(tmp_path):
    """Every reader on a real directory, and London's closes of 2018 against a query of the bars."""
    subprocess.run([sys.executable, WRITER, "--out", tmp_path], check=True)
    settings = load(overrides=["adr.start=2016-01-04", "adr.end=2023-05-31"])
    desk = Desk(tmp_path, settings)
    instruments = read_instruments(desk)
    assert len(instruments.instruments) == 29
    ordinaries = [one.ordinary for one in instruments.instruments]
    assert read_prices(desk.path(ORDINARY_CLOSES), ordinaries, what="closes").values.shape[1] == 29
    assert read_prices(desk.path(INDEX_CLOSES), ["UKX", "SX5E", "SXXP"], what="levels").values.shape[1] == 3
    assert {one.source for one in align(desk).exchanges} == {"user"}

    shutil.rmtree(desk.path(us_closes_name("XLON")).parent)
    write(tmp_path, US_FACTORS, FILES[US_FACTORS])
    align(desk)
    found = read_us_closes(desk, "XLON")
    assert (str(found.dates[0]), str(found.dates[-1])) == ("2018-02-16", "2018-04-20")
    between = (found.dates >= np.datetime64("2018-03-11")) & (found.dates < np.datetime64("2018-03-25"))
    last = found.dates + np.where(between, 12 * 60 + 35, 11 * 60 + 35).astype("timedelta64[m]")
    with duckdb.connect() as con:
        con.register("closes", pd.DataFrame({"day": found.dates, "last": last}))
        rows = con.sql(f"""
            SELECT ticker, day, arg_max("Close", "DateTime")::DOUBLE AS price
            FROM read_parquet('{desk.path(US_MINUTES)}/*/data.parquet', hive_partitioning = true)
            JOIN closes ON "DateTime" BETWEEN "last" - INTERVAL 60 MINUTE AND "last"
            GROUP BY ALL
        """).df()
    expected = rows.pivot_table(index="day", columns="ticker", values="price")
    expected = expected.reindex(index=pd.DatetimeIndex(found.dates), columns=list(found.names))
    np.testing.assert_array_equal(found.values, expected.to_numpy())
    assert len(rows) > 4000
