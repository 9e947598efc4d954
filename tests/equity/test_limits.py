"""The nearest book within the limits, against linear programmes, hand-computed cases and bisection."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits_cases import long_only, long_short, sector_rules
from limits_oracle import excess, possible

from kairos.equity.backtest.limits import Limits, Rule
from kairos.equity.backtest.nearest import Objective, Solution, nearest
from kairos.equity.backtest.relax import ORDER, ROUNDED_UP
from kairos.errors import InputError, WorkError

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)
LABELS = [f"s{i}" for i in range(12)]


def proximity(target):
    n = len(target)
    linear = np.zeros((3, n))
    linear[0] = -target
    return Objective(np.ones(n), linear, np.zeros(n), np.empty((0, n)))


def optimal(found: Solution, target) -> None:
    """All limits hold as used, and no book within them is nearer."""
    assert found.limits.broken(found.weight) == []
    assert excess(proximity(target), found.limits, found.weight) < 1e-9
    assert not found.fallback


def wanted(rng, n):
    return rng.dirichlet(np.full(n, 0.5))


def universe(rng, n, sectors):
    sector = rng.integers(0, sectors, n)
    return sector, np.bincount(sector, minlength=sectors) / n


@few
@given(seed=seeds, n=st.integers(35, 120), sectors=st.integers(1, 11), cash=st.booleans())
def test_risk2(seed, n, sectors, cash):
    rng = np.random.default_rng(seed)
    sector, share = universe(rng, n, sectors)
    rules = sector_rules(sector, LABELS, 1.2 * share)
    target = wanted(rng, n) * (0.9 if cash else 1.0)
    found = nearest(target, long_only(np.zeros(n), 0.03, rules, allow_cash=cash))
    optimal(found, target)
    assert not found.relaxed
    assert found.weight.min() >= 0.0
    assert found.weight.max() <= 0.03 + 1e-12
    assert np.bincount(sector, found.weight, sectors) == pytest.approx(
        np.minimum(np.bincount(sector, found.weight, sectors), 1.2 * share), abs=1e-10
    )
    assert found.weight.sum() <= 1.0 + 1e-12
    assert cash or found.weight.sum() == pytest.approx(1.0, abs=1e-12)


@few
@given(seed=seeds, n=st.integers(40, 150), turnover=st.sampled_from([0.02, 0.1, 0.2]))
def test_risk4(seed, n, turnover):
    """The book before keeps all limits but drifts out of some; whatever gives way is stated."""
    rng = np.random.default_rng(seed)
    sector, share = universe(rng, n, 6)
    previous = rng.dirichlet(np.full(n, 3.0))
    target = 0.8 * previous + 0.2 * wanted(rng, n)
    limits = long_only(previous, 0.03, sector_rules(sector, LABELS, 1.3 * share), turnover)
    found = nearest(target, limits)
    optimal(found, target)
    assert bool(found.relaxed) == (not possible(limits))
    assert np.abs(found.weight - previous).sum() <= found.limits.turnover + 1e-10
    assert {one.kind for one in found.relaxed} <= {"turnover"}


@few
@given(seed=seeds, n=st.integers(20, 90))
def test_ls(seed, n):
    rng = np.random.default_rng(seed)
    side = np.where(np.arange(2 * n) < n, 1.0, -1.0)
    sector, share = universe(rng, 2 * n, 5)
    beta = rng.normal(1.0, 0.3, 2 * n)
    target = side * wanted(rng, 2 * n)
    limits = long_short(side, beta, 0.05, sector, LABELS, 2 * share, np.zeros(2 * n))
    found = nearest(target, limits)
    optimal(found, target)
    if not found.relaxed:
        assert found.weight[:n].sum() == pytest.approx(0.5, abs=1e-9)
        assert found.weight[n:].sum() == pytest.approx(-0.5, abs=1e-9)
        assert beta @ found.weight == pytest.approx(0.0, abs=1e-9)
        assert (side * found.weight).min() >= 0.0


def test_a_projection_that_can_be_done_by_hand():
    """0.6, 0.3, 0.1 under a cap of one half: what is cut is shared by the others alike."""
    found = nearest(np.array([0.6, 0.3, 0.1]), long_only(np.zeros(3), 0.5))
    assert found.weight == pytest.approx([0.5, 0.35, 0.15], abs=1e-12)
    assert found.binding == ("weight of a name",)


def test_turnover_by_hand():
    """0.2 to trade: the largest wishes are cut by the same amount, the small one is not traded at all."""
    previous, target = np.full(4, 0.25), np.array([0.45, 0.26, 0.24, 0.05])
    found = nearest(target, long_only(previous, 1.0, turnover=0.2))
    assert found.weight == pytest.approx([0.35, 0.25, 0.25, 0.15], abs=1e-12)
    assert found.weight[1] == 0.25
    assert found.binding == ("turnover",)


@few
@given(seed=seeds)
def test_the_simplex_by_bisection(seed):
    """Without rules the projection is a clip of target − λ; λ found by bisection."""
    rng = np.random.default_rng(seed)
    target, cap = rng.normal(0.01, 0.03, 80), 0.03
    low, high = -1.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.clip(target - middle, 0.0, cap).sum() > 1.0 else (low, middle)
    found = nearest(target, long_only(np.zeros(80), cap))
    np.testing.assert_allclose(found.weight, np.clip(target - low, 0.0, cap), atol=1e-9)


@few
@given(seed=seeds)
def test_the_order_of_names_plays_no_role(seed):
    rng = np.random.default_rng(seed)
    n = 60
    sector, share = universe(rng, n, 5)
    previous, target, turn = rng.dirichlet(np.full(n, 3.0)), wanted(rng, n), rng.permutation(n)
    one = nearest(target, long_only(previous, 0.04, sector_rules(sector, LABELS, 1.5 * share), 0.5))
    two = nearest(
        target[turn], long_only(previous[turn], 0.04, sector_rules(sector[turn], LABELS, 1.5 * share), 0.5)
    )
    np.testing.assert_allclose(two.weight, one.weight[turn], atol=1e-9)


def test_thirty_names_at_three_percent():
    target = np.linspace(0.0, 0.1, 30)
    found = nearest(target, long_only(np.zeros(30), 0.03))
    (one,) = found.relaxed
    assert (one.kind, one.limit) == ("name", 0.03)
    assert one.relaxed == pytest.approx(1.0 / 30.0 + ROUNDED_UP, abs=1e-9)
    assert found.weight.sum() == pytest.approx(1.0, abs=1e-12)
    cash = nearest(target, long_only(np.zeros(30), 0.03, allow_cash=True))
    assert not cash.relaxed
    np.testing.assert_allclose(cash.weight, np.minimum(target, 0.03), atol=1e-10)


def test_one_sector():
    """A sector with a limit below 1 that has all names: the sector gives way, not the name."""
    rules = sector_rules(np.zeros(50, dtype=int), ["Energy"], np.array([0.4]))
    found = nearest(np.full(50, 0.02), long_only(np.zeros(50), 0.03, rules))
    assert [(one.kind, one.label, one.limit) for one in found.relaxed] == [("sector", "sector Energy", 0.4)]
    assert found.relaxed[0].relaxed == pytest.approx(1.0, abs=2 * ROUNDED_UP)
    np.testing.assert_allclose(found.weight, 0.02, atol=1e-10)


def test_no_name_is_wanted():
    """With all scores 0 the nearest book that is invested holds all names alike."""
    found = nearest(np.zeros(50), long_only(np.zeros(50), 0.03))
    np.testing.assert_allclose(found.weight, 0.02, atol=1e-12)


def test_turnover_gives_way_before_the_sector():
    """All is in sector a, of which 0.6 is allowed: 0.4 must leave and be bought elsewhere."""
    sector = np.arange(100) % 2
    previous = np.where(sector == 0, 0.02, 0.0)
    rules = sector_rules(sector, "ab", np.array([0.6, 0.6]))
    found = nearest(previous, long_only(previous, 0.03, rules, 0.1))
    (one,) = found.relaxed
    assert (one.kind, one.limit) == ("turnover", 0.1)
    assert one.relaxed == pytest.approx(0.8, abs=2 * ROUNDED_UP)
    assert set(found.binding) - {"turnover"} == {"sector a"}


def test_a_turnover_that_misses_by_next_to_nothing_gives_way():
    """Ten names that may not be held any more take a turnover of 2 · 0.1; there is 1e-8 less."""
    previous = np.r_[np.full(10, 0.01), np.full(90, 0.01)]
    gone = replace(long_only(previous, 0.03, turnover=0.2 - 1e-8), upper=np.r_[np.zeros(10), np.ones(90)])
    found = nearest(previous, gone)
    (one,) = found.relaxed
    assert one.kind == "turnover"
    assert one.relaxed == pytest.approx(0.2, abs=2 * ROUNDED_UP)
    assert not found.limits.broken(found.weight)


def test_name_sector_and_turnover_give_way_together():
    """Ten names of one sector: each must reach 10 %, the sector 100 %, and all is to be bought from cash."""
    rules = sector_rules(np.zeros(10, dtype=int), ["Energy"], np.array([0.5]))
    found = nearest(np.full(10, 0.1), long_only(np.zeros(10), 0.03, rules, 0.2))
    assert [one.kind for one in found.relaxed] == ["turnover", "sector", "name"]
    assert [one.relaxed for one in found.relaxed] == pytest.approx([1.0, 1.0, 0.1], abs=2 * ROUNDED_UP)


def test_equal_betas_are_neutral_by_themselves():
    side = np.repeat([1.0, -1.0], 40)
    target = side / 80.0 * np.linspace(0.5, 1.5, 80)
    limits = long_short(
        side, np.full(80, 1.3), 0.03, np.zeros(80, dtype=int), ["a"], np.array([2.0]), np.zeros(80)
    )
    found = nearest(target, limits)
    optimal(found, target)
    assert not found.relaxed


def test_betas_that_cannot_be_neutral():
    """All longs at 1.2 and all shorts at 0.8: half of the difference is left, and said."""
    side = np.repeat([1.0, -1.0], 40)
    limits = long_short(
        side, 1.0 + 0.2 * side, 0.03, np.zeros(80, dtype=int), ["a"], np.array([2.0]), np.zeros(80)
    )
    found = nearest(side / 80.0, limits)
    (one,) = found.relaxed
    assert (one.kind, one.limit) == ("beta", 0.0)
    assert one.relaxed == pytest.approx(0.2, abs=2 * ROUNDED_UP)


@few
@given(seed=seeds)
def test_what_gives_way_gives_way_least(seed):
    """Limits just below what was used can't hold; a kind gives way only if those before it don't suffice."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 45))
    sector, share = universe(rng, n, 3)
    previous = rng.dirichlet(np.ones(n))
    rules = sector_rules(sector, LABELS, rng.uniform(0.5, 1.5) * share)
    limits = long_only(previous, 0.04, rules, rng.uniform(0.02, 0.5))
    found = nearest(wanted(rng, n), limits)
    assert found.limits.broken(found.weight) == []
    assert bool(found.relaxed) == (not possible(limits))
    kinds = {one.kind: one.relaxed - one.limit for one in found.relaxed}
    free = limits
    for kind in ("turnover", "sector", "name"):
        free = free.widened(kind, 10.0)
        later = {k: by for k, by in kinds.items() if ORDER.index(k) > ORDER.index(kind)}
        assert possible(free) == (not later)
    for kind in kinds:
        tight = found.limits.widened(kind, -2 * ROUNDED_UP)
        for before in ORDER[: ORDER.index(kind)]:
            tight = tight.widened(before, 10.0) if before in {"turnover", "sector"} else tight
        assert not possible(tight)


def test_participation_and_a_side_are_kept():
    previous = np.array([0.5, 0.3, 0.2])
    limits = replace(long_only(previous, 1.0), largest=np.array([0.05, np.inf, np.inf]))
    found = nearest(np.array([0.0, 0.5, 0.5]), limits)
    assert found.weight == pytest.approx([0.45, 0.275, 0.275], abs=1e-10)
    assert "participation" in found.binding


def test_usage_and_what_is_broken():
    rules = sector_rules(np.array([0, 0, 1]), ["Energy", "Banks"], np.array([0.5, 0.9]))
    limits = long_only(np.array([0.2, 0.2, 0.6]), 0.4, rules, 0.3)
    weight = np.array([0.35, 0.2, 0.45])
    told = {one.label: one for one in limits.usage(weight)}
    assert told["sector Energy"].value == pytest.approx(0.55)
    assert told["turnover"].slack == pytest.approx(0.0)
    assert {one.label for one in limits.broken(weight)} == {"sector Energy", "weight of a name"}


def test_rounding_does_not_choose_which_of_two_names_at_their_limits_is_told():
    previous = np.array([0.3, 0.3, 0.4])
    limits = replace(long_only(previous, 1.0), largest=np.array([0.25, 0.1, 0.5]))
    for step in (0.1, 0.4 - 0.3, 0.1 + 1e-16):
        weight = previous + np.array([0.25, step, -0.25 - step])
        [told] = [one for one in limits.usage(weight) if one.kind == "participation"]
        assert (told.limit, told.binding) == (0.25, True)


def test_participation_is_told_of_the_name_that_takes_the_largest_part_of_its_own():
    previous = np.array([0.3, 0.3, 0.3, 0.1])
    limits = replace(long_only(previous, 1.0), largest=np.array([0.5, 0.01, np.inf, 0.0]))
    for trade, value, limit in (
        ([0.1, 0.001, -0.101, 0.0], 0.1, 0.5),
        ([0.1, -0.004, -0.096, 0.0], 0.004, 0.01),
    ):
        [told] = [one for one in limits.usage(previous + np.array(trade)) if one.kind == "participation"]
        assert (told.value, told.limit) == (pytest.approx(value), limit)
    scaled = replace(  # a change of scale takes the second one to its limit
        limits,
        largest=np.array([0.5, 0.006, np.inf, 0.0]),
        traded=previous + np.array([0.0, 0.008, 0.0, 0.0]),
    )
    weight = previous + np.array([0.0, 0.002, -0.002, 0.0])
    [told] = [one for one in scaled.usage(weight) if one.kind == "participation"]
    assert (told.limit, told.binding) == (0.006, True)
    halted = replace(scaled, halted=np.array([False, True, False, True]))
    [told] = [one for one in halted.usage(weight) if one.kind == "participation"]
    assert told.limit == 0.5
    beyond = previous + np.array([0.1, 0.0, -0.11, 0.01])
    [told] = [one for one in limits.usage(beyond) if one.kind == "participation"]
    assert (told.limit, told.holds) == (0.0, False)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_allowed_breaks_nothing(seed):
    """Books that miss one limit by a hair, by little or by much, and such as keep all."""
    rng = np.random.default_rng(seed)
    previous = rng.dirichlet(np.ones(6))
    traded = previous * rng.uniform(0.9, 1.1, 6)
    rules = (
        Rule("budget", "net", np.ones(6), 1.0, 1.0),
        Rule("sector", "sector Energy", (np.arange(6) < 3).astype(float), -np.inf, previous[:3].sum() + 0.01),
        Rule("gross", "gross", np.ones(6), -np.inf, 1.0, size=True),
    )
    limits = Limits(np.zeros(6), np.ones(6), previous + 0.02, rules, previous, 0.05, np.full(6, 0.12), traded)
    seen = set()
    for size in (0.0, 1e-10, 1e-8, 0.01, 0.05):
        for _ in range(20):
            step = rng.normal(size=6)
            weight = previous + size * (step - rng.integers(0, 2) * step.mean())
            assert limits.allow(weight) == (not limits.broken(weight))
            seen.add(limits.allow(weight))
    assert seen == {True, False}


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="target"):
        nearest(np.array([np.nan, 1.0]), long_only(np.zeros(2), 1.0))
    with pytest.raises(InputError, match="finite"):
        long_only(np.array([np.nan, 0.0]), 1.0)
    one = Rule("gross", "gross", np.array([-1.0, 1.0]), -np.inf, 1.0, size=True)
    nothing = np.zeros(2)
    with pytest.raises(InputError, match="absolute"):
        Limits(nothing, nothing, nothing, (one,), nothing, np.inf, nothing)
    shorts = long_short(-np.ones(3), np.ones(3), 1.0, np.zeros(3, dtype=int), ["a"], np.ones(1), np.zeros(3))
    with pytest.raises(WorkError, match="no book fits"):
        nearest(np.zeros(3), shorts)


def test_names_without_freedom_need_no_room():
    """Three hundred names that are fixed and three that are not: more names than pieces and rows."""
    n, free = 303, 3
    previous = np.full(n, 0.5 / n)
    limits = long_only(previous, 1.0, turnover=2.0)
    fixed = np.arange(n) >= free
    limits = replace(limits, lower=np.where(fixed, previous, 0.0), upper=np.where(fixed, previous, 1.0))
    target = np.concatenate([[0.4, 0.2, -0.1], np.zeros(n - free)])
    found = nearest(target, limits)
    rest = 1.0 - previous[fixed].sum()
    level = (0.6 - rest) / 2.0
    np.testing.assert_allclose(found.weight[:free], [0.4 - level, 0.2 - level, 0.0], atol=1e-9)
    np.testing.assert_array_equal(found.weight[fixed], previous[fixed])


def test_a_book_that_misses_a_limit_by_a_hair_is_left_to_the_general_solver(monkeypatch):
    """The compiled method measures itself in units of the problem; a limit is in weight."""
    module = importlib.import_module("kairos.equity.backtest.nearest")
    minimise = module.interior.minimise

    def careless(*problem):
        found = minimise(*problem)
        return replace(found, w=found.w * (1.0 + 1e-7))

    n = 40
    target = wanted(np.random.default_rng(3), n)
    limits = long_only(np.zeros(n), 0.03, [])
    exact = nearest(target, limits)
    monkeypatch.setattr(module.interior, "minimise", careless)
    found = nearest(target, limits)
    assert found.fallback
    assert found.limits.broken(found.weight) == []
    assert found.weight == pytest.approx(exact.weight, abs=1e-6)
