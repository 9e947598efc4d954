"""What the decisions of a simulation may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kairos.equity.backtest.account import Index
    from kairos.equity.frame import Array, Mask, SomeRows

UNKNOWN = "unknown"
"""Label of a session without a regime."""


@dataclass(frozen=True)
class Signals:
    """What decisions may look at; row t of each panel is known after the close of session t.

    Only decision rows are read, so the panels need no others.

    Attributes
    ----------
    alpha : (T, N)
        Higher is better.
    members : (T, N) bool
        The universe.
    adv, volatility : (T, N)
        For costs and participation: USD a day, daily volatility; as last known.
    marketcap : (T, N), optional
        USD; only a benchmark by market capitalisation needs it.
    allowed : (T,) bool
        False on sessions on which the strategy holds nothing (regimes).
    today : mapping to (T, N)
        What filters and scores need of the date itself: ``sizing``, ``adv``, ``beta``, ``table.column``.
    last : mapping to (T, N)
        The last known value, for what is held: ``beta``, ``table.column``.
    sector : (N,) int, optional
        Place in `sectors` of each name's sector; -1 where it is unknown.
    sectors : sequence of str
        Names of the sectors.
    regime : (T,) of str, optional
        Label of each session.
    source : object
        What the signals were read from: those with an equal one have the same members and values. An object
        of its own where nothing is known.
    """

    alpha: Array | SomeRows
    members: Mask | SomeRows
    adv: Array | SomeRows
    volatility: Array | SomeRows
    marketcap: Array | SomeRows | None
    allowed: np.ndarray[Any, np.dtype[np.bool_]]
    today: Mapping[str, Array | SomeRows] = field(default_factory=dict)
    last: Mapping[str, Array | SomeRows] = field(default_factory=dict)
    sector: Index | None = None
    sectors: Sequence[str] = ()
    regime: np.ndarray[Any, Any] | None = None
    source: object = field(default_factory=object)

    @cached_property
    def inside(self) -> Array:
        """(S, N) 1.0 for the names of each sector."""
        assert self.sector is not None  # noqa: S101 - read for every strategy that needs it
        found: Array = (self.sector == np.arange(len(self.sectors))[:, None]).astype(np.float64)
        return found

    def regime_in_force(self, t: int, confirm: int) -> str:
        """The label of t, or the last one that had lasted `confirm` sessions by then."""
        if self.regime is None:
            return UNKNOWN
        seen = self.regime[: t + 1]
        if confirm > 1:
            change = np.flatnonzero(np.append(True, seen[1:] != seen[:-1]))
            length = np.diff(np.append(change, len(seen)))
            lasting = change[length >= confirm]
            if not len(lasting):
                return UNKNOWN
            return str(seen[lasting[-1]])
        return str(seen[-1])
