"""Rows page by page: what is asked, what is written, what is kept."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import Call, Handler, Raw, Vendor, once

from kairos.equity.download import DownloadReport
from kairos.equity.vendor import TABLES
from kairos.errors import InputError, WorkError

Get = Callable[..., DownloadReport]


def rows_of(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.reader(text))


def test_all_pages_arrive_in_order(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    report = get("SEP", since="2024-01-01")
    file = tmp_path / "out" / "SHARADAR_SEP.csv"
    found = rows_of(file)
    assert found[0] == ["ticker", "date", "close", "lastupdated"]
    assert [row[1] for row in found[1:]] == [f"2024-01-{day:02}" for day in range(1, 26)]
    assert [call.cursor for call in vendor.pages("SEP")] == [None, "after-10", "after-20"]
    assert {call.query["qopts.per_page"] for call in vendor.pages("SEP")} == {"10"}
    done = report["sep"]
    assert (done.state, done.way, done.rows, done.bytes) == ("new", "pages", 25, file.stat().st_size)
    assert (done.calls, done.file) == (3, str(file))
    assert not list(file.parent.glob("*.part"))


def test_since_reaches_the_service(get: Get, vendor: Vendor) -> None:
    assert get("SEP", since="2024-01-20")["sep"].rows == 6
    assert {call.query["lastupdated.gte"] for call in vendor.calls} == {"2024-01-20"}


@pytest.mark.parametrize(
    ("table", "filters"),
    [
        ("SEP", {"lastupdated.gte": "2024-03-31"}),
        ("DAILY", {"lastupdated.gte": "2024-03-31"}),
        ("SF1", {"lastupdated.gte": "2024-03-31"}),
        ("SF2", {"filingdate.gte": "2024-03-17"}),
        ("SF3", {"calendardate.gte": "2023-12-22"}),
        ("ACTIONS", {"date.gte": "2024-02-29"}),
        ("SP500", {"date.gte": "2024-02-29"}),
        ("TICKERS", {}),
        ("METRICS", {}),
    ],
)
def test_filter_of_each_table(get: Get, vendor: Vendor, table: str, filters: dict[str, str]) -> None:
    vendor.table(table, "ticker lastupdated filingdate calendardate date", *[["A", *4 * ["2024-04-01"]]])
    report = get(table, since="2024-03-31")
    for call in vendor.calls:
        assert {k: v for k, v in call.query.items() if k.endswith(".gte")} == filters
    name, value = next(iter(filters.items()), ("", ""))
    asked = f"{name.removesuffix('.gte')} ≥ {value}" if filters else "everything"
    assert report[table.lower()].asked == asked


def test_every_table_is_covered_above() -> None:
    assert len(TABLES) == 9
    for table in TABLES:
        assert table.since is None or table.column(table.since)


def test_values_survive_to_the_last_digit(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    numbers = ["0.1", "1e-7", "12345678901234567890", "0.30000000000000004", "1.10", "-0.0", "1E+2", "3"]
    vendor.table(
        "TICKERS",
        "name value flag",
        *([f"N{n}", Raw(text), None] for n, text in enumerate(numbers)),
        ['Smith, Jones & "Sons"', Raw("null"), True],
        ["Ünï–cödé 株", None, False],
        ["two\nlines", None, None],
        ["", None, None],
    )
    get("TICKERS", since="2024-01-01")
    found = rows_of(tmp_path / "out" / "SHARADAR_TICKERS.csv")[1:]
    assert [row[1] for row in found[:8]] == numbers
    assert found[8:] == [
        ['Smith, Jones & "Sons"', "", "true"],
        ["Ünï–cödé 株", "", "false"],
        ["two\nlines", "", ""],
        ["", "", ""],
    ]


def test_nothing_new_is_no_file(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    vendor.table("DAILY", "ticker date lastupdated", ["A", "2024-01-02", "2024-01-02"])
    report = get("SEP", "DAILY", since="2024-01-20")
    assert (report["daily"].state, report["daily"].rows, report["daily"].file) == ("empty", 0, None)
    assert report.remarks() == ["no new rows, no file: daily"]
    visible = [path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert visible == ["SHARADAR_SEP.csv"]
    again = get("SEP", "DAILY", since="2024-01-26")
    assert again.remarks() == ["no table has new rows: there is nothing to load"]
    assert again.files == ()
    assert not (tmp_path / "out" / "SHARADAR_SEP.csv").exists(), "a file of an earlier download is no news"


def test_a_second_download_replaces_the_first(get: Get, tmp_path: Path) -> None:
    get("SEP", since="2024-01-01")
    report = get("SEP", since="2024-01-24")
    assert (report["sep"].state, report["sep"].rows) == ("new", 2)
    assert len(rows_of(tmp_path / "out" / "SHARADAR_SEP.csv")) == 3


def change_columns(handler: Handler, call: Call) -> bool:
    data = handler.vendor.tables["SEP"]
    data.columns = [name.replace("close", "closing") for name in data.columns]
    return False


def test_columns_that_change_on_the_way_are_an_error(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    vendor.tricks.append(once(change_columns, lambda call: call.cursor == "after-10"))
    with pytest.raises(WorkError, match=r"columns changed between two pages \(close, closing\)"):
        get("SEP", since="2024-01-01")
    assert not list((tmp_path / "out").glob("SHARADAR*"))
    assert get("SEP", since="2024-01-01")["sep"].rows == 25
    assert "closing" in rows_of(tmp_path / "out" / "SHARADAR_SEP.csv")[0]


def test_a_cursor_that_stands_still_is_an_error(get: Get, vendor: Vendor) -> None:
    def stand_still(handler: Handler, call: Call) -> bool:
        body = handler.page(call).replace(b'"after-20"', b'"after-10"')  # type: ignore[attr-defined]
        handler.reply(200, body)
        return True

    vendor.tricks.append(once(stand_still, lambda call: call.cursor == "after-10"))
    with pytest.raises(WorkError, match="same page again"):
        get("SEP", since="2024-01-01")


@pytest.mark.parametrize("name", ["SHARADAR_SEP.csv", "SHARADAR_SEP_2_abc.zip", "sep.parquet"])
def test_a_file_of_the_user_is_never_replaced(get: Get, vendor: Vendor, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match="is in the way"):
        get("SEP", since="2024-01-01")
    assert mine.read_text() == "mine"
    assert vendor.calls == []
    vendor.table("DAILY", "ticker date lastupdated", ["A", "2024-01-02", "2024-01-02"])
    assert get("DAILY", since="2024-01-01")["daily"].rows == 1, "other tables have room beside it"


def test_an_export_and_news_do_not_share_a_folder(get: Get) -> None:
    get("SEP")
    with pytest.raises(InputError, match=r"SHARADAR_SEP\.zip is in the way"):
        get("SEP", since="2024-01-01")
