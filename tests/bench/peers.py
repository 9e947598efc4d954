"""The nine technical tables as a user of DuckDB or of pandas would write them, and what each engine costs.

Run as a script it measures one engine in a process of its own and prints what it found as JSON:

    python peers.py kairos CATALOG SAMPLE.csv OUT  # the reference of the sample, then the whole market
    python peers.py duckdb CATALOG SAMPLE.csv OUT    # the sample
    python peers.py pandas CATALOG SAMPLE.csv OUT    # the sample

All three compute the same columns from the same base tables by the same rules, and write them as Parquet in
the tables' types. A window counts sessions of the market, and needs the listing to be that old and 80 % of
its observations; across a halt the last price of 10 sessions counts. Where they differ it is to the peers'
advantage: their base tables are in memory beforehand (for pandas joined and on the grid), nothing is sorted
or published.
CPU is that of the process, measured inside it after imports and a first call.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from kairos.equity import registry
from kairos.equity.build import build
from kairos.settings import load
from kairos.store import Store

EVERYONE = [f"equity.universe.{rule}=0.0" for rule in ("min_adv", "min_price", "min_size")]
"""No limits: the price base holds every common stock, which makes it about 10 M rows."""

SAMPLE = "sample"
"""Namespace of the peers' tickers: its universe, market and z-scores are theirs alone, for every engine."""

THREADS, REPEATS = 2, 3
TECHNICAL = (
    *("feat_adv", "feat_beta", "feat_price_action", "feat_price_shape", "feat_stat", "feat_targets"),
    *("feat_trend", "feat_vol_sizing", "feat_volume_volatility"),
)
FEATURES = {name: registry.found()[name].columns(registry.found()[name].params()) for name in TECHNICAL}
BASE = ("sep_base_academic", "universe", "sessions", "listings", "daily")

Spent = dict[str, float]
"""CPU seconds by statement."""


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def need(n: int) -> int:
    """Observations that a window of n sessions needs."""
    return ceil(n * 4 / 5)


# DuckDB ------------------------------------------------------------------------------------------------

SPANS = (5, 14, 20, 21, 50, 60, 63, 200, 252)
WINDOWS = ",\n".join(
    [
        "WINDOW w AS (PARTITION BY id ORDER BY session)",
        "past AS (PARTITION BY id ORDER BY session ROWS UNBOUNDED PRECEDING)",
        *(f"w{n} AS (PARTITION BY id ORDER BY session ROWS {n - 1} PRECEDING)" for n in SPANS),
        *(
            f"before{n} AS (PARTITION BY id ORDER BY session ROWS BETWEEN {n} PRECEDING AND 1 PRECEDING)"
            for n in (11, 20, 55)
        ),
        *(
            f"ago{n} AS (PARTITION BY id ORDER BY session ROWS BETWEEN {n + 10} PRECEDING AND {n} PRECEDING)"
            for n in (5, 21)
        ),
        "in1 AS (PARTITION BY id ORDER BY session ROWS BETWEEN 9 PRECEDING AND 1 FOLLOWING)",
        "in5 AS (PARTITION BY id ORDER BY session ROWS BETWEEN 5 PRECEDING AND 5 FOLLOWING)",
        "in21 AS (PARTITION BY id ORDER BY session ROWS BETWEEN 11 FOLLOWING AND 21 FOLLOWING)",
    ]
)

DENSE = """
CREATE TEMP TABLE dense AS  -- a row for each session of a listing: a window of rows is a window of sessions
WITH spans AS (
    SELECT row_number() OVER (ORDER BY l.ticker, listing)::INTEGER AS id, l.ticker,
           first_session, last_session, p.closeadj * (1 + coalesce(payout, 0)) AS paid
    FROM listings l JOIN sep_base_academic p ON p.ticker = l.ticker AND p.date = l."last")
SELECT id, ticker, s.date, session, session - first_session + 1 AS age, last_session, paid,
       (SELECT max(session) FROM sessions) AS final, p.date IS NOT NULL AS stored,
       open, high, low, close, volume, closeadj, u.price IS NOT NULL AS member, d.marketcap
FROM spans JOIN sessions s ON s.session BETWEEN first_session AND last_session
LEFT JOIN sep_base_academic p USING (ticker, date)
LEFT JOIN universe u USING (ticker, date)
LEFT JOIN daily d USING (ticker, date)
ORDER BY id, session
"""

SERIES = f"""
CREATE TEMP TABLE series AS
WITH lagged AS (
    SELECT *, closeadj / lag(closeadj) OVER w - 1 AS r, lag(close) OVER w AS c1, lag(volume) OVER w AS v1,
           lag(member) OVER w AS member1, count(close) OVER past AS n
    FROM dense {WINDOWS}),
market AS (SELECT session, avg(r) AS m FROM lagged WHERE member1 GROUP BY session)
SELECT *, close * volume AS dollars,
       CASE WHEN c1 IS NOT NULL THEN greatest(high - low, abs(high - c1), abs(low - c1)) END AS tr,
       CASE WHEN m IS NOT NULL THEN r END AS rm, CASE WHEN r IS NOT NULL THEN m END AS mr
FROM lagged LEFT JOIN market USING (session)
"""


def over(aggregate: str, x: str, n: int) -> str:
    """A window aggregate under the rules: listed for n sessions, 80 % of the observations."""
    inside = f"{x}, m" if aggregate.startswith("regr") else x
    return (
        f"CASE WHEN age >= {n} AND count({x}) OVER w{n} >= {need(n)} THEN {aggregate}({inside}) OVER w{n} END"
    )


def recursive(x: str, span: int) -> str:
    """Exponential average as a running sum of x·(1 − α)^-n: no recursion, until the weight overflows.

    Good for 3 000 values with span 9; a longer history wants the weights rebased, e.g. every year.
    """
    keep = 1.0 - 2.0 / (span + 1.0)
    weight = f"CASE n WHEN 1 THEN 1 / {keep!r} ELSE {1.0 - keep!r} * pow({keep!r}, -n) END"
    return f"pow({keep!r}, n) * sum({x} * {weight}) OVER past"


def last(x: str, window: str) -> str:
    return f"last_value({x} IGNORE NULLS) OVER {window}"


def forward(h: int) -> str:
    value = f"CASE WHEN session + {h} > last_session THEN paid ELSE {last('closeadj', f'in{h}')} END"
    return f"CASE WHEN session + {h} <= final THEN {value} / closeadj - 1 END"


def breakout(n: int) -> str:
    known = f"close IS NOT NULL AND age > {n} AND count(high) OVER before{n} >= {need(n)}"
    return f"CASE WHEN {known} THEN (close > max(high) OVER before{n})::INTEGER END"


def z(x: str) -> str:
    return f"""CASE WHEN NOT member OR {x} IS NULL THEN NULL
             WHEN std_{x} > 0 THEN ({x} - mean_{x}) / std_{x} ELSE 0 END"""


def fold(n: int) -> str:
    """Deepest fall in a window as the fold of a list: the plain way, n steps a row."""
    return f"""CASE WHEN age >= {n} AND count(closeadj) OVER w{n} >= {need(n)} THEN
        list_reduce(list({{'peak': closeadj, 'fall': 0.0::DOUBLE}}) FILTER (closeadj IS NOT NULL) OVER w{n},
            lambda s, p: {{'peak': greatest(s.peak, p.peak),
                           'fall': least(s.fall, p.peak / greatest(s.peak, p.peak) - 1)}}).fall
        END AS max_drawdown_{n}d"""


def doubling() -> str:
    """Deepest fall from (highest, lowest, deepest fall) of adjacent windows: seven lags instead of 252 steps.

    What a user could do better than the plain way, at the price of a page of SQL.
    """
    steps = [
        """one AS (
            SELECT id, session, age, ticker, date, stored, closeadj,
                   {'hi': closeadj, 'lo': closeadj, 'fall': closeadj - closeadj} AS today, today AS of_1
            FROM series)"""
    ]
    before = "one"
    for n in (1, 3, 7, 15, 31):
        joined = f"joined(lag(of_{n}, {n + 1}) OVER w, joined(lag(of_{n}) OVER w, today))"
        steps.append(f"to_{2 * n + 1} AS (SELECT *, {joined} AS of_{2 * n + 1} FROM {before} {WINDOWS})")
        before = f"to_{2 * n + 1}"
    for n in (63, 126):
        joined = f"joined(lag(of_{n}, {n}) OVER w, of_{n})"
        steps.append(f"to_{2 * n} AS (SELECT *, {joined} AS of_{2 * n} FROM {before} {WINDOWS})")
        before = f"to_{2 * n}"
    valid = {n: f"age >= {n} AND count(closeadj) OVER w{n} >= {need(n)}" for n in (63, 252)}
    falls = ", ".join(f"CASE WHEN {valid[n]} THEN of_{n}.fall END AS max_drawdown_{n}d" for n in valid)
    return f"WITH {', '.join(steps)} SELECT ticker, date, stored, {falls} FROM to_252 {WINDOWS}"


JOINED = """
CREATE TEMP MACRO joined(a, b) AS {  -- a: the older window, b: the newer; a missing one counts for nothing
    'hi': greatest(a.hi, b.hi), 'lo': least(a.lo, b.lo), 'fall': least(a.fall, b.fall, b.lo / a.hi - 1)}
"""

TABLES = {
    "feat_price_action": f"""
        SELECT ticker, date, stored, r AS ret_1d, closeadj / {last("closeadj", "ago5")} - 1 AS ret_5d,
               closeadj / {last("closeadj", "ago21")} - 1 AS ret_21d, high / nullif(low, 0) AS hl_ratio,
               close / nullif(open, 0) AS co_ratio, tr AS true_range,
               (high - low) / nullif(open, 0) AS range_pct,
               {breakout(20)} AS breakout_20, {breakout(55)} AS breakout_55
        FROM series {WINDOWS}""",
    "feat_trend": f"""
        WITH averages AS (
            SELECT ticker, date, id, session, stored, close, n, {over("avg", "close", 5)} AS sma_5,
                   {over("avg", "close", 21)} AS sma_21, {over("avg", "close", 50)} AS sma_50,
                   {over("avg", "close", 200)} AS sma_200,
                   {recursive("close", 12)} AS ema_12, {recursive("close", 26)} AS ema_26,
                   CASE WHEN close IS NOT NULL THEN ema_12 - ema_26 END AS macd
            FROM series {WINDOWS})
        SELECT *, (close - sma_21) / nullif(sma_21, 0) AS price_vs_sma_21,
               sma_21 - lag(sma_21, 5) OVER w AS sma_21_slope, sign(sma_50 - sma_200) AS sma_50_200_cross,
               {recursive("macd", 9)} AS macd_signal, macd - macd_signal AS macd_hist
        FROM averages {WINDOWS}""",
    "feat_stat": f"""
        WITH moments AS (
            SELECT ticker, date, stored, close, r, {over("avg", "close", 21)} AS mean,
                   {over("stddev_samp", "close", 21)} AS std, {over("stddev_samp", "r", 21)} AS vol_21d,
                   {over("skewness", "r", 63)} AS skew_63d, {over("kurtosis", "r", 63)} AS kurt_63d,
                   {over("max", "close", 21)} AS rolling_max_21d, {over("max", "high", 252)} AS high_252
            FROM series {WINDOWS})
        SELECT *, (close - mean) / nullif(std, 0) AS close_zscore_21d,
               r / nullif(vol_21d, 0) AS ret_1d_zscore_21d,
               close / nullif(high_252, 0) - 1 AS dist_52w_high,
               (close_zscore_21d < -2)::INTEGER AS mean_reversion_flag
        FROM moments""",
    "feat_price_shape": """
        SELECT ticker, date, stored, abs(close - open) AS body_size, high - low AS candle_range,
               high - greatest(open, close) AS upper_wick, least(open, close) - low AS lower_wick,
               body_size / nullif(candle_range, 0) AS body_pct_of_range,
               upper_wick / nullif(candle_range, 0) AS upper_wick_pct,
               lower_wick / nullif(candle_range, 0) AS lower_wick_pct,
               open - c1 AS gap_open, gap_open / nullif(c1, 0) AS gap_pct
        FROM series""",
    "feat_volume_volatility": f"""
        SELECT ticker, date, stored, dollars AS dollar_volume,
               (volume - {over("avg", "volume", 21)})
                   / nullif({over("stddev_samp", "volume", 21)}, 0) AS vol_zscore_21d,
               (volume - v1) / nullif(v1, 0) AS volume_pct_change_1d,
               {over("stddev_samp", "r", 5)} AS ret_std_5d, {over("stddev_samp", "r", 21)} AS ret_std_21d,
               {over("avg", "tr", 14)} AS atr_14d,
               {over("avg", "(abs(r) / nullif(dollars, 0))", 21)} AS amihud_21d
        FROM series {WINDOWS}""",
    "feat_adv": f"""
        WITH sizes AS (
            SELECT ticker, date, session, stored, member, dollars AS dollar_volume,
                   {over("avg", "dollars", 20)} AS adv_20,
                   CASE WHEN count(dollars) OVER w60 >= 40 THEN avg(dollars) OVER w60 END AS adv_60,
                   ln(nullif(adv_20, 0)) AS ln_adv,
                   ln({last("(marketcap / close)", "before11")} * close * 1e6) AS size_raw
            FROM series {WINDOWS}),
        of_date AS (
            SELECT session, avg(ln_adv) AS mean_ln_adv, stddev_samp(ln_adv) AS std_ln_adv,
                   avg(size_raw) AS mean_size_raw, stddev_samp(size_raw) AS std_size_raw
            FROM sizes WHERE member GROUP BY session)
        SELECT *, {z("ln_adv")} AS adv_z, {z("size_raw")} AS size_z
        FROM sizes LEFT JOIN of_date USING (session)""",
    "feat_vol_sizing": f"""
        SELECT ticker, date, stored, {over("stddev_samp", "r", 21)} AS vol_21,
               {over("stddev_samp", "r", 63)} AS vol_63,
               0.5 * vol_21 + 0.5 * vol_63 AS vol_blend
        FROM series {WINDOWS}""",
    "feat_beta": f"""
        WITH slopes AS (
            SELECT ticker, date, stored, {over("regr_slope", "rm", 21)} AS beta_21d,
                   {over("regr_slope", "rm", 63)} AS beta_63d, {over("regr_slope", "rm", 252)} AS beta_252d,
                   {over("var_samp", "rm", 63)}
                       - beta_63d * beta_63d * {over("var_samp", "mr", 63)} AS residual
            FROM series {WINDOWS})
        SELECT *, sqrt(CASE WHEN residual > 0 THEN residual WHEN residual <= 0 THEN 0 END) AS resid_vol_63d
        FROM slopes""",
    "feat_targets": f"""
        SELECT ticker, date, stored, {forward(1)} AS ret_1d_f, {forward(5)} AS ret_5d_f,
               {forward(21)} AS ret_21d_f, (ret_5d_f > 0)::INTEGER AS label_5d_up
        FROM series {WINDOWS}""",
    "feat_stat, drawdowns by lists": f"""
        SELECT ticker, date, stored, {fold(63)}, {fold(252)} FROM series {WINDOWS}""",
    "feat_stat, drawdowns by doubling": doubling(),
}


def duckdb_features(con: duckdb.DuckDBPyConnection, out: Path) -> Spent:
    """CPU seconds of each statement: the series that all tables share, then the tables, written as Parquet.

    `con` holds the base tables of the sample. One statement a table, as somebody would who wants nine tables.
    """
    con.execute(JOINED)
    began = cpu()
    con.execute(DENSE)
    con.execute(SERIES)
    spent = {"series": cpu() - began}
    for name, sql in TABLES.items():
        declared = {c.name: c.dtype for c in FEATURES[name.partition(",")[0]]}
        found = [row[0] for row in con.execute(f"DESCRIBE {sql}").fetchall() if row[0] in declared]
        columns = ", ".join(f"{column}::{declared[column]} AS {column}" for column in found)
        rows = f"SELECT ticker, date, {columns} FROM ({sql}) WHERE stored"
        began = cpu()
        con.execute(f"COPY ({rows}) TO '{out / name}.parquet' (FORMAT parquet)")
        spent[name] = cpu() - began
    con.execute("DROP TABLE series; DROP TABLE dense; DROP MACRO joined")
    return spent


# pandas ------------------------------------------------------------------------------------------------


def pandas_features(frame: pd.DataFrame, out: Path) -> Spent:
    """CPU seconds of each table, written as Parquet; `frame` is the table `dense` of the SQL."""
    began = cpu()
    ids, age, session = frame["id"], frame["age"], frame["session"]
    o, h, low, c = frame["open"], frame["high"], frame["low"], frame["close"]
    volume, total = frame["volume"], frame["closeadj"]

    def by(x: pd.Series) -> Any:
        return x.groupby(ids, sort=False)

    def windows(x: pd.Series, n: int, least: int) -> Any:
        return by(x).rolling(n, min_periods=least)

    def roll(x: pd.Series, n: int, statistic: str) -> pd.Series:
        return getattr(windows(x, n, need(n)), statistic)().droplevel(0).where(age >= n)

    def drawdown(n: int) -> pd.Series:
        def deepest(p: np.ndarray[Any, Any]) -> float:
            p = p[~np.isnan(p)]
            return float((p / np.maximum.accumulate(p)).min() - 1.0)

        return windows(total, n, need(n)).apply(deepest, raw=True).droplevel(0).where(age >= n)

    def ratio(a: pd.Series, b: pd.Series) -> pd.Series:
        return a / b.where(b != 0)

    def flag(condition: pd.Series, *needs: pd.Series) -> pd.Series:
        return condition.astype(float).where(np.logical_and.reduce([x.notna() for x in needs]))

    def recursive(x: pd.Series, span: int) -> pd.Series:
        return by(x).ewm(span=span, adjust=False, ignore_na=True).mean().droplevel(0).where(x.notna())

    def z(x: pd.Series) -> pd.Series:
        x = x.where(frame["member"])
        of_date = x.groupby(session)
        std = of_date.transform("std")
        return ((x - of_date.transform("mean")) / std).where(std > 0, x * 0.0)

    def highest_before(n: int) -> pd.Series:
        return by(roll(h, n, "max")).shift()

    def forward(k: int) -> pd.Series:
        value = by(filled).shift(-k).where(session + k <= frame["last_session"], frame["paid"])
        return (value / total - 1.0).where(session + k <= frame["final"])

    r = total / by(total).shift() - 1.0
    c1 = by(c).shift()
    before = by(frame["member"]).shift(fill_value=False)
    m = session.map(r[before].groupby(session[before]).mean())
    filled = by(total).ffill(limit=10)
    true_range = pd.concat([h - low, (h - c1).abs(), (low - c1).abs()], axis=1).max(axis=1, skipna=False)
    dollars = c * volume
    spent = {"series": cpu() - began}

    def write(table: str, columns: dict[str, pd.Series], began: float) -> None:
        made = pd.DataFrame({"ticker": frame["ticker"], "date": frame["date"], **columns})[frame["stored"]]
        made.astype(dict.fromkeys(columns, "float32")).to_parquet(out / f"{table}.parquet", index=False)
        spent[table] = cpu() - began

    began = cpu()
    price_action = {"ret_1d": r, **{f"ret_{k}d": total / by(filled).shift(k) - 1.0 for k in (5, 21)}}
    price_action |= {"hl_ratio": ratio(h, low), "co_ratio": ratio(c, o), "true_range": true_range}
    price_action["range_pct"] = ratio(h - low, o)
    for n in (20, 55):
        price_action[f"breakout_{n}"] = flag(c > highest_before(n), c, highest_before(n))
    write("feat_price_action", price_action, began)

    began = cpu()
    trend = {f"sma_{n}": roll(c, n, "mean") for n in (5, 21, 50, 200)}
    trend |= {f"ema_{n}": recursive(c, n) for n in (12, 26)}
    trend["price_vs_sma_21"] = ratio(c - trend["sma_21"], trend["sma_21"])
    trend["sma_21_slope"] = trend["sma_21"] - by(trend["sma_21"]).shift(5)
    trend["sma_50_200_cross"] = np.sign(trend["sma_50"] - trend["sma_200"])
    trend["macd"] = trend["ema_12"] - trend["ema_26"]
    trend["macd_signal"] = recursive(trend["macd"], 9)
    trend["macd_hist"] = trend["macd"] - trend["macd_signal"]
    write("feat_trend", trend, began)

    began = cpu()
    vol = roll(r, 21, "std")
    stat = {"close_zscore_21d": ratio(c - roll(c, 21, "mean"), roll(c, 21, "std")), "vol_21d": vol}
    stat |= {"ret_1d_zscore_21d": ratio(r, vol), "rolling_max_21d": roll(c, 21, "max")}
    stat |= {"skew_63d": roll(r, 63, "skew"), "kurt_63d": roll(r, 63, "kurt")}
    stat["dist_52w_high"] = ratio(c, roll(h, 252, "max")) - 1.0
    stat["mean_reversion_flag"] = flag(stat["close_zscore_21d"] < -2.0, stat["close_zscore_21d"])
    write("feat_stat", stat, began)

    began = cpu()
    write("feat_stat, drawdowns", {f"max_drawdown_{n}d": drawdown(n) for n in (63, 252)}, began)

    began = cpu()
    top, bottom = pd.concat([o, c], axis=1).max(axis=1), pd.concat([o, c], axis=1).min(axis=1)
    shape = {"body_size": (c - o).abs(), "upper_wick": h - top, "lower_wick": bottom - low}
    shape |= {"candle_range": h - low, "body_pct_of_range": ratio(shape["body_size"], h - low)}
    shape |= {f"{side}_wick_pct": ratio(shape[f"{side}_wick"], h - low) for side in ("upper", "lower")}
    shape |= {"gap_open": o - c1, "gap_pct": ratio(o - c1, c1)}
    write("feat_price_shape", shape, began)

    began = cpu()
    v1 = by(volume).shift()
    activity = {"dollar_volume": dollars, "volume_pct_change_1d": ratio(volume - v1, v1)}
    activity["vol_zscore_21d"] = ratio(volume - roll(volume, 21, "mean"), roll(volume, 21, "std"))
    activity |= {f"ret_std_{n}d": roll(r, n, "std") for n in (5, 21)}
    activity["atr_14d"] = roll(true_range, 14, "mean")
    activity["amihud_21d"] = roll(ratio(r.abs(), dollars), 21, "mean")
    write("feat_volume_volatility", activity, began)

    began = cpu()
    adv = {"dollar_volume": dollars, "adv_20": roll(dollars, 20, "mean")}
    adv["adv_60"] = windows(dollars, 60, 40).mean().droplevel(0)
    shares = by(by(frame["marketcap"] / c).shift()).ffill(limit=10)
    adv["size_raw"] = np.log(shares * c * 1e6)
    adv |= {"adv_z": z(np.log(adv["adv_20"].where(adv["adv_20"] > 0))), "size_z": z(adv["size_raw"])}
    write("feat_adv", adv, began)

    began = cpu()
    sizing = {f"vol_{n}": roll(r, n, "std") for n in (21, 63)}
    sizing["vol_blend"] = 0.5 * sizing["vol_21"] + 0.5 * sizing["vol_63"]
    write("feat_vol_sizing", sizing, began)

    began = cpu()
    rm, mr = r.where(m.notna()), m.where(r.notna())
    beta = {}
    for n in (21, 63, 252):
        cov = roll(rm * mr, n, "mean") - roll(rm, n, "mean") * roll(mr, n, "mean")
        pairs = windows(rm, n, 1).count().droplevel(0)
        beta[f"beta_{n}d"] = cov * pairs / (pairs - 1.0) / roll(mr, n, "var")
    residual = roll(rm, 63, "var") - beta["beta_63d"] ** 2 * roll(mr, 63, "var")
    beta["resid_vol_63d"] = np.sqrt(residual.clip(lower=0.0))
    write("feat_beta", beta, began)

    began = cpu()
    targets = {f"ret_{k}d_f": forward(k) for k in (1, 5, 21)}
    targets["label_5d_up"] = flag(targets["ret_5d_f"] > 0, targets["ret_5d_f"])
    write("feat_targets", targets, began)
    return spent


# Measuring ---------------------------------------------------------------------------------------------


def measure_kairos(db: Path, sample: Path, _: Path) -> dict[str, Any]:
    """The sample's reference, which loads the compiled kernels; then the nine tables of the whole market."""
    members = ["equity.universe.mode=file", f"equity.universe.file={sample}"]
    build(db, list(FEATURES), settings=load(None, members), into=SAMPLE, force=True)
    settings = load(None, EVERYONE)
    build(db, list(FEATURES), settings=settings)  # the base tables are current from here on
    runs = []
    for _repeat in range(REPEATS):
        began = cpu()
        report = build(db, list(FEATURES), settings=settings, force=True)
        runs.append({"cpu": cpu() - began, "seconds": report.seconds})
    assert {made["table"] for made in report.built} == set(FEATURES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    alone = {}
    for table in FEATURES:
        began = cpu()
        build(db, [table], settings=settings, force=True)
        alone[table] = cpu() - began
    return {
        "rows": report.built[0]["rows"],
        "cpu": median(run["cpu"] for run in runs),
        "seconds": median(run["seconds"] for run in runs),
        "peak": peak,
        "alone": alone,
    }


def base_tables(db: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB with the sample's base tables in memory."""
    con = Store(db).snapshot().connect(SAMPLE)
    con.execute(f"SET threads = {THREADS}")
    for table in BASE:
        ours = "" if table == "sessions" else "WHERE ticker IN (SELECT ticker FROM sep_base_academic)"
        con.execute(f"CREATE TEMP TABLE {table} AS FROM {table} {ours}")
    return con


def medians(features: Callable[[], Spent]) -> dict[str, Any]:
    """Median CPU seconds of each statement."""
    runs = [features() for _ in range(REPEATS)]
    return {"cpu": {name: median(run[name] for run in runs) for name in runs[0]}}


def measure_duckdb(db: Path, _: Path, out: Path) -> dict[str, Any]:
    con = base_tables(db)
    return medians(lambda: duckdb_features(con, out))


def measure_pandas(db: Path, _: Path, out: Path) -> dict[str, Any]:
    con = base_tables(db)
    con.execute(DENSE)
    frame = con.execute("FROM dense ORDER BY id, session").df()
    return medians(lambda: pandas_features(frame, out))


if __name__ == "__main__":
    engine, *paths = sys.argv[1:]
    engines = {"kairos": measure_kairos, "duckdb": measure_duckdb, "pandas": measure_pandas}
    print(json.dumps(engines[engine](*map(Path, paths))))
