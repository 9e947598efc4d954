"""Being stopped from outside: Ctrl-C, and the signal by which a service manager ends a process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What is said of a command that a signal has stopped; what it had published stays."""


@dataclass
class Stopped:
    """Which signal has come, if any."""

    by: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """That of a shell: 128 and the number of the signal."""
        return 128 + (self.by or 0)


@contextmanager
def stoppable() -> Iterator[Stopped]:
    """Let both signals end the work in the same way, with time to remove temporary files.

    The signal is noted, because an exception of a handler may arrive as another one: DuckDB makes a
    RuntimeError of it. A signal that the parent told us to ignore is ignored.
    """
    stopped = Stopped()

    def stop(number: int, _: object) -> None:
        stopped.by = signal.Signals(number)
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    ours = [each for each in WORDS if here and signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in ours}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
