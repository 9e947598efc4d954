"""Who belongs to the universe: the three modes, and the list in the manual's columns."""

import csv

import numpy as np
import pytest
import tables_oracle as oracle

from kairos.equity.build import build
from kairos.equity.universe import option_b_list, universe_list
from kairos.errors import InputError
from kairos.settings import load

MANUAL = ["ticker", "name", "exchange", "category", "scalemarketcap", "isdelisted", "adv_60d", "last_close"]


def member_sessions(market, ticker, namespace="main"):
    numbers = market.read("sessions", namespace).set_index("date")["session"]
    rows = market.read("universe", namespace)
    return [int(numbers[d]) for d in rows.loc[rows["ticker"] == ticker, "date"]]


def wavy(n, level=30.0):
    return level + np.arange(n) % 7


def test_cases_by_hand(by_hand):
    assert member_sessions(by_hand, "ALIVE0")[0] == 39  # the fortieth observation
    assert member_sessions(by_hand, "IPO")[0] == 50 + 39
    assert member_sessions(by_hand, "END2")[-1] == 80  # a member while it traded
    assert member_sessions(by_hand, "AMEX")
    for ticker in ("ETF", "SILENT", "RARE"):  # no common stock, no volume, one trade in four sessions
        assert not member_sessions(by_hand, ticker), ticker
    assert all(
        t >= 75 + 39 for t in member_sessions(by_hand, "REUSED")
    )  # of the first company nothing is known
    sizes = np.linspace(250, 350, 130)
    assert 300 > sizes[member_sessions(by_hand, "SMALL")[0] - 1] > 285


def test_size_uses_the_market_cap_of_the_session_before(tiny):
    market = tiny(90)
    market.add("A", 30.0, marketcap=np.where(np.arange(90) < 60, 100.0, 1_000.0))
    market.add("B", 30.0)
    made = market.build("universe")
    assert member_sessions(made, "A")[0] == 61
    assert member_sessions(made, "B")[0] == 39


def test_size_moves_with_the_close(tiny):
    """marketcap(t-1) 290 million, the price rises by 5 % on t: 304.5 million."""
    market = tiny(60)
    market.add("A", np.where(np.arange(60) == 50, 31.5, 30.0), marketcap=290.0)
    market.add("B", 30.0)
    made = market.build("universe")
    assert member_sessions(made, "A") == [50]
    row = made.read("universe").query("ticker == 'A'")
    assert row["marketcap"].item() == pytest.approx(290e6 * 1.05)


def test_a_split_changes_neither_size_nor_liquidity(tiny):
    market = tiny(80)
    market.add("A", 5.0, split=((60, 3.0),), marketcap=400.0)
    market.add("B", 5.0, marketcap=400.0)
    made = market.build("universe")
    rows = made.read("universe")
    a, b = (rows[rows["ticker"] == t] for t in "AB")
    assert a["marketcap"].tolist() == b["marketcap"].tolist()
    assert a["adv_60"].tolist() == b["adv_60"].tolist()
    assert a["price"].tolist() == [15.0] * (60 - 39) + [5.0] * 20


def test_the_price_rule_looks_at_the_price_as_traded(tiny):
    """1.50 on today's split basis was 3.00 when it traded."""
    market = tiny(80)
    market.add("A", 1.5, split=((60, 2.0),), volume=1e6)
    market.add("B", 30.0)
    assert member_sessions(market.build("universe"), "A") == list(range(39, 60))


def test_todays_size_class_does_not_decide_about_the_past(tiny):
    market = tiny(60)
    market.add("A", wavy(60), scalemarketcap="1 - Nano")
    market.add("B", wavy(60), scalemarketcap="")
    made = market.build("universe")
    assert member_sessions(made, "A") == member_sessions(made, "B") == list(range(39, 60))


def test_the_point_in_time_universe_does_not_need_option_b(tiny):
    """Without size classes nobody is on the static list; the default universe does not depend on it."""
    market = tiny(60)
    market.add("A", wavy(60), scalemarketcap="")
    made = market.build()
    assert made.read("feat_adv")["ticker"].unique().tolist() == ["A"]


def test_the_row_of_sep_describes_a_ticker(tiny):
    market = tiny(60)
    market.add("A", wavy(60))
    market.tickers.append(
        {**market.tickers[0], "table": "SF1", "exchange": "OTC", "category": "ADR Common Stock"}
    )
    market.tickers.append({**market.tickers[0], "table": "SF3B", "exchange": "OTC"})
    made = market.build("universe")
    assert member_sessions(made, "A")
    assert len(option_b_list(made.context())) == 1


def test_prices_without_an_unadjusted_close_still_make_a_universe(tiny):
    """`closeunadj` missing is a counted warning, not the end."""
    market = tiny(60)
    market.add("A", wavy(60))
    for row in market.sep:
        row[8] = ""
    made = market.build("universe")
    assert made.read("universe")["ticker"].unique().tolist() == ["A"]


@pytest.mark.parametrize("market", ["simulated", "by_hand"])
def test_option_b_list(request, market):
    made = request.getfixturevalue(market)
    vendor = made.vendor
    expected = sorted(oracle.option_b(vendor, oracle.listings(vendor)))
    rows = option_b_list(made.context())
    assert rows.column_names == MANUAL
    assert rows["ticker"].to_pylist() == [row[0] for row in expected]
    np.testing.assert_allclose(rows["adv_60d"].to_numpy(), [row[1] for row in expected], rtol=1e-12)
    assert rows["last_close"].to_pylist() == [row[2] for row in expected]
    about = oracle.metadata(vendor)
    for row in rows.to_pylist():
        assert row["name"] == about.loc[row["ticker"], "name"]
        assert row["scalemarketcap"] == about.loc[row["ticker"], "scalemarketcap"]
        assert row["isdelisted"] == (about.loc[row["ticker"], "isdelisted"] == "Y")
        assert row["exchange"] in {"NYSE", "NASDAQ", "AMEX"}


def test_option_b_is_a_static_list(simulated):
    settings = load(overrides=["equity.universe.mode=option_b", "run.memory_limit=1GB"])
    report = build(simulated.db, ["sep_base_academic"], settings=settings, into="option_b")
    assert report.facts["universe"]["mode"] == "option_b"
    vendor = simulated.vendor
    listed = {row[0] for row in oracle.option_b(vendor, oracle.listings(vendor))}
    prices = vendor["sep"][vendor["sep"]["ticker"].isin(listed)]
    found = simulated.read("universe", "option_b")
    assert set(zip(found["ticker"], found["date"], strict=True)) == set(
        zip(prices["ticker"], prices["date"], strict=True)
    )
    expanded = simulated.read("sep_base_expanded").sort_values(["ticker", "date"], ignore_index=True)
    academic = simulated.read("sep_base_academic", "option_b").sort_values(
        ["ticker", "date"], ignore_index=True
    )
    assert len(expanded) == simulated.snapshot().table("sep_base_expanded").meta["rows"] > 1000
    assert expanded.equals(academic.drop(columns="member"))


def test_a_list_of_ones_own(simulated, tmp_path):
    days = simulated.read("sessions")["date"].tolist()
    tickers = simulated.read("sep_base_academic")["ticker"].unique().tolist()[:3]
    always, dated = tmp_path / "always.csv", tmp_path / "dated.csv"
    always.write_text("ticker\n" + "\n".join([*tickers, "NOSUCH"]) + "\n")
    dated.write_text("date,ticker\n" + "".join(f"{days[300]},{t}\n{days[301]},{t}\n" for t in tickers))
    for path, space in ((always, "always"), (dated, "dated")):
        settings = load(
            overrides=["equity.universe.mode=file", f"equity.universe.file={path}", "run.memory_limit=1GB"]
        )
        report = build(simulated.db, ["feat_adv"], settings=settings, into=space)
        found = simulated.read("universe", space)
        prices = simulated.vendor["sep"]
        prices = prices[prices["ticker"].isin(tickers)]
        if space == "dated":
            prices = prices[prices["date"].isin(days[300:302])]
        else:
            assert report.facts["universe"]["unknown_tickers"] == 1
        keys = set(zip(prices["ticker"], prices["date"], strict=True))
        assert keys
        assert set(zip(found["ticker"], found["date"], strict=True)) == keys


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name\nA\n", "no column ticker"),
        ("date,ticker\n01.02.2015,A\n", "yyyy-mm-dd"),
        (None, "is not a file"),
    ],
)
def test_a_bad_list_is_refused(simulated, tmp_path, content, says):
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    settings = load(overrides=["equity.universe.mode=file", f"equity.universe.file={path}"])
    with pytest.raises(InputError, match=says):
        build(simulated.db, ["universe"], settings=settings, into="bad")


def test_an_empty_universe_is_an_error_that_says_which_rule_left_nobody(tiny):
    market = tiny(60)
    market.add("A", wavy(60), marketcap=10.0)
    with pytest.raises(InputError, match=r"universe is empty.*size") as error:
        market.build()
    assert error.value.exit_code == 2


def test_the_list_of_a_date(simulated, tmp_path):
    days = simulated.read("sessions")["date"].tolist()
    target = tmp_path / "out" / "universe.csv"
    rows = universe_list(simulated.db, settings=simulated.settings, date=days[250], csv=target)
    assert rows.column_names == MANUAL
    universe = simulated.read("universe")
    today = universe[universe["date"] == days[250]]
    assert rows["ticker"].to_pylist() == today["ticker"].tolist()
    assert rows["adv_60d"].to_pylist() == today["adv_60"].tolist()
    assert rows["last_close"].to_pylist() == today["price"].tolist()
    with target.open() as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == MANUAL
    assert [row["ticker"] for row in written] == today["ticker"].tolist()
    last = universe_list(simulated.db, settings=simulated.settings)
    assert last["ticker"].to_pylist() == universe[universe["date"] == days[-1]]["ticker"].tolist()
    with pytest.raises(InputError, match="begin on"):
        universe_list(simulated.db, settings=simulated.settings, date=days[0].replace(year=2001))


def test_what_a_report_says_about_the_universe(simulated):
    facts = simulated.snapshot().table("universe").meta["facts"]
    universe = simulated.read("universe")
    assert facts["mode"] == "point_in_time"
    assert facts["size_rule"] is True
    assert facts["tickers_ever"] == universe["ticker"].nunique()
    assert facts["members_mean"] == pytest.approx(universe.groupby("date").size().mean())
    assert facts["listings_without_metadata"] == 1  # the company that gave up its ticker
    assert 0 < facts["classified_from_current_metadata"] <= 1
