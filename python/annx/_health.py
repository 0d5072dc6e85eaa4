"""Figures that tell how a graph is."""

from __future__ import annotations

import numpy as np

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, TREE_FLAG, State

_BLOCK = 1 << 14


def levels(state: State) -> list[int]:
    """Count the nodes of each level, from 0 up."""
    return [_nodes(state), *(len(level.down) for level in state.levels)]


def _free(state: State) -> int:
    """Count the slots that hold nothing."""
    return int(np.count_nonzero((state.labels == -1) & (state.links[:, 0] == NO_LINK)))


def _nodes(state: State) -> int:
    return len(state.rows) - len(state.twins) - _free(state)


def graph(state: State) -> dict[str, int | float]:
    """Describe level 0: mean degree, tree edges, share of occluded links, twins, removed rows."""
    links = tree = occluded = 0
    for first in range(0, len(state.links), _BLOCK):
        block = state.links[first : first + _BLOCK]
        used = block != NO_LINK
        links += int(np.count_nonzero(used))
        tree += int(np.count_nonzero(used & ((block & TREE_FLAG) != 0)))
        occluded += int(np.count_nonzero(used & ((block & OCCLUDED_FLAG) != 0)))
    nodes, free = _nodes(state), _free(state)
    return {
        "mean_degree": links / max(nodes, 1),
        # Each is a link at both of its ends.
        "tree_edges": tree // 2,
        "occluded_share": occluded / max(links, 1),
        "twins": len(state.twins),
        "dead": int(np.count_nonzero(state.labels == -1)) - free,
        "free": free,
    }
