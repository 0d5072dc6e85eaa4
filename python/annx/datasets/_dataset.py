"""A base, its queries and their true neighbours."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.datasets._read import SUFFIXES, open_hdf5, read
from annx.errors import DimensionError, DtypeError, FormatError, ParameterError

#: What ann-benchmarks calls a metric, and what annx calls it.
_METRICS = {
    "angular": "cosine",
    "cosine": "cosine",
    "dot": "ip",
    "euclidean": "l2",
    "hamming": "hamming",
    "ip": "ip",
    "l2": "l2",
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A base to search in, queries, and their true neighbours.

    Attributes
    ----------
    name : str
        The file's or folder's name without its suffix.
    base : ndarray of shape (n, d)
    queries : ndarray of shape (n_queries, d)
    neighbors : ndarray of shape (n_queries, n_true), or None
        Rows of `base`, nearest first.
    metric : str or None
        annx's name of the metric, if the file tells it.
    """

    name: str
    base: NDArray[Any]
    queries: NDArray[Any]
    neighbors: NDArray[Any] | None
    metric: str | None

    def first(self, *, rows: int | None = None, queries: int | None = None) -> Dataset:
        """Keep the first rows and queries; the neighbours among fewer rows are not known."""
        fewer = rows is not None and rows < len(self.base)
        truth = None if fewer or self.neighbors is None else self.neighbors[:queries]
        return replace(self, base=self.base[:rows], queries=self.queries[:queries], neighbors=truth)


def read_dataset(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    held_out: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Read a base, its queries and, if present, their true neighbours.

    Parameters
    ----------
    path : path-like
        An HDF5 file of ann-benchmarks (``train``, ``test``, ``neighbors``), or a folder
        with ``base``, ``query`` and perhaps ``gt`` in any format of :func:`read`; or, with
        `held_out`, one file of :func:`read`.
    key : str, optional
        As in :func:`read`, for one file.
    held_out : int, optional
        So many rows of a file without queries are taken out, to be the queries; a tenth
        of them at most.
    seed : int
        Chooses these.

    Returns
    -------
    Dataset
        Boolean HDF5 data is packed, eight bits to a byte, for the Hamming metric.

    Raises
    ------
    FormatError, ParameterError, DtypeError, ImportError, OSError
        As :func:`read`.
    DimensionError
        The arrays do not fit each other.
    """
    path = Path(path)
    metric = None
    if path.is_dir():
        base, queries = read(_member(path, "base")), read(_member(path, "query"))
        truth = _find_member(path, "gt")
        neighbors = None if truth is None else read(truth)
    elif path.suffix.lower() in (".hdf5", ".h5") and _has_queries(path):
        base, queries = read(path, key="train"), read(path, key="test")
        with open_hdf5(path) as file:
            has_neighbors = "neighbors" in file
            distance = file.attrs.get("distance")
        neighbors = read(path, key="neighbors") if has_neighbors else None
        metric = _METRICS.get(distance.decode() if isinstance(distance, bytes) else str(distance))
    elif held_out is not None:
        base, queries = _hold_out(path.name, read(path, key=key), held_out, seed)
        neighbors = None
    else:
        raise ParameterError(f"{path.name}: expected a folder or an HDF5 file")
    if base.dtype == np.bool_ and queries.dtype == np.bool_:
        base, queries = np.packbits(base, axis=1), np.packbits(queries, axis=1)
    _check_fit(path.name, base, queries, neighbors)
    return Dataset(path.stem, base, queries, neighbors, metric)


def _has_queries(path: Path) -> bool:
    with open_hdf5(path) as file:
        return "train" in file or "test" in file


def _hold_out(
    name: str, rows: NDArray[Any], count: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    if rows.ndim != 2 or len(rows) < 10:
        raise DimensionError(f"{name}: expected at least 10 rows of vectors, got {rows.shape}")
    count = min(count, len(rows) // 10)
    chosen = np.zeros(len(rows), bool)
    chosen[np.random.default_rng(seed).choice(len(rows), count, replace=False)] = True
    return rows[~chosen], rows[chosen]


def _find_member(folder: Path, stem: str) -> Path | None:
    found = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((path for path in found if path.is_file()), None)


def _member(folder: Path, stem: str) -> Path:
    path = _find_member(folder, stem)
    if path is None:
        raise FileNotFoundError(f"{folder}: expected a file {stem}.npy (or another format)")
    return path


def _check_fit(
    name: str, base: NDArray[Any], queries: NDArray[Any], neighbors: NDArray[Any] | None
) -> None:
    if base.ndim != 2 or queries.ndim != 2 or base.shape[1] != queries.shape[1]:
        raise DimensionError(
            f"{name}: expected base (n, d) and queries (m, d), got {base.shape}, {queries.shape}"
        )
    if neighbors is None:
        return
    if neighbors.ndim != 2 or len(neighbors) != len(queries):
        raise DimensionError(
            f"{name}: expected {len(queries)} rows of true neighbours, got {neighbors.shape}"
        )
    if neighbors.dtype.kind not in "iu":
        raise DtypeError(f"{name}: expected whole numbers as neighbours, got {neighbors.dtype}")
    if neighbors.size and not (0 <= neighbors.min() and neighbors.max() < len(base)):
        raise FormatError(f"{name}: a true neighbour lies outside the {len(base)} rows of the base")
