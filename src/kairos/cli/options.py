"""Options that commands share, with one spelling and one help text each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kairos.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The configuration; without it ./kairos.toml if there is one."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one key, e.g. equity.backtest.lag=0. May be given several times.",
    ),
]
DbOption = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The catalog; without it `data.db` of the configuration."),
]
NamespaceOption = Annotated[
    str,
    typer.Option("--namespace", metavar="NAME", help="The set of tables, as `build --into NAME` made it."),
]
SnapshotOption = Annotated[
    str | None,
    typer.Option("--snapshot", metavar="ID", help="An earlier state of the catalog; without it the newest."),
]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait", help="Wait for another run, or a program that has the catalog open for writing, to end."
    ),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the page of the audit here.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout.")]


def settings_of(
    config: Path | None,
    overrides: Sequence[str] | None,
    db: Path | None = None,
    strategies: Sequence[str] = (),
) -> "Settings":
    """Read the settings of a command: those of the file, under ``--set``, under ``--db``."""
    from kairos.settings import load

    last = [f"data.db={json.dumps(str(db))}"] if db else []
    return load(config, [*(overrides or ()), *last], strategies=strategies)
