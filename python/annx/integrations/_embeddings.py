"""What integrations of embedding models share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx import Index, SearchResult

#: Width of a beam at the least, beside twice the number of hits.
_LEAST_WIDTH = 128


def as_float32(embeddings: Any) -> NDArray[np.float32]:
    """Return embeddings, or a list of them, as an array; tensors may be on any device."""
    if isinstance(embeddings, list | tuple) and any(hasattr(each, "detach") for each in embeddings):
        return np.stack([as_float32(each) for each in embeddings])
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu().float().numpy()
    return np.asarray(embeddings, np.float32)


def exact_scores(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters of an index under which scores are those of float32 embeddings."""
    return parameters if "codec" in parameters else {"keep_vectors": "f32", **parameters}


def find(
    index: Index,
    queries: NDArray[np.float32],
    top_k: int,
    *,
    exact: bool,
    ef_search: int | None,
    filter: Any = None,
) -> SearchResult:
    """Search for as many as there are, up to `top_k`."""
    k = min(top_k, max(1, len(index)))
    if exact:
        return index.exact_search(queries, k, filter=filter)
    width = max(_LEAST_WIDTH, 2 * k) if ef_search is None else ef_search
    return index.search(queries, k, ef_search=width, filter=filter)
