"""Choosing k of more candidates: at most some of a group, and not all alike."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _present, _validate
from annx._backends.base import MAX_ROWS, Core
from annx._rows import read_array
from annx.errors import ParameterError

#: Candidates for each hit, and at least.
_FACTOR, _LEAST = 4, 64

#: What a core's `planned_search` returns.
Found = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
#: Searches for that many candidates of the queries at these places.
Search = Callable[[NDArray[np.int64], int], Found]


class Groups:
    """The group of each label.

    Parameters
    ----------
    core : Core
    groups : array_like of ints
        In the order of ``core.labels()``.
    most : int
        Hits that a group may have.

    Raises
    ------
    ParameterError
    """

    def __init__(self, core: Core, groups: ArrayLike, most: int) -> None:
        self.most = _validate.integer(most, "max_per_group", 1, MAX_ROWS)
        array = read_array(groups).array
        labels = core.labels()
        if array.shape != labels.shape:
            raise ParameterError(f"expected groups of shape {labels.shape}, got {array.shape}")
        if array.size and array.dtype.kind not in "iu":
            raise ParameterError(f"groups must be integers, got {array.dtype}")
        order = np.argsort(labels)
        self._labels, self._groups = labels[order], array[order]

    def of(self, labels: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Groups of labels, and which of them have one."""
        if not len(self._labels):
            return np.zeros(len(labels), np.int64), np.zeros(len(labels), np.bool_)
        place = np.minimum(np.searchsorted(self._labels, labels), len(self._labels) - 1)
        return self._groups[place], np.asarray(self._labels[place] == labels)


def diversity(value: Any) -> float:
    """Check the weight of diversity.

    Raises
    ------
    ParameterError
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ParameterError(f"diversity must be a number, got {value!r}") from None
    if not 0 <= number <= 1:
        raise ParameterError(f"diversity must be in 0..1, got {number}")
    return number


def pick(
    core: Core, search: Search, queries: int, k: int, groups: Groups | None, weight: float
) -> Found:
    """Search for more than k candidates and choose k, for each query.

    A query whose groups leave fewer than k is searched again for more, until there are no
    more candidates.
    """
    labels = np.full((queries, k), -1, np.int64)
    distances = np.full((queries, k), np.inf, np.float32)
    reports = np.zeros((queries, 4), np.int64)
    waiting = np.arange(queries)
    width = max(_FACTOR * k, _LEAST)
    while len(waiting):
        width = min(width, MAX_ROWS)
        found, near, report = search(waiting, width)
        again = []
        for place, query in enumerate(waiting):
            hits = found[place][found[place] >= 0]
            chosen = _choose(core, hits, near[place][: len(hits)], k, groups, weight)
            if len(chosen) < k and len(hits) == width:
                again.append(query)
                continue
            labels[query, : len(chosen)] = hits[chosen]
            distances[query, : len(chosen)] = near[place][chosen]
            reports[query] = report[place]
            if len(chosen) == k:
                reports[query, 3] = 0
        waiting = np.array(again, np.int64)
        width *= _FACTOR
    return labels, distances, reports


def _choose(
    core: Core,
    hits: NDArray[np.int64],
    near: NDArray[np.float32],
    k: int,
    groups: Groups | None,
    weight: float,
) -> list[int]:
    """Places of the hits to return, in order."""
    group: NDArray[Any] | None = None
    eligible = np.ones(len(hits), np.bool_)
    if groups is not None:
        group, eligible = groups.of(hits)
    taken: dict[int, int] = {}
    chosen: list[int] = []
    apart = None
    if weight > 0 and len(hits):
        rows, there = _present.rows_of(core.contains, core.get, hits)
        eligible &= there
        apart = _distances(core, rows) if there.any() else None
    nearest = np.full(len(hits), np.inf)  # of each to those chosen
    while len(chosen) < k and eligible.any():
        if apart is None or not chosen:
            place = int(np.argmax(eligible))
        else:
            score = (1 - weight) * near.astype(np.float64) - weight * nearest
            place = int(np.argmin(np.where(eligible, score, np.inf)))
        chosen.append(place)
        eligible[place] = False
        if apart is not None:
            nearest = np.minimum(nearest, apart[place])
        if groups is not None and group is not None:
            mine = operator.index(group[place])
            taken[mine] = taken.get(mine, 0) + 1
            if taken[mine] == groups.most:
                eligible &= group != mine
    return chosen


def _distances(core: Core, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Distances between stored vectors, by the index's metric."""
    config = core.config
    if config.codec == "bf16":
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    x = (np.unpackbits(rows, axis=1) if config.codec == "b1" else rows).astype(np.float64)
    if config.metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    dots = x @ x.T
    if config.metric in ("ip", "cosine"):
        return np.asarray(1 - dots)
    squares = np.diag(dots)
    return np.maximum(squares[:, None] + squares - 2 * dots, 0)
