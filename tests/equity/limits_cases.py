"""Limits of a long-only and of a long-short book, written out for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kairos.equity.backtest.costs import Vector
from kairos.equity.backtest.limits import Index, Limits, Rule


def sector_rules(
    sector: Index, labels: Sequence[str], limit: Vector, kind: str = "sector", *, size: bool = False
) -> tuple[Rule, ...]:
    """One rule a sector that has names: their weights, absolute with `size`, sum to at most its limit.

    Parameters
    ----------
    sector : (n,)
        Number of each name's sector; below 0 unknown, and under no rule.
    labels, limit : (S,)
        Names and limits of the sectors.
    """
    return tuple(
        Rule(kind, f"sector {labels[s]}", (sector == s).astype(float), -np.inf, float(limit[s]), size=size)
        for s in np.unique(sector[sector >= 0])
    )


def long_only(
    previous: Vector,
    name: float,
    sectors: tuple[Rule, ...] = (),
    turnover: float = np.inf,
    *,
    allow_cash: bool = False,
) -> Limits:
    """Weights from 0 to `name` that sum to 1, or to at most 1."""
    n = len(previous)
    budget = Rule("budget", "sum of weights", np.ones(n), -np.inf if allow_cash else 1.0, 1.0)
    zero, one = np.zeros(n), np.ones(n)
    return Limits(zero, one, np.full(n, name), (budget, *sectors), previous, turnover, np.full(n, np.inf))


def long_short(
    side: Vector,
    beta: Vector,
    name: float,
    sector: Index,
    labels: Sequence[str],
    sector_limit: Vector,
    previous: Vector,
    turnover: float = np.inf,
) -> Limits:
    """Longs that sum to one half and shorts that sum to minus one half, without beta.

    Parameters
    ----------
    side : (n,)
        1 for longs, −1 for shorts.
    sector_limit : (S,)
        Of the absolute weights of each sector. As the sides are fixed, that is linear.
    """
    n = len(side)
    half = (
        Rule("long", "sum of longs", (side > 0.0).astype(float), 0.5, 0.5),
        Rule("short", "sum of shorts", (side < 0.0).astype(float), -0.5, -0.5),
        Rule("beta", "beta", beta, 0.0, 0.0),
    )
    gross = tuple(rule._replace(row=rule.row * side) for rule in sector_rules(sector, labels, sector_limit))
    lower, upper = np.where(side < 0.0, -1.0, 0.0), np.where(side > 0.0, 1.0, 0.0)
    return Limits(lower, upper, np.full(n, name), (*half, *gross), previous, turnover, np.full(n, np.inf))
