"""Tiny backtests whose numbers a reader can follow with a pencil."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_backtest_oracle import Case, End, Rules, bt_run

from kairos.equity.backtest.costs import Costs
from kairos.panel.weights import interest

FREE = Rules(top_n=1)


def test_bought_at_the_close_after_the_decision() -> None:
    """Decided on row 0 at 100, filled on row 1 at 110: row 1 is missed, rows 2 and 3 are earned."""
    run = bt_run(Case({"A": [100, 110, 121, 133.1]}, {"A": [1, 1, 1, 1]}, FREE))
    assert run.first == 1
    assert run.raw.ret.tolist() == pytest.approx([0, 0, 0.10, 0.10])
    assert run.raw.turnover.tolist() == [0, 1, 0, 0]


def test_lag_0_fills_at_the_close_that_was_decided_on() -> None:
    run = bt_run(Case({"A": [100, 110, 121, 133.1]}, {"A": [1, 1, 1, 1]}, replace(FREE, lag=0)))
    assert run.first == 0
    assert run.raw.ret.tolist() == pytest.approx([0, 0.10, 0.10, 0.10])


def test_cost_of_the_first_purchase() -> None:
    """5 bp + 0.7 · 2 % · √(10 M / 1 000 M) = 0.0005 + 0.7 · 0.02 · 0.1 = 0.0019 of the money."""
    case = Case(
        {"A": [100, 100, 110]},
        {"A": [1, 1, 1]},
        replace(FREE, half_spread=0.0005, impact=0.7, capital=10e6),
        adv={"A": [1e9, 1e9, 1e9]},
        volatility={"A": [0.02, 0.02, 0.02]},
    )
    run = bt_run(case)
    assert run.raw.cost.tolist() == pytest.approx([0, 0.0019, 0])
    # 1 000 of shares, 998.1 of equity: 110 on them leaves 1 098.1 - that is 10.019 % of 998.1
    assert run.raw.ret.tolist() == pytest.approx([0, -0.0019, 0.1 / 0.9981])


def test_five_per_cent_of_the_volume_a_day() -> None:
    """20 M a day, 10 M to buy: 1 M = a tenth a day until it is done; only a missing price cancels."""
    case = Case(
        {"A": [100.0] * 9},
        {"A": [1.0] * 9},
        replace(FREE, participation=0.05, every=20),
        adv={"A": [20e6] * 9},
    )
    run = bt_run(case)
    assert run.raw.gross.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert run.raw.unpriced == 0


def test_participation_is_a_limit_of_the_close_also_where_an_order_takes_over() -> None:
    """The next order fills on row 6, when the first one is still open: row 6 trades one tenth, not two."""
    case = Case(
        {"A": [100.0] * 13}, {"A": [1.0] * 13}, replace(FREE, participation=0.05), adv={"A": [20e6] * 13}
    )
    run = bt_run(case)
    assert run.raw.turnover.tolist() == pytest.approx([0.0] + [0.1] * 10 + [0.0] * 2)


def test_a_purchase_that_is_no_longer_wanted_is_not_made_at_the_close_that_sells_it() -> None:
    """A waits without a price until row 6, where the next order, for B, fills: A is never bought."""
    case = Case(
        {"A": [100, *[None] * 5, 100, 100, 100], "B": [50.0] * 9},
        {"A": [2, *[None] * 5, 1, 1, 1], "B": [1.0] * 9},
        replace(FREE, half_spread=0.001),
    )
    run = bt_run(case)
    assert run.raw.cost[6] == pytest.approx(0.001)
    assert run.raw.turnover[6] == pytest.approx(1.0)


@pytest.mark.parametrize(("back", "bought"), [(2, True), (6, True), (7, False)])
def test_an_order_waits_five_sessions_for_a_price(back: int, bought: bool) -> None:
    """The fill is due on row 1; a price on row 6 is the fifth session of waiting, row 7 is too late."""
    prices = [100.0, *[None] * (back - 1), *[100.0] * (9 - back)]
    run = bt_run(Case({"A": prices}, {"A": [1.0] * 9}, replace(FREE, every=20)))
    assert run.raw.gross[back:].tolist() == [1.0 if bought else 0.0] * (9 - back)
    assert run.raw.unpriced == (0 if bought else 1)


def test_a_name_that_ended_before_the_fill_is_not_bought() -> None:
    """A trades for the last time on the decision date; its half of the money stays cash."""
    case = Case(
        {"A": [100, *[None] * 8], "B": [100, 100, 110, *[110.0] * 6]},
        {"A": [1.0] * 9, "B": [1.0] * 9},
        replace(FREE, top_n=2, every=20),
        ends={"A": End(settled=1, payout=-0.3)},
    )
    run = bt_run(case)
    assert run.raw.names.tolist() == [0, *[1] * 8]
    assert run.raw.ret.tolist() == pytest.approx([0, 0, 0.05, *[0] * 6])


def test_a_halt_earns_nothing_and_then_the_whole_move() -> None:
    """A is halted on rows 2 and 3 and comes back 30 % lower; it is half of the book."""
    case = Case(
        {"A": [100, 100, None, None, 70, 70], "B": [10.0] * 6},
        {"A": [1.0] * 6, "B": [1.0] * 6},
        replace(FREE, top_n=2, every=20),
    )
    assert bt_run(case).raw.ret.tolist() == pytest.approx([0, 0, 0, 0, -0.15, 0])


@pytest.mark.parametrize(("settled", "when"), [(3, 3), (12, 12)])
def test_a_delisting_pays_out_when_it_is_known(settled: int, when: int) -> None:
    """Last price 100 on row 2, bankruptcy at -30 %: half of the book loses 15 % on the day of the pay-out.

    An action makes it known the session after; without one it takes ten sessions without a price.
    """
    case = Case(
        {"A": [100, 100, 100, *[None] * 12], "B": [10.0] * 15},
        {"A": [1.0] * 15, "B": [1.0] * 15},
        replace(FREE, top_n=2, every=20),
        ends={"A": End(settled, -0.3)},
    )
    run = bt_run(case)
    expected = np.zeros(15)
    expected[when] = -0.15
    assert run.raw.ret.tolist() == pytest.approx(expected.tolist())
    assert run.raw.names.tolist() == [0, *[2] * (when - 1), *[1] * (15 - when)]
    # B is 0.5 of 0.85 from then on, the rest is cash
    assert run.raw.gross[when:].tolist() == pytest.approx([0.5 / 0.85] * (15 - when))


def test_the_book_drifts_between_rebalances() -> None:
    """A doubles: 1/2 + 1/2 becomes 2/3 + 1/3. Another +50 % of A is then worth 2/3 · 50 %."""
    case = Case(
        {"A": [100, 100, 200, 300, 300, 300, 300], "B": [10.0] * 7},
        {"A": [1.0] * 7, "B": [1.0] * 7},
        replace(FREE, top_n=2),
    )
    run = bt_run(case)
    assert run.raw.ret[:4].tolist() == pytest.approx([0, 0, 0.5, 1 / 3])
    assert run.raw.weights[2].tolist() == pytest.approx([2 / 3, 1 / 3])
    # 3/4 and 1/4 go back to one half each on row 6
    assert run.raw.turnover[6] == pytest.approx(0.5)
    assert run.raw_bench.ret.tolist() == pytest.approx(run.raw.ret.tolist())


def test_the_benchmark_is_the_universe_of_the_decision_date() -> None:
    """C joins on row 2, after the decision: its +100 % is no part of the benchmark, which holds A and B."""
    case = Case(
        {"A": [100, 100, 110], "B": [100, 100, 100], "C": [100, 100, 200]},
        {"A": [3, 3, 3], "B": [2, 2, 2], "C": [1, 1, 1]},
        FREE,
        members={"A": [True] * 3, "B": [True] * 3, "C": [False, False, True]},
    )
    run = bt_run(case)
    assert run.raw_bench.ret.tolist() == pytest.approx([0, 0, 0.05])
    assert run.raw.ret.tolist() == pytest.approx([0, 0, 0.10])


def test_borrow_is_charged_for_calendar_days() -> None:
    """Half of the money short at 3.65 % a year: 0.5 · 0.0001 a day, three days over a weekend."""
    days = [np.datetime64(d) for d in ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06")]
    case = Case(
        {"A": [100.0] * 4, "B": [100.0] * 4},
        {"A": [2.0] * 4, "B": [1.0] * 4},
        replace(FREE, bottom_n=1, borrow=0.0365),
        days=days,
    )
    run = bt_run(case)
    assert run.raw.ret[:3].tolist() == pytest.approx([0, 0, -0.5e-4])
    # 3 · 0.5e-4 of the equity to which the shorts are half, which lost 0.5e-4
    assert run.raw.ret[3] == pytest.approx(-1.5e-4 / (1 - 0.5e-4))
    assert not run.raw_bench.ret.any()


def test_financing_and_cash_interest() -> None:
    """Twice the money: the second half is borrowed at 3.65 %. Regime off: all of it is cash at 3.65 %."""
    up = [100 * 1.001**i * (1 + 0.0001 * (i % 2)) for i in range(9)]
    case = Case(
        {"A": [*up]},
        {"A": [1.0] * 9},
        replace(FREE, every=1, financing_rate=0.0365, target_vol=9.0, window=5, min_obs=2),
        days=list(np.datetime64("2020-06-01") + np.arange(9)),
    )
    run = bt_run(case)
    assert run.scaled.gross[-2] == pytest.approx(2.0)
    assert run.scaled.ret[-1] == pytest.approx(2 * (1.001 * 1.0 / 1.0001 - 1) - 0.0001)
    cash = replace(case, rules=replace(FREE, every=2, cash_rate=0.0365), allowed=[True] * 2 + [False] * 7)
    assert bt_run(cash).raw.ret[4:].tolist() == pytest.approx([0.0001] * 5)


def test_scale_is_target_over_past_volatility_and_applies_from_the_fill() -> None:
    """Returns of ±1 % in turns: std of 4 of them (2 up, 2 down) is 1 % · √(4/3)."""
    prices = [100.0]
    for i in range(11):
        prices.append(prices[-1] * (1.01 if i % 2 else 0.99))
    target = 0.1
    case = Case(
        {"A": [*prices]}, {"A": [1.0] * 12},
        replace(FREE, every=6, target_vol=target, window=4, min_obs=4, half_spread=0.001),
    )  # fmt: skip
    run = bt_run(case)
    scale = target / (np.sqrt(252) * 0.01 * np.sqrt(4 / 3))
    assert run.scales == pytest.approx(
        [1.0, scale], rel=1e-3
    )  # costs make the returns of row 2 differ a little
    assert run.fills == [1, 7]
    assert run.scaled.gross[7] == pytest.approx(run.scales[1])
    assert run.scaled.cost[7] == pytest.approx(0.001 * abs(run.scales[1] - 1 / (1 - 0.001)), rel=0.02)
    assert run.raw.turnover[7] == pytest.approx(0.001, abs=1e-4)
    assert run.scaled.ret[8] == pytest.approx(run.scales[1] * (prices[8] / prices[7] - 1), rel=1e-3)


def test_ties_are_broken_by_ticker() -> None:
    names = ["D", "B", "A", "C"]
    for rank_by in ("alpha", "alpha_z"):
        rules = replace(FREE, top_n=2, rank_by=rank_by)
        run = bt_run(Case({n: [10.0] * 3 for n in names}, {n: [1.0] * 3 for n in names}, rules))
        assert run.market.frame.tickers[run.raw.weights[1] > 0].tolist() == ["A", "B"]


def test_purchases_wait_for_the_money_of_sales() -> None:
    """A is halted when it should be sold for B: B is bought on row 7, when A has a price again."""
    case = Case(
        {"A": [100, 100, 100, 100, 100, 100, None, 90, 90], "B": [10.0] * 9},
        {"A": [2, 1, 1, 1, 1, 1, 1, 1, 1], "B": [1, 2, 2, 2, 2, 2, 2, 2, 2]},
        FREE,
    )
    run = bt_run(case)
    assert run.raw.weights[6].tolist() == [1.0, 0.0]
    assert run.raw.weights[7].tolist() == [0.0, 1.0]
    assert run.raw.ret[7] == pytest.approx(-0.10)


def test_cost_is_the_formula() -> None:
    costs = Costs(
        half_spread=0.0005, impact=0.7, participation=0.05, borrow=0.005, financing_rate=0.05, cash_rate=0.01,
        capital=10e6,
    )  # fmt: skip
    change, volatility, adv = (
        np.array([0.02, -0.01, 0.0]),
        np.array([0.02, 0.03, 0.01]),
        np.array([2e6, 5e7, 0]),
    )
    expected = [
        0.02 * (0.0005 + 0.7 * 0.02 * (0.02 * 10e6 * 1.5 / 2e6) ** 0.5),
        0.01 * (0.0005 + 0.7 * 0.03 * (0.01 * 10e6 * 1.5 / 5e7) ** 0.5),
        0.0,
    ]
    assert costs.trade(change, volatility, adv, 1.5).tolist() == pytest.approx(expected)
    assert costs.largest(adv, 1.5).tolist() == pytest.approx([0.05 * 2e6 / 15e6, 0.05 * 5e7 / 15e6, 0])
    assert interest(1.5, 0.25, 30.0, costs.terms) == pytest.approx((-0.05 * 0.5 - 0.005 * 0.25) * 30 / 365)
    assert interest(0.4, 0.0, 365.0, costs.terms) == pytest.approx(0.01 * 0.6)
