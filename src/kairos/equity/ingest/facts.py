"""What a reader of a stored table must know: doubtful rows, columns without a value, stale adjustments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kairos.equity.vendor import Need
from kairos.store import sql

if TYPE_CHECKING:
    import duckdb

    from kairos.equity.ingest.merge import Merged

SPLIT = 0.05
"""Least |ln| of a change of the split factor that is taken for one; less is rounding of cheap prices."""

JUMP = 0.18
"""Least |ln| of a split ratio, 6 for 5, that can be told from an ordinary move of a price."""

MARGIN = 0.03
"""By how much the adjusted price must jump more than the price as traded to be called inconsistent."""

_NAMED = 5


def warnings(con: duckdb.DuckDBPyConnection, merged: Merged, actions: str | None) -> dict[str, int]:
    """Count what is doubtful in a table.

    Parameters
    ----------
    merged
        The table.
    actions
        DuckDB relation of the corporate actions, when there is one: prices are compared with its splits.

    Returns
    -------
    dict
        Sentence → number of rows (of tickers or columns, where it names them); zero counts are left out.
    """
    table = merged.table
    used = [column.name for column in table.columns if column.need in (Need.USED, Need.REQUIRED)]
    counts = {notice.text: f"count(*) FILTER ({notice.doubtful})" for notice in table.notices}
    if table.name == "sep":
        equal = "count(*) FILTER (closeunadj IS DISTINCT FROM close AND closeunadj IS NOT NULL)"
        counts["closeunadj always equals close: prices as traded and splits are unknown"] = (
            f"if(count(closeunadj) > 0 AND {equal} = 0, count(*), 0)"
        )
        counts["closeunadj is empty"] = "count(*) - count(closeunadj)"
    counts |= {name: f"count({sql.quote(name)})" for name in used}
    row = con.execute(f"SELECT {', '.join(counts.values())} FROM {merged.view}").fetchall()[0]
    values = dict(zip(counts, row, strict=True))
    found = {text: count for text, count in values.items() if count and text not in used}
    if empty := [name for name in used if not values[name]]:
        found[f"columns without any value: {', '.join(empty)}"] = len(empty)
    if table.name == "sep":
        found |= _stale_adjustment(con, merged)
        if actions:
            found |= _missed_split(con, merged, actions)
    return found


def _stale_adjustment(con: duckdb.DuckDBPyConnection, merged: Merged) -> dict[str, int]:
    """Find tickers whose history is adjusted for a split only in part.

    The split factor k = close / closeunadj changes on the day of a split, when closeunadj jumps and close
    does not. Where k changes and close makes the larger jump, the rows before and after carry different
    adjustments: the vendor's re-adjusted history was loaded in part.
    """
    return _named(
        con,
        "close jumps where closeunadj does not, adjusted in part?",
        f"SELECT ticker FROM ({_moves(merged)}) "
        f"WHERE abs(jump - traded) > {SPLIT} AND abs(jump) > abs(traded) + {MARGIN}",
    )


def _missed_split(con: duckdb.DuckDBPyConnection, merged: Merged, actions: str) -> dict[str, int]:
    """Find tickers that split, while the prices before are not adjusted for it.

    On the first session of a split of ratio q the price as traded moves by 1/q. Where close moves like it,
    and the split factor stays as it was, the new prices were appended to a history of before the split.
    """
    splits = f"SELECT ticker, date, ln(value) AS q FROM {actions} WHERE action = 'split' AND value > 0"
    return _named(
        con,
        "close falls or rises by a split of the table actions, history not adjusted?",
        f"SELECT moved.ticker FROM ({splits}) AS split ASOF JOIN "
        f"({_moves(merged)}) AS moved ON split.ticker = moved.ticker AND split.date <= moved.date "
        f"WHERE abs(q) > {JUMP} AND abs(jump + q) < abs(q) / 2 AND coalesce(abs(jump - traded), 0) < {SPLIT}",
    )


def _moves(merged: Merged) -> str:
    """Write the query of the log changes of close and closeunadj from one row of a ticker to the next."""
    return (
        "SELECT ticker, date, ln(close / lag(close) OVER w) AS jump, "
        "ln(closeunadj / lag(closeunadj) OVER w) AS traded "
        f"FROM {merged.view} WINDOW w AS (PARTITION BY ticker ORDER BY date)"
    )


def _named(con: duckdb.DuckDBPyConnection, text: str, query: str) -> dict[str, int]:
    tickers = con.execute(f"SELECT DISTINCT ticker FROM ({query}) ORDER BY ticker").fetchall()
    names = ", ".join(name for (name,) in tickers[:_NAMED]) + (" …" if len(tickers) > _NAMED else "")
    return {f"{text} ({names})": len(tickers)} if tickers else {}
