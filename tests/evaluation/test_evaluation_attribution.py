from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from kairos.errors import InputError
from kairos.evaluation.attribution import (
    Book,
    attribute_to_factors,
    attribute_to_groups,
    exposures,
    factor_returns,
    linked,
)

T, N, G = 30, 24, 3


@pytest.fixture
def panels():
    """Returns with a planted size premium, two characteristics, three groups, some of it missing."""
    random = np.random.default_rng(1)
    size, beta = random.normal(size=(2, T, N))
    groups = np.arange(N) % G
    returns = np.full((T, N), np.nan)
    level = random.normal(0.0, 0.01, size=(T, G))
    returns[1:] = level[1:, groups] + 0.002 * size[:-1] - 0.001 * beta[:-1]
    returns[1:] += 0.01 * random.normal(size=(T - 1, N))
    size[random.random((T, N)) < 0.05] = np.nan
    returns[5, 3] = np.nan
    members = random.random((T, N)) < 0.9
    return returns, {"size": size, "beta": beta}, groups, members


@pytest.fixture
def history():
    """A book that is traded every third day, followed with plain loops: what it earned, paid and held."""
    random = np.random.default_rng(2)
    asset = random.normal(0.0, 0.01, size=(T, N))
    weight, cash, interest = np.zeros(N), 1.0, 0.0001
    total, cost, held = np.zeros(T), np.zeros(T), []
    for t in range(T):
        before = weight.sum() + cash
        weight, cash = weight * (1.0 + asset[t]), cash * (1.0 + interest) if t else cash
        equity = weight.sum() + cash
        total[t] = equity / before - 1.0
        if t % 3 == 0:
            target = np.where(random.random(N) < 0.4, random.normal(size=N) * 0.1, 0.0) * equity
            cost[t] = 0.001 * np.abs(target - weight).sum() / equity
            cash = equity - target.sum() - cost[t] * equity
            weight = target
        held.append(weight / equity)  # in units of the equity before the cost
        total[t] = (1.0 + total[t]) * (1.0 - cost[t]) - 1.0
    dense = np.array(held)
    day, column = np.nonzero(dense)
    return Book(day, column, dense[day, column], (T, N)), dense, asset, total, cost


def test_parts_add_up_to_the_day(history):
    book, dense, asset, total, cost = history
    groups = np.arange(N) % G
    found = attribute_to_groups(book, asset, groups, G, total, cost)
    np.testing.assert_allclose(found.groups.sum(axis=1) + found.costs + found.rest, total, atol=1e-15)
    for t in range(1, T):
        own = dense[t - 1] / (1.0 - cost[t - 1])
        for g in range(G):
            assert found.groups[t, g] == pytest.approx(np.sum((own * asset[t])[groups == g]), abs=1e-15)
        # what is left is the interest on the cash, and nothing else
        assert found.rest[t] == pytest.approx((1.0 - own.sum()) * 0.0001, abs=1e-14)
        assert found.costs[t] == pytest.approx(-cost[t] * (1.0 + total[t]) / (1.0 - cost[t]), abs=1e-15)
    assert not found.groups[0].any()
    everything = np.column_stack([found.groups, found.costs, found.rest])
    assert linked(everything, total).sum() == pytest.approx(np.prod(1.0 + total) - 1.0, rel=1e-12)


def test_groups_of_a_name_may_change(history):
    book, dense, asset, total, cost = history
    moving = np.random.default_rng(3).integers(0, G, size=(T, N))
    found = attribute_to_groups(book, asset, moving, G, total, cost)
    own = dense[7] / (1.0 - cost[7])
    expected = [np.sum((own * asset[8])[moving[7] == g]) for g in range(G)]
    np.testing.assert_allclose(found.groups[8], expected, atol=1e-15)


def test_a_missing_return_is_named(history):
    book, _, asset, total, cost = history
    day, column = int(book.day[40]), int(book.column[40])
    asset[day + 1, column] = np.nan
    with pytest.raises(InputError, match=f"row {day}, column {column} has no return in the row after"):
        attribute_to_groups(book, asset, np.arange(N) % G, G, total, cost)


def test_exposures_by_hand(history):
    book, dense, *_ = history
    groups = np.arange(N) % G
    beta = np.random.default_rng(4).normal(1.0, 0.3, size=(T, N))
    beta[4] = np.nan
    beta[5, np.flatnonzero(dense[5])[0]] = np.nan
    found = exposures(book, groups, G, {"beta": beta})
    for t in range(T):
        for g in range(G):
            assert found.net[t, g] == pytest.approx(dense[t, groups == g].sum(), abs=1e-15)
            assert found.gross[t, g] == pytest.approx(np.abs(dense[t, groups == g]).sum(), abs=1e-15)
        known = np.isfinite(beta[t]) & (dense[t] != 0.0)
        if t == 4:
            assert np.isnan(found.mean["beta"][t])
            continue
        scale = np.abs(dense[t]).sum() / np.abs(dense[t][known]).sum()
        assert found.mean["beta"][t] == pytest.approx(np.sum((dense[t] * beta[t])[known]) * scale)


def test_factor_returns_equal_daily_regressions(panels):
    returns, chars, groups, members = panels
    found = factor_returns(returns, chars, groups, G, members)
    assert found.names == ("size", "beta")
    assert np.isnan(found.characteristics[0]).all()
    for t in range(1, T):
        x = np.column_stack([chars["size"][t - 1], chars["beta"][t - 1], np.eye(G)[groups]])
        use = members[t - 1] & np.isfinite(x).all(axis=1) & np.isfinite(returns[t])
        expected = sm.OLS(returns[t][use], x[use]).fit().params
        np.testing.assert_allclose([*found.characteristics[t], *found.groups[t]], expected, atol=1e-13)


def test_planted_premium_is_found():
    """500 names: the mean factor return is the planted one within three errors."""
    random = np.random.default_rng(6)
    size = random.normal(size=(200, 500))
    returns = np.full((200, 500), np.nan)
    returns[1:] = 0.001 * size[:-1] + 0.02 * random.normal(size=(199, 500))
    found = factor_returns(returns, {"size": size}, np.arange(500) % 4, 4, np.ones((200, 500), bool))
    series = found.characteristics[1:, 0]
    assert series.mean() == pytest.approx(0.001, abs=3 * 0.02 / np.sqrt(500 * 199))


def test_a_day_that_cannot_be_regressed(panels):
    returns, chars, groups, members = panels
    chars["beta"][9] = 2.0 * chars["size"][9]
    members[12] = False
    found = factor_returns(returns, chars, groups, G, members)
    missing = np.isnan(found.characteristics).any(axis=1)
    assert np.flatnonzero(missing).tolist() == [0, 10, 13]
    plain = factor_returns(returns, {}, groups, G, members)
    use = members[3] & (groups == 1) & np.isfinite(returns[4])
    assert plain.groups[4, 1] == pytest.approx(returns[4][use].mean())


def test_factors_add_up_to_the_day(panels, history):
    book, dense, _, total, cost = history
    returns, chars, groups, members = panels
    held = np.where(np.isnan(returns), 0.0, returns)
    fitted = factor_returns(returns, chars, groups, G, members)
    found = attribute_to_factors(book, held, fitted, list(chars.values()), groups, total, cost)
    whole = found.characteristics.sum(axis=1) + found.groups.sum(axis=1)
    np.testing.assert_allclose(whole + found.specific + found.costs + found.rest, total, atol=1e-15)
    t = 8
    own = dense[t - 1] / (1.0 - cost[t - 1])
    exists = np.isfinite(chars["size"][t - 1])
    expected = np.sum((own * chars["size"][t - 1])[exists]) * fitted.characteristics[t, 0]
    assert found.characteristics[t, 0] == pytest.approx(expected)
    assert found.groups[t, 2] == pytest.approx(own[exists & (groups == 2)].sum() * fitted.groups[t, 2])


def test_a_pure_factor_book_has_no_specific_part():
    """A market that is nothing but factors: everything is explained."""
    random = np.random.default_rng(9)
    size, groups = random.normal(size=(T, N)), np.arange(N) % G
    returns = np.zeros((T, N))
    returns[1:] = random.normal(size=(T - 1, G))[:, groups] * 0.01 + 0.003 * size[:-1]
    weight = np.full(T * N, 1.0 / N)
    book = Book(np.repeat(np.arange(T), N), np.tile(np.arange(N), T), weight, (T, N))
    total = np.concatenate([[0.0], returns[1:].mean(axis=1)])
    fitted = factor_returns(returns, {"size": size}, groups, G, np.ones((T, N), bool))
    found = attribute_to_factors(book, returns, fitted, [size], groups, total, np.zeros(T))
    np.testing.assert_allclose(found.specific, 0.0, atol=1e-15)
    np.testing.assert_allclose(found.rest, 0.0, atol=1e-15)
    np.testing.assert_allclose(fitted.characteristics[1:, 0], 0.003, atol=1e-15)


def test_what_is_no_book(history, panels):
    book, _, asset, total, cost = history
    returns, chars, groups, members = panels
    with pytest.raises(InputError, match="three vectors of one length"):
        Book(book.day, book.column[1:], book.weight, (T, N))
    with pytest.raises(InputError, match="column of a position lies outside the 5"):
        Book(book.day, book.column, book.weight, (T, 5))
    with pytest.raises(InputError, match="weight is missing"):
        Book(book.day[:1], book.column[:1], np.array([np.nan]), (T, N))
    with pytest.raises(InputError, match=r"outside 0\.\.1"):
        attribute_to_groups(book, asset, groups, 2, total, cost)
    with pytest.raises(InputError, match="groups must be"):
        factor_returns(returns, chars, groups - 1, G, members)
    fitted = factor_returns(returns, chars, groups, G, members)
    with pytest.raises(InputError, match="1 characteristics"):
        attribute_to_factors(book, asset, fitted, [chars["size"]], groups, total, cost)
