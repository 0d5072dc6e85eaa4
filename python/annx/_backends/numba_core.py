"""The engine in Numba: runs wherever LLVM does, compiled on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import MAX_ROWS, Config, Poll, State
from annx._backends.numba_build import count_upper, insert_block, level_seed
from annx._backends.numba_codec import Codec
from annx._backends.numba_exact import exact_block, label_hits
from annx._backends.numba_hash import (
    EMPTY_PLACES,
    NO_CONTENTS,
    content_table,
    find_labels,
    label_table,
    table_size,
)
from annx._backends.numba_layout import (
    ROWS,
    TOP_LABEL,
    TWINS,
    UPPER,
    Scratch,
    Store,
    grown_graph,
    grown_store,
    grown_twins,
    grown_upper,
    kept_config,
    new_graph,
    new_scratch,
    new_store,
)
from annx._backends.numba_lock import TurnLock
from annx._backends.numba_search import search_block
from annx._backends.numba_state import export_state, import_state
from annx._backends.numba_work import aside, run
from annx.errors import BackendError, CapacityError, LabelError

_LAST_LABEL = int(np.iinfo(np.int64).max)

#: Compiled functions that are ready, by the codecs of rows, kept rows and queries.
_ready: set[tuple[str, str, str, Callable[..., None]]] = set()

_Hits = tuple[NDArray[np.int64], NDArray[np.float32]]


class NumbaCore:
    """A `Core` whose work is done by compiled Python functions.

    Adds run one at a time, and searches between their steps of some 50 ms.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._codec = Codec(config)
        self._store = new_store(config)
        self._originals = new_store(kept_config(config)) if config.keep else None
        self._graph = new_graph(config)
        self._seed = level_seed(config.seed)
        #: While each label is its own slot, no table is needed.
        self._numbered = True
        self._places = EMPTY_PLACES
        self._contents = NO_CONTENTS
        self._idle: list[Scratch] = []
        self._lock = TurnLock()
        self._adding = threading.Lock()
        self._tabling = threading.Lock()

    @property
    def config(self) -> Config:
        """What the index is."""
        return self._config

    def __len__(self) -> int:
        return int(self._graph.head[ROWS])

    def find_bad_row(self, rows: NDArray[Any]) -> tuple[int, str] | None:
        """See `Core`."""
        return self._codec.find_bad_row(rows)

    def reserve(self, capacity: int) -> None:
        """See `Core`."""
        if capacity > MAX_ROWS:
            raise CapacityError(f"expected a capacity up to {MAX_ROWS}, got {capacity}")
        with self._adding:
            self._grow(capacity)

    def add(
        self,
        rows: NDArray[Any],
        labels: NDArray[np.int64] | None,
        *,
        num_threads: int,
        poll: Poll | None = None,
        upsert: bool = False,
    ) -> None:
        """See `Core`. One thread inserts, whatever `num_threads` says."""
        if upsert and labels is not None and self.contains(labels).any():
            raise _cannot("replace rows")
        with self._adding:
            first, count = len(self), len(rows)
            if count > MAX_ROWS - first:
                raise CapacityError(f"expected at most {MAX_ROWS} rows, got {first} + {count}")
            labels = self._new_labels(labels, count)
            if count == 0:
                return
            self._make_room(first, labels)
            store, originals = self._store, self._originals
            ef = min(self._config.ef_construction, len(store.labels))
            self._compile(insert_block, "", lambda scratch: self._insertion(scratch, 0, 0))

            def work(start: int, stop: int) -> None:
                self._codec.put(store, originals, first + start, rows, start, stop)
                store.labels[first + start : first + stop] = labels[start:stop]
                scratch = self._take_scratch(ef)
                with self._lock.writing():
                    twins = int(self._graph.head[TWINS]) + stop - start
                    if twins > len(self._graph.twins):
                        self._graph = grown_twins(self._graph, 2 * twins)
                    insert_block(*self._insertion(scratch, first + stop, ef))
                self._idle.append(scratch)

            run(work, count, 1, poll)

    def remove(self, labels: NDArray[np.int64], num_threads: int, poll: Poll | None = None) -> None:
        """See `Core`."""
        if len(labels):
            raise _cannot("remove rows")

    def compact(self, num_threads: int, poll: Poll | None = None) -> None:
        """See `Core`. There is nothing to give back."""

    def repair(self, seconds: float, num_threads: int, poll: Poll | None = None) -> int:
        """See `Core`."""
        raise _cannot("repair")

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        num_threads: int,
        poll: Poll | None = None,
    ) -> _Hits:
        """See `Core`."""
        coarse, fine = self._codec.prepare(queries)
        labels, dists = self._no_hits(len(coarse[0]), k)

        def arguments(scratch: Scratch, start: int, stop: int, ef: int) -> tuple[Any, ...]:
            graph = self._store, self._graph, scratch, *coarse
            return *graph, self._kept, *fine, labels, dists, start, stop, ef

        element = str(coarse[0].dtype)
        self._compile(search_block, element, lambda scratch: arguments(scratch, 0, 0, 1))

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                ef = min(max(ef_search, k), len(self))
                if ef == 0:
                    return
                scratch = self._take_scratch(ef)
                search_block(*arguments(scratch, start, stop, ef))
                self._idle.append(scratch)

        run(work, len(labels), num_threads, poll)
        return labels, dists

    def exact_search(
        self, queries: NDArray[Any], k: int, num_threads: int, poll: Poll | None = None
    ) -> _Hits:
        """See `Core`."""
        _, (prepared, scales) = self._codec.prepare(queries)
        labels, dists = self._no_hits(len(prepared), k)
        slots = np.empty_like(labels)

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                if n := len(self):
                    exact_block(self._kept, n, prepared, scales, start, stop, slots, dists)
                    label_hits(self._store, slots, start, stop, labels)

        run(work, len(prepared), num_threads, poll)
        return labels, dists

    def make_filter(self, labels: NDArray[np.int64], allow: bool) -> object:
        """See `Core`."""
        raise _cannot("filter")

    def planned_search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        filters: list[object],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """See `Core`."""
        raise _cannot("filter or report")

    def range_search(
        self,
        queries: NDArray[Any],
        radius: float,
        ef_search: int,
        filters: list[object],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """See `Core`."""
        raise _cannot("search a range")

    def get(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        """See `Core`."""
        with self._lock.reading():
            slots = self._slots(labels)
            missing = slots < 0
            if missing.any():
                label = labels[np.argmax(missing)]
                raise LabelError(f"label {label} is not in the index")
            return self._codec.get(self._store, self._originals, slots)

    def contains(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Core`."""
        with self._lock.reading():
            return self._slots(labels) >= 0

    def labels(self) -> NDArray[np.int64]:
        """See `Core`."""
        with self._lock.reading():
            return self._store.labels[: len(self)].copy()

    def export_state(self) -> State:
        """See `Core`."""
        with self._lock.reading():
            return export_state(self._config, self._store, self._originals, self._graph)

    def import_state(self, state: State) -> None:
        """See `Core`."""
        if (state.labels == -1).any() or (state.twins[:, 1] > state.twins[:, 0]).any():
            raise _cannot("open files with removed rows")
        with self._adding, self._lock.writing():
            self._store, self._originals, self._graph = import_state(self._config, state)
            labels = self._store.labels
            self._numbered = bool(np.array_equal(labels, np.arange(len(labels))))
            self._places = EMPTY_PLACES
            self._contents = NO_CONTENTS

    def memory(self) -> dict[str, int]:
        """See `Core`."""
        store, graph = self._store, self._graph
        upper = (graph.upper_links, graph.upper_down, graph.upper_slot, graph.upper_level)
        lookup = self._places.nbytes + self._contents.nbytes + graph.twins.nbytes
        if graph.head[TWINS]:
            lookup += graph.next_twin.nbytes
        return {
            "rows": _row_bytes(store),
            "originals": _row_bytes(self._originals) if self._originals else 0,
            "links": graph.links.nbytes,
            "upper": sum(part.nbytes for part in upper),
            "labels": store.labels.nbytes,
            "lookup": lookup,
            "scratch": sum(part.nbytes for scratch in list(self._idle) for part in scratch),
        }

    @property
    def _kept(self) -> Store:
        """The rows that `get` and `exact_search` read."""
        return self._originals or self._store

    def _insertion(self, scratch: Scratch, stop: int, ef: int) -> tuple[Any, ...]:
        """Arguments of `insert_block`."""
        store = self._store
        raw = self._kept.rows.view(np.uint8)
        tables = raw, self._contents, self._places
        return store, self._graph, scratch, *tables, self._seed, stop, ef

    def _compile(
        self,
        function: Callable[..., None],
        element: str,
        nothing: Callable[[Scratch], tuple[Any, ...]],
    ) -> None:
        """Let the first, long compilation neither hold the lock nor break on Ctrl-C.

        `nothing` gives arguments that leave the function without work.
        """
        key = self._config.codec, self._config.keep, element, function
        if key not in _ready:
            aside(lambda: function(*nothing(new_scratch(self._config, 0, 1))))
            _ready.add(key)

    def _no_hits(self, queries: int, k: int) -> _Hits:
        return np.full((queries, k), -1, np.int64), np.full((queries, k), np.inf, np.float32)

    def _slots(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of labels, -1 where missing."""
        if not self._numbered and not self._places.size:
            with self._tabling:
                if not self._places.size:
                    n = len(self)
                    self._places = label_table(self._store.labels, n, n)
        slots = np.empty(len(labels), np.int64)
        find_labels(self._places, self._store.labels, len(self), labels, slots)
        return slots

    def _new_labels(self, labels: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
        if labels is None:
            start = int(self._graph.head[TOP_LABEL]) + 1
            if count > _LAST_LABEL - start + 1:
                raise LabelError(f"no labels are left above {start - 1}")
            return np.arange(start, start + count, dtype=np.int64)
        taken = self._slots(labels) >= 0
        if taken.any():
            raise LabelError(f"label {labels[np.argmax(taken)]} is already in the index")
        if count > 1:
            ordered = np.sort(labels)
            twice = ordered[1:] == ordered[:-1]
            if twice.any():
                raise LabelError(f"label {ordered[np.argmax(twice)]} is given twice")
        return labels

    def _make_room(self, first: int, labels: NDArray[np.int64]) -> None:
        need = first + len(labels)
        if need > len(self._store.labels):
            self._grow(min(MAX_ROWS, max(need, 2 * len(self._store.labels))))
        M = self._config.M
        upper = int(self._graph.head[UPPER]) + count_upper(self._seed, first, need, M)
        if upper > len(self._graph.upper_slot):
            room = max(upper, 2 * len(self._graph.upper_slot))
            self._graph = grown_upper(self._graph, room)
        capacity = len(self._store.labels)
        if len(self._contents) < table_size(need):
            raw = self._kept.rows.view(np.uint8)
            self._contents = content_table(raw, first, capacity)
        if not self._numbered or not np.array_equal(labels, np.arange(first, need)):
            with self._tabling:
                if len(self._places) < table_size(need):
                    self._places = label_table(self._store.labels, first, capacity)
            self._numbered = False

    def _grow(self, capacity: int) -> None:
        if capacity > len(self._store.labels):
            used = len(self)
            store = grown_store(self._config, self._store, used, capacity)
            if self._originals is not None:
                kept = kept_config(self._config)
                self._originals = grown_store(kept, self._originals, used, capacity)
            # The store last: its size is the capacity, even if Ctrl-C falls between.
            self._graph = grown_graph(self._graph, capacity)
            self._store = store

    def _take_scratch(self, ef: int) -> Scratch:
        capacity = len(self._store.labels)
        try:
            scratch = self._idle.pop()
        except IndexError:
            return new_scratch(self._config, capacity, ef)
        if len(scratch.marks) < capacity or len(scratch.pool_dist) < ef:
            return new_scratch(self._config, capacity, ef)
        return scratch


def _cannot(what: str) -> BackendError:
    return BackendError(f"the Numba backend cannot {what} yet; the native one can")


def _row_bytes(store: Store) -> int:
    shared = store.scales.ndim == 2
    return store.rows.nbytes + (0 if shared else store.scales.nbytes)
