"""Dead nodes leave the graph: its spanning tree, the rows that lead to them, its upper levels.

Rows of links are made beside the graph and copied in at once, so that searches and an
interrupt find it whole at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, SLOT_MASK, TREE_FLAG
from annx._backends.numba_layout import (
    DEAD,
    ENTRY,
    NO_LABEL,
    ROWS,
    SEEDS,
    TOP,
    TWINS,
    UPPER,
    Graph,
    Store,
)
from annx._backends.numba_mend import row_distances

#: Rows of links looked at together.
_BLOCK = 1 << 15
#: Trees that one is hung to at most: the nearest of so many.
_CHOICE = 64

_Slots = NDArray[np.int64]


class _Edits:
    """Rows of level 0 on their way to being changed."""

    def __init__(self, links: NDArray[np.uint32]) -> None:
        self._links = links
        self.rows: dict[int, NDArray[np.uint32]] = {}

    def row(self, slot: int) -> NDArray[np.uint32]:
        return self.rows[slot] if slot in self.rows else self._links[slot]

    def edit(self, slot: int) -> NDArray[np.uint32]:
        if slot not in self.rows:
            self.rows[slot] = self._links[slot].copy()
        return self.rows[slot]

    def tree(self, slot: int) -> list[int]:
        """Neighbours in the tree."""
        row = self.row(slot)
        flagged = row[(row != NO_LINK) & ((row & TREE_FLAG) != 0)]
        return [int(link) for link in flagged & SLOT_MASK]


def _distances(store: Store, slot: int, others: list[int]) -> NDArray[np.float32]:
    out = np.empty(len(others), np.float32)
    row_distances(store, slot, np.array(others, np.int64), out)
    return out


def _with_room(store: Store, rows: _Edits, start: int, most: int) -> int:
    """Live node with fewer than `most` tree edges, as few edges from `start` as can be."""
    queue, seen = [start], {start}
    for slot in queue:
        near = rows.tree(slot)
        if len(near) < most and store.labels[slot] != NO_LABEL:
            return slot
        queue += [other for other in near if other not in seen]
        seen.update(near)
    return start


def _join(store: Store, rows: _Edits, slot: int, other: int) -> None:
    """Flag the edge from `slot` to `other` as one of the tree, in place of another if need be."""
    row = rows.edit(slot)
    used = row != NO_LINK
    same = np.flatnonzero(used & ((row & SLOT_MASK) == other))
    if len(same):
        row[same[0]] |= TREE_FLAG
        return
    link = np.uint32(other) | TREE_FLAG | OCCLUDED_FLAG
    if not used.all():
        row[np.argmin(used)] = link
        return
    loose = np.flatnonzero((row & TREE_FLAG) == 0)
    far = _distances(store, slot, [int(node) for node in row[loose] & SLOT_MASK])
    hidden = (row[loose] & OCCLUDED_FLAG) != 0
    row[loose[np.lexsort((far, hidden))[-1]]] = link


def leave_tree(store: Store, graph: Graph, dead: _Slots) -> tuple[_Slots, NDArray[np.uint32]]:
    """Rows of level 0 with a spanning tree of what is not dead.

    Without dead nodes that hang together, the tree falls apart into as many trees as they
    have neighbours in it. Each of these is hung to the nearest one before it.
    """
    rows = _Edits(graph.links)
    # A parent and M children.
    most = graph.links.shape[1] // 2 + 1
    seen: set[int] = set()
    for first in dead.tolist():
        if first in seen:
            continue
        group, around = [first], []
        seen.add(first)
        for slot in group:
            for other in rows.tree(slot):
                if store.labels[other] != NO_LABEL:
                    around.append(other)
                    _unflag(rows.edit(other), slot)
                elif other not in seen:
                    seen.add(other)
                    group.append(other)
            row = rows.edit(slot)
            row[row != NO_LINK] &= ~TREE_FLAG
        for n in range(1, len(around)):
            before = around[: min(n, _CHOICE)]
            near = before[int(np.argmin(_distances(store, around[n], before)))]
            child = _with_room(store, rows, around[n], most)
            parent = _with_room(store, rows, near, most)
            _join(store, rows, child, parent)
            _join(store, rows, parent, child)
    slots = np.array(list(rows.rows), np.int64)
    made = np.array(list(rows.rows.values()), np.uint32).reshape(-1, graph.links.shape[1])
    return slots, made


def _unflag(row: NDArray[np.uint32], neighbour: int) -> None:
    row[(row != NO_LINK) & ((row & SLOT_MASK) == neighbour)] &= ~TREE_FLAG


def leading_to_dead(store: Store, graph: Graph) -> Iterator[_Slots]:
    """Live nodes of level 0 whose links lead to dead ones, a block at a time."""
    n = int(graph.head[ROWS])
    is_dead = store.labels[:n] == NO_LABEL
    for first in range(0, n, _BLOCK):
        block = graph.links[first : min(n, first + _BLOCK)]
        leads = (block != NO_LINK) & is_dead[np.where(block == NO_LINK, 0, block & SLOT_MASK)]
        yield first + np.flatnonzero(leads.any(axis=1) & ~is_dead[first : first + len(block)])


def upper_leading_to_dead(store: Store, graph: Graph) -> _Slots:
    """Live nodes of the upper levels whose links lead to dead ones."""
    is_dead = _dead_upper(store, graph)
    links = graph.upper_links[: len(is_dead)]
    leads = (links != NO_LINK) & is_dead[np.where(links == NO_LINK, 0, links)]
    return np.flatnonzero(leads.any(axis=1) & ~is_dead)


def _dead_upper(store: Store, graph: Graph) -> NDArray[np.bool_]:
    used = int(graph.head[UPPER])
    return np.asarray(store.labels[graph.upper_slot[:used]] == NO_LABEL)


def without_dead(store: Store, graph: Graph) -> Graph:
    """Number the upper levels anew, without dead nodes, which no link leads to any more.

    If the entry point is among them, the lowest slot on the top level takes its place.
    """
    head = graph.head.copy()
    left = np.flatnonzero(~_dead_upper(store, graph))
    renamed = np.full(int(head[UPPER]) + 1, NO_LINK, np.uint32)
    renamed[left] = np.arange(len(left), dtype=np.uint32)
    level = graph.upper_level[left]
    links, down, slot = graph.upper_links[left], graph.upper_down[left], graph.upper_slot[left]
    links[:] = renamed[np.minimum(links, head[UPPER])]
    down[:] = np.where(level == 1, down, renamed[np.where(level == 1, 0, down)])
    entry, top = int(head[ENTRY]), int(level.max(initial=0))
    if top == int(head[TOP]) and top > 0 and renamed[entry] != NO_LINK:
        entry = int(renamed[entry])
    elif top > 0:
        highest = np.flatnonzero(level == top)
        entry = int(highest[np.argmin(slot[highest])])
    elif int(head[TOP]) > 0 or store.labels[entry] == NO_LABEL:
        entry = int(_nodes(store, graph)[0])
    head[UPPER], head[ENTRY], head[TOP], head[DEAD] = len(left), entry, top, 0
    seeds = _living_seeds(store, graph)
    head[SEEDS] = len(seeds)
    return graph._replace(
        head=head,
        upper_links=links,
        upper_down=down,
        upper_slot=slot,
        upper_level=level,
        seeds=np.concatenate([seeds, np.zeros(len(graph.seeds) - len(seeds), np.uint32)]),
        seeds_apart=np.full(1, np.nan, np.float32),
    )


def _living_seeds(store: Store, graph: Graph) -> NDArray[np.uint32]:
    """Instead of each seed that is dead the nearest that lives among its neighbours."""
    seeds = graph.seeds[: int(graph.head[SEEDS])]
    is_dead = store.labels[seeds] == NO_LABEL
    living = seeds[~is_dead].tolist()
    for seed in seeds[is_dead].tolist():
        row = graph.links[seed]
        near = (row[row != NO_LINK] & SLOT_MASK).astype(np.int64)
        near = near[(store.labels[near] != NO_LABEL) & ~np.isin(near, living)]
        if len(near):
            living.append(int(near[np.argmin(_distances(store, seed, near.tolist()))]))
    return np.array(living, np.uint32)


def _nodes(store: Store, graph: Graph) -> Any:
    """Live nodes of level 0."""
    n = int(graph.head[ROWS])
    alive = store.labels[:n] != NO_LABEL
    alive[graph.twins[: int(graph.head[TWINS]), 0]] = False
    return np.flatnonzero(alive)


def tree_parts(store: Store, graph: Graph) -> tuple[_Slots, int]:
    """Parts of the spanning tree: the lowest node of that of each live node, else -1.

    And the lowest of that of the entry point.
    """
    nodes = _nodes(store, graph)
    least = np.arange(int(graph.head[ROWS]))
    links = graph.links[nodes]
    starts, columns = np.nonzero((links != NO_LINK) & ((links & TREE_FLAG) != 0))
    one, other = nodes[starts], (links[starts, columns] & SLOT_MASK).astype(np.int64)
    while not np.array_equal(least[one], least[other]):
        a, b = least[one], least[other]
        np.minimum.at(least, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(least, least[least]):
            least = least[least]
    entry = int(graph.head[ENTRY])
    main = least[int(graph.upper_slot[entry]) if graph.head[TOP] > 0 else entry]
    parts = np.full(len(least), -1)
    parts[nodes] = least[nodes]
    return parts, int(main)


def joined(store: Store, graph: Graph, part: int, near: int) -> tuple[_Slots, NDArray[np.uint32]]:
    """Rows of level 0 with the tree of `part` hung to that of `near`."""
    rows = _Edits(graph.links)
    most = graph.links.shape[1] // 2 + 1
    child = _with_room(store, rows, part, most)
    parent = _with_room(store, rows, near, most)
    _join(store, rows, child, parent)
    _join(store, rows, parent, child)
    return np.array(list(rows.rows), np.int64), np.array(list(rows.rows.values()), np.uint32)
