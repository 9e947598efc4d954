"""`kairos audit null`: how often tests find something where there is nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from kairos.cli import console
from kairos.cli.options import (
    ConfigOption,
    ExecutorOption,
    JsonOption,
    ReportOption,
    SchedulerOption,
    SetOption,
    WorkersOption,
    run_settings,
    settings_of,
)


def null(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[signals|gate|strategies]...",
            help="Parts that are audited: signals, gate, strategies; without any all three.",
        ),
    ] = None,
    markets: Annotated[
        int,
        typer.Option(
            "--markets",
            help="Markets of each part. 100 take a few minutes on two cores; 400 tell 10 % from 5 %.",
        ),
    ] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Of the first market; the others follow.")] = 0,
    level: Annotated[
        float, typer.Option("--level", help="Share of markets on which a test may find what is not there.")
    ] = 0.05,
    effect: Annotated[
        float,
        typer.Option(
            "--effect",
            help="What is planted: 1 is an IC of 0.013 and 0.017, an improvement of +0.10, a Sharpe of 1; "
            "0 plants nothing.",
        ),
    ] = 1.0,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy", metavar="NAME", help="Strategies that are tried; without it baseline and risk1."
        ),
    ] = None,
    executor: ExecutorOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Run signals, the model gate and strategies on markets without any effect, and count what they find.

    The same is done with a planted effect. Leaves with 1 when a test finds more than it promises.

    Example: kairos audit null signals --markets 400 --report null.html
    """
    from kairos.audit import null_markets
    from kairos.audit.null import PARTS
    from kairos.audit.null_page import page_of
    from kairos.audit.null_strategies import DEFAULT

    settings = settings_of(
        config,
        [*(overrides or ()), *run_settings(executor, scheduler, workers)],
        strategies=strategy or (),
    )
    chosen = parts or list(PARTS)
    with console.progress("Null markets", total=len(set(chosen)) * markets) as advance:
        audit = null_markets(
            chosen,
            settings=settings,
            markets=markets,
            seed=seed,
            level=level,
            effect=effect,
            strategies=strategy or DEFAULT,
            progress=lambda *_: advance(1),
        )
    if report is not None:
        console.note(f"report: {page_of(audit).write(report)}")
    if as_json:
        console.emit_json(audit.as_dict())
    else:
        console.table(*audit.table())
        for remark in audit.remarks:
            console.note(remark)
    if audit.too_many:
        raise typer.Exit(1)
