"""One writer at a time, among all processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from annx.errors import LockedError, StorageError

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        # flock, not lockf: a second object of the same process must be refused as well.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """A lock on a file, which the system lets go of when its process ends.

    Raises
    ------
    LockedError
        Somebody else holds it.
    StorageError
        The file cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StorageError(error.errno, f"cannot lock for writing: {error}") from error
        try:
            _take(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            raise LockedError(
                f"{path.parent} is open for writing elsewhere; open it with read_only=True"
            ) from None

    def close(self) -> None:
        """Let go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
