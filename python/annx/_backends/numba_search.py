"""Answers to queries: the graph's hits, ranked, with their twins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.numba_graph import beam, descend
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import scale_at
from annx._backends.numba_layout import ROWS, Graph, Scratch, Store
from annx._backends.numba_rerank import rank


@inner
def _emit(
    store: Store,
    graph: Graph,
    scratch: Scratch,
    count: int,
    q: int,
    labels: NDArray[np.int64],
    dists: NDArray[np.float32],
) -> None:
    k = labels.shape[1]
    out = 0
    for n in range(count):
        if out == k:
            return
        slot = np.int64(scratch.pool_node[n])
        labels[q, out] = store.labels[slot]
        dists[q, out] = scratch.pool_dist[n]
        out += 1
        if graph.next_twin[slot]:
            last = np.int64(graph.next_twin[slot]) - 1
            twin = np.int64(-1)
            step = np.int64(graph.next_twin[last]) - 1
            while out < k and twin != last:
                twin = step
                labels[q, out] = store.labels[twin]
                dists[q, out] = scratch.pool_dist[n]
                out += 1
                step = np.int64(graph.next_twin[twin]) - 1
    labels[q, out:] = -1
    dists[q, out:] = np.inf


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
) -> None:
    """Answer the queries from `start` to `stop` in a graph that is not empty.

    `kept` are the rows that decide the order, and the last two its own queries; or the
    first three again.
    """
    k = labels.shape[1]
    width = min(ef, graph.head[ROWS])
    for q in range(start, stop):
        scale = scale_at(store.metric, scales, q)
        node, dist = descend(store, graph, scratch, queries, q, scale, 0)
        count = beam(
            store,
            graph.links,
            graph.upper_slot[:0],
            scratch,
            queries,
            q,
            scale,
            node,
            dist,
            width,
        )
        kept_scale = scale_at(kept.metric, kept_scales, q)
        count = rank(store, kept, scratch, count, k, scale, kept_queries, q, kept_scale)
        _emit(store, graph, scratch, count, q, labels, dists)
