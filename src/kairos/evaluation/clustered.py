"""Correlations and slopes of observations that come in clusters, such as several ADRs and hours of one day.

What happens on one day is one draw: observations of a cluster may depend on each other in any way, clusters
are independent. Standard errors add up the influence of the observations within each cluster first.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array

FEWEST = 3
"""Clusters that an error needs."""


@dataclass(frozen=True)
class Clustered:
    """An estimate with its error, clustered.

    Attributes
    ----------
    value, se, t : float
        The estimate, its standard error, and value/se.
    low, high : float
        Interval of the asked coverage, from the normal distribution.
    r2 : float
        Of a regression; the squared coefficient of a correlation.
    n, clusters : int
        Observations that exist on both sides, and clusters that they come from.
    """

    value: float
    se: float
    t: float
    low: float
    high: float
    r2: float
    n: int
    clusters: int


def clustered_correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, clusters: npt.NDArray[Any], level: float = 0.95
) -> Clustered:
    """Pearson's correlation over all observations, with an error that is clustered.

    With standardised sides, an observation changes the coefficient by ψ = zx·zy − r·(zx² + zy²)/2, and

        se² = G/(G−1) · Σ_g (Σ_{i in g} ψ_i)² / n²

    Parameters
    ----------
    x, y : (n,)
        NaN = missing; such pairs are left out.
    clusters : (n,)
        Cluster of each observation.
    level : float
        Coverage of the interval.

    Returns
    -------
    Clustered; the value is NaN when a side is constant or there are fewer than three pairs, the error when
    there are fewer than three clusters.

    Examples
    --------
    >>> found = clustered_correlation([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0], np.array([1, 2, 3, 4]))
    >>> round(found.value, 3), found.n, found.clusters
    (0.8, 4, 4)
    """
    a, b, group = _pairs(x, y, clusters)
    n = len(a)
    if n < FEWEST or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return _missing(n, group)
    za, zb = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    r = float(np.clip(np.mean(za * zb), -1.0, 1.0))
    influence = za * zb - r * (za * za + zb * zb) / 2.0
    return _with_error(r, influence / n, group, r * r, n, level)


def clustered_slope(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    clusters: npt.NDArray[Any],
    level: float = 0.95,
    *,
    constant: bool = True,
) -> Clustered:
    """Least squares slope of y on x, with an error that is clustered.

    With x̃ the deviations of x (x itself without a constant), k coefficients and residuals u,

        se² = G/(G−1) · (n−1)/(n−k) · Σ_g (Σ_{i in g} x̃_i·u_i)² / (Σ x̃²)²

    R² is 1 − Σu²/Σ(y − ȳ)², without a constant 1 − Σu²/Σy². Parameters and missing values are those of
    :func:`clustered_correlation`.

    References
    ----------
    Liang, K. and Zeger, S. (1986), Longitudinal data analysis using generalized linear models, Biometrika
    73(1).

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0])
    >>> found = clustered_slope(x, 2.0 * x + 1.0, np.array([1, 2, 3, 4]))
    >>> round(found.value, 6), round(found.r2, 6)
    (2.0, 1.0)
    """
    a, b, group = _pairs(x, y, clusters)
    n, k = len(a), 2 if constant else 1
    if n < FEWEST or np.ptp(a) == 0.0:
        return _missing(n, group)
    dx, dy = (a - a.mean(), b - b.mean()) if constant else (a, b)
    square = float(dx @ dx)
    slope = float(dx @ dy) / square
    u = dy - slope * dx
    total = float(dy @ dy)
    r2 = 1.0 - float(u @ u) / total if total > 0.0 else np.nan
    correction = np.sqrt((n - 1) / (n - k))
    return _with_error(slope, correction * dx * u / square, group, r2, n, level)


def _pairs(
    x: npt.ArrayLike, y: npt.ArrayLike, clusters: npt.NDArray[Any]
) -> tuple[Array, Array, npt.NDArray[np.intp]]:
    """Pairs that exist, and their clusters numbered from 0."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or not a.shape == b.shape == clusters.shape:
        raise InputError(
            f"shapes {a.shape}, {b.shape} and {clusters.shape}: one x, y and cluster for each row"
        )
    both = np.isfinite(a) & np.isfinite(b)
    return a[both], b[both], np.unique(clusters[both], return_inverse=True)[1]


def _missing(n: int, group: npt.NDArray[np.intp]) -> Clustered:
    nothing = np.nan
    return Clustered(nothing, nothing, nothing, nothing, nothing, nothing, n, _count(group))


def _count(group: npt.NDArray[np.intp]) -> int:
    return int(group.max()) + 1 if len(group) else 0


def _with_error(
    value: float, influence: Array, group: npt.NDArray[np.intp], r2: float, n: int, level: float
) -> Clustered:
    count = _count(group)
    if count < FEWEST:
        return Clustered(value, np.nan, np.nan, np.nan, np.nan, r2, n, count)
    sums = np.bincount(group, weights=influence)
    se = float(np.sqrt(count / (count - 1) * (sums @ sums)))
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * se
    t = value / se if se > 0.0 else np.nan
    return Clustered(value, se, t, value - reach, value + reach, r2, n, count)
