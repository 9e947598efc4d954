"""The bulk export of a table: a zip that the service makes on request, and that lies on another host."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from kairos.equity.download.patience import PassingError
from kairos.equity.download.service import chunks, code, retry_after
from kairos.errors import WorkError

if TYPE_CHECKING:
    from kairos.equity.download.part import Part
    from kairos.equity.download.request import Request
    from kairos.equity.download.service import Service
    from kairos.settings.tree import Download

_CHUNK = 1 << 20
_GAIN = 1 << 20
"""Bytes beyond the furthest point so far that make an attempt count as progress."""


class _ExpiredError(PassingError):
    """A link that the other host does not honour any more."""


@dataclass(frozen=True)
class Export:
    """What the service says about an export: whether it is ready, its link, the state of the table."""

    status: str
    link: str
    snapshot: str


def fetch_export(service: Service, request: Request, part: Part, settings: Download) -> None:
    """Wait until the export is ready, and get the rest of its zip; the whole is checked.

    Raises
    ------
    InputError
        When the key may not read the table.
    WorkError
        When the export does not get ready in time, the service does not recover, or what it gives is not a
        zip with one CSV file.
    """
    attempts = service.patience.attempts(f"{code(request.table)}, bulk export")
    export: Export | None = None
    furthest = part.size
    while part.progress.state == "part":
        try:
            if export is None:
                export = _ready(service, request, settings)
                if export.snapshot != part.progress.snapshot:
                    part.restart(snapshot=export.snapshot)
            _receive(service, export.link, part)
            part.note(rows=_rows(request, part), bytes=part.size, state="whole")
        except PassingError as failure:
            export = None if isinstance(failure, _ExpiredError) else export
            if part.size >= furthest + _GAIN:
                furthest = part.size
                attempts.progressed()
            attempts.wait_after(failure)


def _ready(service: Service, request: Request, settings: Download) -> Export:
    """Ask for the export until it is fresh."""
    waited = 0
    while True:
        export = service.ask(request.table, {"qopts.export": "true"}, export_of)
        if export.status == "fresh":
            return export
        if waited + settings.poll > settings.export_wait:
            raise WorkError(
                f"{code(request.table)}: the bulk export is still {export.status!r} after {waited:,} s "
                "(equity.download.export_wait). Run the same command again later."
            )
        service.patience.sleep(settings.poll)
        waited += settings.poll


def export_of(answer: Any) -> Export:
    """Take the answer of the service apart.

    Raises
    ------
    PassingError
        When it says nothing about an export, or has no link to one that is ready.
    """
    try:
        file = answer["datatable_bulk_download"]["file"]
        status, link = str(file["status"]).lower(), file.get("link")
        snapshot = str(file.get("data_snapshot_time") or "")
    except (KeyError, TypeError, AttributeError) as error:
        raise PassingError("the answer says nothing about a bulk export") from error
    if status == "fresh" and not link:
        raise PassingError("the bulk export is ready but has no link")
    return Export(status, str(link or ""), snapshot)


def _receive(service: Service, link: str, part: Part) -> None:
    """Append the bytes that are missing; start anew when the host can't continue, or the file is another."""
    there = part.size
    headers = {"Range": f"bytes={there}-"} if there else {}
    if there and part.progress.etag:
        headers["If-Range"] = part.progress.etag
    try:
        with service.open(link, headers) as answer:
            if _has_all(answer, there):
                return
            _check(answer)
            if there and not _continues(answer, there, part.progress.etag):
                part.restart()
                if answer.status_code != httpx.codes.OK:
                    raise PassingError("the file at the link has changed")
            part.note(etag=_strong(answer.headers.get("ETag")))
            with part.path.open("ab") as file:
                for chunk in chunks(answer):
                    file.write(chunk)
    except (httpx.TransportError, httpx.TooManyRedirects) as error:
        # the words of the library may hold the link, whose signature is as good as a key
        raise PassingError(f"the connection failed ({type(error).__name__})") from error


def _has_all(answer: httpx.Response, there: int) -> bool:
    """Whether the host says that nothing is missing behind the bytes that are there."""
    ended = answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE
    return ended and answer.headers.get("Content-Range") == f"bytes */{there}"


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status < httpx.codes.BAD_REQUEST or status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    said = f"the host of the file answers HTTP {status}"
    if status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or status >= 500:
        raise PassingError(said, retry_after(answer.headers))
    raise _ExpiredError(said)


def _continues(answer: httpx.Response, there: int, etag: str | None) -> bool:
    """Whether the body is the rest of the file of which the first bytes are there."""
    if answer.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    given = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    same = etag is None or etag == _strong(answer.headers.get("ETag"))
    return same and given is not None and int(given[1]) == there


def _strong(etag: str | None) -> str | None:
    """Give a mark that stands for the very bytes; a weak one does not."""
    return etag if etag and not etag.startswith("W/") else None


def _rows(request: Request, part: Part) -> int:
    """Unpack the zip to its end, which compares its checksums; give the lines below the header.

    Raises
    ------
    PassingError
        When it is damaged; it is thrown away.
    WorkError
        When it is sound, but not one CSV file.
    """
    damaged: str | None
    lines: list[int] = []
    try:
        with zipfile.ZipFile(part.path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            lines = [_lines(archive, name) for name in names]
            damaged = archive.testzip() if len(names) != len(archive.namelist()) else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        damaged = str(error) or type(error).__name__
    if damaged:
        part.restart()
        raise PassingError(f"the zip is damaged ({damaged})")
    if len(lines) != 1:
        part.restart()
        raise WorkError(
            f"{code(request.table)}: the bulk export holds {len(lines)} CSV files instead of one."
        )
    return max(0, lines[0] - 1)


def _lines(archive: zipfile.ZipFile, name: str) -> int:
    count, last = 0, b"\n"
    with archive.open(name) as content:
        while chunk := content.read(_CHUNK):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")
