"""A folder that one reader works in, beside what it reads."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from annx.collection._lock import WriterLock
from annx.errors import LockedError, StorageError

_LOCK = "lock"


class PrivateFolder:
    """A folder that is gone with this process, or with the next call of `sweep`.

    It lies beside `path`, on the same file system, so that files can be linked into it; where
    that cannot be written to, among the temporary files.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        while True:
            self.path = _make(path)
            try:
                lock = WriterLock(self.path / _LOCK)
            except (LockedError, StorageError):
                continue  # swept away before it was locked
            self.close = weakref.finalize(self, _drop, self.path, lock)
            return


def sweep(path: Path) -> None:
    """Delete the private folders beside `path` of processes that have died."""
    for folder in path.parent.glob(f"{_prefix(path)}*"):
        try:
            lock = WriterLock(folder / _LOCK)
        except (LockedError, StorageError):
            continue
        _drop(folder, lock)


def _prefix(path: Path) -> str:
    return f".{path.name}-reader-"


def _make(path: Path) -> Path:
    for parent in (path.parent, None):
        try:
            return Path(tempfile.mkdtemp(prefix=_prefix(path), dir=parent))
        except OSError as error:
            last = error
    raise StorageError(last.errno, f"a reader finds no room for files of its own: {last}")


def _drop(folder: Path, lock: WriterLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
    # Windows keeps the file of a lock that is held.
    shutil.rmtree(folder, ignore_errors=True)
