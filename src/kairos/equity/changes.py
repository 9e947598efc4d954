"""From which date on a table differs from what was made of it.

A table remembers its last changes: what it was (its fingerprint), and for every column the first date of a
value that is another one now. A reader remembers the fingerprint it was made from. So what has to be computed
again is known without looking at a row. Rows that were added or removed count for every column.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kairos.store import Part, Table, read_part

KEPT = 90
"""Changes that a table remembers; a reader that is further behind is made as a whole."""

BEGINNING = dt.date.min

MANY = 2_000_000
"""Rows of differing parts above which the first date of such a part stands for the first difference."""

Since = Mapping[str, dt.date]
"""First date of a change by column; a column without an entry did not change."""


def log(before: Table | None, since: Since) -> list[dict[str, Any]]:
    """The remembered changes of a table that follows `before` by the change `since`; kept as ``changes``."""
    if before is None:
        return []
    entry = {"from": before.fingerprint, "since": {name: day.isoformat() for name, day in since.items()}}
    return [*before.meta.get("changes", []), entry][-KEPT:]


def first_change(now: Table, seen: str | None, columns: Iterable[str] | None = None) -> dt.date | None:
    """First date on which one of the columns (None: any) differs from the state with the fingerprint `seen`.

    None when nothing differs; `BEGINNING` when the table does not remember that state.
    """
    if seen == now.fingerprint:
        return None
    entries = now.meta.get("changes", [])
    known = [i for i, entry in enumerate(entries) if entry["from"] == seen]
    if not known:
        return BEGINNING
    wanted = None if columns is None else set(columns)
    days = [
        dt.date.fromisoformat(day)
        for entry in entries[known[-1] :]
        for name, day in entry["since"].items()
        if wanted is None or name in wanted
    ]
    return min(days, default=None)


def between(before: Table, after: Table, dated: tuple[str, str] | None, counts: str = "") -> Since:
    """Compare two states of a table by their parts: those that differ, row by row where they are few.

    Parameters
    ----------
    before, after : Table
        With the same key.
    dated : two names
        Columns that date a change: in a row that stays (of two dates the earlier), and in one that comes or
        goes. None: any difference counts from the beginning.
    counts : name
        Of a ticker that comes or goes with all of its rows only those count for which this column is true.
    """
    names = [name for name in after.names if name not in after.key]
    if dated is None or before.columns != after.columns:
        return dict.fromkeys(names, BEGINNING)
    old = [part for part in before.parts if part not in after.parts]
    new = [part for part in after.parts if part not in before.parts]
    if sum(part.rows for part in (*old, *new)) > MANY:
        first = min((part.lo or BEGINNING for part in (*old, *new)), default=BEGINNING)
        return dict.fromkeys(names, first)
    if not old and not new:
        return {}
    was, now = _rows(old or new[:1], bool(old)), _rows(new or old[:1], bool(new))
    if counts:
        was, now = _counting(was, after, now, counts), _counting(now, before, was, counts)
    return differences(was, now, after.key, dated)


def _counting(rows: pa.Table, other: Table, differing: pa.Table, counts: str) -> pa.Table:
    """Rows that count: true ones, and those of tickers that the other state has, in any part."""
    lone = pc.invert(pc.is_in(rows["ticker"], value_set=differing["ticker"].unique()))
    if not pc.any(lone).as_py():
        return rows
    parts = (read_part(part, ["ticker"], coded=["ticker"]) for part in other.parts)
    held = pa.chunked_array([part["ticker"].unique().cast(pa.string()) for part in parts])
    return rows.filter(pc.or_(rows[counts], pc.is_in(rows["ticker"], value_set=held.unique())))


def _rows(parts: list[Part], filled: bool) -> pa.Table:
    found = pa.concat_tables(map(read_part, parts))
    return found if filled else found.slice(0, 0)


def differences(before: pa.Table, after: pa.Table, key: tuple[str, ...], dated: tuple[str, str]) -> Since:
    """Compare two states of a small table, row by row; the dates as in `between`."""
    names = [name for name in after.column_names if name not in key]
    both = before.append_column("_in", pa.array([True] * len(before), pa.bool_())).join(
        after.append_column("_in", pa.array([True] * len(after), pa.bool_())),
        keys=list(key),
        join_type="full outer",
        left_suffix="_before",
        right_suffix="_after",
    )
    changed, begun = (
        both[date] if date in key else pc.min_element_wise(both[f"{date}_before"], both[f"{date}_after"])
        for date in dated
    )
    lone = pc.or_(pc.is_null(both["_in_before"]), pc.is_null(both["_in_after"]))
    if dated[1] not in key:
        lone = pc.or_(lone, _differ(both[f"{dated[1]}_before"], both[f"{dated[1]}_after"]))
    when = pc.if_else(lone, begun, changed)
    found = {}
    for name in names:
        unlike = pc.or_(lone, _differ(both[f"{name}_before"], both[f"{name}_after"]))
        day = pc.min(when.filter(unlike)).as_py()
        if day is not None:
            found[name] = day
    return found


def _differ(a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.ChunkedArray:
    """True where one is missing and the other is not, or both are there and unequal."""
    unequal = pc.fill_null(pc.not_equal(a, b), False)
    return pc.or_(unequal, pc.not_equal(pc.is_null(a), pc.is_null(b)))
