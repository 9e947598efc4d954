"""The command line: parse, call, print. The work is in the other rooms, imported when a command needs it."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kairos import __version__
from kairos.cli import adr, audit, config, console, demo, doctor, failures, live, log, rerun, simulate
from kairos.cli.machine import check_address_space
from kairos.cli.stopping import WORDS, Stopped, stoppable
from kairos.errors import KairosError, out_of_threads

app = typer.Typer(
    name="kairos",
    help="Equity factor research and ADR fair value: point in time, reproducible, fast.",
    epilog="Exit codes: 0 done, 1 the work failed, 2 the input or the configuration is wrong.",
    no_args_is_help=True,
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
    """Hold the options that stand before a command, and see that a command can begin."""
    if not version:
        check_address_space()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Parameters
    ----------
    arguments
        What stands behind ``kairos``; by default those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Before NumPy is loaded: OpenBLAS interrupts a process whose memory doesn't suffice for its threads, as
    # if somebody had stopped it. They win nothing: matrices are small, and large work goes by processes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with log.call(words) as call, stoppable(lambda stopped: _give_up(call, stopped)) as stopped:
        sys.exit(_run(words, call, stopped))


def _run(words: list[str], call: log.Call, stopped: Stopped) -> int:
    """Run a command and say in plain words what stopped it."""
    code = 0
    try:
        app(args=words, prog_name="kairos")
    except failures.told() as error:
        call.error, code = failures.words(error), error.exit_code if isinstance(error, KairosError) else 1
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except RuntimeError as error:
        if out_of_threads(error):
            call.error, code = failures.words(error), 1
        elif stopped.by is None:
            raise
    if stopped.by is not None:
        call.error, code = WORDS[stopped.by], stopped.exit_code
    if call.error:
        console.note(f"kairos: {call.error}")
    return code


def _give_up(call: log.Call, stopped: Stopped) -> None:
    """Say what stopped a command that does not end by itself."""
    assert stopped.by is not None  # noqa: S101 - it has come
    call.error = WORDS[stopped.by]
    console.note(f"kairos: {call.error}")
    log.finish(call, stopped.exit_code)
