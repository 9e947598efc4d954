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
    return coded(context.panels(PRICES)["tickers.sector"])


def coded(sector: np.ndarray[Any, Any]) -> tuple[list[str], Codes]:
    """Distinct sectors, and the number of each listing's one (N,), a missing one counting as `Unknown`."""
    labels, codes = np.unique(np.array([name or UNKNOWN for name in sector.tolist()]), return_inverse=True)
    return labels.tolist(), codes.astype(np.int64)
