"""The index of a sparse field: exact inner products over postings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.collection._derived import Change, FilePart, SequencedFile
from annx.collection._documents import sparse_vector
from annx.collection._postings import Postings
from annx.errors import FormatError

_MOST_PARTS = 8


class SparseIndex(FilePart):
    """Sparse vectors, such as SPLADE's, of one field.

    Rows are in a few `Postings`. When there are too many, those are joined that the ones after
    them together outweigh, so that a row is copied some log(n) times at most.

    Parameters
    ----------
    folder : Path
    stem : str
        What the names of its files begin with.
    name : str
        The field.
    read_only : bool
    """

    def __init__(self, folder: Path, stem: str, name: str, *, read_only: bool = False) -> None:
        self.name = name
        super().__init__(SequencedFile(folder, stem, "sparse", read_only=read_only), [name])
        loaded = self._load(_read)
        self._parts: list[Postings] = [] if loaded is None else [loaded]
        self._changed = False

    def apply(self, changes: Sequence[Change], sequence: int) -> None:
        """Reflect changes."""
        changes = [change for change in changes if self.name not in change.kept]
        if changes:
            gone = np.array([change.row for change in changes], np.int64)
            for part in self._parts:
                part.drop(gone)
            self._changed = True
        rows, vectors = [], []
        for change in changes:
            vector = None if change.document is None else change.document.get(self.name)
            if vector is not None and len(vector[0]):
                rows.append(change.row)
                vectors.append(vector)
        if rows:
            made = Postings.build(
                np.array(rows, np.int64),
                np.array([len(indices) for indices, _ in vectors], np.int64),
                np.concatenate([indices for indices, _ in vectors]),
                np.concatenate([weights for _, weights in vectors]),
            )
            self._parts = _joined([*self._parts, made])
        self._applied = sequence

    def commit(self) -> None:
        """Write the postings to their file."""
        self._write(self._changed, self._joined_bytes)
        self._changed = False

    def _joined_bytes(self) -> bytes:
        self._parts = [Postings.join(self._parts)]
        return self._parts[0].to_bytes()

    def clear(self) -> None:
        """Begin again with nothing."""
        self._forget()
        self._parts = []
        self._changed = True

    def compact(self) -> None:
        """Give back the memory of replaced and removed rows."""
        self._parts = [Postings.join(self._parts)]

    def verify(self, rows: set[int], holding: Mapping[str, set[int]]) -> Iterator[str]:
        """Compare with the records: the rows that have the field."""
        has = {row for part in self._parts for row in part.rows[part.live].tolist()}
        # A vector without weights has no postings.
        if surplus := has - holding[self.name]:
            yield f"{len(surplus)} rows too many"

    def close(self) -> None:
        """Let go of the postings."""
        self._parts = []

    def search(
        self, query: Any, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the rows with the largest inner products; equal ones in ascending order of rows.

        Parameters
        ----------
        query : mapping of int to float, pair of arrays, or sparse row
        k : int
        allowed : ndarray of bool, optional
            By row; beyond its end nothing is allowed.

        Returns
        -------
        rows : ndarray of at most k int64, best first
            Of those that share an index with the query.
        scores : ndarray of float64

        Raises
        ------
        DocumentError
            The query is no sparse vector.
        """
        indices, weights = sparse_vector(query, "sparse query")
        found = [part.score(indices, weights) for part in self._parts]
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)])
        scores = np.concatenate([np.empty(0), *(scores for _, scores in found)])
        if allowed is not None:
            inside = np.flatnonzero(rows < len(allowed))
            passing = inside[allowed[rows[inside]]]
            rows, scores = rows[passing], scores[passing]
        if k < len(rows):
            # All that are as good as the k-th, so that the order of rows decides among them.
            last = np.partition(scores, len(scores) - k)[len(scores) - k]
            best = np.flatnonzero(scores >= last)
            rows, scores = rows[best], scores[best]
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]


def _joined(parts: list[Postings]) -> list[Postings]:
    if len(parts) <= _MOST_PARTS:
        return parts
    sizes = [part.size for part in parts]
    first = next(
        i for i in range(len(parts)) if sizes[i] <= sum(sizes[i + 1 :]) or i == len(parts) - 2
    )
    return [*parts[:first], Postings.join(parts[first:])]


def _read(path: Path) -> Postings:
    try:
        return Postings.from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: {error}") from error
