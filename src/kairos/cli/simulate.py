"""`kairos simulate …`: markets with a planted truth."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, JsonOption, settings_of

app = typer.Typer(
    name="simulate",
    help="Markets with a planted truth, in the vendors' file layouts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _simulate() -> None:
    """Hold the commands, so that one alone keeps its name."""


@app.command()
def equity(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write, new or empty.")],
    tickers: Annotated[int, typer.Option("--tickers", help="Tickers.")] = 500,
    years: Annotated[int, typer.Option("--years", help="Years of sessions.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")] = 0,
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="First date.")] = "2015-01-02",
    file_format: Annotated[
        Literal["csv", "zip", "parquet"], typer.Option("--format", help="Of the vendor's files.")
    ] = "csv",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the vendor's seven tables of a simulated market, and truth.json.

    Example: kairos simulate equity --out market --tickers 500 --years 5 --seed 7
    """
    from kairos.simulate.equity import simulate

    settings_of(config, None)
    with console.progress("Simulating"):
        simulate(out, tickers=tickers, years=years, seed=seed, start=start, format=file_format)
    console.paths([out], as_json=as_json)


@app.command()
def adr(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write, new or empty.")],
    adrs: Annotated[int, typer.Option("--adrs", help="ADRs, on eleven European exchanges in turn.")] = 12,
    us_stocks: Annotated[int, typer.Option("--us-stocks", help="US stocks, at least 20.")] = 120,
    months: Annotated[int, typer.Option("--months", help="Calendar months of daily data.")] = 26,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")] = 0,
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="First date.")] = "2024-01-02",
    minutes: Annotated[
        str,
        typer.Option("--minutes", metavar="N|MONTHS", help="Months with minutes: the last N, or by name."),
    ] = "2",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the data directory of a simulated ADR desk, daily and minutes, and truth.json.

    Example: kairos simulate adr --out desk --adrs 12 --us-stocks 120 --months 26 --minutes 2025-03,2025-11
    """
    from kairos.simulate.adr import simulate_desk

    settings_of(config, None)
    chosen = int(minutes) if minutes.isdecimal() else [month.strip() for month in minutes.split(",")]
    with console.progress("Simulating"):
        simulate_desk(
            out, adrs=adrs, us_stocks=us_stocks, months=months, seed=seed, start=start, minutes=chosen
        )
    console.paths([out], as_json=as_json)
