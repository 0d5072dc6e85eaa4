"""Many readers or one writer, in turns, so that neither side starves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds until a waiting thread looks again by itself, in case Ctrl-C fell on another
#: between its leaving and its telling so.
_LOOK_AGAIN = 0.1


class TurnLock:
    """A lock that many may hold to read, or one to write.

    Readers that arrive while a writer waits are let in together when it is done,
    before the next writer. Each thread is known by a gate, a plain lock that it waits
    on.

    Ctrl-C may fall anywhere on the main thread. `threading.Condition` runs Python code
    with its lock held, so an exception in there leaves it shut, or open twice. Python
    looks for signals after a call, and not between operators: what gives the lock back
    is written with operators alone.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._readers: set[threading.Lock] = set()
        self._queued: set[threading.Lock] = set()
        self._writer: threading.Lock | None = None
        self._waiting: set[threading.Lock] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        gate = threading.Lock()
        gate.acquire()
        try:
            self._queued.add(gate)
            while not self._may_read(gate):
                gate.acquire(timeout=_LOOK_AGAIN)
            yield
        finally:
            # In this order: a writer that leaves makes readers of all who queue.
            self._queued -= {gate}
            self._readers -= {gate}
            if self._waiting:
                self._wake()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone."""
        gate = threading.Lock()
        gate.acquire()
        try:
            self._waiting.add(gate)
            while not self._may_write(gate):
                gate.acquire(timeout=_LOOK_AGAIN)
            yield
        finally:
            self._waiting -= {gate}
            if self._writer is gate:
                self._readers |= self._queued
                self._writer = None
            self._wake()

    def _may_read(self, gate: threading.Lock) -> bool:
        with self._mutex:
            if gate not in self._readers:
                if self._writer is not None or self._waiting:
                    return False
                self._readers.add(gate)
            self._queued.discard(gate)
            return True

    def _may_write(self, gate: threading.Lock) -> bool:
        with self._mutex:
            if self._writer is not None or self._readers:
                return False
            self._writer = gate
            self._waiting.discard(gate)
            return True

    def _wake(self) -> None:
        with self._mutex:
            for gate in (*self._queued, *self._waiting):
                if gate.locked():
                    gate.release()
