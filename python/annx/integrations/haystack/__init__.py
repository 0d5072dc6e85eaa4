"""Haystack: a document store and its retrievers on an `annx.Collection`."""

from annx.integrations.haystack._retrievers import (
    AnnxEmbeddingRetriever,
    AnnxHybridRetriever,
    AnnxKeywordRetriever,
    AnnxSparseEmbeddingRetriever,
)
from annx.integrations.haystack._store import AnnxDocumentStore

__all__ = [
    "AnnxDocumentStore",
    "AnnxEmbeddingRetriever",
    "AnnxHybridRetriever",
    "AnnxKeywordRetriever",
    "AnnxSparseEmbeddingRetriever",
]
