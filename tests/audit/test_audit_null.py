"""Null markets: sound tests pass the audit, broken ones are caught, and the audit itself counts right."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binom

from kairos.audit import null_gate, null_markets, null_signals, null_strategies
from kairos.audit.null_page import page_of
from kairos.audit.null_rates import NullAudit, Sighting, Verdict, World, rates_of
from kairos.cli import main
from kairos.equity.backtest.trials import deflate
from kairos.errors import InputError
from kairos.evaluation.significance import mean_test
from kairos.settings import load

SETTINGS = load(overrides=["adr.evaluation.draws=300", "run.workers=1"])


Seen = list[tuple[str, list[Sighting]]]


def seen(found: int, markets: int, nominal: float = 0.05, test: str = "t") -> Seen:
    return [("signals", [Sighting(World.NOTHING, test, i < found, nominal=nominal)]) for i in range(markets)]


# --- counting ---


@pytest.mark.parametrize(("found", "markets"), [(0, 40), (3, 40), (11, 40), (40, 40)])
def test_intervals_are_those_of_clopper_and_pearson(found: int, markets: int) -> None:
    """Quantiles of the beta distribution; of two tests each interval has 97.5 %, so that both have 95 %."""
    rates = rates_of([*seen(found, markets, test="one"), *seen(0, markets, test="two")])
    tail = 0.05 / 2 / 2
    low = beta.ppf(tail, found, markets - found + 1) if found else 0.0
    high = beta.ppf(1.0 - tail, found + 1, markets - found) if found < markets else 1.0
    assert (rates[0].low, rates[0].high) == pytest.approx((low, high), abs=1e-9)
    assert rates[0].rate == found / markets


@pytest.mark.parametrize(
    ("found", "nominal", "verdict"),
    [
        (5, 0.05, Verdict.AS_PROMISED),
        (30, 0.05, Verdict.TOO_MANY),
        (0, 0.10, Verdict.CONSERVATIVE),
        (5, np.nan, Verdict.POWER),
    ],
)
def test_a_verdict_compares_the_interval_with_the_promise(
    found: int, nominal: float, verdict: Verdict
) -> None:
    (rate,) = rates_of(seen(found, 100, nominal))
    assert rate.verdict is verdict
    assert bool(NullAudit([rate], 100, 0, 0.05, 1.0).too_many) == (verdict is Verdict.TOO_MANY)


def test_sound_tests_are_seldom_accused_together() -> None:
    """Of audits of twenty sound tests at 5 %, at most 5 % accuse any: by the binomial distribution."""
    rates = rates_of(pair for k in range(20) for pair in seen(k, 60, test=str(k)))
    fewest = next(rate.found for rate in rates if rate.verdict is Verdict.TOO_MANY)
    one = binom.sf(fewest - 1, 60, 0.05)
    assert 0.0 < 1.0 - (1.0 - one) ** 20 <= 0.05


# --- what is planted is there ---


@pytest.mark.parametrize("improvement", [0.0, 0.10])
def test_an_exact_forecast_improves_the_coefficient_by_exactly_so_much(improvement: float) -> None:
    """Correlations of a million draws of baseline, explained part, rest and noise."""
    pair = SimpleNamespace(beta=1.1, residual=0.012, strength=null_gate.KNOWN)
    random = np.random.default_rng(1)
    baseline = pair.beta * null_gate.INDEX * random.standard_normal(10**6)
    explained, rest = (
        np.sqrt(share) * pair.residual * random.standard_normal(10**6)
        for share in (pair.strength, 1.0 - pair.strength)
    )
    outcome = baseline + explained + rest
    noise = np.sqrt(null_gate._noise(pair, improvement)) * random.standard_normal(10**6)
    with_it, alone = (
        np.corrcoef(outcome, forecast)[0, 1] for forecast in (baseline + explained + noise, baseline)
    )
    assert with_it - alone == pytest.approx(improvement, abs=0.002)


def test_a_planted_sharpe_ratio_is_added_to_the_trials_own() -> None:
    series = np.random.default_rng(2).standard_t(4, size=500) * 0.01
    own, skilled = (np.mean(x) / np.std(x, ddof=1) for x in (series, null_strategies._skilled(series, 1.5)))
    assert (skilled - own) * np.sqrt(252) == pytest.approx(1.5)


# --- sound tests and broken ones ---


SLOW = ("reversal", *(one.name for one in null_signals.SLOW))
OVERLAPPING = (5, 21)


def overlapping_and_slow(test: str) -> bool:
    """A slow signal meets overlapping returns: its coefficients have a memory."""
    return any(f"{name}, p of the IC over {h}" in test for name in SLOW for h in OVERLAPPING)


def test_sound_signals_pass() -> None:
    audit = null_markets(["signals"], settings=SETTINGS, markets=12, effect=0.0)
    assert len(audit.rates) == 12
    assert audit.too_many == []


def test_an_error_that_forgets_the_overlap_is_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The p-value of independent coefficients, on returns over 5 and 21 sessions: exit code 1."""
    naive = lambda series, horizon, level: mean_test(series, 0, level)  # noqa: E731
    monkeypatch.setattr("kairos.evaluation.information.overlap_test", naive)
    with pytest.raises(SystemExit) as left:
        main(["audit", "null", "signals", "--markets", "12", "--effect", "0", "--workers", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    accused = {rate["test"] for rate in found["rates"] if rate["verdict"] == "too many"}
    assert left.value.code == 1
    assert found["too_many"] == len(accused)
    assert {f"{name}, p of the IC over 21 sessions" for name in SLOW} <= accused
    assert all(overlapping_and_slow(test) for test in accused)


def gate_audit(monkeypatch: pytest.MonkeyPatch) -> NullAudit:
    """Twelve ADRs a desk, and exact forecasts for fitted ones: the models are not what is tested."""
    monkeypatch.setattr(null_gate, "ADRS", 12)
    monkeypatch.setattr(null_gate._Study, "fitted", lambda study: study.exact(0.0))
    monkeypatch.setattr(null_gate._Study, "of", _known(null_gate._Study.of))
    return null_markets(["gate"], settings=SETTINGS, markets=10, effect=0.0)


def _known(of: Any) -> Any:
    """Draw only desks on which there is something to know, as exact forecasts need."""
    return lambda seed, terms, strength: of(seed, terms, null_gate.KNOWN)


@pytest.mark.slow
def test_a_sound_gate_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not gate_audit(monkeypatch).too_many


@pytest.mark.slow
def test_a_gate_without_an_adjustment_for_the_number_of_adrs_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = lambda t, noise: np.array([NormalDist().cdf(-one) for one in t])  # noqa: E731
    monkeypatch.setattr("kairos.evaluation.prediction.stepwise", alone)
    accused = [rate.test for rate in gate_audit(monkeypatch).too_many]
    assert "exact forecasts, StepM: any of 12 ADRs" in accused


def strategies_audit(monkeypatch: pytest.MonkeyPatch, effect: float = 0.0) -> NullAudit:
    """Twelve trials of independent returns each: the engine is not what is tested."""

    def trials(seed: int, strategies: Any) -> list[Any]:
        return list(0.01 * np.random.default_rng(seed).standard_t(5, size=(12, 500)))

    monkeypatch.setattr(null_strategies, "_trials", trials)
    return null_markets(["strategies"], settings=SETTINGS, markets=60, effect=effect)


def test_deflated_ratios_pass_and_find_skill(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = strategies_audit(monkeypatch, effect=5.0)
    assert not audit.too_many
    power = [rate.rate for rate in audit.rates if rate.verdict is Verdict.POWER]
    assert len(power) == 2
    assert min(power) > 0.9  # a true Sharpe ratio of 5 over two years


def test_a_ratio_that_is_not_deflated_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = lambda trials, returns, **rest: deflate(trials[-1:], returns, **rest)  # noqa: E731
    monkeypatch.setattr(null_strategies, "deflate", alone)
    assert [rate.test for rate in strategies_audit(monkeypatch).too_many] == [
        "best of 12 trials, deflated Sharpe"
    ]


# --- the whole ---


@pytest.fixture(scope="module")
def one_market() -> NullAudit:
    """Every part on one market, through the desk's models and the engine."""
    return null_markets(settings=SETTINGS, markets=1, seed=3)


def test_every_part_tells_of_both_worlds(one_market: NullAudit) -> None:
    worlds = {(rate.part, rate.world) for rate in one_market.rates}
    assert worlds == {(part, world) for part in ("signals", "gate", "strategies") for world in World}
    for rate in one_market.rates:
        assert rate.markets == 1
        assert (rate.truth == 0.0) == (rate.world is World.NOTHING)
        if rate.world is World.NOTHING:
            assert rate.verdict is not Verdict.POWER


def test_the_page_and_the_data_hold_every_rate(one_market: NullAudit) -> None:
    page = page_of(one_market).render()
    for rate in one_market.rates:
        assert rate.test in page
    data = one_market.as_dict()
    assert [rate["test"] for rate in data["rates"]] == [rate.test for rate in one_market.rates]
    columns, rows = one_market.table()
    assert all(len(row) == len(columns) for row in rows)


def test_the_command_prints_and_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "null.html"
    with pytest.raises(SystemExit) as left:
        main(["audit", "null", "signals", "--markets", "1", "--workers", "1", "--report", str(file)])
    printed = capsys.readouterr()
    assert not left.value.code
    assert "noise, p of the IC over 21 sessions" in printed.out
    assert "Few markets tell little" in printed.err
    assert "Null markets" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": ["signal"]}, "no part 'signal': choose among signals, gate, strategies"),
        ({"parts": []}, "name a part"),
        ({"markets": 0}, "--markets 0"),
        ({"level": 0.7}, "--level 0.7"),
        ({"effect": -1.0}, "--effect -1"),
        ({"effect": 2.0}, r"an improvement of \+0.20 is more than a perfect forecast"),
        ({"strategies": ["baselin"]}, "There is no strategy 'baselin'"),
        ({"strategies": ["regime_switching"]}, "--strategy regime_switching: it needs regimes"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        null_markets(settings=SETTINGS, **arguments)


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing() -> None:
    one, two = (
        null_markets(settings=load(overrides=[f"run.workers={workers}"]), markets=2).rates
        for workers in (1, 2)
    )
    assert [str(rate) for rate in one] == [str(rate) for rate in two]


# --- at full size ---


@pytest.mark.soak
@pytest.mark.parametrize("part", ["signals", "gate", "strategies"])
def test_rates_hold_on_many_markets(part: str) -> None:
    """400 markets: no rate's interval lies above its promise."""
    audit = null_markets([part], settings=SETTINGS, markets=400)
    print(f"\n{part}: {audit.seconds:.0f} s")
    for rate in audit.rates:
        print(f"{rate.test}: {rate.rate:.3f} [{rate.low:.3f}, {rate.high:.3f}], nominal {rate.nominal:.3f}")
    assert [rate.test for rate in audit.too_many] == []
