"""A user's column name to ``table.column``."""

from __future__ import annotations

import difflib

from kairos.equity import registry
from kairos.equity.context import Context
from kairos.equity.declare import FeatureTable
from kairos.equity.matrix import NAME
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
    declared = registry.declarations(context.settings)
    kinds = {
        f"{table.name}.{column}": kind
        for (space, _), table in context.snapshot.tables.items()
        if space == context.namespace and table.name.startswith("feat_") and not table.sql
        for column, kind in table.columns
        if column not in table.key
    }
    found = set(kinds)
    matches = sorted(full for full in found if name in (full, full.partition(".")[2]))
    if not matches:
        near = difflib.get_close_matches(name, [*found, *(f.partition(".")[2] for f in found)], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `kairos equity status` shows what is built"
        raise InputError(f"no feature table of namespace {context.namespace} has a column {name}{hint}")
    if len(matches) > 1:
        matches = [m for m in matches if m.partition(".")[0] == _owner(context, name)] or matches
    if len(matches) > 1:
        raise InputError(f"{name} stands in several tables: write {' or '.join(matches)}")
    if as_signal and kinds[matches[0]] == "VARCHAR":
        raise InputError(f"{matches[0]} holds words and can't be a signal")
    table = declared.get(matches[0].partition(".")[0])
    if as_signal and isinstance(table, FeatureTable):
        params = table.resolve(context.settings.equity.tables.get(table.name, {}))
        if table.forward(params, context.settings.equity.listing.max_gap) > 0:
            raise InputError(
                f"{matches[0]} looks ahead: it holds returns after its date and can't be a signal"
            )
    return matches[0]


def _owner(context: Context, column: str) -> str | None:
    """The table that has a column's plain name in the matrix."""
    matrix = context.find(NAME)
    return matrix.meta.get("owners", {}).get(column) if matrix else None


def looks_ahead(context: Context, table: str) -> list[str]:
    """What a table, or one that it is made from, knows of the future: as it was made, and by the settings."""
    found = []
    for other in registry.select([table], context.settings):
        now = other.in_sample(other.resolve(context.settings.equity.tables.get(other.name, {})))
        stored = context.find(other.name)
        what = now or (stored.meta.get("ahead", "") if stored else "")
        found += [f"Look-ahead: {other.name} {what}"] if what else []
    return found


def warnings_of(context: Context, column: str) -> list[str]:
    """What a reader must know about a ``table.column`` that is used as a signal."""
    table, _, name = column.partition(".")
    known = registry.declarations(context.settings)
    declared = known.get(table)
    if declared is None:
        return []
    ahead = looks_ahead(context, table)
    params = declared.resolve(context.settings.equity.tables.get(table, {}))
    if any(c.level for c in declared.columns(params) if c.name == name):
        what = f"{column} is a level on today's split basis; compared across tickers it knows later splits"
        return [*ahead, f"Look-ahead: {what}. Use a ratio instead."]
    return ahead
