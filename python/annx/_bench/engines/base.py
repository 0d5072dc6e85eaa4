"""What a benchmark asks of a library, so that all are treated alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

#: What a search is made with: names and values that the engine understands.
Setting = dict[str, int | float]


@dataclass(frozen=True, slots=True)
class Spec:
    """Which library to build, and how.

    Attributes
    ----------
    library : str
        A key of :data:`annx._bench.engines.LIBRARIES`.
    variant : str
        Which of the library's indexes: annx's codec or preset, or a name of the engine.
    M, ef_construction : int
        Of the graph, in hnswlib's terms: a node of the lowest layer has up to 2 M
        neighbours. Where a library counts otherwise, its engine translates.
    """

    library: str
    metric: str
    variant: str = ""
    M: int = 16
    ef_construction: int = 200
    seed: int = 0

    @property
    def curve(self) -> str:
        """How tables call it; several builds of one curve differ in M or ef_construction."""
        return f"{self.library} {self.variant}".strip()

    @property
    def name(self) -> str:
        """The curve and the parameters of this build."""
        return f"{self.curve} M={self.M} efc={self.ef_construction}"


class Engine:
    """An index under test. Rows are numbered from 0 in the order of `build`.

    A subclass imports its library when it is made, not before.

    Parameters
    ----------
    spec : Spec
    dim : int
        Elements of a vector (bits, under the Hamming metric).
    """

    #: Metrics of the library itself; cosine becomes l2 of unit vectors where it is missing.
    metrics: ClassVar[tuple[str, ...]] = ("l2", "ip", "cosine")
    #: What a reader of the figures has to know.
    note: ClassVar[str] = ""

    def __init__(self, spec: Spec, dim: int) -> None:
        self.spec = spec
        self.dim = dim

    @property
    def metric(self) -> str:
        """The metric that the library is told."""
        if self.spec.metric == "cosine" and "cosine" not in self.metrics:
            return "l2"
        return self.spec.metric

    @classmethod
    def knows(cls, metric: str) -> bool:
        """Whether the metric can be had."""
        return metric in cls.metrics or (metric == "cosine" and "l2" in cls.metrics)

    def fit(self, base: NDArray[Any]) -> None:
        """Learn from the raw rows what :meth:`prepare` has to know; called before it."""

    def prepare(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows or queries in the type that the library wants, so that no conversion is timed."""
        out = np.ascontiguousarray(rows, dtype=np.float32)
        if self.metric == self.spec.metric:
            return out
        return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))

    def build(self, base: NDArray[Any], threads: int) -> None:
        """Index all rows, as :meth:`prepare` made them, and be ready to search on one thread."""
        raise NotImplementedError

    def settings(self, k: int, efs: tuple[int, ...]) -> list[Setting]:
        """Searches to try, from the fastest to the most thorough."""
        return [{"ef": ef} for ef in sorted({max(ef, k) for ef in efs})]

    def use(self, setting: Setting) -> None:
        """Make all later searches with `setting`."""
        raise NotImplementedError

    def search(self, queries: NDArray[Any], k: int) -> NDArray[np.integer[Any]]:
        """Row numbers of shape (n_queries, k), on one thread, by one call if there is such."""
        raise NotImplementedError

    def search_one(self, query: NDArray[Any], k: int) -> object:
        """Answer one query of shape (dim,), by the call that the library has for it."""
        raise NotImplementedError

    def stores(self) -> str:
        """Say what the rows made of a variant that lets them decide; empty for others."""
        return ""

    def save(self, path: Path) -> None:
        """Write the index to a new file or folder."""
        raise NotImplementedError

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote, in place of a build."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind on disk."""
