"""Seeded data on which graphs are known to fail, and one on which they do well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from annx.datasets._dataset import Dataset
from annx.errors import ParameterError

Rows = NDArray[np.float32]


def _normal(rng: np.random.Generator, rows: int, dim: int) -> Rows:
    return rng.standard_normal((rows, dim), dtype=np.float32)


def _dataset(name: str, rows: Rows, queries: int, metric: str) -> Dataset:
    return Dataset(name, rows[:-queries], rows[-queries:], None, metric)


def clusters(rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0) -> Dataset:
    """100 neighbourhoods that overlap, as embeddings have them."""
    rng = np.random.default_rng(seed)
    points = _normal(rng, 100, dim)[rng.integers(0, 100, rows + queries)]
    points += 0.5 * _normal(rng, rows + queries, dim)
    return _dataset("clusters", points, queries, "l2")


def far_clusters(rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0) -> Dataset:
    """Clusters so far apart that few edges join them: a walk may start in the wrong one."""
    rng = np.random.default_rng(seed)
    centres = 20 * _normal(rng, max(10, rows // 1000), dim)
    points = centres[rng.integers(0, len(centres), rows + queries)]
    points += _normal(rng, rows + queries, dim)
    return _dataset("far-clusters", points, queries, "l2")


def duplicates(rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0) -> Dataset:
    """Half of the rows are copies of others that differ in the fifth decimal, or not at all.

    The links of a near-duplicate are spent on its twins.
    """
    rng = np.random.default_rng(seed)
    points = clusters(rows, dim, queries, seed).base.copy()
    half = rows // 2
    # A few rows have most of the copies, as default values and reposts do.
    weights = 1.0 / np.arange(1, half + 1)
    copied = rng.choice(half, rows - half, p=weights / weights.sum())
    points[half:] = points[copied]
    points[half + (rows - half) // 2 :] *= 1 + 1e-5 * _normal(rng, 1, dim)
    asked = points[rng.integers(0, half, queries)] + 0.2 * _normal(rng, queries, dim)
    order = rng.permutation(rows)
    return Dataset("duplicates", points[order], asked, None, "l2")


def low_angular(rows: int = 10_000, dim: int = 16, queries: int = 500, seed: int = 0) -> Dataset:
    """Few dimensions on the sphere with uneven variance: codes leave much to rescore."""
    rng = np.random.default_rng(seed)
    points = _normal(rng, rows + queries, dim) * np.linspace(2, 0.3, dim, dtype=np.float32)
    return _dataset("low-angular", points + 0.5, queries, "cosine")


def norms(rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0) -> Dataset:
    """Inner product with log-normal lengths, as of popular items: few rows are hubs."""
    rng = np.random.default_rng(seed)
    base = _normal(rng, 200, dim)[rng.integers(0, 200, rows)] + 0.7 * _normal(rng, rows, dim)
    base *= rng.lognormal(0, 0.5, (rows, 1)).astype(np.float32)
    asked = _normal(rng, queries, dim)
    return Dataset("norms", base, asked, None, "ip")


def out_of_distribution(
    rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0
) -> Dataset:
    """Queries of another kind than the rows, as texts that ask for pictures are.

    Rows lie on a cone; queries lie on another, whose axis is nearly perpendicular.
    """
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(_normal(rng, dim, 2))[0].T.astype(np.float32) * np.sqrt(dim)
    base = clusters(rows, dim, 1, seed).base + axes[0]
    asked = 0.6 * _normal(rng, queries, dim) + axes[1]
    return Dataset("out-of-distribution", base, asked, None, "cosine")


def integers(rows: int = 10_000, dim: int = 64, queries: int = 500, seed: int = 0) -> Dataset:
    """Counts of 0 to 255, many of them 0, as histograms of gradients are: ties abound."""
    rng = np.random.default_rng(seed)
    shape = np.abs(_normal(rng, 100, dim))[rng.integers(0, 100, rows + queries)]
    counts = rng.poisson(12 * shape**2).clip(0, 255)
    points = counts.astype(np.uint8)
    return Dataset("integers", points[:rows], points[rows:], None, "l2")


#: By the name that users give.
GENERATORS: dict[str, Callable[..., Dataset]] = {
    "clusters": clusters,
    "far-clusters": far_clusters,
    "duplicates": duplicates,
    "low-angular": low_angular,
    "norms": norms,
    "out-of-distribution": out_of_distribution,
    "integers": integers,
}


def generate(
    name: str, rows: int = 10_000, dim: int | None = None, queries: int = 500, seed: int = 0
) -> Dataset:
    """Make seeded data of a kind on which approximate search is hard.

    Parameters
    ----------
    name : str
        A key of :data:`GENERATORS`.
    rows, queries : int
    dim : int, optional
        By default 64, or 16 for low-angular.
    seed : int
        Equal seeds give equal data.

    Raises
    ------
    ParameterError
        The name is unknown, or a number is not positive.

    Examples
    --------
    >>> generate("norms", rows=1000, dim=8).metric
    'ip'
    """
    if name not in GENERATORS:
        raise ParameterError(f"expected one of {', '.join(GENERATORS)}, got {name!r}")
    if min(rows, queries, 1 if dim is None else dim) < 1:
        raise ParameterError(f"expected positive numbers, got {rows}, {dim}, {queries}")
    sizes = {} if dim is None else {"dim": dim}
    return GENERATORS[name](rows=rows, queries=queries, seed=seed, **sizes)
