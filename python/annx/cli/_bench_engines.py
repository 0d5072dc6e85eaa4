"""annx and hnswlib behind one small interface, so that a benchmark treats them alike."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import annx


@dataclass(frozen=True, slots=True)
class Spec:
    """Which library to build, and how.

    Attributes
    ----------
    library : str
        ``"annx"`` or ``"hnswlib"``.
    codec : str
        annx's codec; hnswlib knows float32 alone.
    """

    library: str
    metric: str
    codec: str = "f32"
    M: int = 16
    ef_construction: int = 200
    seed: int = 0

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"annx {self.codec}" if self.library == "annx" else self.library


class Engine(Protocol):
    """An index under test. Rows are numbered from 0 in the order of `build`."""

    spec: Spec

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""

    def set_ef(self, ef: int) -> None:
        """Choose the beam of all later searches."""

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""

    def search_each(self, queries: list[NDArray[Any]], k: int) -> None:
        """One call for each query."""


class AnnxEngine:
    """An :class:`annx.Index`."""

    def __init__(self, spec: Spec, dim: int) -> None:
        self.spec = spec
        self.index = annx.Index(
            dim,
            spec.metric,
            codec=spec.codec,
            M=spec.M,
            ef_construction=spec.ef_construction,
            seed=spec.seed,
        )

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.add(base, num_threads=threads)

    def set_ef(self, ef: int) -> None:
        """Choose the beam of all later searches."""
        self.index.ef_search = ef

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        return self.index.search(queries, k, num_threads=1).labels

    def search_each(self, queries: list[NDArray[Any]], k: int) -> None:
        """One call for each query."""
        search = self.index.search
        for query in queries:
            search(query, k)


class HnswlibEngine:
    """An ``hnswlib.Index``."""

    def __init__(self, spec: Spec, dim: int) -> None:
        import hnswlib

        self.spec = spec
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

    def set_ef(self, ef: int) -> None:
        """Choose the beam of all later searches."""
        self.index.set_ef(ef)

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        labels, _ = self.index.knn_query(queries, k, num_threads=1)
        # hnswlib's labels are uint64; all are row numbers here.
        return np.asarray(labels.astype(np.int64))

    def search_each(self, queries: list[NDArray[Any]], k: int) -> None:
        """One call for each query."""
        search = self.index.knn_query
        for query in queries:
            search(query, k)


def make(spec: Spec, dim: int) -> Engine:
    """Create an empty index of `dim` elements (bits, under the Hamming metric)."""
    return AnnxEngine(spec, dim) if spec.library == "annx" else HnswlibEngine(spec, dim)


def has_hnswlib() -> bool:
    """Whether there is a peer to compare with."""
    return importlib.util.find_spec("hnswlib") is not None


def as_input(spec: Spec, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows in the type that `spec` stores, so that no conversion is timed."""
    if spec.library == "annx" and spec.codec not in ("f32", "auto"):
        return np.ascontiguousarray(rows)
    return np.ascontiguousarray(rows, dtype=np.float32)


def dimension(spec: Spec, rows: NDArray[Any]) -> int:
    """Elements of a vector; a packed row holds eight bits in each byte."""
    return int(rows.shape[1]) * (8 if spec.metric == "hamming" else 1)
