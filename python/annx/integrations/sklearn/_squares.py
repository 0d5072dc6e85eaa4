"""Metrics under scikit-learn's names, made of squared Euclidean distances in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.errors import ZeroVectorError

METRICS = ("euclidean", "l2", "minkowski", "sqeuclidean", "cosine")


class Squares:
    """Converts rows and distances of a metric to those of an index by squared distance.

    Parameters
    ----------
    metric : str
        One of `METRICS`.
    samples : ndarray of shape (n, dim), float32 or float64
        Rows that those of the index are moved next to the origin by, where float32 is most
        exact.

    Raises
    ------
    ZeroVectorError
        A row of zeros under ``"cosine"``.
    """

    def __init__(self, metric: str, samples: NDArray[Any]) -> None:
        self._metric = metric
        self._offset = _offset(self._scaled(samples))

    def rows(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Return what stands for rows in the index."""
        with np.errstate(over="ignore"):  # the index refuses infinity, and names the row
            return (self._scaled(X) - self._offset).astype(np.float32)

    def lengths(self, squares: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return distances of the metric's own."""
        lengths = squares.astype(np.float64)
        if self._metric == "cosine":
            return lengths / 2
        return lengths if self._metric == "sqeuclidean" else np.sqrt(lengths)

    def square(self, length: float) -> float:
        """Return the squared distance of one of the metric's own."""
        if self._metric == "cosine":
            return 2 * length
        return length if self._metric == "sqeuclidean" else length * abs(length)

    def _scaled(self, X: NDArray[Any]) -> NDArray[Any]:
        if self._metric != "cosine":
            return X
        # |a - b|^2 = 2 (1 - cos) where lengths are 1: without the cancellation of 1 - cos.
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        if not norms.all():
            raise ZeroVectorError(f"row {norms.argmin()} is zero and has no direction")
        return np.asarray(X / norms)


def _offset(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Choose what to subtract, so that float32 holds the differences between samples.

    Near the mean, but a multiple of a power of two no larger than the spread: whole numbers,
    and whatever else float32 holds exactly beside that spread, stay exact.
    """
    mean = samples.mean(axis=0, dtype=np.float64)
    spread = samples.std(axis=0, dtype=np.float64)
    step = np.exp2(np.floor(np.log2(np.where(spread > 0, spread, 1))))
    return np.asarray(np.where(spread > 0, np.rint(mean / step) * step, samples[0]))
