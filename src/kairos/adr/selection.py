"""Rules that choose how strongly a model is held back, from what is known before its month begins.

A rule sees the validation months of a window and of the earlier windows of the ADR; the last is the window's
own. The fits that are scored there were made on the months before each, so everything is out of sample and
past. Its choice is a weight for each strength of the grid: a single 1 for one strength, none for the zero
model. What is deployed is the same combination of fits on all twelve months.

A rule is one function with the decorator :func:`rule`; its name is its word in `adr.model.selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kairos.evaluation.prediction import scores

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array, Mask


@dataclass(frozen=True)
class Validation:
    """What the fits of one window predict for its validation month; the simplest fit comes first.

    Attributes
    ----------
    predictions : (K, n)
        Of the residual, by strength and day.
    zero : (K,) bool
        Fits that predict nothing: the strengths from alpha_max on.
    residual, baseline, ordinary : (n,)
        Return of the ordinary = baseline (β times the index return) + residual.
    """

    predictions: Array
    zero: Mask
    residual: Array
    baseline: Array
    ordinary: Array

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Rows of the fits that predict something: steps 1, 2, … below alpha_max."""
        return np.flatnonzero(~self.zero)

    @property
    def losses(self) -> Array:
        """Squared errors, (K, n)."""
        return np.asarray((self.residual - self.predictions) ** 2)

    @property
    def zero_loss(self) -> float:
        """Mean squared error of the zero model."""
        return float(np.mean(self.residual**2))

    def step(self, k: int) -> Array:
        """Predictions of step k, (n,): zero at 0; the last step stands in where the grid ends before k."""
        steps = self.steps[:k]
        return self.predictions[steps[-1]] if len(steps) else np.zeros_like(self.residual)

    def weights(self, steps: Sequence[int] | npt.NDArray[np.int64], total: float = 1.0) -> Array:
        """Choice of equal weights on rows of the grid that sum to `total`; no row is the zero model."""
        weights = np.zeros(len(self.zero))
        weights[steps] = total / max(len(steps), 1)
        return weights


History = Sequence[Validation]
Rule = Callable[[History], "Array"]
Function = TypeVar("Function", bound=Rule)

OPINION = 6
"""Windows that the prior opinion on a slope is worth."""

REMEMBERING = ("past_oos", "seven_slope", "shrunk_slope")
"""Rules that look at all windows before, too."""

_RULES: dict[str, Rule] = {}


def rule(function: Function) -> Function:
    """Declare a rule under the name of its function."""
    _RULES[function.__name__] = function
    return function


def rules() -> Mapping[str, Rule]:
    """Every rule by name."""
    return _RULES


@rule
def mse(history: History) -> Array:
    """Smallest mean squared error, and of equals the larger strength; the zero model when none beats it."""
    now = history[-1]
    loss = np.where(now.zero, now.zero_loss, now.losses.mean(axis=1))
    best = int(loss.argmin())
    return now.weights([best] if loss[best] < now.zero_loss else [])


@rule
def mse_1se(history: History) -> Array:
    """Largest strength below alpha_max that one standard error can't tell from the smallest squared error.

    With the daily losses L of the validation month: the first step k with

        mean(L_k − L_best) ≤ sd(L_k − L_best)/√n        sd with n − 1

    and the zero model when the best doesn't beat it.
    """
    now = history[-1]
    best = np.flatnonzero(mse(history))
    if not len(best):
        return now.weights([])
    paired = now.losses[now.steps] - now.losses[best[0]]
    close = paired.mean(axis=1) <= paired.std(axis=1, ddof=1) / np.sqrt(paired.shape[1])
    return now.weights(now.steps[close][:1])


@rule
def ic(history: History) -> Array:
    """Largest correlation of prediction and residual, and of equals the larger strength.

    The correlation of a constant prediction is missing; when all are, the zero model.
    """
    now = history[-1]
    found = _ics(now.predictions, now.residual)
    return now.weights([] if np.isnan(found).all() else [int(np.nanargmax(found))])


@rule
def ic_total(history: History) -> Array:
    """Largest correlation of baseline + prediction with the return of the ordinary.

    The zero model, whose correlation is the baseline's, is one of the candidates and wins a tie.
    """
    now = history[-1]
    totals = np.vstack([now.baseline, now.baseline + now.predictions])
    found = _ics(totals, now.ordinary)
    best = 0 if np.isnan(found).all() else int(np.nanargmax(found))
    return now.weights([best - 1] if best and not now.zero[best - 1] else [])


def _ics(predictions: Array, outcome: Array) -> Array:
    """Correlation of each row of predictions with the outcome; NaN where one is constant."""
    outcomes = np.broadcast_to(outcome, predictions.shape)
    return np.asarray(scores(outcomes.T, predictions.T, np.zeros(len(outcome))).ic[0])


@rule
def past_oos(history: History) -> Array:
    """Step below alpha_max with the smallest squared error over all past out-of-sample predictions.

    These are the validation predictions of this and the earlier windows of the ADR. Step 0 is the zero model;
    of equals the smaller step is taken.
    """
    now = history[-1]
    steps = range(len(now.steps) + 1)
    loss = [sum(float(((past.residual - past.step(k)) ** 2).sum()) for past in history) for k in steps]
    k = int(np.argmin(loss))
    return now.weights(now.steps[k - 1 : k] if k else [])


@rule
def fourth(history: History) -> Array:
    """Step 4 below alpha_max, whatever the validation month says; the last step where there are fewer."""
    return history[-1].weights(history[-1].steps[:4][-1:])


@rule
def seven_slope(history: History) -> Array:
    """Mean of the first seven steps, times the slope of their past out-of-sample predictions.

    With p that mean in the validation months of this and the earlier windows, and e the residuals:

        slope = Σ p·e / Σ p²        through the origin; 0 without predictions
    """
    now = history[-1]
    p = np.concatenate([past.weights(past.steps[:7]) @ past.predictions for past in history])
    e = np.concatenate([past.residual for past in history])
    return now.weights(now.steps[:7], total=float(p @ e / (p @ p)) if p.any() else 0.0)


@rule
def shrunk_slope(history: History) -> Array:
    """Mean of the first seven steps, times the slope of their past predictions, pulled towards one half.

    As `seven_slope`, but predictions p and residuals e are clipped at three root mean squares of e, and the
    past is weighed against the opinion that the slope is 1/2, which counts as much as `OPINION` windows:

        slope = (Σ p·e + ω/2) / (Σ p² + ω)          ω = OPINION · Σ p² / windows

    With a short history the opinion decides, with a long one the data; seven numbers from the sparse end of
    the path are too large on average, so that 1 would be a bad opinion.
    """
    now = history[-1]
    p = np.concatenate([past.weights(past.steps[:7]) @ past.predictions for past in history])
    e = np.concatenate([past.residual for past in history])
    bound = 3.0 * np.sqrt(np.mean(e**2))
    p, e = np.clip(p, -bound, bound), np.clip(e, -bound, bound)
    pe, pp = float(p @ e), float(p @ p)
    opinion = OPINION * pp / len(history)
    return now.weights(now.steps[:7], total=(pe + opinion / 2.0) / (pp + opinion) if pp else 0.0)
