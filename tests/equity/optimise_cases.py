"""Random decisions of ls_opt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.covariance import covariance
from kairos.equity.backtest.limits import Rule
from kairos.equity.backtest.optimise import Decision

COSTS = Costs(0.0005, 0.7, 0.05, 0.005, 0.05, 0.0, 1e7)


@dataclass(frozen=True, kw_only=True)
class Case(Decision):
    """A decision, and what its rules are made of."""

    beta: np.ndarray
    sector: np.ndarray
    sector_limit: np.ndarray


def rules(beta, sector, limit):
    """Beta 0; Σ|w| ≤ limit and |Σw| ≤ 5 % in each sector."""
    found = [Rule("beta", "beta", beta, 0.0, 0.0)]
    for s in np.unique(sector):
        inside = (sector == s).astype(float)
        found.append(Rule("sector", f"s{s}", inside, -np.inf, limit[s], size=True))
        found.append(Rule("sector_net", f"s{s}, net", inside, -0.05, 0.05))
    return tuple(found)


def decision(seed, candidates=60, held=20, *, first=False, sessions=60, liquid=17.0):
    """A market factor, sectors and names' own risk; a neutral book from before, and some that must go."""
    rng = np.random.default_rng(seed)
    n = candidates + held
    sector = rng.integers(0, 11, n)
    returns = rng.normal(0.0, 0.01, (sessions, 1)) * rng.normal(1.0, 0.3, n)
    returns = returns + rng.normal(0.0, 0.006, (sessions, 11))[:, sector]
    returns = returns + rng.normal(size=(sessions, n)) * rng.uniform(0.01, 0.03, n)
    score = np.sort(rng.normal(size=8 * candidates).clip(-3.0, 3.0))
    half = candidates // 2
    alpha = np.concatenate([score[:half], score[len(score) - candidates + half :], np.full(held, np.nan)])
    previous = np.zeros(n)
    if not first:
        some = (rng.random(n) < 0.6) | (np.arange(n) >= candidates)
        previous = np.where(some, rng.normal(0.0, 0.01, n), 0.0)
        previous = (previous - previous.sum() / some.sum() * some) / np.abs(previous).sum()
    adv = np.exp(rng.normal(liquid, 1.2, n))
    share = np.bincount(sector, minlength=11) / n
    beta = rng.normal(1.0, 0.35, n)
    return Case(
        candidate=np.arange(n) < candidates, alpha_z=alpha, rules=rules(beta, sector, 2.0 * share),
        covariance=covariance(returns), volatility=returns.std(axis=0, ddof=1), adv=adv, previous=previous,
        largest=COSTS.largest(adv), first=first, beta=beta, sector=sector, sector_limit=2.0 * share,
    )  # fmt: skip
