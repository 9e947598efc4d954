from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kairos import panel as kp
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def day(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """30 dates × 25 tickers with gaps, ties, infinities, an empty date, one value, equal values."""
    x = np.asfortranarray(rng.normal(size=(30, 25)).round(1) * 10)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[3, 4], x[3, 5] = np.inf, -np.inf
    x[5] = np.nan
    x[6] = np.nan
    x[6, 8] = 2.0
    x[7] = 0.1
    members = np.asfortranarray(rng.random(x.shape) < 0.7)
    members[6, 8] = True
    members[9] = False
    return x, members


def kept(x: np.ndarray, members: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(np.where(members & np.isfinite(x), x, np.nan))


def test_mean_std_and_quantiles_are_those_of_pandas(day: tuple[np.ndarray, np.ndarray]) -> None:
    x, members = day
    frame = kept(x, members)
    np.testing.assert_allclose(kp.mean_of(x, members), frame.mean(axis=1), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(kp.std_of(x, members), frame.std(axis=1), rtol=1e-12, atol=1e-13)
    assert kp.std_of(x, members)[7] == 0.0
    assert kp.mean_of(x, members)[7] == 0.1
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        np.testing.assert_allclose(
            kp.quantile_of(x, members, q), frame.quantile(q, axis=1).astype(float), rtol=1e-12
        )


def test_z_follows_its_definition(day: tuple[np.ndarray, np.ndarray]) -> None:
    x, members = day
    got = kp.z(x, members)
    for t in range(len(x)):
        use = members[t] & np.isfinite(x[t])
        v = x[t, use]
        flat = len(v) < 2 or v.max() == v.min()
        expected = np.zeros(len(v)) if flat else (v - v.mean()) / v.std(ddof=1)
        np.testing.assert_allclose(got[t, use], expected, rtol=1e-11, atol=1e-13)
        assert np.isnan(got[t, ~use]).all()
    assert got[6, 8] == 0.0
    assert (got[7, members[7]] == 0.0).all()


def test_clipped_z_is_clipped_after_standardising() -> None:
    x = np.array([[0.0] * 20 + [1000.0]])
    members = np.ones(x.shape, dtype=bool)
    plain = kp.z(x, members)
    assert plain.max() > 3
    np.testing.assert_array_equal(kp.clipped_z(x, members), np.clip(plain, -3, 3))
    np.testing.assert_array_equal(kp.clipped_z(x, members, 0.1), np.clip(plain, -0.1, 0.1))


def test_rank_is_that_of_scipy(day: tuple[np.ndarray, np.ndarray]) -> None:
    x, members = day
    got = kp.rank(x, members)
    for t in range(len(x)):
        use = members[t] & np.isfinite(x[t])
        np.testing.assert_allclose(got[t, use], stats.rankdata(x[t, use]) / max(use.sum(), 1), rtol=1e-14)
        assert np.isnan(got[t, ~use]).all()


def test_winsorise_clips_at_numpys_quantiles(day: tuple[np.ndarray, np.ndarray]) -> None:
    x, members = day
    got = kp.winsorise(x, members, 0.05, 0.9)
    for t in range(len(x)):
        use = members[t] & np.isfinite(x[t])
        if use.any():
            lo, hi = np.quantile(x[t, use], [0.05, 0.9])
            np.testing.assert_allclose(got[t, use], np.clip(x[t, use], lo, hi), rtol=1e-12)
        assert np.isnan(got[t, ~use]).all()


def test_group_means_are_those_of_pandas(
    day: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    x, members = day
    for groups in (rng.integers(-1, 4, size=25), rng.integers(-1, 4, size=x.shape)):
        wide = np.broadcast_to(groups, x.shape)
        frame = kept(x, members)
        expected = np.full(x.shape, np.nan)
        for t in range(len(x)):
            means = frame.loc[t].groupby(wide[t]).transform("mean")
            expected[t] = np.where(members[t] & (wide[t] >= 0), means, np.nan)
        np.testing.assert_allclose(kp.group_mean(x, groups, members), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            kp.demean(x, groups, members), frame.to_numpy() - expected, rtol=1e-10, atol=1e-12
        )


def test_a_group_of_equals_is_exactly_zero_after_demeaning() -> None:
    x = np.array([[0.1, 0.1, 0.1, 0.7, 0.7]])
    got = kp.demean(x, np.array([0, 0, 0, 1, 1]), np.ones(x.shape, dtype=bool))
    np.testing.assert_array_equal(got, np.zeros((1, 5)))


@pytest.mark.parametrize("with_groups", [False, True])
def test_neutralised_is_the_residual_of_statsmodels(with_groups: bool, rng: np.random.Generator) -> None:
    shape = (12, 60)
    size, beta = rng.normal(20, 2, size=shape), rng.normal(1, 0.3, size=shape)
    groups = rng.integers(-1, 4, size=60) if with_groups else np.zeros(60, dtype=int)
    x = 0.5 * size - beta + groups + rng.normal(size=shape)
    for panel in (x, size, beta):
        panel[rng.random(shape) < 0.1] = np.nan
    members = rng.random(shape) < 0.8
    got = kp.neutralise(x, members, [size, beta], groups if with_groups else None)
    for t in range(shape[0]):
        use = members[t] & np.isfinite(x[t] + size[t] + beta[t]) & (groups >= 0)
        dummies = pd.get_dummies(groups[use]).to_numpy(dtype=float)
        design = np.column_stack([size[t, use], beta[t, use], dummies])
        np.testing.assert_allclose(got[t, use], sm.OLS(x[t, use], design).fit().resid, atol=1e-11)
        assert np.isnan(got[t, ~use]).all()


def test_neutralised_without_exposures_is_demeaned(day: tuple[np.ndarray, np.ndarray]) -> None:
    x, members = day
    np.testing.assert_allclose(
        kp.neutralise(x, members, []), kp.demean(x, np.zeros(25, dtype=int), members), atol=1e-13
    )


def test_what_the_exposures_explain_is_exactly_zero(rng: np.random.Generator) -> None:
    """Rounding that is left over must not come back as a signal through z."""
    e = rng.normal(1e6, 1, size=(5, 40))
    members = np.ones(e.shape, dtype=bool)
    assert (kp.neutralise(2.0 * e + 7.0, members, [e]) == 0.0).all()
    x = rng.normal(size=e.shape)
    once = kp.neutralise(x, members, [e])
    twice = kp.neutralise(x, members, [e, 3.0 * e - 1.0, np.full(e.shape, 0.1)])
    np.testing.assert_allclose(twice, once, atol=1e-12)
    assert np.abs(once).max() > 1.0


def test_blend_follows_its_definition(rng: np.random.Generator) -> None:
    shape = (6, 40)
    parts = [np.where(rng.random(shape) < 0.4, np.nan, rng.normal(size=shape)) for _ in range(3)]
    weights = [0.5, 0.3, 0.2]
    for least in (1, 2, 3):
        for missing in ("skip", "neutral"):
            got = kp.blend(parts, weights, least, missing)
            for t in range(shape[0]):
                for j in range(shape[1]):
                    pairs = [
                        (w, p[t, j]) for w, p in zip(weights, parts, strict=True) if np.isfinite(p[t, j])
                    ]
                    if len(pairs) < least:
                        assert np.isnan(got[t, j])
                        continue
                    total = sum(w for w, _ in pairs) if missing == "skip" else sum(weights)
                    assert got[t, j] == pytest.approx(sum(w * v for w, v in pairs) / total, rel=1e-12)


def test_blend_with_weights_by_date() -> None:
    a, b = np.array([[1.0, 2.0], [1.0, np.nan], [4.0, 5.0]]), np.array([[3.0, 6.0], [3.0, 7.0], [6.0, 7.0]])
    rising = np.array([1.0, 0.0, np.nan])
    got = kp.blend([a, b], [rising, np.array([1.0, 3.0, 1.0])], 1)
    np.testing.assert_array_equal(got, [[2.0, 4.0], [3.0, 7.0], [6.0, 7.0]])
    both = kp.blend([a, b], [rising, np.array([1.0, 3.0, 1.0])], 2)
    np.testing.assert_array_equal(both, [[2.0, 4.0], [3.0, np.nan], [np.nan, np.nan]])


def test_blend_with_negative_and_zero_weights() -> None:
    a, b = np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, 2.0, np.nan]])
    np.testing.assert_array_equal(kp.blend([a, b], [1.0, -1.0], 1), [[-0.5, -2.0, 3.0]])
    np.testing.assert_array_equal(kp.blend([a, b], [0.0, 1.0], 1), [[2.0, 2.0, np.nan]])
    np.testing.assert_array_equal(kp.blend([a, b], [0.0, 1.0], 2), [[2.0, np.nan, np.nan]])


FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean_of": lambda x, m, g: kp.mean_of(x, m),
    "std_of": lambda x, m, g: kp.std_of(x, m),
    "quantile_of": lambda x, m, g: kp.quantile_of(x, m, 0.3),
    "z": lambda x, m, g: kp.z(x, m),
    "clipped_z": lambda x, m, g: kp.clipped_z(x, m, 1.0),
    "rank": lambda x, m, g: kp.rank(x, m),
    "winsorise": lambda x, m, g: kp.winsorise(x, m, 0.1, 0.8),
    "group_mean": lambda x, m, g: kp.group_mean(x, g, m),
    "demean": lambda x, m, g: kp.demean(x, g, m),
    "neutralise": lambda x, m, g: kp.neutralise(x, m, [np.abs(x) ** 1.5], g),
    "blend": lambda x, m, g: kp.blend([x, kp.z(x, m)], [0.3, 0.7], 1),
}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 12), data=st.data())
def test_one_date_does_not_influence_another(seed: int, rows: int, data: st.DataObject) -> None:
    """A slice of dates, down to a single one, gives the bits of the whole."""
    rng = np.random.default_rng(seed)
    x = np.asfortranarray(rng.normal(size=(rows, 60)) * 10.0 ** rng.integers(-6, 7))
    x[rng.random(x.shape) < 0.2] = np.nan
    members = rng.random(x.shape) < 0.8
    groups = rng.integers(-1, 5, size=60)
    lo = data.draw(st.integers(0, rows - 1), label="lo")
    hi = data.draw(st.integers(lo + 1, rows), label="hi")
    for name, function in FUNCTIONS.items():
        whole = function(x, members, groups)
        part = function(x[lo:hi], members[lo:hi], groups)
        np.testing.assert_array_equal(part, whole[lo:hi], err_msg=name)


def test_threads_do_not_change_a_bit(
    day: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x, members = day
    groups = rng.integers(-1, 3, size=25)
    monkeypatch.setattr(kp.arrays, "_cores", lambda: 1)
    alone = {name: function(x, members, groups) for name, function in FUNCTIONS.items()}
    monkeypatch.setattr(kp.arrays, "_cores", lambda: 3)
    monkeypatch.setattr(kp.arrays, "_CELLS_PER_TASK", 1)
    for name, function in FUNCTIONS.items():
        np.testing.assert_array_equal(function(x, members, groups), alone[name], err_msg=name)


def test_the_order_of_tickers_matters_at_most_in_the_last_bits(
    day: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    x, members = day
    groups = rng.integers(-1, 3, size=25)
    order = rng.permutation(25)
    for name, function in FUNCTIONS.items():
        straight = function(x, members, groups)
        expected = straight if straight.ndim == 1 else straight[:, order]
        got = function(x[:, order], members[:, order], groups[order])
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11, err_msg=name)


def test_panels_are_fortran_ordered_without_infinities_and_inputs_stay(
    day: tuple[np.ndarray, np.ndarray],
) -> None:
    x, members = day
    before, groups = x.copy(), np.arange(25) % 3
    for order in (np.asfortranarray, np.ascontiguousarray):
        for name, function in FUNCTIONS.items():
            values = function(order(x), order(members), groups)
            assert values.flags.f_contiguous, name
            assert not np.isinf(values).any(), name
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_empty_and_tiny_panels(shape: tuple[int, int]) -> None:
    x, members, groups = np.ones(shape), np.ones(shape, dtype=bool), np.zeros(shape[1], dtype=int)
    for function in FUNCTIONS.values():
        assert len(function(x, members, groups)) == shape[0]


NOT_INTEGERS: Any = np.zeros(3)
ANOTHER_WORD: Any = "zero"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, m: kp.z(x, m[:1]), "members must be boolean of the shape"),
        (lambda x, m: kp.z(x, m.astype(float)), "it is float64"),
        (lambda x, m: kp.clipped_z(x, m, 0.0), "positive bound"),
        (lambda x, m: kp.quantile_of(x, m, 1.5), r"\[0, 1\], not 1.5"),
        (lambda x, m: kp.winsorise(x, m, 0.9, 0.1), "lower < upper"),
        (lambda x, m: kp.group_mean(x, NOT_INTEGERS, m), "groups are integers"),
        (lambda x, m: kp.group_mean(x, np.zeros(2, dtype=int), m), r"shape \(2,\)"),
        (lambda x, m: kp.neutralise(x, m, [x[:1]]), "an exposure has the shape"),
        (lambda x, m: kp.blend([], [], 1), "one weight per component"),
        (lambda x, m: kp.blend([x], [1.0, 2.0], 1), "1 parts, 2 weights"),
        (lambda x, m: kp.blend([x, x], [1.0, 2.0], 3), r"min_components is in 1\.\.2"),
        (lambda x, m: kp.blend([x, x[:1]], [1.0, 2.0], 1), "a component has the shape"),
        (lambda x, m: kp.blend([x], [1.0], 1, ANOTHER_WORD), "'zero'"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[Any, Any], object], message: str) -> None:
    x = np.ones((4, 3))
    with pytest.raises(InputError, match=message):
        call(x, np.ones(x.shape, dtype=bool))
