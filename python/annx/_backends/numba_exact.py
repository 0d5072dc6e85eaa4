"""Brute force: every query against every row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.numba_jit import entry
from annx._backends.numba_kernels import distance, scale_at
from annx._backends.numba_layout import Store

#: Rows compared with all queries of a block before going on: 128 rows of 384 floats
#: are 192 KB and stay in a 512 KB L2 cache.
_TILE = 128
#: Hits from which inserting one by one costs more than to sort all distances.
_MANY = 200


@entry
def exact_block(
    store: Store,
    rows: NDArray[np.int64],
    queries: Any,
    scales: NDArray[np.float32],
    start: int,
    stop: int,
    slots: NDArray[np.int64],
    dists: NDArray[np.float32],
) -> None:
    """Find the nearest of the slots `rows`, which is sorted; of equals, the earlier."""
    k = min(slots.shape[1], rows.size)
    slots[start:stop] = -1
    dists[start:stop] = np.inf
    for tile in range(0, rows.size, _TILE):
        for q in range(start, stop):
            scale = scale_at(store.metric, scales, q)
            for s in rows[tile : tile + _TILE]:
                dist = distance(store, queries, q, scale, s)
                if not dist < dists[q, k - 1]:
                    continue
                low, high = 0, k - 1
                while low < high:
                    middle = (low + high) >> 1
                    if dists[q, middle] <= dist:
                        low = middle + 1
                    else:
                        high = middle
                for j in range(k - 1, low, -1):
                    dists[q, j] = dists[q, j - 1]
                for j in range(k - 1, low, -1):
                    slots[q, j] = slots[q, j - 1]
                dists[q, low] = dist
                slots[q, low] = s


@entry
def listed_distances(
    store: Store,
    queries: Any,
    scales: NDArray[np.float32],
    q: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Distances from one query to the slots `rows`."""
    scale = scale_at(store.metric, scales, q)
    for n in range(rows.size):
        out[n] = distance(store, queries, q, scale, rows[n])


def nearest_rows(
    store: Store,
    rows: NDArray[np.int64],
    queries: NDArray[Any],
    scales: NDArray[np.float32],
    start: int,
    stop: int,
    slots: NDArray[np.int64],
    dists: NDArray[np.float32],
) -> None:
    """Do as `exact_block`; many hits by sorting all distances."""
    k = min(slots.shape[1], len(rows))
    if k < _MANY:
        exact_block(store, rows, queries, scales, start, stop, slots, dists)
        return
    slots[start:stop], dists[start:stop] = -1, np.inf
    each = np.empty(len(rows), np.float32)
    for q in range(start, stop):
        listed_distances(store, queries, scales, q, rows, each)
        order = np.argsort(each, kind="stable")[:k]
        slots[q, :k], dists[q, :k] = rows[order], each[order]


@entry
def label_hits(
    store: Store, slots: NDArray[np.int64], start: int, stop: int, labels: NDArray[np.int64]
) -> None:
    """Translate slots to labels, -1 to -1."""
    for q in range(start, stop):
        for j in range(slots.shape[1]):
            slot = slots[q, j]
            labels[q, j] = store.labels[slot] if slot >= 0 else -1
