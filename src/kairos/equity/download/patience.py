"""How calls are spaced, and how failures that may pass are waited out."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kairos.errors import WorkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kairos.settings.tree import Download

_WINDOW = 10.0
_LONGEST_STEP = 60.0


class PassingError(Exception):
    """A failure that may be gone at the next attempt.

    Parameters
    ----------
    text
        What went wrong, without a full stop.
    after
        Seconds that the service asks to wait, if it does.
    """

    def __init__(self, text: str, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


@dataclass
class Patience:
    """The limits of a download, and the clock it lives by.

    Attributes
    ----------
    retries, max_wait, calls
        Repetitions of one call, seconds they may be waited for in all, and calls in ten seconds.
    sleep, clock
        What waits, and what tells the time in seconds.
    """

    retries: int
    max_wait: float
    calls: int
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _made: deque[float] = field(default_factory=deque)

    @classmethod
    def of(cls, settings: Download, sleep: Callable[[float], None] = time.sleep) -> Patience:
        """Take the limits from the settings."""
        return cls(settings.retries, settings.max_wait, settings.calls_per_10s, sleep)

    def take_turn(self) -> None:
        """Wait until one more call is within the limit of calls in ten seconds."""
        now = self.clock()
        while self._made and now - self._made[0] >= _WINDOW:
            self._made.popleft()
        if len(self._made) >= self.calls:
            wait = self._made.popleft() + _WINDOW - now
            self.sleep(wait)
            now += wait
        self._made.append(now)

    def attempts(self, what: str) -> Attempts:
        """Begin to count the attempts at one thing; ``what`` is its name in messages."""
        return Attempts(self, what)


@dataclass
class Attempts:
    """The failed attempts at one thing so far, and the seconds waited because of them."""

    patience: Patience
    what: str
    failures: int = 0
    waited: float = 0.0

    def wait_after(self, failure: PassingError) -> None:
        """Wait as the service asks; without a word of it 1, 2, 4, … up to 60 s, less up to a half at random.

        Raises
        ------
        WorkError
            When the attempts or the time are used up.
        """
        self.failures += 1
        wait = failure.after
        if wait is None:
            step = min(2.0 ** min(self.failures - 1, 30), _LONGEST_STEP)
            wait = step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads calls, guards nothing
        if self.failures > self.patience.retries:
            raise WorkError(f"{self.what}: {failure}; {self.failures} attempts. {_AGAIN}")
        if self.waited + wait > self.patience.max_wait:
            raise WorkError(
                f"{self.what}: {failure}; the next attempt would be in {wait:,.0f} s, beyond "
                f"equity.download.max_wait. {_AGAIN}"
            )
        self.waited += wait
        self.patience.sleep(wait)

    def progressed(self) -> None:
        """Forget the failures: since the last one something was gained."""
        self.failures, self.waited = 0, 0.0


_AGAIN = "Run the same command again later: it goes on where it stopped."
