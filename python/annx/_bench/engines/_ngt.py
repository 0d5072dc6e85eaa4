"""NGT: its optimised graph, ONNG."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

_DISTANCES = {"l2": "L2", "cosine": "Cosine"}
#: How much farther than the k-th a node may lie and still be expanded: NGT's beam width.
_EPSILONS = (-0.1, -0.05, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3, 0.4)


class NgtEngine(Engine):
    """An ``ngtpy.Index`` whose graph was rebuilt by ``ngtpy.Optimizer``."""

    metrics = ("l2", "cosine")
    note = "ngtpy's batch call uses all cores: its figures include a Python call for each query"

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import ngtpy

        self.ngtpy = ngtpy
        # NGT works in folders.
        self.folder = tempfile.TemporaryDirectory(prefix="annx-ngt-")
        self.path = Path(self.folder.name) / "onng"
        self.index: Any = None

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows, then let the optimizer choose the edges."""
        first = str(self.path.with_name("anng"))
        # The graph that ONNG starts from needs many edges: ann-benchmarks gives it 100.
        self.ngtpy.create(
            first,
            self.dim,
            edge_size_for_creation=100,
            edge_size_for_search=0,
            distance_type=_DISTANCES[self.metric],
        )
        index = self.ngtpy.Index(first, log_disabled=True)
        index.batch_insert(base, num_threads=threads)
        index.save()
        index.close()
        optimizer = self.ngtpy.Optimizer(
            num_of_outgoings=10, num_of_incomings=120, log_disabled=True
        )
        # What it would tune by the clock is what `settings` tries; it takes minutes.
        optimizer.set_processing_modes(
            search_parameter_optimization=False,
            prefetch_parameter_optimization=False,
            accuracy_table_generation=False,
        )
        optimizer.execute(first, str(self.path))
        shutil.rmtree(first)
        self._open()

    def _open(self) -> None:
        self.index = self.ngtpy.Index(str(self.path), read_only=True, log_disabled=True)

    def settings(self, k: int, efs: tuple[int, ...]) -> list[Setting]:
        """Search radii, from narrow to wide."""
        return [{"epsilon": epsilon} for epsilon in _EPSILONS]

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.index.set(epsilon=float(setting["epsilon"]), edge_size=0)

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by a call for each query."""
        out = np.full((len(queries), k), -1, np.int64)
        for row, query in zip(out, queries, strict=True):
            found = self.index.search(query, k, with_distance=False)
            row[: len(found)] = found
        return out

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query, k, with_distance=False)

    def save(self, path: Path) -> None:
        """Write the index to a new folder."""
        shutil.copytree(self.path, path)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        shutil.copytree(path, self.path)
        self._open()

    def close(self) -> None:
        """Leave nothing behind on disk."""
        self.index = None
        self.folder.cleanup()
