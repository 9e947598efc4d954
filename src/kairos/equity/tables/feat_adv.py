"""Liquidity and size."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import log
from kairos.equity.frame import Array, Inputs
from kairos.equity.size import size
from kairos.panel import z


class AdvParams(Params):
    """Windows in sessions; the long one needs `long_min_obs` observations, as in the universe."""

    short: int = 20
    long: int = 60
    long_min_obs: int = 40


def columns(p: AdvParams) -> tuple[Column, ...]:
    """Dollar volume, size, and their z-scores."""
    return (
        Column("dollar_volume", "c · v, USD", dtype="DOUBLE"),
        Column(f"adv_{p.short}", f"mean dollar volume over {p.short} sessions, USD", dtype="DOUBLE"),
        Column(f"adv_{p.long}", f"mean dollar volume over {p.long} sessions, USD, at least {p.long_min_obs} observations", dtype="DOUBLE"),
        Column("adv_z", f"z(ln adv_{p.short}) over the members of the date"),
        Column("size_raw", f"ln of marketcap(t-1) · c_t / c_{{t-1}} in USD; without daily ln adv_{p.long}", "Banz (1981)"),
        Column("size_z", "z(size_raw) over the members of the date"),
    )  # fmt: skip


def compute(x: Inputs, p: AdvParams) -> Mapping[str, Array]:
    """Value at t from bars up to t and the market cap of the session before."""
    dollars = x["close"] * x["volume"]
    short = x.rolling(p.short).mean(dollars)
    long = x.rolling(p.long, min_obs=p.long_min_obs).mean(dollars)
    marketcap = x.get("marketcap")
    size_raw = log(long if marketcap is None else size(marketcap, x["close"], x.max_gap))
    return {
        "dollar_volume": dollars,
        f"adv_{p.short}": short,
        f"adv_{p.long}": long,
        "adv_z": z(log(short), x.members),
        "size_raw": size_raw,
        "size_z": z(size_raw, x.members),
    }


TABLE = FeatureTable(
    name="feat_adv",
    doc="Average daily dollar volume and company size, with z-scores over the members of the date. Every "
    "average looks back a fixed number of sessions; there is no whole-history mean.",
    inputs=("sep_base_academic.close", "sep_base_academic.volume", "sep_base_academic.member"),
    optional=("daily.marketcap",),
    columns=columns,
    params=AdvParams,
    uses=("equity.listing", "equity.windows"),
    history=lambda p, gap: max(p.short, p.long, gap + 1),
    scope=Scope.BOTH,
    compute=compute,
)
