"""Building: which tables are stale and why, and making them in the order of their needs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity import registry
from kairos.equity.context import PRICES, RAW, Context, open_store
from kairos.equity.declare import (
    BaseTable,
    Declaration,
    FeatureTable,
    Params,
    Scope,
    code_fingerprint,
    params_fingerprint,
)
from kairos.equity.frame import Array, Inputs
from kairos.errors import InputError, WorkError
from kairos.settings import Settings
from kairos.store import Table, Transaction
from kairos.store.ledger import new_run, record

ARROW_TYPES = {"FLOAT": pa.float32(), "DOUBLE": pa.float64(), "TINYINT": pa.int8()}
BLOCK = 64
"""Listings that are computed together: ten years of one panel are 1.3 MB."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TableStatus:
    """State of one table: what it holds, and why it is not current."""

    name: str
    rows: int | None
    parts: int | None
    last: str | None
    state: str
    """``current``, ``stale``, ``not built`` or ``raw``."""
    why: tuple[str, ...] = ()


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
            if not universe["size_rule"]:
                found.append("the size rule was dropped: the table daily is missing")
        return found


def build(
    db: Path,
    tables: Sequence[str] = (),
    *,
    settings: Settings,
    as_of: date | None = None,
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
        Wait for another run or an open shell instead of refusing.

    Raises
    ------
    InputError
        When a table or parameter does not exist, an input is missing, or the universe is empty.
    """
    started = time.monotonic()
    registry.check(settings)
    if as_of is not None and into == "main":
        raise InputError(
            "--as-of makes a truncated copy: name a namespace for it with --into, e.g. --into as_of_2020"
        )
    store = open_store(db, settings)
    context = Context(store.snapshot(), settings, into, np.datetime64(as_of, "D") if as_of else None)
    plan = registry.select(tables)
    report = BuildReport(namespace=into)
    with store.publish(wait=wait) as tx, ThreadPoolExecutor(max_workers=1) as writer:
        pending: dict[str, Future[Table]] = {}
        for step, declaration in enumerate(plan):
            for name in declaration.reads:
                if name in pending:
                    context.made[name] = pending.pop(name).result()
            progress(declaration.name, step, len(plan))
            missing = [name for name in declaration.requires if context.find(name) is None]
            if missing:
                raw = any(name in RAW for name in missing)
                command = "kairos equity ingest" if raw else f"kairos equity build {' '.join(missing)}"
                report.not_built[declaration.name] = f"{', '.join(missing)} missing; run `{command}`"
                continue
            wanted = force and (not tables or declaration.name in tables)
            if not wanted and not reasons(context, declaration):
                report.current.append(declaration.name)
                continue
            if isinstance(declaration, FeatureTable) and PRICES not in context.loaded:
                context.release()  # the universe's panels cover every ticker of the vendor
            _report(report, declaration, context)
            pending[declaration.name] = _start(writer, tx, context, declaration, report)
        for name, future in pending.items():
            context.made[name] = future.result()
        progress("publish", len(plan), len(plan))
        if not context.made and not tables and report.not_built and not report.current:
            raise InputError(f"nothing can be built: {report.not_built}; run `kairos equity ingest` first")
        record(
            tx,
            new_run(
                " ".join(["equity build", *tables]),
                snapshot=context.snapshot.id,
                config=settings.part("equity"),
                headline=report.as_dict(),
            ),
        )
    report.facts = context.facts
    report.snapshot = store.snapshot().id
    report.seconds = time.monotonic() - started
    return report


def reasons(context: Context, declaration: Declaration) -> tuple[str, ...]:
    """Why a table is stale: what differs between how it was made and how it would be made now."""
    table = context.find(declaration.name)
    if table is None:
        return ("never built",)
    made, now = table.meta.get("recipe", {}), recipe(context, declaration)
    why = []
    for name in dict.fromkeys((*made.get("inputs", {}), *now["inputs"])):
        before, after = made.get("inputs", {}).get(name), now["inputs"].get(name)
        if before != after:
            why.append(f"{name} {'is new' if before is None else 'is gone' if after is None else 'changed'}")
    if made.get("params") != now["params"]:
        why.append("settings changed")
    if made.get("code") != now["code"]:
        why.append("its formula changed")
    if made.get("files", {}) != now["files"]:
        why.append("a file that it reads changed")
    if made.get("as_of") != now["as_of"]:
        why.append("as-of date changed")
    return tuple(why)


def recipe(context: Context, declaration: Declaration) -> dict[str, Any]:
    """All that decides a table's content: fingerprints of inputs, parameters and code."""
    equity = context.settings
    params = _params(context, declaration)
    found = {name: context.find(name) for name in declaration.reads}
    return {
        "inputs": {name: table.fingerprint for name, table in found.items() if table is not None},
        "params": params_fingerprint(params, {section: equity.part(section) for section in declaration.uses}),
        "code": code_fingerprint(declaration.work),
        "files": {str(path): _content(path) for path in declaration.files(context.settings)},
        "as_of": str(context.as_of) if context.as_of is not None else None,
    }


def _content(path: Path) -> str | None:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else None


def status(
    db: Path, *, settings: Settings, namespace: str = "main", snapshot: str | None = None
) -> list[TableStatus]:
    """Every table of a namespace: rows, last session, and whether it is current or why not."""
    registry.check(settings)
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    spaces = {space for space, _ in context.snapshot.tables} | {"main"}
    if namespace not in spaces:
        raise InputError(f"no namespace {namespace}; there are {', '.join(sorted(spaces))}")
    found = []
    for name in sorted(RAW):
        table = context.find(name)
        if table is not None:
            found.append(_state(name, table, "raw", ()))
    stale: set[str] = set()
    for declaration in registry.tables():
        table = context.find(declaration.name)
        missing = [name for name in declaration.requires if context.find(name) is None]
        why = (*reasons(context, declaration), *(f"{n} is stale" for n in declaration.reads if n in stale))
        if table is None:
            why = tuple(f"{name} missing" for name in missing) or why
        elif table.meta.get("recipe", {}).get("as_of"):
            why = tuple(w for w in why if w != "as-of date changed")
        if why:
            stale.add(declaration.name)
        found.append(
            _state(
                declaration.name, table, "not built" if table is None else "stale" if why else "current", why
            )
        )
    for (space, name), table in sorted(context.snapshot.tables.items()):
        if space == namespace and name not in {f.name for f in found}:
            found.append(_state(name, table, "result", ()))
    return found


def _state(name: str, table: Table | None, state: str, why: tuple[str, ...]) -> TableStatus:
    if table is None:
        return TableStatus(name, None, None, None, state, why)
    highs = [part.hi for part in table.parts if part.hi is not None]
    return TableStatus(name, table.rows, len(table.parts), str(max(highs)) if highs else None, state, why)


def _params(context: Context, declaration: Declaration) -> Params:
    return declaration.resolve(context.settings.equity.tables.get(declaration.name, {}))


def _start(
    writer: ThreadPoolExecutor,
    tx: Transaction,
    context: Context,
    declaration: Declaration,
    report: BuildReport,
) -> Future[Table]:
    """Compute a table now; encode and write it in the background while the next one is computed."""
    began = time.monotonic()
    params = _params(context, declaration)
    if isinstance(declaration, FeatureTable):
        key: tuple[str, ...] = ("ticker", "date")
        parts = feature_parts(context, declaration, params)
    elif isinstance(declaration, BaseTable):
        key, parts = declaration.key, iter(list(declaration.make(context, params)))
    else:
        raise TypeError(f"{declaration.name} is neither a feature nor a base table")
    computed = time.monotonic() - began
    meta = {"recipe": recipe(context, declaration), "facts": dict(context.facts.get(declaration.name, {}))}

    def write() -> Table:
        start = time.monotonic()
        table = tx.put(declaration.name, parts, key=key, namespace=context.namespace, meta=meta)
        report.built.append(
            {
                "table": declaration.name,
                "rows": table.rows,
                "compute_s": computed,
                "write_s": time.monotonic() - start,
            }
        )
        return table

    return writer.submit(write)


def feature_parts(context: Context, declaration: FeatureTable, params: Params) -> Iterator[pa.Table]:
    """Compute a feature table and cut it into the parts of the price base."""
    panels = context.panels(PRICES)
    inputs, frame = panels.inputs((*declaration.inputs, *declaration.optional)), panels.frame
    if declaration.scope is Scope.TICKER:
        made = _in_blocks(declaration, params, inputs, context.settings.run.threads)
    else:
        made = _computed(declaration, params, inputs)
    columns = declaration.columns(params)
    flat = {c.name: (made[c.name].T.reshape(-1), ARROW_TYPES[c.dtype]) for c in columns}

    def parts() -> Iterator[pa.Table]:
        for part in frame.parts:
            values = {name: _column(panel[part.cell], kind) for name, (panel, kind) in flat.items()}
            yield pa.table({"ticker": part.keys["ticker"], "date": part.keys["date"], **values})

    return parts()


def _in_blocks(
    declaration: FeatureTable, params: Params, inputs: Inputs, threads: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Compute a table that never looks across tickers block by block.

    The intermediate panels of a block stay in the cache and in memory that is used again; only the results,
    in the precision in which they are stored, are kept for all tickers.
    """
    T, N = inputs.frame.shape
    kinds = {c.name: ARROW_TYPES[c.dtype] for c in declaration.columns(params)}
    stored = {name: np.float32 if kind == pa.float32() else np.float64 for name, kind in kinds.items()}
    made = {name: np.empty((T, N), kind, order="F") for name, kind in stored.items()}

    def fill(lo: int) -> None:
        hi = min(lo + BLOCK, N)
        for name, panel in _computed(declaration, params, inputs.block(lo, hi)).items():
            with np.errstate(over="ignore"):
                made[name][:, lo:hi] = panel

    inputs.frame.listed  # noqa: B018 - made once, before threads ask for it
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, N, BLOCK)))
    return made


def _computed(declaration: FeatureTable, params: Params, inputs: Inputs) -> dict[str, Array]:
    """The columns of a table; WorkError when they are not the declared ones."""
    made = {name: np.asfortranarray(panel) for name, panel in declaration.compute(inputs, params).items()}
    odd = set(made) ^ {column.name for column in declaration.columns(params)}
    if odd:
        names = ", ".join(sorted(odd))
        raise WorkError(f"{declaration.name}: computed and declared columns differ in {names}")
    return made


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Column of a part: NaN and what overflows the type are NULL."""
    if pa.types.is_floating(kind):
        with np.errstate(over="ignore"):
            cast = values.astype(kind.to_pandas_dtype(), copy=False)
        return pa.array(cast, kind, mask=~np.isfinite(cast))
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(kind.to_pandas_dtype()), kind, mask=missing)


def _report(report: BuildReport, declaration: Declaration, context: Context) -> None:
    absent = [
        name for name in declaration.reads if name not in declaration.requires and context.find(name) is None
    ]
    if absent:
        report.warnings.append(f"{declaration.name} is made without {', '.join(absent)}")
