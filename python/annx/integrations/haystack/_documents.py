"""Haystack's documents as those of a collection, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from annx._extra import extra

with extra("haystack"):
    from haystack import Document
    from haystack.dataclasses import ByteStream, SparseEmbedding

CONTENT, EMBEDDING, SPARSE = "content", "embedding", "sparse_embedding"
#: Keys that no filter looks into.
STORED = ("blob_data",)


def to_record(document: Document) -> dict[str, Any]:
    """Make a document one of the collection."""
    record: dict[str, Any] = {
        "id": document.id,
        CONTENT: document.content,
        "meta": document.meta,
        "has": [n for n in (CONTENT, EMBEDDING, SPARSE) if getattr(document, n) is not None],
    }
    if document.score is not None:
        record["score"] = document.score
    if document.embedding is not None:
        record[EMBEDDING] = np.asarray(document.embedding, np.float32)
    if document.sparse_embedding is not None:
        sparse = document.sparse_embedding
        record[SPARSE] = (sparse.indices, sparse.values)
    if document.blob is not None:
        record["blob"] = {"mime_type": document.blob.mime_type, "meta": document.blob.meta}
        record["blob_data"] = base64.b64encode(document.blob.data).decode()
    return record


def to_document(
    record: Mapping[str, Any], score: float | None = None, *, embeddings: bool = True
) -> Document:
    """Make a document of one of the collection.

    Parameters
    ----------
    record : mapping
    score : float, optional
        Of a search; by default the document's own.
    embeddings : bool
        Whether the document is given its embeddings, if it has any.
    """
    vector, sparse = record.get(EMBEDDING), record.get(SPARSE)
    blob = None
    if "blob" in record:
        data = base64.b64decode(record["blob_data"])
        blob = ByteStream(data, record["blob"]["meta"], record["blob"]["mime_type"])
    return Document(
        id=record["id"],
        content=record.get(CONTENT),
        blob=blob,
        meta=record.get("meta") or {},
        score=record.get("score") if score is None else score,
        embedding=vector.tolist() if embeddings and vector is not None else None,
        sparse_embedding=(
            SparseEmbedding(sparse[0].tolist(), sparse[1].tolist())
            if embeddings and sparse is not None
            else None
        ),
    )
