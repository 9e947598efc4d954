"""The declared strategies: what each holds by definition, which limits it keeps, what it never knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from strategy_market import HISTORY, Planted, planted

from kairos.equity.backtest.book import Decision, _after_sales, mixed, most_sold
from kairos.equity.backtest.simulate import Simulation
from kairos.equity.backtest.skill import Skill
from kairos.equity.backtest.strategy import CrossSection, Target
from kairos.errors import InputError
from kairos.settings import load

LIMITED = ("risk2", "risk3", "risk4", "ls", "ls_opt")
ANY_SIZE = "equity.backtest.costs.participation=0.0"
THIN = 3e7
"""USD at which participation binds on this market, and seldom has to give way."""
FREE = [
    f"equity.backtest.costs.{key}=0.0"
    for key in ("half_spread", "impact", "participation", "borrow", "financing_rate", "cash_rate")
]


@pytest.fixture(scope="module")
def thin() -> Planted:
    return planted(260, 2, 11)


@pytest.fixture(scope="module")
def world(thin: Planted) -> Planted:
    """The same market with a hundred times the volume: whatever is wanted can be traded in a session."""
    return replace(thin, signals=replace(thin.signals, adv=100.0 * thin.signals.adv))


@pytest.fixture(scope="module")
def runs(world: Planted) -> dict[str, Simulation]:
    return {name: world.run(name) for name in (*LIMITED, "baseline", "risk1", "short_only")}


def dense(world: Planted, target: Target) -> np.ndarray[Any, Any]:
    weight = np.zeros(world.market.frame.shape[1])
    weight[target.names] = target.weight
    return weight


def held_at(run: Simulation, row: int) -> np.ndarray[Any, Any]:
    """The raw book at a close, after the cost of trades at it."""
    weight = np.zeros(run.market.frame.shape[1])
    if row in run.raw.book:
        names, values = run.raw.book[row]
        weight[names] = values / (1.0 - run.raw.cost[row])
    return weight


def traded_at(run: Simulation, decision: Decision) -> np.ndarray[Any, Any]:
    """The scaled book at the close of a decision, in units of the next raw one."""
    weight = np.zeros(run.market.frame.shape[1])
    if decision.row in run.scaled.book:
        names, values = run.scaled.book[decision.row]
        weight[names] = values / (1.0 - run.scaled.cost[decision.row]) / decision.scale
    return weight


def fixed_at(world: Planted, run: Simulation, decision: Decision) -> tuple[Any, Any, Any]:
    """Names that are held and have no price at the close of a decision, and the range that each stays in."""
    both = np.array([held_at(run, decision.row), traded_at(run, decision)])
    names = np.flatnonzero(both.any(axis=0) & ~world.market.priced[decision.row])
    return names, both[:, names].min(axis=0), both[:, names].max(axis=0)


def sector_limit(world: Planted, decision: Decision) -> np.ndarray[Any, Any]:
    """Twice each sector's share of the filtered names, counted by hand."""
    sector = world.signals.sector
    assert sector is not None
    share = [np.mean(sector[decision.eligible] == s) for s in range(len(world.signals.sectors))]
    return 2.0 * np.array(share)


def check_limits(
    world: Planted, run: Simulation, decision: Decision, name: str, largest: float = 0.03
) -> None:
    """All limits of a strategy but participation."""
    sector, tolerance = world.signals.sector, 1e-9
    w, before = dense(world, decision.target), held_at(run, decision.row)
    assert np.abs(w).max() <= largest + tolerance
    gross = np.bincount(sector, np.abs(w), len(world.signals.sectors))
    assert (gross <= sector_limit(world, decision) + tolerance).all()
    if name.startswith("ls"):
        assert abs(w.sum()) <= tolerance
        assert np.abs(w).sum() <= 1.0 + tolerance
        held = w != 0.0
        assert abs(w[held] @ world.signals.last["beta"][decision.row, held]) <= tolerance
    else:
        assert w.min() >= 0.0
        assert abs(w.sum() - 1.0) <= tolerance
    if name == "ls":
        assert abs(w[w > 0].sum() - 0.5) <= tolerance
    budget = {"risk4": 0.20 + max(1.0 - before.sum(), 0.0), "ls_opt": 0.40}.get(name)
    if budget is not None and before.any():
        assert np.abs(w - before).sum() <= budget + tolerance
    if name == "ls_opt":
        net = np.bincount(sector, w, len(world.signals.sectors))
        assert np.abs(net).max() <= 0.05 + tolerance


def gross_return(run: Simulation, row: int) -> float:
    """Return of the scaled book on a day before the cost of its trades."""
    return float((1.0 + run.scaled.ret[row]) / (1.0 - run.scaled.cost[row]) - 1.0)


def score(world: Planted, run: Simulation, decision: Decision, top: int, bottom: int) -> tuple[Any, Any]:
    """Names that are selected, and max(±z, 0)/σ with each side summing to its part, by the definition."""
    t, names = decision.row, decision.eligible
    alpha = world.signals.alpha[t, names]
    z = np.clip((alpha - alpha.mean()) / alpha.std(ddof=1), -3, 3)
    order = sorted(range(len(names)), key=lambda i: (-z[i], -alpha[i], names[i]))
    bottom = min(bottom, len(order) // 2)
    top = min(top, len(order) - bottom)
    long, short = order[:top], order[len(order) - bottom :]
    sizing = world.signals.today["sizing"][t, names]
    weight = np.zeros(world.market.frame.shape[1])
    for side, chosen in ((1.0, long), (-1.0, short)):
        if chosen:
            raw = np.maximum(side * z[chosen], 0.0) / sizing[chosen]
            weight[names[chosen]] = side * raw / raw.sum() * (0.5 if bottom and top else 1.0)
    return names[[*long, *short]], weight


@pytest.mark.parametrize("name", LIMITED)
def test_limits_hold_on_every_decision(world: Planted, runs: dict[str, Simulation], name: str) -> None:
    """Counted by hand from the weights, not by the engine's own measure."""
    run = runs[name]
    assert len(run.decided) > 45
    for decision in run.decided:
        names, low, high = fixed_at(world, run, decision)
        size = np.minimum(np.abs(low), np.abs(high)).max(initial=0.0)  # of what nobody can sell today
        assert {one.kind for one in decision.book.relaxed} == ({"name"} if size > 0.03 + 1e-9 else set())
        check_limits(world, run, decision, name, max(size, 0.03))
        assert all(usage.holds or (usage.kind == "name" and size > 0.03) for usage in decision.book.usage)
        weight = dense(world, decision.target)[names]
        assert ((low - 1e-9 <= weight) & (weight <= high + 1e-9)).all()


@pytest.mark.parametrize(("name", "sides"), [("risk3", (75, 0)), ("ls", (75, 75))])
def test_the_nearest_book_is_the_one_of_another_solver(
    world: Planted, runs: dict[str, Simulation], name: str, sides: tuple[int, int]
) -> None:
    run = runs[name]
    seen = 0
    for decision in run.decided[::8]:
        chosen, wanted = score(world, run, decision, *sides)
        if len(fixed_at(world, run, decision)[0]):
            continue
        seen += 1
        w = cp.Variable(len(chosen))
        side = np.where(wanted[chosen] < 0.0, -1.0, 1.0)
        side[len(chosen) - min(sides[1], len(decision.eligible) // 2) :] = -1.0 if sides[1] else 1.0
        sector = world.signals.sector[chosen]
        rules = [cp.multiply(side, w) >= 0.0, cp.abs(w) <= 0.03]
        for s, most in enumerate(sector_limit(world, decision)):
            if (sector == s).any():
                rules.append((side * (sector == s)) @ w <= most)
        if sides[1]:
            rules += [(side > 0) @ w == 0.5, (side < 0) @ w == -0.5]
            rules.append(world.signals.last["beta"][decision.row, chosen] @ w == 0.0)
        else:
            rules.append(cp.sum(w) == 1.0)
        cp.Problem(cp.Minimize(cp.sum_squares(w - wanted[chosen])), rules).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13
        )
        found = dense(world, decision.target)[chosen]
        np.testing.assert_allclose(found, w.value, rtol=0, atol=2e-5)
        assert np.sum((found - wanted[chosen]) ** 2) <= np.sum((w.value - wanted[chosen]) ** 2) + 1e-9
    assert seen > 3


def test_risk4_trades_as_it_is_defined(world: Planted, runs: dict[str, Simulation]) -> None:
    """Blend, exits first, limits and turnover, by another solver from the definition."""
    run = runs["risk4"]
    for decision in run.decided[1::9]:
        chosen, wanted = score(world, run, decision, 75, 0)
        before = held_at(run, decision.row)
        names = np.union1d(chosen, np.flatnonzero(before))
        leaving = ~np.isin(names, chosen)
        aim = 0.8 * before[names] + 0.2 * wanted[names]
        aim[leaving & (aim < 0.001)] = 0.0
        budget = 0.20 + max(1.0 - before.sum(), 0.0)
        fixed, low, high = fixed_at(world, run, decision)
        if (low > 0.03).any():
            continue
        at = np.searchsorted(names, fixed)
        ceiling, left = before[names].copy(), 0.10
        sellable = leaving & ~np.isin(names, fixed)
        for i in sorted(np.flatnonzero(sellable & (aim == 0.0)), key=lambda i: ceiling[i]):
            sold = min(left, ceiling[i])
            left, ceiling[i] = left - sold, ceiling[i] - sold
        sales = np.where(sellable & (aim > 0.0), before[names] - aim, 0.0)
        ceiling -= min(1.0, left / sales.sum()) * sales if sales.sum() else 0.0
        w = cp.Variable(len(names), nonneg=True)
        sector = world.signals.sector[names]
        rules = [
            cp.sum(w) == 1.0,
            w <= 0.03,
            cp.norm1(w - before[names]) <= budget,
            w[sellable] <= ceiling[sellable],
            w[at] >= low,
            w[at] <= high,
        ]
        for s, most in enumerate(sector_limit(world, decision)):
            if (sector == s).any():
                rules.append((sector == s).astype(float) @ w <= most)
        cp.Problem(cp.Minimize(cp.sum_squares(w - aim)), rules).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13
        )
        found = dense(world, decision.target)[names]
        np.testing.assert_allclose(found, w.value, rtol=0, atol=2e-5)
        assert np.sum((found - aim) ** 2) <= np.sum((w.value - aim) ** 2) + 1e-9
        gone = sellable & (before[names] > 0.0)
        assert (dense(world, decision.target)[names][gone] < before[names][gone]).all()


def test_what_falls_below_a_tenth_of_a_percent_vanishes(world: Planted) -> None:
    """Also where the turnover binds: no crumb of a name that is no longer selected is left."""
    run, binding, gone = world.run("risk4", "equity.strategies.risk4.turnover=0.08"), 0, 0
    for decision in run.decided[1:]:
        chosen, _ = score(world, run, decision, 75, 0)
        before, w = held_at(run, decision.row), dense(world, decision.target)
        left = np.ones(len(w), dtype=bool)
        left[[*chosen, *fixed_at(world, run, decision)[0]]] = False
        gone += int((left & (before > 0.0) & (w == 0.0)).sum())
        binding += any(u.binding for u in decision.book.usage if u.kind == "turnover")
        assert not (left & (0.8 * before < 0.001) & (w > 0.0)).any()
    assert min(binding, gone) > 20


@pytest.mark.parametrize("entry", [
    "{base = 'ls', turnover = 0.2, refresh = 0.5}", "{base = 'risk4', max_name = 0.005, allow_cash = true}",
])  # fmt: skip
def test_only_idle_cash_that_is_not_wanted_is_invested_outside_the_turnover(
    world: Planted, entry: str
) -> None:
    run = world.run("own", f"equity.strategies.own={entry}")
    told = [u.limit for d in run.decided[1:] for u in d.book.usage if u.kind == "turnover"]
    assert len(told) > 30
    assert set(told) == {0.2}


@pytest.mark.parametrize("name", ["risk3", "ls"])
def test_participation_counts_what_is_sold_altogether(thin: Planted, name: str) -> None:
    """The largest part of what a session may trade of a name, over all that is held or wanted."""
    run, checked = thin.run(name), 0
    for decision in run.decided[1:]:
        w, raw, scaled = dense(thin, decision.target), held_at(run, decision.row), traded_at(run, decision)
        some = thin.market.priced[decision.row] & ((w != 0.0) | (raw != 0.0) | (scaled != 0.0))
        most = 0.05 * thin.signals.adv[decision.row] / (run.strategy.backtest.capital * decision.scale)
        part = np.maximum(np.abs(w - raw), np.abs(w - scaled))[some] / most[some]
        [told] = [usage for usage in decision.book.usage if usage.kind == "participation"]
        if not decision.book.relaxed:
            assert told.value / told.limit == pytest.approx(part.max(), rel=1e-9)
            checked += 1
    assert checked > 10


@given(
    st.lists(
        st.tuples(*[st.floats(0.0, 0.05)] * 2, st.booleans(), st.floats(0.0, 1.0)), min_size=1, max_size=8
    ),
    st.floats(0.0, 0.2),
    st.floats(0.0, 0.2),
)
def test_sales_that_come_first(rows: list[Any], most: float, more: float) -> None:
    """None below what can't be sold or is wanted, together no more than asked, what vanishes first."""
    previous, rest = (np.array(column) for column in list(zip(*rows, strict=True))[:2])
    leaving, share = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    aim = np.where(share < 0.3, 0.0, share * previous)
    after = _after_sales(previous, aim, leaving, rest, most)
    sold = np.where(leaving, previous - after, 0.0)
    assert (after >= rest - 1e-15)[leaving].all()
    assert (after >= aim - 1e-15)[leaving].all()
    assert np.maximum(sold, 0.0).sum() <= most + 1e-12
    vanishing = leaving & (aim == 0.0) & (previous > rest)
    if (after > rest + 1e-12)[vanishing].any():
        assert (sold <= 1e-12)[leaving & ~vanishing].all()
    again = _after_sales(previous, aim, leaving, rest, most + more)
    assert (again <= after + 1e-12)[leaving].all()  # with more to be sold, no name keeps more


@pytest.mark.parametrize("room", [0.0, 0.03, 0.0607, 0.1])
def test_as_much_as_there_is_room_for_is_sold_first(room: float) -> None:
    """Half of the turnover, or what the other limits leave of it, to a thousandth."""
    tried: list[float] = []

    def selling(most: float) -> Any:
        tried.append(most)
        return most if most <= room else None

    found = most_sold(selling, 0.1)
    assert room - 1e-4 <= found <= room
    assert len(tried) <= 12
    assert most_sold(lambda _: None, 0.1) is None


@pytest.mark.parametrize("name", ["risk4", "ls_opt"])
def test_a_day_without_a_candidate_keeps_a_long_book_and_ends_a_neutral_one(
    world: Planted, name: str
) -> None:
    row = HISTORY + 5 + 20 * 5
    alpha = world.signals.alpha.copy()
    alpha[row] = np.nan
    run = replace(world, signals=replace(world.signals, alpha=alpha)).run(name)
    [decision] = [d for d in run.decided if d.row == row]
    assert not len(decision.eligible)
    kept = held_at(run, row) if name == "risk4" else 0.0
    np.testing.assert_allclose(dense(world, decision.target), kept, atol=1e-15)


def test_a_limited_book_moves_less(runs: dict[str, Simulation]) -> None:
    traded = {name: runs[name].raw.turnover[runs[name].first + 1 :].sum() for name in ("risk3", "risk4")}
    assert traded["risk4"] < 0.5 * traded["risk3"]


def test_short_only_is_short_and_pays_for_it(world: Planted, runs: dict[str, Simulation]) -> None:
    run = runs["short_only"]
    for decision in run.decided:
        assert len(decision.target.names) == 75
        np.testing.assert_allclose(decision.target.weight, -1.0 / 75.0)
    free = world.run("short_only", "equity.backtest.costs.borrow=0.0")
    rows = slice(run.first + 1, run.last + 1)
    days = world.market.days[rows].sum()
    paid = np.log1p(free.raw.ret[rows]).sum() - np.log1p(run.raw.ret[rows]).sum()
    assert paid == pytest.approx(0.005 * days / 365, rel=0.15)
    assert not run.bench.ret.any()


@pytest.mark.parametrize("name", ["risk4", "ls", "ls_opt"])
def test_without_costs_the_book_is_frictionless(world: Planted, name: str) -> None:
    """Every day's return is Σ w·r of what was held, and nothing else."""
    run = world.run(name, *FREE, "equity.strategies.risk3.min_adv=0.0")
    assert not run.raw.cost.any()
    for row in range(run.first + 1, run.last + 1, 7):
        names, weight = run.raw.book[row - 1]
        move = world.market.value[row, names] / world.market.value[row - 1, names] - 1.0
        move[world.market.settled[names] < row] = 0.0
        assert run.raw.ret[row] == pytest.approx(float(weight @ move), abs=1e-12)


@pytest.mark.parametrize("name", ["risk4", "ls", "ls_opt", "regime"])
def test_nothing_of_the_future_matters(world: Planted, name: str) -> None:
    """Everything after a row, set to something else, changes no decision and no return up to it."""
    cut = HISTORY + 5 + 80
    rng = np.random.default_rng(3)
    changed = {}
    for key in ("alpha", "adv", "volatility"):
        panel = getattr(world.signals, key).copy()
        panel[cut + 1 :] *= rng.uniform(0.5, 2.0, panel[cut + 1 :].shape)
        changed[key] = panel
    value = world.market.value.copy()
    value[cut + 1 :] *= rng.uniform(0.8, 1.25, value.shape[1])
    other = replace(
        world, market=replace(world.market, value=value), signals=replace(world.signals, **changed)
    )
    one, two = (w.run_mix() if name == "regime" else w.run(name) for w in (world, other))
    known = [d for d in one.decided if d.row <= cut]
    assert len(known) > 10
    for a, b in zip(known, two.decided, strict=False):
        np.testing.assert_array_equal(a.target.names, b.target.names)
        np.testing.assert_array_equal(a.target.weight, b.target.weight)
        assert a.scale == b.scale
    np.testing.assert_array_equal(one.scaled.ret[: cut + 1], two.scaled.ret[: cut + 1])


@pytest.mark.parametrize("name", ["risk4", "ls", "ls_opt"])
def test_the_order_of_tickers_plays_no_role(world: Planted, name: str) -> None:
    order = np.random.default_rng(5).permutation(world.market.frame.shape[1])
    one, two = world.run(name), world.permuted(order).run(name)
    np.testing.assert_allclose(one.scaled.ret, two.scaled.ret, rtol=0, atol=1e-7)


def test_the_trailing_ic_is_that_of_what_is_over(world: Planted) -> None:
    """Against scipy, on the rows of the calendar; whatever comes after a row changes nothing up to it."""
    rows, lag, horizon, window = list(range(HISTORY, HISTORY + 60, 5)), 2, 5, 4
    names = np.flatnonzero(world.signals.members[HISTORY : HISTORY + 80].all(axis=0))
    value = world.market.value.copy()
    value[rows[-1] + 1 :] = np.nan
    past = Skill(replace(world.market, value=value), lag, horizon, window)
    found = [past.up_to(t, CrossSection(names, world.signals.alpha[t, names])) for t in rows]
    each = {
        t: spearmanr(
            world.signals.alpha[t, names],
            world.market.value[t + lag + horizon, names] / world.market.value[t + lag, names],
        ).statistic
        for t in rows
    }
    for t, ic in zip(rows, found, strict=True):
        over = [each[s] for s in rows if s + lag + horizon <= t][-window:]
        if len(over) < window:
            assert ic is None
        else:
            assert ic == pytest.approx(max(np.mean(over), 0.0), abs=1e-12)
    assert sum(ic is not None for ic in found) > 5


def test_ls_opt_goes_by_the_trailing_ic(world: Planted, runs: dict[str, Simulation]) -> None:
    run = world.run("ls_opt", "equity.strategies.ls_opt.optimise.ic_window=8")
    same = [
        np.array_equal(a.target.weight, b.target.weight)
        for a, b in zip(run.decided, runs["ls_opt"].decided, strict=True)
    ]
    assert all(same[:9])
    assert not any(same[-20:])


# --- what a session can trade ---


@pytest.mark.parametrize("name", ["risk4", "ls", "ls_opt"])
def test_a_decision_can_be_filled_in_one_session(thin: Planted, name: str) -> None:
    """Without drift between decision and fill, the traded book is the decided one, with all its limits."""
    run = thin.run(name, "equity.backtest.lag=0", f"equity.backtest.capital={THIN}")
    kept = [not any(one.kind == "participation" for one in d.book.relaxed) for d in run.decided]
    assert np.mean(kept) > 0.8
    bound = seen = 0
    for i, (row, decision) in enumerate(zip(run.fills, run.filled, strict=True)):
        involved = np.union1d(decision.target.names, run.scaled.book[row][0])
        if not (kept[i] and thin.market.priced[row, involved].all()):
            continue  # what has no price can't be traded
        seen += 1
        weight = dense(thin, decision.target)
        traded = np.zeros((2, len(weight)))
        for at, account in enumerate((run.raw, run.scaled)):
            names, values = account.book[row]
            traded[at, names] = values
        assert all(usage.holds for usage in decision.book.usage)
        if not decision.book.relaxed:
            check_limits(thin, run, decision, name)
        np.testing.assert_allclose(traded[0], weight, rtol=0, atol=1e-12)
        np.testing.assert_allclose(traded[1], decision.scale * weight, rtol=0, atol=1e-12)
        if name.startswith("ls"):
            held, beta = traded[1] != 0.0, thin.signals.last["beta"][row]
            assert abs(traded[1].sum()) <= 1e-8
            assert abs(traded[1][held] @ beta[held]) <= 1e-8
        before = np.zeros(len(weight))
        if row - 1 in run.scaled.book:
            names, values = run.scaled.book[row - 1]
            value, paid = thin.market.value[[row - 1, row]][:, names], run.scaled.cost[row - 1]
            before[names] = values / (1.0 - paid) * value[1] / value[0] / (1.0 + gross_return(run, row))
        step, most = np.abs(traded[1] - before), 0.05 * thin.signals.adv[row] / THIN
        moved = (step > 1e-9) & (thin.market.settled > row)
        assert (step[moved] <= most[moved] + 1e-9).all()
        bound += bool((step[moved] > 0.999 * most[moved]).any())
    assert seen > 30
    assert bound > 15


# --- a mix ---


def test_a_mix_holds_the_scaled_books_of_its_parts(world: Planted) -> None:
    run = world.run_mix()
    weights = load().equity.strategy("regime_switching").mix.weights
    long, neutral = run.parts
    assert len(run.decided) > 45
    for decision in run.decided:
        label = str(world.labels[decision.row])
        expected = np.zeros(world.market.frame.shape[1])
        for part, share in zip((long, neutral), weights[label], strict=True):
            own = next((d for d in part.decided if d.row == decision.row), None)
            if own is not None:
                expected += share * own.scale * dense(world, own.target)
        np.testing.assert_allclose(dense(world, decision.target), expected, rtol=0, atol=1e-15)
    assert len({str(world.labels[d.row]) for d in run.decided}) > 2
    both = long.scaled.turnover.sum() + neutral.scaled.turnover.sum()
    assert 0.0 < run.raw.turnover.sum() < 1.5 * both


def test_a_mix_pays_for_netted_trades(world: Planted) -> None:
    """One half of a book and one half of its opposite are nothing, and cost nothing."""
    target = Target(np.array([3, 5]), np.array([0.4, 0.6]))
    opposite = Target(np.array([3, 5]), np.array([-0.4, -0.6]))
    strategy = load(overrides=["equity.strategies.regime_switching.mix.weights.unknown=[0.5, 0.5]"]).equity
    both = mixed(world.signals, strategy.strategy("regime_switching"), 0, [(target, 1.5), (opposite, 1.5)])
    assert not len(both.names)


def test_a_regime_must_last_to_be_followed(world: Planted) -> None:
    labels = np.array(["a", "a", "a", "b", "a", "b", "b", "b", "c"], dtype=object)
    signals = replace(world.signals, regime=labels)
    found = [signals.regime_in_force(t, 3) for t in range(len(labels))]
    assert found == ["unknown", "unknown", "a", "a", "a", "a", "a", "b", "b"]
    assert [signals.regime_in_force(t, 0) for t in range(9)] == labels.tolist()


def test_a_regime_without_weights_is_named(world: Planted) -> None:
    signals = replace(world.signals, regime=np.full(600, "stormy", dtype=object))
    with pytest.raises(InputError, match=r"mix\.weights has no entry for the regime 'stormy'"):
        mixed(signals, load().equity.strategy("regime_switching"), 3, [])


# --- a new variant is an entry ---


def test_a_tighter_variant_is_an_entry(world: Planted) -> None:
    run = world.run(
        "risk4_tight", "equity.strategies.risk4_tight={base = 'risk4', turnover = 0.10, top_n = 40}"
    )
    kept = [decision for decision in run.decided[1:] if not decision.book.relaxed]
    assert len(kept) > 0.8 * len(run.decided)
    for decision in kept:
        before = held_at(run, decision.row)
        assert np.abs(dense(world, decision.target) - before).sum() <= 0.10 + max(1 - before.sum(), 0) + 1e-9


def test_a_sector_neutral_variant_is_an_entry(world: Planted) -> None:
    run = world.run("flat", "equity.strategies.flat={base = 'ls', max_sector_net = 0.0}")
    for decision in run.decided:
        net = np.bincount(world.signals.sector, dense(world, decision.target))
        assert np.abs(net).max() < 1e-9 or decision.book.relaxed


def test_an_exposure_is_an_entry(world: Planted) -> None:
    size = np.log(world.signals.adv)
    signals = replace(
        world.signals,
        today={**world.signals.today, "feat_adv.size_z": size},
        last={**world.signals.last, "feat_adv.size_z": size},
    )
    other = replace(world, signals=signals)
    run = other.run(
        "sized", "equity.strategies.sized={base = 'ls', max_exposures = {'feat_adv.size_z' = 0.1}}"
    )
    plain = world.run("ls")
    exposed = [abs(d.target.weight @ size[d.row, d.target.names]) for d in run.decided]
    assert max(exposed) <= 0.1 + 1e-9
    assert max(abs(d.target.weight @ size[d.row, d.target.names]) for d in plain.decided) > 0.2


# --- limits that can't hold together ---


@pytest.fixture(scope="module")
def open_world(world: Planted) -> Planted:
    """The same market where everything can be traded on every day, at its last price."""
    return replace(world, market=replace(world.market, priced=np.ones_like(world.market.priced)))


def test_thirty_names_at_three_percent_relax_the_name(open_world: Planted) -> None:
    """0.9 is not 1: the name limit gives way to a thirtieth, and the day says so."""
    run = open_world.run(
        "few", "equity.strategies.few={base = 'risk2', top_n = 30, max_sector = ''}", ANY_SIZE
    )
    for decision in run.decided:
        (relaxed,) = decision.book.relaxed
        assert relaxed.kind == "name"
        assert relaxed.limit == 0.03
        assert relaxed.relaxed == pytest.approx(1 / 30, abs=2e-5)
        np.testing.assert_allclose(decision.target.weight, 1 / 30, atol=4e-4)


def test_cash_instead_of_relaxing(open_world: Planted) -> None:
    run = open_world.run(
        "few", "equity.strategies.few={base = 'risk2', top_n = 30, max_sector = '', allow_cash = true}"
    )
    for decision in run.decided:
        assert not decision.book.relaxed
        assert decision.target.weight.sum() <= 0.9 + 1e-9
        assert decision.target.weight.max() <= 0.03 + 1e-9


def test_one_sector_relaxes_the_sector(world: Planted) -> None:
    """All selected names in one sector: it must take the whole book, and only the sector gives way."""
    assert world.signals.sector is not None
    inside = world.signals.sector == 2
    alpha = np.where(inside, world.signals.alpha + 1.0, world.signals.alpha)
    other = replace(world, signals=replace(world.signals, alpha=alpha))
    names = int(inside.sum())
    entry = f"equity.strategies.one={{base = 'risk2', top_n = {min(names, 20)}, max_name = 0.1}}"
    run = other.run("one", entry, ANY_SIZE)
    for decision in run.decided:
        assert {relaxed.kind for relaxed in decision.book.relaxed} == {"sector"}
        assert decision.target.weight.sum() == pytest.approx(1.0, abs=1e-9)


def test_equal_betas_need_no_relaxation(open_world: Planted) -> None:
    ones = np.ones_like(open_world.signals.adv)
    signals = replace(
        open_world.signals,
        today={**open_world.signals.today, "beta": ones},
        last={**open_world.signals.last, "beta": ones},
    )
    for name in ("ls", "ls_opt"):
        run = replace(open_world, signals=signals).run(name)
        assert not any(decision.book.relaxed for decision in run.decided)


def test_negative_alphas_are_ranked_like_others(world: Planted) -> None:
    shifted = replace(world, signals=replace(world.signals, alpha=world.signals.alpha - 5.0))
    for name in ("risk2", "ls"):
        one, two = world.run(name), shifted.run(name)
        np.testing.assert_allclose(one.raw.ret, two.raw.ret, rtol=0, atol=1e-7)


def test_no_differences_in_alpha_hold_nothing(world: Planted) -> None:
    flat = replace(world, signals=replace(world.signals, alpha=np.zeros_like(world.signals.alpha)))
    run = flat.run("risk2")
    assert run.first < 0
    assert not run.decided


# --- ls_opt ---


def test_risk_aversion_matters(world: Planted, runs: dict[str, Simulation]) -> None:
    """Ten times as averse: less risk by the model, and less expected return."""
    averse = world.run("ls_opt", "equity.strategies.ls_opt.optimise.risk_aversion=1000.0")
    bold = world.run("ls_opt", "equity.strategies.ls_opt.optimise.risk_aversion=10.0")
    gross = [np.mean([np.abs(d.target.weight).sum() for d in r.decided]) for r in (averse, bold)]
    assert gross[0] < 0.5 * gross[1]
    rows = slice(averse.first, averse.last + 1)
    assert averse.raw.ret[rows].std() < 0.6 * bold.raw.ret[rows].std()


@pytest.mark.parametrize("estimator", ["ledoit_wolf", "factor", "exponential"])
def test_covariance_estimators_are_selectable(
    world: Planted, runs: dict[str, Simulation], estimator: str
) -> None:
    run = world.run("ls_opt", f"equity.strategies.ls_opt.optimise.covariance={estimator}")
    assert not np.array_equal(run.raw.ret, runs["ls_opt"].raw.ret)
    both = np.corrcoef(run.raw.ret[run.first :], runs["ls_opt"].raw.ret[run.first :])[0, 1]
    assert both > 0.7
