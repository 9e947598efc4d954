"""The store: where snapshots come from and how the next one is published, and its upkeep."""

from __future__ import annotations

import datetime as dt
import logging
import re
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from kairos.disk import writing
from kairos.errors import InputError, WorkError
from kairos.store import catalog, history, sql
from kairos.store.export import export
from kairos.store.layout import SPILL, TEMPORARY, Layout
from kairos.store.publish import Transaction
from kairos.store.snapshot import Snapshot, check_content
from kairos.store.sql import Engine
from kairos.store.tables import Manifest
from kairos.turns import turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kairos.store.tables import Part, Table

PATIENCE = 30.0
"""Seconds that a publisher waits for another one, which takes fractions of a second."""

WAIT = 600.0
"""Seconds that ``--wait`` waits for a shell that has the catalog open for writing."""

_LOG = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{32}\.parquet")


@dataclass(frozen=True)
class Vacuumed:
    """What a vacuum removed, or would remove."""

    parts: int
    temporary: int
    bytes: int


@dataclass(frozen=True)
class Verified:
    """What a verification read."""

    parts: int
    bytes: int


class Store:
    """Tables as immutable Parquet parts under a DuckDB catalog.

    Parameters
    ----------
    db
        Path of the catalog, such as ``data/kairos.duckdb``; the parts lie in the folder ``data/kairos``.
    keep_snapshots
        Number of snapshots that stay readable, the published one included.
    compact_parts
        Number of parts above which an appended table is compacted.
    memory_limit, threads
        Most memory (in DuckDB's notation) and threads of each DuckDB connection.

    Raises
    ------
    InputError
        If the path has no suffix, or no snapshot would be kept.
    """

    def __init__(
        self,
        db: Path,
        *,
        keep_snapshots: int = 10,
        compact_parts: int = 64,
        memory_limit: str = "8GB",
        threads: int = 2,
    ) -> None:
        if keep_snapshots < 1:
            raise InputError(f"keep_snapshots is {keep_snapshots}; at least the published one is kept")
        self.layout = Layout.of(db)
        self.keep_snapshots = keep_snapshots
        self.compact_parts = compact_parts
        self.engine = Engine(memory_limit, threads, self.layout.folder)
        self._read: tuple[tuple[int, int, int], Manifest] | None = None

    def __repr__(self) -> str:
        return f"Store({str(self.layout.db)!r})"

    @property
    def db(self) -> Path:
        """Absolute path of the catalog."""
        return self.layout.db

    @property
    def exists(self) -> bool:
        """Whether the catalog is there."""
        return self.db.exists()

    def snapshot(self, snapshot: str | None = None) -> Snapshot:
        """Return the published snapshot, or an older one by its identifier or a beginning of it.

        Raises
        ------
        InputError
            If there is no catalog, it isn't one of Kairos, or the snapshot isn't kept.
        """
        now = self._published()
        if snapshot is None or snapshot == now.id:
            return Snapshot(now, self.engine)
        return Snapshot(history.load(self.layout, snapshot), self.engine)

    def snapshots(self) -> list[Snapshot]:
        """Return every snapshot that can be read, oldest first."""
        return [Snapshot(manifest, self.engine) for manifest in self._manifests()]

    @contextmanager
    def publish(self, wait: bool = False, timeout: float = WAIT) -> Iterator[Transaction]:
        """Collect changes and publish them all at once when the block ends; on an exception, nothing.

        Publishing is refused while somebody has the catalog open for writing, or a write-ahead log lies
        beside it. That is checked before the work begins, too. Readers don't matter.

        Parameters
        ----------
        wait
            Wait until the catalog is free instead.
        timeout
            Longest wait, in seconds.

        Raises
        ------
        InputError
            If the file isn't a catalog of Kairos, or a user's own table or view has the name of one of ours.
        WorkError
            If the catalog is being written to, or the disk is full.

        Examples
        --------
        ::

            with store.publish() as tx:
                universe = tx.put("universe", parts, key=("ticker", "date"))
                tx.drop("universe_old")
        """
        base = self._published() if self.exists else Manifest.empty()
        if not wait:
            catalog.check_free(self.layout)
        transaction = Transaction(Snapshot(base, self.engine), self.layout, self.engine, self.compact_parts)
        yield transaction
        if not transaction.empty:
            self._commit(transaction.advance, timeout if wait else 0.0)

    def turn(self, namespace: str, *, wait: bool) -> AbstractContextManager[None]:
        """Be the only run that changes the tables of a namespace; another one waits for it, or is refused.

        Without it two runs that load and build would both begin with the same tables, and the later one
        would publish over what the other has loaded.

        Raises
        ------
        InputError
            When the name can't be a namespace's.
        WorkError
            When another run is at it, and `wait` is not wanted.
        """
        sql.check_name(namespace, "namespace")  # it is a part of the lock's name
        return turn(self.layout.turn(namespace), f"the tables `{namespace}` of {self.db}", wait=wait)

    def relocate(self) -> int:
        """Write the views anew after the catalog and its folder were moved; return the number of tables.

        Only the views hold absolute paths; snapshots name their parts relative to the folder.

        Raises
        ------
        InputError
            If a part is missing or damaged.
        WorkError
            If the catalog is being written to.
        """
        self.verify()
        with self._lock():
            return len(catalog.rebuild(self.layout).tables)

    def verify(self) -> Verified:
        """Compute the digest of every part of every snapshot that is kept.

        Raises
        ------
        InputError
            If a part is missing, or its content isn't what its name says; the message names the parts.
        """
        parts: dict[Path, Part] = {}
        tables: list[Table] = []
        for manifest in self._manifests():
            parts |= manifest.parts()
            tables += manifest.tables.values()
        check_content(tables, self.engine.threads)
        return Verified(len(parts), sum(part.bytes for part in parts.values()))

    def vacuum(self, *, age: dt.timedelta = dt.timedelta(days=1), dry_run: bool = False) -> Vacuumed:
        """Delete parts that no snapshot names and leftover temporary files, if they are old enough.

        Parameters
        ----------
        age
            Files younger than this stay: a run that isn't published yet may have written them.
        dry_run
            Only count.

        Returns
        -------
        Vacuumed
            Number of parts, of temporary files, and their bytes.
        """
        counts = {True: 0, False: 0}
        freed = 0
        oldest = time.time() - age.total_seconds()
        with self._lock():
            for path in self._unnamed():
                with suppress(FileNotFoundError):  # a running writer renames its temporary files
                    state = path.stat()  # right before the deletion: a run may have made the part young again
                    if state.st_mtime < oldest:
                        if not dry_run:
                            path.unlink()
                        counts[_is_part(path)] += 1
                        freed += state.st_size
        return Vacuumed(counts[True], counts[False], freed)

    def export(self, path: Path, *, snapshot: str | None = None, force: bool = False) -> None:
        """Write one self-contained native DuckDB file with a table for every table of every namespace.

        Parameters
        ----------
        path
            File to write; DuckDB 1.5 and newer read it.
        snapshot
            Which state; the published one by default.
        force
            Replace an earlier export. Any other file is never replaced.

        Raises
        ------
        InputError
            If the file exists, or a part is missing.
        WorkError
            If the file can't be written.
        """
        export(self.snapshot(snapshot), path, self.engine, force=force)

    def _published(self) -> Manifest:
        """Return the published manifest. It is read once from a file, for a swap puts another one there."""
        try:
            state = self.db.stat()
        except FileNotFoundError:
            return catalog.read(self.layout)  # says so
        file = (state.st_ino, state.st_mtime_ns, state.st_size)
        if self._read is None or self._read[0] != file:
            self._read = (file, catalog.read(self.layout))
        return self._read[1]

    def _manifests(self) -> list[Manifest]:
        now = catalog.read(self.layout)
        kept = history.kept(self.layout).items()
        older = [history.read(self.layout, path) for name, path in kept if name != now.id]
        return sorted([*older, now], key=lambda manifest: manifest.id)

    def _commit(self, advance: Callable[[Manifest], Manifest], patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                with self._lock():
                    return self._swap(advance)
            except catalog.BusyError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.2)

    def _swap(self, advance: Callable[[Manifest], Manifest]) -> None:
        before, after = catalog.swap(self.layout, advance)
        for manifest in (before, after):  # before: a publisher killed right after its swap didn't record it
            history.record(self.layout, manifest)
        if before.state != after.state:  # results alone make no state too many, however many runs there are
            history.prune(self.layout, self.keep_snapshots)
        known = {(key, table.fingerprint) for key, table in before.tables.items()}
        new = [table for key, table in after.tables.items() if (key, table.fingerprint) not in known]
        facts = {"snapshot": after.id, "tables": len(new), "rows": sum(table.rows for table in new)}
        _LOG.info("published", extra={"facts": facts})

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = FileLock(self.layout.lock)
        try:
            with writing(self.layout.lock, "choose another --db"):
                self.layout.lock.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise WorkError(
                f"another run has been publishing into {self.db} for {PATIENCE:.0f} seconds (it holds "
                f"{self.layout.lock}): repeat the command when it has ended; nothing was published"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _unnamed(self) -> Iterator[Path]:
        """Yield parts that no kept snapshot names, temporary files, and what DuckDB spilled."""
        named = {path for manifest in self._manifests() for path in manifest.parts()}
        for path in self.layout.folder.rglob("*"):
            if _is_part(path):
                if path not in named:
                    yield path
            elif path.name.endswith(TEMPORARY) or path.parent.name.startswith(SPILL):
                yield path


def _is_part(path: Path) -> bool:
    return _DIGEST.fullmatch(path.name) is not None
