"""Each kind of bad input is refused, named by file, line, column and value; the store stays as it was."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kairos.equity.ingest import IngestReport, ingest
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store import Store

Load = Callable[..., IngestReport]
Write = Callable[..., Path]

HEADER = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated"
GOOD = "A,2024-01-02,10,11,9,10.5,1000,10.4,10.5,2024-01-03"
OTHER = "B,2024-01-02,20,21,19,20.5,0,20.4,20.5,2024-01-03"


def sep(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)
    return buffer.getvalue()


def broken(column: str, value: str) -> str:
    """The good row with another value in one column."""
    values = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | {column: value}
    return ",".join(values.values())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Store:
    """One store for all tests of this module: none of them may change it."""
    folder = tmp_path_factory.mktemp("filled")
    (folder / "SEP.csv").write_text(sep(GOOD, OTHER))
    store = Store(folder / "store" / "kairos.duckdb", memory_limit="1GB", threads=2)
    ingest([folder / "SEP.csv"], store.db, store=store, settings=settings, today=dt.date(2024, 1, 31))
    return store


def refused(store: Store, load: Load, *sources: Path) -> str:
    """The message of a refused load; the snapshot must be the same one as before."""
    before = store.snapshot()
    with pytest.raises(InputError) as caught:
        load(*sources, store=store)
    assert caught.value.exit_code == 2
    after = store.snapshot()
    assert after.id == before.id
    assert after.table("sep").fingerprint == before.table("sep").fingerprint
    return str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("ticker", "", "empty"),
        ("date", "", "empty"),
        ("close", "", "empty"),
        ("closeadj", " ", "empty"),
        ("close", "abc", "not a number"),
        ("close", "nan", "not a number"),
        ("high", "inf", "not a number"),
        ("volume", "-Infinity", "not a number"),
        ("open", '"1,000"', "not a number"),
        ("date", "02/01/2024", "not a date (yyyy-mm-dd)"),
        ("date", "2024-1-2", "not a date (yyyy-mm-dd)"),
        ("date", "20240102", "not a date (yyyy-mm-dd)"),
        ("date", "2024-02-30", "not a date (yyyy-mm-dd)"),
        ("date", "2024-01-02 00:00:00", "not a date (yyyy-mm-dd)"),
        ("date", "2024-02-01", "in the future"),
        ("lastupdated", "2025-01-01", "in the future"),
        ("date", "0024-01-02", "before 1900"),
        ("close", "0", "not above zero"),
        ("open", "-10", "not above zero"),
        ("closeunadj", "-0.01", "not above zero"),
        ("volume", "-1", "below zero"),
        ("high", "8.99", "high is below low"),
        ("ticker", '"A\nB"', "a line break inside the value"),
    ],
)
def test_bad_value(
    filled: Store, load: Load, vendor_file: Write, column: str, value: str, reason: str
) -> None:
    path = vendor_file("SHARADAR_SEP.csv", sep(OTHER, broken(column, value), OTHER.replace("B", "C")))
    message = refused(filled, load, path)
    assert f"{path}: 1 bad row\n  line 3, column {column}: {reason}" in message
    if value.strip():
        assert repr(value.strip('"')) in message
    assert "--reject" in message


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A,2024-01-02,10", "too few values"),
        (GOOD + ",1,2", "too many values"),
        ('"A"x,2024-01-02,10,11,9,10.5,1000,10.4,10.5,2024-01-03', "a quote without its partner"),
    ],
)
def test_ragged_row(filled: Store, load: Load, vendor_file: Write, row: str, reason: str) -> None:
    path = vendor_file("SHARADAR_SEP.csv", sep(OTHER, row, OTHER.replace("B", "C")))
    assert f"{path}: 1 bad row\n  line 3: {reason}" in refused(filled, load, path)


def test_line_numbers_count_blank_ragged_and_continued_lines(
    filled: Store, load: Load, vendor_file: Write
) -> None:
    lines = [
        HEADER,  # 1
        GOOD,
        "",
        broken("ticker", '"A\nB"'),  # 4 and 5
        "A,2024-01-03",  # 6
        "",
        broken("close", "x"),  # 8
        OTHER,
        broken("close", "y"),  # 10
    ]
    path = vendor_file("SHARADAR_SEP.csv", "\n".join(lines))
    message = refused(filled, load, path)
    assert "4 bad rows" in message
    for place in (
        "line 4, column ticker",
        "line 6: too few",
        "line 8, column close: not a number: 'x'",
        "line 10, column close: not a number: 'y'",
    ):
        assert place in message


def test_an_odd_quote_inside_a_value_does_not_move_the_line_numbers(
    filled: Store, load: Load, vendor_file: Write
) -> None:
    header = "table,ticker,name,exchange,isdelisted,category"
    rows = ['SEP,A,12" PIPE CO,NYSE,N,ADR', "SEP,B,x,NYSE,perhaps,ADR"]
    message = refused(filled, load, vendor_file("SHARADAR_TICKERS.csv", "\n".join([header, *rows])))
    assert "line 3, column isdelisted: not Y/N, true/false or 1/0: 'perhaps'" in message


def test_first_five_of_many(filled: Store, load: Load, vendor_file: Write) -> None:
    rows = [broken("date", f"2024-01-{day:02d}").replace("10.5", "-1") for day in range(2, 22)]
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(*rows)))
    assert "20 bad rows" in message
    assert message.count("column close") == 5
    assert "line 6" in message
    assert "line 7" not in message
    assert "and 15 more" in message


def test_the_faults_of_all_tables_are_named(filled: Store, load: Load, vendor_file: Write) -> None:
    vendor_file("SHARADAR_SEP.csv", sep(broken("close", "x")))
    vendor_file("SHARADAR_DAILY.csv", "ticker,date,marketcap\nA,2024-01-02,-5\n")
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(broken("close", "x"))).parent)
    assert "SHARADAR_SEP.csv: 1 bad row" in message
    assert "SHARADAR_DAILY.csv: 1 bad row" in message
    assert "line 2, column marketcap: below zero: '-5'" in message


@pytest.mark.parametrize(
    ("second", "column"),
    [
        (broken("close", "10.6"), "close"),
        (broken("volume", ""), "volume"),
        (broken("open", "9.5").replace("10.4", "10.3"), "open"),
    ],
)
def test_contradictory_rows(filled: Store, load: Load, vendor_file: Write, second: str, column: str) -> None:
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(GOOD, OTHER, second)))
    assert "2 bad rows" in message
    assert f"line 2, column {column}: differs between rows of the same key and lastupdated" in message
    assert f"line 4, column {column}" in message


def test_contradiction_in_a_table_without_lastupdated(filled: Store, load: Load, vendor_file: Write) -> None:
    text = "date,action,ticker,value\n2024-01-02,split,A,2\n2024-01-02,split,A,3\n"
    message = refused(filled, load, vendor_file("SHARADAR_ACTIONS.csv", text))
    assert "line 2, column value: differs between rows of the same key: '2'" in message


def test_missing_column(filled: Store, load: Load, vendor_file: Write) -> None:
    path = vendor_file("SHARADAR_SEP.csv", "ticker,date\nA,2024-01-02\n")
    message = refused(filled, load, path)
    assert f"{path} has no column open, high, low, close, volume, closeadj, lastupdated" in message


def test_misnamed_column(filled: Store, load: Load, vendor_file: Write) -> None:
    text = sep(GOOD, header=HEADER.replace("closeadj", "close_adj"))
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", text))
    assert "has no column closeadj (is it the column close_adj?)" in message


def test_other_separator(filled: Store, load: Load, vendor_file: Write) -> None:
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(GOOD).replace(",", ";")))
    assert "has no column ticker" in message
    assert "ticker;date" in message


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER + ",close", "has the column close twice"),
        (HEADER + ",", "column 11 of the header has no name"),
    ],
)
def test_bad_header(filled: Store, load: Load, vendor_file: Write, header: str, expected: str) -> None:
    assert expected in refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(GOOD + ",1", header=header)))


@pytest.mark.parametrize(
    ("text", "expected"), [("", "is empty"), (HEADER + "\n", "has no rows"), ("\n", "empty")]
)
def test_empty_file(filled: Store, load: Load, vendor_file: Write, text: str, expected: str) -> None:
    path = vendor_file("SHARADAR_SEP.csv", text)
    message = refused(filled, load, path)
    assert str(path) in message
    assert expected in message


def test_wrong_encoding(filled: Store, load: Load, vendor_file: Write) -> None:
    utf16 = vendor_file("SHARADAR_SEP.csv", sep(GOOD).encode("utf-16"))
    assert "line 1: not UTF-8 text" in refused(filled, load, utf16)
    latin = vendor_file("SHARADAR_SEP.csv", sep(GOOD, broken("ticker", "É")).encode("latin-1"))
    assert "line 3: not UTF-8 text" in refused(filled, load, latin)


def test_mixed_line_ends(filled: Store, load: Load, vendor_file: Write) -> None:
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", sep(GOOD + "\r", OTHER)))
    assert "can't be read" in message
    assert "line ends" in message


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_windows_files_keep_their_line_numbers(
    filled: Store, load: Load, vendor_file: Write, bom: bytes
) -> None:
    text = sep(GOOD, "", "A,2024", OTHER, broken("close", "x")).replace("\n", "\r\n")
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", bom + text.encode()))
    assert "line 4: too few values" in message
    assert "line 6, column close: not a number: 'x'" in message


def test_quote_without_end(filled: Store, load: Load, vendor_file: Write) -> None:
    text = sep(GOOD, broken("ticker", '"A'), OTHER, OTHER.replace("B", "C"))
    message = refused(filled, load, vendor_file("SHARADAR_SEP.csv", text))
    assert "line 3: a quoted value that begins here has no end" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("SHARADAR_SEP.zip", b"PK\x03\x04 nothing", "can't be unpacked"),
        ("SHARADAR_SEP.zip", zipped(SHARADAR_SEP=sep(GOOD))[:-30], "can't be unpacked"),
        ("SHARADAR_SEP.zip", zipped(one=sep(GOOD), two=sep(GOOD)), "should hold one CSV file"),
        ("SHARADAR_SEP.zip", zipped(), "it holds none"),
        ("SHARADAR_SEP.zip", zipped(SHARADAR_DAILY_2_ab=sep(GOOD)), "but holds SHARADAR_DAILY_2_ab.csv"),
        ("SHARADAR_SEP.csv.gz", b"\x1f\x8b broken", "can't be unpacked"),
        ("SHARADAR_SEP.csv.gz", gzip.compress(sep(GOOD).encode())[:-9], "can't be unpacked"),
        ("SHARADAR_SEP.csv.gz", sep(GOOD).encode(), "can't be unpacked"),
        ("SHARADAR_SEP.parquet", sep(GOOD).encode(), "can't be read"),
        ("kairos.duckdb", b"no database at all" * 500, "can't be opened as a DuckDB database"),
    ],
)
def test_unreadable_file(
    filled: Store, load: Load, vendor_file: Write, name: str, content: bytes, expected: str
) -> None:
    path = vendor_file(name, content)
    message = refused(filled, load, path)
    assert str(path) in message
    assert expected in message


def test_damaged_zip_content(filled: Store, load: Load, vendor_file: Write) -> None:
    content = bytearray(zipped(SHARADAR_SEP=sep(*(broken("ticker", f"T{i}") for i in range(500)))))
    content[200] ^= 0xFF
    assert "can't be unpacked" in refused(filled, load, vendor_file("SHARADAR_SEP.zip", bytes(content)))


def test_truncated_parquet(filled: Store, load: Load, tmp_path: Path) -> None:
    path = tmp_path / "SEP.parquet"
    pq.write_table(pa.table({name: ["1"] for name in HEADER.split(",")}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert f"{path} can't be read" in refused(filled, load, path)


def test_two_files_for_one_table(filled: Store, load: Load, vendor_file: Write) -> None:
    one = vendor_file("SHARADAR_SEP.csv", sep(GOOD))
    two = vendor_file("SHARADAR_SEP_2_ab12.zip", zipped(SHARADAR_SEP_2_ab12=sep(GOOD)))
    message = refused(filled, load, one.parent)
    assert "2 sources for the table sep" in message
    assert str(one) in message
    assert str(two) in message


def test_nothing_to_load(filled: Store, load: Load, vendor_file: Write, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert "has no vendor table" in refused(filled, load, tmp_path / "nothing")
    assert "does not exist" in refused(filled, load, tmp_path / "nowhere.csv")
    assert "has no vendor table" in refused(filled, load, vendor_file("prices.csv", sep(GOOD)))
    with duckdb.connect(str(tmp_path / "other.duckdb")) as con:
        con.execute("CREATE TABLE prices (x INTEGER)")
    assert "has no vendor table" in refused(filled, load, tmp_path / "other.duckdb")


def test_the_database_itself_is_no_source(filled: Store, load: Load) -> None:
    assert "is the database itself" in refused(filled, load, filled.db)


def test_rows_of_parquet_and_duckdb_are_counted_from_one(filled: Store, load: Load, tmp_path: Path) -> None:
    rows = [GOOD.split(","), broken("close", "-1").replace("A", "C").split(",")]
    columns = {
        name: list(values) for name, values in zip(HEADER.split(","), zip(*rows, strict=True), strict=True)
    }
    path = tmp_path / "SEP.parquet"
    pq.write_table(pa.table(columns), path)
    assert "row 2, column close: not above zero: '-1'" in refused(filled, load, path)
    with duckdb.connect(str(tmp_path / "old.duckdb")) as con:
        con.execute(f"CREATE TABLE SEP AS SELECT * FROM '{path}'")
    message = refused(filled, load, tmp_path / "old.duckdb")
    assert "old.duckdb, table SEP: 1 bad row" in message
    assert "row 2, column close: not above zero: '-1'" in message


def test_parquet_of_the_wrong_type(filled: Store, load: Load, tmp_path: Path) -> None:
    columns = {name: pa.array([1.5]) for name in HEADER.split(",")}
    path = tmp_path / "SEP.parquet"
    pq.write_table(pa.table(columns), path)
    assert "row 1, column date: not a date (yyyy-mm-dd): '1.5'" in refused(filled, load, path)


def test_half_a_day_is_no_date(filled: Store, load: Load, vendor_file: Write, tmp_path: Path) -> None:
    path = tmp_path / "SEP.parquet"
    csv = vendor_file("x.csv", sep(GOOD))
    duckdb.sql(f"COPY (SELECT * REPLACE (TIMESTAMP '2024-01-02 12:00:00' AS date) FROM '{csv}') TO '{path}'")
    assert "row 1, column date: not a date" in refused(filled, load, path)


def test_a_first_load_that_fails_leaves_no_database(store: Store, load: Load, vendor_file: Write) -> None:
    with pytest.raises(InputError):
        load(vendor_file("SHARADAR_SEP.csv", sep(broken("close", "x"))))
    assert not store.exists
