"""`kairos equity …`: factor research from the vendor's files to backtests."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kairos.cli import console, log
from kairos.cli.options import (
    ConfigOption,
    DbOption,
    ExecutorOption,
    JsonOption,
    NamespaceOption,
    SchedulerOption,
    SetOption,
    SnapshotOption,
    WaitOption,
    WorkersOption,
    read_from,
    run_settings,
    settings_of,
    written_to,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.equity.backtest import BacktestResult
    from kairos.equity.backtest.factors import Factors
    from kairos.equity.universe_comparison import UniverseComparison
    from kairos.settings import Settings
    from kairos.store import Store
    from kairos.store.ledger import Run

app = typer.Typer(
    name="equity",
    help="Factor research: vendor data, universe, features, backtests.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AlphaOption = Annotated[
    list[str],
    typer.Option(
        "--alpha", metavar="COLUMN", help="The signal: a column of a feature table, or table.column."
    ),
]
LowerOption = Annotated[bool, typer.Option("--lower-is-better", help="Turn the sign of the signal.")]
ReportOption = Annotated[Path | None, written_to("Write an HTML report.", "--report", metavar="FILE")]


@app.command()
def ingest(
    sources: Annotated[
        list[Path],
        read_from("Folders or files of the vendor, or an older DuckDB file.", metavar="SOURCES..."),
    ],
    db: DbOption = None,
    reject: Annotated[
        Path | None, written_to("Set bad rows aside in this CSV file.", "--reject", metavar="FILE")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Load vendor exports: an upsert on each table's key; the latest `lastupdated` wins.

    Example: kairos equity ingest exports/ --db data/kairos.duckdb
    """
    from kairos.equity.ingest import ingest as load

    settings = settings_of(config, overrides, db)
    log.start(settings, Path(settings.data.db).parent)
    with console.progress("Loading"):
        report = load(sources, Path(settings.data.db), reject=reject, settings=settings, wait=wait)
    if json:
        console.emit_json(report.as_dict())
        return
    rows = report.rows()
    console.table(list(rows[0]), [list(row.values()) for row in rows])
    for line in report.remarks():
        console.note(line)


@app.command()
def download(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files; made if absent.")],
    tables: Annotated[
        list[str] | None, typer.Argument(help="Tables of the vendor, e.g. SEP; without one all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Only what is new since this date.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Download the vendor's tables; the key is NASDAQ_DATA_LINK_API_KEY of the environment.

    A download that was interrupted goes on where it stopped when it is called again in the same way.

    Example: kairos equity download SEP TICKERS DAILY ACTIONS --out data/vendor --since 2026-01-05
    """
    from kairos.equity.download import download as fetch
    from kairos.equity.vendor import TABLES

    settings = settings_of(config, overrides)
    log.start(settings, Path(settings.data.db).parent)
    start = date_of(since, "--since")
    with console.progress("Downloading", len(tables or TABLES)) as advance:
        report = fetch(out, tables or (), start, settings=settings, progress=lambda _: advance(1))
    if json:
        console.emit_json(report.as_dict())
        return
    rows = report.rows()
    console.table(list(rows[0]), [list(row.values()) for row in rows])
    for line in report.remarks():
        console.note(line)


@app.command()
def build(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables to make; without one all.")] = None,
    db: DbOption = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="Use only what was known on this date.")
    ] = None,
    into: Annotated[str, typer.Option("--into", metavar="NAME", help="Namespace of the results.")] = "main",
    force: Annotated[bool, typer.Option("--force", help="Make even what is current.")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Make the named tables and all they need; what is current is left alone.

    Example: kairos equity build feat_beta --db data/kairos.duckdb
    """
    from kairos.equity.build import build as make

    settings = settings_of(config, overrides, db)
    log.start(settings, Path(settings.data.db).parent)
    with console.progress("Building") as advance:
        report = make(
            Path(settings.data.db),
            tables or (),
            settings=settings,
            as_of=date_of(as_of, "--as-of"),
            into=into,
            force=force,
            wait=wait,
            progress=lambda *_: advance(1),
        )
    if json:
        console.emit_json(report.as_dict())
        return
    console.table(
        ["table", "rows", "compute s", "write s"],
        [[b["table"], b["rows"], b["compute_s"], b["write_s"]] for b in report.built],
    )
    if report.current:
        console.say(f"current: {', '.join(report.current)}")
    for line in report.remarks():
        console.note(line)
    console.say(f"snapshot {report.snapshot}, {report.seconds:.1f} s")


@app.command()
def update(
    db: DbOption = None,
    source: Annotated[
        list[Path] | None,
        read_from("Folder or file of the vendor with what is new.", "--source", metavar="DIR"),
    ] = None,
    from_vendor: Annotated[
        bool, typer.Option("--download", help="Fetch what the vendor has changed since the last load.")
    ] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Load new sessions, late filings and corrections, and make again what they touch, all at once.

    Example: kairos equity update --db data/kairos.duckdb --source exports/2026-11-27
    """
    from kairos.equity.update import update as refresh

    settings = settings_of(config, overrides, db)
    log.start(settings, Path(settings.data.db).parent)
    with console.progress("Updating") as advance:
        report = refresh(
            Path(settings.data.db),
            settings=settings,
            sources=source or (),
            from_vendor=from_vendor,
            wait=wait,
            progress=lambda *_: advance(1),
        )
    if json:
        console.emit_json(report.as_dict())
        return
    if report.loaded:
        rows = report.loaded.rows()
        console.table(list(rows[0]), [list(row.values()) for row in rows])
    console.table(
        ["table", "rows", "parts", "new parts", "since"],
        [
            [b["table"], b["rows"], b["parts"], b["new_parts"], b["since"] or "all"]
            for b in report.built.built
        ],
    )
    for line in (*(report.loaded.remarks() if report.loaded else ()), *report.remarks()):
        console.note(line)
    console.say(f"snapshot {report.built.snapshot}, {report.built.seconds:.1f} s")


@app.command()
def pipeline(
    source: Annotated[
        list[Path], typer.Option("--source", metavar="DIR", help="Folder or file of the vendor.")
    ],
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where dvc.yaml and kairos.toml are.")
    ] = Path(),
    db: DbOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a stage that was changed by hand.")
    ] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Write the stage `equity` into dvc.yaml, for `dvc repro`; other stages and comments stay.

    DVC follows the section [equity] of kairos.toml; it is added, empty, where there is none. The file of --db
    is seen from --dir.

    Example: kairos equity pipeline --source exports && dvc repro
    """
    from kairos.equity.pipeline import write_pipeline

    if config or overrides:  # else the stage goes by the kairos.toml beside dvc.yaml
        db = Path(settings_of(config, overrides, db).data.db)
    console.paths(write_pipeline(source, folder, db=db, force=force), as_json=json)


@app.command()
def status(
    db: DbOption = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show each table: rows, last session, whether it is current, and why not.

    Example: kairos equity status --db data/kairos.duckdb
    """
    from kairos.equity.staleness import status as state

    settings = settings_of(config, overrides, db)
    found = state(Path(settings.data.db), settings=settings, namespace=namespace, snapshot=snapshot)
    if json:
        console.emit_json(found)
        return
    console.table(
        ["table", "rows", "parts", "last", "state", "why"],
        [[t.name, t.rows, t.parts, t.last, t.state, "; ".join(t.why)] for t in found],
    )


@app.command()
def factors(
    tables: Annotated[list[str] | None, typer.Argument(help="Feature tables; without one all.")] = None,
    db: DbOption = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """List every factor: formula, source, expected sign, and the share of the members' rows that have it.

    Example: kairos equity factors feat_value_v2 --db data/kairos.duckdb
    """
    from kairos.equity.coverage import coverage

    settings = settings_of(config, overrides, db)
    db = Path(settings.data.db)
    found = coverage(db, tables or (), settings=settings, namespace=namespace, snapshot=snapshot)
    if json:
        console.emit_json(found)
        return
    signs = {1: "+1", -1: "-1", 0: ""}
    console.table(
        ["factor", "kind", "sign", "first", "coverage", "last year", "source", "formula"],
        [
            [f.name, f.kind, signs[f.sign], f.first, f.coverage, f.last_year, f.source, f.formula]
            for f in found
        ],
    )
    for table, why in {f.table: f.why for f in found if f.why}.items():
        console.note(f"{table}: {why}")


@app.command()
def universe(
    db: DbOption = None,
    csv: Annotated[Path | None, written_to("Where the list goes.", "--csv", metavar="FILE")] = None,
    date: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="The session; without it the last one.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    snapshot: SnapshotOption = None,
    json: JsonOption = False,
) -> None:
    """Write the universe of a date, in the columns of the manual's list.

    Example: kairos equity universe --csv universe.csv --set equity.universe.mode=option_b
    """
    from kairos.equity.universe import universe_list

    settings = settings_of(config, overrides, db)
    rows = universe_list(
        Path(settings.data.db), settings=settings, date=date_of(date, "--date"), csv=csv, snapshot=snapshot
    )
    if json:
        console.emit_json(rows.to_pylist())
    elif csv is not None:
        console.say(f"{rows.num_rows:,} tickers in {csv}")
    else:
        console.table(rows.column_names, [list(row.values()) for row in rows.to_pylist()])


@app.command("compare-universes")
def compare_universes(
    one: Annotated[str, typer.Argument(metavar="ONE", help="Namespace of the first universe.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Namespace of the second.")],
    alpha: Annotated[
        str, typer.Option("--alpha", metavar="COLUMN", help="The signal: a column, or table.column.")
    ],
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="Entry of [equity.strategies] to run in both.")
    ] = "baseline",
    report: ReportOption = None,
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Show how far two universes differ, and what the difference is worth in a backtest; nothing is stored.

    Differences are OTHER less ONE. A bare --set, such as --set top_n=30, means the strategy.

    Example: kairos equity compare-universes main option_b --alpha ret_21d --report both.html
    """
    from kairos.equity.universe_comparison import compare

    settings = settings_of(config, overrides, db, [strategy])
    _check_report(report)
    with console.progress("Comparing"):
        found = compare(
            Path(settings.data.db),
            one,
            other,
            alpha=alpha,
            settings=settings,
            lower_is_better=lower_is_better,
            strategy=strategy,
            snapshot=snapshot,
        )
    if json:
        console.emit_json(found.as_dict())
    else:
        _print_comparison(found)
    if report is not None:
        from kairos.equity.universe_page import universe_page

        flags = ["--lower-is-better"] if lower_is_better else []
        words = ["equity", "compare-universes", one, other, "--alpha", alpha, *flags, "--strategy", strategy]
        universe_page(found, " ".join(words)).write(report)
        console.note(f"report: {report}")


@app.command()
def backtest(
    strategies: Annotated[
        list[str], typer.Argument(help="Entries of [equity.strategies], e.g. baseline risk1.")
    ],
    alpha: Annotated[
        str, typer.Option("--alpha", metavar="COLUMN", help="The signal: a column, or table.column.")
    ],
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    start: Annotated[str | None, typer.Option("--start", metavar="DATE", help="First decision.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="Last session.")] = None,
    lag: Annotated[int | None, typer.Option("--lag", help="Sessions from decision to fill.")] = None,
    benchmark: Annotated[
        str | None,
        typer.Option("--benchmark", metavar="FILE|TICKER", help="Instead of the equal-weight universe."),
    ] = None,
    save_as: Annotated[
        str | None, typer.Option("--save-as", metavar="NAME", help="Name of the results.")
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", help="Trials made elsewhere, on top of those in the ledger.")
    ] = 0,
    stress: Annotated[
        bool, typer.Option("--stress", help="Run again at other lags, costs and capitals.")
    ] = False,
    report: ReportOption = None,
    factors: Annotated[
        Path | None,
        read_from("Daily factor returns for the report, e.g. French's.", "--factors", metavar="FILE"),
    ] = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Run strategies on a signal; results, weights and a row of the ledger are stored.

    A bare --set, such as --set top_n=30, means the strategies being run.

    Example: kairos equity backtest baseline risk1 --alpha ret_21d --lower-is-better --report tear.html
    """
    from kairos.cli.backtest_output import print_worth
    from kairos.equity.backtest import backtest as run
    from kairos.equity.backtest.study import STRESSES

    explained = _factors(factors, report)
    given = {"start": start, "end": end, "lag": lag}
    flags = [f"{key}={value}" for key, value in given.items() if value is not None]  # of the strategies run
    settings = settings_of(config, [*(overrides or ()), *flags], db, strategies)
    log.start(settings, Path(settings.data.db).parent)
    _check_report(report)
    steps = len(strategies) * (1 + STRESSES if stress else 1)
    with console.progress("Simulating", steps) as advance:
        found = run(
            Path(settings.data.db),
            strategies,
            alpha=alpha,
            settings=settings,
            lower_is_better=lower_is_better,
            benchmark=benchmark,
            save_as=save_as,
            trials=trials,
            stress=stress,
            namespace=namespace,
            snapshot=snapshot,
            wait=wait,
            done=lambda: advance(1),
        )
    if json:
        console.emit_json([{**result.headline(), "run": entry.id} for result, entry in found])
    else:
        _print_headlines(found)
        print_worth(found)
    if report is not None:
        _write_sheets(found, report, explained)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Runs of the ledger: identifiers, beginnings of them, names of results."
        ),
    ],
    db: DbOption = None,
    report: ReportOption = None,
    namespace: NamespaceOption = "main",
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Put recorded backtests side by side: numbers, differences of the Sharpe ratios, configuration.

    A run whose results a later run of the same name has replaced is repeated from the ledger.

    Example: kairos equity compare longonly_r4 ls_opt --report both.html
    """
    from kairos.cli.backtest_output import print_comparison
    from kairos.equity.compare import compare as side_by_side

    settings = settings_of(config, overrides, db)
    _check_report(report)
    with console.progress("Comparing"):
        found = side_by_side(Path(settings.data.db), names, settings=settings, namespace=namespace)
    if json:
        console.emit_json(found.as_dict())
    else:
        print_comparison(found)
    if report is not None:
        from kairos.equity.sheets.comparison import comparison_page

        command = _command(
            " ".join(["equity compare", *names]),
            ("--namespace", namespace if namespace != "main" else None),
        )
        comparison_page(found, command).write(report)
        console.note(f"report: {report}")


@app.command()
def sweep(
    strategy: Annotated[str, typer.Argument(help="An entry of [equity.strategies].")],
    alpha: Annotated[
        str, typer.Option("--alpha", metavar="COLUMN", help="The signal: a column, or table.column.")
    ],
    over: Annotated[
        list[str], typer.Option("--over", metavar="KEY=V1,V2", help="Values of a key of the strategy.")
    ],
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    trials: Annotated[
        int, typer.Option("--trials", help="Trials made elsewhere, on top of those in the ledger.")
    ] = 0,
    executor: ExecutorOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    wait: WaitOption = False,
    json: JsonOption = False,
) -> None:
    """Run all combinations of some values of a strategy's keys; each counts as a trial in the ledger.

    Example: kairos equity sweep risk4 --alpha alpha_composite_v8 --over turnover=0.1,0.2 --over top_n=50,75
    """
    from kairos.equity.backtest.sweep import sweep as run
    from kairos.equity.backtest.sweep import variants_of

    variants = variants_of(strategy, over)
    entries = [f"equity.strategies.{name}={entry}" for name, entry in variants.items()]
    several = run_settings(executor, scheduler, workers)
    settings = settings_of(config, [*entries, *(overrides or ()), *several], db, list(variants))
    log.start(settings, Path(settings.data.db).parent)
    with console.progress("Simulating", len(variants)) as advance:
        found = run(
            Path(settings.data.db),
            list(variants),
            alpha=alpha,
            settings=settings,
            lower_is_better=lower_is_better,
            trials=trials,
            namespace=namespace,
            snapshot=snapshot,
            wait=wait,
            progress=lambda *_: advance(1),
        )
    if json:
        console.emit_json([{**variant.headline, "run": variant.run.id} for variant in found.variants])
        return
    shown = ("annual_return", "volatility", "sharpe", "sharpe_se", "max_drawdown", "turnover", "cost_drag")
    changes = {name: entry.split(", ", 1)[1].rstrip("}") for name, entry in variants.items()}
    console.table(
        ["", "changed", *shown],
        [
            [v.headline["strategy"], changes[v.headline["strategy"]], *(v.headline[key] for key in shown)]
            for v in found.variants
        ],
    )
    console.say(found.deflation.sentence)


@app.command()
def signals(
    alpha: AlphaOption,
    db: DbOption = None,
    lower_is_better: LowerOption = False,
    horizon: Annotated[int | None, typer.Option("--horizon", help="Sessions of the forward return.")] = None,
    lag: Annotated[
        int | None, typer.Option("--lag", help="Sessions from the signal to the start of the return.")
    ] = None,
    report: ReportOption = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how well columns foretell returns: information coefficient, decay, quantiles, turnover.

    Example: kairos equity signals --alpha price_vs_sma_21 --horizon 5 --report signals.html
    """
    from kairos.equity.sheets import signal_sheet
    from kairos.equity.signals import signals as study
    from kairos.report import signal_page

    given = {"horizon": horizon, "lag": lag}
    flags = [f"equity.signals.{key}={value}" for key, value in given.items() if value is not None]
    settings = settings_of(config, [*flags, *(overrides or ())], db)
    with console.progress("Evaluating"):
        found = study(
            Path(settings.data.db),
            alpha,
            settings=settings,
            lower_is_better=lower_is_better,
            namespace=namespace,
            snapshot=snapshot,
        )
    if json:
        console.emit_json(found.as_dict())
    else:
        console.table(*found.table())
    if report is not None:
        command = _command(
            "equity signals",
            *(("--alpha", column) for column in alpha),
            ("--lower-is-better", lower_is_better),
            ("--horizon", horizon),
            ("--lag", lag),
            ("--namespace", namespace if namespace != "main" else None),
        )
        signal_page(signal_sheet(found, command)).write(report)
        console.note(f"report: {report}")


@app.command()
def snapshots(
    db: DbOption = None, config: ConfigOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """List the states of the catalog that --snapshot can name.

    Example: kairos equity snapshots --db data/kairos.duckdb
    """
    settings = settings_of(config, overrides, db)
    found = [
        [snap.id, f"{snap.created:%Y-%m-%d %H:%M:%S}", len(snap.tables), snap.code_version]
        for snap in _store(settings).snapshots()
    ]
    columns = ["snapshot", "published (UTC)", "tables", "code"]
    if json:
        console.emit_json([dict(zip(columns, row, strict=True)) for row in found])
    else:
        console.table(columns, found)


@app.command()
def vacuum(
    db: DbOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Delete parts that no kept snapshot names.

    Example: kairos equity vacuum --dry-run
    """
    settings = settings_of(config, overrides, db)
    gone = _store(settings).vacuum(dry_run=dry_run, age=dt.timedelta(hours=settings.store.vacuum_age_hours))
    if json:
        console.emit_json(gone)
    else:
        verb = "would go" if dry_run else "deleted"
        console.say(
            f"{gone.parts:,} parts and {gone.temporary:,} temporary files {verb}: {gone.bytes / 1e6:,.1f} MB"
        )


@app.command()
def relocate(
    db: DbOption = None, config: ConfigOption = None, overrides: SetOption = None, json: JsonOption = False
) -> None:
    """Rewrite the paths of parts after the folder was moved.

    Example: kairos equity relocate --db /new/place/kairos.duckdb
    """
    tables = _store(settings_of(config, overrides, db)).relocate()
    if json:
        console.emit_json({"tables": tables})
    else:
        console.say("The catalog names the parts where they are now.")


@app.command("export-matrix")
def export_matrix(
    out: Annotated[Path, written_to("Folder of the exports; made if absent.", "--out", metavar="DIR")],
    db: DbOption = None,
    namespace: NamespaceOption = "main",
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Write feat_matrix as Parquet files, one a ticker: DIR/<last session>_academic_matrix/ticker=<TICKER>.

    An earlier export of the same session is replaced when the new one is complete.

    Example: kairos equity export-matrix --db data/kairos.duckdb --out feature_matrices
    """
    from kairos.equity.matrix_export import export_matrix as export

    settings = settings_of(config, overrides, db)
    with console.progress("Exporting", 1_000_000) as advance:
        found = export(
            Path(settings.data.db),
            out,
            settings=settings,
            namespace=namespace,
            snapshot=snapshot,
            progress=lambda share: advance(round(share * 1_000_000)),
        )
    if json:
        console.emit_json(found.as_dict())
        return
    console.say(found.folder)
    console.note(
        f"{found.rows:,} rows of {found.columns} columns, {found.tickers:,} tickers, "
        f"{found.bytes / 1e6:,.1f} MB, {found.seconds:.1f} s"
    )


@app.command("export-db")
def export_db(
    file: Annotated[Path, written_to("The DuckDB file to write.", metavar="FILE")],
    db: DbOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    snapshot: SnapshotOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Write one self-contained DuckDB file with real tables.

    Example: kairos equity export-db kairos-copy.duckdb
    """
    _store(settings_of(config, overrides, db)).export(file, force=force, snapshot=snapshot)
    console.paths([file], as_json=json)


def _print_headlines(found: "Sequence[tuple[BacktestResult, Run]]") -> None:
    shown = {
        "annual_return": "return a year",
        "volatility": "volatility",
        "sharpe": "Sharpe",
        "sharpe_se": "± se",
        "max_drawdown": "max drawdown",
        "excess_return": "over benchmark",
        "information_ratio": "information ratio",
        "turnover": "turnover a year",
        "cost_drag": "cost a year",
        "n_positions": "names",
        "sessions": "sessions",
    }
    lines = [result.headline() for result, _ in found]
    console.table(
        ["", *(line["strategy"] for line in lines)],
        [[label, *(line[key] for line in lines)] for key, label in shown.items()],
    )
    for result, run in found:
        console.note(f"{result.strategy.name}: {result.dates[0]} to {result.dates[-1]}, run {run.id}")


def _print_comparison(found: "UniverseComparison") -> None:
    from kairos.equity.universe_comparison import LABELS

    means = found.overlap.means()
    parts = found.only_one + found.both, found.only_other + found.both
    groups = *parts, found.both, found.only_one, found.only_other
    console.table(
        ["", found.one, found.other, "both", f"only {found.one}", f"only {found.other}"],
        [
            ["members a session", *(means[n] for n in ("one", "other", "both", "only_one", "only_other"))],
            ["names ever a member", *(names.ever for names in groups)],
            ["delisted later", *(names.delisted for names in groups)],
            ["bankrupt, liquidated or expelled", *(names.failed for names in groups)],
        ],
    )
    console.say("")
    console.table(
        ["", found.one, found.other, "difference"],
        [[LABELS[name], *values] for name, values in found.headline().items()],
    )
    console.say("")
    console.say(f"{means['shared']:.1%} of the names of a session are in both. {found.verdict}")
    sessions = found.overlap.dates
    days = found.results[0].dates
    console.note(f"members: {sessions[0]} to {sessions[-1]}; backtest: {days[0]} to {days[-1]}")
    for line in found.warnings:
        console.note(line)


def _factors(path: Path | None, report: Path | None) -> "Factors | None":
    """Read the factors before anything is computed; they go into a report only."""
    from kairos.equity.backtest.factors import read_factors
    from kairos.errors import InputError

    if path is not None and report is None:
        raise InputError("--factors is for the report: name one with --report")
    return None if path is None else read_factors(path)


def _write_sheets(
    found: "Sequence[tuple[BacktestResult, Run]]", report: Path, factors: "Factors | None" = None
) -> None:
    """One file a strategy: the given name, and with several strategies the strategy behind it."""
    from kairos.equity.sheets import tear_sheet
    from kairos.report import tearsheet

    for result, run in found:
        name = (
            report
            if len(found) == 1
            else report.with_name(f"{report.stem}_{result.strategy.name}{report.suffix}")
        )
        tearsheet(tear_sheet(result, run, factors)).write(name)
        console.note(f"report: {name}")


def _command(verb: str, *options: "tuple[str, object]") -> str:
    """Write a command as it was called; an option without a value is left out, a flag stands alone."""
    import shlex

    words = verb.split()
    for option, value in options:
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return shlex.join(words)


def _check_report(report: Path | None) -> None:
    """Refuse a report that can't be written before anything is computed and published."""
    from kairos.errors import InputError

    if report is not None and report.is_dir():
        raise InputError(f"--report {report}: is a folder; name a file, for example {report / 'report.html'}")


def _store(settings: "Settings") -> "Store":
    from kairos.equity.context import open_store

    return open_store(Path(settings.data.db), settings)


def date_of(text: str | None, option: str) -> dt.date | None:
    """Read a date option; None when it is not given."""
    from kairos.errors import InputError

    if text is None:
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise InputError(f"{option} {text}: a date is written yyyy-mm-dd") from None
