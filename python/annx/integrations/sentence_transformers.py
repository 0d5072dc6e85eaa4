"""The semantic search of sentence-transformers, over an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from annx import Index
from annx._extra import extra
from annx.errors import ParameterError
from annx.integrations._embeddings import as_float32, exact_scores, find

with extra("sentence-transformers"):
    from sentence_transformers.util import cos_sim, dot_score, euclidean_sim

__all__ = ["build_index", "semantic_search"]

#: annx's metric of each score.
_METRICS = {cos_sim: "cosine", dot_score: "ip", euclidean_sim: "l2"}


def build_index(
    corpus_embeddings: Any, score_function: Callable[..., Any] = cos_sim, **parameters: Any
) -> Index:
    """Build the index that `semantic_search` takes in place of the embeddings.

    Parameters
    ----------
    corpus_embeddings : array_like or Tensor of shape (n, dim)
        On any device, of any precision.
    score_function : {cos_sim, dot_score, euclidean_sim}
        Of ``sentence_transformers.util``.
    **parameters
        As of `annx.Index`, such as `codec`. Without one, scores are those of float32.

    Returns
    -------
    Index
        The embeddings under their positions. It can be saved, added to and filtered.

    Raises
    ------
    ParameterError
        The score is another.
    ZeroVectorError
        An embedding of zeros, with `cos_sim`.

    Examples
    --------
    >>> from annx.integrations.sentence_transformers import build_index
    >>> build_index([[1.0, 0.0], [0.0, 2.0]])
    <annx.Index 2 x 2 cosine u8>
    """
    metric = _metric(score_function)
    rows = np.atleast_2d(as_float32(corpus_embeddings))
    index = Index(rows.shape[1], metric, **exact_scores(parameters))
    index.add(rows)
    return index


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: Callable[..., Any] = cos_sim,
    *,
    ef_search: int | None = None,
    exact: bool = False,
    filter: Any = None,
) -> list[list[dict[str, int | float]]]:
    """Find the corpus entries most similar to each query.

    A drop-in for ``sentence_transformers.util.semantic_search``. Where the corpus is searched
    more than once, give it as an index: embeddings are indexed at every call.

    Parameters
    ----------
    query_embeddings : array_like or Tensor of shape (n_queries, dim) or (dim,)
    corpus_embeddings : Index, array_like or Tensor of shape (n, dim)
        An index from `build_index`, or embeddings.
    query_chunk_size, corpus_chunk_size : ignored
        An index needs no chunks.
    top_k : int
    score_function : {cos_sim, dot_score, euclidean_sim}
        Of ``sentence_transformers.util``.
    ef_search : int, optional
        Width of a search's beam; by default 128, or twice `top_k` if that is more.
    exact : bool
        Compare with the whole corpus.
    filter : optional
        As in `annx.Index.search`.

    Returns
    -------
    list of list of dict
        For each query, ``{"corpus_id": int, "score": float}``, best first.

    Raises
    ------
    ParameterError
        The score is another, or the index was built for another.
    ZeroVectorError
        A query of zeros, with `cos_sim`.

    Examples
    --------
    >>> from annx.integrations.sentence_transformers import build_index, semantic_search
    >>> index = build_index([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> semantic_search([0.0, 1.0], index, top_k=1)
    [[{'corpus_id': 1, 'score': 1.0}]]
    """
    metric = _metric(score_function)
    if isinstance(corpus_embeddings, Index):
        index = corpus_embeddings
        if index.metric != metric:
            raise ParameterError(
                f"expected an index by {metric} for {score_function.__name__}, "
                f"got one by {index.metric}"
            )
    else:
        index = build_index(corpus_embeddings, score_function)
    queries = np.atleast_2d(as_float32(query_embeddings))
    hits = find(index, queries, top_k, exact=exact, ef_search=ef_search, filter=filter)
    scores = hits.similarities
    if metric == "l2":
        scores = -np.sqrt(-scores)
    return [
        [
            {"corpus_id": label, "score": score}
            for label, score in zip(labels, row, strict=True)
            if label != -1
        ]
        for labels, row in zip(hits.labels.tolist(), scores.tolist(), strict=True)
    ]


def _metric(score_function: Callable[..., Any]) -> str:
    metric = _METRICS.get(score_function)
    if metric is None:
        name = getattr(score_function, "__name__", score_function)
        raise ParameterError(f"expected cos_sim, dot_score or euclidean_sim, got {name}")
    return metric
