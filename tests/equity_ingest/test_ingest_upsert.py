"""What a load leaves in the store: upserts by hand, by a dictionary, and from every form of file."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kairos.equity.ingest import IngestReport, ingest
from kairos.equity.ingest import load as load_module
from kairos.equity.ingest.merge import merge
from kairos.errors import WorkError
from kairos.settings import Settings
from kairos.store import Store, ledger

Load = Callable[..., IngestReport]
Write = Callable[..., Path]

HEADER = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated"


def row(
    ticker: str, date: str, close: float, updated: str = "2024-01-10", unadjusted: float | None = None
) -> str:
    traded = close if unadjusted is None else unadjusted
    return f"{ticker},{date},{close},{close},{close},{close},100,{close},{traded},{updated}"


def sep(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


def closes(store: Store) -> dict[tuple[str, str], float]:
    rows = store.snapshot().read("sep", ["ticker", "date", "close"]).to_pylist()
    return {(r["ticker"], r["date"].isoformat()): r["close"] for r in rows}


def counts(report: IngestReport, table: str = "sep") -> dict[str, int]:
    row = report[table]
    result = {
        name: getattr(row, name)
        for name in ("new", "changed", "unchanged", "older", "duplicates", "superseded")
    }
    result["rejected"] = sum(row.rejected.values())
    assert sum(result.values()) == row.read
    return {name: count for name, count in result.items() if count}


def test_the_later_lastupdated_wins(store: Store, load: Load, vendor_file: Write) -> None:
    first = vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10), row("B", "2024-01-02", 20)), folder="a")
    second = vendor_file(
        "SEP.csv",
        sep(
            row("A", "2024-01-02", 11, "2024-01-11"),  # later: replaces
            row("B", "2024-01-02", 21, "2024-01-09"),  # earlier: does not
            row("C", "2023-12-29", 30),  # new, in another year
        ),
        folder="b",
    )
    assert counts(load(first)) == {"new": 2}
    assert counts(load(second)) == {"new": 1, "changed": 1, "older": 1}
    assert closes(store) == {("A", "2024-01-02"): 11, ("B", "2024-01-02"): 20, ("C", "2023-12-29"): 30}
    snapshot = store.snapshot()
    assert [(part.lo.year, part.rows) for part in snapshot.table("sep").parts if part.lo] == [
        (2023, 1),
        (2024, 2),
    ]
    assert snapshot.table("sep").fingerprint == snapshot.table("sep_base").fingerprint
    assert snapshot.table("sep").parts == snapshot.table("sep_base").parts


def test_with_equal_lastupdated_the_row_loaded_now_wins(store: Store, load: Load, vendor_file: Write) -> None:
    load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10)), folder="a"))
    report = load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 12)), folder="b"))
    assert counts(report) == {"changed": 1}
    assert closes(store) == {("A", "2024-01-02"): 12}


def test_a_row_without_lastupdated_is_the_oldest(store: Store, load: Load, vendor_file: Write) -> None:
    load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10, "")), folder="a"))
    load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 11, "2020-01-01")), folder="b"))
    assert counts(load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10, "")), folder="a"))) == {
        "older": 1
    }
    assert closes(store) == {("A", "2024-01-02"): 11}


def test_repeats_inside_a_file(store: Store, load: Load, vendor_file: Write) -> None:
    text = sep(
        row("A", "2024-01-02", 10, "2024-01-03"),
        row("A", "2024-01-02", 11, "2024-01-05"),  # the latest
        row("A", "2024-01-02", 9, "2024-01-04"),
        row("B", "2024-01-02", 20),
        row("B", "2024-01-02", 20),  # identical
        row("B", "2024-01-02", 20),
    )
    assert counts(load(vendor_file("SEP.csv", text))) == {"new": 2, "superseded": 2, "duplicates": 2}
    assert closes(store) == {("A", "2024-01-02"): 11, ("B", "2024-01-02"): 20}


def test_loading_twice_changes_nothing(store: Store, load: Load, vendor_file: Write) -> None:
    text = sep(
        *(row("A", f"{year}-06-0{day}", 10 + day) for year in (2021, 2022, 2023) for day in range(1, 9))
    )
    path = vendor_file("SEP.csv", text)
    load(path)
    before = store.snapshot()
    report = load(path)
    assert counts(report) == {"unchanged": 24}
    assert not report.changed
    assert store.snapshot().id == before.id


def test_years_without_a_change_keep_their_parts(store: Store, load: Load, vendor_file: Write) -> None:
    rows = [row("A", f"{year}-06-01", 10) for year in (2021, 2022, 2023)]
    load(vendor_file("SEP.csv", sep(*rows), folder="a"))
    before = store.snapshot().table("sep").parts
    load(vendor_file("SEP.csv", sep(row("A", "2022-06-01", 11)), folder="b"))
    after = store.snapshot().table("sep").parts
    assert (before[0], before[2]) == (after[0], after[2])
    assert before[1] != after[1]


def test_a_readjusted_history_replaces_the_old(store: Store, load: Load, vendor_file: Write) -> None:
    days = ["2024-01-02", "2024-01-03", "2024-01-04"]
    load(vendor_file("SEP.csv", sep(*(row("A", day, 100) for day in days)), folder="a"))
    after_split = [row("A", day, 50, "2024-01-15", unadjusted=100) for day in days]
    report = load(vendor_file("SEP.csv", sep(*after_split, row("A", "2024-01-05", 51)), folder="b"))
    assert counts(report) == {"new": 1, "changed": 3}
    assert closes(store) == {("A", day): 50 for day in days} | {("A", "2024-01-05"): 51}
    assert not any("jumps" in text for text in report["sep"].warnings)


def test_a_history_readjusted_in_part_is_named(store: Store, load: Load, vendor_file: Write) -> None:
    days = [f"2024-01-{day:02d}" for day in range(2, 8)]
    load(vendor_file("SEP.csv", sep(*(row(t, day, 100) for t in "AB" for day in days)), folder="a"))
    late = [row("B", day, 50, "2024-01-15", unadjusted=100) for day in days[3:]]
    report = load(vendor_file("SEP.csv", sep(*late, row("B", "2024-01-09", 51)), folder="b"))
    expected = {"close jumps where closeunadj does not, adjusted in part? (B)": 1}
    assert report["sep"].warnings == expected
    assert store.snapshot().table("sep").meta["warnings"] == expected
    rest = [row("B", day, 50, "2024-01-15", unadjusted=100) for day in days[:3]]
    repaired = load(vendor_file("SEP.csv", sep(*rest), folder="c"))
    assert repaired["sep"].warnings == {}


def test_a_split_without_a_readjusted_history_is_named(store: Store, load: Load, vendor_file: Write) -> None:
    load(vendor_file("SEP.csv", sep(row("A", "2024-01-02", 100), row("B", "2024-01-02", 100)), folder="a"))
    vendor_file("SEP.csv", sep(row("A", "2024-01-03", 51), row("B", "2024-01-03", 52)), folder="b")
    actions = "date,action,ticker,value\n2024-01-03,split,A,2\n"
    path = vendor_file("SHARADAR_ACTIONS.csv", actions, folder="b")
    report = load(path.parent)
    assert (
        report["sep"].warnings[
            "close falls or rises by a split of the table actions, history not adjusted? (A)"
        ]
        == 1
    )


def test_closeunadj_missing_or_equal_to_close(store: Store, load: Load, vendor_file: Write) -> None:
    equal = load(
        vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10), row("A", "2024-01-03", 11)), folder="a")
    )
    text = "closeunadj always equals close: prices as traded and splits are unknown"
    assert equal["sep"].warnings == {text: 2}
    assert store.snapshot().table("sep_base").meta["warnings"] == {text: 2}
    other = load(vendor_file("SEP.csv", sep(row("A", "2024-01-03", 11, unadjusted=22)), folder="b"))
    assert other["sep"].warnings == {}
    without = HEADER.replace("closeunadj,", "") + "\nB,2024-01-02,1,1,1,1,1,1,2024-01-03\n"
    missing = load(vendor_file("SEP.csv", without, folder="c"))
    assert missing["sep"].warnings == {"closeunadj is empty": 1}


def test_an_absent_column_keeps_its_stored_values(store: Store, load: Load, vendor_file: Write) -> None:
    load(vendor_file("DAILY.csv", "ticker,date,marketcap,pe\nA,2024-01-02,10,5\n", folder="a"))
    load(vendor_file("DAILY.csv", "ticker,date,marketcap\nA,2024-01-02,11\nB,2024-01-02,1\n", folder="b"))
    rows = store.snapshot().read("daily", ["ticker", "marketcap", "pe"]).to_pylist()
    assert rows == [
        {"ticker": "A", "marketcap": 11.0, "pe": 5.0},
        {"ticker": "B", "marketcap": 1.0, "pe": None},
    ]


def test_unknown_columns_are_kept_when_their_type_is_clear(
    store: Store, load: Load, vendor_file: Write
) -> None:
    text = "ticker,date,marketcap,zeta,alpha,blank\nA,2024-01-02,10,1.5,NaN,\nB,2024-01-02,11,,x,\n"
    report = load(vendor_file("DAILY.csv", text))
    assert report["daily"].notes == (
        "unknown column alpha: stored as VARCHAR",
        "unknown column blank: no clear type, not stored",
        "unknown column zeta: stored as DOUBLE",
    )
    assert store.snapshot().read("daily", ["alpha", "zeta"]).to_pylist() == [
        {"alpha": "NaN", "zeta": 1.5},
        {"alpha": "x", "zeta": None},
    ]
    load(vendor_file("DAILY.csv", "ticker,date,marketcap,zeta\nC,2024-01-02,10,text\n", folder="b"))
    columns = dict(store.snapshot().table("daily").columns)
    assert columns["zeta"] == "VARCHAR"
    assert list(columns)[-2:] == ["alpha", "zeta"]


def test_tickers_are_normalised(store: Store, load: Load, vendor_file: Write) -> None:
    text = """table,permaticker,ticker,name,exchange,isdelisted,category,sector
SEP,1, NA ,"Nano, Inc.",NYSEMKT,Y,Domestic Common Stock,
SF1,1,NA,"Nano, Inc.",NYSEMKT,true,Domestic Common Stock,
SEP,2,TRUE,TrueCar,NASDAQ,0,Domestic Common Stock,Technology
SEP,3,INF,Inf,NYSE,N,Domestic Common Stock,Energy
"""
    load(vendor_file("SHARADAR_TICKERS.csv", text))
    rows = (
        store.snapshot().read("tickers", ["table", "ticker", "exchange", "isdelisted", "sector"]).to_pylist()
    )
    assert [tuple(r.values()) for r in rows] == [
        ("SEP", "INF", "NYSE", False, "Energy"),
        ("SEP", "NA", "AMEX", True, "Unknown"),
        ("SEP", "TRUE", "NASDAQ", False, "Technology"),
        ("SF1", "NA", "AMEX", True, "Unknown"),
    ]


def test_rounding_of_adjusted_prices_is_no_fault(store: Store, load: Load, vendor_file: Write) -> None:
    report = load(
        vendor_file(
            "SEP.csv",
            sep(
                "A,2024-01-02,10,10,10.000001,10.000002,1,10,20,2024-01-03",
                "B,2024-01-02,,,,10,,10,20,2024-01-03",
                "C,2024-01-02,10,11,9,12,0,10,20,2024-01-03",
            ),
        )
    )
    assert counts(report) == {"new": 3}
    assert report["sep"].warnings == {"close is outside low and high": 1, "open, high or low is empty": 1}
    assert store.snapshot().read("sep", ["open", "volume"]).to_pylist()[1] == {"open": None, "volume": None}


ALL_TABLES = {
    "SEP": sep(row("A", "2023-12-29", 10.125), row("A", "2024-01-02", 0.1), row("B", "2024-01-02", 1 / 3)),
    "TICKERS": "table,permaticker,ticker,name,exchange,isdelisted,category,sector,firstpricedate\n"
    'SEP,7,A,"x, y",NYSEMKT,N,ADR,,2020-01-02\n',
    "DAILY": "ticker,date,marketcap,pe\nA,2024-01-02,12.5,\n",
    "SF1": "ticker,dimension,datekey,reportperiod,lastupdated,revenue,netinc,assets,equity,novel\n"
    "A,ARQ,2023-11-05,2023-09-30,2023-11-05,1e9,2.5e8,3e9,-1,4\n",
    "SF2": "ticker,filingdate,transactiondate,ownername,transactioncode,transactionshares,"
    "transactionpricepershare,transactionvalue,rownum\nA,2024-01-03,2024-01-02,DOE JANE,P,10,2.5,25,1\n",
    "SF3": "ticker,investorname,securitytype,calendardate,value,units\nA,FUND,SHR,2023-12-31,1000,10\n",
    "ACTIONS": "date,action,ticker,name,value,contraticker,contraname\n2024-01-02,dividend,A,x,0.5,,\n",
    "METRICS": "ticker,date,lastupdated,beta1y\nA,2024-01-02,2024-01-03,1.25\n",
    "SP500": "date,action,ticker,name,contraticker,contraname,note\n2024-01-02,added,A,x,B,y,\n",
}


def test_csv_zip_parquet_and_duckdb_give_the_same_tables(tmp_path: Path, settings: Settings) -> None:
    folders = {form: tmp_path / form for form in ("csv", "gz", "zip", "parquet", "duckdb")}
    for folder in folders.values():
        folder.mkdir()
    database = folders["duckdb"] / "old.duckdb"
    with duckdb.connect(str(database)) as con:
        for name, text in ALL_TABLES.items():
            csv = folders["csv"] / f"SHARADAR_{name}.csv"
            csv.write_text(text)
            (folders["gz"] / f"{name.lower()}.csv.gz").write_bytes(gzip.compress(text.encode()))
            with zipfile.ZipFile(folders["zip"] / f"SHARADAR_{name}_2_0af3.zip", "w") as archive:
                archive.writestr(f"SHARADAR_{name}_2_0af3.csv", text)
            con.execute(f"COPY (FROM '{csv}') TO '{folders['parquet'] / f'SHARADAR_{name}.parquet'}'")
            con.execute(f"CREATE TABLE {'sep_base' if name == 'SEP' else name} AS FROM '{csv}'")
    fingerprints = {}
    for form, folder in folders.items():
        store = Store(tmp_path / f"{form}.store" / "kairos.duckdb")
        source = database if form == "duckdb" else folder
        report = ingest([source], store.db, store=store, settings=settings, today=dt.date(2024, 1, 31))
        assert [table.table for table in report.tables] == [name.lower() for name in ALL_TABLES]
        snapshot = store.snapshot()
        names = sorted(name for _, name in snapshot.tables if name != ledger.TABLE)
        assert names == sorted([*map(str.lower, ALL_TABLES), "sep_base"])
        fingerprints[form] = {name: snapshot.table(name).fingerprint for name in names}
    assert all(found == fingerprints["csv"] for found in fingerprints.values())


def test_a_catalog_of_kairos_is_a_source(
    store: Store, load: Load, vendor_file: Write, tmp_path: Path
) -> None:
    load(vendor_file("SEP.csv", ALL_TABLES["SEP"]))
    other = Store(tmp_path / "other" / "copy.duckdb")
    load(store.db, store=other)
    assert other.snapshot().table("sep").fingerprint == store.snapshot().table("sep").fingerprint


def test_what_was_loaded_is_in_the_ledger_and_in_the_report(
    store: Store, load: Load, vendor_file: Write
) -> None:
    vendor_file("SHARADAR_SEP.csv", ALL_TABLES["SEP"])
    readme = vendor_file("readme.txt", "hello")
    report = load(readme.parent)
    assert report.ignored == (str(readme),)
    (run,) = ledger.runs(store.snapshot())
    assert run.command == "equity ingest"
    assert report.as_dict()["tables"][0]["first"] == "2023-12-29"
    assert report.rows() == [
        {
            "table": "sep",
            "read": 3,
            "new": 3,
            "changed": 0,
            "unchanged": 0,
            "older": 0,
            "duplicates": 0,
            "rejected": 0,
            "stored": 3,
            "first": dt.date(2023, 12, 29),
            "last": dt.date(2024, 1, 2),
        }
    ]


Row = tuple[str, str, float, str]
ROWS = st.tuples(
    st.sampled_from(["A", "B"]),
    st.sampled_from(["2022-12-30", "2023-01-03", "2023-01-04"]),
    st.sampled_from([1.0, 2.5, 1e9]),
    st.sampled_from(["2023-02-01", "2023-02-02", ""]),
)


def consistent(rows: list[Row]) -> bool:
    """Whether no two rows of a file have the same key and lastupdated but different values."""
    return all(
        a[2] == b[2] for a, b in itertools.combinations(rows, 2) if (a[0], a[1], a[3]) == (b[0], b[1], b[3])
    )


def upserted(files: list[list[Row]]) -> dict[tuple[str, str], tuple[float, str]]:
    """The plain definition: a dictionary; the later lastupdated wins, of equal ones the newer file."""
    table: dict[tuple[str, str], tuple[float, str]] = {}
    for rows in files:
        latest: dict[tuple[str, str], tuple[float, str]] = {}
        for ticker, date, close, updated in rows:
            kept = latest.get((ticker, date))
            if kept is None or updated > kept[1]:
                latest[ticker, date] = (close, updated)
        for key, value in latest.items():
            if key not in table or value[1] >= table[key][1]:
                table[key] = value
    return table


@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=st.lists(st.lists(ROWS, min_size=1, max_size=8).filter(consistent), min_size=1, max_size=3))
def test_any_sequence_of_files_is_a_dictionary_upsert(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings, files: list[list[Row]]
) -> None:
    folder = tmp_path_factory.mktemp("upsert")
    store = Store(folder / "store" / "kairos.duckdb")
    for rows in files:
        path = folder / "SEP.csv"
        path.write_text(sep(*(row(t, d, c, u) for t, d, c, u in rows)))
        counts(ingest([path], store.db, store=store, settings=settings, today=dt.date(2024, 1, 31)))
    found: list[dict[str, Any]] = (
        store.snapshot().read("sep", ["ticker", "date", "close", "lastupdated"]).to_pylist()
    )
    expected = upserted(files)
    assert {
        (r["ticker"], str(r["date"])): (r["close"], str(r["lastupdated"] or "")) for r in found
    } == expected
    assert len(found) == len(expected)
    order = [(r["date"].year, r["ticker"], r["date"]) for r in found]
    assert order == sorted(order)


def test_two_loads_at_once_lose_nothing(
    store: Store, load: Load, vendor_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vendor_file("SEP.csv", sep(row("A", "2024-01-02", 10)), folder="a")
    second = vendor_file("SEP.csv", sep(row("B", "2024-01-02", 20)), folder="b")
    load(vendor_file("SEP.csv", sep(row("C", "2024-01-02", 30)), folder="c"))

    def merge_late(*args: Any) -> Any:
        """Let another load publish after this one has begun and before it ends."""
        monkeypatch.setattr(load_module, "merge", merge)
        load(second)
        return merge(*args)

    monkeypatch.setattr(load_module, "merge", merge_late)
    monkeypatch.setattr(Store, "turn", lambda *_, **__: nullcontext())  # as where a file system has no locks
    with pytest.raises(WorkError, match="Another run has loaded the table sep meanwhile"):
        load(first)
    assert closes(store) == {("B", "2024-01-02"): 20, ("C", "2024-01-02"): 30}
    load(first)
    assert set(closes(store)) == {(ticker, "2024-01-02") for ticker in "ABC"}
