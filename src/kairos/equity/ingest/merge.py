"""The upsert: staged rows against stored ones, and the parts of the table that results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.equity.ingest.stage import UPDATED
from kairos.equity.vendor import Kind
from kairos.store import sql

if TYPE_CHECKING:
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
    view, winners
        DuckDB view of the whole table; DuckDB table of the new and replaced rows in it.
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
        f"LEFT JOIN {old} AS old USING ({key})"
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
        columns,
        new=fates.get("new", 0),
        changed=fates.get("changed", 0),
        unchanged=fates.get("unchanged", 0),
        older=fates.get("older", 0),
        stored=stored,
    )


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
    """Give the parts of the table, one per calendar year; stored parts of unchanged years as they are."""
    key = sql.columns(merged.table.key)
    listed = sql.columns(merged.columns)
    if merged.table.year is None:
        yield con.sql(f"SELECT {listed} FROM {merged.view} ORDER BY {key}").to_arrow_table()
        return
    date = sql.quote(merged.table.year)
    touched = {
        year for (year,) in con.execute(f"SELECT DISTINCT year({date}) FROM {merged.winners}").fetchall()
    }
    spans = _spans(con, merged.stored, date) if merged.stored else {}
    same_columns = merged.stored is not None and dict(merged.stored.columns) == dict(merged.columns)
    for year in sorted(touched.union(*(range(first, last + 1) for first, last in spans.values()))):
        here = [part for part, (first, last) in spans.items() if first <= year <= last]
        if same_columns and year not in touched and [spans[part] for part in here] == [(year, year)]:
            yield here[0]
        else:
            yield con.sql(
                f"SELECT {listed} FROM {merged.view} "
                f"WHERE {date} BETWEEN DATE '{year}-01-01' AND DATE '{year}-12-31' ORDER BY {key}"
            ).to_arrow_table()


def _spans(con: duckdb.DuckDBPyConnection, stored: Table, date: str) -> dict[Part, tuple[int, int]]:
    """Give the first and the last calendar year of each stored part."""
    files = ", ".join(sql.literal(str(part.path)) for part in stored.parts)
    rows = con.execute(
        f"SELECT filename, year(min({date})), year(max({date})) "
        f"FROM read_parquet([{files}], filename = true, hive_partitioning = false) GROUP BY filename"
    ).fetchall()
    spans = {filename: (first, last) for filename, first, last in rows}
    return {part: spans[str(part.path)] for part in stored.parts if str(part.path) in spans}
