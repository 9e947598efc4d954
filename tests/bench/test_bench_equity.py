"""Speed and memory at the size of a real night: `make bench` prints what it measures.

The market is simulated (KAIROS_BENCH_DIR keeps it between runs). In the same run the same columns are made by
DuckDB window SQL and by pandas code (`peers.py`) on every n-th ticker, each engine in a process of its own;
their values must agree with the stored tables, and their CPU seconds a row are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import peers
import pytest

from kairos.equity.build import build
from kairos.equity.ingest import ingest
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

pytestmark = pytest.mark.bench

TICKERS, YEARS = 6200, 10
EVERY = 20
"""The peers compute every n-th ticker."""

LISTS, DOUBLING = "feat_stat, drawdowns by lists", "feat_stat, drawdowns by doubling"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keep = os.environ.get("KAIROS_BENCH_DIR")
    return Path(keep) if keep else tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def market(root: Path) -> Path:
    """The catalog of a simulated market, base tables built."""
    vendor, db = root / "vendor", root / "store" / "kairos.duckdb"
    if not vendor.exists():
        simulate(vendor, tickers=TICKERS, years=YEARS, seed=1, format="parquet")
    if not db.exists():
        began = time.perf_counter()
        report = ingest([vendor], db, settings=load())
        print(f"\ningest: {report['sep'].rows:,} price rows in {time.perf_counter() - began:.1f} s")
    build(db, ["sep_base_academic"], settings=load(None, peers.EVERYONE))
    return db


@pytest.fixture(scope="module")
def sample(root: Path, market: Path) -> Path:
    """Who is a member when, of every n-th ticker."""
    path = root / "sample.csv"
    with Store(market).snapshot().connect() as con:
        con.execute(f"""
            COPY (SELECT date, ticker FROM universe WHERE ticker IN (
                      SELECT ticker FROM (SELECT DISTINCT ticker FROM universe)
                      QUALIFY row_number() OVER (ORDER BY ticker) % {EVERY} = 0))
            TO '{path}' (HEADER)""")
    return path


def measure(engine: str, market: Path, sample: Path) -> dict[str, Any]:
    out = sample.parent / engine
    out.mkdir(exist_ok=True)
    command = [sys.executable, peers.__file__, engine, str(market), str(sample), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def ours(market: Path, sample: Path) -> dict[str, Any]:
    return measure("kairos", market, sample)


def test_nine_tables_within_a_minute_and_12_gib(ours: dict[str, Any]) -> None:
    print(
        f"\nnine tables computed, written and published: {ours['rows']:,} rows, "
        f"{ours['seconds']:.1f} s wall, {ours['cpu']:.1f} s CPU, peak {ours['peak'] / 2**30:.1f} GiB"
    )
    assert ours["rows"] > 9_500_000
    assert ours["seconds"] < 60.0
    assert ours["peak"] < 12 * 2**30


def test_peers_compute_the_same_at_ten_times_the_cpu(
    ours: dict[str, Any], market: Path, sample: Path
) -> None:
    sql, frames = (measure(engine, market, sample)["cpu"] for engine in ("duckdb", "pandas"))
    with Store(market).snapshot().connect(peers.SAMPLE) as con:
        rows = len(con.execute("SELECT ticker FROM sep_base_academic").fetchnumpy()["ticker"])
        for engine in ("duckdb", "pandas"):
            compared = agreement(con, sample.parent / engine)
            print(
                f"\n{engine}: {len(compared)} of {sum(map(len, peers.FEATURES.values()))} columns agree on "
                f"{rows:,} rows, {np.mean(list(compared.values())):.1%} of the values exist"
            )
            assert set(compared) == {(t, c.name) for t, columns in peers.FEATURES.items() for c in columns}

    report(ours, sql, frames, rows)
    plain = sum(sql.values()) - sql[DOUBLING]
    assert plain / rows > 10.0 * ours["cpu"] / ours["rows"]


def agreement(con: duckdb.DuckDBPyConnection, found: Path) -> dict[tuple[str, str], float]:
    """Compare every value of a peer with the stored one; return the share of values that exist, by column."""
    shares = {}
    for path in sorted(found.glob("*.parquet")):
        table = path.stem.partition(",")[0]
        stored, made = (
            con.execute(f"FROM {rows} ORDER BY ticker, date").fetchnumpy() for rows in (table, f"'{path}'")
        )
        assert np.array_equal(stored["ticker"], made["ticker"])
        assert np.array_equal(stored["date"], made["date"].astype(stored["date"].dtype))
        for column in set(made) - {"ticker", "date"}:
            a, b = (np.ma.filled(np.ma.asarray(v[column], dtype=np.float64), np.nan) for v in (stored, made))
            near_zero = 1e-6 * np.nanmedian(np.abs(a))
            same = np.isclose(b, a, rtol=1e-4, atol=near_zero, equal_nan=True)
            assert same.all(), f"{path.stem}.{column}: {(~same).sum():,} of {same.size:,} values differ"
            shares[table, column] = float(np.isfinite(a).mean())
    return shares


def report(ours: dict[str, Any], sql: peers.Spent, frames: peers.Spent, rows: int) -> None:
    """CPU microseconds a row, and their ratios to Kairos; a table of Kairos alone includes reading prices."""
    print(
        f"\nCPU: Kairos on {ours['rows']:,} rows, peers on every {EVERY}th ticker ({rows:,} rows), µs a row:"
    )
    print(f"{'':34}{'columns':>8}{'Kairos':>9}{'DuckDB':>9}{'pandas':>9}{'ratios':>14}")

    def line(name: str, columns: int, kairos: float, duck: float, pandas: float) -> None:
        a, b, c = (1e6 * s / n for s, n in ((kairos, ours["rows"]), (duck, rows), (pandas, rows)))
        print(f"{name:34}{columns:8}{a:9.2f}{b:9.2f}{c:9.2f}{b / a:8.1f}{c / a:6.1f}")

    for table, columns in peers.FEATURES.items():
        lists, folds = (sql[LISTS], frames["feat_stat, drawdowns"]) if table == "feat_stat" else (0.0, 0.0)
        line(table, len(columns), ours["alone"][table], sql[table] + lists, frames[table] + folds)
    total, made = sum(map(len, peers.FEATURES.values())), ours["cpu"]
    duck, pandas = sum(sql.values()) - sql[DOUBLING], sum(frames.values())
    line("all, with what they share", total, made, duck, pandas)
    line("all, drawdowns by doubling in SQL", total, made, duck - sql[LISTS] + sql[DOUBLING], pandas)
    print(f"CPU s: Kairos {made:.1f}, DuckDB {duck:.1f}, pandas {pandas:.1f}")


def test_ten_years_of_backtest_in_three_seconds(market: Path, ours: dict[str, Any]) -> None:
    """`baseline` on ten years of the market, tables already built, imports done."""
    from kairos.equity.backtest import backtest

    settings = load(None, peers.EVERYONE)
    runs = []
    for _ in range(1 + peers.REPEATS):
        wall, used = time.perf_counter(), peers.cpu()
        (result, _), *_ = backtest(
            market, ["baseline"], alpha="ret_21d", settings=settings, lower_is_better=True
        )
        runs.append((time.perf_counter() - wall, peers.cpu() - used))
    seconds, used = np.median(runs[1:], axis=0)  # the first one loads the compiled code
    T, N = result.simulation.market.frame.shape
    print(
        f"\nbaseline: {T:,} sessions × {N:,} listings, load, run and store: {seconds:.2f} s, {used:.2f} s CPU"
    )
    assert seconds < 3.0
