"""Many searches at a time, or one change of what they see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A readers-writer lock. A waiting writer goes before readers that come later.

    A thread that reads may enter again to read; one that changes may enter again for both.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._readers = 0
        self._waiting = 0
        self._owner: int | None = None
        self._own = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold off changes; others may hold this too."""
        depth = getattr(self._own, "depth", 0)
        if depth or self._owner == threading.get_ident():
            # Waiting behind a writer that waits for this very thread would never end.
            self._own.depth = depth + 1
            try:
                yield
            finally:
                self._own.depth -= 1
            return
        with self._condition:
            while self._waiting or self._owner is not None:
                self._condition.wait()
            self._readers += 1
        self._own.depth = 1
        try:
            yield
        finally:
            self._own.depth = 0
            with self._condition:
                self._readers -= 1
                if not self._readers:
                    self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold off everybody else."""
        if self._owner == threading.get_ident():
            yield
            return
        with self._condition:
            self._waiting += 1
            try:
                while self._readers or self._owner is not None:
                    self._condition.wait()
                self._owner = threading.get_ident()
            finally:
                self._waiting -= 1
                if self._owner is None:
                    self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._owner = None
                self._condition.notify_all()
