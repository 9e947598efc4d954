"""Betas of the ordinaries, against statsmodels and plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from adr_tiny import BP, NOVO, SAN, Line, Tiny, at, walk

from kairos.adr.betas import betas, known_betas, trailing_slope
from kairos.adr.desk import BETAS
from kairos.adr.files import read_betas
from kairos.errors import InputError
from kairos.market import sessions


def some_days(rng: np.random.Generator, count: int) -> np.ndarray:
    days = np.arange("2022-01-03", "2024-12-31", dtype="datetime64[D]")
    return np.sort(rng.choice(days, count, replace=False))


def test_a_slope_is_that_of_ordinary_least_squares() -> None:
    rng = np.random.default_rng(3)
    dates = some_days(rng, 300)
    x = rng.normal(0.001, 0.01, 300)
    y = 0.002 + 1.3 * x + rng.normal(0, 0.005, 300)
    at_days = some_days(rng, 200)
    slopes = trailing_slope(y, x, dates, at_days, 100, 20)
    compared = 0
    for t, slope in zip(at_days, slopes, strict=True):
        window = (dates >= t - np.timedelta64(100, "D")) & (dates <= t - np.timedelta64(1, "D"))
        if window.sum() < 20:
            assert np.isnan(slope)
        else:
            expected = sm.OLS(y[window], sm.add_constant(x[window])).fit().params[1]
            assert slope == pytest.approx(expected, rel=1e-10)
            compared += 1
    assert 100 < compared < 200


def test_the_window_ends_the_day_before_and_begins_281_days_before() -> None:
    dates = np.array(["2023-03-26", "2023-03-27", "2023-06-01", "2023-12-31", "2024-01-01", "2024-01-02"])
    dates = dates.astype("datetime64[D]")
    x = np.array([5.0, 1.0, 2.0, 4.0, 3.0, 9.0])
    day = np.array(["2024-01-02"], dtype="datetime64[D]")  # 281 days before: 2023-03-27
    expected = np.polyfit(x[1:5], (x**2)[1:5], 1)[0]
    assert trailing_slope(x**2, x, dates, day, 281, 4) == pytest.approx([expected], rel=1e-12)
    assert np.isnan(trailing_slope(x**2, x, dates, day, 281, 5)).all()


def test_a_slope_needs_a_variance() -> None:
    days = np.arange("2024-01-01", "2024-04-01", dtype="datetime64[D]")
    y = np.random.default_rng(0).normal(size=len(days))
    for constant in (0.0, 0.1, 1 / 3):
        assert np.isnan(trailing_slope(y, np.full(len(days), constant), days, days, 60, 5)).all()


def test_slopes_of_a_part_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    dates, x, y = some_days(rng, 400), rng.normal(size=400), rng.normal(size=400)
    whole = trailing_slope(y, x, dates, dates, 281, 30)
    for cut in (31, 200, 399):
        part = trailing_slope(y[:cut], x[:cut], dates[:cut], dates[:cut], 281, 30)
        np.testing.assert_array_equal(part, whole[:cut])
    later = trailing_slope(y[100:], x[100:], dates[100:], dates, 281, 30)
    warm = dates >= dates[100] + np.timedelta64(281, "D")
    np.testing.assert_array_equal(later[warm], whole[warm])
    assert warm.sum() > 100


def test_no_pairs_give_no_slope() -> None:
    none, days = np.empty(0), np.arange("2024-01-01", "2024-01-03", dtype="datetime64[D]")
    assert np.isnan(trailing_slope(none, none, days[:0], days, 281, 60)).tolist() == [True, True]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("max_age", [0, 1, 5])
def test_the_beta_that_counts_by_a_plain_search(after: bool, max_age: int) -> None:
    rng = np.random.default_rng(max_age)
    days = sessions("2023-12-01", "2024-03-28", "XLON")
    dates = np.arange("2023-11-20", "2024-03-20", dtype="datetime64[D]")  # weekends and holidays, too
    column = np.where(rng.random(len(dates)) < 0.25, rng.normal(1, 0.3, len(dates)), np.nan)
    rows = {d: b for d, b in zip(dates, column, strict=True) if np.isfinite(b) and d >= days[0]}
    expected = []
    for t, day in enumerate(days):
        due = t - 1 if after else t  # the session whose row should be there
        usable = [d for d in rows if (d < day if after else d <= day)]
        last = max(usable, default=None)
        between = (
            None if last is None else sum(last < s <= days[due] for s in days[: due + 1]) if due >= 0 else 0
        )
        expected.append(rows[last] if last is not None and between <= max_age else np.nan)
    found = known_betas(column, dates, days, after=after, max_age=max_age)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).sum() > 5


def test_no_beta_is_never_one() -> None:
    days = sessions("2024-01-02", "2024-01-31", "XLON")
    assert np.isnan(known_betas(np.full(3, np.nan), days[:3], days, after=False, max_age=5)).all()
    assert np.isnan(known_betas(np.empty(0), days[:0], days, after=False, max_age=5)).all()
    old = known_betas(np.array([0.7]), days[:1], days, after=False, max_age=5)
    assert old.tolist()[:6] == [0.7] * 6
    assert np.isnan(old[6:]).all()


# The step -------------------------------------------------------------------------------------------------


def market(lines: tuple[Line, ...], last: str = "2024-07-31") -> Tiny:
    rng = np.random.default_rng(11)
    days = pd.bdate_range("2024-01-02", last)
    names = [one.ordinary for one in lines]
    indices = walk(rng, days, ["SX5E", "SXXP", "UKX"])
    ordinaries = walk(rng, days, names)
    ordinaries[names[0]] = np.round(ordinaries[names[0]] * indices["UKX"] / 100, 4)
    ordinaries = ordinaries.mask(rng.random(ordinaries.shape) < 0.05)
    return Tiny(lines, ordinaries, indices.mask(rng.random(indices.shape) < 0.03), {})


def plain_beta(price: pd.Series, index: pd.Series, day: pd.Timestamp, exchange: str) -> float:
    """The definition with pandas: returns on the common days, ordinary least squares over the window."""
    common = pd.concat([price, index], axis=1, keys=["y", "x"]).dropna()
    held = sessions(common.index[0].date(), common.index[-1].date(), exchange)
    returns = common[common.index.isin(pd.DatetimeIndex(held))].pct_change().dropna()
    window = returns[(returns.index >= day - pd.Timedelta(days=281)) & (returns.index < day)]
    if len(window) < 60:
        return np.nan
    return float(sm.OLS(window["y"], sm.add_constant(window["x"])).fit().params["x"])


def test_the_file_of_betas(tmp_path: Path) -> None:
    tiny = market((BP, SAN))
    desk = tiny.desk(tmp_path)
    report = betas(desk)
    found = read_betas(desk.path(BETAS), what="betas")
    assert found.names == ("BP", "SNY")
    assert found.dates[-1] == np.datetime64("2024-08-01") == report.last  # the session after the last date
    compared = 0
    for one, index in ((BP, "UKX"), (SAN, "SX5E")):
        column = found.column(one.adr)
        held = sessions("2024-01-02", "2024-08-01", one.exchange)
        for date, beta in zip(found.dates, column, strict=True):
            if date not in held:
                assert np.isnan(beta)
                continue
            expected = plain_beta(
                tiny.ordinaries[one.ordinary], tiny.indices[index], pd.Timestamp(date), one.exchange
            )
            assert beta == pytest.approx(expected, rel=1e-9, nan_ok=True)
            compared += np.isfinite(beta)
    assert compared == sum(entry.days for entry in report.found) > 120
    columns, rows = report.table()
    assert len(rows) == 2
    assert all(len(row) == len(columns) for row in rows)
    assert "2024-08-01" in report.remarks()[0]


@pytest.mark.parametrize("last", ["2024-05-17", "2024-06-28", "2024-07-30"])
def test_betas_know_nothing_of_later_days(tmp_path: Path, last: str) -> None:
    tiny = market((BP, SAN))
    betas(tiny.desk(tmp_path / "whole"))
    betas(tiny.until(last).desk(tmp_path / "part"))
    betas(tiny.desk(tmp_path / "end", f"adr.end={last}"))
    whole, part, end = (
        read_betas(tmp_path / name / BETAS, what="betas") for name in ("whole", "part", "end")
    )
    assert str(part.dates[-1]) > last
    np.testing.assert_array_equal(part.values, whole.values[: len(part.dates)])
    np.testing.assert_array_equal(part.dates, whole.dates[: len(part.dates)])
    np.testing.assert_array_equal(end.values, part.values)


def test_a_file_of_the_user_is_used(tmp_path: Path) -> None:
    tiny = market((BP,))
    own = pd.DataFrame({"BP": [0.5]}, index=tiny.ordinaries.index[:1])
    Tiny(tiny.lines, tiny.ordinaries, tiny.indices, {}, betas=own).desk(tmp_path)
    before = (tmp_path / BETAS).read_bytes()
    report = betas(tiny.desk(tmp_path))
    assert report.source == "user"
    assert (tmp_path / BETAS).read_bytes() == before
    assert "yours" in report.remarks()[0]
    forced = betas(tiny.desk(tmp_path, force=True))
    assert forced.source == "desk"
    assert (tmp_path / BETAS).read_bytes() != before
    again = betas(tiny.desk(tmp_path))  # now it is the desk's own
    assert again.source == "desk"


def test_too_short_a_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"adr\.betas\.min_pairs"):
        betas(market((BP,), last="2024-02-15").desk(tmp_path))


def test_a_beta_of_another_currency_is_that_of_converted_prices(tmp_path: Path) -> None:
    """Danish kroner against an index in euro, both rates taken at 17:00 in Copenhagen."""
    tiny = market((NOVO,), last="2024-06-28")
    rng = np.random.default_rng(2)
    days = tiny.ordinaries.index
    at_close = at(days, "17:00", "Europe/Copenhagen")
    dkk = pd.Series(np.round(0.145 * np.exp(rng.normal(0, 0.01, len(days)).cumsum()), 6), at_close)
    eur = pd.Series(np.round(1.085 * np.exp(rng.normal(0, 0.01, len(days)).cumsum()), 6), at_close)
    desk = Tiny(tiny.lines, tiny.ordinaries, tiny.indices, {}, fx={"DKK": dkk, "EUR": eur}).desk(tmp_path)
    betas(desk)
    found = read_betas(desk.path(BETAS), what="betas")
    converted = tiny.ordinaries[NOVO.ordinary] * dkk.to_numpy() / eur.to_numpy()
    expected = [
        plain_beta(converted, tiny.indices["SXXP"], pd.Timestamp(date), "XCSE") for date in found.dates
    ]
    np.testing.assert_allclose(found.column("NVO")[:-1], expected[:-1], rtol=1e-9)
    unconverted = plain_beta(
        tiny.ordinaries[NOVO.ordinary], tiny.indices["SXXP"], pd.Timestamp(found.dates[-2]), "XCSE"
    )
    assert abs(unconverted - expected[-2]) > 1e-3


def test_missing_rates_of_another_currency_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"DKKUSD_full_1min\.txt"):
        betas(market((NOVO,)).desk(tmp_path))
