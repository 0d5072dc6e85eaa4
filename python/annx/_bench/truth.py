"""True neighbours and recall, in float64.

Real data holds ties and near-duplicates: a result counts by how far it truly is, not by
which of several equals it names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A row this much farther than the true k-th still counts: float32 cannot tell them apart.
TIE = 1e-6
_BLOCK_BYTES = 64 << 20
_BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)


def distances(
    base: NDArray[Any], queries: NDArray[Any], rows: NDArray[Any], metric: str
) -> NDArray[np.float64]:
    """Exact distance from each query to each of its `rows`.

    Parameters
    ----------
    base : ndarray of shape (n, d)
    queries : ndarray of shape (n_queries, d)
    rows : ndarray of shape (n_queries, k)
        Row numbers; negative ones are padding.
    metric : str

    Returns
    -------
    ndarray of shape (n_queries, k), float64
        inf for padding.
    """
    out = np.empty(rows.shape)
    step = max(1, _BLOCK_BYTES // max(1, 8 * rows.shape[1] * base.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        near = base[np.maximum(rows[part], 0)]
        if metric == "hamming":
            out[part] = _BITS[near ^ queries[part, None]].sum(axis=2, dtype=np.int64)
            continue
        near = near.astype(np.float64)
        query = queries[part].astype(np.float64)
        if metric == "l2":
            out[part] = ((near - query[:, None]) ** 2).sum(axis=2)
            continue
        if metric == "cosine":
            near /= np.linalg.norm(near, axis=2, keepdims=True)
            query /= np.linalg.norm(query, axis=1, keepdims=True)
        out[part] = 1.0 - np.einsum("qkd,qd->qk", near, query)
    out[rows < 0] = np.inf
    return out


def true_neighbors(
    base: NDArray[Any], queries: NDArray[Any], k: int, metric: str
) -> NDArray[np.int64]:
    """Rows of `base` nearest to each query, by comparing with all of them.

    Parameters
    ----------
    base : ndarray of shape (n, d)
    queries : ndarray of shape (n_queries, d)
    k : int
    metric : str

    Returns
    -------
    ndarray of shape (n_queries, min(k, n)), int64
    """
    k = min(k, len(base))
    # float32 shortlists, float64 decides: 32 rows of slack for its rounding.
    shortlist = min(len(base), k + 32)
    found = np.empty((len(queries), k), np.int64)
    step = max(1, _BLOCK_BYTES // max(1, 4 * len(base)))
    squares = None if metric == "hamming" else _square_norms(base)
    for start in range(0, len(queries), step):
        query = queries[start : start + step]
        rough = _rough(base, squares, query, metric)
        near = np.argpartition(rough, shortlist - 1, axis=1)[:, :shortlist]
        order = np.argsort(distances(base, query, near, metric), axis=1, kind="stable")[:, :k]
        found[start : start + step] = np.take_along_axis(near, order, axis=1)
    return found


def _square_norms(base: NDArray[Any]) -> NDArray[np.float32]:
    rows = range(0, len(base), 8192)
    parts = [(base[row : row + 8192].astype(np.float32) ** 2).sum(axis=1) for row in rows]
    return np.concatenate(parts)


def _rough(
    base: NDArray[Any],
    squares: NDArray[np.float32] | None,
    query: NDArray[Any],
    metric: str,
) -> NDArray[Any]:
    out = np.empty((len(query), len(base)), np.float32)
    query = query if squares is None else query.astype(np.float32)
    for start in range(0, len(base), 8192):
        part = slice(start, start + 8192)
        if squares is None:
            step = max(1, _BLOCK_BYTES // (8192 * base.shape[1]))
            for row in range(0, len(query), step):
                pairs = base[None, part] ^ query[row : row + step, None]
                out[row : row + step, part] = _BITS[pairs].sum(axis=2, dtype=np.int32)
            continue
        out[:, part] = query @ base[part].astype(np.float32).T
    if squares is not None:
        if metric == "l2":
            out *= -2
            out += squares
        else:
            out /= -np.sqrt(squares) if metric == "cosine" else np.float32(-1)
    return out


class Truth:
    """What a perfect answer is, for one set of queries.

    Parameters
    ----------
    base : ndarray of shape (n, d)
    queries : ndarray of shape (n_queries, d)
    k : int
    metric : str
    neighbors : ndarray of shape (n_queries, at least k), optional
        True neighbours, nearest first; computed if missing.
    """

    def __init__(
        self,
        base: NDArray[Any],
        queries: NDArray[Any],
        k: int,
        metric: str,
        neighbors: NDArray[Any] | None = None,
    ) -> None:
        if neighbors is None or neighbors.shape[1] < min(k, len(base)):
            neighbors = true_neighbors(base, queries, k, metric)
        self._base, self._queries, self._metric = base, queries, metric
        self._k = min(k, len(base))
        reach = distances(base, queries, neighbors[:, : self._k], metric).max(axis=1)
        self._limit = reach + TIE * np.abs(reach) + 1e-12

    def recall(self, found: NDArray[Any]) -> float:
        """Mean share of the k results that are no farther than the true k-th.

        Parameters
        ----------
        found : ndarray of shape (n_queries, k)
            Row numbers, padded with -1. A row that is named twice counts once.
        """
        found = np.sort(found, axis=1)
        repeated = np.zeros(found.shape, bool)
        repeated[:, 1:] = found[:, 1:] == found[:, :-1]
        far = distances(self._base, self._queries, found, self._metric)
        good = (far <= self._limit[:, None]) & ~repeated
        return float(np.minimum(good.sum(axis=1), self._k).mean() / self._k)
