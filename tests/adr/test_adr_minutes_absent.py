"""What is absent or old is told by its own reason, in the batch as live; and a user's files count."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from adr_live_compare import batch, compare
from adr_minutes_desk import CLOSED, WITHOUT_MODEL, copy, open_desk, truth

from kairos.adr.baseline import baseline
from kairos.adr.calibrate import BUCKETS, Calibration, half_hours, past_slopes
from kairos.adr.clock import Clock
from kairos.adr.desk import (
    ADR_MIDS,
    ADR_QUOTES,
    BASELINE,
    FUTURES,
    FX_MINUTES,
    ORDINARY_OPENS,
    ORDINARY_UNADJUSTED,
    US_BETAS,
)
from kairos.adr.instruments import read_instruments
from kairos.adr.live import LiveDesk
from kairos.adr.minutefile import MinuteFile
from kairos.adr.outcomes import entries_of, lacking_for_open, traded
from kairos.adr.replay import arrivals
from kairos.adr.signal import days_file, signal, signal_folder, terms_folder

NY = "America/New_York"
DAY, NEXT = "2025-03-12", "2025-03-13"


def file(desk, folder, adr):
    return pd.read_parquet(desk.root / folder / f"ticker={adr}" / "data.parquet")


def days(desk):
    table = pd.read_csv(desk.path(days_file(desk)), keep_default_na=False, na_values=[""])
    return table.set_index(["ticker", "date"])


@pytest.fixture(scope="module")
def changed(minutes, tmp_path_factory):
    """On one day the pound at London's close is 901 s old, on the next 900 s; from that day on there are no
    betas for LIR's index; and the user has some mids of ROT."""
    desk = copy(minutes, tmp_path_factory.mktemp("absent") / "desk")
    (path,) = (desk.root / FUTURES / "symbol=FTUK").glob("*.parquet")
    bars = pd.read_parquet(path)
    for day, age in ((DAY, 901.0), (NEXT, 900.0)):
        at_close = bars["timestamp"] == pd.Timestamp(f"{day} 16:35", tz="UTC")  # known at c, 16:36
        assert at_close.sum() == 1
        bars.loc[at_close, "fx_age_s"] = age
    bars.to_parquet(path, index=False)
    one = read_instruments(desk).by_adr["LIR"]
    path = desk.root / US_BETAS / f"{one.exchange}_{one.index}.parquet"
    betas = pd.read_parquet(path)
    betas[betas.index < NEXT].to_parquet(path)
    mids = pd.read_csv(desk.path(ADR_MIDS), index_col="date")
    mids.loc[DAY, "ROT"] *= 1.01
    mids.loc[NEXT, "ROT"] = np.nan
    mids[["ROT"]].to_csv(desk.path(ADR_MIDS))
    baseline(desk)
    signal(desk)
    return desk


def test_a_rate_that_was_old_at_the_close_is_no_rate(changed, minutes):
    told = days(changed).loc["BAB"]
    assert told.loc[DAY, ["source", "reason"]].tolist() == ["none", "no exchange rate at the close"]
    assert DAY not in set(file(changed, BASELINE, "BAB")["date"])
    now, before = (file(desk, BASELINE, "BAB").loc[NEXT] for desk in (changed, minutes))
    pd.testing.assert_frame_equal(now, before)


def test_live_withholds_it_too(changed):
    found = LiveDesk(changed, np.datetime64(DAY))
    at = np.datetime64(f"{DAY}T18:00", "ns")
    for arrived, bar in arrivals(changed, found):
        if arrived <= at.astype(np.int64):
            found.update(bar)
    signals = {s.adr: s for s in found.signal(at)}
    assert signals["BAB"].withheld == "no exchange rate at the close"
    assert np.isfinite(signals["BAB"].index_return)  # bars are in USD: the rate of each is taken out of it
    assert signals["LIR"].withheld == ""


@pytest.mark.parametrize("day", [DAY, NEXT])
def test_batch_and_live_agree_on_what_is_absent(changed, day):
    rows = batch(changed)
    _, emitted, with_model, _ = compare(changed, day, rows)
    assert emitted > 700
    assert with_model > 0


def test_no_betas_of_the_us_stocks_are_not_no_prices(changed):
    told = days(changed).loc["LIR"]
    assert told.loc[DAY, "source"] == "model"
    later = told[(told.index >= NEXT) & (told["source"] != "none")]
    assert set(later["reason"]) == {"no US betas"}
    assert len(later) >= 10
    found = LiveDesk(changed, np.datetime64(NEXT))
    at = np.datetime64(f"{NEXT}T18:00", "ns")
    for arrived, bar in arrivals(changed, found):
        if arrived <= at.astype(np.int64):
            found.update(bar)
    reasons = {s.adr: s.reason for s in found.signal(at)}
    assert reasons["LIR"] == "no US betas"
    assert (reasons["BAB"], reasons[WITHOUT_MODEL]) == ("", "no model")


def test_mids_of_the_user_are_the_mids_at_the_close(changed, minutes):
    """On the day on which theirs is another one, by hand; where they have none, that of the quotes."""
    now, before = (file(desk, BASELINE, "ROT") for desk in (changed, minutes))
    np.testing.assert_allclose(1 + now.loc[DAY, "adr_return"], (1 + before.loc[DAY, "adr_return"]) / 1.01)
    np.testing.assert_allclose(1 + now.loc[DAY, "premium_c"], (1 + before.loc[DAY, "premium_c"]) * 1.01)
    pd.testing.assert_frame_equal(now.loc[NEXT], before.loc[NEXT])
    pd.testing.assert_frame_equal(
        file(changed, BASELINE, CLOSED).loc[DAY], file(minutes, BASELINE, CLOSED).loc[DAY]
    )


# The user's own baseline.


def of_user(desk, minutes, adr, shift="0s"):
    rows = file(minutes, BASELINE, adr)[["signal", "date"]]
    rows.index = rows.index + pd.Timedelta(shift)
    path = desk.root / BASELINE / f"ticker={adr}" / "data.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path)
    return path


def test_only_files_of_the_user_count_where_they_are_the_source(minutes, tmp_path):
    """The desk's own, of a run before, are neither used nor kept; --force doesn't touch the user's."""
    desk = copy(minutes, tmp_path / "desk", "adr.baseline.source=user", force=True)
    path = of_user(desk, minutes, "BAB", "30s")
    before = path.read_bytes()
    report = signal(open_desk(desk.root, "adr.baseline.source=user"))
    assert set(report.days["full_sample"]["ticker"]) == {"BAB"}
    assert set(report.left) == set(truth(desk)["adrs"]) - {"BAB"}
    assert {text.split(" in ")[0] for text in report.left.values()} == {"no file of yours"}
    told = days(desk).loc["BAB", "reason"]
    assert set(told[told.index >= "2024-11"]) == {"no minute in common"}
    assert set(told[told.index < "2024-11"]) == {"no model"}
    again = baseline(desk)
    assert [(one.adr, one.source) for one in again.found] == [("BAB", "user")]
    assert sorted((desk.root / BASELINE).rglob("*.parquet")) == [path]
    assert path.read_bytes() == before


def test_a_baseline_without_a_future_is_told(minutes, tmp_path):
    desk = copy(minutes, tmp_path / "desk")
    of_user(desk, minutes, "BAB")
    (path,) = (desk.root / FUTURES / "symbol=FTUK").glob("*.parquet")
    bars = pd.read_parquet(path)
    bars[bars["timestamp"].dt.strftime("%Y-%m-%d") != DAY].to_parquet(path, index=False)
    signal(desk)
    told = days(desk).loc["BAB"]
    assert told.loc[DAY, ["source", "reason"]].tolist() == ["baseline", "no future or exchange rate"]
    assert told.loc[NEXT, "source"] == "model"


# Runs before, and runs that stop.


@pytest.mark.slow
def test_days_do_not_depend_on_runs_before(minutes, tmp_path):
    """The quotes of one ADR begin later, a run is made, and they are made whole again."""
    desk = copy(minutes, tmp_path / "desk")
    whole = {}
    for adr in truth(desk)["adrs"]:
        path = desk.root / ADR_QUOTES / f"ticker={adr}" / "data.parquet"
        whole[path] = path.read_bytes()
        rows = pd.read_parquet(path)
        if adr in ("BAB", "LIR"):
            rows[rows.index >= "2025-03-20"].to_parquet(path)
        else:
            path.unlink()
    baseline(desk)
    signal(desk)
    for path, content in whole.items():
        path.write_bytes(content)
    baseline(desk)
    signal(desk)
    pd.testing.assert_frame_equal(days(desk), days(minutes))
    for adr in ("BAB", CLOSED):
        for folder in (BASELINE, signal_folder(desk)):
            pd.testing.assert_frame_equal(
                file(desk, folder, adr), file(minutes, folder, adr), check_exact=True
            )


def test_terms_that_were_made_before_a_run_stopped_stay(minutes, tmp_path, monkeypatch):
    """The ADRs of one exchange are one group here, and each group is saved when it is done."""
    desk = copy(minutes, tmp_path / "desk")
    shutil.rmtree(desk.root / terms_folder(desk))
    module = __import__("kairos.adr.signal", fromlist=["x"])
    real, made = module.model_terms, []

    def stops(desk, group, venues, bars):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(group[0].exchange)
        return real(desk, group, venues, bars)

    monkeypatch.setattr(module, "model_terms", stops)
    with pytest.raises(KeyboardInterrupt):
        signal(desk)
    there = {path: path.stat().st_mtime_ns for path in (desk.root / terms_folder(desk)).rglob("*.parquet")}
    assert len(there) == sum(one.exchange in made for one in read_instruments(desk).instruments)
    made.clear()
    monkeypatch.setattr(module, "model_terms", lambda *a: made.extend(one.adr for one in a[1]) or real(*a))
    signal(desk)
    assert len(made) == len(truth(desk)["adrs"]) - len(there)
    assert all(path.stat().st_mtime_ns == changed for path, changed in there.items())


# The next open.


def test_without_unadjusted_closes_nobody_knows_an_ex_date(minutes, tmp_path):
    """No return to the next open is better than one that may hold a dividend; the file is named."""
    desk = copy(minutes, tmp_path / "desk")
    instruments = read_instruments(desk)
    assert lacking_for_open(desk, instruments.instruments) == []
    one = instruments.by_adr["BAB"]
    clock = Clock.of(one, np.datetime64("2025-03-10"), np.datetime64("2025-03-14"))
    entries = entries_of(clock, ["14:00"])
    assert np.isfinite(traded(desk, one, entries).mid_open).all()
    closes = pd.read_csv(desk.path(ORDINARY_UNADJUSTED), index_col="date")
    closes.loc[DAY, one.ordinary] = np.nan
    closes.to_csv(desk.path(ORDINARY_UNADJUSTED))
    found = traded(desk, one, entries)  # the change into that day and out of it is not known
    assert np.isnan(found.mid_open).tolist() == [False, True, True, False, False]
    assert not found.ex_date.any()
    closes.drop(columns=one.ordinary).to_csv(desk.path(ORDINARY_UNADJUSTED))
    assert np.isnan(traded(desk, one, entries).long_open).all()
    assert lacking_for_open(desk, [one]) == [
        f"{ORDINARY_UNADJUSTED} has no column {one.ordinary} (ex-dates are unknown without unadjusted closes)"
    ]
    desk.path(ORDINARY_UNADJUSTED).unlink()
    desk.path(ORDINARY_OPENS).unlink()
    desk.path(f"{FX_MINUTES}/GBPUSD_full_1min.txt").unlink()
    assert [text.split(" (")[0] for text in lacking_for_open(desk, [one])] == [
        f"{ORDINARY_OPENS} is missing",
        f"{ORDINARY_UNADJUSTED} is missing",
        f"{FX_MINUTES}/GBPUSD_full_1min.txt is missing",
    ]


# Slopes.


def minute_file(columns):
    times = np.array([f"2025-03-{d}T{t}" for d in (11, 12) for t in ("17:00", "17:29", "17:31")], "M8[ns]")
    return MinuteFile(times, {name: np.array(values, dtype=float) for name, values in columns.items()}, {})


def test_slopes_are_of_minutes_that_the_signal_uses():
    """On the 11th the model is not covered at the close, on the 12th not at 17:29."""
    base = minute_file({"signal": [-1, -2, -3, -4, -5, -6]})
    term = minute_file({
        "signal": [1] * 6,
        "has_model": [1] * 6,
        "since_c": [60, 1740, 1860] * 2,
        "coverage_c": [0.7] * 3 + [0.9] * 3,
        "coverage": [0.9, 0.9, 0.9, 0.9, 0.79, 0.8],
    })  # fmt: skip
    found = half_hours(base, term, 0.8)
    assert found["date"].dt.strftime("%d").tolist() == ["12", "12"]
    assert found[["bucket", "beyond"]].to_numpy().tolist() == [[0, 4], [1, 6]]
    assert half_hours(base, term, 0.0)["beyond"].tolist() == [2, 3, 5, 6]


def test_a_month_without_observations_has_the_past_before_it():
    """In a gap, and after the last month; before the first nothing is known."""
    rng = np.random.default_rng(5)
    seen = pd.DataFrame({
        "month": np.repeat(["2024-11", "2025-02"], 50),
        "bucket": 3,
        "model": rng.standard_normal(100),
    })  # fmt: skip
    seen["beyond"] = 0.7 * seen["model"] + rng.standard_normal(100)
    months, slopes, _ = past_slopes(seen, least=10)
    calibration = Calibration(months, slopes)
    asked = np.array(["2024-08", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03", "2025-09"], "M8[M]")
    found = calibration.at(asked, np.full(len(asked), 3.5 * 1800))
    for month, factor in zip(asked.astype(str), found, strict=True):
        past = seen[seen["month"] < month]
        expected = (past["model"] @ past["beyond"]) / (past["model"] @ past["model"]) if len(past) else 1.0
        assert factor == pytest.approx(np.clip(expected, 0, 2), abs=1e-12)
    assert len(set(found)) == 3
    assert slopes.shape == (3, BUCKETS)
