"""Finding the vendor's files and turning each into a relation that DuckDB can scan.

A zip or gzip is unpacked into a working folder first; a CSV is read with every column as text, so that what
is wrong in it can be named by line, column and value.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import duckdb

from kairos.equity.vendor import TABLES, Need, VendorTable
from kairos.equity.vendor import table as declared
from kairos.errors import InputError
from kairos.store.sql import literal, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RAGGED = "ragged"
"""Name of the DuckDB table of lines that the CSV reader could not take apart."""

_NAMES = "|".join(table.name for table in TABLES)
_FILE = re.compile(
    rf"(?:sharadar[_-](?P<vendor>{_NAMES})(?:[_-].*)?|(?P<plain>{_NAMES}))\.(?P<form>csv|csv\.gz|zip|parquet)",
    re.IGNORECASE,
)
_EXPECTED = "SHARADAR_<TABLE>….csv, .csv.gz, .zip or .parquet, or <TABLE>.csv, …"
_DATABASES = (".duckdb", ".ddb", ".db")
_COPY_BYTES = 1 << 22


@dataclass(frozen=True)
class Source:
    """One vendor table as it was handed over: a file, or a table of a DuckDB database."""

    table: VendorTable
    path: Path
    form: str
    relation: str = ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.path}, table {self.relation}" if self.relation else str(self.path)


@dataclass(frozen=True)
class Scan:
    """A relation with lower-case column names, ready to be selected from.

    Attributes
    ----------
    sql
        What stands behind FROM; bad lines of a CSV are skipped.
    recording
        The same, but bad lines of a CSV are also written to the table ``ragged``.
    types
        Column → DuckDB type.
    text
        The plain CSV file behind it, if it is one.
    """

    sql: str
    recording: str
    types: Mapping[str, str]
    text: Path | None = None


def find(paths: Sequence[Path]) -> tuple[list[Source], list[Path]]:
    """Recognise vendor tables in folders, files and DuckDB databases.

    Returns
    -------
    tuple
        The sources in the order of :data:`kairos.equity.vendor.TABLES`, and the files of folders that were
        not recognised.

    Raises
    ------
    InputError
        When a path does not exist, holds no vendor table, or two sources are for one table.
    """
    found: list[Source] = []
    ignored: list[Path] = []
    for path in paths:
        here, other = _find_in(path)
        if not here:
            raise InputError(f"{path} has no vendor table. Expected {_EXPECTED}; tables: {_upper_names()}.")
        found += here
        ignored += other
    for table in TABLES:
        same = [source.label for source in found if source.table is table]
        if len(same) > 1:
            raise InputError(
                f"{len(same)} sources for the table {table.name}: {'; '.join(same)}. "
                "Which one should win? Load them one after the other."
            )
    return sorted(found, key=lambda source: TABLES.index(source.table)), ignored


def _find_in(path: Path) -> tuple[list[Source], list[Path]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        sources = {file: recognise(file) for file in files}
        return (
            [source for source in sources.values() if source],
            [file for file, source in sources.items() if not source],
        )
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    if path.suffix.lower() in _DATABASES:
        return _from_database(path), []
    source = recognise(path)
    return ([source] if source else []), []


def recognise(path: Path) -> Source | None:
    """Tell by its name which vendor table a file is; None when it is none."""
    match = _FILE.fullmatch(path.name)
    if not match:
        return None
    return Source(declared((match["vendor"] or match["plain"]).lower()), path, match["form"].lower())


def _from_database(path: Path) -> list[Source]:
    try:
        with duckdb.connect(str(path), read_only=True) as con:
            rows = con.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'"
            ).fetchall()
    except duckdb.Error as error:
        raise InputError(f"{path} can't be opened as a DuckDB database: {first_line(error)}") from error
    names = {name.lower(): name for (name,) in rows}
    if "sep" not in names and "sep_base" in names:
        names["sep"] = names["sep_base"]
    return [Source(table, path, "duckdb", names[table.name]) for table in TABLES if table.name in names]


def scan(con: duckdb.DuckDBPyConnection, source: Source, work: Path, *, max_unpacked: int) -> Scan:
    """Open a source.

    Parameters
    ----------
    con
        The connection that will read it; a DuckDB source is attached to it.
    work
        Folder for unpacked files.
    max_unpacked
        Bytes that a zip or gzip may unpack to.

    Raises
    ------
    InputError
        When the file can't be read, is empty, or has not the columns of its table.
    """
    if source.form == "duckdb":
        alias = quote(str(source.path))
        con.execute(f"ATTACH IF NOT EXISTS {literal(str(source.path))} AS {alias} (READ_ONLY)")
        opened = _typed(con, source, f"{alias}.main.{quote(source.relation)}")
    elif source.form == "parquet":
        opened = _typed(con, source, f"read_parquet({literal(str(source.path))})")
    else:
        opened = _csv(source, _plain(source, work, max_unpacked))
    _check_columns(source, opened.types)
    return opened


def _typed(con: duckdb.DuckDBPyConnection, source: Source, relation: str) -> Scan:
    try:
        rows = con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"{source.label} can't be read: {first_line(error)}") from error
    names = _normalised(source, [row[0] for row in rows])
    columns = ", ".join(f"{quote(row[0])} AS {quote(name)}" for row, name in zip(rows, names, strict=True))
    sql = f"(SELECT {columns} FROM {relation})"
    return Scan(sql, sql, {name: row[1] for row, name in zip(rows, names, strict=True)})


def _csv(source: Source, path: Path) -> Scan:
    names = _header(source, path)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    options = (
        f"columns = {{{columns}}}, header = true, auto_detect = false, nullstr = '', "
        "delim = ',', quote = '\"', escape = '\"'"
    )
    return Scan(
        f"read_csv({literal(str(path))}, {options}, ignore_errors = true)",
        f"read_csv({literal(str(path))}, {options}, store_rejects = true, "
        f"rejects_table = '{RAGGED}', rejects_scan = '{RAGGED}_scans')",
        dict.fromkeys(names, "VARCHAR"),
        path,
    )


def _header(source: Source, path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline()
    if not line:
        raise InputError(f"{source.label} is empty.")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source.label}, line 1: not UTF-8 text.") from error
    try:
        names = next(csv.reader([text]), [])
    except csv.Error as error:
        raise InputError(f"{source.label}, line 1: the header can't be taken apart ({error}).") from error
    return _normalised(source, names)


def _normalised(source: Source, names: Iterable[str]) -> list[str]:
    lower = [name.strip().lower() for name in names]
    twice = sorted({name for name in lower if lower.count(name) > 1})
    if twice:
        raise InputError(f"{source.label} has the column {twice[0]} twice.")
    if "" in lower:
        raise InputError(f"{source.label}: column {lower.index('') + 1} of the header has no name.")
    return lower


def _check_columns(source: Source, types: Mapping[str, str]) -> None:
    needed = [column.name for column in source.table.columns if column.need in (Need.FILLED, Need.REQUIRED)]
    missing = [name for name in needed if name not in types]
    if not missing:
        return
    spare = [name for name in types if not source.table.column(name)]
    hints = [
        f"{name} (is it the column {nearest[0]}?)"
        if (nearest := difflib.get_close_matches(name, spare, n=1, cutoff=0.5))
        else name
        for name in missing
    ]
    raise InputError(
        f"{source.label} has no column {', '.join(hints)}. The table {source.table.name} needs "
        f"{', '.join(needed)}; the file has {', '.join(types)}."
    )


def _plain(source: Source, work: Path, most: int) -> Path:
    """Unpack a zip or gzip into the working folder; a plain file is used where it is."""
    if source.form == "csv":
        return source.path
    target = work / f"{source.table.name}.csv"
    try:
        if source.form == "zip":
            with zipfile.ZipFile(source.path) as archive, archive.open(_member(source, archive)) as packed:
                _copy(source, packed, target, most)
        else:
            with gzip.open(source.path) as packed:
                _copy(source, packed, target, most)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError is how zipfile says that a member is encrypted
        raise InputError(f"{source.label} can't be unpacked: {error}") from error
    return target


def _copy(source: Source, packed: IO[bytes] | gzip.GzipFile, target: Path, most: int) -> None:
    """Unpack, and stop where more comes out than any table has: a small file can hold any number of zeros."""
    left = most
    with target.open("wb") as file:
        while chunk := packed.read(_COPY_BYTES):
            left -= len(chunk)
            if left < 0:
                raise InputError(
                    f"{source.label} unpacks to more than {most:,} bytes. If that is right, raise "
                    "equity.ingest.max_unpacked."
                )
            file.write(chunk)


def _member(source: Source, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    if len(names) != 1:
        raise InputError(f"{source.label} should hold one CSV file; it holds {', '.join(names) or 'none'}.")
    inside = recognise(Path(names[0]))
    if inside and inside.table is not source.table:
        raise InputError(f"{source.label} is for the table {source.table.name} but holds {names[0]}.")
    return names[0]


def _upper_names() -> str:
    return ", ".join(table.name.upper() for table in TABLES)


def first_line(error: duckdb.Error) -> str:
    """Give the part of DuckDB's message that is for users; hints on the reader's options follow it."""
    return str(error).splitlines()[0]
