"""`kairos audit lookahead equity`."""

from pathlib import Path
from typing import Annotated

import typer

from kairos.cli import console
from kairos.cli.options import (
    ConfigOption,
    DbOption,
    ExecutorOption,
    JsonOption,
    NamespaceOption,
    ReportOption,
    SchedulerOption,
    SetOption,
    WorkersOption,
    run_settings,
    settings_of,
)


def lookahead_equity(
    strategies: Annotated[
        list[str] | None,
        typer.Argument(help="Whose decisions are audited, beside all tables; without a name every strategy."),
    ] = None,
    db: DbOption = None,
    alpha: Annotated[
        str | None,
        typer.Option("--alpha", metavar="COLUMN", help="Their signal; without it the first composite built."),
    ] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Turn the signal round.")
    ] = False,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME", help="Only this table and what it needs, and no decisions."),
    ] = None,
    tables_only: Annotated[bool, typer.Option("--tables-only", help="No decisions.")] = False,
    cuts: Annotated[int, typer.Option("--cuts", metavar="N", help="Random moments.")] = 3,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the moments and the futures.")] = 0,
    namespace: NamespaceOption = "main",
    report: ReportOption = None,
    executor: ExecutorOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Make every table and decision again from altered inputs, and compare: 1 where one knows the future.

    The inputs are cut at random moments, given another future, begun later, and put on the basis of a later
    split. Each trial is a build in a temporary folder (TMPDIR), `run.workers` of them at a time; the stored
    tables are read only, and must be current.

    Example: kairos audit lookahead equity baseline risk4 --db data/kairos.duckdb --report audit.html
    """
    from kairos.audit.equity import lookahead
    from kairos.cli.audit_output import show

    settings = settings_of(config, [*(overrides or ()), *run_settings(executor, scheduler, workers)], db)
    names = [] if tables_only or tables else list(strategies or settings.equity.strategies)
    with console.progress("Auditing", 2 * cuts + 2) as advance:
        audit = lookahead(
            Path(settings.data.db),
            settings=settings,
            cuts=cuts,
            seed=seed,
            tables=tables or (),
            strategies=names,
            alpha=alpha,
            lower_is_better=lower_is_better,
            namespace=namespace,
            progress=lambda _done, _of: advance(1),
        )
    show(audit, report, json)
