"""The records and what is derived from them, as one thing that many threads may use."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from annx.collection._derived import Change, Derived
from annx.collection._documents import Batch
from annx.collection._gate import Gate
from annx.collection._lock import WriterLock
from annx.collection._records import Records, State
from annx.errors import AnnxError, ClosedError, ReadOnlyError, RebuildWarning, StorageError

#: Bytes of documents, or so, that are replayed at a time. An empty index builds the first lot
#: in bulk.
_REPLAY_BYTES = 256 << 20
#: Changes that a part may hold beyond its durable form: so many, or this share of the documents.
#: Writing 117,659 vectors of 384 takes 0.5 s, replaying 20,000 of them 2.5 s (2 cores).
_LAG = 20_000
_LAG_SHARE = 0.25
#: Fewer new documents than this are applied at once; more are prepared while searches go on.
_PREPARE = 32
#: Deletions and sequences that are remembered, for readers that lag behind.
_REMEMBERED = 200_000


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
        self.lock = lock
        self._gate = Gate()
        self._writing = threading.RLock()
        self._closed: str | None = None
        # Rows from here on are in some parts, and not in the records yet.
        self._hidden_from: int | None = None
        self._prepared: list[Change] = []
        self._lag = dict.fromkeys(parts, 0)
        # Parts that are to be made again, until they are.
        self._lost: set[str] = set()
        with records.pool.borrow() as connection:
            connection.execute("BEGIN")
            state = records.state(connection)
            for name, part in parts.items():
                self._verify(connection, name, part, state)
            made_again = any(part.sequence == 0 for part in parts.values())
            self.sequence = min((part.sequence for part in parts.values()), default=0)
            self._replay(connection, state, {name: part.sequence for name, part in parts.items()})
        _opened.add(self)
        if lock is not None and state.sequence and made_again:
            self.checkpoint()

    def _verify(
        self, connection: sqlite3.Connection, name: str, part: Derived, state: State
    ) -> None:
        """Forget a part that reflects other records than these; warn of one that is missing."""
        if part.sequence == 0:
            if part.damaged or not self.records.checkpoint(connection):
                return
            trouble = "is missing"
        elif part.sequence <= state.sequence and self.records.knows(connection, part.sequence):
            return
        else:
            trouble = "reflects other records than these"
            part.clear()
        warnings.warn(
            f"{name} {trouble} and is made again from the records", RebuildWarning, stacklevel=5
        )

    def _replay(self, connection: sqlite3.Connection, state: State, since: dict[str, int]) -> None:
        """Bring parts from the sequences that they reflect up to a state of the records."""
        for sequence in sorted(set(since.values()) - {state.sequence}):
            names = [name for name in since if since[name] == sequence]
            behind = [self.parts[name] for name in names]
            fields = frozenset().union(*(part.fields for part in behind))
            for changes in self.records.changes(
                connection, sequence, fields, _replay_size(self.records, fields)
            ):
                for part in behind:
                    # Not all of any batch is there before the end.
                    part.apply(changes, sequence)
                for name in names:
                    self._lag[name] += len(changes)
            for part in behind:
                part.apply([], state.sequence)
        self.sequence = state.sequence

    # Reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one state of records and parts, for as long as the block takes.

        Raises
        ------
        ClosedError
        """
        while True:
            self._refuse_closed()
            with self._gate.shared():
                self._refuse_closed()
                with self.records.pool.borrow() as connection:
                    connection.execute("BEGIN")
                    current = self.records.state(connection).sequence == self.sequence
                    if current and not self._torn():
                        yield connection
                        return
            self.catch_up()

    @property
    def hidden_from(self) -> int | None:
        """Rows from here on are not to be found yet; constant while `reading`."""
        return self._hidden_from

    def catch_up(self) -> None:
        """Reflect what the records hold by now."""
        self._refuse_closed()
        with self._gate.exclusive():
            self._refuse_closed()
            with self.records.pool.borrow() as connection:
                connection.execute("BEGIN")
                state = self.records.state(connection)
                self._lost |= self._torn()
                if state.sequence == self.sequence and not self._lost:
                    return
                if not self.records.knows(connection, self.sequence):
                    self._lost.update(self.parts)
                since = dict.fromkeys(self.parts, self.sequence)
                for name in self._lost:
                    self.parts[name].clear()
                    since[name] = 0
                self._replay(connection, state, since)
                self._lost.clear()

    def _torn(self) -> set[str]:
        """Parts that an interrupted call left halfway."""
        torn = {name for name, part in self.parts.items() if getattr(part, "torn", False)}
        return torn | self._lost

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off other writers of this process.

        Raises
        ------
        ClosedError, ReadOnlyError
        """
        self._refuse_closed()
        if self.lock is None:
            raise ReadOnlyError("the collection is open for reading")
        with self._writing:
            self._refuse_closed()
            yield

    def put(self, batch: Batch) -> None:
        """Write documents, all or none."""
        self._write(lambda state: self.records.put(batch, state))

    def remove(self, rows: Sequence[int]) -> None:
        """Delete the documents of rows, all or none."""
        self._write(lambda state: self.records.remove(rows, state))

    def _write(self, change: Callable[[State], tuple[State, list[Change]]]) -> None:
        with self.writing():
            self._withdraw()
            try:
                with self.records.transaction() as state:
                    if state.sequence != self.sequence or self._torn():
                        self.catch_up()
                    after, changes = change(state)
                    self._prepare([each for each in changes if each.row >= state.next_row])
                    with self._gate.exclusive():
                        self.records.commit()
                        # From here on the records hold the batch. Should a part fail, or
                        # Ctrl-C end this, `sequence` stays behind, and the next call replays.
                        self._prepared, self._hidden_from = [], None
                        for part in self.parts.values():
                            part.apply(changes, after.sequence)
                        self.sequence = after.sequence
            except BaseException:
                self._withdraw()
                raise
            for name in self._lag:
                self._lag[name] += len(changes)
            if max(self._lag.values(), default=0) > max(_LAG, _LAG_SHARE * after.next_row):
                self.checkpoint()

    def _prepare(self, new: list[Change]) -> None:
        """Take new rows into the parts that allow it, while searches go on without them."""
        if len(new) < _PREPARE:
            return
        with self._gate.exclusive():
            self._hidden_from = new[0].row
        self._prepared = new
        for part in self.parts.values():
            prepare: Callable[[list[Change]], None] | None = getattr(part, "prepare", None)
            if prepare is not None:
                prepare(new)

    def _withdraw(self) -> None:
        """Take out rows that were prepared for a write that came to nothing."""
        if not self._prepared:
            return
        gone = [Change(each.row, None) for each in self._prepared]
        with self._gate.exclusive():
            for part in self.parts.values():
                if hasattr(part, "prepare"):
                    part.apply(gone, self.sequence)
            self._prepared, self._hidden_from = [], None

    # Upkeep

    def checkpoint(self) -> None:
        """Make all parts durable as they are; searches go on meanwhile."""
        with self.writing():
            self._withdraw()
            self.catch_up()
            self._commit_parts()
            self.records.set_checkpoint(self.sequence)
            with self.records.pool.borrow() as connection:
                many = self.records.remembered(connection) > _REMEMBERED
            if many:
                self.records.forget(self.sequence)

    def _commit_parts(self) -> None:
        for name, part in self.parts.items():
            if part.sequence != self.sequence:
                part.commit()
            self._lag[name] = 0

    def compact(self) -> None:
        """Give back memory and disk space of what was replaced and deleted."""
        with self.writing():
            for part in self.parts.values():
                compact: Callable[[], None] | None = getattr(part, "compact", None)
                if compact is not None:
                    compact()
                    part.commit()
            self.checkpoint()
            self.records.forget(self.sequence)
            self.records.vacuum()

    def lag(self) -> dict[str, int]:
        """Changes that each part holds beyond its durable form."""
        # A search lets the keyword index become durable by itself.
        return {
            name: 0 if self.parts[name].sequence == self.sequence else behind
            for name, behind in self._lag.items()
        }

    # Closing

    def _refuse_closed(self) -> None:
        if self._closed is not None:
            raise ClosedError(self._closed)

    def close(self) -> None:
        """Make all parts durable and let go of the files.

        Raises
        ------
        StorageError
            A part could not be written. All is closed, and the records are complete.
        """
        if self._closed is not None:
            return
        with self._writing:
            if self._closed is not None:
                return
            trouble: list[Exception] = []
            if self.lock is not None:
                _attempt(self.checkpoint, trouble)
            with self._gate.exclusive():
                self._closed = "the collection is closed"
                for part in self.parts.values():
                    _attempt(part.close, trouble)
                _attempt(self.records.close, trouble)
                if self.lock is not None:
                    self.lock.close()
            _opened.discard(self)
        for error in trouble:
            if isinstance(error, AnnxError):
                raise error
            raise StorageError(f"a part could not be closed: {error}") from error

    def _abandon(self) -> None:
        """Be of no use in a child of `fork`, and do no harm to the parent."""
        self._closed = "the collection was opened before a fork; open it again in the child"
        if self.lock is not None:
            self.lock.close()
        # Closing SQLite's connections here would take the parent's file locks for the child's.
        _left_open.append(self.records)


def _attempt(step: Callable[[], None], trouble: list[Exception]) -> None:
    try:
        step()
    except Exception as error:
        trouble.append(error)


_opened: weakref.WeakSet[Store] = weakref.WeakSet()
_left_open: list[Any] = []


def _abandon_all() -> None:
    for store in list(_opened):
        store._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def _replay_size(records: Records, fields: frozenset[str]) -> int:
    """Documents to replay at a time."""
    vectors = records.schema.vectors
    row = sum(4 * vectors[name].dim if name in vectors else 1024 for name in fields)
    return max(1000, min(100_000, _REPLAY_BYTES // (row + 1024)))
