"""The whole way on real prices: 3.1 M rows of 2015 to 2017, delistings included (`make test-real`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from kairos.equity import backtest, build, ingest, signals
from kairos.equity.context import PRICES, Context
from kairos.settings import Settings, load
from kairos.store import Store

ROOT = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
WRITER = ROOT.parent / "tools" / "real_us_as_sharadar.py"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not WRITER.exists(), reason="the real market data are not here"),
]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load()


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    folder = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, WRITER, "--panel", "2015", "--out", folder / "vendor"], check=True)
    ingest([folder / "vendor"], folder / "kairos.duckdb", settings=settings)
    build(folder / "kairos.duckdb", settings=settings)
    static = load(overrides=["equity.universe.mode=option_b"])
    build(folder / "kairos.duckdb", settings=static, into="option_b")
    return folder / "kairos.duckdb"


def test_the_universe_of_a_day(db: Path) -> None:
    """About 3 000 members a day, the failed among them; today's list has none that failed."""
    with Store(db).snapshot().connect() as con:
        days = con.sql("SELECT count(*) AS n FROM universe GROUP BY date").df()["n"]
        assert 2_500 < days[days > 0].median() < 3_500
        gone = """SELECT count(DISTINCT ticker) FROM {}universe JOIN
                  (SELECT ticker FROM listings GROUP BY ticker HAVING bool_and(ended)) USING (ticker)"""
        assert con.sql(gone.format("")).fetchall()[0][0] > 300
        assert con.sql(gone.format("option_b.")).fetchall() == [(0,)]


def test_splits_leave_no_trace(db: Path) -> None:
    """A split is no return: where the factor between adjusted and traded price jumps, the return is small."""
    query = """
        SELECT count(*), count(*) FILTER (abs(ret_1d) > 0.4) FROM (
            SELECT ticker, date, factor / lag(factor) OVER w AS split
            FROM (SELECT *, close / closeunadj AS factor FROM sep_base_academic)
            WINDOW w AS (PARTITION BY ticker ORDER BY date))
        JOIN feat_price_action USING (ticker, date) WHERE split < 0.55 OR split > 1.8"""
    with Store(db).snapshot().connect() as con:
        splits, jumps = con.sql(query).fetchall()[0]
    assert splits > 100
    assert jumps < 0.1 * splits


def test_the_market_factor_is_the_market(db: Path, settings: Settings) -> None:
    """The mean return of yesterday's members is French's market plus half of his small-cap factor."""
    context = Context(Store(db).snapshot(), settings)
    panels = context.panels(PRICES)
    members, r = np.isfinite(panels["universe.price"]), panels["feat_price_action.ret_1d"]
    held = np.vstack([np.zeros((1, members.shape[1]), bool), members[:-1]]) & np.isfinite(r)
    enough = held.sum(axis=1) > 100
    mean = np.where(held, r, 0.0).sum(axis=1)[enough] / held.sum(axis=1)[enough]
    file = ROOT / "ff_factors.parquet"
    query = f"SELECT date, mktrf + rf + 0.5 * smb AS market FROM '{file}' WHERE region = 'US'"
    factor = {day: value / 100 for day, value in duckdb.sql(query).fetchall()}
    french = np.array([factor[day] for day in panels.frame.sessions[enough].tolist()])
    assert np.corrcoef(mean, french)[0, 1] > 0.97
    assert abs((mean - french).mean()) * 252 < 0.08


def test_reversal_and_trend_are_not_significant(db: Path, settings: Settings) -> None:
    """Two years are short: neither signal is told from luck, and the study says so."""
    study = signals(db, ["ret_21d", "price_vs_sma_21"], settings=settings, lower_is_better=True)
    for result in study.signals:
        assert 400 < result.headline.n < 513
        assert abs(result.headline.mean) < 0.03
        assert abs(result.headline.t) < 2.0


def test_what_survivorship_is_worth(db: Path, settings: Settings) -> None:
    """The same strategy on today's list earns far more: names that failed are not on it."""
    found = {}
    for namespace in ("main", "option_b"):
        ((result, _),) = backtest(
            db, ["baseline"], alpha="ret_21d", settings=settings, lower_is_better=True, namespace=namespace
        )
        found[namespace] = result.performance.annual_return
        assert np.isfinite(result.ret).all()
    assert found["option_b"] > found["main"] + 0.1
