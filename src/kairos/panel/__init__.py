"""Kernels on (session × column) arrays. No files, no finance words.

**Panel.** A float64 NumPy array of the shape (T, N) = (sessions, columns). Missing is NaN; an infinite
value that comes in is missing, none goes out. Panels are Fortran-ordered: the history of one column is
contiguous (``x.T`` is C-contiguous). Another order is copied on the way in; results are Fortran-ordered.

**Columns.** A column may be any series: a listing, a factor, an index. A kernel takes all its rows for the
past of one thing, so it is for the caller to see that a column never mixes two companies: a ticker that a
second company takes over needs a second column. Columns don't influence each other, except in the functions
that take ``members``: those work date by date, over the members of the date.

**Sessions** have absolute numbers, 0 is the first of the calendar. A slice carries ``start``, the absolute
number of its first row. A value computed on a slice that holds the history it needs is bit-equal to the
value computed on the whole. (Recursive averages need `warmup` instead of a finite history.)

**Time.** The value at row t uses rows ≤ t, and of row t only what is in the panel at t. What must be known
a session earlier is passed through `lag`.

* `Rolling`: mean, std, var, sum, min, max, rank, skew, kurt, drawdown, cov, corr, beta, residual_std
* `exponential`, `warmup`: recursive averages
* `lag`, `last_valid`, `carry`, `returns`, `change`: the past of a column
* `pick`, `place`, `in_rows`: values by their flat cell
* `in_force`, `take`: announcements that hold until the next one; `expanding_quantile`: of a series before t
* `z`, `clipped_z`, `rank`, `winsorise`, `group_mean`, `demean`, `neutralise`, `blend`, `mean_of`, `std_of`,
  `quantile_of`, `inner`: the cross-section of a date
"""

from kairos.panel.arrays import Array, Mask
from kairos.panel.cross import (
    blend,
    clipped_z,
    demean,
    group_mean,
    inner,
    mean_of,
    neutralise,
    quantile_of,
    rank,
    std_of,
    winsorise,
    z,
)
from kairos.panel.lag import (
    Rows,
    carry,
    change,
    expanding_quantile,
    in_force,
    in_rows,
    lag,
    last_valid,
    pick,
    place,
    returns,
    take,
)
from kairos.panel.recursive import exponential, warmup
from kairos.panel.rolling import Rolling

__all__ = [
    "Array",
    "Mask",
    "Rolling",
    "Rows",
    "blend",
    "carry",
    "change",
    "clipped_z",
    "demean",
    "expanding_quantile",
    "exponential",
    "group_mean",
    "in_force",
    "in_rows",
    "inner",
    "lag",
    "last_valid",
    "mean_of",
    "neutralise",
    "pick",
    "place",
    "quantile_of",
    "rank",
    "returns",
    "std_of",
    "take",
    "warmup",
    "winsorise",
    "z",
]
