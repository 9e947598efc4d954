"""The log of commands that take long: what was called, what came of it, and how it ended, as lines of JSON.

Every line has the time (UTC), the `call`, which is the same in all lines of a command, and the `event`; other
rooms say what they publish and record through :mod:`logging`.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from kairos.cli import console

if TYPE_CHECKING:
    from kairos.settings import Settings

NAME = "logs/kairos.log"
BYTES, FILES = 5_000_000, 5
"""A file that has grown so large becomes ``kairos.log.1``, and so on; so many are kept."""

SECRETS = ("NASDAQ_DATA_LINK_API_KEY",)
"""Variables whose value must not be written."""

_ROOT = logging.getLogger("kairos")


@dataclass
class Call:
    """A command that was called."""

    words: Sequence[str]
    id: str = field(default_factory=lambda: f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}")
    began: float = field(default_factory=time.monotonic)
    path: Path | None = None
    handlers: list[logging.Handler] = field(default_factory=list)
    error: str = ""


_call: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def call(words: Sequence[str]) -> Iterator[Call]:
    """Hold what one command writes; its last line says how it ended."""
    made = Call(words)
    token = _call.set(made)
    code = 1
    try:
        yield made
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise
    except Exception as error:
        made.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        _call.reset(token)
        finish(made, code)


def start(settings: Settings, folder: Path) -> None:
    """Open the log of `run.log`, by default in a folder, and write the first line.

    Where the folder is not there yet nothing is written until the end, and nothing if it never comes: a
    mistyped path makes no folder.
    """
    made = _call.get()
    if made is None or settings.run.log == "off":
        return
    beside = settings.run.log == "auto"
    made.path = folder / NAME if beside else Path(settings.run.log)
    if beside and not folder.is_dir():
        made.handlers.append(MemoryHandler(capacity=10_000, flushLevel=logging.CRITICAL, flushOnClose=False))
    else:
        made.handlers.append(_File.at(made.path))
    made.handlers[0].setFormatter(_Line(made.id))
    _ROOT.addHandler(made.handlers[0])
    _ROOT.setLevel(logging.INFO)
    _ROOT.info("started", extra={"facts": {"command": shlex.join(["kairos", *made.words])}})


def finish(made: Call, code: int) -> None:
    """Write the last line and close the file."""
    if made.path is None or not made.handlers:
        return
    seconds = round(time.monotonic() - made.began, 3)
    facts = {"seconds": seconds, "exit": code} | ({"error": made.error} if made.error else {})
    _ROOT.info("finished" if code == 0 else "failed", extra={"facts": facts})
    handler = made.handlers.pop()
    _ROOT.removeHandler(handler)
    if isinstance(handler, MemoryHandler) and made.path.parent.parent.is_dir():
        file = _File.at(made.path)
        file.setFormatter(handler.formatter)
        handler.setTarget(file)
        handler.flush()
        file.close()
    handler.close()
    if code and made.path.is_file():
        console.note(f"kairos: call {made.id} in {made.path}")


class _File(RotatingFileHandler):
    """The log file; work goes on when it can't be written."""

    @classmethod
    def at(cls, path: Path) -> logging.Handler:
        """Open a file, its folder made if absent."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8")
        except OSError as error:
            console.note(f"kairos: no log, because {path} can't be written: {error.strerror}")
            return logging.NullHandler()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say that a line is lost."""
        console.note(f"kairos: the log has lost a line ({record.getMessage()}): is the disk full?")


class _Line(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, made: str) -> None:
        super().__init__()
        self.made = made

    def format(self, record: logging.LogRecord) -> str:
        """Write time, call, event and facts, without secrets."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        facts = getattr(record, "facts", {})
        line = {"time": when, "call": self.made, "event": record.getMessage(), **facts}
        return _without_secrets(json.dumps(line, ensure_ascii=False))


def _without_secrets(text: str) -> str:
    """Blank out the values of keys, and user names and passwords in addresses.

    >>> _without_secrets("kairos x --scheduler tcp://me:secret@host:8786")
    'kairos x --scheduler tcp://…@host:8786'
    """
    for name in SECRETS:
        value = os.environ.get(name, "").strip()
        text = text.replace(value, "…") if value else text
    return re.sub(r"://[^/@\s\"]+@", "://…@", text)
