"""One self-contained native DuckDB file of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import duckdb

from kairos.disk import reason
from kairos.errors import InputError, WorkError
from kairos.store import sql
from kairos.store.catalog import META, STORAGE_VERSION
from kairos.store.layout import log_of, sync
from kairos.store.snapshot import check_content, in_order, query

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.store.snapshot import Snapshot


def export(snapshot: Snapshot, path: Path, engine: sql.Engine, *, force: bool) -> None:
    """Write every table of a snapshot into a DuckDB file, beside its place, and rename it into place.

    A table that is assembled from others stays a view of them.

    Raises
    ------
    InputError
        If the file exists and isn't an earlier export that `force` allows to replace, or a part is missing.
    WorkError
        If the file can't be written.
    """
    target = path.resolve()
    if target.exists():
        if not _is_export(target):
            raise InputError(f"{path} exists and is not an export of Kairos: choose another name")
        if not force:
            raise InputError(f"{path} exists: choose another name, or replace it with --force")
    check_content(snapshot.tables.values(), engine.threads)
    beside = target.with_name(f"{target.name}.{uuid4().hex}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection:
            _write(connection, snapshot, beside)
        sync(beside)
        beside.replace(target)
        sync(target.parent)
    except (OSError, duckdb.Error) as error:
        why = reason(error, path, "choose another file")
        raise WorkError(f"cannot write {path}: {why}") from error
    finally:
        beside.unlink(missing_ok=True)
        log_of(beside).unlink(missing_ok=True)


def _write(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, path: Path) -> None:
    connection.execute(
        f"ATTACH {sql.literal(str(path))} AS target (STORAGE_VERSION {sql.literal(STORAGE_VERSION)})"
    )
    connection.execute("USE target")
    for (space, name), table in in_order(snapshot.tables):
        kind = "VIEW" if table.sql else "TABLE"  # what is assembled from others needs no copy of them
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quote(space)}")
        connection.execute(f"CREATE {kind} {sql.quote(space)}.{sql.quote(name)} AS {query(table)}")
    connection.execute("USE memory")
    connection.execute(f"CREATE SCHEMA target.{META}")
    connection.execute(
        f"CREATE TABLE target.{META}.export AS SELECT ? AS snapshot, ? AS code_version",
        [snapshot.id, snapshot.code_version],
    )
    connection.execute("CHECKPOINT target")
    connection.execute("DETACH target")


def _is_export(path: Path) -> bool:
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            found = connection.execute(
                "SELECT count(*) FROM duckdb_tables() WHERE schema_name = ? AND table_name = 'export'", [META]
            ).fetchone()
    except duckdb.Error:
        return False
    return found == (1,)
