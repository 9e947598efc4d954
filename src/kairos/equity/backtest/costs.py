"""What trading and holding cost. The same object serves the simulator and whatever decides on trades."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.panel.weights import Terms, trading_costs

if TYPE_CHECKING:
    from kairos.settings import Backtest

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Costs:
    """One-way trading cost and carry, as fractions of capital.

    A trade of weight Δw costs |Δw| · (half_spread + impact · σ · √(|Δw| · capital · scale / adv)), the
    square-root law of market impact (Grinold & Kahn 2000; Almgren et al. 2005).

    Attributes
    ----------
    half_spread : float
        Half of the bid-ask spread over the price.
    impact : float
        Impact, in daily volatilities, of trading a whole day's volume.
    participation : float
        Largest share of `adv` traded in a session; 0 is no limit.
    borrow, financing_rate, cash_rate : float
        Yearly rates, ACT/365: on shorts, on gross exposure above 1, on idle cash.
    capital : float
        USD, constant.
    """

    half_spread: float
    impact: float
    participation: float
    borrow: float
    financing_rate: float
    cash_rate: float
    capital: float

    @classmethod
    def of(cls, settings: Backtest) -> Costs:
        """Costs of a resolved configuration."""
        return cls(**settings.costs.model_dump(), capital=settings.capital)

    def financing_only(self) -> Costs:
        """Interest on borrowed money and on cash, and no cost of trading: for benchmarks."""
        return replace(self, half_spread=0.0, impact=0.0, participation=0.0, borrow=0.0)

    @property
    def needs_liquidity(self) -> bool:
        """Whether a trade can be priced only with a known dollar volume (and volatility)."""
        return self.impact > 0.0 or self.participation > 0.0

    @property
    def terms(self) -> Terms:
        """The same for the account's compiled loop."""
        return Terms(self.half_spread, self.impact, self.cash_rate, self.financing_rate, self.borrow)

    def trade(self, change: Vector, volatility: Vector, adv: Vector, scale: float = 1.0) -> Vector:
        """Cost of each trade as a fraction of capital.

        Parameters
        ----------
        change : (n,)
            Change of weight.
        volatility : (n,)
            Daily.
        adv : (n,)
            Average daily dollar volume, USD.
        scale : float
            Dollars traded per dollar of the book that `change` refers to.
        """
        return trading_costs(change, volatility, adv, self.capital * scale, self.terms)

    def largest(self, adv: Vector, scale: float = 1.0) -> Vector:
        """Largest change of weight in one session."""
        if self.participation == 0.0:
            return np.full(adv.shape, np.inf)
        return self.participation * adv / (self.capital * scale)
