"""ScaNN: a tree of partitions, anisotropic 4-bit codes, and an exact second stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

#: As its authors' recipes: two dimensions a block, threshold 0.2 for unit vectors.
_BLOCK, _THRESHOLD = 2, 0.2
#: Its documentation advises the square root of the rows; ann-benchmarks' recipes, twice that.
_LEAVES_FACTOR = 2


class ScannEngine(Engine):
    """A ``scann`` searcher."""

    metrics = ("l2", "ip")

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        from scann.scann_ops.py import scann_ops_pybind

        self.ops = scann_ops_pybind
        self.index: Any = None
        self.leaves, self.reorder = 1, 10

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Train and index all rows."""
        measure = "dot_product" if self.metric == "ip" else "squared_l2"
        leaves = max(1, int(_LEAVES_FACTOR * len(base) ** 0.5))
        # The anisotropic loss belongs to inner products; unit vectors have them under l2 too.
        unit = self.metric == "ip" or self.spec.metric == "cosine"
        builder = self.ops.builder(base, 10, measure)
        builder = builder.set_n_training_threads(threads).tree(
            num_leaves=leaves, num_leaves_to_search=1, training_sample_size=len(base)
        )
        threshold = _THRESHOLD if unit else float("nan")
        builder = builder.score_ah(_BLOCK, anisotropic_quantization_threshold=threshold)
        self.index = builder.reorder(100).build()
        self.index.set_num_threads(1)

    def settings(self, k: int, efs: tuple[int, ...]) -> list[Setting]:
        """Leaves to search by how many candidates to rescore."""
        leaves = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        return [{"leaves": n, "reorder": f * k} for n in leaves for f in (2, 4, 10, 25)]

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.leaves, self.reorder = int(setting["leaves"]), int(setting["reorder"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        found, far = self.index.search_batched(
            queries,
            final_num_neighbors=k,
            pre_reorder_num_neighbors=self.reorder,
            leaves_to_search=self.leaves,
        )
        # Too few hits are filled up with row 0 at a distance of NaN.
        return np.where(np.isnan(far), -1, np.asarray(found, np.int64))

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(
            query,
            final_num_neighbors=k,
            pre_reorder_num_neighbors=self.reorder,
            leaves_to_search=self.leaves,
        )

    def save(self, path: Path) -> None:
        """Write the index to a new folder."""
        path.mkdir()
        self.index.serialize(str(path), relative_path=True)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index = self.ops.load_searcher(str(path))
        self.index.set_num_threads(1)
