"""`kairos equity scores` and `kairos equity picks`: the live output of a day."""

import json as text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kairos.cli import console
from kairos.cli.equity import LowerOption, app, date_of
from kairos.cli.options import (
    ConfigOption,
    DbOption,
    JsonOption,
    NamespaceOption,
    SetOption,
    SnapshotOption,
    read_from,
    settings_of,
    written_to,
)

if TYPE_CHECKING:
    from kairos.equity.live import Picks

__all__ = ["app", "picks", "scores"]

SHOWN = 10
"""Rows of a table on the screen; the files have all."""

AlphaOption = Annotated[
    str, typer.Option("--alpha", metavar="COLUMN", help="The signal: a column, or table.column.")
]
DateOption = Annotated[
    str | None, typer.Option("--date", metavar="DATE", help="The session; without it the last one.")
]
OutOption = Annotated[Path | None, written_to("Folder of the files; made if absent.", "--out", metavar="DIR")]


@app.command()
def scores(
    alpha: AlphaOption,
    date: DateOption = None,
    out: OutOption = None,
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Rank the members of a session by a signal: DIR/scores.csv, with what sizing a position needs.

    Example: kairos equity scores --alpha alpha_composite_v8 --out live/today
    """
    from kairos.equity.live import scores as rank

    settings = settings_of(config, overrides, db)
    with console.progress("Scoring"):
        found = rank(
            Path(settings.data.db),
            alpha=alpha,
            settings=settings,
            date=date_of(date, "--date"),
            lower_is_better=lower_is_better,
            out=out,
            namespace=namespace,
            snapshot=snapshot,
        )
    if json:
        console.emit_json({**found.as_dict(), "scores": found.table.to_pylist()})
        return
    columns = [name for name in found.table.column_names if name != "regime"]
    rows = found.table.select(columns).slice(0, SHOWN).to_pylist()
    console.table(columns, [list(row.values()) for row in rows])
    told = found.as_dict()
    console.say(f"{told['date']}: {told['scored']:,} of {told['members']:,} members, {told['regime']}")
    for line in found.notes:
        console.note(line)
    if out is not None:
        console.note(f"all of them: {out / 'scores.csv'}")


@app.command()
def picks(
    strategy: Annotated[str, typer.Argument(help="Entry of [equity.strategies], e.g. risk4.")],
    alpha: AlphaOption,
    date: DateOption = None,
    out: OutOption = None,
    prior: Annotated[
        Path | None,
        read_from(
            "What is held: CSV with ticker, and shares or value; a row CASH.", "--prior", metavar="FILE"
        ),
    ] = None,
    capital: Annotated[
        float | None, typer.Option("--capital", metavar="USD", help="What the weights are fractions of.")
    ] = None,
    lot: Annotated[int | None, typer.Option("--lot", help="Shares of a lot.")] = None,
    min_trade: Annotated[
        float | None, typer.Option("--min-trade", metavar="USD", help="Smallest trade.")
    ] = None,
    hard_to_borrow: Annotated[
        Path | None,
        read_from("CSV with ticker: names not to be shorted anew.", "--hard-to-borrow", metavar="FILE"),
    ] = None,
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Write a strategy's book of a session: DIR/picks.csv, trades.csv and portfolio_summary.json.

    The weights are those of a backtest. A bare --set, such as --set top_n=30, means the strategy.

    Example: kairos equity picks risk4 --alpha alpha_composite_v8 --prior holdings.csv --out live/today
    """
    from kairos.equity.live import picks as choose

    given = {"lot": lot, "min_trade": None if min_trade is None else float(min_trade)}
    flags = [f"equity.live.{key}={text.dumps(value)}" for key, value in given.items() if value is not None]
    settings = settings_of(config, [*(overrides or ()), *flags], db, [strategy])
    with console.progress("Simulating"):
        found = choose(
            Path(settings.data.db),
            strategy,
            alpha=alpha,
            settings=settings,
            date=date_of(date, "--date"),
            lower_is_better=lower_is_better,
            prior=prior,
            capital=capital,
            hard_to_borrow=hard_to_borrow,
            out=out,
            namespace=namespace,
            snapshot=snapshot,
        )
    if json:
        console.emit_json(found.summary)
        return
    _print_book(found)
    for line in found.summary["notes"]:
        console.note(line)
    if out is not None:
        console.note(f"files: {out / 'picks.csv'}, {out / 'trades.csv'}, {out / 'portfolio_summary.json'}")


def _print_book(found: "Picks") -> None:
    told = found.summary
    console.say(f"{told['strategy']} on {told['alpha']}, {told['date']}, to be traded on {told['fill']}")
    for title, table in (("book", found.picks), ("trades", found.trades)):
        more = f", the largest {SHOWN}" if table.num_rows > SHOWN else ""
        console.say(f"\n{table.num_rows:,} rows of {title}{more}:")
        console.table(table.column_names, [list(row.values()) for row in table.slice(0, SHOWN).to_pylist()])
    console.say("")
    console.table(["", ""], [[label, value] for label, value in _facts(told).items()])


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    positions, cash, trading = told["positions"], told["cash"], told["trading"]
    close = [limit["limit_of"] for limit in told["limits"] if limit["binding"]]
    return {
        "regime": told["regime"],
        "capital": told["capital"],
        "scale": told["scale"],
        "names, long and short": f"{positions['long']} and {positions['short']}",
        "gross and net": f"{positions['gross']:.1%} and {positions['net']:.1%}",
        "limits reached": f"{len(close)} of {len(told['limits'])}",
        "limits relaxed": ", ".join(one["limit_of"] for one in told["relaxed"]) or "none",
        "traded, of capital": f"{trading['turnover']:.2%}",
        "estimated cost": trading["estimated_cost"],
        "slow trades": len(told["slow"]),
        "cash after": cash["after"],
        "next decision": told["schedule"]["next"][0]["decision"],
    }
