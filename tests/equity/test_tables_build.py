"""What a build makes anew and why, and what it does without an input."""

import csv
import datetime as dt
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tables_market import Market

import kairos
from kairos.equity import build, registry, status
from kairos.equity.ingest import ingest
from kairos.errors import InputError
from kairos.settings import load

DERIVED = [table.name for table in registry.tables(load())]
FEATURES = [table.name for table in registry.features(load())]


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A small market, built; tests leave its main tables as they are."""
    return small(lambda n: Market(tmp_path_factory.mktemp("once") / "vendor", n)).build()


def small(tiny, **about):
    market = tiny(70)
    rng = np.random.default_rng(0)
    for i in range(4):
        market.add(f"A{i}", np.round(30 * np.exp(np.cumsum(rng.normal(0, 0.02, 70))), 2), **about)
    return market


def fingerprints(market, namespace="main"):
    tables = market.snapshot().tables
    found = {name: tables.get((namespace, name)) for name in DERIVED}
    return {name: table.fingerprint for name, table in found.items() if table is not None and not table.sql}


def stale(market, overrides=(), namespace="main"):
    """Name of each table that is built and not current, and why."""
    settings = load(overrides=["run.memory_limit=1GB", *overrides])
    found = status(market.db, settings=settings, namespace=namespace)
    return {row.name: row.why for row in found if row.state == "stale"}


def test_a_second_build_makes_nothing(once):
    built = set(DERIVED) - set(once.report.not_built)
    assert {row["table"] for row in once.report.built} == built
    assert "filings" in once.report.not_built
    before = fingerprints(once)
    again = once.build()
    assert again.built == []
    assert set(again.current) == built
    assert fingerprints(once) == before
    assert stale(once) == {}


def test_a_forced_build_makes_the_same(once):
    before = fingerprints(once)
    again = once.build(force=True)
    assert {row["table"] for row in again.built} == set(DERIVED) - set(again.not_built)
    assert fingerprints(once) == before


def test_two_stores_of_the_same_files_are_equal(once, tmp_path):
    other = replace(once, db=tmp_path / "other" / "kairos.duckdb")
    ingest([other.folder], other.db, settings=other.settings)
    other.build()
    assert fingerprints(other) == fingerprints(once)


def test_a_parameter_makes_its_table_stale(tiny):
    made = small(tiny).build()
    change = ["equity.tables.feat_vol_sizing.weight=0.25"]
    matrices = dict.fromkeys(
        ("feat_matrix", "feat_matrix_v2", "feat_matrix_all"), ("feat_vol_sizing is stale",)
    )
    assert stale(made, change) == {"feat_vol_sizing": ("settings changed",), **matrices}
    before = made.read("feat_vol_sizing")
    report = made.build(overrides=change)
    assert [row["table"] for row in report.built] == ["feat_vol_sizing", *matrices]
    after = made.read("feat_vol_sizing")
    expected = 0.25 * after["vol_21"] + 0.75 * after["vol_63"]
    np.testing.assert_allclose(after["vol_blend"], expected, rtol=1e-6)
    assert not before["vol_blend"].equals(after["vol_blend"])
    assert stale(made, change) == {}


def test_what_a_table_does_not_read_leaves_it_alone(once):
    assert stale(once, ["equity.backtest.lag=3", "equity.signals.groups=5", "store.keep_snapshots=3"]) == {}
    why = stale(once, ["equity.windows.coverage=0.9"])
    assert "settings changed" in why["feat_stat"]
    assert not {"universe", "listings", "feat_price_shape"} & set(why)
    why = stale(once, ["equity.universe.min_price=3.0"])
    assert why["universe"] == ("settings changed",)
    assert "universe is stale" in why["sep_base_academic"]
    assert "listings" not in why


def test_an_input_that_changed(tiny, tmp_path):
    market = small(tiny)
    made = market.build()
    row = market.sep[65]
    row[5] = round(row[5] * 1.01, 2)
    later = tmp_path / "later"
    market.folder = later
    market.write()
    for name in ("TICKERS", "DAILY"):
        (later / f"SHARADAR_{name}.csv").unlink()
    ingest([later], made.db, settings=made.settings)
    why = stale(made)
    assert "sep_base changed" in why["sessions"]
    assert "sep_base changed" in why["universe"]
    assert "sep_base_academic is stale" in why["feat_adv"]
    report = made.build()
    assert {"sep_base_academic", "feat_stat"} <= {row["table"] for row in report.built}
    assert stale(made) == {}
    stored = made.read("feat_trend").query("ticker == 'A0'").sort_values("date")["ema_12"]
    close = made.read("sep_base").query("ticker == 'A0'").sort_values("date")["close"]
    expected = close.ewm(span=12, adjust=False).mean()
    np.testing.assert_allclose(stored.to_numpy(float), expected, rtol=1e-6)


def test_an_input_that_is_new(tiny, tmp_path):
    market = small(tiny)
    market.daily = []
    made = market.build()
    market.folder = tmp_path / "later"
    market.daily = [[t, d, 500.0] for t in ("A0", "A1", "A2", "A3") for d in market.days]
    market.write()
    ingest([market.folder / "SHARADAR_DAILY.csv"], made.db, settings=made.settings)
    why = stale(made)
    assert "daily is new" in why["universe"]
    assert "daily is new" in why["feat_adv"]
    assert "feat_price_shape" in why  # only through the universe
    assert "feat_price_shape" not in {n for n, w in why.items() if "daily is new" in w}


def test_the_users_list_that_changed(tiny, tmp_path):
    """The list is an input: another content is another universe."""
    listed = tmp_path / "list.csv"
    listed.write_text("ticker\nA0\nA1\n")
    mode = ["equity.universe.mode=file", f"equity.universe.file={listed}"]
    made = small(tiny).build(overrides=mode)
    assert stale(made, mode) == {}
    listed.write_text("ticker\nA0\nA1\nA2\n")
    assert "universe" in stale(made, mode)
    made.build(overrides=mode)
    assert set(made.read("universe")["ticker"]) == {"A0", "A1", "A2"}


CODE = {
    "equity/tables/feat_stat.py": {"feat_stat"},
    "equity/size.py": {"universe", "feat_adv"},
    "equity/outcome.py": {"feat_targets"},
    "equity/formulas.py": {"feat_price_action", "feat_volume_volatility"},
    "equity/universe.py": {"universe", "option_b"},
    "panel/kernels.py": {"feat_stat", "feat_beta"},
}
"""Where a formula changes, and some of the tables whose numbers come from there."""

ASK = """
import os, sys
from pathlib import Path
from kairos.equity import status
from kairos.settings import load
root, db, settings = Path(sys.argv[1]), Path(sys.argv[2]), load()
for module in sys.argv[3:]:
    if not os.fork():  # what a process has read of the code it reads only once
        with (root / module).open("a") as file:
            file.write("\\n\\ndef _another_formula() -> float:\\n    return 1.0\\n")
        names = [s.name for s in status(db, settings=settings) if "its formula changed" in s.why]
        print(module, *names, flush=True)
        os._exit(0)
    os.wait()
    (root / module).write_bytes((Path(sys.argv[1] + ".as_it_was") / module).read_bytes())
"""


@pytest.fixture(scope="module")
def after_a_change(once, tmp_path_factory):
    """Tables whose formula is said to have changed, by the module of a copy of the code that was changed."""
    copy = tmp_path_factory.mktemp("code") / "kairos"
    for target in (copy, copy.with_name("kairos.as_it_was")):
        shutil.copytree(Path(kairos.__file__).parent, target)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(copy), str(once.db), *CODE],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(copy.parent)},
    )
    return {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}


@pytest.mark.parametrize("module", CODE)
def test_a_formula_that_changed(after_a_change, module):
    """The code of a table is all the code that its numbers come from, not its own file only."""
    assert after_a_change[module] >= CODE[module]
    if module.startswith("equity/tables"):
        assert after_a_change[module] == CODE[module]


def test_names_that_do_not_exist(once):
    with pytest.raises(InputError, match=r"feat_trendy.*feat_trend"):
        once.build("feat_trendy")
    with pytest.raises(InputError, match=r"equity\.tables\.feat_trendy.*feat_trend"):
        once.build(overrides=["equity.tables.feat_trendy.sma=[5]"])
    with pytest.raises(InputError, match=r"equity\.tables\.feat_beta\.window.*windows"):
        once.build(overrides=["equity.tables.feat_beta.window=[21]"])
    with pytest.raises(InputError, match=r"equity\.tables\.feat_vol_sizing\.weight"):
        once.build(overrides=["equity.tables.feat_vol_sizing.weight=many"])


def test_windows_are_parameters(tiny):
    overrides = ["equity.tables.feat_trend.sma=[10]", "equity.tables.feat_trend.base=10"]
    made = small(tiny).build("feat_trend", overrides=overrides)
    rows = made.read("feat_trend")
    assert {"sma_10", "price_vs_sma_10", "sma_10_slope"} <= set(rows.columns)
    close = made.vendor["sep"].query("ticker == 'A1'").sort_values("date")["close"]
    expected = close.rolling(10).mean().to_numpy()
    np.testing.assert_allclose(rows.query("ticker == 'A1'")["sma_10"], expected, rtol=1e-6)


def test_named_tables_are_built_with_what_they_need_and_no_more(tiny):
    made = small(tiny).build("feat_beta")
    assert {row["table"] for row in made.report.built} == {
        "sessions",
        "listings",
        "universe",
        "sep_base_academic",
        "market",
        "feat_beta",
    }


def test_without_tickers_everything_says_why(tiny):
    market = small(tiny)
    market.write()
    (market.folder / "SHARADAR_TICKERS.csv").unlink()
    settings = load(overrides=["run.memory_limit=1GB"])
    db = market.folder.parent / "store" / "kairos.duckdb"
    ingest([market.folder], db, settings=settings)
    report = build(db, settings=settings)
    assert "tickers missing" in report.not_built["universe"]
    assert {row["table"] for row in report.built} == {"sessions", "listings"}
    assert set(report.not_built) == set(DERIVED) - {"sessions", "listings"}
    assert any("not built: universe: tickers missing" in line for line in report.remarks())
    states = {row.name: row for row in status(db, settings=settings)}
    assert states["universe"].state == "not built"
    assert states["universe"].why == ("tickers missing",)


def test_without_daily_the_size_rule_is_dropped_and_said(tiny):
    market = small(tiny, marketcap=10.0)
    market.daily = []
    made = market.build()
    assert set(made.read("universe")["ticker"]) == {"A0", "A1", "A2", "A3"}
    assert made.read("universe")["marketcap"].isna().all()
    adv = made.read("feat_adv")
    np.testing.assert_allclose(adv["size_raw"], np.log(adv["adv_60"]), rtol=1e-6)
    said = " ".join(made.report.remarks())
    assert "size rule was dropped" in said
    assert "feat_adv is made without daily" in said
    assert made.report.facts["universe"]["size_rule"] is False


def test_without_actions_a_listing_ends_with_its_prices(tiny):
    market = small(tiny)
    market.add("B", np.where(np.arange(70) < 50, 30.0, np.nan))
    made = market.build()
    ended = made.read("listings").set_index("ticker").loc["B"]
    assert (ended["ended"], ended["reason"], ended["payout"]) == (True, "unknown", 0.0)
    assert any("listings is made without actions" in line for line in made.report.remarks())


def test_unknown_ends_are_counted(tiny):
    market = small(tiny)
    market.add("B", np.where(np.arange(70) < 50, 30.0, np.nan))
    market.add("C", np.where(np.arange(70) < 50, 30.0, np.nan))
    market.act("C", 49, "delisted", "acquisitionby")
    made = market.build()
    assert made.snapshot().table("listings").meta["facts"]["without_reason"] == 1
    assert any("1 of 2 listings ended without a known reason" in line for line in made.report.remarks())


def test_nothing_is_published_when_the_universe_is_empty(once):
    before, snapshot = fingerprints(once), once.snapshot().id
    with pytest.raises(InputError, match="empty"):
        once.build(overrides=["equity.universe.min_adv=1e15"])
    assert fingerprints(once) == before
    assert once.snapshot().id == snapshot


def test_a_namespace_shares_the_parts_that_are_equal(once):
    files = {p for p in once.db.parent.rglob("*.parquet") if "runs" not in str(p)}
    once.build(into="second")
    assert fingerprints(once, "second") == fingerprints(once)
    assert {p for p in once.db.parent.rglob("*.parquet") if "runs" not in str(p)} == files
    once.build(into="third", overrides=["equity.tables.feat_vol_sizing.weight=0.25"])
    other, main = fingerprints(once, "third"), fingerprints(once)
    assert {name for name in main if other[name] != main[name]} == {"feat_vol_sizing"}
    assert fingerprints(once) == main


def test_a_truncated_copy_needs_a_namespace(once):
    with pytest.raises(InputError, match="--into"):
        once.build(as_of=dt.date(2020, 2, 1))


@pytest.mark.slow
def test_a_truncated_copy_is_current_for_its_date_only(once):
    day = dt.date(2020, 3, 20)
    once.build(as_of=day, into="then")
    assert once.build(as_of=day, into="then").built == []
    assert stale(once, namespace="then") == {}
    assert max(once.read("feat_adv", "then")["date"]) == day
    again = once.build(as_of=dt.date(2020, 3, 23), into="then")
    assert {row["table"] for row in again.built} >= {"sessions", "universe", "feat_adv"}


def test_no_prices_is_an_error_with_the_next_step(tmp_path):
    folder = tmp_path / "vendor"
    folder.mkdir()
    with (folder / "SHARADAR_TICKERS.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["table", "ticker", "exchange", "isdelisted", "category"], ["SEP", "A", "NYSE", "N", "ETF"]]
        )
    settings = load()
    db = tmp_path / "kairos.duckdb"
    ingest([folder], db, settings=settings)
    with pytest.raises(InputError, match=r"kairos equity ingest"):
        build(db, settings=settings)


def matrix_is_right(market):
    """The matrix, if it is there, says of every row what the tables say."""
    if ("main", "feat_matrix_all") not in market.snapshot().tables:
        return False
    rows = market.read("feat_matrix_all").set_index(["ticker", "date"]).sort_index()
    for name, column in (("feat_beta", "beta_21d"), ("feat_trend", "sma_5"), ("sep_base_academic", "close")):
        told = market.read(name).set_index(["ticker", "date"]).sort_index()[column]
        if column in rows:
            assert rows[column].equals(told), name
    return True


def test_the_matrix_follows_a_table_that_is_built_alone(tiny):
    made = small(tiny).build()
    assert matrix_is_right(made)
    change = ["equity.tables.feat_beta.windows=[21,42]"]
    report = made.build("feat_beta", overrides=change)
    assert [row["table"] for row in report.built] == ["feat_beta"]
    names = made.snapshot().table("feat_matrix").names
    assert "beta_42d" in names
    assert "beta_252d" not in names
    assert matrix_is_right(made)
    assert made.build(overrides=change).built
    assert matrix_is_right(made)


@pytest.mark.slow
def test_a_matrix_over_tables_with_other_rows_is_taken_out(tiny, tmp_path):
    """A base with new rows under features that were not made again would shift every row."""
    market = small(tiny)
    made = market.build()
    market.add("NEW", np.round(np.linspace(20, 30, 70), 2))
    market.folder = tmp_path / "later"
    market.write()
    ingest([market.folder], made.db, settings=made.settings)
    report = made.build("feat_trend")
    assert any("feat_matrix is taken out" in line for line in report.remarks())
    assert not matrix_is_right(made)
    made.build()
    assert matrix_is_right(made)
