"""The download itself: check, ask, fetch, put in place."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from kairos.equity.download.export import fetch_export
from kairos.equity.download.pages import fetch_pages, page_of
from kairos.equity.download.part import Part, Record
from kairos.equity.download.patience import Patience
from kairos.equity.download.report import DownloadReport, State, TableDownload
from kairos.equity.download.request import Request, named
from kairos.equity.download.service import DeniedError, Service, key_of_environment
from kairos.equity.ingest.sources import recognise
from kairos.errors import InputError, WorkError
from kairos.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kairos.settings import Settings
    from kairos.settings.tree import Download


def download(
    out: Path,
    tables: Sequence[str] = (),
    since: dt.date | None = None,
    *,
    settings: Settings | None = None,
    progress: Callable[[str], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> DownloadReport:
    """Download vendor tables from Nasdaq Data Link into a folder that :func:`kairos.equity.ingest` can load.

    Without `since` each table comes as one bulk export (``SHARADAR_SEP.zip``). With it the rows come page by
    page (``SHARADAR_SEP.csv``): those that the vendor has changed since, for tables with ``lastupdated``;
    those of filings, quarters and actions since, with some days for what appears late; and all rows of the
    small tables. A file appears when it is complete. A download that failed or was killed goes on where it
    stopped when it is called again in the same way. Only files of an earlier download are ever replaced.

    The key is read from the variable ``NASDAQ_DATA_LINK_API_KEY`` of the environment.

    Parameters
    ----------
    out
        The folder, e.g. ``data/vendor``; made if it is not there.
    tables
        Vendor names, e.g. ``["SEP", "TICKERS"]``; by default all of :data:`kairos.equity.vendor.TABLES`.
    since
        Only what is new since this date, itself included.
    settings
        By default those of :func:`kairos.settings.load`; the section is ``equity.download``.
    progress
        Is called with the name of each table that is finished.
    sleep
        What waits; for tests.

    Returns
    -------
    DownloadReport
        What was asked and what came, table by table.

    Raises
    ------
    InputError
        For an unknown table, a date in the future, an absent or unknown key, tables that the key may not
        read, or a file that is in the way; nothing was written.
    WorkError
        When the service fails for longer than the settings allow, or another download writes into the folder.
    """
    limits = (settings or load()).equity.download
    out = Path(out)
    if since and since > dt.datetime.now(dt.UTC).date():
        raise InputError(f"since {since} lies in the future; give a date up to today.")
    requests = [Request.of(table, since) for table in named(tables)]
    _check_folder(out, requests)
    with Service(limits, key_of_environment(), Patience.of(limits, sleep)) as service:
        _check_access(service, requests)
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".kairos-download.lock")
        try:
            with lock.acquire(blocking=False):
                done = _fetch_all(service, out, requests, limits, since, progress)
        except Timeout:
            raise WorkError(f"Another download is writing into {out}. Wait for it.") from None
    return DownloadReport(out, since, tuple(done))


def _check_folder(out: Path, requests: Sequence[Request]) -> None:
    """Refuse before any call what would end in two files of one table, or replace a file of the user."""
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder with --out.")
    ours = Record.read(out).files
    wanted = {request.table.name: request.file for request in requests}
    for path in sorted(out.iterdir()):
        source = recognise(path) if path.is_file() else None
        name = source and wanted.get(source.table.name)
        if name and (path.name != name or name not in ours):
            raise InputError(
                f"{path} is in the way: the download would write {name}, and a load takes one file a table. "
                "Move it away, or choose another folder with --out."
            )


def _check_access(service: Service, requests: Sequence[Request]) -> None:
    """Ask for one row of each table: a key that does not suffice is known before anything is written."""
    denied = []
    for request in requests:
        try:
            service.ask(request.table, {**request.filters, "qopts.per_page": "1"}, page_of)
        except DeniedError as error:
            denied.append((request.table.name.upper(), str(error)))
    if denied:
        names = [name for name, _ in denied]
        others = [name for r in requests if (name := r.table.name.upper()) not in names]
        hint = f"Name the others: {' '.join(others)}." if others else "Subscribe, or give another key."
        raise InputError(f"{'; '.join(text for _, text in denied)}. {hint}")


def _fetch_all(
    service: Service,
    out: Path,
    requests: Sequence[Request],
    limits: Download,
    since: dt.date | None,
    progress: Callable[[str], None] | None,
) -> list[TableDownload]:
    record = Record.read(out)
    if not record.unfinished:
        record.tables.clear()
    record.unfinished = True
    record.write()
    done = []
    for request in requests:
        done.append(_fetch(service, record, request, limits, since))
        if progress:
            progress(request.table.name)
    record.unfinished = False
    record.write()
    return done


def _fetch(
    service: Service, record: Record, request: Request, limits: Download, since: dt.date | None
) -> TableDownload:
    """Get one table, or what is missing of it."""
    wanted = f"{limits.base_url} {request.asked}, since {since}"
    keep_for = dt.timedelta(seconds=limits.resume_within)
    part = Part(record, request.table.name, request.file, wanted, keep_for)
    if not part.kept:
        before = service.calls - part.progress.calls
        part.note()
        try:
            if request.paged:
                fetch_pages(service, request, part, limits.page_size)
            else:
                fetch_export(service, request, part, limits)
        finally:
            part.note(calls=service.calls - before)
        part.finish()
    return _report(request, part)


def _report(request: Request, part: Part) -> TableDownload:
    found = part.progress
    state: State = "kept" if part.kept else "resumed" if part.resumed else "new"
    return TableDownload(
        table=request.table.name,
        way="pages" if request.paged else "export",
        asked=request.asked,
        rows=found.rows,
        bytes=found.bytes,
        calls=found.calls,
        state="empty" if found.state == "empty" else state,
        file=str(part.target) if found.state == "done" else None,
    )
