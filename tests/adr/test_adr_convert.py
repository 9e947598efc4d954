"""Raw minutes to bars in USD and mids at the close."""

import numpy as np
import pandas as pd
import pytest
from adr_inputs_desk import make_desk, write, write_future, write_fx
from adr_minutes_desk import copy, open_desk

from kairos.adr.convert import convert, converted_here, raw_texts
from kairos.adr.desk import ADR_MIDS, ADR_QUOTES, FUTURE_TEXTS, FUTURES
from kairos.errors import InputError

TEXT = "{}/{}_full_1min_continuous_ratio_adjusted.txt"
ROWS = "2024-03-08 11:34:00,7700,7701,7699,7700,5\n2024-03-08 11:35:00,7700,7703,7700,7702,3\n"


def future(desk, symbol, rows=ROWS):
    return write(desk.root, TEXT.format(FUTURE_TEXTS, symbol), rows)


def usd(desk, symbol="FTUK"):
    return pd.read_parquet(desk.root / FUTURES / f"symbol={symbol}" / f"{symbol}_close_to_usd_1min.parquet")


def write_quotes(root, adr, quotes, zone="America/New_York", **columns):
    """Quotes by New York time: (bid, ask)."""
    index = pd.DatetimeIndex([pd.Timestamp(time) for time in quotes], name="ts_recv").tz_localize(zone)
    values = np.array(list(quotes.values()), dtype=float).reshape(len(quotes), 2)
    frame = pd.DataFrame(values, index=index, columns=["nbbo_bid", "nbbo_ask"]).assign(**columns)
    path = root / ADR_QUOTES / f"ticker={adr}" / "data.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path)
    return path


def test_price_times_multiplier_times_rate(tmp_path):
    desk = make_desk(tmp_path)
    future(desk, "FTUK")
    write_fx(tmp_path, "GBP", {"2024-03-08 11:33": 1.25, "2024-03-08 11:35": 1.28})
    report = convert(desk)
    bars = usd(desk)
    assert bars["timestamp"].dt.tz.key == "America/New_York"
    assert bars["timestamp"].dt.strftime("%H:%M").tolist() == ["11:34", "11:35"]
    np.testing.assert_allclose(bars["close"], [7700 * 10 * 1.25, 7702 * 10 * 1.28], rtol=1e-15)
    np.testing.assert_allclose(bars["high"], [7701 * 10 * 1.25, 7703 * 10 * 1.28], rtol=1e-15)
    assert bars["fx_rate"].tolist() == [1.25, 1.28]
    assert bars["fx_age_s"].tolist() == [60.0, 0.0]
    assert bars["volume"].tolist() == [5, 3]
    assert [row[:3] for row in report.table()[1]] == [
        ["FESX", "none", 0],
        ["FTUK", "texts", 2],
        ["FXXP", "none", 0],
    ]
    assert any("No minute bars of FESX, FXXP" in text for text in report.remarks())


@pytest.mark.parametrize(
    ("labels", "rates"),
    [
        (("start", "start"), [1.25, 1.28]),
        (("end", "start"), [np.nan, 1.25]),  # a bar that ends at 11:35 knows the rate that starts at 11:34
        (("start", "end"), [1.28, 1.28]),
    ],
)
def test_a_rate_counts_from_when_it_was_known(tmp_path, labels, rates):
    desk = make_desk(tmp_path, f"adr.bar_label.futures={labels[0]}", f"adr.bar_label.fx={labels[1]}")
    future(desk, "FTUK")
    write_fx(tmp_path, "GBP", {"2024-03-08 11:34": 1.25, "2024-03-08 11:35": 1.28})
    convert(desk)
    np.testing.assert_array_equal(usd(desk)["fx_rate"], rates)


def test_an_old_rate_is_no_rate(tmp_path):
    desk = make_desk(tmp_path)
    future(desk, "FTUK")
    write_fx(tmp_path, "GBP", {"2024-03-08 11:19": 1.25})  # known at 11:20, for bars known at 11:35 and 11:36
    report = convert(desk)
    bars = usd(desk)
    assert bars["fx_rate"].notna().tolist() == [True, False]
    assert bars["close"].notna().tolist() == [True, False]
    assert "FTUK: 1 of 2 bars have no exchange rate." in report.remarks()


def test_a_future_in_dollars_needs_no_rate(tmp_path):
    desk = make_desk(tmp_path, "adr.multipliers.FTUK=3")
    text = (tmp_path / "data/raw/futures_symbols.csv").read_text().replace("UKX,GBP", "UKX,USD")
    write(tmp_path, "data/raw/futures_symbols.csv", text)
    future(desk, "FTUK")
    convert(desk)
    assert usd(desk)["close"].tolist() == [23100.0, 23106.0]


def test_bars_of_the_user_are_used(tmp_path):
    desk = make_desk(tmp_path)
    future(desk, "FTUK")
    write_fx(tmp_path, "GBP", {"2024-03-08 11:33": 1.25})
    write_future(tmp_path, "FTUK", {"2024-03-08 16:33": (96_000.0, 1.28)})
    report = convert(desk)
    assert report.futures[1].source == "user"
    assert not (tmp_path / FUTURES / "symbol=FTUK/FTUK_close_to_usd_1min.parquet").exists()
    assert converted_here(desk) == []
    assert converted_here(make_desk(tmp_path, force=True)) == [f"{FUTURES}/symbol=FTUK"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS + "2024-03-08 11:35:00,1,1,1,1,1\n", "is there twice"),
        (ROWS + "2024-03-08 11:33:00,1,1,1,1,1\n", "(number 3) stands after 2024-03-08 11:35:00"),
        ("2024-03-08 11:34:00,7700,7701,7699,0,5\n", "has the price 0.0"),
        ("2024-03-08 11:34:00,7700,7701,7699,dear,5\n", "dear"),
        ("08/03/2024 11:34,7700,7701,7699,7700,5\n", "08/03/2024"),
        ("2024-03-08 11:34:00,7700\n", "Expected Number of Columns"),
        ("", "no bar"),
    ],
)
def test_defects_of_a_text_are_named(tmp_path, rows, said):
    desk = make_desk(tmp_path)
    path = future(desk, "FTUK", rows)
    write_fx(tmp_path, "GBP", {"2024-03-08 11:33": 1.25})
    with pytest.raises(InputError) as caught:
        convert(desk)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / FUTURES).exists()


def test_rates_out_of_order_are_named(tmp_path):
    desk = make_desk(tmp_path)
    future(desk, "FTUK")
    write_fx(tmp_path, "GBP", {"2024-03-08 11:33": 1.25, "2024-03-08 11:32": 1.26})
    with pytest.raises(InputError, match=r"GBPUSD_full_1min\.txt: .*11:32:00 .number 2. stands after"):
        convert(desk)


def test_force_does_not_write_beside_bars_of_the_user(tmp_path):
    """Both would hold the same minutes; no other future is written either."""
    desk = make_desk(tmp_path, force=True)
    for symbol, currency in (("FESX", "EUR"), ("FTUK", "GBP")):
        future(desk, symbol)
        write_fx(tmp_path, currency, {"2024-03-08 11:33": 1.25})
    write_future(tmp_path, "FTUK", {"2024-03-08 16:34": (96_000.0, 1.28)})
    with pytest.raises(InputError, match=r"symbol=FTUK/bars\.parquet: --force .*move your file away"):
        convert(desk)
    assert [path.name for path in (tmp_path / FUTURES).rglob("*.parquet")] == ["bars.parquet"]


def test_what_a_conversion_needs_is_named(tmp_path):
    desk = make_desk(tmp_path)
    future(desk, "FTUK")
    with pytest.raises(InputError, match=r"GBPUSD_full_1min\.txt: the file is missing.*FTUK"):
        convert(desk)
    write_fx(tmp_path, "GBP", {"2024-03-08 11:33": 1.25})
    text = (tmp_path / "data/raw/futures_symbols.csv").read_text().replace("FTUK", "NEW")
    write(tmp_path, "data/raw/futures_symbols.csv", text)
    future(desk, "NEW")
    with pytest.raises(InputError, match=r"adr\.multipliers: no multiplier of NEW"):
        convert(desk)


def test_mids_at_the_close_of_that_day(tmp_path):
    """London's auction is over at 11:36 in New York on the 8th, and at 12:36 on the 11th."""
    desk = make_desk(tmp_path)
    quotes = {
        "2024-03-08 11:35": (35.0, 35.2),
        "2024-03-08 11:36": (35.2, 35.4),
        "2024-03-08 11:37": (9.0, 9.2),
        "2024-03-11 12:22": (36.0, 36.2),
        "2024-03-11 12:36": (37.0, 0.0),  # no quote: the one before counts, which is 14 minutes old
        "2024-03-12 12:20": (38.0, 38.2),  # 16 minutes old
    }
    write_quotes(tmp_path, "BP", quotes)
    report = convert(desk)
    mids = pd.read_csv(tmp_path / ADR_MIDS, index_col="date")
    assert mids.columns.tolist() == ["BP"]
    np.testing.assert_allclose(mids["BP"], [35.3, 36.1])
    assert mids.index.tolist() == ["2024-03-08", "2024-03-11"]
    assert report.mids_source == "quotes"
    assert "BP: 1 quotes without a price above 0 on one side and 0 crossed ones are set aside." in (
        report.remarks()
    )


def test_mids_of_the_user_are_kept_and_compared(tmp_path):
    desk = make_desk(tmp_path)
    write_quotes(tmp_path, "BP", {"2024-03-08 11:36": (35.2, 35.4), "2024-03-11 12:36": (36.0, 36.2)})
    write(tmp_path, ADR_MIDS, "date,BP\n2024-03-08,35.3\n2024-03-11,36.2\n")
    report = convert(desk)
    assert (report.mids_source, report.mids, report.off) == ("user", 2, 1)
    assert (tmp_path / ADR_MIDS).read_text() == "date,BP\n2024-03-08,35.3\n2024-03-11,36.2\n"


def test_the_simulated_desk_has_the_same_bars_and_mids(raw_minutes):
    """The simulation writes its conversions from its own prices, not from the texts."""
    from adr_minutes_desk import MONTHS

    from kairos.simulate.adr import draw_desk
    from kairos.simulate.adr_desk.minutes import draw_minutes

    world = draw_desk(adrs=6, us_stocks=24, months=15, seed=4)
    minutes = draw_minutes(world, np.array(MONTHS, dtype="datetime64[M]"))
    for contract in world.planted.contracts:
        bars = usd(raw_minutes, contract.symbol)
        made = minutes.future_bars(contract)
        np.testing.assert_array_equal(
            bars["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[m]"),
            made.label.astype("datetime64[m]"),
        )
        local = bars["close"] / bars["fx_rate"] / contract.multiplier
        good = local.notna().to_numpy()
        np.testing.assert_allclose(local[good], made.close[good], rtol=1e-12)
        assert good.mean() > 0.99
    days, mids = world.adr_mids()
    found = pd.read_csv(raw_minutes.path(ADR_MIDS), index_col="date")
    true = pd.DataFrame(mids, index=days.astype(str), columns=[pair.adr for pair in world.pairs])
    np.testing.assert_allclose(found, true.loc[found.index, found.columns], rtol=1e-12)


def test_a_second_run_changes_nothing(raw_minutes, tmp_path):
    desk = copy(raw_minutes, tmp_path / "desk")
    before = {p: p.read_bytes() for p in sorted(desk.root.rglob("*.parquet"))}
    assert all(one.source == "texts" for one in convert(open_desk(desk.root)).futures)
    assert before == {p: p.read_bytes() for p in sorted(desk.root.rglob("*.parquet"))}
    assert set(raw_texts(desk)) >= {TEXT.format(FUTURE_TEXTS, "FTUK"), ADR_QUOTES}
