"""Being stopped from outside: Ctrl-C, and the signal by which a service manager ends a process."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What is said of a command that a signal has stopped; what it had published stays."""

GRACE = 10.0
"""Seconds that the work has to end by itself."""

ENDED = 0
"""What stands in the pipe of signals when the work has ended."""


@dataclass
class Stopped:
    """Which signal has come, if any."""

    by: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """That of a shell: 128 and the number of the signal."""
        return 128 + (self.by or 0)


@contextmanager
def stoppable(give_up: Callable[[Stopped], object]) -> Iterator[Stopped]:
    """Let both signals end the work in the same way, with time to remove temporary files.

    The signal is noted, because an exception of a handler may arrive as another one: DuckDB makes a
    RuntimeError of it. And a query that runs in DuckDB's own threads may keep Python from seeing the signal
    at all, so a thread watches: after `GRACE`, or at the second signal, the process ends where it is, which
    is as safe as any crash. A signal that the parent told us to ignore is ignored.

    Parameters
    ----------
    give_up
        Called in that thread before the process ends.
    """
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, _: object) -> None:
        stopped.by = signal.Signals(number)
        raise KeyboardInterrupt

    ours = [each for each in WORDS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in ours}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading, stopped, give_up), daemon=True)
    watcher.start()
    try:
        yield stopped
    finally:
        signal.set_wakeup_fd(previous)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.write(writing, bytes([ENDED]))
        watcher.join()
        os.close(writing)
        os.close(reading)


def _watch(reading: int, stopped: Stopped, give_up: Callable[[Stopped], object]) -> None:
    """Wait for one of our signals; end the process if the work has not ended soon after it."""
    number = _next(reading, None)
    if number and _next(reading, GRACE) != ENDED:
        stopped.by = signal.Signals(number)
        give_up(stopped)
        os._exit(stopped.exit_code)


def _next(reading: int, seconds: float | None) -> int | None:
    """Number of the next of our signals, `ENDED` when the work has, None when neither comes in time."""
    while select.select([reading], [], [], seconds)[0]:
        number = os.read(reading, 1)[0]
        if number == ENDED or number in WORDS:
            return number
    return None
