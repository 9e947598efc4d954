"""A user's column name to ``table.column``."""

from __future__ import annotations

import difflib

from kairos.equity import registry
from kairos.equity.context import Context
from kairos.equity.declare import FeatureTable
from kairos.errors import InputError


def resolve(context: Context, name: str, *, as_signal: bool = True) -> str:
    """The full name of a column of a feature table: ``ret_21d`` is ``feat_price_action.ret_21d``.

    Parameters
    ----------
    name : str
        A column name, or ``table.column``.
    as_signal : bool
        Refuse columns that look ahead (targets).

    Raises
    ------
    InputError
        When no table has the column, several have it, or it looks ahead.
    """
    declared = registry.declarations()
    found = {
        f"{table.name}.{column}"
        for (space, _), table in context.snapshot.tables.items()
        if space == context.namespace and table.name.startswith("feat_")
        for column in table.names
        if column not in table.key
    }
    matches = sorted(full for full in found if name in (full, full.partition(".")[2]))
    if not matches:
        near = difflib.get_close_matches(name, [*found, *(f.partition(".")[2] for f in found)], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `kairos equity status` shows what is built"
        raise InputError(f"no feature table of namespace {context.namespace} has a column {name}{hint}")
    if len(matches) > 1:
        raise InputError(f"{name} stands in several tables: write {' or '.join(matches)}")
    table = declared.get(matches[0].partition(".")[0])
    if as_signal and isinstance(table, FeatureTable):
        params = table.resolve(context.settings.equity.tables.get(table.name, {}))
        if table.forward(params, context.settings.equity.listing.max_gap) > 0:
            raise InputError(
                f"{matches[0]} looks ahead: it holds returns after its date and can't be a signal"
            )
    return matches[0]


def warnings_of(context: Context, column: str) -> list[str]:
    """What a reader must know about a ``table.column`` that is used as a signal."""
    table, _, name = column.partition(".")
    declared = registry.declarations().get(table)
    if declared is None:
        return []
    params = declared.resolve(context.settings.equity.tables.get(table, {}))
    if any(c.level for c in declared.columns(params) if c.name == name):
        what = f"{column} is a level on today's split basis; compared across tickers it knows later splits"
        return [f"Look-ahead: {what}. Use a ratio instead."]
    return []
