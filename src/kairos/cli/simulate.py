"""`kairos simulate …` and `kairos demo`: markets with a planted truth, and a first walk through it all."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, SetOption, settings_of

app = typer.Typer(
    name="simulate",
    help="Markets with a planted truth, in the vendors' file layouts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SIZES = {"small": (300, 4), "medium": (1500, 8)}
"""Tickers and years of the demo."""


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
) -> None:
    """Write the vendor's seven tables of a simulated market, and truth.json.

    Example: kairos simulate equity --out market --tickers 500 --years 5 --seed 7
    """
    from kairos.simulate.equity import simulate

    settings_of(config, None)
    with console.progress("Simulating"):
        simulate(out, tickers=tickers, years=years, seed=seed, start=start, format=file_format)
    console.say(str(out))


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
    console.say(str(out))


DEMO = ".kairos-demo"
"""Marks a folder as made by the demo, so that the next demo may empty it."""


def _clear(out: Path) -> None:
    """Empty the folder of an earlier demo; any other folder with content is left alone."""
    import shutil

    from kairos.errors import InputError

    if out.exists() and any(out.iterdir()) and not (out / DEMO).is_file():
        raise InputError(f"{out} has content that the demo did not make: choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / DEMO).touch()


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the demo.")] = Path("demo"),
    size: Annotated[
        Literal["small", "medium"], typer.Option("--size", help="Of the simulated market.")
    ] = "small",
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Simulate a market, load and build it, judge a signal, run two strategies, write the reports.

    Example: kairos demo --out demo
    """
    from kairos.cli.equity import _print_headlines, _write_sheets
    from kairos.equity.backtest import backtest
    from kairos.equity.build import build
    from kairos.equity.ingest import ingest
    from kairos.equity.sheets import signal_sheet
    from kairos.equity.signals import signals
    from kairos.report import signal_page
    from kairos.simulate.equity import simulate

    market, db = out / "vendor", out / "data" / "kairos.duckdb"
    settings = settings_of(config, overrides, db)
    tickers, years = SIZES[size]
    console.say(
        f"1/5  a market of {tickers} tickers and {years} years with a planted one-month reversal: {market}"
    )
    _clear(out)
    simulate(market, tickers=tickers, years=years, seed=7)
    console.say(f"2/5  loading the vendor's files into {db}")
    ingest([market], db, settings=settings)
    console.say("3/5  universe, price base and feature tables")
    for line in build(db, settings=settings).remarks():
        console.note(f"     {line}")
    console.say("4/5  does ret_21d foretell returns? (lower is better)")
    study = signals(db, ["ret_21d"], settings=settings, lower_is_better=True)
    console.table(*study.table())
    command = "equity signals --alpha ret_21d --lower-is-better"
    signal_page(signal_sheet(study, command)).write(out / "signals.html")
    console.say("5/5  what would it have earned, after costs?")
    found = backtest(db, ["baseline", "risk1"], alpha="ret_21d", settings=settings, lower_is_better=True)
    _print_headlines(found)
    _write_sheets(found, out / "tearsheet.html")
    console.say(
        f"reports: {out / 'signals.html'}, {out / 'tearsheet_baseline.html'}, {out / 'tearsheet_risk1.html'}"
    )
