"""Figures that tell how a graph is."""

from __future__ import annotations

import numpy as np

from annx._backends.base import NO_LINK, OCCLUDED_FLAG, TREE_FLAG, State

_BLOCK = 1 << 14


def levels(state: State) -> list[int]:
    """Count the nodes of each level, from 0 up."""
    below = len(state.rows) - len(state.twins)
    return [below, *(len(level.down) for level in state.levels)]


def graph(state: State) -> dict[str, int | float]:
    """Describe level 0: mean degree, tree edges, share of occluded links, twins."""
    links = tree = occluded = 0
    for first in range(0, len(state.links), _BLOCK):
        block = state.links[first : first + _BLOCK]
        used = block != NO_LINK
        links += int(np.count_nonzero(used))
        tree += int(np.count_nonzero(used & ((block & TREE_FLAG) != 0)))
        occluded += int(np.count_nonzero(used & ((block & OCCLUDED_FLAG) != 0)))
    nodes = len(state.rows) - len(state.twins)
    return {
        "mean_degree": links / max(nodes, 1),
        # Each is a link at both of its ends.
        "tree_edges": tree // 2,
        "occluded_share": occluded / max(links, 1),
        "twins": len(state.twins),
    }
