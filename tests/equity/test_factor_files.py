"""Factor files as French and others write them, and what is wrong with those that are refused."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kairos.equity.backtest.factors import align, read_factors
from kairos.errors import InputError

REAL = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))

FRENCH = """This file was created by CMPT_ME_BEME_RETS using the 202307 CRSP database.
The 1-month TBill return is from Ibbotson and Associates, Inc.

,Mkt-RF,SMB,HML,RF
20230103,   -0.45,   0.01,    0.75,   0.017
20230104,    0.90,   0.43,    0.10,   0.017
20230105,   -1.24, -99.99,    0.91,   0.017
20230106,    2.21,  -0.03,   -0.45,   0.017

Copyright 2023 Kenneth R. French
"""

OWN = """date,value,quality
2023-01-03,0.0045,-0.0012
2023-01-04,-0.0090,
2023-01-06,0.0124,0.0031
"""


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def written(folder: Path, text: str, name: str = "factors.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_frenchs_file(tmp_path: Path) -> None:
    found = read_factors(written(tmp_path, FRENCH))
    assert found.names == ("Mkt-RF", "SMB", "HML")
    assert (found.unit, found.detected) == ("percent", True)
    assert found.dates.tolist() == days("2023-01-03", "2023-01-04", "2023-01-05", "2023-01-06").tolist()
    np.testing.assert_allclose(found.values[1], [0.0090, 0.0043, 0.0010])
    assert np.isnan(found.values[2, 1])
    np.testing.assert_allclose(found.risk_free, 0.00017)


def test_a_file_of_ones_own_in_any_order(tmp_path: Path) -> None:
    head, *lines = OWN.splitlines()
    found = read_factors(written(tmp_path, "\r\n".join([head, *reversed(lines)]) + "\r\n"))
    assert (found.names, found.unit) == (("value", "quality"), "decimal")
    assert found.risk_free is None
    np.testing.assert_array_equal(found.values, [[0.0045, -0.0012], [-0.0090, np.nan], [0.0124, 0.0031]])


def test_the_unit_is_the_users_word(tmp_path: Path) -> None:
    path = written(tmp_path, OWN)
    found = read_factors(path, unit="percent")
    assert (found.unit, found.detected) == ("percent", False)
    np.testing.assert_allclose(found.values[0], [0.000045, -0.000012])


def test_a_unit_that_cannot_be_told(tmp_path: Path) -> None:
    path = written(tmp_path, "date,f\n2023-01-03,0.1\n2023-01-04,-0.05\n2023-01-05,0.02\n")
    with pytest.raises(InputError, match="could be percent or decimal: name the unit"):
        read_factors(path)


def test_sessions_without_factors_are_counted_and_said(tmp_path: Path) -> None:
    factors = read_factors(written(tmp_path, FRENCH))
    sessions = days("2022-12-30", "2023-01-03", "2023-01-05", "2023-01-06", "2023-01-09")
    found = align(factors, sessions)
    assert found.rows.tolist() == [1, 3]
    np.testing.assert_allclose(found.values, [[-0.0045, 0.0001, 0.0075], [0.0221, -0.0003, -0.0045]])
    np.testing.assert_allclose(found.risk_free, 0.00017)
    assert found.said == (
        "Factors factors.csv: returns in percent (told from their size); 3 of 5 sessions are left out: "
        "2 not in the file, 1 without a value."
    )
    own = align(read_factors(written(tmp_path, OWN), unit="decimal"), days("2023-01-03", "2023-01-06"))
    assert own.said == "Factors factors.csv: returns in decimal (as named), no risk-free rate."
    assert own.risk_free.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match=r"no session between 1999-01-04 and 1999-01-04 has all of Mkt-RF"):
        align(factors, days("1999-01-04"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FRENCH.replace("0.43", "0.4x"), r"line 6, column SMB: '0.4x' is not a number"),
        (FRENCH.replace("20230105", "20230230"), r"line 7, column date: '2023-02-30' is not a date"),
        (OWN.replace("2023-01-04", "2023-13-04"), r"line 3, column date: '2023-13-04' is not a date"),
        (OWN.replace("2023-01-04", "4.1.2023"), r"line 3: '4.1.2023,-0.0090,' does not begin with a date"),
        (OWN.replace("2023-01-06", "06/01/2023"), "line 4: '06/01/2023,0.0124,0.0031' does not begin"),
        (OWN + "2023-01-0,0.1\n", "line 5: '2023-01-0,0.1' does not begin"),
        (OWN.replace("-0.0090,", "-0.0090"), "line 3: 2 values, but 3 names"),
        (OWN.replace("\n2023-01-06", "\n\n2023-01-06"), "line 4: '' does not begin with a date"),
        (OWN.replace("2023-01-04", "2023-01-03"), "2023-01-03 stands there twice"),
        (OWN.replace("quality", "value"), "line 1: a name is missing or stands there twice"),
        (OWN.replace("quality", ""), "line 1: a name is missing"),
        ("date\n2023-01-03\n2023-01-04\n", "line 1: a name is missing"),
        ("2023-01-03,0.1\n", "line 1: the names of the factors must stand above it"),
        (",Mkt-RF,RF\n202301,  6.65,  0.35\n", "its dates are months: take the daily file"),
        ("nothing\n", "no line begins with a date"),
        ("date,rf\n2023-01-03,0.01\n", "it has no factor, only rf"),
    ],
)
def test_a_malformed_file_is_refused_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_factors(written(tmp_path, text))


def test_files_that_are_no_factors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_factors(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"date,\xe9\n")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_factors(tmp_path / "latin.csv")
    written(tmp_path, "text", "bad.parquet")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        read_factors(tmp_path / "bad.parquet")


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "factors.parquet"
    when = [dt.date(2023, 1, 4), dt.date(2023, 1, 3)]
    pq.write_table(pa.table({"mkt": [0.9, -0.5], "date": when, "RF": [0.01, 0.02]}), path)
    found = read_factors(path)
    assert (found.names, found.unit) == (("mkt",), "percent")
    np.testing.assert_allclose(found.values, [[-0.005], [0.009]])
    np.testing.assert_allclose(found.risk_free, [0.0002, 0.0001])
    wrong = {
        "needs a column date": pa.table({"mkt": [0.9]}),
        "column region holds": pa.table({"date": when, "mkt": [0.9, 0.1], "region": ["US", "US"]}),
        "row 2: the date is missing": pa.table({"date": [when[0], None], "mkt": [0.9, 0.1]}),
        "there is no return": pa.table({"date": when}),
        "column date holds": pa.table({"date": ["a", "b"], "mkt": [0.9, 0.1]}),
    }
    for message, table in wrong.items():
        pq.write_table(table, path)
        with pytest.raises(InputError, match=message):
            read_factors(path)


@pytest.mark.realdata
@pytest.mark.skipif(not (REAL / "ff_factors.parquet").exists(), reason="the real data are not here")
def test_frenchs_daily_factors(tmp_path: Path) -> None:
    """A century of the United States: percent is told, the market's volatility is known."""
    rows = (
        pq.read_table(REAL / "ff_factors.parquet").filter(pc.field("region") == "US").drop_columns("region")
    )
    pq.write_table(rows, tmp_path / "us.parquet")
    found = read_factors(tmp_path / "us.parquet")
    assert (found.unit, found.names) == ("percent", ("mktrf", "smb", "hml", "mom"))
    recent = found.dates >= np.datetime64("2000-01-01")
    assert 0.15 < found.values[recent, 0].std() * np.sqrt(252) < 0.25
    sessions = found.dates[:400]
    assert f"{400 - len(align(found, sessions).rows)} of 400 sessions" in align(found, sessions).said
