"""The load itself: find, read, check, upsert, publish."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.equity import changes
from kairos.equity.ingest import rejects
from kairos.equity.ingest.facts import facts_of
from kairos.equity.ingest.merge import Merged, extent, merge, parts, since
from kairos.equity.ingest.report import IngestReport, TableReport
from kairos.equity.ingest.sources import find, scan
from kairos.equity.ingest.stage import Repeats, Staged, settle_repeats, stage
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.store import MAIN, Store, check_content, ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from kairos.equity.ingest.sources import Source
    from kairos.settings import Settings
    from kairos.store import Snapshot, Table, Transaction

GOLDEN = {"sep": "sep_base"}
"""Vendor tables with a second name: prices are kept as ``sep_base``, and ``sep`` names the same parts."""


def ingest(
    sources: Sequence[Path],
    db: Path,
    *,
    reject: Path | None = None,
    settings: Settings | None = None,
    wait: bool = False,
    store: Store | None = None,
    today: dt.date | None = None,
) -> IngestReport:
    """Load vendor tables into the store: an upsert on the natural key of each.

    Of two rows with one key the one with the later ``lastupdated`` wins; when it is equal, or the table has
    none, the row that is loaded now wins over the stored one. Loading a file twice changes nothing. A history
    that the vendor has re-adjusted after a split replaces the old one. All tables become visible at once; on
    an error the database stays as it is.

    Parameters
    ----------
    sources
        Folders of vendor files, single files (``SHARADAR_SEP….csv``, ``.csv.gz``, ``.zip``, ``.parquet``, or
        ``SEP.csv`` and so on), or DuckDB databases with tables ``sep`` (or ``sep_base``), ``tickers``, …
    db
        The catalog, e.g. ``data/kairos.duckdb``.
    reject
        Set bad rows aside in this CSV file instead of refusing the load. It is replaced; without bad rows it
        holds only its header.
    settings
        By default those of :func:`kairos.settings.load`.
    wait
        Wait while another run changes the tables or somebody has the catalog open for writing, instead of
        failing.
    store
        The store, when it is open already.
    today
        No date may lie after this one; by default the present day (UTC).

    Returns
    -------
    IngestReport
        What happened to each table.

    Raises
    ------
    InputError
        For a source that can't be read, has not the columns it needs or is empty; for two sources of one
        table; and, without `reject`, for rows that can't be right: the message names file, line, column and
        value of the first ones.
    WorkError
        When the catalog is in use, or another run loaded the same table meanwhile.
    """
    settings = settings or load()
    store = store or Store(
        db,
        keep_snapshots=settings.store.keep_snapshots,
        compact_parts=settings.store.compact_parts,
        memory_limit=settings.run.memory_limit,
        threads=settings.run.threads,
    )
    if reject:
        rejects.check_target(reject)
    with store.turn(MAIN, wait=wait), store.publish(wait=wait) as tx:
        return ingest_into(tx, store, sources, settings=settings, reject=reject, today=today)


def ingest_into(
    tx: Transaction,
    store: Store,
    sources: Sequence[Path],
    *,
    settings: Settings,
    reject: Path | None = None,
    today: dt.date | None = None,
) -> IngestReport:
    """Load vendor tables as :func:`ingest` does, as a part of what `tx` publishes."""
    found, ignored = find(sources)
    if own := [source.label for source in found if source.path.resolve() == store.db]:
        raise InputError(f"{own[0]} is the database itself; load other files into it.")
    with tx.base.connect() as con, tempfile.TemporaryDirectory(prefix="kairos-ingest-") as work:
        most = settings.equity.ingest.max_unpacked
        staged = _stage(con, found, Path(work), reject, today or dt.datetime.now(dt.UTC).date(), most)
        stored = [_stored(tx.base, one.source.table.name) for one, _, _ in staged]
        check_content(filter(None, stored), store.engine.threads)  # for it is written anew
        merged = [merge(con, one, table) for (one, _, _), table in zip(staged, stored, strict=True)]
        actions = _actions(tx.base, merged)
        reports = tuple(
            _put(con, tx, after, actions, *loaded) for after, loaded in zip(merged, staged, strict=True)
        )
        report = IngestReport(reports, tuple(map(str, ignored)), str(reject) if reject else None)
        if report.changed:
            run = ledger.new_run(
                "equity ingest",
                snapshot=tx.base.id,
                config=settings.model_dump(mode="json"),
                headline=report.as_dict(),
            )
            ledger.record(tx, run)
        _check_unmoved(tx.base, store, reports)
        if reject:
            rejects.write(con, reject)
    return report


def _stage(
    con: duckdb.DuckDBPyConnection,
    found: Sequence[Source],
    work: Path,
    reject: Path | None,
    today: dt.date,
    most: int,
) -> list[tuple[Staged, Repeats, dict[str, int]]]:
    """Read and check every source before anything is merged, so that an error names the faults of all."""
    rejects.prepare(con)
    done = []
    for source in found:
        staged = stage(con, source, scan(con, source, work, max_unpacked=most), today)
        repeats, staged = settle_repeats(con, staged)
        rejected = rejects.collect(con, staged, everything=reject is not None)
        if reject and sum(rejected.values()) == staged.rows + staged.ragged:
            raise InputError(f"{source.label} has no sound row: {'; '.join(rejected)}.")
        done.append((staged, repeats, rejected))
    counts = {staged.source.label: sum(rejected.values()) for staged, _, rejected in done if rejected}
    if counts and reject is None:
        raise InputError(rejects.message(con, counts))
    return done


def _stored(base: Snapshot, name: str) -> Table | None:
    name = GOLDEN.get(name, name)
    return base.table(name) if base.has(name) else None


def _actions(base: Snapshot, merged: Sequence[Merged]) -> tuple[Merged | None, str | None]:
    """Give the corporate actions as they are loaded, and their relation: as they will be, or are stored."""
    loaded = next((one for one in merged if one.table.name == "actions"), None)
    stored = "main.actions" if base.has("actions") else None
    return loaded, loaded.view if loaded else stored


def _put(
    con: duckdb.DuckDBPyConnection,
    tx: Transaction,
    merged: Merged,
    actions: tuple[Merged | None, str | None],
    staged: Staged,
    repeats: Repeats,
    rejected: dict[str, int],
) -> TableReport:
    """Put a merged table, if it differs from the stored one, and report."""
    table = merged.table
    result = merged.stored
    found = dict(result.meta.get("warnings", {})) if result else {}
    if merged.differs or result is None:
        facts = facts_of(con, merged, *actions)
        found = facts.warnings
        name = GOLDEN.get(table.name, table.name)
        history = changes.log(merged.stored, since(con, merged) if merged.stored else {})
        meta = {"warnings": found, "counted": facts.counted, "changes": history}
        result = tx.put(name, parts(con, merged), key=table.key, meta=meta)
        if name != table.name:
            tx.name(table.name, result)
    first, last = extent(con, merged)
    return TableReport(
        table=table.name,
        source=staged.source.label,
        read=staged.rows + staged.ragged,
        new=merged.new,
        changed=merged.changed,
        unchanged=merged.unchanged,
        older=merged.older,
        duplicates=repeats.merged,
        superseded=repeats.superseded,
        rejected=rejected,
        warnings=found,
        notes=staged.notes,
        rows=result.rows,
        first=first,
        last=last,
    )


def _check_unmoved(base: Snapshot, store: Store, reports: Sequence[TableReport]) -> None:
    """Refuse to publish over what another run has loaded since this one read the tables."""
    if not store.exists:
        return
    now = store.snapshot()
    for report in reports:
        if _fingerprint(base, report.table) != _fingerprint(now, report.table):
            raise WorkError(
                f"Another run has loaded the table {report.table} meanwhile. Run the command again."
            )


def _fingerprint(snapshot: Snapshot, name: str) -> str | None:
    table: Table | None = snapshot.table(name) if snapshot.has(name) else None
    return table.fingerprint if table else None
