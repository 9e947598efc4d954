"""Unfinished files, and the record by which an interrupted download goes on."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

RECORD = ".kairos-download.json"


@dataclass(frozen=True)
class Progress:
    """How far the download of one table is.

    Attributes
    ----------
    request
        What was asked, to tell whether a later run asks the same.
    started
        When, as ISO text (UTC).
    state
        ``part``: more is to come; ``whole``: all rows are in the part; ``done``: the file is in place;
        ``empty``: there are no rows, and no file.
    bytes, rows
        Size of what is safely written, and rows in it.
    columns, cursor
        Of pages: the columns of the first one, and where the next one begins.
    snapshot, etag
        Of an export: which state of the table it is, and the mark of the file at its host.
    calls
        Calls made for it.
    """

    request: str
    started: str
    state: str = "part"
    bytes: int = 0
    rows: int = 0
    columns: tuple[str, ...] = ()
    cursor: str | None = None
    snapshot: str | None = None
    etag: str | None = None
    calls: int = 0


@dataclass
class Record:
    """What downloads have left in a folder: the file ``.kairos-download.json``, which a load does not see.

    Attributes
    ----------
    folder
        The folder.
    unfinished
        Whether the last run did not reach its end.
    files
        Names of all files that downloads have put there; only these are ever replaced.
    tables
        Table → how far it is.
    """

    folder: Path
    unfinished: bool = False
    files: set[str] = field(default_factory=set)
    tables: dict[str, Progress] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read the record; one that can't be understood is as good as none."""
        try:
            content: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            tables = {
                name: Progress(**{**entry, "columns": tuple(entry["columns"])})
                for name, entry in content["tables"].items()
            }
            for entry in tables.values():
                dt.datetime.fromisoformat(entry.started)
            return cls(folder, bool(content["unfinished"]), set(content["files"]), tables)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return cls(folder)

    def write(self) -> None:
        """Replace the record on disk, in one step."""
        content = {
            "unfinished": self.unfinished,
            "files": sorted(self.files),
            "tables": {name: asdict(entry) for name, entry in self.tables.items()},
        }
        new = self.folder / f"{RECORD}.new"
        new.write_text(json.dumps(content, indent=1), encoding="utf-8")
        new.replace(self.folder / RECORD)


class Part:
    """The file of one table while it is being downloaded: ``<name>.part``.

    Parameters
    ----------
    record
        The record of the folder.
    table
        Name of the table.
    name
        Name of the file when it is complete.
    request
        What is asked.
    keep_for
        An interrupted download older than this starts anew.
    """

    def __init__(self, record: Record, table: str, name: str, request: str, keep_for: dt.timedelta) -> None:
        self._record, self._table = record, table
        self.target = record.folder / name
        self.path = record.folder / f"{name}.part"
        fresh = Progress(request, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        before = record.tables.get(table)
        if before and before.request == request and _age(before) <= keep_for:
            self.progress = before
        else:
            self.progress = fresh
        self.kept = self._is_done()
        self.resumed = False
        if not self.kept:
            self._find_part(fresh)

    def _is_done(self) -> bool:
        if self.progress.state == "empty":
            return True
        whole = self.target.is_file() and self.target.stat().st_size == self.progress.bytes
        return self.progress.state == "done" and whole and not self.path.exists()

    def _find_part(self, fresh: Progress) -> None:
        """Go on with the part on disk if it is the one of the record, up to its last complete page."""
        known = self.progress.bytes
        paged = self.target.suffix == ".csv"
        if self.progress.state in ("part", "whole") and self.size >= max(known, 1) and (known or not paged):
            self.resumed = True
            if paged:
                os.truncate(self.path, known)
            return
        self.progress = fresh
        for stale in self.path.parent.glob(f"{self.target.stem}.*.part"):
            stale.unlink()

    @property
    def size(self) -> int:
        """Bytes of the part on disk."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self, **changes: Any) -> None:
        """Write down how far the download is."""
        self.progress = replace(self.progress, **changes)
        self._record.tables[self._table] = self.progress
        self._record.write()

    def append(self, content: bytes, **changes: Any) -> None:
        """Append to the part and, once it is on disk, write down how far the download is."""
        with self.path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self.note(bytes=size, **changes)

    def restart(self, **changes: Any) -> None:
        """Throw the part away; what ``changes`` names is known of the next one."""
        self.path.unlink(missing_ok=True)
        self.resumed = False
        clean: dict[str, Any] = {"state": "part", "bytes": 0, "rows": 0, "columns": (), "cursor": None}
        self.note(**{**clean, "etag": None, **changes})

    def finish(self) -> None:
        """Put the complete file in place; a table without rows has none, and an earlier one of ours goes."""
        if not self.progress.rows:
            if self.target.name in self._record.files:
                self.target.unlink(missing_ok=True)
            self.note(state="empty", bytes=0)
            self.path.unlink(missing_ok=True)
            return
        self._record.files.add(self.target.name)
        self.note(state="whole", bytes=self.size)
        self.path.replace(self.target)
        self.note(state="done")


def _age(progress: Progress) -> dt.timedelta:
    return dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(progress.started)
