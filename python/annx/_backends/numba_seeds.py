"""Nodes far from each other, where a search may begin; see ``cpp/graph/seeds.h``."""

from __future__ import annotations

from typing import Any

import numpy as np

from annx._backends.numba_graph import NEVER, beam, descend
from annx._backends.numba_jit import inner
from annx._backends.numba_kernels import code_distance, distance, load, scale_of
from annx._backends.numba_layout import SEEDS, Graph, Scratch, Store


@inner
def nearest_start(
    store: Store, graph: Graph, query: Any, i: int, scale: Any, node: int, best: np.float32
) -> tuple[int, np.float32]:
    """Return the seed nearest to the query and its distance, or `node` if that is as near."""
    for n in range(graph.head[SEEDS]):
        seed = np.int64(graph.seeds[n])
        dist = distance(store, query, i, scale, seed)
        if dist < best:
            node, best = seed, dist
    return node, best


@inner
def start_of(
    store: Store, graph: Graph, scratch: Scratch, query: Any, i: int, scale: Any
) -> tuple[int, np.float32]:
    """Where a search on level 0 begins, and its distance."""
    node, best = descend(store, graph, scratch, query, i, scale, 0)
    return nearest_start(store, graph, query, i, scale, node, best)


@inner
def beam_for(store: Store, graph: Graph, scratch: Scratch, slot: int, ef: int) -> Any:
    """Search for a node by a beam, left in the pool; return how many that holds."""
    row: Any = np.int64(0)
    scale = load(store.rows, slot, scale_of(store, slot), scratch.query, row)
    node, dist = start_of(store, graph, scratch, scratch.query, row, scale)
    return beam(
        store, graph.links, graph.upper_slot[:0], scratch, scratch.query, row, scale, node, dist,
        ef, NEVER,
    )  # fmt: skip


@inner
def _nearness(store: Store, graph: Graph, slot: int, one: int, other: int) -> np.float32:
    """Distance of a slot to the nearest seed but those in two places."""
    nearest = np.float32(np.inf)
    for n in range(graph.head[SEEDS]):
        if n != one and n != other:
            nearest = min(nearest, code_distance(store, np.int64(graph.seeds[n]), slot))
    return nearest


@inner
def _nearest_two(store: Store, graph: Graph) -> tuple[int, int]:
    """Places of the two nearest seeds; enters how far they are apart."""
    seeds, count = graph.seeds, graph.head[SEEDS]
    first, second, apart = np.int64(0), np.int64(1), np.float32(np.inf)
    for a in range(count):
        for b in range(a + 1, count):
            dist = code_distance(store, np.int64(seeds[a]), np.int64(seeds[b]))
            if dist < apart:
                first, second, apart = a, b, dist
    graph.seeds_apart[0] = apart
    return first, second


@inner
def offer_seed(store: Store, graph: Graph, slot: int) -> None:
    """Make a new node a seed if it is farther from all than two of them are apart."""
    seeds, count = graph.seeds, graph.head[SEEDS]
    if count < seeds.size:
        seeds[count] = slot
        graph.head[SEEDS] += 1
        graph.seeds_apart[0] = np.nan
        return
    nearest = _nearness(store, graph, slot, -1, -1)
    # NaN: not known yet.
    if nearest <= graph.seeds_apart[0]:
        return
    first, second = _nearest_two(store, graph)
    if nearest <= graph.seeds_apart[0]:
        return
    # Of the two, the one that is nearer to a third.
    of_first = _nearness(store, graph, np.int64(seeds[first]), first, second)
    of_second = _nearness(store, graph, np.int64(seeds[second]), first, second)
    seeds[first if of_first < of_second else second] = slot
    graph.seeds_apart[0] = np.nan
