"""Two universes side by side, against plain counts, stored backtests and statsmodels."""

from __future__ import annotations

import datetime as dt
import json
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
TABLES = "feat_price_action", "feat_adv", "feat_vol_sizing", "feat_beta"


def small(*overrides: str) -> Settings:
    return load(overrides=["top_n=8", *overrides], strategies=["baseline"])


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Seventy tickers over two years: point in time in main, the static list, and main as it was earlier."""
    folder = tmp_path_factory.mktemp("comparison") / "vendor"
    simulate(folder, tickers=70, years=2, seed=5, format="parquet")
    made = built(folder, TABLES)
    made.build(*TABLES, into="option_b", overrides=OPTION_B)
    made.build(*TABLES, into="earlier", as_of=AS_OF)
    return made


def look(market: Built, other: str = "option_b", *overrides: str, **options: Any) -> UniverseComparison:
    return compare(market.db, "main", other, alpha=ALPHA, settings=small(*overrides), **options)


@pytest.fixture(scope="module")
def found(market: Built) -> UniverseComparison:
    return look(market)


@pytest.fixture(scope="module")
def earlier(market: Built) -> UniverseComparison:
    return look(market, "earlier")


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
def test_members_of_every_session(
    market: Built, other: str, found: UniverseComparison, earlier: UniverseComparison
) -> None:
    overlap = (found if other == "option_b" else earlier).overlap
    plain = common(market, other)
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
def test_names_and_how_they_ended(
    market: Built, other: str, found: UniverseComparison, earlier: UniverseComparison
) -> None:
    result, plain = found if other == "option_b" else earlier, plain_names(market, other)
    assert result.both.ends == plain[True, True]
    assert result.only_one.ends == plain.get((True, False), {})
    assert result.only_other.ends == plain.get((False, True), {})


def test_only_the_point_in_time_universe_has_the_failures(found: UniverseComparison) -> None:
    gone, kept = found.only_one, found.both + found.only_other
    bad = [n for reason, n in gone.ends.items() if reason.startswith(("bankruptcy", "regulatory"))]
    assert gone.failed == sum(bad) > 0
    assert gone.delisted == gone.ever - gone.ends.get("still listed", 0) >= gone.failed
    assert not {"bankruptcyliquidation", "regulatorydelisting"} & kept.ends.keys()


def test_without_actions_a_failure_is_not_known_rather_than_none() -> None:
    ends = {"unknown": 3, "still listed": 2}
    assert Names(ends, told=False).failed is None
    assert Names(ends, told=True).failed == 0
    more = Names(ends, told=True) + Names({"unknown": 1, "bankruptcyliquidation": 2}, told=True)
    assert (more.ever, more.delisted, more.failed) == (8, 6, 2)


def stored(market: Built, namespace: str, start: dt.date | None = None) -> pa.Table:
    """Daily results of the command that stores them."""
    overrides = [f"equity.backtest.start={start}"] if start else []
    options = {"settings": small(*overrides), "namespace": namespace, "save_as": "plain"}
    backtest(market.db, ["baseline"], alpha=ALPHA, **options)  # type: ignore[arg-type]
    return market.snapshot().read("backtest_results_plain", namespace=namespace)


def test_both_backtests_cover_the_same_sessions(market: Built, found: UniverseComparison) -> None:
    main_alone, alone = stored(market, "main"), stored(market, "option_b")
    assert alone["date"][0].as_py() < main_alone["date"][0].as_py()  # a static list needs no sixty sessions
    begin = found.results[0].simulation.decisions[0]
    start = found.results[0].simulation.market.frame.sessions[begin].item()
    for rows, result in zip((main_alone, stored(market, "option_b", start)), found.results, strict=True):
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
        (0.01 + np.tile([0.001, -0.001], 100), "option_b earned +252.0% a year against main"),
        (0.01 + np.tile([0.001, -0.001], 100), "more than luck explains"),
        (np.sin(np.arange(201.0)), "not to be told from luck"),
        (np.zeros(200), "option_b earned the same as main on every session"),
        (np.array([0.01, 0.02, -0.01]), "3 sessions are too few"),
    ],
)
def test_verdict(found: UniverseComparison, daily: np.ndarray[Any, Any], words: str) -> None:
    assert words in replace(found, difference=mean_test(daily, 5)).verdict


def test_against_what_was_known_earlier_nothing_differs(earlier: UniverseComparison) -> None:
    """A build as of a date ends there; the backtest of the whole is cut there too, and is the same."""
    ends = {result.dates[-1] for result in earlier.results} | {earlier.overlap.dates[-1]}
    assert ends == {np.datetime64(AS_OF)}
    assert earlier.verdict == "earlier earned the same as main on every session."
    assert earlier.only_one.ever == earlier.only_other.ever == 0


def test_sign_strategy_and_dates_are_obeyed(market: Built, found: UniverseComparison) -> None:
    before = Store(market.db).snapshot().id
    days = "equity.backtest.start=2016-06-01", "equity.backtest.end=2016-08-31"
    turned = look(market, "option_b", *days, lower_is_better=True, strategy="risk1")
    result = turned.results[0]
    assert dt.date(2016, 6, 1) < result.dates[0].item() < dt.date(2016, 6, 9)
    assert result.dates[-1].item() == dt.date(2016, 8, 31)
    assert (result.strategy.name, result.lower_is_better) == ("risk1", True)
    assert (found.results[0].strategy.name, found.results[0].lower_is_better) == ("baseline", False)
    assert Store(market.db).snapshot().id == before  # nothing is stored


def made_before(folder: Path, *tables: str, lacks: int) -> tuple[Built, Market]:
    """A namespace built from older data than main, which had all sessions but one."""
    market = Market(folder / "vendor", 80)
    for i in range(9):
        market.add(f"T{i}", walk(market, i))
    rows = market.sep
    market.sep = [row for row in rows if row[1] != market.days[lacks]]
    made = market.build("sessions")
    made.build(*tables, into="older")
    market.sep = rows
    ingest([market.write()], made.db, settings=made.settings)
    made.build(*tables)
    return made, market


def test_older_data_are_a_warning(tmp_path: Path) -> None:
    made, market = made_before(tmp_path, *TABLES, lacks=79)
    result = look(made, "older")
    assert result.warnings[0].startswith("main and older were made from different states of sep_base: part")
    assert result.both.failed is None  # no actions are loaded
    assert result.overlap.dates[-1].item() == result.results[0].dates[-1].item() == market.days[78]


def test_other_sessions_are_an_error(tmp_path: Path) -> None:
    made, market = made_before(tmp_path, "sep_base_academic", lacks=50)
    message = f"main and older differ in 1 sessions up to {market.days[79]}, the first is {market.days[50]}"
    with pytest.raises(InputError, match=message):
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
    with pytest.raises(InputError, match=r"namespace .* has no table"):
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
