"""The vector store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from annx import Collection, ParameterError
from annx._extra import extra
from annx.filters import Expression
from annx.integrations._held import Held
from annx.integrations._relevance import RELEVANCE

with extra("langchain"):
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStoreRetriever
    from langchain_core.vectorstores.utils import maximal_marginal_relevance

from annx.integrations.langchain._retriever import AnnxHybridRetriever
from annx.integrations.langchain._writing import Writable

Filter: TypeAlias = Mapping[str, Any] | Expression | Callable[[Document], bool]
Scored: TypeAlias = list[tuple[Document, float]]

#: Hits that a filter function is first asked about, at least.
_FIRST_FETCH = 64


class AnnxVectorStore(Writable):
    """Documents that are found by meaning, by words, or by both.

    Parameters
    ----------
    embedding : Embeddings
        Makes vectors of texts.
    path : str or path-like, optional
        The folder of the collection, which is made with the first documents if it is not there.
        None: a temporary one, deleted with the store.
    collection : annx.Collection, optional
        In place of `path`: one that is open. Who opened it closes it.
    metric : {"cosine", "ip", "l2"}, optional
        Of a new collection, ``"cosine"`` by default; of one that is there, it must agree.
    codec : str, optional
        As for `annx.Index`.
    keywords : bool
        Whether a new collection can be searched by words too.
    language : str, optional
        Of the texts, such as ``"en"``: words are then found in all their forms.
    vector_field, text_field : str, optional
        The keys of vector and text in the collection's documents. By default the only vector
        field and the first text field, or ``"vector"`` and ``"text"``. All other keys are
        metadata.
    relevance_score_fn : callable, optional
        Makes relevance from 0 to 1 of a score, in place of those below.

    Raises
    ------
    ParameterError
        `path` and `collection` are both given, or the fields are not those of the collection.
    SchemaError
        The collection has another metric or codec.

    Notes
    -----
    Scores are higher for what is nearer: cosine, dot product, or the negated squared distance.
    Relevance is made of them: cosine as ``(1 + s) / 2``, dot product, which has no bounds, as
    ``(1 + s / (1 + |s|)) / 2``, squared distance as ``1 / (1 + d)``.

    A filter is a dict in the syntax of `annx.filters.parse`, an expression of `annx.filters.F`,
    both on keys of the metadata, or a function of a `Document`. A function is asked hit by
    hit, and so is slow where few pass.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from annx.integrations.langchain import AnnxVectorStore
    >>> store = AnnxVectorStore(DeterministicFakeEmbedding(size=8))
    >>> store.add_texts(["a fox", "a hen"], [{"legs": 4}, {"legs": 2}], ids=["fox", "hen"])
    ['fox', 'hen']
    >>> [found.id for found in store.similarity_search("a fox", filter={"legs": {"$gt": 2}})]
    ['fox']
    """

    def __init__(
        self,
        embedding: Embeddings,
        *,
        path: str | os.PathLike[str] | None = None,
        collection: Collection | None = None,
        metric: str | None = None,
        codec: str | None = None,
        keywords: bool = True,
        language: str | None = None,
        vector_field: str | None = None,
        text_field: str | None = None,
        relevance_score_fn: Callable[[float], float] | None = None,
    ) -> None:
        self._embedding = embedding
        self._relevance = relevance_score_fn
        self._held = Held(
            path,
            collection,
            metric=metric,
            codec=codec,
            vector=vector_field,
            text=text_field,
            keywords=keywords,
            language=language,
        )

    @property
    def collection(self) -> Collection | None:
        """What holds the documents; None before the first, if there was none."""
        return self._held.collection

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    def close(self) -> None:
        """Close the collection, unless it was given; a temporary one is deleted."""
        self._held.close()

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents of those ids that are there."""
        collection = self._held.collection
        if collection is None:
            return []
        return [self._document(each) for each in collection.get(ids) if each is not None]

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents nearest in meaning; options as `annx.Collection.search`."""
        return _first(self.similarity_search_with_score(query, k, filter, **kwargs))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`."""
        return _first(await self.asimilarity_search_with_score(query, k, filter, **kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search`, with scores: the higher, the nearer."""
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score`."""
        vector = await self._embedding.aembed_query(query)
        search = self.similarity_search_with_score_by_vector
        found: Scored = await _in_thread(search, vector, k, filter, **kwargs)
        return found

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`, for a vector."""
        return _first(self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> Scored:
        """As `similarity_search_with_score`, for a vector."""
        query = {self._held.vector: np.asarray(embedding, np.float32)}
        return self._scored(k, filter, vector=query, **kwargs)

    def hybrid_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> Scored:
        """As `hybrid_search`, with fused scores."""
        return self._hybrid(query, self._embedding.embed_query(query), k, filter, **kwargs)

    def hybrid_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents that are best in meaning and words together.

        Parameters
        ----------
        query : str
        k : int
        filter : mapping, Expression or callable, optional
        **kwargs
            Of `annx.Collection.search`, such as ``fusion="wsum"`` and ``weights=[0.3, 0.7]``,
            of words and meaning.
        """
        return _first(self.hybrid_search_with_score(query, k, filter, **kwargs))

    async def ahybrid_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `hybrid_search`."""
        vector = await self._embedding.aembed_query(query)
        return _first(await _in_thread(self._hybrid, query, vector, k, filter, **kwargs))

    def _hybrid(
        self, query: str, embedding: list[float], k: int, filter: Filter | None, **options: Any
    ) -> Scored:
        vector = {self._held.vector: np.asarray(embedding, np.float32)}
        return self._scored(k, filter, text=query, vector=vector, **options)

    def keyword_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents that are best in words, by BM25."""
        return _first(self._scored(k, filter, text=query, vector=False, **kwargs))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return k of the `fetch_k` nearest documents that are near and unlike each other.

        Parameters
        ----------
        query : str
        k, fetch_k : int
        lambda_mult : float
            From 0, unlike each other above all, to 1, near the query alone.
        filter : mapping, Expression or callable, optional
        **kwargs
            Of `annx.Collection.search`.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, filter, **kwargs
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        vector = await self._embedding.aembed_query(query)
        search = self.max_marginal_relevance_search_by_vector
        options = k, fetch_k, lambda_mult, filter
        found: list[Document] = await _in_thread(search, vector, *options, **kwargs)
        return found

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        query, field = np.asarray(embedding, np.float32), self._held.vector
        hits = self._hits(max(k, fetch_k), filter, vector={field: query}, vectors=True, **kwargs)
        if not hits:
            return []
        vectors = [hit.document[field].astype(np.float32) for hit in hits]
        chosen = maximal_marginal_relevance(query, vectors, lambda_mult, k)
        return [self._document(hits[place].document) for place in chosen]

    def search(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """Search as `as_retriever` does: its types, and their arguments."""
        if search_type == "hybrid":
            return self.hybrid_search(query, **kwargs)
        if search_type == "keyword":
            return self.keyword_search(query, **kwargs)
        found: list[Document] = super().search(query, search_type, **kwargs)
        return found

    async def asearch(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """As `search`."""
        if search_type == "hybrid":
            return await self.ahybrid_search(query, **kwargs)
        found: list[Document]
        if search_type == "keyword":
            found = await _in_thread(self.keyword_search, query, **kwargs)
        else:
            found = await super().asearch(query, search_type, **kwargs)
        return found

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """Make a retriever; `search_type` may also be ``"hybrid"`` and ``"keyword"``."""
        if kwargs.get("search_type") in ("hybrid", "keyword"):
            kwargs["tags"] = kwargs.get("tags") or self._get_retriever_tags()
            return AnnxHybridRetriever(vectorstore=self, **kwargs)
        return super().as_retriever(**kwargs)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self._relevance or RELEVANCE[self._held.metric]

    def _document(self, found: Mapping[str, Any]) -> Document:
        text = found.get(self._held.text)
        return Document(
            id=found["id"],
            page_content="" if text is None else text,
            metadata=self._metadata().gather(found),
        )

    def _scored(self, k: int, filter: Filter | None, **options: Any) -> Scored:
        hits = self._hits(k, filter, **options)
        return [(self._document(hit.document), hit.score) for hit in hits]

    def _hits(self, k: int, filter: Filter | None, **options: Any) -> list[Any]:
        collection = self._held.collection
        if collection is None:
            return []
        if "text" in options and not collection.schema.text:
            raise ParameterError("the collection has no text field that words are searched in")
        if not callable(filter):
            return [*collection.search(k=k, filter=self._metadata().filter(filter), **options)]
        fetch = max(_FIRST_FETCH, 4 * k)
        while True:
            hits = collection.search(k=fetch, **options)
            passing = [hit for hit in hits if filter(self._document(hit.document))]
            if len(passing) >= k or len(hits) < fetch:
                return passing[:k]
            fetch *= 4


def _first(scored: Scored) -> list[Document]:
    return [document for document, _ in scored]


async def _in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # run_in_executor keeps its own first argument, and passes all others on.
    return await run_in_executor(None, function, *args, **kwargs)
