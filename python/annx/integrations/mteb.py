"""A search index for retrieval and reranking tasks of MTEB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from annx import Index
from annx._extra import extra
from annx.errors import LabelError, ParameterError
from annx.integrations._embeddings import as_float32, exact_scores, find

with extra("mteb"):
    from mteb.models.model_meta import ScoringFunction

__all__ = ["AnnxSearchIndex"]

Lists: TypeAlias = tuple[list[list[float]], list[list[int]]]

#: annx's metric for each similarity. Embeddings are brought to length 1 for cosine: under
#: annx's own, a model's embedding of an empty text, all zeros, would be an error.
_METRICS = {
    ScoringFunction.COSINE: "ip",
    ScoringFunction.DOT_PRODUCT: "ip",
    ScoringFunction.EUCLIDEAN: "l2",
}


class AnnxSearchIndex:
    """The search index of a `SearchEncoderWrapper`.

    Parameters
    ----------
    model : EncoderProtocol
        Its metadata say by which similarity to search: cosine, dot product or Euclidean.
    exact : bool
        Compare with every document, as MTEB without an index does.
    ef_search : int, optional
        Width of a search's beam; by default 128, or twice `top_k` if that is more.
    **parameters
        As of `annx.Index`, such as `M` or `num_threads`.

    Raises
    ------
    ParameterError
        The model's similarity is another, or unknown.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from mteb.models.model_meta import ScoringFunction
    >>> from annx.integrations.mteb import AnnxSearchIndex
    >>> meta = SimpleNamespace(similarity_fn_name=ScoringFunction.COSINE)
    >>> index = AnnxSearchIndex(SimpleNamespace(mteb_model_meta=meta))
    >>> index.add_documents([[1.0, 0.0], [0.0, 2.0]], ["a", "b"])
    >>> index.search([[0.0, 3.0]], 2, similarity_fn=None)
    ([[1.0, 0.0]], [[1, 0]])
    """

    def __init__(
        self, model: Any, *, exact: bool = False, ef_search: int | None = None, **parameters: Any
    ) -> None:
        self._similarity = model.mteb_model_meta.similarity_fn_name
        if self._similarity not in _METRICS:
            names = [each.value for each in _METRICS]
            got = getattr(self._similarity, "value", self._similarity)
            raise ParameterError(
                f"expected a model with one of the similarities {names}, got {got}"
            )
        self._exact = exact
        self._ef_search = ef_search
        self._parameters = exact_scores(parameters)
        self.index: Index | None = None
        self.idxs: list[str] = []

    def add_documents(self, embeddings: Any, idxs: Sequence[str]) -> None:
        """Add documents behind those that are there.

        Parameters
        ----------
        embeddings : array_like or Tensor of shape (n_documents, dim)
        idxs : sequence of n_documents str
        """
        rows = self._rows(embeddings)
        if len(rows) != len(idxs):
            raise ParameterError(f"expected an id for each of {len(rows)} rows, got {len(idxs)}")
        if self.index is None:
            self.index = Index(rows.shape[1], _METRICS[self._similarity], **self._parameters)
        self.index.add(rows)
        self.idxs.extend(idxs)

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Callable[..., Any] | None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> Lists:
        """Find the documents most similar to each query, or order its candidates.

        Parameters
        ----------
        embeddings : array_like or Tensor of shape (n_queries, dim)
        top_k : int
        similarity_fn : ignored
            The one that the model's metadata name is taken.
        top_ranked : mapping of str to sequence of str, optional
            The candidates of each query's id; by default every document is one.
        query_idx_to_id : mapping of int to str, optional
            The id of each query; goes with `top_ranked`.

        Returns
        -------
        scores : list of list of float
            Best first, for each query.
        indices : list of list of int
            Positions among the documents, or among the query's own candidates.

        Raises
        ------
        ParameterError
            No documents were added, or `top_ranked` comes without `query_idx_to_id`.
        LabelError
            A candidate was not added.
        """
        if self.index is None:
            raise ParameterError("expected documents, got none: call add_documents first")
        rows = self._rows(embeddings)
        if top_ranked is not None:
            if query_idx_to_id is None:
                raise ParameterError("expected query_idx_to_id with top_ranked, got None")
            return self._reranked(self.index, rows, top_k, top_ranked, query_idx_to_id)
        hits = find(self.index, rows, top_k, exact=self._exact, ef_search=self._ef_search)
        return self._scores(hits.similarities).tolist(), hits.labels.tolist()

    def clear(self) -> None:
        """Forget all documents."""
        self.index = None
        self.idxs = []

    def _reranked(
        self,
        index: Index,
        rows: NDArray[np.float32],
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]],
        names: Mapping[int, str],
    ) -> Lists:
        number = {name: position for position, name in enumerate(self.idxs)}
        scores: list[list[float]] = []
        places: list[list[int]] = []
        for query, row in enumerate(rows):
            candidates = top_ranked.get(names[query], ())
            unknown = [name for name in candidates if name not in number]
            if unknown:
                raise LabelError(f"expected candidates among the documents, got {unknown[0]!r}")
            if not len(candidates):
                scores.append([])
                places.append([])
                continue
            own = {number[name]: place for place, name in enumerate(candidates)}
            k = min(top_k, len(own))
            hits = index.exact_search(row, k, filter=np.fromiter(own, np.int64))
            scores.append(self._scores(hits.similarities)[0].tolist())
            places.append([own[label] for label in hits.labels[0].tolist()])
        return scores, places

    def _rows(self, embeddings: Any) -> NDArray[np.float32]:
        rows = as_float32(embeddings)
        if self._similarity is ScoringFunction.COSINE:
            norms = np.linalg.norm(rows, axis=-1, keepdims=True)
            rows = np.divide(rows, norms, where=norms > 0, out=np.zeros_like(rows))
        return rows

    def _scores(self, similarities: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._similarity is ScoringFunction.EUCLIDEAN:
            return np.asarray(-np.sqrt(-similarities))
        return similarities
