"""`kairos rerun`: a recorded backtest again."""

from pathlib import Path
from typing import Annotated

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, DbOption, JsonOption, SetOption, WaitOption, settings_of


def rerun(
    run: Annotated[
        str, typer.Argument(help="Identifier of a run, a beginning of it, or the name of a result.")
    ],
    db: DbOption = None,
    save_as: Annotated[
        str | None, typer.Option("--save-as", metavar="NAME", help="Store the result under this name.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Run a recorded backtest again and compare: 0 when all returns are equal to the last bit, 1 when not.

    The strategy and all of `equity` are as recorded; the data are those of the recorded snapshot while it is
    kept, else the present ones. Without --save-as nothing is stored.

    Example: kairos rerun longonly_r4 --db data/kairos.duckdb
    """
    from kairos.cli.backtest_output import print_rerun
    from kairos.equity.rerun import rerun as again

    settings = settings_of(config, overrides, db)
    with console.progress("Simulating"):
        found = again(Path(settings.data.db), run, settings=settings, save_as=save_as, wait=wait)
    if json:
        console.emit_json(found.as_dict())
    else:
        print_rerun(found)
    if not found.equal:
        raise typer.Exit(1)
