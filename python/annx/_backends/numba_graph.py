"""Search in the graph: greedy descent, then a beam (Malkov & Yashunin 2018, Alg. 2 and 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, SLOT_MASK
from annx._backends.numba_jit import inlined, inner, make_gap, prefetch
from annx._backends.numba_kernels import ask_for, distance, distances
from annx._backends.numba_layout import ENTRY, TOP, Graph, Scratch, Store

#: In ``pool_node``: this candidate's neighbours have been seen.
EXPANDED = np.uint32(1 << 31)
_NODE = np.uint32((1 << 31) - 1)
#: k, factor, least, most, margin: see `beam`.
Stop = tuple[np.int64, np.float32, np.int64, np.int64, np.float32]
#: A stop that never comes: a beam ends when it is expanded.
NEVER: Stop = (np.int64(0), np.float32(1), np.int64(0), np.int64(0), np.float32(0))


@inlined
def bound_of(kth: np.float32, stop: Stop) -> np.float32:
    """What the next node must not be beyond. A distance of 0 may come out below."""
    return np.float32(stop[1] * max(kth, np.float32(0)) + stop[4])


@inlined
def new_epoch(scratch: Scratch) -> np.uint16:
    """Forget all marks and return the value that marks a slot from now on."""
    scratch.epoch[0] += 1
    if scratch.epoch[0] > 65535:
        scratch.marks[:] = 0
        scratch.epoch[0] = 1
    return np.uint16(scratch.epoch[0])


@inner
def descend(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    query: Any,
    i: int,
    scale: Any,
    level: int,
) -> tuple[int, np.float32]:
    """Walk greedily from the entry point to `level`: the node there, its distance."""
    node = graph.head[ENTRY]
    current = graph.head[TOP]
    slot = np.int64(graph.upper_slot[node]) if current > 0 else node
    best = distance(store, query, i, scale, slot)
    while current > level:
        closer = True
        while closer:
            closer = False
            count = np.int64(0)
            for e in range(graph.upper_links.shape[1]):
                link = graph.upper_links[node, e]
                if link == NO_LINK:
                    break
                scratch.batch_node[count] = link
                scratch.batch_slot[count] = graph.upper_slot[link]
                ask_for(store, np.int64(scratch.batch_slot[count]))
                count += 1
            distances(store, query, i, scale, scratch.batch_slot, count, scratch.batch_dist)
            for n in range(count):
                if scratch.batch_dist[n] < best:
                    best = scratch.batch_dist[n]
                    node = np.int64(scratch.batch_node[n])
                    closer = True
        node = np.int64(graph.upper_down[node])
        current -= 1
    return node, best


@inlined
def gather(
    store: Store,
    links: NDArray[np.uint32],
    slots: NDArray[np.uint32],
    scratch: Scratch,
    node: int,
    epoch: np.uint16,
) -> int:
    """Collect the unvisited neighbours of a node in the batch; return how many."""
    count = 0
    for e in range(links.shape[1]):
        link = links[node, e]
        if link == NO_LINK:
            break
        neighbour = np.uint32(link & SLOT_MASK)
        slot = slots[neighbour] if slots.size else neighbour
        if scratch.marks[slot] != epoch:
            scratch.marks[slot] = epoch
            scratch.batch_node[count] = neighbour
            scratch.batch_slot[count] = slot
            ask_for(store, np.int64(slot))
            count += 1
    return count


@inlined
def place(
    dists: NDArray[np.float32],
    nodes: NDArray[np.uint32],
    count: int,
    most: int,
    dist: np.float32,
    node: np.uint32,
) -> int:
    """Insert into a pool, after its equals; the farthest falls off a full one."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if dists[middle] <= dist:
            low = middle + 1
        else:
            high = middle
    last = count if count < most else most - 1
    make_gap(dists, low, last - low)
    make_gap(nodes, low, last - low)
    dists[low] = dist
    nodes[low] = node
    return low


@inner
def beam(
    store: Store,
    links: NDArray[np.uint32],
    slots: NDArray[np.uint32],
    scratch: Scratch,
    query: Any,
    i: int,
    scale: Any,
    start: int,
    start_dist: np.float32,
    ef: int,
    stop: Stop,
) -> int:
    """Fill the pool with the `ef` nearest nodes of one level; return how many.

    `slots` is the level's node-to-slot map, or empty at level 0. If `stop` has a
    k, the pool may hold twice as many, and this ends where the next node is `factor` times
    as far as the k-th and `margin`, but after `least` nodes, and before `most` of them.
    """
    epoch = new_epoch(scratch)
    scratch.marks[slots[start] if slots.size else start] = epoch
    scratch.pool_dist[0] = start_dist
    scratch.pool_node[0] = np.uint32(start)
    k, least, most = stop[0], stop[2], stop[3]
    room = 2 * ef if k else ef
    bound = np.float32(np.inf)
    hops = np.int64(0)
    count, cursor = np.int64(1), np.int64(0)
    while cursor < count:
        node = scratch.pool_node[cursor]
        if node & EXPANDED:
            cursor += 1
            continue
        if k:
            if count >= k:
                bound = bound_of(scratch.pool_dist[k - 1], stop)
            if hops >= most or (hops >= least and scratch.pool_dist[cursor] > bound):
                break
            hops += 1
        scratch.pool_node[cursor] = np.uint32(node | EXPANDED)
        found = gather(store, links, slots, scratch, np.int64(node), epoch)
        distances(store, query, i, scale, scratch.batch_slot, found, scratch.batch_dist)
        cursor += 1
        for n in range(found):
            dist = scratch.batch_dist[n]
            if dist <= bound and (count < room or dist < scratch.pool_dist[count - 1]):
                node = scratch.batch_node[n]
                position = place(scratch.pool_dist, scratch.pool_node, count, room, dist, node)
                cursor = min(cursor, position)
                count = min(count + 1, room)
        if cursor < count:
            following = np.int64(scratch.pool_node[cursor] & _NODE)
            prefetch(links, following, 0)
            prefetch(links, following, 64)
    for n in range(count):
        scratch.pool_node[n] = np.uint32(scratch.pool_node[n] & _NODE)
    return count
