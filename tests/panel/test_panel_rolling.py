from __future__ import annotations

import warnings
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kairos.errors import InputError
from kairos.panel import Array, Rolling, arrays, lag

if TYPE_CHECKING:
    from collections.abc import Callable

SINGLE = ["sum", "mean", "var", "std", "min", "max", "rank", "skew", "kurt", "drawdown"]
PAIRS = ["cov", "corr", "beta", "residual_std"]
NEEDS = {"var": 2, "std": 2, "skew": 3, "kurt": 4} | dict.fromkeys(PAIRS, 2)


def single(roll: Rolling, name: str, x: Array) -> Array:
    result: Array = getattr(roll, name)(x)
    return result


def every(roll: Rolling, x: Array, y: Array) -> dict[str, Array]:
    found = {name: single(roll, name, x) for name in SINGLE}
    return found | {name: getattr(roll, name)(x, y) for name in PAIRS}


# Plain definitions of a statistic of the finite values of one window (the last row is today's).


def _moment(name: str) -> Callable[[Array], float]:
    def statistic(v: Array) -> float:
        if v.max() == v.min():
            return np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(getattr(stats, name)(v, bias=False))

    return statistic


def _drawdown(v: Array) -> float:
    if v.min() <= 0:
        return np.nan
    return float(min(v[j] / v[i] - 1 for i in range(len(v)) for j in range(i, len(v))))


DEFINITION: dict[str, Callable[[Array], float]] = {
    "sum": np.sum,
    "mean": np.mean,
    "var": lambda v: 0.0 if v.max() == v.min() else float(np.var(v, ddof=1)),
    "std": lambda v: 0.0 if v.max() == v.min() else float(np.std(v, ddof=1)),
    "min": np.min,
    "max": np.max,
    "skew": _moment("skew"),
    "kurt": _moment("kurtosis"),
    "drawdown": _drawdown,
}


def _cov(x: Array, y: Array) -> float:
    return float(np.sum((x - x.mean()) * (y - y.mean())) / (len(x) - 1))


def _flat(x: Array) -> bool:
    return bool(x.max() == x.min())


def _corr(x: Array, y: Array) -> float:
    return np.nan if _flat(x) or _flat(y) else float(stats.pearsonr(x, y).statistic)


def _beta(y: Array, x: Array) -> float:
    return np.nan if _flat(x) else float(stats.linregress(x, y).slope)


def _residual_std(y: Array, x: Array) -> float:
    return np.nan if _flat(x) else float(np.std(y - _beta(y, x) * x, ddof=1))


PAIR_DEFINITION = {"cov": _cov, "corr": _corr, "beta": _beta, "residual_std": _residual_std}


def windows(rows: int, window: int, start: int) -> list[slice | None]:
    return [
        None if start > 0 and t < window - 1 else slice(max(t - window + 1, 0), t + 1) for t in range(rows)
    ]


@pytest.mark.parametrize("start", [0, 1, 11])
@pytest.mark.parametrize(
    ("window", "min_obs"), [(1, 1), (2, 1), (3, 2), (7, 5), (20, 16), (90, 30), (200, 4)]
)
@pytest.mark.parametrize("name", sorted(DEFINITION))
def test_statistics_follow_their_definition(
    messy: Array, name: str, window: int, min_obs: int, start: int
) -> None:
    expected = np.full(messy.shape, np.nan)
    for t, span in enumerate(windows(len(messy), window, start)):
        for j in range(messy.shape[1]):
            v = messy[span, j] if span else np.empty(0)
            v = v[np.isfinite(v)]
            if len(v) >= max(min_obs, NEEDS.get(name, 1)):
                expected[t, j] = DEFINITION[name](v)
    got = single(Rolling(window, min_obs, start), name, messy)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
    if name in ("min", "max", "drawdown"):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("window", "min_obs"), [(2, 1), (3, 2), (20, 10), (200, 4)])
@pytest.mark.parametrize("name", PAIRS)
def test_pair_statistics_follow_their_definition(messy: Array, name: str, window: int, min_obs: int) -> None:
    one, other = messy, np.asfortranarray(messy[:, [2, 6, 0, 7, 1, 3, 4, 3]])
    expected = np.full(one.shape, np.nan)
    for t, span in enumerate(windows(len(one), window, 0)):
        for j in range(one.shape[1]):
            a, b = one[span, j], other[span, j]
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() >= max(min_obs, 2):
                expected[t, j] = PAIR_DEFINITION[name](a[both], b[both])
    got = getattr(Rolling(window, min_obs), name)(one, other)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=2e-7 if name == "residual_std" else 1e-11)


@pytest.mark.parametrize("window", [1, 4, 30])
def test_rank_is_that_of_pandas(messy: Array, window: int) -> None:
    finite = pd.DataFrame(messy).replace([np.inf, -np.inf], np.nan)
    expected = finite.rolling(window, min_periods=1).rank(pct=True)
    got = Rolling(window, 1).rank(messy)
    np.testing.assert_allclose(got, expected.where(finite.notna()), rtol=1e-12)


def test_skew_and_kurt_are_those_of_pandas(rng: np.random.Generator) -> None:
    x = rng.standard_t(5, size=(300, 3))
    rolled = pd.DataFrame(x).rolling(63)
    roll = Rolling(63, 63)
    np.testing.assert_allclose(roll.skew(x), rolled.skew(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(roll.kurt(x), rolled.kurt(), rtol=1e-8, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(2, 70),
    window=st.integers(1, 30),
    start=st.integers(0, 40),
    data=st.data(),
)
def test_a_slice_gives_the_bits_of_the_whole(
    seed: int, rows: int, window: int, start: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(size=(rows, 3)) * rng.choice([1e-6, 1.0, 8.0]))
    x[rng.random(x.shape) < 0.2] = np.nan
    y = rng.normal(size=(rows, 3))
    ages = np.arange(1.0, rows + 1)[:, None] - rng.integers(0, rows, size=3)
    lo = data.draw(st.integers(0, rows - 1), label="lo")
    hi = data.draw(st.integers(lo + 1, rows), label="hi")
    min_obs = data.draw(st.integers(1, window), label="min_obs")
    use = data.draw(st.booleans(), label="with listed")
    whole = every(Rolling(window, min_obs, start, ages if use else None), x, y)
    part = every(Rolling(window, min_obs, start + lo, ages[lo:hi] if use else None), x[lo:hi], y[lo:hi])
    for name, values in part.items():
        full = whole[name][lo:hi]
        inside = min(window - 1, hi - lo) if start + lo > 0 else 0
        assert np.isnan(values[:inside]).all(), name
        np.testing.assert_array_equal(values[inside:], full[inside:], err_msg=name)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), window=st.integers(2, 25), cut=st.integers(1, 59))
def test_later_rows_do_not_matter(seed: int, window: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.exp(rng.normal(size=(60, 2))), rng.normal(size=(60, 2))
    roll = Rolling(window, max(window // 2, 1))
    whole, truncated = every(roll, x, y), every(roll, x[:cut], y[:cut])
    for name, values in truncated.items():
        np.testing.assert_array_equal(values, whole[name][:cut], err_msg=name)


def test_tickers_do_not_influence_each_other(messy: Array) -> None:
    order = np.array([5, 2, 7, 0, 4, 6, 1, 3])
    y = np.asfortranarray(messy[::-1])
    straight = every(Rolling(20, 8), messy, y)
    shuffled = every(Rolling(20, 8), messy[:, order], y[:, order])
    for name, values in shuffled.items():
        np.testing.assert_array_equal(values, straight[name][:, order], err_msg=name)


@settings(max_examples=100, deadline=None)
@given(
    level=st.floats(-1e9, 1e9),
    before=st.floats(-1e12, 1e12),
    window=st.integers(2, 40),
    start=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_a_constant_window_has_no_deviation(
    level: float, before: float, window: int, start: int, seed: int
) -> None:
    """Also after another level, with gaps, and for values like 0.1 that have no exact binary form."""
    x = np.full((3 * window, 1), level)
    x[:window] = before
    x[np.random.default_rng(seed).random(x.shape) < 0.1] = np.nan
    roll = Rolling(window, 1, start)
    flat = roll.max(x) == roll.min(x)
    flat &= np.isfinite(roll.std(x))
    assert (roll.std(x)[flat] == 0.0).all()
    assert (roll.var(x)[flat] == 0.0).all()
    assert (roll.mean(x)[flat] == roll.max(x)[flat]).all()
    assert np.isnan(roll.skew(x)[flat]).all()
    assert np.isnan(roll.kurt(x)[flat]).all()
    assert np.isnan(roll.corr(x, np.arange(3.0 * window))[flat]).all()
    assert np.isnan(roll.beta(np.arange(3.0 * window)[:, None], x)[flat]).all()
    assert flat[2 * window :].sum() >= np.isfinite(roll.std(x)[2 * window :]).sum()


def test_dispersion_at_high_levels_against_exact_arithmetic(rng: np.random.Generator) -> None:
    """Std at a level of 1e9 with noise of 1: relative error below 1e-6 (1e-9 at a level of 1e6)."""
    for level, bound in ((1e9, 1e-6), (1e6, 1e-9), (0.0, 1e-13)):
        x = level + rng.normal(size=(320, 1))
        got = Rolling(252, 252).std(x)[:, 0]
        for t in range(251, 320, 7):
            v = [Fraction(float(value)) for value in x[t - 251 : t + 1, 0]]
            mean = sum(v) / len(v)
            exact = float(sum((value - mean) ** 2 for value in v) / (len(v) - 1)) ** 0.5
            assert abs(got[t] / exact - 1) < bound


def test_sums_of_integers_are_exact() -> None:
    x = np.tile([[2.0**52], [1.0], [0.0], [3.0]], (20, 1))
    expected = pd.Series(x[:, 0].astype("int64")).rolling(8).sum().to_numpy()
    np.testing.assert_array_equal(Rolling(8, 8).sum(x)[7:, 0], expected[7:])


def test_only_whole_windows_of_a_listing_count() -> None:
    nan = np.nan
    p = np.array([nan, nan, 3.0, 4.0, nan, 6.0, 7.0])[:, None]
    np.testing.assert_array_equal(Rolling(3, 2).mean(p)[:, 0], [nan, nan, nan, 3.5, 3.5, 5.0, 6.5])
    for unlisted in ([-1.0, 0.0], [nan, nan]):
        ages = np.array([*unlisted, 1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
        got = every(Rolling(3, 2, listed=ages), p, p)
        np.testing.assert_array_equal(got["mean"][:, 0], [nan, nan, nan, nan, 3.5, 5.0, 6.5])
        assert all(np.isnan(values[:4]).all() for values in got.values())


def test_min_obs_is_counted_in_observations_not_in_rows() -> None:
    x = np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan])[:, None]
    np.testing.assert_array_equal(Rolling(3, 2).mean(x)[:, 0], [np.nan, np.nan, 2.0, np.nan, np.nan, np.nan])


def test_infinite_and_missing_observations_are_the_same(messy: Array) -> None:
    clean = np.where(np.isfinite(messy), messy, np.nan)
    y = np.asfortranarray(messy[::-1])
    for name, values in every(Rolling(10, 3), messy, y).items():
        assert not np.isinf(values).any(), name
        expected = every(Rolling(10, 3), clean, np.where(np.isfinite(y), y, np.nan))[name]
        np.testing.assert_array_equal(values, expected, err_msg=name)


def test_overflow_is_missing() -> None:
    x = np.array([[1e308], [-1e308], [1e308], [1e308]])
    for name, values in every(Rolling(4, 2), x, x).items():
        assert not np.isinf(values).any(), name


def test_beta_finds_the_planted_slope_on_a_common_market(rng: np.random.Generator) -> None:
    market = rng.normal(0, 0.01, size=500)
    slopes, noise = np.array([-0.5, 0.0, 1.0, 2.2]), 0.02
    y = market[:, None] * slopes + rng.normal(0, noise, size=(500, 4))
    roll = Rolling(252, 202)
    error = noise / 0.01 / np.sqrt(252)
    assert (np.abs(roll.beta(y, market)[-1] - slopes) < 4 * error).all()
    assert (np.abs(roll.residual_std(y, market)[-1] / noise - 1) < 0.2).all()
    panel = np.asfortranarray(np.broadcast_to(market[:, None], y.shape))
    for name in PAIRS:
        np.testing.assert_array_equal(getattr(roll, name)(y, market), getattr(roll, name)(y, panel))


def test_a_perfect_line_has_nearly_no_residual(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 2))
    residual = Rolling(21, 17).residual_std(3.0 * x + 1.0, x)
    assert (residual[20:] >= 0).all()
    assert (residual[20:] < 1e-6).all()
    assert (np.abs(Rolling(21, 17).corr(3.0 * x + 1.0, x)[20:]) <= 1.0).all()


def test_correlation_is_symmetric_and_signed(messy: Array) -> None:
    y = np.asfortranarray(messy[::-1])
    roll = Rolling(15, 5)
    np.testing.assert_allclose(roll.corr(messy, y), roll.corr(y, messy), atol=1e-13)
    np.testing.assert_array_equal(roll.corr(messy, -y), -roll.corr(messy, y))


def test_a_lagged_result_is_the_result_of_the_day_before(messy: Array) -> None:
    """What `lag` hands out on t is bit-equal to what was known on t − 1."""
    late = lag(Rolling(10, 5).std(messy), 1)
    for t in range(1, len(messy)):
        np.testing.assert_array_equal(late[t], Rolling(10, 5).std(messy[:t])[-1])


def test_threads_do_not_change_a_bit(messy: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.asfortranarray(messy[::-1])
    monkeypatch.setattr(arrays, "_cores", lambda: 1)
    alone = every(Rolling(12, 4), messy, y)
    monkeypatch.setattr(arrays, "_cores", lambda: 3)
    monkeypatch.setattr(arrays, "_CELLS_PER_TASK", 1)
    for name, values in every(Rolling(12, 4), messy, y).items():
        np.testing.assert_array_equal(values, alone[name], err_msg=name)


def test_panels_keep_their_order_and_inputs_stay_as_they_are(messy: Array) -> None:
    before = messy.copy()
    for values in every(Rolling(5, 2), messy, messy).values():
        assert values.flags.f_contiguous
        assert values.dtype == np.float64
        assert values.shape == messy.shape
    np.testing.assert_array_equal(messy, before)
    row_major = np.ascontiguousarray(messy)
    np.testing.assert_array_equal(Rolling(5, 2).std(row_major), Rolling(5, 2).std(messy))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_empty_and_tiny_panels(shape: tuple[int, int]) -> None:
    x = np.ones(shape, order="F")
    for values in every(Rolling(3, 1), x, x).values():
        assert values.shape == shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rolling(0, 1), "at least 1 session"),
        (lambda: Rolling(5, 6), r"min_obs in 1\.\.5, not 6"),
        (lambda: Rolling(5, 0), r"min_obs in 1\.\.5, not 0"),
        (lambda: Rolling(5, 3, start=-1), "start = -1"),
        (lambda: Rolling(5, 3).mean(np.ones(4)), r"shape \(4,\)"),
        (
            lambda: Rolling(5, 3, listed=np.ones((4, 2))).mean(np.ones((4, 3))),
            r"\(4, 2\), the panel \(4, 3\)",
        ),
        (lambda: Rolling(5, 3).cov(np.ones((4, 3)), np.ones((4, 2))), "one shape"),
        (lambda: Rolling(5, 3).beta(np.ones((4, 3)), np.ones(5)), "one shape"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
