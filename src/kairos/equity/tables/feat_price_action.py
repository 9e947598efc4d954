"""Recent returns, ranges and breakouts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import flag, ratio, true_range
from kairos.equity.frame import Array, Inputs
from kairos.panel import change, lag, returns


class PriceActionParams(Params):
    """Horizons of returns and breakouts, in sessions."""

    returns: tuple[int, ...] = (5, 21)
    breakouts: tuple[int, ...] = (20, 55)


def columns(p: PriceActionParams) -> tuple[Column, ...]:
    """Returns, ranges, breakouts."""
    return (
        Column("ret_1d", "closeadj_t / closeadj_{t-1} - 1; NULL unless both sessions have a price"),
        *(Column(f"ret_{k}d", f"closeadj_t / closeadj_{{t-{k}}} - 1, last prices within equity.listing.max_gap sessions") for k in p.returns),
        Column("hl_ratio", "h / l"),
        Column("co_ratio", "c / o"),
        Column("true_range", "max(h - l, |h - c₋₁|, |l - c₋₁|)", "Wilder (1978)", level=True),
        Column("range_pct", "(h - l) / o"),
        *(Column(f"breakout_{n}", f"1 when c is above the highest h of the {n} sessions before, else 0", "Donchian channel") for n in p.breakouts),
    )  # fmt: skip


def compute(x: Inputs, p: PriceActionParams) -> Mapping[str, Array]:
    """Value at t from prices up to t."""
    o, h, l, c = x["open"], x["high"], x["low"], x["close"]  # noqa: E741 - the field's letters
    total = x["closeadj"]
    out = {"ret_1d": returns(total)}
    for k in p.returns:
        out[f"ret_{k}d"] = np.where(np.isfinite(total), change(total, k, within=x.max_gap), np.nan)
    out["hl_ratio"] = ratio(h, l)
    out["co_ratio"] = ratio(c, o)
    out["true_range"] = true_range(h, l, lag(c, 1))
    out["range_pct"] = ratio(h - l, o)
    for n in p.breakouts:
        highest = lag(x.rolling(n).max(h), 1)
        out[f"breakout_{n}"] = flag(c > highest, c, highest)
    return out


TABLE = FeatureTable(
    name="feat_price_action",
    doc="What a ticker's price did lately: total returns over one to 21 sessions, the day's range, and whether "
    "the close broke out of the range of the weeks before.",
    inputs=tuple(f"sep_base_academic.{c}" for c in ("open", "high", "low", "close", "closeadj")),
    columns=columns,
    params=PriceActionParams,
    uses=("equity.listing", "equity.windows"),
    history=lambda p, gap: max(*(k + gap for k in p.returns), *(n + 1 for n in p.breakouts)),
    scope=Scope.TICKER,
    compute=compute,
)
