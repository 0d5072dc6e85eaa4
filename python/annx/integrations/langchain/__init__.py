"""LangChain: a vector store and a hybrid retriever on an `annx.Collection`."""

from annx.integrations.langchain._retriever import AnnxHybridRetriever
from annx.integrations.langchain._store import AnnxVectorStore

__all__ = ["AnnxHybridRetriever", "AnnxVectorStore"]
