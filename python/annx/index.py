"""The vector index: vectors and int64 labels in, nearest labels out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _choose, _filter, _fork, _pick, _result, _validate
from annx._backends import select
from annx._backends.base import MAX_ROWS, STORAGE_DTYPES, Config, Core
from annx._changes import Changeable
from annx._explain import Explained
from annx._filter import FilterLike
from annx._journal import Journal
from annx._persist import Persisted
from annx._progress import ignore
from annx._recall import Tunable
from annx._result import RangeResult, SearchResult
from annx._rows import to_rows
from annx.errors import ParameterError


class Index(Changeable, Explained, Persisted, Tunable):
    """An HNSW index of vectors, each under an int64 label.

    All methods may be called from any threads at the same time: a search sees every
    row whose `add` had returned before it began, and none whose `remove` had. Equal data,
    seed and calls give equal bytes, whatever the number of threads.

    Parameters
    ----------
    dim : int
        Elements in a vector, 1 to 65536; for ``"hamming"`` the number of bits, a
        multiple of 8.
    metric : {"l2", "ip", "cosine", "hamming"}
        Squared Euclidean; 1 - dot product; 1 - cosine; differing bits. Smaller is
        always closer.
    codec : str
        How vectors are stored: ``"f32"``, ``"f16"``, ``"bf16"``, ``"i8"``, ``"u8"``, codes
        (``"sq8"``, ``"sq10"``, ``"sq4"``), packed bits (``"b1"``), or by one of three presets:
        ``"auto"``, ``"compact"``, ``"turbo"``. ``"auto"`` gives exact distances in half the
        memory of float32 or less: the first rows decide, and `info` says how. Whole numbers
        from 0 to 255 or -128 to 127 are kept as bytes; others are walked as 8-bit codes
        (``"sq8"``) and compared by their kept vectors; few dimensions as float32.
        ``"compact"`` keeps codes of 10 bits alone (``"sq10"``), ``"turbo"`` puts codes of a
        row's neighbours beside them: on some data more queries per second, in twice the memory
        of float32 rows, less from 512 dimensions; beneath 24 dimensions, and where 10,000 first
        rows or more are about equally near, as ``"auto"``. ``"sq4"`` has codes of 8 bits, or
        without vectors of 10, in an order by which the C++ backend walks the graph on 4 bits of
        each: faster on embeddings of many dimensions, at fault where near rows differ by little
        beside their length. ``"b1"`` is for ``"hamming"``, which goes with no other.
    keep_vectors : {"auto", "f16", "f32", "none"}
        With scaled codecs and the presets: how the vectors themselves are kept beside the
        codes, for exact distances and for `get`. ``"auto"`` rounds them to float16
        where its range holds them; with ``"f32"`` `get` gives back what was added.
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
        keep_vectors: str = "auto",
        M: int = 16,
        ef_construction: int = 200,
        ef_search: int = 64,
        seed: int = 0,
        capacity: int = 0,
        num_threads: int | None = None,
    ) -> None:
        dim = _validate.integer(dim, "dim", 1, _validate.MAX_DIM)
        metric = _validate.choice(metric, "metric", _validate.METRICS)
        shape = Config(
            dim,
            metric,
            "f32",
            _validate.integer(M, "M", 2, _validate.MAX_M),
            _validate.integer(ef_construction, "ef_construction", 1, _validate.MAX_EF),
            _validate.integer(seed, "seed", 0, _validate.MAX_SEED),
        )
        capacity = _validate.integer(capacity, "capacity", 0, MAX_ROWS)
        ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
        choice, self._preset = _choose.initial(shape, codec, keep_vectors)
        self._keep = "none" if codec == "compact" and keep_vectors == "auto" else keep_vectors
        self._set_up(select.create(choice.config), choice, ef_search, num_threads)
        self._capacity = capacity
        if capacity:
            self._core.reserve(capacity)

    def _set_up(
        self, core: Core, choice: _choose.Choice, ef_search: int, num_threads: int | None
    ) -> None:
        if num_threads is not None:
            _validate.threads(num_threads, None, 1)
        self._ef_search = ef_search
        self._num_threads = num_threads
        self._next_label = None
        self._least_label = 0
        self._source = "memory"
        self._journal = Journal()
        self._on_disk = None
        self._mapped = None
        _fork.renew(self)
        self._use(core, choice)

    def _use(self, core: Core, choice: _choose.Choice) -> None:
        # Others hold `_switching` where they need several of these to go together.
        config = choice.config
        self._core = core
        self._config, self._why = choice
        # What `search` needs for one query, without a detour. A change of codec changes
        # none of it but the core: what comes in is float32 before and after.
        self._columns = config.columns
        # The words of bf16 are no uint16 numbers, which callers may mean.
        self._plain = None if config.codec == "bf16" else STORAGE_DTYPES[config.input_codec]
        self._core_search = core.search
        self._wrap = _result.wrapper(config.metric)
        self._curves = {}  # measured on the core before

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        ef_search: int | None = None,
        recall: float | None = None,
        filter: FilterLike = None,
        max_per_group: int | None = None,
        groups: ArrayLike | None = None,
        diversity: float | None = None,
        report: bool = False,
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
        recall : float, optional
            In place of `ef_search`: the mean share of the true k nearest to find, in
            (0, 1]; 1 is an exact search. Reads what `tune` measured; an index that was
            not tuned for a k near this one first tunes itself, which takes seconds.
        filter : Filter, array_like or callable, optional
            Which labels may be returned, in any form that `Filter` takes; or a sequence of
            these or an array of two dimensions, one for each query (rows of labels may be
            padded with -1). A `Filter` built before costs nothing to pass; a callable is
            asked about all labels at each call, which is slow.
        max_per_group : int, optional
            Return at most so many labels of a group, and the next nearest in their place.
        groups : array_like of len(index) ints, optional
            The group of each label, in the order of `labels`; goes with `max_per_group`.
        diversity : float, optional
            From 0, the nearest alone, to 1, the most unlike alone: of ``4 * k`` candidates
            (64 at least), each hit is the one with the least ``(1 - diversity) * distance -
            diversity * distance to the nearest hit before it`` (maximal marginal relevance).
        report : bool
            Say how each query was answered, in ``report`` of what is returned.
        num_threads : int, optional

        Returns
        -------
        SearchResult
            ``labels`` and ``distances`` of shape (n_queries, k), nearest first; padded
            with -1 and inf where fewer than k rows are there, or pass the filter. With
            `report` a `ReportedResult`.

        Raises
        ------
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As in `add`, for a query.
        ParameterError
            `k`, `ef_search`, `recall` or `num_threads` is out of range, or both
            `ef_search` and `recall` are given; or as `Filter`.

        Warns
        -----
        TuningWarning
            With `recall`: the index has changed by a fifth since it was tuned.

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
            rows = to_rows(queries, self._config.dim, self._config.input_codec)
        if type(k) is not int or not 0 < k <= MAX_ROWS:
            k = _validate.integer(k, "k", 1, MAX_ROWS)
        if ef_search is None:
            if recall is None:
                ef_search = self._ef_search
            else:
                ef_search = self._width(k, recall, num_threads)
                if ef_search is None:
                    return self.exact_search(
                        queries, k, filter=filter, report=report, num_threads=num_threads
                    )
        else:
            ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
            if recall is not None:
                raise ParameterError("expected ef_search or recall, got both")
        if groups is not None or max_per_group is not None or diversity is not None:
            caps = (max_per_group, groups, diversity)
            return self._picked(rows, k, ef_search, filter, caps, report, num_threads)
        if filter is not None or report:
            return self._planned(rows, k, ef_search, filter, report, num_threads)
        if num_threads is None and len(rows) == 1:
            return self._wrap(self._core_search(rows, k, ef_search, 1))
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        return self._wrap(self._core_search(rows, k, ef_search, threads, ignore))

    def _planned(
        self,
        rows: NDArray[Any],
        k: int,
        ef_search: int | None,
        filter: FilterLike,
        report: bool,
        num_threads: int | None,
    ) -> SearchResult:
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        core = self._core
        filters = _filter.handles(self, core, filter, len(rows))
        exact = ef_search is None
        found = core.planned_search(
            rows, k, ef_search or 1, filters, exact, threads, None if len(rows) == 1 else ignore
        )
        return _result.reported(self.metric, *found) if report else self._wrap(found[:2])

    def _picked(
        self,
        rows: NDArray[Any],
        k: int,
        ef_search: int,
        filter: FilterLike,
        caps: tuple[int | None, ArrayLike | None, float | None],
        report: bool,
        num_threads: int | None,
    ) -> SearchResult:
        most, groups, diversity = caps
        if (most is None) != (groups is None):
            raise ParameterError("expected max_per_group and groups, got one of them")
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        weight = 0.0 if diversity is None else _pick.diversity(diversity)
        core = self._core
        by_group = None
        if most is not None and groups is not None:
            by_group = _pick.Groups(core, groups, most)
        filters = _filter.handles(self, core, filter, len(rows))

        def search(places: NDArray[np.int64], width: int) -> _pick.Found:
            own = filters if len(filters) < 2 else [filters[place] for place in places]
            asked = np.ascontiguousarray(rows[places])
            return core.planned_search(asked, width, ef_search, own, False, threads, ignore)

        found = _pick.pick(core, search, len(rows), k, by_group, weight)
        return _result.reported(self.metric, *found) if report else self._wrap(found[:2])

    def range_search(
        self,
        queries: ArrayLike,
        radius: float,
        *,
        ef_search: int | None = None,
        exact: bool = False,
        filter: FilterLike = None,
        num_threads: int | None = None,
    ) -> RangeResult:
        """Find all labels nearer to each query than a radius.

        Parameters
        ----------
        queries : array_like of shape (n_queries, dim) or (dim,)
            As in `add`.
        radius : float
            Labels whose distance is less than this are returned; a distance equal to it is
            not within.
        ef_search : int, optional
            Nodes beyond the radius that the search goes on over, so that it finds what
            does not hang together within; the index's own by default.
        exact : bool
            Compare with every vector.
        filter : Filter, array_like or callable, optional
            As in `search`.
        num_threads : int, optional

        Returns
        -------
        RangeResult
            ``lims``, ``labels`` and ``distances``: the hits of query i stand at
            ``lims[i]:lims[i + 1]``, nearest first.

        Raises
        ------
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As in `search`.
        ParameterError
            `radius` is not a number, or another argument is out of range.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4], [6, 8]])
        >>> lims, labels, distances = index.range_search([[0, 0], [6, 8]], radius=26)
        >>> lims
        array([0, 2, 4])
        >>> labels
        array([0, 1, 2, 1])
        """
        rows = to_rows(queries, self._config.dim, self._config.input_codec)
        within = _validate.number(radius, "radius")
        if ef_search is None:
            ef_search = self._ef_search
        ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
        threads = _validate.threads(num_threads, self._num_threads, len(rows))
        core = self._core
        filters = _filter.handles(self, core, filter, len(rows))
        return RangeResult(
            *core.range_search(rows, within, ef_search, filters, bool(exact), threads, ignore)
        )

    def exact_search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        filter: FilterLike = None,
        report: bool = False,
        num_threads: int | None = None,
    ) -> SearchResult:
        """Find the k nearest labels by comparing with every stored vector.

        Parameters
        ----------
        queries : array_like of shape (n_queries, dim) or (dim,)
        k : int
        filter, report
            As in `search`.
        num_threads : int, optional

        Returns
        -------
        SearchResult
            As of `search`; equal distances in the order of `labels`.

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
        rows = to_rows(queries, self._config.dim, self._config.input_codec)
        k = _validate.integer(k, "k", 1, MAX_ROWS)
        if filter is not None or report:
            return self._planned(rows, k, None, filter, report, num_threads)
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
            Of the codec's type: float32 (also for ``"bf16"`` and the presets), float16,
            int8, uint8; packed uint8 of dim / 8 bytes for ``"b1"``. Equal to what was
            added, up to the rounding of what is kept: ``"auto"`` keeps float16 or
            better, ``"compact"`` and ``"turbo"`` 10 bits.

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
