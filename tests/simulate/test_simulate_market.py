"""The in-memory market: shapes, bars, adjustments, endings, and the planted moments found again."""

import numpy as np
import pytest
from scipy import stats

from kairos.errors import InputError
from kairos.market import sessions
from kairos.simulate import market
from kairos.simulate.listings import REASONS

PANELS = ("open", "high", "low", "close", "volume", "closeadj", "closeunadj", "split_factor")
ROUNDING = 0.5e-4


@pytest.fixture(scope="module")
def returns(simulated):
    """Total returns, row t from t to t + 1."""
    return simulated.closeadj[1:] / simulated.closeadj[:-1] - 1.0


def test_layout(simulated):
    shape = (len(sessions("2015-01-02", "2018-01-01")), 250)
    panels = {name: getattr(simulated, name) for name in PANELS} | dict(simulated.characteristics)
    for name, panel in panels.items():
        assert panel.shape == shape, name
        assert panel.flags.f_contiguous, name
        assert panel.dtype == np.float64, name
        assert not np.isinf(panel).any(), name
    quoted = simulated.listings.quoted.T
    for name in PANELS:
        assert np.array_equal(np.isfinite(getattr(simulated, name)), quoted), name
    assert list(simulated.characteristics) == ["reversal", "value", "quality", "insider", "leverage"]


def test_bars_hold_together(simulated):
    quoted = simulated.listings.quoted.T
    low, high = simulated.low[quoted], simulated.high[quoted]
    for name in ("open", "close"):
        price = getattr(simulated, name)[quoted]
        assert (low <= price).all()
        assert (price <= high).all()
    assert low.min() > 0
    assert (simulated.volume[quoted] >= 0).all()
    stale = quoted & ~simulated.listings.traded.T
    assert stale.sum() > 20
    assert (simulated.volume[stale] == 0).all()
    assert (simulated.high[stale] == simulated.low[stale]).all()
    assert (simulated.volume[quoted & ~stale] >= 1).all()


def test_splits_connect_adjusted_and_traded_prices(simulated):
    quoted = simulated.listings.quoted.T
    gap = np.abs(simulated.close * simulated.split_factor - simulated.closeunadj)[quoted]
    assert (gap <= ROUNDING * (1.0 + simulated.split_factor[quoted]) + 1e-9).all()
    column, row, ratio = simulated.splits
    assert set(ratio) == {0.1, 2.0, 3.0}
    quiet = simulated.closeunadj[row, column] / simulated.closeunadj[row - 1, column] * ratio
    adjusted = simulated.close[row, column] / simulated.close[row - 1, column]
    quoted_before = np.isfinite(quiet)
    assert quoted_before.sum() > 10
    np.testing.assert_allclose(quiet[quoted_before], adjusted[quoted_before], rtol=2e-3)
    assert (
        np.abs(np.log(simulated.closeunadj[row, column] / simulated.closeunadj[row - 1, column])).mean() > 0.5
    )


def test_closeadj_is_the_total_return(simulated, returns):
    """By the definition (close + dividend reinvested on the ex-date), not by the adjustment factors."""
    column, row, amount = simulated.dividends
    cash = np.zeros_like(simulated.close)
    cash[row, column] = amount
    expected = simulated.close[1:] / (simulated.close[:-1] - cash[1:]) - 1.0
    cheapest = np.minimum(simulated.closeadj[1:], simulated.closeadj[:-1])
    error = np.abs(returns - expected)
    seen = np.isfinite(error)
    assert (cash > 0).sum() > 500
    assert (error[seen] <= 8 * ROUNDING / cheapest[seen]).all()
    final = simulated.listings.last
    np.testing.assert_array_equal(
        simulated.closeadj[final, np.arange(250)], simulated.close[final, np.arange(250)]
    )


def test_nothing_is_quoted_outside_the_listing(simulated):
    row = np.arange(len(simulated.dates))[:, None]
    outside = (row < simulated.listings.first) | (row > simulated.listings.last)
    assert np.isnan(simulated.close[outside]).all()
    ends = simulated.close[simulated.listings.last, np.arange(250)]
    assert np.isfinite(ends).all()


def test_halts_are_gaps_of_1_to_15_sessions(simulated):
    column, begin, length = simulated.listings.halts
    assert len(column) > 10
    assert length.min() >= 1
    assert length.max() <= 15
    for i, t, n in zip(column, begin, length, strict=True):
        assert np.isnan(simulated.close[t : t + n, i]).all()


def test_every_reason_of_delisting_and_what_it_does(simulated):
    listings = simulated.listings
    assert set(listings.reason) == {"", *REASONS}
    gone = listings.last < len(simulated.dates) - 1
    assert np.array_equal(gone, listings.reason != "")

    def final_move(reason):
        who = np.flatnonzero((listings.reason == reason) & (listings.last - listings.first > 70))
        before = simulated.closeadj[listings.last[who] - 65, who]
        return simulated.closeadj[listings.last[who], who] / before - 1.0

    assert np.nanmedian(final_move("acquisition")) > 0.1
    assert np.nanmax(final_move("bankruptcy")) < -0.2


def test_a_reused_symbol_has_two_owners_with_a_gap_between(simulated):
    listings = simulated.listings
    again = np.flatnonzero(listings.tickers[1:] == listings.tickers[:-1]) + 1
    assert len(again) >= 1
    assert (listings.first[again] - listings.last[again - 1] >= 40).all()
    assert len(set(listings.permatickers)) == 250
    assert (listings.permatickers[again] != listings.permatickers[again - 1]).all()


def test_universe_rules_drop_a_part_and_names_come_and_go(simulated):
    """Price, turnover and size as a point-in-time universe would see them."""
    dollars = np.nan_to_num(simulated.close * simulated.volume)
    average = np.cumsum(dollars, axis=0)
    average = (average[60:] - average[:-60]) / 60
    shares = simulated.listings.marketcap / simulated.close[simulated.listings.first, np.arange(250)]
    size = shares * simulated.close[60:]
    member = (average >= 5e5) & (simulated.closeunadj[60:] >= 2.0) & (size >= 3e8)
    listed = simulated.listings.quoted.T[60:]
    share = member.sum() / listed.sum()
    assert 0.4 < share < 0.9
    changes = (member[1:] != member[:-1]).any(axis=0)
    assert changes.sum() > 30
    assert (simulated.listings.adv >= 1e5).all()
    assert (simulated.listings.adv <= 2e8).all()


def test_moments_are_realistic(simulated, returns):
    annual = np.nanstd(returns, axis=0) * np.sqrt(252)
    assert 0.25 < np.nanmedian(annual) < 0.55
    assert simulated.listings.beta.min() >= 0.5
    assert simulated.listings.beta.max() <= 1.6
    long_market = market(tickers=10, years=9, seed=3).market_factor
    assert long_market.std() * np.sqrt(252) == pytest.approx(0.16, abs=0.03)
    assert stats.kurtosis(returns[np.isfinite(returns)]) > 2.0


def test_betas_are_found_by_regression(simulated, returns):
    """Ordinary least squares on the market factor, security by security, within four errors."""
    whole = np.flatnonzero((simulated.listings.first == 0) & (simulated.listings.reason == ""))
    m = simulated.market_factor[1:]
    deviations = []
    for i in whole[:60]:
        seen = np.isfinite(returns[:, i])
        fit = stats.linregress(m[seen], returns[seen, i])
        deviations.append((fit.slope - simulated.listings.beta[i]) / fit.stderr)
    assert np.abs(deviations).max() < 4.0
    assert np.abs(np.mean(deviations)) < 0.5
    assert 0.7 < np.std(deviations) < 1.3


def test_sector_factors_are_in_the_returns(simulated, returns):
    listings = simulated.listings
    residual = returns - listings.beta * simulated.market_factor[1:, None]
    for s in range(3):
        mean = np.nanmean(residual[:, listings.sector == s], axis=1)
        assert np.corrcoef(mean, simulated.sector_factors[1:, s])[0, 1] > 0.4


def test_reversal_is_the_past_return_known_at_the_close(simulated):
    planted = simulated.characteristics["reversal"]
    observed = np.full_like(planted, np.nan)
    observed[21:] = simulated.closeadj[21:] / simulated.closeadj[:-21] - 1.0
    both = np.isfinite(planted) & np.isfinite(observed)
    assert both.sum() > 100_000
    cheap = simulated.closeadj < 1.0
    np.testing.assert_allclose(observed[both & ~cheap], planted[both & ~cheap], atol=1e-3)


def test_persistent_characteristics_are_standard_autoregressions():
    long = market(tickers=300, years=9, seed=5)
    whole = (long.listings.first == 0) & (long.listings.reason == "")
    for name, half_life in (("value", 378), ("quality", 504), ("insider", 42), ("leverage", 504)):
        z = long.characteristics[name][:, whole]
        assert np.nanmean(z) == pytest.approx(0.0, abs=0.12)
        assert np.nanstd(z) == pytest.approx(1.0, abs=0.08)
        now, then = z[half_life:], z[:-half_life]
        both = np.isfinite(now) & np.isfinite(then)
        assert np.corrcoef(now[both], then[both])[0, 1] == pytest.approx(0.5, abs=0.08)


def test_premium_is_earned_over_the_session_that_follows(simulated, returns):
    """Regression of the next return on the expected premium has slope 1, of the same day's return not."""
    premium = simulated.expected_premium()
    after, before = [], []
    for t in range(60, len(returns)):
        seen = np.isfinite(premium[t]) & np.isfinite(returns[t]) & np.isfinite(returns[t - 1])
        after.append(stats.linregress(premium[t, seen], returns[t, seen]).slope)
        before.append(stats.linregress(premium[t, seen], returns[t - 1, seen]).slope)
    error = np.std(after) / np.sqrt(len(after))
    assert np.mean(after) == pytest.approx(1.0, abs=4 * error)
    assert np.mean(after) > 4 * error
    assert np.mean(before) < -4 * error  # a reversal is high after a fall


def test_one_seed_one_market():
    first, second = market(40, 2, 9), market(40, 2, 9)
    for name in PANELS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.close, market(40, 2, 10).close)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tickers": 9}, "tickers"),
        ({"years": 0}, "years"),
        ({"seed": -1}, "seed"),
        ({"start": "02.01.2015"}, "start"),
        ({"start": "2015-01-02", "years": 80}, "after today"),
    ],
)
def test_bad_arguments(arguments, said):
    with pytest.raises(InputError, match=said):
        market(**{"tickers": 20, "years": 1, **arguments})


@pytest.mark.parametrize("tickers", [10, 19])
def test_tiny_markets_work(tickers):
    assert market(tickers=tickers, years=1).close.shape[1] == tickers
