"""A worker process ends with the one that has started it."""

from __future__ import annotations

import os
import threading
import time

EVERY = 1.0
"""Seconds between two looks."""


def end_with(master: int) -> None:
    """End this process soon after the process `master`, its parent, is gone.

    A worker holds both ends of the pipe from which it gets its tasks. So nothing tells it that nobody will
    write into it any more, and it would wait for minutes, with all its memory.
    """

    def watch() -> None:
        while os.getppid() == master:
            time.sleep(EVERY)
        os._exit(1)

    threading.Thread(target=watch, name="watch", daemon=True).start()
