"""Answers to queries: the graph's hits, ranked, with their twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.numba_graph import beam
from annx._backends.numba_growth import stop_of
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import scale_at
from annx._backends.numba_layout import ROWS, Graph, Scratch, Store
from annx._backends.numba_passing import FOUND, counted_alone, depth, wide_beam
from annx._backends.numba_rerank import rank
from annx._backends.numba_seeds import start_of


@inner
def _emit(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    count: int,
    q: int,
    rows: NDArray[np.bool_],
    labels: NDArray[np.int64],
    dists: NDArray[np.float32],
) -> int:
    """Write the labels of the pool's rows and of their twins, of those that pass."""
    k = labels.shape[1]
    out = 0
    for n in range(count):
        if out == k:
            return out
        slot = np.int64(scratch.pool_node[n])
        if rows.size == 0 or rows[slot]:
            labels[q, out] = store.labels[slot]
            dists[q, out] = scratch.pool_dist[n]
            out += 1
        if graph.next_twin[slot]:
            last = np.int64(graph.next_twin[slot]) - 1
            twin = np.int64(-1)
            step = np.int64(graph.next_twin[last]) - 1
            while out < k and twin != last:
                twin = step
                if rows.size == 0 or rows[twin]:
                    labels[q, out] = store.labels[twin]
                    dists[q, out] = scratch.pool_dist[n]
                    out += 1
                step = np.int64(graph.next_twin[twin]) - 1
    labels[q, out:] = -1
    dists[q, out:] = np.inf
    return out


@inner
def _passing_beam(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    q: int,
    scale: Any,
    node: int,
    dist: np.float32,
    k: int,
    width: int,
    passing: NDArray[np.bool_],
    budget: int,
    walk: NDArray[np.int64],
) -> int:
    """Leave the nearest that pass in the pool; return how many, or -1.

    They may lie behind so many that do not that they are at the end of the beam, which is
    vague; then it takes a wider one.
    """
    anywhere = np.float32(-np.inf)
    links, n = graph.links, graph.head[ROWS]
    count = wide_beam(
        store, links, scratch, queries, q, scale, node, dist, width, passing, anywhere, budget,
        walk, stop_of(store, graph, scale, node, k, width, n),
    )  # fmt: skip
    if count < 0:
        return count
    deep = depth(scratch, count, k)
    wanted = deep + deep // 3
    if deep > k and wanted > count:
        wider = width + wanted - count
        count = wide_beam(
            store, links, scratch, queries, q, scale, node, dist, wider, passing, anywhere, budget,
            walk, stop_of(store, graph, scale, node, k, wider, n),
        )  # fmt: skip
    return counted_alone(scratch, count) if count >= 0 else count


@entry
def search_block(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    scales: NDArray[np.float32],
    kept: Store,
    kept_queries: Any,
    kept_scales: NDArray[np.float32],
    labels: NDArray[np.int64],
    dists: NDArray[np.float32],
    start: int,
    stop: int,
    ef: int,
    passing: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    budget: int,
    walks: NDArray[np.int64],
) -> None:
    """Answer the queries from `start` to `stop` in a graph that is not empty.

    `kept` are the rows that decide the order, and the next two its own queries; or the
    first three again. `passing` are the nodes that are wanted and `rows` the rows that may
    be returned, or nothing if all are. Then `budget` distances must do, and `walks` says
    for each query what it cost and how many nodes were found, -1 if the budget did not do.
    """
    k = labels.shape[1]
    width = min(ef, graph.head[ROWS])
    links = graph.links
    for q in range(start, stop):
        scale = scale_at(store.metric, scales, q)
        node, dist = start_of(store, graph, scratch, queries, q, scale)
        if passing.size:
            count = _passing_beam(
                store, graph, scratch, queries, q, scale, node, dist, k, width, passing, budget,
                walks[q],
            )  # fmt: skip
            walks[q, FOUND] = count
        else:
            nodes = graph.upper_slot[:0]
            stop_here = stop_of(store, graph, scale, node, k, width, graph.head[ROWS])
            count = beam(
                store, links, nodes, scratch, queries, q, scale, node, dist, width, stop_here
            )
        kept_scale = scale_at(kept.metric, kept_scales, q)
        count = rank(store, kept, scratch, count, k, scale, kept_queries, q, kept_scale)
        _emit(store, graph, scratch, count, q, rows, labels, dists)


@entry
def finish_block(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    queries: Any,
    scales: NDArray[np.float32],
    kept: Store,
    kept_queries: Any,
    kept_scales: NDArray[np.float32],
    labels: NDArray[np.int64],
    dists: NDArray[np.float32],
    q: int,
    count: int,
    rows: NDArray[np.bool_],
) -> int:
    """Rank and return what a walk left in the pool; how many hits that gave."""
    scale = scale_at(store.metric, scales, q)
    kept_scale = scale_at(kept.metric, kept_scales, q)
    k = labels.shape[1]
    count = rank(store, kept, scratch, count, k, scale, kept_queries, q, kept_scale)
    return _emit(store, graph, scratch, count, q, rows, labels, dists)
