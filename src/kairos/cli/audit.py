"""`kairos audit`: what makes a result believable, checked on the user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kairos.cli import console
from kairos.cli.options import written_to

if TYPE_CHECKING:
    from kairos.audit import Audit

app = typer.Typer(help="Look-ahead and luck: checks that you can run on your own data.", no_args_is_help=True)
lookahead = typer.Typer(help="Make everything again from altered inputs and compare.", no_args_is_help=True)
app.add_typer(lookahead, name="lookahead")

ReportOption = Annotated[
    Path | None, written_to("Write the page of the audit here.", "--report", metavar="FILE")
]


def show(audit: Audit, report: Path | None, as_json: bool) -> None:
    """Print an audit, write its page, and leave with 1 where a column knows the future."""
    from kairos.audit.page import page_of

    if report is not None:
        path = page_of(audit).write(report)
        console.note(f"report: {path}")
    if as_json:
        console.emit_json(audit.as_dict())
    else:
        _print(audit)
    if audit.leaks:
        raise typer.Exit(1)


def _print(audit: Audit) -> None:
    from kairos.audit import Verdict

    shown = [line for line in audit.lines if line.verdict is not Verdict.CLEAN]
    if shown:
        console.table(
            ["column", "verdict", "compared", "different", "worst", "first offence", "remark"],
            [
                (
                    f"{line.table}.{line.column}",
                    str(line.verdict),
                    line.compared,
                    line.beyond,
                    line.worst if line.beyond else None,
                    f"{line.first.date} {line.first.name} ({line.first.trial})" if line.first else None,
                    line.note,
                )
                for line in shown
            ],
        )
    counts = ", ".join(f"{audit.count(verdict):,} {verdict}" for verdict in Verdict)
    console.say(f"{audit.compared:,} values in {len(audit.trials)} trials; columns: {counts}")
    for remark in audit.remarks:
        console.note(remark)
