"""Walk-forward windows in calendar months.

The model of month m is chosen and fitted on the months before it:

    m−12 … m−2   train: the path of the model is fitted here
    m−1          validation: its strength is chosen here
    m−12 … m−1   refit: this is what is deployed in m

A row belongs to the month of its date, so a return over several days belongs to the month in which it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.market import sessions
from kairos.market.auction import early_closes

if TYPE_CHECKING:
    from kairos.settings.tree import WalkForward

Months = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Window:
    """Months of one model.

    Attributes
    ----------
    month : datetime64[M]
        The month in which the model is deployed.
    train : datetime64[M]
        First training month.
    validation : datetime64[M]
        First validation month; training ends before it, and validation before `month`.
    live : bool
        Whether `month` is not over yet: it has a model and no test.
    """

    month: np.datetime64
    train: np.datetime64
    validation: np.datetime64
    live: bool

    def rows(self, dates: Months, since: np.datetime64, until: np.datetime64) -> slice:
        """Rows of increasing dates from the month `since` to before the month `until`."""
        bounds = np.array([since, until]).astype("datetime64[D]")
        first, last = np.searchsorted(dates, bounds)
        return slice(int(first), int(last))

    def train_rows(self, dates: Months) -> slice:
        """Rows on which the path is fitted."""
        return self.rows(dates, self.train, self.validation)

    def validation_rows(self, dates: Months) -> slice:
        """Rows on which the strength is chosen."""
        return self.rows(dates, self.validation, self.month)

    def refit_rows(self, dates: Months) -> slice:
        """Rows on which the deployed model is fitted."""
        return self.rows(dates, self.train, self.month)

    def test_rows(self, dates: Months) -> slice:
        """Rows that the model predicts; none of the live month."""
        return slice(0, 0) if self.live else self.rows(dates, self.month, self.month + 1)


def is_full(
    month: np.datetime64, exchange: str, last: np.datetime64, end: np.datetime64 | None = None
) -> bool:
    """Whether all rows that a month can have are there.

    The month's last session is no later than `end`, and after `last` it has no session that could have a row.
    A session has none when New York is closed, or when it is a half-day, which ends before New York opens.

    Parameters
    ----------
    month : datetime64[M]
        The month.
    exchange
        Market code of the ordinary.
    last : datetime64[D]
        Last date on which the desk has a row.
    end : datetime64[D] or None
        Last date of the settings.

    Examples -------- New York's last session of May 2021 was Friday the 28th, that of Paris Monday the 31st.
    The 31st of December 2025 was a half-day in London:

    >>> is_full(np.datetime64("2021-05"), "XPAR", last=np.datetime64("2021-05-28"))
    True
    >>> is_full(np.datetime64("2021-05"), "XPAR", last=np.datetime64("2021-05-27"))
    False
    >>> is_full(np.datetime64("2025-12"), "XLON", last=np.datetime64("2025-12-30"))
    True
    """
    first, following = np.array([month, month + 1]).astype("datetime64[D]")
    held = sessions(first, following - 1, exchange)
    possible = held[np.isin(held, sessions(first, following - 1)) & ~early_closes(exchange, held)]
    return bool((possible <= last).all() and (end is None or (held <= end).all()))


def windows(
    first: np.datetime64,
    last: np.datetime64,
    exchange: str,
    lengths: WalkForward,
    end: np.datetime64 | None = None,
) -> list[Window]:
    """Every window from the first month that can have one to the live month, which is not full yet.

    Parameters
    ----------
    first : datetime64[D]
        First date of the desk's data (`adr.start`); its month is the first training month.
    last : datetime64[D]
        Last date on which the desk has a row.
    exchange
        Market code of the ordinary.
    lengths
        `adr.windows` of the settings.
    end : datetime64[D] or None
        Last date of the settings.

    Returns
    -------
    list of Window, by month; empty when the data end before the first model can be fitted.

    Notes ----- The model of month m uses rows dated before m. More data make months full and add windows;
    they change none.

    Examples
    --------
    >>> from kairos.settings import load
    >>> first, last = np.datetime64("2024-01-02"), np.datetime64("2026-01-30")
    >>> found = windows(first, last, "XLON", load().adr.windows)
    >>> len(found), str(found[0].month), str(found[-1].month), found[-1].live
    (14, '2025-01', '2026-02', True)
    """
    found: list[Window] = []
    train = first.astype("datetime64[M]")
    while not (found and found[-1].live):
        validation = train + lengths.train_months
        month = validation + lengths.validation_months
        if not is_full(month - 1, exchange, last, end):
            break
        found.append(Window(month, train, validation, live=not is_full(month, exchange, last, end)))
        train += 1
    return found
