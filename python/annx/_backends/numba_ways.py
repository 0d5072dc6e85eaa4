"""Ways from one cluster to another that went with removed rows; see ``cpp/graph/ways.cpp``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, SLOT_MASK, TREE_FLAG, Poll
from annx._backends.numba_jit import entry
from annx._backends.numba_kernels import code_distance
from annx._backends.numba_layout import NO_LABEL, Graph, Scratch, Store
from annx._backends.numba_mend import row_distances
from annx._backends.numba_parts import Parts, Slots
from annx._backends.numba_seeds import beam_for

#: Of what each removed row led to, how much is searched for.
_ENDS = 2
#: As narrow as searches are. What one link leads to, the second round finds.
_WIDTH, _ROUNDS = 32, 2
#: Searches between two changes of the graph.
_BLOCK = 1024


@entry
def _far_ends(
    store: Store,
    links: NDArray[np.uint32],
    gone: NDArray[np.int64],
    out: NDArray[np.int64],
    far: NDArray[np.float32],
) -> None:
    """Enter the farthest living neighbours of removed rows that no other hides, else -1."""
    out[:, :] = -1
    far[:, :] = -np.inf
    for n in range(gone.size):
        for e in range(links.shape[1]):
            link = links[gone[n], e]
            if link == NO_LINK:
                break
            other: Any = np.int64(link & SLOT_MASK)
            if link & OCCLUDED_FLAG or store.labels[other] == NO_LABEL:
                continue
            dist = code_distance(store, gone[n], other)
            at = _ENDS
            while at > 0 and dist > far[n, at - 1]:
                at -= 1
            for later in range(_ENDS - 1, at, -1):
                far[n, later], out[n, later] = far[n, later - 1], out[n, later - 1]
            if at < _ENDS:
                far[n, at], out[n, at] = dist, other


@entry
def _find_nodes(
    store: Store, graph: Graph, scratch: Scratch, slots: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Enter each node that a search for it finds, else the nearest one that it found.

    Those no nearer than all that it found count as found: under ``"ip"`` short rows are such.
    """
    for n in range(slots.size):
        slot = slots[n]
        count = beam_for(store, graph, scratch, slot, _WIDTH)
        out[n] = np.int64(scratch.pool_node[0] & SLOT_MASK)
        if count == _WIDTH and code_distance(store, slot, slot) >= scratch.pool_dist[count - 1]:
            out[n] = slot
        for i in range(count):
            if np.int64(scratch.pool_node[i] & SLOT_MASK) == slot:
                out[n] = slot


def ends_of_ways(store: Store, graph: Graph, gone: Slots) -> Slots:
    """What removed rows led to, before their links are cleared."""
    ends = np.empty((len(gone), _ENDS), np.int64)
    _far_ends(store, graph.links, gone, ends, np.empty(ends.shape, np.float32))
    return np.unique(ends[ends >= 0])


def _lead(store: Store, row: NDArray[np.uint32], slot: int, target: int) -> None:
    """Take `target` into a row, in place of its farthest occluded link but those of the tree."""
    used = row != NO_LINK
    if (used & ((row & SLOT_MASK) == target)).any():
        return
    if not used.all():
        row[np.argmin(used)] = target
        return
    loose = np.flatnonzero(((row & OCCLUDED_FLAG) != 0) & ((row & TREE_FLAG) == 0))
    if len(loose):
        far = np.empty(len(loose), np.float32)
        row_distances(store, slot, (row[loose] & SLOT_MASK).astype(np.int64), far)
        row[loose[np.argmax(far)]] = target


class Ways(Parts):
    """Where a search for what removed rows led to ends elsewhere, a link leads from there."""

    def _mend_ways(self, ends: Slots, poll: Poll | None) -> None:
        store, graph = self._store, self._graph
        none = np.empty(0, np.int64)
        self._compile(_find_nodes, "", lambda scratch: (store, graph, scratch, none, none))
        for _ in range(_ROUNDS):
            missed = [none]
            for first in range(0, len(ends), _BLOCK):
                block = ends[first : first + _BLOCK]
                found = np.empty(len(block), np.int64)
                scratch = self._take_scratch(_WIDTH)
                _find_nodes(store, graph, scratch, block, found)
                self._idle.append(scratch)
                lost = found != block
                rows: dict[int, NDArray[np.uint32]] = {}
                for slot, end in zip(found[lost].tolist(), block[lost].tolist(), strict=True):
                    _lead(store, rows.setdefault(slot, graph.links[slot].copy()), slot, end)
                with self._lock.writing():
                    for slot, row in rows.items():
                        graph.links[slot] = row
                missed.append(block[lost])
                if poll is not None:
                    poll(0)
            ends = np.concatenate(missed)
