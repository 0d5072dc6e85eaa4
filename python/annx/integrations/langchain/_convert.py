"""Arguments made into documents and ids, and scores into relevance."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from annx import ParameterError
from annx._extra import extra

with extra("langchain"):
    from langchain_core.documents import Document


def documents_of(
    texts: Iterable[str], metadatas: Sequence[dict[str, Any]] | None
) -> list[Document]:
    """Make documents of texts and as many metadatas.

    Raises
    ------
    ParameterError
    """
    listed = list(texts)
    if metadatas and len(metadatas) != len(listed):
        raise ParameterError(f"expected {len(listed)} metadatas, got {len(metadatas)}")
    given: Iterable[dict[str, Any]] = metadatas or ({} for _ in listed)
    return [
        Document(page_content=text, metadata=metadata)
        for text, metadata in zip(listed, given, strict=True)
    ]


def ids_of(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[str]:
    """Choose the ids of documents: those given, their own, or new ones.

    Raises
    ------
    ParameterError
        Not as many ids as documents.
    """
    if ids and len(ids) != len(documents):
        raise ParameterError(f"expected {len(documents)} ids, got {len(ids)}")
    given = ids or [document.id for document in documents]
    return [id or str(uuid.uuid4()) for id in given]
