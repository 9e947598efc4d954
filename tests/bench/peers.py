"""The nine technical tables as a user of DuckDB or of pandas would write them, and what each engine costs.

Run as a script this measures one engine in a process of its own:

    python peers.py kairos CATALOG SAMPLE.csv OUT    # the reference of the sample, then the whole market
    python peers.py duckdb CATALOG SAMPLE.csv OUT    # the sample
    python peers.py pandas CATALOG SAMPLE.csv OUT    # the sample

All three compute the columns of the nine tables from the same stored base tables and write them as Parquet,
with the same rules: a window counts sessions of the market, needs the listing to be that old and 80 % of its
observations, and a value across a halt uses the last price of the 10 sessions before. CPU is that of the process and
its children, measured inside the process after imports and a first call.
"""

from __future__ import annotations

import json
import resource
import sys
import time
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
"""Namespace of the tables of every n-th ticker; its universe is theirs alone, for every engine."""

THREADS = 2
REPEATS = 3
FEATURES = {table.name: table.columns(table.params()) for table in registry.features()}
BASE = ("sep_base_academic", "universe", "sessions", "listings", "daily")


def need(n: int) -> int:
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

SERIES = f"""
CREATE TEMP TABLE series AS
WITH spans AS (
    SELECT row_number() OVER (ORDER BY l.ticker, listing)::INTEGER AS id, l.ticker, first_session, last_session,
           p.closeadj * (1 + coalesce(payout, 0)) AS paid
    FROM listings l JOIN sep_base_academic p ON p.ticker = l.ticker AND p.date = l."last"),
dense AS (  -- one row for each session of a listing: a window of rows is a window of sessions
    SELECT id, ticker, s.date, s.session, session - first_session + 1 AS age, last_session, paid,
           (SELECT max(session) FROM sessions) AS final,
           open, high, low, close, volume, closeadj, p.date IS NOT NULL AS stored,
           u.price IS NOT NULL AS member, d.marketcap
    FROM spans JOIN sessions s ON s.session BETWEEN first_session AND last_session
    LEFT JOIN sep_base_academic p USING (ticker, date)
    LEFT JOIN universe u USING (ticker, date)
    LEFT JOIN daily d USING (ticker, date)),
lagged AS (
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
    return f"CASE WHEN age >= {n} AND count({x}) OVER w{n} >= {need(n)} THEN {aggregate}({inside}) OVER w{n} END"


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
    return f"""CASE WHEN session + {h} <= final
             THEN CASE WHEN session + {h} > last_session THEN paid ELSE {last("closeadj", f"in{h}")} END / closeadj - 1
             END"""


def breakout(n: int) -> str:
    known = f"close IS NOT NULL AND age > {n} AND count(high) OVER before{n} >= {need(n)}"
    return f"CASE WHEN {known} THEN (close > max(high) OVER before{n})::INTEGER END"


def z(x: str) -> str:
    return f"""CASE WHEN NOT member OR {x} IS NULL THEN NULL
             WHEN std_{x} > 0 THEN ({x} - mean_{x}) / std_{x} ELSE 0 END"""


DRAWDOWNS = {
    "lists": ", ".join(
        f"""CASE WHEN age >= {n} AND count(closeadj) OVER w{n} >= {need(n)} THEN
            list_reduce(list({{'peak': closeadj, 'fall': 0.0::DOUBLE}}) FILTER (closeadj IS NOT NULL) OVER w{n},
                lambda s, p: {{'peak': greatest(s.peak, p.peak),
                               'fall': least(s.fall, p.peak / greatest(s.peak, p.peak) - 1)}}).fall END AS dd{n}"""
        for n in (63, 252)
    )
}

TABLES = {
    "feat_price_action": f"""
        SELECT ticker, date, stored, r AS ret_1d, closeadj / {last("closeadj", "ago5")} - 1 AS ret_5d,
               closeadj / {last("closeadj", "ago21")} - 1 AS ret_21d, high / nullif(low, 0) AS hl_ratio,
               close / nullif(open, 0) AS co_ratio, tr AS true_range, (high - low) / nullif(open, 0) AS range_pct,
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
                   {over("max", "close", 21)} AS rolling_max_21d, {over("max", "high", 252)} AS high_252,
                   {DRAWDOWNS["lists"]}
            FROM series {WINDOWS})
        SELECT *, (close - mean) / nullif(std, 0) AS close_zscore_21d,
               r / nullif(vol_21d, 0) AS ret_1d_zscore_21d,
               dd63 AS max_drawdown_63d, dd252 AS max_drawdown_252d,
               close / nullif(high_252, 0) - 1 AS dist_52w_high, (close_zscore_21d < -2)::INTEGER AS mean_reversion_flag
        FROM moments""",
    "feat_price_shape": """
        SELECT ticker, date, stored, abs(close - open) AS body_size, high - greatest(open, close) AS upper_wick,
               least(open, close) - low AS lower_wick, high - low AS candle_range,
               body_size / nullif(candle_range, 0) AS body_pct_of_range,
               upper_wick / nullif(candle_range, 0) AS upper_wick_pct,
               lower_wick / nullif(candle_range, 0) AS lower_wick_pct,
               open - c1 AS gap_open, gap_open / nullif(c1, 0) AS gap_pct
        FROM series""",
    "feat_volume_volatility": f"""
        SELECT ticker, date, stored, dollars AS dollar_volume,
               (volume - {over("avg", "volume", 21)}) / nullif({over("stddev_samp", "volume", 21)}, 0) AS vol_zscore_21d,
               (volume - v1) / nullif(v1, 0) AS volume_pct_change_1d,
               {over("stddev_samp", "r", 5)} AS ret_std_5d, {over("stddev_samp", "r", 21)} AS ret_std_21d,
               {over("avg", "tr", 14)} AS atr_14d, {over("avg", "(abs(r) / nullif(dollars, 0))", 21)} AS amihud_21d
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
        SELECT *, {z("ln_adv")} AS adv_z, {z("size_raw")} AS size_z FROM sizes LEFT JOIN of_date USING (session)""",
    "feat_vol_sizing": f"""
        SELECT ticker, date, stored, {over("stddev_samp", "r", 21)} AS vol_21, {over("stddev_samp", "r", 63)} AS vol_63,
               0.5 * vol_21 + 0.5 * vol_63 AS vol_blend
        FROM series {WINDOWS}""",
    "feat_beta": f"""
        WITH slopes AS (
            SELECT ticker, date, stored, {over("regr_slope", "rm", 21)} AS beta_21d,
                   {over("regr_slope", "rm", 63)} AS beta_63d, {over("regr_slope", "rm", 252)} AS beta_252d,
                   {over("var_samp", "rm", 63)} - beta_63d * beta_63d * {over("var_samp", "mr", 63)} AS residual
            FROM series {WINDOWS})
        SELECT *, sqrt(CASE WHEN residual > 0 THEN residual WHEN residual <= 0 THEN 0 END) AS resid_vol_63d FROM slopes""",
    "feat_targets": f"""
        SELECT ticker, date, stored, {forward(1)} AS ret_1d_f, {forward(5)} AS ret_5d_f, {forward(21)} AS ret_21d_f,
               (ret_5d_f > 0)::INTEGER AS label_5d_up
        FROM series {WINDOWS}""",
}
