"""Bad minutes: named, counted, refused or set aside; never a day without a value, never another ADR's day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from adr_minutes_desk import copy, truth

from kairos.adr.baseline import baseline
from kairos.adr.desk import ADR_QUOTES, BASELINE, FUTURES, US_MINUTES
from kairos.adr.signal import days_file, signal, signal_folder
from kairos.cli import main
from kairos.errors import InputError

NY = "America/New_York"
QUOTES, FUTURE, STOCK = "quotes", "future", "stock"


@pytest.fixture
def desk(minutes, tmp_path):
    return copy(minutes, tmp_path / "desk")


def path_of(desk, kind):
    stock = next(iter(truth(desk)["adrs"]["BAB"]["predictors"]))
    if kind == FUTURE:
        (path,) = (desk.root / FUTURES / "symbol=FTUK").glob("*.parquet")
        return path
    name = ADR_QUOTES + "/ticker=BAB" if kind == QUOTES else f"{US_MINUTES}/ticker={stock}"
    return desk.root / name / "data.parquet"


def run(desk):
    baseline(desk)
    return signal(desk)


COLUMN = {QUOTES: "nbbo_ask", FUTURE: "fx_rate", STOCK: "Close"}


@pytest.mark.parametrize("kind", [QUOTES, FUTURE, STOCK])
def test_a_missing_column_is_named(desk, kind):
    path = path_of(desk, kind)
    pd.read_parquet(path).drop(columns=COLUMN[kind]).to_parquet(path)
    with pytest.raises(InputError) as caught:
        run(desk)
    assert str(path) in str(caught.value)
    assert f"no column {COLUMN[kind]}" in str(caught.value)


@pytest.mark.parametrize("kind", [QUOTES, FUTURE, STOCK])
def test_times_of_the_wrong_kind_are_named(desk, kind):
    """Naive where a time zone is needed, with one where none is, and a mixture, which is text or objects."""
    path = path_of(desk, kind)
    rows = pd.read_parquet(path)
    if kind == QUOTES:
        rows.index = rows.index.tz_localize(None)
    elif kind == FUTURE:
        rows["timestamp"] = rows["timestamp"].astype(str)
    else:
        rows["DateTime"] = rows["DateTime"].dt.tz_localize(NY)
    rows.to_parquet(path)
    with pytest.raises(InputError, match="expected a timestamp") as caught:
        run(desk)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", [QUOTES, FUTURE, STOCK])
@pytest.mark.parametrize("defect", ["twice", "order"])
def test_bars_there_twice_or_out_of_order_are_named(desk, kind, defect):
    path = path_of(desk, kind)
    rows = pd.read_parquet(path)
    order = np.arange(len(rows))
    order = (
        np.insert(order, 500, 499)
        if defect == "twice"
        else np.r_[order[:500], order[501], order[500], order[502:]]
    )
    rows.iloc[order].to_parquet(path, index=kind == QUOTES)
    with pytest.raises(InputError, match=r"is there twice|stands after") as caught:
        run(desk)
    assert "ticker=BAB" in str(caught.value) or str(path.parent) in str(caught.value)


def test_a_price_of_zero_is_named(desk):
    path = path_of(desk, STOCK)
    rows = pd.read_parquet(path)
    rows.loc[700, "Close"] = 0.0
    rows.to_parquet(path, index=False)
    with pytest.raises(InputError, match=r"number 701. has the price 0\.0"):
        run(desk)


def test_crossed_and_empty_quotes_are_set_aside_and_counted(desk, minutes):
    path = path_of(desk, QUOTES)
    rows = pd.read_parquet(path)
    at = rows.index.get_indexer([pd.Timestamp("2025-03-10 14:00", tz=NY)], method="nearest")[0]
    rows.iloc[at, 0] = 2 * rows.iloc[at, 1]
    rows.iloc[at + 1, 1] = 0.0
    rows.iloc[at + 2, 0] = np.nan
    rows.to_parquet(path)
    report = baseline(desk)
    assert any(
        "BAB: 2 quotes without a price above 0 on one side and 1 crossed" in r for r in report.remarks()
    )
    file = "ticker=BAB/data.parquet"
    found, before = (pd.read_parquet(d.root / BASELINE / file) for d in (desk, minutes))
    pd.testing.assert_index_equal(found.index, before.index)
    changed = found.index[(found["adr_return"] != before["adr_return"]).to_numpy()]
    assert 1 <= len(changed) <= 3  # the last good quote stands in for three minutes
    assert found["signal"].notna().all()


def test_an_empty_file_of_quotes_leaves_the_others_alone(desk, minutes):
    path = path_of(desk, QUOTES)
    pd.read_parquet(path).iloc[:0].to_parquet(path)
    report = run(desk)
    days = report.days["full_sample"]
    assert (days.loc[days["ticker"] == "BAB", "source"] == "none").all()
    assert set(days.loc[days["ticker"] == "BAB", "reason"]) == {"no quote at the close"}
    file = "ticker=LIR/data.parquet"
    found, before = (pd.read_parquet(d.root / signal_folder(d) / file) for d in (desk, minutes))
    pd.testing.assert_frame_equal(found, before)


def test_a_day_without_one_future_has_no_rows_for_its_adrs(desk, minutes):
    path = path_of(desk, FUTURE)
    rows = pd.read_parquet(path)
    day = rows["timestamp"].dt.strftime("%Y-%m-%d") == "2025-03-12"
    rows[~day].to_parquet(path, index=False)
    run(desk)
    table = pd.read_csv(desk.path(days_file(desk)), keep_default_na=False).set_index(["ticker", "date"])
    assert table.loc[("BAB", "2025-03-12"), ["source", "reason"]].tolist() == [
        "none",
        "no future at the close",
    ]
    assert table.loc[("LIR", "2025-03-12"), "source"] == "model"
    found = pd.read_parquet(desk.root / signal_folder(desk) / "ticker=BAB/data.parquet")
    assert "2025-03-12" not in set(found["date"])
    assert found.groupby("date")["signal"].count().min() > 0


def test_a_future_that_stops_at_noon_leaves_minutes_without_a_value_not_a_day(desk):
    """From 15 minutes after its last bar on there is no value; the rows stay, and so does the day."""
    path = path_of(desk, FUTURE)
    rows = pd.read_parquet(path)
    gone = (rows["timestamp"] >= pd.Timestamp("2025-03-12 13:00", tz=NY)) & (
        rows["timestamp"] < pd.Timestamp("2025-03-13", tz=NY)
    )
    rows[~gone].to_parquet(path, index=False)
    run(desk)
    found = pd.read_parquet(desk.root / signal_folder(desk) / "ticker=BAB/data.parquet").loc["2025-03-12"]
    assert found["signal"].loc[:"2025-03-12 13:14"].notna().all()
    assert found["signal"].loc["2025-03-12 13:16":].isna().all()
    assert len(found) == 204
    assert found["age_s"].loc["2025-03-12 13:10"] >= 600


def test_no_adr_with_minutes_is_refused(desk):
    for path in (desk.root / FUTURES).rglob("*.parquet"):
        path.unlink()
    with pytest.raises(InputError, match=r"no ADR has minutes.*no minute bars of the future"):
        run(desk)


def test_the_command_leaves_with_2_and_writes_nothing(desk, capsys):
    path = path_of(desk, STOCK)
    pd.read_parquet(path).drop(columns="Close").to_parquet(path, index=False)
    folder = desk.root / signal_folder(desk)
    before = {p: p.read_bytes() for p in folder.rglob("*.parquet")}
    with pytest.raises(SystemExit) as left:
        main(
            [
                "adr",
                "signal",
                "--data",
                str(desk.root),
                "--set",
                "adr.end=2025-03-31",
                "--set",
                "adr.gate.min_months=1",
            ]
        )
    assert left.value.code == 2
    assert f"{path}: no column Close" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in folder.rglob("*.parquet")}
