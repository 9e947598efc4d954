"""What a load did, table by table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """What a load did to one table; the counts from ``new`` to ``rejected`` add up to ``read``.

    Attributes
    ----------
    table, source
        Name in the store, and where the rows came from.
    read
        Rows of the source.
    new, changed, unchanged
        Rows whose key was not stored, was stored with other values, or is stored as it was.
    older
        Rows left out because the stored row has a later ``lastupdated``.
    duplicates
        Copies of identical rows within the source.
    superseded
        Rows that the source itself replaces by a later ``lastupdated``.
    rejected
        Reason → rows set aside.
    warnings
        Fact about the stored table → number of rows or tickers it concerns.
    notes
        Sentences about columns.
    rows, first, last
        The stored table afterwards: rows, first and last date.
    """

    table: str
    source: str
    read: int
    new: int
    changed: int
    unchanged: int
    older: int
    duplicates: int
    superseded: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rows: int = 0
    first: dt.date | None = None
    last: dt.date | None = None


@dataclass(frozen=True)
class IngestReport:
    """What a load did.

    Attributes
    ----------
    tables
        One report for each table that was loaded.
    ignored
        Files of the folders that are no vendor tables.
    reject
        The file of rejected rows, if one was asked for.
    """

    tables: tuple[TableReport, ...]
    ignored: tuple[str, ...] = ()
    reject: str | None = None

    def __getitem__(self, table: str) -> TableReport:
        """Give the report of one table."""
        return {report.table: report for report in self.tables}[table]

    @property
    def changed(self) -> bool:
        """Whether any stored row was added or replaced."""
        return any(report.new or report.changed for report in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """Give everything as plain JSON types; dates are ISO texts."""
        return {
            "tables": [
                dataclasses.asdict(report)
                | {
                    "notes": list(report.notes),
                    "first": report.first and report.first.isoformat(),
                    "last": report.last and report.last.isoformat(),
                }
                for report in self.tables
            ],
            "ignored": list(self.ignored),
            "reject": self.reject,
        }

    def remarks(self) -> list[str]:
        """Give what a user should know beside the counts: reasons of rejects, warnings, files left alone."""
        found = []
        for report in self.tables:
            found += [f"{report.table}: {count:,} rejected: {why}" for why, count in report.rejected.items()]
            found += [f"{report.table}: {what}: {count:,}" for what, count in report.warnings.items()]
            found += [f"{report.table}: {note}" for note in report.notes]
        if self.reject:
            found.append(f"rejected rows are in {self.reject}")
        if self.ignored:
            found.append(f"not vendor files, left alone: {', '.join(self.ignored)}")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Give one row per table for a printed summary; all rejected rows in one number."""
        return [
            {
                "table": report.table,
                "read": report.read,
                "new": report.new,
                "changed": report.changed,
                "unchanged": report.unchanged,
                "older": report.older,
                "duplicates": report.duplicates + report.superseded,
                "rejected": sum(report.rejected.values()),
                "stored": report.rows,
                "first": report.first,
                "last": report.last,
            }
            for report in self.tables
        ]
