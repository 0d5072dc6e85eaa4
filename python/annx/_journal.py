"""What has changed since an index was last on disk, kept so that it can be written alone."""

from __future__ import annotations

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Kinds of change, by their number in a log.
ADD, UPSERT, REMOVE, SETTINGS, COMPACT = 1, 2, 3, 4, 5


class Change(NamedTuple):
    """One call that changed an index.

    Attributes
    ----------
    kind : int
    labels : ndarray of shape (n,), int64, or None
    rows : ndarray of shape (n, columns), or None
        As the core was given them, which not every codec gives back.
    """

    kind: int
    labels: NDArray[np.int64] | None = None
    rows: NDArray[Any] | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        # 200: the tuple, two array objects, and what stands before them in the log.
        return 200 + sum(part.nbytes for part in self[1:] if part is not None)


class Journal:
    """Changes in order, as long as they take less than it is worth to keep them.

    Nothing is kept before `begin`: an index that is on no disk pays for none of it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._changes: list[Change] = []
        self._bytes = 0
        self._limit = 0
        self.complete = False

    def renew(self) -> None:
        """Take a new lock, after a fork."""
        self._lock = Lock()

    def begin(self, limit: int) -> int:
        """Count the changes that a file about to be written holds.

        Unless it was, the journal is complete from here on, with up to `limit` bytes.
        """
        with self._lock:
            self._limit = limit
            if not self.complete:
                self._changes, self._bytes, self.complete = [], 0, True
            return len(self._changes)

    def record(
        self,
        kind: int,
        labels: NDArray[np.int64] | None = None,
        rows: NDArray[Any] | None = None,
    ) -> None:
        """Keep copies of what a call was given."""
        if not self.complete:
            return
        size = Change(kind, labels, rows).nbytes
        with self._lock:
            if self._bytes + size > self._limit:
                self._give_up()
            elif self.complete:
                try:
                    copies = [None if part is None else part.copy() for part in (labels, rows)]
                    self._changes.append(Change(kind, *copies))
                    self._bytes += size
                except MemoryError:
                    # The change is made; the next save writes everything.
                    self._give_up()

    def give_up(self) -> None:
        """Forget everything: there are changes that are not known, or too many."""
        with self._lock:
            self._give_up()

    def _give_up(self) -> None:
        self._changes, self._bytes, self.complete = [], 0, False

    def so_far(self) -> list[Change] | None:
        """Changes since the last time on disk, or None if they are not all known."""
        with self._lock:
            return self._changes.copy() if self.complete else None

    def settle(self, count: int) -> None:
        """Forget the first `count` changes: they are on disk."""
        with self._lock:
            self._bytes -= sum(change.nbytes for change in self._changes[:count])
            del self._changes[:count]
