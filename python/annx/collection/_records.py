"""Documents in SQLite: what a collection holds, and from which all else can be made again."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annx.collection._derived import Change
from annx.collection._documents import Batch
from annx.collection._schema import ID, Schema
from annx.collection._sqlite import Pool, connect, connect_writer, guarded
from annx.errors import StorageError

_APPLICATION = 0x616E6E78  # "annx"
_FORMAT = 1
# Parameters of one statement; SQLite before 3.32 takes no more than 999.
_MANY = 500
_WORD = 0xFFFFFFFF

_TABLES = (
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, "
    "next_row INTEGER NOT NULL, forgotten INTEGER NOT NULL)",
    "CREATE TABLE documents(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    "sequence INTEGER NOT NULL, crc INTEGER NOT NULL, payload TEXT NOT NULL)",
    "CREATE INDEX documents_sequence ON documents(sequence)",
    "CREATE TABLE deleted(row INTEGER PRIMARY KEY, sequence INTEGER NOT NULL)",
    "CREATE INDEX deleted_sequence ON deleted(sequence)",
    "CREATE TABLE batches(sequence INTEGER PRIMARY KEY)",
    "INSERT INTO state VALUES (1, 0, 0, 0)",
)
_FIELD_TABLE = "(row INTEGER PRIMARY KEY, crc INTEGER NOT NULL, value BLOB NOT NULL)"


class State(NamedTuple):
    """Where the records are.

    Attributes
    ----------
    sequence : int
        Of the last batch; 0 before the first.
    next_row : int
    forgotten : int
        Deletions up to this sequence are no longer known.
    """

    sequence: int
    next_row: int
    forgotten: int


class Records:
    """The file of records.

    Reading methods take a connection, so that several reads see one state.
    """

    def __init__(self, path: Path, durability: str, *, read_only: bool) -> None:
        self.path = path
        self._writer: sqlite3.Connection | None = None
        with guarded(path):
            mode = "ro"
            if read_only:
                mode = self._reading_mode()
            else:
                self._writer = connect_writer(path, durability, create=False)
        self.pool = Pool(path, mode)
        try:
            with self.pool.borrow() as connection:
                self.schema = self._read_schema(connection)
        except BaseException:
            self.close()
            raise
        self._tables = _tables(self.schema)

    def _read_schema(self, connection: sqlite3.Connection) -> Schema:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION:
            raise StorageError(f"{self.path} is not a collection's file of records")
        if version != _FORMAT:
            raise StorageError(f"{self.path}: expected format {_FORMAT}, got {version}")
        query = "SELECT value FROM settings WHERE name = 'schema'"
        found = connection.execute(query).fetchone()
        if found is None or not isinstance(found[0], str):
            raise StorageError(f"{self.path}: the settings are missing")
        return Schema.loads(found[0])

    def _reading_mode(self) -> str:
        """How to open for reading: a folder that cannot be written takes no shared memory."""
        try:
            probe = connect(self.path, "ro")
            try:
                probe.execute("SELECT 1 FROM state").fetchone()
            finally:
                probe.close()
            return "ro"
        except sqlite3.OperationalError:
            if self.path.with_name(self.path.name + "-wal").exists():
                raise
            return "immutable"

    @staticmethod
    def create(path: Path, schema: Schema, durability: str) -> None:
        """Write the file of an empty collection, whole or not at all.

        Raises
        ------
        StorageError
        """
        new = path.with_name(path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            with guarded(path):
                connection = connect_writer(new, durability, create=True)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    for statement in _TABLES:
                        connection.execute(statement)
                    for table in _tables(schema).values():
                        connection.execute(f"CREATE TABLE {table}{_FIELD_TABLE}")
                    connection.execute(
                        "INSERT INTO settings VALUES ('schema', ?)", [schema.dumps()]
                    )
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_FORMAT}")
                    connection.execute("COMMIT")
                finally:
                    connection.close()
            os.replace(new, path)
        except OSError as error:
            raise StorageError(error.errno, f"cannot create {path}: {error}") from error

    # Reading

    def state(self, connection: sqlite3.Connection) -> State:
        """Read where the records are."""
        row = connection.execute("SELECT sequence, next_row, forgotten FROM state").fetchone()
        if row is None or not all(isinstance(each, int) for each in row):
            raise StorageError(f"{self.path}: the sequence is damaged")
        return State(*row)

    def knows(self, connection: sqlite3.Connection, sequence: int) -> bool:
        """Whether a sequence is one of these records', and what came after it is known."""
        if sequence == 0:
            return self.state(connection).forgotten == 0
        query = "SELECT 1 FROM batches WHERE sequence = ?"
        return connection.execute(query, [sequence]).fetchone() is not None

    def checkpoint(self, connection: sqlite3.Connection) -> int:
        """Read the sequence at which all derived parts were last made durable; 0: never."""
        query = "SELECT value FROM settings WHERE name = 'checkpoint'"
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    def count(self, connection: sqlite3.Connection) -> int:
        """Count the documents."""
        return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])

    def remembered(self, connection: sqlite3.Connection) -> int:
        """Count the deletions and batches that are known for parts that lag behind."""
        query = "SELECT (SELECT count(*) FROM deleted) + (SELECT count(*) FROM batches)"
        return int(connection.execute(query).fetchone()[0])

    def integrity(self, connection: sqlite3.Connection) -> list[str]:
        """Say what SQLite finds wrong with the file."""
        found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else [f"records: {text}" for text in found]

    def rows_of(self, connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, int]:
        """Find the rows of those ids that are there."""
        found: dict[str, int] = {}
        for some in _chunks(ids):
            query = f"SELECT id, row FROM documents WHERE id IN ({_marks(some)})"
            found.update(connection.execute(query, some))
        return found

    def documents(
        self,
        connection: sqlite3.Connection,
        rows: Iterable[int],
        fields: Iterable[str] = (),
    ) -> dict[int, dict[str, Any]]:
        """Read the documents of those rows that are there.

        Parameters
        ----------
        connection : Connection
        rows : iterable of int
        fields : iterable of str
            Vector and sparse fields to read as well; others are in the payload.

        Raises
        ------
        StorageError
            A record is damaged.
        """
        found: dict[int, dict[str, Any]] = {}
        fields = [name for name in fields if name in self._tables]
        for some in _chunks([int(row) for row in rows]):
            query = f"SELECT row, id, crc, payload FROM documents WHERE row IN ({_marks(some)})"
            for row, id, crc, payload in connection.execute(query, some):
                found[row] = self._document(row, id, crc, payload)
            for name in fields:
                query = f"SELECT row, crc, value FROM {self._tables[name]} "
                query += f"WHERE row IN ({_marks(some)})"
                for row, crc, value in connection.execute(query, some):
                    if row in found:
                        found[row][name] = self._value(name, row, crc, value)
        return found

    def scan(
        self, connection: sqlite3.Connection, after_row: int, limit: int, fields: Iterable[str] = ()
    ) -> list[tuple[int, dict[str, Any]]]:
        """Read the next documents in order of insertion."""
        query = "SELECT row FROM documents WHERE row > ? ORDER BY row LIMIT ?"
        rows = [row for (row,) in connection.execute(query, [after_row, limit])]
        return self.existing(connection, rows, fields)

    def existing(
        self, connection: sqlite3.Connection, rows: Sequence[int], fields: Iterable[str] = ()
    ) -> list[tuple[int, dict[str, Any]]]:
        """Read the documents of rows that have to be there, in their order.

        Raises
        ------
        StorageError
            A record is damaged or missing.
        """
        found = self.documents(connection, rows, fields)
        for row in rows:
            if row not in found:
                raise StorageError(f"{self.path}: the record of row {row} is missing")
        return [(row, found[row]) for row in rows]

    def changes(
        self, connection: sqlite3.Connection, after: int, fields: Iterable[str], size: int
    ) -> Iterator[list[Change]]:
        """Read all changes after a sequence, `size` at a time; a row comes once."""
        fields = list(fields)
        query = "SELECT row FROM deleted WHERE sequence > ?"
        gone = [Change(row, None) for (row,) in connection.execute(query, [after])]
        query = "SELECT row FROM documents WHERE sequence > ? ORDER BY row"
        rows = [row for (row,) in connection.execute(query, [after])]
        if gone:
            yield gone
        for some in _chunks(rows, size):
            yield [Change(*pair) for pair in self.existing(connection, some, fields)]

    def _document(self, row: int, id: str, crc: int, payload: str) -> dict[str, Any]:
        # A damaged page may hold any type of value.
        whole = isinstance(id, str) and isinstance(payload, str)
        if not whole or crc != _crc_of(row, id, payload):
            raise StorageError(f"{self.path}: the record of document {id!r} (row {row}) is damaged")
        return {ID: id, **json.loads(payload)}

    def _value(self, name: str, row: int, crc: int, value: bytes) -> Any:
        settings = self.schema.vectors.get(name)
        if not isinstance(value, bytes) or crc != zlib.crc32(value, row & _WORD):
            raise StorageError(f"{self.path}: field {name!r} of row {row} is damaged")
        if settings is not None:
            return np.frombuffer(value, np.dtype(settings.dtype).newbyteorder("<"))
        half = len(value) // 2
        return np.frombuffer(value[:half], "<u4"), np.frombuffer(value[half:], "<f4")

    # Writing: inside a `transaction`, by one thread

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection that writes."""
        assert self._writer is not None
        return self._writer

    @contextmanager
    def transaction(self) -> Iterator[State]:
        """Write a batch: what the block does until it calls `commit`, or nothing."""
        with guarded(self.path):
            self._begin()
            try:
                yield self.state(self.writer)
            finally:
                if self.writer.in_transaction:
                    self.writer.execute("ROLLBACK")

    def _begin(self) -> None:
        if self.writer.in_transaction:
            # Ctrl-C may come between any two lines, those that end a transaction among them.
            self.writer.execute("ROLLBACK")
        self.writer.execute("BEGIN IMMEDIATE")

    def put(self, batch: Batch, state: State) -> tuple[State, list[Change]]:
        """Write documents, new ones and others; return what will be after the batch."""
        connection = self.writer
        sequence = _following(state.sequence)
        taken = self.rows_of(connection, batch.ids)
        old = dict(self.existing(connection, list(taken.values()), self.schema.special))
        next_row = state.next_row
        inserted, updated = [], []
        changes = []
        for id, payload, document in zip(batch.ids, batch.payloads, batch.documents, strict=True):
            row = taken.get(id)
            new = row is None
            if row is None:
                row, next_row = next_row, next_row + 1
            crc = _crc_of(row, id, payload)
            if new:
                inserted.append((row, id, sequence, crc, payload))
                changes.append(Change(row, document))
            else:
                updated.append((sequence, crc, payload, row))
                changes.append(Change(row, document, self._kept(old[row], document)))
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", inserted)
        query = "UPDATE documents SET sequence = ?, crc = ?, payload = ? WHERE row = ?"
        connection.executemany(query, updated)
        for name, table in self._tables.items():
            self._put_field(name, table, changes)
        after = State(sequence, next_row, state.forgotten)
        self._advance(after)
        return after, changes

    def _kept(self, old: Mapping[str, Any], document: Mapping[str, Any]) -> frozenset[str]:
        names = (*self.schema.vectors, *self.schema.text, *self.schema.sparse)
        return frozenset(name for name in names if _equal(old.get(name), document.get(name)))

    def _put_field(self, name: str, table: str, changes: list[Change]) -> None:
        values, missing = [], []
        dense = name in self.schema.vectors
        dtype = np.dtype(self.schema.vectors[name].dtype).newbyteorder("<") if dense else None
        for change in changes:
            if name in change.kept:
                continue
            assert change.document is not None
            value = change.document.get(name)
            if value is None:
                missing.append((change.row,))
                continue
            if dense:
                data = value.astype(dtype, copy=False).tobytes()
            else:
                data = value[0].astype("<u4").tobytes() + value[1].astype("<f4").tobytes()
            values.append((change.row, zlib.crc32(data, change.row & _WORD), data))
        connection = self.writer
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", values)
        connection.executemany(f"DELETE FROM {table} WHERE row = ?", missing)

    def remove(self, rows: Sequence[int], state: State) -> tuple[State, list[Change]]:
        """Delete documents; return what will be after the batch."""
        connection = self.writer
        sequence = _following(state.sequence)
        each = [(row,) for row in rows]
        for table in ("documents", *self._tables.values()):
            connection.executemany(f"DELETE FROM {table} WHERE row = ?", each)
        pairs = [(row, sequence) for row in rows]
        connection.executemany("INSERT INTO deleted VALUES (?, ?)", pairs)
        after = state._replace(sequence=sequence)
        self._advance(after)
        return after, [Change(row, None) for row in rows]

    def _advance(self, state: State) -> None:
        self.writer.execute("INSERT INTO batches VALUES (?)", [state.sequence])
        query = "UPDATE state SET sequence = ?, next_row = ?, forgotten = ?"
        self.writer.execute(query, state)

    def commit(self) -> None:
        """End a batch: it is there, and stays."""
        self.writer.execute("COMMIT")

    def set_checkpoint(self, sequence: int) -> None:
        """Note that all derived parts are durable."""
        with guarded(self.path):
            query = "INSERT OR REPLACE INTO settings VALUES ('checkpoint', ?)"
            self.writer.execute(query, [str(sequence)])

    def forget(self, before: int) -> None:
        """Drop what only parts behind a sequence would need."""
        connection = self.writer
        with guarded(self.path):
            self._begin()
            connection.execute("DELETE FROM deleted WHERE sequence <= ?", [before])
            connection.execute("DELETE FROM batches WHERE sequence < ?", [before])
            connection.execute("UPDATE state SET forgotten = ?", [before])
            connection.execute("COMMIT")

    def vacuum(self) -> None:
        """Give the space of what was deleted back to the file system."""
        with guarded(self.path):
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            self.writer.execute("VACUUM")
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self.pool.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tables(schema: Schema) -> dict[str, str]:
    """Name the table of each vector and sparse field; names of fields stay out of SQL."""
    return {name: f"field_{n}" for n, name in enumerate((*schema.vectors, *schema.sparse))}


def _following(sequence: int) -> int:
    # Not by one: that another history, such as a backup that was written to, has the
    # sequence of a derived part as well has a chance of one in a million.
    return sequence + 1 + secrets.randbelow(1 << 20)


def _crc_of(row: int, id: str, payload: str) -> int:
    # With the row: a damaged page may hold a record under another one.
    return zlib.crc32(payload.encode(), zlib.crc32(id.encode(), row & _WORD))


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return old.tobytes() == new.tobytes()
    if isinstance(old, tuple) and isinstance(new, tuple):
        return all(a.tobytes() == b.tobytes() for a, b in zip(old, new, strict=True))
    return type(old) is type(new) and isinstance(old, str | None) and old == new


def _chunks(values: Sequence[Any], size: int = _MANY) -> Iterator[Sequence[Any]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
