"""The hybrid retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from annx._extra import extra

with extra("langchain"):
    from langchain_core.documents import Document
    from langchain_core.vectorstores import VectorStoreRetriever


class AnnxHybridRetriever(VectorStoreRetriever):
    """Retrieves by meaning and words together.

    Parameters
    ----------
    vectorstore : AnnxVectorStore
    search_type : str
        ``"hybrid"``, ``"keyword"``, or a type of `VectorStoreRetriever`.
    k : int
        How many documents, unless a call says otherwise.
    search_kwargs : dict
        Of `AnnxVectorStore.hybrid_search`, and its like for other types.

    Examples
    --------
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from annx.integrations.langchain import AnnxHybridRetriever, AnnxVectorStore
    >>> texts = ["error E1042: disk full", "error E2077: disk missing"]
    >>> store = AnnxVectorStore.from_texts(texts, DeterministicFakeEmbedding(size=8))
    >>> retriever = AnnxHybridRetriever(vectorstore=store, search_type="keyword", k=1)
    >>> [found.page_content for found in retriever.invoke("what is E2077")]
    ['error E2077: disk missing']
    """

    search_type: str = "hybrid"
    k: int = 4
    allowed_search_types: ClassVar[Sequence[str]] = (
        "hybrid",
        "keyword",
        *VectorStoreRetriever.allowed_search_types,
    )

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, **kwargs: Any
    ) -> list[Document]:
        options = {"k": self.k, **self.search_kwargs, **kwargs}
        found: list[Document] = self.vectorstore.search(query, self.search_type, **options)
        return found

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, **kwargs: Any
    ) -> list[Document]:
        options = {"k": self.k, **self.search_kwargs, **kwargs}
        found: list[Document] = await self.vectorstore.asearch(query, self.search_type, **options)
        return found
