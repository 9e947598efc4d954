"""`kairos demo`: a first walk through both desks, on simulated markets whose truth is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, SetOption, settings_of

if TYPE_CHECKING:
    from kairos.report.page import Link
    from kairos.settings import Settings

MARKETS = {"small": (300, 4), "medium": (1500, 8)}
"""Tickers and years of the equity market."""

DESKS = {"small": (8, 80), "medium": (29, 500)}
"""ADRs and US stocks of the desk, both over the months of the packaged settings."""

FACTORS = ("value_composite_z", "quality_composite_z", "alpha_CL_v2", "alpha_composite_v8")
"""Columns whose components are planted, too."""

MONTHS = 25
DEMO = ".kairos-demo"
"""Marks a folder as made by the demo, so that the next demo may empty it."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the demo.")] = Path("demo"),
    size: Annotated[
        Literal["small", "medium"], typer.Option("--size", help="Of the simulated markets.")
    ] = "small",
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Simulate both markets, judge a signal, run two strategies, model the ADRs, write the reports.

    Example: kairos demo --out demo
    """
    from kairos.report.page import Links, Page, Section

    settings = settings_of(config, overrides, out / "data" / "kairos.duckdb")
    _clear(out)
    sections = [
        Section("Equity factor research", blocks=[Links(_equity(out, settings, size))]),
        Section("ADR desk", blocks=[Links(_adr(out, settings, size))]),
    ]
    subtitle = "Two simulated markets, what the desks find in them, and where the truth is written down."
    index = Page("Kairos demo", subtitle, sections=sections).write(out / "index.html")
    console.say(f"reports: {index}")


def _equity(out: Path, settings: "Settings", size: str) -> "list[Link]":
    """From the vendor's files to a signal study and two tear sheets."""
    from kairos.cli.equity import _print_headlines, _write_sheets
    from kairos.equity.backtest import backtest
    from kairos.equity.build import build
    from kairos.equity.ingest import ingest
    from kairos.equity.sheets import signal_sheet
    from kairos.equity.signals import signals
    from kairos.report import signal_page
    from kairos.report.page import Link
    from kairos.simulate.equity import simulate

    market, db = out / "vendor", Path(settings.data.db)
    tickers, years = MARKETS[size]
    console.say(
        f"1/7  a market of {tickers} tickers and {years} years with a planted one-month reversal: {market}"
    )
    simulate(market, tickers=tickers, years=years, seed=7)
    console.say(f"2/7  loading the vendor's files into {db}")
    ingest([market], db, settings=settings)
    console.say("3/7  universe, features, fundamentals, composites, regime and the feature matrix")
    for line in build(db, settings=settings).remarks():
        console.note(f"     {line}")
    console.say("4/7  does ret_21d foretell returns? (lower is better)")
    study = signals(db, ["ret_21d"], settings=settings, lower_is_better=True)
    console.table(*study.table())
    command = "equity signals --alpha ret_21d --lower-is-better"
    signal_page(signal_sheet(study, command)).write(out / "signals.html")
    console.say("     and do value, quality and their composites?")
    factors = signals(db, FACTORS, settings=settings)
    console.table(*factors.table())
    command = f"equity signals {' '.join(f'--alpha {name}' for name in FACTORS)}"
    signal_page(signal_sheet(factors, command)).write(out / "factors.html")
    console.say("5/7  what would it have earned, after costs?")
    found = backtest(db, ["baseline", "risk1"], alpha="ret_21d", settings=settings, lower_is_better=True)
    _print_headlines(found)
    _write_sheets(found, out / "tearsheet.html")
    return [
        Link("Signal study", "signals.html", "Does the last month's return foretell the next days?"),
        Link("Study of factors", "factors.html", "Value, quality, and composites that are built from them."),
        Link("Tear sheet of baseline", "tearsheet_baseline.html", "The best 50 names, equal weights."),
        Link("Tear sheet of risk1", "tearsheet_risk1.html", "75 names, scaled to 20 % volatility."),
        Link("What was planted", "vendor/truth.json", "The market's parameters."),
    ]


def _adr(out: Path, settings: "Settings", size: str) -> "list[Link]":
    """From the desk's raw files to evaluated models, the report and the notebook."""
    from kairos.adr.desk import NOTEBOOK, SIGNAL_NOTEBOOK, Desk
    from kairos.adr.ledger import run_step
    from kairos.adr.run import STEPS
    from kairos.adr.sheets import adr_sheet
    from kairos.adr.signal_sheets import signal_sheet
    from kairos.report import adr_page
    from kairos.report.adr_signal import adr_signal_page
    from kairos.report.page import Link
    from kairos.simulate.adr import simulate_desk

    folder = out / "adr"
    adrs, us_stocks = DESKS[size]
    console.say(
        f"6/7  a desk of {adrs} ADRs and {us_stocks} US stocks, some of which foretell an ordinary: {folder}"
    )
    simulate_desk(
        folder, adrs=adrs, us_stocks=us_stocks, months=MONTHS, seed=7, minutes=1, derived=["us_closes"]
    )
    console.say(
        "7/7  from raw minutes: betas, residuals, a LASSO for every ADR and month, and the minute signal"
    )
    desk = Desk(folder, settings)
    for step in STEPS:
        for remark in run_step(step, desk, lambda *_: None).remarks():
            console.note(f"     {step.name}: {remark}")
    adr_page(adr_sheet(desk)).write(out / "adr.html")
    adr_signal_page(signal_sheet(desk)).write(out / "adr_signal.html")
    return [
        Link("Models against the index", "adr.html", "What the US stocks add, by ADR and month, and chance."),
        Link(
            "Minute signal",
            "adr_signal.html",
            "The last day's signal by minute, and what signals have known.",
        ),
        Link("Notebook of the models", f"adr/{NOTEBOOK}", "As an executed Jupyter notebook."),
        Link("Notebook of the signal", f"adr/{SIGNAL_NOTEBOOK}", "As an executed Jupyter notebook."),
        Link("What was planted", "adr/truth.json", "Betas and predictors of every ordinary."),
    ]


def _clear(out: Path) -> None:
    """Empty the folder of an earlier demo; any other folder with content is left alone."""
    import shutil

    from kairos.errors import InputError

    if out.exists() and any(out.iterdir()) and not (out / DEMO).is_file():
        raise InputError(f"{out} has content that the demo did not make: choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / DEMO).touch()
