"""Where a listing begins and ends, and what its end is worth, case by case."""

import numpy as np
import pandas as pd
import pytest

T = 130


def of(market, ticker):
    rows = market.read("listings")
    return rows[rows["ticker"] == ticker].reset_index(drop=True)


def spans(market, ticker):
    rows = of(market, ticker)
    return list(zip(rows["first_session"], rows["last_session"], strict=True))


def targets(market, ticker):
    """Rows of feat_targets by session number."""
    numbers = market.read("sessions").set_index("date")["session"]
    rows = market.read("feat_targets")
    rows = rows[rows["ticker"] == ticker]
    return rows.assign(t=[numbers[d] for d in rows["date"]]).set_index("t")


def closeadj(market, ticker):
    rows = market.vendor["sep"]
    numbers = market.read("sessions").set_index("date")["session"]
    rows = rows[rows["ticker"] == ticker]
    return dict(zip([numbers[d] for d in rows["date"]], rows["closeadj"], strict=True))


def test_a_gap_of_nine_sessions_is_a_halt_and_of_ten_an_end(by_hand):
    assert spans(by_hand, "GAP09") == [(0, T - 1)]
    assert spans(by_hand, "GAP10") == [(0, 69), (80, T - 1)]
    assert spans(by_hand, "GAP11") == [(0, 69), (81, T - 1)]
    assert of(by_hand, "GAP10")["settled_session"].tolist()[0] == 79
    assert of(by_hand, "GAP10")["reason"].tolist()[0] == "unknown"


@pytest.mark.parametrize(
    ("ticker", "reason", "payout", "settled"),
    [
        ("END0", "acquisitionby", 0.0, 81),
        ("END1", "mergerfrom", 0.0, 81),
        ("END2", "bankruptcyliquidation", -0.30, 81),
        ("END3", "regulatorydelisting", -0.30, 81),
        ("END4", "voluntarydelisting", 0.0, 81),
        ("ENDBARE", "unknown", 0.0, 81),
        ("ENDQUIET", "unknown", 0.0, 90),
        ("ENDLATE", "bankruptcyliquidation", -0.30, 125),
    ],
)
def test_reason_and_payout(by_hand, ticker, reason, payout, settled):
    (row,) = of(by_hand, ticker).to_dict("records")
    assert row["ended"]
    assert (row["reason"], row["payout"], row["settled_session"]) == (reason, payout, settled)


@pytest.mark.parametrize("ticker", ["ALIVE0", "PAUSED", "SURVIVOR", "HALTS", "RARE"])
def test_who_has_not_ended(by_hand, ticker):
    """`mergerto` and `acquisitionof` name the company that goes on (the vendor's ACTIONTYPES)."""
    (row,) = of(by_hand, ticker).to_dict("records")
    assert not row["ended"]
    assert pd.isna(row["reason"])
    assert np.isnan(row["payout"])


def test_a_ticker_that_goes_on_under_another_company_the_next_session(by_hand):
    rows = of(by_hand, "NEXTDAY")
    assert spans(by_hand, "NEXTDAY") == [(0, 60), (61, T - 1)]
    assert rows["reason"].tolist()[0] == "regulatorydelisting"
    assert rows["reason"].isna().tolist() == rows["payout"].isna().tolist() == [False, True]
    assert rows["settled_session"].tolist()[0] == 61


def test_the_reason_stays_with_the_company_that_ended(by_hand):
    """The successor's three sessions are all within five of the action; the loss is the predecessor's."""
    rows = of(by_hand, "YOUNG")
    assert spans(by_hand, "YOUNG") == [(0, T - 4), (T - 3, T - 1)]
    assert rows["reason"].tolist()[0] == "bankruptcyliquidation"
    assert not rows["ended"].tolist()[1]
    assert rows["payout"].tolist()[0] == -0.30


def test_nothing_is_computed_across_two_companies(by_hand):
    """The second company trades at three times the first one's price from the next session on."""
    numbers = by_hand.read("sessions").set_index("date")["session"]
    for table, column, waits in (
        ("feat_price_action", "ret_1d", 1),
        ("feat_price_action", "ret_21d", 21),
        ("feat_price_action", "true_range", 1),
        ("feat_price_shape", "gap_open", 1),
        ("feat_trend", "sma_5", 4),
        ("feat_stat", "vol_21d", 20),
        ("feat_volume_volatility", "volume_pct_change_1d", 1),
    ):
        rows = by_hand.read(table)
        rows = rows[rows["ticker"] == "NEXTDAY"]
        values = dict(zip([numbers[d] for d in rows["date"]], rows[column], strict=True))
        assert np.isfinite(values[60]), column
        assert all(np.isnan(values[61 + i]) for i in range(waits)), column
        assert np.isfinite(values[61 + waits]), column
    trend = by_hand.read("feat_trend")
    prices = by_hand.vendor["sep"]
    first = trend.query("ticker == 'NEXTDAY'").iloc[61]
    assert numbers[first["date"]] == 61
    assert first["ema_26"] == prices.query("ticker == 'NEXTDAY'").iloc[61]["close"]


@pytest.mark.parametrize(
    ("ticker", "payout"),
    [("END0", 0.0), ("END1", 0.0), ("END2", -0.3), ("END3", -0.3), ("END4", 0.0), ("ENDQUIET", 0.0)],
)
def test_targets_of_a_ticker_that_ends(by_hand, ticker, payout):
    rows, p = targets(by_hand, ticker), closeadj(by_hand, ticker)
    for t in (60, 75, 78, 79, 80):
        for h in (1, 5, 21):
            expected = p[t + h] / p[t] - 1 if t + h <= 80 else p[80] / p[t] * (1 + payout) - 1
            assert rows.loc[t, f"ret_{h}d_f"] == pytest.approx(expected, rel=1e-6, abs=1e-9), (t, h)
        assert rows.loc[t, "label_5d_up"] == (rows.loc[t, "ret_5d_f"] > 0)


def test_targets_use_the_last_price_in_a_halt_and_end_with_the_data(by_hand):
    rows, p = targets(by_hand, "GAP09"), closeadj(by_hand, "GAP09")
    assert rows.loc[69, "ret_5d_f"] == 0.0
    assert rows.loc[68, "ret_5d_f"] == pytest.approx(p[69] / p[68] - 1, rel=1e-6)
    assert rows.loc[69, "ret_21d_f"] == pytest.approx(p[90] / p[69] - 1, rel=1e-6)
    alive = targets(by_hand, "ALIVE0")
    for h in (1, 5, 21):
        assert alive[f"ret_{h}d_f"].isna().to_list() == [t + h > T - 1 for t in range(T)]
    assert alive["label_5d_up"].isna().sum() == 5
    paused = targets(by_hand, "PAUSED")
    assert paused.loc[124, ["ret_1d_f", "ret_5d_f"]].tolist() == [0.0, 0.0]


def test_targets_of_the_predecessor_do_not_see_the_successor(by_hand):
    rows, p = targets(by_hand, "NEXTDAY"), closeadj(by_hand, "NEXTDAY")
    assert rows.loc[58, "ret_5d_f"] == pytest.approx(p[60] / p[58] * 0.7 - 1, rel=1e-6)
    assert rows.loc[60, "ret_1d_f"] == pytest.approx(-0.3)
    assert rows.loc[61, "ret_1d_f"] == pytest.approx(p[62] / p[61] - 1, rel=1e-6)
    young = targets(by_hand, "YOUNG")
    assert young.loc[T - 4, "ret_1d_f"] == pytest.approx(-0.3)


def test_an_action_later_than_the_prices_says_nothing_about_them_yet(tiny):
    """A delisting dated after the last session of the data is not one that has happened in them."""
    market = tiny(70)
    for i in range(3):
        market.add(f"A{i}", 30.0 + np.arange(70) % 7 + i)
    market.act("A0", market.days[-1].replace(year=2021), "delisted", "bankruptcyliquidation")
    made = market.build("listings")
    (row,) = of(made, "A0").to_dict("records")
    assert not row["ended"]


def test_an_action_on_a_weekend_belongs_to_the_session_before(tiny):
    market = tiny(70)
    friday = next(t for t in range(30, 40) if market.days[t].weekday() == 4)
    close = 30.0 + np.arange(70) % 7
    market.add("A", np.where(np.arange(70) <= friday, close, np.nan))
    market.add("B", close)
    market.act(
        "A", market.days[friday].replace(day=market.days[friday].day + 1), "delisted", "regulatorydelisting"
    )
    (row,) = of(market.build("listings"), "A").to_dict("records")
    assert (row["last_session"], row["reason"], row["payout"]) == (friday, "regulatorydelisting", -0.30)


def test_a_reason_that_comes_after_a_long_halt(tiny):
    """Halted, and removed by the exchange three weeks later: the loss is the same."""
    market = tiny(90)
    close = 30.0 + np.arange(90) % 7
    market.add("A", np.where(np.arange(90) <= 40, close, np.nan))
    market.add("B", close)
    market.act("A", 55, "delisted", "regulatorydelisting")
    (row,) = of(market.build("listings"), "A").to_dict("records")
    assert (row["last_session"], row["ended"], row["reason"], row["payout"]) == (
        40,
        True,
        "regulatorydelisting",
        -0.30,
    )


def test_the_worst_of_several_reasons_counts(tiny):
    market = tiny(70)
    close = 30.0 + np.arange(70) % 7
    market.add("A", np.where(np.arange(70) <= 40, close, np.nan))
    market.add("B", close)
    market.act("A", 40, "delisted", "voluntarydelisting", "bankruptcyliquidation", "acquisitionby")
    (row,) = of(market.build("listings"), "A").to_dict("records")
    assert (row["reason"], row["payout"]) == ("bankruptcyliquidation", -0.30)


def test_payouts_and_the_longest_gap_are_settings(tiny):
    market = tiny(70)
    close = 30.0 + np.arange(70) % 7
    market.add("A", np.where(np.arange(70) <= 40, close, np.nan))
    market.add("B", np.where((np.arange(70) < 50) | (np.arange(70) > 54), close, np.nan))
    market.add("C", close)
    market.act("A", 40, "delisted", "bankruptcyliquidation")
    made = market.build(
        "listings",
        overrides=["equity.delisting.actions.bankruptcyliquidation=-0.55", "equity.listing.max_gap=5"],
    )
    assert of(made, "A")["payout"].tolist() == [-0.55]
    assert spans(made, "B") == [(0, 49), (55, 69)]
