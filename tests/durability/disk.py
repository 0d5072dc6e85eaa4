"""What a disk may hold after a loss of power, by the calls that were made before.

A write, a change of length and a change of a folder are on disk for certain once a sync of
that file or folder has returned. Until then any of them may be there or not, in any order, a
write by sectors of 512 bytes; of a write of a slot even by 16 bytes. A file that has grown may
have its new length and zeros in place of what was written.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from typing import Any

SECTOR, PART = 512, 16
#: Up to so many pieces that may be there or not, every combination is tried.
_ALL = 9
_SOME = 60


class File:
    """One file: what is on disk, and what may be."""

    def __init__(self, content: bytes = b"") -> None:
        self.synced = content
        self.pending: list[tuple[int, bytes] | int] = []  # pieces of writes, or new lengths

    def write(self, offset: int, data: bytes) -> None:
        unit = PART if len(data) <= 64 else SECTOR
        at = 0
        while at < len(data):
            end = min(len(data), (offset + at) // unit * unit + unit - offset)
            self.pending.append((offset + at, data[at:end]))
            at = end

    def sync(self) -> None:
        self.synced, self.pending = self.content(), []

    def content(self, chosen: list[tuple[int, bytes] | int] | None = None) -> bytes:
        """What is there if only the chosen pieces have come to disk; all by default."""
        data = bytearray(self.synced)
        for piece in self.pending if chosen is None else chosen:
            if isinstance(piece, int):
                del data[piece:]
                data += bytes(piece - len(data))
            else:
                offset, part = piece
                data += bytes(max(0, offset + len(part) - len(data)))
                data[offset : offset + len(part)] = part
        return bytes(data)

    def states(self, rng: random.Random) -> Iterator[bytes]:
        """Everything that may be there, or a sample of it that has all the simple ones."""
        n = len(self.pending)
        length = len(self.content())
        for kept in _subsets(n, rng):
            data = self.content([self.pending[i] for i in kept])
            yield data
            if len(data) < length:
                yield data + bytes(length - len(data))


def _subsets(n: int, rng: random.Random) -> Iterator[list[int]]:
    if n <= _ALL:
        for kept in itertools.product((False, True), repeat=n):
            yield [i for i in range(n) if kept[i]]
        return
    for i in range(n + 1):
        yield list(range(i))
        yield list(range(i, n))
    for i in range(n):
        yield [i]
        yield [j for j in range(n) if j != i]
    for _ in range(_SOME):
        share = rng.random()
        yield [i for i in range(n) if rng.random() < share]


class Disk:
    """A folder of which one file is looked at."""

    def __init__(self, path: str, content: bytes | None) -> None:
        self.path = path
        self._files: dict[int, File] = {}
        self._descriptors: dict[int, tuple[int | None, int]] = {}  # to file, and position
        self._next = 0
        self._now: dict[str, int] = {}  # names as running programs see them
        self._synced: dict[str, int] = {}
        self._pending: list[tuple[str, int | None]] = []
        if content is not None:
            self._synced[path] = self._now[path] = self._new(File(content))

    def _new(self, file: File) -> int:
        self._next += 1
        self._files[self._next] = file
        return self._next

    def call(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Take note of a call that has succeeded."""
        if name == "open":
            path = os.fspath(args[0])
            if path not in self._now and args[1] & os.O_CREAT:
                self._now[path] = self._new(File())
                self._pending.append((path, self._now[path]))
            self._descriptors[result] = (self._now.get(path), 0)
        elif name == "lseek":
            self._descriptors[args[0]] = (self._descriptors[args[0]][0], args[1])
        elif name == "write":
            number, position = self._descriptors[args[0]]
            self._files[number].write(position, args[1][:result])
            self._descriptors[args[0]] = (number, position + result)
        elif name == "ftruncate":
            self._files[self._descriptors[args[0]][0]].pending.append(args[1])
        elif name == "fsync":
            number = self._descriptors[args[0]][0]
            if number is None:
                self._synced, self._pending = dict(self._now), []
            else:
                self._files[number].sync()
        elif name == "replace":
            old, new = map(os.fspath, args)
            self._now[new] = self._now.pop(old)
            self._pending += [(new, self._now[new]), (old, None)]
        elif name == "unlink":
            self._now.pop(os.fspath(args[0]), None)
            self._pending.append((os.fspath(args[0]), None))

    def states(self, rng: random.Random) -> Iterator[bytes | None]:
        """What may be found under the path; None: nothing."""
        numbers = {self._synced.get(self.path)}
        numbers |= {number for name, number in self._pending if name == self.path}
        for number in sorted(numbers, key=lambda number: number or 0):
            if number is None:
                yield None
            else:
                yield from self._files[number].states(rng)
