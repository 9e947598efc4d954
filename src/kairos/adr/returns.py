"""Ordinaries and their indices at the closes of one exchange, and returns from one day to another.

A `Venue` is an exchange and an index: all ordinaries that are listed there and measured against it share its
days, its closing times and its index. Returns are taken between any two of its days, so that a holiday on one
side makes one longer return on every side. Ordinary and index are both in the currency of the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kairos.adr.desk import INDEX_CLOSES, ORDINARY_CLOSES
from kairos.adr.files import Prices, listed, read_prices
from kairos.adr.minutes import future_at, fx_at, has_future
from kairos.errors import InputError
from kairos.market import next_session, sessions
from kairos.market.auction import reference_times
from kairos.market.index import index_close_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kairos.adr.desk import Desk
    from kairos.adr.instruments import Instrument
    from kairos.market.exchange import Dates
    from kairos.panel import Array, Mask

Rows = npt.NDArray[np.intp]
Times = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True, eq=False)
class IndexReturns:
    """Returns of an index over intervals of days.

    Attributes
    ----------
    values : (K,)
        In the currency of the index.
    from_future : (K,) bool
        The return of the future between the ordinary's closes, not that of the file of index closes.
    asynchronous : (K,) bool
        From the file although the index took its level at another time at one end of the interval.
    """

    values: Array
    from_future: Mask
    asynchronous: Mask


@dataclass(frozen=True, eq=False)
class Venue:
    """An exchange and an index, with the ordinaries that are listed on the one and measured by the other.

    Attributes
    ----------
    exchange, index
        Market code and symbol of the index.
    instruments
        The N ordinaries.
    days : (T,) datetime64[D]
        Sessions of the exchange. The last one is the session after the last date: no price of it is known.
    times : (T,) datetime64[ns]
        Reference time of the close of each session, in UTC.
    closes : (T,)
        The index, from the file of closes. NaN = missing.
    futures : (T,)
        Its future at the reference time, in the currency of the index; NaN where it is not needed.
    apart : (T,) bool
        The index takes its closing level further than `adr.index.tolerance` from the reference time, or
        nobody knows when it does.
    ordinaries : (T, N)
        Closes of the ordinaries in the currency of the index.
    without_fx : (T, N) bool
        The ordinary has a close, but an exchange rate at the reference time is missing.
    """

    exchange: str
    index: str
    instruments: tuple[Instrument, ...]
    days: Dates
    times: Times
    closes: Array
    futures: Array
    apart: Mask
    ordinaries: Array
    without_fx: Mask

    def index_returns(self, before: Rows, now: Rows) -> IndexReturns:
        """Return of the index from one day to another: the future where it must stand in, else the file.

        Where the index closes apart from the reference time at either end, the return is that of the future,
        provided that both ends have one. So no return mixes two sources, and which source it is depends on
        the two days only, not on later ones.

        Parameters
        ----------
        before, now : (K,)
            Rows of `days` at which the intervals begin and end.
        """
        future = change(self.futures, before, now)
        apart = self.apart[before] | self.apart[now]
        use = apart & np.isfinite(future)
        values = np.where(use, future, change(self.closes, before, now))
        return IndexReturns(values, use, apart & ~use)


def change(prices: Array, before: Rows, now: Rows) -> Array:
    """Simple return p_now / p_before − 1 between rows of prices (T,) or (T, N); NaN where a price is missing.

    Examples
    --------
    >>> change(np.array([2.0, np.nan, 3.0]), np.array([0, 0]), np.array([1, 2])).tolist()
    [nan, 0.5]
    """
    result: Array = prices[now] / prices[before] - 1.0
    return result


def on_days(prices: Prices, days: Dates) -> Array:
    """Prices (T, N) on the given days; NaN on a day that the file doesn't have."""
    rows = np.searchsorted(prices.dates, days)
    rows[rows == len(prices.dates)] = 0
    found = prices.dates[rows] == days
    out = np.full((len(days), len(prices.names)), np.nan)
    out[found] = prices.values[rows[found]]
    return out


def read_venues(desk: Desk, instruments: Sequence[Instrument]) -> list[Venue]:
    """Read the daily closes of the ordinaries and their indices, and lay them out by venue.

    Prices after `adr.end` are not looked at; those before `adr.start` are kept, for warm-up. An ordinary may
    be without a price, as one that is listed after `adr.end` is.

    Raises
    ------
    InputError
        A file is missing, has no rows up to `adr.end`, or lacks an ordinary or an index; an index has no
        price; an ordinary trades in another currency than its index and the minutes of either currency are
        missing.
    """
    ordinaries = _until_end(
        desk,
        read_prices(
            desk.existing(ORDINARY_CLOSES, "the closes of the ordinaries"),
            [i.ordinary for i in instruments],
            what="closes of the ordinaries",
        ),
    )
    indices = _until_end(
        desk,
        read_prices(
            desk.existing(INDEX_CLOSES, "the closes of the indices"),
            sorted({i.index for i in instruments}),
            what="closes of the indices",
        ),
    )
    empty = np.array(indices.names)[np.isnan(indices.values).all(axis=0)].tolist()
    if empty:
        raise InputError(f"{indices.path}: no price of the index {listed(empty)} up to adr.end")
    groups: dict[tuple[str, str], list[Instrument]] = {}
    for instrument in instruments:
        groups.setdefault((instrument.exchange, instrument.index), []).append(instrument)
    first, last = ordinaries.dates[0], ordinaries.dates[-1]
    closes = {exchange: _Closes.of(one, first, last) for (exchange, _), (one, *_) in groups.items()}
    every = np.unique(np.concatenate([close.times for close in closes.values()]))
    futures, usd = _Minutes(partial(future_at, desk), every), _Minutes(partial(fx_at, desk), every)
    return [
        _venue(desk, tuple(groups[key]), closes[key[0]], (ordinaries, indices), (futures, usd))
        for key in sorted(groups)
    ]


@dataclass(frozen=True, eq=False)
class _Closes:
    """Sessions of an exchange, the one after the last date included, and their reference times."""

    days: Dates
    times: Times

    @classmethod
    def of(cls, one: Instrument, first: np.datetime64, last: np.datetime64) -> _Closes:
        days = np.append(sessions(first, last, one.exchange), next_session(last, one.exchange))
        times = reference_times(one.exchange, days, one.close_offset, one.close_offset_early)
        return cls(days, times)


class _Minutes:
    """Prices of minute files at the closes of all venues: every file is long, and read once."""

    def __init__(self, read: Callable[[str, Times], Array], times: Times) -> None:
        self._read, self._times = read, times
        self._found: dict[str, Array] = {}

    def at(self, name: str, times: Times) -> Array:
        """Prices of one file at some of the times."""
        if name not in self._found:
            self._found[name] = self._read(name, self._times)
        prices: Array = self._found[name][np.searchsorted(self._times, times)]
        return prices


def _until_end(desk: Desk, prices: Prices) -> Prices:
    """Rows up to `adr.end`."""
    end = desk.settings.adr.end
    rows = (
        len(prices.dates) if end is None else int(np.searchsorted(prices.dates, np.datetime64(end), "right"))
    )
    if rows == 0:
        raise InputError(f"{prices.path}: no row up to adr.end = {end}")
    return Prices(prices.dates[:rows], prices.names, prices.values[:rows], prices.path)


def _venue(
    desk: Desk,
    instruments: tuple[Instrument, ...],
    close: _Closes,
    daily: tuple[Prices, Prices],
    minutes: tuple[_Minutes, _Minutes],
) -> Venue:
    one, days, times = instruments[0], close.days, close.times
    (ordinaries, indices), (futures, usd) = daily, minutes
    rules = desk.settings.adr.index
    # a time that nobody knows (NaT) is apart, too
    apart = ~(np.abs(index_close_times(one.index, days) - times) <= np.timedelta64(rules.tolerance, "s"))
    needed = rules.source == "auto" and apart[:-1].any() and has_future(desk, one.symbol)
    local = on_days(ordinaries.select([i.ordinary for i in instruments]), days)
    converted = local * np.column_stack([_rate(i, usd, times) for i in instruments])
    return Venue(
        exchange=one.exchange,
        index=one.index,
        instruments=instruments,
        days=days,
        times=times,
        closes=on_days(indices.select([one.index]), days)[:, 0],
        futures=futures.at(one.symbol, times) if needed else np.full(len(days), np.nan),
        apart=apart,
        ordinaries=converted,
        without_fx=np.isfinite(local) & np.isnan(converted),
    )


def _rate(instrument: Instrument, usd: _Minutes, times: Times) -> Array:
    """Units of the index currency for one unit of the ordinary's, (T,); exactly 1 where they are the same.

    USD per unit of the one over USD per unit of the other, both as of the time.
    """
    if instrument.currency == instrument.index_currency:
        return np.ones(len(times))
    return usd.at(instrument.currency, times) / usd.at(instrument.index_currency, times)
