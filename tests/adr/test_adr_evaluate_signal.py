"""What follows a signal, by hand; correlations; the slope of a planted model; report and notebook."""

from __future__ import annotations

from collections import Counter

import exchange_calendars as xcals
import nbformat
import numpy as np
import pandas as pd
import pytest
from adr_minutes_desk import copy, open_desk, truth

from kairos.adr.calibrate import BUCKETS, bucket, past_slopes
from kairos.adr.clock import Clock
from kairos.adr.desk import ADR_QUOTES, BASELINE, BETAS, SIGNAL_NOTEBOOK, Desk
from kairos.adr.evaluate_signal import _ics, evaluate_signal, evaluation_folder
from kairos.adr.instruments import read_instruments
from kairos.adr.notebook import signal_notebook, template
from kairos.adr.outcomes import by_side, entries_of
from kairos.adr.signal import signal, signal_folder
from kairos.adr.signal_sheets import signal_sheet
from kairos.errors import InputError
from kairos.report.adr_signal import adr_signal_page
from kairos.settings import load

NY = "America/New_York"


@pytest.fixture(scope="module")
def evaluated(minutes):
    report = evaluate_signal(minutes)
    return minutes, report


@pytest.fixture(scope="module")
def observations(evaluated):
    desk, _ = evaluated
    table = pd.read_parquet(desk.path(f"{evaluation_folder(desk)}/observations.parquet"))
    return table.set_index(["ticker", "date", "entry"])


def quotes(desk, adr):
    return pd.read_parquet(desk.root / ADR_QUOTES / f"ticker={adr}" / "data.parquet")


def test_entries_lie_between_the_closes(minutes):
    one = read_instruments(minutes).by_adr["BAB"]
    clock = Clock.of(one, np.datetime64("2024-11-27"), np.datetime64("2024-12-02"))
    found = entries_of(clock, ["11:36", "11:37", "12:59", "13:00", "15:59"])
    told = [f"{d} {e}" for d, e in zip(found.day, found.entry, strict=True)]
    assert [t for t in told if t.startswith("2024-11-27")] == [
        f"2024-11-27 {e}" for e in ("11:37", "12:59", "13:00")
    ]  # 11:36 is the close of London itself; at 15:59 there is no minute left to trade in
    assert [t for t in told if t.startswith("2024-11-29")] == ["2024-11-29 11:37"]  # New York closes at 13:00
    utc = pd.DatetimeIndex(found.time, tz="UTC").tz_convert(NY).strftime("%Y-%m-%d %H:%M")
    assert utc.tolist() == told


@pytest.mark.parametrize(
    ("adr", "day", "entry"), [("BAB", "2025-03-10", "14:00"), ("LIR", "2024-11-04", "13:30")]
)
def test_one_trade_by_hand(evaluated, observations, adr, day, entry):
    """Bought at the ask a minute after the signal and sold at the last bid, or the other way round."""
    desk, _ = evaluated
    book = quotes(desk, adr)
    into = book.loc[: pd.Timestamp(f"{day} {entry}", tz=NY) + pd.Timedelta(minutes=1)].iloc[-1]
    out = book.loc[: pd.Timestamp(f"{day} 16:00", tz=NY)].iloc[-1]
    row = observations.loc[(adr, pd.Timestamp(day), entry)]
    at = pd.Timestamp(f"{day} {entry}", tz=NY)
    base = pd.read_parquet(desk.root / BASELINE / f"ticker={adr}" / "data.parquet").loc[at]
    found = pd.read_parquet(desk.root / signal_folder(desk) / f"ticker={adr}" / "data.parquet").loc[at]
    assert (row["baseline"], row["full_sample"], row["reversal"]) == (
        base["signal"],
        found["signal"],
        -base["adr_return"],
    )
    for name in ("full_sample", "expanding", "baseline", "reversal"):
        expected = out["nbbo_bid"] / into["nbbo_ask"] if row[name] > 0 else out["nbbo_ask"] / into["nbbo_bid"]
        assert row[f"{name}_close"] == pytest.approx(expected - 1, abs=1e-14)
    mid = [(q["nbbo_bid"] + q["nbbo_ask"]) / 2 for q in (into, out)]
    assert row["mid_close"] == pytest.approx(mid[1] / mid[0] - 1, abs=1e-14)
    fund = pd.read_parquet(
        desk.root / f"data/raw/etfs/ohlcv-1m/ticker={'EWU' if adr == 'BAB' else 'FEZ'}/data.parquet"
    )
    fund = fund.set_index(fund["DateTime"] + pd.Timedelta(minutes=1))["Close"]
    moved = (
        fund.loc[: f"{day} 16:00"].iloc[-1]
        / fund.loc[: (at + pd.Timedelta(minutes=1)).tz_localize(None)].iloc[-1]
        - 1
    )
    beta = pd.read_csv(desk.root / BETAS, index_col="date").loc[day, adr]
    assert row["hedge"] == pytest.approx(beta * moved, abs=1e-14)


def test_the_next_open_by_hand(evaluated, observations):
    desk, _ = evaluated
    info = pd.read_csv(desk.root / "data/raw/adr_info.csv").set_index("adr").loc["BAB US Equity"]
    opens = pd.read_csv(desk.root / "data/raw/ordinary/ord_PX_OPEN_adjust_none.csv", index_col="date")
    rates = pd.read_csv(desk.root / "data/raw/currencies/minute_bars/GBPUSD_full_1min.txt", header=None)
    # London opens at 8:00, which is 4:00 in New York between the two changes of the clock
    pound = rates[(rates[0] == 20250311) & (rates[1] == "03:59:00")][5].iloc[0]
    value = opens.loc["2025-03-11", info["id"]] / 100 * pound * info["sh_per_adr"]
    into = quotes(desk, "BAB").loc[: pd.Timestamp("2025-03-10 14:01", tz=NY)].iloc[-1]
    row = observations.loc[("BAB", pd.Timestamp("2025-03-10"), "14:00")]
    assert row["mid_open"] == pytest.approx(
        value / ((into["nbbo_bid"] + into["nbbo_ask"]) / 2) - 1, abs=1e-12
    )
    side = into["nbbo_ask"] if row["full_sample"] > 0 else into["nbbo_bid"]
    assert row["full_sample_open"] == pytest.approx(value / side - 1, abs=1e-12)


def test_ex_dates_are_flagged_and_have_no_next_open(evaluated, observations):
    desk, _ = evaluated
    events = truth(desk)["events"]["ordinary_adjustments"]
    flagged = observations[observations["ex_date"]]
    assert flagged["mid_open"].isna().all()
    assert flagged["mid_close"].notna().any()
    ex = {(event["name"], event["date"]) for event in events}
    assert len(flagged)
    by_adr = read_instruments(desk).by_adr
    for (adr, day), rows in observations.groupby(level=["ticker", "date"]):
        following = xcals.get_calendar(by_adr[adr].exchange).next_session(day)
        assert rows["ex_date"].unique().tolist() == [(adr, f"{following:%Y-%m-%d}") in ex]


def test_old_and_wide_quotes_are_left_out_and_counted(minutes, tmp_path):
    desk = copy(minutes, tmp_path / "desk")
    path = desk.root / ADR_QUOTES / "ticker=BAB" / "data.parquet"
    book = quotes(desk, "BAB")
    local = book.index
    gone = (local >= pd.Timestamp("2025-03-10 13:58", tz=NY)) & (
        local <= pd.Timestamp("2025-03-10 14:05", tz=NY)
    )
    wide = local == pd.Timestamp("2025-03-11 14:01", tz=NY)
    book.loc[wide, "nbbo_ask"] = 1.006 * book.loc[wide, "nbbo_bid"]
    book[~gone].to_parquet(path)
    report = evaluate_signal(desk)
    table = pd.read_parquet(desk.path(f"{evaluation_folder(desk)}/observations.parquet"))
    table = table.set_index(["ticker", "date", "entry"])
    assert table.loc[("BAB", pd.Timestamp("2025-03-10"), "14:00"), "state"] == "old"
    assert table.loc[("BAB", pd.Timestamp("2025-03-11"), "14:00"), "state"] == "wide"
    assert np.isnan(table.loc[("BAB", pd.Timestamp("2025-03-11"), "14:00"), "mid_close"])
    counts = report.excluded.set_index("what")["n"]
    assert counts["wide"] == 1
    assert counts["old"] >= 1
    assert counts["all"] == len(table)
    assert any("observations can't be traded" in text for text in report.remarks())


def test_tables_are_correlations_of_the_observations(evaluated, observations):
    _, report = evaluated
    ics = report.ics.set_index(["forecast", "entry", "outcome", "price", "hedged", "kind"])
    table = observations.reset_index()
    for entry in ("all", "14:00"):
        part = table if entry == "all" else table[table["entry"] == entry]
        for name in ("full_sample", "reversal"):
            rows = part.dropna(subset=[name, f"{name}_close"])
            row = ics.loc[(name, entry, "close", "traded", False, "pooled")]
            assert row["ic"] == pytest.approx(np.corrcoef(rows[name], rows[f"{name}_close"])[0, 1], abs=1e-12)
            assert (row["n"], row["days"]) == (len(rows), rows["date"].nunique())
            hedged = rows[f"{name}_close"] - rows["hedge"]
            row = ics.loc[(name, entry, "close", "traded", True, "pooled")]
            good = hedged.notna()
            assert row["ic"] == pytest.approx(np.corrcoef(rows[name][good], hedged[good])[0, 1], abs=1e-12)
    part = table[table["entry"] == "14:00"].dropna(subset=["baseline", "baseline_close"])
    daily = [
        rows["baseline"].corr(rows["baseline_close"], method="spearman")
        for _, rows in part.groupby("date")
        if len(rows) >= 5
    ]
    row = ics.loc[("baseline", "14:00", "close", "traded", False, "across")]
    assert row["ic"] == pytest.approx(np.mean(daily), abs=1e-12)
    assert row["t"] == pytest.approx(np.mean(daily) / (np.std(daily, ddof=1) / np.sqrt(len(daily))), rel=1e-9)
    counts = part.groupby("date").size()
    assert (row["n"], row["days"]) == (counts[counts >= 5].sum(), len(daily))


def test_a_cross_section_counts_what_it_uses():
    """Six ADRs, one of them without a return; on the next day only four."""
    part = pd.DataFrame({
        "date": [1] * 6 + [2] * 4,
        "ticker": [*"ABCDEF", *"ABCD"],
        "baseline": np.arange(10.0),
    })  # fmt: skip
    y = np.array([3.0, 1.0, 2.0, 5.0, 4.0, np.nan, 1.0, 2.0, 3.0, 4.0])
    _, across = _ics(part, "baseline", y, "14:00", 0.9)
    assert (across[0], across[-2], across[-1]) == ("across", 5, 1)
    assert across[1] == pytest.approx(0.6)  # ranks 3 1 2 5 4 against 1 2 3 4 5: 1 - 6·8/120


def test_a_side_that_is_not_taken_is_not_paid():
    forecast = np.array([0.1, -0.1, 0.0, np.nan])
    found = by_side(forecast, np.full(4, 1.0), np.full(4, 2.0))
    np.testing.assert_array_equal(found, [1.0, 2.0, 2.0, np.nan])


def test_the_planted_model_has_the_slope_one(evaluated):
    """In every part of a day: weights of the truth hold at any time."""
    _, report = evaluated
    table = report.half_hours
    assert table["minutes"].tolist()[:3] == [30, 60, 90]
    error = (table["high"] - table["low"]) / (2 * 1.645)
    z = (table["slope"] - 1) / error
    assert (z.abs() < 3.5).all()
    later = table[(table["minutes"] >= 120) & (table["n"] > 100)]
    assert (later["low"] > 0).mean() > 0.5  # and the model says something


def test_past_slopes_know_the_months_before():
    rng = np.random.default_rng(3)
    n = 900
    seen = pd.DataFrame(
        {
            "month": np.sort(rng.choice(["2024-11", "2024-12", "2025-02"], n)),
            "bucket": rng.integers(0, 4, n),
            "model": rng.standard_normal(n),
        }
    )
    seen["beyond"] = 0.7 * seen["model"] + rng.standard_normal(n)
    months, slopes, counts = past_slopes(seen, least=60)
    assert months.astype(str).tolist() == ["2024-11", "2024-12", "2025-02", "2025-03"]
    for m, month in enumerate(months.astype(str)):
        for b in range(BUCKETS):
            past = seen[(seen["month"] < month) & (seen["bucket"] == b)]
            assert counts[m, b] == len(past)
            expected = 1.0
            if len(past) >= 60:
                expected = (past["model"] @ past["beyond"]) / (past["model"] @ past["model"])
            assert slopes[m, b] == pytest.approx(np.clip(expected, 0, 2), abs=1e-12)


def test_half_hours_since_the_close():
    since = np.array([60.0, 1799.0, 1800.0, 1801.0, 3600.0, 9e5])
    assert bucket(since).tolist() == [0, 0, 0, 1, 1, BUCKETS - 1]


def test_a_calibrated_signal_scales_the_term(minutes, tmp_path):
    desk = copy(minutes, tmp_path / "desk")
    plain = pd.read_parquet(desk.root / signal_folder(desk) / "ticker=LIR" / "data.parquet")
    desk = open_desk(desk.root, "adr.signal.calibration=past", "adr.signal.min_calibration=20")
    signal(desk)
    found = pd.read_parquet(desk.root / signal_folder(desk) / "ticker=LIR" / "data.parquet")
    table = pd.read_csv(desk.path(f"{signal_folder(desk)}_calibration.csv")).set_index(["month", "half_hour"])
    assert (found.loc["2024-11", "signal"] == plain.loc["2024-11", "signal"]).all()  # nothing is known before
    day = found.loc["2025-03-10"]
    slope = table.loc[("2025-03", 2), "slope"]
    assert slope != 1.0
    ratio = day["model_return"].iloc[60:90] / plain.loc["2025-03-10", "model_return"].iloc[60:90]
    np.testing.assert_allclose(ratio, slope, rtol=1e-12)


def test_the_report_shows_the_day_and_the_tables(evaluated):
    desk, report = evaluated
    sheet = signal_sheet(desk)
    days = pd.read_csv(desk.path(f"{signal_folder(desk)}_days.csv"), keep_default_na=False, na_values=[""])
    assert sheet.day == days.loc[days["source"] != "none", "date"].max() == "2025-03-31"
    assert set(sheet.lines) == set(truth(desk)["adrs"])
    for row in sheet.adrs:
        of = days[days["ticker"] == row.ticker]
        assert (row.model_days, row.days_without) == (
            (of["source"] == "model").sum(),
            (of["source"] == "none").sum(),
        )
        found = pd.read_parquet(desk.root / signal_folder(desk) / f"ticker={row.ticker}" / "data.parquet")
        assert row.last == found["signal"].iloc[-1]
    ics = report.ics.set_index(["forecast", "entry", "outcome", "price", "hedged", "kind"])["ic"]
    first = sheet.forecasts[0]
    assert first.traded.value == pytest.approx(
        ics["full_sample", "all", "close", "traded", False, "pooled"], abs=1e-9
    )
    assert first.next_open.value == pytest.approx(
        ics["full_sample", "all", "open", "traded", False, "pooled"], abs=1e-9
    )
    assert sheet.hindsight == pytest.approx(
        ics["full_sample", "all", "close", "traded", False, "pooled"]
        - ics["expanding", "all", "close", "traded", False, "pooled"],
        abs=1e-9,
    )
    page = adr_signal_page(sheet).render()
    assert "chosen in-sample" in page
    assert page.index("full-sample one") < page.index("IC to New York")
    assert all(text in page for text in ("2025-03-31", "Quote too wide", "Minutes since c"))


def test_the_notebook_runs_on_the_data(evaluated):
    desk, _ = evaluated
    clean = nbformat.read(template(SIGNAL_NOTEBOOK), as_version=4)
    assert all(not cell.get("outputs") for cell in clean.cells)
    signal_notebook(desk)
    executed = nbformat.read(desk.path(SIGNAL_NOTEBOOK), as_version=4)
    kinds = Counter(o.output_type for cell in executed.cells for o in cell.get("outputs", []))
    assert set(kinds) <= {"execute_result", "display_data"}
    assert (
        sum(
            "application/vnd.plotly.v1+json" in o.get("data", {})
            for c in executed.cells
            for o in c.get("outputs", [])
        )
        == 4
    )


def test_what_is_missing_is_named(raw_minutes, tmp_path):
    with pytest.raises(InputError, match="run `signal` first"):
        evaluate_signal(raw_minutes)
    with pytest.raises(InputError, match=r"ic\.csv.*`evaluate-signal`"):
        signal_sheet(raw_minutes)
    with pytest.raises(InputError, match=r"ic\.csv.*`evaluate-signal`"):
        signal_notebook(raw_minutes)
    with pytest.raises(InputError, match=r"adr_info\.csv"):
        evaluate_signal(Desk(tmp_path, load()))
