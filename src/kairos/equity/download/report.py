"""What a download did, table by table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

State = Literal["new", "resumed", "kept", "empty"]


@dataclass(frozen=True, kw_only=True)
class TableDownload:
    """What was done for one table.

    Attributes
    ----------
    table
        Name in the store.
    way
        ``export`` for one zip with everything, ``pages`` for rows page by page.
    asked
        Which rows were asked for.
    rows, bytes
        Rows (lines below the header of an export) and size of the file.
    calls
        Calls to the service and to the host of the file, those of an interrupted run included.
    state
        ``new``; ``resumed`` when an interrupted run was continued; ``kept`` when that run had it complete;
        ``empty`` when there are no such rows, and therefore no file.
    file
        The file, if there is one.
    """

    table: str
    way: Literal["export", "pages"]
    asked: str
    rows: int
    bytes: int
    calls: int
    state: State
    file: str | None


@dataclass(frozen=True)
class DownloadReport:
    """What a download did.

    Attributes
    ----------
    out
        The folder.
    since
        The date that was given, if one was.
    tables
        One report for each table, in the order of loading.
    """

    out: Path
    since: dt.date | None
    tables: tuple[TableDownload, ...]

    def __getitem__(self, table: str) -> TableDownload:
        """Give the report of one table."""
        return {report.table: report for report in self.tables}[table]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that can be loaded; none when nothing is new."""
        return tuple(report.file for report in self.tables if report.file)

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain JSON types."""
        return {
            "out": str(self.out),
            "since": self.since and self.since.isoformat(),
            "tables": [dataclasses.asdict(report) for report in self.tables],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Give one row per table for a printed summary."""
        return [dataclasses.asdict(report) for report in self.tables]

    def remarks(self) -> list[str]:
        """Give what a user should know beside the counts."""
        empty = [report.table for report in self.tables if report.state == "empty"]
        if len(empty) == len(self.tables):
            return ["no table has new rows: there is nothing to load"]
        return [f"no new rows, no file: {', '.join(empty)}"] if empty else []
