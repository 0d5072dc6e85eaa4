"""The part of the vector store that changes what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from annx import ParameterError
from annx._extra import extra
from annx.integrations._held import Held
from annx.integrations._metadata import Metadata
from annx.integrations.langchain._convert import documents_of, ids_of

with extra("langchain"):
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore


class Writable(VectorStore):
    """Adds and deletes documents."""

    _embedding: Embeddings
    _held: Held

    def _metadata(self) -> Metadata:
        held, collection = self._held, self._held.collection
        special = () if collection is None else collection.schema.special
        return Metadata((held.vector, held.text, *special))

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store, with the arguments of the class, and add texts to it."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As `from_texts`."""
        store = await run_in_executor(None, lambda: cls(embedding, **kwargs))
        await store.aadd_texts(texts, metadatas, ids=ids)
        made: Self = store
        return made

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts with their metadata; as `add_documents`."""
        return self.add_documents(documents_of(texts, metadatas), ids=ids, **kwargs)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """As `add_texts`."""
        return await self.aadd_documents(documents_of(texts, metadatas), ids=ids, **kwargs)

    def add_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add documents; those whose ids are there replace what is there.

        Parameters
        ----------
        documents : list of Document
            Metadata may hold what JSON holds, and dates, which come back as ISO 8601 text.
        ids : list of str or None, optional
            In place of the documents' own. Where there is neither, one is made up.
        **kwargs
            Of `annx.Collection.upsert`.

        Returns
        -------
        list of str
            Their ids.

        Raises
        ------
        ParameterError
            Not as many ids as documents.
        DocumentError, DimensionError, NonFiniteError, ZeroVectorError
            A document or its vector cannot be held.
        """
        chosen = ids_of(documents, ids)
        vectors = self._embedding.embed_documents([each.page_content for each in documents])
        return self._put(chosen, documents, vectors, kwargs)

    async def aadd_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """As `add_documents`."""
        chosen = ids_of(documents, ids)
        texts = [each.page_content for each in documents]
        vectors = await self._embedding.aembed_documents(texts)
        put: list[str] = await run_in_executor(None, self._put, chosen, documents, vectors, kwargs)
        return put

    def _put(
        self,
        ids: list[str],
        documents: Sequence[Document],
        vectors: Sequence[Sequence[float]],
        options: dict[str, Any],
    ) -> list[str]:
        if not ids:
            return []
        if len(vectors) != len(ids):
            raise ParameterError(f"expected {len(ids)} vectors of embedding, got {len(vectors)}")
        collection = self._held.create(len(vectors[0]))
        metadata, held = self._metadata(), self._held
        collection.upsert(
            [
                {
                    "id": id,
                    **metadata.spread(document.metadata),
                    held.text: document.page_content,
                    held.vector: np.asarray(vector, np.float32),
                }
                for id, document, vector in zip(ids, documents, vectors, strict=True)
            ],
            **options,
        )
        return ids

    def delete(self, ids: list[str] | None = None, *, filter: Any = None, **kwargs: Any) -> bool:
        """Delete documents by ids, by a filter (dict or expression), or without either all.

        Ids that are not there do no harm.
        """
        collection = self._held.collection
        if collection is not None:
            if ids is not None:
                collection.delete(ids)
            else:
                collection.delete(filter=self._metadata().filter({} if filter is None else filter))
        return True
