"""Insertion: levels, neighbour selection (Malkov & Yashunin 2018, Alg. 1 and 4), twins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, SLOT_MASK, TREE_FLAG
from annx._backends.numba_graph import NEVER, beam, descend
from annx._backends.numba_hash import find_or_insert_row, insert_label, mix
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import code_distance, distances, load, scale_of
from annx._backends.numba_layout import (
    ENTRY,
    LIVE,
    NO_LABEL,
    ROWS,
    TOP,
    TOP_LABEL,
    TWINS,
    UPPER,
    Graph,
    Scratch,
    Store,
)
from annx._backends.numba_seeds import nearest_start, offer_seed
from annx._backends.numba_tree import FILLED, KEPT, REJECTED, find_parent


@inner
def level_of(seed: np.uint64, slot: int, M: int) -> int:
    """Level of a slot, the same whatever was inserted before it."""
    state = np.uint64(np.uint64(seed * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(slot))
    uniform = np.float64(mix(state) >> np.uint64(11)) * 2.0**-53
    return np.int64(-math.log1p(-uniform) / math.log(M))


@entry
def count_upper(seed: np.uint64, slots: NDArray[np.int64], M: int) -> int:
    """Nodes above level 0 that slots need at most."""
    total = 0
    for slot in slots:
        total += level_of(seed, slot, M)
    return total


@inner
def select(
    store: Store,
    slots: NDArray[np.uint32],
    nodes: NDArray[np.uint32],
    dists: NDArray[np.float32],
    count: int,
    most: int,
    role: NDArray[np.uint8],
    kept: NDArray[np.uint32],
) -> None:
    """Algorithm 4 with fill-up over candidates sorted by distance; sets their roles."""
    chosen = 0
    for n in range(count):
        role[n] = REJECTED
        if chosen < most:
            node = nodes[n]
            slot = slots[node] if slots.size else node
            closest = True
            for c in range(chosen):
                if code_distance(store, np.int64(slot), np.int64(kept[c])) < dists[n]:
                    closest = False
                    break
            if closest:
                kept[chosen] = slot
                chosen += 1
                role[n] = KEPT
    for n in range(count):
        if chosen == most:
            break
        if role[n] == REJECTED:
            role[n] = FILLED
            chosen += 1


@inner
def _length(row: NDArray[np.uint32], node: int) -> int:
    length = 0
    while length < row.shape[1] and row[node, length] != NO_LINK:
        length += 1
    return length


@inner
def _reverse_upper(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    target: int,
    node: int,
    dist: np.float32,
) -> None:
    links = graph.upper_links
    length = _length(links, target)
    if length < links.shape[1]:
        links[target, length] = node
        return
    for e in range(length):
        scratch.batch_node[e] = links[target, e]
        scratch.batch_slot[e] = graph.upper_slot[links[target, e]]
    slot = np.int64(graph.upper_slot[target])
    distances(
        store,
        store.rows,
        slot,
        scale_of(store, slot),
        scratch.batch_slot,
        length,
        scratch.batch_dist,
    )
    scratch.batch_node[length] = node
    scratch.batch_dist[length] = dist
    for n in range(1, length + 1):
        moved, far = scratch.batch_node[n], scratch.batch_dist[n]
        at = n
        while at > 0 and scratch.batch_dist[at - 1] > far:
            scratch.batch_node[at] = scratch.batch_node[at - 1]
            scratch.batch_dist[at] = scratch.batch_dist[at - 1]
            at -= 1
        scratch.batch_node[at] = moved
        scratch.batch_dist[at] = far
    select(
        store,
        graph.upper_slot,
        scratch.batch_node,
        scratch.batch_dist,
        length + 1,
        length,
        scratch.batch_role,
        scratch.batch_slot,
    )
    used = 0
    for n in range(length + 1):
        if scratch.batch_role[n] != REJECTED:
            links[target, used] = scratch.batch_node[n]
            used += 1


@inner
def _link_upper(store: Store, graph: Graph, scratch: Scratch, node: int, count: int) -> None:
    links = graph.upper_links
    select(
        store,
        graph.upper_slot,
        scratch.pool_node,
        scratch.pool_dist,
        count,
        links.shape[1],
        scratch.role,
        scratch.batch_slot,
    )
    used = 0
    for n in range(count):
        if scratch.role[n] != REJECTED:
            links[node, used] = scratch.pool_node[n]
            used += 1
            target = np.int64(scratch.pool_node[n])
            _reverse_upper(store, graph, scratch, target, node, scratch.pool_dist[n])


@inner
def _evict(
    links: NDArray[np.uint32],
    target: int,
    link: np.uint32,
    dist: np.float32,
    target_dist: NDArray[np.float32],
) -> None:
    """Put `link` into a full row in place of its worst edge, unless it is that edge."""
    width = links.shape[1]
    newcomer = np.int64(width)
    worst, farthest, occluded = np.int64(-1), np.float32(0), False
    for e in range(width + 1):
        edge = link if e == newcomer else links[target, e]
        if edge & TREE_FLAG:
            continue
        far = dist if e == newcomer else target_dist[e]
        is_occluded = (edge & OCCLUDED_FLAG) != 0
        if (
            worst < 0
            or (is_occluded and not occluded)
            or (is_occluded == occluded and far > farthest)
        ):
            worst, farthest, occluded = e, far, is_occluded
    if worst >= 0 and worst != newcomer:
        links[target, worst] = link


@inner
def _reverse_base(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    target: int,
    slot: int,
    dist: np.float32,
    flags: np.uint32,
) -> None:
    """Offer the edge from `target` to the new `slot`; mark whom either occludes."""
    links = graph.links
    length = _length(links, target)
    for e in range(length):
        scratch.batch_slot[e] = np.uint32(links[target, e] & SLOT_MASK)
    of_target, of_slot = scratch.batch_dist, scratch.batch_other
    slots = scratch.batch_slot
    distances(store, store.rows, target, scale_of(store, target), slots, length, of_target)
    distances(store, store.rows, slot, scale_of(store, slot), slots, length, of_slot)
    occluded = False
    for e in range(length):
        hidden = (links[target, e] & OCCLUDED_FLAG) != 0
        if not hidden and of_target[e] < dist and of_slot[e] < dist:
            occluded = True
            break
    link = np.uint32(np.uint32(slot) | flags)
    if occluded:
        link = np.uint32(link | OCCLUDED_FLAG)
    else:
        for e in range(length):
            if of_target[e] > dist and of_slot[e] < of_target[e]:
                links[target, e] = np.uint32(links[target, e] | OCCLUDED_FLAG)
    if length < links.shape[1]:
        links[target, length] = link
    else:
        _evict(links, target, link, dist, of_target)


@inner
def _link_base(store: Store, graph: Graph, scratch: Scratch, slot: int, count: int) -> None:
    links = graph.links
    width = links.shape[1]
    select(
        store,
        graph.upper_slot[:0],
        scratch.pool_node,
        scratch.pool_dist,
        count,
        width,
        scratch.role,
        scratch.batch_slot,
    )
    parent = find_parent(links, scratch, count)
    used = 0
    hung = False
    for n in range(count):
        if scratch.role[n] == REJECTED:
            continue
        target = np.int64(scratch.pool_node[n])
        flags = TREE_FLAG if target == parent else np.uint32(0)
        hidden = OCCLUDED_FLAG if scratch.role[n] == FILLED else np.uint32(0)
        links[slot, used] = np.uint32(np.uint32(target) | flags | hidden)
        used += 1
        hung = hung or target == parent
        _reverse_base(store, graph, scratch, target, slot, scratch.pool_dist[n], flags)
    if not hung:
        # The parent takes the place of the farthest.
        used = min(used, width - 1)
        links[slot, used] = np.uint32(np.uint32(parent) | TREE_FLAG | OCCLUDED_FLAG)
        dist = code_distance(store, slot, parent)
        _reverse_base(store, graph, scratch, parent, slot, dist, TREE_FLAG)


@inner
def _alive(store: Store, slots: NDArray[np.uint32], scratch: Scratch, count: int) -> int:
    """Leave the nodes of the pool that are not dead, if there are any; return how many."""
    alive = 0
    for n in range(count):
        node = scratch.pool_node[n]
        if store.labels[slots[node] if slots.size else node] != NO_LABEL:
            scratch.pool_node[alive] = node
            scratch.pool_dist[alive] = scratch.pool_dist[n]
            alive += 1
    return alive if alive else count


@inner
def _insert(
    store: Store, graph: Graph, scratch: Scratch, slot: int, level: int, ef: int, dead: bool
) -> None:
    """Algorithm 1. The row of the slot is stored, and no earlier row equals it."""
    head = graph.head
    first = head[UPPER]
    for n in range(level):
        graph.upper_slot[first + n] = slot
        graph.upper_down[first + n] = slot if n == 0 else first + n - 1
        graph.upper_level[first + n] = n + 1
        graph.upper_links[first + n, :] = NO_LINK
    head[UPPER] += level
    top = head[TOP]
    if top >= 0:
        query, row = scratch.query, np.int64(0)
        scale = load(store.rows, slot, scale_of(store, slot), query, row)
        shared = min(level, top)
        node, dist = descend(store, graph, scratch, query, row, scale, shared)
        for n in range(shared - 1, -1, -1):
            count = beam(
                store, graph.upper_links, graph.upper_slot, scratch, query, row, scale, node, dist,
                ef, NEVER,
            )  # fmt: skip
            node = np.int64(graph.upper_down[scratch.pool_node[0]])
            dist = scratch.pool_dist[0]
            if dead:
                count = _alive(store, graph.upper_slot, scratch, count)
            _link_upper(store, graph, scratch, first + n, count)
        node, dist = nearest_start(store, graph, query, row, scale, node, dist)
        base = graph.upper_slot[:0]
        count = beam(store, graph.links, base, scratch, query, row, scale, node, dist, ef, NEVER)
        if dead:
            count = _alive(store, base, scratch, count)
        _link_base(store, graph, scratch, slot, count)
    offer_seed(store, graph, slot)
    if level > top:
        head[TOP] = level
        head[ENTRY] = first + level - 1 if level else slot


@inner
def _add_twin(graph: Graph, slot: int, first: int) -> None:
    head = graph.head
    graph.twins[head[TWINS], 0] = slot
    graph.twins[head[TWINS], 1] = first
    head[TWINS] += 1
    last = np.int64(graph.next_twin[first]) - 1
    if last < 0:
        graph.next_twin[slot] = slot + 1
    else:
        graph.next_twin[slot] = graph.next_twin[last]
        graph.next_twin[last] = slot + 1
    graph.next_twin[first] = slot + 1


@entry
def chain_twins(graph: Graph, twins: NDArray[np.uint32]) -> None:
    """Enter twins that are known from a file."""
    for n in range(twins.shape[0]):
        _add_twin(graph, np.int64(twins[n, 0]), np.int64(twins[n, 1]))


@entry
def insert_block(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    raw: NDArray[np.uint8],
    contents: NDArray[np.uint64],
    label_places: NDArray[np.uint32],
    seed: np.uint64,
    slots: NDArray[np.int64],
    labels: NDArray[np.int64],
    replaced: NDArray[np.int64],
    dead: bool,
    ef: int,
) -> None:
    """Insert the stored rows of `slots` one by one, under `labels`.

    `replaced` are the slots that these labels had, or -1; `dead` says whether there are
    rows without a label.
    """
    M = graph.upper_links.shape[1]
    head = graph.head
    for n in range(slots.size):
        slot = slots[n]
        graph.links[slot, :] = NO_LINK
        first = find_or_insert_row(contents, raw, slot)
        if first >= 0:
            _add_twin(graph, slot, first)
        else:
            _insert(store, graph, scratch, slot, level_of(seed, slot, M), ef, dead)
        if replaced[n] >= 0:
            store.labels[replaced[n]] = NO_LABEL
        else:
            head[LIVE] += 1
        store.labels[slot] = labels[n]
        insert_label(label_places, store.labels, slot)
        head[TOP_LABEL] = max(head[TOP_LABEL], labels[n])
        head[ROWS] = max(head[ROWS], slot + 1)


def level_seed(seed: int) -> Any:
    """Take the 64 bits of a seed that decide levels."""
    return np.uint64(seed & 0xFFFFFFFFFFFFFFFF)
