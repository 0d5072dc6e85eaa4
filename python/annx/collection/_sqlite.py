"""Connections to the file of records."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from annx.errors import StorageError

#: What a write that returned survives: see `Collection.open`.
DURABILITY = {"power": "FULL", "process": "NORMAL", "none": "OFF"}

_BUSY_MS = 10_000
#: Pages of 8 kB: a vector of 384 float32 wastes a twentieth of one, and a quarter of 4 kB.
_PAGE = 8192
#: The write-ahead log is moved into the file when it has so many pages, some 64 MB. A batch of
#: a thousand documents with vectors is some 3 MB, which SQLite would move at once by default.
_CHECKPOINT_PAGES = 8192


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Raise `StorageError` for what SQLite raises."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # Of a damaged file even the names in its messages may be no text.
        raise StorageError(f"{path}: {error}") from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time.

    Parameters
    ----------
    path : Path
    mode : {"rwc", "rw", "ro", "immutable"}
    """
    query = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{query}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_MS / 1000,
    )
    connection.execute("PRAGMA mmap_size = 1073741824")
    return connection


def connect_writer(path: Path, durability: str, create: bool) -> sqlite3.Connection:
    """Open the connection that writes."""
    connection = connect(path, "rwc" if create else "rw")
    try:
        if create:
            connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute(f"PRAGMA synchronous = {DURABILITY[durability]}")
        connection.execute("PRAGMA journal_mode = WAL")
        if sys.platform == "darwin" and durability == "power":
            # There fsync alone leaves data in the drive's cache.
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_PAGE * _CHECKPOINT_PAGES}")
        connection.execute("PRAGMA cache_size = -65536")
    except BaseException:
        connection.close()
        raise
    return connection


class Pool:
    """Connections that read, as many as threads use at the same time."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._mode = mode
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to one thread.

        Raises
        ------
        StorageError
            For what SQLite raises meanwhile.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            with guarded(self._path):
                connection = connect(self._path, self._mode)
        try:
            with guarded(self._path):
                yield connection
        finally:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            with self._lock:
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    def close(self) -> None:
        """Close those that are not lent out; the others follow when they come back."""
        with self._lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
