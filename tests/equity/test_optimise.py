"""ls_opt against another solver, against tangents, and against what its formulas promise."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits_cases import long_only, sector_rules
from limits_oracle import excess
from optimise_cases import COSTS, decision

from kairos.equity.backtest.conic import conic
from kairos.equity.backtest.covariance import Covariance
from kairos.equity.backtest.limits import Rule
from kairos.equity.backtest.nearest import nearest
from kairos.equity.backtest.optimise import Optimiser
from kairos.errors import InputError

few = settings(max_examples=15, deadline=None, derandomize=True)


def utility(optimiser, case, w):
    """What is maximised, written from the definition with the full matrix and the simulator's costs."""
    h, n = optimiser.horizon, int(case.candidate.sum())
    sigma = h * case.covariance.dense()
    z = np.where(case.candidate, case.alpha_z, 0.0)
    mu = optimiser.ic * np.sqrt(np.diag(case.covariance.dense())) * np.sqrt(h) * z
    a = optimiser.ic * np.sqrt(n) / (optimiser.target_vol * np.sqrt(h / 252))
    cost = COSTS.trade(w - case.previous, case.volatility, case.adv, case.scale).sum() * h / 21
    borrow = COSTS.borrow * h / 252 * -np.minimum(w, 0.0).sum()
    return mu @ w - 0.5 * a * w @ sigma @ w - cost - borrow


@few
@given(seed=st.integers(0, 10_000), model=st.sampled_from(["power", "linear"]), first=st.booleans())
def test_no_book_within_the_limits_is_better(seed, model, first):
    """f is above its tangents: what the best tangent promises bounds what is missed."""
    case, optimiser = decision(seed, first=first), Optimiser(COSTS, cost_model=model)
    found = optimiser.solve(case)
    objective = optimiser.objective(case)
    assert found.limits.broken(found.weight) == []
    assert excess(objective, found.limits, found.weight) < 1e-6 * abs(found.objective) + 1e-10
    assert not found.fallback
    if model == "power":
        assert -found.objective == pytest.approx(utility(optimiser, case, found.weight), abs=1e-12)


@few
@given(seed=st.integers(0, 10_000))
def test_all_limits_hold(seed):
    case = decision(seed, candidates=100, held=30)
    found = Optimiser(COSTS).solve(case)
    w, step = found.weight, np.abs(found.weight - case.previous)
    relaxed = {one.kind: one.relaxed for one in found.relaxed}
    factor = max([1.0, *(one.relaxed / one.limit for one in found.relaxed if one.kind == "participation")])
    assert abs(w.sum()) < 1e-8
    assert abs(case.beta @ w) < 1e-8
    assert np.abs(w).sum() < 1.0 + 1e-8
    assert np.abs(w).max() < relaxed.get("name", 0.03) + 1e-8
    assert step.sum() < relaxed.get("turnover", 0.4) + 1e-8
    assert np.all(step < case.largest * factor + 1e-8)
    if not {"sector", "sector_net"} & set(relaxed):
        assert np.all(np.bincount(case.sector, np.abs(w), 11) < case.sector_limit + 1e-8)
        assert np.all(np.abs(np.bincount(case.sector, w, 11)) < 0.05 + 1e-8)
    gone = w[~case.candidate] / case.previous[~case.candidate]
    assert gone.min() > -1e-9
    assert gone.max() < 1.0 + 1e-9


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # of the other solver, on powers
@pytest.mark.parametrize("model", ["power", "linear"])
@pytest.mark.parametrize("seed", [1, 3, 7])
def test_as_cvxpy_finds_it(seed, model):
    cp = pytest.importorskip("cvxpy")
    case, optimiser = decision(seed), Optimiser(COSTS, cost_model=model)
    n, h = len(case.previous), 5
    w = cp.Variable(n)
    step = cp.abs(w - case.previous)
    z = np.where(case.candidate, case.alpha_z, 0.0)
    mu = 0.02 * np.sqrt(np.diag(case.covariance.dense()) * h) * z
    a = 0.02 * np.sqrt(case.candidate.sum()) / (0.10 * np.sqrt(h / 252))
    impact = 0.7 * case.volatility * np.sqrt(1e7 / case.adv)
    cost = 0.0005 * cp.sum(step)
    cost += impact @ cp.power(step, 1.5) if model == "power" else (impact * np.sqrt(0.005)) @ step
    root = np.linalg.cholesky(case.covariance.dense() * h)
    worth = mu @ w - 0.5 * a * cp.sum_squares(root.T @ w) - cost * h / 21
    worth -= 0.005 * h / 252 * cp.sum(cp.neg(w))
    old = ~case.candidate
    rules = [
        cp.sum(w) == 0, case.beta @ w == 0, cp.norm1(w) <= 1, cp.abs(w) <= 0.03, cp.sum(step) <= 0.4,
        step <= case.largest, cp.multiply(np.sign(case.previous[old]), w[old]) >= 0,
        cp.abs(w[old]) <= np.abs(case.previous[old]),
    ]  # fmt: skip
    for s in range(11):
        at = np.flatnonzero(case.sector == s)
        if len(at):
            rules += [cp.norm1(w[at]) <= case.sector_limit[s], cp.abs(cp.sum(w[at])) <= 0.05]
    problem = cp.Problem(cp.Maximize(1e4 * worth), rules)
    problem.solve(solver="CLARABEL")
    found = optimiser.solve(case)
    assert not found.relaxed
    assert -found.objective == pytest.approx(problem.value / 1e4, rel=1e-5)
    assert -found.objective > problem.value / 1e4 * (1.0 - 1e-6)
    np.testing.assert_allclose(found.weight, w.value, atol=2e-5)


@pytest.mark.parametrize("model", ["power", "linear"])
def test_the_general_solver_agrees(model):
    """What is called when the structured method fails solves the same problem."""
    case, optimiser = decision(3), Optimiser(COSTS, cost_model=model)
    found = optimiser.solve(case)
    weight, multiplier = conic(optimiser.objective(case), found.limits)
    np.testing.assert_allclose(weight, found.weight, atol=1e-6)
    np.testing.assert_allclose(multiplier, found.multiplier, atol=1e-7)


def test_risk_aversion_matters():
    """The more is paid for risk, the less of it: risk, expected return and gross fall."""
    case = decision(5, first=True)
    case = replace(case, largest=np.full(len(case.previous), np.inf))
    risks, hopes = [], []
    for a in (5.0, 20.0, 80.0, 320.0):
        optimiser = Optimiser(COSTS, risk_aversion=a)
        w = optimiser.solve(case).weight
        risks.append(w @ case.covariance.dense() @ w)
        hopes.append(optimiser.expected(case) @ w)
    assert risks == sorted(risks, reverse=True)
    assert hopes == sorted(hopes, reverse=True)
    assert risks[-1] < 0.5 * risks[0]


def test_the_risk_aversion_reaches_the_target():
    """Independent names, no costs, no binding limit: the book's volatility is the target's."""
    case = decision(2, candidates=400, held=0, first=True)
    n = len(case.previous)
    z = np.random.default_rng(0).normal(size=n)
    z = z / np.sqrt((z**2).mean())
    free = replace(
        case, alpha_z=z, rules=case.rules[:1], largest=np.full(n, np.inf),
        covariance=Covariance(np.empty((0, n)), np.full(n, 0.02**2)),
    )  # fmt: skip
    optimiser = Optimiser(replace(COSTS, half_spread=0.0, impact=0.0, borrow=0.0), name=1.0, gross=100.0)
    w = optimiser.solve(free).weight
    assert np.sqrt(252 * np.sum(w**2) * 0.02**2) == pytest.approx(0.10, rel=0.02)


def test_costs_hold_the_book_back():
    case = decision(4)
    free = Optimiser(replace(COSTS, half_spread=0.0, impact=0.0), turnover=2.0).solve(case)
    dear = Optimiser(replace(COSTS, half_spread=0.003), turnover=2.0).solve(case)
    traded = [np.abs(found.weight - case.previous).sum() for found in (free, dear)]
    assert traded[1] < traded[0]


def test_turnover_alone_gives_way_to_neutrality():
    """A book that is far from neutral: turnover is the least that makes it neutral, nothing else moves."""
    case = decision(8, liquid=21.0)
    previous = np.where(case.candidate, 0.015, 0.0)
    case = replace(case, previous=previous, largest=np.full(len(previous), np.inf))
    found = Optimiser(COSTS).solve(case)
    (one,) = found.relaxed
    assert one.kind == "turnover"
    assert one.relaxed > 0.4
    assert "turnover" in found.binding
    assert abs(found.weight.sum()) < 1e-8
    assert one.relaxed == pytest.approx(np.abs(found.weight - previous).sum(), abs=1e-6)


def test_participation_gives_way_before_sector_and_name():
    """A short market: what one session can't trade is left to the next ones, in the same proportion."""
    case = decision(8)
    case = replace(case, previous=np.where(case.candidate, 0.015, 0.0), largest=np.full(80, 1e-4))
    found = Optimiser(COSTS).solve(case)
    assert [one.kind for one in found.relaxed] == ["turnover", "participation"]
    assert abs(case.beta @ found.weight) < 1e-8


def test_the_order_of_names_plays_no_role():
    case = decision(6)
    turn = np.random.default_rng(0).permutation(len(case.previous))
    moved = {
        name: getattr(case, name)[turn]
        for name in ("candidate", "alpha_z", "volatility", "adv", "previous", "largest")
    }
    moved["rules"] = tuple(rule._replace(row=rule.row[turn]) for rule in case.rules)
    covariance = Covariance(case.covariance.factor[:, turn], case.covariance.specific[turn])
    one, two = (
        Optimiser(COSTS).solve(case),
        Optimiser(COSTS).solve(replace(case, covariance=covariance, **moved)),
    )
    np.testing.assert_allclose(two.weight, one.weight[turn], atol=1e-7)


def test_the_same_book_again_is_the_same_to_the_bit():
    case = decision(6)
    np.testing.assert_array_equal(Optimiser(COSTS).solve(case).weight, Optimiser(COSTS).solve(case).weight)


def test_only_the_ratio_of_capital_and_volume_counts():
    """Twice the capital in a market of twice the volume."""
    case = decision(9)
    one = Optimiser(COSTS).solve(case)
    two = Optimiser(replace(COSTS, capital=2e7)).solve(replace(case, adv=2.0 * case.adv))
    np.testing.assert_allclose(two.weight, one.weight, atol=1e-8)


def test_the_answer_is_within_its_limits_already():
    """Its own nearest point is itself."""
    found = Optimiser(COSTS).solve(decision(11))
    np.testing.assert_allclose(nearest(found.weight, found.limits).weight, found.weight, atol=1e-8)


def test_wrong_input_is_refused():
    case = decision(1)
    with pytest.raises(InputError, match="adv"):
        replace(case, adv=np.where(case.candidate, np.nan, 1.0))
    unknown = Rule("beta", "beta", np.where(case.candidate, np.nan, 1.0), 0.0, 0.0)
    with pytest.raises(InputError, match="beta is not known of 60 names"):
        Optimiser(COSTS).solve(replace(case, rules=(unknown,)))
    with pytest.raises(InputError, match="cost model"):
        Optimiser(COSTS, cost_model="cubic")
    with pytest.raises(InputError, match="risk_aversion"):
        Optimiser(COSTS, risk_aversion=0.0)


@pytest.mark.bench
@pytest.mark.parametrize(("model", "most"), [("linear", 0.045), ("power", 0.110)])
def test_speed_of_the_optimiser(model, most):
    """300 candidates and 100 held names; CPU of a decision, without the covariance."""
    optimiser = Optimiser(COSTS, cost_model=model)
    optimiser.solve(decision(0))
    spent = []
    for seed in range(20):
        case = decision(seed, candidates=300, held=100)
        begin = time.process_time()
        optimiser.solve(case)
        spent.append(time.process_time() - begin)
    print(f"{model}: {1e3 * np.mean(spent):.1f} ms a decision, at most {1e3 * max(spent):.1f}")
    assert np.mean(spent) < most


@pytest.mark.bench
def test_speed_of_the_nearest_book():
    """The shape of risk4 at 150 names."""
    rng = np.random.default_rng(0)
    sector = rng.integers(0, 11, 150)
    rules = sector_rules(sector, [f"s{i}" for i in range(11)], 1.2 * np.bincount(sector, minlength=11) / 150)
    previous = rng.dirichlet(np.full(150, 3.0))
    targets = [0.8 * previous + 0.2 * rng.dirichlet(np.full(150, 0.5)) for _ in range(200)]
    limits = long_only(previous, 0.03, rules, 0.2)
    nearest(targets[0], limits)
    begin = time.process_time()
    for target in targets:
        nearest(target, limits)
    mean = (time.process_time() - begin) / len(targets)
    print(f"nearest: {1e3 * mean:.2f} ms a decision")
    assert mean < 0.0025


def test_the_expected_ic_moves_what_is_expected_and_not_the_aversion():
    case, optimiser = decision(3), Optimiser(COSTS)
    twice = replace(case, ic=0.04)
    np.testing.assert_allclose(optimiser.expected(twice), 2.0 * optimiser.expected(case), rtol=1e-15)
    none = optimiser.solve(replace(case, ic=0.0))
    w = none.weight - case.previous
    assert np.abs(w).sum() > 0.0  # it only leaves what costs risk
    risk = [float(v @ case.covariance.dense() @ v) for v in (none.weight, optimiser.solve(case).weight)]
    assert risk[0] < risk[1]
