"""`kairos adr …`: the desk's steps, one command each, and all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kairos.cli import console, log
from kairos.cli.options import (
    ConfigOption,
    ExecutorOption,
    JsonOption,
    SchedulerOption,
    SetOption,
    WaitOption,
    WorkersOption,
    run_settings,
    settings_of,
    worked_in,
    written_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kairos.adr.desk import Desk
    from kairos.adr.run import Report, Step

app = typer.Typer(
    name="adr",
    help="The ADR desk: from closes to betas, residuals, models, and the minute signal.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DataOption = Annotated[
    Path,
    worked_in("The data directory, the folder that holds data/raw, or its URL.", "--data", metavar="DIR"),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that the desk did not make.")]


STEPS = {
    "convert": "Convert the futures' bars to USD and sample the ADRs' mids, where you have no such files.",
    "align": "Sample the US stocks at each exchange's close, from minute bars, where you have no such file.",
    "betas": "Fit the ordinaries' betas on their indices, where you have no such file.",
    "features": "Make the residual returns: of every ordinary the target, of every US stock a feature.",
    "train": "Fit the model of every ADR and month, on the twelve months before it.",
    "evaluate": "Judge the models against the index baseline: by ADR, by month, and against chance.",
    "notebook": "Execute the analysis notebook on the desk's results and write it into the data directory.",
    "baseline": "Make the futures-only signal of every ADR and minute, where you have no such files.",
    "signal": "Make the minute signal: index and US stocks behind the gate, the baseline elsewhere.",
    "evaluate-signal": "Judge the minute signal against the returns that follow, as they can be traded.",
    "signal-notebook": "Execute the analysis of the minute signal and write it into the data directory.",
}
"""The commands of the single steps, and what `--help` says of them."""


def check_libraries() -> None:
    """Refuse to work without the libraries of the desk, which are optional."""
    from importlib.util import find_spec

    from kairos.errors import InputError

    if any(find_spec(library) is None for library in ("sklearn", "nbclient", "ipykernel")):
        raise InputError("the libraries of the ADR desk are not installed: pip install 'kairos[adr]'")


def desk_of(
    data: Path,
    config: Path | None,
    overrides: list[str] | None,
    force: bool,
    run: Sequence[str] = (),
) -> "Desk":
    """The data directory with its settings: those of --config, or of its own kairos.toml."""
    from kairos.errors import InputError
    from kairos.settings.load import DEFAULT_FILE

    check_libraries()
    from kairos.adr.desk import Desk

    if not data.is_dir():
        raise InputError(f"{data}: there is no such folder; --data names the one that holds data/raw")
    own = data / DEFAULT_FILE
    settings = settings_of(config or (own if own.is_file() else None), [*(overrides or []), *run])
    return Desk(data, settings, force)


def _command_of(name: str, text: str) -> "Callable[..., None]":
    """Make the command of one step."""

    def command(
        data: DataOption,
        force: ForceOption = False,
        executor: ExecutorOption = None,
        scheduler: SchedulerOption = None,
        workers: WorkersOption = None,
        config: ConfigOption = None,
        overrides: SetOption = None,
        wait: WaitOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from kairos.adr.run import STEPS as DECLARED

        desk = desk_of(data, config, overrides, force, run_settings(executor, scheduler, workers))
        log.start(desk.settings, data)
        with desk.turn(wait=wait):
            found = _done(next(step for step in DECLARED if step.name == name), desk)
        if as_json:
            console.emit_json(_told(found))
            return
        console.table(*found.table())
        for remark in found.remarks():
            console.note(remark)

    command.__doc__ = f"{text}\n\nExample: kairos adr {name} --data desk\n"
    return command


def _told(found: "Report") -> dict[str, object]:
    """What a step found, by name."""
    columns, rows = found.table()
    return {"rows": [dict(zip(columns, row, strict=True)) for row in rows], "remarks": found.remarks()}


def _done(step: "Step", desk: "Desk") -> "Report":
    """Run a step, record it, and show how far it is."""
    from kairos.adr.ledger import run_step

    with console.progress(step.name) as advance:
        done = 0

        def progress(now: int, _total: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        return run_step(step, desk, progress)


for _name, _text in STEPS.items():
    app.command(_name)(_command_of(_name, _text))


@app.command()
def report(
    data: DataOption,
    out: Annotated[Path, written_to("The HTML report to write.", "--out", metavar="FILE")],
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the evaluation as one self-contained HTML file, and that of the minute signal beside it.

    Example: kairos adr report --data desk --out desk.html
    """
    from kairos.adr.sheets import adr_sheet
    from kairos.adr.signal_sheets import has_signal, signal_sheet
    from kairos.report import adr_page
    from kairos.report.adr_signal import adr_signal_page

    desk = desk_of(data, config, overrides, force=False)
    written = [adr_page(adr_sheet(desk)).write(out)]
    if has_signal(desk):
        beside = out.with_name(f"{out.stem}_signal{out.suffix}")
        written.append(adr_signal_page(signal_sheet(desk)).write(beside))
    console.paths(written, as_json=as_json)


@app.command()
def run(
    data: DataOption,
    force: ForceOption = False,
    executor: ExecutorOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do every step in turn, from raw minutes to the executed notebooks.

    Example: kairos adr run --data desk
    """
    from kairos.adr.run import STEPS as DECLARED
    from kairos.remote import send

    desk = desk_of(data, config, overrides, force, run_settings(executor, scheduler, workers))
    log.start(desk.settings, data)
    done = {}
    with desk.turn(wait=wait):
        for number, step in enumerate(DECLARED, 1):
            if not as_json:
                console.say(f"{number}/{len(DECLARED)}  {step.name}: {step.what}")
            found = _done(step, desk)
            done[step.name] = _told(found)
            for remark in found.remarks():
                console.note(f"     {remark}")
            send(desk.root)
    if as_json:
        console.emit_json(done)


@app.command()
def live(
    data: DataOption,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="New York time, 2026-01-30T14:05; without it now."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the signal of a moment, from the bars and quotes that had arrived.

    Example: kairos adr live --data desk --at 2026-01-30T14:05
    """
    from kairos.adr.live import new_york_time, records, table
    from kairos.adr.replay import moment

    desk = desk_of(data, config, overrides, force=False)
    found = moment(desk, None if at is None else new_york_time(at))
    if as_json:
        console.emit_json(records(found.signals))
        return
    console.table(*table(found.signals))
    if found.set_aside:
        console.note(f"{found.set_aside} bars and quotes without a usable price were set aside.")
    if found.revised:
        console.note("Bars that arrived later would have made other signals of this minute.")


@app.command()
def pipeline(
    data: DataOption,
    force: ForceOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write dvc.yaml, one stage a step, for `dvc repro`; and a kairos.toml to follow where there is none.

    DVC deletes what a stage writes before it runs the stage, so files of yours must not lie there.

    Example: kairos adr pipeline --data desk && cd desk && dvc repro
    """
    from kairos.adr.pipeline import write_pipeline

    console.paths(write_pipeline(desk_of(data, config, overrides, force)), as_json=as_json)
