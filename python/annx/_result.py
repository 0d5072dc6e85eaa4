"""What a search returns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import PLANS, SHORT


class SearchResult(NamedTuple):
    """The nearest labels of each query, nearest first.

    Rows with fewer than k hits are padded with label -1 and distance inf.

    Attributes
    ----------
    labels : ndarray of shape (n_queries, k), int64
    distances : ndarray of shape (n_queries, k), float32

    Examples
    --------
    >>> import annx, numpy as np
    >>> index = annx.Index(2, "ip")
    >>> _ = index.add([[1.0, 0.0], [0.0, 2.0]])
    >>> labels, distances = index.search([0.0, 3.0], k=2)
    >>> labels
    array([[1, 0]])
    >>> index.search([0.0, 3.0], k=2).similarities
    array([[6., 0.]], dtype=float32)
    """

    labels: NDArray[np.int64]
    distances: NDArray[np.float32]

    @property
    def similarities(self) -> NDArray[np.float32]:
        """The metric's natural score, larger is closer; -inf where padded.

        The dot product under ``"ip"``, the cosine under ``"cosine"``, otherwise the
        negated distance.
        """
        return np.float32(0) - self.distances

    def __repr__(self) -> str:
        return f"SearchResult(labels={self.labels!r}, distances={self.distances!r})"


class SearchReport(NamedTuple):
    """How each query of a search was answered.

    Attributes
    ----------
    plan : ndarray of shape (n_queries,), str
        ``"graph"``: a beam through the graph. ``"two-hop"``: a beam over the rows that
        pass the filter, reached over those that do not. ``"scan"``: every row that passes
        was compared. ``"fallback"``: a beam stalled, and every row that passes was compared.
    exact : ndarray of shape (n_queries,), bool
        Whether every row that passes was compared, by its vector as it is kept.
    visited : ndarray of shape (n_queries,), int64
        Nodes of the graph whose neighbours were looked at.
    distances : ndarray of shape (n_queries,), int64
        Distances computed on the lowest level of the graph, or in the scan.
    short : ndarray of shape (n_queries,), str
        Why there are fewer than k hits: ``""`` there are not, ``"rows"`` the index has
        fewer, ``"filter"`` fewer pass.
    """

    plan: NDArray[np.str_]
    exact: NDArray[np.bool_]
    visited: NDArray[np.int64]
    distances: NDArray[np.int64]
    short: NDArray[np.str_]


class ReportedResult(SearchResult):
    """A `SearchResult` of a search with ``report=True``.

    Attributes
    ----------
    report : SearchReport
    """

    report: SearchReport


class RangeResult(NamedTuple):
    """All hits within a radius, those of one query after those of another.

    Attributes
    ----------
    lims : ndarray of shape (n_queries + 1,), int64
        The hits of query i stand at ``lims[i]:lims[i + 1]``, nearest first.
    labels : ndarray of shape (lims[-1],), int64
    distances : ndarray of shape (lims[-1],), float32
    """

    lims: NDArray[np.int64]
    labels: NDArray[np.int64]
    distances: NDArray[np.float32]


class _AngleResult(SearchResult):
    """A result under ``"ip"`` or ``"cosine"``, where distance = 1 - similarity."""

    __slots__ = ()

    @property
    def similarities(self) -> NDArray[np.float32]:
        return np.float32(1) - self.distances


class _ReportedAngleResult(ReportedResult):
    @property
    def similarities(self) -> NDArray[np.float32]:
        return np.float32(1) - self.distances


def reported(
    metric: str,
    labels: NDArray[np.int64],
    distances: NDArray[np.float32],
    fields: NDArray[np.int64],
) -> ReportedResult:
    """Return what ``Core.planned_search`` returned as a result with its report."""
    kind = _ReportedAngleResult if metric in ("ip", "cosine") else ReportedResult
    result = kind(labels, distances)
    plan, visited, compared, short = fields.T
    names = np.array(PLANS)[plan]
    exact = np.isin(names, ("scan", "fallback"))
    result.report = SearchReport(names, exact, visited, compared, np.array(SHORT)[short])
    return result


#: Makes a result of what ``Core.search`` returned.
Wrap = Callable[[tuple[NDArray[np.int64], NDArray[np.float32]]], SearchResult]


def wrapper(metric: str) -> Wrap:
    """Return the function that makes a core's pair of arrays a result under `metric`."""
    kind = _AngleResult if metric in ("ip", "cosine") else SearchResult
    # A NamedTuple's own constructor is a Python function: 0.27 us against 0.15 us.
    make: Any = tuple.__new__
    return cast(Wrap, partial(make, kind))
