"""Bad rows: where they stand, the message that names them, and the file that sets them aside."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kairos.equity.ingest.sources import RAGGED
from kairos.errors import InputError
from kairos.store import sql

if TYPE_CHECKING:
    import duckdb

    from kairos.equity.ingest.stage import Staged

SHOWN = 5
"""Bad rows of a table that an error message lists."""

_POSITION = sql.quote("position in the source")
_WHOLE_ROW = {
    "MISSING COLUMNS": "too few values",
    "TOO MANY COLUMNS": "too many values",
    "INVALID ENCODING": "not UTF-8 text",
    "UNQUOTED VALUE": "a quote without its partner",
}
_CHUNK = 1 << 26

Lines = np.ndarray[Any, np.dtype[np.int64]]


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty DuckDB table ``rejects``."""
    con.execute(
        'CREATE TABLE rejects ("table" VARCHAR, file VARCHAR, unit VARCHAR, "row" BIGINT, "column" VARCHAR, '
        "reason VARCHAR, value VARCHAR, content VARCHAR)"
    )


def collect(con: duckdb.DuckDBPyConnection, staged: Staged, *, everything: bool) -> dict[str, int]:
    """Copy the bad rows of a source into ``rejects``.

    Parameters
    ----------
    everything
        All bad rows, or only the first few for a message.

    Returns
    -------
    dict
        Reason → number of bad rows.

    Raises
    ------
    InputError
        When a quoted value has no end, so that nobody can say where the rows after it begin.
    """
    name = sql.quote(staged.name)
    counts = con.execute(
        f"SELECT issue, count(*) FROM {name} WHERE issue >= 0 GROUP BY issue ORDER BY issue"
    ).fetchall()
    reasons: dict[str, int] = {}
    for issue, count in counts:
        fault = staged.faults[issue]
        reasons[f"{fault.column}: {fault.reason}"] = count
    if staged.ragged:
        reasons |= _ragged_reasons(con)
    if not reasons:
        return {}
    ragged, lines = _locate(con, staged)
    limit = "" if everything else f" LIMIT {SHOWN}"
    bad = con.execute(f"SELECT rowid FROM {name} WHERE issue >= 0 ORDER BY rowid{limit}").fetchnumpy()[
        "rowid"
    ]
    _insert_rows(con, staged, bad, bad + 1 if lines is None else lines[bad])
    if ragged is not None:
        con.register("ragged_lines", ragged if everything else ragged.slice(0, SHOWN))
        con.execute(
            "INSERT INTO rejects SELECT ?, ?, 'line', line, NULL, reason, NULL, content FROM ragged_lines",
            [staged.source.table.name, staged.source.label],
        )
        con.unregister("ragged_lines")
    return reasons


def _insert_rows(con: duckdb.DuckDBPyConnection, staged: Staged, positions: Lines, places: Lines) -> None:
    """Read the source once more and keep the rows at the positions, as they stand there."""
    names = list(staged.scan.types)
    values = " ".join(
        f"WHEN {code} THEN CAST(source.{sql.quote(fault.column)} AS VARCHAR)"
        for code, fault in enumerate(staged.faults)
        if fault.column in staged.scan.types
    )
    meanings = ", ".join(
        f"({code}, {sql.literal(fault.column)}, {sql.literal(fault.reason)})"
        for code, fault in enumerate(staged.faults)
    )
    fields = ", ".join(f"CAST(source.{sql.quote(name)} AS VARCHAR)" for name in names)
    content = (
        f"array_to_string([CASE WHEN regexp_matches(field, '[,\"\\r\\n]') "
        f"THEN '\"' || replace(field, '\"', '\"\"') || '\"' ELSE coalesce(field, '') END "
        f"FOR field IN [{fields}]], ',')"
    )
    con.register("bad_rows", pa.table({"position": positions, "place": places}))
    con.execute(
        "INSERT INTO rejects SELECT ?, ?, ?, bad.place, meaning.name, meaning.reason, "
        f"CASE staged.issue {values} END, {content} "
        f"FROM (SELECT row_number() OVER () - 1 AS {_POSITION}, * FROM {staged.scan.sql}) AS source "
        f"JOIN bad_rows AS bad ON bad.position = source.{_POSITION} "
        f"JOIN {sql.quote(staged.name)} AS staged ON staged.rowid = bad.position "
        f"JOIN (VALUES {meanings}) AS meaning(code, name, reason) ON meaning.code = staged.issue",
        [staged.source.table.name, staged.source.label, "line" if staged.scan.text else "row"],
    )
    con.unregister("bad_rows")


def _ragged_reasons(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = con.execute(
        f"SELECT kind, count(*) FROM (SELECT line_byte_position, min(CAST(error_type AS VARCHAR)) AS kind "
        f"FROM {RAGGED} GROUP BY line_byte_position) GROUP BY kind ORDER BY kind"
    ).fetchall()
    return {_WHOLE_ROW.get(kind, kind.lower()): count for kind, count in rows}


def _locate(con: duckdb.DuckDBPyConnection, staged: Staged) -> tuple[pa.Table | None, Lines | None]:
    """Find the line numbers: of the lines that are no rows, and of the staged rows by their position."""
    if staged.scan.text is None:
        return None, None
    starts, lines = _records(staged.scan.text, staged.rows + staged.ragged + 1)
    if not staged.ragged:
        return None, lines[1:]
    found = con.execute(
        f"SELECT line_byte_position - 1 AS start, min(CAST(error_type AS VARCHAR)) AS kind, "
        f"any_value(csv_line) AS content FROM {RAGGED} GROUP BY line_byte_position ORDER BY start"
    ).fetchall()
    # the reader counts a blank line before a bad one as its beginning
    blank = [len(text) - len(text.lstrip("\r\n")) for _, _, text in found]
    begins = np.array([start for start, _, _ in found], dtype=np.int64) + blank
    which = np.minimum(np.searchsorted(starts, begins), len(lines) - 1)
    for (_, kind, text), line in zip(found, lines[which], strict=True):
        if kind == "UNQUOTED VALUE" and "\n" in text.strip():
            raise InputError(
                f"{staged.source.label}, line {line}: a quoted value that begins here has no end, "
                "so the lines after it can't be told apart. Correct the line."
            )
    ragged = pa.table(
        {
            "line": lines[which],
            "reason": [_WHOLE_ROW.get(kind, kind.lower()) for _, kind, _ in found],
            "content": [text.strip("\r\n") for _, _, text in found],
        }
    )
    return ragged, np.delete(lines, which)[1:]


def _records(path: Path, expected: int) -> tuple[Lines, Lines]:
    """Find where the records of a CSV begin: byte offset and line number, the header's first.

    Blank lines are no records. Lines that continue a quoted value are told by the quotes before them, but
    only when there are more lines than records: a quote inside an unquoted name doesn't begin anything.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r")
    breaks = _offsets(data, b"\n")
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(data)]])
    length = ends - starts
    blank = (length == 0) | ((length == 1) & (data[np.minimum(starts, len(data) - 1)] == ord("\r")))
    begins = ~blank
    if begins.sum() != expected:
        begins &= np.searchsorted(_offsets(data, b'"'), starts) % 2 == 0
    return starts[begins], np.flatnonzero(begins) + 1


def _offsets(data: np.memmap[Any, np.dtype[np.uint8]], character: bytes) -> Lines:
    return np.concatenate(
        [np.flatnonzero(data[at : at + _CHUNK] == ord(character)) + at for at in range(0, len(data), _CHUNK)]
    )


def message(con: duckdb.DuckDBPyConnection, counts: dict[str, int]) -> str:
    """Write the error message: the first bad rows of each table with place, column, reason and value.

    Parameters
    ----------
    counts
        File → number of its bad rows.
    """
    paragraphs = []
    for file, count in counts.items():
        rows = con.execute(
            'SELECT unit, "row", "column", reason, value FROM rejects WHERE file = ? ORDER BY "row" LIMIT ?',
            [file, SHOWN],
        ).fetchall()
        lines = [
            f"  {unit} {place}"
            + (f", column {column}" if column else "")
            + f": {reason}"
            + (f": {value!r}" if value is not None else "")
            for unit, place, column, reason, value in rows
        ]
        more = [f"  and {count - len(rows)} more"] if count > len(rows) else []
        head = f"{file}: {count} bad row{'s' if count > 1 else ''}"
        paragraphs.append("\n".join([head, *lines, *more]))
    return "\n".join(
        [*paragraphs, "Nothing was loaded. Correct the rows, or set them aside with --reject FILE."]
    )


def check_target(target: Path) -> None:
    """Check that the file for rejected rows can be made.

    Raises
    ------
    InputError
        When its folder does not exist, or it is a folder.
    """
    if not target.parent.is_dir() or target.is_dir():
        raise InputError(f"{target} can't be written: its folder must exist and it must not be a folder.")


def write(con: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write the rejected rows as CSV: table, file, row, column, reason, value, content of the row."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "rejects.csv"
        con.execute(
            'COPY (SELECT "table", file, "row", "column", reason, value, content FROM rejects '
            f'ORDER BY "table", "row") TO {sql.literal(str(made))} (HEADER, DELIMITER \',\')'
        )
        made.replace(target)
