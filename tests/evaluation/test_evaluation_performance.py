from __future__ import annotations

import json
from math import isnan

import empyrical
import numpy as np
import pytest

from kairos.errors import InputError
from kairos.evaluation import growth, risk, sharpe
from kairos.evaluation.performance import performance


def test_headline_numbers(returns, dates):
    random = np.random.default_rng(4)
    n = returns.size
    benchmark = 0.8 * returns + 0.005 * random.normal(size=n)
    turnover = np.where(np.arange(n) % 5 == 0, 0.4, 0.0)
    found = performance(
        returns,
        dates,
        252,
        turnover=turnover,
        cost=turnover * 0.001,
        gross=np.full(n, 1.0),
        net=np.full(n, 0.9),
        n_positions=np.full(n, 50),
        benchmark=benchmark,
    )
    active = returns - benchmark
    assert (found.start, found.end, found.sessions) == (dates[0], dates[-1], n)
    assert found.total_return == growth.total_return(returns)
    assert found.sharpe == sharpe.sharpe_ratio(returns, 252)
    assert found.sharpe_se == sharpe.sharpe_se(returns, 252)
    assert found.sortino == risk.sortino(returns, 252)
    assert (found.best, found.worst) == (returns.max(), returns.min())
    assert found.max_drawdown == growth.max_drawdown(returns)
    assert found.turnover == pytest.approx(0.4 * 252 / 5, rel=0.01)
    assert found.cost_drag == pytest.approx(found.turnover * 0.001)
    assert (found.gross, found.net, found.n_positions) == pytest.approx((1.0, 0.9, 50.0))
    assert found.beta == pytest.approx(empyrical.beta(returns, benchmark), rel=1e-10)
    assert found.active_return == pytest.approx(active.mean() * 252)
    assert found.tracking_error == pytest.approx(active.std(ddof=1) * np.sqrt(252))
    assert found.information_ratio == pytest.approx(
        empyrical.excess_sharpe(returns, benchmark) * np.sqrt(252)
    )


def test_what_was_not_given_is_missing(returns, dates):
    found = performance(returns, dates, 252)
    for name in ("turnover", "cost_drag", "gross", "net", "n_positions", "beta", "information_ratio"):
        assert isnan(getattr(found, name)), name


def test_risk_free_enters_the_sharpe_ratio_only(returns, dates):
    rate = np.full(returns.size, 0.0001)
    found, plain = performance(returns, dates, 252, risk_free=rate), performance(returns, dates, 252)
    assert found.sharpe == sharpe.sharpe_ratio(returns, 252, rate) < plain.sharpe
    assert found.sortino == plain.sortino


def test_as_dict_is_json(returns, dates):
    numbers = performance(returns, dates, 252).as_dict()
    read = json.loads(json.dumps(numbers))
    assert read["start"] == str(dates[0])
    assert read["sharpe"] == numbers["sharpe"]


def test_a_strategy_equal_to_its_benchmark(returns, dates):
    found = performance(returns, dates, 252, benchmark=returns)
    assert (found.beta, found.active_return, found.tracking_error) == pytest.approx((1.0, 0.0, 0.0))
    assert isnan(found.information_ratio)


def test_lengths_and_gaps_are_named(returns, dates):
    with pytest.raises(InputError, match="turnover has 3 values, expected 760"):
        performance(returns, dates, 252, turnover=[0.0, 0.1, 0.2])
    gap = returns.copy()
    gap[7] = np.nan
    with pytest.raises(InputError, match=r"benchmark\[7\] is missing"):
        performance(returns, dates, 252, benchmark=gap)
