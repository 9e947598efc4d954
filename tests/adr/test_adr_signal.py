"""The minute signal: against plain pandas, the planted truth, truncated files; the gate, users' files."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from adr_minutes_desk import (
    CLOSED,
    MODEL_MONTHS,
    WITHOUT_MODEL,
    copy,
    open_desk,
    truth,
    write_gate,
    write_model,
)

from kairos.adr.baseline import baseline
from kairos.adr.desk import ADR_QUOTES, BASELINE, BETAS, FUTURES, US_BETAS, US_MINUTES
from kairos.adr.gate import MODES
from kairos.adr.instruments import read_instruments
from kairos.adr.minutefile import read_minutes
from kairos.adr.signal import days_file, signal, signal_folder, terms_folder
from kairos.errors import InputError
from kairos.market import reference_times
from kairos.simulate.adr import draw_desk
from kairos.simulate.adr_desk.timeline import clock as market_clock

NY = "America/New_York"
OFFSETS = {"XLON": 6, "XPAR": 6, "XOSL": 5, "XETR": 6, "XSWX": 1, "XAMS": 6}
MIN_COVERAGE = 0.8


def file(desk, folder, adr):
    return pd.read_parquet(desk.root / folder / f"ticker={adr}" / "data.parquet")


def written(desk, adr, mode=None):
    return file(desk, signal_folder(desk, mode), adr)


def days(desk, mode=None):
    table = pd.read_csv(desk.path(days_file(desk, mode)), keep_default_na=False, na_values=[""])
    return table.set_index(["ticker", "date"])


# The oracle: one day at a time, with merge_asof on data frames.


@cache
def us_bars(root, ticker):
    table = pd.read_parquet(root / US_MINUTES / f"ticker={ticker}" / "data.parquet")
    known = table["DateTime"].dt.tz_localize(NY) + pd.Timedelta(minutes=1)
    return pd.DataFrame(
        {"known": known.dt.tz_convert("UTC").astype("datetime64[ns, UTC]"), "p": table["Close"]}
    )


@cache
def future_bars(root, symbol):
    table = pd.concat(map(pd.read_parquet, sorted((root / FUTURES / f"symbol={symbol}").glob("*.parquet"))))
    known = table["timestamp"].dt.tz_convert("UTC").astype("datetime64[ns, UTC]") + pd.Timedelta(minutes=1)
    local = table["close"] / table["fx_rate"]
    found = pd.DataFrame({"known": known, "p": local, "fx": table["fx_rate"]}).dropna()
    return found.sort_values("known").reset_index(drop=True)


@cache
def adr_quotes(root, adr):
    table = pd.read_parquet(root / ADR_QUOTES / f"ticker={adr}" / "data.parquet")
    known = table.index.tz_convert("UTC").astype("datetime64[ns, UTC]")
    return pd.DataFrame({"known": known, "p": ((table["nbbo_bid"] + table["nbbo_ask"]) / 2).to_numpy()})


def as_of(table, times, minutes, column="p"):
    asked = pd.DataFrame({"known": pd.DatetimeIndex(times).astype("datetime64[ns, UTC]")})
    found = pd.merge_asof(asked, table, on="known", tolerance=pd.Timedelta(minutes=minutes))
    return found[column].to_numpy()


def by_hand(desk, adr, day):
    """Columns of one day, computed from the files."""
    root, one = desk.root, read_instruments(desk).by_adr[adr]
    calendar_close = pd.Timestamp(reference_times(one.exchange, [day], 0)[0], tz="UTC")
    c = calendar_close + pd.Timedelta(minutes=OFFSETS[one.exchange])
    end = pd.Timestamp(reference_times("XNYS", [day], 0)[0], tz="UTC")
    times = pd.date_range(c.floor("min") + pd.Timedelta(minutes=1), end, freq="min")
    future, quotes = future_bars(root, one.symbol), adr_quotes(root, adr)
    index = as_of(future, times, 15) / as_of(future, [c], 15) - 1
    fx = as_of(future, times, 15, "fx") / as_of(future, [c], 15, "fx") - 1
    mid = as_of(quotes, times, 15) / as_of(quotes, [c], 15) - 1
    beta = pd.read_csv(root / BETAS, index_col="date").loc[str(day), adr]
    predictors = truth(desk)["adrs"][adr]["predictors"]
    known = pd.read_parquet(root / US_BETAS / f"{one.exchange}_{one.index}.parquet").loc[str(day)]
    model = np.zeros(len(times))
    for stock, weight in predictors.items():
        bars = us_bars(root, stock)
        residual = as_of(bars, times, 60) / as_of(bars, [c], 60) - 1 - known[stock] * index
        model += weight * np.nan_to_num(residual)
    alone = (1 + beta * index) * (1 + fx) - 1 - mid
    return pd.DataFrame(
        {"alone": alone, "term": model * (1 + fx), "usd": beta * ((1 + index) * (1 + fx) - 1) - mid}, times
    )


CASES = [
    ("BAB", "2024-11-01"),  # London and New York both on winter time only from the 4th
    ("BAB", "2024-11-04"),
    ("LIR", "2025-03-07"),  # New York changes its clock on the 9th, Europe on the 30th
    ("ROT", "2025-03-10"),
    ("BAB", "2025-03-31"),
    ("ROT", "2024-11-29"),  # New York closes at 13:00
]


@pytest.mark.parametrize(("adr", "day"), CASES)
def test_every_minute_by_plain_pandas(minutes, adr, day):
    expected = by_hand(minutes, adr, np.datetime64(day))
    base, found = file(minutes, BASELINE, adr).loc[day], written(minutes, adr).loc[day]
    assert found.index.tz_convert("UTC").equals(expected.index.as_unit("us"))
    assert str(found.index.tz) == NY
    np.testing.assert_allclose(base["signal"], expected["alone"], atol=1e-12)
    np.testing.assert_allclose(base["signal_local_future"], expected["alone"], atol=1e-12)
    np.testing.assert_allclose(base["signal_usd_future"], expected["usd"], atol=1e-12)
    np.testing.assert_allclose(found["model_return"], expected["term"], atol=1e-12)
    np.testing.assert_allclose(found["signal"], expected["alone"] + expected["term"], atol=1e-12)
    assert days(minutes).loc[(adr, day), "source"] == "model"
    assert (found["date"] == day).all()


def test_baseline_and_model_term_give_the_signal(minutes):
    """Of the columns that are written, on every minute; and the term is the model's."""
    for adr in truth(minutes)["adrs"]:
        base, found, term = (
            file(minutes, BASELINE, adr),
            written(minutes, adr),
            file(minutes, terms_folder(minutes), adr),
        )
        assert found.index.equals(base.index)
        assert set(found.columns) == set(base.columns), "the gate decides about a column"
        for leg in ("signal_local_future", "signal_usd_future"):
            np.testing.assert_array_equal(found[leg], base[leg])
        np.testing.assert_allclose(found["signal"], base["signal"] + found["model_return"], atol=1e-12)
        np.testing.assert_allclose(found["signal"], found["inferred"] - found["adr_return"], atol=1e-12)
        used = found["model_return"] != 0
        np.testing.assert_allclose(
            found["model_return"][used], term["signal"].loc[found.index][used], atol=1e-12
        )


def test_the_files_are_the_same_bytes_in_another_place(minutes, tmp_path):
    """Made anew from copies; a file knows nothing of where and when it was made."""
    other = copy(minutes, tmp_path / "elsewhere", "run.threads=1", force=True)
    folders = [BASELINE, terms_folder(minutes), *(signal_folder(minutes, mode) for mode in MODES)]
    names = [f"{name}/{path.relative_to(minutes.root / name)}" for name in folders
             for path in (minutes.root / name).rglob("*.parquet")]  # fmt: skip
    before = {name: (minutes.root / name).read_bytes() for name in names}
    for name in names:
        (other.root / name).unlink()
    baseline(other)
    signal(other)
    assert {name.partition("/ticker=")[0] for name in names} == set(folders)
    assert [name for name in names if (other.root / name).read_bytes() != before[name]] == []


def test_the_layout_is_that_of_the_user(minutes):
    found = written(minutes, "BAB")
    assert found.columns[:2].tolist() == ["signal", "date"]
    assert {
        "inferred",
        "adr_return",
        "index_return",
        "fx_return",
        "model_return",
        "coverage",
        "age_s",
        "premium_c",
    } <= set(found)
    assert found["signal"].dtype == np.float64
    assert (found["date"] == found.index.strftime("%Y-%m-%d")).all()
    assert found.index.is_monotonic_increasing


def test_no_day_is_empty_and_every_day_is_told(minutes):
    table = days(minutes)
    for adr in truth(minutes)["adrs"]:
        found = written(minutes, adr)
        assert found.groupby("date")["signal"].count().min() > 0
        told = table.loc[adr]
        assert set(told[told["source"] != "none"].index) == set(found["date"])
        assert (told.loc[told["source"] == "none", "reason"] != "").all()
        first = found.groupby("date").apply(lambda rows: f"{rows.index[0]:%H:%M}")
        assert (told.loc[first.index, "first"] == first).all()


# What is known when.


def cut(desk, at):
    """Delete on every day of New York the bars that were known after a minute of that day."""

    def keep(known):
        local = known.dt.tz_convert(NY)
        limit = local.dt.strftime("%Y-%m-%d").map(at)
        return ~(known > pd.to_datetime(limit, utc=True))

    minute = pd.Timedelta(minutes=1)
    for path in sorted((desk.root / US_MINUTES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        rows[keep(rows["DateTime"].dt.tz_localize(NY) + minute)].to_parquet(path, index=False)
    for path in sorted((desk.root / FUTURES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        rows[keep(rows["timestamp"] + minute)].to_parquet(path, index=False)
    for path in sorted((desk.root / ADR_QUOTES).rglob("*.parquet")):
        rows = pd.read_parquet(path)
        rows[keep(rows.index.to_series()).to_numpy()].to_parquet(path)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in (1, 2, 3))])
def test_deleting_what_comes_after_changes_nothing(minutes, raw_minutes, tmp_path, seed):
    """A random minute of every day, 63 in each run, 250 in all: around clock changes, on early closes."""
    desk = copy(raw_minutes, tmp_path / "desk", "adr.gate.mode=expanding")
    every = sorted(
        set(written(minutes, "BAB", "expanding")["date"]) | set(written(minutes, "LIR", "expanding")["date"])
    )
    rng = np.random.default_rng(seed)
    at = {}
    for day in every:
        close = pd.Timestamp(reference_times("XNYS", [day], 0)[0], tz="UTC")
        at[day] = close - pd.Timedelta(minutes=int(rng.integers(0, 200)))
    cut(desk, at)
    baseline(desk)
    signal(desk)
    compared, models = 0, 0
    for adr in truth(desk)["adrs"]:
        now, before = written(desk, adr), written(minutes, adr, "expanding")
        upto = before.index <= pd.to_datetime(before["date"].map(at), utc=True)
        pd.testing.assert_frame_equal(now.reindex(before.index[upto]), before[upto], check_exact=True)
        compared += int(upto.sum())
        models += int((before["model_return"][upto] != 0).sum())
    assert len(at) > 60
    assert compared > 40_000
    assert models > 15_000


@pytest.mark.parametrize("time", [pytest.param("2024-11-01T17:02", marks=SLOW), "2025-03-10T18:31"])
def test_a_desk_of_that_minute_says_the_same(minutes, raw_minutes, tmp_path, time):
    """All of the files end at one minute, later days included."""
    desk = copy(raw_minutes, tmp_path / "desk", "adr.gate.mode=expanding")
    stop = pd.Timestamp(time, tz="UTC")
    every = pd.date_range("2024-01-01", "2025-04-10").strftime("%Y-%m-%d")
    cut(desk, {day: min(stop, pd.Timestamp(f"{day} 23:59", tz=NY).tz_convert("UTC")) for day in every})
    baseline(desk)
    signal(desk)
    for adr in ("BAB", "LIR", "ROT"):
        now, before = written(desk, adr), written(minutes, adr, "expanding")
        pd.testing.assert_frame_equal(now[now.index <= stop], before[before.index <= stop], check_exact=True)


# The planted truth.


def test_the_planted_mispricing_is_recovered(minutes):
    """signal = what the ADR has strayed from its fair value since c, but for what nobody could know.

    That is the ordinary's own move η, whose deviation is √(1 − R²)·σ_e for a day of the market's clock;
    without the US stocks it is σ_e. Both sides are compared over minutes of all days, fair value from the
    truth.
    """
    world = draw_desk(adrs=6, us_stocks=24, months=15, seed=4)
    fair = pd.read_parquet(minutes.root / "truth_fair_value.parquet")
    for pair in world.pairs:
        if pair.adr not in ("BAB", "LIR", "ROT"):
            continue
        value = fair[fair["ticker"] == pair.adr].set_index("ts_recv")["fair"]
        table = days(minutes).loc[pair.adr]
        chosen = table.index[(table["source"] == "model") & (table["last"] == "16:00")]
        found, base = written(minutes, pair.adr), file(minutes, BASELINE, pair.adr)
        known, alone, size, signals, truths = [], [], [], [], []
        for day in chosen:
            c = reference_times(pair.venue.exchange, [day], 60 * OFFSETS[pair.venue.exchange])[0]
            at = pd.Timestamp(c, tz="UTC")
            rows = found.loc[day].iloc[29::30]
            rows = rows[rows.index.tz_convert("UTC").isin(value.index)]
            then = value.get(at)
            if then is None:
                continue
            moved = value.loc[rows.index.tz_convert("UTC")].to_numpy() / then - 1
            true = moved - rows["adr_return"].to_numpy()
            known.append(rows["signal"].to_numpy() - true)
            alone.append(base["signal"].loc[rows.index].to_numpy() - true)
            times = rows.index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[m]")
            size.append(market_clock(times) - market_clock(np.array([c]).astype("datetime64[m]")))
            signals.append(rows["signal"].to_numpy())
            truths.append(true)
        # one number a day: errors of a day are one random walk
        error, without = (np.array([x[-1] for x in each]) for each in (known, alone))
        span = np.array([x[-1] for x in size])
        z, z_alone = error / np.sqrt(span), without / np.sqrt(span)
        own, whole = pair.residual * np.sqrt(1 - pair.strength), pair.residual
        n = len(z)
        tolerance = 3.5 / np.sqrt(2 * n)
        assert n >= 35
        assert abs(z.mean()) < 3.5 * own / np.sqrt(n)
        assert abs(np.sqrt(np.mean(z**2)) / own - 1) < tolerance
        assert abs(np.sqrt(np.mean(z_alone**2)) / whole - 1) < tolerance
        assert np.mean(z**2) < np.mean(z_alone**2)
        # the signal foretells the mispricing one for one where its own error is small: the first half hour
        x, y = (np.array([each[0] for each in side]) for side in (signals, truths))
        noise = own * np.sqrt(np.mean([each[0] for each in size]))
        slope = (x @ y) / (x @ x)
        share = np.mean(y**2) / (np.mean(y**2) + noise**2)
        assert abs(slope - share) < 3.5 * np.sqrt((1 - share) * share / n) + 0.05


# The gate.


def test_a_closed_gate_copies_the_baseline(minutes):
    for adr in (CLOSED, WITHOUT_MODEL):
        pd.testing.assert_frame_equal(written(minutes, adr), file(minutes, BASELINE, adr), check_exact=True)
    told = days(minutes).loc[CLOSED]
    assert set(told.loc[told["source"] == "baseline", "reason"]) == {"gate"}
    told = days(minutes).loc[WITHOUT_MODEL]
    assert set(told.loc[told["source"] == "baseline", "reason"]) == {"no model"}


def test_both_modes_are_written_and_the_one_with_hindsight_is_marked(minutes):
    for mode in ("full_sample", "expanding"):
        for adr in truth(minutes)["adrs"]:
            path = minutes.root / signal_folder(minutes, mode) / f"ticker={adr}" / "data.parquet"
            metadata = pq.read_schema(path).metadata
            assert metadata[b"kairos_gate"] == mode.encode()
            assert metadata[b"kairos_in_sample"] == (b"true" if mode == "full_sample" else b"false")
    other = open_desk(minutes.root, "adr.gate.mode=expanding")
    assert signal_folder(other) == signal_folder(minutes)
    assert signal_folder(other, "full_sample").endswith("_full_sample")


def test_expanding_knows_the_months_before_only(raw_minutes, tmp_path):
    """BAB passes in November but not on the mean; LIR the other way round."""
    desk = copy(raw_minutes, tmp_path / "desk", "adr.gate.mode=expanding", "adr.gate.min_months=2")
    months = ("2024-09", "2024-10", "2024-11", "2025-03")
    flat = dict.fromkeys(months, 0.0)
    write_gate(desk, {
        **dict.fromkeys(truth(desk)["adrs"], flat),
        "BAB": dict(zip(months, (0.06, 0.03, -0.5, -0.5), strict=True)),
        "LIR": dict(zip(months, (-0.5, -0.5, 0.6, 1.0), strict=True)),
    })  # fmt: skip
    baseline(desk)
    signal(desk)
    used = {
        mode: {
            adr: sorted(
                {day[:7] for day, row in days(desk, mode).loc[adr].iterrows() if row["source"] == "model"}
            )
            for adr in ("BAB", "LIR")
        }
        for mode in ("full_sample", "expanding")
    }
    assert used == {
        "full_sample": {"BAB": [], "LIR": list(MODEL_MONTHS)},
        "expanding": {"BAB": ["2024-11"], "LIR": []},
    }


# Fallbacks.


def test_too_few_prices_at_the_close_use_the_baseline(raw_minutes, tmp_path):
    """One stock has 70 % of the weight; on one day its bars are gone from before the close on."""
    desk = copy(raw_minutes, tmp_path / "desk")
    stock, *others = truth(desk)["adrs"]["BAB"]["predictors"]
    weights = {stock: 0.9, **dict.fromkeys(others, 0.01)}
    for month in MODEL_MONTHS:
        write_model(desk, "BAB", month, weights)
    path = desk.root / US_MINUTES / f"ticker={stock}" / "data.parquet"
    rows = pd.read_parquet(path)
    gone = (rows["DateTime"] >= "2025-03-12 10:00") & (rows["DateTime"] < "2025-03-13")
    gone |= (rows["DateTime"] >= "2025-03-13 13:00") & (rows["DateTime"] < "2025-03-14")
    rows[~gone].to_parquet(path)  # its index is a number: the column stays a column
    baseline(desk)
    signal(desk)
    told, found, base = days(desk).loc["BAB"], written(desk, "BAB"), file(desk, BASELINE, "BAB")
    assert told.loc["2025-03-12", ["source", "reason", "n_missing"]].tolist() == ["baseline", "coverage", 1]
    assert told.loc["2025-03-12", "coverage"] < MIN_COVERAGE
    pd.testing.assert_series_equal(found.loc["2025-03-12", "signal"], base.loc["2025-03-12", "signal"])
    # later in the day prices are missing: the value is kept, with its coverage
    later = found.loc["2025-03-13 14:05":"2025-03-13"]
    assert told.loc["2025-03-13", "source"] == "model"
    assert (later["coverage"] < MIN_COVERAGE).all()
    assert later["signal"].notna().all()
    assert (found.loc["2025-03-13 12:40":"2025-03-13 13:30", "coverage"] >= MIN_COVERAGE).all()


def test_bars_by_their_index_and_without_any(raw_minutes, minutes, tmp_path):
    """Users' files have DateTime as index, or as an index without a name; one without a file is missing."""
    desk = copy(raw_minutes, tmp_path / "desk")
    first, second = list(truth(desk)["adrs"]["BAB"]["predictors"])[:2]
    for stock, name in ((first, "DateTime"), (second, None)):
        path = desk.root / US_MINUTES / f"ticker={stock}" / "data.parquet"
        pd.read_parquet(path).set_index("DateTime").rename_axis(name).to_parquet(path)
    baseline(desk)
    signal(desk)
    pd.testing.assert_frame_equal(written(desk, "BAB"), written(minutes, "BAB"), check_exact=True)
    for stock in truth(desk)["adrs"]["LIR"]["predictors"]:
        (desk.root / US_MINUTES / f"ticker={stock}" / "data.parquet").unlink()
    signal(desk)
    told = days(desk).loc["LIR"]
    assert set(told.loc[told.index >= "2025-03-01", "reason"]) == {"no US prices"}
    pd.testing.assert_frame_equal(written(desk, "LIR"), file(desk, BASELINE, "LIR"))


def test_no_beta_is_a_reason_and_no_row(raw_minutes, tmp_path):
    desk = copy(raw_minutes, tmp_path / "desk", "adr.betas.max_age=2")
    path = desk.root / BETAS
    betas = pd.read_csv(path, index_col="date")
    betas.loc["2025-03-12":"2025-03-31", "BAB"] = np.nan
    betas.to_csv(path)
    baseline(desk)
    signal(desk)
    told = days(desk).loc["BAB"]
    assert told.loc["2025-03-12", "source"] == "model"  # two sessions old
    assert told.loc["2025-03-13", "source"] == "model"
    assert told.loc["2025-03-14":"2025-03-31", "reason"].isin(["no beta", "no quote at the close"]).all()
    assert written(desk, "BAB").index[-1] < pd.Timestamp("2025-03-14", tz=NY)


def test_settings_of_the_anchor_and_the_leg(raw_minutes, minutes, tmp_path):
    desk = copy(
        raw_minutes, tmp_path / "desk", "adr.signal.anchor=median_5min", "adr.signal.currency_leg=usd_future"
    )
    baseline(desk)
    signal(desk)
    found, before = written(desk, "BAB"), file(minutes, BASELINE, "BAB")
    base = file(desk, BASELINE, "BAB")
    np.testing.assert_allclose(found["signal"] - found["model_return"], base["signal"], atol=1e-15)
    np.testing.assert_array_equal(
        file(desk, BASELINE, "BAB")["signal"], file(desk, BASELINE, "BAB")["signal_usd_future"]
    )
    quotes = adr_quotes(minutes.root, "BAB")
    c = pd.Timestamp("2025-03-10 16:36", tz="UTC")
    last = as_of(quotes, [c - pd.Timedelta(minutes=m) for m in (4, 3, 2, 1, 0)], 15)
    now = as_of(quotes, found.loc["2025-03-10"].index.tz_convert("UTC"), 15)
    np.testing.assert_allclose(found.loc["2025-03-10", "adr_return"], now / np.median(last) - 1, atol=1e-15)
    assert not np.allclose(found["adr_return"], before["adr_return"])


# Files of the user, and runs that stop.


def test_a_baseline_of_the_user_is_respected(raw_minutes, minutes, tmp_path):
    """Row by row: with a model it is that file plus the term, without it a copy."""
    desk = copy(raw_minutes, tmp_path / "desk", "adr.baseline.source=user")
    for adr in ("BAB", CLOSED):
        base = file(minutes, BASELINE, adr)
        mine = (
            base.loc["2025-03", ["signal", "date"]]
            .iloc[::2]
            .assign(signal=lambda rows: rows["signal"] + 0.01)
        )
        path = desk.root / BASELINE / f"ticker={adr}" / "data.parquet"
        path.parent.mkdir(parents=True)
        mine.rename_axis("when").to_parquet(path)
    before = {path: path.read_bytes() for path in (desk.root / BASELINE).rglob("*.parquet")}
    report = baseline(desk)
    assert before == {path: path.read_bytes() for path in (desk.root / BASELINE).rglob("*.parquet")}
    assert any(f"own futures-only signal of BAB, {CLOSED}" in text for text in report.remarks())
    signal(desk)
    full, found = written(minutes, "BAB"), written(desk, "BAB")
    same = full.loc[found.index]
    np.testing.assert_allclose(found["signal"], same["signal"] + 0.01, atol=1e-12)
    np.testing.assert_array_equal(found["model_return"], same["model_return"])
    assert len(found) == len(file(desk, BASELINE, "BAB"))
    assert written(desk, CLOSED).columns.tolist() == ["signal", "date"]
    pd.testing.assert_frame_equal(written(desk, CLOSED), file(desk, BASELINE, CLOSED))


@pytest.mark.parametrize("what", ["naive", "column", "order"])
def test_a_baseline_that_is_none_is_refused(raw_minutes, minutes, tmp_path, what):
    desk = copy(raw_minutes, tmp_path / "desk")
    mine = file(minutes, BASELINE, "BAB")[["signal", "date"]]
    if what == "naive":
        mine.index = mine.index.tz_localize(None)
    path = desk.root / BASELINE / "ticker=BAB" / "data.parquet"
    path.parent.mkdir(parents=True)
    {"naive": mine, "column": mine[["date"]], "order": mine[::-1]}[what].to_parquet(path)
    said = {"naive": "times with a time zone", "column": "no column of numbers", "order": "out of order"}[
        what
    ]
    with pytest.raises(InputError, match=rf"ticker=BAB.*{said}"):
        baseline(desk)


def test_a_run_that_was_interrupted_goes_on(raw_minutes, minutes, tmp_path, monkeypatch):
    desk = copy(raw_minutes, tmp_path / "desk")
    baseline(desk)
    module, real, done = __import__("kairos.adr.signal", fromlist=["x"]), None, []
    real = module._write_signal

    def stops(desk, one, gate, slopes):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(one.adr)
        return real(desk, one, gate, slopes)

    monkeypatch.setattr(module, "_write_signal", stops)
    with pytest.raises(KeyboardInterrupt):
        signal(desk)
    monkeypatch.undo()
    there = {path: path.stat().st_mtime_ns for path in (desk.root / signal_folder(desk)).rglob("*.parquet")}
    terms = {path: path.stat().st_mtime_ns for path in (desk.root / terms_folder(desk)).rglob("*.parquet")}
    assert (len(there), len(terms)) == (3, 6)
    assert not desk.path(days_file(desk)).exists()
    signal(desk)
    for path, changed in {**there, **terms}.items():
        assert path.stat().st_mtime_ns == changed
    for adr in truth(desk)["adrs"]:
        pd.testing.assert_frame_equal(written(desk, adr), written(minutes, adr), check_exact=True)
    pd.testing.assert_frame_equal(days(desk), days(minutes))


def test_other_bars_or_models_are_noticed(minutes, tmp_path):
    desk = copy(minutes, tmp_path / "desk")
    before = written(desk, "BAB")
    write_model(desk, "BAB", "2025-03", {next(iter(truth(desk)["adrs"]["BAB"]["predictors"])): 0.5})
    signal(desk)
    after = written(desk, "BAB")
    assert (after.loc["2024-11"] == before.loc["2024-11"]).drop(columns="coverage").all(axis=None)
    assert (after.loc["2025-03", "signal"] != before.loc["2025-03", "signal"]).mean() > 0.99


def test_the_premium_is_that_of_the_closes(minutes):
    """About 0 where units and ratios are right: close in pence, times the pound, times the ratio."""
    info = pd.read_csv(minutes.root / "data/raw/adr_info.csv").set_index("adr").loc["BAB US Equity"]
    closes = pd.read_csv(minutes.root / "data/raw/ordinary/ord_PX_LAST_adjust_none.csv", index_col="date")
    rate = pd.read_csv(minutes.root / "data/raw/currencies/minute_bars/GBPUSD_full_1min.txt", header=None)
    pound = rate[(rate[0] == 20250310) & (rate[1] == "12:35:00")][5].iloc[0]
    price = closes.loc["2025-03-10", info["id"]] / 100 * pound * info["sh_per_adr"]
    mid = as_of(adr_quotes(minutes.root, "BAB"), [pd.Timestamp("2025-03-10 16:36", tz="UTC")], 15)[0]
    assert written(minutes, "BAB").loc["2025-03-10", "premium_c"].iloc[0] == pytest.approx(
        mid / price - 1, abs=1e-12
    )
    assert file(minutes, BASELINE, "BAB")["premium_c"].abs().max() < 0.02


def test_pence_for_pounds_are_named(raw_minutes, tmp_path):
    desk = copy(raw_minutes, tmp_path / "desk")
    path = desk.root / "data/raw/adr_info.csv"
    info = pd.read_csv(path)
    info.loc[info["adr"] == "BAB US Equity", "currency"] = "GBP"
    info.to_csv(path, index=False)
    text = "\n".join(baseline(desk).remarks())
    assert "BAB: on 62 days the ADR at the close is more than 25% away from its ordinary" in text
    assert "the ordinary is in hundredths" in text


def test_notes_hold_plain_days(minutes):
    path = minutes.root / signal_folder(minutes) / "ticker=BAB" / "data.parquet"
    notes = read_minutes(path).notes
    assert json.dumps(notes)
    assert notes["in_sample"] is True
