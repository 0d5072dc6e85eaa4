"""What lies near some of the rows: whether codes would tell it apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config

#: Rows that are compared with all, and how many are looked at of those near each.
_PROBES, _NEAR = 32, 64
#: The fewest rows that tell anything.
FEWEST = 50
#: The fewest that tell how crowded they will be when there are many.
_FEWEST_CROWDED = 10_000
#: The error of a squared distance between codes, in |x|^2 / sqrt(dim): a coordinate errs
#: by some 0.008 |x| / sqrt(dim), and a dot product of two such by sqrt(2) |x| times that.
_CODE_ERROR = 0.0226
#: Share of the squared distance of the 10th neighbour from which that is too much. At .15
#: recall@10 of rows in 200 clusters fell to .98, at .7 to .65; of embeddings, descriptors
#: and images it is .001 to .06.
_MOST_ERROR = 0.15
#: The error of a squared distance estimated from codes of an edge as long as it, in
#: 1 / sqrt(dim) of it, by bits a dimension (6.5 and 13 % at 128: RaBitQ, arXiv 2405.12497).
_EDGE_ERROR = {2: 0.735, 1: 1.47}
#: Neighbours within one such error of the 10th, itself and those before it included, from
#: which estimates do not lead a search: 40 and more on 6 sets where searches by edges take 1.1
#: to 1.9 times as long as without to recall .95, or never get there; 29 and fewer on 17 where
#: they take .6 to 1.1 times. Isotropic clusters in 64 to 256 dimensions (22; 1.3 times) are not
#: told apart from these.
_CROWD = 35
#: Elements looked at together, 4 MiB of float32.
_BLOCK = 1 << 20


class Nearest:
    """Rows near to some of the rows, looked for when first asked about.

    Parameters
    ----------
    config : Config
        Of a metric on floats.
    rows : ndarray of shape (n, dim), float32
    """

    def __init__(self, config: Config, rows: NDArray[np.float32]) -> None:
        self._config = config
        self._rows = rows

    def blurred(self) -> bool:
        """Whether codes err too much beside the nearest of a quarter of the rows."""
        if self._config.metric == "ip" or len(self._rows) < FEWEST:
            return False
        blurred = 0
        for probe, near in self._each():
            squares = _squares(probe, near)
            error = _CODE_ERROR / np.sqrt(self._config.dim) * probe.dot(probe)
            blurred += bool(error > _MOST_ERROR * squares[min(9, len(squares) - 1)])
        return 4 * blurred >= _PROBES

    def crowded(self, bits: int) -> bool:
        """Whether codes of edges would not tell which rows are near to half of the rows.

        Parameters
        ----------
        bits : int
            A dimension, of a code.
        """
        if len(self._rows) < _FEWEST_CROWDED:
            return False
        crowded = 0
        for probe, near in self._each():
            if len(near) < _CROWD:
                continue
            if self._config.metric == "ip":
                far, length = _products(probe, near)
            else:
                far = _squares(probe, near)
                length = far[9]
            error = _EDGE_ERROR[bits] / np.sqrt(self._config.dim) * length
            crowded += bool(far[_CROWD - 1] <= far[9] + error < np.inf)
        return 2 * crowded >= _PROBES

    def _each(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        # One at a time: all would take a gigabyte where rows are as wide as they may be.
        for place, near in zip(self._places, self._near, strict=True):
            # Copies are found together, whatever the code.
            apart = list({self._rows[i].tobytes(): i for i in near}.values())
            yield (
                comparable(self._config, self._rows[place]),
                comparable(self._config, self._rows[apart]),
            )

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        return (2 * np.arange(_PROBES) + 1) * len(self._rows) // (2 * _PROBES)

    @cached_property
    def _near(self) -> NDArray[np.int64]:
        return _roughly_nearest(self._config, self._rows[self._places], self._rows)


def comparable(config: Config, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows as float64, of length 1 under cosine."""
    wide = rows.astype(np.float64)
    if config.metric == "cosine":
        wide /= np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    return wide


def _squares(probe: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances, sorted."""
    apart = near - probe
    squares = np.einsum("ij,ij->i", apart, apart)
    squares[squares == 0] = np.inf  # the probe itself
    return np.sort(squares)


def _products(
    probe: NDArray[np.float64], near: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Negative inner products, sorted, and what their estimates err by a share of.

    A product with an edge is half of what it adds to a squared distance.
    """
    far = -near.dot(probe)
    order = np.argsort(far)
    edges = near[order[1:10]] - near[order[0]]
    edge = float(np.median(np.linalg.norm(edges, axis=1)))
    return far[order], float(np.linalg.norm(probe)) * edge / 2


def _roughly_nearest(
    config: Config, probes: NDArray[np.float32], rows: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the places of the `_NEAR` rows nearest to each probe, as float32 tells them apart."""
    # Squares of float32 overflow from 2^64 on.
    scale = np.float32(1) / max(np.float32(np.abs(probes).max()), np.finfo(np.float32).tiny)

    def scaled(some: NDArray[np.float32]) -> NDArray[np.float32]:
        result = some * scale
        if config.metric == "cosine":
            lengths = np.sqrt(np.einsum("ij,ij->i", result, result))
            result /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
        return result

    asked = scaled(probes)
    least = np.empty((len(probes), 0), np.float32)
    places = np.empty((len(probes), 0), np.int64)
    first = 0
    for block in blocks(rows, _BLOCK):
        with np.errstate(over="ignore", invalid="ignore"):
            here = scaled(block)
            far = -(asked @ here.T)
            if config.metric != "ip":
                # Without |probe|^2, which is the same for all.
                far = np.einsum("ij,ij->i", here, here) + 2 * far
        far = np.concatenate([least, far], axis=1)
        own = np.broadcast_to(np.arange(first, first + len(block)), (len(probes), len(block)))
        known = np.concatenate([places, own], axis=1)
        kept = np.argpartition(far, min(_NEAR, far.shape[1]) - 1, axis=1)[:, :_NEAR]
        least = np.take_along_axis(far, kept, axis=1)
        places = np.take_along_axis(known, kept, axis=1)
        first += len(block)
    return places


def blocks(rows: NDArray[Any], elements: int) -> list[NDArray[Any]]:
    """Split rows into runs of so many elements, at least a row each."""
    step = max(1, elements // rows.shape[1])
    return [rows[first : first + step] for first in range(0, len(rows), step)]
