"""The command line: parse, call, print. The work is in the other rooms, imported when a command needs it."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kairos import __version__
from kairos.cli import adr, audit, config, console, demo, doctor, failures, live, rerun, simulate
from kairos.errors import KairosError

app = typer.Typer(
    name="kairos",
    help="Equity factor research and ADR fair value: point in time, reproducible, fast.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 the input or the configuration is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
app.add_typer(live.app, name="equity")
app.add_typer(adr.app, name="adr")
app.add_typer(simulate.app, name="simulate")
app.command("demo")(demo.demo)
app.add_typer(config.app, name="config")
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor.doctor)
app.command("rerun")(rerun.rerun)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"kairos {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Parameters
    ----------
    arguments
        What stands behind ``kairos``; by default those of the process.
    """
    try:
        with failures.orderly_end():
            app(args=arguments, prog_name="kairos")
    except failures.told() as error:
        console.note(f"kairos: {failures.words(error)}")
        sys.exit(error.exit_code if isinstance(error, KairosError) else 1)
