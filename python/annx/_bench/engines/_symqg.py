"""SymphonyQG, in the package rabitqlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench.engines.base import Engine, Setting, Spec

#: Its rotation refuses fewer dimensions.
_LEAST_DIM = 64


class SymqgEngine(Engine):
    """A ``rabitqlib.SymqgIndex`` of degree 2 M, in steps of 32 as it demands."""

    metrics = ("l2", "ip")

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        import rabitqlib

        self.ef = 0
        degree = max(32, 2 * spec.M // 32 * 32)
        self.index = rabitqlib.SymqgIndex(max(dim, _LEAST_DIM), degree, self.metric)

    def prepare(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Fill up with zeros, which no distance notices, to what its rotation needs."""
        out = super().prepare(rows)
        missing = max(0, _LEAST_DIM - out.shape[1])
        return np.pad(out, ((0, 0), (0, missing))) if missing else out

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.build(base, self.spec.ef_construction, threads)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.ef = int(setting["ef"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        found = self.index.search_batch(queries, k, self.ef, 1)
        return next(np.asarray(part, np.int64) for part in found if part.dtype.kind in "iu")

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query[None], k, self.ef)

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save(str(path))

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index = type(self.index).load(str(path))
