"""hnswlib's Python interface over annx: ``import annx.compat.hnswlib as hnswlib``.

Every name, keyword and default is that of hnswlib 0.8.0, and what raises a `RuntimeError` there
raises one here. What differs is in ``docs/hnswlib.md``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import AnnxError, Filter
from annx.compat._hnswlib_errors import (
    CapacityError,
    HnswlibError,
    LabelError,
    ParameterError,
    as_hnswlib,
    reraise,
)
from annx.compat._hnswlib_flat import BFIndex
from annx.compat._hnswlib_shared import (
    MAX_EF,
    Allowed,
    Found,
    Shared,
    label_of,
    labels_of,
    last_of_each,
    size,
)
from annx.compat._hnswlib_stored import Stored
from annx.index import Index as AnnxIndex

__all__ = ["BFIndex", "Index"]

#: hnswlib's own: `ef` of an index that was not told another.
_DEFAULT_EF = 10


class Index(Stored):
    """An HNSW index with hnswlib's methods, to be initiated by `init_index` or `load_index`.

    Parameters
    ----------
    space : {"l2", "ip", "cosine"}
        Squared Euclidean distance; 1 - dot product; 1 - cosine.
    dim : int
    params : dict, optional
        In place of the others: what ``__getstate__`` gives, in a tuple; hnswlib's own too.
    index : Index, optional
        In place of the others: an index to copy; one of hnswlib's own too.
    keep_vectors : {"f32", "f16"}
        Beyond hnswlib: ``"f16"`` keeps vectors at 11 bits, which halves the index; `get_items`
        and distances are rounded then.

    Raises
    ------
    RuntimeError
        `space` or `dim` is none.

    Examples
    --------
    >>> import annx.compat.hnswlib as hnswlib
    >>> index = hnswlib.Index(space="l2", dim=2)
    >>> index.init_index(max_elements=3)
    >>> index.add_items([[0, 0], [3, 4], [6, 8]])
    >>> labels, distances = index.knn_query([3, 3], k=2)
    >>> labels
    array([[1, 0]], dtype=uint64)
    """

    _exact = False

    def __init__(
        self,
        space: str | None = None,
        dim: int | None = None,
        *,
        params: dict[str, Any] | None = None,
        index: Index | None = None,
        keep_vectors: str = "f32",
    ) -> None:
        if isinstance(space, dict):
            params, space = space, None
        if space is not None and not isinstance(space, str) and hasattr(space, "knn_query"):
            index, space = space, None
        if index is not None:
            (params,) = index.__getstate__()
        if params is not None:
            self.__setstate__((params,))
            return
        if space is None or dim is None:
            raise TypeError("expected space and dim, or params, or index")
        self._set_up(space, dim, keep_vectors)

    def _set_up(self, space: str, dim: int, keep_vectors: str) -> None:
        Shared.__init__(self, space, dim)
        if keep_vectors not in ("f32", "f16"):
            raise ParameterError(f"keep_vectors must be 'f32' or 'f16', got {keep_vectors!r}")
        self._keep = keep_vectors
        self._ef = _DEFAULT_EF
        self._allow = False
        # In the order in which they were marked; the keys are what counts.
        self._deleted: dict[int, None] = {}
        self._live: Filter | None = None

    def init_index(
        self,
        max_elements: int,
        M: int = 16,
        ef_construction: int = 200,
        random_seed: int = 100,
        allow_replace_deleted: bool = False,
    ) -> None:
        """Make an empty index.

        Parameters
        ----------
        max_elements : int
            Most elements that `add_items` takes in; see `resize_index`. Costs no memory.
        M : int
            Links of an element, 2 to 512.
        ef_construction : int
            Width of the search for a new element's neighbours, at least `M`.
        random_seed : int
        allow_replace_deleted : bool
            Whether `add_items` may put new elements in the place of deleted ones.

        Raises
        ------
        RuntimeError
            The index is initiated already, or an argument is out of range.
        TypeError
            An argument is no whole number from 0 up.
        """
        if self._index is not None:
            raise HnswlibError("The index is already initiated.")
        limit = size(max_elements, "max_elements")
        self._index = self._empty(
            size(M, "M"), size(ef_construction, "ef_construction"), size(random_seed, "random_seed")
        )
        self._max = limit
        self._next = 0
        self._allow = bool(allow_replace_deleted)

    def _empty(self, M: int, ef_construction: int, seed: int) -> AnnxIndex:
        with as_hnswlib():
            return AnnxIndex(
                self._dim,
                self._space,
                keep_vectors=self._keep,
                M=M,
                ef_construction=min(max(ef_construction, M), MAX_EF),
                seed=seed,
            )

    def add_items(
        self,
        data: ArrayLike,
        ids: ArrayLike | None = None,
        num_threads: int = -1,
        replace_deleted: bool = False,
    ) -> None:
        """Add elements, or replace the vectors of those whose ids are there.

        Parameters
        ----------
        data : array_like of shape (n, dim) or (dim,)
        ids : int or array_like of n ints, optional
            0 to 2**64 - 2. By default they number on from the elements added so far. Of an
            id that is given twice the last vector counts.
        num_threads : int
            0 or less: as `num_threads` says.
        replace_deleted : bool
            New elements take the places of deleted ones, which are then gone.

        Raises
        ------
        RuntimeError
            More than `max_elements`; an array of the wrong shape; NaN, infinity, or a zero
            vector under cosine; ids that are negative or no whole numbers. The index is
            as it was.
        """
        index = self._ready()
        rows = self._rows(data)
        if replace_deleted and not self._allow:
            raise HnswlibError("Replacement of deleted elements is disabled in constructor")
        threads = self._workers(num_threads)
        with self._adding, as_hnswlib():
            labels = self._new_labels(ids, len(rows))
            after = self._next + len(rows)
            labels, rows = last_of_each(labels, rows)
            known = index._core.contains(labels)
            revived = [label for label in labels[known].tolist() if label in self._deleted]
            if revived and self._allow and not replace_deleted:
                raise HnswlibError(
                    "Can't use addPoint to update deleted elements if replacement of deleted "
                    "elements is enabled."
                )
            new = int(np.count_nonzero(~known))
            gone = self._replaceable(set(revived), new) if replace_deleted else []
            self._refuse_more(len(index) + new - len(gone))
            # Before what they replace is gone, so that an error leaves everything as it was.
            index.add(rows, labels, upsert=bool(known.any()), num_threads=threads)
            self._next = after
            if gone:
                index.remove(gone)
            if revived or gone:
                self._unmark([*revived, *gone])

    def _replaceable(self, but: set[int], count: int) -> list[int]:
        """The first deleted elements, at most `count`."""
        return [label for label in self._deleted if label not in but][:count]

    def _unmark(self, labels: list[int]) -> None:
        self._deleted = {label: None for label in self._deleted if label not in set(labels)}
        self._live = None

    def knn_query(
        self, data: ArrayLike, k: int = 1, num_threads: int = -1, filter: Allowed | None = None
    ) -> Found:
        """Find the k nearest elements to each query.

        Parameters
        ----------
        data : array_like of shape (n, dim) or (dim,)
        k : int
        num_threads : int
            0 or less: as `num_threads` says.
        filter : callable, optional
            Called with ids, as ints; elements for which it returns False are left out. It is
            asked once about an id and call.

        Returns
        -------
        labels : ndarray of shape (n, k), uint64
        distances : ndarray of shape (n, k), float32
            Nearest first.

        Raises
        ------
        RuntimeError
            Fewer than k elements are there that are not deleted and pass the filter; an
            array of the wrong shape; NaN, infinity, or a zero vector under cosine.
        """
        index = self._index
        if filter is not None or self._deleted or index is None or type(k) is not int or k < 1:
            live = self._filter() if self._deleted else None
            return self._query(data, k, self._ef, num_threads, filter, live)
        # What most calls are, without a detour: one query takes some microseconds.
        width = max(k, min(self._ef, MAX_EF))
        try:
            hits = index.search(data, k, ef_search=width, num_threads=self._workers(num_threads))
        except AnnxError as error:
            reraise(error)
        return self._full(*hits)

    def _filter(self) -> Filter:
        live = self._live
        if live is None:
            with self._adding:
                gone = np.fromiter(self._deleted, np.int64, len(self._deleted))
                live = self._live = ~Filter(self._ready(), gone)
        return live

    def get_items(
        self, ids: ArrayLike | None = None, return_type: str = "numpy"
    ) -> NDArray[np.float32] | list[list[float]]:
        """Return vectors as they were added.

        Parameters
        ----------
        ids : array_like of n ints, optional
            None gives no vectors.
        return_type : {"numpy", "list"}

        Returns
        -------
        ndarray of shape (n, dim), float32; or list of n lists
            Empty, of shape (0,), if n is 0.

        Raises
        ------
        RuntimeError
            An id is not in the index, or is marked deleted.
        ValueError
            `ids` is one number or a table of more than one column, or `return_type` is
            another.
        """
        if return_type not in ("numpy", "list"):
            raise ValueError('return_type should be "numpy" or "list"')
        index = self._ready()
        shape = (0,) if ids is None else np.shape(ids)
        if len(shape) == 0 or max(shape[1:], default=1) > 1:
            raise ValueError("get_items accepts a list of indices and returns a list of vectors")
        labels = labels_of([] if ids is None else ids)
        if len(labels) == 0:
            return [] if return_type == "list" else np.empty(0, np.float32)
        if self._deleted and any(label in self._deleted for label in labels.tolist()):
            raise LabelError("Label not found: it is marked deleted")
        missing = ~index._core.contains(labels)
        if missing.any():
            raise LabelError(f"Label not found: {labels.view(np.uint64)[np.argmax(missing)]}")
        rows: NDArray[np.float32] = index.get(labels).astype(np.float32, copy=False)
        return rows.tolist() if return_type == "list" else rows

    def get_ids_list(self) -> list[int]:
        """Return the ids of all elements, those marked deleted too."""
        labels = self._ready().labels
        ids: list[int] = labels.view(np.uint64).tolist()
        return ids

    def mark_deleted(self, label: int) -> None:
        """Leave an element out of all results until `unmark_deleted`.

        Raises
        ------
        RuntimeError
            It is not in the index, or marked already.
        """
        with self._adding:
            key = self._known(label)
            if key in self._deleted:
                raise HnswlibError("The requested to delete element is already deleted")
            self._deleted[key] = None
            self._live = None

    def unmark_deleted(self, label: int) -> None:
        """Put an element back into results.

        Raises
        ------
        RuntimeError
            It is not in the index (it was replaced, perhaps), or not marked.
        """
        with self._adding:
            key = self._known(label)
            if key not in self._deleted:
                raise HnswlibError("The requested to undelete element is not deleted")
            self._unmark([key])

    def _known(self, label: Any) -> int:
        key = label_of(label)
        if key not in self._ready():
            raise LabelError(f"Label not found: {label}")
        return key

    def resize_index(self, new_size: int) -> None:
        """Set `max_elements`.

        Raises
        ------
        RuntimeError
            There are more elements than that.
        """
        limit = size(new_size, "new_size")
        with self._adding:
            if limit < len(self._ready()):
                raise CapacityError(
                    "Cannot resize, max element is less than the current number of elements: "
                    f"expected at least {len(self._ready())}, got {limit}"
                )
            self._max = limit

    def set_ef(self, ef: int) -> None:
        """Set the width of searches, `ef`; at least k counts."""
        self._ef = size(ef, "ef")

    @property
    def ef(self) -> int:
        """Width of searches; may be set."""
        return self._ef

    @ef.setter
    def ef(self, value: int) -> None:
        self.set_ef(value)

    @property
    def max_elements(self) -> int:
        """Most elements that the index may hold; 0 before it is initiated."""
        return self._max

    @property
    def element_count(self) -> int:
        """Elements in the index, those marked deleted too."""
        return self.get_current_count()

    @property
    def M(self) -> int:
        """Links of an element; 0 before the index is initiated."""
        return 0 if self._index is None else self._index.M

    @property
    def ef_construction(self) -> int:
        """Width of the search for neighbours; 0 before the index is initiated."""
        return 0 if self._index is None else self._index.ef_construction

    def __repr__(self) -> str:
        return f"<hnswlib.Index(space='{self._space}', dim={self._dim})>"
