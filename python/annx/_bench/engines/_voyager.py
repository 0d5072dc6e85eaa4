"""voyager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

_SPACES = {"l2": "Euclidean", "ip": "InnerProduct", "cosine": "Cosine"}


class VoyagerEngine(Engine):
    """A ``voyager.Index`` over float32."""

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import voyager

        self.voyager = voyager
        self.index: Any = None
        self.ef = 10

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        space = getattr(self.voyager.Space, _SPACES[self.metric])
        self.index = self.voyager.Index(
            space,
            self.dim,
            M=self.spec.M,
            ef_construction=self.spec.ef_construction,
            random_seed=self.spec.seed,
            max_elements=len(base),
        )
        self.index.add_items(base, num_threads=threads)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.ef = int(setting["ef"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        labels, _ = self.index.query(queries, k, num_threads=1, query_ef=self.ef)
        return np.asarray(labels.astype(np.int64))

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.query(query, k, query_ef=self.ef)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index = self.voyager.Index.load(str(path))
