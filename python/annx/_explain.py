"""Why an index is as it is: its health, and what a search did not return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from annx import _health, _validate
from annx._backends.base import MAX_ROWS, Core
from annx._describe import Described
from annx._filter import Filter, FilterLike
from annx._health import HealthReport
from annx._journal import Journal
from annx._progress import ignore
from annx.errors import ParameterError

if TYPE_CHECKING:
    from annx._result import RangeResult, SearchResult


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a label was not among the hits of a query.

    Attributes
    ----------
    reason : str
        ``"found"``: it was. ``"missing"``: the index does not hold it. ``"filtered"``: the
        filter does not let it pass. ``"outranked"``: k others are as near or nearer.
        ``"missed"``: it is one of the k nearest, and a wider beam finds it.
        ``"unreachable"``: no beam does.
    rank : int or None
        Labels that pass and are nearer.
    distance, kth_distance : float or None
        Its distance, and that of the k-th nearest that passes.
    ef_search : int or None
        With ``"missed"``, a width of the beam that finds it.
    """

    reason: str
    rank: int | None = None
    distance: float | None = None
    kth_distance: float | None = None
    ef_search: int | None = None


class Explained(Described):
    """The part of `Index` that examines it."""

    _core: Core
    _adding: Lock
    _journal: Journal
    _num_threads: int | None
    _source: str

    if TYPE_CHECKING:
        search: Callable[..., SearchResult]
        exact_search: Callable[..., SearchResult]
        range_search: Callable[..., RangeResult]

    def check(self) -> HealthReport:
        """Examine all of the index: what it holds, and whether every row can be found.

        Takes about a second for 250,000 rows, and memory for a copy of the index.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4]])
        >>> index.check().ok
        True
        """
        with self._switching:
            core, config = self._core, self._config
        return _health.examine(config, core.export_state(), self._source)

    def repair(self, *, seconds: float = 60.0, num_threads: int | None = None) -> HealthReport:
        """Mend what `check` finds wrong with the graph.

        Removed rows leave the graph, and what is cut off from the rest is joined to it. Only
        a file that another program wrote can need the latter.

        Parameters
        ----------
        seconds : float
            Time after which no more parts are joined; calling again goes on.
        num_threads : int, optional

        Returns
        -------
        HealthReport
            As of `check`, after.
        """
        self._refuse_read_only()
        limit = _validate.number(seconds, "seconds")
        if limit < 0:
            raise ParameterError(f"seconds must not be negative, got {seconds}")
        threads = _validate.threads(num_threads, self._num_threads, len(self))
        with self._adding:
            # By the clock: doing it again would not give the same graph.
            self._journal.give_up()
            self._core.repair(limit, threads, ignore)
        return self.check()

    def why_not(
        self,
        query: ArrayLike,
        label: int,
        k: int = 10,
        *,
        ef_search: int | None = None,
        filter: FilterLike = None,
    ) -> WhyNot:
        """Say why a search for a query did not return a label.

        Parameters
        ----------
        query : array_like of shape (dim,)
        label : int
        k, ef_search, filter
            As passed to `search`.

        Returns
        -------
        WhyNot

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> _ = index.add([[0, 0], [3, 4], [6, 8]])
        >>> index.why_not([0, 0], 2, k=2)
        WhyNot(reason='outranked', rank=2, distance=100.0, kth_distance=25.0, ef_search=None)
        """
        k = _validate.integer(k, "k", 1, MAX_ROWS)
        given = filter if filter is None or isinstance(filter, Filter) else Filter(self, filter)
        if label not in self:
            return WhyNot("missing")
        only = Filter(self, [label])
        if given is not None:
            only = only & given
        own = self.exact_search(query, 1, filter=only)
        if len(own.labels) != 1:
            raise ParameterError(f"expected one query, got {len(own.labels)}")
        if own.labels[0, 0] == -1:
            return WhyNot("filtered")
        distance = float(own.distances[0, 0])
        rank = len(self.range_search(query, distance, exact=True, filter=given).labels)
        kth = float(self.exact_search(query, k, filter=given).distances[0, -1])
        facts: dict[str, Any] = {"rank": rank, "distance": distance, "kth_distance": kth}
        width = self._ef_search if ef_search is None else ef_search
        width = _validate.integer(width, "ef_search", 1, _validate.MAX_EF)
        if label in self.search(query, k, ef_search=width, filter=given).labels:
            return WhyNot("found", **facts)
        beyond = float(np.nextafter(np.float32(distance), np.float32(np.inf)))
        as_near = len(self.range_search(query, beyond, exact=True, filter=given).labels)
        if as_near > k:
            return WhyNot("outranked", **facts)
        while width < len(self):
            width = min(2 * width, len(self))
            if label in self.search(query, k, ef_search=width, filter=given).labels:
                return WhyNot("missed", **facts, ef_search=width)
        return WhyNot("unreachable", **facts)
