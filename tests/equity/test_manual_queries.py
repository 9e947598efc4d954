"""The queries of the owner's manual, word by word, in a catalog that plain DuckDB opens.

The market ends after the dates that the manual names, and one of its tickers is called AAPL. What is expected
comes from the stored files, joined by pandas.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from tables_market import built

from kairos.simulate.equity import simulate

SHELL = Path(sys.executable).with_name("duckdb")

TOP = """
SELECT alpha_composite_v8, ret_5d_f
FROM feat_matrix
WHERE date = '2025-12-18'
ORDER BY alpha_composite_v8 DESC LIMIT 10;
"""
CORR = """
SELECT corr(alpha_composite_v8, ret_5d_f)
FROM feat_matrix
WHERE date BETWEEN '2020-01-01' AND '2025-01-01';
"""
SAMPLE = """
SELECT * FROM feat_composite_v8 WHERE ticker='AAPL' ORDER BY date DESC
LIMIT 5;
"""
DATES = "SELECT DISTINCT date FROM sep_base_academic ORDER BY date;"
LAG = """
LAG(closeadj, 252) OVER (PARTITION BY ticker ORDER BY date) AS
price_12m_ago
"""
SNIPPET = '''
import duckdb
con = duckdb.connect("data/kairos.duckdb")
df = con.execute("""SELECT date, alpha_composite_v8, quality_z, value_z FROM
feat_matrix WHERE ticker='AAPL' ORDER BY date DESC LIMIT 5""").fetchdf()
print(df)
'''

NAMED = [
    "sep", "tickers", "daily", "sep_base", "sep_base_expanded", "sep_base_academic",
    "regime_history_academic", "feat_matrix", "feat_matrix_v2", "feat_price_action", "feat_trend",
    "feat_stat", "feat_price_shape", "feat_volume_volatility", "feat_adv", "feat_vol_sizing",
    "feat_beta", "feat_targets", "feat_value_v2", "feat_quality_v2", "feat_growth_v2",
    "feat_momentum_v2", "feat_insider", "feat_institutional_academic", "feat_value",
    "feat_composite_academic", "feat_composite_long", "feat_composite_long_v2", "feat_composite_v3",
    "feat_composite_v31", "feat_composite_v32b", "feat_composite_v33_regime", "feat_composite_v5",
    "feat_composite_v6", "feat_composite_v7", "feat_composite_v8",
]  # fmt: skip
"""Tables that the manual speaks of."""

COLUMNS = {
    "feat_adv": "adv_20 size_z adv_z",
    "feat_vol_sizing": "vol_21 vol_63 vol_blend",
    "feat_beta": "beta_21d beta_63d beta_252d resid_vol_63d",
    "feat_targets": "ret_1d_f ret_5d_f label_5d_up",
    "feat_value_v2": (
        "earnings_yield book_yield ebitda_yield sales_yield value_composite_z value_quality_adj"
    ),
    "feat_quality_v2": "computed_roe computed_roa computed_accruals quality_composite_z",
    "feat_momentum_v2": "mom_12_1 reversal_1m momentum_composite_z",
    "feat_insider": "insider_composite_z",
    "feat_composite_long": "quality_z growth_z inst_z",
    "feat_composite_long_v2": "quality_z growth_z inst_z value_z size_z adv_z alpha_CL_v2",
    "feat_composite_v8": "alpha_composite_v8",
    "regime_history_academic": "date regime",
    "feat_matrix": (
        "ticker date alpha_composite_v31 alpha_composite_v33_regime alpha_composite_v7 alpha_composite_v8 "
        "ret_5d_f vol_blend adv_20 size_z beta_252d sector regime quality_z value_z"
    ),
}
"""Columns that the manual gives them."""


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Two years up to the end of 2025; the common stock that trades most is called AAPL."""
    folder = tmp_path_factory.mktemp("manual") / "vendor"
    simulate(folder, tickers=40, years=2, seed=7, start="2024-01-02")
    prices = pd.read_csv(folder / "SHARADAR_SEP.csv").assign(traded=lambda p: p["close"] * p["volume"])
    known = pd.read_csv(folder / "SHARADAR_TICKERS.csv")
    common = known.loc[known["category"].str.startswith("Domestic Common"), "ticker"]
    apple = prices[prices["ticker"].isin(common)].groupby("ticker")["traded"].sum().idxmax()
    for path in folder.glob("*.csv"):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in {"ticker", "contraticker"} & {*rows.columns}:
            rows[column] = rows[column].replace(apple, "AAPL")
        rows.to_csv(path, index=False)
    return built(folder)


@pytest.fixture
def con(market):
    with duckdb.connect(str(market.db), read_only=True) as con:
        yield con


def stored(market, name, *columns):
    """Columns of a table as the files hold them, put together by pandas."""
    parts = market.snapshot().table(name).parts
    rows = pd.concat([pd.read_parquet(part.path) for part in parts], ignore_index=True)
    return rows[["ticker", "date", *columns]]


@pytest.fixture(scope="module")
def joined(market):
    """Alpha and target of the members of the universe, which is another table than the matrix asks."""
    rows = stored(market, "universe")
    for name, column in (
        ("feat_composite_v8", "alpha_composite_v8"),
        ("feat_targets", "ret_5d_f"),
        ("feat_composite_long_v2", "quality_z"),
        ("feat_value", "value_z"),
    ):
        rows = rows.merge(stored(market, name, column), on=["ticker", "date"], validate="one_to_one")
    return rows


def close(found, expected):
    """Equal values in the same rows, NULL where pandas has NaN."""
    table = [[np.nan if value is None else value for value in row] for row in found]
    np.testing.assert_allclose(np.array(table, float), np.array(expected, float), rtol=1e-6)


def test_show_tables_names_every_table_of_the_manual(con):
    assert {name for (name,) in con.execute("SHOW TABLES;").fetchall()} >= set(NAMED)
    for name in NAMED:
        assert con.execute(f"SELECT count(*) FROM {name}").fetchone()[0] > 0


def test_the_columns_of_the_matrix(con):
    by_pragma = con.execute("PRAGMA table_info('feat_matrix');").fetchall()
    by_describe = con.execute("DESCRIBE feat_matrix;").fetchall()
    assert [row[1] for row in by_pragma] == [row[0] for row in by_describe]
    assert len(by_pragma) == len({row[1].lower() for row in by_pragma}) > 150
    for table, columns in COLUMNS.items():
        described = {row[0] for row in con.execute(f"DESCRIBE {table};").fetchall()}
        assert described >= set(columns.split()), table
        assert con.execute(f"SELECT {', '.join(columns.split())} FROM {table} LIMIT 1").fetchall()


def test_the_number_of_rows(con, joined):
    for name in ("feat_matrix", "feat_matrix_v2"):
        assert con.execute(f"SELECT COUNT(*) FROM {name};").fetchall() == [(len(joined),)]


def test_a_sample_of_a_composite(con, market):
    columns = market.snapshot().table("feat_composite_v8").names[2:]
    rows = stored(market, "feat_composite_v8", *columns)
    last = rows[rows["ticker"] == "AAPL"].sort_values("date", ascending=False).head(5)
    found = con.execute(SAMPLE).fetchall()
    assert [row[:2] for row in found] == list(zip(last["ticker"], last["date"], strict=True))
    close([row[2:] for row in found], last[[*columns]])
    assert last["alpha_composite_v8"].notna().all()


def test_the_python_snippet(market, joined, tmp_path, monkeypatch):
    """It opens the catalog for writing, too."""
    (tmp_path / "data").mkdir()
    shutil.copy(market.db, tmp_path / "data" / "kairos.duckdb")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(SNIPPET, names)
    names["con"].close()
    found = names["df"]
    assert list(found.columns) == ["date", "alpha_composite_v8", "quality_z", "value_z"]
    last = joined[joined["ticker"] == "AAPL"].sort_values("date", ascending=False).head(5)
    assert list(found["date"].dt.date) == list(last["date"])
    assert len(found) == 5
    close(found.iloc[:, 1:].to_numpy(), last[["alpha_composite_v8", "quality_z", "value_z"]])


def test_the_sessions(con, market):
    expected = sorted(set(stored(market, "sep_base_academic")["date"]))
    assert con.execute(DATES).fetchall() == [(date,) for date in expected]
    assert len(expected) > 500


def test_the_price_a_year_ago(con, market):
    query = f"SELECT ticker, date, {LAG} FROM sep_base_academic ORDER BY ticker, date"
    found = con.execute(query).fetchall()
    rows = stored(market, "sep_base_academic", "closeadj").sort_values(["ticker", "date"])
    expected = rows.groupby("ticker")["closeadj"].shift(252)
    close([row[2:] for row in found], expected.to_frame())
    assert [row[:2] for row in found] == list(zip(rows["ticker"], rows["date"], strict=True))
    assert expected.notna().sum() > 1000


def picks(joined, date):
    """The ten highest alphas of a date, missing ones last."""
    of_date = joined[joined["date"] == date]
    best = of_date.sort_values("alpha_composite_v8", ascending=False, na_position="last").head(10)
    return best[["alpha_composite_v8", "ret_5d_f"]]


def test_the_ten_picks(con, joined):
    expected = picks(joined, pd.Timestamp("2025-12-18").date())
    assert len(expected) == 10
    assert expected.notna().all(axis=None)
    close(con.execute(TOP).fetchall(), expected)
    last = joined["date"].max()
    found = con.execute(TOP.replace("2025-12-18", str(last))).fetchall()
    assert [target for _, target in found] == [None] * 10
    close(found, picks(joined, last))
    assert con.execute(TOP.replace("2025-12-18", "2025-12-20")).fetchall() == []  # a Saturday


def test_the_information_coefficient(con, joined):
    days = joined["date"].astype(str)
    for begin, end in (("2020-01-01", "2025-01-01"), ("2024-07-01", "2025-12-18")):
        some = joined[(days >= begin) & (days <= end)][["alpha_composite_v8", "ret_5d_f"]].astype(float)
        query = CORR.replace("2020-01-01", begin).replace("2025-01-01", end)
        ((found,),) = con.execute(query).fetchall()
        assert len(some.dropna()) > 1000
        assert found == pytest.approx(some.corr().iloc[0, 1], rel=1e-9)


def shell(db, *statements):
    """Rows that the shell prints, as texts."""
    command = [SHELL, "-readonly", "-csv", "-noheader", db, *(x for s in statements for x in ("-c", s))]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return list(csv.reader(io.StringIO(ended.stdout)))


@pytest.mark.skipif(not SHELL.exists(), reason="the duckdb shell is not installed")
def test_the_shell_of_an_older_version(market, joined):
    version = subprocess.run([SHELL, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("v1.5")
    assert {name for (name,) in shell(market.db, "SHOW TABLES;")} >= set(NAMED)
    info = shell(market.db, "PRAGMA table_info('feat_matrix');")
    assert [row[1] for row in info[:2]] == ["ticker", "date"]
    assert shell(market.db, "SELECT COUNT(*) FROM feat_matrix;") == [[str(len(joined))]]
    close(shell(market.db, TOP), picks(joined, pd.Timestamp("2025-12-18").date()))
    assert len(shell(market.db, SAMPLE)) == 5
    (((found,),), some) = shell(market.db, CORR), joined[joined["date"].astype(str) <= "2025-01-01"]
    expected = some[["alpha_composite_v8", "ret_5d_f"]].astype(float).corr().iloc[0, 1]
    assert float(found) == pytest.approx(expected, rel=1e-9)
