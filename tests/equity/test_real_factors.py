"""Factors on real prices and filings: coverage, ratios by hand, French's momentum (`make test-real`)."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from kairos.equity import build, ingest
from kairos.equity.build import BuildReport
from kairos.settings import Settings, load
from kairos.store import Store

ROOT = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
WRITER = ROOT.parent / "tools" / "real_us_as_sharadar.py"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not WRITER.exists(), reason="the real market data are not here"),
]

FEATURES = {
    *("feat_adv", "feat_beta", "feat_price_action", "feat_price_shape", "feat_stat", "feat_targets"),
    *("feat_trend", "feat_vol_sizing", "feat_volume_volatility", "feat_fundamental", "feat_gross_profit"),
    *("feat_growth_v2", "feat_insider", "feat_momentum_v2", "feat_quality_v2", "feat_value", "feat_value_v2"),
}
COMPOSITES = {
    *("feat_composite_academic", "feat_composite_long", "feat_composite_long_v2", "feat_composite_v3"),
    *("feat_composite_v31", "feat_alpha_smoothed_v31", "feat_composite_v32", "feat_composite_v32b"),
    *("feat_composite_v33_regime", "feat_composite_v4", "feat_composite_v5", "feat_composite_v6"),
    *("feat_composite_v7", "feat_composite_v8"),
}
OTHERS = {
    "universe",
    "sep_base_academic",
    "regime_history_academic",
    "feat_matrix",
    "feat_matrix_v2",
    "feat_matrix_all",
}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load()


def loaded(folder: Path, panel: str, settings: Settings) -> Path:
    """A store with the vendor's tables of a panel."""
    command = [sys.executable, WRITER, "--panel", panel, "--out", folder / "vendor"]
    subprocess.run(command, check=True)
    ingest([folder / "vendor"], folder / "kairos.duckdb", settings=settings)
    return folder / "kairos.duckdb"


@pytest.fixture(scope="module")
def failed_included(
    tmp_path_factory: pytest.TempPathFactory, settings: Settings
) -> tuple[duckdb.DuckDBPyConnection, BuildReport]:
    """2015 to 2017 with everything built: a connection, and what the build reported."""
    db = loaded(tmp_path_factory.mktemp("factors_2015"), "2015", settings)
    report = build(db, settings=settings)
    return duckdb.connect(str(db), read_only=True), report


@pytest.fixture(scope="module")
def survivors(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """2016 to 2024 with momentum built."""
    db = loaded(tmp_path_factory.mktemp("factors_2024"), "2024", settings)
    build(db, ["feat_momentum_v2"], settings=settings)
    return db


def test_all_is_built_but_what_lacks_its_raw_table(
    failed_included: tuple[duckdb.DuckDBPyConnection, BuildReport],
) -> None:
    """There is no SF3: two tables are not built and say so; every other one has rows."""
    con, report = failed_included
    assert set(report.not_built) == {"holdings", "feat_institutional_academic"}
    assert "sf3" in report.not_built["holdings"]
    assert {b["table"] for b in report.built} >= FEATURES | COMPOSITES | OTHERS
    tables = FEATURES | COMPOSITES | OTHERS
    rows = {name: con.sql(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}
    assert {rows[name] for name in FEATURES | COMPOSITES} == {rows["sep_base_academic"]}
    assert rows["feat_matrix"] == rows["universe"] < rows["feat_matrix_all"] == rows["sep_base_academic"]
    assert rows["regime_history_academic"] > 500


def test_only_columns_without_their_figures_are_empty(
    failed_included: tuple[duckdb.DuckDBPyConnection, BuildReport],
) -> None:
    """The source has no gross profit, debt, capital expenditure, EBITDA, enterprise value and holdings."""
    con, _ = failed_included
    empty = set()
    for name in sorted(FEATURES | COMPOSITES):
        counted = con.sql(f"SELECT count(COLUMNS(* EXCLUDE (ticker, date))) FROM {name}")
        empty |= {
            f"{name}.{c}" for c, n in zip(counted.columns, counted.fetchall()[0], strict=True) if n == 0
        }
    assert empty == {
        *(
            f"feat_fundamental.{c}"
            for c in ("fcf_yield", "ebitda_to_ev", "gross_margin", "debt_to_equity", "fcf_growth_yoy")
        ),
        *(
            "feat_gross_profit.gross_profitability",
            "feat_growth_v2.fcf_growth_yoy",
            "feat_value_v2.ebitda_yield",
        ),
        *("feat_composite_long.gross_margin_z", "feat_composite_long.inst_z"),
        *("feat_composite_academic.inst_z", "feat_composite_long_v2.inst_z"),
    }


def filed(ticker: str) -> pd.DataFrame:
    """A company's quarters from the raw statements, by period.

    A quarter's statement is as filed; the annual one has the year, so its last quarter is the year less the
    three before. Cash flow runs since the start of the fiscal year.
    """
    raw = pd.read_parquet(ROOT / "us_fundamentals.parquet")
    q = raw[(raw["ticker"] == ticker) & ~raw["amend"].fillna(False)].sort_values("period_end")
    q = q.assign(period_end=pd.to_datetime(q["period_end"]), available=pd.to_datetime(q["available"]))
    q = q.set_index("period_end")
    year, first = q["doc_type"].str.startswith("10-K"), q["period_focus"] == "Q1"
    for out, item in (("netinc", "net_income"), ("revenue", "revenues")):
        q[out] = q[item].where(~year, q[item] - q[item].shift(1).rolling(3).sum())
    q["ncfo"] = q["cash_flow_op"].where(first, q["cash_flow_op"].diff())
    gap = q.index.to_series().diff().dt.days.iloc[1:]
    assert gap.between(80, 105).all(), "pick a company that has filed every quarter"
    return q


def ratios(ticker: str, date: str) -> dict[str, float]:
    """What the accounts known before `date` say of a company; NaN without four quarters."""
    q = filed(ticker)
    q = q[q["available"] < pd.Timestamp(date)]
    four = {name: q[name].rolling(4).sum() for name in ("netinc", "revenue", "ncfo")}
    now, before = {k: v.iloc[-1] for k, v in four.items()}, {k: v.shift(4).iloc[-1] for k, v in four.items()}
    equity, assets = q["equity"], q["assets"]
    return {
        "roe": now["netinc"] / equity.iloc[-1],
        "roa": now["netinc"] / assets.iloc[-1],
        "accruals": (now["netinc"] - now["ncfo"]) / assets.iloc[-1],
        "net_margin": now["netinc"] / now["revenue"],
        "asset_turnover": now["revenue"] / assets.iloc[-1],
        "earnings_growth_yoy": (now["netinc"] - before["netinc"]) / abs(before["netinc"]),
        "revenue_growth_yoy": (now["revenue"] - before["revenue"]) / abs(before["revenue"]),
        "book_value_growth_yoy": equity.iloc[-1] / equity.shift(4).iloc[-1] - 1.0,
        "earnings_volatility": (q["netinc"].rolling(4).std() / assets.rolling(4).mean()).iloc[-1],
        **{f"{k}_4q": now[k] for k in ("netinc", "revenue")},
        "equity": equity.iloc[-1],
    }


def value_of_the_session_before(ticker: str, date: str) -> float:
    """Estimated shares times the price as traded, USD."""
    prices = pd.read_parquet(ROOT / "us_daily_raw_2015_2017.parquet", filters=[("ticker", "==", ticker)])
    close = prices.assign(date=pd.to_datetime(prices["date"])).set_index("date")["close"].sort_index()
    known = pd.read_parquet(ROOT / "us_securities.parquet").query("ticker == @ticker and shares_out_est > 0")
    by_vintage = known.set_index("vintage")["shares_out_est"]
    vintage = next(v for year in ("2017", "2019") for v in by_vintage.index if v.startswith(year))
    return float(by_vintage[vintage] * close[close.index < date].iloc[-1])


@pytest.mark.parametrize(
    ("ticker", "date"),
    [
        ("XOM", "2016-02-24"),  # the day of the annual report: nobody has read it, three quarters are known
        ("XOM", "2016-02-25"),  # the first four quarters
        ("XOM", "2016-06-15"),
        ("XOM", "2017-03-15"),  # and the four of the year before
        ("AAPL", "2016-06-15"),  # one quarter is not in the source: no four quarters yet
        ("AAPL", "2017-03-15"),
        ("JPM", "2017-03-15"),
    ],
)
def test_ratios_of_known_companies(
    failed_included: tuple[duckdb.DuckDBPyConnection, BuildReport], ticker: str, date: str
) -> None:
    """Ratios are those that the raw statements give by hand, from the session after each filing on."""
    con, _ = failed_included

    def row(table: str) -> dict[str, float]:
        found = con.sql(f"SELECT * FROM {table} WHERE ticker = '{ticker}' AND date = DATE '{date}'").df()
        assert len(found) == 1
        values: dict[str, float] = found.iloc[0].to_dict()
        return values

    hand, cap = ratios(ticker, date), value_of_the_session_before(ticker, date)
    hand |= {
        "earnings_yield": hand["netinc_4q"] / cap,
        "sales_to_price": hand["revenue_4q"] / cap,
        "book_to_market": hand["equity"] / cap,
    }
    fundamental, quality, growth = row("feat_fundamental"), row("feat_quality_v2"), row("feat_growth_v2")
    for name in set(hand) - {"netinc_4q", "revenue_4q", "equity"}:
        assert fundamental[name] == pytest.approx(hand[name], rel=1e-5, nan_ok=True), name
    for name in ("roe", "roa", "accruals"):
        assert quality[f"computed_{name}"] == pytest.approx(hand[name], rel=1e-5, nan_ok=True), name
    for name in ("revenue_growth_yoy", "earnings_growth_yoy", "book_value_growth_yoy"):
        assert growth[name] == pytest.approx(hand[name], rel=1e-5, nan_ok=True), name
    if date >= "2017":
        assert all(np.isfinite(hand[name]) for name in ("roe", "accruals", "book_value_growth_yoy"))


def momentum_portfolio(db: Path, choose: int | float) -> pd.Series:
    """Winners less losers by mom_12_1, equal weights, daily returns.

    Formed at the close of the last session of a month from its members and their mom_12_1, held over the next
    month; the weights of each side drift. `choose`: names on each side, or their share. A name without a
    price keeps its value. Returns are those of the source's own adjusted prices.
    """
    query = "SELECT ticker, date, mom_12_1 FROM feat_momentum_v2 JOIN universe USING (ticker, date)"
    with Store(db).snapshot().connect() as con:
        scores = con.sql(query).df().pivot(index="date", columns="ticker", values="mom_12_1")
    raw = pd.read_parquet(
        ROOT / "us_daily_2016_2024.parquet", columns=["ticker", "date", "close", "adj_close"]
    )
    raw = raw[(raw["close"] > 0) & (raw["adj_close"] > 0)]
    prices = raw.assign(date=pd.to_datetime(raw["date"])).pivot(
        index="date", columns="ticker", values="adj_close"
    )
    returns = prices.pct_change(fill_method=None)
    scores.index = pd.to_datetime(scores.index)
    sessions = scores.index.to_series()
    ends = sessions.groupby(sessions.dt.to_period("M")).max()
    found = []
    for formed, until in pairwise(ends):
        ranked = scores.loc[formed].dropna().sort_values(kind="stable").index
        n = choose if isinstance(choose, int) else int(choose * len(ranked))
        if len(ranked) < max(2 * n, 100):
            continue
        month = returns[(returns.index > formed) & (returns.index <= until)].fillna(0.0)
        value = [(1.0 + month[side]).cumprod().mean(axis=1) for side in (ranked[-n:], ranked[:n])]
        winners, losers = (v / v.shift(1, fill_value=1.0) for v in value)
        found.append(winners - losers)
    return pd.concat(found)


def correlation_with_french(portfolio: pd.Series) -> float:
    """With Ken French's daily momentum factor, over the dates of both."""
    factors = pd.read_parquet(ROOT / "ff_factors.parquet").query("region == 'US'")
    factor = factors.assign(date=pd.to_datetime(factors["date"])).set_index("date")["mom"].dropna() / 100
    both = pd.concat({"ours": portfolio, "french": factor}, axis=1, join="inner")
    assert len(both) > 1_500
    return float(both["ours"].corr(both["french"]))


def test_momentum_is_frenchs_momentum(survivors: Path) -> None:
    """150 winners less 150 losers move with French's factor, though he weights by value in six portfolios."""
    assert correlation_with_french(momentum_portfolio(survivors, 150)) > 0.90


def test_momentum_of_his_fractiles_is_nearer(survivors: Path) -> None:
    """With the upper and the lower three tenths, as he takes them, nearer still."""
    assert correlation_with_french(momentum_portfolio(survivors, 0.3)) > 0.93
