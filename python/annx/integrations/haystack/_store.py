"""The document store."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Self

from annx import Collection, ParameterError, SchemaError
from annx._extra import extra
from annx.integrations._held import Held
from annx.integrations.haystack import _documents
from annx.integrations.haystack._asynchronous import Asynchronous
from annx.integrations.haystack._filters import expression_of
from annx.integrations.haystack._metadata import Describing

with extra("haystack"):
    from haystack import Document, default_from_dict, default_to_dict
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy

__all__ = ["AnnxDocumentStore"]


class AnnxDocumentStore(Describing, Asynchronous):
    """Documents that are found by embeddings, by words, or by both.

    Parameters
    ----------
    path : str, optional
        The folder of the collection, which is made if it is not there. None: a temporary one,
        deleted with the store.
    embedding_dim : int
        Elements of the embeddings.
    metric : {"cosine", "ip", "l2"}, optional
        Of a new collection, ``"cosine"`` by default; of one that is there, it must agree.
    codec : str, optional
        As for `annx.Index`.
    keywords : bool
        Whether a new collection can be searched by words too.
    language : str, optional
        Of the contents, such as ``"en"``: words are then found in all their forms.

    Raises
    ------
    SchemaError
        The collection has another metric, codec or embedding_dim.

    Notes
    -----
    Filters are Haystack's, with these rules of `annx.filters`: a list in meta fits a condition
    if one of its values does, and all of the values that a list is compared with must be in
    it; a date that names no time zone is in UTC; numbers, bools and texts never compare with
    each other. Of content and embeddings, filters see whether there are any.

    Examples
    --------
    >>> from haystack import Document
    >>> from annx.integrations.haystack import AnnxDocumentStore, AnnxKeywordRetriever
    >>> store = AnnxDocumentStore(embedding_dim=3)
    >>> store.write_documents([
    ...     Document(content="a red fox", meta={"legs": 4}, embedding=[1.0, 0.0, 0.0]),
    ...     Document(content="a white hen", meta={"legs": 2}, embedding=[0.0, 1.0, 0.0]),
    ... ])
    2
    >>> found = AnnxKeywordRetriever(store).run(query="red hen fox")["documents"]
    >>> [document.content for document in found]
    ['a red fox', 'a white hen']
    >>> store.count_documents_by_filter({"field": "meta.legs", "operator": ">", "value": 2})
    1
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        embedding_dim: int = 768,
        metric: str | None = None,
        codec: str | None = None,
        keywords: bool = True,
        language: str | None = None,
    ) -> None:
        self._settings = {
            "path": None if path is None else str(path),
            "embedding_dim": embedding_dim,
            "metric": metric,
            "codec": codec,
            "keywords": keywords,
            "language": language,
        }
        self._held = Held(
            path,
            None,
            metric=metric,
            codec=codec,
            vector=_documents.EMBEDDING,
            text=_documents.CONTENT,
            keywords=keywords,
            language=language,
            sparse=_documents.SPARSE,
            stored=_documents.STORED,
        )
        self._collection = self._held.create(embedding_dim)
        has = self._collection.schema.vectors[_documents.EMBEDDING].dim
        if has != embedding_dim:
            self.close()
            raise SchemaError(f"the collection has embedding_dim {has}, got {embedding_dim}")
        # Between looking for a duplicate and writing, nobody else may write.
        self._writing = threading.Lock()

    @property
    def collection(self) -> Collection:
        """What holds the documents."""
        return self._collection

    @property
    def metric(self) -> str:
        """Of the embeddings."""
        return self._held.metric

    def close(self) -> None:
        """Close the collection; a temporary one is deleted."""
        self._held.close()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings, not the documents, as a dictionary."""
        made: dict[str, Any] = default_to_dict(self, **self._settings)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Open a store of what `to_dict` returned."""
        store: Self = default_from_dict(cls, data)
        return store

    def count_documents(self) -> int:
        """Count the documents."""
        return len(self._collection)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Count the documents that pass a filter.

        Raises
        ------
        haystack.errors.FilterError
        """
        return self._collection.count(expression_of(filters))

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that pass a filter, in the order in which they first came.

        Raises
        ------
        haystack.errors.FilterError
        """
        found = self._collection.iterate(filter=expression_of(filters), vectors=True)
        return [_documents.to_document(each) for each in found]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents.

        Parameters
        ----------
        documents : list of Document
        policy : DuplicatePolicy
            What happens where a document of the same id is there, or twice in the list:
            ``SKIP`` leaves the first, ``OVERWRITE`` keeps the last, ``FAIL`` and ``NONE`` raise.

        Returns
        -------
        int
            Documents written; with ``OVERWRITE``, as many as were given.

        Raises
        ------
        DuplicateDocumentError
            Nothing is written.
        ParameterError
            No list of documents.
        DocumentError, DimensionError, NonFiniteError, ZeroVectorError
            A document or its embedding cannot be held.
        """
        if isinstance(documents, str) or not isinstance(documents, Iterable):
            raise ParameterError(f"expected a list of documents, got {documents!r}")
        listed = list(documents)
        for each in listed:
            if not isinstance(each, Document):
                raise ParameterError(f"expected a list of documents, got {each!r} in it")
        with self._writing:
            if policy != DuplicatePolicy.OVERWRITE:
                there = self._collection.get(each.id for each in listed)
                seen = {each["id"] for each in there if each is not None}
                fresh = []
                for each in listed:
                    if each.id not in seen:
                        fresh.append(each)
                    elif policy != DuplicatePolicy.SKIP:
                        raise DuplicateDocumentError(f"there is a document of id {each.id!r}")
                    seen.add(each.id)
                listed = fresh
            return self._collection.upsert([_documents.to_record(each) for each in listed])

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there do no harm."""
        with self._writing:
            self._collection.delete(document_ids)

    def delete_all_documents(self) -> None:
        """Delete all documents."""
        with self._writing:
            self._collection.delete(filter={})

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that pass a filter; return how many.

        Raises
        ------
        haystack.errors.FilterError
        """
        with self._writing:
            return self._collection.delete(filter=expression_of(filters))

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set keys of the meta of documents that pass a filter; return how many these are.

        Raises
        ------
        haystack.errors.FilterError
        """
        with self._writing:
            found = self._collection.iterate(filter=expression_of(filters))
            return self._collection.update(
                [{"id": each["id"], "meta": {**(each.get("meta") or {}), **meta}} for each in found]
            )

    def search(
        self,
        *,
        query: str | None = None,
        embedding: list[float] | None = None,
        sparse_embedding: Any = None,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        **options: Any,
    ) -> list[Document]:
        """Return the best documents with their scores; what the retrievers do.

        Parameters
        ----------
        query : str, optional
            Words.
        embedding : list of float, optional
        sparse_embedding : SparseEmbedding, optional
        filters : dict, optional
        top_k : int
        return_embedding : bool
            Give documents with their embeddings.
        **options
            Of `annx.Collection.search`.

        Raises
        ------
        haystack.errors.FilterError
        ParameterError
            Nothing to search by, or words where the store was made without `keywords`.
        """
        if query is not None and not self._collection.schema.text:
            raise ParameterError("the store was made with keywords=False")
        given: dict[str, Any] = {}
        if query is not None:
            given["text"] = query
        if embedding is not None:
            given["vector"] = embedding
        if sparse_embedding is not None:
            given["sparse"] = (sparse_embedding.indices, sparse_embedding.values)
        weights = options.get("weights")
        if isinstance(weights, Mapping):
            # A hybrid retriever may be run without a sparse embedding.
            asked = {"text": query, "embedding": embedding, "sparse_embedding": sparse_embedding}
            options["weights"] = {
                name: weight for name, weight in weights.items() if asked.get(name, "") is not None
            }
        hits = self._collection.search(
            **given,
            k=top_k,
            filter=expression_of(filters) if filters else None,
            vectors=return_embedding,
            **options,
        )
        return [_documents.to_document(hit.document, hit.score) for hit in hits]
