"""Betas of the US stocks on an index, and what is left of their returns without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.adr.returns import change, on_days
from kairos.panel import Rolling

if TYPE_CHECKING:
    from kairos.adr.files import Prices
    from kairos.adr.returns import Rows, Venue
    from kairos.panel import Array, Mask


@dataclass(frozen=True, eq=False)
class UsResiduals:
    """The US stocks on the grid of a venue, with the index taken out.

    Attributes
    ----------
    venue
        The exchange and the index.
    tickers
        The N stocks.
    prices : (T, N)
        Their prices at the reference times of the venue's days.
    on : (T,) bool
        The grid.
    betas : (T, N)
        Beta of each stock as it is known before each of the venue's days, the next session included.
    one_step : (T, N)
        Residual return from the grid's row before to this one; NaN off the grid and where it is unknown.
    """

    venue: Venue
    tickers: tuple[str, ...]
    prices: Array
    on: Mask
    betas: Array
    one_step: Array

    def over(self, before: Rows, now: Rows) -> Array:
        """Residual return r_i − b_i·r_index of every stock over the intervals, with the beta of their end.

        Parameters
        ----------
        before, now : (K,)
            Rows of the grid at which the intervals begin and end.

        Returns
        -------
        (K, N). NaN where a price at either end or the beta is missing. Known at the end of the interval.
        """
        out = self.one_step[now]
        position = np.cumsum(self.on)
        longer = np.flatnonzero(position[now] - position[before] > 1)
        if len(longer):
            out[longer] = _residual(self.venue, self.prices, self.betas, before[longer], now[longer])
        return out


def us_residuals(venue: Venue, us: Prices, on: Mask, window: int, min_pairs: int) -> UsResiduals:
    """Estimate the betas on the grid and take the index out of the one-step returns.

    b_i,t = cov(r_i, r_index)/var(r_index) over the last ``window`` rows of the grid strictly before t, over
    the pairs in which both returns exist, at least ``min_pairs`` of them. A stock that is listed late has its
    first beta after ``min_pairs`` returns of its own. Missing where the index has no variance.

    Parameters
    ----------
    venue
        The exchange and the index.
    us
        US prices at the reference times of the exchange.
    on : (T,) bool
        The grid.
    """
    prices = on_days(us, venue.days)
    rows = np.flatnonzero(on)
    before, now = rows[:-1], rows[1:]
    returns = np.full((len(rows), prices.shape[1]), np.nan)
    index = np.full(len(rows), np.nan)
    returns[1:] = change(prices, before, now)
    index[1:] = venue.index_returns(before, now).values
    slopes = Rolling(window, min_obs=min_pairs).beta(returns, index)
    # the slope of a grid row knows that row, so a day takes the slope of the last grid row before it
    known = np.vstack([np.full(prices.shape[1], np.nan), slopes])
    betas = known[np.searchsorted(rows, np.arange(len(on)), side="left")]
    one_step = np.full(prices.shape, np.nan)
    one_step[now] = _residual(venue, prices, betas, before, now)
    return UsResiduals(venue, us.names, prices, on, betas, one_step)


def _residual(venue: Venue, prices: Array, betas: Array, before: Rows, now: Rows) -> Array:
    index = venue.index_returns(before, now).values
    residual: Array = change(prices, before, now) - betas[now] * index[:, None]
    return residual
