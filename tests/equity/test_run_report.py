"""What the report of a run says, against SQL over the stored tables and plain NumPy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kairos.cli import main
from kairos.equity.backtest import backtest
from kairos.equity.backtest.factors import read_factors
from kairos.equity.build import build
from kairos.equity.ingest import ingest
from kairos.equity.sheets import tear_sheet
from kairos.equity.sheets.attribution import factor_parts, sector_parts
from kairos.equity.sheets.deciles import portfolios
from kairos.equity.sheets.holdings import holdings
from kairos.equity.sheets.regimes import bands
from kairos.evaluation.attribution import exposures
from kairos.report import tearsheet
from kairos.report.page import Section, Table
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

ALPHA = "feat_price_action.ret_5d"


@pytest.fixture(scope="module")
def rr_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rr_market")
    simulate(folder / "vendor", tickers=60, years=2, seed=8, format="parquet")
    db = folder / "kairos.duckdb"
    ingest([folder / "vendor"], db, settings=load())
    build(db, settings=load())
    return db


def rr_run(db: Path, strategy: str, *overrides: str, **options: Any) -> tuple[Any, Any]:
    settings = load(overrides=["top_n=12", *overrides], strategies=[strategy])
    return backtest(db, [strategy], alpha=ALPHA, settings=settings, **options)[0]


@pytest.fixture(scope="module")
def rr_book(rr_db: Path) -> tuple[Any, Any]:
    """Long and short, so that net is not gross."""
    return rr_run(rr_db, "risk1", "bottom_n=8", "max_sector=3", "book=nearest", save_as="rr_book")


def rr_sql(db: Path, text: str) -> list[tuple[Any, ...]]:
    with Store(db).snapshot().connect() as con:
        return con.sql(text).fetchall()


def rr_section(sheet: Any, title: str) -> Section:
    return next(s for s in [*sheet.worth, *sheet.studies] if s.title == title)


def rr_table(section: Section, first: str) -> dict[str, list[Any]]:
    table = next(b for b in section.blocks if isinstance(b, Table) and b.columns[0].label == first)
    return {str(row[0]): [getattr(value, "value", value) for value in row[1:]] for row in table.rows}


def test_sector_weights_are_those_of_the_stored_book(rr_db: Path, rr_book: tuple[Any, Any]) -> None:
    held = holdings(rr_book[0])
    found = exposures(held.book, held.sector, len(held.sectors), {})
    stored = rr_sql(
        rr_db,
        """SELECT date, coalesce(sector, 'Unknown'), sum(weight), sum(abs(weight))
        FROM backtest_weights_rr_book
        JOIN (SELECT DISTINCT ON (ticker) ticker, sector FROM tickers) USING (ticker)
        GROUP BY ALL""",
    )
    assert len({day for day, *_ in stored}) > 50
    for day, sector, net, gross in stored:
        row = int(np.searchsorted(held.dates, np.datetime64(day)))
        s = held.sectors.index(sector)
        assert found.net[row, s] == pytest.approx(net, abs=1e-12)
        assert found.gross[row, s] == pytest.approx(gross, abs=1e-12)
    assert (found.gross.sum(axis=1) > np.abs(found.net.sum(axis=1)) + 0.1).any()


def test_size_is_a_z_score_over_the_members_of_the_decision(rr_db: Path, rr_book: tuple[Any, Any]) -> None:
    result, _ = rr_book
    held = holdings(result)
    decision, fill = result.simulation.decisions[5], result.simulation.fills[5]
    sessions = result.simulation.market.frame.sessions
    rows = dict(
        rr_sql(
            rr_db,
            f"""SELECT ticker, size_z FROM feat_adv JOIN universe USING (ticker, date)
            WHERE date = '{sessions[decision]}' AND size_z IS NOT NULL""",
        )
    )
    values = np.array(list(rows.values()))
    panel = held.characteristics["size"][fill - result.rows.start]
    tickers = result.simulation.market.frame.tickers
    seen = 0
    for ticker, value in rows.items():
        here = panel[tickers == ticker]
        if len(here) == 1:
            seen += 1
            assert here[0] == pytest.approx((value - values.mean()) / values.std(ddof=1), rel=1e-6)
    assert seen > 20


def test_parts_add_up_to_the_return_of_every_day(rr_book: tuple[Any, Any]) -> None:
    held = holdings(rr_book[0])
    for parts in (sector_parts(held), factor_parts(held)):
        np.testing.assert_allclose(np.sum(list(parts.values()), axis=0), held.total, atol=1e-14)
    costs = sector_parts(held)["Trading costs"]
    assert costs.min() < 0.0
    assert (costs <= 0.0).all()


def test_what_is_left_of_a_day_is_borrow_and_financing(rr_book: tuple[Any, Any]) -> None:
    result, _ = rr_book
    held, book, costs = holdings(result), result.simulation.scaled, result.strategy.backtest.costs
    gross, net = book.gross[result.rows], book.net[result.rows]
    days = np.diff(held.dates).astype(int)
    paid = 1.0 - held.cost[:-1]  # out of cash: positions weigh more in what is left
    before, short = gross[:-1] / paid, (gross - net)[:-1] / 2.0 / paid
    fees = (costs.financing_rate * np.maximum(before - 1.0, 0.0) + costs.borrow * short) * days / 365.0
    np.testing.assert_allclose(sector_parts(held)["Interest and fees"][1:], -fees, atol=1e-9)
    assert fees.max() > 1e-4


def test_the_top_decile_earns_what_its_names_earn(rr_db: Path, rr_book: tuple[Any, Any]) -> None:
    result, _ = rr_book
    found = portfolios(result)
    run, frame = result.simulation, result.simulation.market.frame
    first = run.decided[0]
    alpha = run.signals.alpha[first.row, first.eligible]
    order = np.argsort(alpha, kind="stable")
    n = len(order)
    top = first.eligible[order[(np.arange(n) * 10) // n == 9]]
    fill, end = first.row + 1, first.row + 1 + 5
    days = f"'{frame.sessions[fill]}', '{frame.sessions[end]}'"
    names = ", ".join(f"'{name}'" for name in frame.tickers[top])
    prices = rr_sql(
        rr_db,
        f"SELECT ticker, min_by(closeadj, date), max_by(closeadj, date), count(*) FROM sep_base_academic "
        f"WHERE ticker IN ({names}) AND date IN ({days}) GROUP BY ticker",
    )
    assert len(prices) == len(top)
    assert all(count == 2 for *_, count in prices)
    growth = np.mean([last / one for _, one, last, _ in prices])
    assert np.prod(1.0 + found.returns[:5, 9]) == pytest.approx(growth, rel=1e-9)
    assert found.sessions[0] + first.row == fill + 1


def test_limits_are_counted_as_they_are_stored(rr_db: Path, rr_book: tuple[Any, Any]) -> None:
    sheet = tear_sheet(*rr_book)
    table = rr_table(rr_section(sheet, "Limits"), "Kind")
    stored = rr_sql(
        rr_db,
        """SELECT kind, count(DISTINCT limit_of), count(DISTINCT date) FILTER (binding),
        count(DISTINCT date) FILTER (relaxed_to IS NOT NULL), max(abs(value))
        FROM backtest_limits_rr_book GROUP BY ALL""",
    )
    ((decisions,),) = rr_sql(rr_db, "SELECT count(DISTINCT date) FROM backtest_limits_rr_book")
    seen = {kind: rest for kind, *rest in stored if kind not in ("budget", "long", "short")}
    assert "sector" in seen
    assert set(table) == set(seen)
    for kind, (limits, binding, relaxed, largest) in seen.items():
        assert table[kind][0] == limits
        assert table[kind][3] == pytest.approx(largest)
        assert table[kind][4] == pytest.approx(binding / decisions)
        assert table[kind][5] == relaxed


def test_bands_are_the_unbroken_stretches() -> None:
    days = np.arange("2020-01-01", "2020-01-07", dtype="datetime64[D]")
    labels = np.array(
        ["low_vol_bull", "low_vol_bull", "high_vol_bear", "unknown", "high_vol_bull", "high_vol_bull"]
    )
    found = [(str(b.first)[-2:], str(b.last)[-2:], b.high < 1) for b in bands(days, labels)]
    assert found == [
        ("01", "03", False),
        ("05", "06", False),
        ("03", "04", False),
        ("03", "04", True),
        ("05", "06", True),
    ]


def test_regimes_take_the_label_of_the_day_before(rr_db: Path, rr_book: tuple[Any, Any]) -> None:
    result, run = rr_book
    table = rr_table(rr_section(tear_sheet(result, run), "By regime"), "Regime")
    labels = rr_sql(rr_db, "SELECT date, regime FROM regime_history_academic ORDER BY date")
    days = np.array([day for day, _ in labels], dtype="datetime64[D]")
    sessions = result.simulation.market.frame.sessions
    before = sessions[np.maximum(np.searchsorted(sessions, result.dates) - 1, result.rows.start)]
    known = dict(zip(days.tolist(), [label for _, label in labels], strict=True))
    told = np.array([known.get(day) or "unknown" for day in before.tolist()])
    assert sum(row[0] for row in table.values()) == len(result.dates)
    for label in set(told.tolist()):
        ret = result.ret[1:][told[1:] == label]
        row = table[label.replace("_", " ")]
        assert row[0] - len(ret) in (0, 1)  # the first day has no day before it in the result
        if row[0] < 20:
            assert np.isnan(row[2])
        elif row[0] == len(ret):
            assert row[2] == pytest.approx(ret.mean() * 252)
            assert row[4] == pytest.approx(ret.mean() / ret.std(ddof=1) * np.sqrt(252))


def test_parts_of_the_history_and_their_errors(rr_book: tuple[Any, Any]) -> None:
    result, run = rr_book
    table = rr_table(rr_section(tear_sheet(result, run), "How sure is it"), "Part")
    year = str(result.dates[-1])[:4]
    ret = result.ret[result.dates >= np.datetime64(f"{year}-01-01")]
    skew = np.mean(((ret - ret.mean()) / ret.std()) ** 3)
    kurt = np.mean(((ret - ret.mean()) / ret.std()) ** 4)
    s = ret.mean() / ret.std(ddof=1)
    se = np.sqrt((1 - skew * s + (kurt - 1) / 4 * s**2) / (len(ret) - 1))
    assert table[year][0] == len(ret)
    assert table[year][2] == pytest.approx(s * np.sqrt(252))
    assert table[year][3] == pytest.approx(se * np.sqrt(252), rel=0.02)  # moments with or without ddof


def test_loadings_on_the_users_factors(rr_book: tuple[Any, Any], tmp_path: Path) -> None:
    result, run = rr_book
    rng = np.random.default_rng(0)
    daily = result.simulation.scaled.ret[result.rows]
    factors = np.column_stack(
        [0.5 * daily + 0.01 * rng.standard_normal(len(daily)), 0.01 * rng.standard_normal(len(daily))]
    )
    path = tmp_path / "factors.csv"
    days = result.simulation.market.frame.sessions[result.rows]
    lines = [f"{day},{a!r},{b!r}" for day, (a, b) in zip(days, factors.tolist(), strict=True)]
    path.write_text("\n".join(["date,own,<script>alert(1)</script>", *lines]))
    sheet = tear_sheet(result, run, read_factors(path))
    table = rr_table(rr_section(sheet, "Factors of the market"), "Factor")
    X = np.column_stack([np.ones(len(daily)), factors])
    alpha, own, other = np.linalg.lstsq(X, daily, rcond=None)[0]
    assert table["Alpha"][0] == pytest.approx(alpha * 252)
    assert table["own"][0] == pytest.approx(own)
    assert table["<script>alert(1)</script>"][0] == pytest.approx(other)
    assert sum(row[-1] for name, row in table.items() if name != "Sum") == pytest.approx(table["Sum"][-1])
    html = tearsheet(sheet).render()
    assert ("Loadings over time" in html) == (len(daily) >= 252)
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_factors_without_a_shared_session_leave_the_rest_of_the_report(
    rr_book: tuple[Any, Any], tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_text("date,mkt\n" + "\n".join(f"1990-01-{day:02},0.0{day}" for day in range(1, 20)))
    sheet = tear_sheet(*rr_book, read_factors(path, unit="decimal"))
    assert "no session between" in rr_section(sheet, "Factors of the market").blocks[0].text  # type: ignore[union-attr]


def test_one_return_a_rebalance_has_its_own_dates_and_says_that_it_looks_ahead(rr_db: Path) -> None:
    result, run = rr_run(rr_db, "risk1", "compat_manual=true", save_as="rr_manual", stress=True)
    sheet = tear_sheet(result, run)
    assert len(sheet.dates) == len(sheet.returns) == len(sheet.n_positions) == len(result.ret) < 120
    assert len(sheet.rebalance_dates) == len(sheet.turnover) == len(result.simulation.fills)
    assert sheet.rolling_window == 25
    for text in ("today's list", "fill at the close", "whole sample", "next decision"):
        assert any(text in line for line in sheet.warnings)
    page = tearsheet(sheet)
    assert "looks ahead" in page.subtitle
    bridge = rr_table(rr_section(sheet, "Bridge from the manual's numbers"), "Corrected")
    assert list(bridge) == [
        "the manual's accounting", "universe", "missing-target filter", "fill", "daily P&L",
        "volatility target", "costs",
    ]  # fmt: skip
    assert bridge["the manual's accounting"][0] == pytest.approx(result.performance.annual_return)
    assert sum(row[1] for row in list(bridge.values())[1:]) == pytest.approx(
        bridge["costs"][0] - bridge["the manual's accounting"][0]
    )
    plain, _ = rr_run(rr_db, "risk1", save_as="rr_plain")
    assert bridge["costs"][0] == plain.performance.annual_return
    stress = rr_table(rr_section(sheet, "Lags, costs, capacity"), "Run")
    assert list(stress)[:3] == ["lag 0", "lag 1", "lag 2"]
    assert stress["lag 1"][0] == stress["costs × 1"][0] == plain.performance.annual_return
    assert re.search(r"P&amp;L", page.render())


def test_a_mix_shows_the_shares_of_its_parts(rr_db: Path) -> None:
    labels = {
        label for (label,) in rr_sql(rr_db, "SELECT DISTINCT regime FROM regime_history_academic") if label
    }
    weights = [f"equity.strategies.both.mix.weights.{label}=[0.75, 0.25]" for label in (labels | {"unknown"})]
    settings = load(
        overrides=['equity.strategies.both.mix.strategies=["baseline", "risk1"]', *weights],
        strategies=["both"],
    )
    result, run = backtest(rr_db, ["both"], alpha=ALPHA, settings=settings)[0]
    table = rr_table(rr_section(tear_sheet(result, run), "The mix"), "Part")
    assert [table["baseline"][0], table["risk1"][0]] == pytest.approx([0.75, 0.25])
    part = result.simulation.parts[1].scaled.ret[result.rows]
    assert table["risk1"][2] == pytest.approx(part.mean() / part.std(ddof=1) * np.sqrt(252))


def test_without_stress_the_page_says_how_to_ask(rr_book: tuple[Any, Any]) -> None:
    section = rr_section(tear_sheet(*rr_book), "Lags, costs, capacity")
    assert "--stress" in section.blocks[0].text  # type: ignore[union-attr]


def test_the_console_says_what_the_result_is_worth(
    rr_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["equity", "backtest", "baseline", "--alpha", ALPHA, "--db", str(rr_db), "--set", "top_n=12"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--factors", str(tmp_path / "none.csv")])
    assert left.value.code == 2
    assert "--report" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main([*words, "--save-as", "rr_console"])
    assert not left.value.code
    assert "The confidence that its true Sharpe ratio is above 0 is" in capsys.readouterr().out
