"""hnswlib, the baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec


class HnswlibEngine(Engine):
    """An ``hnswlib.Index``."""

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import hnswlib

        self.index = hnswlib.Index(space=spec.metric, dim=dim)

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.init_index(
            max_elements=len(base),
            M=self.spec.M,
            ef_construction=self.spec.ef_construction,
            random_seed=self.spec.seed,
        )
        self.index.add_items(base, num_threads=threads)
        self.index.set_num_threads(1)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.index.set_ef(int(setting["ef"]))

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        labels, _ = self.index.knn_query(queries, k, num_threads=1)
        # hnswlib's labels are uint64; all are row numbers here.
        return np.asarray(labels.astype(np.int64))

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.knn_query(query, k)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save_index(str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index.load_index(str(path))
        self.index.set_num_threads(1)
