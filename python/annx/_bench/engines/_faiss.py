"""faiss: HNSW over 8-bit codes, and IVF-PQ FastScan with an exact second stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

#: As faiss advises below a million rows: 4 to 16 times the square root of their number.
_LISTS_FACTOR = 8
#: k-means of faiss warns below 39 rows a centroid and samples down to 256.
_ROWS_PER_LIST = 39


class _Faiss(Engine):
    metrics = ("l2", "ip")

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import faiss

        self.faiss = faiss
        self.index: Any = None
        self.parameters: Any = None

    def _make(self, rows: int) -> Any:
        raise NotImplementedError

    def _metric(self) -> int:
        faiss = self.faiss
        return int(faiss.METRIC_INNER_PRODUCT if self.metric == "ip" else faiss.METRIC_L2)

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Train and index all rows."""
        self.faiss.omp_set_num_threads(threads)
        self.index = self._make(len(base))
        self.index.train(base)
        self.index.add(base)
        self.faiss.omp_set_num_threads(1)

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        return np.asarray(self.index.search(queries, k, params=self.parameters)[1])

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query[None], k, params=self.parameters)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.faiss.write_index(self.index, str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.faiss.omp_set_num_threads(1)
        self.index = self.faiss.read_index(str(path))


class FaissHnswEngine(_Faiss):
    """``HNSW<M>_SQ8``: nothing but 8-bit codes is kept."""

    def _make(self, rows: int) -> Any:
        # faiss, like hnswlib, gives the lowest layer 2 M neighbours.
        index = self.faiss.index_factory(self.dim, f"HNSW{self.spec.M}_SQ8", self._metric())
        index.hnsw.efConstruction = self.spec.ef_construction
        return index

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.parameters = self.faiss.SearchParametersHNSW(efSearch=int(setting["ef"]))


class FaissIvfEngine(_Faiss):
    """``IVF,PQ<d/2>x4fs,Refine(SQ8)``: 4-bit product codes, rescored with 8-bit codes."""

    def _make(self, rows: int) -> Any:
        lists = max(1, min(int(_LISTS_FACTOR * rows**0.5), rows // _ROWS_PER_LIST))
        parts = next(m for m in range(max(1, self.dim // 2), 0, -1) if self.dim % m == 0)
        recipe = f"IVF{lists},PQ{parts}x4fs,Refine(SQ8)"
        index = self.faiss.index_factory(self.dim, recipe, self._metric())
        ivf = self.faiss.extract_index_ivf(index)
        ivf.cp.seed = self.spec.seed + 1
        return index

    def settings(self, k: int, efs: tuple[int, ...]) -> list[Setting]:
        """Lists to probe by how many candidates to rescore."""
        probes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        return [{"nprobe": n, "k_factor": f} for n in probes for f in (2, 4, 10, 25)]

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        faiss = self.faiss
        inner = faiss.SearchParametersIVF(nprobe=int(setting["nprobe"]))
        self.parameters = faiss.IndexRefineSearchParameters(
            k_factor=float(setting["k_factor"]), base_index_params=inner
        )
