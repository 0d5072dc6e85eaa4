"""What both indexes of hnswlib's interface share: arguments, and the search."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import Filter as AnnxFilter
from annx import _fork, errors
from annx._rows import to_rows
from annx.compat._hnswlib_errors import (
    CapacityError,
    DimensionError,
    HnswlibError,
    LabelError,
    as_hnswlib,
    reraise,
)
from annx.index import Index as AnnxIndex

#: hnswlib's spaces, and annx's metrics of the same names.
SPACES = ("l2", "ip", "cosine")
MAX_EF = 1 << 24
_UINT64 = np.dtype(np.uint64)
_CORES = os.cpu_count() or 1
#: Answers of a filter from which its share of the labels can be told.
_TELLING = 64

#: ``labels`` as uint64 and ``distances``, each of shape (n_queries, k).
Found = tuple[NDArray[np.uint64], NDArray[np.float32]]
Allowed = Callable[[int], bool]


def size(value: Any, name: str) -> int:
    """Return a whole number from 0 up; a TypeError for others, as from hnswlib."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise TypeError(f"{name} must be a whole number from 0 up, got {value!r}")
    return number


def label_of(value: Any) -> int:
    """Return one label as annx has it."""
    return int(labels_of(size(value, "label"))[0])


def labels_of(ids: Any) -> NDArray[np.int64]:
    """Return labels as annx has them: the bits of uint64 as int64.

    Raises
    ------
    LabelError
        Not whole numbers from 0 to 2**64 - 2.
    """
    try:
        array = np.asarray(ids)
        if array.dtype.kind in "fO" and isinstance(ids, list | tuple):
            # NumPy makes floats of ints on both sides of 2**63.
            array = np.array([operator.index(each) for each in ids], np.uint64)
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError(f"ids must be whole numbers from 0 to 2**64 - 2: {error}") from None
    array = array.reshape(-1)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise LabelError(f"ids must be whole numbers, got {array.dtype}")
    if array.dtype.kind == "i" and (array < 0).any():
        raise LabelError(f"ids must not be negative, got {array[np.argmax(array < 0)]}")
    labels = array.astype(np.uint64).view(np.int64)
    if (labels == -1).any():
        raise LabelError("id 2**64 - 1 is the one that cannot be used")
    return labels


class Shared:
    """Space, dimension, threads, and queries over an `annx.Index`."""

    _index: AnnxIndex | None
    _space: str
    _dim: int
    _max: int
    _next: int
    _exact: bool
    _threads: int
    _adding: Lock

    def __init__(self, space: Any, dim: Any) -> None:
        _fork.give_lock(self)
        if space not in SPACES:
            raise HnswlibError("Space name must be one of l2, ip, or cosine.")
        try:
            self._dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"dim must be a whole number, got {dim!r}") from None
        with as_hnswlib():
            AnnxIndex(self._dim, space)  # for what it says of the dimension
        self._space = space
        self._index = None
        self._max = self._next = 0
        self._threads = _CORES

    @property
    def space(self) -> str:
        """``"l2"``, ``"ip"`` or ``"cosine"``."""
        return self._space

    @property
    def dim(self) -> int:
        """Elements in a vector."""
        return self._dim

    @property
    def num_threads(self) -> int:
        """Default number of threads; 0 or less: every core. May be set."""
        return self._threads

    @num_threads.setter
    def num_threads(self, value: int) -> None:
        self.set_num_threads(value)

    def set_num_threads(self, num_threads: int) -> None:
        """Set `num_threads`."""
        self._threads = operator.index(num_threads)

    def get_max_elements(self) -> int:
        """Most elements that the index may hold, ``max_elements``."""
        return self._max

    def get_current_count(self) -> int:
        """Elements in the index, those marked deleted too."""
        return 0 if self._index is None else len(self._index)

    def _ready(self) -> AnnxIndex:
        if self._index is None:
            raise HnswlibError("The index is not initiated: call init_index or load_index first")
        return self._index

    def _workers(self, asked: int) -> int | None:
        """How many threads to ask annx for; None: as it finds right."""
        count = asked if asked > 0 else self._threads
        return count if 0 < count < _CORES else None

    def _rows(self, data: ArrayLike) -> NDArray[np.float32]:
        with as_hnswlib():
            return to_rows(data, self._dim, "f32")

    def _new_labels(self, ids: Any, count: int) -> NDArray[np.int64]:
        if ids is None:
            return np.arange(self._next, self._next + count, dtype=np.int64)
        labels = labels_of(ids)
        shape = np.shape(ids)
        if shape != (count,) and not (shape == () and count == 1):
            raise DimensionError(
                f"The input label shape {shape} does not match the input data vector shape "
                f"({count},)"
            )
        return labels

    def _refuse_more(self, count: int) -> None:
        if count > self._max:
            raise CapacityError(
                "The number of elements exceeds the specified limit: "
                f"expected at most {self._max}, got {count}"
            )

    def _nearest(
        self, rows: ArrayLike, k: int, ef: int, allowed: Any, threads: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        index = self._ready()
        if self._exact:
            return index.exact_search(rows, k, filter=allowed, num_threads=threads)
        width = min(max(ef, k), MAX_EF)
        return index.search(rows, k, ef_search=width, filter=allowed, num_threads=threads)

    def _query(
        self, data: ArrayLike, k: int, ef: int, num_threads: int, keep: Allowed | None, live: Any
    ) -> Found:
        """Answer `knn_query`; `live` is what annx is to filter by in any case."""
        if type(k) is not int or k < 1:
            k = size(k, "k")
        try:
            if k == 0:
                count = len(self._rows(data))
                return np.empty((count, 0), np.uint64), np.empty((count, 0), np.float32)
            threads = self._workers(num_threads)
            if keep is None:
                labels, distances = self._nearest(data, k, ef, live, threads)
            elif callable(keep):
                rows = self._rows(data)
                labels, distances = self._passing(rows, k, ef, threads, keep, live)
            else:
                raise TypeError(f"filter must be a function of a label, got {keep!r}")
        except errors.AnnxError as error:
            reraise(error)
        return self._full(labels, distances)

    @staticmethod
    def _full(labels: NDArray[np.int64], distances: NDArray[np.float32]) -> Found:
        if labels.item(-1) == -1 if len(labels) == 1 else (labels[:, -1] == -1).any():
            raise HnswlibError(
                "Cannot return the results in a contiguous 2D array. Fewer than "
                f"k = {labels.shape[1]} elements are left by deletions and filter"
            )
        return labels.view(_UINT64), distances

    def _passing(
        self,
        rows: NDArray[np.float32],
        k: int,
        ef: int,
        threads: int | None,
        keep: Allowed,
        live: Any,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search more widely until k labels pass, asking about no more than these.

        A Python function costs about a tenth of a microsecond a label, which is what a search
        pays for: so it is asked once a label, and about all only if few pass.
        """
        answers = _Answers(keep)
        found = np.full((len(rows), k), -1, np.int64)
        distances = np.full((len(rows), k), np.inf, np.float32)
        left = np.arange(len(rows))
        count = len(self._ready())
        width = max(k, ef)
        while len(left) and width < max(count // 8, 2 * k):
            labels, dists = self._nearest(rows[left], width, ef, live, threads)
            passes = answers(labels)
            # The k first of each query that pass, in order.
            order = np.argsort(~passes, axis=1, kind="stable")[:, :k]
            enough = np.count_nonzero(passes, axis=1) >= k
            done = left[enough]
            found[done] = np.take_along_axis(labels, order, 1)[enough]
            distances[done] = np.take_along_axis(dists, order, 1)[enough]
            left = left[~enough]
            needed = 2 * k / answers.share if answers.asked >= _TELLING else 0
            width = max(4 * width, int(needed))
        if len(left):
            all_labels = self._ready().labels
            allowed: Any = all_labels[answers(all_labels)]
            if live is not None:
                allowed = AnnxFilter(self._ready(), allowed) & live
            found[left], distances[left] = self._nearest(rows[left], k, ef, allowed, threads)
        return found, distances


class _Answers:
    """What a filter says of labels, each asked about once."""

    def __init__(self, keep: Allowed) -> None:
        self._keep = keep
        self._known: dict[int, bool] = {}
        self._passed = 0

    def __call__(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each label passes; padding does not."""
        distinct, places = np.unique(labels, return_inverse=True)
        passes = np.zeros(len(distinct), np.bool_)
        for i, label in enumerate(distinct.view(np.uint64).tolist()):
            if distinct[i] != -1:
                passes[i] = self._ask(label)
        return passes[places].reshape(labels.shape)

    def _ask(self, label: int) -> bool:
        answer = self._known.get(label)
        if answer is None:
            answer = self._known[label] = bool(self._keep(label))
            self._passed += answer
        return answer

    @property
    def asked(self) -> int:
        """Labels asked about."""
        return len(self._known)

    @property
    def share(self) -> float:
        """How many of these pass, but for rounding up: never 0."""
        return (self._passed + 1) / (len(self._known) + 1)


def last_of_each(
    labels: NDArray[np.int64], rows: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Drop rows whose label comes again further down."""
    backwards = np.unique(labels[::-1], return_index=True)[1]
    if len(backwards) == len(labels):
        return labels, rows
    last = np.sort(len(labels) - 1 - backwards)
    return labels[last], rows[last]
