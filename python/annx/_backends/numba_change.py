"""The part of the engine that adds, replaces and removes rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import MAX_ROWS, NO_LINK, Poll
from annx._backends.numba_build import chain_twins, count_upper, insert_block
from annx._backends.numba_compact import squeezed
from annx._backends.numba_hash import (
    EMPTY_PLACES,
    NO_CONTENTS,
    content_table,
    enter_label,
    forget_rows,
    label_table,
    table_size,
)
from annx._backends.numba_layout import (
    DEAD,
    LIVE,
    NO_LABEL,
    TOP,
    TOP_LABEL,
    TWINS,
    UPPER,
    Scratch,
    grown_graph,
    grown_store,
    grown_twins,
    grown_upper,
    kept_config,
)
from annx._backends.numba_learn import Learning
from annx._backends.numba_mend import mend_rows
from annx._backends.numba_parts import Slots
from annx._backends.numba_passing import among_block
from annx._backends.numba_purge import (
    joined,
    leading_to_dead,
    leave_tree,
    tree_parts,
    upper_leading_to_dead,
    without_dead,
)
from annx._backends.numba_state import export_state, import_state
from annx._backends.numba_ways import Ways, ends_of_ways
from annx._backends.numba_work import run
from annx.errors import CapacityError, LabelError

_LAST_LABEL = int(np.iinfo(np.int64).max)
#: Dead nodes that wait until the graph is mended: a share of all, few enough for searches
#: to pass through them unnoticed.
_PATIENCE, _PATIENCE_SHARE = 32, 256
#: Rows inserted before what died meanwhile is seen to. Not as many as the clock allows: this
#: decides about slots and links.
_BLOCK = 32
#: Rows mended between two looks at whether to stop: some 50 ms.
_MENDED = 256

_Runs = Iterator[tuple[int, int, int]]


class Changing(Learning, Ways):
    """Changes run one at a time, and searches between their steps of some 50 ms."""

    #: A change is at work on what others do not see; after an interrupt, `_recover`.
    _unfinished = False

    def reserve(self, capacity: int) -> None:
        """See `Core`."""
        self._refuse_if_mapped()
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
        self._refuse_if_mapped()
        with self._adding:
            self._recover()
            used, count = self._slot_count() - len(self._free), len(rows)
            if count > MAX_ROWS - used:
                raise CapacityError(f"expected at most {MAX_ROWS} rows, got {used} + {count}")
            given = self._new_labels(labels, count, upsert)
            if count == 0:
                return
            fresh = int(np.count_nonzero(self._slots(given) < 0)) if upsert else count
            self._grow(self._slot_count() - len(self._free) + fresh)
            none = np.empty(0, np.int64)
            self._compile(
                insert_block,
                "",
                lambda scratch: self._insertion(scratch, none, none, none, False, 0),
            )
            self._compile_learning()

            def work(start: int, stop: int) -> None:
                for first in range(start * _BLOCK, min(stop * _BLOCK, count), _BLOCK):
                    self._add_block(rows, given, first, min(first + _BLOCK, count))
                    self._learn(min(first + _BLOCK, count) - first)
                    self._tidy(None)

            def rows_done(blocks: int) -> None:
                if poll is not None:
                    poll(min(blocks * _BLOCK, count))

            run(work, -(-count // _BLOCK), 1, rows_done)

    def remove(self, labels: NDArray[np.int64], num_threads: int, poll: Poll | None = None) -> None:
        """See `Core`."""
        self._refuse_if_mapped()
        with self._adding:
            self._recover()
            slots = self._slots(labels)
            if (slots < 0).any():
                raise LabelError(f"label {labels[np.argmin(slots)]} is not in the index")
            _refuse_repeats(labels)
            with self._lock.writing():
                self._unfinished = True
                self._store.labels[slots] = NO_LABEL
                self._graph.head[LIVE] -= len(slots)
                self._vacate(slots)
                self._unfinished = False
            self._tidy(poll)

    def compact(self, num_threads: int, poll: Poll | None = None) -> None:
        """See `Core`."""
        self._refuse_if_mapped()
        with self._adding:
            self._recover()
            self._tidy(poll)
            self._purge(poll)
            top_label = self._graph.head[TOP_LABEL]
            state = export_state(self._config, self._store, self._originals, self._graph)
            parts = import_state(self._config, squeezed(state))
            if poll is not None:
                poll(0)
            parts[2].head[TOP_LABEL] = top_label
            with self._lock.writing():
                self._take_over(*parts)

    def repair(self, seconds: float, num_threads: int, poll: Poll | None = None) -> int:
        """See `Core`."""
        self._refuse_if_mapped()
        end = time.monotonic() + seconds
        with self._adding:
            self._recover()
            self._tidy(poll)
            self._purge(poll)
            if not self._live():
                return 0
            parts, main = tree_parts(self._store, self._graph)
            cut_off = np.setdiff1d(parts, [-1, main]).tolist()
            for n, part in enumerate(cut_off):
                if time.monotonic() >= end:
                    return len(cut_off) - n
                self._hang(part, main, parts == main)
                parts[parts == part] = main
                if poll is not None:
                    poll(0)
            return 0

    def _hang(self, part: int, main: int, inside: NDArray[np.bool_]) -> None:
        """Hang a part of the tree to the nearest node of the main one, of those `inside`."""
        store, graph = self._store, self._graph
        ef = min(self._config.ef_construction, len(store.labels))
        scratch = self._take_scratch(ef)
        queries = store.rows, store.scales, part
        walk = np.zeros(3, np.int64)
        none, budget = np.empty(0, np.int64), 4 * len(inside)
        among_block(store, graph, scratch, *queries, main, none, 0, ef, inside, budget, walk)
        near = int(scratch.pool_node[0])
        self._idle.append(scratch)
        slots, made = joined(store, graph, part, near)
        with self._lock.writing():
            graph.links[slots] = made

    def _take_over(self, store: Any, originals: Any, graph: Any) -> None:
        """Let new arrays stand for the old; with the lock held."""
        self._unfinished = True
        self._store, self._originals, self._graph = store, originals, graph
        labels = store.labels
        self._numbered = bool(np.array_equal(labels, np.arange(len(labels))))
        self._places, self._contents = EMPTY_PLACES, NO_CONTENTS
        self._epoch += 1
        self._idle = []
        self._free = self._free_slots()
        self._unfinished = False

    def _free_slots(self) -> Slots:
        n = self._slot_count()
        free = ~self._labelled() & (self._graph.links[:n, 0] == NO_LINK)
        free[self._graph.twins[: int(self._graph.head[TWINS]), 0]] = False
        return np.flatnonzero(free)

    def _new_labels(
        self, labels: NDArray[np.int64] | None, count: int, upsert: bool
    ) -> NDArray[np.int64]:
        if labels is None:
            start = int(self._graph.head[TOP_LABEL]) + 1
            if count > _LAST_LABEL - start + 1:
                raise LabelError(f"no labels are left above {start - 1}")
            return np.arange(start, start + count, dtype=np.int64)
        taken = self._slots(labels) >= 0
        if taken.any() and not upsert:
            raise LabelError(f"label {labels[np.argmax(taken)]} is already in the index")
        _refuse_repeats(labels)
        return labels

    def _add_block(
        self, rows: NDArray[Any], labels: NDArray[np.int64], start: int, stop: int
    ) -> None:
        """Store rows in free slots, the lowest first, then in new ones, and link them."""
        count = stop - start
        n = self._slot_count()
        reused = self._free[:count]
        slots = np.concatenate([reused, np.arange(n, n + count - len(reused))])
        mine = labels[start:stop]
        replaced = self._slots(mine)
        self._make_room(slots, mine)
        self._unfinished = True
        for first, last, slot in _runs(slots):
            self._codec.put(self._store, self._originals, slot, rows, start + first, start + last)
        ef = min(self._config.ef_construction, len(self._store.labels))
        scratch = self._take_scratch(ef)
        with self._lock.writing():
            old = replaced[replaced >= 0]
            dead = len(old) > 0 or int(self._graph.head[DEAD]) > 0
            insert_block(*self._insertion(scratch, slots, mine, replaced, dead, ef))
            self._free = self._free[len(reused) :]
            self._entered += count
            self._epoch += 1
            if len(old):
                self._vacate(old)
            self._unfinished = False
        self._idle.append(scratch)

    def _insertion(
        self, scratch: Scratch, slots: Slots, labels: Slots, replaced: Slots, dead: bool, ef: int
    ) -> tuple[Any, ...]:
        """Arguments of `insert_block`."""
        raw = self._kept.rows.view(np.uint8)
        tables = raw, self._contents, self._places
        rows = slots, labels, replaced
        return self._store, self._graph, scratch, *tables, self._seed, *rows, dead, ef

    def _make_room(self, slots: Slots, labels: NDArray[np.int64]) -> None:
        """For rows, upper nodes, twins and entries of both tables."""
        n, need = self._slot_count(), int(slots[-1]) + 1
        if need > len(self._store.labels):
            self._grow(min(MAX_ROWS, max(need, 2 * len(self._store.labels))))
        upper = int(self._graph.head[UPPER]) + count_upper(self._seed, slots, self._config.M)
        if upper > len(self._graph.upper_slot):
            room = max(upper, 2 * len(self._graph.upper_slot))
            self._graph = grown_upper(self._graph, room)
        twins = int(self._graph.head[TWINS]) + len(slots)
        if twins > len(self._graph.twins):
            self._graph = grown_twins(self._graph, 2 * twins)
        if self._numbered and not np.array_equal(labels, slots):
            self._numbered = False
        capacity, fresh = len(self._store.labels), False
        if len(self._contents) < table_size(self._entered + len(slots)) or not self._contents.size:
            raw = self._kept.rows.view(np.uint8)
            room = 2 * capacity if self._live() < n else capacity
            self._contents = content_table(raw, self._representatives(), room)
            self._entered = self._live()
            fresh = True
        if not self._numbered and (fresh or len(self._places) < len(self._contents)):
            with self._tabling:
                self._places = label_table(self._store.labels, n, len(self._contents) // 2)

    def _representatives(self) -> Slots:
        """Slots of rows that are no twins."""
        rows = self._labelled()
        rows[self._graph.twins[: int(self._graph.head[TWINS]), 0]] = False
        return np.flatnonzero(rows)

    def _grow(self, capacity: int) -> None:
        if capacity > len(self._store.labels):
            used = self._slot_count()
            store = grown_store(self._config, self._store, used, capacity)
            if self._originals is not None:
                kept = kept_config(self._config)
                self._originals = grown_store(kept, self._originals, used, capacity)
            # The store last: its size is the capacity, even if Ctrl-C falls between.
            self._graph = grown_graph(self._graph, capacity)
            self._store = store

    def _vacate(self, slots: Slots) -> None:
        """Let rows leave whose labels are gone; with the lock held.

        A row that twins equal stays as the node of the lowest of them, whose own slot is
        free then.
        """
        store, graph = self._store, self._graph
        twins = graph.twins[: int(graph.head[TWINS])].astype(np.int64)
        leaving = np.isin(twins[:, 0], slots)
        moved = []
        for node in np.intersect1d(slots, twins[~leaving, 1]):
            # The lowest of those that stay.
            heir = int(twins[~leaving & (twins[:, 1] == node), 0].min())
            store.labels[node], store.labels[heir] = store.labels[heir], NO_LABEL
            leaving |= twins[:, 0] == heir
            moved.append(node)
        buried = np.setdiff1d(slots, np.concatenate([twins[:, 0], np.array(moved, np.int64)]))
        if self._contents.size:
            forget_rows(self._contents, self._kept.rows.view(np.uint8), buried)
        graph.head[DEAD] += len(buried)
        if leaving.any():
            graph.next_twin[twins.reshape(-1)] = 0
            graph.head[TWINS] = 0
            chain_twins(graph, twins[~leaving].astype(np.uint32))
            self._free = np.sort(np.concatenate([self._free, twins[leaving, 0]]))
        if moved:
            self._rename(np.array(moved, np.int64))
        self._epoch += 1

    def _rename(self, slots: Slots) -> None:
        """Enter the labels of slots that have got those of others."""
        table = self._places.size and len(self._places) >= table_size(self._entered + len(slots))
        self._numbered = False
        if table:
            for slot in slots:
                enter_label(self._places, self._store.labels, int(slot))
            self._entered += len(slots)
        else:
            self._places = EMPTY_PLACES  # made anew when it is needed

    def _recover(self) -> None:
        """After a change that was interrupted in the middle."""
        if not self._unfinished:
            return
        with self._lock.writing():
            head = self._graph.head
            labelled = self._labelled()
            head[LIVE], head[DEAD] = np.count_nonzero(labelled), 0
            self._contents, self._places, self._entered = NO_CONTENTS, EMPTY_PLACES, 0
            self._numbered = False
            self._free = self._free_slots()
            gone = np.setdiff1d(np.flatnonzero(~labelled), self._free)
            self._vacate(gone)
            self._unfinished = False

    def _tidy(self, poll: Poll | None) -> None:
        graph = self._graph
        if self._slot_count() and not self._live():
            with self._lock.writing():
                self._unfinished = True
                graph.next_twin[: self._slot_count()] = 0
                graph.head[:] = (0, 0, 0, -1, 0, graph.head[TOP_LABEL], 0, 0, 0)
                self._free = np.empty(0, np.int64)
                self._contents, self._places, self._entered = NO_CONTENTS, EMPTY_PLACES, 0
                self._epoch += 1
                self._unfinished = False
        elif graph.head[DEAD] > max(_PATIENCE, self._live_nodes() // _PATIENCE_SHARE):
            self._purge(poll)

    def _purge(self, poll: Poll | None) -> None:
        """Take all dead nodes out of the graph, and mend what they leave."""
        if not self._graph.head[DEAD]:
            return
        store, graph = self._store, self._graph

        def tick() -> None:
            if poll is not None:
                poll(0)

        gone = np.setdiff1d(np.flatnonzero(~self._labelled()), self._free)
        # Groups of nodes that hang together leave the tree at once.
        slots, made = leave_tree(store, graph, gone)
        tick()
        with self._lock.writing():
            graph.links[slots] = made
        no_slots = graph.upper_slot[:0]
        for ill in leading_to_dead(store, graph):
            for first in range(0, len(ill), _MENDED):
                self._mend(graph.links, no_slots, ill[first : first + _MENDED])
                tick()
        if graph.head[TOP] > 0:
            ill = upper_leading_to_dead(store, graph)
            self._mend(graph.upper_links, graph.upper_slot, ill)
            tick()
        left = without_dead(store, graph)
        ends = ends_of_ways(store, graph, gone)
        with self._lock.writing():
            self._unfinished = True
            self._graph = left
            left.links[gone] = NO_LINK
            self._free = np.sort(np.concatenate([self._free, gone]))
            self._unfinished = False
        self._mend_ways(ends, poll)

    def _mend(self, links: NDArray[np.uint32], slots: NDArray[np.uint32], ill: Slots) -> None:
        if not len(ill):
            return
        ef = min(self._config.ef_construction, len(self._store.labels))
        scratch = self._take_scratch(ef)
        made = np.empty((len(ill), links.shape[1]), np.uint32)
        mend_rows(self._store, links, slots, scratch, ill, ef, made)
        self._idle.append(scratch)
        with self._lock.writing():
            links[ill] = made


def _runs(slots: Slots) -> _Runs:
    """Slots that follow each other: their first and last place, and the first slot."""
    starts = np.flatnonzero(np.diff(slots, prepend=-2) != 1).tolist()
    for first, last in zip(starts, [*starts[1:], len(slots)], strict=True):
        yield first, last, int(slots[first])


def _refuse_repeats(labels: NDArray[np.int64]) -> None:
    ordered = np.sort(labels)
    twice = ordered[1:] == ordered[:-1]
    if twice.any():
        raise LabelError(f"label {ordered[np.argmax(twice)]} is given twice")
