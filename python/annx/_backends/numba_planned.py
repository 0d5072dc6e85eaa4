"""The part of the engine that searches with filters, within a radius, and with reports."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import PLANS, SHORT, Poll
from annx._backends.numba_codec import Prepared
from annx._backends.numba_exact import listed_distances, nearest_rows
from annx._backends.numba_layout import TWINS, Scratch, ranks_again
from annx._backends.numba_parts import Parts, Slots
from annx._backends.numba_passing import (
    DISTANCES,
    EVERYTHING,
    EXPANSIONS,
    FOUND,
    among_block,
    local_nearest,
    within_block,
)
from annx._backends.numba_rerank import coarse_error
from annx._backends.numba_search import finish_block, search_block
from annx._backends.numba_work import run

_SCAN, _GRAPH, _TWO_HOP, _FALLBACK = range(len(PLANS))
_, _ROWS, _FILTER = range(len(SHORT))

#: What a beam computes for each of its nodes, at M = 16.
_PER_NODE = 16
#: Rows that a scan compares in the time of one distance of a beam.
_SCAN_SPEED = 5
#: Share of rows that must pass for a beam through the others to be the cheaper one.
_MOST = 0.8
#: A filter passes less near a query than elsewhere if less than this part of its share does;
#: a walk over it may cost as many rows as so many others.
_POOR, _POOR_COST = 0.7, 3
#: Rows that pass, spread over the filter, that a beam over them starts from too.
_SEEDS = 16
#: Share of the nearest that two beams must both find, to be believed.
_AGREEMENT = 0.9

_Hits = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class NumbaFilter:
    """Labels that searches may return, or may not.

    Parameters
    ----------
    labels : ndarray of int64, or of bool
    allow : bool
    """

    def __init__(self, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool) -> None:
        self.labels: NDArray[np.int64] = (
            np.flatnonzero(labels)
            if labels.dtype == np.bool_
            else labels.astype(np.int64, copy=False)
        )
        self.allow = allow
        self._mutex = threading.Lock()
        self._known: tuple[int, Slots] | None = None

    def slots(self, core: Parts) -> Slots:
        """Slots of the labels, sorted; with the lock of `core` held."""
        with self._mutex:
            if self._known is None or self._known[0] != core._epoch:
                found = core._slots(self.labels)
                self._known = core._epoch, np.unique(found[found >= 0])
            return self._known[1]


class _Allowed(NamedTuple):
    """What a filter means now: rows that pass, and nodes one of whose rows does."""

    rows: NDArray[np.bool_]
    nodes: NDArray[np.bool_]
    slots: Slots

    @property
    def size(self) -> int:
        return len(self.slots)


class Planned(Parts):
    """Searches of rows that pass."""

    def make_filter(self, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool) -> object:
        """See `Core`."""
        return NumbaFilter(labels.copy(), allow)

    def planned_search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        filters: Sequence[Any],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> _Hits:
        """See `Core`."""
        self._settle()
        coarse, fine = self._codec.prepare(queries)
        n = len(coarse[0])
        found = np.full((n, k), -1, np.int64), np.full((n, k), np.inf, np.float32)
        reports = np.zeros((n, 4), np.int64)
        self._compile_planned(coarse, fine, found)

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                allowed = self._allowed(filters[0] if len(filters) == 1 else None)
                for q in range(start, stop):
                    if len(filters) > 1:
                        allowed = self._allowed(filters[q])
                    query = _Query(self, coarse, fine, q, k, found)
                    reports[q] = query.answer(allowed, ef_search, exact)

        run(work, n, num_threads, poll)
        return *found, reports

    def range_search(
        self,
        queries: NDArray[Any],
        radius: float,
        ef_search: int,
        filters: Sequence[Any],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """See `Core`."""
        self._settle()
        coarse, fine = self._codec.prepare(queries)
        n = len(coarse[0])
        empty = np.empty((n, 0), np.int64), np.empty((n, 0), np.float32)
        self._compile_planned(coarse, fine, empty)
        labels = [np.empty(0, np.int64)] * n
        dists = [np.empty(0, np.float32)] * n

        def work(start: int, stop: int) -> None:
            with self._lock.reading():
                allowed = self._allowed(filters[0] if len(filters) == 1 else None)
                for q in range(start, stop):
                    if len(filters) > 1:
                        allowed = self._allowed(filters[q])
                    query = _Query(self, coarse, fine, q, 0, empty)
                    slots, dists[q] = query.within(allowed, np.float32(radius), ef_search, exact)
                    labels[q] = self._store.labels[slots]

        run(work, n, num_threads, poll)
        lims = np.concatenate([[0], np.cumsum([len(part) for part in labels], dtype=np.int64)])
        empty_hits = np.empty(0, np.int64), np.empty(0, np.float32)
        return (
            lims.astype(np.int64),
            np.concatenate([empty_hits[0], *labels]),
            np.concatenate([empty_hits[1], *dists]),
        )

    def _allowed(self, filter: Any) -> _Allowed:
        rows = self._labelled()
        if filter is not None:
            listed = np.zeros(len(rows), np.bool_)
            listed[filter.slots(self)] = True
            rows &= listed == filter.allow
        nodes = rows
        twins = self._graph.twins[: int(self._graph.head[TWINS])]
        if len(twins):
            nodes = rows.copy()
            nodes[twins[rows[twins[:, 0]], 1]] = True
        return _Allowed(rows, nodes, np.flatnonzero(rows))

    def _compile_planned(
        self, coarse: Prepared, fine: Prepared, found: tuple[NDArray[Any], NDArray[Any]]
    ) -> None:
        """Compile all that a query may need; each takes no work when there is none."""
        element = str(coarse[0].dtype)
        nowhere = np.empty(0, np.bool_)
        walks = np.zeros((1, 3), np.int64)

        def searching(scratch: Scratch) -> tuple[Any, ...]:
            block = *coarse, self._kept, *fine, *found, 0, 0, 1, nowhere, nowhere, 0, walks
            return self._store, self._graph, scratch, *block

        self._compile(search_block, element, searching)


class _Query:
    """One query of a call; the index's lock is held.

    Parameters
    ----------
    core : Planned
    coarse, fine : Prepared
        All queries of the call.
    q, k : int
    found : tuple of ndarray
        Labels and distances of all queries, to be written to.
    """

    def __init__(
        self,
        core: Planned,
        coarse: Prepared,
        fine: Prepared,
        q: int,
        k: int,
        found: tuple[NDArray[Any], NDArray[Any]],
    ) -> None:
        self._core = core
        self._coarse, self._fine, self._q, self._k = coarse, fine, q, k
        self._labels, self._dists = found
        self._walk = np.zeros(3, np.int64)

    def answer(self, allowed: _Allowed, ef_search: int, exact: bool) -> tuple[int, int, int, int]:
        """Choose the cheapest way and go it; return the report."""
        core, k, passing = self._core, self._k, allowed.size
        live = core._live()
        width = min(max(ef_search, k), max(core._live_nodes(), 1))
        share = passing / max(live, 1)
        few = 2 * k >= passing or (share < _MOST and passing <= _meanwhile(width, share))
        plan, hits = _SCAN, 0
        if not (exact or few):
            plan = _GRAPH if share >= _MOST else _TWO_HOP
            walk = self._through if plan == _GRAPH else self._among
            hits = walk(allowed, width, share)
            if hits < min(k, passing):
                plan = _FALLBACK
        if plan in (_SCAN, _FALLBACK):
            hits = self._scan(allowed.slots)
        short = 0 if hits == k else _FILTER if passing < live else _ROWS
        return plan, int(self._walk[EXPANSIONS]), int(self._walk[DISTANCES]), short

    def _scan(self, rows: Slots) -> int:
        """Compare with all of these rows."""
        k = min(self._k, len(rows))
        self._labels[self._q], self._dists[self._q] = -1, np.inf
        if k:
            slots, dists = self._nearest(rows, k)
            self._labels[self._q, :k] = self._core._store.labels[slots]
            self._dists[self._q, :k] = dists
            self._walk[DISTANCES] += len(rows)
        return k

    def _nearest(self, rows: Slots, k: int) -> tuple[Slots, NDArray[np.float32]]:
        q = self._q
        queries, scales = self._fine
        slots, dists = np.empty((1, k), np.int64), np.empty((1, k), np.float32)
        one = queries[q : q + 1], scales[q : q + 1]
        nearest_rows(self._core._kept, rows, *one, 0, 1, slots, dists)
        return slots[0], dists[0]

    def _through(self, allowed: _Allowed, width: int, share: float) -> int:
        """Hits of a beam through the graph, over nodes that do not pass."""
        core, q = self._core, self._q
        n = core._slot_count()
        # Several times what it takes when all goes well; without a filter, whatever it takes.
        budget = 4 * max(1000, 4 * _PER_NODE * width) if share < 1 else 4 * n
        scratch = core._take_scratch(min(n, 2 * budget) + 2 * core._config.M + 1)
        walks = np.zeros((len(self._labels), 3), np.int64)
        search_block(
            core._store, core._graph, scratch, *self._coarse, core._kept, *self._fine,
            self._labels, self._dists, q, q + 1, width, allowed.nodes, allowed.rows, budget, walks,
        )  # fmt: skip
        core._idle.append(scratch)
        self._walk += walks[q]
        if walks[q, FOUND] < min(width, allowed.size) // 2:
            return 0
        return int(np.count_nonzero(self._labels[q] != -1))

    def _among(self, allowed: _Allowed, width: int, share: float) -> int:
        """Hits of a beam over the nodes that pass alone.

        Where hardly any pass near the query, such a beam may end in any valley: two from
        different places must then find the same.
        """
        core, q, k = self._core, self._q, self._k
        budget = max(4 * _PER_NODE * width, allowed.size)
        scratch = core._take_scratch(max(2 * width, core._config.ef_construction))
        place = core._store, core._graph, scratch, *self._coarse, q
        start, near = local_nearest(*place, allowed.nodes, self._walk)
        poor = near < _POOR * share
        if poor and allowed.size <= _POOR_COST * _meanwhile(width, share):
            return 0
        nodes = allowed.nodes

        def beam(start: int, turn: int) -> int:
            seeds = self._seeds(allowed, turn)
            return int(among_block(*place, start, seeds, k, width, nodes, budget, self._walk))

        count = beam(start, 0)
        if poor and count >= 0:
            first = scratch.pool_node[: min(k, count)].copy()
            count = beam(-1, 1)
            best = min(len(first), count)
            same = np.count_nonzero(np.isin(scratch.pool_node[: max(0, best)], first[:best]))
            if same < _AGREEMENT * best:
                count = -1
        hits = 0
        if count >= min(width, allowed.size) // 2:
            hits = finish_block(
                core._store, core._graph, scratch, *self._coarse, core._kept, *self._fine,
                self._labels, self._dists, q, count, allowed.rows,
            )  # fmt: skip
        core._idle.append(scratch)
        return int(hits)

    def _seeds(self, allowed: _Allowed, turn: int) -> Slots:
        """Nodes that pass, evenly over the filter; others for another turn."""
        places = allowed.size * (4 * np.arange(_SEEDS) + 1 + 2 * turn) // (4 * _SEEDS)
        twins = self._core._graph.twins[: int(self._core._graph.head[TWINS])]
        rows = allowed.slots[places]
        return np.setdiff1d(rows, twins[:, 0]) if len(twins) else rows

    def within(
        self, allowed: _Allowed, radius: np.float32, ef: int, exact: bool
    ) -> tuple[Slots, NDArray[np.float32]]:
        """Rows that pass and are nearer than `radius`, nearest first, and their distances."""
        slots = None
        # Few rows are compared in the time that a beam takes.
        if not exact and allowed.size > 64 * ef:
            slots = self._near(radius, ef)
        if slots is None:
            slots = allowed.slots
        else:
            graph = self._core._graph
            twins = graph.twins[: int(graph.head[TWINS])].astype(np.int64)
            slots = np.concatenate([slots, twins[np.isin(twins[:, 1], slots), 0]])
            slots = np.sort(slots[allowed.rows[slots]])
        dists = np.empty(len(slots), np.float32)
        listed_distances(self._core._kept, *self._fine, self._q, slots, dists)
        near = dists < radius
        slots, dists = slots[near], dists[near]
        order = np.argsort(dists, kind="stable")
        return slots[order], dists[order]

    def _near(self, radius: np.float32, ef: int) -> Slots | None:
        """Nodes that may be within the radius; None if so many that a scan is cheaper."""
        core, q = self._core, self._q
        n = core._slot_count()
        budget = n // 4 + 1000
        width = min(ef, core._live_nodes())
        scratch = core._take_scratch(min(n, budget + 2 * core._config.M) + 1)
        place = core._store, core._graph, scratch, *self._coarse, q
        if ranks_again(core._config):
            # Coarse distances err, by three standard deviations at most.
            start, _ = local_nearest(*place, EVERYTHING, self._walk)
            radius += 3 * np.float32(coarse_error(core._store, *self._coarse, q, start))
        every = np.ones(n, np.bool_)
        count = within_block(*place, width, every, radius, budget, self._walk)
        slots = scratch.pool_node[: max(0, count)].astype(np.int64)
        near = scratch.pool_dist[: len(slots)] < radius
        core._idle.append(scratch)
        return slots[near] if count >= 0 else None


def _meanwhile(width: int, share: float) -> float:
    """Rows that are scanned in the time of a beam over a share of the rows."""
    return _SCAN_SPEED * _PER_NODE * width * (1 + 0.5 * math.log2(1 / share))
