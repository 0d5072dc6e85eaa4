"""The part of `Index` that measures and promises recall."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import _present, _sample, _tune, _validate
from annx._backends.base import MAX_ROWS, Config, Core
from annx._progress import Progress
from annx._rows import to_rows
from annx._tune import Curve, Curves, Tuning
from annx.errors import ParameterError, TuningWarning

if TYPE_CHECKING:
    from annx._result import SearchResult

#: Beneath this many rows an exact search takes a fraction of a millisecond.
_EXACT_BELOW = 1000
#: Share of its rows by which an index may change before what was measured is stale.
_STALE = 0.2
_GOALS = (0.9, 0.95, 0.99)
#: Width of the beam that looks for the neighbours of sampled rows.
_NEAR_EF = 64


class Tunable:
    """Measures which `ef_search` reaches a recall, and remembers."""

    _core: Core
    _config: Config
    # Replaced, never changed: searches on other threads read it.
    _curves: Curves
    _tuning: RLock
    _switching: Lock

    if TYPE_CHECKING:
        search: Callable[..., SearchResult]
        exact_search: Callable[..., SearchResult]
        get: Callable[..., NDArray[Any]]

    def tune(
        self,
        queries: ArrayLike | None = None,
        k: int = 10,
        recall: float | Iterable[float] = _GOALS,
        *,
        progress: Callable[[int, int], object] | bool | None = None,
        num_threads: int | None = None,
    ) -> Tuning:
        """Measure which ``ef_search`` reaches a recall, for ``search(recall=...)``.

        Parameters
        ----------
        queries : array_like of shape (n_queries, dim) or (dim,), optional
            As in `search`; a few hundred real ones, not the stored rows. By default up to
            500 stored vectors, each moved as far as its neighbours are: queries that are
            unlike the stored vectors need to be given.
        k : int
            Results are stored for each k apart.
        recall : float or iterable of float
            Goals in (0, 1]. What lies between is interpolated.
        progress : callable or True, optional
            Called as ``progress(steps_done, most_steps)``; what it raises ends the call.
        num_threads : int, optional

        Returns
        -------
        Tuning
            A mapping of each goal to its ``ef_search``, and the ``recall`` and ``qps``
            measured with it.

        Raises
        ------
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As in `search`.
        ParameterError
            An argument is out of range, or there are no rows or no queries.

        Notes
        -----
        The truth is that of `exact_search`; a hit is a row no farther than the true k-th.
        Where the beam would be slower than `exact_search`, that serves instead. An index
        of less than 1000 rows is always searched exactly.

        Examples
        --------
        >>> import annx, numpy as np
        >>> rows = np.random.default_rng(0).random((2000, 8), dtype=np.float32)
        >>> index = annx.Index(8)
        >>> _ = index.add(rows)
        >>> table = index.tune(k=5, recall=(0.9, 0.99))
        >>> table[0.9].ef_search <= table[0.99].ef_search
        True
        >>> index.search(rows[:3], k=5, recall=0.95).labels.shape
        (3, 5)
        """
        k = _validate.integer(k, "k", 1, MAX_ROWS)
        given = recall if isinstance(recall, Iterable) else (recall,)
        goals = sorted({_tune.target(goal) for goal in given})
        if not goals:
            raise ParameterError("recall must name at least one goal")
        if len(self._core) == 0:
            raise ParameterError("an empty index cannot be tuned")
        if num_threads is not None:
            _validate.threads(num_threads, None, 1)
        rows = None
        if queries is not None:
            rows = to_rows(queries, self._config.dim, self._config.input_codec)
            if len(rows) == 0:
                raise ParameterError("expected at least one query to tune with, got none")
            if self._config.codec == "bf16":  # `search` would take the words for numbers
                rows = (rows.astype(np.uint32) << 16).view(np.float32)
        with self._tuning:
            return self._measure(rows, k, goals, progress, num_threads)

    def _measure(
        self,
        rows: NDArray[Any] | None,
        k: int,
        goals: list[float],
        progress: Callable[[int, int], object] | bool | None,
        threads: int | None,
    ) -> Tuning:
        core, n = self._core, len(self._core)
        poll = Progress(progress, _tune.most_steps(k, n, len(goals)))
        miss_factor = 1.0
        if rows is None:
            miss_factor = _tune.SAMPLED_MISS
            rows = _sample.queries(
                self._config,
                self._get_present,
                lambda x, near: (
                    self.search(x, near, ef_search=_NEAR_EF, num_threads=threads).labels
                ),
                core.labels(),
                _sample.count(self._config, n),
            )
        # Whatever the first call has to load or compile is no part of a measurement.
        self.search(rows[:2], min(k, n), ef_search=min(k, n, _validate.MAX_EF), num_threads=threads)
        self.exact_search(rows[:2], min(k, n), num_threads=threads)
        start = time.perf_counter()
        truth = self.exact_search(rows, min(k, n), num_threads=threads).distances[:, -1]
        exact_qps = len(rows) / max(time.perf_counter() - start, 1e-9)
        poll(1)
        probe = _tune.Probe(self.search, rows, truth, min(k, n), miss_factor, threads)
        beneath = [goal for goal in goals if goal < 1] or list(_GOALS)
        curve = probe.curve(n, exact_qps, beneath, poll)
        poll.finish()
        curve = curve._replace(k=k)
        with self._switching:
            if n >= _EXACT_BELOW and core is self._core:
                self._curves = {**self._curves, k: curve}
        if n < _EXACT_BELOW:
            curve = curve._replace(points=())  # never used: see _width
        return _tune.table(curve, goals, exact_qps)

    def _get_present(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        # Each of the core of its moment: an add may exchange it.
        rows, there = _present.rows_of(lambda each: self._core.contains(each), self.get, labels)
        if not there.any():
            raise ParameterError("an empty index cannot be tuned")
        return rows

    def _width(self, k: int, recall: float, threads: int | None) -> int | None:
        """Width of the beam for a recall; None if an exact search is called for."""
        goal = _tune.target(recall)
        n = len(self._core)
        if goal == 1 or n < _EXACT_BELOW:
            return None
        covering = _tune.covering(self._curves, k)
        if covering is None:
            covering = self._first_curve(k, goal, threads)
        curve, factor = covering
        if abs(n - curve.n) >= _STALE * curve.n:
            warnings.warn(
                f"the index had {curve.n:,} rows when it was tuned and has {n:,} now; "
                "call tune() again",
                TuningWarning,
                stacklevel=3,
            )
        width = curve.width(goal)
        return None if width is None else min(int(np.ceil(width * factor)), _validate.MAX_EF)

    def _first_curve(self, k: int, goal: float, threads: int | None) -> tuple[Curve, float]:
        with self._tuning:
            # Another search may have measured while this one waited.
            found = _tune.covering(self._curves, k)
            while found is None:
                self._measure(None, k, sorted({*_GOALS, goal}), None, threads)
                found = _tune.covering(self._curves, k)
        return found
