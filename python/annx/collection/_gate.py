"""Many searches at a time, or one change of what they see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A readers-writer lock. A waiting writer goes before readers that come later.

    A thread that reads may enter again to read; one that changes may enter again for both.

    Ctrl-C may end a thread's work at any line, here as well. So threads are held by their names,
    which are taken away as well twice as once.
    """

    def __init__(self) -> None:
        # Taken itself, and not by way of the condition, which is Python and can be interrupted
        # between the end of a block and letting go.
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._readers: set[int] = set()
        self._waiting: set[int] = set()
        self._owner: int | None = None

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold off changes; others may hold this too."""
        me = threading.get_ident()
        if me in self._readers or self._owner == me:
            # Waiting behind a writer that waits for this very thread would never end.
            yield
            return
        try:
            with self._lock:
                while self._waiting or self._owner is not None:
                    self._condition.wait()
                self._readers.add(me)
            yield
        finally:
            try:
                self._leave()
            except BaseException:
                self._leave()
                raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold off everybody else."""
        me = threading.get_ident()
        if self._owner == me:
            yield
            return
        try:
            with self._lock:
                self._waiting.add(me)
                while self._readers - {me} or self._owner is not None:
                    self._condition.wait()
                self._owner = me
                self._waiting.discard(me)
            yield
        finally:
            try:
                self._leave()
            except BaseException:
                self._leave()
                raise

    def _leave(self) -> None:
        me = threading.get_ident()
        with self._lock:
            self._readers.discard(me)
            self._waiting.discard(me)
            if self._owner == me:
                self._owner = None
            self._condition.notify_all()
