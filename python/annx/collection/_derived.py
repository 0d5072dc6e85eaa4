"""What is made from the records and can be made again: indexes, columns, postings.

The records decide. A derived part holds what it makes of them in memory, and a durable form
that says up to which sequence it goes; what it lacks is replayed to it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from annx import _atomic
from annx.errors import ConflictError, FormatError, RebuildWarning, StorageError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Change:
    """One document put or taken away.

    Attributes
    ----------
    row : int
    document : mapping or None
        The whole document; vectors as arrays, sparse vectors as pairs (indices, values),
        dates as text. None: deleted.
    kept : frozenset of str
        Fields, of vectors, text or sparse vectors, that hold what this row held before
        this change. A part may skip them.
    """

    row: int
    document: Mapping[str, Any] | None
    kept: frozenset[str] = frozenset()


class Derived(Protocol):
    """A part of a collection that is made from its records.

    Attributes
    ----------
    fields : frozenset of str
        Vector and sparse fields that it is made of. Others may be missing in the documents
        of changes that are replayed.
    """

    @property
    def fields(self) -> frozenset[str]: ...

    @property
    def sequence(self) -> int:
        """The last change that the durable form reflects."""
        ...

    @property
    def damaged(self) -> bool:
        """Whether a durable form was there that is of no use; its own warning says so."""
        ...

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Reflect changes, for later searches of this process.

        Rows of one call are distinct. Applying again what was applied changes nothing.
        """
        ...

    def commit(self) -> None:
        """Make durable what was applied, together with its sequence."""
        ...

    def clear(self) -> None:
        """Forget everything; sequence 0."""
        ...

    def size(self) -> int:
        """Bytes on disk."""
        ...

    def close(self) -> None:
        """Let go of files, without `commit`."""
        ...


class Preparing(Derived, Protocol):
    """A part whose new rows can be taken in before anybody may see them."""

    def prepare(self, changes: Sequence[Change]) -> None:
        """Take in rows that are new, while searches go on.

        Those searches are given an `allowed` that leaves the rows out. `apply` follows with
        the same changes, or with deletions where the write came to nothing.
        """
        ...


class Retriever(Protocol):
    """A part that finds rows."""

    def search(
        self, query: Any, k: int, allowed: NDArray[np.bool_] | None, **options: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return rows, best first, and their natural scores, higher is better.

        Parameters
        ----------
        query : object
        k : int
        allowed : ndarray of bool or None
            By row; beyond its end nothing is allowed.
        """
        ...


class SequencedFile:
    """A file whose name says which sequence it reflects: ``stem.sequence.suffix``.

    Contents and sequence cannot come apart that way, whenever a process is killed.
    """

    def __init__(self, folder: Path, stem: str, suffix: str, *, read_only: bool) -> None:
        self._folder = folder
        self._stem = stem
        self._suffix = suffix
        self._read_only = read_only
        #: Whether a file was there and was not whole.
        self.damaged = False
        self._pattern = re.compile(rf"{re.escape(stem)}\.(\d{{1,19}})\.{re.escape(suffix)}")

    def _found(self) -> list[tuple[int, Path]]:
        matches = ((self._pattern.fullmatch(p.name), p) for p in self._folder.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match)

    def load(self, read: Callable[[Path], _T]) -> tuple[int, _T] | None:
        """Read the newest file that is whole; warn of those that are not.

        Parameters
        ----------
        read : callable
            Raises `FormatError` for a damaged file.
        """
        seen: set[Path] = set()
        while True:
            left = [(sequence, path) for sequence, path in self._found() if path not in seen]
            if not left:
                return None
            sequence, path = left[-1]
            try:
                return sequence, read(path)
            except FileNotFoundError:
                # The writer has put a newer one in its place since the listing.
                seen.add(path)
            except FormatError as error:
                seen.add(path)
                self.damaged = True
                warnings.warn(
                    f"{path.name} is damaged and is made again from the records: {error}",
                    RebuildWarning,
                    stacklevel=2,
                )

    def write(self, sequence: int, write: Callable[[Path], object]) -> None:
        """Write the file of a sequence, whole or not at all, and drop the others.

        Parameters
        ----------
        sequence : int
        write : callable
            Writes the file at a path, atomically.

        Raises
        ------
        StorageError
        """
        path = self._folder / f"{self._stem}.{sequence}.{self._suffix}"
        try:
            write(path)
        except OSError as error:
            raise StorageError(error.errno, f"cannot write {path}: {error}") from error
        self._drop(path)

    def rename(
        self, old: int, new: int, bring: Callable[[Path], object] = lambda path: None
    ) -> bool:
        """Let the file of one sequence be that of another; tell whether it is.

        Parameters
        ----------
        old, new : int
        bring : callable
            Brings the file up to the new sequence, whole or not at all. Killed before the
            name says so, it is brought there again by replay.
        """
        path = self._folder / f"{self._stem}.{old}.{self._suffix}"
        try:
            if not path.exists():
                return False
            bring(path)
            path.rename(path.with_name(f"{self._stem}.{new}.{self._suffix}"))
        except (OSError, ConflictError):
            return False
        return True

    def drop(self) -> None:
        """Delete all files."""
        self._drop(None)

    def _drop(self, but: Path | None) -> None:
        if self._read_only:
            return
        for _, path in self._found():
            if path != but:
                try:
                    path.unlink()
                except OSError:
                    # Windows keeps what a reader has mapped; the next write tries again.
                    continue

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for _, path in self._found():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total


class FilePart:
    """What parts that are one `SequencedFile` have in common.

    Parameters
    ----------
    file : SequencedFile
    fields : iterable of str
        Vector and sparse fields that it is made of.
    """

    def __init__(self, file: SequencedFile, fields: Iterable[str] = ()) -> None:
        self._file = file
        self._fields = frozenset(fields)
        self._durable = self._applied = 0

    @property
    def fields(self) -> frozenset[str]:
        """Vector and sparse fields that this is made of."""
        return self._fields

    @property
    def damaged(self) -> bool:
        """Whether the file was damaged."""
        return self._file.damaged

    @property
    def sequence(self) -> int:
        """The last change that the file reflects."""
        return self._durable

    def size(self) -> int:
        """Bytes on disk."""
        return self._file.size()

    def _load(self, read: Callable[[Path], _T]) -> _T | None:
        """Read the file; None where there is none that is whole."""
        loaded = self._file.load(read)
        if loaded is None:
            return None
        self._durable = self._applied = loaded[0]
        return loaded[1]

    def _write(self, changed: bool, data: Callable[[], bytes]) -> None:
        """Let the file reflect what was applied; with other contents if that `changed` any."""
        if changed or not self._file.rename(self._durable, self._applied):
            contents = data()
            self._file.write(
                self._applied, lambda path: _atomic.write(path, lambda file: file.write(contents))
            )
        self._durable = self._applied

    def _forget(self) -> None:
        """Drop the file."""
        self._file.drop()
        self._durable = self._applied = 0
