"""usearch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

_METRICS = {"l2": "l2sq", "ip": "ip", "cosine": "cos"}


class UsearchEngine(Engine):
    """A ``usearch.index.Index``; the variant is its scalar type.

    usearch would scale each vector by its own length to make int8 of it, which only cosine
    forgives: the rows are brought to int8 here, all alike.
    """

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        from usearch.index import Index

        self.shift, self.scale = 0.0, 1.0
        self.index: Any = Index(
            ndim=dim,
            metric=_METRICS[self.metric],
            dtype=spec.variant,
            # Its connectivity, like M, is doubled in the lowest layer.
            connectivity=spec.M,
            expansion_add=spec.ef_construction,
        )

    def fit(self, base: NDArray[Any]) -> None:
        """Find the range that int8 has to hold."""
        if self.spec.variant == "i8":
            low, high = (float(end) for end in (base.min(), base.max()))
            # A shift leaves Euclidean distances as they are, and nothing else.
            self.shift = (low + high) / 2 if self.metric == "l2" else 0.0
            self.scale = 127 / max(high - self.shift, self.shift - low, 1e-30)

    def prepare(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows as float32, or as int8 in the range of the base."""
        out = super().prepare(rows)
        if self.spec.variant != "i8":
            return out
        return np.rint((out - self.shift) * self.scale).clip(-127, 127).astype(np.int8)

    @classmethod
    def knows(cls, metric: str) -> bool:
        """Whether the metric can be had."""
        return metric in _METRICS

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.index.expansion_search = int(setting["ef"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        found = self.index.search(queries, k, threads=1)
        keys = np.array(found.keys, np.int64)
        # Rows with fewer hits than k are filled up with whatever was there.
        counts = np.asarray(found.counts).reshape(-1, 1)
        return np.asarray(np.where(np.arange(k) < counts, keys, -1))

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query, k, threads=1)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index.load(str(path))
