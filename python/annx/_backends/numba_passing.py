"""Searches of level 0 for nodes that pass: a filter, being alive, or lying beyond a radius."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, SLOT_MASK
from annx._backends.numba_graph import EXPANDED, NEVER, Stop, bound_of, gather, new_epoch, place
from annx._backends.numba_growth import stop_of
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import ask_for, distance, distances, scale_at
from annx._backends.numba_layout import ROWS, Graph, Scratch, Store
from annx._backends.numba_seeds import start_of

#: In ``pool_node`` of a wide beam: this candidate counts.
_COUNTED = np.uint32(1 << 30)

#: Places in a row of what a walk cost, and its result.
EXPANSIONS, DISTANCES, FOUND = range(3)

#: Any node passes.
EVERYTHING = np.empty(0, np.bool_)


@inner
def _shrink(scratch: Scratch, count: int, counted: int, ef: int) -> tuple[int, int]:
    """Drop what lies behind the `ef`-th node that counts."""
    while counted > ef:
        count -= 1
        if scratch.pool_node[count] & _COUNTED:
            counted -= 1
            while not scratch.pool_node[count - 1] & _COUNTED:
                count -= 1
    return count, counted


@inner
def depth(scratch: Scratch, count: int, k: int) -> int:
    """Nodes up to the `k`-th that counts."""
    n = 0
    counted = 0
    while n < count and counted < k:
        counted += 1 if scratch.pool_node[n] & _COUNTED else 0
        n += 1
    return n


@inner
def wide_beam(
    store: Store,
    links: NDArray[np.uint32],
    scratch: Scratch,
    query: Any,
    i: int,
    scale: Any,
    start: int,
    start_dist: np.float32,
    ef: int,
    passing: NDArray[np.bool_],
    radius: np.float32,
    budget: int,
    walk: NDArray[np.int64],
    stop: Stop,
) -> int:
    """Fill the pool with the nearest up to the `ef`-th that counts; return how many.

    A node counts if it passes and is not nearer than `radius`. Others are expanded like
    any. Returns -1 if `budget` distances did not do. The pool has room for as many. `stop` is
    that of `beam`; with a k, it may hold 2 `ef` that count.
    """
    epoch = new_epoch(scratch)
    room = scratch.pool_dist.size
    no_slots = scratch.batch_slot[:0]
    scratch.marks[start] = epoch
    counts = passing[start] and not start_dist < radius
    scratch.pool_dist[0] = start_dist
    scratch.pool_node[0] = np.uint32(start) | (_COUNTED if counts else np.uint32(0))
    count: Any = np.int64(1)
    cursor: Any = np.int64(0)
    counted: Any = np.int64(1 if counts else 0)
    spent: Any = np.int64(1)
    k: Any = stop[0]
    least, most = stop[2], stop[3]
    width = 2 * ef if k else ef
    hops: Any = np.int64(0)
    bound: Any = np.float32(np.inf)
    while cursor < count and spent <= budget:
        node = scratch.pool_node[cursor]
        if node & EXPANDED:
            cursor += 1
            continue
        if k:
            if counted >= k:
                bound = bound_of(scratch.pool_dist[depth(scratch, count, k) - 1], stop)
            if hops >= most or (hops >= least and scratch.pool_dist[cursor] > bound):
                break
            hops += 1 if node & _COUNTED else 0
        scratch.pool_node[cursor] = np.uint32(node | EXPANDED)
        found: Any = gather(store, links, no_slots, scratch, int(node & SLOT_MASK), epoch)
        distances(store, query, i, scale, scratch.batch_slot, found, scratch.batch_dist)
        spent += found
        walk[EXPANSIONS] += 1
        cursor += 1
        for n in range(found):
            dist = scratch.batch_dist[n]
            full = counted >= width or count == room
            if not dist <= bound or (full and not dist < scratch.pool_dist[count - 1]):
                continue
            if count == room:
                count -= 1
                counted -= 1 if scratch.pool_node[count] & _COUNTED else 0
            other = scratch.batch_node[n]
            counts = passing[other] and not dist < radius
            entry = np.uint32(other | (_COUNTED if counts else np.uint32(0)))
            position = place(scratch.pool_dist, scratch.pool_node, count, room, dist, entry)
            cursor = min(cursor, position)
            count += 1
            counted += 1 if counts else 0
            count, counted = _shrink(scratch, count, counted, width)
    walk[DISTANCES] += spent
    return int(count if spent <= budget else -1)


@inner
def counted_alone(scratch: Scratch, count: int) -> int:
    """Leave the nodes that count, without marks; return how many."""
    left = 0
    for n in range(count):
        node = scratch.pool_node[n]
        if node & _COUNTED:
            scratch.pool_node[left] = np.uint32(node & SLOT_MASK)
            scratch.pool_dist[left] = scratch.pool_dist[n]
            left += 1
    return left


@entry
def within_block(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    scales: NDArray[np.float32],
    q: int,
    ef: int,
    everything: NDArray[np.bool_],
    radius: np.float32,
    budget: int,
    walk: NDArray[np.int64],
) -> int:
    """Leave the nodes within `radius` in the pool, and some beyond it.

    All of them, as far as they hang together over at most `ef` beyond it. Returns how
    many, or -1 if `budget` distances did not do.
    """
    scale = scale_at(store.metric, scales, q)
    node, dist = start_of(store, graph, scratch, queries, q, scale)
    links = graph.links
    count = wide_beam(
        store, links, scratch, queries, q, scale, node, dist, ef, everything, radius, budget, walk,
        NEVER,
    )  # fmt: skip
    for n in range(count):
        scratch.pool_node[n] = np.uint32(scratch.pool_node[n] & SLOT_MASK)
    return count


@inner
def _share_near(links: NDArray[np.uint32], node: int, passing: NDArray[np.bool_]) -> np.float64:
    """How many of the nodes two edges from here pass, as a share."""
    seen, pass_ = 0, 0
    for e in range(links.shape[1]):
        if links[node, e] == NO_LINK:
            break
        near = np.int64(links[node, e] & SLOT_MASK)
        for f in range(links.shape[1]):
            if links[near, f] == NO_LINK:
                break
            seen += 1
            pass_ += 1 if passing[links[near, f] & SLOT_MASK] else 0
    return np.float64(pass_ / seen) if seen else np.float64(1)


@entry
def local_nearest(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    scales: NDArray[np.float32],
    q: int,
    passing: NDArray[np.bool_],
    walk: NDArray[np.int64],
) -> tuple[int, float]:
    """Walk greedily to a node that is nearer than its neighbours; how many pass near it."""
    scale = scale_at(store.metric, scales, q)
    node: Any
    node, best = start_of(store, graph, scratch, queries, q, scale)
    links = graph.links
    closer = True
    while closer:
        closer = False
        here = node
        for e in range(links.shape[1]):
            if links[here, e] == NO_LINK:
                break
            other: Any = np.int64(links[here, e] & SLOT_MASK)
            dist = distance(store, queries, q, scale, other)
            walk[DISTANCES] += 1
            if dist < best:
                best, node, closer = dist, other, True
    return node, _share_near(links, node, passing) if passing.size else 1.0


@inner
def _gather_passing(
    store: Store,
    links: NDArray[np.uint32],
    scratch: Scratch,
    node: int,
    epoch: np.uint16,
    passing: NDArray[np.bool_],
) -> int:
    """Collect unvisited nodes that pass in the batch; return how many.

    These are neighbours and, while they are few, those behind neighbours that do not pass.
    """
    width = links.shape[1]
    most = width // 2 + width // 4
    found: Any = np.int64(0)
    near = 0
    for e in range(width):
        if links[node, e] == NO_LINK:
            break
        slot = np.int64(links[node, e] & SLOT_MASK)
        if passing[slot]:
            near += 1
            if scratch.marks[slot] != epoch:
                scratch.marks[slot] = epoch
                scratch.batch_slot[found] = slot
                found += 1
    for e in range(width):
        if links[node, e] == NO_LINK or near >= most:
            break
        slot = np.int64(links[node, e] & SLOT_MASK)
        if passing[slot] or scratch.marks[slot] == epoch:
            continue
        scratch.marks[slot] = epoch
        for f in range(width):
            if links[slot, f] == NO_LINK:
                break
            behind = np.int64(links[slot, f] & SLOT_MASK)
            if passing[behind] and scratch.marks[behind] != epoch:
                scratch.marks[behind] = epoch
                scratch.batch_slot[found] = behind
                found += 1
                near += 1
    for n in range(found):
        ask_for(store, int(scratch.batch_slot[n]))
    return int(found)


@entry
def among_block(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    scales: NDArray[np.float32],
    q: int,
    start: int,
    seeds: NDArray[np.int64],
    k: int,
    ef: int,
    passing: NDArray[np.bool_],
    budget: int,
    walk: NDArray[np.int64],
) -> int:
    """Fill the pool with the `ef` nearest that pass, by a beam over these alone.

    Nodes that do not pass are edges to it (ACORN-1, arXiv 2403.04871; how far to look by
    the neighbours at hand, as NaviX, arXiv 2506.23397). It starts from `start`, or no such
    node if that is -1, and from `seeds`, which pass. Returns how many, or -1 if `budget`
    distances did not do. Of a search for `k`, if that is not 0, it ends as `beam` does.
    """
    scale = scale_at(store.metric, scales, q)
    links = graph.links
    epoch = new_epoch(scratch)
    found: Any = np.int64(0)
    if start >= 0:
        scratch.marks[start] = epoch
        if passing[start]:
            scratch.batch_slot[0] = start
            found = np.int64(1)
        else:
            found = _gather_passing(store, links, scratch, start, epoch, passing)
    for seed in seeds:
        if found < scratch.batch_slot.size and scratch.marks[seed] != epoch:
            scratch.marks[seed] = epoch
            scratch.batch_slot[found] = seed
            found += 1
    count: Any = np.int64(0)
    cursor: Any = np.int64(0)
    spent: Any = np.int64(0)
    some = start if start >= 0 or not seeds.size else seeds[0]
    stop = stop_of(store, graph, scale, max(some, 0), k, ef, graph.head[ROWS])
    room = 2 * ef if stop[0] else ef
    hops: Any = np.int64(0)
    bound: Any = np.float32(np.inf)
    while True:
        distances(store, queries, q, scale, scratch.batch_slot, found, scratch.batch_dist)
        spent += found
        for n in range(found):
            dist = scratch.batch_dist[n]
            if dist <= bound and (count < room or dist < scratch.pool_dist[count - 1]):
                node = scratch.batch_slot[n]
                position = place(scratch.pool_dist, scratch.pool_node, count, room, dist, node)
                cursor = min(cursor, position)
                count = min(count + 1, room)
        while cursor < count and scratch.pool_node[cursor] & EXPANDED:
            cursor += 1
        if cursor == count or spent > budget:
            break
        if stop[0]:
            if count >= stop[0]:
                bound = bound_of(scratch.pool_dist[stop[0] - 1], stop)
            if hops >= stop[3] or (hops >= stop[2] and scratch.pool_dist[cursor] > bound):
                break
            hops += 1
        node = scratch.pool_node[cursor]
        scratch.pool_node[cursor] = np.uint32(node | EXPANDED)
        walk[EXPANSIONS] += 1
        found = _gather_passing(store, links, scratch, int(node), epoch, passing)
    for n in range(count):
        scratch.pool_node[n] = np.uint32(scratch.pool_node[n] & SLOT_MASK)
    walk[DISTANCES] += spent
    return int(count if spent <= budget else -1)
