"""Recall of an approximate search: the share of the true nearest neighbours it found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from annx import Index
from annx.errors import ParameterError

#: By so much of itself may a distance exceed the true k-th and still be equal to it: two
#: orders of summation of float32 differ by some 1e-6.
_TIE = 1e-5


def neighbor_recall(
    index: Index, queries: ArrayLike, k: int = 10, *, filter: Any = None, **search: Any
) -> float:
    """Measure which share of the true nearest neighbours an index finds.

    The truth is `Index.exact_search`. A hit counts if it is no farther than the true k-th, so
    that of equally near ones any will do. It says nothing about relevance: see `evaluate`.

    Parameters
    ----------
    index : Index
    queries : array_like of shape (n_queries, dim) or (dim,)
    k : int
    filter : optional
        As in `Index.search`, which both searches are given.
    **search
        Other arguments of `Index.search`, such as ``ef_search=100``.

    Returns
    -------
    float
        In [0, 1]; the mean over queries.

    Raises
    ------
    ParameterError
        There are no queries or no rows, or as `Index.search`.

    Examples
    --------
    >>> import annx, numpy as np
    >>> from annx.evaluation import neighbor_recall
    >>> rows = np.random.default_rng(0).random((2000, 8), dtype=np.float32)
    >>> index = annx.Index(8)
    >>> _ = index.add(rows)
    >>> neighbor_recall(index, rows[:50], k=10, ef_search=200) > 0.99
    True
    """
    if len(index) == 0:
        raise ParameterError("expected an index with rows, got an empty one")
    truth = index.exact_search(queries, k, filter=filter).distances
    found = index.search(queries, k, filter=filter, **search).distances
    if len(truth) == 0:
        raise ParameterError("expected at least one query, got none")
    there = np.isfinite(truth)
    count = there.sum(axis=1)
    reach = np.where(there, truth, -np.inf).max(axis=1)
    limit = reach + _TIE * np.abs(np.where(count > 0, reach, 0)) + 1e-12
    good = (np.isfinite(found) & (found <= limit[:, None])).sum(axis=1)
    # Where nothing passes the filter, nothing was missed.
    return float(np.where(count > 0, np.minimum(good, count) / np.maximum(count, 1), 1).mean())
