"""What a search of a collection returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from annx.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Found:
    """What one retriever says of a hit.

    Attributes
    ----------
    rank : int
        From 1.
    score : float
        Its natural score: BM25, dot product, cosine, or the negated distance.
    weight : float
        Of the retriever in the fusion.
    """

    rank: int
    score: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit is where it is.

    Attributes
    ----------
    score : float
        What hits are ordered by, before diversity and groups.
    retrievers : dict of str to Found or None
        By name; None for those that did not find it within the window.
    fusion : str
        ``"rrf"``, ``"wsum"``, or ``"none"`` where one retriever's own score is used.
    fused : float
    prior : float or None
        What `fused` was multiplied by.
    reranked : float or None
        What the reranker said, which then is the score.
    plans : dict of str to str
        For each retriever, how it dealt with the filter. Vectors: ``"graph"``, ``"two-hop"``,
        ``"scan"`` or ``"fallback"``, as in `annx.SearchReport`. Text: ``"over-fetch"`` of hits of
        which those that pass are kept, or ``"rows"``, a query among the rows that pass. Sparse:
        ``"scan"``. ``"none"`` without a filter, for all but vectors.
    passing : int or None
        How many documents pass the filter; None without one.
    """

    score: float
    retrievers: dict[str, Found | None]
    fusion: str
    fused: float
    prior: float | None
    reranked: float | None
    plans: dict[str, str]
    passing: int | None

    def __str__(self) -> str:
        lines = [f"score {self.score:.6g}"]
        if self.reranked is not None:
            lines.append(f"  reranker {self.reranked:.6g}")
        if self.prior is not None:
            lines.append(f"  prior x {self.prior:.6g}")
        lines.append(f"  {self.fusion} {self.fused:.6g}")
        for name, found in self.retrievers.items():
            said = "not found"
            if found is not None:
                said = f"rank {found.rank}, score {found.score:.6g}, weight {found.weight:g}"
            lines.append(f"    {name}: {said} ({self.plans[name]})")
        if self.passing is not None:
            lines.append(f"  filter: {self.passing} documents pass")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found.

    Attributes
    ----------
    id : str
    score : float
        Higher is better. One retriever's natural score, or the fused one, or the reranker's.
    document : dict
        As it was when it was found, with vectors if they were asked for.
    highlights : dict of str to str
        By text field; empty unless asked for.
    """

    id: str
    score: float
    document: dict[str, Any]
    highlights: dict[str, str] = field(default_factory=dict)
    explanation: Explanation | None = field(default=None, repr=False)

    def explain(self) -> Explanation:
        """Say why it is where it is."""
        assert self.explanation is not None
        return self.explanation

    def __getitem__(self, key: str) -> Any:
        return self.document[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the document, or `default`."""
        return self.document.get(key, default)

    def __repr__(self) -> str:
        shown = {key: _short(value) for key, value in self.document.items() if key != "id"}
        inner = ", ".join(f"{key}: {value}" for key, value in list(shown.items())[:5])
        more = ", ..." if len(shown) > 5 else ""
        return f"<Hit {self.id!r} {self.score:.6g} {{{inner}{more}}}>"


class Hits(Sequence[Hit]):
    """The hits of a search, best first.

    Attributes
    ----------
    cursor : str or None
        For the page after this one; None if there is none.
    facets : dict of str to list of (value, int)
        By field, as asked for.
    feature_names : tuple of str
        Columns of `features`.
    """

    def __init__(
        self,
        hits: Sequence[Hit],
        cursor: str | None = None,
        facets: Mapping[str, list[tuple[Any, int]]] | None = None,
        features: NDArray[np.float32] | None = None,
        feature_names: Sequence[str] = (),
    ) -> None:
        self._hits = list(hits)
        self.cursor = cursor
        self.facets = dict(facets or {})
        self._features = features
        self.feature_names = tuple(feature_names)

    @property
    def ids(self) -> list[str]:
        """Ids of the hits."""
        return [hit.id for hit in self._hits]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores of the hits."""
        return np.array([hit.score for hit in self._hits], np.float64)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Documents of the hits."""
        return [hit.document for hit in self._hits]

    def features(self) -> NDArray[np.float32]:
        """What a reranker is given, a row a hit.

        Returns
        -------
        ndarray of float32, shape (n_hits, n_features)
            Columns are `feature_names`: for each retriever ``NAME_score`` and ``NAME_rank``, NaN
            where it did not find the hit; ``rrf``; ``prior``, 1 without; and each field that was
            asked for by ``features=``, as a number (dates in seconds since 1970), NaN where there
            is none.

        Raises
        ------
        ParameterError
            The search was without ``features=``.
        """
        if self._features is None:
            raise ParameterError("expected a search with features=[...], which may be empty")
        return self._features

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...

    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    def __repr__(self) -> str:
        if not self._hits:
            return "Hits([])"
        lines = ",\n      ".join(map(repr, self._hits[:20]))
        more = f",\n      ... {len(self._hits) - 20} more" if len(self._hits) > 20 else ""
        return f"Hits([{lines}{more}])"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
