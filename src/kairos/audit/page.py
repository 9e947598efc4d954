"""The page of an audit."""

from __future__ import annotations

from kairos.audit.findings import Audit, Line
from kairos.report.audit import AuditRow, audit_page
from kairos.report.page import Page


def page_of(audit: Audit) -> Page:
    """The page of an audit: leaks first, then what is in sample by declaration, then all the rest."""
    facts = (
        ("Trials", ", ".join(audit.trials)),
        ("Values compared", f"{audit.compared:,}"),
        ("Time", f"{audit.seconds:,.0f} s"),
    )
    return audit_page(
        desk=audit.desk, facts=facts, rows=[_row(line) for line in audit.lines], remarks=audit.remarks
    )


def _row(line: Line) -> AuditRow:
    first = line.first
    return AuditRow(
        column=f"{line.table}.{line.column}",
        verdict=str(line.verdict),
        trials=sum(line.trials.values()),
        compared=line.compared,
        rounding=line.rounding,
        beyond=line.beyond,
        worst=line.worst,
        first=f"{first.date} {first.name}: {first.whole} and {first.other} ({first.trial})" if first else "",
        note=line.note,
    )
