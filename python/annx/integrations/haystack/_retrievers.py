"""Components that search the document store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from annx import ParameterError
from annx._extra import extra
from annx.integrations._relevance import RELEVANCE
from annx.integrations.haystack._store import AnnxDocumentStore

with extra("haystack"):
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.dataclasses import SparseEmbedding
    from haystack.document_stores.types import FilterPolicy, apply_filter_policy


class _Retriever:
    """What all retrievers have: a store, filters, how many documents."""

    # Not __init__: `component` makes classes anew, of which super() knows nothing.
    def _set(
        self,
        document_store: AnnxDocumentStore,
        filters: dict[str, Any] | None,
        top_k: int,
        filter_policy: FilterPolicy | str,
        options: Mapping[str, Any],
    ) -> None:
        if not isinstance(document_store, AnnxDocumentStore):
            raise ParameterError(f"expected an AnnxDocumentStore, got {document_store!r}")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        if not isinstance(filter_policy, FilterPolicy):
            filter_policy = FilterPolicy.from_str(filter_policy)
        self.filter_policy = filter_policy
        self.options = dict(options)

    def to_dict(self) -> dict[str, Any]:
        """Return the component's settings as a dictionary."""
        made: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
            **self.options,
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make a component of what `to_dict` returned."""
        parameters = dict(data["init_parameters"])
        store = parameters["document_store"]
        if isinstance(store, Mapping):
            parameters["document_store"] = AnnxDocumentStore.from_dict(dict(store))
        made: Self = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    def _arguments(
        self, filters: dict[str, Any] | None, top_k: int | None, **given: Any
    ) -> dict[str, Any]:
        policy = apply_filter_policy(self.filter_policy, self.filters, filters)
        options = {**self.options, **{n: v for n, v in given.items() if v is not None}}
        options.pop("scale_score", None)
        return {"filters": policy, "top_k": self.top_k if top_k is None else top_k, **options}


@component
class AnnxEmbeddingRetriever(_Retriever):
    """Retrieves the documents whose embeddings are nearest to the query's.

    Parameters
    ----------
    document_store : AnnxDocumentStore
    filters : dict, optional
    top_k : int
    scale_score : bool
        Give scores from 0 to 1 in place of cosine, dot product or negated squared distance.
    return_embedding : bool
        Give documents with their embeddings.
    filter_policy : FilterPolicy or str
        Whether filters of a run replace those above, or are joined with them.

    Raises
    ------
    ParameterError
        It is no `AnnxDocumentStore`.
    """

    def __init__(
        self,
        document_store: AnnxDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = False,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
    ) -> None:
        options = {"scale_score": scale_score, "return_embedding": return_embedding}
        self._set(document_store, filters, top_k, filter_policy, options)

    def _scaled(self, documents: list[Document]) -> dict[str, list[Document]]:
        if not self.options["scale_score"]:
            return {"documents": documents}
        scale = RELEVANCE[self.document_store.metric]
        return {"documents": [replace(each, score=scale(each.score)) for each in documents]}

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """Retrieve documents."""
        arguments = self._arguments(filters, top_k, return_embedding=return_embedding)
        return self._scaled(self.document_store.search(embedding=query_embedding, **arguments))

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`."""
        arguments = self._arguments(filters, top_k, return_embedding=return_embedding)
        return self._scaled(
            await self.document_store.search_async(embedding=query_embedding, **arguments)
        )


@component
class AnnxKeywordRetriever(_Retriever):
    """Retrieves the documents whose contents fit words best, by BM25.

    Parameters
    ----------
    document_store : AnnxDocumentStore
    filters, top_k, filter_policy
        As for `AnnxEmbeddingRetriever`.

    Raises
    ------
    ParameterError
        It is no `AnnxDocumentStore`.
    """

    def __init__(
        self,
        document_store: AnnxDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
    ) -> None:
        self._set(document_store, filters, top_k, filter_policy, {})

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Retrieve documents."""
        arguments = self._arguments(filters, top_k)
        return {"documents": self.document_store.search(query=query, **arguments)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`."""
        arguments = self._arguments(filters, top_k)
        return {"documents": await self.document_store.search_async(query=query, **arguments)}


@component
class AnnxSparseEmbeddingRetriever(_Retriever):
    """Retrieves the documents whose sparse embeddings fit best, by inner product.

    Parameters
    ----------
    document_store : AnnxDocumentStore
    filters, top_k, filter_policy
        As for `AnnxEmbeddingRetriever`.

    Raises
    ------
    ParameterError
        It is no `AnnxDocumentStore`.
    """

    def __init__(
        self,
        document_store: AnnxDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
    ) -> None:
        self._set(document_store, filters, top_k, filter_policy, {})

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_sparse_embedding: SparseEmbedding,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Retrieve documents."""
        arguments = self._arguments(filters, top_k)
        found = self.document_store.search(sparse_embedding=query_sparse_embedding, **arguments)
        return {"documents": found}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_sparse_embedding: SparseEmbedding,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`."""
        arguments = self._arguments(filters, top_k)
        search = self.document_store.search_async
        return {"documents": await search(sparse_embedding=query_sparse_embedding, **arguments)}


@component
class AnnxHybridRetriever(_Retriever):
    """Retrieves the documents that are best by words, embeddings and sparse embeddings together.

    Parameters
    ----------
    document_store : AnnxDocumentStore
    filters, top_k, filter_policy
        As for `AnnxEmbeddingRetriever`.
    fusion : {"rrf", "wsum"}
        By ranks, or by sums of scores that are brought to one scale; see `annx.collection.fuse`.
    weights : dict of str to float, optional
        Of ``"text"``, ``"embedding"`` and ``"sparse_embedding"``; 1 each by default.
    return_embedding : bool
        Give documents with their embeddings.

    Raises
    ------
    ParameterError
        It is no `AnnxDocumentStore`.
    """

    def __init__(
        self,
        document_store: AnnxDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        fusion: str = "rrf",
        weights: dict[str, float] | None = None,
        return_embedding: bool = False,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
    ) -> None:
        options = {"fusion": fusion, "weights": weights, "return_embedding": return_embedding}
        self._set(document_store, filters, top_k, filter_policy, options)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        query_sparse_embedding: SparseEmbedding | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """Retrieve documents."""
        found = self.document_store.search(
            query=query,
            embedding=query_embedding,
            sparse_embedding=query_sparse_embedding,
            **self._arguments(filters, top_k),
        )
        return {"documents": found}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        query_sparse_embedding: SparseEmbedding | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As `run`."""
        found = await self.document_store.search_async(
            query=query,
            embedding=query_embedding,
            sparse_embedding=query_sparse_embedding,
            **self._arguments(filters, top_k),
        )
        return {"documents": found}
