"""Arrow tables into immutable Parquet parts, and the proof that their keys are unique.

The same rows always give the same bytes, however the Arrow table was chunked or dictionary-encoded, so equal
content is one file, shared by names, namespaces and snapshots.

Snappy is as fast as Zstandard at level 1 and 8 % larger (10 M rows × 12 FLOAT columns: 0.7 s of a core). Its
bytes depend on nothing but the rows. Byte-stream splitting and dictionaries of floats don't pay. Only the key
carries statistics. Every page has a checksum, because a wrong bit of a number looks like another number: a
tenth of a millisecond a MB.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kairos.errors import InputError, WorkError
from kairos.store import sql
from kairos.store.layout import sync, write_durably
from kairos.store.tables import Part, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

ROW_GROUP = 131_072
"""Rows of a row group: the unit that DuckDB reads in parallel and skips by its statistics."""

PLAIN_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
}
"""What DuckDB calls the types of nearly every column; to open one only to ask takes 35 ms."""


class OrderedKeys:
    """Key columns that were found in order, so that tables which share them are checked once.

    Arrow data never change: the same buffers hold the same keys. The columns are kept, for otherwise another
    one could get their addresses; only those of the last `KEPT` parts.
    """

    KEPT = 64

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], list[pa.ChunkedArray]] = {}

    def check(self, name: str, table: pa.Table, key: Sequence[str]) -> None:
        """Check a table as `_check_order` does, unless its key columns are known."""
        columns = [table[column] for column in key if column in table.column_names]
        place = (tuple(key), *map(_place, columns))
        if place not in self._found:
            _check_order(name, table, key)
            self._found[place] = columns
            for oldest in list(self._found)[: -self.KEPT]:
                del self._found[oldest]


def read_part(
    part: Part, columns: Sequence[str] | None = None, *, filters: Any = None, coded: Sequence[str] = ()
) -> pa.Table:
    """Columns of a part, rows in stored order; every page's checksum is verified.

    Parameters
    ----------
    columns
        All without it.
    filters
        Arrow expression: only the rows that it is true of.
    coded
        Columns of text that are read as codes.

    Raises
    ------
    InputError
        If the part is damaged or missing; the message names it.
    """
    options = {"read_dictionary": list(coded), "page_checksum_verification": True}
    try:
        if filters is None:  # without the machinery of filters, which costs as much as a small part
            return pq.ParquetFile(part.path, **options).read(columns)
        return pq.read_table(part.path, columns=columns, filters=filters, **options)
    except (pa.ArrowInvalid, OSError) as error:
        fault = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{part.path} is damaged or missing ({fault}): put the file back, or make its table anew with "
            "--force"
        ) from error


def write_parts(
    folder: Path,
    name: str,
    tables: Iterable[pa.Table | Part],
    key: Sequence[str],
    threads: int,
    known: OrderedKeys | None = None,
) -> list[Part]:
    """Write a stream of Arrow tables as parts of one table.

    Parameters
    ----------
    folder
        Where the parts go.
    name
        The table, for messages.
    tables
        One Arrow table per part, in order, rows in the order of the key; a `Part` of a table with the same
        key stands for itself, without a copy. At most ``threads + 1`` of them are held in memory.
    key
        Columns that identify a row.
    threads
        Parts written at the same time.
    known
        Keys that need no check, and to which those of the tables are added.

    Returns
    -------
    list[Part]
        The parts without the empty ones; a single empty part if there are no rows at all.

    Raises
    ------
    WorkError
        If the stream is empty, parts differ in their columns, a part isn't in strictly increasing order of
        its key, or the disk is full.
    """
    known = known or OrderedKeys()
    parts: list[Part] = []
    pending: deque[Future[Part]] = deque()
    schema: pa.Schema | None = None
    with ThreadPoolExecutor(threads) as pool:
        for item in tables:
            rows = item if isinstance(item, Part) else plain_form(item)
            found = _schema(rows)
            schema = schema or found
            if found != schema:
                raise WorkError(
                    f"table {name}: its parts differ in their columns: {_difference(schema, found)}"
                )
            pending.append(pool.submit(_write, folder, name, rows, key, known))
            if len(pending) > threads:
                parts.append(pending.popleft().result())
        parts.extend(future.result() for future in pending)
    if not parts:
        raise WorkError(f"table {name}: not one part was given; give an empty one to name the columns")
    sync(folder)
    return [part for part in parts if part.rows] or parts[:1]


def check_unique(name: str, parts: Sequence[Part], key: Sequence[str], engine: sql.Engine) -> None:
    """Check that no key occurs in two parts.

    Parts whose values of some key column lie in disjoint ranges (calendar years, say) can't share a key, and
    the Parquet footers tell the ranges; only parts that overlap in every key column are read.

    Raises
    ------
    WorkError
        If a key occurs twice; the message names it.
    """
    suspects = _overlapping(parts, key)
    if not suspects:
        return
    with engine.connect() as connection:
        rows = sql.scan(key, [part.path for part in suspects])
        twice = connection.execute(
            f"SELECT * FROM ({rows}) GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
        ).fetchone()
    if twice is not None:
        raise WorkError(f"table {name}: two rows have the key {_spell(key, twice)}")


def merge(parts: Sequence[Part], columns: Sequence[str], key: Sequence[str], engine: sql.Engine) -> pa.Table:
    """Return the rows of several parts as one Arrow table in the order of the key."""
    with engine.connect() as connection:
        rows = sql.scan(columns, [part.path for part in parts])
        return connection.sql(f"{rows} ORDER BY {sql.columns(key)}").to_arrow_table()


def column_types(path: Path, engine: sql.Engine) -> tuple[tuple[str, str], ...]:
    """Return name and DuckDB type of every column of a part; DuckDB is asked beyond `PLAIN_TYPES`."""
    schema = pq.read_schema(path)
    if all(kind in PLAIN_TYPES for kind in schema.types):
        return tuple((column.name, PLAIN_TYPES[column.type]) for column in schema)
    with engine.connect() as connection:
        described = connection.execute(f"DESCRIBE FROM read_parquet({sql.literal(str(path))})").fetchall()
    return tuple((column, kind) for column, kind, *_ in described)


def _write(folder: Path, name: str, table: pa.Table | Part, key: Sequence[str], known: OrderedKeys) -> Part:
    if isinstance(table, Part):
        return table
    known.check(name, table, key)
    data = _encode(table, key)
    part = folder / f"{digest(data)}.parquet"
    if part.exists() and part.stat().st_size == len(data) and part.read_bytes() == data:  # not damaged
        os.utime(part)  # young again, so that no vacuum takes it before the next catalog names it
    else:
        write_durably(part, data)
    dates = table["date"] if "date" in table.column_names and pa.types.is_date(table["date"].type) else None
    span = {"min": None, "max": None} if dates is None else pc.min_max(dates).as_py()
    return Part(part, part.stem, table.num_rows, len(data), span["min"], span["max"])


def _encode(table: pa.Table, key: Sequence[str]) -> memoryview:
    groups = 1 + table.num_rows // ROW_GROUP
    # Twice the data (a text column may be there as dictionary and plain), a sixth more by Snappy, headers.
    # Memory that is not written to costs nothing; a stream that grows is copied.
    room = pa.allocate_buffer(3 * table.nbytes + (groups * table.num_columns + 1) * 2**16)
    sink = pa.FixedSizeBufferWriter(room)
    text = [column.name for column in table.schema if pa.types.is_string(column.type)]
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP,
        compression="snappy",
        use_dictionary=text or False,
        write_statistics=list(key),
        store_schema=False,
        write_page_checksum=True,
    )
    return memoryview(room)[: sink.tell()]


def _place(column: pa.ChunkedArray) -> tuple[Any, ...]:
    """Where the data of a column are."""
    return tuple(
        (chunk.offset, len(chunk), *(buffer.address for buffer in chunk.buffers() if buffer))
        for chunk in column.chunks
    )


def plain_form(table: pa.Table) -> pa.Table:
    """Return the table in the one form that is written: plain strings, no metadata, one chunk.

    Where chunks end, the pages of a file may end too. A table that has this form is not copied.
    """
    fields = [pa.field(column.name, _plain_type(column.type)) for column in table.schema]
    return table.cast(pa.schema(fields)).combine_chunks()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _schema(rows: pa.Table | Part) -> pa.Schema:
    return pq.read_schema(rows.path).remove_metadata() if isinstance(rows, Part) else rows.schema


def _difference(one: pa.Schema, other: pa.Schema) -> str:
    spelled = [{f"{column.name} {column.type}" for column in schema} for schema in (one, other)]
    return ", ".join(sorted(spelled[0] ^ spelled[1])) or "their order"


def _check_order(name: str, table: pa.Table, key: Sequence[str]) -> None:
    """Check that rows strictly increase in the order of the key, which makes the key unique."""
    if missing := [column for column in key if column not in table.column_names]:
        raise WorkError(f"table {name}: no key column {', '.join(missing)} in a part")
    for column in key:
        if table[column].null_count:
            row = pc.index(pc.is_null(table[column]), True).as_py()
            raise WorkError(f"table {name}: key column {column} has no value in row {row}")
    tied = np.ones(max(table.num_rows - 1, 0), dtype=bool)
    for column in key:
        before, after = table[column][:-1], table[column][1:]
        wrong = tied & pc.greater(before, after).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise WorkError(
                f"table {name}: rows are not in the order of the key ({', '.join(key)}): "
                f"{_spell(key, _row(table, key, row + 1))} follows {_spell(key, _row(table, key, row))}"
            )
        tied &= pc.equal(before, after).to_numpy()
    if tied.any():
        raise WorkError(
            f"table {name}: two rows have the key {_spell(key, _row(table, key, int(tied.argmax())))}"
        )


def _row(table: pa.Table, key: Sequence[str], row: int) -> list[Any]:
    return [table[column][row].as_py() for column in key]


def _spell(key: Sequence[str], values: Iterable[Any]) -> str:
    return ", ".join(f"{column} {value}" for column, value in zip(key, values, strict=True))


def _overlapping(parts: Sequence[Part], key: Sequence[str]) -> list[Part]:
    """Return the parts that overlap another part in every column of the key."""
    ranges = [key_ranges(part.path, key) for part in parts]
    return [
        part
        for i, part in enumerate(parts)
        if any(
            all(_meet(a, b) for a, b in zip(ranges[i], ranges[j], strict=True))
            for j in range(len(parts))
            if j != i
        )
    ]


def _meet(a: tuple[Any, Any] | None, b: tuple[Any, Any] | None) -> bool:
    return a is None or b is None or bool(a[0] <= b[1] and b[0] <= a[1])


def key_ranges(path: Path, key: Sequence[str]) -> list[tuple[Any, Any] | None]:
    """Return smallest and largest value of each key column by the footer, None where it doesn't say."""
    footer = pq.read_metadata(path)
    position = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
    ranges: list[tuple[Any, Any] | None] = []
    for column in key:
        groups = [
            footer.row_group(g).column(position[column]).statistics for g in range(footer.num_row_groups)
        ]
        known = bool(groups) and all(group is not None and group.has_min_max for group in groups)
        ranges.append((min(g.min for g in groups), max(g.max for g in groups)) if known else None)
    return ranges
