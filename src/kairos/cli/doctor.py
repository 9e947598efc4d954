"""``kairos doctor``: whether this machine, this configuration and the data are fit for work."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, DbOption, JsonOption, SetOption, settings_of
from kairos.errors import InputError


def doctor(
    config: ConfigOption = None,
    overrides: SetOption = None,
    db: DbOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Also look at an ADR desk's data directory.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every part of the store, and name those that are damaged.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check Python, libraries, memory, disks, clock, keys, configuration, and how old the data are.

    Ages are in sessions of New York. The exit code is 0 with warnings, else that of the worst finding.

    Example: kairos doctor --db data/kairos.duckdb
    """
    from kairos.cli import freshness, machine

    now = dt.datetime.now(dt.UTC)
    findings = machine.machine()
    try:
        settings = settings_of(config, overrides, db)
    except InputError as error:
        findings.append(machine.Finding("configuration", "wrong", str(error), error.exit_code))
    else:
        findings.append(machine.Finding("configuration", "ok", f"digest {settings.digest()}"))
        findings += [*machine.limits(settings), *freshness.store(settings, now, verify=verify)]
    if data is not None:
        findings += freshness.desk(data, now)
    if as_json:
        console.emit_json(findings)
    else:
        console.table(
            ["check", "state", "detail"], [(item.what, item.state, item.detail) for item in findings]
        )
    raise typer.Exit(max(item.exit_code for item in findings))
