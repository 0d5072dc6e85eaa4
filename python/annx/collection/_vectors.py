"""The index of a vector field, derived from the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx import _validate
from annx._filter import Filter
from annx._load import load
from annx._rows import to_rows
from annx.collection._derived import Change, FilePart, SequencedFile
from annx.collection._schema import VectorField
from annx.errors import FormatError
from annx.index import Index

#: Changes that are added to a file, instead of writing it whole: `load` makes them again, at some
#: 120 us each, and reads a row in 1.2 us (384 dimensions, 2 cores).
_LOG_ROWS, _LOG_SHARE = 500, 100


def new_index(field: VectorField, num_threads: int | None) -> Index:
    """Make the empty index of a field.

    Raises
    ------
    ParameterError
    """
    return Index(
        field.dim,
        field.metric,
        codec=field.codec,
        M=field.M,
        ef_construction=field.ef_construction,
        ef_search=field.ef_search,
        seed=field.seed,
        num_threads=num_threads,
    )


class VectorIndex(FilePart):
    """An `annx.Index` over one vector field, under the rows of the records.

    Parameters
    ----------
    folder : Path
    stem : str
        What the names of its files begin with.
    name : str
        The field.
    field : VectorField
    read_only : bool
    num_threads : int, optional
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        name: str,
        field: VectorField,
        *,
        read_only: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self.name = name
        self._field = field
        self._num_threads = num_threads
        super().__init__(SequencedFile(folder, stem, "annx", read_only=read_only), [name])
        loaded = self._load(self._read)
        self.index = new_index(field, num_threads) if loaded is None else loaded
        self._prepared: frozenset[int] = frozenset()
        # Changes that the index holds and its file does not.
        self._pending = 0

    def _read(self, path: Path) -> Index:
        index = load(path, num_threads=self._num_threads)
        if index.dim != self._field.dim or index.metric != self._field.metric:
            raise FormatError(
                f"expected {self._field.dim} x {self._field.metric}, "
                f"got {index.dim} x {index.metric}"
            )
        return index

    def check(self, rows: NDArray[Any]) -> None:
        """Refuse rows that the index would refuse.

        Raises
        ------
        DtypeError, NonFiniteError, ZeroVectorError
        """
        taken = to_rows(rows, self._field.dim, self.index._config.input_codec)
        _validate.refuse(self.index._core.find_bad_row(taken))

    def prepare(self, changes: Sequence[Change]) -> None:
        """Take in new rows that no search may return yet."""
        self._put(changes)
        self._prepared = frozenset(change.row for change in changes)

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Reflect changes, those that were prepared among them."""
        gone = [
            change.row
            for change in changes
            if change.document is None or change.document.get(self.name) is None
        ]
        if gone:
            rows = np.array(gone, np.int64)
            rows = rows[self.index._core.contains(rows)]
            if len(rows):
                self._pending += len(rows)
                self.index.remove(rows)
        self._put(
            [
                change
                for change in changes
                if self.name not in change.kept and change.row not in self._prepared
            ]
        )
        self._prepared = frozenset()
        self._applied = sequence

    def _put(self, changes: Sequence[Change]) -> None:
        rows, vectors = [], []
        for change in changes:
            vector = None if change.document is None else change.document.get(self.name)
            if vector is not None:
                rows.append(change.row)
                vectors.append(vector)
        if rows:
            self._pending += len(rows)
            self.index.add(np.stack(vectors), np.array(rows, np.int64), upsert=True)

    def commit(self) -> None:
        """Write the index to its file."""
        if not self._file.rename(self._durable, self._applied, self._bring):
            self._file.write(self._applied, self.index.save)
        self._durable = self._applied
        self._pending = 0

    def _bring(self, path: Path) -> None:
        if self._pending:
            few = max(_LOG_ROWS, len(self.index) // _LOG_SHARE)
            self.index.save(path, incremental=self._logged() + self._pending <= few)

    def _logged(self) -> int:
        """Changes, or so, that the file holds beside the index as it was written whole."""
        known = self.index._on_disk
        if known is None:
            return 0
        row = self._field.dim // 8 if self._field.metric == "hamming" else 4 * self._field.dim
        return max((tail.end - tail.base for tail in known.states), default=0) // row

    def clear(self) -> None:
        """Begin again with an empty index."""
        self._forget()
        self.index = new_index(self._field, self._num_threads)
        self._pending = 0

    def compact(self) -> None:
        """Give back the memory of removed rows."""
        self._pending += len(self.index)
        self.index.compact()

    def verify(self, rows: set[int], holding: Mapping[str, set[int]]) -> Iterator[str]:
        """Compare with the records: the rows that have each field; and examine the graph."""
        has, should = set(self.index.labels.tolist()), holding[self.name]
        if has != should:
            yield f"{len(should - has)} rows are missing, {len(has - should)} too many"
        report = self.index.check()
        if not report.ok:
            yield f"the graph is not sound: {report}"

    def close(self) -> None:
        """Let go of the index."""
        self.index = new_index(self._field, self._num_threads)

    def search(
        self,
        query: Any,
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        *,
        ef_search: int | None = None,
        recall: float | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the rows nearest to a query.

        Parameters
        ----------
        query : array_like of shape (dim,)
        k : int
        allowed : ndarray of bool, optional
            By row.
        ef_search, recall
            As for `annx.Index.search`.

        Returns
        -------
        rows : ndarray of at most k int64, best first
        scores : ndarray of float64
            The natural score of the metric: dot product, cosine, or the negated distance.
        """
        return self.planned_search(query, k, allowed, ef_search=ef_search, recall=recall)[:2]

    def planned_search(
        self,
        query: Any,
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        *,
        ef_search: int | None = None,
        recall: float | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
        """As `search`, and the plan that ran, as in `annx.SearchReport`."""
        index = self.index
        given = None if allowed is None else Filter.by_label(index, allowed)
        found: Any = index.search(
            query, k, ef_search=ef_search, recall=recall, filter=given, report=True
        )
        rows = found.labels[0]
        hits = rows >= 0
        scores = found.similarities[0][hits].astype(np.float64)
        return rows[hits], scores, str(found.report.plan[0])
