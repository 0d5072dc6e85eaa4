"""How a long operation tells how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from annx.errors import ParameterError

_WIDTH = 30


class Progress:
    """What a core calls between batches, with the number of rows done.

    Also without a listener it is a Python function, and running one is what lets
    Python deliver a Ctrl-C.

    Parameters
    ----------
    listener : callable, bool or None
        What the caller passed as ``progress``.
    total : int
        Rows in all.

    Raises
    ------
    ParameterError
        `listener` is none of those.
    """

    def __init__(self, listener: Any, total: int) -> None:
        if listener is True:
            listener = _Bar()
        elif listener is None or listener is False:
            listener = _ignore
        elif not callable(listener):
            raise ParameterError(f"progress must be callable or True, got {listener!r}")
        self._listener: Callable[[int, int], object] = listener
        self._total = total
        self._told = -1

    def __call__(self, done: int) -> None:
        """Tell the listener."""
        self._told = done
        self._listener(done, self._total)

    def finish(self) -> None:
        """Tell the listener that all is done, unless it knows."""
        if self._told != self._total:
            self(self._total)


def ignore(done: int) -> None:
    """Be the poll of an operation that nobody watches."""


def _ignore(done: int, total: int) -> None:
    pass


class _Bar:
    """A bar on stderr, on one line."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        filled = _WIDTH * done // max(1, total)
        rate = done / max(time.monotonic() - self._started, 1e-9)
        bar = "#" * filled + "." * (_WIDTH - filled)
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r[{bar}] {done:,}/{total:,} rows, {rate:,.0f}/s{end}")
        sys.stderr.flush()
