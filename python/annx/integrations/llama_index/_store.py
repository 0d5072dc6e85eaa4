"""The vector store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from annx import Collection, MissingCollectionError, ParameterError
from annx._extra import extra
from annx.filters import Expression, F, all_of
from annx.integrations._held import Held
from annx.integrations._metadata import Metadata
from annx.integrations._relevance import RELEVANCE
from annx.integrations.llama_index._filters import LISTS, expression_of, lists_in

with extra("llama-index"):
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        DEFAULT_PERSIST_DIR,
        DEFAULT_PERSIST_FNAME,
        BasePydanticVectorStore,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

__all__ = ["AnnxVectorStore"]

_CONTENT = "_node_content"
_WORDS = (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH)
#: Of maximal marginal relevance: nodes to choose from, for each that is chosen, and at least.
_MMR_FACTOR, _MMR_LEAST = 4, 20


class AnnxVectorStore(BasePydanticVectorStore):
    """Nodes that are found by meaning, by words, or by both.

    Parameters
    ----------
    path : str, optional
        The folder of the collection, which is made with the first nodes if it is not there.
        None: a temporary one, deleted with the store; `persist` keeps its nodes.
    collection : annx.Collection, optional
        In place of `path`: one that is open. Who opened it closes it.
    metric : {"cosine", "ip", "l2"}, optional
        Of a new collection, ``"cosine"`` by default; of one that is there, it must agree.
    codec : str, optional
        As for `annx.Index`.
    keywords : bool
        Whether a new collection can be searched by words too: modes ``hybrid``, ``sparse`` and
        ``text_search``.
    language : str, optional
        Of the texts, such as ``"en"``: words are then found in all their forms.

    Raises
    ------
    ParameterError
        `path` and `collection` are both given.
    SchemaError
        The collection has another metric or codec.

    Notes
    -----
    Filters are those of LlamaIndex's `SimpleVectorStore`, and may be nested; ``== None`` finds
    nodes without a value. Similarities are cosine, dot product, or ``1 / (1 + d)`` of the squared
    distance; BM25 of words; and fused scores of hybrid queries, by reciprocal ranks or, with
    `alpha`, by a weighted sum of scores scaled to 0 to 1.

    Examples
    --------
    >>> from llama_index.core.schema import TextNode
    >>> from llama_index.core.vector_stores.types import VectorStoreQuery
    >>> from annx.integrations.llama_index import AnnxVectorStore
    >>> store = AnnxVectorStore()
    >>> store.add([
    ...     TextNode(id_="fox", text="a red fox", embedding=[1.0, 0.0]),
    ...     TextNode(id_="hen", text="a white hen", embedding=[0.0, 1.0]),
    ... ])
    ['fox', 'hen']
    >>> store.query(VectorStoreQuery(query_embedding=[0.9, 0.1], similarity_top_k=1)).ids
    ['fox']
    """

    stores_text: bool = True
    path: str | None = None
    metric: str | None = None
    codec: str | None = None
    keywords: bool = True
    language: str | None = None

    _held: Held = PrivateAttr()

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        collection: Collection | None = None,
        metric: str | None = None,
        codec: str | None = None,
        keywords: bool = True,
        language: str | None = None,
        **kwargs: Any,
    ) -> None:
        settings = {"metric": metric, "codec": codec, "keywords": keywords, "language": language}
        super().__init__(path=None if path is None else str(path), **settings, **kwargs)
        self._held = Held(
            path,
            collection,
            metric=metric,
            codec=codec,
            vector=None,
            text=None,
            keywords=keywords,
            language=language,
            stored=[_CONTENT],
        )

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex stores."""
        return "AnnxVectorStore"

    @property
    def client(self) -> Collection | None:
        """The collection; None before the first node, if there was none."""
        return self._held.collection

    def close(self) -> None:
        """Close the collection, unless it was given; a temporary one is deleted."""
        self._held.close()

    def _metadata(self) -> Metadata:
        held, collection = self._held, self._held.collection
        special = () if collection is None else collection.schema.special
        return Metadata((held.vector, held.text, LISTS, *special))

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes; those whose ids are there replace what is there.

        Parameters
        ----------
        nodes : sequence of BaseNode
            With embeddings. Metadata may hold what JSON holds.
        **kwargs
            Of `annx.Collection.upsert`.

        Returns
        -------
        list of str
            Their ids.

        Raises
        ------
        ValueError
            A node has no embedding.
        DocumentError, DimensionError, NonFiniteError, ZeroVectorError
            A node or its embedding cannot be held.
        """
        embeddings = [np.asarray(node.get_embedding(), np.float32) for node in nodes]
        if not embeddings:
            return []
        collection = self._held.create(len(embeddings[0]))
        collection.upsert(
            [self._record(node, vector) for node, vector in zip(nodes, embeddings, strict=True)],
            **kwargs,
        )
        return [node.node_id for node in nodes]

    def _record(self, node: BaseNode, vector: Any) -> dict[str, Any]:
        metadata = node_to_metadata_dict(node, remove_text=False, flat_metadata=False)
        record = {"id": node.node_id, **self._metadata().spread(metadata)}
        if lists := lists_in(metadata):
            record[LISTS] = lists
        if self.keywords:
            record[self._held.text] = node.get_content(metadata_mode=MetadataMode.NONE)
        return {**record, self._held.vector: vector}

    def _node(self, record: Mapping[str, Any]) -> BaseNode:
        node = metadata_dict_to_node(self._metadata().gather(record))
        vector = record.get(self._held.vector)
        if vector is not None:
            node.embedding = vector.tolist()
        return node

    def _filter(
        self,
        filters: MetadataFilters | None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
    ) -> Expression:
        parts = [expression_of(filters, self._metadata().place)]
        if node_ids is not None:
            parts.append(F("id").isin(node_ids))
        if doc_ids is not None:
            parts.append(F("ref_doc_id").isin(doc_ids))
        return all_of(part for part in parts if part is not None)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        if self._held.collection is not None:
            self._held.collection.delete(filter=F("ref_doc_id").equals(ref_doc_id))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by ids, by filters, or those of the ids that pass the filters.

        Raises
        ------
        ParameterError
            Neither is given: `clear` deletes all.
        FilterError
        """
        if node_ids is None and filters is None:
            raise ParameterError("expected node_ids or filters; clear() deletes all nodes")
        if self._held.collection is not None:
            self._held.collection.delete(filter=self._filter(filters, node_ids))

    def clear(self) -> None:
        """Delete all nodes."""
        if self._held.collection is not None:
            self._held.collection.delete(filter={})

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes with their embeddings, by ids, filters, both, or all.

        Raises
        ------
        FilterError
        """
        collection = self._held.collection
        if collection is None:
            return []
        if node_ids is not None and filters is None:
            found = [each for each in collection.get(node_ids, vectors=True) if each is not None]
        else:
            wanted = self._filter(filters, node_ids)
            found = [*collection.iterate(filter=wanted, vectors=True)]
        return [self._node(each) for each in found]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nodes that fit a query best.

        Parameters
        ----------
        query : VectorStoreQuery
            Of mode ``default``, ``mmr``, ``hybrid``, ``sparse`` or ``text_search``, where the last
            two are the same. Empty `node_ids` and `doc_ids` restrict nothing.
        **kwargs
            Of `annx.Collection.search`. With mode ``mmr``, also `mmr_threshold`, 0.5 by default,
            and how many nodes to choose from: `mmr_prefetch_k`, or `mmr_prefetch_factor` for each
            that is chosen.

        Returns
        -------
        VectorStoreQueryResult

        Raises
        ------
        ParameterError
            Another mode, what the mode needs is missing, or words are asked for and the store
            was made without `keywords`.
        FilterError
        """
        collection = self._held.collection
        if collection is None:
            return VectorStoreQueryResult(nodes=[], similarities=[], ids=[])
        options: dict[str, Any] = {"k": query.similarity_top_k, **kwargs}
        restricted = query.filters is not None or query.node_ids or query.doc_ids
        if restricted:
            options["filter"] = self._filter(
                query.filters, query.node_ids or None, query.doc_ids or None
            )
        if query.mode in _WORDS:
            options["k"] = query.sparse_top_k or query.similarity_top_k
            return self._result(collection.search(self._words(query), vector=False, **options))
        vector = {self._held.vector: self._vector(query)}
        if query.mode == VectorStoreQueryMode.HYBRID:
            if query.alpha is not None:
                options |= {"fusion": "wsum", "weights": [1 - query.alpha, query.alpha]}
            if query.sparse_top_k is not None:
                options["window"] = max(query.sparse_top_k, query.similarity_top_k)
            options["k"] = query.hybrid_top_k or query.similarity_top_k
            return self._result(collection.search(self._words(query), vector=vector, **options))
        if query.mode == VectorStoreQueryMode.MMR:
            return self._diverse(query, vector, options)
        if query.mode != VectorStoreQueryMode.DEFAULT:
            known = ["default", "mmr", "hybrid", *(mode.value for mode in _WORDS)]
            raise ParameterError(f"expected a mode of {known}, got {query.mode.value!r}")
        hits = collection.search(vector=vector, **options)
        found = self._result(hits)
        if self._held.metric == "l2":
            found.similarities = [RELEVANCE["l2"](hit.score) for hit in hits]
        return found

    def _vector(self, query: VectorStoreQuery) -> Any:
        if query.query_embedding is None:
            raise ParameterError(f"mode {query.mode.value!r} needs query_embedding")
        return np.asarray(query.query_embedding, np.float32)

    def _words(self, query: VectorStoreQuery) -> str:
        if query.query_str is None:
            raise ParameterError(f"mode {query.mode.value!r} needs query_str")
        collection = self._held.collection
        if collection is not None and not collection.schema.text:
            raise ParameterError(f"mode {query.mode.value!r} needs a store with keywords=True")
        words: str = query.query_str
        return words

    def _result(self, hits: Any) -> VectorStoreQueryResult:
        return VectorStoreQueryResult(
            nodes=[self._node(hit.document) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.id for hit in hits],
        )

    def _diverse(
        self, query: VectorStoreQuery, vector: dict[str, Any], options: dict[str, Any]
    ) -> VectorStoreQueryResult:
        k = options.pop("k")
        threshold = options.pop("mmr_threshold", query.mmr_threshold)
        factor = options.pop("mmr_prefetch_factor", _MMR_FACTOR)
        fetch = options.pop("mmr_prefetch_k", None) or max(round(factor * k), _MMR_LEAST)
        assert self._held.collection is not None
        hits = self._held.collection.search(vector=vector, k=max(fetch, k), vectors=True, **options)
        similarities, places = get_top_k_mmr_embeddings(
            query.query_embedding,
            [hit.document[self._held.vector] for hit in hits],
            similarity_top_k=k,
            mmr_threshold=threshold,
        )
        chosen = [hits[place] for place in places]
        return VectorStoreQueryResult(
            nodes=[self._node(hit.document) for hit in chosen],
            similarities=[float(each) for each in similarities],
            ids=[hit.id for hit in chosen],
        )

    def persist(
        self,
        persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME),
        fs: Any = None,
    ) -> None:
        """Keep the nodes of a temporary collection in a folder; any other keeps its own.

        Parameters
        ----------
        persist_path : str
            The folder, which `from_persist_path` reads. What is there is replaced.
        fs : fsspec filesystem, optional
            A local one.

        Raises
        ------
        ParameterError
            `fs` is not local.
        """
        _check_local(fs)
        if self._held.collection is None:
            return
        if self._held.temporary:
            self._held.copy(Path(persist_path))
        else:
            self._held.collection.checkpoint()

    @classmethod
    def from_persist_path(cls, persist_path: str, fs: Any = None, **kwargs: Any) -> Self:
        """Open what `persist` kept, with other arguments of the class.

        Raises
        ------
        MissingCollectionError, ParameterError
        """
        _check_local(fs)
        store = cls(persist_path, **kwargs)
        if store.client is None:
            raise MissingCollectionError(f"there is no collection at {persist_path}")
        return store

    @classmethod
    def from_persist_dir(
        cls, persist_dir: str = DEFAULT_PERSIST_DIR, namespace: str = "default", fs: Any = None
    ) -> Self:
        """Open what `StorageContext.persist` kept in a folder."""
        return cls.from_persist_path(
            os.path.join(persist_dir, f"{namespace}__{DEFAULT_PERSIST_FNAME}"), fs
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`, in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """As `delete_nodes`, in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """As `clear`, in a thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`, in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`, in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)


def _check_local(fs: Any) -> None:
    protocol = getattr(fs, "protocol", "file")
    if "file" not in ([protocol] if isinstance(protocol, str) else protocol):
        raise ParameterError(f"expected a local filesystem, got {protocol!r}")
