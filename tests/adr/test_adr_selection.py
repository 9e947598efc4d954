"""Every rule against a plain reading of its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from kairos.adr.selection import Validation, rule, rules
from kairos.settings.tree import Model

K, ZERO = 9, 3


def window(seed: int, n: int = 20, zero: int = ZERO, signal: float = 0.5) -> Validation:
    """A validation month: the first `zero` fits predict nothing, the later ones ever more wildly."""
    r = np.random.default_rng(seed)
    residual, baseline = 0.01 * r.standard_normal(n), 0.01 * r.standard_normal(n)
    predictions = np.zeros((K, n))
    for k in range(zero, K):
        size = (k - zero + 1) / 4
        predictions[k] = size * (signal * residual + 0.01 * r.standard_normal(n))
    return Validation(predictions, np.arange(K) < zero, residual, baseline, baseline + residual)


def errors(w: Validation, k: int) -> list[float]:
    return [(e - p) ** 2 for e, p in zip(w.residual, w.predictions[k], strict=True)]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1])


def plain_mse(history: Sequence[Validation]) -> int | None:
    w = history[-1]
    nothing = mean([e**2 for e in w.residual])
    best, least = None, nothing
    for k in range(K):
        if not w.zero[k] and mean(errors(w, k)) < least:
            best, least = k, mean(errors(w, k))
    return best


def plain_mse_1se(history: Sequence[Validation]) -> int | None:
    w, best = history[-1], plain_mse(history)
    if best is None:
        return None
    for k in range(K):
        if not w.zero[k]:
            d = [a - b for a, b in zip(errors(w, k), errors(w, best), strict=True)]
            sd = math.sqrt(math.fsum((x - mean(d)) ** 2 for x in d) / (len(d) - 1))
            if mean(d) <= sd / math.sqrt(len(d)):
                return k
    raise AssertionError


def plain_ic(history: Sequence[Validation]) -> int | None:
    w = history[-1]
    found = {k: correlation(w.predictions[k], w.residual) for k in range(K) if not w.zero[k]}
    return max(found, key=lambda k: (found[k], -k)) if found else None


def plain_ic_total(history: Sequence[Validation]) -> int | None:
    w = history[-1]
    found = {-1: correlation(w.baseline, w.ordinary)}
    found |= {k: correlation(w.baseline + w.predictions[k], w.ordinary) for k in range(K) if not w.zero[k]}
    best = max(found, key=lambda k: (found[k], -k))
    return None if best < 0 else best


def plain_past_oos(history: Sequence[Validation]) -> int | None:
    """Steps are counted from the last zero fit of each window."""
    zeros = [int(w.zero.sum()) for w in history]
    totals = []
    for step in range(K - zeros[-1] + 1):
        total = 0.0
        for w, zero in zip(history, zeros, strict=True):
            row = min(zero + step - 1, K - 1)
            quiet = step == 0 or zero == K
            total += sum(w.residual**2) if quiet else sum(errors(w, row))
        totals.append(total)
    step = totals.index(min(totals))
    return None if step == 0 else zeros[-1] + step - 1


PLAIN = {
    "mse": plain_mse,
    "mse_1se": plain_mse_1se,
    "ic": plain_ic,
    "ic_total": plain_ic_total,
    "past_oos": plain_past_oos,
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("signal", [0.0, 0.5])
def test_a_rule_is_its_definition(name: str, signal: float) -> None:
    chosen = set()
    for seed in range(25):
        history = [window(100 * seed + i, n=18 + i, zero=ZERO + i % 3, signal=signal) for i in range(4)]
        weights, expected = rules()[name](history), PLAIN[name](history)
        assert weights.tolist() == [float(k == expected) for k in range(K)]
        chosen.add(expected)
    assert len(chosen) > 1


def test_mse_1se_is_never_wilder_than_mse() -> None:
    for seed in range(40):
        history = [window(seed)]
        simple, best = rules()["mse_1se"](history), rules()["mse"](history)
        assert simple.any() == best.any()
        assert simple.argmax() <= best.argmax()


@pytest.mark.parametrize("name", ["mse", "ic", "ic_total", "past_oos", "mse_1se"])
def test_of_equals_the_larger_strength(name: str) -> None:
    w = window(1)
    same = np.where(np.arange(K)[:, None] < ZERO, 0.0, 0.5 * w.residual)
    weights = rules()[name]([Validation(same, w.zero, w.residual, w.baseline, w.ordinary)])
    assert np.flatnonzero(weights).tolist() == [ZERO]


@pytest.mark.parametrize("name", sorted(rules()))
def test_nothing_to_choose_from_is_the_zero_model(name: str) -> None:
    assert not rules()[name]([window(1), window(2, zero=K)]).any()


@pytest.mark.parametrize("name", ["mse", "mse_1se", "past_oos"])
def test_predictions_of_the_wrong_sign_are_the_zero_model(name: str) -> None:
    w = window(1)
    wrong = Validation(
        -np.abs(w.predictions) * np.sign(w.residual), w.zero, w.residual, w.baseline, w.ordinary
    )
    assert not rules()[name]([wrong]).any()


def test_a_constant_prediction_has_no_ic() -> None:
    w = window(1)
    constant = np.where(w.zero[:, None], 0.0, np.full((K, len(w.residual)), 0.004))
    assert not rules()["ic"]([Validation(constant, w.zero, w.residual, w.baseline, w.ordinary)]).any()


def test_past_oos_counts_steps_below_alpha_max_of_each_window() -> None:
    """In the past, step 2 was right; there it was row 6, here it is row 4."""
    e = np.full(20, 0.01)
    e[::2] = -0.01
    past = np.zeros((K, 20))
    past[5], past[6], past[7], past[8] = -e, e, 3 * e, 3 * e
    now = np.zeros((K, 20))
    now[3:] = 2.1 * e  # every step is a little worse than nothing in this month
    history = [
        Validation(past, np.arange(K) < 5, e, e, 2 * e),
        Validation(now, np.arange(K) < 3, e, e, 2 * e),
    ]
    assert np.flatnonzero(rules()["past_oos"](history)).tolist() == [4]


def test_fourth() -> None:
    assert np.flatnonzero(rules()["fourth"]([window(1)])).tolist() == [ZERO + 3]
    assert np.flatnonzero(rules()["fourth"]([window(1, zero=7)])).tolist() == [K - 1]


def test_seven_slope_is_a_regression_through_the_origin_on_all_past_months() -> None:
    history = [window(i, n=15 + i, zero=1) for i in range(5)] + [window(9, zero=5)]
    p, e = [], []
    for w in history:
        first = int(w.zero.sum())
        p += list(np.mean([w.predictions[k] for k in range(first, min(first + 7, K))], axis=0))
        e += list(w.residual)
    slope = np.linalg.lstsq(np.array(p)[:, None], np.array(e))[0][0]
    expected = [0.0] * 5 + [slope / 4] * 4
    np.testing.assert_allclose(rules()["seven_slope"](history), expected, rtol=1e-12)


def test_shrunk_slope_is_seven_slope_with_an_opinion() -> None:
    """The same slope with half a window's weight six times over, and without days of wild size."""
    history = [window(i, n=15 + i, zero=1) for i in range(5)]
    for w in history:
        w.predictions[1:, 0], w.residual[3] = 9.0, -7.0
    e = np.concatenate([w.residual for w in history])
    bound = 3 * math.sqrt(mean([x * x for x in e]))
    pe = pp = 0.0
    for w in history:
        for day in range(len(w.residual)):
            p = min(max(mean([float(w.predictions[k, day]) for k in range(1, 8)]), -bound), bound)
            pe += p * min(max(float(w.residual[day]), -bound), bound)
            pp += p * p
    slope = (pe + 6 * pp / 5 * 0.5) / (pp + 6 * pp / 5)
    weights = rules()["shrunk_slope"](history)
    np.testing.assert_allclose(weights, [0.0] + [slope / 7] * 7 + [0.0], rtol=1e-12)


def test_the_settings_know_rules_only() -> None:
    literal = Model.model_fields["selection"].annotation
    assert set(literal.__args__) == set(rules())


def test_a_rule_is_one_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kairos.adr.selection._RULES", dict(rules()))

    @rule
    def weakest(history: Sequence[Validation]) -> np.ndarray:
        return history[-1].weights(history[-1].steps[:1])

    assert np.flatnonzero(rules()["weakest"]([window(1)])).tolist() == [ZERO]
