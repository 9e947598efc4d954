"""Market capitalisation on a session from the one known the session before."""

from __future__ import annotations

from kairos.equity.frame import Array
from kairos.panel import lag, last_valid

USD_PER_MILLION = 1e6


def size(marketcap: Array, close: Array, max_age: int) -> Array:
    """Size on t in USD: marketcap(t-1) · c_t / c_{t-1}.

    The vendor's market cap of a session is known the session after. Where it or the close is missing on
    t-1, the last session up to `max_age` sessions before that has both is used.

    Parameters
    ----------
    marketcap : (T, N)
        As the vendor dates it, in millions of USD.
    close : (T, N)
        Split-adjusted close; its split basis cancels.
    max_age : int
        Oldest usable figure, in sessions before t-1.
    """
    shares = marketcap / close  # on the split basis of the close
    return last_valid(lag(shares, 1), within=max_age) * close * USD_PER_MILLION
