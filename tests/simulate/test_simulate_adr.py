"""The simulated desk in memory: what is planted can be found again, by plain statistics."""

import numpy as np
import pytest

from kairos.errors import InputError
from kairos.simulate.adr import describe, draw_desk
from kairos.simulate.adr_desk.daily import mispricing
from kairos.simulate.adr_desk.timeline import clock

FUTURE = 150


@pytest.fixture(scope="module")
def desk():
    """Four ADRs, the second and the third at R² = 0.2, and more than twelve years to measure in."""
    return draw_desk(4, 40, 6, seed=5, strength=(0.2, 0.2), without=0.5, future_months=FUTURE)


@pytest.fixture(scope="module")
def log_returns(desk):
    """By ADR: log returns from c to c of index, ordinary (index currency), US stocks; their length in τ."""
    return {column: _returns(desk, column) for column in range(len(desk.pairs))}


def _returns(desk, column):
    pair = desk.pairs[column]
    exchange = pair.venue.exchange
    series = {}
    days, prices = desk.ordinary_closes()
    series["ordinary"] = dict(zip(days, prices[:, column], strict=True))
    for name, (when, values) in {
        "future": desk.futures(pair.contract.index, exchange),
        "local": desk.exchange_rates(pair.venue.iso, exchange),
        "foreign": desk.exchange_rates(pair.contract.currency, exchange),
        "us": desk.us_closes(exchange),
    }.items():
        series[name] = dict(zip(when, values, strict=True))
    good = [
        day
        for day in series["us"]
        if day in series["future"]
        and np.isfinite(series["ordinary"][day])
        and np.isfinite(series["us"][day]).sum() > 20
    ]
    value = np.array([series["ordinary"][d] * series["local"][d] / series["foreign"][d] for d in good])
    future = np.array([series["future"][d] for d in good])
    us = np.array([series["us"][d] for d in good])
    reference = desk.timeline.references[exchange]
    at = dict(zip(reference.days, reference.at, strict=True))
    length = np.diff(desk.timeline.clock[[at[d] for d in good]])
    return np.diff(np.log(future)), np.diff(np.log(value)), np.diff(np.log(us), axis=0), length


def test_betas_are_recovered_by_least_squares(desk, log_returns):
    for column, pair in enumerate(desk.pairs):
        index, ordinary, _, _ = log_returns[column]
        slope = np.polyfit(index, ordinary, 1)[0]
        error = pair.residual / index.std() / np.sqrt(len(index))
        assert abs(slope - pair.beta) < 4.0 * error
        assert error < 0.03


def test_us_betas_are_recovered_by_least_squares(desk, log_returns):
    for column, pair in enumerate(desk.pairs):
        index, _, us, _ = log_returns[column]
        truth = describe(desk)["us_stocks"]
        for position, ticker in enumerate(desk.us_tickers):
            if "betas" not in truth[ticker]:
                continue
            valid = np.isfinite(us[:, position])
            slope, constant = np.polyfit(index[valid], us[valid, position], 1)
            left = us[valid, position] - constant - slope * index[valid]
            error = left.std() / index[valid].std() / np.sqrt(valid.sum())
            assert abs(slope - truth[ticker]["betas"][pair.contract.index]) < 4.5 * error


def test_planted_predictors_and_their_share_of_the_residual(desk, log_returns):
    truth = describe(desk)
    with_predictors = 0
    for column, pair in enumerate(desk.pairs):
        index, ordinary, us, length = log_returns[column]
        residual = ordinary - pair.beta * index
        betas = np.array(
            [truth["us_stocks"][t].get("betas", {}).get(pair.contract.index, np.nan) for t in desk.us_tickers]
        )
        us_residual = us - betas * index[:, None]
        planted = truth["adrs"][pair.adr]["predictors"]
        assert np.allclose(residual.var() / length.mean(), pair.residual**2, rtol=0.1)
        if not planted:
            assert pair.strength == 0.0
            continue
        with_predictors += 1
        columns = [desk.us_tickers.index(ticker) for ticker in planted]
        rows = np.isfinite(us_residual[:, columns]).all(axis=1)
        X, y = us_residual[rows][:, columns], residual[rows]
        weights, left, *_ = np.linalg.lstsq(X, y, rcond=None)
        errors = np.sqrt(left[0] / len(y) * np.diag(np.linalg.inv(X.T @ X)))
        assert np.all(np.abs(weights - np.array(list(planted.values()))) < 4.0 * errors)
        explained = 1.0 - left[0] / (y @ y)
        assert abs(explained - 0.2) < 0.04
        perfect = np.corrcoef(X @ np.array(list(planted.values())), y)[0, 1]
        assert abs(perfect - truth["adrs"][pair.adr]["known_ic"]["residual_ic"]) < 0.05
    assert with_predictors == 2


def test_an_adr_without_predictors_has_none(desk, log_returns):
    truth = describe(desk)
    seen = 0
    for column, pair in enumerate(desk.pairs):
        if len(pair.predictors):
            continue
        index, ordinary, us, _ = log_returns[column]
        residual = ordinary - pair.beta * index
        for position, ticker in enumerate(desk.us_tickers):
            about = truth["us_stocks"][ticker]
            if about.get("twin_of") == pair.adr:
                continue
            beta = about.get("betas", {}).get(pair.contract.index, 1.0)
            u = us[:, position] - beta * index
            valid = np.isfinite(u)
            assert abs(np.corrcoef(u[valid], residual[valid])[0, 1]) < 4.5 / np.sqrt(valid.sum())
            seen += 1
    assert seen > 70


def test_known_coefficients_hold_on_a_long_history(desk, log_returns):
    truth = describe(desk)["adrs"]
    for column, pair in enumerate(desk.pairs):
        index, ordinary, us, _ = log_returns[column]
        known = truth[pair.adr]["known_ic"]
        assert abs(np.corrcoef(index, ordinary)[0, 1] - known["baseline_ic"]) < 0.04
        weight, column_of = pair.weights, pair.predictors
        betas = np.array(
            [describe(desk)["us_stocks"][desk.us_tickers[c]]["betas"][pair.contract.index] for c in column_of]
        )
        rows = np.isfinite(us[:, column_of]).all(axis=1)
        model = pair.beta * index + (us[:, column_of] - betas * index[:, None]) @ weight
        assert abs(np.corrcoef(model[rows], ordinary[rows])[0, 1] - known["model_ic"]) < 0.04
        assert known["ic_improvement"] == pytest.approx(known["model_ic"] - known["baseline_ic"])


def test_twins_follow_their_adr(desk, log_returns):
    assert desk.us_tickers[-2] == desk.pairs[0].adr
    assert desk.us_tickers[-1] not in {pair.adr for pair in desk.pairs}
    for column, position in ((0, -2), (1, -1)):
        _, ordinary, us, _ = log_returns[column]
        valid = np.isfinite(us[:, position])
        assert np.corrcoef(us[valid, position], ordinary[valid])[0, 1] > 0.9  # the rest is the currency


def test_index_file_and_future_part_where_the_index_closes_later(desk):
    """Oslo's c is 16:25, the index closes at 17:35: the file's return is not the future's."""

    def correlation(exchange, index):
        days, future = desk.futures(index, exchange)
        others, level = desk.index_closes(index)
        both = np.intersect1d(days, others)
        f = np.diff(np.log(future[np.isin(days, both)]))
        return np.corrcoef(f, np.diff(np.log(level[np.isin(others, both)])))[0, 1]

    assert correlation("XLON", "UKX") > 0.999
    assert 0.8 < correlation("XOSL", "SXXP") < 0.98


def test_the_future_changes_nothing_before_it():
    short = draw_desk(6, 30, 8, seed=2)
    long = draw_desk(6, 30, 8, seed=2, future_months=5)
    for exchange in short.planted.exchanges:
        days, prices = short.us_closes(exchange)
        more, longer = long.us_closes(exchange)
        assert np.array_equal(days, more[: len(days)])
        assert len(more) > len(days) + 90
        assert np.array_equal(prices, longer[: len(days)], equal_nan=True)
    for take in ("ordinary_closes", "adr_mids", "ordinary_opens"):
        days, prices = getattr(short, take)()
        assert np.array_equal(prices, getattr(long, take)()[1][: len(days)], equal_nan=True)


def test_seeds_differ_and_repeat():
    first, again, other = (draw_desk(3, 20, 2, seed=seed).us_prices for seed in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.isclose(first, other).any()


def test_nothing_planted_is_possible():
    for arguments in ({"strength": (0.0, 0.0)}, {"without": 1.0}):
        desk = draw_desk(4, 20, 1, **arguments)
        assert all(len(pair.predictors) == 0 and pair.strength == 0.0 for pair in desk.pairs)
    everywhere = draw_desk(4, 20, 1, without=0.0, strength=(0.3, 0.3))
    assert all(3 <= len(pair.predictors) <= 6 and pair.strength == 0.3 for pair in everywhere.pairs)


def test_clock_runs_a_day_in_a_day_and_never_stands():
    def at(*texts):
        return clock(np.array(texts, dtype="datetime64[m]"))

    assert np.diff(at("2024-03-05T16:36", "2024-03-06T16:36"))[0] == pytest.approx(1.0)
    assert np.diff(at("2024-03-05T07:00", "2024-03-05T21:00"))[0] == pytest.approx(0.7)
    assert np.diff(at("2024-03-08T00:00", "2024-03-11T00:00"))[0] == pytest.approx(1.1)  # Friday to Monday
    assert np.diff(at("2024-03-09T00:00", "2024-03-10T00:00"))[0] == pytest.approx(0.05)  # Saturday
    minutes = np.arange(np.datetime64("2024-03-01T00:00"), np.datetime64("2024-03-15T00:00"))
    assert (np.diff(clock(minutes)) > 0).all()


def test_mispricing_has_its_half_life_and_deviation():
    for pair in draw_desk(3, 20, 1, seed=4).pairs:
        delta = mispricing(4, pair, 500)
        assert delta.shape == (500, 391)
        assert delta.std() == pytest.approx(pair.mispricing, rel=0.05)
        assert delta[:, 0].std() == pytest.approx(pair.mispricing, rel=0.15)
        lag = int(pair.half_life)
        slope = (delta[:, lag:] * delta[:, :-lag]).mean() / (delta[:, :-lag] ** 2).mean()
        assert slope == pytest.approx(0.5 ** (lag / pair.half_life), abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"adrs": 0}, "adrs 0"),
        ({"us_stocks": 19}, "us_stocks 19"),
        ({"seed": -1}, "seed -1"),
        ({"months": 0}, "months 0"),
        ({"future_months": -1}, "future_months -1"),
        ({"start": "soon"}, "'soon'"),
        ({"strength": (0.3, 0.2)}, "strength"),
        ({"strength": (0.3, 1.0)}, "strength"),
        ({"without": 1.5}, "without 1.5"),
    ],
)
def test_arguments_out_of_range(arguments, named):
    with pytest.raises(InputError, match=named.replace("(", r"\(")):
        draw_desk(**{"adrs": 2, "us_stocks": 20, "months": 1, **arguments})
