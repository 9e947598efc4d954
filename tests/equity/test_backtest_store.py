"""Backtests from the tables: the same numbers as the plain simulator, and what is stored."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_backtest_oracle import Case, End, Rules, plain

from kairos.cli import main
from kairos.equity.backtest import backtest
from kairos.equity.backtest.benchmark import benchmark_returns
from kairos.equity.backtest.save import result_name
from kairos.equity.backtest.study import STRESSES
from kairos.equity.backtest.sweep import sweep, variants_of
from kairos.equity.build import build
from kairos.equity.context import PRICES, Context
from kairos.equity.ingest import ingest
from kairos.equity.sheets import tear_sheet
from kairos.errors import InputError
from kairos.settings import Settings, load
from kairos.simulate.equity import simulate
from kairos.store import Store
from kairos.store.ledger import runs

ALPHA = "feat_price_action.ret_5d"
COLUMNS = [
    "date", "port_ret_raw", "bench_ret_raw", "port_ret", "bench_ret", "active_ret_raw", "active_ret",
    "turnover", "cost", "beta_port", "gross", "net", "n_positions",
]  # fmt: skip


@pytest.fixture(scope="module")
def bt_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small market, loaded and built: 60 tickers, 2 years, ten endings, five tickers used twice."""
    folder = tmp_path_factory.mktemp("bt_market")
    simulate(folder / "vendor", tickers=60, years=2, seed=5, format="parquet")
    db = folder / "kairos.duckdb"
    ingest([folder / "vendor"], db, settings=load())
    build(db, settings=load())
    return db


@pytest.fixture
def bt_db(bt_built: Path) -> Path:
    """The built store; results of earlier tests may be in it."""
    return bt_built


def bt_settings(*overrides: str, strategies: tuple[str, ...] = ("baseline", "risk1")) -> Settings:
    return load(overrides=["top_n=12", *overrides], strategies=strategies)


def bt_tables(db: Path) -> Case:
    """The tables as the plain simulator's case; listings and their ends found from prices and actions."""
    with Store(db).snapshot().connect() as con:
        sessions = [row[0] for row in con.sql("SELECT DISTINCT date FROM sep_base ORDER BY 1").fetchall()]
        prices = con.sql("SELECT ticker, date, closeadj FROM sep_base_academic ORDER BY 1, 2").fetchall()
        rows = con.sql("""
            SELECT s.ticker, s.date, f.ret_5d, a.adv_20, v.vol_21, u.ticker IS NOT NULL
            FROM sep_base_academic s
            JOIN feat_price_action f USING (ticker, date) JOIN feat_adv a USING (ticker, date)
            JOIN feat_vol_sizing v USING (ticker, date) LEFT JOIN universe u USING (ticker, date)
        """).fetchall()
        actions = con.sql("SELECT ticker, date, action FROM actions ORDER BY 1, 2").fetchall()
    at = {day: i for i, day in enumerate(sessions)}
    T = len(sessions)
    final = load().equity.delisting.actions
    told: dict[str, list[tuple[int, str]]] = {}
    for ticker, day, action in actions:
        if action in final:
            told.setdefault(ticker, []).append((sum(d <= day for d in sessions) - 1, action))
    series: dict[str, dict[int, float]] = {}
    listing: dict[tuple[str, int], str] = {}
    number, before = 0, ("", -1)
    for ticker, day, price in prices:
        t = at[day]
        new = before[0] != ticker
        ended = not new and (
            t - before[1] > 10 or any(before[1] <= when < t for when, _ in told.get(ticker, ()))
        )
        number = 1 if new else number + ended
        name = f"{ticker}#{number}"
        series.setdefault(name, {})[t] = price
        listing[ticker, t] = name
        before = ticker, t
    ends = {}
    for name, found in series.items():
        ticker, last = name.split("#")[0], max(found)
        known = [(when, action) for when, action in told.get(ticker, ()) if last <= when <= last + 10]
        successor = f"{ticker}#{int(name.split('#')[1]) + 1}" in series
        if known or successor or T - 1 - last >= 10:
            settled = min(max(when for when, _ in known) + 1, last + 10) if known else last + 10
            ends[name] = End(settled, min((final[action] for _, action in known), default=0.0))

    def table() -> dict[str, list[Any]]:
        return {name: [None] * T for name in series}

    price_of, alpha, adv, volatility, members = table(), table(), table(), table(), table()
    for name, found in series.items():
        for t, price in found.items():
            price_of[name][t] = price
    for ticker, day, *values, member in rows:
        name, t = listing[ticker, at[day]], at[day]
        for target, value in zip((alpha, adv, volatility), values, strict=True):
            target[name][t] = None if value is None else float(value)
        members[name][t] = member
    first = min(t for name in alpha for t in range(T) if alpha[name][t] is not None and members[name][t])
    return Case(
        prices=price_of, alpha=alpha, ends=ends, adv=adv, volatility=volatility,
        days=list(np.array(sessions, dtype="datetime64[D]")),
        members={name: [bool(x) for x in row] for name, row in members.items()}, first=first,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bt_case(bt_built: Path) -> Case:
    return bt_tables(bt_built)


DEFAULTS = Rules(
    top_n=12, half_spread=0.0005, impact=0.7, participation=0.05, borrow=0.005, financing_rate=0.05
)
CASES = {
    "no order meets the next one": (("order_wait=3",), {"wait": 3}),
    "defaults": ((), {}),
    "two sessions of lag": (("lag=2", "order_wait=3"), {"lag": 2, "wait": 3}),
    "long and short": (
        ("bottom_n=10", "order_wait=2", "capital=1000000.0"), {"bottom_n": 10, "wait": 2, "capital": 1e6}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("strategy", ["baseline", "risk1"])
def test_results_equal_the_plain_simulator(bt_db: Path, bt_case: Case, strategy: str, name: str) -> None:
    overrides, changes = CASES[name]
    target = 0.20 if strategy == "risk1" else 0.0
    rules = replace(DEFAULTS, target_vol=target, **changes)  # type: ignore[arg-type]
    expected = plain(replace(bt_case, rules=rules))
    settings = bt_settings(*overrides)
    ((result, _),) = backtest(bt_db, [strategy], alpha=ALPHA, settings=settings, lower_is_better=False)
    first, books = expected["first"], expected["books"]
    rows = range(first, bt_case.end + 1)
    daily = result.daily().to_pydict()
    assert daily["date"] == [bt_case.sessions[d].astype(dt.date) for d in rows]
    published = {
        "port_ret_raw": ("raw", "ret"), "bench_ret_raw": ("raw_bench", "ret"), "port_ret": ("scaled", "ret"),
        "bench_ret": ("bench", "ret"), "turnover": ("scaled", "turnover"), "cost": ("scaled", "cost"),
        "gross": ("scaled", "gross"), "net": ("scaled", "net"), "n_positions": ("scaled", "names"),
    }  # fmt: skip
    for column, (book, quantity) in published.items():
        want = [books[book].days[d][quantity] for d in rows]
        np.testing.assert_allclose(daily[column], want, rtol=0, atol=1e-9, err_msg=column)
    fills = result.fills().to_pydict()
    for book, column in (("raw", "weight_raw"), ("scaled", "weight")):
        held = {
            (bt_case.sessions[d].astype(dt.date), name.split("#")[0]): weight
            for d in result.simulation.fills
            for name, weight in books[book].days[d]["weights"].items()
        }
        keys = zip(fills["date"], fills["ticker"], strict=True)
        found = {key: weight for key, weight in zip(keys, fills[column], strict=True) if weight}
        assert found == pytest.approx(held, abs=1e-9)


def test_the_market_has_what_the_comparison_is_about(bt_case: Case) -> None:
    held = {name: [x is not None for x in row] for name, row in bt_case.prices.items()}
    assert sum(end.payout < 0 for end in bt_case.ends.values()) >= 1
    assert len(bt_case.ends) >= 5
    assert any(name.endswith("#2") for name in held)
    assert any(b and not a for row in held.values() for a, b in pairwise(row[row.index(True) :]))


def bt_read(db: Path, name: str) -> pa.Table:
    return Store(db).snapshot().read(name)


@pytest.mark.parametrize(("first", "step"), [(0, 1), (3, 5), (300, 21)])
def test_what_was_last_known_is_of_the_last_session_that_knew_it(bt_db: Path, first: int, step: int) -> None:
    """Whatever the calendar of the decisions is, and where it begins."""
    context = Context(Store(bt_db).snapshot(), load())
    panels = context.panels(PRICES)
    rows = np.arange(first, len(context.sessions), step)
    for name in ("feat_vol_sizing.vol_21", "feat_beta.beta_252d", "daily.marketcap"):
        every = panels[name]
        carried = pd.DataFrame(every).ffill().to_numpy()
        assert np.isfinite(carried).sum() > np.isfinite(every).sum()
        here, known = panels.some_and_last(name, rows)
        np.testing.assert_array_equal(known.values, carried[rows])
        np.testing.assert_array_equal(here.values, every[rows])
        np.testing.assert_array_equal(panels.some(name, rows).values, every[rows])


def test_result_tables_have_the_columns_of_the_manual(bt_db: Path) -> None:
    ((result, _), _) = backtest(bt_db, ["risk1", "baseline"], alpha=ALPHA, settings=bt_settings())
    stored = bt_read(bt_db, "backtest_results_risk1")
    assert stored.column_names == COLUMNS
    assert stored.equals(result.daily().cast(stored.schema))
    rows = {name: np.array(stored[name]) for name in COLUMNS}
    np.testing.assert_array_equal(rows["active_ret_raw"], rows["port_ret_raw"] - rows["bench_ret_raw"])
    np.testing.assert_array_equal(rows["active_ret"], rows["port_ret"] - rows["bench_ret"])
    sessions = np.array(bt_read(bt_db, "sessions")["date"])
    np.testing.assert_array_equal(rows["date"], sessions[-len(rows["date"]) :])
    weights = bt_read(bt_db, "backtest_weights_risk1")
    assert set(weights.column_names) == {
        "date", "ticker", "weight_raw", "weight", "target_raw", "target", "decided",
    }  # fmt: skip
    assert set(weights["date"].to_pylist()) <= set(rows["date"].tolist())
    with duckdb.connect(str(bt_db), read_only=True) as con:
        ((count, total),) = con.sql("SELECT count(*), sum(port_ret) FROM backtest_results_risk1").fetchall()
    assert count == len(rows["date"])
    assert total == pytest.approx(rows["port_ret"].sum())


def test_beta_of_the_book_is_the_weighted_beta(bt_db: Path) -> None:
    """Weights after the fill, betas as the decision knew them, scaled up to the whole gross."""
    ((result, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings())
    table = result.daily().to_pydict()
    weights = result.fills().to_pylist()
    sessions = bt_read(bt_db, "sessions")["date"].to_pylist()
    with Store(bt_db).snapshot().connect() as con:
        rows = con.sql("SELECT ticker, date, beta_252d FROM feat_beta WHERE beta_252d IS NOT NULL").fetchall()
    betas = {(ticker, day): beta for ticker, day, beta in rows}
    checked = 0
    for decision, fill in zip(result.simulation.decisions, result.simulation.fills, strict=True):
        book = [
            (row["weight"], betas.get((row["ticker"], sessions[decision])))
            for row in weights
            if row["date"] == sessions[fill]
        ]
        known = [(w, b) for w, b in book if b is not None]
        gross, covered = sum(abs(w) for w, _ in book), sum(abs(w) for w, _ in known)
        found = table["beta_port"][table["date"].index(sessions[fill])]
        if covered >= 0.5 * gross:
            assert found == pytest.approx(sum(w * b for w, b in known) * gross / covered, abs=1e-9)
            checked += 1
        else:
            assert found is None
    assert checked > 20
    assert not result.odd_betas
    bad = replace(result, beta=replace(result.beta, values=result.beta.values * 1e4))
    assert len(bad.odd_betas) > 5
    assert all("check its prices" in line for line in bad.odd_betas)


def test_the_ledger_says_what_was_run(bt_db: Path) -> None:
    before = {run.id for run in runs(Store(bt_db).snapshot())}
    snapshot = Store(bt_db).snapshot()
    saved = backtest(bt_db, ["baseline", "risk1"], alpha=ALPHA, settings=bt_settings(), save_as="mine")
    new = [run for run in runs(Store(bt_db).snapshot()) if run.id not in before]
    assert [run.id for run in new] == [run.id for _, run in saved]
    for run, strategy in zip(new, ("baseline", "risk1"), strict=True):
        assert run.snapshot == snapshot.id
        assert run.code_version
        assert strategy in run.command
        config, headline = json.loads(run.config), json.loads(run.headline)
        assert config["strategy"]["name"] == strategy
        assert config["strategy"]["top_n"] == 12
        assert config["strategy"]["backtest"]["costs"]["participation"] == 0.05
        assert headline["alpha"] == ALPHA
        assert headline["table"] == f"backtest_results_mine_{strategy}"
        assert headline["data"] == snapshot.table("sep_base").fingerprint
        assert run.seed == 0
        ret = np.array(bt_read(bt_db, headline["table"])["port_ret"])
        assert headline["total_return"] == pytest.approx(np.prod(1 + ret) - 1)
        assert headline["sharpe"] == pytest.approx(ret.mean() / ret.std(ddof=1) * np.sqrt(252))
    assert new[0].config_hash != new[1].config_hash


def test_the_ledger_tells_runs_apart_that_differ(bt_db: Path) -> None:
    """What decides about the numbers can be read from the row: a rerun of the command gives the same."""
    settings = bt_settings()
    ((_, usual),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings)
    ticker = bt_ticker(bt_db)
    ((_, against),) = backtest(
        bt_db, ["baseline"], alpha=ALPHA, settings=settings, benchmark=ticker, save_as="x"
    )
    assert ticker in against.command + against.config
    assert usual.command != against.command
    ((_, turned),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings, lower_is_better=True)
    assert "--lower-is-better" in turned.command


def test_the_same_command_twice_gives_the_same_tables(bt_db: Path) -> None:
    prints = []
    for _ in range(2):
        backtest(bt_db, ["baseline", "risk1"], alpha=ALPHA, settings=bt_settings(), save_as="twice")
        snapshot = Store(bt_db).snapshot()
        prints.append(
            {
                name: table.fingerprint
                for (_, name), table in snapshot.tables.items()
                if name.startswith("backtest_") and "twice" in name
            }
        )
    assert len(prints[0]) == 6
    assert prints[0] == prints[1]


def test_a_strategy_alone_and_among_others_is_the_same(bt_db: Path) -> None:
    ((_, _), (among, _)) = backtest(bt_db, ["baseline", "risk1"], alpha=ALPHA, settings=bt_settings())
    ((alone, _),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=bt_settings())
    assert alone.daily().equals(among.daily())
    assert among.simulation.fills == alone.simulation.fills


def test_lower_is_better_holds_the_other_end(bt_db: Path) -> None:
    keys = ("top_n=10", "bottom_n=10", "equity.backtest.costs.participation=1.0", "order_wait=0")
    settings = bt_settings(*keys)
    ((up, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings)
    ((down, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings, lower_is_better=True)
    row = up.simulation.fills[3] - up.rows.start
    names = [
        np.flatnonzero(result.simulation.scaled.weights[result.rows][row] > 0).tolist()
        for result in (up, down)
    ]
    shorts = [
        np.flatnonzero(result.simulation.scaled.weights[result.rows][row] < 0).tolist()
        for result in (up, down)
    ]
    assert names[0] == shorts[1]
    assert names[1] == shorts[0]


def test_an_earlier_snapshot_is_read(bt_db: Path) -> None:
    old = Store(bt_db).snapshot().id
    ((_, run),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), snapshot=old)
    ((_, next_run),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), snapshot=old)
    assert run.snapshot == next_run.snapshot == old


# --- period ---


def test_start_and_end_dates(bt_db: Path) -> None:
    """A start on a Saturday: decided on Monday, filled on Tuesday; the end date has the last result."""
    settings = bt_settings("equity.backtest.start=2015-08-01", "equity.backtest.end=2016-05-20")
    ((result, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings)
    sessions = np.array(bt_read(bt_db, "sessions")["date"])
    assert sessions[result.simulation.decisions[0]] == np.datetime64("2015-08-03")
    assert result.dates[0] == np.datetime64("2015-08-04")
    assert result.dates[-1] == np.datetime64("2016-05-20")
    assert set(np.diff(result.simulation.decisions)) == {5}


def test_strategies_of_one_run_share_their_dates(bt_db: Path) -> None:
    settings = bt_settings("equity.backtest.start=2010-01-04")
    found = backtest(bt_db, ["baseline", "risk1"], alpha=ALPHA, settings=settings)
    one, two = (result.simulation.decisions for result, _ in found)
    assert one == two
    assert one[0] % 5 == 0  # the calendar starts at the start date, not where the signal begins


@pytest.mark.parametrize(
    "period", [("equity.backtest.start=2031-01-01",), ("equity.backtest.end=2014-01-01",),
               ("equity.backtest.start=2016-05-19", "equity.backtest.end=2016-05-20")]
)  # fmt: skip
def test_a_period_without_data_is_an_error(bt_db: Path, period: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"2016-12-30|2016-05-20"):
        backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(*period))


# --- benchmark ---


def bt_ticker(db: Path) -> str:
    """A ticker with a price on every session."""
    with Store(db).snapshot().connect() as con:
        ((found,),) = con.sql(
            "SELECT ticker FROM sep_base GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).fetchall()
    return str(found)


def bt_levels(db: Path, ticker: str) -> tuple[list[dt.date], np.ndarray[Any, Any]]:
    with Store(db).snapshot().connect() as con:
        rows = con.execute(
            "SELECT date, closeadj FROM sep_base WHERE ticker = ? ORDER BY 1", [ticker]
        ).fetchall()
    return [row[0] for row in rows], np.array([row[1] for row in rows])


def bt_file(path: Path, header: str, days: list[dt.date], values: Any) -> Path:
    path.write_text(
        "\n".join([header, *(f"{d},{float(v)!r}" for d, v in zip(days, values, strict=True))]) + "\n"
    )
    return path


def test_benchmark_by_ticker_file_of_closes_and_file_of_returns(bt_db: Path, tmp_path: Path) -> None:
    """Each source gives the same daily returns after the first fill."""
    ticker = bt_ticker(bt_db)
    days, level = bt_levels(bt_db, ticker)
    change = level[1:] / level[:-1] - 1
    sources = [
        ticker,
        str(bt_file(tmp_path / "close.csv", "date,close", days, level)),
        str(bt_file(tmp_path / "return.csv", "date,return", days[1:], change)),
    ]
    settings = bt_settings("equity.backtest.start=2015-06-01")
    for source in sources:
        ((result, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings, benchmark=source)
        expected = dict(zip(days[1:], change, strict=True))
        want = [expected[day.astype(dt.date)] for day in result.dates[1:]]
        np.testing.assert_allclose(result.bench_raw[1:], want, rtol=0, atol=1e-14)
        assert result.daily()["bench_ret_raw"].to_pylist()[1:] == pytest.approx(want)
        assert source in result.bench_name


@pytest.mark.parametrize("header", ["close", "return"])
def test_a_row_between_two_sessions_counts(bt_db: Path, tmp_path: Path, header: str) -> None:
    """A level on a Saturday, and a return of that day, belong to the session after it."""
    context = Context(Store(bt_db).snapshot(), bt_settings(), "main")
    sessions = context.sessions[:30]
    at = next(i for i in range(2, 30) if sessions[i] - sessions[i - 1] == np.timedelta64(3, "D"))
    days = np.insert(sessions, at, sessions[at - 1] + np.timedelta64(1, "D"))
    level = 100.0 * np.cumprod(1.0 + np.random.default_rng(3).normal(0.0, 0.01, len(days)))
    values = level if header == "close" else np.append(0.0, level[1:] / level[:-1] - 1.0)
    path = bt_file(tmp_path / "weekend.csv", f"date,{header}", [day.item() for day in days], values)
    kept = np.delete(level, at)
    found = benchmark_returns(context, str(path), sessions)
    np.testing.assert_allclose(found[1:], kept[1:] / kept[:-1] - 1.0, rtol=0, atol=1e-12)
    assert found[0] == 0.0


def test_a_benchmark_earns_nothing_before_the_first_fill(bt_db: Path) -> None:
    """The first row is the close at which the book is bought; the book can't have the move of that day."""
    settings = bt_settings("equity.backtest.start=2015-06-01")
    ((result, _),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings, benchmark=bt_ticker(bt_db))
    assert result.bench_raw[0] == 0.0


def test_a_named_benchmark_is_scaled_to_the_target_too(bt_db: Path) -> None:
    """bench_ret is the benchmark scaled to the same target by its own past, whichever benchmark it is."""
    settings = bt_settings()
    ((result, _),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings, benchmark=bt_ticker(bt_db))
    assert np.abs(result.bench - result.bench_raw).max() > 1e-6
    assert (np.abs(result.bench - result.bench_raw)[:60] < 1e-12).all()  # scale 1 until 63 returns are known


def test_the_report_says_what_the_benchmark_is(bt_db: Path) -> None:
    """It claims scaling only where bench_ret differs from bench_ret_raw."""
    ((result, run),) = backtest(
        bt_db, ["risk1"], alpha=ALPHA, settings=bt_settings(), benchmark=bt_ticker(bt_db)
    )
    text = dict(tear_sheet(result, run).assumptions)["Benchmark"]
    assert ("scaled" in text) == bool(np.abs(result.bench - result.bench_raw).max() > 0)


@pytest.mark.parametrize(
    ("header", "first", "cut", "message"),
    [
        ("day,close", "2015-01-02", 0, "columns date and return"),
        ("date,level", "2015-01-02", 0, "columns date and return"),
        ("date,close", "02/01/2015", 0, "yyyy-mm-dd"),
        ("date,close", "2015-01-02", 5, "no value on 2016-12-23, nor on 4 other"),
    ],
)
def test_bad_benchmark_files(
    bt_db: Path, tmp_path: Path, header: str, first: str, cut: int, message: str
) -> None:
    days, level = bt_levels(bt_db, bt_ticker(bt_db))
    path = bt_file(tmp_path / "bench.csv", header, days[: len(days) - cut], level[: len(days) - cut])
    path.write_text(path.read_text().replace("2015-01-02", first, 1))
    with pytest.raises(InputError, match=message):
        backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), benchmark=str(path))


@pytest.mark.parametrize("value", ["0", "-3", "", "nan"])
def test_a_level_that_is_no_price_is_named(bt_db: Path, tmp_path: Path, value: str) -> None:
    days, level = bt_levels(bt_db, bt_ticker(bt_db))
    path = bt_file(tmp_path / "bench.csv", "date,close", days, level)
    lines = path.read_text().splitlines()
    lines[300] = f"{days[299]},{value}"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=str(days[299])):
        backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), benchmark=str(path))


def test_a_date_twice_and_an_unknown_ticker(bt_db: Path, tmp_path: Path) -> None:
    days, level = bt_levels(bt_db, bt_ticker(bt_db))
    path = bt_file(tmp_path / "bench.csv", "date,close", [days[1], *days[1:]], level)
    with pytest.raises(InputError, match="twice"):
        backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), benchmark=str(path))
    with pytest.raises(InputError, match="neither a file nor a ticker"):
        backtest(bt_db, ["baseline"], alpha=ALPHA, settings=bt_settings(), benchmark="SPYY")


# --- regimes ---


def test_regimes_hold_cash_outside_and_the_benchmark_stays(bt_db: Path, tmp_path: Path) -> None:
    settings = bt_settings('regimes=["low_vol_bull"]', "equity.backtest.start=2015-06-01")
    copy = tmp_path / "copy"
    shutil.copytree(bt_db.parent, copy)
    db = copy / bt_db.name
    store = Store(db)
    store.relocate()
    sessions = bt_read(db, "sessions")["date"]
    regime = ["low_vol_bull" if i // 40 % 2 else "high_vol_bear" for i in range(len(sessions))]
    with store.publish() as tx:
        tx.put("regime_history_academic", [pa.table({"date": sessions, "regime": regime})], key=("date",))
    ((result, _),) = backtest(db, ["baseline"], alpha=ALPHA, settings=settings)
    run = result.simulation
    for decision, fill in zip(run.decisions, run.fills, strict=True):
        inside = regime[decision] == "low_vol_bull"
        assert (run.raw.gross[fill] > 0) or not inside
    quiet = [f for t, f in zip(run.decisions, run.fills, strict=True) if regime[t] != "low_vol_bull"]
    moves = np.array([run.raw_bench.ret[f + 1 : f + 5] for f in quiet if f + 5 < run.last])
    assert (np.abs(moves).max(axis=1) > 0).all()


# --- names and errors ---


def test_names_of_results() -> None:
    assert result_name("risk4", None, several=False) == "longonly_r4"
    assert result_name("ls_opt", None, several=True) == "ls_opt"
    assert result_name("regime_switching", None, several=False) == "regime_switching"
    assert result_name("baseline", "mine", several=False) == "mine"
    assert result_name("baseline", "mine", several=True) == "mine_baseline"
    assert result_name("risk4", "mine", several=True) == "mine_risk4"
    with pytest.raises(InputError, match="--save-as"):
        result_name("baseline", "my name; DROP", several=False)


@pytest.mark.parametrize(
    ("strategy", "alpha", "message"),
    [
        ("baselin", ALPHA, "Did you mean baseline"),
        ("baseline", "ret_5", "did you mean"),
        ("baseline", "feat_targets.ret_5d_f", "looks ahead"),
        ("baseline", "label_5d_up", "looks ahead"),
        ("baseline", "sector", "holds words"),
    ],
)
def test_errors_name_what_is_wrong(bt_db: Path, strategy: str, alpha: str, message: str) -> None:
    before = Store(bt_db).snapshot().id
    with pytest.raises(InputError, match=message):
        backtest(bt_db, [strategy], alpha=alpha, settings=bt_settings())
    assert Store(bt_db).snapshot().id == before


def test_a_strategy_named_twice_is_refused(bt_db: Path) -> None:
    with pytest.raises(InputError, match="baseline is named twice"):
        backtest(bt_db, ["baseline", "risk1", "baseline"], alpha=ALPHA, settings=bt_settings())


def test_limits_that_give_way_are_told(bt_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve names of at most 3 % are no whole book: each decision says so."""
    words = ["equity", "backtest", "risk2", "--alpha", ALPHA, "--db", str(bt_db), "--set", "top_n=12"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    told = capsys.readouterr()
    rows = bt_read(bt_db, "backtest_limits_risk2")
    gone = {str(r["date"]) for r in rows.to_pylist() if r["relaxed_to"] is not None}
    days = {str(day) for day in rows["date"].to_pylist()}
    text = " ".join((told.out + told.err).split())
    assert (
        f"limits could not hold together at {len(gone)} of {len(days)} decisions, first on {min(gone)}"
        in text
    )
    assert f"name gave way at {len(gone)}" in text
    assert "each is in backtest_limits_risk2" in text


@pytest.mark.parametrize(("entry", "message"), [
    ("{base = 'regime_switching', book = 'nearest', max_name = 0.01}", "max_name has no effect on a mix"),
    ("{base = 'regime_switching', turnover = 0.1}", "set it in the entries of risk4, ls_opt"),
    ("{base = 'regime_switching', min_adv = 1e6}", "min_adv has no effect on a mix"),
    ("{base = 'regime_switching', book = 'nearest'}", "book has no effect on a mix"),
    ("{base = 'ls_opt', target_vol = 0.0}", "needs a target_vol to aim at"),
    ("{base = 'ls_opt', optimise.risk_aversion = 0.0}", "risk_aversion must be above 0"),
])  # fmt: skip
def test_an_entry_that_can_have_no_effect_is_refused(entry: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(overrides=[f"equity.strategies.own={entry}"]).equity.strategy("own")
    assert load(
        overrides=["equity.strategies.own={base = 'ls_opt', target_vol = 0.0, optimise.risk_aversion = 5.0}"]
    ).equity.strategy("own")


def test_an_option_wins_over_the_entry_of_the_strategy(
    bt_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file gives the strategy a lag of 3; who types --lag 0 gets 0."""
    config = tmp_path / "kairos.toml"
    config.write_text('[equity.strategies.slow]\nbase = "baseline"\ntop_n = 12\nlag = 3\n')
    command = ["equity", "backtest", "slow", "--alpha", ALPHA, "--db", str(bt_db), "--config", str(config)]
    fills = []
    for option in ([], ["--lag", "0"]):
        with pytest.raises(SystemExit) as caught:
            main([*command, *option, "--json"])
        assert not caught.value.code
        fills.append(bt_read(bt_db, "backtest_results_slow")["date"].to_pylist()[0])
    capsys.readouterr()
    sessions = bt_read(bt_db, "sessions")["date"].to_pylist()
    assert sessions.index(fills[0]) - sessions.index(fills[1]) == 3


# --- the sheet ---


@pytest.fixture(scope="module")
def bt_sheet(bt_built: Path) -> tuple[Any, Any]:
    ((result, run),) = backtest(bt_built, ["baseline"], alpha=ALPHA, settings=bt_settings("bottom_n=5"))
    return result, tear_sheet(result, run)


def test_numbers_of_the_sheet(bt_sheet: tuple[Any, Any]) -> None:
    result, sheet = bt_sheet
    daily = {name: np.array(result.daily()[name]) for name in COLUMNS}
    line = {head.label: head for head in sheet.headline}
    years = len(daily["date"]) / 252
    assert line["Trading cost a year"].portfolio == pytest.approx(daily["cost"].sum() / years)
    assert line["Turnover a year"].portfolio == pytest.approx(daily["turnover"].sum() / years)
    assert line["Total return"].portfolio == pytest.approx(np.prod(1 + daily["port_ret"]) - 1)
    assert line["Gross exposure"].portfolio == pytest.approx(daily["gross"].mean())
    assert line["Names"].portfolio == pytest.approx(daily["n_positions"].mean())
    np.testing.assert_allclose(sheet.wealth["Net of costs"][-1], np.prod(1 + daily["port_ret"]))
    assert sum(sheet.turnover) == pytest.approx(daily["turnover"].sum())
    assert sum(sheet.cost) == pytest.approx(daily["cost"].sum())


def bt_unpriced(result: Any) -> int:
    """Orders that had no price on any session on which they were tried."""
    run, found = result.simulation, 0
    rules = result.strategy.backtest
    for n, fill in enumerate(run.fills):
        until = min(fill + rules.order_wait, run.fills[n + 1] - 1 if n + 1 < len(run.fills) else run.last)
        names = np.union1d(
            np.flatnonzero(run.scaled.weights[fill - 1]), np.flatnonzero(run.scaled.weights[fill])
        )
        names = names[run.market.settled[names] > fill]
        found += int((~run.market.priced[fill : until + 1, names].any(axis=0)).sum())
    return found


def test_only_orders_without_a_price_are_called_cancelled(bt_db: Path) -> None:
    """Large capital: what is cut for lack of volume goes on and is not counted among the cancelled."""
    settings = bt_settings("equity.backtest.capital=1000000000.0")
    ((result, run),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings)
    text = dict(tear_sheet(result, run).assumptions)["Fill"]
    unpriced = result.simulation.scaled.unpriced
    assert unpriced <= bt_unpriced(result)
    assert f"an order waits 5 sessions for a price, then is cancelled ({unpriced:,} were)" in text


def test_look_ahead_is_marked(bt_db: Path) -> None:
    settings = bt_settings("equity.backtest.volatility.estimate=full_sample")
    ((result, run),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings)
    sheet = tear_sheet(result, run)
    assert any("ook-ahead" in line for line in sheet.warnings)
    assert "own past" not in dict(sheet.assumptions)["Benchmark"]


def test_out_of_sample_is_separate(bt_db: Path) -> None:
    settings = bt_settings("equity.backtest.out_of_sample_from=2016-03-01")
    ((result, run),) = backtest(bt_db, ["baseline"], alpha=ALPHA, settings=settings)
    samples = tear_sheet(result, run).samples
    ret, day = np.array(result.daily()["port_ret"]), result.dates
    for label, part in zip(
        samples, (day < np.datetime64("2016-03-01"), day >= np.datetime64("2016-03-01")), strict=True
    ):
        total = next(head for head in samples[label] if head.label == "Total return")
        assert total.portfolio == pytest.approx(np.prod(1 + ret[part]) - 1)


def test_the_manuals_accounting_by_hand(bt_db: Path) -> None:
    """Today's universe, names with a price five sessions on, close to close, by rebalance, no costs.

    Worked out from the tables with plain loops: equal weights of the best twelve, Σ w·r, the whole sample's
    volatility.
    """
    settings = bt_settings("compat_manual=true", "equity.backtest.start=2015-09-01")
    ((result, run),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings)
    snapshot = Store(bt_db).snapshot()
    members = snapshot.read("universe", ["ticker", "date"], namespace="option_b").to_pydict()
    listed = set(zip(members["ticker"], members["date"], strict=True))
    rows = snapshot.read("feat_price_action", ["ticker", "date", "ret_5d"], namespace="option_b").to_pydict()
    signal = dict(zip(zip(rows["ticker"], rows["date"], strict=True), rows["ret_5d"], strict=True))
    rows = snapshot.read(
        "sep_base_academic", ["ticker", "date", "closeadj"], namespace="option_b"
    ).to_pydict()
    price = dict(zip(zip(rows["ticker"], rows["date"], strict=True), rows["closeadj"], strict=True))
    days = [day.item() for day in result.simulation.market.frame.sessions]
    start = next(i for i, day in enumerate(days) if day >= dt.date(2015, 9, 1))
    expected = []
    for t in range(start, len(days) - 5, 5):
        now, then = days[t], days[t + 5]
        known = [
            (signal[ticker, now], ticker)
            for ticker, day in listed
            if day == now and signal.get((ticker, now)) is not None and (ticker, then) in price
        ]
        best = sorted(known, key=lambda pair: (-pair[0], pair[1]))[:12]
        expected.append(np.mean([price[name, then] / price[name, now] - 1.0 for _, name in best]))
    found = result.daily().to_pydict()
    np.testing.assert_allclose(found["port_ret_raw"][: len(expected)], expected, rtol=0, atol=1e-12)
    assert len(found["port_ret_raw"]) - len(expected) in (0, 1)  # the last one may be shorter
    raw = np.array(found["port_ret_raw"])
    scale = min(0.20 / (raw.std(ddof=1) * np.sqrt(252 / 5)), 2.0)
    np.testing.assert_allclose(found["port_ret"], scale * raw, rtol=0, atol=1e-12)
    assert result.simulation.scales == pytest.approx([scale] * len(result.simulation.scales))
    weights = result.fills()
    np.testing.assert_allclose(weights["target"], scale * np.array(weights["target_raw"]), atol=1e-12)
    assert found["n_positions"][-1] == 12  # whoever decides last can't know the next decision's prices
    assert not any(found["cost"])
    assert result.performance.sharpe == pytest.approx(raw.mean() / raw.std(ddof=1) * np.sqrt(252 / 5))
    headline = json.loads(run.headline)
    words = [
        "Survivorship bias: the universe is today's list, so names that failed are not in it.",
        "Look-ahead: names without a price at the next decision are left out.",
        "Look-ahead: orders fill at the close that they were decided on.",
        "One return a rebalance: drawdowns and volatility between rebalances are not seen.",
        "Look-ahead: the volatility target uses the volatility of the whole sample.",
    ]
    assert headline["looks_ahead"] == result.looks_ahead == words
    assert [line for line in tear_sheet(result, run).warnings if line in words] == words
    assert headline["namespace"] == "option_b"
    assert headline["table"] == "backtest_results_risk1_manual"
    tables = Store(bt_db).snapshot().tables
    assert tables["main", "backtest_results_risk1_manual"].meta["looks_ahead"] == words
    ((named, kept),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings, save_as="old")
    assert json.loads(kept.headline)["table"] == "backtest_results_old"
    assert named.looks_ahead == words


def test_the_bridge_goes_from_the_manuals_numbers_to_the_true_ones(bt_db: Path) -> None:
    settings = bt_settings("compat_manual=true")
    ((manual, _),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings)
    ((usual, _),) = backtest(bt_db, ["risk1"], alpha=ALPHA, settings=bt_settings())
    assert manual.bridge is not None
    labels = [label for label, _ in manual.bridge.steps]
    assert labels == [
        "the manual's accounting", "universe", "missing-target filter", "fill", "daily P&L",
        "volatility target", "costs",
    ]  # fmt: skip
    steps = dict(manual.bridge.steps)
    assert steps["the manual's accounting"].as_dict() == pytest.approx(
        manual.performance.as_dict(), nan_ok=True
    )
    assert steps["costs"].as_dict() == pytest.approx(usual.performance.as_dict(), nan_ok=True)
    assert steps["volatility target"].cost_drag == 0.0 < steps["costs"].cost_drag
    assert steps["fill"].sessions < steps["daily P&L"].sessions
    assert manual.bridge.seconds > 0.0


def test_the_manuals_accounting_needs_the_present_data(bt_db: Path) -> None:
    settings, snapshot = bt_settings("compat_manual=true"), Store(bt_db).snapshot().id
    with pytest.raises(InputError, match="leave --snapshot out"):
        backtest(bt_db, ["risk1"], alpha=ALPHA, settings=settings, snapshot=snapshot)


def test_stress_is_the_same_run_elsewhere(bt_db: Path) -> None:
    before = len(runs(Store(bt_db).snapshot()))
    steps: list[None] = []
    ((result, _),) = backtest(
        bt_db,
        ["baseline"],
        alpha=ALPHA,
        settings=bt_settings(),
        benchmark=bt_ticker(bt_db),
        stress=True,
        done=lambda: steps.append(None),
    )
    assert len(steps) == 1 + STRESSES
    assert result.stress is not None
    own = result.performance.as_dict()
    assert result.stress.lags[1].as_dict() == pytest.approx(own, nan_ok=True)
    assert result.stress.costs[1.0].as_dict() == pytest.approx(own, nan_ok=True)
    assert result.stress.capitals[1e7].as_dict() == pytest.approx(own, nan_ok=True)
    drags = [result.stress.costs[factor].cost_drag for factor in (0.5, 1.0, 2.0)]
    assert drags[0] < drags[1] < drags[2]
    assert result.stress.capitals[1e6].cost_drag < result.stress.capitals[1e7].cost_drag
    assert len(runs(Store(bt_db).snapshot())) == before + 1  # the others are no trials


def test_trials_are_counted_from_the_ledger(bt_db: Path, tmp_path: Path) -> None:
    shutil.copytree(bt_db.parent, tmp_path / "own")
    db = tmp_path / "own" / bt_db.name
    Store(db).relocate()
    ((one, _),) = backtest(db, ["baseline"], alpha="ret_21d", settings=bt_settings())
    first = one.deflation
    assert first is not None
    ((again, _),) = backtest(db, ["baseline"], alpha="ret_21d", settings=bt_settings())
    assert again.deflation is not None
    assert again.deflation.trials == first.trials  # a rerun is no trial
    ((other, run),) = backtest(db, ["baseline"], alpha="ret_21d", settings=bt_settings("top_n=9"), trials=5)
    assert other.deflation is not None
    assert other.deflation.trials == first.trials + 1
    assert other.deflation.extra == 5
    headline = json.loads(run.headline)
    assert (headline["trials"], headline["trials_elsewhere"]) == (first.trials + 1, 5)
    assert headline["deflated_sharpe"] == pytest.approx(other.deflation.deflated)
    assert headline["published_deflated_sharpe"] == pytest.approx(other.deflation.published)
    assert other.headline()["published_deflated_sharpe"] == other.deflation.published
    with pytest.raises(InputError, match="--trials -1"):
        backtest(db, ["baseline"], alpha="ret_21d", settings=bt_settings(), trials=-1)


def test_a_sweep_is_the_runs_one_by_one(bt_db: Path) -> None:
    variants = variants_of("baseline", ["top_n=8,12", "lag=1,2"])
    entries = [f"equity.strategies.{name}={entry}" for name, entry in variants.items()]
    settings = load(overrides=[*entries, "run.workers=1"])
    found = sweep(bt_db, list(variants), alpha=ALPHA, settings=settings)
    assert len(found.variants) == 4
    sharpes = [variant.headline["judged_sharpe"] for variant in found.variants]
    assert sharpes == sorted(sharpes, reverse=True)
    known = {run.id for run in runs(Store(bt_db).snapshot())}
    assert {variant.run.id for variant in found.variants} <= known
    name = found.variants[0].headline["strategy"]
    ((own, _),) = backtest(bt_db, [name], alpha=ALPHA, settings=settings)
    np.testing.assert_array_equal(own.judged, found.variants[0].judged)
    with pytest.raises(InputError, match="expected key=value,value"):
        variants_of("baseline", ["top_n"])
    with pytest.raises(InputError, match="is no value of TOML"):
        variants_of("baseline", ["top_n=8,[1"])


def test_a_sweep_goes_over_arrays_and_texts_too() -> None:
    found = variants_of("risk2", ['require=["sector", "adv"],[]', "score='equal'"])
    assert found == {
        "risk2_1": """{base = 'risk2', require = ["sector", "adv"], score = 'equal'}""",
        "risk2_2": "{base = 'risk2', require = [], score = 'equal'}",
    }


def test_what_the_limited_strategies_store(bt_db: Path) -> None:
    """Weights as decided and as filled, the limits of each decision, and the manual's names."""
    names = ["risk4", "ls_opt", "regime_switching"]
    overrides = ["equity.strategies.risk3.min_adv=0.0", "equity.strategies.ls.min_adv=0.0"]
    settings = load(
        overrides=[*overrides, "equity.strategies.ls_opt.top_n=20", "equity.strategies.ls_opt.bottom_n=20"]
    )
    results = backtest(bt_db, names, alpha=ALPHA, settings=settings)
    snapshot = Store(bt_db).snapshot()
    for (result, _), table in zip(results, ["longonly_r4", "ls_opt", "regime_switching"], strict=True):
        assert snapshot.read(f"backtest_results_{table}").column_names == COLUMNS
        weights = snapshot.read(f"backtest_weights_{table}").to_pydict()
        day = result.simulation.filled[7]
        sessions, tickers = result.simulation.market.frame.sessions, result.simulation.market.frame.tickers
        decided = {
            ticker: value
            for ticker, value, when in zip(
                weights["ticker"], weights["target"], weights["decided"], strict=True
            )
            if when == sessions[day.row].item() and value
        }
        scale = day.scale if result.strategy.target_vol else 1.0
        expected = dict(zip(tickers[day.target.names].tolist(), day.target.weight * scale, strict=True))
        assert decided == pytest.approx(expected, abs=1e-15)
        limits = snapshot.read(f"backtest_limits_{table}").to_pydict()
        if table != "regime_switching":
            assert {"name", "sector", "turnover"} <= set(limits["kind"])
            assert set(limits["date"]) == {
                sessions[d.row].item() for d in result.simulation.decided if d.book.usage
            }
    one, two = (snapshot.read(f"backtest_results_{n}") for n in ("regime", "regime_switching"))
    assert one.equals(two)
