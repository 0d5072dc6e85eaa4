"""The filter columns of a collection, derived from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from annx.collection._derived import Change, FilePart, SequencedFile
from annx.collection._schema import Schema
from annx.errors import FormatError
from annx.filters import Columns


class FilterColumns(FilePart):
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
        super().__init__(SequencedFile(folder, "columns", "bin", read_only=read_only))
        loaded = self._load(self._read)
        self.columns = Columns(self._skip) if loaded is None else loaded
        self._changed = False

    def _read(self, path: Path) -> Columns:
        columns = Columns.from_bytes(path.read_bytes())
        if columns._skip != self._skip:
            raise FormatError(f"expected columns without {sorted(self._skip)}")
        return columns

    @property
    def torn(self) -> bool:
        """Whether an interrupted call left the columns halfway."""
        return self.columns.torn

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
        self._write(self._changed, self.columns.to_bytes)
        self._changed = False

    def clear(self) -> None:
        """Begin again with no columns."""
        self._forget()
        self.columns = Columns(self._skip)
        self._changed = True

    def verify(self, rows: set[int], holding: Mapping[str, set[int]]) -> Iterator[str]:
        """Compare with the records: which rows there are."""
        has = set(np.flatnonzero(self.columns.live).tolist())
        if has != rows:
            yield f"{len(rows - has)} rows are missing, {len(has - rows)} too many"

    def close(self) -> None:
        """Let go of the columns."""
        self.columns = Columns(self._skip)
