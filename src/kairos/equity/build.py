"""Building: the stale tables are made in the order of their needs, and published all at once."""

from __future__ import annotations

import datetime as dt
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity import registry
from kairos.equity.changes import BEGINNING, Since, between, log
from kairos.equity.context import PRICES, RAW, Context, open_store
from kairos.equity.declare import (
    AssembledTable,
    BaseTable,
    DateTable,
    Declaration,
    FeatureTable,
    PanelTable,
    Params,
    Renewal,
)
from kairos.equity.features import Renewed, date_rows
from kairos.equity.staleness import EVERYTHING, Staleness, params_of, recipe, staleness
from kairos.errors import InputError, WorkError
from kairos.settings import Settings
from kairos.store import Part, Snapshot, Store, Table, Transaction
from kairos.store.ledger import new_run, record

Progress = Callable[[str, int, int], None]


@dataclass
class BuildReport:
    """What a build did."""

    namespace: str
    built: list[dict[str, Any]] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    not_built: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    snapshot: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)

    def remarks(self) -> list[str]:
        """What a user should know: universe, warnings, time."""
        found = [f"not built: {name}: {why}" for name, why in self.not_built.items()]
        found += self.warnings
        odd = self.facts.get("sessions", {}).get("odd", 0)
        if odd:
            found.append(
                f"{odd:,} sessions, the first on {self.facts['sessions']['first_odd']}, are on a weekend or "
                "have under a tenth of the usual prices: a stray date counts as a session of every window"
            )
        ends = self.facts.get("listings")
        if ends and ends["without_reason"]:
            found.append(
                f"{ends['without_reason']:,} of {ends['ended']:,} listings ended without a known reason"
            )
        universe = self.facts.get("universe")
        if universe:
            found.append(
                f"universe ({universe['mode']}): {universe['members_mean']:,.0f} members a session, "
                f"{universe['tickers_ever']:,} tickers in all; "
                f"{universe['classified_from_current_metadata']:.0%} classified by today's category "
                "and exchange; "
                f"{universe['listings_without_metadata']:,} listings without metadata are left out"
            )
            if universe["mode"] == "point_in_time" and not universe["size_rule"]:
                found.append("the size rule was dropped: the table daily is missing")
            if universe.get("unknown_tickers"):
                found.append(f"{universe['unknown_tickers']:,} tickers of the universe file have no price")
        return found


def build(
    db: Path,
    tables: Sequence[str] = (),
    *,
    settings: Settings,
    as_of: dt.date | None = None,
    into: str = "main",
    force: bool = False,
    wait: bool = False,
    progress: Progress = lambda *_: None,
) -> BuildReport:
    """Make the named tables and all they need, or every table; what is current is left alone.

    Nothing is visible to readers until all of it is: the new catalog replaces the old one at the end.

    Parameters
    ----------
    db : Path
        The catalog, e.g. ``data/kairos.duckdb``.
    tables : sequence of str
        Names of tables; none means all.
    as_of : date, optional
        Use only what the vendor's tables say up to this date; needs a namespace of its own.
    into : str
        Namespace of the results.
    force : bool
        Make the named tables (or all) even if they are current.
    wait : bool
        Wait for another run that makes tables, or an open shell, to end instead of refusing.

    Raises
    ------
    InputError
        When a table or parameter does not exist, an input is missing, or the universe is empty.
    WorkError
        When another run changes the tables of the namespace, or the catalog is in use.
    """
    registry.check(settings)
    if as_of is not None and into == "main":
        raise InputError(
            "--as-of makes a truncated copy: name a namespace for it with --into, e.g. --into as_of_2020"
        )
    started, store = time.monotonic(), open_store(db, settings)
    store.snapshot()  # says what is wrong with the catalog, if it isn't one
    with store.turn(into, wait=wait), store.publish(wait=wait) as tx:
        context = Context(tx.base, settings, into, np.datetime64(as_of, "D") if as_of else None)
        command = _command(tables, as_of, into, force)
        report = build_into(tx, store, context, tables, command=command, force=force, progress=progress)
    report.snapshot = store.snapshot().id
    report.seconds = time.monotonic() - started
    return report


def build_into(
    tx: Transaction,
    store: Store,
    context: Context,
    tables: Sequence[str],
    *,
    command: str,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> BuildReport:
    """Make tables as :func:`build` does, from what `context` sees, as a part of what `tx` publishes."""
    report, plan = BuildReport(namespace=context.namespace), registry.select(tables, context.settings)
    forced = {table.name for table in plan if force and (not tables or table.name in tables)}
    _make(tx, context, plan, forced, report, progress)
    _settle(tx, context, plan, report)
    unmet = [name for name in tables if name in report.not_built]
    if unmet or (report.not_built and not report.built and not report.current):
        raise InputError("; ".join(f"{name} can't be built: {why}" for name, why in report.not_built.items()))
    progress("publish", len(plan), len(plan))
    if report.built:
        made = [declared for declared in plan if declared.name in context.made]
        _check_unmoved(tx.base, store.snapshot() if store.exists else tx.base, context, made)
        config, headline = context.settings.part("equity"), report.as_dict()
        record(tx, new_run(command, snapshot=context.snapshot.id, config=config, headline=headline))
    return report


def _make(
    tx: Transaction,
    context: Context,
    plan: Sequence[Declaration],
    forced: Collection[str],
    report: BuildReport,
    progress: Progress,
) -> None:
    """Make what is stale in the order of the plan; a table is written while the next ones are computed."""
    pending: dict[str, Future[Table]] = {}
    with ThreadPoolExecutor(max_workers=1) as writer:
        for step, declaration in enumerate(plan):
            progress(declaration.name, step, len(plan))
            for name in pending.keys() & set(declaration.reads):
                context.made[name] = pending.pop(name).result()
            missing = declaration.lacks(context.has)
            if missing:
                report.not_built[declaration.name] = _missing(missing, report.not_built)
                continue
            stale = EVERYTHING if declaration.name in forced else staleness(context, declaration)
            if not stale.reasons:
                report.current.append(declaration.name)
                continue
            pending[declaration.name] = _start(writer, tx, context, declaration, stale, report)
            context.forget({name for later in plan[step + 1 :] for name in (*later.inputs, *later.optional)})
        for name, future in pending.items():
            context.made[name] = future.result()
    report.facts = context.facts


def _settle(tx: Transaction, context: Context, plan: Sequence[Declaration], report: BuildReport) -> None:
    """Assemble tables anew that were not asked for and are made of what has changed, or take them out.

    A positional join over tables that have not the same rows any more would show wrong rows.
    """
    planned = {declaration.name for declaration in plan}
    for declaration in registry.tables(context.settings):
        old = context.find(declaration.name)
        if not isinstance(declaration, AssembledTable) or old is None or declaration.name in planned:
            continue
        if not any(name in context.made for name in declaration.reads):
            continue
        params = params_of(context, declaration)
        try:
            query, about = declaration.query(context, params)
        except WorkError as error:
            tx.drop(declaration.name, context.namespace)
            report.warnings.append(
                f"{declaration.name} is taken out until `kairos equity build` makes it: {error}"
            )
            continue
        meta = {"recipe": old.meta.get("recipe", {}), **about}  # still stale where it was
        tx.assemble(declaration.name, query, key=declaration.key, namespace=context.namespace, meta=meta)


def _command(tables: Sequence[str], as_of: dt.date | None, into: str, force: bool) -> str:
    words = ["equity", "build", *tables]
    words += ["--as-of", str(as_of)] if as_of else []
    words += ["--into", into] if into != "main" else []
    return shlex.join(words + ["--force"] * force)


def _check_unmoved(base: Snapshot, now: Snapshot, context: Context, made: Sequence[Declaration]) -> None:
    """Refuse to publish tables over inputs that another run has replaced since `base`."""
    for declaration in made:
        for name in declaration.reads:
            table = None if name in context.made else context.find(name)
            before = base.tables.get((table.namespace, table.name)) if table is not None else None
            if table is None or before is None or before.fingerprint != table.fingerprint:
                continue  # made or loaded by this run
            if now.tables[table.namespace, table.name].fingerprint != table.fingerprint:
                raise WorkError(
                    f"another run has replaced {name} while {declaration.name} was made from it: "
                    "repeat the command; nothing was published"
                )


def _missing(tables: Sequence[str], not_built: Mapping[str, str]) -> str:
    """What is missing, and the command that makes it, or why nothing does."""
    if causes := [not_built[name] for name in tables if name in not_built]:
        return f"{', '.join(tables)} missing: {causes[0]}"
    raw = any(name in RAW for name in tables)
    command = "kairos equity ingest" if raw else f"kairos equity build {' '.join(tables)}"
    return f"{', '.join(tables)} missing; run `{command}`"


def _start(
    writer: ThreadPoolExecutor,
    tx: Transaction,
    context: Context,
    declaration: Declaration,
    stale: Staleness,
    report: BuildReport,
) -> Future[Table]:
    """Compute a table now; encode and write it in the background while the next one is computed."""
    began = time.monotonic()
    absent = [name for name in declaration.reads if context.find(name) is None]
    if absent:
        report.warnings.append(f"{declaration.name} is made without {', '.join(absent)}")
    params, before = params_of(context, declaration), context.find(declaration.name)
    if isinstance(declaration, PanelTable) and PRICES not in context.loaded:
        context.release()  # the universe's panels cover every ticker of the vendor
    work = _work(tx, context, declaration, params, stale)
    computed = time.monotonic() - began
    made_by = recipe(context, declaration)

    def write() -> Table:
        start = time.monotonic()
        facts = dict(context.facts.get(declaration.name, {}))
        table = work({"recipe": made_by, "facts": facts, "ahead": declaration.in_sample(params)})
        if table.meta.get("empty"):
            report.warnings.append(f"{table.name}: no value in {', '.join(table.meta['empty'])}")
        old = {part.digest for part in before.parts} if before else set()
        report.built.append(
            {
                "table": declaration.name,
                "rows": int(table.meta["rows"]) if table.sql else table.rows,
                "parts": len(table.parts),
                "new_parts": sum(part.digest not in old for part in table.parts),
                "since": None if stale.since in (BEGINNING, dt.date.max) else str(stale.since),
                "compute_s": computed,
                "write_s": time.monotonic() - start,
            }
        )
        return table

    return writer.submit(write)


def _work(
    tx: Transaction, context: Context, declaration: Declaration, params: Params, stale: Staleness
) -> Callable[[Mapping[str, Any]], Table]:
    """Compute a table; what is returned writes it, with what is to be remembered of it."""
    before, put = (
        context.find(declaration.name),
        partial(tx.put, declaration.name, namespace=context.namespace),
    )
    if isinstance(declaration, FeatureTable):
        renewed = Renewed(context, declaration, params, stale)
        rows, seals = renewed.parts(), context.table(PRICES).meta["keys"]
        meta = {"keys": seals, "changes": log(before, renewed.changes(stale)), "empty": renewed.empty}
        return lambda more: put(rows, key=("ticker", "date"), meta={**more, **meta}, unique=True)
    if isinstance(declaration, DateTable):
        table = date_rows(context, declaration, params, stale)
        return _logged(tx, put, before, [table], ("date",), {}, partial(between, dated=("date", "date")))
    if isinstance(declaration, BaseTable):
        kept = None if stale.columns else before
        parts = list(declaration.make(context, params, Renewal(kept, stale.since if kept else BEGINNING)))
        meta = {**declaration.meta(params), **context.remembered.pop(declaration.name, {})}
        compared = partial(between, dated=declaration.dated, counts=declaration.counts)
        return _logged(tx, put, before, parts, declaration.key, meta, compared)
    if isinstance(declaration, AssembledTable):
        query, about = declaration.query(context, params)
        space = context.namespace
        return lambda more: tx.assemble(
            declaration.name, query, key=declaration.key, namespace=space, meta={**more, **about}
        )
    raise TypeError(f"{declaration.name} is no known kind of table")


def _logged(
    tx: Transaction,
    put: Callable[..., Table],
    before: Table | None,
    parts: Sequence[pa.Table | Part],
    key: tuple[str, ...],
    meta: Mapping[str, Any],
    compared: Callable[[Table, Table], Since],
) -> Callable[[Mapping[str, Any]], Table]:
    """Write a table, find out from which date on it differs from what it was, and remember that."""

    def write(more: Mapping[str, Any]) -> Table:
        table = put(parts, key=key, meta={**more, **meta}, unique=True)
        changes = log(before, compared(before, table)) if before else []
        return tx.name(table.name, replace(table, meta={**table.meta, "changes": changes}), table.namespace)

    return write
