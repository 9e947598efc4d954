"""The desk that takes one bar at a time, against the batch on what had arrived."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from adr_live_compare import MINUTE, batch, compare, replay
from adr_minutes_desk import CLOSED, WITHOUT_MODEL, copy, open_desk

from kairos.adr.baseline import baseline
from kairos.adr.desk import ADR_QUOTES, FUTURES, US_MINUTES
from kairos.adr.live import (
    FutureBar,
    LiveDesk,
    Quote,
    UsBar,
    nanoseconds,
    new_york_time,
)
from kairos.adr.replay import arrivals, live
from kairos.adr.signal import signal
from kairos.cli import main
from kairos.errors import InputError

NY = "America/New_York"


def late_and_gaps(desk, seed=0, share=0.02):
    """Delete some bars, and let others arrive late: a `received_at` in every file."""
    rng = np.random.default_rng(seed)

    def change(rows, known):
        wait = np.where(rng.random(len(rows)) < share, rng.integers(1, 40, len(rows)), 0)
        received = known + pd.to_timedelta(wait, unit="min")
        return rows.assign(received_at=received)[rng.random(len(rows)) > 0.05]

    minute = pd.Timedelta(minutes=1)
    for path in sorted((desk.root / US_MINUTES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        change(rows, rows["DateTime"] + minute).to_parquet(path, index=False)
    for path in sorted((desk.root / FUTURES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        change(rows, rows["timestamp"] + minute).to_parquet(path, index=False)
    for path in sorted((desk.root / ADR_QUOTES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        change(rows, rows.index.to_series()).to_parquet(path)


@pytest.fixture(scope="module")
def late(raw_minutes, tmp_path_factory):
    """A desk with gaps and late bars, and its batch."""
    desk = copy(raw_minutes, tmp_path_factory.mktemp("late") / "desk")
    late_and_gaps(desk)
    baseline(desk)
    signal(desk)
    return desk


def every_day(rows):
    return sorted({day for table in rows.values() for day in table["date"]})


DAYS = ["2025-03-07", "2025-03-10", "2025-03-31", "2024-11-29"]


@pytest.mark.parametrize("day", DAYS)
def test_batch_and_live_agree_on_late_and_missing_bars(late, day):
    """Shuffled within each minute, late by up to 40 minutes, with gaps: 1e-12 on what live emits."""
    rows = batch(late)
    _, emitted, with_model, held = compare(late, day, rows)
    expected = sum(table["date"].eq(day).sum() for table in rows.values())
    assert emitted > 0.8 * expected
    assert with_model > 0.4 * emitted
    assert not {"future", "exchange"} & set(held)


@pytest.mark.slow
def test_batch_and_live_agree_on_every_minute_of_a_month(late):
    rows = batch(late)
    days = [day for day in every_day(rows) if day.startswith("2025-03")]
    total, missing = 0, 0
    for day in days:
        _, emitted, _, _ = compare(late, day, rows)
        total += emitted
        missing += sum(table["date"].eq(day).sum() for table in rows.values()) - emitted
    assert len(days) == 21
    assert total > 25_000
    assert missing < 0.02 * total


def test_late_bars_never_change_what_was_given_out_and_are_counted(late):
    """A minute counts as revised when on-time bars would have given another value: by a second batch."""
    found, given = replay(late, "2024-11-29")
    again = [found.signal(minute[0].time) for minute in given]
    assert all(a is b for a, b in zip(again, given, strict=True))
    ideal = LiveDesk(late, np.datetime64("2024-11-29"))
    bars = sorted(
        (
            (nanoseconds(bar.stamp) + (0 if isinstance(bar, Quote) else MINUTE), bar)
            for _, bar in arrivals(late, ideal)
        ),
        key=lambda item: item[0],
    )
    differ, position = 0, 0
    for minute in given:
        at = nanoseconds(minute[0].time)
        while position < len(bars) and bars[position][0] <= at:
            ideal.update(bars[position][1])
            position += 1
        true = ideal.signal(minute[0].time)
        differ += any(
            np.isnan(a.signal) != np.isnan(b.signal) or abs(a.signal - b.signal) > 1e-12
            for a, b in zip(minute, true, strict=True)
            if not (np.isnan(a.signal) and np.isnan(b.signal))
        )
    assert found.revised() == differ > 20
    assert ideal.revised() == 0


def test_without_late_bars_nothing_is_revised(minutes):
    found, emitted, _, _ = compare(minutes, "2025-03-12", batch(minutes))
    assert found.revised() == 0
    assert emitted > 1000


def test_one_late_bar_by_hand(minutes):
    """The future's bar at c arrives ten minutes late: later minutes use it, earlier ones stay."""
    day = "2025-03-12"
    plain, delayed = (LiveDesk(minutes, np.datetime64(day)) for _ in range(2))
    anchor = []
    for arrived, bar in arrivals(minutes, plain):
        plain.update(bar)
        if (
            isinstance(bar, FutureBar)
            and bar.symbol == "FTUK"
            and bar.stamp == np.datetime64("2025-03-12T16:35", "ns")
        ):
            anchor.append(bar)
        elif arrived <= nanoseconds(np.datetime64("2025-03-12T16:40", "ns")):
            delayed.update(bar)
    (bar,) = anchor
    early = {s.adr: s for s in delayed.signal(np.datetime64("2025-03-12T16:40", "ns"))}["BAB"]
    delayed.update(bar)
    later = {s.adr: s for s in delayed.signal(np.datetime64("2025-03-12T16:41", "ns"))}["BAB"]
    true = batch(minutes)["BAB"].loc[pd.Timestamp("2025-03-12 16:40", tz="UTC")]
    assert early.index_return != pytest.approx(true["index_return"], abs=1e-9)
    assert early.adr_return == pytest.approx(true["adr_return"], abs=1e-15)
    revised = delayed.revised()
    assert revised == 1
    assert later.index_return == pytest.approx((1 + true["index_return"]) - 1, abs=1e-15)


class TestWithheld:
    def of(self, minutes, at, **without):
        """Signals at a minute, without the bars of some kinds since a time."""
        time = nanoseconds(np.datetime64(at, "ns"))
        found = LiveDesk(minutes, np.datetime64(at[:10]))
        for arrived, bar in arrivals(minutes, found):
            since = without.get(type(bar).__name__)
            if arrived <= time and not (since and bar.stamp >= np.datetime64(since, "ns")):
                found.update(bar)
        return {s.adr: s for s in found.signal(np.datetime64(at, "ns"))}

    def test_before_the_close_and_after_new_yorks(self, minutes):
        early = self.of(minutes, "2025-03-12T16:30")
        assert early["BAB"].withheld == "its exchange has not closed yet"
        assert early["ROT"].withheld == ""  # Oslo closes at 16:20 and five minutes
        assert early["ROT"].signal == early["ROT"].signal
        late = self.of(minutes, "2025-03-12T20:01")
        assert {s.withheld for s in late.values()} == {"New York has closed"}

    def test_an_old_source(self, minutes):
        found = self.of(minutes, "2025-03-12T18:30", Quote="2025-03-12T18:14")
        assert {s.withheld for s in found.values()} == {"quote older than 900 s"}
        found = self.of(minutes, "2025-03-12T18:30", FutureBar="2025-03-12T18:13")
        assert {s.withheld for s in found.values()} == {"future older than 900 s"}
        assert np.isfinite(found["BAB"].adr_return)

    def test_too_few_prices(self, minutes):
        """The batch keeps such a minute with its coverage; live doesn't give it out."""
        found = self.of(minutes, "2025-03-12T19:30", UsBar="2025-03-12T18:20")
        assert found["BAB"].withheld == "coverage 0.00"
        assert found["BAB"].coverage == 0.0
        assert found[CLOSED].withheld == found[WITHOUT_MODEL].withheld == ""
        assert (found[CLOSED].reason, found[WITHOUT_MODEL].reason) == ("gate", "no model")
        found = self.of(minutes, "2025-03-12T19:30", UsBar="2025-03-12T15:00")
        assert (found["BAB"].withheld, found["BAB"].source, found["BAB"].reason) == (
            "",
            "baseline",
            "no US prices",
        )

    def test_a_rate_that_is_old_though_its_bar_is_new(self, minutes):
        found = LiveDesk(minutes, np.datetime64("2025-03-12"))
        for arrived, bar in arrivals(minutes, found):
            if arrived <= nanoseconds(np.datetime64("2025-03-12T18:30", "ns")):
                late = isinstance(bar, FutureBar) and bar.stamp >= np.datetime64("2025-03-12T18:29", "ns")
                found.update(FutureBar(bar.symbol, bar.stamp, bar.close, bar.fx_rate, 901.0) if late else bar)
        held = {s.adr: s.withheld for s in found.signal(np.datetime64("2025-03-12T18:30", "ns"))}
        assert held["BAB"] == "exchange rate older than 900 s"

    def test_a_holiday(self, minutes):
        with pytest.raises(InputError, match="New York holds no session on 2025-03-15"):
            LiveDesk(minutes, np.datetime64("2025-03-15"))
        # London, Paris and the others are closed on Boxing Day, New York is open
        found = LiveDesk(minutes, np.datetime64("2024-12-26"))
        held = {s.withheld for s in found.signal(np.datetime64("2024-12-26T18:00", "ns"))}
        assert held == {"its exchange is closed today"}


def test_what_is_no_price_is_set_aside(minutes):
    found = LiveDesk(minutes, np.datetime64("2025-03-12"))
    stamp = np.datetime64("2025-03-12T16:00", "ns")
    for bar in (
        UsBar(found.stocks[0], stamp, 0.0),
        UsBar(found.stocks[0], stamp, float("nan")),
        FutureBar("FTUK", stamp, 1.0, float("nan")),
        Quote("BAB", stamp, 10.0, 9.0),
        Quote("BAB", stamp, 0.0, 9.0),
    ):
        found.update(bar)
    found.update(UsBar("NOBODY", stamp, 1.0))
    assert (found.set_aside, found.unused, found.repeated) == (5, 1, 0)
    with pytest.raises(InputError, match="no bar has arrived"):
        found.signal()
    with pytest.raises(InputError, match="no time zone"):
        found.update(UsBar(found.stocks[0], dt.datetime(2025, 3, 12, 16, 0), 1.0))


def test_a_second_bar_of_a_minute_is_counted(minutes):
    """The first one counts, whether the other comes at once or late."""
    found = LiveDesk(minutes, np.datetime64("2025-03-12"))
    stamp, later = (np.datetime64(f"2025-03-12T16:{m}", "ns") for m in ("36", "37"))
    for bar in (
        Quote("BAB", stamp, 10.0, 10.2),
        Quote("BAB", stamp, 20.0, 20.2),
        Quote("BAB", later, 11.0, 11.2),
        Quote("BAB", stamp, 30.0, 30.2),
    ):
        found.update(bar)
    by_adr = {s.adr: s for s in found.signal(later)}
    assert found.repeated == 2
    assert by_adr["BAB"].adr_return == pytest.approx(11.1 / 10.1 - 1, abs=1e-15)
    assert found.revised() == 0


def test_the_command_tells_what_was_set_aside_and_came_late(minutes, tmp_path, capsys):
    desk = copy(minutes, tmp_path / "desk")
    path = desk.root / ADR_QUOTES / f"ticker={CLOSED}" / "data.parquet"
    book = pd.read_parquet(path)

    def row(time):
        return book.index[book.index.get_indexer([pd.Timestamp(time, tz=NY)], method="ffill")[0]]

    book["received_at"] = book.index
    late = row("2025-03-12 14:05")
    book.loc[late, "received_at"] = pd.Timestamp("2025-03-12 14:20", tz=NY)
    book.loc[late, ["nbbo_bid", "nbbo_ask"]] *= 1.01
    for time in ("2025-03-12 14:01", "2025-03-12 14:30", "2025-03-11 14:01"):
        book.loc[row(time), "nbbo_bid"] *= 2.0  # one of them on that day before the minute
    book.to_parquet(path)
    shown = [
        *("adr", "live", "--data", str(desk.root), "--at", "2025-03-12T14:05"),
        *(word for text in ("adr.end=2025-03-31", "adr.gate.min_months=1") for word in ("--set", text)),
    ]
    with pytest.raises(SystemExit):
        main(shown)
    out, said = capsys.readouterr()
    assert "1 bars and quotes without a usable price were set aside." in said
    assert "Bars that arrived later would have made other signals of this minute." in said
    assert {"Reason", "Premium"} <= set(out.replace("│", " ").split())
    assert "no model" in out


def test_a_signal_of_the_past_is_refused(minutes):
    found = LiveDesk(minutes, np.datetime64("2025-03-12"))
    found.update(Quote("BAB", dt.datetime(2025, 3, 12, 16, 40, tzinfo=dt.UTC), 9.0, 9.1))
    assert {s.time for s in found.signal()} == {np.datetime64("2025-03-12T16:40", "ns")}
    with pytest.raises(InputError, match=r"of 2025-03-12 12:39:00 \(New York\).*12:40"):
        found.signal(np.datetime64("2025-03-12T16:39", "ns"))


def test_the_command_says_what_the_batch_says(minutes, capsys):
    at = "2025-03-11T14:05"
    settings = [word for text in ("adr.end=2025-03-31", "adr.gate.min_months=1") for word in ("--set", text)]
    with pytest.raises(SystemExit) as left:
        main(["adr", "live", "--data", str(minutes.root), "--at", at, "--json", *settings])
    assert left.value.code == 0
    shown = {row["adr"]: row for row in json.loads(capsys.readouterr().out)}
    rows = batch(minutes)
    for adr, row in shown.items():
        expected = rows[adr].loc[pd.Timestamp(at, tz=NY)]
        if row["withheld"]:  # a stock of the model has not traded for an hour
            assert row["withheld"] == f"coverage {expected['coverage']:.2f}"
            continue
        assert row["signal"] == pytest.approx(expected["signal"], abs=1e-12)
        assert row["time"] == "2025-03-11T14:05:00-04:00"
    assert set(shown) == set(rows)


def test_times_of_the_command():
    assert new_york_time("2024-11-01T12:00") == np.datetime64("2024-11-01T16:00", "ns")
    assert new_york_time("2024-11-04T12:00") == np.datetime64("2024-11-04T17:00", "ns")
    assert new_york_time("2024-11-04T12:00+01:00") == np.datetime64("2024-11-04T11:00", "ns")
    with pytest.raises(InputError, match="'noon' is not a time"):
        new_york_time("noon")


def test_seconds_count_until_the_minute_is_over(minutes):
    whole = live(minutes, np.datetime64("2025-03-10T18:05:00", "ns"))
    later = live(minutes, np.datetime64("2025-03-10T18:05:59", "ns"))
    at = np.datetime64("2025-03-10T18:05", "ns")
    assert [s.signal for s in whole.signal(at)] == [s.signal for s in later.signal(at)]


def test_calibrated_and_expanding_agree_too(late, tmp_path):
    desk = copy(late, tmp_path / "desk")
    desk = open_desk(
        desk.root, "adr.signal.calibration=past", "adr.signal.min_calibration=5", "adr.gate.mode=expanding"
    )
    signal(desk)
    _, emitted, with_model, _ = compare(desk, "2025-03-10", batch(desk))
    assert with_model > 0.4 * emitted > 0
