"""Random decisions of ls_opt."""

from __future__ import annotations

import numpy as np

from kairos.equity.backtest.costs import Costs
from kairos.equity.backtest.covariance import covariance
from kairos.equity.backtest.optimise import Decision

COSTS = Costs(0.0005, 0.7, 0.05, 0.005, 0.05, 0.0, 1e7)


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
    return Decision(
        np.arange(n) < candidates, alpha, rng.normal(1.0, 0.35, n), sector, [f"s{i}" for i in range(11)],
        2.0 * share, covariance(returns), returns.std(axis=0, ddof=1), adv, previous,
        COSTS.largest(adv), first=first,
    )  # fmt: skip
