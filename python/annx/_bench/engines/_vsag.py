"""VSAG's HGraph, in the package pyvsag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec


class VsagEngine(Engine):
    """HGraph over the variant's codes, reordered by exact vectors."""

    note = "pyvsag has no call for a batch: its figures include a Python call for each query"

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import pyvsag

        pyvsag.set_logger_off()
        self.pyvsag = pyvsag
        self.index: Any = None
        self.parameters = ""

    def _make(self, threads: int) -> Any:
        return self.pyvsag.Index(
            "hgraph",
            json.dumps(
                {
                    "dtype": "float32",
                    "metric_type": self.metric,
                    "dim": self.dim,
                    "index_param": {
                        "base_quantization_type": self.spec.variant,
                        "use_reorder": True,
                        "precise_quantization_type": "fp32",
                        "max_degree": 2 * self.spec.M,
                        "ef_construction": self.spec.ef_construction,
                        "build_thread_count": threads,
                    },
                }
            ),
        )

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index = self._make(threads)
        ids = np.arange(len(base), dtype=np.int64)
        self.index.build(base.reshape(-1), ids, len(base), self.dim)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.parameters = json.dumps({"hgraph": {"ef_search": int(setting["ef"])}})

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by a call for each query."""
        out = np.full((len(queries), k), -1, np.int64)
        search, parameters = self.index.knn_search, self.parameters
        for row, query in zip(out, queries, strict=True):
            one, two = search(query, k, parameters)
            ids = one if one.dtype.kind == "i" else two
            row[: len(ids)] = ids
        return out

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.knn_search(query, k, self.parameters)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index = self._make(1)
        self.index.load(str(path))
