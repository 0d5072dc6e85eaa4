"""Queries made up from stored vectors, for an index whose real ones are not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import STORAGE_DTYPES, Config

#: Neighbours among which the size of a perturbation is drawn.
_NEAR = 10
#: Elements that exact searches may read for the truth: a few seconds of one core.
_BUDGET = 2e10
_MOST, _LEAST = 500, 100


def count(config: Config, n: int) -> int:
    """Queries to sample from n rows, so that their truth costs seconds."""
    return int(np.clip(_BUDGET / (n * config.columns), _LEAST, _MOST))


def queries(
    config: Config,
    get: Callable[[NDArray[np.int64]], NDArray[Any]],
    near: Callable[[NDArray[Any], int], NDArray[np.int64]],
    labels: NDArray[np.int64],
    wanted: int,
) -> NDArray[Any]:
    """Make up queries.

    A stored row is easier to find than a query: the graph was built to find it. So each
    is moved as far as its 1st to 10th neighbour, half of them in any direction and half
    along the difference of two other rows; under ``"ip"`` that difference is the query.

    Parameters
    ----------
    config : Config
    get : callable
        As `Index.get`.
    near : callable
        Labels of shape (n_queries, k) nearest to queries, for ``(queries, k)``.
    labels : ndarray of shape (n,), int64
    wanted : int

    Returns
    -------
    ndarray of shape (min(wanted, n), columns)
        As `Index.search` takes them.
    """
    rng = np.random.default_rng(config.seed)
    n = len(labels)
    chosen = labels[rng.choice(n, min(wanted, n), replace=False)]
    rows = get(chosen)
    rank = rng.integers(0, _NEAR, len(chosen))
    others = get(_neighbour(near(rows, _NEAR + 1), chosen, rank))
    first, second = (get(labels[rng.integers(0, n, len(chosen))]) for _ in range(2))
    if config.codec == "b1":
        return _flip(rows, others, rng)
    rows, others = rows.astype(np.float32), others.astype(np.float32)
    along = first.astype(np.float32) - second.astype(np.float32)
    half = rng.permutation(len(rows)) < len(rows) // 2
    along[half] = rng.standard_normal((int(half.sum()), rows.shape[1]), dtype=np.float32)
    lengths = _length(others - rows)
    # Neighbours that are copies say nothing of how far a query may lie.
    apart = lengths > 0
    lengths[~apart] = np.median(lengths[apart]) if apart.any() else _length(rows).mean()
    along[~along.any(axis=1)] = 1
    if config.metric in ("ip", "cosine"):
        # Nearest by angle or by product may be anywhere by length.
        lengths = np.minimum(lengths, _length(rows))
    if config.metric == "ip":
        # Queries and rows may be different things there, a row no answer to itself.
        rows[~half] = 0
    moved = rows + along * (lengths / np.maximum(_length(along), 1e-30))
    if config.input_codec in ("i8", "u8"):
        limits = np.iinfo(STORAGE_DTYPES[config.input_codec])
        moved = np.rint(moved).clip(limits.min, limits.max).astype(limits.dtype)
    elif config.input_codec == "f16":
        moved = moved.clip(-65504, 65504).astype(np.float16)
    if config.metric == "cosine":
        zero = ~moved.any(axis=1)
        moved[zero] = rows[zero]
    return moved


def _length(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths


def _neighbour(
    found: NDArray[np.int64], own: NDArray[np.int64], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Pick the rank-th found label of each row that is not its own."""
    order = np.argsort(found == own[:, None], axis=1, kind="stable")
    picked = np.take_along_axis(found, order, axis=1)[np.arange(len(found)), rank]
    return np.where(picked == -1, own, picked)  # -1: fewer rows than ranks


def _flip(
    rows: NDArray[np.uint8], others: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Flip as many bits of each row as it differs in from another, wherever they are."""
    bits = np.unpackbits(rows, axis=1)
    differing = np.unpackbits(rows ^ others, axis=1).sum(axis=1)
    places = rng.random(bits.shape).argsort(axis=1)
    bits ^= (places < differing[:, None]).astype(np.uint8)
    return np.packbits(bits, axis=1)
