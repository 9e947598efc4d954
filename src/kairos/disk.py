"""What an operating system says when a file can't be written or opened, in words that help."""

from __future__ import annotations

import errno
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


def reason(error: OSError, path: Path | None, elsewhere: str = "") -> str:
    """Why a file can't be written or opened, and what to do.

    Parameters
    ----------
    error
        What the operating system says.
    path
        The file, if it is known.
    elsewhere
        A further remedy, for when there is no room, or no permission, where the file is.
    """
    why, remedies = error.strerror or str(error), []
    if error.errno in FULL:
        remedies.append(f"make room{_room(path)}")
    if error.errno in FORBIDDEN:
        remedies.append("allow to write there")
    if error.errno in HANDLES:
        return f"{why}; raise the limit of open files (ulimit -n), or lower run.workers and run.threads"
    return "; ".join([why, " or ".join([*remedies, *[elsewhere] * bool(elsewhere)])]).removesuffix("; ")


def _room(path: Path | None) -> str:
    """Where room is needed, and how much there is."""
    if path is None:
        return ""
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    usage = shutil.disk_usage(folder)
    mount = next(place for place in (folder, *folder.parents) if place.is_mount())
    return f" on {mount} ({usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB are free)"
