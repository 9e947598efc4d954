"""Returns explained by factors: a regression over time, with errors that allow for autocorrelation."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, positive
from kairos.evaluation.significance import two_sided_p
from kairos.panel import Rolling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from kairos.panel import Array


@dataclass(frozen=True)
class FactorRegression:
    """What factors explain of a strategy.

    Attributes
    ----------
    names : tuple of str
        Of the factors.
    alpha, alpha_se, alpha_t, alpha_p : float
        Mean return that no factor explains, a year (arithmetic), its standard error, t and two-sided p.
    beta, beta_se, beta_t, beta_p : (K,)
        Loading on each factor, in the same way.
    r2 : float
        Share of the variance that the factors explain, not adjusted; NaN for a constant series.
    residual_volatility : float
        Deviation of the residuals with T − K − 1 degrees of freedom, annualised.
    sessions, lags : int
        Observations, and the lags of the errors.
    """

    names: tuple[str, ...]
    alpha: float
    alpha_se: float
    alpha_t: float
    alpha_p: float
    beta: Array
    beta_se: Array
    beta_t: Array
    beta_p: Array
    r2: float
    residual_volatility: float
    sessions: int
    lags: int


def factor_regression(
    returns: npt.ArrayLike,
    factors: npt.ArrayLike,
    names: Sequence[str],
    periods_per_year: float,
    lags: int,
) -> FactorRegression:
    """Regress returns on factors over time, with Newey-West errors.

        r_t = α + Σ_k β_k·f_{k,t} + e_t

    by least squares. With x_t = (1, f_t) and u_t = x_t·e_t, the covariance of the coefficients is

        (X'X)⁻¹ · T/(T − K − 1) · (Γ₀ + Σ_{j=1..lags} (1 − j/(lags + 1))·(Γ_j + Γ_j')) · (X'X)⁻¹

    with Γ_j = Σ_t u_t·u_{t−j}'; the factor T/(T − K − 1) corrects for small samples. Probabilities come from
    the normal distribution.

    Parameters
    ----------
    returns : (T,)
        Net returns, in excess of the risk-free rate where the book is funded; fractions.
    factors : (T, K)
        Factor returns over the same sessions, fractions.
    names : sequence of str
        K names.
    periods_per_year : float
        Sessions a year of the series.
    lags : int
        Longest autocorrelation allowed for, `kairos.evaluation.significance.lag_rule` for instance.

    Raises
    ------
    InputError
        A value is missing, shapes differ, there are too few sessions, or the factors are collinear (the
        first factor that the others explain is named).

    References
    ----------
    Newey, W. and West, K. (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation
    consistent covariance matrix, Econometrica 55(3).
    """
    y = complete_series(returns, "returns")
    f = _factors(factors, names, y.size)
    T, K = f.shape
    if lags < 0 or K + 1 + lags >= T:
        raise InputError(f"{T} sessions are too few for {K} factors and {lags} lags")
    X = np.column_stack([np.ones(T), f])
    # columns of unit length: the covariance is then computed as well as the data allow
    scale = np.sqrt((X**2).sum(axis=0))
    Q, R = np.linalg.qr(X / np.where(scale > 0.0, scale, 1.0))
    explained = np.flatnonzero(np.abs(np.diag(R)) < _COLLINEAR)
    if explained.size:
        raise InputError(
            f"factor {names[int(explained[0]) - 1]} is constant or explained by the factors before it: "
            "leave it out"
        )
    coefficients = np.linalg.solve(R, Q.T @ y) / scale
    residual = y - X @ coefficients
    inverse = np.linalg.inv(R) / scale[:, None]
    u = Q * residual[:, None]
    middle = u.T @ u
    for lag in range(1, lags + 1):
        gamma = u[lag:].T @ u[:-lag]
        middle += (1.0 - lag / (lags + 1)) * (gamma + gamma.T)
    covariance = inverse @ middle @ inverse.T * T / (T - K - 1)
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > 0.0, coefficients / se, np.nan)
    p = np.array([two_sided_p(value) for value in t.tolist()])
    total = float(((y - y.mean()) ** 2).sum())
    left = float(residual @ residual)
    year = positive(periods_per_year)
    return FactorRegression(
        names=tuple(names),
        alpha=float(coefficients[0]) * year,
        alpha_se=float(se[0]) * year,
        alpha_t=float(t[0]),
        alpha_p=float(p[0]),
        beta=coefficients[1:],
        beta_se=se[1:],
        beta_t=t[1:],
        beta_p=p[1:],
        r2=1.0 - left / total if y.max() > y.min() else np.nan,
        residual_volatility=sqrt(left / (T - K - 1) * year),
        sessions=T,
        lags=lags,
    )


@dataclass(frozen=True)
class RollingRegression:
    """Regressions over the last sessions before each close.

    Attributes
    ----------
    alpha : (T,)
        Unexplained mean return, a year.
    beta : (T, K)
        Loadings.
    r2 : (T,)
        Share of the variance explained.
    """

    alpha: Array
    beta: Array
    r2: Array


def rolling_regression(
    returns: npt.ArrayLike,
    factors: npt.ArrayLike,
    names: Sequence[str],
    window: int,
    periods_per_year: float,
) -> RollingRegression:
    """Least squares of the last ``window`` returns on the factors, at every session.

    β_t = C_t⁻¹·c_t with C the covariance of the factors over the window and c theirs with the returns;
    α_t = mean(r) − β_t'·mean(f); R² = β_t'·c_t / var(r).

    Parameters
    ----------
    returns, factors, names, periods_per_year
        See `factor_regression`.
    window : int
        Sessions, at least K + 2.

    Returns
    -------
    RollingRegression; NaN before the first full window, and where the factors of a window are collinear.

    Raises
    ------
    InputError
        A value is missing, shapes differ, or the window is too short.
    """
    y = complete_series(returns, "returns")
    f = _factors(factors, names, y.size)
    T, K = f.shape
    if window < K + 2:
        raise InputError(f"window = {window}: {K} factors need at least {K + 2} sessions")
    both = np.column_stack([y, f])
    left, right = np.triu_indices(K + 1)
    rolling = Rolling(window, min_obs=window)
    pairs, mean = rolling.cov(both[:, left], both[:, right]), rolling.mean(both)
    covariance = np.empty((T, K + 1, K + 1))
    covariance[:, left, right] = covariance[:, right, left] = pairs
    # correlations, so that the test of collinearity does not depend on units
    deviation = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / deviation[:, :, None] / deviation[:, None, :]
    known = np.isfinite(correlation[:, 1:, 1:]).all(axis=(1, 2))
    C = np.where(known[:, None, None], correlation[:, 1:, 1:], np.eye(K))
    regular = known & (np.linalg.eigvalsh(C)[:, 0] > _COLLINEAR)
    C = np.where(regular[:, None, None], C, np.eye(K))
    c = np.where(regular[:, None], covariance[:, 1:, 0], np.nan) / deviation[:, 1:]
    standardised = np.linalg.solve(C, c[:, :, None])[:, :, 0]
    beta = standardised / deviation[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = (beta * covariance[:, 1:, 0]).sum(axis=1) / covariance[:, 0, 0]
    return RollingRegression(
        alpha=(mean[:, 0] - (beta * mean[:, 1:]).sum(axis=1)) * positive(periods_per_year),
        beta=beta,
        r2=np.where(covariance[:, 0, 0] > 0.0, r2, np.nan),
    )


_COLLINEAR = 1e-10  # share of a factor that the others leave; less is rounding


def _factors(factors: npt.ArrayLike, names: Sequence[str], length: int) -> Array:
    panel = np.asarray(factors, dtype=np.float64)
    if panel.shape != (length, len(names)) or not names:
        raise InputError(
            f"factors have the shape {panel.shape}, expected ({length}, {len(names)}): a row for each "
            "return, a column for each name"
        )
    return np.column_stack([complete_series(panel[:, k], f"factor {name}") for k, name in enumerate(names)])
