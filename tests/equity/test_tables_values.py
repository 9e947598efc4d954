"""Every column of every table against its definition, on a simulated market and on one made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import tables_oracle as oracle

TECHNICAL = (
    *("feat_adv", "feat_beta", "feat_price_action", "feat_price_shape", "feat_stat", "feat_targets"),
    *("feat_trend", "feat_vol_sizing", "feat_volume_volatility"),
)
TOUCHED = pytest.mark.parametrize("market", ["simulated", "by_hand"])
SMALL = {"amihud_21d": 1e-18}
"""Absolute tolerances; all other columns are of the order of 1e-4 or more."""


@pytest.fixture(scope="module")
def truth(request):
    """Definitions of a built market, computed once."""
    found = {}

    def of(name):
        if name not in found:
            market = request.getfixturevalue(name)
            vendor = market.vendor
            listed = oracle.listings(vendor)
            members = oracle.point_in_time(vendor, listed)
            chosen = {one.ticker for one, member in zip(listed, members, strict=True) if member.any()}
            found[name] = (market, vendor, listed, members, chosen, oracle.features(vendor, listed, members))
        return found[name]

    return of


def differences(stored, expected, columns):
    """Cells in which a stored column is not what the definition says, as readable lines."""
    stored, expected = (
        rows.sort_values(["ticker", "date"], ignore_index=True) for rows in (stored, expected)
    )
    keys = [*zip(stored["ticker"], stored["date"], strict=True)]
    assert keys == [*zip(expected["ticker"], expected["date"], strict=True)]
    lines = []
    for column in columns:
        a, b = stored[column].to_numpy(float), expected[column].to_numpy(float)
        same = np.isclose(a, b, rtol=1e-6, atol=SMALL.get(column, 1e-10), equal_nan=True)
        for i in np.flatnonzero(~same)[:4]:
            lines.append(f"{column} {keys[i][0]} {keys[i][1]}: stored {a[i]!r}, defined {b[i]!r}")
        if not same.all():
            lines.append(f"{column}: {(~same).sum()} of {len(same)} differ")
    return "\n".join(lines)


@TOUCHED
@pytest.mark.parametrize("name", TECHNICAL)
def test_columns_are_what_the_definitions_say(truth, market, name):
    built, vendor, listed, _, chosen, defined = truth(market)
    stored = built.read(name)
    expected = oracle.rows(listed, oracle.calendar(vendor), defined[name])
    expected = expected[expected["ticker"].isin(chosen)].reset_index(drop=True)
    assert set(stored.columns) - {"ticker", "date"} == set(defined[name])
    assert not (found := differences(stored, expected, defined[name])), found


@TOUCHED
def test_universe(truth, market):
    built, vendor, listed, members, _, _ = truth(market)
    expected = oracle.rows(
        listed,
        oracle.calendar(vendor),
        {
            "member": np.array(members),
            "adv_60": [oracle.adv(one, 60, 40) for one in listed],
            "price": [one["closeunadj"] for one in listed],
            "marketcap": [oracle.size(one) for one in listed],
        },
    )
    expected = expected[expected["member"]].reset_index(drop=True)
    stored = built.read("universe")
    assert not (found := differences(stored, expected, ["adv_60", "price", "marketcap"])), found


@TOUCHED
def test_price_bases_hold_all_prices_of_their_tickers(truth, market):
    built, vendor, listed, _, chosen, _ = truth(market)
    listed_b = {row[0] for row in oracle.option_b(vendor, listed)}
    for name, tickers in (("sep_base_academic", chosen), ("sep_base_expanded", listed_b)):
        prices = vendor["sep"][vendor["sep"]["ticker"].isin(tickers)]
        prices = prices.sort_values(["ticker", "date"], ignore_index=True)
        stored = built.read(name).sort_values(["ticker", "date"], ignore_index=True)
        for column in ("ticker", "date", *oracle.FIELDS):
            assert stored[column].equals(prices[column]), (name, column)


@TOUCHED
def test_sessions(truth, market):
    built, vendor, *_ = truth(market)
    stored = built.read("sessions")
    count = vendor["sep"].groupby("date").size()
    assert stored["date"].tolist() == oracle.calendar(vendor)
    assert stored["session"].tolist() == list(range(len(stored)))
    assert stored["tickers"].tolist() == count.sort_index().tolist()


@TOUCHED
def test_listings(truth, market):
    built, _, listed, *_ = truth(market)
    stored = built.read("listings")
    expected = pd.DataFrame(
        [(o.ticker, o.number, o.first, o.last, o.ended, o.reason, o.payout) for o in listed],
        columns=["ticker", "listing", "first_session", "last_session", "ended", "reason", "payout"],
    )
    wrong = []
    for (_, a), (_, b) in zip(stored[expected.columns].iterrows(), expected.iterrows(), strict=True):
        left, right = ([None if pd.isna(x) else x for x in row] for row in (a, b))
        if left != right:
            wrong.append(f"stored {left}\n  defined {right}")
    assert not wrong, "\n".join(wrong)


def test_simulated_ends_pay_what_the_simulation_planted(simulated):
    """A reason that the vendor's file does not tell (unknown) pays 0 like the benign ones."""
    loss = {"bankruptcy": -0.30, "regulatory": -0.30}
    securities = json.loads((simulated.folder / "truth.json").read_text())["securities"]
    stored = simulated.read("listings").set_index(["ticker", "last"])
    ended = [s for s in securities if s["reason"]]
    assert {s["reason"] for s in ended} >= {"acquisition", "bankruptcy", "merger"}
    for security in ended:
        row = stored.loc[(security["ticker"], pd.Timestamp(security["last_session"]).date())]
        assert row["ended"]
        assert row["payout"] == loss.get(security["reason"], 0.0), security


def test_z_of_few_or_equal_values_is_zero(tiny):
    market = tiny(60)
    late = np.where(np.arange(60) < 10, np.nan, 30.0)
    market.add("A", 30.0)
    market.add("B", late)
    market.add("C", late)
    market.add("D", late, marketcap=10.0)
    made = market.build("feat_adv")
    rows = made.read("feat_adv").pivot(index="date", columns="ticker", values=["adv_z", "size_z"])
    assert "D" not in rows["adv_z"]
    one, three = rows.iloc[39:49], rows.iloc[49:]
    for column in ("adv_z", "size_z"):
        assert (one[column]["A"] == 0.0).all()  # one member
        assert (three[column] == 0.0).all().all()  # three equal members
        assert one[column][["B", "C"]].isna().all().all()


def test_constant_prices_have_no_deviation(by_hand):
    stat = by_hand.read("feat_stat").query("ticker == 'CONST'")
    assert (stat["vol_21d"].dropna() == 0.0).all()
    assert len(stat["vol_21d"].dropna()) == 130 - 20
    for column in ("close_zscore_21d", "ret_1d_zscore_21d", "skew_63d", "kurt_63d", "mean_reversion_flag"):
        assert stat[column].isna().all(), column
    assert (stat["max_drawdown_63d"].dropna() == 0.0).all()


def test_a_flat_bar_has_no_shape(by_hand):
    rows = by_hand.read("feat_price_shape").query("ticker == 'FLAT'").reset_index(drop=True)
    flat = rows.loc[range(50, 130, 3)]
    for column in ("body_pct_of_range", "upper_wick_pct", "lower_wick_pct"):
        assert flat[column].isna().all()
        assert rows.drop(flat.index)[column].notna().all()
    assert (flat[["body_size", "upper_wick", "lower_wick", "candle_range"]] == 0.0).all().all()
