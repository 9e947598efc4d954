"""`kairos audit lookahead adr`."""

from typing import Annotated

import typer

from kairos.cli import console
from kairos.cli.adr import DataOption, desk_of
from kairos.cli.audit_output import show
from kairos.cli.options import (
    ConfigOption,
    ExecutorOption,
    JsonOption,
    ReportOption,
    SchedulerOption,
    SetOption,
    WorkersOption,
    run_settings,
)


def lookahead_adr(
    data: DataOption,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="Moments at which the inputs are cut.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same moments.")] = 0,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="STEP", help="Stop after a step, e.g. train, for a quick audit."),
    ] = None,
    report: ReportOption = None,
    executor: ExecutorOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the desk anew on altered inputs, in a scratch folder, and find values that know the future.

    The inputs are cut at random moments, given another future, started later, and restated after a later
    split. Exit code 1 when a value that was known before the moment changes.

    Example: kairos audit lookahead adr --data desk --cuts 3 --report audit.html
    """
    desk = desk_of(data, config, overrides, False, run_settings(executor, scheduler, workers))

    from kairos.audit.adr import AUDITED
    from kairos.audit.adr import lookahead_adr as find

    with console.progress("Auditing") as advance:
        audit = find(desk, cuts=cuts, seed=seed, until=until or AUDITED[-1], progress=lambda *_: advance(1))
    show(audit, report, as_json)
