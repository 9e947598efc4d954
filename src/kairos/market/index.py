"""When a stock index takes its closing level.

A closing level is made of the closing prices of the members, so it belongs to the end of the closing auction
of the market that closes last among the large ones. Held from 2015 on; Tokyo's move from 15:00 to 15:30 on
2024-11-05 is in its calendar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.market.auction import reference_times

if TYPE_CHECKING:
    from kairos.market.exchange import Dates


@dataclass(frozen=True)
class IndexClose:
    """The close that an index follows.

    Attributes
    ----------
    exchange
        Market code whose sessions and early closes the index follows.
    auction
        Seconds from the end of continuous trading to the end of the closing auction.
    source
        Where it is written down.
    """

    exchange: str
    auction: int
    source: str


_EURONEXT = "Euronext trading calendar: closing auction 17:30 to 17:35, on half-days 14:05 to 14:10"
_STOXX = f"STOXX calculation guide: closing prices of the members; holidays of Euronext. {_EURONEXT}"

INDEX_CLOSES = {
    "UKX": IndexClose("XLON", 300, "LSE trading services: closing auction 16:30 to 16:35, half-days 12:30"),
    "CAC": IndexClose("XPAR", 300, _EURONEXT),
    "AEX": IndexClose("XAMS", 300, _EURONEXT),
    "DAX": IndexClose("XETR", 300, "Xetra trading parameters: closing auction 17:30 to 17:35"),
    "SX5E": IndexClose("XPAR", 300, _STOXX),
    "SX7E": IndexClose("XPAR", 300, _STOXX),
    "SXXP": IndexClose("XPAR", 300, _STOXX),
    "NKY": IndexClose("XTKS", 0, "JPX: closing price at the end of the afternoon session"),
}
"""Indices by their Bloomberg symbol."""


def index_close_times(index: str, days: Dates) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """When an index takes its closing level on each day.

    Parameters
    ----------
    index
        Bloomberg symbol, for example UKX.
    days : (T,) datetime64[D]
        Calendar days, increasing.

    Returns
    -------
    (T,) datetime64[ns] in UTC. NaT on a day on which the index has no close, and everywhere for an index that
    is not declared: then nobody knows whether another market closes with it.

    Examples
    --------
    London on an ordinary day and on Christmas Eve; nobody has declared the index of Narnia:

    >>> days = np.array(["2024-12-23", "2024-12-24", "2024-12-25"], dtype="datetime64[D]")
    >>> index_close_times("UKX", days).astype("datetime64[m]").astype(str).tolist()
    ['2024-12-23T16:35', '2024-12-24T12:35', 'NaT']
    >>> bool(np.isnat(index_close_times("NARNIA", days)).all())
    True
    """
    if index not in INDEX_CLOSES:
        return np.full(len(days), np.datetime64("NaT", "ns"))
    close = INDEX_CLOSES[index]
    return reference_times(close.exchange, days, close.auction)
