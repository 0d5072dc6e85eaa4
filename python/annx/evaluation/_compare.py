"""Two systems over the same queries: which is better, by how much, where, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from annx import Index
from annx.errors import ParameterError
from annx.evaluation._measures import MEASURES, Qrels, Run, evaluate
from annx.evaluation._neighbors import neighbor_recall
from annx.evaluation._rank import ranking
from annx.evaluation._report import report
from annx.evaluation._significance import Difference, paired_difference

#: An index, anything else with such a method ``search(query, k)``, or a callable that is given
#: a query and returns what it found.
System: TypeAlias = Any


class Query(NamedTuple):
    """One query under one measure.

    Attributes
    ----------
    id : str
    a, b : float
        What each system reached.
    query : object
        As it was given, or None.
    """

    id: str
    a: float
    b: float
    query: Any

    @property
    def delta(self) -> float:
        """How much better b is."""
        return self.b - self.a


class Latency(NamedTuple):
    """Seconds that queries took, one at a time.

    Attributes
    ----------
    mean, p50, p95, p99 : float
    """

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; printed, it is a report.

    Attributes
    ----------
    names : tuple of two str
    measures : dict of str to Difference
        Both means of each measure, their difference, its confidence interval and p-value.
    confidence : float
        Of the intervals.
    per_query : dict of str to dict of str to tuple of two float
        Both values of each query, by measure.
    queries : dict of str to object
        As they were given; empty after `compare_runs`.
    runs : tuple of two runs
        What each system returned.
    overlap : float
        The mean share of the first 10 documents that both systems returned.
    k : int or None
        How many hits were asked for.
    latency : tuple of two Latency, or None
    neighbor_recall : tuple of two float or None
        Where a system is an `Index`: the share of the true k nearest that it found, whatever
        their relevance.
    """

    names: tuple[str, str]
    measures: dict[str, Difference]
    confidence: float
    per_query: dict[str, dict[str, tuple[float, float]]]
    queries: dict[str, Any]
    runs: tuple[Run, Run]
    overlap: float
    k: int | None = None
    latency: tuple[Latency, Latency] | None = None
    neighbor_recall: tuple[float | None, float | None] = (None, None)

    def worst(self, measure: str | None = None, n: int = 10) -> list[Query]:
        """Return the queries that b answers worst beside a.

        Parameters
        ----------
        measure : str, optional
            The first by default.
        n : int
            At most so many; none of which b is better or equal.

        Raises
        ------
        ParameterError
            It was not measured.
        """
        values = self._values(measure)
        rows = [Query(name, *pair, self.queries.get(name)) for name, pair in values.items()]
        rows = [row for row in rows if row.delta < 0]
        return sorted(rows, key=lambda row: (row.delta, row.id))[:n]

    def counts(self, measure: str | None = None) -> tuple[int, int, int]:
        """Return for how many queries b is better than a, equal, and worse."""
        pairs = self._values(measure).values()
        better = sum(b > a for a, b in pairs)
        worse = sum(b < a for a, b in pairs)
        return better, len(pairs) - better - worse, worse

    def _values(self, measure: str | None) -> dict[str, tuple[float, float]]:
        name = next(iter(self.per_query)) if measure is None else measure
        if name not in self.per_query:
            raise ParameterError(f"expected one of {tuple(self.per_query)}, got {name!r}")
        return self.per_query[name]

    def __str__(self) -> str:
        return report(self)


def compare(
    a: System,
    b: System,
    queries: Mapping[str, Any],
    qrels: Qrels,
    *,
    k: int = 100,
    ids: Mapping[int, str] | Sequence[str] | None = None,
    measures: Sequence[str] = MEASURES,
    names: tuple[str, str] = ("a", "b"),
    method: str = "permutation",
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Ask two systems the same queries and compare their answers.

    Parameters
    ----------
    a, b : Index, Collection, any object with a method ``search(query, k)``, or callable
        A callable is given a query and returns what it found, best first: a `SearchResult`; ids;
        pairs of an id and a score; hits with an ``id``; or a mapping of ids to scores.
    queries : mapping of str to object
        By id, whatever the systems take: vectors, texts, or a mapping, whose items are given to
        ``search`` as keywords: ``{"text": "blue shoes", "vector": v}`` for a `Collection`.
    qrels : mapping of str to mapping of str to int
        Relevance of documents, by the ids of query and document. Queries without judgements are
        not asked.
    k : int
        How many hits a system with ``search`` is asked for. Of longer answers the first k count.
    ids : mapping of int to str or sequence of str, optional
        The document of each label of an index; by default ``str(label)``.
    measures : sequence of str
        As in `evaluate`; documents count in the order in which they were returned.
    names : tuple of two str
        For the report.
    method, confidence, seed
        As in `paired_difference`.

    Returns
    -------
    Comparison

    Raises
    ------
    ParameterError
        No query has judgements, a measure is unknown, or a system returned something else.
    MissingExtraError
        ir-measures or SciPy is not installed.

    Notes
    -----
    Latency is measured one query at a time, the two systems in turns, after one query that is
    not counted. Recall of an index says how many true neighbours it found, and stands apart
    from relevance.

    Examples
    --------
    >>> import annx
    >>> from annx.evaluation import compare
    >>> index = annx.Index(2, "cosine")
    >>> _ = index.add([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> queries = {"q1": [0.9, 0.1], "q2": [0.2, 0.9]}
    >>> qrels = {"q1": {"0": 1}, "q2": {"2": 1}}
    >>> found = compare(index, lambda query: ["2", "0", "1"], queries, qrels, k=3)
    >>> found.measures["RR@10"].a, found.measures["RR@10"].b
    (0.75, 0.75)
    >>> [row.id for row in found.worst("RR@10")]
    ['q1']
    """
    if k < 1:
        raise ParameterError(f"expected k to be positive, got {k!r}")
    asked = {name: queries[name] for name in queries if name in qrels}
    if not asked:
        raise ParameterError("expected judgements of the queries, got none of theirs")
    systems = _searcher(a, k), _searcher(b, k)
    runs: tuple[dict[str, dict[str, float]], ...] = ({}, {})
    seconds: NDArray[np.float64] = np.zeros((2, len(asked)))
    for system in systems:  # whatever the first call has to load or compile
        system(next(iter(asked.values())))
    for number, (name, query) in enumerate(asked.items()):
        # Neither always comes second, to a cache that the other has warmed.
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            start = time.perf_counter()
            found = systems[which](query)
            seconds[which, number] = time.perf_counter() - start
            documents = ranking(found, k, ids)
            # By place: scores may tie, and the measures would order such ties by id.
            runs[which][name] = {each: float(k - place) for place, each in enumerate(documents)}
    rows = list(asked.values())
    near = tuple(neighbor_recall(s, rows, k) if isinstance(s, Index) else None for s in (a, b))
    return _compared(
        (runs[0], runs[1]),
        {name: qrels[name] for name in asked},
        measures,
        names,
        (method, confidence, seed),
        queries=asked,
        k=k,
        latency=(_latency(seconds[0]), _latency(seconds[1])),
        neighbor_recall=(near[0], near[1]),
    )


def compare_runs(
    a: Run,
    b: Run,
    qrels: Qrels,
    *,
    measures: Sequence[str] = MEASURES,
    names: tuple[str, str] = ("a", "b"),
    method: str = "permutation",
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two runs, as `read_run` reads them.

    Parameters
    ----------
    a, b : mapping of str to mapping of str to float
        Scores of documents by query; documents rank by score alone. A query with judgements
        that a run lacks counts 0.
    qrels, measures, names, method, confidence, seed
        As in `compare`.

    Returns
    -------
    Comparison

    Raises
    ------
    ParameterError, MissingExtraError
        As `evaluate` and `paired_difference`.

    Examples
    --------
    >>> from annx.evaluation import compare_runs
    >>> qrels = {"q1": {"a": 1}, "q2": {"c": 1}}
    >>> a = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "c": 1.0}}
    >>> b = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"c": 2.0, "b": 1.0}}
    >>> compare_runs(a, b, qrels, measures=["RR"]).measures["RR"].delta
    0.25
    """
    return _compared((a, b), qrels, measures, names, (method, confidence, seed))


def _compared(
    runs: tuple[Run, Run],
    qrels: Qrels,
    measures: Sequence[str],
    names: tuple[str, str],
    settings: tuple[str, float, int],
    **rest: Any,
) -> Comparison:
    if len(names) != 2:
        raise ParameterError(f"expected two names, got {names!r}")
    method, confidence, seed = settings
    first, second = (evaluate(run, qrels, measures) for run in runs)
    per_query = {
        name: {
            query: (value, second.per_query[name][query])
            for query, value in first.per_query[name].items()
        }
        for name in first
    }
    differences = {
        name: paired_difference(
            *np.array(list(pairs.values())).T, method=method, confidence=confidence, seed=seed
        )
        for name, pairs in per_query.items()
    }
    rest.setdefault("queries", {})
    a, b = runs
    common = float(np.mean([_common(a.get(query, {}), b.get(query, {})) for query in qrels]))
    return Comparison(
        names=(str(names[0]), str(names[1])),
        measures=differences,
        confidence=confidence,
        per_query=per_query,
        runs=runs,
        overlap=common,
        **rest,
    )


def _common(a: Mapping[str, float], b: Mapping[str, float], n: int = 10) -> float:
    """Share of the first n documents of the longer list that both have."""
    first, second = (set(sorted(each, key=lambda name: -each[name])[:n]) for each in (a, b))
    longest = max(len(first), len(second))
    return len(first & second) / longest if longest else 1.0


def _searcher(system: System, k: int) -> Callable[[Any], Any]:
    search = getattr(system, "search", None)
    if callable(search):
        return lambda query: (
            search(**query, k=k) if isinstance(query, Mapping) else search(query, k)
        )
    if callable(system):
        return lambda query: system(query)
    raise ParameterError(
        f"expected a callable or an object with a method search, got {type(system).__name__}"
    )


def _latency(seconds: NDArray[np.float64]) -> Latency:
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Latency(float(seconds.mean()), float(p50), float(p95), float(p99))
