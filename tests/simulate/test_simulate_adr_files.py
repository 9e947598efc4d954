"""The files of the simulated desk: layout, calendars, daily values as samples of the minutes."""

import csv
import functools
import hashlib
import json

import exchange_calendars
import numpy as np
import pandas as pd
import pytest

from kairos.cli import main
from kairos.errors import InputError
from kairos.simulate.adr import simulate_desk

MONTHS = ("2024-03", "2024-11", "2025-02")  # both clock changes and a US early close
OFFSETS = {"XLON": 6, "XPAR": 6, "XOSL": 5, "XETR": 6, "XSWX": 1, "XAMS": 6}
ARGUMENTS = {"adrs": 6, "us_stocks": 30, "months": 14, "seed": 3}
NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return simulate_desk(tmp_path_factory.mktemp("desk") / "out", **ARGUMENTS, minutes=MONTHS)


@pytest.fixture(scope="module")
def truth(root):
    return json.loads((root / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def info(root):
    return pd.read_csv(root / "data/raw/adr_info.csv", keep_default_na=False).set_index("adr")


def wide(root, name):
    return pd.read_csv(root / "data" / name, index_col="date", parse_dates=["date"])


def us_file(root, exchange):
    return wide(root, f"processed/russell1000/close_at_exchange_auction_adjusted/{exchange}.csv")


@functools.cache
def schedule(exchange):
    return exchange_calendars.get_calendar(exchange, start="2024-01-01", end="2025-02-28").schedule.loc[
        "2024-01-02":
    ]


def reference(exchange):
    """Auction of each session, UTC, from the calendar directly."""
    return schedule(exchange)["close"] + pd.Timedelta(minutes=OFFSETS[exchange])


def as_of(times, known, values, max_age):
    """Last value known at or before each time, not older than max_age."""
    source = pd.DataFrame({"known": known, "value": values}).sort_values("known")
    asked = pd.DataFrame({"at": times})
    unit = "datetime64[ns, UTC]"
    source["known"], asked["at"] = source["known"].astype(unit), asked["at"].astype(unit)
    return pd.merge_asof(asked, source, left_on="at", right_on="known", tolerance=max_age)["value"].to_numpy()


def bars(root, ticker):
    table = pd.read_parquet(root / f"data/raw/russell1000/ohlcv-1m/ticker={ticker}/data.parquet")
    known = table["DateTime"].dt.tz_localize(NEW_YORK).dt.tz_convert("UTC") + pd.Timedelta(minutes=1)
    return table.assign(known=known)


def in_months(days):
    return np.isin(days.strftime("%Y-%m"), MONTHS)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_and_days_do_not_depend_on_minutes(tmp_path):
    small = {"adrs": 3, "us_stocks": 20, "months": 4, "seed": 9}
    first, again, without, other = (
        digests(simulate_desk(tmp_path / name, **{**small, **more}))
        for name, more in (
            ("first", {"minutes": 1}),
            ("again", {"minutes": 1}),
            ("without", {"minutes": 0}),
            ("other", {"minutes": 1, "seed": 10}),
        )
    )
    assert first == again
    daily = {name for name in without if name.endswith((".csv", ".json"))}
    assert len(daily) > 10
    assert {name: first[name] for name in daily} == {name: without[name] for name in daily}
    same = {name for name in first if first[name] == other.get(name)}
    assert {name.rsplit("/", 1)[-1] for name in same} <= {"futures_symbols.csv", "close_time_offsets.csv"}


def test_layout(root, info):
    """Every file of the desk's data directory, each as its readers expect it."""
    files = set(digests(root))
    for name in (
        "data/raw/futures_symbols.csv",
        "data/raw/close_time_offsets.csv",
        "data/raw/us_sectors.csv",
        "data/raw/ordinary/ord_PX_LAST_adjust_none.csv",
        "data/raw/ordinary/ord_PX_OPEN_adjust_none.csv",
        "data/raw/currencies/minute_bars/NOKUSD_full_1min.txt",
        "data/raw/futures/minute_bars/FTUK_full_1min_continuous_ratio_adjusted.txt",
        "data/raw/etfs/ohlcv-1m/ticker=EWU/data.parquet",
        "data/processed/russell1000/close_at_exchange_auction_adjusted/XOSL.csv",
        "truth_fair_value.parquet",
    ):
        assert name in files
    assert "data/processed/models/ordinary_betas_index_only.csv" not in files
    assert set(info["exchange"]) == {*OFFSETS, "XTKS", "XASX", "XHKG"}
    assert set(info.loc[info["exchange"] == "XLON", "currency"]) == {"GBp"}

    with (root / "data/raw/futures_symbols.csv").open(newline="") as file:
        symbols = {row["bloomberg_symbol"]: row for row in csv.DictReader(file)}
    assert "Z " in set(info["index_future_bbg"])  # the trailing space of the real files
    mapped = {symbol.strip(): row["index"] for symbol, row in symbols.items()}
    assert mapped["Z"] == "UKX"
    assert mapped["VG"] == "SX5E"
    europe = info[info["region"] == "EUROPE"]
    assert {future.strip() for future in europe["index_future_bbg"]} <= set(mapped)

    quotes = pd.read_parquet(root / f"data/raw/adrs/bbo-1m/nbbo/ticker={europe.index[0].split()[0]}")
    assert quotes.index.name == "ts_recv"
    assert str(quotes.index.tz) == NEW_YORK
    assert (quotes["nbbo_ask"] > quotes["nbbo_bid"]).all()


def test_us_closes_are_the_minutes_sampled_at_the_auction(root, truth):
    """Unadjusted bars, known a minute after their stamp, at most 60 minutes old, times the later factors."""
    stale = missing = compared = 0
    closes = {exchange: us_file(root, exchange) for exchange in OFFSETS}
    for ticker in truth["us_stocks"]:
        if not bars_path(root, ticker).exists():
            assert ticker in truth["events"]["us_delisted_after"]
            continue
        table = bars(root, ticker)
        for exchange, file in closes.items():
            file = file[in_months(file.index)]
            times = reference(exchange).reindex(file.index)
            raw = as_of(times, table["known"], table["Close"], pd.Timedelta(minutes=60))
            expected = file[ticker].to_numpy()
            np.testing.assert_allclose(raw * later_factors(truth, ticker, file.index), expected, rtol=1e-12)
            stale += (np.isfinite(expected) & ~times.isin(table["known"])).sum()
            missing += np.isnan(expected).sum()
            compared += len(expected)
    assert compared > 9000
    assert stale > 5
    assert missing > 5


def bars_path(root, ticker):
    return root / f"data/raw/russell1000/ohlcv-1m/ticker={ticker}/data.parquet"


def later_factors(truth, ticker, days):
    factor = np.ones(len(days))
    for row in truth["events"]["us_adjustments"]:
        if row["name"] == ticker:
            effect = row["factor"] if row["operator"] == 2 else 1.0 / row["factor"]
            factor[days < row["date"]] *= effect
    return factor


def test_a_split_in_the_minutes_moves_the_bars_and_not_the_adjusted_prices(root, truth):
    (split,) = [
        row
        for row in truth["events"]["us_adjustments"]
        if row["operator"] == 1 and row["date"].startswith("2025-02")
    ]
    table = bars(root, split["name"]).set_index("DateTime")["Close"]
    ratio = table[: split["date"] + " 00:00"].iloc[-1] / table[split["date"] :].iloc[0]
    assert ratio == pytest.approx(split["factor"], rel=0.1)
    closes = us_file(root, "XLON")[split["name"]]
    at = closes.index.get_indexer([pd.Timestamp(split["date"])])[0]
    assert abs(closes.iloc[at] / closes.iloc[at - 1] - 1.0) < 0.12
    listed = pd.read_csv(root / "data/processed/russell1000/adjustment_factors.csv")
    assert len(listed) == len(truth["events"]["us_adjustments"])
    assert set(listed["adjustment_factor_operator_type"]) == {1, 2}


def test_adr_mids_are_the_quotes_sampled_at_the_auction(root, info, truth):
    mids = wide(root, "processed/adrs/adr_mid_at_ord_auction_adjust_none.csv")
    compared = 0
    for adr in mids.columns:
        exchange = info.loc[f"{adr} US Equity", "exchange"]
        times = reference(exchange)
        times = times[in_months(times.index)]
        quotes = pd.read_parquet(root / f"data/raw/adrs/bbo-1m/nbbo/ticker={adr}")
        mid = (quotes["nbbo_bid"] + quotes["nbbo_ask"]) / 2.0
        sampled = as_of(times, quotes.index.tz_convert("UTC"), mid.to_numpy(), pd.Timedelta(minutes=15))
        np.testing.assert_allclose(sampled, mids[adr].reindex(times.index).to_numpy(), rtol=1e-12)
        compared += np.isfinite(sampled).sum()
    assert compared > 250
    ((adr, day),) = truth["events"]["adr_without_quotes"].items()
    assert np.isnan(mids.loc[day, adr])
    quotes = pd.read_parquet(root / f"data/raw/adrs/bbo-1m/nbbo/ticker={adr}")
    assert day not in set(quotes["date"])


def test_adr_trades_at_the_ordinary_times_ratio_and_currency(root, info, truth):
    """Pence, ratio and currency: the premium at c is the planted mispricing and the cent's rounding."""
    mids = wide(root, "processed/adrs/adr_mid_at_ord_auction_adjust_none.csv")
    closes = wide(root, "raw/ordinary/ord_PX_LAST_adjust_none.csv")
    for adr in mids.columns:
        row = info.loc[f"{adr} US Equity"]
        times = reference(row["exchange"])
        currency = "GBP" if row["currency"] == "GBp" else row["currency"]
        rates = fx_at(root, currency, times)
        assert np.isfinite(rates).all()  # on every day, not only in the months with minutes
        unit = 0.01 if row["currency"] == "GBp" else 1.0
        fair = closes[row["id"]].reindex(times.index) * rates * unit * row["sh_per_adr"]
        premium = (mids[adr].reindex(times.index) / fair - 1.0).dropna()
        assert len(premium) > 120
        deviation = truth["adrs"][adr]["mispricing"]["deviation"]
        assert premium.std() == pytest.approx(deviation, rel=0.25)
        assert abs(premium.mean()) < 4.0 * deviation / np.sqrt(len(premium))


def fx_table(root, currency):
    path = root / f"data/raw/currencies/minute_bars/{currency}USD_full_1min.txt"
    table = pd.read_csv(path, header=None, names=["day", "time", "open", "high", "low", "close", "volume"])
    stamp = pd.to_datetime(table["day"].astype(str) + " " + table["time"], format="%Y%m%d %H:%M:%S")
    return table.assign(stamp=stamp)


def fx_at(root, currency, times):
    table = fx_table(root, currency)
    known = table["stamp"].dt.tz_localize(NEW_YORK).dt.tz_convert("UTC") + pd.Timedelta(minutes=1)
    return as_of(times, known, table["close"], pd.Timedelta(minutes=15))


@pytest.mark.parametrize(
    ("symbol", "currency", "multiplier"), [("FTUK", "GBP", 10), ("FXXP", "EUR", 50), ("FESX", "EUR", 10)]
)
def test_converted_bars_are_price_times_multiplier_times_fx(root, symbol, currency, multiplier):
    path = root / f"data/raw/futures/minute_bars/{symbol}_full_1min_continuous_ratio_adjusted.txt"
    raw = pd.read_csv(path, header=None, names=["stamp", "open", "high", "low", "close", "volume"])
    raw["stamp"] = pd.to_datetime(raw["stamp"], format="%Y-%m-%d %H:%M:%S")
    rates = fx_table(root, currency)[["stamp", "close"]].rename(columns={"close": "rate"})
    joined = pd.merge_asof(raw, rates, on="stamp")
    converted = pd.read_parquet(root / f"data/processed/futures/converted_minute_bars/symbol={symbol}")
    assert len(converted) == len(raw) > 60_000
    assert (converted["timestamp"].dt.tz_localize(None).to_numpy() == raw["stamp"].to_numpy()).all()
    assert str(converted["timestamp"].dt.tz) == NEW_YORK
    np.testing.assert_allclose(converted["fx_rate"], joined["rate"], rtol=1e-15)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(converted[name], joined[name] * multiplier * joined["rate"], rtol=1e-12)
    assert not np.isin(raw["stamp"], rates["stamp"]).all()  # some minutes have no rate of their own


def test_future_is_known_at_every_auction_on_which_there_is_an_index(root):
    indices = wide(root, "raw/indices/indices_PX_LAST.csv")
    for exchange, symbol, index in (("XLON", "FTUK", "UKX"), ("XOSL", "FXXP", "SXXP")):
        bars = pd.read_parquet(root / f"data/processed/futures/converted_minute_bars/symbol={symbol}")
        known = bars["timestamp"].dt.tz_convert("UTC") + pd.Timedelta(minutes=1)
        times = reference(exchange)
        local = as_of(times, known, bars["close"] / bars["fx_rate"], pd.Timedelta(minutes=15))
        calculated = times.index.isin(indices[index].dropna().index)
        assert (np.isfinite(local) == calculated).all()
        assert calculated.sum() > 280


def test_bars_are_well_formed(root, truth):
    for ticker in list(truth["us_stocks"])[:5]:
        table = bars(root, ticker)
        assert (table["High"] >= table[["Open", "Close"]].max(axis=1)).all()
        assert (table["Low"] <= table[["Open", "Close"]].min(axis=1)).all()
        assert table["DateTime"].is_monotonic_increasing
        assert table["DateTime"].is_unique
        assert (table["date"] == table["DateTime"].dt.strftime("%Y-%m-%d")).all()
        assert (table["Volume"] > 0).all()
    rows = len(bars(root, "BABA"))
    sessions = in_months(schedule("XNYS").index).sum()
    assert 0.95 < rows / (390 * sessions) < 0.985  # a few bars are missing


def test_ordinaries_are_missing_on_their_own_holidays_and_events_only(root, info, truth):
    closes = wide(root, "raw/ordinary/ord_PX_LAST_adjust_all.csv")
    events = truth["events"]
    for adr, about in truth["adrs"].items():
        expected = closes.index.isin(schedule(about["exchange"]).index)
        if adr in events["ordinary_listed"]:
            expected &= closes.index >= events["ordinary_listed"][adr]
        if adr in events["ordinary_halted"]:
            begin, end = events["ordinary_halted"][adr]
            expected &= (closes.index < begin) | (closes.index > end)
        assert (closes[about["ordinary"]].notna() == expected).all(), adr
    assert len(events["ordinary_listed"]) == len(events["ordinary_halted"]) == 1
    union = set().union(*(schedule(mic).index for mic in set(info["exchange"])))
    assert set(closes.index) == union
    assert np.isnan(closes.loc["2024-05-06", info.loc[info["exchange"] == "XLON", "id"]]).all()  # May Day
    assert closes.loc["2024-05-06", info.loc[info["exchange"] == "XPAR", "id"]].notna().all()


def test_adjusted_ordinaries_differ_by_their_dividends(root, truth):
    adjusted = wide(root, "raw/ordinary/ord_PX_LAST_adjust_all.csv")
    traded = wide(root, "raw/ordinary/ord_PX_LAST_adjust_none.csv")
    rows = truth["events"]["ordinary_adjustments"]
    assert len(rows) >= 2 * len(truth["adrs"])
    for adr, about in truth["adrs"].items():
        factor = np.ones(len(adjusted))
        for row in rows:
            if row["name"] == adr:
                factor[adjusted.index < row["date"]] *= row["factor"]
        np.testing.assert_allclose(
            adjusted[about["ordinary"]], traded[about["ordinary"]] * factor, rtol=1e-12
        )


def test_indices_have_their_own_calendar(root):
    indices = wide(root, "raw/indices/indices_PX_LAST.csv")
    for index, exchange in (("UKX", "XLON"), ("SX5E", "XPAR"), ("SXXP", "XPAR")):
        assert set(indices[index].dropna().index) == set(schedule(exchange).index)


def test_us_rows_on_days_of_both_sides_and_empty_before_new_york_opens(root, truth):
    new_york = schedule("XNYS")
    empty = 0
    for exchange in OFFSETS:
        file = us_file(root, exchange)
        assert list(file.columns) == list(truth["us_stocks"])
        both = schedule(exchange).index.intersection(new_york.index)
        assert list(file.index) == list(both)
        times = reference(exchange).reindex(both)
        before = times < new_york.loc[both, "open"]
        assert (file.isna().all(axis=1) == before).all()
        assert file[~before].notna().sum(axis=1).min() > 20
        empty += before.sum()
    assert pd.Timestamp("2024-07-04") not in us_file(root, "XLON").index
    assert pd.Timestamp("2024-12-24") in us_file(root, "XLON").index
    assert empty >= 4  # London and Paris close at lunch before Christmas and New Year


def test_late_and_delisted_us_stocks(root, truth):
    events, file = truth["events"], us_file(root, "XLON")
    assert len(events["us_listed"]) >= 1
    assert len(events["us_delisted_after"]) >= 1
    for ticker, day in events["us_listed"].items():
        assert file.loc[file.index < day, ticker].isna().all()
        assert file.loc[file.index >= day, ticker].notna().mean() > 0.95
    for ticker, day in events["us_delisted_after"].items():
        assert file.loc[file.index > day, ticker].isna().all()
        assert file.loc[file.index <= day, ticker].notna().mean() > 0.95
    predictors = {ticker for about in truth["adrs"].values() for ticker in about["predictors"]}
    assert not predictors & {*events["us_listed"], *events["us_delisted_after"]}


@pytest.mark.parametrize(
    ("day", "last", "auction"),
    [
        ("2024-03-08", "16:00", "11:36"),
        ("2024-03-11", "16:00", "12:36"),  # New York has changed its clock, London not yet
        ("2024-11-01", "16:00", "12:36"),  # London has, New York not yet
        ("2024-11-04", "16:00", "11:36"),
        ("2024-11-29", "13:00", "11:36"),  # the day after Thanksgiving
    ],
)
def test_clock_changes_and_early_closes(root, truth, day, last, auction):
    """Stamps in New York time; the sessions of stocks and ADRs end together."""
    adr = next(iter(truth["adrs"]))
    quotes = pd.read_parquet(root / f"data/raw/adrs/bbo-1m/nbbo/ticker={adr}")
    shown = quotes.loc[day].index.strftime("%H:%M")
    assert shown.max() <= last
    assert shown.min() >= "09:31"
    assert auction in set(shown)  # London's c is quoted
    twin = pd.read_parquet(root / "data/raw/russell1000/ohlcv-1m/ticker=HERE")
    stamps = twin.loc[twin["date"] == day, "DateTime"].dt.strftime("%H:%M")
    assert stamps.min() == "09:30"
    assert stamps.max() == last  # the closing cross


def test_mispricing_of_the_quotes_fades_with_its_half_life(root, truth):
    fair = pd.read_parquet(root / "truth_fair_value.parquet")
    for adr, about in truth["adrs"].items():
        quotes = pd.read_parquet(root / f"data/raw/adrs/bbo-1m/nbbo/ticker={adr}")
        mid = (quotes["nbbo_bid"] + quotes["nbbo_ask"]) / 2.0
        value = fair[fair["ticker"] == adr].set_index("ts_recv")["fair"]
        delta = np.log(mid / value.tz_convert(NEW_YORK)).to_frame("now")
        lag = int(about["mispricing"]["half_life_minutes"])
        later = delta["now"].rename("later")
        later.index = later.index - pd.Timedelta(minutes=lag)
        both = delta.join(later, how="inner")
        slope = (both["now"] * both["later"]).mean() / (both["now"] ** 2).mean()
        assert slope == pytest.approx(0.5 ** (lag / about["mispricing"]["half_life_minutes"]), abs=0.1)


def test_own_line_and_issuer_are_marked(root, info, truth):
    sectors = pd.read_csv(root / "data/raw/us_sectors.csv").set_index("ticker")
    twins = {t: about["twin_of"] for t, about in truth["us_stocks"].items() if "twin_of" in about}
    assert len(twins) == 2
    for ticker, adr in twins.items():
        assert sectors.loc[ticker, "issuer"] == info.loc[f"{adr} US Equity", "name"]
    assert [ticker for ticker, adr in twins.items() if ticker == adr] == [next(iter(truth["adrs"]))]


def test_derived_files_are_optional(tmp_path):
    out = simulate_desk(
        tmp_path / "out", adrs=2, us_stocks=20, months=2, minutes=("2024-01",), derived=("betas",)
    )
    assert not (out / "data/processed/russell1000/close_at_exchange_auction_adjusted").exists()
    betas = wide(out, "processed/models/ordinary_betas_index_only.csv")
    planted = json.loads((out / "truth.json").read_text(encoding="utf-8"))["adrs"]
    for adr, about in planted.items():
        assert (betas[adr] == about["beta"]).all()


def test_refusals_leave_nothing(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    small = {"adrs": 2, "us_stocks": 20, "months": 2}
    for arguments, named in (
        ({"minutes": 3}, "minutes 3"),
        ({"minutes": ("2025-01",)}, "2025-01"),
        ({"minutes": ("January",)}, "January"),
        ({"derived": ("all",)}, "derived all"),
    ):
        with pytest.raises(InputError, match=named):
            simulate_desk(tmp_path / "out", **small, **arguments)
    with pytest.raises(InputError, match="taken exists"):
        simulate_desk(taken, **small)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]


def test_command_writes_what_the_function_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no kairos.toml
    size = ["--adrs", "2", "--us-stocks", "20", "--months", "2", "--seed", "6", "--minutes", "2024-02"]
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "adr", "--out", "command", *size])
    assert not ended.value.code
    simulate_desk(tmp_path / "function", adrs=2, us_stocks=20, months=2, seed=6, minutes=("2024-02",))
    assert digests(tmp_path / "command") == digests(tmp_path / "function")
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "adr", "--out", "command"])
    assert ended.value.code == 2
