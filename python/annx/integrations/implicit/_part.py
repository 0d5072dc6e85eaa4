"""One index of factors: how wide to search it, and the scores of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import Filter, Index

Found: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]

#: What implicit puts where there are fewer items than asked for.
_NO_ITEM, _NO_SCORE = -1, -np.finfo(np.float32).max
#: Elements of factors that are scored together: 16 MB.
_BLOCK = 1 << 22
#: Queries that a width is measured by.
_SAMPLE = 500
#: Width at the least where a user's own items are left out: those next to the user often
#: are most of the nearest, and widths are measured without.
_LEAST_WITHOUT = 128


class Part:
    """An index of factors, and the widths of beam that reach a recall in it.

    Parameters
    ----------
    index : Index
    widths : dict of int to int
        By number of hits, a power of two.
    """

    def __init__(self, index: Index, widths: dict[int, int]) -> None:
        self.index = index
        self.widths = widths

    def tune(self, k: int, recall: float, queries: Callable[[], NDArray[np.float32]]) -> int:
        """Return the width for k hits, measured by such queries as will come."""
        about = 1 << (k - 1).bit_length()
        if about not in self.widths:
            rows = queries()
            rows = rows[rows.any(axis=1)]
            sample = np.random.default_rng(0).permutation(len(rows))[:_SAMPLE]
            table = self.index.tune(rows[sample], k=about, recall=recall)
            self.widths[about] = table[recall].ef_search
        return self.widths[about]

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        width: int,
        own: Sequence[ArrayLike] | None,
        common: ArrayLike | None,
    ) -> NDArray[np.int64]:
        """Return the labels of the best k, without each query's own and without common ones."""
        index, k = self.index, min(k, len(self.index))
        denied: Any = None
        if common is not None and np.size(common):
            denied = ~Filter(index, np.asarray(common, np.int64))
        if own is not None:
            width = max(width, _LEAST_WITHOUT)
            each = [~Filter(index, np.asarray(labels, np.int64)) for labels in own]
            denied = each if denied is None else [one & denied for one in each]
        if width >= len(index):
            return index.exact_search(queries, k, filter=denied).labels
        return index.search(queries, k, ef_search=width, filter=denied).labels


def ranked(
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    factors: NDArray[np.float32],
    N: int,
    *,
    single: bool,
    cosine: bool,
) -> Found:
    """Sort by scores in float32 of the factors themselves, whatever the codec."""
    found = labels != -1
    scores = np.full(labels.shape, _NO_SCORE, np.float32)
    step = max(1, _BLOCK // max(1, labels.shape[1] * factors.shape[1]))
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        rows = factors[np.where(found[part], labels[part], 0)]
        if cosine:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-10)
        products = np.einsum("qf,qkf->qk", queries[part], rows)
        scores[part] = np.where(found[part], products, _NO_SCORE)
    order = np.argsort(-scores, axis=1, kind="stable")
    ids = np.take_along_axis(labels, order, axis=1).astype(np.int32)
    scores = np.take_along_axis(scores, order, axis=1)
    if single:
        count = int(found[0].sum())
        return ids[0, :count], scores[0, :count]
    missing = ((0, 0), (0, N - ids.shape[1]))
    return (
        np.pad(ids, missing, constant_values=_NO_ITEM),
        np.pad(scores, missing, constant_values=_NO_SCORE),
    )
