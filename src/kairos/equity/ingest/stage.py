"""From a source to a typed table, in which every row that is unsound or not the latest is marked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb

from kairos.equity.ingest.sources import RAGGED, first_line
from kairos.equity.vendor import Column, Kind, Need, VendorTable
from kairos.errors import InputError, WorkError
from kairos.store import sql

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from kairos.equity.ingest.sources import Scan, Source

EARLIEST = "1900-01-01"
"""A date before this one is a slip of the pen: ``0215-03-20`` for ``2015-03-20``."""

UPDATED = "lastupdated"

DUPLICATE, SUPERSEDED = -1, -2
"""Issues of sound rows that are not stored: a copy of another row, or older than it."""

_FLOATS = ("FLOAT", "DOUBLE")
_NUMBERS = (*_FLOATS, "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WRONG_TYPE = {
    Kind.FLOAT: "not a number",
    Kind.INT: "not a whole number",
    Kind.DATE: "not a date (yyyy-mm-dd)",
    Kind.BOOL: "not Y/N, true/false or 1/0",
}
_CONFLICT = "differs between rows of the same key and lastupdated"
_CONFLICT_UNDATED = "differs between rows of the same key"


@dataclass(frozen=True)
class Fault:
    """What can be wrong with a row; its position in the list of faults is the code in ``issue``."""

    column: str
    reason: str
    broken: str


@dataclass(frozen=True)
class Staged:
    """The typed rows of one source, in the DuckDB table ``name``.

    Attributes
    ----------
    name
        The DuckDB table: the columns, and ``issue``: the code of a row's first fault, :data:`DUPLICATE`,
        :data:`SUPERSEDED`, or NULL for a row to be stored. Its ``rowid`` is the row's position in the source.
    columns
        Column → DuckDB type, as they will be stored: known ones in declared order, then others by name.
    absent
        Known columns that readers use and the source lacks.
    faults
        The meaning of the codes in ``issue``.
    notes
        Sentences about unknown columns.
    rows
        Rows that could be taken apart, sound or not.
    ragged
        Lines of a CSV that could not.
    """

    source: Source
    scan: Scan
    name: str
    columns: Mapping[str, str]
    absent: tuple[str, ...]
    faults: Sequence[Fault]
    notes: tuple[str, ...]
    rows: int
    ragged: int


def stage(con: duckdb.DuckDBPyConnection, source: Source, scan: Scan, today: dt.date) -> Staged:
    """Read a source into a typed table and mark each row that can't be right.

    Raises
    ------
    InputError
        When the source can't be read to its end, or has no rows.
    WorkError
        When the memory does not suffice.
    """
    try:
        known, unknown, notes = _columns(con, source.table, scan)
        columns = [*known, *unknown]
        faults = _faults(source.table, columns, scan.types, today)
        name = f"new_{source.table.name}"
        parsed = ", ".join(_parsed(column, scan.types.get(column.name)) for column in columns)
        given = ", ".join(
            f"{_given(column.name, scan.types[column.name])} AS {_flag(column.name)}"
            for column in columns
            if column.name in scan.types
        )
        broken = " ".join(f"WHEN {fault.broken} THEN {code}" for code, fault in enumerate(faults))
        con.execute(f"DROP TABLE IF EXISTS {RAGGED}; DROP TABLE IF EXISTS {RAGGED}_scans")
        con.execute(
            f"CREATE TABLE {sql.quote(name)} AS "
            f"SELECT {sql.columns(column.name for column in columns)}, "
            f"CAST(CASE {broken} END AS SMALLINT) AS issue "
            f"FROM (SELECT {parsed}, {given} FROM {scan.recording} AS source)"
        )
    except duckdb.OutOfMemoryException as error:
        raise WorkError(f"{source.label}: {first_line(error)} Raise run.memory_limit.") from error
    except duckdb.Error as error:
        hint = " Is it UTF-8 text with the same line ends throughout?" if scan.text else ""
        raise InputError(f"{source.label} can't be read: {first_line(error)}{hint}") from error
    rows = con.execute(f"SELECT count(*) FROM {sql.quote(name)}").fetchall()[0][0]
    ragged = 0
    if scan.text:
        ragged = con.execute(f"SELECT count(DISTINCT line_byte_position) FROM {RAGGED}").fetchall()[0][0]
    if not rows + ragged:
        raise InputError(f"{source.label} has no rows.")
    return Staged(
        source,
        scan,
        name,
        {column.name: column.kind.value for column in columns},
        tuple(column.name for column in known if column.name not in scan.types),
        faults,
        notes,
        rows,
        ragged,
    )


def _columns(
    con: duckdb.DuckDBPyConnection, table: VendorTable, scan: Scan
) -> tuple[list[Column], list[Column], tuple[str, ...]]:
    """Give the columns to store: known ones that are delivered or used, unknown ones with a clear type."""
    known = [column for column in table.columns if column.name in scan.types or column.need is Need.USED]
    unknown, notes = [], []
    for name in sorted(name for name in scan.types if not table.column(name)):
        kind = _kind(con, scan, name)
        if kind is None:
            notes.append(f"unknown column {name}: no clear type, not stored")
        else:
            unknown.append(Column(name, kind, ""))
            notes.append(f"unknown column {name}: stored as {kind.value}")
    return known, unknown, tuple(notes)


def _kind(con: duckdb.DuckDBPyConnection, scan: Scan, name: str) -> Kind | None:
    declared = scan.types[name]
    if declared == "VARCHAR":
        numbers, texts = con.execute(
            f"SELECT count(*) FILTER ({_number(name, declared)} IS NOT NULL), "
            f"count(*) FILTER ({_given(name, declared)}) FROM {scan.sql} AS source"
        ).fetchall()[0]
        if not texts:
            return None
        return Kind.FLOAT if numbers == texts else Kind.TEXT
    if declared.startswith(("TIMESTAMP", "DATE")):
        return Kind.DATE
    if declared == "BOOLEAN":
        return Kind.BOOL
    return Kind.FLOAT if declared in _NUMBERS or declared.startswith(("DECIMAL", "U")) else None


def _faults(
    table: VendorTable, columns: Sequence[Column], types: Mapping[str, str], today: dt.date
) -> list[Fault]:
    """List what is checked, row by row; the first that holds is the one reported."""
    here = [column for column in columns if column.name in types]
    faults = [
        Fault(column.name, "empty", f"NOT {_flag(column.name)}")
        for column in here
        if column.need is Need.FILLED
    ]
    faults += [
        Fault(
            column.name,
            _WRONG_TYPE[column.kind],
            f"{_flag(column.name)} AND {sql.quote(column.name)} IS NULL",
        )
        for column in here
        if column.kind in _WRONG_TYPE
    ]
    faults += [
        Fault(
            column.name,
            "a line break inside the value",
            f"contains({sql.quote(column.name)}, chr(10)) OR contains({sql.quote(column.name)}, chr(13))",
        )
        for column in here
        if column.kind is Kind.TEXT
    ]
    for column in here:
        if column.past:
            faults.append(Fault(column.name, "in the future", f"{sql.quote(column.name)} > DATE '{today}'"))
            faults.append(Fault(column.name, "before 1900", f"{sql.quote(column.name)} < DATE '{EARLIEST}'"))
    return faults + [Fault(rule.column, rule.reason, rule.broken) for rule in table.rules]


def _flag(name: str) -> str:
    return sql.quote(f"{name} is given")


def _given(name: str, declared: str) -> str:
    value = f"source.{sql.quote(name)}"
    if declared == "VARCHAR":
        return f"coalesce(trim({value}), '') <> ''"
    if declared in _FLOATS:
        return f"({value} IS NOT NULL AND NOT isnan({value}))"
    return f"{value} IS NOT NULL"


def _number(name: str, declared: str) -> str:
    if declared.startswith(("DATE", "TIME", "BOOLEAN")):
        return "CAST(NULL AS DOUBLE)"
    value = f"TRY_CAST(source.{sql.quote(name)} AS DOUBLE)"
    return f"(CASE WHEN isfinite({value}) THEN {value} END)"


def _parsed(column: Column, declared: str | None) -> str:
    """Write the expression that reads a column, or the default of one that is absent."""
    name = sql.quote(column.name)
    if declared is None:
        default = "NULL" if column.default is None else sql.literal(column.default)
        return f"CAST({default} AS {column.kind.value}) AS {name}"
    value = f"source.{name}"
    if column.kind is Kind.TEXT:
        read = _text(column, value, declared)
    elif column.kind is Kind.FLOAT:
        read = _number(column.name, declared)
    elif column.kind is Kind.INT:
        number = _number(column.name, declared)
        read = f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END"
    elif column.kind is Kind.DATE:
        read = _date(value, declared)
    else:
        text = f"lower(trim(CAST({value} AS VARCHAR)))"
        read = (
            f"CASE WHEN {text} IN ('y', 'yes', 'true', 't', '1', '1.0') THEN true "
            f"WHEN {text} IN ('n', 'no', 'false', 'f', '0', '0.0') THEN false END"
        )
    return f"{read} AS {name}"


def _text(column: Column, value: str, declared: str) -> str:
    text = f"CAST({value} AS VARCHAR)"
    if declared in _FLOATS:
        # a whole number that a data frame has made a float: 679011, not 679011.0
        whole = f"CAST(TRY_CAST({value} AS BIGINT) AS VARCHAR)"
        text = (
            f"CASE WHEN isnan({value}) THEN NULL WHEN {value} = trunc({value}) THEN {whole} ELSE {text} END"
        )
    text = f"nullif(trim({text}), '')"
    for old, new in column.recode.items():
        text = f"CASE {text} WHEN {sql.literal(old)} THEN {sql.literal(new)} ELSE {text} END"
    return text if column.default is None else f"coalesce({text}, {sql.literal(column.default)})"


def _date(value: str, declared: str) -> str:
    if declared == "DATE":
        return value
    if declared.startswith("TIMESTAMP"):
        return f"CASE WHEN {value} = date_trunc('day', {value}) THEN CAST({value} AS DATE) END"
    if declared == "VARCHAR":
        return f"CASE WHEN trim({value}) LIKE '____-__-__' THEN TRY_CAST(trim({value}) AS DATE) END"
    return "CAST(NULL AS DATE)"


@dataclass(frozen=True)
class Repeats:
    """Rows of one source that share a key.

    Attributes
    ----------
    merged
        Copies of an identical row.
    superseded
        Rows that a later ``lastupdated`` of the same source replaces.
    """

    merged: int = 0
    superseded: int = 0


def settle_repeats(con: duckdb.DuckDBPyConnection, staged: Staged) -> tuple[Repeats, Staged]:
    """Leave one sound row per key: the latest ``lastupdated``; contradictory rows get an issue.

    Returns
    -------
    tuple
        The counts, and the staged table whose faults include the contradictions.
    """
    name = sql.quote(staged.name)
    key = sql.columns(staged.source.table.key)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE repeats AS "
        f"SELECT source.rowid AS place, source.* EXCLUDE (issue) FROM {name} AS source "
        f"SEMI JOIN (SELECT {key} FROM {name} WHERE issue IS NULL GROUP BY ALL HAVING count(*) > 1) "
        f"USING ({key}) WHERE issue IS NULL"
    )
    if not con.execute("SELECT count(*) FROM repeats").fetchall()[0][0]:
        return Repeats(), staged
    updated = sql.quote(UPDATED) if UPDATED in staged.columns else "CAST(NULL AS DATE)"
    staged = _mark_conflicts(con, staged, key, updated)
    latest = f"OVER (PARTITION BY {key} ORDER BY {updated} DESC NULLS LAST"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE losers AS "
        f"SELECT place, if(rank() {latest}) > 1, {SUPERSEDED}, {DUPLICATE}) AS issue FROM repeats "
        f"ANTI JOIN conflicts USING (place) QUALIFY row_number() {latest}, place) > 1"
    )
    _mark(con, staged, "losers")
    counts = dict(con.execute("SELECT issue, count(*) FROM losers GROUP BY issue").fetchall())
    return Repeats(counts.get(DUPLICATE, 0), counts.get(SUPERSEDED, 0)), staged


def _mark_conflicts(con: duckdb.DuckDBPyConnection, staged: Staged, key: str, updated: str) -> Staged:
    """Give every row of a contradictory group the fault of the first column in which the group differs."""
    values = [name for name in staged.columns if name not in (*staged.source.table.key, UPDATED)]
    reason = _CONFLICT if UPDATED in staged.columns else _CONFLICT_UNDATED
    differs = " ".join(
        f"WHEN count(DISTINCT {value}) > 1 OR count({value}) NOT IN (0, count(*)) THEN {code}"
        for code, value in enumerate(map(sql.quote, values), start=len(staged.faults))
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE conflicts AS SELECT unnest(places) AS place, issue FROM ("
        f"SELECT list(place) AS places, CASE {differs} END AS issue FROM repeats GROUP BY {key}, {updated}"
        f") WHERE issue IS NOT NULL"
    )
    _mark(con, staged, "conflicts")
    return replace(staged, faults=[*staged.faults, *(Fault(value, reason, "") for value in values)])


def _mark(con: duckdb.DuckDBPyConnection, staged: Staged, marks: str) -> None:
    con.execute(
        f"UPDATE {sql.quote(staged.name)} AS staged SET issue = {marks}.issue FROM {marks} "
        f"WHERE staged.rowid = {marks}.place"
    )
