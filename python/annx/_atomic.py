"""Files that are there whole or not at all, and changes to files that are on disk or refused.

Every call that touches a disk goes through `os`, one call an operation, so that a test can
stand in for each of them (tests/durability/).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Bytes a call: Linux takes 2 GB at most, and a Ctrl-C need not wait for all of them.
_PIECE = 1 << 26
# Where Windows locks, far behind the end of any file: there a lock keeps readers out too.
_LOCKED_BYTE = 1 << 62
_TOKEN = 8


class Output:
    """A binary file that writes all it is given, over one that may write a part.

    Parameters
    ----------
    write : callable
        Takes bytes, and returns how many of them it has written.
    """

    def __init__(self, write: Callable[[memoryview], int]) -> None:
        self._write = write

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view):
            count = self._write(view[written : written + _PIECE])
            if not count:
                raise OSError(errno.EIO, "nothing more can be written")
            written += count
        return written


def to_descriptor(descriptor: int) -> BinaryIO:
    """Write to an open descriptor."""
    return cast(BinaryIO, Output(lambda data: os.write(descriptor, data)))


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at a place."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    to_descriptor(descriptor).write(data)


def sync(descriptor: int) -> None:
    """Wait until a file is on disk.

    Never to be tried again after it failed: what could not be written may be forgotten by
    then, and the next call succeed without it.
    """
    full = None if sys.platform == "win32" else getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
    else:
        # What macOS calls fsync leaves the data in the drive's own cache.
        fcntl.fcntl(descriptor, full)


def lock(descriptor: int) -> bool:
    """Take the one writer's lock of an open file; it ends with the descriptor.

    Returns
    -------
    bool
        Whether nobody else has it.

    Raises
    ------
    OSError
        The file system has no locks.
    """
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have every OSError name this path: others name none, or a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = os.fspath(path)
            del error.filename2
        raise


def write(path: str | os.PathLike[str], content: Callable[[BinaryIO], object]) -> None:
    """Write a file by what `content` puts into it; an older one stays until then.

    Raises
    ------
    OSError
        Names the path. The older file is unharmed, and nothing is left beside it; unless
        it was the folder that could not be synced, when the new file is there but may not
        outlive a loss of power.
    """
    with named(path):
        # A link stays a link; what it points to is replaced.
        target = Path(os.path.realpath(path))
        mode = None
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(target)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
            mode = stat.S_IMODE(found.st_mode)
        # Opened first: a folder that cannot be synced is found out before anything changes.
        folder = os.open(target.parent, os.O_RDONLY | BINARY) if os.name == "posix" else None
        try:
            _remove_leftovers(target)
            _replace(target, content, mode)
            if folder is not None:
                _sync_folder(folder)
        finally:
            if folder is not None:
                os.close(folder)


def _replace(target: Path, content: Callable[[BinaryIO], object], mode: int | None) -> None:
    temporary, descriptor = _create(target, 0o666 if mode is None else 0o600)
    try:
        try:
            content(to_descriptor(descriptor))
            if mode is not None and os.name == "posix":
                os.fchmod(descriptor, mode)
            sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _create(target: Path, mode: int) -> tuple[Path, int]:
    """Create a locked temporary file: its lock tells that its writer lives."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(_TOKEN)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode)
        try:
            with contextlib.suppress(OSError):  # no locks: nobody clears up
                lock(descriptor)
            # Whoever clears up may have come between the two calls.
            if os.name != "posix" or os.fstat(descriptor).st_nlink:
                return temporary, descriptor
            os.close(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files whose writer was killed."""
    start, end = f".{target.name}.", ".tmp"
    length = len(start) + 2 * _TOKEN + len(end)
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            name = entry.name
            if len(name) == length and name.startswith(start) and name.endswith(end):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    if os.name != "posix":
        os.unlink(path)  # fails while somebody has it open
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | BINARY)
    try:
        if lock(descriptor):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _sync_folder(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot; the file itself is on disk by now.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
