"""The vector index: vectors and int64 labels in, nearest labels out."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _format, _result, _validate
from annx._backends import select
from annx._backends.base import MAX_ROWS, STORAGE_DTYPES, Config, Core
from annx._describe import Described
from annx._progress import Progress, ignore
from annx._result import SearchResult
from annx._rows import to_rows
from annx.errors import LabelError

_MAX_LABEL = np.iinfo(np.int64).max


class Index(Described):
    """An HNSW index of vectors, each under an int64 label.

    All methods may be called from any threads at the same time: a search sees every
    row whose `add` had returned before it began. Equal data, seed and calls give equal
    bytes, whatever the number of threads.

    Parameters
    ----------
    dim : int
        Elements in a vector, 1 to 65536; for ``"hamming"`` the number of bits, a
        multiple of 8.
    metric : {"l2", "ip", "cosine", "hamming"}
        Squared Euclidean; 1 - dot product; 1 - cosine; differing bits. Smaller is
        always closer.
    codec : {"auto", "f32", "f16", "bf16", "i8", "u8", "b1"}
        How vectors are stored. ``"auto"`` is exact: ``"f32"``, and ``"b1"`` for
        ``"hamming"``, which goes with no other.
    M : int
        Links of a node, 2 to 512; the lowest level has ``2 * M``. More links: higher
        recall in hard data, more memory.
    ef_construction : int
        Width of the beam that finds a new row's neighbours. Wider: better graph,
        slower `add`.
    ef_search : int
        Default width of the beam of a search. Wider: higher recall, slower.
    seed : int
        Decides the level of each row.
    capacity : int
        Rows to make room for at once; a hint.
    num_threads : int, optional
        Default for every method. None: every core for a batch, one for one query.

    Raises
    ------
    ParameterError
        An argument is out of range, or codec and metric do not go together.
    BackendError
        There is no backend to run on.

    Examples
    --------
    >>> import annx, numpy as np
    >>> rows = np.eye(4, dtype=np.float32)
    >>> index = annx.Index(dim=4, metric="cosine")
    >>> index.add(rows, labels=[10, 11, 12, 13])
    array([10, 11, 12, 13])
    >>> index.search([0.0, 0.1, 0.9, 0.0], k=2).labels
    array([[12, 11]])
    """

    def __init__(
        self,
        dim: int,
        metric: str = "l2",
        *,
        codec: str = "auto",
        M: int = 16,
        ef_construction: int = 200,
        ef_search: int = 64,
        seed: int = 0,
        capacity: int = 0,
        num_threads: int | None = None,
    ) -> None:
        dim = _validate.integer(dim, "dim", 1, _validate.MAX_DIM)
        metric = _validate.choice(metric, "metric", _validate.METRICS)
        codec, why = _validate.codec(codec, metric, dim)
        config = Config(
            dim,
            metric,
            codec,
            _validate.integer(M, "M", 2, _validate.MAX_M),
            _validate.integer(ef_construction, "ef_construction", 1, _validate.MAX_EF),
            _validate.integer(seed, "seed", 0, _validate.MAX_SEED),
        )
        capacity = _validate.integer(capacity, "capacity", 0, MAX_ROWS)
        ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
        self._set_up(select.create(config), config, ef_search, num_threads, why)
        if capacity:
            self._core.reserve(capacity)

    def _set_up(
        self, core: Core, config: Config, ef_search: int, num_threads: int | None, why: str
    ) -> None:
        if num_threads is not None:
            _validate.threads(num_threads, None, 1)
        self._core = core
        self._config = config
        self._ef_search = ef_search
        self._num_threads = num_threads
        self._why = why
        # The label that follows the highest, as of `_counted` rows.
        self._next_label = 0
        self._counted = 0
        self._adding = Lock()
        # What `search` needs for one query, without a detour.
        self._columns = config.columns
        # The words of bf16 are no uint16 numbers, which callers may mean.
        self._plain = None if config.codec == "bf16" else STORAGE_DTYPES[config.codec]
        self._core_search = core.search
        self._wrap = _result.wrapper(config.metric)

    def add(
        self,
        vectors: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        num_threads: int | None = None,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> NDArray[np.int64]:
        """Add vectors.

        Parameters
        ----------
        vectors : array_like of shape (n, dim) or (dim,)
            float32, float64, float16, bfloat16, int8, uint8 or other integers: NumPy,
            DLPack, ``__array_interface__``, lists. ``"i8"`` and ``"u8"`` take whole
            numbers in range alone; ``"b1"`` takes bool of shape (n, dim) or packed
            uint8 of shape (n, dim / 8).
        labels : array_like of n ints, optional
            New and distinct int64, any but -1. By default they number on from the
            highest label so far.
        num_threads : int, optional
        progress : callable or True, optional
            Called as ``progress(rows_done, n)`` now and then; what it raises ends the
            call. True shows a bar on stderr. It must not change this index.

        Returns
        -------
        ndarray of shape (n,), int64
            The labels.

        Raises
        ------
        DimensionError
            A vector does not have `dim` elements.
        DtypeError
            Not real numbers, or not what the codec holds.
        NonFiniteError
            NaN, infinity, or too large a vector; the message names its row.
        ZeroVectorError
            A zero vector under ``"cosine"``; the message names its row.
        LabelError
            A label is taken, repeated, -1, or not an int64.
        CapacityError
            More than 2**30 - 2 rows.

        Notes
        -----
        An error leaves the index as it was. An interrupt (Ctrl-C, or what `progress`
        raises) keeps the rows finished so far, ``len(index)`` of them in all.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> index.add([[0, 0], [3, 4]])
        array([0, 1])
        """
        rows = to_rows(vectors, self._config.dim, self._config.codec)
        n = len(rows)
        given = None if labels is None else _validate.new_labels(labels, n)
        threads = _validate.threads(num_threads, self._num_threads, n)
        poll = Progress(progress, n)
        _validate.refuse(self._core.find_bad_row(rows))
        if n == 0:
            return np.empty(0, np.int64)
        with self._adding:
            before = len(self._core)
            if before != self._counted:  # restored from a file, or interrupted
                self._next_label = max(0, int(self._core.labels().max()) + 1)
            taken = self._number(n) if given is None else given
            # Labels equal to slots so far need no table in the core.
            plain = given is None and self._next_label == before
            self._core.add(rows, None if plain else taken, num_threads=threads, poll=poll)
            self._next_label = max(self._next_label, int(taken.max()) + 1)
            self._counted = before + n
        poll.finish()
        return taken

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        ef_search: int | None = None,
        num_threads: int | None = None,
    ) -> SearchResult:
        """Find the k nearest labels to each query.

        Parameters
        ----------
        queries : array_like of shape (n_queries, dim) or (dim,)
            As in `add`.
        k : int
        ef_search : int, optional
            Width of the beam, at least k; the index's own by default.
        num_threads : int, optional

        Returns
        -------
        SearchResult
            ``labels`` and ``distances`` of shape (n_queries, k), nearest first; padded
            with -1 and inf where there are fewer than k rows.

        Raises
        ------
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As in `add`, for a query.
        ParameterError
            `k`, `ef_search` or `num_threads` is out of range.

        Examples
        --------
        >>> import annx, numpy as np
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4], [6, 8]])
        >>> index.search([3, 3], k=2)
        SearchResult(labels=array([[1, 0]]), distances=array([[ 1., 18.]], dtype=float32))
        """
        # An array that needs no conversion passes by all of them: one query takes a
        # few microseconds, and each attribute here 0.03 to 0.06.
        if (
            type(queries) is np.ndarray
            and queries.dtype is self._plain
            and queries.flags.carray
            and 0 < queries.ndim <= 2
            and queries.shape[-1] == self._columns
        ):
            rows = queries if queries.ndim == 2 else queries[None]
        else:
            rows = to_rows(queries, self._config.dim, self._config.codec)
        if type(k) is not int or not 0 < k <= MAX_ROWS:
            k = _validate.integer(k, "k", 1, MAX_ROWS)
        if ef_search is None:
            ef_search = self._ef_search
        else:
            ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
        if num_threads is None and len(rows) == 1:
            return self._wrap(self._core_search(rows, k, ef_search, 1))
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        return self._wrap(self._core_search(rows, k, ef_search, threads, ignore))

    def exact_search(
        self, queries: ArrayLike, k: int = 10, *, num_threads: int | None = None
    ) -> SearchResult:
        """Find the k nearest labels by comparing with every stored vector.

        Parameters
        ----------
        queries : array_like of shape (n_queries, dim) or (dim,)
        k : int
        num_threads : int, optional

        Returns
        -------
        SearchResult
            As of `search`; equal distances in order of insertion.

        Raises
        ------
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError, ParameterError
            As in `search`.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4], [6, 8]])
        >>> index.exact_search([[3, 3]], k=1).labels
        array([[1]])
        """
        rows = to_rows(queries, self._config.dim, self._config.codec)
        k = _validate.integer(k, "k", 1, MAX_ROWS)
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        return self._wrap(self._core.exact_search(rows, k, threads, ignore))

    def get(self, labels: ArrayLike) -> NDArray[Any]:
        """Return stored vectors.

        Parameters
        ----------
        labels : int or array_like of n ints

        Returns
        -------
        ndarray of shape (dim,) for one label, else (n, dim)
            Of the codec's type: float32 (also for ``"bf16"``), float16, int8, uint8;
            packed uint8 of dim / 8 bytes for ``"b1"``. Under ``"cosine"`` with
            ``"f32"`` equal to what was added up to rounding, otherwise exactly.

        Raises
        ------
        LabelError
            A label is not in the index.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4]])
        >>> index.get(1)
        array([3., 4.], dtype=float32)
        """
        wanted = _validate.labels(labels)
        rows = self._core.get(wanted)
        if self._config.codec == "bf16":
            rows = (rows.astype(np.uint32) << 16).view(np.float32)
        return rows[0] if np.ndim(labels) == 0 else rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, whole or not at all.

        An older file stays until the new one is complete and on disk.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            The file cannot be written; an older one is unharmed.

        Examples
        --------
        >>> import annx, os, tempfile
        >>> index = annx.Index(2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(os.path.join(folder, "points.annx"))
        ...     annx.load(os.path.join(folder, "points.annx"))
        <annx.Index 0 x 2 l2 f32>
        """
        _format.save(path, self._stored())

    def to_bytes(self) -> bytes:
        """Return the bytes that `save` writes.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> annx.Index.from_bytes(index.to_bytes())
        <annx.Index 0 x 2 l2 f32>
        """
        return _format.dumps(self._stored())

    @classmethod
    def from_bytes(cls, data: bytes, *, num_threads: int | None = None) -> Index:
        """Restore what `to_bytes` returned.

        Parameters
        ----------
        data : bytes
        num_threads : int, optional
            As for the constructor.

        Raises
        ------
        FormatError
            `data` is not a valid index.

        Examples
        --------
        >>> import annx
        >>> len(annx.Index.from_bytes(annx.Index(2).to_bytes()))
        0
        """
        return cls._restore(_format.loads(bytes(data)), num_threads)

    @classmethod
    def _restore(cls, stored: _format.Stored, num_threads: int | None) -> Index:
        index = cls.__new__(cls)
        core = select.create(stored.config)
        index._set_up(core, stored.config, stored.ef_search, num_threads, "as stored in the file")
        core.import_state(stored.state)
        return index

    def __reduce__(self) -> tuple[Callable[[bytes], Index], tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    def _stored(self) -> _format.Stored:
        return _format.Stored(self._config, self._ef_search, self._core.export_state())

    def _number(self, n: int) -> NDArray[np.int64]:
        first = self._next_label
        if first + n - 1 > _MAX_LABEL:
            raise LabelError(f"no {n} labels are left above the highest, {first - 1}; pass labels")
        return np.arange(first, first + n, dtype=np.int64)


def load(path: str | os.PathLike[str], *, num_threads: int | None = None) -> Index:
    """Read an index from a file.

    Parameters
    ----------
    path : str or path-like
    num_threads : int, optional
        As for `Index`.

    Returns
    -------
    Index

    Raises
    ------
    FormatError
        The file is not a valid annx index; the message says what is wrong.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import annx, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     annx.Index(2).save(os.path.join(folder, "points.annx"))
    ...     len(annx.load(os.path.join(folder, "points.annx")))
    0
    """
    return Index._restore(_format.load(path), num_threads)
