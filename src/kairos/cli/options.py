"""Options that commands share, with one spelling and one help text each."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
ExecutorOption = Annotated[
    str | None,
    typer.Option("--executor", metavar="local|dask|ray", help="Where tasks run; without it `run.executor`."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="URL",
        help="The cluster of --executor, e.g. tcp://head:8786; without one workers are started here.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Processes; without it `run.workers`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on stdout.")]


def read_from(what: str, *names: str, metavar: str) -> Any:
    """Declare a file or folder that is read, local or at a URL."""
    make = typer.Option if names else typer.Argument
    return make(*names, help=what, metavar=metavar, parser=str, callback=_reading)


def written_to(what: str, *names: str, metavar: str) -> Any:
    """Declare a file or folder that is written, local or at a URL; to a URL when the command has ended."""
    make = typer.Option if names else typer.Argument
    return make(*names, help=what, metavar=metavar, parser=str, callback=_writing)


def worked_in(what: str, *names: str, metavar: str) -> Any:
    """Declare a folder that is read and written, local or at a URL; there it is mirrored meanwhile."""
    return typer.Option(*names, help=what, metavar=metavar, parser=str, callback=_mirrored)


def _reading(context: typer.Context, value: Any) -> Any:
    from kairos.remote import reading

    if isinstance(value, list | tuple):
        return [_reading(context, one) for one in value]
    return None if value is None else context.with_resource(reading(value))


def _writing(context: typer.Context, value: str | None) -> Path | None:
    from kairos.remote import writing

    return None if value is None else context.with_resource(_unless_it_failed(writing(value)))


def _mirrored(context: typer.Context, value: str) -> Path:
    from kairos.remote import mirrored

    return context.with_resource(_unless_it_failed(mirrored(value)))


@contextmanager
def _unless_it_failed(place: AbstractContextManager[Path]) -> Iterator[Path]:
    """A place to write to. To leave with an exit code of one's own, as an audit does, is no failure."""
    leaving: typer.Exit | None = None
    with place as path:
        try:
            yield path
        except typer.Exit as left:
            leaving = left
    if leaving:
        raise leaving


ReportOption = Annotated[
    Path | None, written_to("Write the page of the audit here.", "--report", metavar="FILE")
]


def run_settings(executor: str | None, scheduler: str | None, workers: int | None) -> list[str]:
    """Assignments that --executor, --scheduler and --workers stand for.

    Raises
    ------
    InputError
        There is a scheduler and no executor for it.
    """
    from kairos.errors import InputError

    if scheduler is not None and executor not in ("dask", "ray"):
        raise InputError(f"--scheduler {scheduler}: say what runs there: --executor dask or --executor ray")
    given = {"executor": executor, "scheduler": scheduler, "workers": workers}
    return [f"run.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


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
