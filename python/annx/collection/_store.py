"""The records and what is derived from them, as one thing that many threads may use."""

from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from annx.collection._derived import Change, Derived
from annx.collection._documents import Batch
from annx.collection._gate import Gate
from annx.collection._lock import WriterLock
from annx.collection._records import Records, State
from annx.errors import ClosedError, ReadOnlyError, RebuildWarning

#: Bytes of vectors, or so, that are replayed at a time: an empty index builds the first lot in
#: bulk, some four times as fast as rows that come later.
_REPLAY_BYTES = 256 << 20


class Store:
    """Records and derived parts.

    A write is committed to the records and applied to the parts under the gate's exclusive
    side, a search runs under its shared side: it sees all of a batch or nothing.

    Parameters
    ----------
    records : Records
    lock : WriterLock or None
        None: only reads.
    parts : mapping of str to Derived
    """

    def __init__(
        self, records: Records, lock: WriterLock | None, parts: dict[str, Derived]
    ) -> None:
        self.records = records
        self.parts = parts
        self._lock = lock
        self._gate = Gate()
        self._writing = threading.RLock()
        self._closed: str | None = None
        self.sequence = 0
        with self._gate.exclusive(), records.pool.borrow() as connection:
            connection.execute("BEGIN")
            state = records.state(connection)
            for name, part in parts.items():
                self._verify(connection, name, part, state)
            self._replay(connection, state, {n: p.sequence for n, p in parts.items()})

    def _verify(
        self, connection: sqlite3.Connection, name: str, part: Derived, state: State
    ) -> None:
        """Forget a part that reflects other records than these."""
        known = part.sequence <= state.sequence and self.records.knows(connection, part.sequence)
        if part.sequence == 0 or known:
            return
        warnings.warn(
            f"{name} reflects other records than these and is made again",
            RebuildWarning,
            stacklevel=2,
        )
        part.clear()

    def _replay(self, connection: sqlite3.Connection, state: State, since: dict[str, int]) -> None:
        """Bring parts from the sequences that they reflect up to a state of the records."""
        for sequence in sorted(set(since.values())):
            if sequence == state.sequence:
                continue
            behind = [self.parts[name] for name in since if since[name] == sequence]
            fields = frozenset().union(*(getattr(part, "fields", ()) for part in behind))
            size = _replay_size(self.records, fields)
            reached = sequence
            lots = self.records.changes(connection, sequence, fields, size)
            for changes in lots:
                for part in behind:
                    part.apply(changes, reached)
            for part in behind:
                part.apply([], state.sequence)
        self.sequence = state.sequence

    # Reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of records and parts, for as long as the block takes."""
        while True:
            with self._gate.shared():
                self._refuse_closed()
                with self.records.pool.borrow() as connection:
                    connection.execute("BEGIN")
                    current = self.records.state(connection).sequence
                    if current == self.sequence:
                        yield connection
                        return
            self.catch_up()

    def catch_up(self) -> None:
        """Reflect what the records hold by now."""
        with self._gate.exclusive():
            self._refuse_closed()
            with self.records.pool.borrow() as connection:
                connection.execute("BEGIN")
                state = self.records.state(connection)
                if state.sequence == self.sequence:
                    return
                since = self.sequence
                if not self.records.knows(connection, since):
                    since = 0
                    for part in self.parts.values():
                        part.clear()
                self._replay(connection, state, dict.fromkeys(self.parts, since))

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off other writers of this process."""
        with self._writing:
            self._refuse_closed()
            if self._lock is None:
                raise ReadOnlyError("the collection is open for reading")
            yield

    def put(self, batch: Batch) -> None:
        """Write documents, all or none."""
        self._write(lambda state: self._put(batch, state))

    def _put(self, batch: Batch, state: State) -> tuple[State, list[Change]]:
        after, written = self.records.put(batch, state)
        return after, written.changes

    def remove(self, rows: Sequence[int]) -> None:
        """Delete the documents of rows, all or none."""
        self._write(lambda state: self.records.remove(rows, state))

    def _write(self, change: Callable[[State], tuple[State, list[Change]]]) -> None:
        with self.writing():
            with self.records.transaction() as state:
                if state.sequence != self.sequence:
                    self.catch_up()
                after, changes = change(state)
                with self._gate.exclusive():
                    self.records.commit()
                    # From here on the records hold the batch. Should a part fail, or Ctrl-C
                    # end this, `sequence` stays behind, and the next call replays.
                    for part in self.parts.values():
                        part.apply(changes, after.sequence)
                    self.sequence = after.sequence

    # Closing

    def _refuse_closed(self) -> None:
        if self._closed is not None:
            raise ClosedError(self._closed)

    def close(self) -> None:
        """Make all parts durable and let go of the files."""
        with self._writing, self._gate.exclusive():
            if self._closed is not None:
                return
            self._closed = "the collection is closed"
            try:
                if self._lock is not None:
                    for part in self.parts.values():
                        if part.sequence != self.sequence:
                            part.commit()
            finally:
                for part in self.parts.values():
                    part.close()
                self.records.close()
                if self._lock is not None:
                    self._lock.close()


def _replay_size(records: Records, fields: frozenset[str]) -> int:
    """Documents to replay at a time."""
    vectors = records.schema.vectors
    row = sum(4 * vectors[name].dim if name in vectors else 1024 for name in fields)
    return max(1000, min(100_000, _REPLAY_BYTES // (row + 1024)))
