"""Insiders' trades on the open market."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.panel import Rolling, clipped_z


class InsiderParams(Params):
    """Window in sessions."""

    window: int = 30
    clip: float = 3.0


def columns(p: InsiderParams) -> tuple[Column, ...]:
    """Sums and the score."""
    n, source = p.window, "Lakonishok & Lee (2001)"
    return (
        Column(f"buy_value_{n}d", f"purchases of {n} sessions, USD", dtype="DOUBLE"),
        Column(f"sell_value_{n}d", f"sales of {n} sessions, USD", dtype="DOUBLE"),
        Column(f"net_buy_value_{n}d", "purchases less sales, USD", source, "DOUBLE", sign=1),
        Column(f"buy_count_{n}d", f"purchases of {n} sessions"),
        Column(f"sell_count_{n}d", f"sales of {n} sessions"),
        Column("net_buy_signal", f"sign(net_buy_value_{n}d)", source, sign=1),
        Column("insider_composite_z", f"z(sign(net)·ln(1 + |net|)) clipped to ±{p.clip:g}", source, sign=1),
    )


def compute(x: Inputs, p: InsiderParams) -> Mapping[str, Array]:
    """Value at t from the forms that could be read by the close of t; a row without one has zeros."""

    def total(column: str) -> Array:
        return Rolling(window=p.window, min_obs=1, start=x.frame.start).sum(np.nan_to_num(x[column]))

    buy, sell = total("buy_value"), total("sell_value")
    net = buy - sell
    return {
        f"buy_value_{p.window}d": buy,
        f"sell_value_{p.window}d": sell,
        f"net_buy_value_{p.window}d": net,
        f"buy_count_{p.window}d": total("buy_count"),
        f"sell_count_{p.window}d": total("sell_count"),
        "net_buy_signal": np.sign(net),
        "insider_composite_z": clipped_z(np.sign(net) * np.log1p(np.abs(net)), x.members, p.clip),
    }


TABLE = FeatureTable(
    name="feat_insider",
    doc="Purchases and sales of insiders on the open market over the last sessions, by the day on which their forms "
    "could first be read.",
    inputs=(
        *(f"insider_forms.{name}" for name in ("buy_value", "sell_value", "buy_count", "sell_count")),
        "sep_base_academic.member",
    ),
    columns=columns,
    params=InsiderParams,
    history=lambda p, _: p.window,
    scope=Scope.BOTH,
    compute=compute,
)
