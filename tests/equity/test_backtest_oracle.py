"""The engine against a plain simulator: dictionaries, one day at a time, money and shares.

The simulator below is written from the rules of the backtest alone. It keeps cash and a number of shares for
every name, and knows neither panels nor weights that drift.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kairos.equity.backtest.market import Market
from kairos.equity.backtest.signals import Signals
from kairos.equity.backtest.simulate import Simulation, decision_days, simulate
from kairos.equity.frame import Frame, Outcomes, PartRows, SomeRows
from kairos.settings import load

# --- the case: everything by name, a missing price is None ---


@dataclass(frozen=True)
class Rules:
    """Everything that a run may set; the defaults have no friction, so a case states what it uses."""

    every: int = 5
    lag: int = 1
    wait: int = 5
    capital: float = 10e6
    half_spread: float = 0.0
    impact: float = 0.0
    participation: float = 1.0
    borrow: float = 0.0
    financing_rate: float = 0.0
    cash_rate: float = 0.0
    top_n: int = 50
    bottom_n: int = 0
    rank_by: str = "alpha"
    target_vol: float = 0.0
    window: int = 126
    min_obs: int = 63
    max_leverage: float = 2.0
    estimate: str = "trailing"


@dataclass(frozen=True)
class End:
    """A listing that ended: the row on which its holder is paid, and the return on top of the last price."""

    settled: int
    payout: float = 0.0


@dataclass(frozen=True)
class Case:
    """A market and a signal. Every series has one value a session; None is missing."""

    prices: dict[str, list[float | None]]
    alpha: dict[str, list[float | None]]
    rules: Rules = field(default_factory=Rules)
    ends: dict[str, End] = field(default_factory=dict)
    members: dict[str, list[bool]] | None = None
    adv: dict[str, list[float | None]] | None = None
    volatility: dict[str, list[float | None]] | None = None
    allowed: list[bool] | None = None
    days: list[np.datetime64] | None = None
    first: int = 0
    last: int | None = None

    @property
    def names(self) -> list[str]:
        return sorted(self.prices)

    @property
    def length(self) -> int:
        return len(next(iter(self.prices.values())))

    @property
    def end(self) -> int:
        return self.length - 1 if self.last is None else self.last

    @property
    def sessions(self) -> list[np.datetime64]:
        if self.days is not None:
            return self.days
        return list(np.busday_offset("2020-01-01", np.arange(self.length), roll="forward"))

    def is_member(self, name: str, t: int) -> bool:
        return self.prices[name][t] is not None and (self.members is None or self.members[name][t])

    def is_allowed(self, t: int) -> bool:
        return self.allowed is None or self.allowed[t]

    def known_adv(self, name: str, t: int) -> float | None:
        return 1e15 if self.adv is None else self._latest(self.adv[name], t)

    def known_volatility(self, name: str, t: int) -> float | None:
        return 0.02 if self.volatility is None else self._latest(self.volatility[name], t)

    def adv_on(self, name: str, t: int) -> float | None:
        return 1e15 if self.adv is None else self.adv[name][t]

    def volatility_on(self, name: str, t: int) -> float | None:
        return 0.02 if self.volatility is None else self.volatility[name][t]

    def _latest(self, series: list[float | None], t: int) -> float | None:
        """Of t, or of the newest session before that knew it."""
        return next((series[u] for u in range(t, -1, -1) if series[u] is not None), None)


# --- the plain simulator ---


class Book:
    """Cash and shares. Costs, turnover and weights are fractions of the equity before the day's cost."""

    def __init__(self, case: Case, rules: Rules) -> None:
        self.case, self.rules = case, rules
        self.cash, self.shares, self.marks = 1.0, dict[str, float](), dict[str, float]()
        self.open: dict[str, float] = {}  # name -> what it is to be worth, at its last price
        self.last: dict[str, float | None] = {}  # name -> that price
        self.told: dict[str, tuple[float, float]] = {}  # name -> adv and volatility as the decision knew them
        self.last_try, self.reserve, self.dollars = -1, 0.0, 1.0
        self.days: dict[int, dict[str, Any]] = {}
        self.equity = 1.0  # after the costs of the day before

    def worth(self) -> float:
        return self.cash + sum(n * self.marks[name] for name, n in self.shares.items())

    def new_day(self, d: int, calendar_days: float) -> None:
        """Interest for the days since yesterday's close, new prices, pay-outs."""
        rules = self.rules
        gross = sum(abs(n) * self.marks[name] for name, n in self.shares.items())
        short = sum(-n * self.marks[name] for name, n in self.shares.items() if n < 0)
        interest = rules.cash_rate * max(self.equity - gross, 0.0)
        interest -= rules.financing_rate * max(gross - self.equity, 0.0)
        interest -= rules.borrow * short
        self.cash += interest * calendar_days / 365
        for name in list(self.shares):
            price, end = self.case.prices[name][d], self.case.ends.get(name)
            if price is not None:
                self.marks[name] = price
            if end is not None and d >= end.settled:
                self.cash += self.shares.pop(name) * self.marks[name] * (1 + end.payout)
        for name in self.open:  # an order is for shares
            price, last = self.case.prices[name][d], self.last[name]
            if price is not None:
                self.open[name] *= price / last if last is not None else 1.0
                self.last[name] = price
        before, self.equity = self.equity, self.worth()
        self.days[d] = self.picture(self.equity, ret=self.equity / before - 1, cost=0.0, turnover=0.0)

    def picture(self, equity: float, **more: float) -> dict[str, Any]:
        weights = {name: n * self.marks[name] / equity for name, n in self.shares.items() if n != 0.0}
        return {
            "weights": weights,
            "gross": sum(map(abs, weights.values())),
            "net": sum(weights.values()),
            "names": len(weights),
            **more,
        }

    def give(self, d: int, target: dict[str, float], dollars: float, decided: int) -> None:
        """A new order takes the place of whatever is still open."""
        names, equity = sorted({*self.shares, *target}), self.worth()
        self.open = {name: target.get(name, 0.0) * equity for name in names}
        self.last = {name: self._last_price(name, d) for name in names}
        self.told = {
            name: (
                self.case.known_adv(name, decided) or 0.0,
                self.case.known_volatility(name, decided) or 0.0,
            )
            for name in self.open
        }
        self.reserve, self.dollars = (1 - sum(target.values())) * equity, dollars
        self.last_try = d + self.rules.wait

    def _last_price(self, name: str, d: int) -> float | None:
        return next((p for p in reversed(self.case.prices[name][: d + 1]) if p is not None), None)

    def trade(self, d: int) -> None:
        """One try at the close of d: what has a price, as far as volume and money go."""
        rules, equity = self.rules, self.worth()
        weight = {name: n * self.marks[name] / equity for name, n in self.shares.items()}
        change: dict[str, float] = {}
        for name, target in ((name, worth / equity) for name, worth in self.open.items()):
            if self.case.prices[name][d] is not None:
                most = rules.participation * self.told[name][0] / (rules.capital * self.dollars)
                change[name] = min(max(target - weight.get(name, 0.0), -most), most)
        if all(x >= 0 for x in [*weight.values(), *self.open.values()]):
            bought = sum(x for x in change.values() if x > 0)
            sold = sum(-x for x in change.values() if x < 0)
            free = 1 - sum(weight.values()) - self.reserve / equity  # below 0 after borrowing for costs
            if bought > free + sold + 1e-12:
                share = (free + sold) / bought if free + sold > 1e-12 else 0.0
                change = {name: x * share if x > 0 else x for name, x in change.items()}
        cost = 0.0
        for name, x in change.items():
            adv, volatility = self.told[name]
            size = abs(x)
            if size > 0:
                push = math.sqrt(size * rules.capital * self.dollars / adv) if rules.impact else 0.0
                cost += size * (rules.half_spread + rules.impact * volatility * push)
                self.marks[name] = self.case.prices[name][d] or math.nan
                self.shares[name] = self.shares.get(name, 0.0) + x * equity / self.marks[name]
                self.cash -= x * equity
            done = abs(self.open[name] / equity - weight.get(name, 0.0) - x) < 1e-13
            if done and self.open.pop(name) == 0.0:
                self.shares.pop(name, None)
        day = self.days[d]
        picture = self.picture(equity, cost=cost, turnover=sum(map(abs, change.values())))
        self.cash -= cost * equity
        self.equity = self.worth()
        self.days[d] = {**picture, "ret": (1 + day["ret"]) * (1 - cost) - 1}
        self.open = {n: w for n, w in self.open.items() if w != 0.0 or n in self.shares}
        if d >= self.last_try:  # only what has no price is given up
            self.open = {n: w for n, w in self.open.items() if self.case.prices[n][d] is not None}


def plain(case: Case) -> dict[str, Any]:
    """Run the four books: raw, scaled, and their benchmarks."""
    rules = case.rules
    free = replace(rules, half_spread=0.0, impact=0.0, participation=math.inf, borrow=0.0)
    if rules.target_vol and rules.estimate == "full_sample":
        whole = plain(replace(case, rules=replace(rules, target_vol=0.0)))
        fixed = {
            name: _scale(rules, [book.days[d]["ret"] for d in range(whole["first"], case.end + 1)])
            for name, book in whole["books"].items()
        }
    books = {
        "raw": Book(case, rules),
        "scaled": Book(case, rules),
        "raw_bench": Book(case, free),
        "bench": Book(case, free),
    }
    due: dict[int, list[tuple[str, dict[str, float], float, int]]] = {}
    scales, begin = [], -1
    for d in range(case.first, case.end + 1):
        elapsed = float((case.sessions[d] - case.sessions[d - 1]).astype(int)) if d > case.first else 0.0
        for book in books.values():
            if d > case.first:
                book.new_day(d, elapsed)
            else:
                book.days[d] = book.picture(1.0, ret=0.0, cost=0.0, turnover=0.0)
        if rules.lag > 0:
            _fill(books, due, d)
        if (d - case.first) % rules.every == 0:
            names = _eligible(case, d)
            target = _choose(case, names, d) if case.is_allowed(d) else {}
            market = dict.fromkeys(names, 1 / len(names)) if names and not rules.bottom_n else {}
            if (begin >= 0 or target) and d + rules.lag <= case.end:
                begin = d + rules.lag if begin < 0 else begin
                if rules.target_vol and rules.estimate == "full_sample":
                    scale, bench_scale = fixed["raw"], fixed["raw_bench"]
                else:
                    scale = _trailing(rules, books["raw"], begin, d)
                    bench_scale = _trailing(rules, books["raw_bench"], begin, d)
                scales.append(scale)
                due[d + rules.lag] = [
                    ("raw", target, scale, d),
                    ("scaled", {n: w * scale for n, w in target.items()}, 1.0, d),
                    ("raw_bench", market, 1.0, d),
                    ("bench", {n: w * bench_scale for n, w in market.items()}, 1.0, d),
                ]
        if rules.lag == 0:
            _fill(books, due, d)
    return {"books": books, "first": begin, "scales": scales}


def _fill(books: dict[str, Book], due: dict[int, Any], d: int) -> None:
    for name, target, dollars, decided in due.pop(d, ()):
        books[name].give(d, target, dollars, decided)
    for book in books.values():
        if book.open:
            book.trade(d)


def _eligible(case: Case, t: int) -> list[str]:
    return [
        name
        for name in case.names
        if case.is_member(name, t)
        and case.alpha[name][t] is not None
        and case.adv_on(name, t)
        and case.volatility_on(name, t) is not None
    ]


def _choose(case: Case, names: list[str], t: int) -> dict[str, float]:
    """Best first; among equals the ticker decides."""
    rules = case.rules
    order = sorted(names, key=lambda name: (-(case.alpha[name][t] or 0.0), name))
    bottom = min(rules.bottom_n, len(order) // 2)
    top = min(rules.top_n, len(order) - bottom)
    side = 0.5 if rules.bottom_n else 1.0
    long, short = order[:top], order[len(order) - bottom :]
    return {**dict.fromkeys(long, side / max(top, 1)), **dict.fromkeys(short, -side / max(bottom, 1))}


def _trailing(rules: Rules, book: Book, begin: int, t: int) -> float:
    past = [book.days[d]["ret"] for d in range(begin, t + 1)][-rules.window :] if begin >= 0 else []
    return _scale(rules, past) if len(past) >= rules.min_obs else 1.0


def _scale(rules: Rules, past: list[float]) -> float:
    spread = statistics.stdev(past) if len(past) > 1 else 0.0
    if not rules.target_vol or spread == 0.0:
        return 1.0
    return min(rules.target_vol / (math.sqrt(252) * spread), rules.max_leverage)


# --- the engine on the same case ---


def panel(series: dict[str, list[float | None]], names: list[str]) -> Any:
    """(T, N) in Fortran order."""
    return np.asfortranarray(np.array([series[name] for name in names], dtype=float).T)


def bt_frame(case: Case) -> tuple[Frame, Outcomes, Any]:
    """Grid, endings and prices of a case as the engine has them."""
    names, T = case.names, case.length
    closeadj = panel(case.prices, names)
    sessions = np.array(case.sessions, dtype="datetime64[D]")
    cell = np.flatnonzero(np.isfinite(closeadj).T.reshape(-1))
    keys = pa.table({"ticker": np.array(names)[cell // T], "date": sessions[cell % T]})
    rows = np.where(np.isfinite(closeadj), np.arange(T)[:, None], -1)
    first = np.where(rows >= 0, rows, T).min(axis=0).astype(np.int64)
    number = np.ones(len(names), dtype=np.int64)
    frame = Frame(sessions, np.array(names), number, first, (PartRows(keys, cell),))
    ends = [case.ends.get(name) for name in names]
    outcomes = Outcomes(
        last=rows.max(axis=0).astype(np.int64),
        ended=np.array([end is not None for end in ends]),
        settled=np.array([end.settled if end else -1 for end in ends], dtype=np.int64),
        payout=np.array([end.payout if end else 0.0 for end in ends]),
    )
    return frame, outcomes, closeadj


class Panels(dict[str, Any]):
    """Stands for the panels of a context."""

    frame: Frame
    outcomes: Outcomes

    def some(self, name: str, rows: Any) -> SomeRows:
        return SomeRows(np.array(self[name], order="C")[rows], np.arange(len(self[name])))

    @classmethod
    def of(cls, case: Case) -> Panels:
        panels = cls()
        panels.frame, panels.outcomes, panels["sep_base_academic.closeadj"] = bt_frame(case)
        return panels


def bt_market(case: Case) -> Market:
    """The engine's market of a case, from prices and endings."""
    panels = Panels.of(case)
    context = SimpleNamespace(
        panels=lambda _: panels,
        settings=SimpleNamespace(equity=SimpleNamespace(listing=SimpleNamespace(max_gap=10))),
    )
    return Market.of(context)  # type: ignore[arg-type]


def bt_strategy(rules: Rules) -> Any:
    """The rules as a resolved strategy."""
    engine = {
        "rebalance_every": rules.every, "lag": rules.lag, "order_wait": rules.wait, "capital": rules.capital,
        "costs.half_spread": rules.half_spread, "costs.impact": rules.impact,
        "costs.participation": rules.participation, "costs.borrow": rules.borrow,
        "costs.financing_rate": rules.financing_rate, "costs.cash_rate": rules.cash_rate,
        "volatility.window": rules.window, "volatility.min_obs": rules.min_obs,
        "volatility.max_leverage": rules.max_leverage, "volatility.estimate": rules.estimate,
    }  # fmt: skip
    own = {
        "top_n": rules.top_n, "bottom_n": rules.bottom_n, "rank_by": rules.rank_by,
        "target_vol": rules.target_vol,
    }  # fmt: skip
    overrides = [f"equity.backtest.{key}={value}" for key, value in engine.items()]
    overrides += [f"equity.strategies.baseline.{key}={value}" for key, value in own.items()]
    return load(overrides=overrides).equity.strategy("baseline")


def bt_run(case: Case) -> Simulation:
    """The engine's run of a case."""
    names, T = case.names, case.length
    signals = Signals(
        alpha=panel(case.alpha, names),
        members=np.array([[case.is_member(name, t) for name in names] for t in range(T)]),
        adv=np.array([[case.known_adv(n, t) for n in names] for t in range(T)], dtype=float),
        volatility=np.array([[case.known_volatility(n, t) for n in names] for t in range(T)], dtype=float),
        marketcap=np.full((T, len(names)), np.nan),
        allowed=np.array([case.is_allowed(t) for t in range(T)]),
        today={
            "adv": np.array([[case.adv_on(n, t) for n in names] for t in range(T)], dtype=float),
            "volatility": np.array([[case.volatility_on(n, t) for n in names] for t in range(T)], float),
        },
    )
    days = decision_days(case.first, case.end, case.rules.every)
    return simulate(bt_market(case), signals, bt_strategy(case.rules), days, case.end)


def agree(case: Case, *books: str, tolerance: float = 1e-10) -> tuple[Simulation, dict[str, Any]]:
    """Engine and plain simulator give the same numbers, day by day."""
    run, expected = bt_run(case), plain(case)
    assert run.first == expected["first"]
    assert run.scales == pytest.approx(expected["scales"], abs=tolerance)
    rows = slice(run.first, case.end + 1)
    for book in books or ("raw", "scaled", "raw_bench", "bench"):
        account, days = getattr(run, book), expected["books"][book].days
        published = ("names",) if account.keep_book else ()
        for quantity in ("ret", "cost", "turnover", "gross", "net", *published):
            want = np.array([days[d][quantity] for d in range(run.first, case.end + 1)])
            found = getattr(account, quantity)[rows]
            apart = np.flatnonzero(np.abs(found - want) > tolerance)
            assert not len(apart), (
                f"{book}.{quantity} from row {apart[0] + run.first}: engine {found[apart[0]]!r}, "
                f"plain {want[apart[0]]!r}"
            )
        if account.keep_book:
            for d in range(run.first, case.end + 1):
                row = [days[d]["weights"].get(name, 0.0) for name in case.names]
                np.testing.assert_allclose(
                    account.weights[d], row, rtol=0, atol=tolerance, err_msg=f"row {d}"
                )
    return run, expected


# --- markets ---


def bt_random(
    seed: int,
    rules: Rules,
    *,
    n: int = 10,
    length: int = 70,
    halts: float = 0.0,
    ends: int = 0,
    thin: bool = False,
    missing: float = 0.0,
    ties: bool = False,
    members: bool = False,
) -> Case:
    """A random walk for every name, with halts (at most 9 sessions) and endings as asked."""
    rng = np.random.default_rng(seed)
    names = [f"N{i:02d}" for i in range(n)]
    walk = 50 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (length, n)), axis=0))
    gone = np.zeros((length, n), dtype=bool)
    for i in range(n):
        t = 5
        while t < length:
            if rng.random() < halts:
                gone[t : t + rng.integers(1, 10), i] = True
                t += 12
            t += 1
    endings = {}
    for i in range(ends):
        last = int(rng.integers(10, length - 15))
        gone[last - 1 : last + 1, i], gone[last + 1 :, i] = False, True
        known = rng.random() < 0.6
        endings[names[i]] = End(last + 1 if known else last + 10, float(rng.choice([0.0, -0.3, 0.1])))
    scores = rng.normal(size=(length, n)).round(1 if ties else 8)
    unknown = rng.random((length, n)) < missing
    volume = 10 ** rng.uniform(6.3, 8.0, (length, n))
    risk = rng.uniform(0.01, 0.05, (length, n))
    listed = rng.random((length, n)) < 0.8

    def table(values: Any, absent: Any = None) -> dict[str, list[float | None]]:
        absent = np.zeros(values.shape, dtype=bool) if absent is None else absent
        return {
            name: [None if absent[t, i] else float(values[t, i]) for t in range(length)]
            for i, name in enumerate(names)
        }

    return Case(
        prices=table(walk, gone),
        alpha=table(scores, unknown),
        rules=rules,
        ends=endings,
        members={name: listed[:, i].tolist() for i, name in enumerate(names)} if members else None,
        adv=table(volume) if thin else None,
        volatility=table(risk) if thin else None,
    )


# --- tests ---

FREE = Rules(top_n=4)
COSTLY = replace(
    FREE,
    half_spread=0.0005,
    impact=0.7,
    participation=0.05,
    borrow=0.005,
    financing_rate=0.05,
    cash_rate=0.01,
)


@pytest.mark.parametrize("lag", [0, 1, 2, 7])
@pytest.mark.parametrize("every", [1, 3, 5])
def test_lag_and_calendar_without_friction(lag: int, every: int) -> None:
    agree(bt_random(1, replace(FREE, lag=lag, every=every, wait=0)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lag", [0, 1, 2])
def test_costs_interest_and_participation(lag: int, seed: int) -> None:
    agree(bt_random(seed, replace(COSTLY, lag=lag, wait=3), thin=True))


@pytest.mark.parametrize("seed", range(4))
def test_a_trade_is_spread_over_sessions_by_participation(seed: int) -> None:
    case = bt_random(seed, replace(COSTLY, every=10, capital=30e6), thin=True)
    run, _ = agree(case)
    assert (run.raw.turnover[run.first : run.first + 5] > 0).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lag", [0, 1, 2, 7])
def test_halts_waiting_orders_and_endings(lag: int, seed: int) -> None:
    rules = replace(FREE, lag=lag, wait=3, half_spread=0.001)
    agree(bt_random(seed, rules, halts=0.05, ends=4, missing=0.1, ties=True, members=True))


@pytest.mark.parametrize("seed", range(4))
def test_everything_at_once(seed: int) -> None:
    rules = replace(COSTLY, target_vol=0.25, window=20, min_obs=8, wait=3)
    agree(bt_random(seed, rules, halts=0.05, ends=4, missing=0.1, ties=True, members=True, thin=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("wait", "every"), [(5, 5), (5, 3), (10, 5)])
def test_an_open_order_ends_where_the_next_one_fills(wait: int, every: int, seed: int) -> None:
    """At one close a name is traded once, for the newest order: participation holds for the close."""
    rules = replace(COSTLY, wait=wait, every=every)
    agree(bt_random(seed, rules, halts=0.1, thin=True))


def test_without_free_money_nothing_is_bought() -> None:
    """What rounding leaves of the cash buys no position of 1e-16 that would be counted and stored."""
    for seed in (6, 9, 10):
        case = bt_random(
            seed, replace(FREE, lag=2, wait=3), halts=0.1, ends=4, missing=0.1, ties=True, members=True
        )
        run, _ = agree(case)
        held = run.raw.weights[run.raw.weights != 0.0]
        assert held.min() > 1e-12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lag", [0, 1])
def test_long_short_against_cash(lag: int, seed: int) -> None:
    rules = replace(COSTLY, lag=lag, top_n=3, bottom_n=3, wait=3)
    run, _ = agree(bt_random(seed, rules, halts=0.03, ends=2, thin=True))
    bench = run.raw_bench.ret[run.first + 1 : run.last + 1]
    days = run.market.days[run.first + 1 : run.last + 1]
    np.testing.assert_allclose(bench, 0.01 * days / 365, rtol=1e-9)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_trailing_volatility_target_by_the_default_windows(lag: int) -> None:
    rules = replace(COSTLY, lag=lag, target_vol=0.20, wait=3)
    run, expected = agree(bt_random(3, rules, length=230, n=8))
    before = [s for t, s in zip(run.decisions, run.scales, strict=True) if t - run.first + 1 < 63]
    assert before
    assert set(before) == {1.0}
    assert len({round(s, 6) for s in expected["scales"]}) > 20


def test_volatility_scale_is_capped() -> None:
    run, _ = agree(bt_random(3, replace(COSTLY, target_vol=5.0, window=20, min_obs=10, wait=3), length=60))
    assert run.scales[-1] == 2.0
    assert run.scaled.gross[run.fills[-1]] == pytest.approx(2.0)


def test_full_sample_volatility() -> None:
    run, _ = agree(bt_random(5, replace(COSTLY, target_vol=0.2, estimate="full_sample", wait=3), length=60))
    assert len(set(run.scales)) == 1


def test_fewer_names_than_wanted() -> None:
    run, _ = agree(bt_random(2, replace(FREE, top_n=50), n=6))
    assert run.raw.names[run.first] == 6


def test_bottom_and_top_never_overlap() -> None:
    run, _ = agree(bt_random(2, replace(FREE, top_n=50, bottom_n=50, borrow=0.02), n=7))
    assert run.raw.net[run.first] == pytest.approx(0.0, abs=1e-12)
    assert run.raw.gross[run.first] == pytest.approx(1.0)


def test_start_and_end() -> None:
    case = bt_random(4, replace(COSTLY, wait=3), halts=0.03)
    run, _ = agree(replace(case, first=13, last=49))
    assert run.decisions == list(range(13, 49, 5))
    assert not run.raw.ret[50:].any()
    assert not run.raw.ret[:14].any()


def test_a_regime_filter_holds_cash_while_the_benchmark_stays_invested() -> None:
    """Leaving the market is a decision of the strategy: the universe it is judged against does not leave."""
    case = bt_random(6, replace(FREE, half_spread=0.001))
    allowed = [t // 10 % 2 == 0 for t in range(case.length)]
    run, _ = agree(replace(case, allowed=allowed), "raw", "scaled")
    out = [f for t, f in zip(run.decisions, run.fills, strict=True) if not allowed[t]]
    assert run.raw.gross[out].max() == 0.0
    agree(replace(case, allowed=allowed), "raw_bench", "bench")


def test_dates_do_not_depend_on_who_survives_the_filters() -> None:
    """Sessions without any name keep their place in the calendar."""
    case = bt_random(7, FREE)
    empty = {name: [None if t == 10 else x for t, x in enumerate(row)] for name, row in case.alpha.items()}
    run, _ = agree(replace(case, alpha=empty), "raw", "scaled")
    assert run.decisions == list(range(0, case.length - 1, 5))
    assert run.raw.gross[11] == 0.0
