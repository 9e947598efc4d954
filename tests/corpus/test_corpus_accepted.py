"""Input that is odd but right is loaded, and as what it says."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from corpus_cases import ROWS, csv_of, zipped
from corpus_desk import ADR_SETTINGS, copy, done, kairos, replace, sets

from kairos.adr.desk import ORDINARY_CLOSES
from kairos.adr.files import read_prices
from kairos.equity.live.holdings import read_lines
from kairos.equity.universe import read_list
from kairos.textfile import table

SEP = csv_of("SEP")
HEADER, LINE = SEP.splitlines()


def quoted(row: str) -> str:
    """Every value in quotes."""
    return '"' + row.replace(",", '","') + '"'


def turned(row: str) -> str:
    """The last value first."""
    return ",".join(reversed(row.split(",")))


def loaded(folder: Path, name: str, content: str | bytes, query: str) -> list[tuple[Any, ...]]:
    """What the store holds of a file of the vendor."""
    replace(folder / name, content)
    db = folder / "data" / "kairos.duckdb"
    done("equity", "ingest", folder / name, "--db", db)
    with duckdb.connect(str(db), read_only=True) as con:
        return con.execute(query).fetchall()


TICKERS = [
    *("NA", "NULL", "null", "None", "nan", "NaN", "TRUE", "false", "N/A", "-", "inf", "1", "1E5", "007"),
    *(
        "BRK.B",
        "BF/B",
        "O'Neil; DROP TABLE sep;--",
        "../../x",
        "..",
        "/etc/passwd",
        "$(rm -rf x)",
        "`id`",
        "%s",
    ),
    *(
        "{0}",
        "a b",
        "Ünï",
        "😀",
        "=1+1",
        "@x",
        "<script>alert(1)</script>",
        "x" * 300,
        '"',
        '""',
        "\\",
        "#",
        "A,B",
    ),
]


def test_every_ticker_is_kept_as_it_is(tmp_path: Path) -> None:
    cells = ['"' + ticker.replace('"', '""') + '"' for ticker in TICKERS]
    text = "\n".join([HEADER, *(LINE.replace("T0", ticker) for ticker in cells)])
    found = loaded(tmp_path, "SEP.csv", text, "SELECT ticker FROM sep")
    assert sorted(row[0] for row in found) == sorted(TICKERS)
    assert not list(tmp_path.parent.glob("x*")), "no ticker is a path"


def test_words_are_tickers_without_quotes_too(tmp_path: Path) -> None:
    words = [ticker for ticker in TICKERS if ticker.isalnum() and ticker.isascii()]
    text = "\n".join([HEADER, *(LINE.replace("T0", ticker) for ticker in words)])
    found = loaded(tmp_path, "SEP.csv", text, "SELECT ticker FROM sep")
    assert sorted(row[0] for row in found) == sorted(words)


ONE = ("T0", 10.5, 1000.0)
FORMS: Mapping[str, tuple[str, str | bytes]] = {
    "byte order mark": ("SEP.csv", b"\xef\xbb\xbf" + SEP.encode()),
    "lines of Windows": ("SEP.csv", SEP.replace("\n", "\r\n")),
    "no last line end": ("SEP.csv", SEP.rstrip("\n")),
    "blank lines at the end": ("SEP.csv", SEP + "\n\n"),
    "every value quoted": (
        "SEP.csv",
        "\n".join(quoted(line) for line in (HEADER, LINE)),
    ),
    "a header in capitals": ("SEP.csv", f"{HEADER.upper()}\n{LINE}\n"),
    "blanks around names": ("SEP.csv", f"{HEADER.replace(',', ' , ')}\n{LINE}\n"),
    "blanks around values": ("SEP.csv", f"{HEADER}\n{LINE.replace(',', ' , ')}\n"),
    "columns in another order": (
        "SEP.csv",
        "\n".join(map(turned, (HEADER, LINE))),
    ),
    "exponents": ("SEP.csv", csv_of("SEP", volume="1e3", close="1.05E+1")),
    "a name of the vendor": ("SHARADAR_SEP_2_ab12cd.csv", SEP),
    "zip": ("SEP.zip", zipped(**{"SEP.csv": SEP})),
    "zip with a folder and a text": ("SEP.zip", zipped(**{"a/b/SEP.csv": SEP, "readme.txt": "x"})),
    "zip with a path upwards": ("SEP.zip", zipped(**{"../../evil.csv": SEP})),
    "zip with an absolute path": ("SEP.zip", zipped(**{"/evil.csv": SEP})),
    "gzip": ("SEP.csv.gz", gzip.compress(SEP.encode())),
    "the same row twice": ("SEP.csv", SEP + LINE + "\n"),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_forms(form: str, tmp_path: Path) -> None:
    name, content = FORMS[form]
    folder = tmp_path / "a" / "b" / "c"
    assert loaded(folder, name, content, "SELECT ticker, close, volume FROM sep") == [ONE]
    assert not list(tmp_path.rglob("evil*")), "an archive writes nowhere but where it is told to"
    assert not Path("/evil.csv").exists()


@pytest.mark.parametrize(
    ("cells", "query", "expected"),
    [
        ({"close": "1e308", "high": "1e308"}, "SELECT close FROM sep", 1e308),
        ({"close": "5e-324"}, "SELECT close FROM sep", 5e-324),
        ({"volume": "0"}, "SELECT volume FROM sep", 0.0),
        ({"volume": "99999999999999999999"}, "SELECT volume FROM sep", 1e20),
        ({"open": "", "high": "", "low": ""}, "SELECT coalesce(open, high, low) FROM sep", None),
        ({"date": "1900-01-01"}, "SELECT CAST(date AS VARCHAR) FROM sep", "1900-01-01"),
        ({"date": "2000-02-29"}, "SELECT CAST(date AS VARCHAR) FROM sep", "2000-02-29"),
    ],
    ids=str,
)
def test_values(cells: dict[str, str], query: str, expected: object, tmp_path: Path) -> None:
    assert loaded(tmp_path, "SEP.csv", csv_of("SEP", **cells), query) == [(expected,)]


@pytest.mark.parametrize("name", ["SELECT 1; DROP TABLE sep", 'a"b', "x'y", "ü", "../z", "$(id)", "*", "a b"])
def test_an_unknown_column_of_any_name_is_stored(name: str, tmp_path: Path) -> None:
    column = '"' + name.replace('"', '""') + '"'
    text = f"{HEADER},{column}\n{LINE},7\n"
    found = loaded(tmp_path, "SEP.csv", text, f"SELECT {column} FROM sep")
    assert found == [(7.0,)]


def test_names_are_kept_by_every_table(tmp_path: Path) -> None:
    replace(tmp_path / "TICKERS.csv", csv_of("TICKERS", ticker="NA"))
    replace(tmp_path / "SF3.csv", csv_of("SF3", ticker="NULL", investorname="NA"))
    replace(tmp_path / "SF2.csv", csv_of("SF2", ticker="NaN", ownername="NULL"))
    replace(tmp_path / "ACTIONS.csv", csv_of("ACTIONS", ticker="TRUE"))
    db = tmp_path / "data" / "kairos.duckdb"
    done("equity", "ingest", tmp_path, "--db", db)
    with duckdb.connect(str(db), read_only=True) as con:
        assert con.execute("SELECT ticker FROM tickers").fetchall() == [("NA",)]
        assert con.execute("SELECT ticker, investorname FROM sf3").fetchall() == [("NULL", "NA")]
        assert con.execute("SELECT ticker, ownername FROM sf2").fetchall() == [("NaN", "NULL")]
        assert con.execute("SELECT ticker FROM actions").fetchall() == [("TRUE",)]


ODD = {
    "plain": lambda text: text.encode(),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "lines of an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "quoted": lambda text: "\n".join(
        '"' + r.replace(",", '","') + '"' for r in text.split("\n") if r
    ).encode(),
    "blanks": lambda text: text.replace(",", " , ").encode(),
    "blank lines": lambda text: text.replace("\n", "\n\n").encode(),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_lists_of_users(odd: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    replace(path, odd("date,ticker,x\n2023-01-03,NA,1\n2023-01-04,NULL,2\n2023-01-04,../x,3\n"))
    rows = read_list(path)
    assert rows["ticker"].to_pylist() == ["NA", "NULL", "../x"]
    assert [str(day) for day in rows["date"].to_pylist()] == ["2023-01-03", "2023-01-04", "2023-01-04"]
    replace(path, odd("ticker,shares,value\nNA,10,\nO'Neil; --,,-5.5e3\nCASH,,1\n"))
    assert [(line.ticker, line.shares, line.value) for line in read_lines(path)] == [
        ("NA", 10.0, None),
        ("O'Neil; --", None, -5500.0),
        ("CASH", None, 1.0),
    ]
    replace(path, odd("date,return\n2023-01-03,+0.5\n2023-01-04,NaN\n2023-01-05,\n"))
    found = table(path, {"date": "date", "return": "number"})["return"].to_pylist()
    assert found == [0.5, None, None]


@pytest.mark.parametrize("name", ["NA", "NULL", "nan", "BRK/B", "../x", "O'Neil; --", "😀"])
def test_wide_files_keep_their_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    replace(path, f"date,{name}\r\n2024-01-02, 1.5 \r\n2024-01-03,#N/A N/A\r\n")
    prices = read_prices(path, what="closes")
    assert prices.names == (name,)
    np.testing.assert_array_equal(prices.values, [[1.5], [np.nan]])


@pytest.mark.parametrize("odd", [o for name, o in ODD.items() if name != "lines of an old Mac"])
def test_the_adr_desk_reads_odd_closes(odd: Callable[[str], bytes], adr: Path, tmp_path: Path) -> None:
    desk = copy(adr, tmp_path / "desk")
    text = (desk / ORDINARY_CLOSES).read_text()
    replace(desk / ORDINARY_CLOSES, odd(text))
    done("adr", "features", "--data", desk, *sets(ADR_SETTINGS))
    made = "data/processed/models/with_us_stocks/features/BAB.parquet"
    assert (desk / made).read_bytes() == (adr / made).read_bytes()


def test_rows_cover_every_table() -> None:
    from kairos.equity.vendor import TABLES

    assert set(ROWS) == {one.name.upper() for one in TABLES}


@pytest.mark.parametrize("settings", ["", "# a remark\n", "[run]\r\nworkers = 1\r\n"])
def test_odd_settings(settings: str, tmp_path: Path) -> None:
    replace(tmp_path / "kairos.toml", settings)
    assert kairos("config", "check", "--config", tmp_path / "kairos.toml").code == 0
