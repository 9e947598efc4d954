"""What is asked of the service for a table: everything as one export, or rows since a date by pages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.equity.vendor import TABLES
from kairos.errors import InputError
from kairos.settings.tree import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kairos.equity.vendor import VendorTable


@dataclass(frozen=True)
class Request:
    """What is asked for one table.

    Attributes
    ----------
    table
        The table.
    paged
        Whether the rows come page by page, or all of them as one bulk export.
    since
        The date from which rows are asked for, by the column ``table.since``; None asks for all.
    """

    table: VendorTable
    paged: bool
    since: dt.date | None = None

    @classmethod
    def of(cls, table: VendorTable, since: dt.date | None) -> Request:
        """Decide from the declaration of the table how to get what is new since a date.

        Examples
        --------
        >>> from kairos.equity.vendor import table
        >>> start = dt.date(2024, 1, 2)
        >>> [Request.of(table(name), start).asked for name in ("sep", "sf2", "tickers")]
        ['lastupdated ≥ 2024-01-02', 'filingdate ≥ 2023-12-19', 'everything']
        """
        if since is None or table.since is None:
            return cls(table, paged=since is not None)
        return cls(table, paged=True, since=since - dt.timedelta(days=table.late))

    @property
    def filters(self) -> Mapping[str, str]:
        """What the service needs to know of it."""
        return {f"{self.table.since}.gte": self.since.isoformat()} if self.since else {}

    @property
    def asked(self) -> str:
        """What is asked, in words."""
        return f"{self.table.since} ≥ {self.since}" if self.since else "everything"

    @property
    def file(self) -> str:
        """Name of the file, as a load knows it."""
        return f"SHARADAR_{self.table.name.upper()}.{'csv' if self.paged else 'zip'}"


def named(names: Sequence[str]) -> list[VendorTable]:
    """Find tables by the names that the vendor's users know, in upper or lower case; none means all.

    Raises
    ------
    InputError
        For a name that no table has; the message suggests the nearest.

    Examples
    --------
    >>> [table.name for table in named(["SF1", "SHARADAR/SEP", "sep"])]
    ['sep', 'sf1']
    """
    known = [table.name.upper() for table in TABLES]
    wanted = [name.upper().removeprefix("SHARADAR/").removeprefix("SHARADAR_") for name in names]
    for name, short in zip(names, wanted, strict=True):
        if short not in known:
            raise InputError(
                f"There is no table {name!r}.{nearest(short, known)} Tables: {', '.join(known)}."
            )
    return [table for table in TABLES if not wanted or table.name.upper() in wanted]
