"""Whether one strategy is better than another over the same sessions, several of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import positive, share_of_one
from kairos.evaluation.bootstrap import stationary_bootstrap
from kairos.evaluation.significance import romano_wolf

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array


@dataclass(frozen=True)
class SharpeGap:
    """The Sharpe ratio of one series less that of another, annualised.

    Attributes
    ----------
    first, second : int
        Columns; the difference is that of the first less that of the second.
    difference : float
        As observed.
    low, high : float
        Bootstrap interval of the true difference.
    p : float
        Two-sided, by itself.
    adjusted : float
        Two-sided, adjusted for all pairs that were compared.
    """

    first: int
    second: int
    difference: float
    low: float
    high: float
    p: float
    adjusted: float


def sharpe_gaps(
    returns: npt.ArrayLike,
    periods_per_year: float,
    *,
    block: float,
    seed: int,
    draws: int = 2000,
    level: float = 0.90,
) -> list[SharpeGap]:
    """Compare the Sharpe ratios of all pairs of series over the same sessions.

    Sessions are resampled in blocks, the same ones for all series, so what the series have in common
    cancels. The interval is the percentile interval of the resampled differences. The p-values test the
    mean of the difference of the series' influence on their Sharpe ratios,

        ψ_t = S + z_t − S·(z_t² − 1)/2,    z_t = (r_t − mean)/std,

    whose mean is S, with the errors of the bootstrap: alone, and all pairs together (`romano_wolf`).

    Parameters
    ----------
    returns : (T, N)
        Returns of N ≥ 2 series over common sessions, none missing.
    periods_per_year : float
        Sessions a year.
    block : float
        Mean length of a block; `block_length` of the series chooses one.
    seed : int
        Of the random numbers.
    draws : int
        Resampled histories.
    level : float
        Coverage of the intervals.

    Returns
    -------
    list of SharpeGap, one for each pair; NaN where a series has no volatility or two are the same.

    Raises
    ------
    InputError
        There are fewer than two series or three sessions, or a value is missing.

    References
    ----------
    Ledoit, O. and Wolf, M. (2008), Robust performance hypothesis testing with the Sharpe ratio, Journal of
    Empirical Finance 15(5).
    """
    panel = np.asarray(returns, dtype=np.float64)
    if panel.ndim != 2 or panel.shape[0] < 3 or panel.shape[1] < 2 or not np.isfinite(panel).all():
        raise InputError(
            f"returns have shape {panel.shape}: pass (sessions, series) of at least 3 sessions and 2 series, "
            "without missing values"
        )
    year, tail = sqrt(positive(periods_per_year)), (1.0 - share_of_one(level, "level")) / 2.0
    pairs = list(combinations(range(panel.shape[1]), 2))
    observed = _sharpes(panel.mean(axis=0), panel.std(axis=0, ddof=1))
    resampled = _resampled(panel, stationary_bootstrap(len(panel), block, draws, seed))
    z = (panel - panel.mean(axis=0)) / np.where(panel.std(axis=0) > 0.0, panel.std(axis=0), np.nan)
    influence = observed + z - observed * (z**2 - 1.0) / 2.0
    gaps = np.column_stack([influence[:, i] - influence[:, j] for i, j in pairs])
    alone = [_p(gap, block, seed, draws) for gap in gaps.T]
    together = romano_wolf(_varying(gaps), block=block, seed=seed, draws=draws)
    found = []
    for k, (i, j) in enumerate(pairs):
        low, high = np.quantile(resampled[:, i] - resampled[:, j], [tail, 1.0 - tail]) * year
        gap = float((observed[i] - observed[j]) * year)
        found.append(SharpeGap(i, j, gap, float(low), float(high), alone[k], float(together[k])))
    return found


def _resampled(panel: Array, rows: npt.NDArray[np.int64]) -> Array:
    """(draws, N) Sharpe ratios per session, from how often each session was drawn."""
    draws, n = rows.shape
    times = np.bincount((rows + n * np.arange(draws)[:, None]).ravel(), minlength=draws * n).reshape(draws, n)
    centre = panel.mean(axis=0)
    moved = panel - centre  # squares of small numbers about their own mean keep their digits
    mean = times @ moved / n
    variance = np.maximum(times @ moved**2 / n - mean**2, 0.0) * n / (n - 1)
    return _sharpes(mean + centre, np.sqrt(variance))


def _sharpes(mean: Array, std: Array) -> Array:
    return np.asarray(mean / np.where(std > 0.0, std, np.nan))


def _varying(gaps: Array) -> Array:
    """Differences, NaN where two series are the same but for rounding."""
    return np.where(gaps.std(axis=0) > 1e-12, gaps, np.nan)


def _p(gap: Array, block: float, seed: int, draws: int) -> float:
    return float(romano_wolf(_varying(gap[:, None]), block=block, seed=seed, draws=draws)[0])
