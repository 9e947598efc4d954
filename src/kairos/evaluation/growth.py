"""Growth of a series of simple returns: wealth, drawdown, calendar months and years.

Time convention: ``returns[t]`` is earned over the session that ends at the close of ``dates[t]`` and is known
then. Wealth starts at 1.0 before the first return. Periods per year belong to the series (252 for daily
returns of United States equities): the argument never has a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import Dates, complete_series, positive, session_dates

if TYPE_CHECKING:
    import numpy.typing as npt

    from kairos.panel import Array


def wealth(returns: npt.ArrayLike) -> Array:
    """Value of 1.0 invested before the first return: W_t = Π_{s≤t} (1 + r_s).

    Parameters
    ----------
    returns : (T,)
        Simple returns as fractions.

    Returns
    -------
    (T,) array, the starting 1.0 not included.

    Raises
    ------
    InputError
        A return is missing, or below −1 (a loss of more than everything can't be compounded).

    Examples
    --------
    >>> wealth([0.10, -0.50]).round(4).tolist()
    [1.1, 0.55]
    """
    series = complete_series(returns, "returns")
    ruined = np.flatnonzero(series < -1.0)
    if ruined.size:
        at = ruined[0]
        raise InputError(
            f"returns[{at}] = {series[at]:.6g} loses more than everything and can't be compounded: "
            "check that returns are fractions, or lower the leverage"
        )
    return np.asarray((1.0 + series).cumprod(), dtype=np.float64)


def total_return(returns: npt.ArrayLike) -> float:
    """Compounded return over the whole series: W_T − 1."""
    return float(wealth(returns)[-1] - 1.0)


def annual_return(returns: npt.ArrayLike, periods_per_year: float) -> float:
    """Compounded return a year: W_T^(periods_per_year / T) − 1.

    Examples
    --------
    >>> round(annual_return([0.10, 0.10], periods_per_year=1), 4)
    0.1
    """
    growth = wealth(returns)
    return float(growth[-1] ** (positive(periods_per_year) / growth.size) - 1.0)


def drawdown(returns: npt.ArrayLike) -> Array:
    """Loss from the highest wealth so far, the starting 1.0 included: W_t / max(1, max_{s≤t} W_s) − 1 ≤ 0.

    Examples
    --------
    >>> drawdown([-0.10, 0.0, 0.20]).round(4).tolist()
    [-0.1, -0.1, 0.0]
    """
    value = wealth(returns)
    return value / np.maximum.accumulate(np.maximum(value, 1.0)) - 1.0


def max_drawdown(returns: npt.ArrayLike) -> float:
    """Deepest drawdown (≤ 0), the starting 1.0 included."""
    return float(drawdown(returns).min())


@dataclass(frozen=True)
class Drawdown:
    """The deepest drawdown of a series: how deep, from when to when.

    Attributes
    ----------
    depth : float
        Loss from the peak (≤ 0).
    peak : numpy.datetime64 or None
        Date of the wealth that was lost; None when it is the starting 1.0, before the first date.
    trough, recovery : numpy.datetime64 or None
        Date of the deepest loss, and the first date at or above the peak again; None when not (yet).
    sessions : int
        Sessions under water: from the peak to the session before the recovery, or to the end.
    """

    depth: float
    peak: np.datetime64 | None
    trough: np.datetime64 | None
    recovery: np.datetime64 | None
    sessions: int


def worst_drawdown(returns: npt.ArrayLike, dates: npt.ArrayLike) -> Drawdown:
    """Depth, dates and length of the deepest drawdown; the earliest one when several are as deep."""
    depths = drawdown(returns)
    days = session_dates(dates, depths.size)
    trough = int(np.argmin(depths))
    if depths[trough] == 0.0:
        return Drawdown(0.0, None, None, None, 0)
    at_peak = np.flatnonzero(depths == 0.0)
    before, after = at_peak[at_peak < trough], at_peak[at_peak > trough]
    start = int(before[-1]) if before.size else -1
    end = int(after[0]) if after.size else depths.size
    return Drawdown(
        depth=float(depths[trough]),
        peak=days[start] if before.size else None,
        trough=days[trough],
        recovery=days[end] if after.size else None,
        sessions=end - start - 1,
    )


def period_returns(
    returns: npt.ArrayLike, dates: npt.ArrayLike, unit: Literal["M", "Y"]
) -> tuple[Dates, Array]:
    """Compounded return of each calendar month or year that has at least one session.

    Returns
    -------
    periods : (P,) ``datetime64[M]`` or ``datetime64[Y]``
    values : (P,) compounded returns

    Examples
    --------
    >>> periods, values = period_returns([0.1, 0.1, -0.5], ["2020-01-30", "2020-01-31", "2020-02-03"], "M")
    >>> [str(period) for period in periods], values.round(4).tolist()
    (['2020-01', '2020-02'], [0.21, -0.5])
    """
    series = complete_series(returns, "returns")
    labels = session_dates(dates, series.size).astype(f"datetime64[{unit}]")
    periods, first = np.unique(labels, return_index=True)
    return periods, np.multiply.reduceat(1.0 + series, first) - 1.0


def monthly_table(returns: npt.ArrayLike, dates: npt.ArrayLike) -> tuple[Dates, Array, Array]:
    """Months as a table of years × 12, with the compounded return of each year.

    Returns
    -------
    years : (Y,) ``datetime64[Y]``, every year from the first to the last
    months : (Y, 12), NaN in a month without a session
    totals : (Y,), NaN in a year without a session
    """
    months, values = period_returns(returns, dates, "M")
    years, totals = period_returns(returns, dates, "Y")
    calendar: Dates = np.arange(years[0], years[-1] + 1)
    table = np.full((calendar.size, 12), np.nan)
    table[_steps(months.astype("datetime64[Y]"), calendar[0]), months.astype(np.int64) % 12] = values
    by_year = np.full(calendar.size, np.nan)
    by_year[_steps(years, calendar[0])] = totals
    return calendar, table, by_year


def _steps(periods: Dates, origin: np.datetime64) -> npt.NDArray[np.int64]:
    return (periods - origin).astype(np.int64)
