"""The commands of the equity desk end to end: exit codes, messages, JSON, and what is left behind."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from cli_equity_desk import Desk, equity, kairos

REVERSAL = ("--alpha", "ret_21d", "--lower-is-better")


# What goes wrong: exit code 2, plain words, and an unchanged store


WRONG = {
    "unknown table": (
        ["build", "feat_bta"],
        "no table named feat_bta (did you mean feat_beta?)",
    ),
    "unknown column": (
        ["signals", "--alpha", "ret_21dd"],
        "has a column ret_21dd; did you mean ret_21d?",
    ),
    "column of words": (
        ["backtest", "baseline", "--alpha", "sector"],
        "holds words",
    ),
    "target as a signal": (
        ["signals", "--alpha", "ret_5d_f"],
        "feat_targets.ret_5d_f looks ahead",
    ),
    "target as an alpha": (
        ["backtest", "baseline", "--alpha", "feat_targets.label_5d_up"],
        "feat_targets.label_5d_up looks ahead",
    ),
    "key as a signal": (
        ["signals", "--alpha", "feat_trend.date"],
        "no feature table of namespace main has a column feat_trend.date",
    ),
    "unknown strategy": (
        ["backtest", "baselin", *REVERSAL],
        "There is no strategy 'baselin'. Did you mean baseline?",
    ),
    "one unknown strategy of two": (
        ["backtest", "baseline", "risk9", *REVERSAL],
        "There is no strategy 'risk9'",
    ),
    "unknown key of the strategies": (
        ["backtest", "baseline", *REVERSAL, "--set", "topn=30"],
        "Did you mean equity.strategies.baseline.top_n?",
    ),
    "unknown key": (
        ["build", "--set", "equity.universe.min_advv=1"],
        "Did you mean equity.universe.min_adv?",
    ),
    "value out of bounds": (
        ["backtest", "baseline", *REVERSAL, "--lag", "-1"],
        ".lag = -1: expected greater than or equal to 0",
    ),
    "impossible date": (
        ["backtest", "baseline", *REVERSAL, "--start", "2015-13-01"],
        ".start = '2015-13-01': expected a date, e.g. 2015-01-31",
    ),
    "date in another format": (
        ["build", "--as-of", "31.12.2015", "--into", "past"],
        "--as-of 31.12.2015: a date is written yyyy-mm-dd",
    ),
    "period outside of the data": (
        ["backtest", "baseline", *REVERSAL, "--start", "2031-01-01"],
        "the data run from 2015-01-02 to",
    ),
    "period that ends before it starts": (
        ["backtest", "baseline", *REVERSAL, "--start", "2016-06-01", "--end", "2016-01-01"],
        "start = 2016-06-01 is after end = 2016-01-01",
    ),
    "as-of without a namespace": (
        ["build", "--as-of", "2015-12-31"],
        "name a namespace for it with --into",
    ),
    "bad namespace": (
        ["build", "feat_beta", "--into", "my tables"],
        "'my tables' cannot name a namespace",
    ),
    "namespace that does not exist": (
        ["backtest", "baseline", *REVERSAL, "--namespace", "nowhere"],
        "no feature table of namespace nowhere",
    ),
    "snapshot that does not exist": (
        ["status", "--snapshot", "1999"],
        "no snapshot is kept under '1999'",
    ),
    "bad name of the results": (
        ["backtest", "baseline", *REVERSAL, "--save-as", "my run"],
        "--save-as 'my run': the name of a result is made of letters, digits and underscores",
    ),
    "benchmark that does not exist": (
        ["backtest", "baseline", *REVERSAL, "--benchmark", "NOSUCH"],
        "benchmark NOSUCH is neither a file nor a ticker of sep_base",
    ),
    "empty universe": (
        ["build", "--set", "equity.universe.min_price=1000000"],
        "the universe is empty. What each rule leaves: category and exchange: ",
    ),
    "date before the data": (
        ["universe", "--date", "2010-01-01"],
        "no session up to 2010-01-01; the data begin on 2015-01-02",
    ),
    "source that does not exist": (
        ["ingest", "no-such-folder"],
        "no-such-folder",
    ),
    "configuration that does not exist": (
        ["status", "--config", "no.toml"],
        "no.toml: the configuration can't be read",
    ),
    "report into a folder": (
        ["signals", *REVERSAL, "--report", "."],
        "is a folder; name a file",
    ),
    "backtest report into a folder": (
        ["backtest", "baseline", *REVERSAL, "--report", "."],
        "is a folder; name a file",
    ),
    "no strategy": (["backtest", *REVERSAL], "Missing argument"),
    "no alpha": (["signals"], "Missing option '--alpha'"),
    "no such command": (["biuld"], "No such command 'biuld'"),
    "no such option": (["status", "--verbose"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_leaves_with_2_and_an_unchanged_store(desk: Desk, case: str) -> None:
    arguments, message = WRONG[case]
    before = desk.state()
    ended = kairos("equity", *arguments, "--db", desk.db)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert desk.state() == before
    assert list(Path.cwd().iterdir()) == []


READING = [
    ["status"],
    ["build"],
    ["universe"],
    ["snapshots"],
    ["vacuum"],
    ["relocate"],
    ["export-db", "copy.duckdb"],
    ["signals", *REVERSAL],
    ["backtest", "baseline", *REVERSAL],
]


@pytest.mark.parametrize("arguments", READING, ids=lambda a: a[0])
def test_without_a_database_the_message_says_how_to_make_one(tmp_path: Path, arguments: list[str]) -> None:
    ended = kairos("equity", *arguments, "--db", tmp_path / "data" / "none.duckdb")
    assert (ended.code, ended.out) == (2, "")
    assert "no database at" in ended.err
    assert "kairos equity ingest SOURCE --db" in ended.err
    assert not (tmp_path / "data" / "none.duckdb").exists()


@pytest.mark.parametrize(
    "arguments",
    [["ingest", "VENDOR"], ["build"], ["status"], ["backtest", "baseline", *REVERSAL]],
    ids=lambda a: a[0],
)
def test_a_foreign_database_is_left_alone(desk: Desk, tmp_path: Path, arguments: list[str]) -> None:
    foreign = tmp_path / "mine.duckdb"
    with duckdb.connect(str(foreign)) as con:
        con.execute("CREATE TABLE notes AS SELECT 42 AS answer")
    before = foreign.read_bytes()
    given = [desk.vendor if argument == "VENDOR" else argument for argument in arguments]
    ended = kairos("equity", *given, "--db", foreign)
    assert ended.code == 2
    assert "is not a catalog of Kairos and is left alone: choose another --db" in ended.err
    assert foreign.read_bytes() == before


def test_a_shell_that_writes_keeps_a_build_from_publishing(desk: Desk) -> None:
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    shell = subprocess.Popen(
        [sys.executable, "-c", hold, str(desk.db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "open\n"
        ended = kairos("equity", "build", "feat_trend", "--force", "--db", desk.db)
        assert ended.code == 1
        assert f"(PID {shell.pid})" in ended.err
        assert "nothing was published" in ended.err
        assert equity("status", "--db", desk.db).out
    finally:
        shell.communicate("\n", timeout=20)


def test_a_bad_file_changes_nothing_and_a_good_part_is_loaded_with_reject(desk: Desk, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    shutil.copy(desk.vendor / "SHARADAR_TICKERS.csv", vendor)
    lines = (desk.vendor / "SHARADAR_SEP.csv").read_text().splitlines()[:200]
    header, cells = lines[0].split(","), lines[100].split(",")
    cells[header.index("close")] = "-1"
    lines[100] = ",".join(cells)
    (vendor / "SHARADAR_SEP.csv").write_text("\n".join(lines) + "\n")
    db = tmp_path / "data" / "kairos.duckdb"
    ended = kairos("equity", "ingest", vendor, "--db", db)
    assert ended.code == 2
    assert "SHARADAR_SEP.csv" in ended.err
    assert "101" in ended.err
    assert "close" in ended.err
    assert not db.exists()
    loaded = equity("ingest", vendor, "--db", db, "--reject", tmp_path / "bad.csv", "--json").json
    sep = next(table for table in loaded["tables"] if table["table"] == "sep")
    assert (sep["read"], sep["new"], sum(sep["rejected"].values())) == (199, 198, 1)
    assert (tmp_path / "bad.csv").read_text().count("\n") == 2


# What goes right


def test_loading_twice_changes_nothing(desk: Desk) -> None:
    before = desk.state()
    tables = equity("ingest", desk.vendor, "--db", desk.db, "--json").json["tables"]
    assert {table["table"] for table in tables} == {"sep", "tickers", "daily", "sf1", "sf2", "sf3", "actions"}
    assert all(
        table["new"] == table["changed"] == 0 and table["unchanged"] == table["read"] for table in tables
    )
    after = desk.state()
    same = before.keys() - {"main.runs", "catalog"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


def test_status_says_what_is_current_and_why_something_is_not(desk: Desk) -> None:
    found = equity("status", "--db", desk.db, "--json").json
    assert {frozenset(line) for line in found} == {
        frozenset({"name", "rows", "parts", "last", "state", "why"})
    }
    states = {line["name"]: line["state"] for line in found}
    assert states["sep"] == states["tickers"] == "raw"
    assert {state for name, state in states.items() if name.startswith("feat_")} == {"current"}
    last = desk.rows("SELECT max(date)::VARCHAR FROM sep_base")[0][0]
    assert {line["last"] for line in found if line["name"].startswith("feat_")} == {last}
    changed = equity(
        "status", "--db", desk.db, "--set", "equity.tables.feat_beta.windows=[21, 63, 252, 126]", "--json"
    )
    why = {line["name"]: (line["state"], line["why"]) for line in changed.json}
    assert why["feat_beta"] == ("stale", ["settings changed"])
    assert why["feat_trend"] == ("current", [])
    assert "feat_beta" in equity("status", "--db", desk.db).out


def test_build_makes_the_named_table_and_leaves_the_rest_alone(desk: Desk) -> None:
    report = equity("build", "feat_trend", "--db", desk.db, "--json").json
    assert report["built"] == []
    assert "feat_trend" in report["current"]
    assert report["snapshot"] == equity("snapshots", "--db", desk.db, "--json").json[-1]["snapshot"]
    before = desk.state()
    forced = equity("build", "feat_trend", "--force", "--db", desk.db, "--json").json
    assert "feat_trend" in [table["table"] for table in forced["built"]]
    after = desk.state()
    assert after["main.feat_trend"] == before["main.feat_trend"], "the same inputs give the same bytes"


def test_backtest_json_has_the_headline(desk: Desk) -> None:
    (found,) = equity("backtest", "baseline", *REVERSAL, "--db", desk.db, "--json").json
    promised = {
        "run", "strategy", "alpha", "lower_is_better", "start", "end", "sessions", "total_return",
        "annual_return", "volatility", "sharpe", "sharpe_se", "sortino", "calmar", "max_drawdown", "hit_rate",
        "turnover", "cost_drag", "n_positions", "gross", "net", "beta", "active_return", "information_ratio",
    }  # fmt: skip
    assert promised <= found.keys()
    assert (found["strategy"], found["alpha"]) == ("baseline", "feat_price_action.ret_21d")
    returns = np.array(desk.rows("SELECT port_ret FROM backtest_results_baseline ORDER BY date")).ravel()
    assert found["sessions"] == len(returns)
    assert found["total_return"] == pytest.approx(np.prod(1 + returns) - 1)
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(252))
    (run,) = desk.rows(f"SELECT command, headline FROM runs WHERE id = '{found['run']}'")
    assert run[0].startswith("equity backtest baseline --alpha feat_price_action.ret_21d --lower-is-better")
    assert json.loads(run[1])["sharpe"] == found["sharpe"]


def test_stored_results_have_the_columns_of_the_manual(desk: Desk) -> None:
    equity("backtest", "baseline", *REVERSAL, "--db", desk.db)
    assert [row[0] for row in desk.rows("DESCRIBE backtest_results_baseline")] == [
        "date", "port_ret_raw", "bench_ret_raw", "port_ret", "bench_ret", "active_ret_raw", "active_ret",
        "turnover", "cost", "beta_port", "gross", "net", "n_positions",
    ]  # fmt: skip
    assert [row[0] for row in desk.rows("DESCRIBE backtest_weights_baseline")] == [
        "date", "ticker", "weight_raw", "weight", "target_raw", "target", "decided",
    ]  # fmt: skip


def test_a_bare_set_reaches_the_strategies(desk: Desk) -> None:
    given = ("backtest", "baseline", "risk1", *REVERSAL, "--db", desk.db, "--json")
    plain = equity(*given).json
    small = ("--set", "capital=1000")  # or a small name would take several sessions to buy
    found = equity(*given, *small, "--set", "top_n=10").json
    assert min(line["n_positions"] for line in plain) > 20
    assert [line["strategy"] for line in found] == ["baseline", "risk1"]
    for name in ("baseline", "risk1"):
        held = f"SELECT count(*), sum(weight_raw) FROM backtest_weights_{name} GROUP BY date ORDER BY date"
        first = desk.rows(held)[0]
        assert first == (10, pytest.approx(1.0))


def test_period_and_lag(desk: Desk) -> None:
    given = ("--start", "2015-06-01", "--end", "2016-03-31", "--lag", "3", "--db", desk.db, "--json")
    (found,) = equity("backtest", "baseline", *REVERSAL, *given).json
    sessions = [str(row[0]) for row in desk.rows("SELECT date FROM sessions ORDER BY date")]
    assert found["start"] == sessions[sessions.index("2015-06-01") + 3]
    assert found["end"] == "2016-03-31"


def test_the_lag_of_the_command_goes_over_the_lag_of_an_entry(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[equity.strategies.at_once]\nbase = "baseline"\nlag = 0\n')
    given = (*REVERSAL, "--start", "2015-06-01", "--config", "own.toml", "--db", desk.db, "--json")
    sessions = [str(row[0]) for row in desk.rows("SELECT date FROM sessions ORDER BY date")]
    at = sessions.index("2015-06-01")
    (found,) = equity("backtest", "at_once", *given).json
    assert found["start"] == sessions[at]
    (found,) = equity("backtest", "at_once", *given, "--lag", "2").json
    assert found["start"] == sessions[at + 2]


def test_save_as_names_the_results(desk: Desk) -> None:
    equity("backtest", "baseline", *REVERSAL, "--db", desk.db, "--save-as", "alone")
    equity("backtest", "baseline", "risk1", *REVERSAL, "--db", desk.db, "--save-as", "pair")
    for name in ("alone", "pair_baseline", "pair_risk1"):
        assert {f"main.backtest_results_{name}", f"main.backtest_weights_{name}"} <= desk.state().keys()


def test_benchmark_of_a_file_and_of_a_ticker(desk: Desk, tmp_path: Path) -> None:
    (ticker,) = desk.rows(
        "SELECT ticker FROM sep_base GROUP BY ALL HAVING count(*) = (SELECT count(*) FROM sessions) LIMIT 1"
    )[0]
    given = ("backtest", "baseline", *REVERSAL, "--db", desk.db, "--save-as", "bench", "--benchmark")
    equity(*given, ticker)
    off = desk.rows(f"""
        WITH p AS (SELECT date, closeadj / lag(closeadj) OVER (ORDER BY date) - 1 AS r
                   FROM sep_base WHERE ticker = '{ticker}')
        SELECT max(abs(bench_ret - r)), count(*) FROM backtest_results_bench JOIN p USING (date)
        WHERE date > (SELECT min(date) FROM backtest_results_bench)
        """)
    assert off[0][0] < 1e-12
    assert off[0][1] > 300
    days = [row[0] for row in desk.rows("SELECT date FROM sessions ORDER BY date")]
    levels = tmp_path / "index.csv"
    levels.write_text("date,return\n" + "".join(f"{day},0.001\n" for day in days))
    equity(*given, levels)
    first, *rest = np.array(desk.rows("SELECT bench_ret FROM backtest_results_bench ORDER BY date")).ravel()
    assert first == 0.0, "bought at the close of the first fill, like the strategy's own names"
    assert rest == pytest.approx([0.001] * len(rest))
    levels.write_text("date,return\n" + "".join(f"{day},0.001\n" for day in days[:-1]))
    ended = kairos("equity", *given, levels)
    assert ended.code == 2
    assert f"has no value on {days[-1]}" in ended.err


def test_reports_are_single_files(desk: Desk, tmp_path: Path) -> None:
    ended = equity("backtest", "baseline", *REVERSAL, "--db", desk.db, "--report", tmp_path / "one.html")
    assert f"report: {tmp_path / 'one.html'}" in ended.err
    equity("backtest", "baseline", "risk1", *REVERSAL, "--db", desk.db, "--report", tmp_path / "two.html")
    given = ("signals", *REVERSAL, "--alpha", "price_vs_sma_21", "--db", desk.db)
    equity(*given, "--report", tmp_path / "s.html")
    names = ["one.html", "s.html", "two_baseline.html", "two_risk1.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "ret_21d" in page
        assert "What was assumed" in page
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="https?:', page)


def test_signals_json(desk: Desk) -> None:
    given = ("--alpha", "ret_21d", "--alpha", "feat_trend.price_vs_sma_21", "--horizon", 10, "--lag", 2)
    found = equity("signals", *given, "--db", desk.db, "--json").json
    assert [line["signal"] for line in found["signals"]] == [
        "feat_price_action.ret_21d",
        "feat_trend.price_vs_sma_21",
    ]
    assert {"IC", "t", "ICIR", "IC > 0", "dates", "members", "neutral IC", "p", "IC 5"} <= found["signals"][
        0
    ].keys()
    assert (found["settings"]["horizon"], found["settings"]["lag"]) == (10, 2)
    assert found["signals"][0]["IC"] == found["signals"][0]["IC 10"]
    turned = equity("signals", *given, "--lower-is-better", "--db", desk.db, "--json").json
    assert turned["signals"][0]["IC"] == -found["signals"][0]["IC"]
    assert {"correlation", "holm", "romano_wolf", "snapshot", "members_mean", "mode"} <= found.keys()


MANUAL = ["ticker", "name", "exchange", "category", "scalemarketcap", "isdelisted", "adv_60d", "last_close"]


@pytest.mark.parametrize("mode", ["point_in_time", "option_b"])
def test_universe_csv_has_the_columns_of_the_manual(desk: Desk, tmp_path: Path, mode: str) -> None:
    given = ("universe", "--db", desk.db, "--set", f"equity.universe.mode={mode}")
    ended = equity(*given, "--csv", tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == MANUAL
    assert ended.out == f"{len(rows)} tickers in {tmp_path / 'list.csv'}\n"
    assert [row["ticker"] for row in equity(*given, "--json").json] == [row[0] for row in rows]
    if mode == "point_in_time":
        last = desk.rows(
            "SELECT ticker FROM universe WHERE date = (SELECT max(date) FROM sessions) ORDER BY 1"
        )
        assert [row[0] for row in rows] == [row[0] for row in last]


def test_universe_of_an_earlier_date_is_what_it_was(desk: Desk) -> None:
    found = equity("universe", "--db", desk.db, "--date", "2016-01-03", "--json").json
    stored = desk.rows("SELECT ticker, adv_60, price FROM universe WHERE date = '2015-12-31' ORDER BY ticker")
    assert [(row["ticker"], row["adv_60d"], row["last_close"]) for row in found] == stored


def test_a_second_universe_lives_in_a_namespace(desk: Desk) -> None:
    before = desk.state()
    equity("build", "--db", desk.db, "--into", "option_b", "--set", "equity.universe.mode=option_b")
    after = desk.state()
    assert all(after[name] == before[name] for name in before if name not in {"main.runs", "catalog"})
    assert desk.rows("SELECT count(DISTINCT ticker) FROM option_b.universe") > [(0,)]
    assert after["option_b.sessions"] == after["main.sessions"]
    assert after["option_b.universe"] != after["main.universe"]
    given = ("--namespace", "option_b", "--db", desk.db)
    (found,) = equity("backtest", "baseline", *REVERSAL, *given, "--json").json
    assert "option_b.backtest_results_baseline" in desk.state()
    stale = equity("status", *given, "--json").json
    assert {line["name"]: line["why"] for line in stale}["universe"] == ["settings changed"]
    current = equity("status", *given, "--set", "equity.universe.mode=option_b", "--json").json
    assert {line["state"] for line in current} == {"raw", "current", "result"}
    assert equity("signals", *REVERSAL, *given, "--json").json["mode"] == "option_b"
    assert found["sessions"] > 0


def test_as_of_gives_the_values_that_were_known(desk: Desk) -> None:
    equity("build", "feat_trend", "feat_adv", "--db", desk.db, "--into", "past", "--as-of", "2016-01-03")
    assert desk.rows("SELECT max(date)::VARCHAR FROM past.sessions") == [("2015-12-31",)]
    for table in ("universe", "feat_trend", "feat_adv"):
        (early,) = desk.rows(f"SELECT count(*) FROM past.{table}")
        (known,) = desk.rows(
            f"SELECT count(*) FROM (SELECT * FROM past.{table} INTERSECT SELECT * FROM main.{table})"
        )
        assert early[0] > 1000
        assert known == early, f"{table}: a row of the past differs from what it is today"


def test_an_earlier_snapshot_can_be_read(desk: Desk) -> None:
    first = equity("snapshots", "--db", desk.db, "--json").json
    assert [line["snapshot"] for line in first] == sorted(line["snapshot"] for line in first)
    assert first[-1].keys() == {"snapshot", "published (UTC)", "tables", "code"}
    now = first[-1]["snapshot"]
    equity("backtest", "baseline", *REVERSAL, "--db", desk.db, "--save-as", "later")
    tables = {line["name"] for line in equity("status", "--db", desk.db, "--snapshot", now, "--json").json}
    assert "backtest_results_later" not in tables
    assert "backtest_results_later" in {
        line["name"] for line in equity("status", "--db", desk.db, "--json").json
    }
    old = equity("signals", *REVERSAL, "--db", desk.db, "--snapshot", now, "--json").json
    assert old["snapshot"] == now


def test_export_is_one_file_with_everything(desk: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    assert equity("export-db", copy, "--db", desk.db).out == f"{copy}\n"
    with duckdb.connect(str(copy), read_only=True) as con:
        assert con.execute("SELECT * FROM feat_trend ORDER BY ALL LIMIT 50").fetchall() == desk.rows(
            "SELECT * FROM feat_trend ORDER BY ALL LIMIT 50"
        )
        assert con.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'universe'"
        ).fetchall() >= [(1,)]
    before = copy.read_bytes()
    ended = kairos("equity", "export-db", copy, "--db", desk.db)
    assert (ended.code, copy.read_bytes() == before) == (2, True)
    assert "exists" in ended.err
    equity("export-db", copy, "--db", desk.db, "--force")


def test_moved_folder_is_relocated(desk: Desk, tmp_path: Path) -> None:
    moved = tmp_path / "moved" / "kairos.duckdb"
    moved.parent.mkdir()
    shutil.copy(desk.db, moved)
    shutil.copytree(desk.db.with_suffix(""), moved.with_suffix(""))
    equity("relocate", "--db", moved)
    with duckdb.connect(str(moved), read_only=True) as con:
        ((sql,),) = con.execute(
            "SELECT sql FROM duckdb_views() WHERE view_name = 'feat_trend' AND schema_name = 'main'"
        ).fetchall()
        assert str(moved.parent) in sql
        assert str(desk.db.parent) not in sql
        assert con.execute("SELECT count(*) FROM feat_trend").fetchall() == desk.rows(
            "SELECT count(*) FROM feat_trend"
        )


def test_vacuum_spares_what_is_young(desk: Desk) -> None:
    dry = equity("vacuum", "--dry-run", "--db", desk.db, "--json").json
    assert dry == {"parts": 0, "temporary": 0, "bytes": 0}
    assert equity("vacuum", "--db", desk.db).out == "0 parts and 0 temporary files deleted: 0.0 MB\n"


# The demo


@pytest.mark.slow
def test_demo_goes_the_whole_way_and_twice_the_same_way(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    desk = Desk(folder / "vendor", folder / "data" / "kairos.duckdb")
    names = ("index.html", "signals.html", "tearsheet_baseline.html", "tearsheet_risk1.html", "adr.html")
    reports = [folder / name for name in names]
    tables = []
    for _ in range(2):
        ended = kairos("demo", "--out", folder, "--set", "equity.signals.groups=5")
        assert ended.code == 0, ended.err
        assert ended.out.splitlines()[-1] == f"reports: {reports[0]}"
        linked = re.findall(r'<dt><a href="([^"]+)"', reports[0].read_text())
        assert {path.name for path in reports[1:]} < set(linked)
        assert all((folder / name).is_file() for name in linked)
        assert all(path.stat().st_size > 10_000 for path in reports)
        assert desk.rows("SELECT count(*) > 900 FROM backtest_results_risk1") == [(True,)]
        tables.append(
            {name: digest for name, digest in desk.state().items() if name.startswith("main.feat_")}
        )
    assert tables[0] == tables[1] != {}


def test_demo_does_not_delete_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "years-of-work.csv").write_text("precious\n")
    ended = kairos("demo", "--out", tmp_path)
    assert (tmp_path / "data" / "years-of-work.csv").read_text() == "precious\n"
    assert ended.code == 2
