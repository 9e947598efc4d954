"""Parts of a history: in-sample and out-of-sample, calendar years, equal thirds.

A period is a slice of rows: apply any statistic to ``returns[period.rows]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import Dates, session_dates

if TYPE_CHECKING:
    import datetime as dt

    import numpy.typing as npt


@dataclass(frozen=True)
class Period:
    """Neighbouring sessions under a name.

    Attributes
    ----------
    name : str
        For tables and charts.
    first, last : numpy.datetime64
        First and last session.
    rows : slice
        Their rows in the series.
    """

    name: str
    first: np.datetime64
    last: np.datetime64
    rows: slice


def in_and_out_of_sample(
    dates: npt.ArrayLike, out_of_sample_from: dt.date | np.datetime64 | str
) -> list[Period]:
    """Cut a history at the date from which nothing was known when the strategy was chosen.

    Returns
    -------
    list of Period
        ``in-sample`` and ``out-of-sample``; one of them only when the date lies outside the history.

    Raises
    ------
    InputError
        The dates are empty, missing or out of order.

    Examples
    --------
    >>> days = ["2020-01-02", "2020-01-03", "2020-01-06"]
    >>> [(part.name, part.rows) for part in in_and_out_of_sample(days, "2020-01-04")]
    [('in-sample', slice(0, 2, None)), ('out-of-sample', slice(2, 3, None))]
    """
    days = _days(dates)
    return _parts(
        days,
        [days[0], np.datetime64(str(out_of_sample_from), "D")],
        ["in-sample", "out-of-sample"],
    )


def calendar_years(dates: npt.ArrayLike) -> list[Period]:
    """Every calendar year that has a session."""
    days = _days(dates)
    years = np.unique(days.astype("datetime64[Y]"))
    return _parts(days, list(years.astype("datetime64[D]")), [str(year) for year in years])


def equal_parts(dates: npt.ArrayLike, number: int) -> list[Period]:
    """Parts of equal length, to one session: thirds for ``number = 3``.

    Raises
    ------
    InputError
        There are fewer sessions than parts, or no part is asked for.
    """
    days = _days(dates)
    if not 1 <= number <= days.size:
        raise InputError(f"{days.size} sessions can't be cut into {number} parts")
    begins = np.arange(number) * days.size // number
    return _parts(days, list(days[begins]), [f"{i + 1} of {number}" for i in range(number)])


def sub_periods(dates: npt.ArrayLike, begins: npt.ArrayLike) -> list[Period]:
    """Parts that begin on the given days; what is before the first is a part too.

    Parameters
    ----------
    dates : (T,)
        Sessions.
    begins : (P,)
        Days, strictly increasing, not necessarily sessions.

    Returns
    -------
    list of Period
        Named by first and last session; a part without a session is left out.

    Raises
    ------
    InputError
        Dates or begins are missing or out of order.
    """
    days = _days(dates)
    starts = np.asarray(begins, dtype="datetime64[D]")
    starts = session_dates(starts, starts.size)
    wanted = list(starts) if starts[0] <= days[0] else [days[0], *starts]
    return _parts(days, wanted, None)


def _parts(days: Dates, begins: list[np.datetime64], names: list[str] | None) -> list[Period]:
    """Periods from each begin to the next; those without a session are left out."""
    cuts = np.append(np.searchsorted(days, np.array(begins, dtype="datetime64[D]")), days.size)
    found = []
    for i, (lo, hi) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
        if lo < hi:
            name = names[i] if names else f"{days[lo]} to {days[hi - 1]}"
            found.append(Period(name, days[lo], days[hi - 1], slice(lo, hi)))
    return found


def _days(dates: npt.ArrayLike) -> Dates:
    days = np.asarray(dates, dtype="datetime64[D]")
    if not days.size:
        raise InputError("there are no dates: nothing was simulated in this period")
    return session_dates(days, days.size)
