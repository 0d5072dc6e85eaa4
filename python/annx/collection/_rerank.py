"""A second opinion on the best candidates, by a model that the caller brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.collection._fusion import Fused
from annx.errors import ParameterError
from annx.filters import Columns


def wants_features(reranker: Any) -> bool:
    """Whether a reranker predicts by features, and not by texts."""
    return hasattr(reranker, "predict") and not hasattr(reranker, "rank")


def check(reranker: Any) -> None:
    """Refuse what is no reranker.

    Raises
    ------
    ParameterError
    """
    if reranker is not None and not (hasattr(reranker, "predict") or callable(reranker)):
        raise ParameterError(
            "expected a reranker with predict(features), or a callable over a query and texts, "
            f"got {type(reranker).__qualname__}"
        )


def names_of(runs: Sequence[str], fields: Sequence[str]) -> list[str]:
    """Names of the columns of `features`."""
    return [
        *(f"{run}_{what}" for run in runs for what in ("score", "rank")),
        "rrf",
        "prior",
        *fields,
    ]


def features(
    pool: Fused,
    rank_constant: float,
    factors: NDArray[np.float64] | None,
    columns: Columns,
    fields: Sequence[str],
) -> NDArray[np.float32]:
    """What is known of each candidate, as numbers.

    Returns
    -------
    ndarray of float32, shape (n_candidates, n_features)
        As `names_of` says; NaN where there is nothing.
    """
    made: list[NDArray[Any]] = []
    rrf = np.zeros(len(pool.rows))
    for ranks, own in zip(pool.ranks, pool.own, strict=True):
        found = ranks > 0
        made += [own, np.where(found, ranks, np.nan)]
        rrf += np.where(found, 1 / (rank_constant + ranks), 0.0)
    made += [rrf, np.ones(len(rrf)) if factors is None else factors]
    made += [columns.numbers(field, pool.rows) for field in fields]
    with np.errstate(over="ignore"):
        return np.stack(made, axis=1).astype(np.float32)


def rerank(
    reranker: Any,
    query: str,
    documents: Sequence[Mapping[str, Any]],
    text_fields: Sequence[str],
    matrix: NDArray[np.float32] | None,
) -> NDArray[np.float64]:
    """Score candidates anew.

    Raises
    ------
    ParameterError
        The reranker returned something else than a finite score for each.
    """
    if not documents:
        return np.empty(0)
    if wants_features(reranker):
        given: Any = reranker.predict(matrix)
    else:
        texts = [
            "\n".join(str(document[name]) for name in text_fields if document.get(name))
            for document in documents
        ]
        if hasattr(reranker, "predict"):
            # As the cross-encoders of sentence-transformers, which are callable with other things.
            given = reranker.predict([(query, text) for text in texts])
        else:
            given = reranker(query, texts)
    try:
        scores = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ParameterError(
            f"expected the reranker to return numbers, got {type(given).__qualname__}"
        ) from None
    if scores.shape == (len(documents), 1):
        scores = scores[:, 0]
    if scores.shape != (len(documents),):
        raise ParameterError(
            f"expected the reranker to return {len(documents)} scores, got shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ParameterError("expected finite scores of the reranker, got others")
    return scores
