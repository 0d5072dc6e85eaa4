"""What a system returned, as ids of documents, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from annx import SearchResult
from annx.errors import ParameterError

Ids: TypeAlias = Mapping[int, str] | Sequence[str] | None


def ranking(found: Any, k: int, ids: Ids) -> list[str]:
    """Return the first k ids of one answer, without repetitions.

    Parameters
    ----------
    found : SearchResult, mapping, or iterable of ids, pairs or hits
    k : int
    ids : mapping of int to str or sequence of str, optional
        The document of each whole number.

    Raises
    ------
    ParameterError
        It is none of these, or a number has no document.
    """
    if isinstance(found, SearchResult):
        labels = np.asarray(found.labels)
        if labels.ndim != 2 or len(labels) != 1:
            raise ParameterError(f"expected the result of one query, got shape {labels.shape}")
        found = labels[0][labels[0] != -1].tolist()
    elif isinstance(found, Mapping):
        found = sorted(found, key=lambda name: -found[name])
    elif isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise ParameterError(f"expected a list of what was found, got {type(found).__name__}")
    documents: dict[str, None] = {}
    for each in found:
        if len(documents) == k:
            break
        documents[_document(each, ids)] = None
    return list(documents)


def _document(each: Any, ids: Ids) -> str:
    if hasattr(each, "id"):  # a hit
        each = each.id
    elif isinstance(each, tuple) and len(each) == 2:
        each = each[0]
    if isinstance(each, str):
        return each
    if not isinstance(each, int | np.integer) or isinstance(each, bool):
        raise ParameterError(
            f"expected ids, pairs of id and score, or hits with an id, got {type(each).__name__}"
        )
    if ids is None:
        return str(each)
    try:
        return ids[int(each)]
    except (KeyError, IndexError):
        raise ParameterError(f"expected ids to have each label, got none for {each}") from None
