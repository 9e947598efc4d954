"""What an operating system says when a file can't be written or opened, in words that help."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kairos.errors import WorkError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
HANDLES = (errno.EMFILE, errno.ENFILE)


@contextmanager
def writing(path: Path, elsewhere: str) -> Iterator[None]:
    """Name the file that is being written in what goes wrong: many a library leaves it out.

    Parameters
    ----------
    path
        The file.
    elsewhere
        What to do when there is no room for it where it is, such as ``choose another --db``.

    Raises
    ------
    WorkError
        When it can't be written; the message has the reason and a remedy.

    Examples
    --------
    >>> path = Path("no/such/folder")
    >>> with writing(path, "choose another --out"):
    ...     path.write_text("")
    Traceback (most recent call last):
        ...
    kairos.errors.WorkError: cannot write no/such/folder: No such file or directory; choose another --out
    """
    try:
        yield
    except TimeoutError:  # a lock that somebody holds: its file could be written
        raise
    except OSError as error:
        raise WorkError(f"cannot write {path}: {reason(error, path, elsewhere)}") from error


def cause(error: Exception) -> OSError | None:
    """What the operating system has said, where a library passes on no more than its words.

    >>> cause(RuntimeError('Could not write file "/data/a b.tmp": No space left on device'))
    OSError(28, 'No space left on device')
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error
    text = str(error)
    file = re.search(r"[\"'](/[^\"']+)[\"']", text)
    for number in (*FULL, *FORBIDDEN, *HANDLES):
        if os.strerror(number) in text:
            return OSError(number, os.strerror(number), *([file[1]] if file else []))
    return None


def reason(error: Exception, path: Path | None, elsewhere: str = "") -> str:
    """Why a file can't be written or opened, and what to do.

    Parameters
    ----------
    error
        What the operating system says, or a library.
    path
        The file, if it is known.
    elsewhere
        A further remedy, for when there is no room, or no permission, where the file is.
    """
    system = cause(error)
    if system is None:
        why = str(error)
        return f"{why}; {elsewhere}" if elsewhere else why
    remedies = []
    if system.errno in FULL:
        remedies.append(f"make room{_room(path)}")
    if system.errno in FORBIDDEN:
        remedies.append("allow to write there")
    if system.errno in HANDLES:
        remedies.append("raise the limit of open files (ulimit -n), or lower run.workers and run.threads")
    if elsewhere and system.errno not in HANDLES:
        remedies.append(elsewhere)
    return "; ".join([system.strerror or str(system), *[" or ".join(remedies)] * bool(remedies)])


def _room(path: Path | None) -> str:
    """Where room is needed, and how much there is."""
    if path is None:
        return ""
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    usage = shutil.disk_usage(folder)
    mount = next(place for place in (folder, *folder.parents) if place.is_mount())
    return f" on {mount} ({usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB are free)"
