"""The DuckDB file that users open: reading its manifest, and swapping in the next one.

The catalog holds one view per table, a schema per namespace, and in the schema ``kairos_meta`` the manifest
of the snapshot as one JSON text. A view of ours is known by its comment. Everything else in the file belongs
to the user and is carried over: the next catalog is a copy of the bytes of the current one.

POSIX locks, which DuckDB uses, belong to a process, and closing *any* descriptor of a file drops the locks of
the whole process on it. Hence the care below about who opens the catalog's bytes, and when.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import duckdb

from kairos.disk import reason
from kairos.errors import InputError, WorkError
from kairos.store import sql
from kairos.store.layout import Layout, log_of, sync
from kairos.store.snapshot import check_parts, in_order, query
from kairos.store.tables import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORMAT = 1
"""Version of the catalog's own tables; a Kairos reads this and older ones."""

STORAGE_VERSION = "v1.5.0"
"""The oldest DuckDB that must be able to open a catalog."""

META = "kairos_meta"
"""Schema of the manifest."""

_MARK = "Kairos table"
_HERE = "this very process"
_TORN_READS = 5
_BYTES = threading.Lock()  # held while this process has a descriptor of a catalog's bytes


class BusyError(WorkError):
    """Somebody writes to the catalog, so that it can't be replaced now."""


def read(layout: Layout) -> Manifest:
    """Return the manifest of the published catalog.

    The bytes are copied and the copy is opened. So a shell that has the catalog open for writing, whose lock
    would refuse us, doesn't keep us from reading, and we never refuse a shell. The copy can't be half of a
    manifest, which is written into a file that nobody else has open yet; what a shell writes meanwhile can
    tear the copy, and then it is taken again. Neither does DuckDB's cache of open databases get in the way,
    which knows a file by its name and would give us the catalog that this process opened before a swap.

    Raises
    ------
    InputError
        If there is no catalog, it isn't one of Kairos, or a newer Kairos wrote it.
    WorkError
        If this very process has it open in a way that can't be shared.
    """
    if not layout.db.exists():
        raise InputError(
            f"no database at {layout.db}; `kairos equity ingest SOURCE --db {layout.db}` makes one"
        )
    if _holder(layout.db) == _HERE:
        return _read_shared(layout)
    fault: duckdb.Error | None = None
    for _ in range(_TORN_READS):
        try:
            return _read_copy(layout)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            fault = error
        time.sleep(0.05)
    raise InputError(
        f"database {layout.db} can't be read, it is damaged: put it back from a copy, or move it away, load "
        f"the vendor's files and build again ({fault})"
    ) from fault


def check_free(layout: Layout) -> None:
    """Check that nobody writes to the catalog.

    Raises
    ------
    BusyError
        If somebody does; the message says who and what to do.
    """
    with _writers_kept_out(layout):
        pass


def swap(layout: Layout, advance: Callable[[Manifest], Manifest]) -> tuple[Manifest, Manifest]:
    """Replace the catalog by the next one. The caller holds the publisher's lock.

    Parameters
    ----------
    layout
        Where.
    advance
        From the manifest that is published now to the next one. If it returns the same object, nothing
        happens.

    Returns
    -------
    tuple[Manifest, Manifest]
        The manifest before and after.

    Raises
    ------
    BusyError
        If somebody writes to the catalog.
    InputError
        If the file isn't a catalog of Kairos, a user's object has the name of a table, or a part is missing.
    """
    _clear(layout)
    with _writers_kept_out(layout) as current:
        try:
            layout.db.parent.mkdir(parents=True, exist_ok=True)
            if current:
                _copy(current, layout)
            with _open_next(layout) as connection:
                before = _manifest(connection, layout) if current else Manifest.empty()
                after = advance(before)
                if after is before:
                    return before, before
                _write(connection, layout, after)
            sync(layout.next)
            layout.next.replace(layout.db)
            # Writers are still kept out: one that opened the old file just before the rename can't lock it.
            sync(layout.db.parent)
        except (OSError, duckdb.Error) as error:
            why = reason(error, layout.db, "choose another --db")
            raise WorkError(f"cannot publish into {layout.db}: {why}") from error
        finally:
            _clear(layout)
    return before, after


def rebuild(layout: Layout) -> Manifest:
    """Write the views of the published catalog anew, over the paths where the parts are now.

    The caller holds the publisher's lock. The snapshot stays what it is.
    """
    read(layout)  # says what is wrong with the file, if it isn't a catalog
    _, after = swap(layout, lambda now: Manifest(now.id, now.created, now.code_version, now.tables))
    return after


def _clear(layout: Layout) -> None:
    """Remove what a killed publisher left of the catalog that it was building."""
    layout.next.unlink(missing_ok=True)
    log_of(layout.next).unlink(missing_ok=True)


@contextmanager
def _writers_kept_out(layout: Layout) -> Iterator[BinaryIO | None]:
    """Hold a shared lock on the catalog's bytes, which refuses writers and lets readers pass.

    A catalog renamed over one that is open for writing would lie beside the write-ahead log of the other,
    and couldn't be opened any more.
    """
    db, log = layout.db, log_of(layout.db)
    if not db.exists():
        _check_no_log(log)
        yield None
        return
    if holder := _holder(db):
        raise BusyError(
            f"{db} is open for writing in {holder}: close it there (or open it read-only), "
            "or repeat the command with --wait; nothing was published"
        )
    with _BYTES, db.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError(f"{db} was opened for writing this moment; nothing was published") from error
        _check_no_log(log)
        yield file


def _check_no_log(log: Path) -> None:
    if log.exists():
        raise BusyError(
            f"{log} holds changes that aren't in the database yet. If a program has it open, close it there; "
            "if one crashed, open the database once for writing in DuckDB and close it, which saves them "
            "(without a database beside it, the log is a leftover: delete it); nothing was published"
        )


def _holder(db: Path) -> str | None:
    """Return who keeps a database from being opened read-only, and so has it open for writing."""
    try:
        duckdb.connect(str(db), read_only=True).close()
    except (duckdb.ConnectionException, duckdb.ResourceInUseException):
        return _HERE
    except duckdb.Error as error:
        found = re.search(r"lock is held in (.+? \(PID \d+\))", str(error))
        return found and found[1]
    return None


def _read_copy(layout: Layout) -> Manifest:
    with tempfile.TemporaryDirectory(prefix="kairos-") as folder:
        copy = Path(folder) / layout.db.name
        with _BYTES:
            shutil.copyfile(layout.db, copy)
        _check_magic(copy, layout.db)
        with duckdb.connect(str(copy), read_only=True) as connection:
            return _manifest(connection, layout)


def _read_shared(layout: Layout) -> Manifest:
    """Read through the connection of this process; nobody can have swapped the file under it."""
    try:
        with duckdb.connect(str(layout.db)) as connection:
            return _manifest(connection, layout)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise WorkError(
            f"this process has {layout.db} open with settings of its own: close that connection first"
        ) from error


def _check_magic(copy: Path, db: Path) -> None:
    with copy.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":
            raise _foreign(db)


def _copy(current: BinaryIO, layout: Layout) -> None:
    """Begin the next catalog as a copy of the current one."""
    with layout.next.open("wb") as target:
        shutil.copyfileobj(current, target, 1 << 20)
    shutil.copymode(layout.db, layout.next)
    _check_magic(layout.next, layout.db)


def _open_next(layout: Layout) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        str(layout.next), config={"storage_compatibility_version": STORAGE_VERSION, "threads": 1}
    )


def _manifest(connection: duckdb.DuckDBPyConnection, layout: Layout) -> Manifest:
    marked = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE NOT temporary AND database_name = current_database() "
        "AND schema_name = ? AND table_name = 'catalog'",
        [META],
    ).fetchone()
    if marked == (0,):
        raise _foreign(layout.db)
    form = connection.execute(f"SELECT format FROM {META}.catalog").fetchone()
    if form is None:
        raise _foreign(layout.db)
    if form[0] > FORMAT:
        raise InputError(
            f"{layout.db} was written by a newer Kairos, in a format that this one can't read: upgrade"
        )
    (text,) = connection.execute(f"SELECT manifest FROM {META}.catalog").fetchall()[0]
    try:
        return Manifest.from_json(text, layout.folder)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"database {layout.db} is damaged: its manifest can't be read ({error})") from error


def _foreign(db: Path) -> InputError:
    return InputError(
        f"{db} is not a catalog of Kairos and is left alone: choose another --db, and load what is in it "
        f"with `kairos equity ingest {db} --db OTHER`"
    )


def _write(connection: duckdb.DuckDBPyConnection, layout: Layout, manifest: Manifest) -> None:
    """Write views and manifest into the next catalog."""
    check_parts(manifest.tables.values())
    text = manifest.to_json(layout.folder)
    connection.execute("BEGIN")
    _write_views(connection, layout, manifest)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {META}")
    connection.execute(
        f"CREATE OR REPLACE TABLE {META}.catalog AS SELECT ?::INTEGER AS format, ? AS id, "
        "?::TIMESTAMP AS created, ? AS code_version, ? AS manifest",
        [FORMAT, manifest.id, manifest.created.replace(tzinfo=None), manifest.code_version, text],
    )
    connection.execute("COMMIT")
    connection.execute("CHECKPOINT")


def _write_views(connection: duckdb.DuckDBPyConnection, layout: Layout, manifest: Manifest) -> None:
    objects = connection.execute(
        "SELECT schema_name, view_name, coalesce(starts_with(comment, ?), false) FROM duckdb_views() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database() UNION ALL "
        "SELECT schema_name, table_name, false FROM duckdb_tables() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database()",
        [_MARK],
    ).fetchall()
    theirs = {(space.lower(), name.lower()) for space, name, ours in objects if not ours}
    for space, name in manifest.tables:
        if (space, name) in theirs:
            raise InputError(
                f"{layout.db} has a table or view {space}.{name} of your own, where Kairos would put its "
                "table: rename it (ALTER … RENAME TO …) and repeat the command; nothing was published"
            )
    for space, name, ours in objects:
        if ours and (space, name) not in manifest.tables:
            connection.execute(f"DROP VIEW {sql.quote(space)}.{sql.quote(name)}")
    for (space, name), table in in_order(manifest.tables):
        view = f"{sql.quote(space)}.{sql.quote(name)}"
        note = f"{_MARK}; key: {', '.join(table.key)}; data: {table.fingerprint}"
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {sql.quote(space)}")
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS {query(table)}")
        connection.execute(f"COMMENT ON VIEW {view} IS {sql.literal(note)}")
