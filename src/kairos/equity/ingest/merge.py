"""The upsert: staged rows against stored ones, and the parts of the table that results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.equity.changes import BEGINNING
from kairos.equity.ingest.stage import UPDATED
from kairos.equity.vendor import Kind
from kairos.errors import WorkError
from kairos.store import sql
from kairos.store.parts import key_ranges
from kairos.store.periods import spans

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    import duckdb
    import pyarrow as pa

    from kairos.equity.ingest.stage import Staged
    from kairos.equity.vendor import VendorTable
    from kairos.store import Part, Table

_BEGINNING = "DATE '0001-01-01'"


@dataclass(frozen=True)
class Merged:
    """A table after the upsert, as the DuckDB view ``view`` over stored parts and winning rows.

    Attributes
    ----------
    table
        The declaration.
    view, winners, old
        DuckDB view of the whole table; table of the new and replaced rows in it; view of the stored rows.
    columns
        Column → DuckDB type, in the order in which they are stored.
    new, changed, unchanged, older
        Staged rows by what became of them.
    stored
        The table as it was, if there was one.
    """

    table: VendorTable
    view: str
    winners: str
    old: str
    columns: Mapping[str, str]
    new: int
    changed: int
    unchanged: int
    older: int
    stored: Table | None

    @property
    def differs(self) -> bool:
        """Whether the table has to be written."""
        same_columns = self.stored is not None and dict(self.stored.columns) == dict(self.columns)
        return bool(self.new or self.changed) or not same_columns


def merge(con: duckdb.DuckDBPyConnection, staged: Staged, stored: Table | None) -> Merged:
    """Join the staged rows with the stored ones: of two with one key the later ``lastupdated`` wins.

    With equal ``lastupdated``, or none, the staged row wins. A column that the source lacks keeps its stored
    values: an absent column says nothing.
    """
    table = staged.source.table
    before = dict(stored.columns) if stored else {}
    columns = _together(table, staged.columns, before)
    old, new = f"old_{table.name}", sql.quote(staged.name)
    _view(con, old, f"main.{sql.quote(stored.name)}" if stored else "(SELECT 1) WHERE false", before, columns)
    key = sql.columns(table.key)
    winners = f"winners_{table.name}"
    con.execute(
        f"CREATE TABLE {winners} AS SELECT {key}, {_values(staged, columns)}, "
        f"{_fate(staged, columns)} AS fate FROM (FROM {new} WHERE issue IS NULL) AS new "
        f"LEFT JOIN (FROM {old} {_near(con, new, table)}) AS old USING ({key})"
    )
    fates = dict(con.execute(f"SELECT fate, count(*) FROM {winners} GROUP BY fate").fetchall())
    con.execute(f"DELETE FROM {winners} WHERE fate NOT IN ('new', 'changed')")
    con.execute(f"DROP TABLE {new}")
    view = f"merged_{table.name}"
    listed = sql.columns(columns)
    con.execute(
        f"CREATE VIEW {view} AS SELECT {listed} FROM {old} ANTI JOIN {winners} USING ({key}) "
        f"UNION ALL SELECT {listed} FROM {winners}"
    )
    return Merged(
        table,
        view,
        winners,
        old,
        columns,
        new=fates.get("new", 0),
        changed=fates.get("changed", 0),
        unchanged=fates.get("unchanged", 0),
        older=fates.get("older", 0),
        stored=stored,
    )


def _near(con: duckdb.DuckDBPyConnection, new: str, table: VendorTable) -> str:
    """Leave out stored rows with other dates than the staged ones: the date is a part of the key."""
    if table.dated not in table.key:
        return ""
    date = sql.quote(table.dated)
    low, high = con.execute(f"SELECT min({date}), max({date}) FROM {new} WHERE issue IS NULL").fetchall()[0]
    return f"WHERE {date} BETWEEN DATE '{low}' AND DATE '{high}'" if low else "WHERE false"


def since(con: duckdb.DuckDBPyConnection, merged: Merged) -> dict[str, dt.date]:
    """First date on which each column has a new or another value; without a date it is the beginning."""
    columns = [name for name in merged.columns if name not in merged.table.key]
    date, key = merged.table.dated or merged.table.begins, sql.columns(merged.table.key)
    day = f"coalesce(w.{sql.quote(date)}, DATE '{BEGINNING}')" if date else f"DATE '{BEGINNING}'"
    differ = [
        f"min(day) FILTER (fate = 'new' OR w.{sql.quote(name)} IS DISTINCT FROM o.{sql.quote(name)})"
        for name in columns
    ]
    found = con.execute(
        f"SELECT {', '.join(differ)} FROM (SELECT *, {day} AS day FROM {merged.winners} AS w) AS w "
        f"LEFT JOIN (FROM {merged.old} SEMI JOIN {merged.winners} USING ({key})) AS o USING ({key})"
    ).fetchall()[0]
    return {name: first for name, first in zip(columns, found, strict=True) if first is not None}


def _together(table: VendorTable, new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """Give the columns of both: declared ones in their order, others by name, as text where types differ."""
    names = {**old, **new}
    known = [column.name for column in table.columns if column.name in names]
    others = sorted(name for name in names if not table.column(name))
    return {
        name: names[name] if new.get(name, names[name]) == old.get(name, names[name]) else Kind.TEXT.value
        for name in (*known, *others)
    }


def _view(
    con: duckdb.DuckDBPyConnection,
    name: str,
    relation: str,
    before: Mapping[str, str],
    columns: Mapping[str, str],
) -> None:
    values = ", ".join(
        f"CAST({sql.quote(column) if column in before else 'NULL'} AS {kind}) AS {sql.quote(column)}"
        for column, kind in columns.items()
    )
    con.execute(f"CREATE VIEW {name} AS SELECT {values} FROM {relation}")


def _given(staged: Staged, column: str) -> bool:
    return column in staged.columns and column not in staged.absent


def _values(staged: Staged, columns: Mapping[str, str]) -> str:
    """Write the values of a winning row."""
    values = []
    for column, kind in columns.items():
        name = sql.quote(column)
        if column in staged.source.table.key:
            continue
        if _given(staged, column):
            value = f"new.{name}"
        elif column in staged.columns:
            value = f"coalesce(old.{name}, new.{name})"
        else:
            value = f"old.{name}"
        values.append(f"CAST({value} AS {kind}) AS {name}")
    return ", ".join(values)


def _fate(staged: Staged, columns: Mapping[str, str]) -> str:
    compared = [
        column for column in columns if column not in staged.source.table.key and _given(staged, column)
    ]
    same = " AND ".join(
        f"CAST(new.{sql.quote(column)} AS {columns[column]}) IS NOT DISTINCT FROM old.{sql.quote(column)}"
        for column in compared
    )
    late = f"coalesce(new.{UPDATED}, {_BEGINNING}) < coalesce(old.{UPDATED}, {_BEGINNING})"
    return (
        f"CASE WHEN old.{sql.quote(staged.source.table.key[0])} IS NULL THEN 'new' "
        + (f"WHEN {late} THEN 'older' " if _given(staged, UPDATED) else "")
        + f"WHEN {same or 'true'} THEN 'unchanged' ELSE 'changed' END"
    )


def parts(con: duckdb.DuckDBPyConnection, merged: Merged) -> Iterator[pa.Table | Part]:
    """Give the parts of the table, one per period; stored parts of periods without a change as they are."""
    key = sql.columns(merged.table.key)
    listed = sql.columns(merged.columns)
    if merged.table.dated is None:
        yield con.sql(f"SELECT {listed} FROM {merged.view} ORDER BY {key}").to_arrow_table()
        return
    date = sql.quote(merged.table.dated)
    stored = _spans(merged.stored, merged.table.dated) if merged.stored else {}
    first, last = extent(con, merged)
    same_columns = merged.stored is not None and dict(merged.stored.columns) == dict(merged.columns)
    changed = con.execute(f"SELECT DISTINCT {date} FROM {merged.winners}").fetchall()
    for start, end in spans(first, last) if first and last else []:
        touched = any(start <= day <= end for (day,) in changed)
        here = [part for part, (lo, hi) in stored.items() if lo <= end and hi >= start]
        whole = len(here) == 1 and start <= stored[here[0]][0] and stored[here[0]][1] <= end
        if same_columns and whole and not touched:
            yield here[0]
        elif here or touched:
            yield con.sql(
                f"SELECT {listed} FROM {merged.view} "
                f"WHERE {date} BETWEEN DATE '{start}' AND DATE '{end}' ORDER BY {key}"
            ).to_arrow_table()


def extent(con: duckdb.DuckDBPyConnection, merged: Merged) -> tuple[dt.date | None, dt.date | None]:
    """Give the first and the last date: of the stored parts, which keep every key, and of the new rows."""
    if merged.table.dated is None:
        return None, None
    date = sql.quote(merged.table.dated)
    news = con.execute(f"SELECT min({date}), max({date}) FROM {merged.winners}").fetchall()[0]
    spans = _spans(merged.stored, merged.table.dated).values() if merged.stored else ()
    days = [day for span in (news, *spans) for day in span if day is not None]
    return min(days, default=None), max(days, default=None)


def _spans(stored: Table, date: str) -> dict[Part, tuple[dt.date, dt.date]]:
    """Give the first and the last date of each stored part, which the footers tell of a column of the key."""
    found = {}
    for part in stored.parts:
        if part.rows:
            span = key_ranges(part.path, [date])[0]
            if span is None:
                raise WorkError(f"table {stored.name}: {part.path} doesn't tell its dates; was it replaced?")
            found[part] = span
    return found
