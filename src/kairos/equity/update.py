"""The nightly run: load what is new, and make again what it touches, published at once."""

from __future__ import annotations

import datetime as dt
import shlex
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kairos.equity import registry
from kairos.equity.build import BuildReport, Progress, build_into
from kairos.equity.context import Context, open_store
from kairos.equity.download import DownloadReport, download
from kairos.equity.ingest.load import ingest_into
from kairos.equity.ingest.report import IngestReport
from kairos.errors import InputError
from kairos.settings import Settings
from kairos.store import MAIN, Snapshot


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes
    ----------
    downloaded, loaded : reports, optional
        Of the download and of the load; None where there was none, or nothing new.
    built : BuildReport
        Of the tables; ``since`` of each is the first date that was computed anew, None for all of it.
    """

    downloaded: DownloadReport | None
    loaded: IngestReport | None
    built: BuildReport

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "loaded": self.loaded.as_dict() if self.loaded else None,
            **self.built.as_dict(),
            "tables_rewritten": len(self.built.built),
            "parts_written": self.parts,
        }

    @property
    def parts(self) -> int:
        """Number of parts that were written."""
        return sum(table["new_parts"] for table in self.built.built)

    def remarks(self) -> list[str]:
        """What a user should know."""
        made, of = self.built.built, sum(table["parts"] for table in self.built.built)
        whole = [table["table"] for table in made if table["since"] is None and table["new_parts"]]
        found = [] if self.loaded else ["nothing new to load"]
        found.append(
            f"{len(made):,} tables were made again, {self.parts:,} of their {of:,} parts were written; "
            f"{len(self.built.current):,} tables were current"
        )
        if whole:
            found.append(f"as a whole: {', '.join(whole)}")
        return [*found, *self.built.remarks()]


def update(
    db: Path,
    *,
    settings: Settings,
    sources: Sequence[Path] = (),
    from_vendor: bool = False,
    wait: bool = False,
    progress: Progress = lambda *_: None,
) -> UpdateReport:
    """Load new sessions, late filings and corrected histories, and make again what they touch.

    The result equals that of a rebuild from all files. Raw tables and everything that is made of them are
    published at once: readers see yesterday's state or today's. Of each table only what depends on a change
    is computed: the history that it declares decides how far back is read. A vendor that re-adjusts
    `closeadj` for a dividend changes the returns of the past in their last digits, and with them the market,
    betas and all that is scored across names: then these are made as a whole, and the report says so.

    On an empty store with sources everything is loaded and made for the first time.

    Parameters
    ----------
    sources : sequence of Path
        Folders and files as for `ingest`; an empty folder holds nothing new.
    from_vendor : bool
        Download what has changed since the last load, less ``equity.download.overlap`` days, and load that.

    Raises
    ------
    InputError
        As `ingest`, `build` and `download`; and when there is nothing to update yet, and no source.
    """
    started, store = time.monotonic(), open_store(db, settings)
    registry.check(settings)
    begun = store.exists and store.snapshot().has("sep_base")
    if not begun and (from_vendor or not sources):
        raise InputError(f"{db} holds no prices yet; load them once with `kairos equity ingest` and `build`")
    with (
        store.turn(MAIN, wait=wait),
        tempfile.TemporaryDirectory(prefix="kairos-update-") if from_vendor else nullcontext("") as folder,
    ):
        fetched = None
        if from_vendor:
            fetched = download(Path(folder), since=_since(store.snapshot(), settings), settings=settings)
            sources = [*sources, Path(folder)]
        sources = [path for path in sources if not _empty(path)]
        with store.publish(wait=wait) as tx:
            loaded = ingest_into(tx, store, sources, settings=settings) if sources else None
            context = Context(tx.preview(), settings)
            given = [f"--source={path}" for path in sources if path != Path(folder)]
            command = shlex.join(["equity", "update", *given, *["--download"] * from_vendor])
            built = build_into(tx, store, context, (), command=command, progress=progress)
    built.snapshot = store.snapshot().id
    built.seconds = time.monotonic() - started
    return UpdateReport(fetched, loaded, built)


def _empty(path: Path) -> bool:
    """Tell whether a folder holds no file: what an evening without news leaves."""
    return path.is_dir() and not any(not entry.name.startswith(".") for entry in path.iterdir())


def _since(snapshot: Snapshot, settings: Settings) -> dt.date:
    """The day from which on the vendor may have something new."""
    with snapshot.connect() as con:
        last = con.sql("SELECT max(greatest(date, coalesce(lastupdated, date))) FROM sep_base").fetchall()[0][
            0
        ]
    since: dt.date = last - dt.timedelta(days=settings.equity.download.overlap)
    return since
