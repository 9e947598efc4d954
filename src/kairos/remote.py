"""Files and folders at a URL: ``s3://``, ``gs://``, ``memory://`` and whatever else fsspec knows.

Programs read and write local files only. What is at a URL is brought to a local place first
(:func:`reading`), or brought there afterwards (:func:`writing`); a folder that is worked in, again and again,
has a local mirror (:func:`mirrored`), which brings and sends what has changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from kairos.errors import InputError, WorkError

CACHE = "KAIROS_CACHE"
"""Variable of the environment that names the folder of the mirrors, else ``~/.cache/kairos``. On a cluster
every machine must be able to write there."""

STATE, TOKEN = ".kairos_mirror.json", ".kairos_mirror_token"
OWN = (STATE, TOKEN)

WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
"""Stores in which a file appears whole, so that it needs no temporary name."""

Place = tuple[str, str, str]
"""URL, folder and token of a mirror."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+")
_urls: dict[str, str] = {}
"""URL by the local path that stands for it, for what a user reads."""
_mirrors: dict[Path, Mirror] = {}
"""Mirrors that this process works in."""


def is_url(text: str) -> bool:
    """Whether a text is a URL and no local path.

    >>> is_url("s3://bucket/desk"), is_url("exports/2026")
    (True, False)
    """
    return bool(_URL.fullmatch(text))


def with_urls(text: str) -> str:
    """Replace local paths that stand for a URL by the URL."""
    for local, url in sorted(_urls.items(), reverse=True):
        text = text.replace(local, url)
    return text


@contextmanager
def reading(place: Path | str) -> Iterator[Path]:
    """Give the local path of a file or folder; a copy, deleted afterwards, of what is at a URL.

    Parameters
    ----------
    place
        A local path, which is given back, or a URL.

    Raises
    ------
    InputError
        There is nothing at the URL, it can't be read, or what reads it is not installed.

    Examples
    --------
    >>> with reading("exports/SEP.csv") as path:
    ...     path.name
    'SEP.csv'
    """
    if not is_url(str(place)):
        yield Path(place)
        return
    with _beside(str(place)) as local:
        there = _There(str(place))
        with _told(there.url, InputError):
            files = there.files()
            for name in files:
                path = local / name if name else local
                path.parent.mkdir(parents=True, exist_ok=True)
                there.get(name, path)
        if not files:
            raise InputError(f"{place}: there is no file and no folder")
        yield local


@contextmanager
def writing(place: Path | str) -> Iterator[Path]:
    """Give a local path to write a file or a folder at; what is there in the end is sent to the URL.

    What a program writes beside the path goes beside the URL. Nothing is sent after an error. A file appears
    whole; files of a folder appear one after the other, and those that are there already and are not written
    now stay.

    Parameters
    ----------
    place
        A local path, which is given back, or a URL.

    Raises
    ------
    InputError
        What writes to the URL is not installed.
    WorkError
        It can't be written.
    """
    if not is_url(str(place)):
        yield Path(place)
        return
    there = _There(str(place))  # an unknown kind of URL is told before the work
    with _beside(str(place)) as local:
        yield local
        with _told(there.url, WorkError):
            for path in sorted(local.parent.rglob("*")):
                if path.is_file():
                    there.put_beside(path, path.relative_to(local.parent).as_posix())


@contextmanager
def mirrored(place: Path | str) -> Iterator[Path]:
    """Give a local folder that mirrors the folder at a URL; changes are sent there in the end.

    What has changed at the URL since the last time is brought, what was changed in the folder is sent: at the
    end, and at the beginning what a run has left that was interrupted. Nothing is sent after an error. One
    process at a time works in a mirror; nobody may change the folder at the URL meanwhile.

    Parameters
    ----------
    place
        A local folder, which is given back, or a URL.

    Raises
    ------
    InputError, WorkError
        As :func:`reading` and :func:`writing`.
    """
    if not is_url(str(place)):
        yield Path(place)
        return
    url = str(place).rstrip("/")
    root = cache() / hashlib.sha256(url.encode()).hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root, url):
        mirror = Mirror(url, root)
        mirror.bring()
        mirror.send()
        _urls[str(root)] = url
        _mirrors[root] = mirror
        try:
            yield root
            mirror.send()
        finally:
            del _mirrors[root]


@contextmanager
def _alone(root: Path, url: str) -> Iterator[None]:
    lock = FileLock(f"{root}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise WorkError(f"{url}: another process works in its mirror {root}; let it end first") from None
    try:
        yield
    finally:
        lock.release()


def send(root: Path) -> None:
    """Send what has changed in a folder so far, if it is a mirror."""
    if mirror := _mirrors.get(root):
        mirror.send()


def cache() -> Path:
    """Folder of the mirrors."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "kairos").resolve()


@dataclass
class Mirror:
    """A local folder and the folder at a URL that it mirrors.

    Attributes
    ----------
    url, root
        The two.
    token
        Changes whenever something is sent; a worker of a cluster compares it with that of its own machine.
    """

    url: str
    root: Path
    token: str = field(default_factory=secrets.token_hex)

    def bring(self) -> None:
        """Bring what has changed at the URL, and delete what was deleted there."""
        there, known = _There(self.url), self._state()
        with _told(self.url, InputError):
            found = there.files()
            if not found:
                raise InputError(f"{self.url}: there is no folder")
            for name, mark in found.items():
                path = self.root / name
                if not path.is_file() or known.get(name, [None])[0] != mark:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    there.get(name, path)
                    known[name] = [mark, *_size_and_time(path)]
        for name in sorted(known.keys() - found.keys()):
            (self.root / name).unlink(missing_ok=True)
            del known[name]
        self._keep(known)

    def send(self) -> None:
        """Send what has changed in the folder, and delete at the URL what was deleted in it.

        Files whose names begin with a dot go first: a ledger knows of a file before it is there.
        """
        there, known = _There(self.url), self._state()
        here = {
            path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if _counts(path)
        }
        with _told(self.url, WorkError):
            for name, path in sorted(here.items(), key=lambda item: (not item[1].name.startswith("."), item)):
                now = _size_and_time(path)
                if known.get(name, [None, None])[1:] != now:
                    known[name] = [there.put(path, name), *now]
                    self._keep(known)
            for name in sorted(known.keys() - here.keys()):
                there.remove(name)
                del known[name]
        self._keep(known)
        self.token = secrets.token_hex()
        (self.root / TOKEN).write_text(self.token, encoding="utf-8")

    def _state(self) -> dict[str, list[Any]]:
        """Mark at the URL, and local size and time, of each file when both were the same."""
        path = self.root / STATE
        known: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return known

    def _keep(self, known: dict[str, list[Any]]) -> None:
        beside = self.root / f"{STATE}.tmp"
        beside.write_text(json.dumps(known), encoding="utf-8")
        beside.replace(self.root / STATE)


def mirrors() -> tuple[Place, ...]:
    """What mirrors this process works in, for :func:`join` on a worker."""
    return tuple((mirror.url, str(root), mirror.token) for root, mirror in _mirrors.items())


def join(mirrors: Sequence[Place]) -> None:
    """Bring mirrors to this machine, at the same paths, unless they are those of the process that asks."""
    for url, folder, token in mirrors:
        root = Path(folder)
        if _token(root) == token:
            continue
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{root}.joined.lock"):
            if _token(root) != token:  # another worker of this machine may have been first
                Mirror(url, root).bring()
                (root / TOKEN).write_text(token, encoding="utf-8")


def _token(root: Path) -> str:
    path = root / TOKEN
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _size_and_time(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _counts(path: Path) -> bool:
    """Whether a file of a mirror belongs to the folder at the URL."""
    return path.is_file() and path.name not in OWN and not path.name.endswith((".tmp", ".lock", ".part"))


@contextmanager
def _beside(url: str) -> Iterator[Path]:
    """A local path of the same name as the last part of a URL."""
    with tempfile.TemporaryDirectory(prefix="kairos-") as folder:
        local = Path(folder).resolve() / (PurePosixPath(url.split("://", 1)[1]).name or "root")
        _urls[str(local)] = url
        yield local


class _There:
    """The file or folder at a URL."""

    def __init__(self, url: str):
        self.url = url
        scheme = url.split("://", 1)[0]
        try:
            core = importlib.import_module("fsspec.core")
            self.fs, self.root = core.url_to_fs(url)
        except ImportError as error:
            raise InputError(f"{url}: {error}; pip install 'kairos[cloud]' brings what s3:// needs") from None
        except ValueError as error:
            raise InputError(f"{url}: {error}") from None
        self.root = self.root.rstrip("/")
        self.whole = scheme in WHOLE
        self.fs.invalidate_cache()

    def files(self) -> dict[str, str]:
        """Mark by name of each file, "" for the URL itself if it is a file; a mark changes with the file."""
        found = self.fs.find(self.root, detail=True)
        names = {name: name[len(self.root) :].strip("/") for name in found}
        return {names[name]: _mark(info) for name, info in sorted(found.items()) if not name.endswith("/")}

    def get(self, name: str, path: Path) -> None:
        """Bring a file to a local path, whole."""
        beside = path.with_name(f".{path.name}.tmp")
        try:
            self.fs.get_file(self._at(name), str(beside))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def put(self, path: Path, name: str) -> str:
        """Send a file, whole; gives its mark."""
        return self._put(path, self._at(name))

    def put_beside(self, path: Path, name: str) -> None:
        """Send a file to a place beside the URL: its own last part begins the name."""
        above = self.root.rpartition("/")[0]
        self._put(path, f"{above}/{name}" if above else name)

    def _put(self, path: Path, target: str) -> str:
        folder, _, last = target.rpartition("/")
        if self.whole:
            self.fs.put_file(str(path), target)
        else:
            beside = f"{folder}/.{last}.tmp"
            self.fs.makedirs(folder, exist_ok=True)
            self.fs.put_file(str(path), beside)
            self.fs.mv(beside, target)
        self.fs.invalidate_cache()
        return _mark(self.fs.info(target))

    def remove(self, name: str) -> None:
        """Delete a file."""
        self.fs.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self.root}/{name}" if name else str(self.root)


def _mark(info: dict[str, Any]) -> str:
    """What changes with a file: its tag, or its size and the time of its last change."""
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    kinds = ("mtime", "LastModified", "last_modified", "updated", "created")
    time = next((info[kind] for kind in kinds if kind in info), "")
    if isinstance(time, dt.datetime):  # a list of files may have seconds where a single file has a date
        time = time.timestamp()
    return str(tag) if tag else f"{info['size']} {time}"


@contextmanager
def _told(url: str, kind: type[InputError | WorkError]) -> Iterator[None]:
    """Tell the user what went wrong at a URL."""
    kinds: list[type[Exception]] = [OSError]
    if botocore := sys.modules.get("botocore.exceptions"):
        kinds.append(botocore.BotoCoreError)
    try:
        yield
    except tuple(kinds) as error:
        raise kind(f"{url}: {error or type(error).__name__}") from error
