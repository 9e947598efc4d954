"""Sector of each listing, as today's metadata have it."""

from __future__ import annotations

from typing import Any

import numpy as np

from kairos.equity.context import PRICES, Context

Codes = np.ndarray[Any, np.dtype[np.int64]]
UNKNOWN = "Unknown"


def sectors(context: Context) -> tuple[list[str], Codes]:
    """Names of the sectors, and the number of each listing's sector (N,).

    ``tickers`` tells today's sector only; a ticker without one is in the sector `Unknown`, which is a group
    of its own.
    """
    frame = context.panels(PRICES).frame
    with context.connect("tickers") as con:
        rows = con.sql("""
            SELECT ticker, arg_min(sector, ("table" <> 'SEP', "table")) AS sector FROM tickers GROUP BY ticker
        """).fetchall()
    known = dict(rows)
    names = [known.get(ticker) or UNKNOWN for ticker in frame.tickers.tolist()]
    labels, codes = np.unique(np.array(names), return_inverse=True)
    return labels.tolist(), codes.astype(np.int64)
