"""The walk of one ADR through its months: standardise, fit the path, choose, refit, predict.

In each window (:mod:`kairos.adr.windows`), with training rows T and validation rows V before the month m:

    z = (x − mean_T)/sd_T       every strength is fitted on z and the residual e of T
    p = f(z) − f(z at x = 0)    predicts V; for coefficients w this is Σ w/sd_T·x
    a rule chooses the strength from p and e on V, and from the same of earlier windows
    mean, sd and f are fitted anew on T and V together, and predict m in the same way
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.adr.selection import Validation, rules
from kairos.evaluation.prediction import scores

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.adr.models import Model
    from kairos.adr.windows import Window
    from kairos.panel import Array
    from kairos.settings.tree import WalkForward

Dates = np.ndarray[Any, np.dtype[np.datetime64]]

CONSTANT = 1e-12
"""A feature whose standard deviation is no more than this share of its largest value doesn't vary."""


@dataclass(frozen=True)
class Sample:
    """All rows of one ADR, in order of time.

    Attributes
    ----------
    dates : (T,) datetime64[D]
        End of each return.
    names : (p,) str
        US tickers, in alphabetical order, so that the order in a file decides nothing.
    X : (T, p)
        Residual returns of the US stocks; 0 where missing.
    residual, baseline, ordinary : (T,)
        Return of the ordinary = baseline + residual.
    """

    dates: Dates
    names: npt.NDArray[np.str_]
    X: Array
    residual: Array
    baseline: Array
    ordinary: Array


@dataclass(frozen=True)
class Scaling:
    """Features that exist on the rows of a fit, with their mean and standard deviation (ddof 0) there.

    A column is left out that does not vary, or has a return on less than a share of the rows: the deviation
    of a stock that was listed days ago is that of a row of zeros, and what it does next would count a hundred
    times. What is available is decided by the past alone.
    """

    columns: npt.NDArray[np.int64]
    mean: Array
    scale: Array

    @classmethod
    def learn(cls, X: Array, min_present: float) -> Scaling:
        """Take them from the rows (n, p) of a fit; `min_present` is the share of rows with a return."""
        if not len(X):
            return cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
        scale = X.std(axis=0)
        varies = scale > CONSTANT * np.abs(X).max(axis=0, initial=0.0)
        columns = np.flatnonzero(varies & ((X != 0.0).mean(axis=0) >= min_present))
        return cls(columns, X[:, columns].mean(axis=0), scale[columns])

    def standardise(self, X: Array) -> Array:
        """Give (x − mean)/sd of the columns that vary."""
        return np.asarray((X[:, self.columns] - self.mean) / self.scale)

    def predict(self, models: Sequence[Model], X: Array) -> Array:
        """Predict from raw returns (n, p) without constant: what x adds to the prediction of x = 0.

        Gives (models, n); a linear model is Σ coef/scale·x.
        """
        scaled = X[:, self.columns] / self.scale
        predictions = np.zeros((len(models), len(X)))
        for row, model in zip(predictions, models, strict=True):
            if model.coef is not None:
                row[:] = scaled @ model.coef
            elif len(X):  # regressors refuse to predict the no rows of the live month
                origin = -self.mean / self.scale
                row[:] = model.predict(scaled + origin) - model.predict(origin[None, :])
        return predictions


@dataclass(frozen=True)
class Deployed:
    """What is deployed in a month: fits on the twelve months before it, and their weights."""

    scaling: Scaling
    fits: Sequence[Model]
    weights: Array

    def predict(self, X: Array) -> Array:
        """Predict from raw returns (n, p); (n,)."""
        return np.asarray(self.weights @ self.scaling.predict(self.fits, X))

    @property
    def coef(self) -> Array | None:
        """Combined coefficients of the standardised features; None when a fit is not linear."""
        combined = np.zeros(len(self.scaling.columns))
        for weight, fit in zip(self.weights, self.fits, strict=True):
            if fit.coef is None:
                return None
            combined += weight * fit.coef
        return combined


@dataclass(frozen=True)
class Plan:
    """How an ADR is trained.

    Attributes
    ----------
    model : Model
        Not fitted.
    alphas : (K,)
        Strengths of the settings.
    rules : sequence of str
        Rules that choose; the path of a window is fitted once for all of them.
    limits : WalkForward
        `adr.windows` of the settings.
    """

    model: Model
    alphas: Array
    rules: Sequence[str]
    limits: WalkForward


@dataclass(frozen=True)
class Trained:
    """Outcome of one window under one rule.

    Attributes
    ----------
    window : Window
        Its months.
    rule : str
        Rule that chose.
    status : str
        "ok"; "zero model" when nothing was chosen, or nothing of the choice is left in the refit;
        "skipped: " and why, with nothing but the numbers of rows.
    n_train, n_validation : int
        Rows.
    deployed : Deployed or None
        What predicts the month.
    alphas : (k,)
        Strengths that it combines.
    position : float
        Steps below alpha_max of a single strength, 0 for the zero model; NaN for a combination.
    alpha_max : float
        Strength from which on the model is zero on the training rows; NaN where there is none.
    not_converged : int
        Fits of the window that did not converge.
    validation, test : dict
        Scores of the predicted residuals: ic, r2, mse, hit_rate, and mse_zero, the error of predicting 0.
    dates, prediction : (n_test,)
        Days of the month, and predicted residuals.
    """

    window: Window
    rule: str
    status: str
    n_train: int
    n_validation: int
    deployed: Deployed | None
    alphas: Array
    position: float
    alpha_max: float
    not_converged: int
    validation: Mapping[str, float]
    test: Mapping[str, float]
    dates: Dates
    prediction: Array

    @property
    def alpha(self) -> float | None:
        """The strength; None for the zero model, for a combination, and for a model without strength."""
        single = len(self.alphas) == 1 and not np.isnan(self.alphas[0])
        return float(self.alphas[0]) if single else None


def walk(sample: Sample, windows: Sequence[Window], plan: Plan) -> list[Trained]:
    """Train an ADR's windows in their order.

    Parameters
    ----------
    sample
        Its rows.
    windows
        By month.
    plan
        Model, strengths and rules.

    Returns
    -------
    list of Trained, by window and rule.

    Notes
    -----
    The model of month m depends on rows dated before m, its predictions also on the features of m.
    """
    history: list[Validation] = []
    found = []
    for window in windows:
        train, validation = window.train_rows(sample.dates), window.validation_rows(sample.dates)
        scaling = Scaling.learn(sample.X[train], plan.limits.min_present)
        reason = _too_little(_length(train), _length(validation), scaling, plan.limits)
        if reason:
            found += [_skipped(sample, window, name, reason) for name in plan.rules]
            continue
        fit = _fit_path(sample, window, scaling, plan)
        history.append(fit.seen)
        refits = _Refits(sample, window, plan)
        found += [_choose(sample, window, name, history, fit, refits) for name in plan.rules]
    return found


def _length(rows: slice) -> int:
    return int(rows.stop - rows.start)


def _too_little(n_train: int, n_validation: int, scaling: Scaling, limits: WalkForward) -> str:
    """Why a window can't be trained; empty when it can."""
    if n_train < limits.min_train:
        return f"too few training rows ({n_train} of {limits.min_train})"
    if n_validation < limits.min_validation:
        return f"too few validation rows ({n_validation} of {limits.min_validation})"
    return "" if len(scaling.columns) else "no US stock varies on enough training rows"


@dataclass(frozen=True)
class _PathFit:
    """Every strength fitted on the training rows."""

    strengths: Array
    scaling: Scaling
    path: Sequence[Model]
    alpha_max: float
    seen: Validation


def _fit_path(sample: Sample, window: Window, scaling: Scaling, plan: Plan) -> _PathFit:
    train, validation = window.train_rows(sample.dates), window.validation_rows(sample.dates)
    Z, y = scaling.standardise(sample.X[train]), sample.residual[train]
    strengths = plan.model.grid(plan.alphas)
    path = plan.model.path(Z, y, strengths)
    predictions = scaling.predict(path, sample.X[validation])
    said = [p if fit.coef is None else fit.coef for p, fit in zip(predictions, path, strict=True)]
    seen = Validation(
        predictions=predictions,
        zero=np.array([not each.any() for each in said]),
        residual=sample.residual[validation],
        baseline=sample.baseline[validation],
        ordinary=sample.ordinary[validation],
    )
    return _PathFit(strengths, scaling, path, plan.model.alpha_max(Z, y), seen)


class _Refits:
    """Fits on all twelve months, each made once."""

    def __init__(self, sample: Sample, window: Window, plan: Plan) -> None:
        rows = window.refit_rows(sample.dates)
        self.scaling = Scaling.learn(sample.X[rows], plan.limits.min_present)
        self._Z, self._y = self.scaling.standardise(sample.X[rows]), sample.residual[rows]
        self._model = plan.model
        self._made: dict[int, Model] = {}

    def at(self, row: int, strength: float) -> Model:
        """Fit the strength of a row of the grid."""
        if row not in self._made:
            self._made[row] = self._model.at(strength).fit_counted(self._Z, self._y)
        return self._made[row]


def _choose(
    sample: Sample, window: Window, name: str, history: Sequence[Validation], fit: _PathFit, refits: _Refits
) -> Trained:
    """Let a rule choose, refit its choice, and predict the month."""
    weights = rules()[name](history)
    rows = np.flatnonzero(weights)
    fits = [refits.at(int(row), fit.strengths[row]) for row in rows]
    deployed = Deployed(refits.scaling, fits, weights[rows])
    test = window.test_rows(sample.dates)
    prediction = deployed.predict(sample.X[test])
    nothing = deployed.coef is not None and not deployed.coef.any()
    return Trained(
        window=window,
        rule=name,
        status="zero model" if nothing else "ok",
        n_train=_length(window.train_rows(sample.dates)),
        n_validation=len(fit.seen.residual),
        deployed=deployed,
        alphas=fit.strengths[rows],
        position=np.nan if len(rows) > 1 else float((fit.seen.steps <= rows).sum()) if len(rows) else 0.0,
        alpha_max=fit.alpha_max,
        not_converged=sum(not each.converged for each in [*fit.path, *fits]),
        validation=_scores(fit.seen.residual, weights @ fit.seen.predictions),
        test=_scores(sample.residual[test], prediction),
        dates=sample.dates[test],
        prediction=prediction,
    )


def _skipped(sample: Sample, window: Window, name: str, reason: str) -> Trained:
    none = np.empty(0)
    return Trained(
        window=window,
        rule=name,
        status=f"skipped: {reason}",
        n_train=_length(window.train_rows(sample.dates)),
        n_validation=_length(window.validation_rows(sample.dates)),
        deployed=None,
        alphas=none,
        position=np.nan,
        alpha_max=np.nan,
        not_converged=0,
        validation=_scores(none, none),
        test=_scores(none, none),
        dates=sample.dates[:0],
        prediction=none,
    )


def _scores(outcome: Array, prediction: Array) -> dict[str, float]:
    """Scores of predicted residuals; NaN without any."""
    if not len(outcome):
        return dict.fromkeys(("ic", "r2", "mse", "hit_rate", "mse_zero"), np.nan)
    found = scores(outcome[:, None], prediction[:, None], np.zeros(len(outcome)))
    zero = float(np.mean(outcome**2))
    named = {name: float(getattr(found, name)[0, 0]) for name in ("ic", "r2", "mse", "hit_rate")}
    return {**named, "mse_zero": zero}
