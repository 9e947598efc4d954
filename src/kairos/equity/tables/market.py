"""The equal-weight market of the universe."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kairos.equity.declare import Column, DateTable, Params
from kairos.equity.frame import Array, Inputs
from kairos.panel import lag, mean_of, returns

COLUMNS = (
    Column("ret", "mean r_t of the members of t-1; NULL without one", dtype="DOUBLE"),
    Column("names", "members of t-1 with a return on t", dtype="DOUBLE"),
)


def measure(x: Inputs, _: Params) -> Mapping[str, Array]:
    """Value at t from returns of t and the members of the session before: membership on t knows the close of t."""
    r, known = returns(x["closeadj"]), lag(x.members, 1)
    return {"ret": mean_of(r, known), "names": (known & np.isfinite(r)).sum(axis=1).astype(np.float64)}


TABLE = DateTable(
    name="market",
    doc="Return of the equal-weight market: every member of the session before, with the same weight. Betas are "
    "taken against it.",
    inputs=("sep_base_academic.closeadj", "sep_base_academic.member"),
    columns=lambda _: COLUMNS,
    history=lambda _, __: 1,
    measure=measure,
)
