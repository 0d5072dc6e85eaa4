"""What must hold of every graph."""

from __future__ import annotations

import numpy as np

from annx._backends.base import NO_LINK, SLOT_MASK, TREE_FLAG
from annx._check import check_state


def neighbours(links, row):
    used = links[row][links[row] != NO_LINK]
    return used & SLOT_MASK


def reachable(links, start, allowed=lambda link: True):
    """Rows that a walk along the links finds."""
    seen = {int(start)}
    todo = [int(start)]
    while todo:
        row = todo.pop()
        for link in links[row]:
            node = int(link & SLOT_MASK)
            if link != NO_LINK and allowed(link) and node not in seen:
                seen.add(node)
                todo.append(node)
    return seen


def entry_slot(state):
    """The slot of the entry point, from the top level down."""
    node = state.entry
    for level in reversed(state.levels):
        node = level.down[node]
    return int(node)


def check_graph(index):
    """All that is in the index can be reached, and nothing leads elsewhere."""
    state = index._core.export_state()
    check_state(index._config, state)
    n = len(state.rows)
    if n == 0:
        return
    removed = set(np.flatnonzero(state.labels == -1).tolist())
    dead = {row for row in removed if state.links[row, 0] != NO_LINK}
    nodes = set(range(n)) - set(state.twins[:, 0].tolist()) - (removed - dead)
    start = entry_slot(state)
    assert reachable(state.links, start) >= nodes - dead
    # The tree alone spans level 0, and has no edge more than a tree.
    assert reachable(state.links, start, lambda link: link & TREE_FLAG) == nodes
    tree = (state.links != NO_LINK) & ((state.links & TREE_FLAG) != 0)
    assert np.count_nonzero(tree) == 2 * (len(nodes) - 1)
