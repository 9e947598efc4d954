"""What another history of the same kind might have shown: resampling a series in blocks.

Blocks keep what neighbouring sessions have in common: autocorrelation, and spells of high volatility.
"""

from __future__ import annotations

from math import ceil, log10, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, deviation, share_of_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from kairos.panel import Array

Statistic = Literal["mean", "sharpe", "max_drawdown"]

SEED = 0
"""Seed of the intervals in reports, and what the ledger records."""

_CELLS = 500_000  # resampled values in memory at a time


def stationary_bootstrap(
    n: int, block: float, draws: int, seed: int | Sequence[int]
) -> npt.NDArray[np.int64]:
    """Row numbers of resampled series: blocks of random length from random places, wrapped at the end.

    Parameters
    ----------
    n : int
        Length of the series.
    block : float
        Mean length of a block, at least 1 (lengths are geometric); longer than the series remembers.
    draws : int
        Number of resampled series.
    seed : int or sequence of int
        The same seed gives the same rows.

    Returns
    -------
    (draws, n) array of row numbers.

    References
    ----------
    Politis, D. and Romano, J. (1994), The stationary bootstrap, Journal of the American Statistical
    Association 89(428).
    """
    if n < 1 or block < 1.0 or draws < 1:
        raise InputError(f"n = {n}, block = {block}, draws = {draws}: each must be at least 1")
    random = np.random.default_rng(seed)
    begins = random.random((draws, n)) < 1.0 / block
    begins[:, 0] = True
    places = random.integers(n, size=(draws, n))
    steps = np.arange(n)
    begin = np.maximum.accumulate(np.where(begins, steps, 0), axis=1)
    return np.asarray((np.take_along_axis(places, begin, axis=1) + steps - begin) % n)


def block_length(returns: npt.ArrayLike) -> float:
    """Mean block length for the stationary bootstrap of returns, chosen from the returns.

    The longer one of what the returns and their squares ask for, so that neither autocorrelation nor spells
    of high volatility are cut to pieces. For each series, with R(k) its autocovariances, λ(s) = 1 up to
    |s| = ½ and 2(1 − |s|) from there to 1, and M twice the lag after which no autocorrelation stands out
    (those of the next max(5, √log₁₀T) lags are all below 2·√(log₁₀T / T)):

        G = Σ_{|k| ≤ M} λ(k/M)·|k|·R(k)      g = Σ_{|k| ≤ M} λ(k/M)·R(k)      b = (G²·T / g²)^(1/3)

    at least 1 and at most min(3·√T, T/3).

    Parameters
    ----------
    returns : (T,)
        Simple returns, none missing.

    Returns
    -------
    float; 1 for independent or constant returns.

    References
    ----------
    Politis, D. and White, H. (2004), Automatic block-length selection for the dependent bootstrap,
    Econometric Reviews 23(1).
    Patton, A., Politis, D. and White, H. (2009), Correction, Econometric Reviews 28(4).
    """
    series = complete_series(returns, "returns")
    return max(_automatic(series), _automatic(series**2))


def _automatic(series: Array) -> float:
    T = series.size
    longest = min(3.0 * sqrt(T), T / 3.0)
    if longest <= 1.0 or deviation(series) == 0.0:
        return 1.0
    run = max(5, ceil(sqrt(log10(T))))
    lags = min(ceil(sqrt(T)) + run, T - 1)
    x = series - series.mean()
    size = 1 << (2 * T - 1).bit_length()
    R = np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2, size)[: lags + 1] / T
    stands_out = np.flatnonzero(np.abs(R[1:] / R[0]) >= 2.0 * sqrt(log10(T) / T)) + 1
    # the last of the lags that stand out before `run` in a row do not; 0 when none does
    before = np.concatenate([[0], stands_out])
    quiet = np.flatnonzero(np.diff(np.append(before, lags + run + 1)) > run)
    M = min(2 * max(int(before[quiet[0]]), 1), lags)
    k = np.arange(1, M + 1)
    weight = np.minimum(1.0, 2.0 * (1.0 - k / M)) * R[1 : M + 1]
    G, g = 2.0 * float(k @ weight), float(R[0] + 2.0 * weight.sum())
    if g == 0.0:
        return longest
    return float(np.clip((G**2 * T / g**2) ** (1.0 / 3.0), 1.0, longest))


def bootstrap_interval(
    series: npt.ArrayLike,
    statistic: Statistic,
    *,
    block: float,
    seed: int,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a mean, a Sharpe ratio per period or a deepest drawdown, by block resampling.

    For a mean or a Sharpe ratio it is a confidence interval of the true value. A deepest drawdown has no
    true value: there the interval says within which bounds that of another history of the same length and
    kind would lie. As it takes the observed mean for the true one, it is somewhat too narrow.

    Parameters
    ----------
    series : (T,)
        Values in order of time, none missing; for a drawdown simple returns.
    statistic : "mean", "sharpe" or "max_drawdown"
        mean(x); mean(x) / std(x, ddof 1), to be multiplied by √periods_per_year for a yearly one; or the
        deepest loss from the highest wealth so far (≤ 0), the starting 1.0 included.
    block : float
        Mean length of a block in sessions, at least the number of sessions over which values depend on each
        other; `block_length` chooses one.
    seed : int
        Of the random numbers.
    draws : int
        Number of resampled series.
    level : float
        Coverage of the interval.

    Returns
    -------
    (low, high); NaN for the Sharpe ratio when a resampled series has no volatility.

    Raises
    ------
    InputError
        A value is missing, a return is below −1, or an argument is out of range.
    """
    values = complete_series(series, "series")
    if statistic == "max_drawdown" and values.min() < -1.0:
        raise InputError(f"series has a return of {values.min():.6g}: a loss of more than everything")
    tail = (1.0 - share_of_one(level, "level")) / 2.0
    step = max(1, _CELLS // values.size)
    estimates = [
        _OF_ROWS[statistic](
            values[stationary_bootstrap(values.size, block, min(step, draws - at), (seed, at))]
        )
        for at in range(0, draws, step)
    ]
    low, high = np.quantile(np.concatenate(estimates), [tail, 1.0 - tail])
    return float(low), float(high)


def _means(rows: Array) -> Array:
    return np.asarray(rows.mean(axis=1))


def _sharpes(rows: Array) -> Array:
    constant = rows.max(axis=1) == rows.min(axis=1)
    spread = rows.std(axis=1, ddof=1) if rows.shape[1] > 1 else np.zeros(len(rows))
    return _means(rows) / np.where(constant, np.nan, spread)


def _drawdowns(rows: Array) -> Array:
    wealth = np.cumprod(1.0 + rows, axis=1)
    peak = np.maximum.accumulate(np.maximum(wealth, 1.0), axis=1)
    return np.asarray((wealth / peak).min(axis=1) - 1.0)


_OF_ROWS: dict[Statistic, Callable[[Array], Array]] = {
    "mean": _means,
    "sharpe": _sharpes,
    "max_drawdown": _drawdowns,
}
