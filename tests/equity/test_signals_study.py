"""Signals measured on a small market, against scipy, statsmodels and portfolios kept by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests
from test_backtest_oracle import Case
from test_backtest_store import bt_tables
from test_outcome_values import plain_day, plain_forward, priced

from kairos.equity.build import build
from kairos.equity.ingest import ingest
from kairos.equity.sheets import signal_sheet
from kairos.equity.signals import SignalStudy, signals
from kairos.errors import InputError
from kairos.report import signal_page
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

SIGNAL = "feat_price_action.ret_5d"
LESS = ("equity.signals.horizons=[1, 5]", "equity.signals.groups=5")


@pytest.fixture(scope="module")
def bt_signal_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bt_signals")
    simulate(folder / "vendor", tickers=60, years=2, seed=5, format="parquet")
    ingest([folder / "vendor"], folder / "kairos.duckdb", settings=load())
    build(folder / "kairos.duckdb", settings=load())
    return folder / "kairos.duckdb"


@pytest.fixture(scope="module")
def bt_signal_case(bt_signal_db: Path) -> Case:
    return bt_tables(bt_signal_db)


def bt_study(db: Path, *columns: str, overrides: tuple[str, ...] = (), **options: Any) -> SignalStudy:
    return signals(db, columns or [SIGNAL], settings=load(overrides=[*LESS, *overrides]), **options)


@pytest.fixture(scope="module")
def bt_signal_study(bt_signal_db: Path) -> SignalStudy:
    return bt_study(bt_signal_db)


@pytest.fixture(scope="module")
def bt_forward(bt_signal_case: Case) -> np.ndarray[Any, Any]:
    """Return from t + 1 over 5 sessions."""
    case = bt_signal_case
    return np.array([[plain_forward(case, name, t, 1, 5) for name in case.names] for t in range(case.length)])


def bt_ic(case: Case, forward: np.ndarray[Any, Any], sign: float = 1.0) -> np.ndarray[Any, Any]:
    found = np.full(case.length, np.nan)
    for t in range(case.length):
        pairs = [
            (sign * (case.alpha[name][t] or 0.0), forward[t, i])
            for i, name in enumerate(case.names)
            if case.is_member(name, t) and case.alpha[name][t] is not None and not math.isnan(forward[t, i])
        ]
        if len(pairs) >= 10:
            found[t] = scipy.stats.spearmanr(*np.array(pairs).T).statistic
    return found


def test_coefficients_equal_scipy(
    bt_signal_study: SignalStudy, bt_signal_case: Case, bt_forward: np.ndarray[Any, Any]
) -> None:
    (result,) = bt_signal_study.signals
    want = bt_ic(bt_signal_case, bt_forward)
    np.testing.assert_allclose(result.ic, want, rtol=0, atol=1e-12)
    values = want[np.isfinite(want)]
    head = result.headline
    assert (head.n, head.mean, head.std) == pytest.approx((len(values), values.mean(), values.std(ddof=1)))
    assert head.icir == pytest.approx(values.mean() / values.std(ddof=1))
    assert head.positive == pytest.approx((values > 0).mean())
    fit = OLS(values, np.ones(len(values))).fit(
        cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": False}
    )
    assert head.t == pytest.approx(fit.tvalues[0], rel=0.01)  # the small-sample factor is a matter of taste


def test_lower_is_better_turns_every_sign(bt_signal_db: Path, bt_signal_study: SignalStudy) -> None:
    (turned,) = bt_study(bt_signal_db, lower_is_better=True).signals
    (usual,) = bt_signal_study.signals
    np.testing.assert_allclose(turned.ic, -usual.ic, rtol=0, atol=1e-12)
    assert turned.neutral.mean == pytest.approx(-usual.neutral.mean)
    assert turned.slope.test.mean == pytest.approx(-usual.slope.test.mean)


def test_decay_years_and_sectors_are_the_same_measure(
    bt_signal_db: Path, bt_signal_study: SignalStudy, bt_signal_case: Case
) -> None:
    (result,) = bt_signal_study.signals
    case = bt_signal_case
    one = np.array([[plain_forward(case, name, t, 1, 1) for name in case.names] for t in range(case.length)])
    want = bt_ic(case, one)
    assert result.decay[1].mean == pytest.approx(np.nanmean(want))
    assert result.decay[5].mean == pytest.approx(result.headline.mean)
    years = np.array(case.sessions).astype("datetime64[Y]").astype(int) + 1970
    for year, summary in result.years.items():
        part = result.ic[years == year]
        assert summary.n == np.isfinite(part).sum()
        assert summary.mean == pytest.approx(np.nanmean(part))
    assert sum(summary.n for summary in result.years.values()) == result.headline.n


def test_lag_0_is_the_target_table(bt_signal_db: Path, bt_signal_case: Case) -> None:
    """feat_targets runs from close t to close t + h; the lag belongs to the study."""
    case = bt_signal_case
    with Store(bt_signal_db).snapshot().connect() as con:
        rows = con.sql(
            "SELECT ticker, date, ret_5d_f FROM feat_targets WHERE ret_5d_f IS NOT NULL"
        ).fetchall()
    at = {str(day): t for t, day in enumerate(case.sessions)}
    found = {(ticker, at[str(day)]): value for ticker, day, value in rows}
    want = {
        (name.split("#")[0], t): plain_forward(case, name, t, 0, 5)
        for name in case.names
        for t in priced(case, name)
    }
    want = {key: value for key, value in want.items() if not math.isnan(value)}
    assert set(found) == set(want)
    keys = sorted(want)
    np.testing.assert_allclose([found[k] for k in keys], [want[k] for k in keys], rtol=1e-6, atol=1e-7)


def test_quantile_portfolios_kept_by_hand(bt_signal_study: SignalStudy, bt_signal_case: Case) -> None:
    """Money in five purses: bought every 5 sessions with a lag of one, held, paid out, then cash."""
    case, groups = bt_signal_case, 5
    (result,) = bt_signal_study.signals
    days = {
        (name, t): plain_day(case, name, t) for name in case.names for t in range(case.length)
    }  # a return, NaN without a price
    gone = {name: max(priced(case, name)) for name in case.ends}
    purses: list[dict[str, float]] = [{} for _ in range(groups)]
    cash = [1.0] * groups
    returns: list[list[float]] = []
    fills: list[int] = []
    pending: list[list[str]] | None = None
    for t in range(case.length):
        if fills:
            row = []
            for g, purse in enumerate(purses):
                before = cash[g] + sum(purse.values())
                for name in list(purse):
                    move = days[name, t]
                    purse[name] *= 1 + (0.0 if math.isnan(move) else move)
                    if name in gone and t > gone[name]:
                        cash[g] += purse.pop(name)
                row.append((cash[g] + sum(purse.values())) / before - 1)
            returns.append(row)
        if pending is not None:
            buys = [
                [n for n in group if not math.isnan(days[n, t]) and t <= gone.get(n, t)] for group in pending
            ]
            if all(buys):
                fills.append(t)
                for g, names in enumerate(buys):
                    money = cash[g] + sum(purses[g].values())
                    purses[g], cash[g] = dict.fromkeys(names, money / len(names)), 0.0
            pending = None
        if t % 5 == 0:
            ranked = [n for n in case.names if case.is_member(n, t) and case.alpha[n][t] is not None]
            if len(ranked) >= groups:
                ranked.sort(key=lambda n: case.alpha[n][t] or 0.0)  # stable: ties in the order of the names
                pending = [[] for _ in range(groups)]
                for p, name in enumerate(ranked):
                    pending[p * groups // len(ranked)].append(name)
    portfolios = result.quantiles
    assert portfolios.fills.tolist() == fills
    assert portfolios.sessions.tolist() == list(range(fills[0] + 1, case.length))
    np.testing.assert_allclose(portfolios.returns, np.array(returns), rtol=0, atol=1e-11)
    np.testing.assert_allclose(portfolios.spread, portfolios.returns[:, -1] - portfolios.returns[:, 0])


def test_in_sample_and_out_of_sample(bt_signal_db: Path, bt_signal_study: SignalStudy) -> None:
    split = "2016-03-01"
    study = bt_study(bt_signal_db, overrides=(f"equity.backtest.out_of_sample_from={split}",))
    (result,) = study.signals
    before = study.sessions < np.datetime64(split)
    assert result.in_sample is not None
    assert result.out_of_sample is not None
    over = 1 + 5  # lag and horizon: the last returns of the sample reach over the split
    clean = before & (np.arange(len(before)) + over < before.sum())
    assert result.in_sample.mean == pytest.approx(np.nanmean(result.ic[clean]))
    assert result.out_of_sample.mean == pytest.approx(np.nanmean(result.ic[~before]))
    assert result.in_sample.n + over + result.out_of_sample.n == result.headline.n
    (whole,) = bt_signal_study.signals
    assert whole.in_sample is None
    assert whole.out_of_sample is None
    text = dict(signal_sheet(bt_signal_study, "equity signals").assumptions)
    assert "all in sample" in text["Sample"]
    assert split in dict(signal_sheet(study, "equity signals").assumptions)["Sample"]


def test_several_signals(bt_signal_db: Path) -> None:
    columns = ["ret_5d", "price_vs_sma_21", "feat_beta.beta_63d"]
    study = bt_study(bt_signal_db, *columns)
    assert [r.column for r in study.signals] == [
        "feat_price_action.ret_5d", "feat_trend.price_vs_sma_21", "feat_beta.beta_63d"
    ]  # fmt: skip
    p = [r.headline.p for r in study.signals]
    np.testing.assert_allclose(study.holm, multipletests(p, method="holm")[1], atol=1e-12)
    alone = 2.0 * scipy.stats.norm.sf(np.abs([r.headline.t for r in study.signals]))  # of the same statistic
    assert (study.romano_wolf >= alone - 0.05).all()
    with Store(bt_signal_db).snapshot().connect() as con:
        frame = con.sql("""
            SELECT date, ret_5d::DOUBLE, price_vs_sma_21::DOUBLE FROM feat_price_action
            JOIN feat_trend USING (ticker, date) JOIN universe USING (ticker, date)
            WHERE ret_5d IS NOT NULL AND price_vs_sma_21 IS NOT NULL ORDER BY 1
        """).fetchall()
    day = np.array([row[0] for row in frame])
    x, y = np.array([row[1] for row in frame]), np.array([row[2] for row in frame])
    daily = [
        scipy.stats.spearmanr(x[day == d], y[day == d]).statistic
        for d in np.unique(day)
        if (day == d).sum() >= 10
    ]
    assert study.correlation[0, 1] == pytest.approx(np.mean(daily), abs=1e-9)
    header, rows = study.table()
    assert len(rows) == 3
    assert all(len(row) == len(header) for row in rows)
    assert header[-2:] == ["IC 1", "IC 5"]
    signal_page(signal_sheet(study, "equity signals"))


def test_the_same_signal_twice_is_one_signal(bt_signal_db: Path) -> None:
    study = bt_study(bt_signal_db, "ret_5d", SIGNAL)
    assert [r.column for r in study.signals] == [SIGNAL]


def test_neutral_means_without_exposures(bt_signal_db: Path) -> None:
    """The exposure itself has nothing left; with nothing to neutralise the two coefficients are the same."""
    (nothing,) = bt_study(bt_signal_db, overrides=("equity.signals.neutralise=[]",)).signals
    assert nothing.neutral.mean == pytest.approx(nothing.headline.mean)
    assert nothing.neutral.n == nothing.headline.n


def test_neutral_coefficients_equal_least_squares(
    bt_signal_db: Path, bt_signal_case: Case, bt_forward: np.ndarray[Any, Any]
) -> None:
    """Residuals of the day's regression on sectors, size and beta; names that miss one are left out."""
    case = bt_signal_case
    (result,) = bt_study(bt_signal_db, overrides=('equity.signals.beta_column="feat_beta.beta_63d"',)).signals
    with Store(bt_signal_db).snapshot().connect() as con:
        rows = con.sql("""
            SELECT a.ticker, a.date, a.size_z::DOUBLE, b.beta_63d::DOUBLE FROM feat_adv a
            JOIN feat_beta b USING (ticker, date) WHERE size_z IS NOT NULL AND beta_63d IS NOT NULL
        """).fetchall()
        sector = dict(
            con.sql(
                "SELECT ticker, any_value(coalesce(sector, 'Unknown')) FROM tickers GROUP BY 1"
            ).fetchall()
        )
    at = {str(day): t for t, day in enumerate(case.sessions)}
    exposure = {(ticker, at[str(day)]): (size, beta) for ticker, day, size, beta in rows}
    found = []
    for t in range(case.length):
        names = [
            i
            for i, name in enumerate(case.names)
            if case.is_member(name, t)
            and case.alpha[name][t] is not None
            and (name.split("#")[0], t) in exposure
        ]
        if len(names) < 10:
            continue
        tickers = [case.names[i].split("#")[0] for i in names]
        groups = sorted({sector[ticker] for ticker in tickers})
        x = np.array([[*exposure[k, t], *(sector[k] == g for g in groups)] for k in tickers], dtype=float)
        y = np.array([case.alpha[case.names[i]][t] for i in names], dtype=float)
        rest = (y - x @ np.linalg.lstsq(x, y, rcond=None)[0]).round(13)  # alone in a sector: exactly 0
        ahead = bt_forward[t, names]
        both = np.isfinite(ahead)
        if both.sum() >= 10:
            found.append(scipy.stats.spearmanr(rest[both], ahead[both]).statistic)
    assert result.neutral.n == len(found)
    assert result.neutral.mean == pytest.approx(np.mean(found), abs=1e-9)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("feat_targets.ret_5d_f", "looks ahead"),
        ("ret_21d_f", "looks ahead"),
        ("label_5d_up", "looks ahead"),
        ("price_vs_sma_12", "did you mean price_vs_sma_21"),
        ("sector", "holds words"),
        ("feat_nothing.at_all", "no feature table"),
    ],
)
def test_columns_that_are_no_signal(bt_signal_db: Path, column: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bt_study(bt_signal_db, column)


def test_no_column_and_too_few_names(bt_signal_db: Path) -> None:
    with pytest.raises(InputError, match="--alpha"):
        signals(bt_signal_db, [], settings=load())
    with pytest.raises(InputError, match="1000 members"):
        bt_study(bt_signal_db, overrides=("equity.signals.min_names=1000",))
