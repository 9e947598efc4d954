"""What is asked of a day's decision, and the decision by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.compat import scaled_by_all
from kairos.equity.backtest.execute import simulated
from kairos.equity.backtest.strategy import Desk, Target
from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.equity.backtest.account import Index
    from kairos.equity.backtest.costs import Vector
    from kairos.equity.backtest.signals import Signals
    from kairos.equity.backtest.simulate import Simulation
    from kairos.equity.live.day import Day
    from kairos.equity.live.holdings import Holdings
    from kairos.settings import Strategy


@dataclass(frozen=True)
class Request:
    """What is asked for, resolved.

    Attributes
    ----------
    strategy : Strategy
        Up to the day, and on the capital.
    alpha : str
        ``table.column`` of the signal; `lower_is_better` when its sign is turned.
    prior : Holdings, optional
        What is really held.
    barred : (b,) int
        Columns of names that can't be shorted anew.
    strangers : tuple of str
        Names of that list that have never been listed up to the day.
    """

    strategy: Strategy
    alpha: str
    lower_is_better: bool
    prior: Holdings | None
    barred: Index
    strangers: tuple[str, ...] = ()

    @property
    def capital(self) -> float:
        """USD that the weights are fractions of."""
        return self.strategy.backtest.capital


def check_tradable(strategy: Strategy, parts: Sequence[Strategy]) -> None:
    """Refuse settings of the engine that know the future; they exist to repeat the manual's backtests.

    Parameters
    ----------
    parts : sequence of Strategy
        What a mix is made of.
    """
    engine, odd = strategy.backtest, []
    if engine.compat_manual:
        odd.append("compat_manual = true")
    if engine.manual.missing_target:
        odd.append("manual.missing_target = true")
    if scaled_by_all(strategy, parts):
        odd.append("volatility.estimate = 'full_sample'")
    if odd:
        raise InputError(f"{strategy.name} looks ahead and can't be traded: {', '.join(odd)}")


def decide(request: Request, day: Day, price: Vector) -> tuple[Simulation, dict[str, str]]:
    """Simulate up to the day, and decide on it for what is really held.

    Also told: names that are held but lack what the strategy's limits need. The decision goes without them,
    so they are sold.
    """
    dropped: dict[str, str] = {}

    def desk(signals: Signals, row: int) -> Desk:
        if request.prior is None:
            return Desk(None, request.barred)
        names = request.prior.names
        weight = request.prior.shares * price[names] / request.capital
        mix = request.strategy.mix.strategies  # which is decided on other books than the real one
        lacks = {} if mix else _lacking(request.strategy, signals, row, names)
        dropped.update(
            zip(day.panels.frame.tickers[names[list(lacks)]].tolist(), lacks.values(), strict=True)
        )
        keep = ~np.isin(np.arange(len(names)), list(lacks))
        return Desk(Target(names[keep], weight[keep]), request.barred)

    strategy = request.strategy
    run = simulated(day.context, strategy, request.alpha, request.lower_is_better, desk=desk)
    if not run.decided or run.decided[-1].row != day.row:
        raise InputError(
            f"{strategy.name} on {request.alpha} has held nothing up to {day.date}: no name passes its "
            "filter, or its regimes exclude every day so far. Nothing was written"
        )
    return run, dropped


def _lacking(strategy: Strategy, signals: Signals, row: int, names: Index) -> dict[int, str]:
    """Positions in `names` of which something is unknown that the limits need, and what."""
    needs = {label: panel[row, names] for label, panel in signals.last.items()}
    adv = signals.adv[row, names]
    if strategy.book == "optimised":
        needs |= {"adv": np.where(adv > 0.0, adv, np.nan), "volatility": signals.volatility[row, names]}
    elif strategy.book == "nearest" and strategy.backtest.costs.participation:
        needs |= {"adv": adv}
    found: dict[int, str] = {}
    for label, values in needs.items():
        found |= {i: label for i in np.flatnonzero(~np.isfinite(values)).tolist() if i not in found}
    return found
