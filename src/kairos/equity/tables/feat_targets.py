"""Forward returns: what a signal is judged by. The one table that looks ahead, and says so."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import flag
from kairos.equity.frame import Array, Inputs
from kairos.equity.outcome import forward_return


class TargetParams(Params):
    """Horizons in sessions; `label` is the one of the sign label."""

    horizons: tuple[int, ...] = (1, 5, 21)
    label: int = 5


def columns(p: TargetParams) -> tuple[Column, ...]:
    """Forward returns and the label."""
    return (
        *(Column(f"ret_{h}d_f", f"closeadj_{{t+{h}}} / closeadj_t - 1; a ticker that ends before pays its last price · (1 + payout)", "Shumway (1997) for payouts") for h in p.horizons),
        Column(f"label_{p.label}d_up", f"1 when ret_{p.label}d_f > 0, else 0", dtype="TINYINT"),
    )  # fmt: skip


def compute(x: Inputs, p: TargetParams) -> Mapping[str, Array]:
    """Value at t from prices after t: never a feature."""

    def forward(horizon: int) -> Array:
        return forward_return(x.frame, x["closeadj"], x.outcomes, x.max_gap, lag=0, horizon=horizon)

    label = forward(p.label)
    out = {f"ret_{h}d_f": forward(h) for h in p.horizons}
    return {**out, f"label_{p.label}d_up": flag(label > 0, label)}


TABLE = FeatureTable(
    name="feat_targets",
    doc="Forward total returns from the close of t to the close of t + h, and the sign of the five-session one. "
    "They look ahead by definition and can't be used as a signal. NULL only where the data end before the "
    "horizon.",
    inputs=("sep_base_academic.closeadj", "listings"),
    columns=columns,
    params=TargetParams,
    uses=("equity.listing", "equity.delisting"),
    history=lambda _, gap: gap,
    forward=lambda p, gap: max(*p.horizons, p.label) + gap,  # an end is known `gap` sessions after it
    scope=Scope.TICKER,
    compute=compute,
)
