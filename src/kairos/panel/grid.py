"""Labels of a panel, and the way between rows of a table and a panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.panel.arrays import Array, Index, Mask


@dataclass(frozen=True, eq=False)
class Grid:
    """The sessions and tickers of a panel.

    Parameters
    ----------
    dates
        (T,) datetime64[D], ascending, unique: the sessions of the market, without holes.
    tickers
        (N,) names, ascending, unique.
    start
        Absolute number of the first session; 0 is the first of the store's calendar.

    Raises
    ------
    InputError
        When dates or tickers are not ascending and unique.

    Examples
    --------
    >>> days = np.array(["2024-01-02", "2024-01-03"], dtype="datetime64[D]")
    >>> grid = Grid(days, ("A", "B"))
    >>> panel = grid.scatter(np.array([0, 1]), np.array([0, 1]), np.array([5.0, 6.0]))
    >>> panel.tolist()
    [[5.0, nan], [nan, 6.0]]
    >>> grid.gather(panel, np.isfinite(panel)).tolist()
    [5.0, 6.0]
    """

    dates: npt.NDArray[np.datetime64]
    tickers: tuple[str, ...]
    start: int = 0

    def __post_init__(self) -> None:
        if self.dates.dtype != np.dtype("datetime64[D]"):
            raise InputError(f"sessions are datetime64[D], not {self.dates.dtype}")
        late = np.flatnonzero(self.dates[1:] <= self.dates[:-1])
        if late.size:
            first, second = self.dates[late[0]], self.dates[late[0] + 1]
            raise InputError(f"sessions must be ascending and unique: {second} follows {first}")
        for one, other in zip(self.tickers, self.tickers[1:], strict=False):
            if other <= one:
                raise InputError(f"tickers must be ascending and unique: {other!r} follows {one!r}")

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return len(self.dates), len(self.tickers)

    def slice(self, lo: int, hi: int) -> Grid:
        """Return the grid of the rows lo..hi − 1, counted from this grid's first."""
        if not 0 <= lo <= hi <= len(self.dates):
            raise InputError(f"rows {lo}..{hi} are not inside the grid's {len(self.dates)} sessions")
        return Grid(self.dates[lo:hi], self.tickers, self.start + lo)

    def rows(self, dates: npt.NDArray[np.datetime64]) -> Index:
        """Return the row of every date.

        Raises
        ------
        InputError
            When a date is not a session of the grid; the message names the first.
        """
        at = np.searchsorted(self.dates, dates)
        inside = np.minimum(at, max(len(self.dates) - 1, 0))
        known = self.dates[inside] == dates if len(self.dates) else np.zeros(dates.shape, dtype=np.bool_)
        if not known.all():
            first = dates[np.flatnonzero(~known)[0]]
            raise InputError(f"{first} is not a session of the grid ({int((~known).sum())} such rows)")
        return at

    def cols(self, tickers: Sequence[str]) -> Index:
        """Return the column of every name.

        For millions of rows encode the names first (a dictionary column), look up the few thousand distinct
        ones, and take by code.

        Raises
        ------
        InputError
            When a name is not a ticker of the grid; the message names the first.
        """
        place = {name: col for col, name in enumerate(self.tickers)}
        try:
            return np.array([place[name] for name in tickers], dtype=np.intp)
        except KeyError as error:
            raise InputError(f"{error.args[0]!r} is not a ticker of the grid") from None

    def scatter(self, rows: npt.NDArray[np.integer], cols: npt.NDArray[np.integer], values: Array) -> Array:
        """Put the values of a table's rows into a panel (T, N); cells without a row are NaN.

        Parameters
        ----------
        rows, cols
            (K,) positions, counted from the grid's first session and ticker.
        values
            (K,) numbers; the order of the rows does not matter.

        Raises
        ------
        InputError
            When a position is outside the grid, or a key (ticker, date) comes twice; the message names it.
        """
        sessions, width = self.shape
        if not len(rows) == len(cols) == len(values):
            raise InputError(
                f"rows ({len(rows)}), cols ({len(cols)}) and values ({len(values)}) must be equally many"
            )
        outside = (rows < 0) | (rows >= sessions) | (cols < 0) | (cols >= width)
        if outside.any():
            k = np.flatnonzero(outside)[0]
            raise InputError(f"row {rows[k]}, column {cols[k]} is outside the grid {self.shape}")
        flat = cols.astype(np.intp) * sessions + rows
        seen = np.zeros(sessions * width, dtype=np.bool_)
        seen[flat] = True
        if int(seen.sum()) < len(flat):
            raise InputError(self._duplicate(flat))
        panel = np.full(sessions * width, np.nan)
        panel[flat] = values
        return panel.reshape(width, sessions).T

    def gather(self, panel: Array, mask: Mask) -> Array:
        """Return the values of the cells of ``mask`` (T, N) as (K,), ordered by ticker, then date."""
        if panel.shape != self.shape or mask.shape != self.shape:
            raise InputError(f"panel {panel.shape} and mask {mask.shape} must have the shape {self.shape}")
        gathered: Array = panel.T[mask.T]
        return gathered

    def keys(self, mask: Mask) -> tuple[Index, Index]:
        """Return (cols, rows) of the cells of ``mask``, in the order of `gather`."""
        if mask.shape != self.shape:
            raise InputError(f"the mask has the shape {mask.shape}, the grid {self.shape}")
        cols, rows = np.nonzero(mask.T)
        return cols, rows

    def _duplicate(self, flat: Index) -> str:
        keys, counts = np.unique(flat, return_counts=True)
        twice = keys[counts > 1]
        col, row = divmod(int(twice[0]), len(self.dates))
        return (
            f"the key (ticker, date) = ({self.tickers[col]}, {self.dates[row]}) comes more than once "
            f"({len(twice)} such keys); load the file again or remove the duplicates"
        )
