"""The vendor files: layout, keys, and agreement of the tables with each other, by SQL of their own."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import duckdb
import numpy as np
import pytest

from kairos.errors import InputError
from kairos.simulate import market, simulate

KEYS = {
    "sep": "ticker, date",
    "tickers": '"table", ticker',
    "daily": "ticker, date",
    "sf1": "ticker, dimension, datekey, reportperiod",
    "sf2": "ticker, filingdate, ownername, rownum",
    "sf3": "ticker, investorname, securitytype, calendardate",
    "actions": "date, action, ticker, contraticker",
    "truth_characteristics": "permaticker, date",
    "truth_filings": "permaticker, datekey, reportperiod",
}
COLUMNS = {
    "sep": "ticker date open high low close volume closeadj closeunadj lastupdated",
    "daily": "ticker date lastupdated ev evebit evebitda marketcap pb pe ps",
    "actions": "date action ticker name value contraticker contraname",
    "sf3": "ticker investorname securitytype calendardate value units price",
    "truth_characteristics": "ticker permaticker date reversal value quality insider leverage",
    "truth_filings": "ticker permaticker datekey reportperiod calendardate amendment late fiscal_year_end "
    "equity assets liabilities debt shares revenue gp netinc ncfo capex depamor ebit ebitda fcf tbvps",
}


def one(files, query):
    return files.execute(query).fetchone()[0]


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def truth(folder):
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", KEYS)
def test_keys_are_unique_and_filled(files, table):
    rows = one(files, f"SELECT count(*) FROM {table}")
    assert rows > 100
    assert one(files, f"SELECT count(*) FROM (SELECT DISTINCT {KEYS[table]} FROM {table})") == rows
    for column in KEYS[table].replace(", contraticker", "").split(", "):
        assert one(files, f"SELECT count(*) FROM {table} WHERE {column} IS NULL") == 0


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_in_the_vendors_order(files, table):
    assert [row[0] for row in files.execute(f"DESCRIBE {table}").fetchall()] == COLUMNS[table].split()


def test_wide_tables_have_the_columns_that_are_used(files):
    used = {
        "sf1": "netinc equity assets ncfo gp revenue ebit ebitda debt fcf capex grossmargin netmargin de "
        "currentratio roe roa tbvps marketcap ev pe pb ps lastupdated",
        "sf2": "transactiondate transactioncode transactionshares transactionpricepershare transactionvalue",
        "tickers": "permaticker name exchange isdelisted category sector industry scalemarketcap "
        "firstpricedate lastpricedate",
    }
    for table, columns in used.items():
        found = {row[0] for row in files.execute(f"DESCRIBE {table}").fetchall()}
        assert set(columns.split()) <= found
    assert len(files.execute("DESCRIBE sf1").fetchall()) == 111
    assert len(files.execute("DESCRIBE sf2").fetchall()) == 24
    assert len(files.execute("DESCRIBE tickers").fetchall()) == 28


def test_prices_are_those_of_the_market_in_memory(files, simulated):
    column, row = np.nonzero(simulated.listings.quoted)
    found = files.execute("SELECT * FROM sep").fetchnumpy()
    assert found["ticker"].tolist() == simulated.tickers[column].tolist()
    assert (found["date"].astype("datetime64[D]") == simulated.dates[row]).all()
    for name in ("open", "high", "low", "close", "volume", "closeadj", "closeunadj"):
        np.testing.assert_array_equal(found[name], getattr(simulated, name)[row, column])


def test_marketcap_is_shares_known_times_price(files):
    """DAILY against SF1 and SEP, joined as of the filing day; sharesbas and close are on one split basis."""
    wrong = one(
        files,
        """
        WITH q AS (
            SELECT d.ticker, d.date, d.marketcap, d.pb, p.close,
                   arg_max(s.sharesbas, (s.reportperiod, s.datekey)) AS shares,
                   arg_max(s.equity, (s.reportperiod, s.datekey)) AS equity
            FROM daily d JOIN sep p USING (ticker, date)
            JOIN sf1 s ON s.ticker = d.ticker AND s.dimension = 'ARQ' AND s.datekey <= d.date
            WHERE d.ticker NOT IN (
                  SELECT ticker FROM truth_characteristics GROUP BY 1 HAVING count(DISTINCT permaticker) > 1)
              AND hash(d.ticker) % 4 = 0
            GROUP BY ALL)
        SELECT count(*) FROM q
        WHERE abs(marketcap - shares * close / 1e6) > 0.001 + 1e-6 * marketcap
           OR abs(pb - shares * close / equity) > 0.001 + 1e-5 * abs(pb)""",
    )
    assert wrong == 0
    rate = one(files, "SELECT avg((pb IS NULL)::INT) FROM daily")
    assert rate < 0.1
    assert one(files, "SELECT count(*) FROM daily WHERE pb < 0") > 100  # negative equity


def test_as_reported_and_restated(files):
    assert one(files, "SELECT count(*) FROM sf1 WHERE datekey < reportperiod") == 0
    assert one(files, "SELECT count(*) FROM sf1 WHERE dimension LIKE 'AR%' AND datekey <= reportperiod") == 0
    assert one(files, "SELECT count(*) FROM sf1 WHERE dimension LIKE 'MR%' AND datekey <> reportperiod") == 0
    dimensions = {row[0] for row in files.execute("SELECT DISTINCT dimension FROM sf1").fetchall()}
    assert dimensions == {"ARQ", "ART", "ARY", "MRQ", "MRT", "MRY"}
    differ = one(
        files,
        """
        SELECT avg((a.netinc <> m.netinc)::INT) FROM sf1 a JOIN sf1 m USING (ticker, reportperiod)
        WHERE a.dimension = 'ARQ' AND m.dimension = 'MRQ'""",
    )
    assert 0.03 < differ < 0.25


def test_filings_of_the_truth_are_the_quarters_as_reported(files):
    """A row for each ARQ row, of the same company; the vendor's amounts are its amounts, rounded."""
    drawn_as = {"sharesbas": "shares"}
    amounts = "equity assets liabilities debt sharesbas revenue gp netinc ncfo capex depamor ebit ebitda fcf"
    matched = "sf1 a JOIN truth_filings f USING (ticker, datekey, reportperiod, calendardate)"
    matched += " WHERE a.dimension = 'ARQ'"
    rows = one(files, "SELECT count(*) FROM truth_filings")
    assert one(files, f"SELECT count(*) FROM {matched}") == rows
    assert one(files, "SELECT count(*) FROM sf1 WHERE dimension = 'ARQ'") == rows
    for name in amounts.split():
        off = one(files, f"SELECT max(abs(a.{name} - f.{drawn_as.get(name, name)})) FROM {matched}")
        assert off <= 0.5, name
    assert one(files, f"SELECT max(abs(a.tbvps - f.tbvps)) FROM {matched}") <= 0.6e-6
    assert one(files, "SELECT count(*) FROM truth_filings WHERE netinc = round(netinc)") == 0
    derived = (
        "assets - liabilities - equity",
        "ebitda - ebit - depamor",
        "fcf - ncfo - capex",
        "tbvps - 0.88 * assets / shares",
    )
    for identity in derived:
        assert one(files, f"SELECT max(abs({identity}) / abs(assets)) FROM truth_filings") < 1e-12, identity


def test_filings_of_the_truth_belong_to_the_company_that_filed(files):
    lived = """(SELECT ticker, permaticker, min(date) AS first, max(date) AS last,
                min(min(date)) OVER () AS start FROM truth_characteristics GROUP BY ALL)"""
    matched = f"truth_filings f JOIN {lived} c USING (ticker, permaticker)"
    assert one(files, f"SELECT count(*) FROM {matched}") == one(files, "SELECT count(*) FROM truth_filings")
    early = f"SELECT count(*) FROM {matched} WHERE datekey > last OR (first > start AND datekey <= first)"
    assert one(files, early) == 0
    former = one(
        files, "SELECT count(*) FROM truth_filings WHERE permaticker NOT IN (SELECT permaticker FROM tickers)"
    )
    assert former > 0


def test_marks_of_the_filings_of_the_truth(files, truth):
    """An amendment follows its original; late and amended filings are those of the events."""
    alone = one(
        files,
        """SELECT count(*) FROM truth_filings a WHERE amendment AND NOT EXISTS (
               FROM truth_filings o WHERE o.permaticker = a.permaticker AND o.reportperiod = a.reportperiod
               AND NOT o.amendment AND o.datekey < a.datekey)""",
    )
    assert alone == 0
    for event, mark in (("late filing", "late"), ("amended filing", "amendment")):
        marked = files.execute(
            f"SELECT permaticker, datekey::VARCHAR, reportperiod::VARCHAR FROM truth_filings WHERE {mark}"
        ).fetchall()
        told = [
            (e["permaticker"], e["date"], e["reportperiod"]) for e in truth["events"] if e["event"] == event
        ]
        assert sorted(marked) == sorted(told)
        assert len(told) > 20
    assert (
        one(files, "SELECT avg((fiscal_year_end = (month(calendardate) = 12))::INT) FROM truth_filings") == 1
    )


def test_the_truth_names_its_files(truth, folder):
    assert set(truth["files"]) == {"characteristics", "filings"}
    for name in truth["files"].values():
        assert (folder / name).is_file()


def test_trailing_year_is_the_sum_of_four_quarters(files):
    """Where all four quarters were filed once: ART revenue = the sum of the ARQ revenues, assets the last."""
    checked, off = files.execute(
        """
        WITH once AS (
            SELECT ticker, reportperiod FROM sf1 WHERE dimension = 'ARQ' GROUP BY ALL HAVING count(*) = 1),
        q AS (
            SELECT ticker, reportperiod, revenue, assets, count(*) OVER w AS n, sum(revenue) OVER w AS year
            FROM sf1 JOIN once USING (ticker, reportperiod) WHERE dimension = 'ARQ'
            WINDOW w AS (PARTITION BY ticker ORDER BY reportperiod
                         RANGE BETWEEN INTERVAL 300 DAY PRECEDING AND CURRENT ROW))
        SELECT count(*), count(*) FILTER (abs(q.year - t.revenue) > 4 OR q.assets <> t.assets)
        FROM q JOIN sf1 t USING (ticker, reportperiod) WHERE t.dimension = 'ART' AND n = 4"""
    ).fetchone()
    assert checked > 1000
    assert off == 0


def test_accounting_identities(files):
    files.execute("CREATE TEMP TABLE a AS FROM sf1 WHERE dimension IN ('ARQ', 'ART')")
    identities = (
        "assets - liabilities - equity",
        "revenue - cor - gp",
        "ebit - intexp - taxexp - netinc",
        "ebitda - ebit - depamor",
        "ncfo + capex - fcf",
        "ncfo + ncfi + ncff - ncf",
        "assetsc + assetsnc - assets",
        "marketcap + debt - cashneq - ev",
    )
    for identity in identities:
        assert one(files, f"SELECT coalesce(max(abs({identity})), 0) FROM a") <= 3, identity


def test_filing_oddities_occur(files, truth):
    arq = "FROM sf1 WHERE dimension = 'ARQ'"
    assert one(files, f"SELECT count(*) {arq} AND dayofweek(datekey) IN (0, 6)") > 5
    assert (
        one(files, f"SELECT count(*) FROM (SELECT 1 {arq} GROUP BY ticker, datekey HAVING count(*) > 1)") > 3
    )
    amended = one(
        files, f"SELECT count(*) FROM (SELECT 1 {arq} GROUP BY ticker, reportperiod HAVING count(*) > 1)"
    )
    events = [event["event"] for event in truth["events"]]
    assert amended == events.count("amended filing") > 30
    assert one(files, f"SELECT count(*) {arq} AND datekey - reportperiod > 80") > 30
    gaps = f"""
        SELECT count(*) FROM (
            SELECT reportperiod - lag(reportperiod) OVER (PARTITION BY ticker ORDER BY reportperiod) AS gap
            {arq})
        WHERE gap > 100"""
    assert one(files, gaps) > 10
    assert one(files, "SELECT count(*) FROM sf2 WHERE dayofweek(filingdate) IN (0, 6)") > 3
    assert one(files, "SELECT max(rownum) FROM sf2") > 1


def test_nothing_lies_in_the_future(files):
    last = "(SELECT max(date) FROM sep)"
    for table, column in (
        ("sf1", "datekey"),
        ("sf2", "filingdate"),
        ("sf3", "calendardate"),
        ("actions", "date"),
    ):
        assert one(files, f"SELECT count(*) FROM {table} WHERE {column} > {last}") == 0, table


def test_delistings_have_the_vendors_words(files, truth):
    """Each delisted security has its `delisted` row and its reason on its last day, unknown ones nothing."""
    words = {
        "acquisition": "acquisitionby",
        "merger": "mergerfrom",
        "bankruptcy": "bankruptcyliquidation",
        "regulatory": "regulatorydelisting",
        "voluntary": "voluntarydelisting",
    }
    gone = [event for event in truth["events"] if event["event"] == "delisting"]
    assert {event["reason"] for event in gone} == {*words, "unknown"}
    for event in gone:
        rows = files.execute(
            "SELECT action FROM actions WHERE ticker = ? AND date = CAST(? AS DATE)",
            [event["ticker"], event["date"]],
        ).fetchall()
        found = {row[0] for row in rows} - {"split", "dividend", "acquisitionof", "mergerto"}
        expected = {"delisted", words[event["reason"]]} if event["reason"] != "unknown" else set()
        assert found == expected, event
    last = files.execute("SELECT ticker, max(date)::VARCHAR FROM sep GROUP BY 1").fetchall()
    ends = dict(last)
    reused = {event["ticker"] for event in truth["events"] if event["event"] == "reuse"}
    assert all(ends[event["ticker"]] == event["date"] for event in gone if event["ticker"] not in reused)


def test_tickers_describe_the_present(files, truth):
    reuse = next(event for event in truth["events"] if event["event"] == "reuse")
    rows = files.execute(
        'SELECT "table", permaticker, firstpricedate::VARCHAR FROM tickers WHERE ticker = ?',
        [reuse["ticker"]],
    )
    described = rows.fetchall()
    assert {row[0] for row in described} == {"SEP", "SF1", "SF2", "SF3"}
    assert {row[1:] for row in described} == {(reuse["permaticker"], reuse["date"])}
    owners = files.execute(
        """SELECT permaticker, min(date), max(date) FROM truth_characteristics WHERE ticker = ?
           GROUP BY permaticker ORDER BY 2""",
        [reuse["ticker"]],
    ).fetchall()
    assert [owner[0] for owner in owners] == [reuse["former_permaticker"], reuse["permaticker"]]
    assert (owners[1][1] - owners[0][2]).days > 30
    actions = files.execute("SELECT action FROM actions WHERE ticker = ?", [reuse["ticker"]]).fetchall()
    assert {"delisted", "listed"} <= {row[0] for row in actions}
    assert {row[0] for row in files.execute("SELECT DISTINCT isdelisted FROM tickers").fetchall()} == {
        "Y",
        "N",
    }
    assert one(files, "SELECT count(*) FROM tickers WHERE exchange = 'NYSEMKT'") > 5
    assert one(files, "SELECT count(*) FROM tickers WHERE sector IS NULL") > 0
    categories = {row[0] for row in files.execute("SELECT DISTINCT category FROM tickers").fetchall()}
    assert {"Domestic Common Stock", "ETF", "ADR Common Stock"} <= categories
    assert one(files, "SELECT count(*) FROM (SELECT ticker FROM sep GROUP BY 1 HAVING count(*) < 60)") > 0


@pytest.mark.parametrize(
    ("measure", "characteristic", "least"),
    [
        ("-d.pb", "value", 0.8),
        ("1 / nullif(d.pe, 0)", "value", 0.2),
        ("q.netinc / q.equity", "quality", 0.7),
        ("(q.netinc - q.ncfo) / q.assets", "-quality", 0.3),
        ("q.debt / q.equity", "leverage", 0.9),
    ],
)
def test_characteristics_are_visible_in_the_vendors_tables(files, measure, characteristic, least):
    """Rank correlation over all names of one late session, of positive equity, of what a user can compute."""
    rank = one(
        files,
        f"""
        WITH day AS (SELECT date FROM sep ORDER BY date DESC LIMIT 1),
        q AS (SELECT * FROM sf1, day WHERE dimension = 'ART' AND datekey < date AND datekey > date - 200
              QUALIFY row_number() OVER (PARTITION BY ticker ORDER BY reportperiod DESC, datekey DESC) = 1),
        x AS (SELECT rank() OVER (ORDER BY {measure}) AS a, rank() OVER (ORDER BY {characteristic}) AS b
              FROM truth_characteristics JOIN day USING (date) JOIN daily d USING (ticker, date)
              JOIN q USING (ticker)
              WHERE q.equity > 0 AND {measure} IS NOT NULL)
        SELECT corr(a, b) FROM x""",
    )
    assert rank > least


def test_insiders_know(files):
    """Purchases come at a higher planted characteristic than sales."""
    bought, sold = (
        one(
            files,
            f"""SELECT avg(insider) FROM sf2 s ASOF JOIN truth_characteristics c
                ON s.ticker = c.ticker AND s.transactiondate > c.date WHERE transactioncode = '{code}'""",
        )
        for code in "PS"
    )
    assert bought - sold > 1.0


def test_institutional_holdings(files):
    kinds = {row[0] for row in files.execute("SELECT DISTINCT securitytype FROM sf3").fetchall()}
    assert kinds == {"SHR", "PUT", "CLL", "DBT"}
    off = one(
        files,
        """SELECT max(abs(h.value / (h.units * p.closeunadj) - 1)) FROM sf3 h ASOF JOIN sep p
           ON h.ticker = p.ticker AND h.calendardate >= p.date WHERE h.value > 1e6""",
    )
    assert off < 1e-5
    share = one(
        files,
        """SELECT avg(n) FROM (
               SELECT count(*) AS n FROM sf3 WHERE securitytype = 'SHR' GROUP BY ticker, calendardate)""",
    )
    assert 5 < share < 40


def test_truth_states_the_process(truth):
    assert {name: x["premium_per_session"] for name, x in truth["characteristics"].items()} == {
        "reversal": -0.006,
        "value": 0.0003,
        "quality": 0.0003,
        "insider": 0.0004,
        "leverage": 0.0,
    }
    assert truth["characteristics"]["leverage"]["expected_ic"] == 0.0
    assert truth["characteristics"]["reversal"]["expected_ic"] < -0.01
    assert len(truth["securities"]) == 250
    assert 0.5 <= truth["securities"][0]["beta"] <= 1.6
    events = {event["event"] for event in truth["events"]}
    assert events == {"listing", "delisting", "reuse", "split", "halt", "late filing", "amended filing"}
    assert truth["market"]["annual_volatility"] == pytest.approx(0.16, abs=0.005)


def test_csv_zip_and_parquet_say_the_same(tmp_path):
    folders = {
        form: simulate(tmp_path / form, tickers=30, years=1, seed=5, format=form)
        for form in ("csv", "zip", "parquet")
    }
    for csv in sorted(folders["csv"].glob("*.csv")):
        with zipfile.ZipFile(folders["zip"] / f"{csv.stem}.zip") as archive:
            (inside,) = archive.namelist()
            assert inside.startswith(f"{csv.stem}_2_")
            assert archive.read(inside) == csv.read_bytes()
        parquet = folders["parquet"] / f"{csv.stem}.parquet"
        rows = duckdb.sql(f"SELECT * FROM '{parquet}'").fetchall()
        types = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{parquet}'").fetchall()}
        types = {name: "VARCHAR" if kind.startswith("ENUM") else kind for name, kind in types.items()}
        assert duckdb.sql(f"SELECT * FROM read_csv('{csv}', columns = {types})").fetchall() == rows
    assert len(list(folders["csv"].glob("SHARADAR_*.csv"))) == 7
    assert '"' not in (folders["csv"] / "SHARADAR_SEP.csv").read_text()


def test_same_bytes_with_one_and_two_threads(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "if sys.argv[2] == 'one' and hasattr(os, 'sched_setaffinity'):\n"
        "    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from kairos.simulate import simulate\n"
        "simulate(Path(sys.argv[1]), tickers=60, years=2, seed=8)\n"
    )
    found = []
    for threads in ("one", "all"):
        out = tmp_path / threads
        environment = os.environ | (
            {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} if threads == "one" else {}
        )
        subprocess.run([sys.executable, "-c", program, str(out), threads], check=True, env=environment)
        found.append(digests(out))
    assert found[0] == found[1]
    assert len(found[0]) == 10


def test_another_seed_is_another_market(tmp_path):
    a, b = (digests(simulate(tmp_path / str(seed), tickers=20, years=1, seed=seed)) for seed in (1, 2))
    assert not any(a[name] == b[name] for name in a)


@pytest.mark.parametrize("tickers", [10, 11])
def test_tiny_markets_can_be_written(tmp_path, tickers):
    out = simulate(tmp_path / "tiny", tickers=tickers, years=1)
    rows = duckdb.sql(f"SELECT count(DISTINCT ticker) FROM '{out}/SHARADAR_SEP.csv'").fetchall()
    assert rows == [(tickers,)]


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="empty folder"):
        simulate(tmp_path, tickers=20, years=1)
    with pytest.raises(InputError, match="empty folder"):
        simulate(tmp_path / "mine.txt", tickers=20, years=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used_and_a_bad_argument_leaves_nothing(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="format"):
        simulate(empty, tickers=20, years=1, format="xlsx")
    with pytest.raises(InputError, match="start"):
        simulate(empty, tickers=20, years=1, start="soon")
    assert list(empty.iterdir()) == []
    assert simulate(empty, tickers=20, years=1, format="parquet") == empty
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_failure_leaves_no_folder(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("kairos.simulate.equity.characteristics_table", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate(tmp_path / "new", tickers=20, years=1)
    assert list(tmp_path.iterdir()) == []


def test_one_market_in_memory_and_on_disk(folder, truth):
    m = market(tickers=250, years=3, seed=11)
    assert truth["last_session"] == str(m.dates[-1])
    assert [entry["ticker"] for entry in truth["securities"]] == m.tickers.tolist()
