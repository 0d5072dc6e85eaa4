"""Where a new node hangs in the spanning tree that keeps level 0 connected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, SLOT_MASK, TREE_FLAG
from annx._backends.numba_jit import inner
from annx._backends.numba_layout import Scratch

#: What neighbour selection makes of a candidate.
REJECTED, KEPT, FILLED = np.uint8(0), np.uint8(1), np.uint8(2)


@inner
def _has_room(links: NDArray[np.uint32], slot: int) -> bool:
    """Whether a node has fewer tree edges than a parent and M children.

    These are at least 3, so that a full subtree of depth h has 2^h nodes.
    """
    degree = 0
    for e in range(links.shape[1]):
        if links[slot, e] == NO_LINK:
            break
        if links[slot, e] & TREE_FLAG:
            degree += 1
    return bool(degree <= links.shape[1] // 2)


@inner
def _room_near(links: NDArray[np.uint32], scratch: Scratch, start: int, depth: int) -> int:
    """Find a node with room at most `depth` tree edges from `start`, or -1."""
    slots, edges = scratch.path_slot, scratch.path_edge
    slots[0] = start
    edges[0] = 0
    at = np.int64(0)
    while at >= 0:
        e = edges[at]
        if e == links.shape[1] or links[slots[at], e] == NO_LINK:
            at -= 1
            continue
        edges[at] = e + 1
        link = links[slots[at], e]
        slot: Any = np.int64(link & SLOT_MASK)
        if not link & TREE_FLAG or (at > 0 and slot == slots[at - 1]):
            continue
        if _has_room(links, slot):
            return int(slot)
        if at + 1 < depth:
            at += 1
            slots[at] = slot
            edges[at] = 0
    return -1


@inner
def find_parent(links: NDArray[np.uint32], scratch: Scratch, count: int) -> int:
    """Choose the node to hang a new one on, the nearest of the pool with room.

    Where none has, one is some log2(n) edges away at most: deepening step by step finds
    it without a queue, at twice the cost of a walk by breadth.
    """
    slot: Any
    for n in range(count):
        slot = np.int64(scratch.pool_node[n])
        if scratch.role[n] != REJECTED and _has_room(links, slot):
            return int(slot)
    for n in range(count):
        slot = np.int64(scratch.pool_node[n])
        if _has_room(links, slot):
            return int(slot)
    start: Any = np.int64(scratch.pool_node[0])
    for depth in range(1, scratch.path_slot.size + 1):
        slot = np.int64(_room_near(links, scratch, start, depth))
        if slot >= 0:
            return int(slot)
    return int(start)
