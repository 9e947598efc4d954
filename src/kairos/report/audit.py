"""The page of an audit: the verdict, the columns that know the future, and every column that was compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.report.format import MISSING
from kairos.report.page import Column, Figure, Figures, Page, Quantity, Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = (
    Column("Column"),
    Column("Verdict"),
    Column("Trials", "count"),
    Column("Values compared", "count"),
    Column("Within rounding", "count"),
    Column("Different", "count"),
    Column("Worst difference", "number"),
    Column("First offence"),
    Column("Remark"),
)


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One column of the audit; `worst` is NaN where there is no number."""

    column: str
    verdict: str
    trials: int
    compared: int
    rounding: int
    beyond: int
    worst: float
    first: str
    note: str


def audit_page(
    *, desk: str, facts: Sequence[tuple[str, str]], rows: Sequence[AuditRow], remarks: Sequence[str]
) -> Page:
    """The page of :class:`kairos.audit.Audit`.

    Parameters
    ----------
    desk
        ``equity`` or ``adr``.
    facts
        What was audited: data, trials, time.
    rows
        One a column, leaks first.
    remarks
        What was not audited, and why.
    """
    by = {verdict: [row for row in rows if row.verdict == verdict] for verdict in _VERDICTS}
    millions = sum(row.compared for row in rows) / 1e6
    figures = Figures(
        (
            Figure("Leaks", Quantity(len(by["LEAK"]), "count"), "columns that know the future"),
            Figure("In sample", Quantity(len(by["IN-SAMPLE"]), "count"), "know it by declaration"),
            Figure("Clean", Quantity(len(by["clean"]), "count"), "columns without a difference"),
            Figure("Not compared", Quantity(len(by["not compared"]), "count"), "no trial had a value"),
            Figure("Compared", Quantity(millions, "number"), "millions of values"),
        )
    )
    sections = [Section(_VERDICTS[verdict], blocks=(_table(some),)) for verdict, some in by.items() if some]
    leaks = [f"{row.column} knows the future: first on {row.first}" for row in by["LEAK"]]
    return Page(
        title=f"Look-ahead audit: {desk}",
        facts=facts,
        warnings=(*leaks, *remarks),
        sections=(Section("In short", blocks=(figures,)), *sections),
    )


_VERDICTS = {
    "LEAK": "Columns that know the future",
    "IN-SAMPLE": "In sample by declaration",
    "not compared": "Not compared",
    "clean": "Clean",
}


def _table(rows: Sequence[AuditRow]) -> Table:
    return Table(
        _COLUMNS,
        [
            (
                row.column,
                row.verdict,
                row.trials,
                row.compared,
                row.rounding,
                row.beyond,
                row.worst if row.beyond else MISSING,
                row.first or MISSING,
                row.note,
            )
            for row in rows
        ],
    )
