"""Features and targets, against plain loops over days and cases worked out by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from adr_tiny import BP, NOVO, SAN, Line, Tiny, at, walk

from kairos.adr.betas import betas
from kairos.adr.desk import BETAS, FEATURES, TARGETS, US_BETAS, Desk
from kairos.adr.features import features
from kairos.errors import InputError, WorkError
from kairos.market import sessions

INDEX = {"BP": "UKX", "SNY": "SX5E", "NVO": "SXXP"}


def market(lines: tuple[Line, ...] = (BP, SAN), days: int = 110, stocks: int = 8, seed: int = 7) -> Tiny:
    """Prices with gaps on every side, two poor US rows, US and foreign holidays, and betas on most days."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range("2024-01-02", periods=days)
    new_york = pd.DatetimeIndex(sessions("2024-01-02", dates[-1].date(), "XNYS"))
    names = [f"S{i}" for i in range(stocks)] + ["BP"]
    us = walk(rng, dates, names).reindex(new_york)
    us = us.mask(rng.random(us.shape) < 0.05)
    us.iloc[:33, 0] = np.nan  # listed late
    us.iloc[[40, 70], 2:] = np.nan
    indices = walk(rng, dates, ["SX5E", "SXXP", "UKX"])
    ordinaries = walk(rng, dates, [one.ordinary for one in lines])
    ordinaries = ordinaries.mask(rng.random(ordinaries.shape) < 0.08)
    own = pd.DataFrame(
        np.round(rng.normal(1, 0.2, (days, len(lines))), 6), index=dates, columns=[one.adr for one in lines]
    )
    own = own.mask(rng.random(own.shape) < 0.3)
    return Tiny(
        lines,
        ordinaries,
        indices.mask(rng.random(indices.shape) < 0.03),
        {one.exchange: us for one in lines},
        betas=own,
    )


def saved(desk: Desk, adr: str) -> pd.DataFrame:
    return pd.read_parquet(desk.path(f"{FEATURES}/{adr}.parquet"))


def targets(desk: Desk, adr: str) -> pd.DataFrame:
    table = pd.read_parquet(desk.path(TARGETS))
    return table[table["ticker"] == adr].set_index("date")


def plain_grid(tiny: Tiny, one: Line) -> list[pd.Timestamp]:
    """G by its words, one day after another."""
    index, us = tiny.indices[INDEX[one.adr]].dropna(), tiny.us[one.exchange]
    rows, past = [], []
    for day in sessions("2024-01-02", tiny.ordinaries.index[-1].date(), one.exchange):
        stamp = pd.Timestamp(day)
        count = int(us.loc[stamp].notna().sum()) if stamp in us.index else 0
        if count > 0:
            usual = np.median(past[-60:]) if past else count
            if count >= 0.5 * usual and stamp in index.index:
                rows.append(stamp)
            past.append(count)
    return rows


def plain_us_beta(tiny: Tiny, one: Line, rows: list[pd.Timestamp], ticker: str, k: int) -> float:
    """Beta of a stock before the k-th row of the grid: pairs of the 60 rows before it, at least 20."""
    us, index = tiny.us[one.exchange][ticker], tiny.indices[INDEX[one.adr]]
    x, y = [], []
    for j in range(max(1, k - 60), k):
        a, b = rows[j - 1], rows[j]
        if np.isfinite(us[a]) and np.isfinite(us[b]):
            x.append(index[b] / index[a] - 1)
            y.append(us[b] / us[a] - 1)
    if len(x) < 20:
        return np.nan
    return float(np.cov(x, y, ddof=1)[0, 1] / np.var(x, ddof=1))


def plain_known(tiny: Tiny, one: Line, day: pd.Timestamp) -> float:
    """The beta of the day's row, or the last one at most five sessions older."""
    held = [pd.Timestamp(d) for d in sessions("2024-01-02", day.date(), one.exchange)]
    for earlier in [pd.Timestamp(d) for d in pd.date_range("2024-01-02", day)[::-1]]:
        if sum(earlier < d for d in held) > 5:
            return np.nan
        if earlier in tiny.betas.index and np.isfinite(tiny.betas[one.adr][earlier]):
            return float(tiny.betas[one.adr][earlier])
    return np.nan


def plainly(tiny: Tiny, one: Line, tickers: list[str]) -> pd.DataFrame:
    """Target and features of every row, by the formulas."""
    rows = plain_grid(tiny, one)
    own, index, us = tiny.ordinaries[one.ordinary], tiny.indices[INDEX[one.adr]], tiny.us[one.exchange]
    mine = [day for day in rows if np.isfinite(own[day])]
    out = {}
    for d0, d1 in itertools.pairwise(mine):
        beta, market_return = plain_known(tiny, one, d1), index[d1] / index[d0] - 1
        b = {ticker: plain_us_beta(tiny, one, rows, ticker, rows.index(d1)) for ticker in us.columns}
        if np.isnan(beta) or all(np.isnan(value) for value in b.values()):
            continue
        row = {"ordinary_residual": own[d1] / own[d0] - 1 - beta * market_return}
        for ticker in tickers:
            residual = us[ticker][d1] / us[ticker][d0] - 1 - b[ticker] * market_return
            row[ticker] = residual if np.isfinite(residual) else 0.0
        out[d1] = row
    return pd.DataFrame.from_dict(out, orient="index")


def test_every_cell_by_plain_loops(tmp_path: Path) -> None:
    tiny = market()
    desk = tiny.desk(tmp_path)
    report = features(desk)
    assert [entry.adr for entry in report.found] == ["BP", "SNY"]
    for one in tiny.lines:
        found = saved(desk, one.adr)
        expected = plainly(tiny, one, list(found.columns[1:]))
        assert found.index.name == "date"
        assert found.index.tolist() == expected.index.tolist()
        assert (found.dtypes == np.float64).all()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)
        assert (found == 0).to_numpy().mean() > 0.02
        assert len(found) > 60


def test_the_table_of_targets(tmp_path: Path) -> None:
    tiny = market()
    desk = tiny.desk(tmp_path)
    features(desk)
    table = pd.read_parquet(desk.path(TARGETS))
    assert list(zip(table["ticker"], table["date"], strict=True)) == sorted(
        zip(table["ticker"], table["date"], strict=True)
    )
    for one in tiny.lines:
        rows = targets(desk, one.adr)
        assert rows.index.tolist() == saved(desk, one.adr).index.tolist()
        own, index = tiny.ordinaries[one.ordinary], tiny.indices[INDEX[one.adr]]
        for date, row in rows.iterrows():
            assert row["ordinary_return"] == pytest.approx(own[date] / own[row["previous"]] - 1, rel=1e-12)
            assert row["index_return"] == pytest.approx(index[date] / index[row["previous"]] - 1, rel=1e-12)
            assert row["beta"] == plain_known(tiny, one, date)
            assert row["baseline"] == row["beta"] * row["index_return"]
            assert row["ordinary_residual"] == row["ordinary_return"] - row["baseline"]
        assert set(rows["exchange"]) == {one.exchange}
        assert set(rows["index"]) == {INDEX[one.adr]}
        assert set(rows["beta_source"]) == {"user"}
        assert set(rows["index_source"]) == {"file"}
        np.testing.assert_array_equal(saved(desk, one.adr)["ordinary_residual"], rows["ordinary_residual"])


def test_betas_of_the_us_stocks(tmp_path: Path) -> None:
    tiny = market()
    desk = tiny.desk(tmp_path)
    features(desk)
    found = pd.read_parquet(desk.path(f"{US_BETAS}/XLON_UKX.parquet"))
    rows = plain_grid(tiny, BP)
    assert found.index[-1] == pd.Timestamp("2024-06-04")  # the session after the last date
    assert list(found.columns) == list(tiny.us["XLON"].columns)
    for day in found.index:
        k = sum(row < day for row in rows)
        expected = [plain_us_beta(tiny, BP, rows, ticker, k) for ticker in found.columns]
        np.testing.assert_allclose(found.loc[day], expected, rtol=1e-9)


# By hand --------------------------------------------------------------------------------------------------


def flat(days: pd.DatetimeIndex, **prices: list[float]) -> pd.DataFrame:
    return pd.DataFrame(prices, index=days, dtype=float)


def july(tmp_path: Path, index_on_14: float, us_on_14: float) -> tuple[Desk, Tiny]:
    """Sanofi has no price on 2021-07-14, and trades on the 13th and the 15th."""
    days = pd.bdate_range("2021-05-03", "2021-07-16")
    rng = np.random.default_rng(1)
    tiny = Tiny(
        (SAN,),
        walk(rng, days, [SAN.ordinary]),
        walk(rng, days, ["SX5E"]),
        {"XPAR": walk(rng, days, ["AAA", "BBB"])},
        betas=pd.DataFrame({"SNY": 0.8}, index=days),
    )
    tiny.ordinaries.loc["2021-07-13":"2021-07-15", SAN.ordinary] = [100.0, np.nan, 103.0]
    tiny.indices.loc["2021-07-13":"2021-07-15", "SX5E"] = [4000.0, index_on_14, 4040.0]
    tiny.us["XPAR"].loc["2021-07-13":"2021-07-15", "AAA"] = [50.0, us_on_14, 51.0]
    tiny.us["XPAR"].loc["2021-07-13":"2021-07-15", "BBB"] = [20.0, us_on_14, 19.8]
    return tiny.desk(tmp_path), tiny


@pytest.mark.parametrize(
    ("index_on_14", "us_on_14"), [(4010.0, 55.0), (np.nan, 55.0), (4010.0, np.nan), (np.nan, np.nan)]
)
def test_from_july_13_to_july_15(tmp_path: Path, index_on_14: float, us_on_14: float) -> None:
    """The holiday makes one return over two days, on every side, whichever sides trade in between."""
    desk, _ = july(tmp_path, index_on_14, us_on_14)
    report = features(desk)
    row = targets(desk, "SNY").loc["2021-07-15"]
    assert row["previous"] == pd.Timestamp("2021-07-13")
    assert row["ordinary_return"] == pytest.approx(0.03, rel=1e-12)
    assert row["index_return"] == pytest.approx(0.01, rel=1e-12)
    assert row["ordinary_residual"] == pytest.approx(0.03 - 0.8 * 0.01, rel=1e-12)
    us_betas = pd.read_parquet(desk.path(f"{US_BETAS}/XPAR_SX5E.parquet")).loc["2021-07-15"]
    seen = saved(desk, "SNY").loc["2021-07-15"]
    assert seen["AAA"] == pytest.approx(0.02 - us_betas["AAA"] * 0.01, rel=1e-9)
    assert seen["BBB"] == pytest.approx(-0.01 - us_betas["BBB"] * 0.01, rel=1e-9)
    assert pd.Timestamp("2021-07-14") not in saved(desk, "SNY").index
    # the other one is over 5 July, when New York was closed
    assert report.found[0].multi_day == 2


def test_a_stock_listed_late_starts_with_twenty_pairs(tmp_path: Path) -> None:
    days = pd.DatetimeIndex(sessions("2024-01-02", "2024-04-30", "XLON"))
    days = days[days.isin(pd.DatetimeIndex(sessions("2024-01-02", "2024-04-30", "XNYS")))]
    rng = np.random.default_rng(4)
    us = walk(rng, days, ["OLD", "NEW"])
    us.loc[: days[29], "NEW"] = np.nan  # first price in row 30, first return in row 31
    tiny = Tiny(
        (BP,),
        walk(rng, days, [BP.ordinary]),
        walk(rng, days, ["UKX"]),
        {"XLON": us},
        betas=pd.DataFrame({"BP": 1.0}, index=days),
    )
    desk = tiny.desk(tmp_path)
    features(desk)
    seen, us_betas = saved(desk, "BP"), pd.read_parquet(desk.path(f"{US_BETAS}/XLON_UKX.parquet"))
    assert us_betas["OLD"].first_valid_index() == days[21] == seen.index[0]  # returns in rows 1 to 20
    assert us_betas["NEW"].first_valid_index() == days[51]  # returns in rows 31 to 50
    assert (seen.loc[: days[50], "NEW"] == 0).all()
    assert seen.loc[days[51], "NEW"] != 0
    x = tiny.indices["UKX"].pct_change().iloc[31:51]
    y = us["NEW"].pct_change(fill_method=None).iloc[31:51]
    b = us_betas.loc[days[51], "NEW"]
    assert b == pytest.approx(x.cov(y) / x.var(), rel=1e-9)  # one ddof in both
    assert abs(b / (x.cov(y, ddof=0) / x.var()) - 1) > 0.04


def test_a_foreign_half_day_is_no_row(tmp_path: Path) -> None:
    """On Christmas Eve London closes before New York opens: hardly a US stock has a price by then."""
    days = pd.DatetimeIndex(sessions("2024-10-01", "2024-12-31", "XLON"))
    rng = np.random.default_rng(6)
    us = walk(rng, days, [f"S{i}" for i in range(10)])
    us.loc["2024-11-28"] = np.nan  # Thanksgiving
    us.loc["2024-12-24", us.columns[2:]] = np.nan
    us.loc["2024-12-31", us.columns[2:]] = np.nan
    us.loc["2024-12-30", us.columns[4:]] = np.nan
    tiny = Tiny(
        (BP,),
        walk(rng, days, [BP.ordinary]),
        walk(rng, days, ["UKX"]),
        {"XLON": us},
        betas=pd.DataFrame({"BP": 1.0}, index=days),
    )
    desk = tiny.desk(tmp_path)
    report = features(desk)
    rows = targets(desk, "BP")
    assert pd.Timestamp("2024-12-24") not in rows.index
    assert rows.loc["2024-12-27", "previous"] == pd.Timestamp("2024-12-23")
    own = tiny.ordinaries[BP.ordinary]
    assert rows.loc["2024-12-27", "ordinary_return"] == pytest.approx(
        own["2024-12-27"] / own["2024-12-23"] - 1, rel=1e-12
    )
    (of_grid,) = report.grids
    assert (of_grid.sessions, of_grid.no_us, of_grid.few_us, of_grid.no_index) == (len(days), 3, 1, 0)


def test_a_pair_in_two_currencies(tmp_path: Path) -> None:
    """Novo in kroner on an index in euro, by hand: 2 % in kroner, 1 % of it the krone's."""
    tiny, days = novo()
    tiny.ordinaries.loc[days[-2:], NOVO.ordinary] = [700.0, 714.0]
    tiny.fx["DKK"].iloc[-2:] = [0.14, 0.1414]
    tiny.fx["EUR"].iloc[-2:] = [1.05, 1.04]
    tiny.indices.loc[days[-2:], "SXXP"] = [500.0, 505.0]
    desk = tiny.desk(tmp_path, "adr.index.source=file")
    features(desk)
    row = targets(desk, "NVO").iloc[-1]
    expected = (714 * 0.1414 / 1.04) / (700 * 0.14 / 1.05) - 1
    assert row["ordinary_return"] == pytest.approx(expected, rel=1e-9)
    assert row["index_return"] == pytest.approx(0.01, rel=1e-12)
    assert row["ordinary_residual"] == pytest.approx(expected - row["beta"] * 0.01, rel=1e-9)


def test_no_rate_at_the_close_means_no_row(tmp_path: Path) -> None:
    tiny, days = novo()
    tiny.fx["DKK"] = tiny.fx["DKK"].drop(tiny.fx["DKK"].index[-2])
    desk = tiny.desk(tmp_path)
    report = features(desk)
    rows = targets(desk, "NVO")
    assert days[-2] not in rows.index
    assert rows.loc[days[-1], "previous"] == days[-3]
    assert report.found[0].no_fx == 1
    assert any("NVO: 1 days have no exchange rate" in remark for remark in report.remarks())


def novo() -> tuple[Tiny, pd.DatetimeIndex]:
    """Copenhagen closes 35 minutes before the index does."""
    days = pd.DatetimeIndex(sessions("2024-02-01", "2024-04-30", "XCSE"))
    days = days[days.isin(pd.DatetimeIndex(sessions("2024-02-01", "2024-04-30", "XNYS")))]
    rng = np.random.default_rng(9)
    close = at(days, "17:00", "Europe/Copenhagen")
    rates = {
        currency: pd.Series(np.round(level * np.exp(rng.normal(0, 0.005, len(days)).cumsum()), 6), close)
        for currency, level in {"DKK": 0.145, "EUR": 1.085}.items()
    }
    tiny = Tiny(
        (NOVO,),
        walk(rng, days, [NOVO.ordinary]),
        walk(rng, days, ["SXXP"]),
        {"XCSE": walk(rng, days, ["AAA", "BBB", "CCC"])},
        betas=pd.DataFrame({"NVO": 0.9}, index=days),
        fx=rates,
        futures={
            "FXXP": pd.Series(np.round(500 * np.exp(rng.normal(0, 0.01, len(days)).cumsum()), 2), close)
        },
    )
    return tiny, days


def test_the_future_stands_in_where_the_index_closes_at_another_time(tmp_path: Path) -> None:
    tiny, days = novo()
    gap = days[40]
    tiny.futures["FXXP"] = tiny.futures["FXXP"].drop(tiny.futures["FXXP"].index[40])
    desk = tiny.desk(tmp_path)
    report = features(desk)
    rows, future = targets(desk, "NVO"), tiny.futures["FXXP"].to_numpy()
    for k in range(22, 40):
        row = rows.loc[days[k]]
        assert row["index_source"] == "future"
        assert not row["index_asynchronous"]
        assert row["index_return"] == pytest.approx(future[k] / future[k - 1] - 1, rel=1e-9)
    for date in (gap, days[41]):  # no future at one end: both ends from the file
        row, index = rows.loc[date], tiny.indices["SXXP"]
        assert row["index_source"] == "file"
        assert row["index_asynchronous"]
        assert row["index_return"] == pytest.approx(index[date] / index[row["previous"]] - 1, rel=1e-12)
    assert rows.loc[days[42], "index_source"] == "future"
    assert report.found[0].asynchronous == 2
    assert report.found[0].from_future == len(rows) - 2


def test_the_file_may_be_asked_for(tmp_path: Path) -> None:
    tiny, _ = novo()
    desk = tiny.desk(tmp_path, "adr.index.source=file")
    features(desk)
    rows = targets(desk, "NVO")
    assert set(rows["index_source"]) == {"file"}
    assert rows["index_asynchronous"].all()
    wide = tiny.desk(tmp_path, "adr.index.tolerance=36min")
    features(wide)
    assert set(targets(wide, "NVO")["index_source"]) == {"file"}
    assert not targets(wide, "NVO")["index_asynchronous"].any()


# What is left out -----------------------------------------------------------------------------------------


def test_lines_of_the_issuer_are_no_features(tmp_path: Path) -> None:
    tiny = market(stocks=4)
    extra = tiny.us["XLON"][["S0", "S1", "S2", "S3"]].set_axis(["BPB", "BPQ", "BPX", "SNYX"], axis=1)
    us = {exchange: tiny.us["XLON"].join(extra) for exchange in tiny.us}
    lines = (*tiny.lines, Line("BPB", "BPB JP Equity", "XTKS", "JPY", "NH", "bp  plc"))
    sectors = "ticker,sector,issuer\nBP,Energy,BP\nBPQ,Energy,BP\nS3,Energy,Other\nBPX,Energy,\n"
    desk = replace(tiny, lines=lines, us=us, sectors=sectors).desk(
        tmp_path, 'adr.features.exclude={ BP = ["BPX"], XYZ = ["S1"] }'
    )
    report = features(desk)
    assert list(saved(desk, "BP").columns) == ["ordinary_residual", "S0", "S1", "S2", "S3", "SNYX"]
    assert "BP" in saved(desk, "SNY").columns
    assert report.unused == ("XYZ",)
    assert ("BPB", "exchange XTKS is not in scope (adr.exchanges)") in report.skipped


def test_a_twin_of_the_ordinary_is_reported(tmp_path: Path) -> None:
    tiny = market((SAN,))
    twin = tiny.ordinaries[SAN.ordinary] * 0.01
    us = tiny.us["XPAR"].assign(TWIN=twin.reindex(tiny.us["XPAR"].index))
    desk = replace(tiny, us={"XPAR": us}, betas=tiny.betas * 0).desk(tmp_path)
    report = features(desk)
    assert [ticker for ticker, _ in report.found[0].suspicious] == ["TWIN"]
    assert "TWIN" in saved(desk, "SNY").columns  # listed, not dropped
    assert any("TWIN" in remark for remark in report.remarks())


def test_betas_known_before_and_after(tmp_path: Path) -> None:
    tiny = market()
    tiny = replace(tiny, betas=tiny.betas.ffill().bfill())
    before, after = tiny.desk(tmp_path), tiny.desk(tmp_path, "adr.betas.known=after")
    features(before)
    early = targets(before, "BP")
    features(after)
    late = targets(after, "BP")
    held = pd.DatetimeIndex(sessions("2024-01-02", "2024-06-30", "XLON"))
    column = tiny.betas["BP"]
    for date in early.index:
        previous = column[column.index < date].index[-1]
        assert early.loc[date, "beta"] == column[date]
        assert late.loc[date, "beta"] == column[previous]
    assert len(late) == len(early) == len(early.index.intersection(held))


def test_without_a_beta_there_is_no_row(tmp_path: Path) -> None:
    tiny = market()
    own = tiny.betas.ffill().bfill()
    own.loc["2024-04-08":, "BP"] = np.nan
    desk = replace(tiny, betas=own).desk(tmp_path)
    report = features(desk)
    assert targets(desk, "BP").index[-1] <= pd.Timestamp("2024-04-12")  # five sessions after 5 April
    by_adr = {entry.adr: entry for entry in report.found}
    assert by_adr["BP"].no_beta > 20
    assert by_adr["SNY"].no_beta == 0
    assert any("no beta of the ordinary is known" in remark for remark in report.remarks())

    gone = replace(tiny, betas=own[["SNY"]]).desk(tmp_path)
    report = features(gone)
    assert [adr for adr, _ in report.skipped] == ["BP"]
    assert "no column" in report.skipped[0][1]
    assert not gone.path(f"{FEATURES}/BP.parquet").exists()  # of the run before

    never = replace(tiny, betas=own.assign(BP=np.nan)).desk(tmp_path)
    assert features(never).skipped == (("BP", "no beta is known before any of its days"),)


def test_an_ordinary_without_a_price_is_skipped(tmp_path: Path) -> None:
    """As one that is listed after the last row of the files."""
    tiny = market()
    tiny.ordinaries[SAN.ordinary] = np.nan
    report = features(tiny.desk(tmp_path))
    assert [entry.adr for entry in report.found] == ["BP"]
    assert report.skipped[0][0] == "SNY"
    assert "no price of the ordinary" in report.skipped[0][1]
    own = betas(replace(tiny, betas=None).desk(tmp_path / "own"))
    assert [entry.days > 0 for entry in own.found] == [True, False]


def test_an_index_without_a_price_is_an_error(tmp_path: Path) -> None:
    tiny = market()
    tiny.indices["UKX"] = np.nan
    with pytest.raises(InputError, match=r"indices_PX_LAST\.csv: no price of the index UKX"):
        features(tiny.desk(tmp_path))


def test_an_ordinary_without_any_rate_is_skipped(tmp_path: Path) -> None:
    tiny = replace(copenhagen_too(0), futures={})
    krone = tiny.fx["DKK"]
    report = features(replace(tiny, fx={**tiny.fx, "DKK": krone[:0]}).desk(tmp_path))
    assert ("NVO", "no exchange rate is known at any close of the ordinary") in report.skipped


@pytest.mark.parametrize("day", ["2024-07-04", "2024-12-24"])
def test_prices_of_a_time_when_new_york_is_closed_are_no_row(tmp_path: Path, day: str) -> None:
    """On Independence Day, and on Christmas Eve, when London closes before New York opens.

    A file may repeat the last prices on such a day; the result is as if it had no such row.
    """
    rng = np.random.default_rng(3)
    days = pd.DatetimeIndex(sessions("2024-03-01", "2024-12-31", "XLON"))
    us = walk(rng, days, [f"S{i}" for i in range(6)])
    tiny = Tiny(
        (BP,),
        walk(rng, days, [BP.ordinary]),
        walk(rng, days, ["UKX"]),
        {"XLON": us},
        betas=pd.DataFrame(1.0, index=days, columns=["BP"]),
    )
    stamp, rows = pd.Timestamp(day), {}
    for name, prices in {"there": us, "away": us.drop(stamp)}.items():
        desk = replace(tiny, us={"XLON": prices}).desk(tmp_path / name)
        features(desk)
        rows[name] = saved(desk, "BP")
    assert stamp not in rows["there"].index
    pd.testing.assert_frame_equal(rows["there"], rows["away"], check_exact=True)


def test_an_index_that_stands_still_explains_nothing(tmp_path: Path) -> None:
    tiny = market()
    tiny.indices["UKX"] = 7000.0
    desk = tiny.desk(tmp_path)
    report = features(desk)
    assert report.skipped == (("BP", "no US stock has a beta on the index before any of its days"),)
    assert pd.read_parquet(desk.path(f"{US_BETAS}/XLON_UKX.parquet")).empty


def test_no_row_at_all_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="no ADR has a row"):
        features(market().until("2024-01-19").desk(tmp_path))


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    tiny = market()
    mine = tmp_path / FEATURES / "BP.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    stranger = tmp_path / FEATURES / "NOTES.parquet"
    stranger.write_text("mine, too")
    with pytest.raises(InputError, match=r"BP\.parquet"):
        features(tiny.desk(tmp_path))
    assert mine.read_text() == "mine"
    assert sorted((tmp_path / FEATURES).iterdir()) == [mine, stranger]
    assert not (tmp_path / US_BETAS).exists()
    features(tiny.desk(tmp_path, force=True))
    assert len(saved(tiny.desk(tmp_path), "BP")) > 60
    assert stranger.read_text() == "mine, too"


def test_a_missing_file_of_betas_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ordinary_betas_index_only\.csv.*betas"):
        features(replace(market(), betas=None).desk(tmp_path))


# What must not matter -------------------------------------------------------------------------------------


def copenhagen_too(seed: int) -> Tiny:
    """Three venues, one of them in another currency and with a future."""
    tiny, (other, _) = market(seed=seed), novo()
    days = tiny.ordinaries.index
    join = pd.concat([tiny.ordinaries, other.ordinaries], axis=1).reindex(days)
    indices = tiny.indices.drop(columns="SXXP").join(other.indices)
    return replace(
        tiny,
        lines=(*tiny.lines, NOVO),
        ordinaries=join,
        indices=indices,
        us={**tiny.us, **other.us},
        fx=other.fx,
        futures=other.futures,
        betas=tiny.betas.join(other.betas),
    )


@pytest.mark.parametrize(("seed", "last"), [(1, "2024-03-26"), (2, "2024-04-12"), (3, "2024-04-24")])
@pytest.mark.parametrize("own", [True, False])
def test_rows_know_nothing_of_later_days(tmp_path: Path, seed: int, last: str, own: bool) -> None:
    """Everything after a day is deleted in every input: what is left is the same to the last bit."""
    tiny = copenhagen_too(seed)
    tiny = tiny if own else replace(tiny, betas=None)
    rules = "adr.betas.min_pairs=20"
    whole, part = tiny.desk(tmp_path / "whole", rules), tiny.until(last).desk(tmp_path / "part", rules)
    for desk in (whole, part):
        if not own:
            betas(desk)
        features(desk)
    assert len(list(part.path(FEATURES).iterdir())) == 3
    for path in [*part.path(FEATURES).iterdir(), *part.path(US_BETAS).iterdir()]:
        left, all_rows = (pd.read_parquet(desk.root / path.relative_to(part.root)) for desk in (part, whole))
        pd.testing.assert_frame_equal(left, all_rows[: left.index[-1]], check_exact=True)
        assert 2 < len(left) < len(all_rows)
    left, all_rows = (pd.read_parquet(desk.path(TARGETS)) for desk in (part, whole))
    expected = all_rows[(all_rows["date"] <= last) & all_rows["ticker"].isin(left["ticker"])]
    pd.testing.assert_frame_equal(left, expected.reset_index(drop=True), check_exact=True)


def test_the_end_is_as_if_the_files_ended(tmp_path: Path) -> None:
    tiny, last = copenhagen_too(4), "2024-04-12"
    cut, end = tiny.until(last).desk(tmp_path / "cut"), tiny.desk(tmp_path / "end", f"adr.end={last}")
    features(cut)
    features(end)
    for path in [*cut.path(FEATURES).iterdir(), *cut.path(US_BETAS).iterdir(), cut.path(TARGETS)]:
        same = end.root / path.relative_to(cut.root)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(same), check_exact=True)


def test_rows_before_the_start_are_warm_up(tmp_path: Path) -> None:
    tiny, start = market(days=160), "2024-06-03"
    desk, late = tiny.desk(tmp_path / "all"), tiny.desk(tmp_path / "late", f"adr.start={start}")
    short = tiny.since("2024-02-01").desk(tmp_path / "short", f"adr.start={start}")
    for one in (desk, late, short):
        features(one)
    for adr in ("BP", "SNY"):
        expected = saved(desk, adr)[start:]
        assert len(expected) > 10
        pd.testing.assert_frame_equal(saved(late, adr), expected, check_exact=True)
        pd.testing.assert_frame_equal(saved(short, adr), expected, check_exact=False, rtol=1e-9, atol=1e-12)
        pd.testing.assert_frame_equal(targets(late, adr), targets(desk, adr)[start:], check_exact=True)


def test_a_return_over_the_start_belongs_to_its_end(tmp_path: Path) -> None:
    tiny = market()
    tiny.ordinaries.loc["2024-05-09":"2024-05-10", BP.ordinary] = np.nan
    tiny.ordinaries.loc["2024-05-08", BP.ordinary] = 100.0
    tiny.ordinaries.loc["2024-05-13", BP.ordinary] = 101.0
    tiny.indices.loc["2024-05-08":"2024-05-13", "UKX"] = 7000.0
    tiny.betas.loc["2024-05-13", "BP"] = 1.0
    desk = tiny.desk(tmp_path, "adr.start=2024-05-10")
    features(desk)
    first = targets(desk, "BP").iloc[0]
    assert first["previous"] < pd.Timestamp("2024-05-10") <= targets(desk, "BP").index[0]


def test_the_order_of_the_us_stocks_does_not_matter(tmp_path: Path) -> None:
    tiny = market()
    order = np.random.default_rng(0).permutation(tiny.us["XLON"].columns).tolist()
    shuffled = replace(tiny, us={exchange: prices[order] for exchange, prices in tiny.us.items()})
    desk, other = tiny.desk(tmp_path / "a"), shuffled.desk(tmp_path / "b")
    features(desk)
    features(other)
    for adr in ("BP", "SNY"):
        expected, found = saved(desk, adr), saved(other, adr)
        assert list(found.columns) != list(expected.columns)
        pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=True)


def test_the_report_reads_as_a_table(tmp_path: Path) -> None:
    desk = market().desk(tmp_path)
    report = features(desk)
    columns, rows = report.table()
    assert [row[0] for row in rows] == ["BP", "SNY"]
    assert all(len(row) == len(columns) for row in rows)
    assert [row[columns.index("Rows")] for row in rows] == [len(saved(desk, adr)) for adr in ("BP", "SNY")]
    assert any("sessions count" in remark for remark in report.remarks())
    assert desk.is_users(BETAS)
    assert report.beta_source == "user"
