"""Runs of the ledger: found, put side by side, repeated."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kairos.cli import main
from kairos.equity import rerun as rerun_module
from kairos.equity.backtest import backtest
from kairos.equity.backtest.compat import with_engine
from kairos.equity.backtest.sources import code_apart
from kairos.equity.build import build
from kairos.equity.compare import compare
from kairos.equity.ingest import ingest
from kairos.equity.recorded import find_run, headline_of, setup_of, stored
from kairos.equity.rerun import apart, repeat, rerun
from kairos.equity.sheets.comparison import comparison_page
from kairos.errors import InputError
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store
from kairos.store.ledger import runs

ALPHA = "feat_price_action.ret_5d"


@pytest.fixture(scope="module")
def rc_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three results: wide, narrow, and one that trades against the signal."""
    folder = tmp_path_factory.mktemp("rc_market")
    simulate(folder / "vendor", tickers=50, years=2, seed=6, format="parquet")
    db = folder / "kairos.duckdb"
    ingest([folder / "vendor"], db, settings=load())
    build(db, settings=load())
    rc_run(db, "wide", "top_n=20")
    rc_run(db, "narrow", "top_n=8")
    rc_run(db, "other", "top_n=20", lower_is_better=True)
    return db


def rc_run(db: Path, name: str, *overrides: str, strategy: str = "baseline", **options: Any) -> str:
    settings = load(overrides=list(overrides), strategies=[strategy])
    ((_, run),) = backtest(db, [strategy], alpha=ALPHA, settings=settings, save_as=name, **options)
    return run.id


def rc_copy(db: Path, folder: Path) -> Path:
    shutil.copytree(db.parent, folder / "copy")
    copy = folder / "copy" / db.name
    Store(copy).relocate()
    return copy


def rc_forget(store: Store) -> None:
    """Only the published snapshot is kept, as after many nights."""
    for path in store.layout.manifests.glob("*/*.json"):
        if path.stem != store.snapshot().id:
            path.unlink()


def rc_code(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_a_run_is_found_by_name_identifier_and_beginning(rc_db: Path) -> None:
    now = Store(rc_db).snapshot()
    wide = find_run(now, "wide")
    assert json.loads(wide.headline)["table"] == "backtest_results_wide"
    assert find_run(now, wide.id) == wide
    assert find_run(now, wide.id[:-2]) == wide
    with pytest.raises(InputError, match=r"runs begin with '20'.*nor is there a result backtest_results_20"):
        find_run(now, "20")
    with pytest.raises(InputError, match="no run has the identifier 'nothing'"):
        find_run(now, "nothing")


def test_a_run_repeats_to_the_last_bit_and_nothing_is_stored(
    rc_db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Store(rc_db).snapshot().id
    assert rc_code("rerun", "other", "--db", rc_db) == 0
    assert "Equal: the columns of daily results" in capsys.readouterr().out
    assert Store(rc_db).snapshot().id == before


def test_other_code_is_told_by_column_day_and_exit_code(
    rc_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    true = rerun_module.run_strategy

    def dearer(context: Any, strategy: Any, *rest: Any) -> Any:
        return true(context, with_engine(strategy, costs={"half_spread": 0.001}), *rest)

    monkeypatch.setattr(rerun_module, "run_strategy", dearer)
    monkeypatch.setattr(rerun_module, "code_version", lambda: "9.9.9+changed")
    assert rc_code("rerun", "wide", "--db", rc_db, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["equal"] is False
    assert {line.partition(":")[0] for line in told["differences"]} >= {"port_ret", "cost"}
    assert not any(line.startswith("bench_ret:") for line in told["differences"])
    first = str(Store(rc_db).snapshot().read("backtest_results_wide")["date"][0])
    cost = next(line for line in told["differences"] if line.startswith("cost"))
    assert cost.endswith(f"first on {first}")
    setting, code = told["changed"]
    assert setting == "configuration: strategy.top_n: 20 then, 50 now"
    assert "9.9.9+changed now; nothing that the run uses" in code


def test_a_run_whose_results_and_snapshot_are_gone_is_repeated_on_the_present_data(
    rc_db: Path, tmp_path: Path
) -> None:
    db = rc_copy(rc_db, tmp_path)
    old = find_run(Store(db).snapshot(), "wide").id
    kept = find_run(Store(db).snapshot(), "narrow")
    rc_run(db, "wide", "top_n=5")
    store = Store(db)
    rc_forget(store)
    run = find_run(store.snapshot(), old)
    assert stored(store, run) is None
    assert stored(store, kept) is not None  # not replaced: the present snapshot has it
    found = rerun(db, old, settings=load())
    assert found.equal
    assert found.compared == "the headline numbers"
    assert any(
        "is no longer kept" in line and "the same of all that the run reads" in line for line in found.changed
    )
    both = compare(db, [old, "narrow"], settings=load())
    assert any("was repeated from the ledger; it gives the recorded Sharpe ratio" in w for w in both.warnings)
    before = Store(rc_db).snapshot().read("backtest_results_wide")["port_ret"].to_numpy()
    np.testing.assert_array_equal(both.runs[0].ret, before)


def test_other_prices_are_told(rc_db: Path, tmp_path: Path) -> None:
    db = rc_copy(rc_db, tmp_path)
    file = next((rc_db.parent / "vendor").glob("*SEP.parquet"))
    rows = pq.read_table(file)
    held = Store(db).snapshot().read("backtest_weights_wide", ["ticker", "date"]).slice(200, 1).to_pylist()[0]
    row = rows.filter((pc.field("ticker") == held["ticker"]) & (pc.field("date") == held["date"]))
    changed = dict.fromkeys(("open", "high", "low", "close", "closeadj"), 1.01)
    for name, factor in changed.items():
        at = row.column_names.index(name)
        row = row.set_column(at, name, pc.multiply(row[name], factor))
    at = row.column_names.index("lastupdated")
    row = row.set_column(at, "lastupdated", pa.array([dt.date(2025, 1, 1)]).cast(row["lastupdated"].type))
    (tmp_path / "new").mkdir()
    pq.write_table(row, tmp_path / "new" / file.name)
    ingest([tmp_path / "new"], db, settings=load())
    build(db, settings=load())
    rc_forget(Store(db))
    found = rerun(db, "wide", settings=load())
    assert not found.equal
    told = [line.partition(":")[2].partition(":")[0].strip() for line in found.changed]
    assert set(told[1:]) >= {"vendor table sep_base", "table sep_base_academic", "table feat_price_action"}
    assert not any(name in line for line in told for name in ("daily", "tickers", "actions"))
    assert any(line.startswith("port_ret:") for line in found.differences)


def test_the_benchmarks_file_and_the_code_of_a_table_are_told(rc_db: Path, tmp_path: Path) -> None:
    db = rc_copy(rc_db, tmp_path)
    days = Store(db).snapshot().read("backtest_results_wide")["date"].to_pylist()
    file = tmp_path / "index.csv"
    file.write_text("date,return\n" + "".join(f"{day},0.001\n" for day in days))
    rc_run(db, "held", "top_n=20", benchmark=str(file))
    settings = load(overrides=["top_n=20"], strategies=["baseline"])
    found = rerun(db, "held", settings=settings)
    assert (found.equal, found.changed) == (True, [])
    file.write_text(file.read_text().removesuffix("0.001\n") + "0.002\n")
    found = rerun(db, "held", settings=settings)
    assert found.changed == [f"data: the file {file} has another content"]
    assert {line.partition(":")[0] for line in found.differences} >= {"bench_ret_raw", "bench_ret"}
    seen = json.loads(find_run(Store(db).snapshot(), "held").headline)["sources"]
    older = {**seen, "code": {**seen["code"], "feat_price_action": "older"}}
    assert code_apart(older, seen) == ["feat_price_action"]


def test_replaced_results_are_read_from_a_snapshot_that_still_has_them(rc_db: Path, tmp_path: Path) -> None:
    db = rc_copy(rc_db, tmp_path)
    run = find_run(Store(db).snapshot(), "wide")
    expected = stored(Store(db), run)
    rc_run(db, "wide", "top_n=5")
    found = stored(Store(db), run)
    assert found is not None
    assert found.equals(expected)
    assert find_run(Store(db).snapshot(), "wide").id != run.id


def test_a_repetition_can_be_stored_and_is_no_further_trial(rc_db: Path, tmp_path: Path) -> None:
    db = rc_copy(rc_db, tmp_path)
    count = len(runs(Store(db).snapshot()))
    found = rerun(db, "narrow", settings=load(), save_as="again")
    now = Store(db).snapshot()
    assert now.read("backtest_results_again").equals(now.read("backtest_results_narrow"))
    assert len(runs(now)) == count + 1
    last = runs(now)[-1]
    assert last.id == found.saved
    assert last.config_hash == find_run(now, "narrow").config_hash
    with pytest.raises(InputError, match="--save-as"):
        rerun(db, "narrow", settings=load(), save_as="no name")


def test_settings_of_another_version(rc_db: Path) -> None:
    run = find_run(Store(rc_db).snapshot(), "wide")
    config = json.loads(run.config)
    assert setup_of(run, load()).added == {}
    del config["equity"]["backtest"]["order_wait"], config["strategy"]["refresh"]
    older = setup_of(replace(run, config=json.dumps(config)), load())
    assert older.added == {"equity.backtest.order_wait": 5, "strategy.refresh": 1.0}
    assert older.strategy.refresh == 1.0
    without = {key: value for key, value in headline_of(run).items() if key != "sources"}
    again = repeat(Store(rc_db), replace(run, headline=json.dumps(without)), load())
    assert again.changed[0] == f"data: {run.code_version} did not record what the run was made from"
    config["strategy"]["gone"] = 3
    with pytest.raises(InputError, match=rf"{run.code_version.split('+')[0]}.*gone"):
        setup_of(replace(run, config=json.dumps(config)), load())


def test_one_bit_is_a_difference_and_two_missing_values_are_none() -> None:
    days = pa.array(np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]"))
    one = pa.table({"date": days, "a": [1.0, np.nan, 0.1], "b": [1.0, 2.0, 3.0]})
    assert apart(one, one) == []
    bit = one.set_column(1, "a", pa.array([1.0, np.nan, np.nextafter(0.1, 1.0)]))
    (line,) = apart(one, bit)
    assert line.startswith("a: 1 of 3 values")
    assert line.endswith("first on 2020-01-03")
    assert apart(one, one.drop_columns(["b"])) == ["b: only in one of the two"]
    assert apart(one, one.slice(1))[0].startswith("dates: 3 from 2020-01-01 to 2020-01-03 then, 2 from")


def test_a_comparison_equals_plain_numpy_on_the_stored_returns(rc_db: Path) -> None:
    found = compare(rc_db, ["wide", "narrow", "other"], settings=load())
    tables = [Store(rc_db).snapshot().read(f"backtest_results_{n}") for n in ("wide", "narrow", "other")]
    frames = [dict(zip(t["date"].to_pylist(), t["port_ret"].to_pylist(), strict=True)) for t in tables]
    common = sorted(set.intersection(*(set(frame) for frame in frames)))
    ret = np.array([[frame[day] for frame in frames] for day in common])
    assert len(found.days) == len(common)
    np.testing.assert_allclose(found.correlation, np.corrcoef(ret.T), rtol=1e-12)
    ratio = ret.mean(axis=0) / ret.std(axis=0, ddof=1) * np.sqrt(252)
    for gap in found.gaps:
        assert gap.difference == pytest.approx(ratio[gap.first] - ratio[gap.second])
        assert gap.low < gap.difference < gap.high
        assert gap.adjusted >= gap.p - 0.01
    own = found.runs[0]
    assert own.sharpe[0] < own.headline["sharpe"] < own.sharpe[1]
    assert found.labels == ["wide", "narrow", "other"]
    np.testing.assert_allclose(found.shared, ratio)
    for key in ("gross", "beta_port", "n_positions"):
        np.testing.assert_array_equal(own.exposure[key], tables[0][key].to_numpy())


def test_runs_that_count_otherwise_stay_apart_from_those_that_count_alike(
    rc_db: Path, tmp_path: Path
) -> None:
    """One return a rebalance beside two of one a session: the two are compared as if they were alone."""
    db = rc_copy(rc_db, tmp_path)
    rc_run(db, "risky", "turnover=0.1", strategy="risk4")
    rc_run(db, "coarse", "equity.backtest.manual.per_rebalance=true", "top_n=20")
    found = compare(db, ["wide", "coarse", "risky"], settings=load())
    alone = compare(db, ["wide", "risky"], settings=load())
    assert [(gap.first, gap.second) for gap in found.gaps] == [(0, 2)]
    assert found.gaps[0].difference == alone.gaps[0].difference
    np.testing.assert_array_equal(np.isnan(found.shared), [False, True, False])
    np.testing.assert_array_equal(found.days, alone.days)
    assert any("compared in pairs with the others is coarse" in line for line in found.warnings)
    page = comparison_page(found, "equity compare").render()
    for text in (
        "Exposures",
        "Use of the limit: turnover",
        "risky: binds",
        "on the shared dates",
        "Behind it",
    ):
        assert text in page


def test_only_what_differs_is_listed(rc_db: Path) -> None:
    found = compare(rc_db, ["wide", "narrow"], settings=load())
    assert dict(found.settings) == {"strategy.top_n": ["20", "8"]}
    found = compare(rc_db, ["wide", "other"], settings=load())
    assert dict(found.settings) == {"asked.--lower-is-better": ["false", "true"]}


def test_the_page_of_a_comparison(rc_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "both.html"
    assert rc_code("equity", "compare", "wide", "narrow", "--db", rc_db, "--report", path) == 0
    out = capsys.readouterr().out
    assert "difference of the Sharpe ratios" in out
    assert "strategy.top_n" in out
    html = path.read_text()
    for text in ("Side by side", "Do they differ", "strategy.top_n", "Snapshot"):
        assert text in html
    found = compare(rc_db, ["wide", "narrow"], settings=load())
    evil = replace(found, runs=[replace(found.runs[0], label="<script>x()</script>"), found.runs[1]])
    assert "<script>x()" not in comparison_page(evil, "equity compare").render()


def test_a_comparison_of_one(rc_db: Path) -> None:
    with pytest.raises(InputError, match="two runs or more"):
        compare(rc_db, ["wide"], settings=load())
    with pytest.raises(InputError, match="are the same run"):
        compare(rc_db, ["wide", find_run(Store(rc_db).snapshot(), "wide").id], settings=load())
    assert rc_code("equity", "compare", "wide", "nothing", "--db", rc_db) == 2
