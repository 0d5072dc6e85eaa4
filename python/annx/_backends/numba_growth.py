"""How distances grow with rank, and where a search ends; see ``cpp/graph/growth.h``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import GROWTH_RANKS, SLOT_MASK
from annx._backends.numba_graph import NEVER, Stop
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_layout import Graph, Scratch, Store
from annx._backends.numba_rerank import DEVIATIONS, error_of
from annx._backends.numba_seeds import beam_for

#: Width of the beam that looks for what it is learned from, without the row itself.
WIDEST = 1 << (GROWTH_RANKS - 1)
#: Samples that a median needs.
_FEWEST = 16
#: Rank whose distance is a sample's unit, as a power of 2.
_UNIT = 4
#: Copies of a row are at distance 0; a ratio to that says nothing.
_LEAST = np.float32(1e-6)


@inner
def _logarithm(growth: NDArray[np.float32], rank: int) -> np.float64:
    at = np.log2(np.float64(rank))
    below = min(int(at), GROWTH_RANKS - 2)
    low = np.log2(np.float64(growth[1 + below]))
    high = np.log2(np.float64(growth[2 + below]))
    return np.float64(low + (high - low) * (at - below))


@inner
def stop_of(store: Store, graph: Graph, scale: Any, node: int, k: int, ef: int, nodes: int) -> Stop:
    """When a beam of width `ef` among `nodes` stops.

    `scale` is the query's, and `node` any: they tell how far distances may be from the truth.
    """
    growth = graph.growth
    if not growth[1] > 0 or k == 0 or 2 * ef >= nodes:
        return NEVER
    grown = max(0.0, _logarithm(growth, ef) - _logarithm(growth, k))
    margin = DEVIATIONS * error_of(store, scale, node)
    factor = np.float32(2.0 ** min(grown, 100.0))
    return np.int64(k), factor, np.int64(max(k, ef // 2)), np.int64(2 * ef), np.float32(margin)


@entry
def profile_block(
    store: Store, graph: Graph, scratch: Scratch, slots: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Enter how far the neighbours of rank 1, 2, 4 ... of these nodes are, if there are so many."""
    for n in range(slots.size):
        slot = slots[n]
        count = beam_for(store, graph, scratch, slot, WIDEST + 1)
        if count <= WIDEST:
            continue
        self: Any = np.int64(0)
        while self + 1 < count and np.int64(scratch.pool_node[self] & SLOT_MASK) != slot:
            self += 1
        for r in range(GROWTH_RANKS):
            at = (1 << r) - 1
            out[n, r] = scratch.pool_dist[at if at < self else at + 1]


def median_profile(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of the samples, each in its own unit; zeros of few."""
    unit = samples[:, _UNIT : _UNIT + 1]
    scaled = samples / np.where(unit > 0, unit, np.float32(np.nan))
    scaled = np.maximum(scaled[np.isfinite(scaled).all(axis=1)], _LEAST)
    if len(scaled) < _FEWEST:
        return np.zeros(GROWTH_RANKS, np.float32)
    middle = np.sort(scaled, axis=0)[len(scaled) // 2]
    return np.asarray(np.maximum.accumulate(middle), np.float32)
