"""Which `ef_search` reaches a recall: how it is measured, and the table of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from annx import _validate
from annx.errors import FormatError, ParameterError

if TYPE_CHECKING:
    from annx._result import SearchResult

#: Misses of real queries for one of sampled ones (docs/tuning.md).
SAMPLED_MISS = 1.8
#: Standard errors of the mean by which a promise stays below it: 1 of 15 samples is so far out.
_ERRORS = 1.5
#: Each step of the grid widens the beam by this factor.
_STEP = 2**0.5
#: Interpolations towards each goal; the third is within a few percent.
_ROUNDS = 3
#: A curve serves down to, and up to, this share of the k that it was measured for.
_REACH = 4
_EXACT_IN_FLOAT32 = 1 << 24
_MOST_FLOAT32 = float(np.finfo(np.float32).max)
#: Columns of the stored array.
_COLUMNS = 6


class TuningEntry(NamedTuple):
    """What one recall costs.

    Attributes
    ----------
    ef_search : int
        Width of the beam that reaches it; the number of rows if only an exact search does.
    recall : float
        Measured mean share of the true k nearest, a hit being no farther than the k-th.
    qps : float
        Measured queries a second, in one batch, on the threads that `tune` ran on.
    """

    ef_search: int
    recall: float
    qps: float


class Tuning(Mapping[float, TuningEntry]):
    """What `tune` measured: recall asked for -> `TuningEntry`.

    Attributes
    ----------
    k : int
    n : int
        Rows of the index at that time.
    """

    def __init__(self, k: int, n: int, entries: Mapping[float, TuningEntry]) -> None:
        self.k = k
        self.n = n
        self._entries = dict(entries)

    def __getitem__(self, recall: float) -> TuningEntry:
        return self._entries[recall]

    def __iter__(self) -> Iterator[float]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        lines = [f"<annx.Tuning k={self.k} n={self.n:,}", "recall  ef_search  measured      qps"]
        lines += [
            f"{asked:6g}  {entry.ef_search:9d}  {entry.recall:8.4f}  {entry.qps:7.0f}"
            for asked, entry in self._entries.items()
        ]
        return "\n".join(lines) + ">"


class Point(NamedTuple):
    """One measurement."""

    ef_search: int
    recall: float
    #: What other queries can be promised: `recall` less what the sample may hide.
    promised: float
    qps: float


class Curve(NamedTuple):
    """Measurements for one k, by rising `ef_search`."""

    k: int
    n: int
    points: tuple[Point, ...]

    def width(self, recall: float) -> int | None:
        """Least `ef_search` that promises `recall`; None if no measured one does."""
        reached = None
        for point in reversed(self.points):
            if point.promised < recall:
                break
            reached, above = point.ef_search, point
        else:
            return reached
        if reached is None:
            return None
        # The logarithm of the misses falls about linearly with that of the width.
        low, high, miss = (
            np.log(max(1e-4, 1 - v)) for v in (point.promised, above.promised, recall)
        )
        part = float(np.clip((miss - low) / (high - low), 0, 1)) if high < low else 1.0
        start = np.log(point.ef_search)
        width = np.exp(start + part * (np.log(reached) - start))
        return min(reached, int(np.ceil(width - 1e-6)))


#: Curves by k. Never changed in place: searches on other threads read it.
Curves = Mapping[int, Curve]


def covering(curves: Curves, k: int) -> tuple[Curve, float] | None:
    """Find the curve to use for `k`, and the factor for its widths.

    A wider result needs a wider beam, by less than the ratio of the two k: so a curve for
    more is safe as it is, and one for less in proportion.
    """
    above = min((each for each in curves if each >= k), default=None)
    if above is not None and above <= _REACH * k:
        return curves[above], 1.0
    below = max((each for each in curves if each < k), default=None)
    if below is not None and k <= _REACH * below:
        return curves[below], k / below
    return None


def to_array(curves: Curves) -> NDArray[np.float32]:
    """Return curves as float32 of shape (points, 6): k, n, ef_search, recall, promised, qps."""
    table = [
        (curve.k, curve.n, *point)
        for curve in curves.values()
        for point in curve.points
        if curve.k < _EXACT_IN_FLOAT32
    ]
    return np.array(table, np.float32).reshape(-1, _COLUMNS)


def from_array(array: NDArray[np.float32]) -> dict[int, Curve]:
    """Return the curves that `to_array` wrote.

    Raises
    ------
    FormatError
        Not such an array.
    """
    if array.size % _COLUMNS:
        raise FormatError(f"expected a tuning table of 6 columns, got {array.size} values")
    array = array.reshape(-1, _COLUMNS)
    k, n, ef, recall, promised, qps = array.T.astype(np.float64)
    limits = (
        (k, 1, 2.0**30),
        (n, 1, 2.0**30),
        (ef, 1, _validate.MAX_EF),
        (recall, 0, 1),
        (promised, -1, 1),
        (qps, 0, _MOST_FLOAT32),
    )
    # A comparison with NaN is false.
    if not all(((low <= column) & (column <= high)).all() for column, low, high in limits):
        raise FormatError("a value of the tuning table is out of range")
    curves: dict[int, Curve] = {}
    for row in array.tolist():
        key, rows, point = int(row[0]), int(row[1]), Point(int(row[2]), *row[3:])
        curve = curves.get(key, Curve(key, rows, ()))
        if curve.n != rows or (curve.points and curve.points[-1].ef_search >= point.ef_search):
            raise FormatError(f"the tuning table for k={key} is out of order")
        curves[key] = curve._replace(points=(*curve.points, point))
    return curves


def target(value: Any) -> float:
    """Return a recall as float.

    Raises
    ------
    ParameterError
        Not a number in (0, 1].
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise ParameterError(f"recall must be a number, got {value!r}")
    if not 0 < value <= 1:
        raise ParameterError(f"recall must be in (0, 1], got {value}")
    return float(value)


class _Search(Protocol):
    """`Index.search`, as far as it is used here."""

    def __call__(
        self, queries: NDArray[Any], k: int, *, ef_search: int, num_threads: int | None
    ) -> SearchResult: ...


class Probe:
    """Queries whose true neighbours are known.

    Parameters
    ----------
    search : callable
        As `Index.search`.
    queries : ndarray of shape (n_queries, columns)
    bounds : ndarray of shape (n_queries,), float32
        Distance of the true k-th hit, of the n in the index if there are fewer.
    k : int
    miss_factor : float
        How many misses a miss here stands for.
    num_threads : int or None
    """

    def __init__(
        self,
        search: _Search,
        queries: NDArray[Any],
        bounds: NDArray[np.float32],
        k: int,
        miss_factor: float,
        num_threads: int | None,
    ) -> None:
        self._search = search
        self._queries = queries
        # The same pair of rows may be summed in another order.
        self._bounds = (bounds + 1e-5 * np.abs(bounds))[:, None]
        self._k = k
        self._miss_factor = miss_factor
        self._threads = num_threads

    def measure(self, ef_search: int) -> Point:
        """Search with one width of beam."""
        start = time.perf_counter()
        found = self._search(self._queries, self._k, ef_search=ef_search, num_threads=self._threads)
        seconds = max(time.perf_counter() - start, 1e-9)
        hits = (found.distances <= self._bounds).sum(axis=1) / self._k
        recall = float(hits.mean())
        error = _ERRORS * float(hits.std()) / np.sqrt(len(hits))
        promised = 1 - (1 - recall) * self._miss_factor - error
        return Point(ef_search, recall, max(-1.0, promised), len(hits) / seconds)

    def curve(
        self, n: int, exact_qps: float, goals: Iterable[float], poll: Callable[[int], None]
    ) -> Curve:
        """Widen the beam until every goal is promised, then close in on each.

        It ends early where a search becomes slower than an exact one.
        """
        goals = sorted(goals)
        points: dict[int, Point] = {}
        width = float(self._k)
        top = min(max(n, self._k), _validate.MAX_EF)
        while True:
            ef = min(int(np.ceil(width)), top)
            point = points[ef] = self.measure(ef)
            poll(1 + len(points))
            if point.promised >= goals[-1] or ef == top or point.qps < exact_qps:
                break
            width *= _STEP
        for goal in goals * _ROUNDS:
            wanted = Curve(self._k, n, _rising(points)).width(goal)
            if wanted is not None and wanted not in points:
                points[wanted] = self.measure(wanted)
                poll(1 + len(points))
        return Curve(self._k, n, _rising(points))


def most_steps(k: int, n: int, goals: int) -> int:
    """Count the steps that `Probe.curve` can take, and one for the truth."""
    return 2 + _ROUNDS * goals + int(np.ceil(np.log(max(n / min(k, n), 1)) / np.log(_STEP)))


def _rising(points: Mapping[int, Point]) -> tuple[Point, ...]:
    """Sort points by width; none promises more than a wider one."""
    least = 1.0
    sorted_points = []
    for ef in sorted(points, reverse=True):
        least = min(least, points[ef].promised)
        sorted_points.append(points[ef]._replace(promised=least))
    return tuple(reversed(sorted_points))


def table(curve: Curve, goals: Iterable[float], exact_qps: float) -> Tuning:
    """Read from a curve what each goal takes."""
    entries = {}
    for goal in goals:
        met = [each for each in curve.points if each.promised >= goal and goal < 1]
        entries[goal] = (
            TuningEntry(met[0].ef_search, met[0].recall, met[0].qps)
            if met
            else TuningEntry(max(curve.n, curve.k), 1.0, exact_qps)
        )
    return Tuning(curve.k, curve.n, entries)
