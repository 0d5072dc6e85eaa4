"""The time that a run has, and what of it is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: Seconds to end all processes and to write the page.
_END_SECONDS = 2.0


class Clock:
    """Counts from the moment it is made.

    Parameters
    ----------
    minutes : float, optional
        For all; without it there is no end.
    now : callable, optional
        Gives seconds.
    """

    def __init__(
        self, minutes: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = math.inf if minutes is None else 60 * minutes
        self._now = now
        self._begin = self._lap = now()

    def go_on(self, seconds: float) -> None:
        """Count what an attempt that was broken off has spent."""
        self._begin -= seconds

    def spent(self) -> float:
        """Seconds so far."""
        return self._now() - self._begin

    def left(self) -> float:
        """Seconds for what is still to be done but the end; perhaps less than none."""
        return self.seconds - _END_SECONDS - self.spent()

    def lap(self) -> float:
        """Seconds since the last lap, or since the beginning."""
        before, self._lap = self._lap, self._now()
        return self._lap - before


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def minutes_text(seconds: float) -> str:
    """Write a time as clocks show it."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
