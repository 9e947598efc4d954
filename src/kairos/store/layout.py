"""Where a store keeps its files, and how a file is written so that a crash can't leave half of it.

::

    data/kairos.duckdb              the catalog: views over the parts of one complete snapshot
    data/kairos.lock                held while a catalog is swapped
    data/kairos.main.lock           held by a run that changes the tables of the namespace ``main``
    data/kairos/sep/<digest>.parquet        parts, named by the hash of their bytes
    data/kairos/_catalogs/<state>/<snapshot>.json   manifests of the snapshots that are kept
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from kairos.disk import writing
from kairos.errors import InputError

TEMPORARY = ".tmp"
SPILL = "_spill_"


@dataclass(frozen=True)
class Layout:
    """The files of the store whose catalog is `db`."""

    db: Path

    @classmethod
    def of(cls, db: Path) -> Layout:
        """Return the layout around a catalog's path, symbolic links resolved.

        Raises
        ------
        InputError
            If the path has no suffix, for then the folder of parts would have the catalog's own name; or if
            it contains ``?``, which DuckDB takes for the beginning of a web address's query.
        """
        path = Path(db).resolve()
        if "?" in str(path):
            raise InputError(f"database {path}: DuckDB can't write to a path with a question mark")
        if not path.suffix:
            raise InputError(f"database {db}: give it a name with a suffix, such as {path.name}.duckdb")
        return cls(path)

    @property
    def folder(self) -> Path:
        """Folder of the parts."""
        return self.db.with_suffix("")

    @property
    def manifests(self) -> Path:
        """Folder of the kept manifests; no table can have this name, because of the underscore."""
        return self.folder / "_catalogs"

    @property
    def lock(self) -> Path:
        """File that a publisher locks."""
        return self.db.with_suffix(".lock")

    def turn(self, namespace: str) -> Path:
        """File that a run locks which changes the tables of a namespace."""
        return self.db.with_suffix(f".{namespace}.lock")

    @property
    def next(self) -> Path:
        """The catalog under construction; its name makes DuckDB give it the same database name."""
        return self.db.with_name(self.db.name + ".next")


def log_of(db: Path) -> Path:
    """Return DuckDB's write-ahead log of a database file."""
    return db.with_name(db.name + ".wal")


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Write a file under a temporary name, flush it to disk, and rename it into place.

    Raises
    ------
    WorkError
        If the disk is full, or the folder can't be written.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex}{TEMPORARY}")
    with writing(path, "choose another --db"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
