"""Hits of coarse codes, compared again by all that is known of their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from annx._backends.numba_graph import place
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import ask_for, distance, scale_at, scale_of
from annx._backends.numba_layout import L2, Scratch, Store

_types: Any = types
_overload: Any = overload

#: Rows compared between two looks at whether to stop.
_CHUNK = 8
#: Standard deviations of a difference of two distances: chance seldom goes beyond.
DEVIATIONS = np.float32(3)


@inner
def _error(store: Store, scale: Any, s: int) -> np.float32:
    """Standard deviation of the coarse distance to a row.

    Rounding is uniform within half a step of each coordinate, so that the error of a
    dot product has the variance (|q|^2 s_x^2 + |x|^2 s_q^2) / 12.
    """
    length, step = scale_of(store, s)
    if store.metric == L2:
        variance = (scale[0] * step * step + length * scale[1] * scale[1]) / np.float32(6)
        return np.float32(np.sqrt(variance))
    # |x| is not at hand: a rotated vector's largest coordinate, 127 steps (sq4: 119), is some 3.5
    # times its root mean square.
    columns = np.float32(store.codes)
    return np.float32(scale[1] * step * np.float32(36) * np.sqrt(columns / np.float32(6)))


@entry
def coarse_error(store: Store, queries: Any, scales: NDArray[np.float32], q: int, s: int) -> float:
    """Standard deviation of the coarse distance from a query to a row; 0 if it is exact."""
    return float(error_of(store, scale_at(store.metric, scales, q), s))


def error_of(store: Store, scale: Any, s: int) -> np.float32:
    raise NotImplementedError


@_overload(error_of, strict=False)  # type: ignore[untyped-decorator]
def error_of_impl(store: Any, scale: Any, s: Any) -> Any:
    if isinstance(scale, _types.BaseTuple):
        return lambda store, scale, s: _error(store, scale, s)
    return lambda store, scale, s: np.float32(0)


@inner
def _rerank(
    store: Store,
    kept: Store,
    scratch: Scratch,
    count: int,
    k: int,
    scale: Any,
    queries: Any,
    q: int,
    kept_scale: Any,
) -> int:
    dists, nodes = scratch.exact_dist, scratch.exact_node
    done: Any = np.int64(0)
    margin = np.float32(0)
    while done < count:
        stop: Any = min(count, done + (_CHUNK if done else max(k, _CHUNK)))
        for n in range(done, stop):
            ask_for(kept, scratch.pool_node[n])
        for n in range(done, stop):
            node: Any = scratch.pool_node[n]
            dist = distance(kept, queries, q, kept_scale, node)
            place(dists, nodes, n, count, dist, node)
        done = stop
        if done < k or done == count:
            continue
        error = _error(store, scale, nodes[k - 1])
        margin = max(margin, np.float32(DEVIATIONS * error))
        if scratch.pool_dist[done] > dists[k - 1] + margin:
            break
    for n in range(done):
        scratch.pool_dist[n] = dists[n]
        scratch.pool_node[n] = nodes[n]
    return int(done)


def rank(
    store: Store,
    kept: Store,
    scratch: Scratch,
    count: int,
    k: int,
    scale: Any,
    queries: Any,
    q: int,
    kept_scale: Any,
) -> int:
    """Order the first `count` of the pool by the distances of `kept`; return how many.

    Stops where the coarse distance exceeds the k-th sharper one by more than chance. Does
    nothing where `queries` are no sharper than those of the walk.
    """
    raise NotImplementedError


@_overload(rank, strict=False)  # type: ignore[untyped-decorator]
def _rank(
    store: Any,
    kept: Any,
    scratch: Any,
    count: Any,
    k: Any,
    scale: Any,
    queries: Any,
    q: Any,
    kept_scale: Any,
) -> Any:
    if isinstance(scale, _types.BaseTuple) and queries.dtype == _types.float32:
        return lambda store, kept, scratch, count, k, scale, queries, q, kept_scale: _rerank(
            store, kept, scratch, count, k, scale, queries, q, kept_scale
        )
    return lambda store, kept, scratch, count, k, scale, queries, q, kept_scale: count
