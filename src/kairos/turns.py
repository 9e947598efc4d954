"""Runs that change the same files work one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from kairos.disk import writing
from kairos.errors import WorkError


@contextmanager
def turn(lock: Path, what: str, *, wait: bool) -> Iterator[None]:
    """Be the only run that holds a lock; it is free again when its holder has ended, however that was.

    Parameters
    ----------
    lock
        The lock's file; it stays.
    what
        What the run changes, for the message.
    wait
        Wait for another run to end instead of refusing.

    Raises
    ------
    WorkError
        When another run holds the lock, or its file can't be written.
    """
    held, fresh = FileLock(lock), not lock.parent.exists()
    try:
        with writing(lock, "choose another place"):
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise WorkError(
            f"another run is changing {what} (it holds {lock}): repeat the command when it has ended, or "
            "let it wait with --wait; nothing was changed"
        ) from error
    done = False
    try:
        yield
        done = True
    finally:
        held.release()
        if fresh and not done:  # a run that is refused makes no folder
            with suppress(OSError):
                lock.unlink()
                lock.parent.rmdir()
