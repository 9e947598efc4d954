"""Market beta and residual volatility."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.panel import returns


class BetaParams(Params):
    """Windows of the betas, and the one of the residual volatility, in sessions."""

    windows: tuple[int, ...] = (21, 63, 252)
    residual: int = 63


def columns(p: BetaParams) -> tuple[Column, ...]:
    """Betas and residual volatility."""
    return (
        *(Column(f"beta_{n}d", f"cov_{n}(r, m) / var_{n}(m), m = market.ret", "Frazzini & Pedersen (2014)", sign=-1) for n in p.windows),
        Column(f"resid_vol_{p.residual}d", f"std_{p.residual}(r - β·m), β = beta_{p.residual}d of t over that window", "Ang et al. (2006)", sign=-1),
    )  # fmt: skip


def compute(x: Inputs, p: BetaParams) -> Mapping[str, Array]:
    """Value at t from total returns up to t."""
    r, market = returns(x["closeadj"]), x["ret"]
    return {
        **{f"beta_{n}d": x.rolling(n).beta(r, market) for n in p.windows},
        f"resid_vol_{p.residual}d": x.rolling(p.residual).residual_std(r, market),
    }


TABLE = FeatureTable(
    name="feat_beta",
    doc="Rolling CAPM beta against the equal-weight market of the universe, and the volatility that the market "
    "does not explain.",
    inputs=("sep_base_academic.closeadj", "market.ret"),
    columns=columns,
    params=BetaParams,
    uses=("equity.windows",),
    history=lambda p, _: max(*p.windows, p.residual) + 1,
    scope=Scope.TICKER,
    compute=compute,
)
