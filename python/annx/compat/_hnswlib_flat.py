"""hnswlib's brute force over annx's."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _validate
from annx.compat import _hnswlib_file as files
from annx.compat._hnswlib_errors import HnswlibError, as_hnswlib
from annx.compat._hnswlib_graph import unit_rows
from annx.compat._hnswlib_shared import Allowed, Found, Shared, label_of, last_of_each, size
from annx.index import Index as AnnxIndex

#: Rows added at a time. From 5,000 on an index builds its graph in bulk, which takes longer than
#: to link rows as loosely as this.
_STEP = 4096


class BFIndex(Shared):
    """An index that compares with every vector, with hnswlib's methods.

    Parameters
    ----------
    space : {"l2", "ip", "cosine"}
    dim : int

    Examples
    --------
    >>> import annx.compat.hnswlib as hnswlib
    >>> index = hnswlib.BFIndex(space="l2", dim=2)
    >>> index.init_index(max_elements=2)
    >>> index.add_items([[0, 0], [3, 4]], ids=[7, 8])
    >>> index.knn_query([3, 3], k=1)
    (array([[8]], dtype=uint64), array([[1.]], dtype=float32))
    """

    _exact = True

    def __init__(self, space: str, dim: int) -> None:
        super().__init__(space, dim)

    def _empty(self) -> AnnxIndex:
        # The graph is not used: as narrow as can be.
        return AnnxIndex(self._dim, self._space, codec="f32", M=2, ef_construction=1)

    def init_index(self, max_elements: int) -> None:
        """Make an empty index; as of `Index`."""
        if self._index is not None:
            raise HnswlibError("The index is already initiated.")
        self._max = size(max_elements, "max_elements")
        self._next = 0
        self._index = self._empty()

    def add_items(self, data: ArrayLike, ids: ArrayLike | None = None) -> None:
        """Add elements, or replace the vectors of those whose ids are there; as of `Index`."""
        index = self._ready()
        rows = self._rows(data)
        with self._adding, as_hnswlib():
            labels = self._new_labels(ids, len(rows))
            after = self._next + len(rows)
            labels, rows = last_of_each(labels, rows)
            known = index._core.contains(labels)
            self._refuse_more(len(index) + int(np.count_nonzero(~known)))
            _put(index, rows, labels, bool(known.any()))
            self._next = after

    def knn_query(
        self, data: ArrayLike, k: int = 1, num_threads: int = -1, filter: Allowed | None = None
    ) -> Found:
        """Find the k nearest elements to each query; as of `Index`."""
        return self._query(data, k, 1, num_threads, filter, None)

    def delete_vector(self, label: int) -> None:
        """Remove an element; nothing happens if it is not there."""
        with self._adding:
            key = label_of(label)
            if key in self._ready():
                self._ready().remove(key)

    def save_index(self, path_to_index: str | os.PathLike[str]) -> None:
        """Write a file that hnswlib reads, whole or not at all; as of `Index`."""
        with self._adding:
            labels = self._ready().labels
            rows = unit_rows(self._ready().get(labels), self._space)
            files.write_flat(path_to_index, rows, labels, self._max)

    def load_index(self, path_to_index: str | os.PathLike[str], max_elements: int = 0) -> None:
        """Read a file that hnswlib or `save_index` wrote.

        Parameters
        ----------
        path_to_index : str or path-like
        max_elements : int
            Ignored, as by hnswlib: the limit in the file counts.

        Raises
        ------
        RuntimeError
            As of `Index`.
        """
        rows, labels, limit = files.read_flat(path_to_index, self._dim)
        index = self._empty()
        with as_hnswlib():
            _put(index, rows, labels, False)
        with self._adding:
            self._index, self._max, self._next = index, limit, len(labels)

    def __repr__(self) -> str:
        return f"<hnswlib.BFIndex(space='{self._space}', dim={self._dim})>"


def _put(
    index: AnnxIndex, rows: NDArray[np.float32], labels: NDArray[np.int64], upsert: bool
) -> None:
    _validate.refuse(index._core.find_bad_row(rows))
    for first in range(0, len(rows), _STEP):
        part = slice(first, first + _STEP)
        index.add(rows[part], labels[part], upsert=upsert)
