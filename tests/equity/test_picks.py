"""Picks of a day: the backtest's weights, real holdings, whole lots within limits, and what is refused."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables_market import copied

from kairos.cli import main
from kairos.equity.backtest.compat import look_ahead
from kairos.equity.backtest.execute import run_strategy, strategies_of
from kairos.equity.backtest.limits import Rule
from kairos.equity.backtest.simulate import held_by
from kairos.equity.backtest.strategy import CrossSection, Desk, Target, select
from kairos.equity.build import build
from kairos.equity.live import picks
from kairos.equity.live.decision import check_tradable
from kairos.equity.live.lots import Rebalance
from kairos.equity.live.schedule import schedule_of
from kairos.errors import InputError
from kairos.market import next_session
from kairos.settings import load

ALPHA = "feat_price_action.ret_21d"
STRATEGIES = (
    "baseline", "risk1", "risk2", "risk3", "risk4", "ls", "ls_opt", "regime_switching", "short_only",
)  # fmt: skip
ROOM = (
    "equity.live.min_names=8",
    "equity.live.min_std=0.001",
    "equity.backtest.start=2017-05-01",
    "equity.strategies.baseline.top_n=9",
    "equity.strategies.risk1.top_n=12",
    "equity.strategies.risk2.max_name=0.25",
    "equity.strategies.risk2.max_sector=4.0",
    "equity.strategies.risk3.min_adv=0.0",
    "equity.strategies.ls.min_adv=0.0",
    "equity.strategies.ls.top_n=9",
    "equity.strategies.ls.bottom_n=9",
    "equity.strategies.ls.max_name=0.2",
    "equity.strategies.ls.max_sector=8.0",
    "equity.strategies.short_only.bottom_n=9",
)
"""Sixty tickers hold no seventy-five names of three per cent."""


READ = ("feat_price_action", "feat_adv", "feat_vol_sizing", "feat_beta", "regime_history_academic")
"""Tables of a decision on `ALPHA`."""


def configured(*overrides: str):
    return load(overrides=[*ROOM, *overrides])


def backtested(market, strategy, settings):
    """The table of weights of a backtest over all of the data, by the date of the decision."""
    result = run_strategy(market.context(settings=settings), settings.equity.strategy(strategy), ALPHA, True)
    found: dict[dt.date, dict[str, float]] = {}
    for row in result.fills().to_pylist():
        found.setdefault(row["decided"], {})[row["ticker"]] = row["target"]
    return found, result


def weights_of(found):
    rows = found.picks.to_pylist()
    return {row["ticker"]: row["weight"] for row in rows}


def choose(market, strategy, settings, **options):
    """Picks, by default on the evening of the last session."""
    last = market.context().sessions[-1].item()
    options.setdefault("now", dt.datetime.combine(last, dt.time(23), dt.UTC))
    return picks(market.db, strategy, alpha=ALPHA, lower_is_better=True, settings=settings, **options)


def prior_file(path: Path, rows, columns=("ticker", "shares")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


# The backtest's weights


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_weights_are_the_backtests(three_years, strategy):
    settings = configured()
    table, result = backtested(three_years, strategy, settings)
    decisions = sorted(table)
    scales = dict(zip(decisions, result.simulation.scales, strict=True))
    for date in (decisions[2], decisions[-4]):
        found = choose(three_years, strategy, settings, date=date)
        expected = {name: weight for name, weight in table[date].items() if weight}
        assert weights_of(found) == pytest.approx(expected, abs=1e-12)
        assert len(expected) > 5
        assert found.summary["scale"] == scales[date]
        assert found.summary["schedule"]["on_calendar"]
        following = [one["decision"] for one in found.summary["schedule"]["next"]]
        known = [str(day) for day in decisions[decisions.index(date) + 1 :]][: len(following)]
        assert following[: len(known)] == known
    if settings.equity.strategy(strategy).target_vol:
        assert scales[decisions[-4]] != 1.0


@pytest.mark.parametrize(
    "engine", ["lag=0", "lag=2", "rebalance_every=3", "rebalance_every=9", "capital=1e8"]
)
@pytest.mark.parametrize("strategy", ["risk4", "ls_opt"])
def test_weights_are_the_backtests_on_any_calendar(three_years, strategy, engine):
    settings = configured(f"equity.backtest.{engine}")
    table, _ = backtested(three_years, strategy, settings)
    date = sorted(table)[-3]
    expected = {name: weight for name, weight in table[date].items() if weight}
    assert weights_of(choose(three_years, strategy, settings, date=date)) == pytest.approx(
        expected, abs=1e-12
    )


def test_nothing_after_the_date_matters(three_years, tmp_path):
    """Tables that were made as if the date had been the last one give the same picks."""
    market = copied(three_years, tmp_path)
    settings = configured()
    sessions = market.context().sessions
    date = sessions[-50].item()
    build(market.db, READ, settings=settings, as_of=date, into="then")
    for strategy in ("risk4", "ls_opt", "regime_switching"):
        now = choose(market, strategy, settings, date=date)
        then = choose(market, strategy, settings, date=date, namespace="then")
        assert weights_of(now) == pytest.approx(weights_of(then), abs=1e-12)
        assert now.trades.select(["ticker", "action", "shares"]).equals(
            then.trades.select(["ticker", "action", "shares"])
        )


def test_a_day_between_two_decisions_decides_too(three_years):
    settings = configured()
    table, _ = backtested(three_years, "risk4", settings)
    between = three_years.context().sessions
    at = int(np.searchsorted(between, np.datetime64(sorted(table)[-5])))
    found = choose(three_years, "risk4", settings, date=between[at + 2].item())
    assert not found.summary["schedule"]["on_calendar"]
    assert found.summary["schedule"]["next"][0]["decision"] == str(sorted(table)[-4])
    assert any("no decision date" in note for note in found.summary["notes"])
    assert sum(weights_of(found).values()) == pytest.approx(found.summary["scale"])


def test_the_schedule_goes_on_behind_the_data():
    sessions = np.array(["2019-12-26", "2019-12-27", "2019-12-30", "2019-12-31"], dtype="datetime64[D]")
    plan = schedule_of(sessions, first=1, row=3, every=2, lag=1)
    assert plan.regular
    assert plan.fill == dt.date(2020, 1, 2)  # New Year's Day is none
    assert [str(decision) for decision, _ in plan.following] == [
        "2020-01-03", "2020-01-07", "2020-01-09", "2020-01-13",
    ]  # fmt: skip
    assert str(plan.following[0][1]) == "2020-01-06"


# Real holdings


def held_on(market, strategy, settings, date):
    """What a backtest's scaled book is worth at the close of a session, its trades paid, in USD by ticker."""
    result = run_strategy(market.context(settings=settings), settings.equity.strategy(strategy), ALPHA, True)
    row = int(np.searchsorted(market.context().sessions, np.datetime64(date)))
    names, weight = result.simulation.scaled.book[row]
    tickers = result.simulation.market.frame.tickers[names].tolist()
    capital = result.strategy.backtest.capital / (1.0 - result.simulation.scaled.cost[row])
    return {name: w * capital for name, w in zip(tickers, weight.tolist(), strict=True) if w}


@pytest.mark.parametrize(
    ("strategy", "unscaled"), [("risk4", "target_vol=0.0"), ("ls_opt", "volatility.max_leverage=1.0")]
)
def test_whoever_holds_the_simulated_book_gets_the_backtests_weights(
    three_years, strategy, unscaled, tmp_path
):
    """With a scale of 1 throughout, the raw book is the scaled one, and can be told from outside."""
    settings = configured(f"equity.strategies.{strategy}.{unscaled}")
    table, _ = backtested(three_years, strategy, settings)
    date = sorted(table)[-6]
    held = held_on(three_years, strategy, settings, date)
    prior = prior_file(tmp_path / "prior.csv", held.items(), ("ticker", "value"))
    found = choose(three_years, strategy, settings, date=date, prior=prior)
    expected = {name: weight for name, weight in table[date].items() if abs(weight) > 1e-7}
    got = {name: weight for name, weight in weights_of(found).items() if abs(weight) > 1e-7}
    assert got == pytest.approx(expected, abs=1e-6)
    other = prior_file(tmp_path / "none.csv", [("CASH", 1e7)])
    fresh = choose(three_years, strategy, settings, date=date, prior=other)
    assert weights_of(fresh) != pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("strategy", ["risk4", "ls", "ls_opt"])
def test_a_real_book_is_the_simulated_one_when_the_scale_moves(three_years, strategy, tmp_path):
    """With the default target and leverage: the real book is of the old scale, and has drifted.

    The capital is small, so that every order is filled in a session.
    """
    settings = configured("equity.backtest.capital=1e5")
    table, result = backtested(three_years, strategy, settings)
    scales, decisions = result.simulation.scales, sorted(table)
    moved = [i for i in range(len(scales) // 2, len(scales)) if abs(scales[i] / scales[i - 1] - 1.0) > 0.005]
    assert moved
    date = decisions[moved[-1]]
    held = held_on(three_years, strategy, settings, date)
    prior = prior_file(tmp_path / "prior.csv", held.items(), ("ticker", "value"))
    got = weights_of(choose(three_years, strategy, settings, date=date, prior=prior))
    expected = {name: weight for name, weight in table[date].items() if weight}
    assert got == pytest.approx(expected, abs=1e-12)


def test_trades_lead_from_the_holdings_to_the_picks(three_years, tmp_path):
    """Positions, cash and costs are counted again from the files."""
    settings = configured("equity.live.lot=10", "equity.live.min_trade=2000.0")
    date = three_years.context().sessions[-40].item()
    names = list(weights_of(choose(three_years, "risk4", settings, date=date)))
    shares = {names[0]: 5000.0, names[3]: 733.0, "CASH": 9_000_000.0}
    prices = three_years.read("sep_base_academic")
    prices = prices[prices["date"] == date]
    gone = next(ticker for ticker in prices["ticker"] if ticker not in names)
    shares[gone] = 1234.5
    prior = prior_file(tmp_path / "prior.csv", shares.items())
    found = choose(three_years, "risk4", settings, date=date, prior=prior, out=tmp_path / "out")
    with (tmp_path / "out" / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    with (tmp_path / "out" / "picks.csv").open() as file:
        wanted = {row["ticker"]: row for row in csv.DictReader(file)}
    summary = json.loads((tmp_path / "out" / "portfolio_summary.json").read_text())
    assert summary == found.summary
    price = dict(zip(prices["ticker"], prices["closeunadj"], strict=True))
    worth = 9_000_000.0 + sum(n * price[t] for t, n in shares.items() if t != "CASH")
    assert summary["capital"] == pytest.approx(worth)
    after = dict(shares)
    spent = 0.0
    for row in trades:
        sign = {"buy": 1, "cover": 1, "sell": -1, "short": -1}[row["action"]]
        after[row["ticker"]] = after.get(row["ticker"], 0.0) + sign * float(row["shares"])
        spent += sign * float(row["shares"]) * price[row["ticker"]]
        assert float(row["price"]) == price[row["ticker"]]
        assert float(row["trade_value"]) >= 2000.0
        assert row["ticker"] == gone or float(row["shares"]) % 10 == 0
        assert float(row["current_value"]) == pytest.approx(
            shares.get(row["ticker"], 0.0) * price[row["ticker"]]
        )
    for ticker, row in wanted.items():
        assert float(row["shares"]) == after[ticker]
        assert float(row["target_value"]) == pytest.approx(float(row["weight"]) * worth)
    costs = sum(float(row["estimated_cost"] or 0.0) for row in trades)
    assert summary["trading"]["cost_unknown"] == [r["ticker"] for r in trades if not r["estimated_cost"]]
    assert summary["cash"]["after"] == pytest.approx(9_000_000.0 - spent - costs)
    assert summary["trading"]["estimated_cost"] == pytest.approx(costs)
    assert after[gone] == 0.0 or float(wanted[gone]["shares"]) == after[gone]


def test_costs_are_the_simulators_formula(three_years):
    settings = configured()
    date = three_years.context().sessions[-40].item()
    found = choose(three_years, "baseline", settings, date=date)

    def on(table):
        rows = three_years.read(table)
        return rows[rows["date"] == date].set_index("ticker")

    adv, vol = on("feat_adv")["adv_20"], on("feat_vol_sizing")["vol_21"]
    checked = 0
    for row in found.trades.to_pylist():
        name, value = row["ticker"], row["trade_value"]
        impact = 0.7 * vol[name] * math.sqrt(value / adv[name])
        if np.isfinite(impact):
            assert row["estimated_cost"] == pytest.approx(value * (0.0005 + impact), rel=1e-6)
            checked += 1
    assert checked > 3


def test_large_trades_are_told_with_the_sessions_they_take(three_years):
    settings = configured("equity.backtest.capital=1e10")
    date = three_years.context().sessions[-40].item()
    found = choose(three_years, "baseline", settings, date=date)
    adv = dict(zip(found.picks["ticker"].to_pylist(), found.picks["adv_20"].to_pylist(), strict=True))
    value: dict[str, float] = {}
    for row in found.trades.to_pylist():
        value[row["ticker"]] = value.get(row["ticker"], 0.0) + row["trade_value"]
    slow = {one["ticker"]: one["sessions"] for one in found.summary["slow"]}
    expected = {t: math.ceil(v / (0.05 * adv[t])) for t, v in value.items() if t in adv and v > 0.05 * adv[t]}
    assert expected
    assert {t: n for t, n in slow.items() if t in adv} == expected


def test_what_was_delisted_is_paid_out(three_years, tmp_path):
    settings = configured()
    listings = three_years.read("listings")
    last = three_years.context().last_row
    ended = listings[(listings["ended"] == 1) & (listings["settled_session"] < last)]
    newest = ended[~ended["ticker"].isin(listings[listings["ended"] != 1]["ticker"])]
    prices = three_years.read("sep_base_academic")
    row = next(row for _, row in newest.iterrows() if row["ticker"] in set(prices["ticker"])
               and row["payout"] != 0.0)  # fmt: skip
    price = prices[prices["ticker"] == row["ticker"]]["closeunadj"].iloc[-1]
    prior = prior_file(tmp_path / "prior.csv", [(row["ticker"], 1000), ("CASH", 5e6)])
    found = choose(three_years, "baseline", settings, prior=prior)
    ((told),) = found.summary["prior"]["paid_out"]
    expected = 1000 * price * (1 + row["payout"])
    assert (told["ticker"], told["value"]) == (row["ticker"], pytest.approx(expected))
    assert found.summary["cash"]["before"] == pytest.approx(5e6 + expected)
    assert row["ticker"] not in found.trades["ticker"].to_pylist()


def test_a_mix_says_that_its_parts_go_by_their_simulated_books(three_years, tmp_path):
    settings = configured()
    date = three_years.context().sessions[-40].item()
    bare = choose(three_years, "regime_switching", settings, date=date)
    prior = prior_file(tmp_path / "prior.csv", [("CASH", 1e7)])
    found = choose(three_years, "regime_switching", settings, date=date, prior=prior)
    assert weights_of(found) == pytest.approx(weights_of(bare), abs=1e-12)
    assert found.summary["prior"]["decided_on"] == "simulated books of the parts"
    assert {row["action"] for row in found.trades.to_pylist()} <= {"buy", "short"}
    beta = three_years.read("feat_beta")
    unknown = beta[(beta["date"] == date) & beta["beta_252d"].isna()]["ticker"].iloc[0]
    held = prior_file(tmp_path / "held.csv", [(unknown, -50), ("CASH", 1e7)])
    found = choose(three_years, "regime_switching", settings, date=date, prior=held)
    assert found.summary["prior"]["sold_because_unknown"] == {}  # nothing is decided on the real book


def test_a_real_book_outside_the_limits_is_brought_within_them(three_years, tmp_path):
    """One name at 60 %, a short in a long-only book, the rest cash: turnover gives way, and is told."""
    settings = configured("equity.strategies.risk4.target_vol=0.0", "equity.backtest.costs.participation=0.0")
    date = three_years.context().sessions[-40].item()
    free = weights_of(choose(three_years, "risk4", settings, date=date))
    large, short = sorted(free)[:2]
    rows = [(large, 6e6), (short, -5e5), ("CASH", 4.5e6)]
    prior = prior_file(tmp_path / "prior.csv", rows, ("ticker", "value"))
    found = choose(three_years, "risk4", settings, date=date, prior=prior)
    weights = weights_of(found)
    assert found.summary["capital"] == pytest.approx(1e7)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-8)
    assert min(weights.values()) >= -1e-9
    assert max(weights.values()) <= 0.25 + 1e-8
    held = {large: 0.6, short: -0.05}
    moved = sum(abs(weights.get(n, 0.0) - held.get(n, 0.0)) for n in weights.keys() | held.keys())
    told = {limit["kind"]: limit for limit in found.summary["limits"]}
    assert told["turnover"]["value"] == pytest.approx(moved, abs=1e-7)
    assert [one["kind"] for one in found.summary["relaxed"]] == ["turnover"]


def test_a_regime_that_is_excluded_sells_everything(three_years, tmp_path):
    date = three_years.context().sessions[-40].item()
    now = choose(three_years, "baseline", configured(), date=date)
    others = sorted(
        set(three_years.read("regime_history_academic")["regime"].dropna()) - {now.summary["regime"]}
    )
    settings = configured(f"equity.strategies.baseline.regimes={json.dumps(others)}")
    name = now.picks["ticker"][0].as_py()
    prior = prior_file(tmp_path / "prior.csv", [(name, 50), ("CASH", 1e6)])
    found = choose(three_years, "baseline", settings, date=date, prior=prior)
    assert found.picks.num_rows == 0
    assert found.trades.select(["ticker", "action", "shares"]).to_pylist() == [
        {"ticker": name, "action": "sell", "shares": 50.0}
    ]


# Hard to borrow


@pytest.mark.parametrize("strategy", ["ls", "ls_opt", "short_only", "regime_switching"])
def test_nothing_on_the_list_is_shorted_anew(three_years, strategy, tmp_path):
    settings = configured()
    date = three_years.context().sessions[-40].item()
    free = weights_of(choose(three_years, strategy, settings, date=date))
    shorts = sorted((name for name in free if free[name] < 0), key=lambda name: free[name])[:3]
    assert shorts
    listed = prior_file(tmp_path / "list.csv", [[name] for name in shorts], ("ticker",))
    found = choose(three_years, strategy, settings, date=date, hard_to_borrow=listed)
    weights = weights_of(found)
    assert min(weights.get(name, 0.0) for name in shorts) >= -1e-9
    assert any(weight < 0 for weight in weights.values())
    if strategy in ("ls", "ls_opt"):
        assert sum(weights.values()) == pytest.approx(0.0, abs=1e-7)
    assert found.summary["hard_to_borrow"] == sorted(shorts)


def test_a_name_on_the_list_that_nobody_knows_is_told(three_years, tmp_path):
    listed = prior_file(tmp_path / "list.csv", [["nosuch"], ["NOSUCH2"]], ("ticker",))
    date = three_years.context().sessions[-40].item()
    found = choose(three_years, "ls", configured(), date=date, hard_to_borrow=listed)
    assert found.summary["hard_to_borrow_unknown"] == ["nosuch", "NOSUCH2"]
    assert any("2 tickers are in no table" in note and "nosuch" in note for note in found.summary["notes"])


def test_a_split_since_the_holdings_were_written_is_told(three_years, tmp_path):
    """Shares are those of the day: a file of the evening before holds half of them after two for one."""
    actions = three_years.read("actions")
    prices = three_years.read("sep_base_academic")
    sessions = three_years.context().sessions
    splits = actions[(actions["action"] == "split") & (actions["date"] < sessions[-7].item())]
    for row in splits.sort_values("date", ascending=False).itertuples():
        own = prices[prices["ticker"] == row.ticker]
        if row.date in set(own["date"]) and abs(row.value - 1.0) > 0.05:
            break
    else:
        pytest.fail("no split")
    at = int(np.searchsorted(sessions, np.datetime64(row.date)))
    prior = prior_file(tmp_path / "prior.csv", [(row.ticker, 100), ("CASH", 1e7)])
    for late, told in ((-1, False), (0, True), (4, True), (6, False)):
        found = choose(three_years, "risk4", configured(), date=sessions[at + late].item(), prior=prior)
        splits = found.summary["prior"]["splits"]
        assert (row.ticker in splits) == told
        assert any(row.ticker in note and "split" in note for note in found.summary["notes"]) == told
        if told:
            assert splits[row.ticker] == pytest.approx(row.value, rel=0.005)


def test_a_name_whose_end_is_known_is_told(three_years, tmp_path):
    """On the evening of its last session it is still in the book, but nobody will sell or buy it."""
    settings = configured("equity.backtest.start=2016-06-01")
    listings = three_years.read("listings")
    sessions = three_years.context().sessions
    ends = listings[listings["settled_session"] == listings["last_session"] + 1]
    row = ends.sort_values("last_session").iloc[-1]
    date = sessions[int(row["last_session"])].item()
    prior = prior_file(tmp_path / "prior.csv", [(row["ticker"], 10), ("CASH", 1e7)])
    found = choose(three_years, "baseline", settings, date=date, prior=prior)
    assert any(row["ticker"] in note and "orders won't fill" in note for note in found.summary["notes"])
    before = sessions[int(row["last_session"]) - 1].item()
    found = choose(three_years, "baseline", settings, date=before, prior=prior)
    assert not any("orders won't fill" in note for note in found.summary["notes"])


def test_what_is_too_small_to_be_sold_stays_in_the_files(three_years, tmp_path):
    """So that the next day's holdings have it."""
    date = three_years.context().sessions[-40].item()
    settings = configured("equity.live.min_trade=5000.0")
    wanted = weights_of(choose(three_years, "risk4", settings, date=date))
    prices = three_years.read("sep_base_academic")
    other = next(t for t in prices[prices["date"] == date]["ticker"] if t not in wanted)
    prior = prior_file(tmp_path / "prior.csv", [(other, 3), ("CASH", 1e7)])
    found = choose(three_years, "risk4", settings, date=date, prior=prior)
    [kept] = [row for row in found.picks.to_pylist() if row["ticker"] == other]
    assert (kept["shares"], kept["weight"]) == (3, 0.0)
    assert other not in {row["ticker"] for row in found.trades.to_pylist()}


def test_a_real_short_on_the_list_may_stay_but_not_grow(three_years, tmp_path):
    settings = configured()
    date = three_years.context().sessions[-40].item()
    free = weights_of(choose(three_years, "ls_opt", settings, date=date))
    held = {name: weight / 2 * 1e7 for name, weight in free.items()}
    short = min(held, key=lambda name: held[name])
    prior = prior_file(tmp_path / "prior.csv", held.items(), ("ticker", "value"))
    listed = prior_file(tmp_path / "list.csv", [[short]], ("ticker",))
    options = {"date": date, "prior": prior, "capital": 1e7}
    grows = weights_of(choose(three_years, "ls_opt", settings, **options))
    found = weights_of(choose(three_years, "ls_opt", settings, **options, hard_to_borrow=listed))
    assert grows[short] < held[short] / 1e7 - 1e-4
    assert held[short] / 1e7 - 1e-9 <= found.get(short, 0.0) <= 0.0


def test_a_real_book_is_held_in_units_of_the_raw_one():
    """Three tenths traded at a scale of 1.5 are two tenths; simulated shorts on the list don't count."""
    simulated = Target(np.array([2, 4, 6]), np.array([0.5, -0.1, -0.2]))
    real = Target(np.array([4, 7]), np.array([-0.3, 0.6]))
    held = held_by(Desk(real, np.array([4])), simulated, simulated.times(1.5), 2.0)
    assert (held.raw.names.tolist(), held.raw.weight.tolist()) == ([4, 7], pytest.approx([-0.2, 0.4]))
    assert held.traded.weight.tolist() == pytest.approx([-0.15, 0.3])
    held = held_by(Desk(None, np.array([2, 4])), simulated, simulated.times(1.5), 2.0)
    assert (held.raw.names.tolist(), held.raw.weight.tolist()) == ([2, 6], [0.5, -0.2])
    assert held.traded.weight.tolist() == pytest.approx([0.375, -0.15])


def test_longs_are_selected_as_without_a_list():
    section = CrossSection(np.arange(8), np.arange(8.0))
    strategy = load().equity.strategy("ls").model_copy(update={"top_n": 3, "bottom_n": 3, "rank_by": "alpha"})
    long, short = select(section, strategy)
    assert (long.tolist(), short.tolist()) == ([7, 6, 5], [2, 1, 0])
    barred = np.array([True, False, True, False, False, False, False, True])
    long, short = select(replace(section, barred=barred), strategy)
    assert (long.tolist(), short.tolist()) == ([7, 6, 5], [4, 3, 1])


# Whole lots


sizes = st.lists(
    st.tuples(st.integers(-3000, 3000), st.floats(-3000, 3000), st.floats(1.0, 500.0)),
    min_size=1,
    max_size=12,
)


@given(sizes, st.sampled_from([1, 10, 100]), st.floats(0.0, 20_000.0), st.floats(0.5, 1.0))
def test_rounding_breaks_no_limit(rows, lot, min_trade, tightness):
    """Limits that the exact book just keeps hold for the rounded one; no position outgrows its target."""
    current, target, price = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    unit = price / 1e6
    exact = np.abs(target) * unit
    plan = Rebalance(current, target, price, unit, lot, min_trade)
    rough = plan.trades()
    name = float(exact.max())
    row = np.where(np.arange(len(rows)) % 2 == 0, 1.0, tightness)
    rule = Rule("sector", "half", row, -np.inf, float(row @ exact), size=True)
    limit = float(np.abs(target - current) @ unit)
    trade = plan.within(rough, name, [rule], limit)
    after = np.abs(current + trade)
    assert (after * unit <= name + 1e-8).all()
    assert row @ (after * unit) <= rule.high + 1e-8
    assert (after <= np.maximum(np.abs(current), np.abs(target)) + lot * 1e-5).all()
    reduced = (after <= np.abs(current)) & (current * (current + trade) >= 0.0)
    assert np.abs(trade) @ unit <= limit + 1e-8 or reduced.all()
    crosses = current * (current + trade) < 0.0
    assert (((trade % lot == 0) & ~crosses) | ((current + trade) % lot == 0.0)).all()
    free = current + plan.within(rough, name, [rule], np.inf)
    close = np.abs(free - target) <= lot * (1.0 + 1e-5)
    assert (close | (np.abs(target - current) * price < min_trade + lot * price)).all()
    assert (rough * (target - current) >= 0.0).all()
    assert (np.abs(rough) <= np.abs(target - current) + lot * 1e-5).all()
    assert ((rough == 0.0) | (np.abs(rough) * price >= min_trade)).all()


def test_rounding_by_hand():
    """Bought 7 of 7.9, sold 3 of 3.5, an exit whole, a small trade left out, a name sold to its limit."""
    current = np.array([10.0, 10.0, 5.5, 10.0, 31.0])
    target = np.array([17.9, 6.5, 0.0, 10.4, 29.5])
    ones = np.ones(5)
    plan = Rebalance(current, target, 100.0 * ones, 1e-3 * ones, 1, 150.0)
    assert plan.trades().tolist() == [7.0, -3.0, -5.5, 0.0, 0.0]
    assert plan.within(plan.trades(), 0.03, [], np.inf).tolist() == [7.0, -3.0, -5.5, 0.0, -2.0]


def test_a_trade_through_zero_is_not_given_up_for_a_limit_that_another_name_can_keep():
    """Held long, wanted short: a hair too much on the short side is a lot less of the other short."""
    current, target = np.array([100.0, -1000.0, -7050.0]), np.array([-100.0, -900.4, 10_160.0])
    plan = Rebalance(current, target, np.ones(3), np.full(3, 1e-3), 1, 0.0)
    shorts = Rule("budget", "size of shorts", np.array([1.0, 1.0, 0.0]), -np.inf, 1.0004, size=True)
    assert (current + plan.trades()).tolist() == [-100.0, -901.0, 10_160.0]
    assert (current + plan.within(plan.trades(), np.inf, [shorts], np.inf)).tolist() == [
        -100.0,
        -900.0,
        10_160.0,
    ]
    in_lots = replace(plan, lot=100)
    assert (current + in_lots.trades()).tolist() == [-100.0, -1000.0, 10_100.0]
    assert (current + replace(plan, lot=1000).trades()).tolist() == [0.0, -1000.0, 10_000.0]


def test_limits_hold_in_whole_lots(three_years):
    settings = configured("equity.live.lot=100", "equity.live.min_trade=5000.0")
    date = three_years.context().sessions[-40].item()
    for strategy in ("risk4", "ls"):
        found = choose(three_years, strategy, settings, date=date)
        scale = found.summary["scale"]
        most = settings.equity.strategy(strategy).max_name
        rows = found.picks.to_pylist()
        traded = np.array([row["shares"] * row["price"] for row in rows]) / 1e7 / scale
        assert np.abs(traded).max() <= most + 1e-9
        for one in found.summary["rounded"]:
            if one["kind"] in ("sector", "budget"):
                assert one["traded"] <= max(one["limit"], one["decided"]) + 2e-9


# What is refused


def test_what_is_wrong_is_said_and_nothing_is_written(three_years, tmp_path):
    date = three_years.context().sessions[-40].item()
    good = {"date": date, "out": tmp_path / "out"}
    unknown = prior_file(tmp_path / "unknown.csv", [("CASH", 5), ("NOSUCH", 7)])
    text = prior_file(tmp_path / "text.csv", [("CASH", 5), ("AAA", "many")])
    twice = prior_file(tmp_path / "twice.csv", [("AAA", 5), ("AAA", 7)])
    bare = prior_file(tmp_path / "bare.csv", [("AAA",)], ("ticker",))
    blank = prior_file(tmp_path / "blank.csv", [("AAA", "")])
    rich = prior_file(tmp_path / "rich.csv", [("CASH", 1e300)])
    saturday = date + dt.timedelta(days=(5 - date.weekday()) % 7)
    cases = [
        ({**good, "prior": unknown}, (), r"NOSUCH \(line 3\)"),
        ({**good, "prior": text}, (), "line 3: shares 'many' is no number"),
        ({**good, "prior": twice}, (), "line 3: AAA stands in line 2 already"),
        ({**good, "prior": bare}, (), "needs the column shares or value"),
        ({**good, "prior": blank}, (), "line 2: AAA has neither"),
        ({**good, "prior": tmp_path / "no.csv"}, (), "is not a file"),
        ({**good, "capital": -1.0}, (), "above 0"),
        ({**good, "capital": 1e300}, (), "--capital: .* more than any market takes"),
        ({**good, "prior": rich}, (), "rich.csv, positions.* more than any market takes"),
        ({**good, "date": saturday}, (), "no session; the nearest earlier one is"),
        ({**good, "date": dt.date(1990, 1, 1)}, (), "the data begin on"),
        (good, ("equity.live.min_names=100",), "a decision needs 100"),
        (good, ("equity.live.min_std=5.0",), "standard deviation of the signal"),
        (good, ("equity.strategies.risk4.volatility.estimate=full_sample",), "looks ahead"),
        (good, ("equity.strategies.risk4.compat_manual=true",), "looks ahead"),
    ]
    for options, overrides, message in cases:
        with pytest.raises(InputError, match=message):
            choose(three_years, "risk4", configured(*overrides), **options)
    assert not (tmp_path / "out").exists()


def test_a_mix_looks_ahead_where_its_parts_do():
    ahead = ["Look-ahead: the volatility target uses the volatility of the whole sample."]
    for estimate, found in (("full_sample", ahead), ("trailing", [])):
        settings = load(overrides=[f"equity.backtest.volatility.estimate={estimate}"])
        mix, *parts = strategies_of(settings, settings.equity.strategy("regime_switching"))
        assert look_ahead(mix, parts) == found
        if not found:
            check_tradable(mix, parts)
            continue
        with pytest.raises(InputError, match=r"estimate = 'full_sample'"):
            check_tradable(mix, parts)


def test_data_that_are_behind_the_exchange_are_refused_unless_a_date_is_given(three_years, tmp_path):
    """By New York's calendar, whose session of the next day is over at four, 21:00 or 20:00 UTC."""
    settings, last = configured(), three_years.context().sessions[-1].item()
    following = np.datetime64(next_session(last)).item()
    before = dt.datetime.combine(following, dt.time(19), dt.UTC)
    after = dt.datetime.combine(following, dt.time(22), dt.UTC)
    current = choose(three_years, "baseline", settings, now=before)
    assert current.date == last
    with pytest.raises(InputError, match=f"data end on {last}, and {following} is over.*--date {last}"):
        choose(three_years, "baseline", settings, now=after, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    asked = choose(three_years, "baseline", settings, now=after, date=last)
    assert weights_of(asked) == weights_of(current)


def test_a_table_that_ends_early_is_refused(three_years, tmp_path):
    """Newer prices without a build, and one table that was not built again."""
    market = copied(three_years, tmp_path)
    settings = configured()
    early = market.context().sessions[-30].item()
    build(market.db, READ, settings=settings, as_of=early, into="then")
    with pytest.raises(InputError, match=r"prices run to .* but the tables are built to"):
        choose(market, "risk4", settings, namespace="then")
    late = market.context().sessions[-10].item()
    build(market.db, ["sessions", "sep_base_academic"], settings=settings, as_of=late, into="then")
    with pytest.raises(
        InputError, match=f"ends on {early}, before the session {late}: run `kairos equity build"
    ):
        choose(market, "risk4", settings, namespace="then", date=late)


def test_the_command_writes_three_files_and_prints_json(three_years, tmp_path, capsys):
    date = three_years.context().sessions[-40].item()
    flags = [word for one in ROOM for word in ("--set", one)]
    words = [
        "equity",
        "picks",
        "risk4",
        "--db",
        str(three_years.db),
        "--alpha",
        "ret_21d",
        "--lower-is-better",
    ]
    more = ["--date", str(date), "--out", str(tmp_path / "live"), "--lot", "10", "--min-trade", "500"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *more, *flags, "--json"])
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    assert told["date"] == str(date)
    assert {path.name for path in (tmp_path / "live").iterdir()} == {
        "picks.csv", "trades.csv", "portfolio_summary.json",
    }  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*words, *more, *flags])
    shown = capsys.readouterr().out
    assert "next decision" in shown
    assert "estimated_cost" in shown
    with pytest.raises(SystemExit) as ended:
        main([*words, "--date", "2019-02-30", *flags])
    assert ended.value.code == 2
