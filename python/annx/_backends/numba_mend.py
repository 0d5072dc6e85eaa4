"""Rows of links that lead to dead nodes choose again.

Among what is left, and what the dead led to (delete consolidation of FreshDiskANN, arXiv
2105.09613, section 4.2, by Algorithm 4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, SLOT_MASK, TREE_FLAG
from annx._backends.numba_build import select
from annx._backends.numba_graph import new_epoch, place
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import code_distance
from annx._backends.numba_layout import NO_LABEL, Scratch, Store
from annx._backends.numba_tree import FILLED, KEPT


@inner
def _slot(slots: NDArray[np.uint32], node: int) -> Any:
    return np.int64(slots[node]) if slots.size else np.int64(node)


@inner
def _around(
    store: Store,
    links: NDArray[np.uint32],
    slots: NDArray[np.uint32],
    scratch: Scratch,
    node: int,
    ef: int,
) -> int:
    """Leave the nearest live neighbours of a node and of its dead ones in the pool.

    Where these are few, also those of the dead behind the dead.
    """
    width = links.shape[1]
    epoch = new_epoch(scratch)
    own = _slot(slots, node)
    scratch.marks[own] = epoch
    queue = scratch.batch_node
    queue[0] = np.uint32(node)
    queued, near, seen, at = 1, 1, 0, 0
    count: Any = np.int64(0)
    while at < queued and (at < near or seen < width):
        for e in range(width):
            link = links[queue[at], e]
            if link == NO_LINK:
                break
            other = np.uint32(link & SLOT_MASK)
            slot = _slot(slots, int(other))
            if scratch.marks[slot] == epoch:
                continue
            scratch.marks[slot] = epoch
            if store.labels[slot] == NO_LABEL:
                if queued < queue.size:
                    queue[queued] = other
                    queued += 1
                continue
            seen += 1
            dist = code_distance(store, own, slot)
            if count < ef or dist < scratch.pool_dist[count - 1]:
                place(scratch.pool_dist, scratch.pool_node, count, ef, dist, other)
                count = min(count + 1, ef)
        if at == 0:
            near = queued
        at += 1
    return int(count)


@inner
def _has(row: NDArray[np.uint32], r: int, used: int, node: np.uint32) -> bool:
    for e in range(used):
        if np.uint32(row[r, e] & SLOT_MASK) == node:
            return True
    return False


@inner
def _role(scratch: Scratch, count: int, node: np.uint32) -> Any:
    for n in range(count):
        if scratch.pool_node[n] == node:
            return scratch.role[n]
    return FILLED


@entry
def mend_rows(
    store: Store,
    links: NDArray[np.uint32],
    slots: NDArray[np.uint32],
    scratch: Scratch,
    nodes: NDArray[np.int64],
    ef: int,
    out: NDArray[np.uint32],
) -> None:
    """Write what the rows of `nodes` are without dead nodes; edges of the tree stay.

    `slots` is the level's node-to-slot map, or empty at level 0.
    """
    width = links.shape[1]
    flagged = slots.size == 0
    out[:, :] = NO_LINK
    for r in range(nodes.size):
        node = nodes[r]
        count = _around(store, links, slots, scratch, node, ef)
        pool, dists, kept = scratch.pool_node, scratch.pool_dist, scratch.batch_slot
        select(store, slots, pool, dists, count, width, scratch.role, kept)
        used = 0
        if flagged:
            for e in range(width):
                link = links[node, e]
                if link == NO_LINK:
                    break
                if link & TREE_FLAG:
                    other = np.uint32(link & SLOT_MASK)
                    hidden = _role(scratch, count, other) != KEPT
                    out[r, used] = other | TREE_FLAG | (OCCLUDED_FLAG if hidden else np.uint32(0))
                    used += 1
        for role in (KEPT, FILLED):
            for n in range(count):
                if used == width:
                    break
                other = scratch.pool_node[n]
                if scratch.role[n] == role and not _has(out, r, used, other):
                    hidden = flagged and role == FILLED
                    out[r, used] = other | (OCCLUDED_FLAG if hidden else np.uint32(0))
                    used += 1


@entry
def row_distances(
    store: Store, slot: int, others: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Distances between stored rows."""
    for n in range(others.size):
        out[n] = code_distance(store, slot, others[n])
