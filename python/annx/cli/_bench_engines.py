"""annx and its peers behind one small interface, so that a benchmark treats them alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import annx

#: Codecs and presets whose input is float32.
_FLOAT_CODECS = ("f32", "sq8", "auto", "compact")


@dataclass(frozen=True, slots=True)
class Spec:
    """Which library to build, and how.

    Attributes
    ----------
    library : str
        ``"annx"``, ``"hnswlib"`` or ``"symqg"`` (SymphonyQG, in the package rabitqlib).
    codec : str
        annx's codec or preset; the others get float32.
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


class SymqgEngine:
    """A ``rabitqlib.SymqgIndex`` of degree 2 * M, a multiple of 32."""

    def __init__(self, spec: Spec, dim: int) -> None:
        import rabitqlib

        self.spec = spec
        self.ef = 0
        self.index = rabitqlib.SymqgIndex(dim, 2 * spec.M, "ip" if spec.metric == "ip" else "l2")

    def _prepare(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        # It knows no cosine; on unit vectors l2 orders alike.
        if self.spec.metric != "cosine":
            return np.ascontiguousarray(rows, dtype=np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.ascontiguousarray(rows / lengths, dtype=np.float32)

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows."""
        self.index.build(self._prepare(base), self.spec.ef_construction, threads)

    def set_ef(self, ef: int) -> None:
        """Choose the beam of all later searches."""
        self.ef = ef

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), by one call on one thread."""
        found = self.index.search_batch(self._prepare(queries), k, self.ef, 1)
        return next(np.asarray(part, np.int64) for part in found if part.dtype.kind in "iu")

    def search_each(self, queries: list[NDArray[Any]], k: int) -> None:
        """One call for each query."""
        for query in queries:
            self.index.search(query, k, self.ef)


_ENGINES: dict[str, Callable[[Spec, int], Engine]] = {
    "annx": AnnxEngine,
    "hnswlib": HnswlibEngine,
    "symqg": SymqgEngine,
}
_PACKAGES = {"annx": "annx", "hnswlib": "hnswlib", "symqg": "rabitqlib"}


def make(spec: Spec, dim: int) -> Engine:
    """Create an empty index of `dim` elements (bits, under the Hamming metric)."""
    return _ENGINES[spec.library](spec, dim)


def is_installed(library: str) -> bool:
    """Whether the package of a library is there."""
    return importlib.util.find_spec(_PACKAGES[library]) is not None


def has_hnswlib() -> bool:
    """Whether there is a peer to compare with."""
    return is_installed("hnswlib")


def as_input(spec: Spec, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows in the type that `spec` stores, so that no conversion is timed."""
    if spec.library == "annx" and spec.codec not in _FLOAT_CODECS:
        return np.ascontiguousarray(rows)
    return np.ascontiguousarray(rows, dtype=np.float32)


def dimension(spec: Spec, rows: NDArray[Any]) -> int:
    """Elements of a vector; a packed row holds eight bits in each byte."""
    return int(rows.shape[1]) * (8 if spec.metric == "hamming" else 1)
