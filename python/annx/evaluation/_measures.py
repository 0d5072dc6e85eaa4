"""Relevance: what ir-measures says of a run under judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from annx._extra import extra
from annx.errors import ParameterError

#: Relevance of documents, by the ids of query and document.
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
#: Scores of retrieved documents, higher is better, by the ids of query and document.
Run: TypeAlias = Mapping[str, Mapping[str, float]]

#: What is measured unless asked otherwise.
MEASURES = ("nDCG@10", "RR@10", "AP@100", "R@100", "Success@10")


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """Measures of one run: a mapping of each one's name to its mean over the queries.

    Attributes
    ----------
    queries : tuple of str
        All queries with judgements; one that the run lacks counts 0.
    per_query : dict of str to dict of str to float
        The value of each query, by measure.
    """

    queries: tuple[str, ...]
    per_query: dict[str, dict[str, float]]

    def __getitem__(self, measure: str) -> float:
        return float(np.mean(list(self.per_query[measure].values())))

    def __iter__(self) -> Any:
        return iter(self.per_query)

    def __len__(self) -> int:
        return len(self.per_query)

    def __str__(self) -> str:
        width = max(map(len, self.per_query), default=0)
        lines = [f"{name:<{width}}  {value:.4f}" for name, value in self.items()]
        return "\n".join([f"{len(self.queries):,} queries", *lines])


def evaluate(run: Run, qrels: Qrels, measures: Sequence[str] = MEASURES) -> Evaluation:
    """Measure how relevant the documents of a run are.

    Parameters
    ----------
    run : mapping of str to mapping of str to float
        Scores of documents by query; documents rank by score alone. Queries without
        judgements are passed over.
    qrels : mapping of str to mapping of str to int
        Judgements: 0 is not relevant, and so is what is not judged.
    measures : sequence of str
        As ir-measures names them: ``nDCG@10``, ``RR@10`` (also ``MRR@10``), ``R@100``,
        ``Success@10``, ``AP``, ``P@5``, ``Judged@10`` and others.

    Returns
    -------
    Evaluation

    Raises
    ------
    ParameterError
        There is no such measure, or there are no judgements.
    MissingExtraError
        ir-measures is not installed.

    Examples
    --------
    >>> from annx.evaluation import evaluate
    >>> qrels = {"q1": {"a": 1}, "q2": {"c": 2}}
    >>> run = {"q1": {"a": 0.9, "b": 0.5}, "q2": {"a": 3.0, "c": 2.0}}
    >>> result = evaluate(run, qrels, ["RR", "nDCG@10"])
    >>> result["RR"]
    0.75
    >>> print(result)
    2 queries
    RR       0.7500
    nDCG@10  0.8155
    """
    with extra("evaluation"):
        import ir_measures
    if not qrels:
        raise ParameterError("expected judgements of at least one query, got none")
    parsed = {name: _parse(ir_measures, name) for name in measures}
    if not parsed:
        raise ParameterError("expected at least one measure, got none")
    queries = tuple(qrels)
    values: dict[Any, dict[str, float]] = {
        each: dict.fromkeys(queries, 0.0) for each in parsed.values()
    }
    judged = {query: dict(documents) for query, documents in qrels.items()}
    found = {query: dict(documents) for query, documents in run.items() if query in judged}
    for metric in ir_measures.iter_calc(list(dict.fromkeys(parsed.values())), judged, found):
        values[metric.measure][metric.query_id] = float(metric.value)
    return Evaluation(queries, {name: values[each] for name, each in parsed.items()})


def _parse(ir_measures: Any, name: str) -> Any:
    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"expected a measure of ir-measures such as nDCG@10, got {name!r}"
        ) from error
