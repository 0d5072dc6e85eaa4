"""The filter columns of a collection, derived from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from annx import _atomic
from annx.collection._derived import Change, SequencedFile
from annx.collection._schema import Schema
from annx.errors import FormatError
from annx.filters import Columns


class FilterColumns:
    """`annx.filters.Columns` under the rows of the records.

    Parameters
    ----------
    folder : Path
    schema : Schema
    read_only : bool
    """

    def __init__(self, folder: Path, schema: Schema, *, read_only: bool = False) -> None:
        # Texts are what keyword search is for: as columns they would take their size again.
        self._skip = frozenset((*schema.text, *schema.special, *schema.stored))
        self._file = SequencedFile(folder, "columns", "bin", read_only=read_only)
        loaded = self._file.load(self._read)
        self._durable, self.columns = (0, Columns(self._skip)) if loaded is None else loaded
        self._applied = self._durable
        self._changed = False

    def _read(self, path: Path) -> Columns:
        columns = Columns.from_bytes(path.read_bytes())
        if columns._skip != self._skip:
            raise FormatError(f"expected columns without {sorted(self._skip)}")
        return columns

    @property
    def fields(self) -> frozenset[str]:
        """Vector and sparse fields that this is made of: none."""
        return frozenset()

    @property
    def damaged(self) -> bool:
        """Whether the file was damaged."""
        return self._file.damaged

    @property
    def torn(self) -> bool:
        """Whether an interrupted call left the columns halfway."""
        return self.columns.torn

    @property
    def sequence(self) -> int:
        """The last change that the file reflects."""
        return self._durable

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Reflect changes."""
        put = [(change.row, change.document) for change in changes if change.document is not None]
        gone = [change.row for change in changes if change.document is None]
        if put:
            self.columns.upsert([row for row, _ in put], [document for _, document in put])
        if gone:
            self.columns.remove(gone)
        self._changed = self._changed or bool(changes)
        self._applied = sequence

    def commit(self) -> None:
        """Write the columns to their file.

        Raises
        ------
        StorageError
        """
        if self._changed or not self._file.rename(self._durable, self._applied):
            data = self.columns.to_bytes()
            self._file.write(
                self._applied, lambda path: _atomic.write(path, lambda file: file.write(data))
            )
        self._durable = self._applied
        self._changed = False

    def clear(self) -> None:
        """Begin again with no columns."""
        self._file.drop()
        self.columns = Columns(self._skip)
        self._durable = self._applied = 0
        self._changed = True

    def verify(self, rows: set[int], holding: Mapping[str, set[int]]) -> Iterator[str]:
        """Compare with the records: which rows there are."""
        has = set(np.flatnonzero(self.columns.live).tolist())
        if has != rows:
            yield f"{len(rows - has)} rows are missing, {len(has - rows)} too many"

    def size(self) -> int:
        """Bytes on disk."""
        return self._file.size()

    def close(self) -> None:
        """Let go of the columns."""
        self.columns = Columns(self._skip)
