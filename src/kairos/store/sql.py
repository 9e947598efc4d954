"""SQL text from trusted pieces, and the private DuckDB engine that reads parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import duckdb

from kairos.errors import InputError
from kairos.store.layout import SPILL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_RESERVED = {"information_schema", "kairos_meta", "pg_catalog", "system", "temp"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,149}")  # it is the name of a folder, too


def quote(identifier: str) -> str:
    """Return an identifier quoted for SQL.

    >>> quote('ret_5d_f'), quote('odd "inch" name')
    ('"ret_5d_f"', '"odd ""inch"" name"')
    """
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as an SQL string literal, for statements that can't bind values (views, ATTACH).

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def columns(names: Iterable[str]) -> str:
    """Return a quoted column list.

    >>> columns(["ticker", "date"])
    '"ticker", "date"'
    """
    return ", ".join(map(quote, names))


def scan(names: Iterable[str], paths: Iterable[Path]) -> str:
    """Return the query that reads some columns of some parts, in the order of the parts."""
    files = ", ".join(literal(str(path)) for path in paths)
    return f"SELECT {columns(names)} FROM read_parquet([{files}], hive_partitioning = false)"


def check_name(name: str, what: str) -> str:
    """Return `name` if it can name a table or a namespace on every file system and in every SQL dialect.

    Raises
    ------
    InputError
        If it isn't lower-case letters, digits and underscores, beginning with a letter, or is reserved.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise InputError(
            f"{name!r} cannot name a {what}: use lower-case letters, digits and underscores, beginning with "
            f"a letter, at most 150, and none of {', '.join(sorted(_RESERVED))}"
        )
    return name


@dataclass(frozen=True)
class Engine:
    """Settings of the private in-memory DuckDB in which parts are read.

    Parameters
    ----------
    memory_limit
        Most memory a connection uses before it spills to disk, in DuckDB's notation (``"8GB"``).
    threads
        Threads of a connection, and of the writing of parts.
    folder
        Where a connection makes a folder of its own for what doesn't fit in memory: DuckDB's names of spilled
        files are the same in every process.
    """

    memory_limit: str
    threads: int
    folder: Path

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open a private in-memory database; no file is held open by it.

        Raises
        ------
        InputError
            If DuckDB doesn't take the settings.
        """
        try:
            connection = duckdb.connect(
                config={
                    "memory_limit": self.memory_limit,
                    "threads": self.threads,
                    "temp_directory": str(self.folder / f"{SPILL}{uuid4().hex}"),
                }
            )
            connection.execute("SET enable_progress_bar = false")  # it would stand between results on stdout
        except duckdb.Error as error:
            raise InputError(
                f"memory_limit {self.memory_limit!r} or threads {self.threads!r} can't be used: {error}"
            ) from error
        return connection
