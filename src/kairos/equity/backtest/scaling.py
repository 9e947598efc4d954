"""The scale of a book that aims at a volatility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.costs import Vector

if TYPE_CHECKING:
    from kairos.settings import Strategy

SESSIONS_PER_YEAR = 252


def periods_per_year(strategy: Strategy) -> float:
    """Returns a year: one a session, or one a rebalance as the manual has it."""
    engine = strategy.backtest
    return SESSIONS_PER_YEAR / (engine.rebalance_every if engine.manual.per_rebalance else 1)


def trailing(strategy: Strategy, past: Vector) -> float:
    """Scale from the last `window` raw net returns up to the decision; 1 with fewer than `min_obs`."""
    rules = strategy.backtest.volatility
    window = past[-rules.window :]
    return whole_sample(strategy, window) if len(window) >= rules.min_obs else 1.0


def whole_sample(strategy: Strategy, returns: Vector, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Scale target / (√periods_per_year · std of the returns), at most `max_leverage`.

    1 without a target or a spread.
    """
    spread = float(returns.std(ddof=1)) if strategy.target_vol and len(returns) > 1 else 0.0
    if not spread > 0.0:
        return 1.0
    scale = strategy.target_vol / (np.sqrt(periods_per_year) * spread)
    return float(min(scale, strategy.backtest.volatility.max_leverage))
