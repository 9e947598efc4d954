"""The declarations have what their readers rely on, and every rule is SQL over columns that are there."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from kairos.equity.ingest.sources import find
from kairos.equity.vendor import TABLES, Kind, Need, VendorTable, table
from kairos.store.sql import quote

USED = {
    "sep": "ticker date open high low close volume closeadj closeunadj lastupdated",
    "tickers": "table permaticker ticker name exchange isdelisted category sector industry scalemarketcap "
    "firstpricedate lastpricedate",
    "daily": "ticker date marketcap ev pe pb ps evebit evebitda",
    "sf1": "ticker dimension datekey reportperiod calendardate lastupdated netinc equity assets ncfo gp "
    "revenue ebit ebitda debt fcf capex grossmargin netmargin de currentratio roe roa tbvps "
    "marketcap ev pe pb ps",
    "sf2": "ticker filingdate transactiondate ownername transactioncode transactionshares "
    "transactionpricepershare transactionvalue rownum",
    "sf3": "ticker investorname securitytype calendardate value units",
    "actions": "ticker date action value contraticker",
    "metrics": "ticker date",
    "sp500": "ticker date action",
}


@pytest.mark.parametrize("declared", TABLES, ids=lambda declared: declared.name)
def test_a_declaration_is_complete(declared: VendorTable) -> None:
    names = [column.name for column in declared.columns]
    assert len(set(names)) == len(names)
    stored = {column.name for column in declared.columns if column.need is not Need.EXTRA}
    assert set(USED[declared.name].split()) <= stored
    for name in declared.key:
        column = declared.column(name)
        assert column is not None
        assert column.need is Need.FILLED or column.default is not None
    if declared.dated:
        year = declared.column(declared.dated)
        assert year is not None
        assert year.kind is Kind.DATE
        assert declared.dated in declared.key
    assert all(column.doc and not column.doc.endswith(".") for column in declared.columns)


@pytest.mark.parametrize("declared", TABLES, ids=lambda declared: declared.name)
def test_rules_and_notices_are_conditions_over_stored_columns(declared: VendorTable) -> None:
    columns = ", ".join(
        f"CAST(NULL AS {column.kind.value}) AS {quote(column.name)}"
        for column in declared.columns
        if column.need is not Need.EXTRA
    )
    for condition in [r.broken for r in declared.rules] + [n.doubtful for n in declared.notices]:
        query = f"SELECT typeof({condition}) FROM (SELECT {columns})"
        assert duckdb.execute(query).fetchall() == [("BOOLEAN",)]
    for rule in declared.rules:
        assert declared.column(rule.column)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SHARADAR_SEP.csv", "sep"),
        ("sharadar_sep_2_a1b2c3.zip", "sep"),
        ("SHARADAR-TICKERS.parquet", "tickers"),
        ("SHARADAR_SP500.csv", "sp500"),
        ("SF3.csv.gz", "sf3"),
        ("sf1.csv", "sf1"),
        ("SHARADAR_SF3A.csv", None),
        ("SHARADAR_SFP.csv", None),
        ("SEP_old.csv", None),
        ("SHARADAR_SEP.xlsx", None),
        ("MY_SHARADAR_SEP.csv", None),
    ],
)
def test_names_of_files(tmp_path: Path, name: str, expected: str | None) -> None:
    (tmp_path / name).write_text("")
    (tmp_path / "SHARADAR_DAILY.csv").write_text("")
    sources, ignored = find([tmp_path])
    assert sources[-1].table is table("daily") or sources[-1].table.name == expected
    assert {source.table.name for source in sources} == {"daily", expected} - {None}
    assert [path.name for path in ignored] == ([] if expected else [name])
