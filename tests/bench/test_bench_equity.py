"""Speed and memory at the size of a real night: `make bench` prints what it measures.

The market is simulated (KAIROS_BENCH_DIR keeps it between runs). The same features are computed in the same
run as DuckDB window SQL and as pandas groupby code on a stated part of the tickers, and the times are
compared per row, in CPU seconds.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from kairos.equity import registry
from kairos.equity.build import build
from kairos.equity.ingest import ingest
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

pytestmark = pytest.mark.bench

TICKERS, YEARS = 6200, 10
PEER_SHARE = 20
"""The peers compute every n-th ticker."""

EVERYONE = [f"equity.universe.{rule}=0.0" for rule in ("min_adv", "min_price", "min_size")]
"""No limits: the price base holds every common stock, which makes it about 10 M rows."""

SQL = """
WITH r AS (SELECT *, closeadj / lag(closeadj) OVER w - 1 AS r, lag(close) OVER w AS c1 FROM prices
           WINDOW w AS (PARTITION BY ticker ORDER BY date)),
     m AS (SELECT *, avg(r) OVER (PARTITION BY date) AS m,
                  greatest(high - low, abs(high - c1), abs(low - c1)) AS tr FROM r)
SELECT ticker, date,
       avg(close) OVER w5 AS sma_5, avg(close) OVER w21 AS sma_21, avg(close) OVER w50 AS sma_50, avg(close) OVER w200 AS sma_200,
       (close - avg(close) OVER w21) / nullif(stddev_samp(close) OVER w21, 0) AS close_zscore_21d,
       stddev_samp(r) OVER w21 AS vol_21, stddev_samp(r) OVER w63 AS vol_63,
       skewness(r) OVER w63 AS skew_63d, kurtosis(r) OVER w63 AS kurt_63d,
       max(close) OVER w21 AS rolling_max_21d, max(high) OVER w252 AS high_252,
       avg(volume) OVER w21 AS volume_21, stddev_samp(volume) OVER w21 AS volume_std_21,
       avg(tr) OVER w14 AS atr_14d, avg(close * volume) OVER w20 AS adv_20, avg(close * volume) OVER w60 AS adv_60,
       avg(abs(r) / nullif(close * volume, 0)) OVER w21 AS amihud_21d,
       covar_samp(r, m) OVER w21 / nullif(var_samp(m) OVER w21, 0) AS beta_21d,
       covar_samp(r, m) OVER w63 / nullif(var_samp(m) OVER w63, 0) AS beta_63d,
       covar_samp(r, m) OVER w252 / nullif(var_samp(m) OVER w252, 0) AS beta_252d,
       max(high) OVER b20 AS high_20, max(high) OVER b55 AS high_55, stddev_samp(r) OVER w5 AS ret_std_5d
FROM m WINDOW {windows}
"""


def cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keep = os.environ.get("KAIROS_BENCH_DIR")
    root = Path(keep) if keep else tmp_path_factory.mktemp("bench")
    vendor, db = root / "vendor", root / "store" / "kairos.duckdb"
    if not vendor.exists():
        simulate(vendor, tickers=TICKERS, years=YEARS, seed=1, format="parquet")
    if not db.exists():
        began = time.perf_counter()
        report = ingest([vendor], db, settings=load())
        print(f"\ningest: {report['sep'].rows:,} price rows in {time.perf_counter() - began:.1f} s")
        build(db, ["sep_base_academic"], settings=load(None, EVERYONE))
    return db


def features() -> list[str]:
    return [table.name for table in registry.features()]


def test_nine_tables_within_a_minute_and_12_gib(market: Path) -> None:
    """A process of its own, start-up and compilation cache included, so that its peak memory is its own."""
    code = (
        "import sys, json, resource, pathlib\n"
        "from kairos.equity.build import build\n"
        "from kairos.settings import load\n"
        f"settings = load(None, {EVERYONE!r})\n"
        f"report = build(pathlib.Path({str(market)!r}), {features()!r}, settings=settings, force=True)\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = use.ru_maxrss * (1 if sys.platform == 'darwin' else 1024)\n"
        "print(json.dumps({'seconds': report.seconds, 'cpu': use.ru_utime + use.ru_stime, 'peak': peak,\n"
        "                  'built': report.built}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    made = {b["table"]: b for b in result["built"]}
    assert set(features()) <= set(made)
    rows = made["feat_beta"]["rows"]
    print(
        f"\nnine tables (and the base tables under them): {rows:,} rows, {result['seconds']:.1f} s wall, "
        f"{result['cpu']:.1f} s CPU, peak {result['peak'] / 2**30:.1f} GiB"
    )
    for name in features():
        print(f"  {name:24} compute {made[name]['compute_s']:5.1f} s, write {made[name]['write_s']:5.1f} s")
    assert rows > 9_500_000
    assert result["seconds"] < 60.0
    assert result["peak"] < 12 * 2**30


def test_peers_need_ten_times_the_cpu(market: Path) -> None:
    """Kairos in this process, computing and writing, against SQL windows and pandas on every 20th ticker."""
    settings = load(None, EVERYONE)
    build(
        market, ["feat_beta"], settings=settings, force=True
    )  # compiled kernels in memory, as for the peers
    began = cpu()
    report = build(market, features(), settings=settings, force=True)
    base = {"sessions", "listings", "universe", "sep_base_academic", "sep_base_expanded"}
    ours = cpu() - began
    rows = next(b["rows"] for b in report.built if b["table"] == "feat_beta")
    print(
        f"\nkairos, {len(features())} tables and {len(base)} base tables, written: {ours:.1f} s CPU for {rows:,} rows"
    )

    prices = sample(market)
    share = len(prices) / rows
    sql_cpu, sql_columns = run_sql(prices)
    pandas_cpu, pandas_columns = run_pandas(prices)
    per_row = ours / rows
    for name, seconds, columns in (
        ("DuckDB windows", sql_cpu, sql_columns),
        ("pandas", pandas_cpu, pandas_columns),
    ):
        ratio = seconds / len(prices) / per_row
        print(
            f"{name}: {columns} of the rolling columns, not written: {seconds:.1f} s CPU for {len(prices):,} rows "
            f"({share:.1%}); {ratio:.1f} times the CPU of Kairos per row"
        )
        assert ratio > 10.0, name


def sample(db: Path) -> pd.DataFrame:
    con = Store(db).snapshot().connect()
    frame = con.sql(
        f"SELECT * FROM sep_base_academic WHERE hash(ticker) % {PEER_SHARE} = 0 ORDER BY ticker, date"
    ).df()
    con.close()
    return frame


def run_sql(prices: pd.DataFrame) -> tuple[float, int]:
    spans = {f"w{n}": f"{n - 1} PRECEDING AND CURRENT ROW" for n in (5, 14, 20, 21, 50, 60, 63, 200, 252)}
    spans |= {f"b{n}": f"{n} PRECEDING AND 1 PRECEDING" for n in (20, 55)}
    windows = ", ".join(
        f"{k} AS (PARTITION BY ticker ORDER BY date ROWS BETWEEN {v})" for k, v in spans.items()
    )
    with duckdb.connect() as con:
        con.execute("SET threads = 2")
        con.register("frame", prices)
        con.execute("CREATE TABLE prices AS SELECT * FROM frame")
        began = cpu()
        con.execute("CREATE TABLE features AS " + SQL.format(windows=windows))
        return cpu() - began, len(con.table("features").columns) - 2


def run_pandas(prices: pd.DataFrame) -> tuple[float, int]:
    began = cpu()
    by = prices.groupby("ticker", sort=False)
    out = pd.DataFrame(index=prices.index)

    def roll(column: pd.Series, n: int, statistic: str) -> pd.Series:
        rolled = column.groupby(prices["ticker"], sort=False).rolling(n, min_periods=int(np.ceil(0.8 * n)))
        return getattr(rolled, statistic)().droplevel(0)

    r = prices["closeadj"] / by["closeadj"].shift() - 1
    c1 = by["close"].shift()
    m = r.groupby(prices["date"]).transform("mean")
    tr = pd.concat(
        [prices["high"] - prices["low"], (prices["high"] - c1).abs(), (prices["low"] - c1).abs()], axis=1
    ).max(axis=1)
    dollars = prices["close"] * prices["volume"]
    for n in (5, 21, 50, 200):
        out[f"sma_{n}"] = roll(prices["close"], n, "mean")
    out["close_zscore_21d"] = (prices["close"] - out["sma_21"]) / roll(prices["close"], 21, "std")
    for n in (5, 21, 63):
        out[f"vol_{n}"] = roll(r, n, "std")
    out["skew_63d"], out["kurt_63d"] = roll(r, 63, "skew"), roll(r, 63, "kurt")
    out["rolling_max_21d"], out["high_252"] = (
        roll(prices["close"], 21, "max"),
        roll(prices["high"], 252, "max"),
    )
    out["volume_21"], out["volume_std_21"] = (
        roll(prices["volume"], 21, "mean"),
        roll(prices["volume"], 21, "std"),
    )
    out["atr_14d"], out["adv_20"], out["adv_60"] = (
        roll(tr, 14, "mean"),
        roll(dollars, 20, "mean"),
        roll(dollars, 60, "mean"),
    )
    out["amihud_21d"] = roll(r.abs() / dollars.where(dollars > 0), 21, "mean")
    for n in (21, 63, 252):
        both = roll(r * m, n, "mean") - roll(r, n, "mean") * roll(m, n, "mean")
        out[f"beta_{n}d"] = both / roll(m, n, "var") * n / (n - 1)
    for n in (20, 55):
        out[f"high_{n}"] = roll(prices["high"], n, "max").groupby(prices["ticker"]).shift()
    for n in (12, 26):
        out[f"ema_{n}"] = by["close"].ewm(span=n, adjust=False).mean().droplevel(0)
    return cpu() - began, out.shape[1]


def test_ten_years_of_backtest_in_three_seconds(market: Path) -> None:
    """`baseline` on ten years of the market, tables already built, imports done."""
    from kairos.equity.backtest import backtest

    settings = load(None, EVERYONE)
    backtest(market, ["baseline"], alpha="ret_21d", settings=settings, lower_is_better=True)
    began = time.perf_counter()
    (result, _), *_ = backtest(market, ["baseline"], alpha="ret_21d", settings=settings, lower_is_better=True)
    seconds = time.perf_counter() - began
    T, N = result.simulation.market.frame.shape
    print(f"\nbaseline: {T:,} sessions × {N:,} listings, load, run and store: {seconds:.2f} s")
    assert seconds < 3.0
