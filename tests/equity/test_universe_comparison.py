"""Two universes side by side, against plain counts, stored backtests and statsmodels."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from statsmodels.api import OLS
from tables_market import Built, Market, built, walk

from kairos.cli import main
from kairos.equity.backtest import backtest
from kairos.equity.ingest import ingest
from kairos.equity.universe_comparison import LABELS, Names, UniverseComparison, compare
from kairos.equity.universe_page import universe_page
from kairos.errors import InputError
from kairos.evaluation.significance import mean_test
from kairos.settings import Settings, load
from kairos.simulate.equity import simulate
from kairos.store import Store

ALPHA = "ret_5d"
OPTION_B = ("equity.universe.mode=option_b",)
AS_OF = dt.date(2016, 9, 30)


def small(*overrides: str) -> Settings:
    return load(overrides=["top_n=8", *overrides], strategies=["baseline"])


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Seventy tickers over two years: point in time in main, the static list, and main as it was earlier."""
    folder = tmp_path_factory.mktemp("comparison") / "vendor"
    simulate(folder, tickers=70, years=2, seed=5, format="parquet")
    made = built(folder)
    made.build(into="option_b", overrides=OPTION_B)
    made.build(into="earlier", as_of=AS_OF)
    return made


def look(market: Built, other: str = "option_b", *overrides: str, **options: Any) -> UniverseComparison:
    return compare(market.db, "main", other, alpha=ALPHA, settings=small(*overrides), **options)


@pytest.fixture(scope="module")
def found(market: Built) -> UniverseComparison:
    return look(market)


def members(market: Built, namespace: str) -> dict[dt.date, set[str]]:
    """Tickers by session, from the stored rows."""
    days: dict[dt.date, set[str]] = {}
    rows = market.snapshot().read("universe", ["ticker", "date"], namespace).to_pydict()
    for ticker, day in zip(rows["ticker"], rows["date"], strict=True):
        days.setdefault(day, set()).add(ticker)
    return days


def common(market: Built, other: str) -> list[tuple[dt.date, set[str], set[str]]]:
    """Session, members of main and of the other, from the later beginning to the earlier end."""
    mine, its = members(market, "main"), members(market, other)
    begin, end = max(min(mine), min(its)), min(max(mine), max(its))
    days = sorted(day for day in mine.keys() | its.keys() if begin <= day <= end)
    return [(day, mine.get(day, set()), its.get(day, set())) for day in days]


@pytest.mark.parametrize("other", ["option_b", "earlier"])
def test_members_of_every_session(market: Built, other: str) -> None:
    overlap, plain = look(market, other).overlap, common(market, other)
    assert overlap.dates.tolist() == [day for day, _, _ in plain]
    assert overlap.one.tolist() == [len(a) for _, a, _ in plain]
    assert overlap.other.tolist() == [len(b) for _, _, b in plain]
    assert overlap.both.tolist() == [len(a & b) for _, a, b in plain]
    assert overlap.shared.tolist() == pytest.approx([len(a & b) / len(a | b) for _, a, b in plain])
    same = [a == b for _, a, b in plain]
    assert all(same) if other == "earlier" else not any(same)  # nothing known later makes a member


def test_averages_by_year(market: Built, found: UniverseComparison) -> None:
    plain = common(market, "option_b")
    years = found.overlap.years()
    assert list(years) == sorted({day.year for day, _, _ in plain})
    for year, means in years.items():
        rows = [(a, b) for day, a, b in plain if day.year == year]
        wanted = {
            "one": [len(a) for a, b in rows],
            "other": [len(b) for a, b in rows],
            "both": [len(a & b) for a, b in rows],
            "only_one": [len(a - b) for a, b in rows],
            "only_other": [len(b - a) for a, b in rows],
            "shared": [len(a & b) / len(a | b) for a, b in rows],
        }
        assert means == pytest.approx({name: sum(n) / len(n) for name, n in wanted.items()})


def plain_names(market: Built, other: str) -> dict[tuple[bool, bool], dict[str, int]]:
    """Number of listings by (member of main, of the other) and reason, by going through every session."""
    reasons: dict[str, dict[tuple[str, int], str | None]] = {}
    spans: dict[str, list[tuple[str, int, dt.date, dt.date]]] = {}
    for space in ("main", other):
        rows = market.snapshot().read("listings", namespace=space).to_pylist()
        spans[space] = [(r["ticker"], r["listing"], r["first"], r["last"]) for r in rows]
        reasons[space] = {(r["ticker"], r["listing"]): r["reason"] for r in rows}
    plain = common(market, other)
    ever = {}
    for space, side in (("main", 1), (other, 2)):
        ever[space] = {
            (ticker, listing)
            for ticker, listing, first, last in spans[space]
            if any(ticker in row[side] for row in plain if first <= row[0] <= last)
        }
    counts: dict[tuple[bool, bool], dict[str, int]] = {}
    for name in ever["main"] | ever[other]:
        where = name in ever["main"], name in ever[other]
        reason = reasons["main"].get(name) or reasons[other].get(name) or "still listed"
        counts.setdefault(where, {}).setdefault(reason, 0)
        counts[where][reason] += 1
    return counts


@pytest.mark.parametrize("other", ["option_b", "earlier"])
def test_names_and_how_they_ended(market: Built, other: str) -> None:
    result, plain = look(market, other), plain_names(market, other)
    assert result.both.ends == plain[True, True]
    assert result.only_one.ends == plain.get((True, False), {})
    assert result.only_other.ends == plain.get((False, True), {})


def test_only_the_point_in_time_universe_has_the_failures(found: UniverseComparison) -> None:
    gone = found.only_one
    bad = [n for reason, n in gone.ends.items() if reason.startswith(("bankruptcy", "regulatory"))]
    assert gone.failed == sum(bad) > 0
    assert gone.delisted == gone.ever - gone.ends.get("still listed", 0) >= gone.failed
    assert found.both.failed == 0


def test_what_is_not_known_of_an_end_is_not_zero() -> None:
    assert Names({"unknown": 3, "still listed": 2}).failed is None
    assert Names({"unknown": 3, "acquisitionby": 1}).failed == 0
    assert Names({"still listed": 2}).failed == 0
    more = Names({"unknown": 3}) + Names({"unknown": 1, "bankruptcyliquidation": 2})
    assert (more.ever, more.delisted, more.failed) == (6, 6, 2)


def stored(market: Built, namespace: str, start: dt.date | None = None) -> pa.Table:
    """Daily results of the command that stores them."""
    overrides = [f"equity.backtest.start={start}"] if start else []
    options = {"settings": small(*overrides), "namespace": namespace, "save_as": "plain"}
    backtest(market.db, ["baseline"], alpha=ALPHA, **options)  # type: ignore[arg-type]
    return market.snapshot().read("backtest_results_plain", namespace=namespace)


def test_both_backtests_cover_the_same_sessions(market: Built, found: UniverseComparison) -> None:
    alone = {space: stored(market, space)["date"][0].as_py() for space in ("main", "option_b")}
    assert alone["option_b"] < alone["main"]  # the static list has members before sixty sessions are known
    assert found.results[0].dates[0].item() == alone["main"]
    decision = found.results[0].simulation.decisions[0]
    start = found.results[0].simulation.market.frame.sessions[decision].item()
    for space, result in zip(("main", "option_b"), found.results, strict=True):
        rows = stored(market, space, start)
        assert rows["date"].to_pylist() == result.dates.tolist()
        assert rows["port_ret"].to_pylist() == result.ret.tolist()
        assert rows["bench_ret"].to_pylist() == result.bench.tolist()


def test_numbers_side_by_side(found: UniverseComparison) -> None:
    headline = found.headline()
    for i, result in enumerate(found.results):
        r, bench = result.ret, result.bench
        growth = np.concatenate([[1.0], np.cumprod(1 + r)])
        wanted = {
            "annual_return": growth[-1] ** (252 / len(r)) - 1,
            "sharpe": r.mean() / r.std(ddof=1) * 252**0.5,
            "max_drawdown": (growth / np.maximum.accumulate(growth)).min() - 1,
            "benchmark_return": np.prod(1 + bench) ** (252 / len(r)) - 1,
            "active_return": (r - bench).mean() * 252,
        }
        assert {name: headline[name][i] for name in wanted} == pytest.approx(wanted)
    assert list(headline) == list(LABELS)
    assert all(difference == other - one for one, other, difference in headline.values())


def test_error_of_the_difference(found: UniverseComparison) -> None:
    daily = found.results[1].ret - found.results[0].ret
    fit = OLS(daily, np.ones(len(daily))).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": True})
    assert found.difference.mean == pytest.approx(fit.params[0])
    assert found.difference.se == pytest.approx(fit.bse[0])
    assert found.difference.p == pytest.approx(fit.pvalues[0])


@pytest.mark.parametrize(
    ("daily", "words"),
    [
        (0.01 + 0.001 * np.sin(np.arange(200.0)), "option_b earned +252.0% a year against main"),
        (0.01 + 0.001 * np.sin(np.arange(200.0)), "more than luck explains"),
        (np.sin(np.arange(201.0)), "not to be told from luck"),
        (np.zeros(200), "option_b earned the same as main on every session"),
        (np.array([0.01, 0.02, -0.01]), "3 sessions are too few"),
    ],
)
def test_verdict(found: UniverseComparison, daily: np.ndarray[Any, Any], words: str) -> None:
    assert words in replace(found, difference=mean_test(daily, 5)).verdict


def test_against_what_was_known_earlier_nothing_differs(market: Built) -> None:
    """A build as of a date ends there; the backtest of the whole is cut there too, and is the same."""
    result = look(market, "earlier")
    ends = {r.dates[-1] for r in result.results} | {result.overlap.dates[-1]}
    assert ends == {np.datetime64(AS_OF)}
    assert result.verdict == "earlier earned the same as main on every session."
    assert result.only_one.ever == result.only_other.ever == 0


def test_sign_strategy_and_dates_are_obeyed(market: Built, found: UniverseComparison) -> None:
    days = "equity.backtest.start=2016-06-01", "equity.backtest.end=2016-08-31"
    turned = look(market, "option_b", *days, lower_is_better=True, strategy="risk1")
    result = turned.results[0]
    assert dt.date(2016, 6, 1) < result.dates[0].item() < dt.date(2016, 6, 9)
    assert result.dates[-1].item() == dt.date(2016, 8, 31)
    assert (result.strategy.name, result.lower_is_better) == ("risk1", True)
    assert (found.results[0].strategy.name, found.results[0].lower_is_better) == ("baseline", False)


def test_nothing_is_stored(market: Built) -> None:
    before = Store(market.db).snapshot().id
    look(market)
    assert Store(market.db).snapshot().id == before


def other_days(tmp_path: Path, change: Callable[[Market], None]) -> Built:
    """A namespace built from older data than main: `change` makes the market's newer data."""
    market = Market(tmp_path / "vendor", 80)
    for i in range(9):
        market.add(f"T{i}", walk(market, i))
    rows, last = market.sep, market.days[-1]
    market.sep = [row for row in rows if row[1] not in (market.days[50], last)]
    made = market.build()
    made.build(into="older")
    market.sep = rows
    change(market)
    ingest([market.write()], made.db, settings=made.settings)
    made.build()
    return made


def test_older_data_are_a_warning(tmp_path: Path) -> None:
    def without_the_hole(market: Market) -> None:
        market.sep = [row for row in market.sep if row[1] != market.days[50]]

    made = other_days(tmp_path, without_the_hole)
    result = look(made, "older")
    assert "main and older were made from different states of sep_base: part of" in result.warnings[0]
    assert result.overlap.dates[-1].item() == result.results[0].dates[-1].item()


def test_other_sessions_are_an_error(tmp_path: Path) -> None:
    made = other_days(tmp_path, lambda _: None)
    with pytest.raises(InputError, match="main and older differ in 1 sessions up to .*build both from the"):
        look(made, "older")


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("main", "main", "main and main are the same universe"),
        ("main", "nowhere", "nowhere has no table .*`kairos equity build --into nowhere`.*: earlier, main"),
        ("nowhere", "main", "namespace nowhere has no table sessions, listings, universe"),
    ],
)
def test_namespaces_that_cannot_be_compared(market: Built, one: str, other: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(market.db, one, other, alpha=ALPHA, settings=small())


def test_an_earlier_snapshot_has_only_one(market: Built) -> None:
    first = min(Store(market.db).snapshots(), key=lambda snap: (len(snap.tables), snap.id))
    with pytest.raises(InputError, match="namespace .* has no table"):
        look(market, snapshot=first.id)


def test_page_shows_the_numbers(found: UniverseComparison) -> None:
    page = universe_page(found, "equity compare-universes main option_b")
    text = page.render()
    assert "Survivorship bias: option_b is today&#39;s list" in text
    assert found.verdict in text
    one, other, difference = found.headline()["annual_return"]
    means = found.overlap.means()
    for number in (one, other, difference, means["shared"]):
        assert f"{abs(number):.1%}" in text
    assert [section.title for section in page.sections] == [
        "What the difference is worth",
        "Who is a member",
        "How the names ended",
        "How each is made",
    ]


def test_command(
    market: Built, found: UniverseComparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["equity", "compare-universes", "main", "option_b", "--alpha", ALPHA, "--db", str(market.db)]
    words += ["--set", "top_n=8"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert told["members"] == found.overlap.means()
    assert told["names"]["only_one"]["failed"] == found.only_one.failed
    assert told["backtest"]["sharpe"]["difference"] == found.headline()["sharpe"][2]
    assert (told["one"]["mode"], told["other"]["mode"]) == ("point_in_time", "option_b")
    report = tmp_path / "both.html"
    with pytest.raises(SystemExit):
        main([*words, "--report", str(report)])
    printed = capsys.readouterr()
    assert found.verdict in printed.out
    assert "Survivorship bias" in printed.err
    assert report.stat().st_size > 1e6
