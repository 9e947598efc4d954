"""The dollar-neutral book that expects the most after risk and cost: ls_opt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kairos.equity.backtest.costs import Costs, Vector
from kairos.equity.backtest.covariance import Covariance
from kairos.equity.backtest.limits import Limits, Rule, reach
from kairos.equity.backtest.nearest import Objective, Solution, best
from kairos.errors import InputError

SESSIONS_PER_YEAR = 252
COST_MODELS = ("power", "linear")
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Decision:
    """What is known of the candidates and of the held names after the close of a decision date.

    Attributes
    ----------
    candidate : (n,) bool
        Selected by their signal; the others are held and may only shrink.
    alpha_z : (n,)
        Clipped z of the signal; not read where a name is no candidate.
    rules : tuple of Rule
        Limits over many names: beta, sectors, exposures.
    covariance : Covariance
        Daily.
    volatility, adv : (n,)
        Daily volatility and dollar volume, for costs.
    previous : (n,)
        Weights as they have drifted.
    largest : (n,)
        Largest |Δw|, by participation.
    traded, halted : (n,), optional
        What the scaled book holds, in units of this one; what has no price today. See `Limits`.
    ic : float, optional
        Information coefficient expected now, instead of the optimiser's; the risk aversion keeps that.
    scale : float
        Dollars per dollar of the book that the weights refer to.
    first : bool
        No book yet: the turnover limit is off.
    """

    candidate: Mask
    alpha_z: Vector
    rules: tuple[Rule, ...]
    covariance: Covariance
    volatility: Vector
    adv: Vector
    previous: Vector
    largest: Vector
    scale: float = 1.0
    first: bool = False
    traded: Vector | None = None
    halted: Mask | None = None
    ic: float | None = None

    def __post_init__(self) -> None:
        for label in ("volatility", "adv", "previous"):
            missing = int((~np.isfinite(getattr(self, label))).sum())
            if missing:
                raise InputError(f"{label} is missing for {missing} names of the decision; filter them first")
        if not np.isfinite(self.alpha_z[self.candidate]).all():
            raise InputError("alpha_z is missing for a candidate; filter it first")
        if (self.adv <= 0.0).any():
            raise InputError("a name of the decision has no dollar volume; filter it first")


@dataclass(frozen=True)
class Optimiser:
    """Maximise  μ'w − ½·a·w'Σ_h·w − (h/holding_period)·cost(w − w₀) − (h/252)·borrow·Σ max(−w, 0).

    Return, risk, cost and borrow are all of the h sessions until the next rebalance. μ = IC·σ·√h·alpha_z with
    σ the square root of Σ's diagonal (Grinold 1994: alpha is volatility times IC times score), 0 for a name
    that is no candidate; Σ_h = h·Σ; a trade is paid for over `holding_period` sessions. cost and borrow
    are those of
    `Costs`, which the simulator charges.

    **Risk aversion.** Without limits and costs, and with independent names, the best is
    wᵢ = IC·zᵢ/(a·σᵢ·√h). Its risk over the horizon is IC·√(Σz²)/a, about IC·√n/a for n candidates. Set
    equal to σ_target·√(h/252) this gives

        a = IC·√n / (σ_target·√(h/252))

    **Limits.** Σw = 0, Σ|w| ≤ gross, |wᵢ| ≤ name, the rules of the decision (beta, sectors),
    Σ|Δw| ≤ turnover, |Δwᵢ| ≤ largestᵢ; a name that is no candidate stays between 0 and its weight, or what
    a session leaves of it. Limits
    that can't hold together give way as `relax` says: turnover first, then participation (what a session
    can't trade is filled on the next ones), then sector and name.

    Attributes
    ----------
    costs : Costs
    horizon, holding_period : int
        Sessions.
    ic : float
        Expected information coefficient of the signal.
    target_vol : float
        Yearly; it only sets the risk aversion.
    risk_aversion : float, optional
        a, instead of the formula.
    name, gross, turnover : float
        Limits.
    cost_model : {"power", "linear"}
        The square-root law itself, or its average cost at a trade of `linear_size`.
    linear_size : float
        Weight at which the linear cost is exact; smaller trades are charged too much.
    """

    costs: Costs
    horizon: int = 5
    holding_period: int = 21
    ic: float = 0.02
    target_vol: float = 0.10
    risk_aversion: float | None = None
    name: float = 0.03
    gross: float = 1.0
    turnover: float = 0.40
    cost_model: str = "power"
    linear_size: float = 0.005

    def __post_init__(self) -> None:
        if self.cost_model not in COST_MODELS:
            raise InputError(f"cost model {self.cost_model!r} is unknown; choose {' or '.join(COST_MODELS)}")
        aim = "target_vol" if self.risk_aversion is None else "risk_aversion"
        for label in ("horizon", "holding_period", aim):
            if not getattr(self, label) > 0.0:
                raise InputError(f"{label} must be positive, not {getattr(self, label)}")

    def solve(self, decision: Decision) -> Solution:
        """The best book of a decision; `Solution.objective` is what is maximised, with its sign changed."""
        return best(self.objective(decision), self.limits(decision))

    def aversion(self, candidates: int) -> float:
        """a, see the class."""
        if self.risk_aversion is not None:
            return self.risk_aversion
        over_horizon = self.target_vol * math.sqrt(self.horizon / SESSIONS_PER_YEAR)
        return self.ic * math.sqrt(candidates) / over_horizon

    def expected(self, decision: Decision) -> Vector:
        """(n,) μ: expected return over the horizon."""
        score = np.where(decision.candidate, decision.alpha_z, 0.0)
        ic = self.ic if decision.ic is None else decision.ic
        mu: Vector = ic * np.sqrt(decision.covariance.variance * self.horizon) * score
        return mu

    def objective(self, decision: Decision) -> Objective:
        """What is minimised."""
        risk = self.aversion(int(decision.candidate.sum())) * self.horizon
        paid = self.horizon / self.holding_period
        n, costs = len(decision.previous), self.costs
        impact = costs.impact * decision.volatility * np.sqrt(costs.capital * decision.scale / decision.adv)
        linear, power = np.zeros((3, n)), np.zeros(n)
        fee = 0.5 * costs.borrow * self.horizon / SESSIONS_PER_YEAR  # max(−w, 0) = (|w| − w)/2
        linear[0] = -self.expected(decision) - fee
        linear[1] = fee
        linear[2] = paid * costs.half_spread
        if self.cost_model == "power":
            power += paid * impact
        else:
            linear[2] += paid * impact * np.sqrt(self.linear_size)
        covariance = decision.covariance
        return Objective(risk * covariance.specific, linear, power, np.sqrt(risk) * covariance.factor)

    def limits(self, decision: Decision) -> Limits:
        """What the book must keep."""
        n, previous = len(decision.previous), decision.previous
        ones = np.ones(n)
        rules = (
            Rule("net", "sum of weights", ones, 0.0, 0.0),
            *decision.rules,
            Rule("gross", "gross", ones, -np.inf, self.gross, size=True),
        )
        traded = previous if decision.traded is None else decision.traded
        low, high = reach(previous, traded, decision.largest)
        lower = np.where(decision.candidate, -1.0, np.minimum(np.minimum(previous, high), 0.0))
        upper = np.where(decision.candidate, 1.0, np.maximum(np.maximum(previous, low), 0.0))
        turnover = np.inf if decision.first else self.turnover
        name = np.full(n, self.name)
        return Limits(
            lower, upper, name, rules, previous, turnover, decision.largest, decision.traded, decision.halted
        )
