"""Setting bad rows aside: what is left is loaded, what is set aside is counted and can be found again."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from kairos.equity.ingest import IngestReport
from kairos.errors import InputError
from kairos.store import Store

Load = Callable[..., IngestReport]
Write = Callable[..., Path]

HEADER = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated"
TEXT = "\n".join(
    [
        HEADER,
        "A,2024-01-02,10,11,9,10.5,1000,10.4,10.5,2024-01-03",
        "A,2024-01-03,10,11,9,-1,1000,10.4,10.5,2024-01-04",
        "",
        '"B, c",2024-01-02,10,11,9,x,1000,10.4,10.5,2024-01-03',
        "C,2024-01-02,10",
        "D,2024-01-02,10,11,9,10.5,1000,10.4,10.5,2024-01-03",
        "D,2024-01-02,10,11,9,10.6,1000,10.4,10.5,2024-01-03",
        "E,2024-01-02,10,11,9,0,1000,10.4,10.5,2024-01-03",
        "F,2024-01-02,10,11,9,10.5,1000,10.4,10.5,2024-01-03",
        "",
    ]
)


def test_bad_rows_are_set_aside(store: Store, load: Load, vendor_file: Write, tmp_path: Path) -> None:
    path = vendor_file("SHARADAR_SEP.csv", TEXT)
    aside = tmp_path / "rejects.csv"
    report = load(path, reject=aside)
    assert report.reject == str(aside)
    assert report["sep"].read == 8
    assert report["sep"].new == 2
    assert report["sep"].rejected == {
        "close: not a number": 1,
        "close: not above zero": 2,
        "close: differs between rows of the same key and lastupdated": 2,
        "too few values": 1,
    }
    assert store.snapshot().read("sep", ["ticker"])["ticker"].to_pylist() == ["A", "F"]
    with aside.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["table"], r["file"]) for r in rows] == [("sep", str(path))] * 6
    lines = TEXT.split("\n")
    assert [(int(r["row"]), r["column"], r["reason"], r["value"]) for r in rows] == [
        (3, "close", "not above zero", "-1"),
        (5, "close", "not a number", "x"),
        (6, "", "too few values", ""),
        (7, "close", "differs between rows of the same key and lastupdated", "10.5"),
        (8, "close", "differs between rows of the same key and lastupdated", "10.6"),
        (9, "close", "not above zero", "0"),
    ]
    for r in rows:
        assert r["content"] == lines[int(r["row"]) - 1]


def test_the_file_of_a_load_without_bad_rows_has_only_its_header(
    store: Store, load: Load, vendor_file: Write, tmp_path: Path
) -> None:
    aside = tmp_path / "rejects.csv"
    aside.write_text("of yesterday")
    load(vendor_file("SHARADAR_SEP.csv", "\n".join(TEXT.split("\n")[:2])), reject=aside)
    assert aside.read_text().strip() == "table,file,row,column,reason,value,content"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SHARADAR_SEP.csv", ""),
        ("SHARADAR_SEP.csv", HEADER),
        ("SHARADAR_SEP.csv", TEXT.replace("closeadj", "adjusted")),
        ("SHARADAR_SEP.zip", "no zip"),
        ("SHARADAR_SEP.csv", TEXT.replace('"B, c"', '"B, c')),
        ("SHARADAR_SEP.csv", "\n".join(TEXT.split("\n")[i] for i in (0, 2, 5))),
    ],
)
def test_a_faulty_file_is_refused_all_the_same(
    store: Store, load: Load, vendor_file: Write, tmp_path: Path, name: str, content: str
) -> None:
    aside = tmp_path / "rejects.csv"
    with pytest.raises(InputError):
        load(vendor_file(name, content), reject=aside)
    assert not store.exists
    assert not aside.exists()


def test_the_folder_of_the_reject_file_must_exist(load: Load, vendor_file: Write, tmp_path: Path) -> None:
    path = vendor_file("SHARADAR_SEP.csv", TEXT)
    with pytest.raises(InputError, match="can't be written"):
        load(path, reject=tmp_path / "nowhere" / "rejects.csv")
    with pytest.raises(InputError, match="can't be written"):
        load(path, reject=tmp_path)


def test_line_numbers_in_a_file_that_several_threads_read(store: Store, load: Load, tmp_path: Path) -> None:
    """Half a million rows; the faults are planted at known lines, some lines are ragged, some blank."""
    rng = np.random.default_rng(3)
    n = 500_000
    duckdb.sql(
        f"""COPY (SELECT 'T' || (i % 1000) AS ticker, DATE '2010-01-01' + CAST(i // 1000 AS INTEGER) AS date,
            10.0 AS open, 11.0 AS high, 9.0 AS low, 10.5 AS close, i AS volume, 10.4 AS closeadj,
            10.5 AS closeunadj, DATE '2024-01-02' AS lastupdated FROM range({n}) AS r(i))
            TO '{tmp_path / "plain.csv"}' (HEADER)"""
    )
    lines = (tmp_path / "plain.csv").read_text().splitlines()
    places = rng.choice(np.arange(1, n + 1), size=900, replace=False)
    wrong, ragged, blank = places[:300], places[300:600], places[600:]
    for place in wrong:
        lines[place] = lines[place].replace(",10.5,", ",ten,", 1)
    for place in ragged:
        lines[place] = lines[place].rsplit(",", 2)[0]
    for place in blank:
        lines[place] = ""
    path = tmp_path / "SEP.csv"
    path.write_text("\n".join(lines))
    aside = tmp_path / "rejects.csv"
    report = load(path, reject=aside)
    assert report["sep"].rejected == {"close: not a number": 300, "too few values": 300}
    assert report["sep"].new == n - 900
    with aside.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["row"]) for r in rows] == sorted(int(place) + 1 for place in places[:600])
    assert all(r["content"] == lines[int(r["row"]) - 1] for r in rows)
    assert report["sep"].last == dt.date(2010, 1, 1) + dt.timedelta(days=499)
