"""What the models are to explain: the return of an ordinary without its index.

For an interval from one of the ordinary's days, d0, to the next, d1,

    e = r_ordinary(d0→d1) − β_d1 · r_index(d0→d1)

with β as it is known before d1 and both returns in the currency of the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos.adr.returns import change
from kairos.market import sessions

if TYPE_CHECKING:
    from kairos.adr.instruments import Instrument
    from kairos.adr.returns import Rows, Venue
    from kairos.adr.usbetas import UsResiduals
    from kairos.panel import Array, Mask


@dataclass(frozen=True, eq=False)
class Targets:
    """The K rows of one ordinary.

    Attributes
    ----------
    venue, instrument
        The exchange and index, and the ordinary.
    before, now : (K,)
        Rows of the venue's days at which the intervals begin and end.
    table
        One row for each interval, dated with its end: ticker, date, previous, exchange, index,
        ordinary_return, index_return, beta, baseline, ordinary_residual, index_source, index_asynchronous.
    no_beta
        Intervals left out because no beta of the ordinary is known.
    warm_up
        Intervals left out because no US stock has a beta yet, so that there is nothing to explain with.
    """

    venue: Venue
    instrument: Instrument
    before: Rows
    now: Rows
    table: pd.DataFrame
    no_beta: int
    warm_up: int

    @property
    def residual(self) -> Array:
        """The target, (K,)."""
        residual: Array = self.table["ordinary_residual"].to_numpy()
        return residual


def targets_of(stocks: UsResiduals, n: int, beta: Array, start: np.datetime64) -> Targets:
    """Targets of one ordinary over its days D = G ∩ its own price, those that end at or after ``start``.

    Parameters
    ----------
    stocks
        The US stocks on the grid G of the ordinary's venue.
    n
        The ordinary, by its place in the venue.
    beta : (T,)
        Its beta as known before each of the venue's days; an interval without one makes no row.
    start : datetime64[D]
        First date of a row.
    """
    venue = stocks.venue
    one = venue.instruments[n]
    rows = np.flatnonzero(stocks.on & np.isfinite(venue.ordinaries[:, n]))
    before, now = rows[:-1], rows[1:]
    has_beta = np.isfinite(beta[now])
    counted = venue.days[now] >= start
    explained = np.isfinite(stocks.betas[now]).any(axis=1)
    there = counted & explained & has_beta
    before, now = before[there], now[there]
    ordinary = change(venue.ordinaries[:, n], before, now)
    index = venue.index_returns(before, now)
    baseline = beta[now] * index.values
    table = pd.DataFrame({
        "ticker": one.adr,
        "date": venue.days[now].astype("datetime64[s]"),
        "previous": venue.days[before].astype("datetime64[s]"),
        "exchange": venue.exchange,
        "index": venue.index,
        "ordinary_return": ordinary,
        "index_return": index.values,
        "beta": beta[now],
        "baseline": baseline,
        "ordinary_residual": ordinary - baseline,
        "index_source": np.where(index.from_future, "future", "file"),
        "index_asynchronous": index.asynchronous,
    })  # fmt: skip
    return Targets(
        venue=venue,
        instrument=one,
        before=before,
        now=now,
        table=table,
        no_beta=int((counted & ~has_beta).sum()),
        warm_up=int((counted & ~explained).sum()),
    )


def multi_day(venue: Venue, before: Rows, now: Rows) -> Mask:
    """Tell which intervals span more than one day on which the exchange or New York was open, (K,)."""
    new_york = sessions(venue.days[0], venue.days[-1], "XNYS")
    position = np.searchsorted(np.union1d(venue.days, new_york), venue.days)
    longer: Mask = position[now] - position[before] > 1
    return longer
