"""The look-ahead audit of the equity desk: clean tables pass, each kind of planted leak is named."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from kairos.audit import Audit, Verdict
from kairos.audit.equity import lookahead
from kairos.audit.equity_compare import Comparison, compare
from kairos.audit.equity_decisions import Decided, differences, knows_future
from kairos.audit.equity_inputs import Alteration, write_inputs
from kairos.audit.equity_tables import in_sample
from kairos.audit.findings import Trial
from kairos.cli import main
from kairos.equity import build, registry
from kairos.equity.context import Context, open_store
from kairos.equity.declare import BaseTable, Column, DateTable, Declaration, FeatureTable, Params, Scope
from kairos.equity.ingest import ingest
from kairos.errors import InputError
from kairos.panel import lag, returns
from kairos.settings import Settings, load
from kairos.simulate.equity import simulate
from kairos.store import Store

FIXED = ["run.memory_limit=1GB", "run.workers=1"]


def feature(name: str, inputs: tuple[str, ...], compute: Any, **more: Any) -> FeatureTable:
    return FeatureTable(
        name=name,
        doc="Planted.",
        inputs=inputs,
        columns=lambda _: (Column(name.removeprefix("feat_"), "planted"),),
        history=lambda _, __: 21,
        scope=Scope.TICKER,
        compute=compute,
        **more,
    )


def future_mean(x: Any, _: Params) -> Mapping[str, Any]:
    """The mean return of the next five sessions, undeclared."""
    r = returns(x["closeadj"])
    ahead = [np.vstack([r[k:], np.full((k, r.shape[1]), np.nan)]) for k in range(1, 6)]
    return {"future_mean": np.mean(ahead, axis=0)}


def whole_quantile(x: Any, _: Params) -> Mapping[str, Any]:
    """A close against the quantile of the whole sample."""
    close = x["closeadj"]
    return {"whole_quantile": close / np.nanquantile(close, 0.5, axis=0)}


def target_inside(x: Any, _: Params) -> Mapping[str, Any]:
    return {"target_inside": 0.5 * x["ret_5d_f"]}


def ends_badly(x: Any, _: Params) -> Mapping[str, Any]:
    """Whether the ticker is delisted at some time."""
    flag = np.asarray(x["isdelisted"], dtype=np.float64)
    return {"ends_badly": np.where(np.isfinite(x["closeadj"]), flag, np.nan)}


def honest(x: Any, _: Params) -> Mapping[str, Any]:
    return {"honest": x["closeadj"] / lag(x["closeadj"], 1) - 1.0}


def split_level(x: Any, _: Params) -> Mapping[str, Any]:
    """Low-priced names: on today's split basis, which knows the splits that came later."""
    return {"split_level": 1.0 / x["close"]}


def same_day(context: Context, _: Params, __: Any) -> Iterator[pa.Table]:
    """A filing on the day on which it is made, as if it came before the close."""
    with context.connect("sf1", "sessions") as con:
        yield con.sql(
            "SELECT ticker, s.date, max(netinc) AS filed_netinc FROM sf1 JOIN sessions s ON s.date = datekey "
            "WHERE dimension = 'ARQ' GROUP BY ALL ORDER BY ticker, date"
        ).to_arrow_table()


def members_of_today(x: Any, _: Params) -> Mapping[str, Any]:
    """An equal-weight market of those who are members at the end of the session."""
    r = np.where(x.members, returns(x["closeadj"]), np.nan)
    known = np.isfinite(r).any(axis=1)
    return {"market_of_today": np.where(known, np.nanmean(np.where(known[:, None], r, 0.0), axis=1), np.nan)}


def long_memory(x: Any, _: Params) -> Mapping[str, Any]:
    """The return of a quarter, although a month of history is declared."""
    return {"long_memory": x["closeadj"] / lag(x["closeadj"], 63) - 1.0}


def weighted_today(x: Any, _: Params) -> Mapping[str, Any]:
    """A market weighted by what members trade, known after the close, over the returns up to it."""
    r, size = returns(x["closeadj"]), x["universe.adv_60"]
    known = np.isfinite(r) & np.isfinite(size)
    total = np.where(known, size, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return {"weighted_today": np.where(known, r * size, 0.0).sum(axis=1) / total}


PLANTED: tuple[Declaration, ...] = (
    feature("feat_long_memory", ("sep_base_academic.closeadj",), long_memory),
    DateTable(
        name="weighted_today",
        doc="Planted.",
        inputs=("sep_base_academic.closeadj", "universe.adv_60"),
        columns=lambda _: (Column("weighted_today", "planted", dtype="DOUBLE"),),
        history=lambda _, __: 2,
        measure=weighted_today,
    ),
    feature("feat_future_mean", ("sep_base_academic.closeadj",), future_mean),
    feature("feat_whole_quantile", ("sep_base_academic.closeadj",), whole_quantile),
    feature("feat_target_inside", ("feat_targets.ret_5d_f",), target_inside),
    feature("feat_ends_badly", ("sep_base_academic.closeadj", "tickers.isdelisted"), ends_badly),
    feature("feat_split_level", ("sep_base_academic.close",), split_level),
    feature("feat_honest", ("sep_base_academic.closeadj",), honest),
    BaseTable(
        name="same_day_filings",
        doc="Planted.",
        inputs=("sf1", "sessions.session"),
        columns=lambda _: (Column("filed_netinc", "planted", dtype="DOUBLE"),),
        key=("ticker", "date"),
        make=same_day,
    ),
    DateTable(
        name="market_of_today",
        doc="Planted.",
        inputs=("sep_base_academic.closeadj", "sep_base_academic.member"),
        columns=lambda _: (Column("market_of_today", "planted", dtype="DOUBLE"),),
        history=lambda _, __: 2,
        measure=members_of_today,
    ),
)

LEAKS = {
    "feat_future_mean.future_mean": {Trial.CUT, Trial.FUTURE},
    "feat_whole_quantile.whole_quantile": {Trial.CUT, Trial.FUTURE, Trial.START},
    "feat_target_inside.target_inside": {Trial.CUT, Trial.FUTURE},
    "feat_ends_badly.ends_badly": {Trial.CUT, Trial.FUTURE},
    "feat_split_level.split_level": {Trial.SPLIT},
    "same_day_filings.filed_netinc": {Trial.CUT, Trial.FUTURE},
    "market_of_today.market_of_today": {Trial.MEMBERS},
    "weighted_today.weighted_today": {Trial.MEMBERS},
    "feat_long_memory.long_memory": {Trial.START},
}
"""Which trials show each of them, by what they do."""


@dataclass(frozen=True)
class World:
    """A store, with its settings."""

    db: Path
    settings: Settings


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "vendor"
    simulate(folder, tickers=40, years=2, seed=9, format="parquet")
    return folder


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def planted(
    vendor: Path, tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch
) -> Iterator[Audit]:
    """The audit of the planted tables."""
    found = {**registry.found(), **{table.name: table for table in PLANTED}}
    patched.setattr(registry, "found", lambda: found)
    registry._declarations.cache_clear()
    db, settings, names = (
        tmp_path_factory.mktemp("planted") / "k.duckdb",
        load(overrides=FIXED),
        [table.name for table in PLANTED],
    )
    ingest([vendor], db, settings=settings)
    build(db, names, settings=settings)
    yield lookahead(db, settings=settings, cuts=1, seed=4, tables=names)
    patched.undo()
    registry._declarations.cache_clear()


def test_every_planted_leak_is_named_and_nothing_else(planted: Audit) -> None:
    assert {f"{line.table}.{line.column}" for line in planted.leaks} == set(LEAKS)
    assert not any(line.verdict is Verdict.UNTESTED for line in planted.lines)


@pytest.mark.parametrize("name", LEAKS)
def test_the_trials_that_can_show_a_leak_show_it(planted: Audit, name: str) -> None:
    table, column = name.split(".")
    shown = {d.kind for d in planted.differences if (d.table, d.column) == (table, column) and d.beyond}
    assert shown == LEAKS[name]


def test_the_first_offence_says_when_and_who(planted: Audit) -> None:
    """A mean over the next five sessions can't be known on the last five before a cut, and before it can."""
    found = {d.column: d for d in planted.differences if d.kind is Trial.CUT and d.beyond}
    first = found["future_mean"].first
    assert first is not None
    assert first.name
    assert (first.other == "missing") != (first.whole == "missing")
    cut = dt.date.fromisoformat(first.trial.removeprefix("cut "))
    assert 0 <= np.busday_count(dt.date.fromisoformat(first.date), cut) <= 6
    quantile = found["whole_quantile"]
    assert quantile.worst > 0.0
    assert quantile.first is not None
    assert quantile.first.date < first.date


@pytest.fixture(scope="module")
def world(vendor: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    db, settings = tmp_path_factory.mktemp("clean") / "k.duckdb", load(overrides=FIXED)
    ingest([vendor], db, settings=settings)
    tables = ["feat_price_action", "feat_adv", "feat_beta", "feat_vol_sizing", "regime_history_academic"]
    build(db, tables, settings=settings)
    return World(db, settings)


@pytest.mark.slow
def test_the_shipped_tables_and_decisions_are_clean(tmp_path: Path) -> None:
    """Two cuts, two futures, a later start, a later split: every table, and decisions of all kinds."""
    simulate(tmp_path / "vendor", tickers=150, years=4, seed=3, format="parquet")
    db, settings = tmp_path / "k.duckdb", load(overrides=["run.memory_limit=2GB", "run.workers=2"])
    ingest([tmp_path / "vendor"], db, settings=settings)
    build(db, settings=settings)
    names = ("baseline", "risk4", "ls", "ls_opt", "regime_switching")
    audit = lookahead(db, settings=settings, cuts=2, strategies=names)
    assert audit.leaks == []
    tables = {line.table for line in audit.lines if line.compared}
    stored = {table.name for table in registry.tables(settings)}
    assembled = {"feat_matrix", "feat_matrix_v2", "feat_matrix_all", "sep_base_expanded"}
    assert tables == (stored - assembled - {"option_b"}) | {f"decisions.{name}" for name in names}
    assert {line.table for line in audit.lines if line.verdict is Verdict.IN_SAMPLE} == {
        "option_b", "sep_base_expanded"
    }  # fmt: skip
    assert audit.compared > 1_000_000


@pytest.mark.slow
def test_what_is_in_sample_by_declaration_is_a_notice(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A regime of the whole sample is no leak, nor is what is made of it."""
    whole = ["equity.tables.regime_history_academic.lookback='full_sample'"]
    settings = load(overrides=[*FIXED, *whole])
    build(world.db, ["regime_history_academic"], settings=settings, into="labelled")
    found = lookahead(
        world.db, settings=settings, cuts=1, tables=["regime_history_academic"], namespace="labelled"
    )
    assert found.leaks == []
    shown = {line.column: line for line in found.lines if line.table == "regime_history_academic"}
    assert {line.verdict for line in shown.values()} == {Verdict.IN_SAMPLE}
    assert shown["vol_regime"].beyond
    assert "whole sample" in shown["vol_regime"].note


@pytest.mark.slow
def test_the_command_prints_writes_and_leaves_with_its_code(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "audit.html"
    command = ["audit", "lookahead", "equity", "--db", str(world.db), "--cuts", "1"]
    command += ["--table", "feat_price_action"]
    sets = [word for pair in FIXED for word in ("--set", pair)]
    with pytest.raises(SystemExit) as left:
        main([*command, *sets, "--report", str(report), "--json"])
    assert left.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["leaks"] == 0
    assert {column["table"] for column in printed["columns"]} >= {"feat_price_action", "universe"}
    assert "Look-ahead audit" in report.read_text(encoding="utf-8")


def test_stale_tables_and_odd_numbers_are_refused(world: World) -> None:
    with pytest.raises(InputError, match="stale; run `kairos equity build` first"):
        lookahead(world.db, settings=load(overrides=[*FIXED, "equity.universe.min_price=7.0"]), cuts=1)
    with pytest.raises(InputError, match="--cuts 0"):
        lookahead(world.db, settings=world.settings, cuts=0)


def test_a_cut_takes_what_is_known_later_and_nothing_else(world: World, tmp_path: Path) -> None:
    moment = dt.date(2016, 6, 1)
    context = Context(open_store(world.db, world.settings).snapshot(), world.settings)
    store = Store(tmp_path / "cut.duckdb")
    write_inputs(context, store, Alteration(Trial.CUT, moment))
    with store.snapshot().connect() as con, context.snapshot.connect() as old:
        newest = {
            "sep": "max(date)", "sep_base": "max(date)", "daily": "max(date)", "sf1": "max(datekey)",
            "sf2": "max(filingdate)", "sf3": "max(calendardate)", "actions": "max(date)",
        }  # fmt: skip
        last = {name: con.sql(f"SELECT {what} FROM {name}").fetchall()[0][0] for name, what in newest.items()}
        kept = con.sql("SELECT count(*) FROM sep").fetchall()
        want = old.sql(f"SELECT count(*) FROM sep WHERE date <= DATE '{moment}'").fetchall()
        flagged = con.sql(
            "SELECT count(*) FROM tickers WHERE isdelisted AND lastpricedate >= ?", params=[moment]
        )
        assert flagged.fetchall() == [(0,)]
    assert kept == want
    assert last["sep"] == last["sep_base"] == moment
    assert max(last["daily"], last["sf1"], last["sf2"]) < moment
    assert last["sf3"] == dt.date(2016, 3, 31)


@pytest.mark.parametrize(
    ("a", "b", "rounding", "beyond", "worst"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, 0, 0.0),
        ([1.0, 2.0], [1.0, 2.0000002], 1, 0, 0.0),
        ([1.0, 2.0], [1.0, 2.001], 0, 1, 0.001),
        ([1.0, None], [1.0, None], 0, 0, 0.0),
        ([1.0, None], [1.0, 3.0], 0, 1, math.nan),
        ([1.0, 2.0], [1.0], 0, 1, math.nan),
    ],
)
def test_differences_are_counted(
    tmp_path: Path, a: list[float | None], b: list[float | None], rounding: int, beyond: int, worst: float
) -> None:
    stores = []
    for name, values in (("a", a), ("b", b)):
        days = [dt.date(2020, 1, 1 + i) for i in range(len(values))]
        rows = pa.table({"date": days, "x": pa.array(values, pa.float32())})
        store = Store(tmp_path / name / "k.duckdb")
        with store.publish() as tx:
            stores.append(tx.put("series", [rows], key=("date",)))
    with duckdb.connect() as con:
        (found,) = compare(con, *stores, Comparison(["x"], "true"), Trial.CUT, "cut")
    nowhere = sum(one is None and two is None for one, two in zip(a, b, strict=False))
    assert (found.compared, found.rounding, found.beyond) == (2 - nowhere, rounding, beyond)
    assert found.worst == pytest.approx(worst, rel=1e-3, nan_ok=True)
    assert (found.first is None) == (beyond == 0)


def test_a_table_without_prices_is_audited_by_itself(world: World) -> None:
    found = lookahead(world.db, settings=world.settings, cuts=1, tables=["universe"])
    assert found.leaks == []
    assert {line.table for line in found.lines if line.compared} >= {"universe", "listings"}


def decided(weight: float, scale: float = 1.0) -> dict[str, Decided]:
    days = [dt.date(2020, 1, day) for day in (2, 9, 16)]
    weights = {day: {"A": 0.5, "B": weight if day == days[1] else 0.5} for day in days}
    return {"mine": Decided(weights, dict.fromkeys(days, scale), dict.fromkeys(days, 0.01))}


@pytest.mark.parametrize(
    ("other", "moment", "leaking"),
    [
        (decided(0.5), 16, set()),
        (decided(0.5 + 1e-9), 16, set()),
        (decided(0.4), 16, {"weight"}),
        (decided(0.4), 8, set()),
        (decided(0.5, 0.9), 16, {"scale"}),
        ({"mine": Decided({}, {}, {})}, 16, {"weight", "scale", "return"}),
    ],
)
def test_another_decision_before_the_moment_is_a_leak(
    other: dict[str, Decided], moment: int, leaking: set[str]
) -> None:
    found = differences(decided(0.5), other, Alteration(Trial.CUT, dt.date(2020, 1, moment)))
    assert {d.column for d in found if d.beyond} == leaking
    assert all(d.table == "decisions.mine" and d.compared for d in found)
    if leaking == {"weight"}:
        first = next(d.first for d in found if d.first)
        assert (first.date, first.name, first.whole, first.other) == ("2020-01-09", "B", "0.5", "0.4")


WHOLE_SAMPLE = ["equity.backtest.volatility.estimate='full_sample'", "equity.strategies.{}.target_vol=0.1"]


@pytest.mark.parametrize(
    ("overrides", "strategy", "marked"),
    [
        ([], "risk4", set()),
        (["equity.backtest.lag=0"], "risk4", set()),
        (["equity.backtest.manual.per_rebalance=true"], "baseline", set()),
        (["equity.backtest.compat_manual=true"], "baseline", {"*"}),
        (["equity.backtest.manual.missing_target=true"], "baseline", {"*"}),
        (WHOLE_SAMPLE, "risk1", {"scale", "return"}),
        (WHOLE_SAMPLE, "risk4", {"weight", "scale", "return"}),
        (["equity.universe.mode='option_b'"], "risk4", {"*"}),
    ],
)
def test_what_decisions_know_by_configuration(
    world: World, overrides: list[str], strategy: str, marked: set[str]
) -> None:
    settings = load(overrides=[*FIXED, *(each.format(strategy) for each in overrides)])
    context = Context(open_store(world.db, settings).snapshot(), settings)
    known = knows_future(context, [strategy], "feat_price_action.ret_21d", in_sample(context))
    assert {column for _, column in known} == marked
    assert {table for table, _ in known} <= {f"decisions.{strategy}"}
