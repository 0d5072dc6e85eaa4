"""annx itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import annx
from annx._bench.engines.base import Engine, Setting, Spec

#: Codecs that store what they are given; presets and the others take float32.
_LOSSLESS = ("f16", "bf16", "i8", "u8", "b1")


class AnnxEngine(Engine):
    """An :class:`annx.Index`; the variant is its codec or preset."""

    metrics = ("l2", "ip", "cosine", "hamming")

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__(spec, dim)
        self.index = annx.Index(
            dim,
            spec.metric,
            codec=spec.variant,
            M=spec.M,
            ef_construction=spec.ef_construction,
            seed=spec.seed,
        )

    def prepare(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Keep the type for a codec that stores it; float32 otherwise."""
        dtype = None if self.spec.variant in _LOSSLESS else np.float32
        return np.ascontiguousarray(rows, dtype=dtype)

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.add(base, num_threads=threads)

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        self.index.ef_search = int(setting["ef"])

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        return self.index.search(queries, k, num_threads=1).labels

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query."""
        return self.index.search(query, k)

    def stores(self) -> str:
        """Codec of a preset and why, without the preset's name: two may come to the same."""
        info = self.index.info()
        preset, _, why = str(info["codec_why"]).partition(": ")
        return f"{info['codec']}: {why}" if preset == self.spec.variant and why else ""

    def save(self, path: Path) -> None:
        """Write the index to a new file."""
        self.index.save(path)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        self.index = annx.load(path)
