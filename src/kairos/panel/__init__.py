"""Kernels on (date × ticker) arrays. No files, no finance words.

**Panel.** A float64 NumPy array of the shape (T, N) = (sessions, tickers). Missing is NaN; an infinite
value that comes in is missing, none goes out. Panels are Fortran-ordered: the history of one ticker is
contiguous (``x.T`` is C-contiguous). Another order is copied on the way in; results are Fortran-ordered.

**Sessions** have absolute numbers, 0 is the first of the calendar. A slice carries ``start``, the absolute
number of its first row. A value computed on a slice that holds the history it needs is bit-equal to the
value computed on the whole. (Recursive averages need `warmup` instead of a finite history.)

**Time.** The value at row t uses rows ≤ t, and of row t only what is in the panel at t. What must be known
a session earlier is passed through `lag`.

**Tickers** don't influence each other, except in the functions that take ``members``: those work date by
date, over the members of the date.

* `Rolling`: mean, std, var, sum, min, max, rank, skew, kurt, drawdown, cov, corr, beta, residual_std
* `exponential`, `warmup`: recursive averages
* `lag`, `last_valid`, `returns`, `change`, `listed`, `listing_state`: the past of a ticker
* `z`, `clipped_z`, `rank`, `winsorise`, `group_mean`, `demean`, `neutralise`, `blend`, `mean_of`, `std_of`,
  `quantile_of`: the cross-section of a date
* `Grid`: labels, and the way between rows of a table and a panel
"""

from kairos.panel.arrays import Array, Mask
from kairos.panel.cross import (
    blend,
    clipped_z,
    demean,
    group_mean,
    mean_of,
    neutralise,
    quantile_of,
    rank,
    std_of,
    winsorise,
    z,
)
from kairos.panel.grid import Grid
from kairos.panel.lag import ListingState, change, lag, last_valid, listed, listing_state, returns
from kairos.panel.recursive import exponential, warmup
from kairos.panel.rolling import Rolling

__all__ = [
    "Array",
    "Grid",
    "ListingState",
    "Mask",
    "Rolling",
    "blend",
    "change",
    "clipped_z",
    "demean",
    "exponential",
    "group_mean",
    "lag",
    "last_valid",
    "listed",
    "listing_state",
    "mean_of",
    "neutralise",
    "quantile_of",
    "rank",
    "returns",
    "std_of",
    "warmup",
    "winsorise",
    "z",
]
