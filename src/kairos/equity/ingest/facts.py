"""What a reader of a stored table must know: doubtful rows, columns without a value, stale adjustments."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kairos.equity.vendor import Need
from kairos.store import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from kairos.equity.ingest.merge import Merged

SPLIT = 0.05
"""Least |ln| of a change of the split factor that is taken for one; less is rounding of cheap prices."""

JUMP = 0.18
"""Least |ln| of a split ratio, 6 for 5, that can be told from an ordinary move of a price."""

MARGIN = 0.03
"""By how much the adjusted price must jump more than the price as traded to be called inconsistent."""

NEIGHBOURS = 30
"""Calendar days within which two prices of a ticker are compared."""

DIFFERENT = "closeunadj differs from close"
ADJUSTED_IN_PART = "close jumps where closeunadj does not, adjusted in part?"
NOT_ADJUSTED = "close falls or rises by a split of the table actions, history not adjusted?"

_NAMED = 5


@dataclass(frozen=True)
class Facts:
    """What is doubtful in a table, and what a later load must know to count on from here.

    Attributes
    ----------
    warnings : dict
        Sentence → number of rows (of tickers or columns, where it names them); zero counts are left out.
    counted : dict
        Counts of all rows, and the tickers found by each comparison of neighbouring prices.
    """

    warnings: dict[str, int]
    counted: dict[str, Any]


def facts_of(
    con: duckdb.DuckDBPyConnection, merged: Merged, actions: Merged | None, has_actions: str | None
) -> Facts:
    """Count what is doubtful in a table. Where rows were only added, what was counted before is added to.

    Parameters
    ----------
    merged
        The table.
    actions
        The corporate actions, if they are loaded too.
    has_actions
        DuckDB relation of the corporate actions, when there is one: prices are compared with its splits.
    """
    only_new = not merged.changed and (actions is None or not actions.changed)
    before = merged.stored.meta.get("counted") if merged.stored and only_new else None
    counts = _counts(con, merged, merged.winners if before else merged.view)
    if before:
        counts = {text: count + before["rows"].get(text, 0) for text, count in counts.items()}
    found = _sentences(merged, counts)
    tickers: dict[str, list[str]] = {}
    if merged.table.name == "sep":
        since = _since(con, merged, actions) if before else None
        tickers[ADJUSTED_IN_PART] = _tickers(con, _stale_adjustment(merged, since))
        if has_actions:
            tickers[NOT_ADJUSTED] = _tickers(con, _missed_split(merged, has_actions, since))
        if before:
            old = before["tickers"]
            tickers = {text: sorted({*names, *old.get(text, [])}) for text, names in tickers.items()}
        found |= {f"{text} ({_named(names)})": len(names) for text, names in tickers.items() if names}
    return Facts(found, {"rows": counts, "tickers": tickers})


def _counts(con: duckdb.DuckDBPyConnection, merged: Merged, relation: str) -> dict[str, int]:
    table = merged.table
    counts = {notice.text: f"count(*) FILTER ({notice.doubtful})" for notice in table.notices}
    counts |= {name: f"count({sql.quote(name)})" for name in _used(merged)}
    counts["rows"] = "count(*)"
    if table.name == "sep":
        counts[DIFFERENT] = "count(*) FILTER (closeunadj IS DISTINCT FROM close AND closeunadj IS NOT NULL)"
    row = con.execute(f"SELECT {', '.join(counts.values())} FROM {relation}").fetchall()[0]
    return dict(zip(counts, row, strict=True))


def _used(merged: Merged) -> list[str]:
    return [column.name for column in merged.table.columns if column.need in (Need.USED, Need.REQUIRED)]


def _sentences(merged: Merged, counts: Mapping[str, int]) -> dict[str, int]:
    """The warnings that follow from counts of rows."""
    found = {notice.text: counts[notice.text] for notice in merged.table.notices if counts[notice.text]}
    if merged.table.name == "sep":
        known = counts["closeunadj"]
        if known and not counts[DIFFERENT]:
            found["closeunadj always equals close: prices as traded and splits are unknown"] = counts["rows"]
        if known < counts["rows"]:
            found["closeunadj is empty"] = counts["rows"] - known
    if empty := [name for name in _used(merged) if not counts[name]]:
        found[f"columns without any value: {', '.join(empty)}"] = len(empty)
    return found


def _since(con: duckdb.DuckDBPyConnection, merged: Merged, actions: Merged | None) -> dt.date:
    """First date of which a price or an action is new."""
    dates = [
        con.execute(f"SELECT min(date) FROM {one.winners}").fetchall()[0][0]
        for one in (merged, actions)
        if one is not None
    ]
    return min((day for day in dates if day is not None), default=dt.date.max)


def _stale_adjustment(merged: Merged, since: dt.date | None) -> str:
    """Query of tickers whose history is adjusted for a split only in part.

    The split factor k = close / closeunadj changes on the day of a split, when closeunadj jumps and close
    does not. Where k changes and close makes the larger jump, the rows before and after carry different
    adjustments: the vendor's re-adjusted history was loaded in part.
    """
    return (
        f"SELECT ticker FROM ({_moves(merged, since)}) "
        f"WHERE abs(jump - traded) > {SPLIT} AND abs(jump) > abs(traded) + {MARGIN}"
    )


def _missed_split(merged: Merged, actions: str, since: dt.date | None) -> str:
    """Query of tickers that split, while the prices before are not adjusted for it.

    On the first session of a split of ratio q the price as traded moves by 1/q. Where close moves like it,
    and the split factor stays as it was, the new prices were appended to a history of before the split.
    """
    recent = f" AND date >= DATE '{since}' - {NEIGHBOURS}" if since else ""
    splits = (
        f"SELECT ticker, date, ln(value) AS q FROM {actions} WHERE action = 'split' AND value > 0{recent}"
    )
    return (
        f"SELECT moved.ticker FROM ({splits}) AS split ASOF JOIN "
        f"({_moves(merged, since)}) AS moved ON split.ticker = moved.ticker AND split.date <= moved.date "
        f"WHERE moved.date - split.date <= {NEIGHBOURS} AND abs(q) > {JUMP} AND abs(jump + q) < abs(q) / 2 "
        f"AND coalesce(abs(jump - traded), 0) < {SPLIT}"
    )


def _moves(merged: Merged, since: dt.date | None) -> str:
    """Query of the log changes of close and closeunadj from one row of a ticker to the next one.

    Rows further apart say nothing. With `since` the rows from some days before it on.
    """
    near = f" WHERE date >= DATE '{since}' - {3 * NEIGHBOURS}" if since else ""
    return (
        "SELECT * FROM (SELECT ticker, date, ln(close / lag(close) OVER w) AS jump, "
        "ln(closeunadj / lag(closeunadj) OVER w) AS traded, date - lag(date) OVER w AS apart "
        f"FROM {merged.view}{near} WINDOW w AS (PARTITION BY ticker ORDER BY date)) "
        f"WHERE apart <= {NEIGHBOURS}"
    )


def _tickers(con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [
        name for (name,) in con.execute(f"SELECT DISTINCT ticker FROM ({query}) ORDER BY ticker").fetchall()
    ]


def _named(tickers: list[str]) -> str:
    return ", ".join(tickers[:_NAMED]) + (" …" if len(tickers) > _NAMED else "")
