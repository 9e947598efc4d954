"""A table after a change: its rows before a date as they were, and new ones from then on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kairos.equity.changes import BEGINNING
from kairos.equity.context import Context
from kairos.equity.declare import Renewal
from kairos.store import Part, plain_form
from kairos.store.periods import spans


def first_session(context: Context, renewal: Renewal) -> int:
    """Row of the first session from which on the table is made anew; 0 for all of it."""
    if renewal.before is None or renewal.since == BEGINNING:
        return 0
    return int(np.searchsorted(context.sessions[:-1], np.datetime64(renewal.since)))


def spliced(
    context: Context, renewal: Renewal, new: pa.Table, row: int, key: Sequence[str]
) -> list[pa.Table | Part]:
    """Rows before the session `row` as they were, then the new ones, in the parts that a rebuild would have.

    Parameters
    ----------
    new : table
        Rows with a ``date`` from that session on, with the columns of the table.
    row : int
        Absolute number of the session; 0 if all rows are new.
    key : names
        The table's key, beginning with ``ticker``.
    """
    new = plain_form(new)
    since = context.sessions[row].item() if row else BEGINNING
    parts: list[pa.Table | Part] = []
    for start, end in spans(context.sessions[0].item(), context.sessions[-1].item()):
        before = renewal.before
        old = (
            [p for p in before.parts if p.lo and p.hi and p.lo <= end and p.hi >= start]
            if row and before
            else []
        )
        if (
            end < since
            and len(old) == 1
            and old[0].lo
            and old[0].hi
            and start <= old[0].lo
            and old[0].hi <= end
        ):
            parts.append(old[0])
            continue
        kept = [
            _between(
                plain_form(context.part(before, p, new.column_names)),
                start,
                min(end, since - dt.timedelta(1)),
            )
            for p in old
            if before is not None
        ]
        rows = pa.concat_tables([*kept, _between(new, start, end)])
        if rows.num_rows:
            parts.append(rows.sort_by([(name, "ascending") for name in key]) if kept else rows)
    return parts or [new]


def _between(rows: pa.Table, start: dt.date, end: dt.date) -> pa.Table:
    return rows.filter(pc.and_(pc.greater_equal(rows["date"], start), pc.less_equal(rows["date"], end)))
