"""LlamaIndex: a vector store on an `annx.Collection`."""

from annx.integrations.llama_index._store import AnnxVectorStore

__all__ = ["AnnxVectorStore"]
