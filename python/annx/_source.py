"""Where the bytes of an index file come from."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annx import _sums
from annx._layout import Section
from annx.errors import FormatError

_Content = tuple[NDArray[Any], NDArray[np.uint32] | None]

#: Bytes that one thread reads and sums at a time, while a cache has them.
_PIECE = 16 * _sums.BLOCK


class Source(Protocol):
    """A file, wherever it is."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Read a few bytes, fewer at the end."""

    def array(self, section: Section, sums: bool) -> _Content:
        """Get a section that lies within `size`, with its blocks' checksums on demand.

        Raises
        ------
        FormatError
            The file ends before the section does.
        """


class Bytes:
    """A file that is in memory; arrays are views of it."""

    def __init__(self, data: bytes | memoryview, num_threads: int | None) -> None:
        self._view = memoryview(data).cast("B")
        self._num_threads = num_threads
        self.size = len(self._view)

    def read(self, offset: int, length: int) -> bytes:
        """See `Source`."""
        return bytes(self._view[offset : offset + length])

    def array(self, section: Section, sums: bool) -> _Content:
        """See `Source`."""
        array = np.frombuffer(self._view[section.offset : section.end], section.dtype)
        if not array.flags.aligned:
            array = array.copy()
        return array, _sums.of_blocks(array, self._num_threads) if sums else None


class File:
    """A file on disk, which is read."""

    def __init__(self, descriptor: int, num_threads: int | None) -> None:
        self._descriptor = descriptor
        self._num_threads = num_threads or os.cpu_count() or 1
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """See `Source`."""
        content = np.empty(max(min(length, self.size - offset), 0), np.uint8)
        self._fill(content, offset)
        return content.tobytes()

    def array(self, section: Section, sums: bool) -> _Content:
        """See `Source`."""
        array = np.empty(section.length // section.dtype.itemsize, section.dtype)
        content = array.view(np.uint8)
        found = np.empty(_sums.count_of_blocks(section.length) if sums else 0, np.uint32)

        def piece(start: int) -> None:
            part = content[start : start + _PIECE]
            if self._fill(part, section.offset + start) < len(part):
                raise FormatError(f"section {section.name!r}: truncated while it was read")
            if sums:
                first = start // _sums.BLOCK
                found[first : first + _PIECE // _sums.BLOCK] = _sums.of_blocks(part, 1)

        starts = range(0, section.length, _PIECE)
        if len(starts) > 1 and self._num_threads > 1:
            try:
                with ThreadPoolExecutor(min(self._num_threads, len(starts))) as pool:
                    for _ in pool.map(piece, starts):
                        pass
                starts = range(0)
            except RuntimeError:  # no room for the stack of a thread
                pass
        for start in starts:
            piece(start)
        return array, found if sums else None

    def _fill(self, content: NDArray[np.uint8], offset: int) -> int:
        """Read until `content` is full or the file ends; return how many bytes there were."""
        view = content.data
        done = 0
        while done < len(view):
            got = _read_into(self._descriptor, view[done:], offset + done)
            if got == 0:
                break
            done += got
        return done


if hasattr(os, "preadv"):

    def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
        return os.preadv(descriptor, [view], offset)

else:
    from threading import Lock

    _seeking = Lock()

    def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
        # Where there is no read at a place, the file's own position is everyone's.
        with _seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            content = os.read(descriptor, len(view))
        view[: len(content)] = content
        return len(content)
