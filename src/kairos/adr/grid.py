"""The days that count: the grid of a venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bottleneck as bn
import numpy as np

if TYPE_CHECKING:
    from kairos.panel import Array, Mask


def is_busy(counts: Array, min_share: float, window: int) -> Mask:
    """Tell on which days about as many US stocks have a price as usual.

    A day counts when its number of prices is at least ``min_share`` times the median number of the ``window``
    days with any price before it. On a foreign half-day, sampled before New York opens, hardly a stock has
    one. At the beginning the window is a short one; the first day with a price has no past and counts.

    Parameters
    ----------
    counts : (T,)
        US prices on each session of the exchange.
    min_share
        Share of the median, 0 to 1.
    window
        Days of the median.

    Returns
    -------
    (T,) bool. The value at t uses days ≤ t.

    Examples
    --------
    >>> is_busy(np.array([0.0, 9.0, 4.0, 0.0, 10.0]), min_share=0.5, window=60).tolist()
    [False, True, False, False, True]
    """
    traded = np.flatnonzero(counts > 0)
    busy = np.zeros(len(counts), dtype=np.bool_)
    if len(traded) > 0:
        number = counts[traded].astype(np.float64)
        usual = bn.move_median(number, min(window, len(number)), min_count=1)
        past = np.append(number[:1], usual[:-1])
        busy[traded] = number >= min_share * past
    return busy


def grid(index: Array, counts: Array, min_share: float, window: int) -> Mask:
    """Rows of a venue on which returns begin and end.

    G = sessions of the exchange ∩ days with a price of the index ∩ days with as many US prices as usual. The
    days of an ordinary are D = G ∩ days with its own price.

    Parameters
    ----------
    index : (T,)
        Index on the sessions of the exchange, NaN = missing.
    counts : (T,)
        US prices at the reference times of the same sessions; 0 where New York is closed then.
    min_share, window
        See `is_busy`.

    Returns
    -------
    (T,) bool. The value at t uses days ≤ t.
    """
    on: Mask = np.isfinite(index) & is_busy(counts, min_share, window)
    return on
