"""The engine in Numba: runs wherever LLVM does, compiled on first use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config, Mapped, Poll, State
from annx._backends.numba_change import Changing
from annx._backends.numba_exact import label_hits, nearest_rows
from annx._backends.numba_layout import (
    DEAD,
    NO_LABEL,
    TWINS,
    Store,
    grown_store,
    kept_config,
    new_store,
)
from annx._backends.numba_passing import EVERYTHING
from annx._backends.numba_planned import Planned
from annx._backends.numba_search import search_block
from annx._backends.numba_state import export_state, import_state, map_state, stored_arrays
from annx._backends.numba_work import run
from annx.errors import LabelError

_Hits = tuple[NDArray[np.int64], NDArray[np.float32]]


class NumbaCore(Changing, Planned):
    """A `Core` whose work is done by compiled Python functions.

    Changes run one at a time, and searches between their steps of some 50 ms.

    Parameters
    ----------
    config : Config
    """

    @property
    def config(self) -> Config:
        """What the index is."""
        return self._config

    def __len__(self) -> int:
        return self._live()

    def find_bad_row(self, rows: NDArray[Any]) -> tuple[int, str] | None:
        """See `Core`."""
        return self._codec.find_bad_row(rows)

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        num_threads: int,
        poll: Poll | None = None,
    ) -> _Hits:
        """See `Core`."""
        self._settle()
        coarse, fine = self._codec.prepare(queries)
        labels, dists = self._no_hits(len(coarse[0]), k)
        slots = np.empty_like(labels)
        self._compile_planned(coarse, fine, (labels, dists))

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                if 2 * k >= self._live():
                    # A beam as wide as that costs more than to compare with every row.
                    self._scan(fine, start, stop, slots, labels, dists)
                    return
                ef = min(max(ef_search, k), self._live_nodes())
                dead = int(self._graph.head[DEAD])
                passing = self._labelled() if dead else EVERYTHING
                # Dead nodes do not count, and take room.
                scratch = self._take_scratch(2 * ef + 2 * dead + 1)
                n = self._slot_count()
                walks = np.zeros((len(labels) if dead else 0, 3), np.int64)
                search_block(
                    self._store, self._graph, scratch, *coarse, self._kept, *fine, labels, dists,
                    start, stop, ef, passing, EVERYTHING, 4 * n, walks,
                )  # fmt: skip
                self._idle.append(scratch)

        run(work, len(labels), num_threads, poll)
        return labels, dists

    def exact_search(
        self, queries: NDArray[Any], k: int, num_threads: int, poll: Poll | None = None
    ) -> _Hits:
        """See `Core`."""
        self._settle()
        _, fine = self._codec.prepare(queries)
        labels, dists = self._no_hits(len(fine[0]), k)
        slots = np.empty_like(labels)

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                self._scan(fine, start, stop, slots, labels, dists)

        run(work, len(labels), num_threads, poll)
        return labels, dists

    def _scan(
        self,
        queries: tuple[NDArray[Any], NDArray[np.float32]],
        start: int,
        stop: int,
        slots: NDArray[np.int64],
        labels: NDArray[np.int64],
        dists: NDArray[np.float32],
    ) -> None:
        if self._live():
            rows = self._live_slots()
            nearest_rows(self._kept, rows, *queries, start, stop, slots, dists)
            label_hits(self._store, slots, start, stop, labels)

    def get(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        """See `Core`."""
        self._settle()
        with self._lock.reading():
            slots = self._slots(labels)
            missing = slots < 0
            if missing.any():
                label = labels[np.argmax(missing)]
                raise LabelError(f"label {label} is not in the index")
            return self._codec.get(self._store, self._originals, slots)

    def contains(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `Core`."""
        self._settle()
        with self._lock.reading():
            return self._slots(labels) >= 0

    def labels(self) -> NDArray[np.int64]:
        """See `Core`."""
        self._settle()
        with self._lock.reading():
            labels = self._store.labels[: self._slot_count()]
            return np.asarray(labels[labels != NO_LABEL])

    def encode(
        self, rows: NDArray[Any], num_threads: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32] | None]:
        """See `Core`."""
        n = len(rows)

        def filled(config: Config) -> Store:
            return grown_store(config, new_store(config), 0, n)

        store = filled(self._config)
        originals = filled(kept_config(self._config)) if self._config.keep else None
        self._codec.put(store, originals, 0, rows, 0, n)
        return stored_arrays(self._config, store, originals, n)

    def export_state(self) -> State:
        """See `Core`."""
        self._settle()
        with self._lock.reading():
            return export_state(self._config, self._store, self._originals, self._graph)

    def import_state(self, state: State) -> None:
        """See `Core`."""
        with self._adding, self._lock.writing():
            self._take_over(*import_state(self._config, state))

    def map_state(self, state: State, mapped: Mapped) -> None:
        """See `Core`: all of it is verified at the first search."""
        with self._adding, self._lock.writing():
            self._store, self._originals, self._graph = map_state(
                self._config, state, mapped.removed
            )
            self._numbered = False
            self._epoch += 1
            self._unverified, self._read_only = mapped.verify, True

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

    def _no_hits(self, queries: int, k: int) -> _Hits:
        return np.full((queries, k), -1, np.int64), np.full((queries, k), np.inf, np.float32)


def _row_bytes(store: Store) -> int:
    shared = store.scales.ndim == 2
    return store.rows.nbytes + (0 if shared else store.scales.nbytes)
