"""Intel's Scalable Vector Search, in the package scalable-vs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

_DISTANCES = {"l2": "L2", "ip": "MIP", "cosine": "Cosine"}
#: Its documentation: above 1 where less is closer, below where more is.
_ALPHA = {"l2": 1.2, "ip": 0.95, "cosine": 0.95}


class SvsEngine(Engine):
    """A ``svs.Vamana`` graph over the variant's type; its LVQ codes need Intel's processors."""

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import svs

        svs.logging.set_level(svs.logging.level.off)
        self.svs = svs
        self.distance = getattr(svs.DistanceType, _DISTANCES[self.metric])
        self.index: Any = None

    def prepare(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows in the type that is stored; queries may be of that type too."""
        dtype = np.float16 if self.spec.variant == "f16" else np.float32
        return super().prepare(rows).astype(dtype, copy=False)

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        parameters = self.svs.VamanaBuildParameters(
            alpha=_ALPHA[self.metric],
            graph_max_degree=2 * self.spec.M,
            window_size=self.spec.ef_construction,
        )
        self.index = self.svs.Vamana.build(parameters, base, self.distance, num_threads=threads)
        self.index.num_threads = 1

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.index.search_window_size = int(setting["ef"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        return np.asarray(self.index.search(queries, k)[0]).astype(np.int64)

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query, k)

    def save(self, path: Path) -> None:
        """Write the index to a new folder."""
        path.mkdir()
        self.index.save(*(str(path / part) for part in ("config", "graph", "data")))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        svs = self.svs
        dtype = svs.DataType.float16 if self.spec.variant == "f16" else svs.DataType.float32
        self.index = svs.Vamana(
            str(path / "config"),
            svs.GraphLoader(str(path / "graph")),
            svs.VectorDataLoader(str(path / "data"), dtype),
            self.distance,
            query_type=dtype,
            num_threads=1,
        )
