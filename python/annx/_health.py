"""Figures that tell how a graph is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import (
    NO_LINK,
    OCCLUDED_FLAG,
    SLOT_MASK,
    TREE_FLAG,
    Config,
    State,
)
from annx._check import check_state, components
from annx.errors import FormatError

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


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What `Index.check` found.

    Attributes
    ----------
    n : int
        Rows.
    invalid : str
        What contradicts itself in the index; empty if nothing does.
    unreachable : ndarray of int64
        Labels that no walk over the graph from its entry point comes to.
    parts : int
        Parts that the spanning tree has fallen into: 1, or 0 in an empty index, if it is whole.
    one_way_share : float
        Share of the links whose other end has no link back. Some 0.3 to 0.5 is usual.
    least_degree : int
        Fewest links of a row.
    duplicate_groups, largest_group : int
        Groups of equal rows, and the rows of the largest.
    dead_share : float
        Share of the graph's nodes that were removed but still passed through.
    free : int
        Slots that wait for rows to come.
    source : str
        ``"file"`` if the index was read from bytes whose checksums were verified, else
        ``"memory"``.
    """

    n: int
    invalid: str
    unreachable: NDArray[np.int64]
    parts: int
    one_way_share: float
    least_degree: int
    duplicate_groups: int
    largest_group: int
    dead_share: float
    free: int
    source: str

    @property
    def ok(self) -> bool:
        """Whether nothing is invalid and every row can be reached."""
        return not self.invalid and not len(self.unreachable) and self.parts <= 1


def examine(config: Config, state: State, source: str) -> HealthReport:
    """Look at all of an index."""
    invalid = ""
    try:
        check_state(config, state)
    except FormatError as error:
        invalid = str(error)
    removed = state.labels == -1
    unlinked = state.links[:, 0] == NO_LINK
    outside = removed & unlinked
    outside[state.twins[:, 0]] = True
    alive = ~outside & ~removed
    used = state.links != NO_LINK
    ends = np.where(used, state.links & SLOT_MASK, 0)
    starts, columns = np.nonzero(used)
    stops = ends[starts, columns]
    lost = alive & ~_reached(state, used, ends)
    tree = (state.links[starts, columns] & TREE_FLAG) != 0
    roots = components(len(state.labels), starts[tree], stops[tree])
    forward = starts.astype(np.uint64) << np.uint64(32) | stops
    back = stops.astype(np.uint64) << np.uint64(32) | starts.astype(np.uint64)
    groups = np.unique(state.twins[:, 1], return_counts=True)[1] + 1
    nodes = int(np.count_nonzero(~outside))
    missing = np.isin(state.twins[:, 1], np.flatnonzero(lost))
    unreachable = [state.labels[lost], state.labels[state.twins[missing, 0]]]
    return HealthReport(
        n=int(np.count_nonzero(~removed)),
        invalid=invalid,
        unreachable=np.concatenate(unreachable),
        parts=len(np.unique(roots[alive])),
        one_way_share=float(np.mean(~np.isin(forward, back))) if len(forward) else 0.0,
        least_degree=int(used[alive].sum(axis=1).min(initial=state.links.shape[1])),
        duplicate_groups=len(groups),
        largest_group=int(groups.max(initial=0)),
        dead_share=float(1 - np.count_nonzero(alive) / max(nodes, 1)),
        free=_free(state),
        source=source,
    )


def _reached(state: State, used: NDArray[np.bool_], ends: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Slots that a walk from the entry point comes to on level 0."""
    reached = np.zeros(len(state.labels), np.bool_)
    if not len(reached):
        return reached
    entry = state.entry
    for level in reversed(state.levels):
        entry = int(level.down[entry])
    edge = np.array([entry])
    while len(edge):
        reached[edge] = True
        found = np.unique(ends[edge][used[edge]])
        edge = found[~reached[found]]
    return reached
