"""Prices of the manual's Option B list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kairos.equity.context import Context
from kairos.equity.declare import AssembledTable, Params
from kairos.equity.tables.sep_base_academic import NAMES, VALUES
from kairos.store.sql import columns, quote


def query(context: Context, _: Params) -> tuple[str, Mapping[str, Any]]:
    """The prices of every ticker on the list."""
    listed = f"{quote(context.namespace)}.option_b"
    text = f"SELECT {columns(NAMES)} FROM main.sep_base SEMI JOIN {listed} USING (ticker)"
    with context.connect("sep_base", "option_b") as con:
        ((rows, last),) = con.sql(
            "SELECT count(*), max(date)::VARCHAR FROM sep_base SEMI JOIN option_b USING (ticker)"
        ).fetchall()
    return text, {"rows": rows, "last": last}


TABLE = AssembledTable(
    name="sep_base_expanded",
    doc="All prices of the tickers on the Option B list (the static list of the last session, whatever the "
    "universe's mode). Only survivors are on that list: use it for look-ups, not for backtests.",
    inputs=("sep_base", "option_b"),
    columns=lambda _: VALUES,
    key=("ticker", "date"),
    query=query,
)
