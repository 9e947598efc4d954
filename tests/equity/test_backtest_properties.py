"""What holds for every backtest: no future, no role for names, and the parts of a return that add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_backtest_oracle import Case, Rules, bt_random, bt_run

from kairos.equity.backtest.account import Account
from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.market import Market
from kairos.equity.backtest.strategy import CrossSection, Target, alpha_z, decide
from kairos.equity.frame import Frame
from kairos.errors import WorkError
from kairos.settings import load

RULES = Rules(
    top_n=4, half_spread=0.0005, impact=0.7, participation=0.05, borrow=0.005, financing_rate=0.05,
    target_vol=0.25, window=20, min_obs=8,
)  # fmt: skip
few = settings(max_examples=12, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)


def bt_case(seed: int, rules: Rules = RULES) -> Case:
    return bt_random(
        seed, rules, length=60, halts=0.03, ends=2, thin=True, missing=0.1, ties=True, members=True
    )


@few
@given(seed=seeds, lag=st.sampled_from([0, 1, 3]), cut=st.integers(15, 45), bottom=st.sampled_from([0, 3]))
def test_nothing_of_the_future_matters(seed: int, lag: int, cut: int, bottom: int) -> None:
    """Prices, alpha, membership, volume and risk after row `cut` change nothing up to it."""
    case = bt_case(seed, replace(RULES, lag=lag, bottom_n=bottom))
    other = bt_case(seed + 1, case.rules)

    def spliced(one: Any, two: Any) -> Any:
        return {name: [*row[: cut + 1], *two[name][cut + 1 :]] for name, row in one.items()}

    over = {name: end for name, end in case.ends.items() if end.settled <= cut}
    changed = replace(
        case,
        prices={**spliced(case.prices, other.prices), **{name: case.prices[name] for name in over}},
        alpha=spliced(case.alpha, other.alpha),
        members=spliced(case.members, other.members),
        adv=spliced(case.adv, other.adv),
        volatility=spliced(case.volatility, other.volatility),
        ends=over,
    )
    run, again = bt_run(case), bt_run(changed)
    known = sum(t <= cut for t in run.decisions)
    assert run.scales[:known] == again.scales[:known]
    for one, two in zip(run.accounts, again.accounts, strict=True):
        for quantity in ("ret", "cost", "turnover", "gross", "net", "names"):
            np.testing.assert_array_equal(
                getattr(one, quantity)[: cut + 1], getattr(two, quantity)[: cut + 1]
            )
    np.testing.assert_array_equal(run.scaled.weights[: cut + 1], again.scaled.weights[: cut + 1])


@few
@given(seed=seeds, cut=st.integers(15, 45))
def test_a_run_that_ends_early_is_the_beginning_of_the_long_one(seed: int, cut: int) -> None:
    case = bt_case(seed)
    whole, part = bt_run(case), bt_run(replace(case, last=cut))
    for one, two in zip(whole.accounts, part.accounts, strict=True):
        np.testing.assert_array_equal(one.ret[: cut + 1], two.ret[: cut + 1])


@few
@given(seed=seeds)
def test_the_names_of_tickers_play_no_role(seed: int) -> None:
    """Other tickers, other columns, same numbers (alpha without ties)."""
    case = bt_random(seed, RULES, length=60, halts=0.03, ends=2, thin=True, missing=0.1)
    order = np.random.default_rng(seed).permutation(len(case.names))
    new = {old: f"P{order[i]:02d}" for i, old in enumerate(case.names)}

    def renamed(table: Any) -> Any:
        return {new[name]: row for name, row in table.items()}

    other = replace(
        case,
        prices=renamed(case.prices),
        alpha=renamed(case.alpha),
        adv=renamed(case.adv),
        volatility=renamed(case.volatility),
        ends=renamed(case.ends),
    )
    for one, two in zip(bt_run(case).accounts, bt_run(other).accounts, strict=True):
        np.testing.assert_allclose(one.ret, two.ret, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one.turnover, two.turnover, rtol=0, atol=1e-12)


@few
@given(seed=seeds)
def test_a_name_outside_the_universe_changes_nothing(seed: int) -> None:
    case = bt_case(seed)
    assert case.members is not None
    assert case.adv is not None
    assert case.volatility is not None
    T = case.length
    rng = np.random.default_rng(seed)
    more = replace(
        case,
        prices={
            **case.prices,
            "A_FIRST": (10 + rng.random(T)).tolist(),
            "Z_LAST": (10 + rng.random(T)).tolist(),
        },
        alpha={**case.alpha, "A_FIRST": [9.0] * T, "Z_LAST": [9.0] * T},
        members={**case.members, "A_FIRST": [False] * T, "Z_LAST": [False] * T},
        adv={**case.adv, "A_FIRST": [1e8] * T, "Z_LAST": [1e8] * T},
        volatility={**case.volatility, "A_FIRST": [0.02] * T, "Z_LAST": [0.02] * T},
    )
    for one, two in zip(bt_run(case).accounts, bt_run(more).accounts, strict=True):
        np.testing.assert_allclose(one.ret, two.ret, rtol=0, atol=1e-13)
        np.testing.assert_allclose(one.gross, two.gross, rtol=0, atol=1e-12)


@few
@given(seed=seeds, factor=st.sampled_from([0.1, 4.0]))
def test_capital_matters_through_impact_only(seed: int, factor: float) -> None:
    """Without impact and a participation limit that binds, more capital is the same backtest."""
    plain = replace(RULES, impact=0.0, participation=1.0, capital=1e4)
    one, two = (bt_run(bt_case(seed, replace(plain, capital=c))) for c in (1e4, factor * 1e4))
    np.testing.assert_array_equal(one.scaled.ret, two.scaled.ret)
    pushed = replace(plain, impact=0.7, target_vol=0.0, every=100)
    small, large = (bt_run(bt_case(seed, replace(pushed, capital=c))) for c in (1e4, 4e4))
    spread = 0.0005 * small.raw.turnover[small.first]
    assert large.raw.cost[large.first] - spread == pytest.approx(2 * (small.raw.cost[small.first] - spread))


@few
@given(seed=seeds)
def test_a_gross_return_less_its_cost_is_the_net_return(seed: int) -> None:
    """The weights after a close, times the next move, less the cost paid: (1 + gross)(1 − cost) − 1."""
    rules = replace(RULES, financing_rate=0.0, target_vol=0.0, participation=1.0, capital=1e5)
    run = bt_run(bt_case(seed, rules))
    weights, value, settled = run.raw.weights, run.market.value, run.market.settled
    for d in range(run.first + 1, run.last + 1):
        move = np.nan_to_num(value[d] / value[d - 1] - 1)
        move[settled < d] = 0.0
        gross = (weights[d - 1] @ move) / (1 - run.raw.cost[d - 1])
        assert run.raw.ret[d] == pytest.approx((1 + gross) * (1 - run.raw.cost[d]) - 1, abs=1e-12)


@few
@given(seed=seeds)
def test_a_random_signal_earns_nothing_before_costs(seed: int) -> None:
    """Active return over the benchmark within 4.5 standard errors of zero."""
    case = bt_random(seed, Rules(top_n=8), n=24, length=160)
    run = bt_run(case)
    active = (run.raw.ret - run.raw_bench.ret)[run.first + 1 :]
    assert active.std(ddof=1) > 0.001
    assert abs(active.mean()) < 4.5 * active.std(ddof=1) / np.sqrt(len(active))


def test_perfect_foresight_earns_a_lot() -> None:
    """The same measure is far from zero when the signal is tomorrow's return: the test above can fail."""
    case = bt_random(1, Rules(top_n=8, lag=0, every=1), n=24, length=160)
    prices = {name: np.array(row, dtype=float) for name, row in case.prices.items()}
    alpha = {name: [*(row[1:] / row[:-1] - 1).tolist(), 0.0] for name, row in prices.items()}
    run = bt_run(replace(case, alpha=alpha))
    active = (run.raw.ret - run.raw_bench.ret)[run.first + 1 :]
    assert active.mean() > 20 * active.std(ddof=1) / np.sqrt(len(active))


@few
@given(
    alpha=st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=30),
    top=st.integers(1, 12),
    bottom=st.integers(0, 12),
    rank_by=st.sampled_from(["alpha", "alpha_z"]),
)
def test_selection(alpha: list[float], top: int, bottom: int, rank_by: str) -> None:
    """Nobody left out is better than somebody bought, or worse than somebody sold; ties go by column."""
    keys = {"top_n": top, "bottom_n": bottom, "rank_by": rank_by}
    strategy = load(
        overrides=[f"equity.strategies.baseline.{k}={v}" for k, v in keys.items()]
    ).equity.strategy("baseline")
    names = np.arange(len(alpha)) * 3
    target = decide(CrossSection(names, np.array(alpha)), strategy)
    weight = dict(zip(target.names.tolist(), target.weight.tolist(), strict=True))
    order = sorted(names.tolist(), key=lambda name: (-alpha[name // 3], name))
    long, short = [n for n in order if weight.get(n, 0) > 0], [n for n in order if weight.get(n, 0) < 0]
    assert long == order[: len(long)]
    assert short == order[len(order) - len(short) :]
    if bottom and len(alpha) < 2:
        assert not weight  # one name can't be on both sides
        return
    assert len(short) == min(bottom, len(alpha) // 2 if top else len(alpha))
    assert len(long) == min(top, len(alpha) - len(short))
    assert len(set(weight.values())) <= 2
    assert sum(weight[n] for n in long) == pytest.approx(0.5 if bottom else 1.0)
    if short:
        assert sum(weight[n] for n in short) == pytest.approx(-0.5)


@few
@given(alpha=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_alpha_z_is_the_clipped_z_score(alpha: list[float]) -> None:
    values = np.array(alpha)
    spread = values.std(ddof=1)
    found = alpha_z(values)
    if values.min() == values.max():
        assert not found.any()
    elif spread > 1e-9:
        np.testing.assert_allclose(found, np.clip((values - values.mean()) / spread, -3, 3), atol=1e-9)


def test_free_costs_are_free() -> None:
    costs = Costs(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10e6)
    assert not costs.needs_liquidity
    assert not costs.trade(np.array([0.5]), np.array([np.nan]), np.array([np.nan])).any()
    assert costs.largest(np.array([1.0])).tolist() == [np.inf]
    assert costs.terms == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_every_cost_can_be_switched_off() -> None:
    """Costs of 0 are allowed, all of them; without a participation limit the order fills at once."""
    zero = [
        f"equity.backtest.costs.{key}=0.0"
        for key in ("half_spread", "impact", "participation", "borrow", "financing_rate", "cash_rate")
    ]
    strategy = load(overrides=zero).equity.strategy("baseline")
    assert Costs.of(strategy.backtest).largest(np.array([1.0])).tolist() == [np.inf]


def test_a_trade_that_would_cost_the_whole_book_names_its_ticker() -> None:
    """A bad print makes a volatility of 100,000 a day; half of the book is to go into that name."""
    days = np.arange("2020-01-06", "2020-01-10", dtype="datetime64[D]")
    frame = Frame(days, np.array(["GOOD", "PRINT"]), np.ones(2, int), np.zeros(2, int), ())
    market = Market(frame, np.ones((4, 2)), np.ones((4, 2), bool), np.full(2, 4), np.ones(4))
    account = Account(market, Costs(0.0005, 0.1, 0.0, 0.0, 0.0, 0.0, 10e6), 0)
    account.fill(
        Target(np.arange(2), np.full(2, 0.5)),
        adv=np.full(2, 1e8), volatility=np.array([0.02, 1e5]), scale=1.0, expires=3,
    )  # fmt: skip
    with pytest.raises(WorkError, match=r"2020-01-06 would cost .* for PRINT: its volatility is 1e\+05"):
        account.advance(0)
