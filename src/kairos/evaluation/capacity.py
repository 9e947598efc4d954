"""How much capital a strategy carries, from backtests at several amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.errors import InputError
from kairos.evaluation.arrays import complete_series, share_of_one

if TYPE_CHECKING:
    import numpy.typing as npt


def capacity(capital: npt.ArrayLike, sharpe: npt.ArrayLike, share: float = 0.5) -> float:
    """Capital at which the net Sharpe ratio first falls to a share of that at the smallest capital.

    Between two amounts the Sharpe ratio is taken as linear in log capital.

    Parameters
    ----------
    capital : (C,)
        Amounts in USD, ascending.
    sharpe : (C,)
        Net Sharpe ratio of a backtest with each.
    share : float
        Between 0 and 1.

    Returns
    -------
    float in USD; infinite when it never falls so far within the amounts tried, NaN when the smallest amount
    earns nothing.

    Raises
    ------
    InputError
        The amounts are not positive and ascending, or a value is missing.

    Examples
    --------
    >>> round(capacity([1e6, 1e8], [1.0, 0.0]))
    10000000
    """
    amounts = complete_series(capital, "capital")
    ratios = complete_series(sharpe, "sharpe", amounts.size)
    if amounts[0] <= 0.0 or (np.diff(amounts) <= 0.0).any():
        raise InputError("capital must be positive and ascending: sort the amounts")
    if ratios[0] <= 0.0:
        return np.nan
    level = share_of_one(share, "share") * ratios[0]
    below = np.flatnonzero(ratios <= level)
    if not below.size:
        return np.inf
    i = int(below[0])
    part = (ratios[i - 1] - level) / (ratios[i - 1] - ratios[i])
    log_capital = np.log(amounts)
    return float(np.exp(log_capital[i - 1] + part * (log_capital[i] - log_capital[i - 1])))
