"""Null markets, the gate of the ADR desk: ADRs that it lets through though they gain nothing.

The desks are drawn in memory; residuals are those of the true betas. Three kinds of forecasts are judged by
the desk's own comparison, StepM and gate:

* models fitted by the configured walk on desks where the US stocks know nothing. Fitted to nothing they
  disturb the baseline and lose, so they pass less often than the tests allow;
* exact forecasts q = g + ν, with g what the US stocks explain of the residual and ν a noise that makes the
  improvement as large as wanted. With variances B of the baseline, G of g, N of ν and A of the outcome

      IC(b + q) = (B + G) / √(A·(B + G + N)),    IC(b) = √(B/A)

  so N = G·(B + G)/B improves exactly nothing: where the tests are sharpest;
* models fitted on desks where the US stocks explain a share of the residual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.adr.models import make
from kairos.adr.walkforward import Plan, Sample, walk
from kairos.adr.windows import windows
from kairos.audit.null_rates import Sighting, Terms, World
from kairos.errors import InputError
from kairos.evaluation.prediction import Comparison, compare
from kairos.simulate.adr import draw_desk
from kairos.simulate.adr_desk.planted import BETA, INDEX, RESIDUAL, us_betas
from kairos.simulate.planted import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kairos.adr.windows import Window
    from kairos.settings.tree import Adr
    from kairos.simulate.adr_desk.daily import SimulatedDesk
    from kairos.simulate.adr_desk.planted import Pair

ADRS, US_STOCKS, TEST_MONTHS = 4, 60, 14
IMPROVEMENT = 0.10
"""Of the exact forecasts, at an effect of 1."""
EXPLAINED = 0.2
"""Share of the residual's variance that the US stocks explain where models are fitted, at an effect of 1."""
KNOWN = 0.8
"""The same where forecasts are exact: no forecast can be better than what is known."""

FITTED, EXACT = "fitted models", "exact forecasts"
Array = np.ndarray[Any, np.dtype[np.float64]]


def check(effect: float) -> None:
    """Refuse an effect that no forecast could have on every desk."""
    index, residual = (BETA[1] * INDEX) ** 2, RESIDUAL[0] ** 2
    best = np.sqrt((index + KNOWN * residual) / (index + residual)) - np.sqrt(index / (index + residual))
    largest = float(best) / IMPROVEMENT
    if effect > largest:
        raise InputError(
            f"--effect {effect:g}: an improvement of {effect * IMPROVEMENT:+.2f} is more than a perfect "
            f"forecast has on every desk; the part gate takes at most {largest:.1f}"
        )


def look(seed: int, terms: Terms) -> list[Sighting]:
    """What StepM and the gate let through on one desk of each kind."""
    nothing = _Study.of(seed, terms, 0.0)
    known = _Study.of(seed, terms, KNOWN)
    found = [
        *_false(nothing.compare(nothing.fitted()), FITTED, terms),
        *_false(judged := known.compare(known.exact(0.0)), EXACT, terms),
        _interval(judged, World.NOTHING, 0.0, terms),
    ]
    if not terms.effect:
        return found
    improvement, explained = terms.effect * IMPROVEMENT, terms.effect * EXPLAINED
    planted, weak = known.compare(known.exact(improvement)), _Study.of(seed, terms, explained)
    return [
        *found,
        *_true(planted, EXACT, improvement, terms),
        _interval(planted, World.PLANTED, improvement, terms),
        *_true(weak.compare(weak.fitted()), f"{FITTED} (truth: share explained)", explained, terms),
    ]


def _false(judged: Comparison, whose: str, terms: Terms) -> Iterator[Sighting]:
    """Any ADR of a desk by StepM; by the gate the first one, for what the desk's report says of it."""
    each, gate = judged.each, terms.settings.adr.gate.min_improvement
    any_of = f"{whose}, StepM: any of {ADRS} ADRs"
    yield Sighting(World.NOTHING, any_of, bool((each.stepwise <= terms.level).any()), nominal=terms.level)
    stated = float(np.nan_to_num(each.chance_of(gate)[0]))
    first = f"{whose}, gate of {gate:g}: one ADR"
    yield Sighting(World.NOTHING, first, bool(each.value[0] >= gate), nominal=stated)


def _true(judged: Comparison, whose: str, truth: float, terms: Terms) -> Iterator[Sighting]:
    each, gate = judged.each, terms.settings.adr.gate.min_improvement
    yield Sighting(World.PLANTED, f"{whose}, StepM: one ADR", bool(each.stepwise[0] <= terms.level), truth)
    yield Sighting(World.PLANTED, f"{whose}, gate of {gate:g}: one ADR", bool(each.value[0] >= gate), truth)


def _interval(judged: Comparison, world: World, truth: float, terms: Terms) -> Sighting:
    level, each = terms.settings.adr.evaluation.level, judged.each
    missed = not each.low[0] <= truth <= each.high[0]
    test = f"{EXACT}, {level:.0%} interval of the improvement misses the truth"
    return Sighting(world, test, missed, truth, 1.0 - level)


@dataclass(frozen=True)
class _Study:
    """A desk with the samples and test windows of its ADRs.

    Attributes
    ----------
    explained : list of (T,)
        Of each ADR, what the US stocks explain of the residual.
    step : list of (T,)
        Variance of each row's returns, in days of the market clock.
    """

    desk: SimulatedDesk
    adr: Adr
    samples: list[Sample]
    explained: list[Array]
    step: list[Array]
    windows: list[list[Window]]

    @classmethod
    def of(cls, seed: int, terms: Terms, strength: float) -> _Study:
        """Draw a desk whose US stocks explain a share of every residual."""
        adr = terms.settings.adr
        months = adr.windows.train_months + adr.windows.validation_months + TEST_MONTHS
        desk = draw_desk(
            ADRS, US_STOCKS, months, seed, strength=(strength, strength), without=float(strength == 0.0)
        )
        rows = [_rows(desk, pair) for pair in desk.pairs]
        samples = [_sample(desk, column, at) for column, at in enumerate(rows)]
        explained = [_explained(desk, column, at) for column, at in enumerate(rows)]
        step = [np.diff(desk.timeline.clock[at]) for at in rows]
        spans = [
            [
                one
                for one in windows(sample.dates[0], sample.dates[-1], pair.venue.exchange, adr.windows)
                if not one.live
            ]
            for sample, pair in zip(samples, desk.pairs, strict=True)
        ]
        return cls(desk, adr, samples, explained, step, spans)

    def fitted(self) -> list[Array]:
        """Of each ADR, what models of the configured walk add to the baseline; NaN before the test months."""
        rules = self.adr.model
        plan = Plan(
            model=make(rules.name, rules.parameters),
            alphas=np.logspace(*rules.alphas.logspace),
            rules=[rules.selection],
            limits=self.adr.windows,
        )
        found = []
        for sample, span in zip(self.samples, self.windows, strict=True):
            added = np.full(len(sample.dates), np.nan)
            for one in walk(sample, span, plan):
                added[np.searchsorted(sample.dates, one.dates)] = one.prediction
            found.append(added)
        return found

    def exact(self, improvement: float) -> list[Array]:
        """Of each ADR, a forecast that raises the IC by exactly so much; NaN before the test months."""
        found = []
        for column, pair in enumerate(self.desk.pairs):
            rng = stream(self.desk.planted.seed, f"null forecast {pair.adr}")
            noise = rng.standard_normal(len(self.step[column]))
            added = self.explained[column] + np.sqrt(_noise(pair, improvement) * self.step[column]) * noise
            span, dates = self.windows[column], self.samples[column].dates
            added[: span[0].test_rows(dates).start] = np.nan
            added[span[-1].test_rows(dates).stop :] = np.nan
            found.append(added)
        return found

    def compare(self, added: list[Array]) -> Comparison:
        """What the step `evaluate` finds of what is added to the baselines."""
        dates = np.unique(np.concatenate([sample.dates for sample in self.samples]))
        outcome, baseline, forecast = (np.full((len(dates), ADRS), np.nan) for _ in range(3))
        for column, (sample, more) in enumerate(zip(self.samples, added, strict=True)):
            rows = np.searchsorted(dates, sample.dates)
            outcome[rows, column], baseline[rows, column] = sample.ordinary, sample.baseline
            forecast[rows, column] = more
        test, rules = np.isfinite(forecast).any(axis=1), self.adr.evaluation
        return compare(
            outcome[test],
            baseline[test],
            forecast[test],
            dates[test].astype("datetime64[M]"),
            min_days=rules.min_days,
            block=rules.block,
            draws=rules.draws,
            level=rules.level,
            seed=rules.seed,
        )


def _noise(pair: Pair, improvement: float) -> float:
    """Variance a day of ν, for which g + ν improves the IC by so much."""
    index, residual = (pair.beta * INDEX) ** 2, pair.residual**2
    known, outcome = index + pair.strength * residual, index + residual
    wanted = np.sqrt(index / outcome) + improvement
    return float(known**2 / (outcome * wanted**2) - known)


def _rows(desk: SimulatedDesk, pair: Pair) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Instants at which both the ordinary and the US stocks have a price of its close."""
    references = desk.timeline.references[pair.venue.exchange]
    both = np.isin(references.days, desk.us_closes(pair.venue.exchange)[0])
    return references.at[both]


def _sample(desk: SimulatedDesk, column: int, at: np.ndarray[Any, np.dtype[np.int64]]) -> Sample:
    """Returns of an ADR's ordinary, its index and the residuals of the US stocks by their true betas."""
    pair, stocks = desk.pairs[column], desk.planted.stocks
    index, ordinary = desk.factors.indices[pair.contract.index][at], desk.fair[at, column]
    index, ordinary = np.expm1(np.diff(index)), np.expm1(np.diff(ordinary))
    prices, betas = desk.us_prices[at], us_betas(stocks, pair.contract)
    residuals = prices[1:] / prices[:-1] - 1.0 - betas * index[:, None]
    plain = np.isfinite(betas)  # a twin is the ADR's own line
    return Sample(
        dates=desk.timeline.days[at][1:],
        names=np.array(stocks.tickers)[plain],
        X=np.nan_to_num(residuals[:, plain]),
        residual=ordinary - pair.beta * index,
        baseline=pair.beta * index,
        ordinary=ordinary,
    )


def _explained(desk: SimulatedDesk, column: int, at: np.ndarray[Any, np.dtype[np.int64]]) -> Array:
    pair = desk.pairs[column]
    level = desk.fair[:, column] - desk.own[:, column] - pair.beta * desk.factors.indices[pair.contract.index]
    return np.diff(level[at])
