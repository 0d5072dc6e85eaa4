"""What a search asks for, checked before anything is looked up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from annx import _validate
from annx._rows import read_array
from annx.collection import _fusion
from annx.collection._cursor import Cursor, digest
from annx.collection._documents import sparse_vector
from annx.collection._embed import Embedder
from annx.collection._prior import Prior
from annx.collection._schema import Schema
from annx.collection._snippets import Highlight
from annx.collection._text import TextQuery
from annx.errors import DimensionError, ParameterError
from annx.filters import parse

#: Candidates of each retriever, if more are not asked for: as many as TREC runs are judged by, and
#: ten pages.
WINDOW = 100
_MOST = 1_000_000

Kind = Literal["text", "vector", "sparse"]


@dataclass(frozen=True, slots=True)
class Run:
    """One query to one retriever.

    Attributes
    ----------
    name : str
        ``"text"``, or the name of the field; of several text fields that are asked apart
        ``"text:FIELD"``, of several vectors for one field ``"FIELD[0]"`` and so on.
    kind : {"text", "vector", "sparse"}
    field : str
        Empty for text.
    query : object
    """

    name: str
    kind: Kind
    field: str
    query: Any


@dataclass(frozen=True, slots=True)
class Request:
    """A search, as `Collection.search` was called."""

    runs: tuple[Run, ...]
    k: int
    filter: Any
    method: _fusion.Method
    weights: tuple[float, ...]
    rank_constant: float
    norm: _fusion.Norm
    window: int | None
    window_fixed: bool
    ef_search: int | None
    recall: float | None
    group_by: str | None
    max_per_group: int
    diversity: float
    diverse_by: str | None
    prior: Prior | None
    reranker: Any
    features: tuple[str, ...] | None
    facets: dict[str, int]
    facet_scope: str
    highlight: Highlight | None
    vectors: bool
    digest: bytes
    seen: tuple[int, ...]

    @property
    def fused(self) -> bool:
        """Whether scores are fused ones; else they are the only retriever's own."""
        return len(self.runs) > 1 or self.prior is not None

    @property
    def text(self) -> str:
        """The words that are searched, for rerankers."""
        words = (run.query.text for run in self.runs if run.kind == "text")
        return "\n".join(dict.fromkeys(words))


def read_runs(
    schema: Schema, embedder: Embedder, text: Any, vector: Any, sparse: Any
) -> tuple[Run, ...]:
    """List the queries to the retrievers; embeds text where vectors are to be made of it.

    Raises
    ------
    ParameterError
        Nothing is asked for, or of a field that is not there.
    """
    runs = [*_text_runs(schema, text)]
    if vector is None and isinstance(text, str | TextQuery):
        words = text if isinstance(text, str) else text.text
        vector = {name: words for name in schema.vectors if name in embedder}
    for field, query in _by_field(vector, schema.vectors, "vector"):
        if isinstance(query, str):
            query = embedder.embed(field, [query])
        runs += _vector_runs(field, query)
    for field, query in _by_field(sparse, schema.sparse, "sparse"):
        sparse_vector(query, f"sparse query for {field!r}")
        runs.append(Run(field, "sparse", field, query))
    if not runs:
        if isinstance(text, str | TextQuery):
            raise ParameterError("expected a collection with text fields, or with embed, for text")
        raise ParameterError("expected text, vector or sparse to search by; iterate(filter=...) "
                             "goes through documents")  # fmt: skip
    names = [run.name for run in runs]
    return tuple(
        dataclasses.replace(run, name=f"{run.kind}:{run.name}")
        if names.count(run.name) > 1
        else run
        for run in runs
    )


def _text_runs(schema: Schema, text: Any) -> Iterable[Run]:
    if text is None:
        return
    if isinstance(text, Mapping):
        for field, words in text.items():
            query = words if isinstance(words, TextQuery) else TextQuery(words)
            query = dataclasses.replace(query, fields=query.fields or [field])
            query.boosts(schema.text)
            yield Run(f"text:{field}", "text", "", query)
        return
    query = text if isinstance(text, TextQuery) else TextQuery(text)
    query.boosts(schema.text)
    if schema.text:
        yield Run("text", "text", "", query)


def _vector_runs(field: str, query: Any) -> Iterable[Run]:
    rows, is_bfloat16 = read_array(query)
    if rows.ndim == 2 and not len(rows):
        raise DimensionError(f"expected one query or more for {field!r}, got shape {rows.shape}")
    if is_bfloat16:
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    if rows.ndim == 2 and len(rows) > 1:
        for number, row in enumerate(rows):
            yield Run(f"{field}[{number}]", "vector", field, row)
    else:
        yield Run(field, "vector", field, rows)


def _by_field(query: Any, fields: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    """Queries with the field that each is for."""
    if query is None or query is False:
        return []
    names = list(fields)
    if isinstance(query, Mapping) and (kind == "vector" or all(key in fields for key in query)):
        for name in query:
            if name not in fields:
                raise ParameterError(f"expected {kind} fields of {names}, got {name!r}")
        return list(query.items())
    if len(names) != 1:
        raise ParameterError(f"expected a mapping of {kind} fields, of {names}, to queries")
    return [(names[0], query)]


def read_weights(weights: Any, runs: Sequence[Run]) -> tuple[float, ...]:
    """Weights in order of the runs.

    Raises
    ------
    ParameterError
    """
    if isinstance(weights, Mapping):
        names = [run.name for run in runs]
        for name in weights:
            if name not in names:
                raise ParameterError(f"expected weights of {names}, got {name!r}")
        weights = [weights.get(name, 1.0) for name in names]
    return tuple(_fusion.check(len(runs), "rrf", weights, 0, None, "none").tolist())


def read_facets(facets: Any) -> dict[str, int]:
    """Fields to count by, with how many values to give."""
    if facets is None:
        return {}
    names = _validate.names(facets, "facets")
    wanted = dict(facets) if isinstance(facets, Mapping) else dict.fromkeys(names, 10)
    for limit in wanted.values():
        _validate.integer(limit, "limit of facets", 1, _MOST)
    return wanted


def read_highlight(highlight: Any) -> Highlight | None:
    """How to mark snippets; None for not at all."""
    if highlight is None or highlight is False:
        return None
    if highlight is True:
        return Highlight()
    if isinstance(highlight, Highlight):
        return highlight
    return Highlight(fields=_validate.names(highlight, "highlight"))


def read_diversity(
    diversity: float, field: str | None, runs: Sequence[Run], schema: Schema
) -> tuple[float, str | None]:
    """How much diversity, and by which vector field.

    Raises
    ------
    ParameterError
    """
    if not 0 <= _validate.number(diversity, "diversity") <= 1:
        raise ParameterError(f"expected diversity from 0 to 1, got {diversity!r}")
    if not diversity:
        return 0.0, None
    if field is None:
        asked = [run.field for run in runs if run.kind == "vector"]
        field = next(iter([*asked, *schema.vectors]), None)
    if field not in schema.vectors:
        known = list(schema.vectors)
        raise ParameterError(f"expected a vector field of {known} for diversity, got {field!r}")
    return float(diversity), field


def digest_of(runs: Sequence[Run], filter: Any, *options: Any) -> bytes:
    """Tell one request from another; k and what is only shown do not matter."""
    said = [repr(options), "" if filter is None else repr(parse(filter))]
    for run in runs:
        if run.kind == "text":
            asked = repr(run.query)
        elif run.kind == "sparse":
            asked = "".join(part.tobytes().hex() for part in sparse_vector(run.query))
        else:
            asked = np.ascontiguousarray(run.query).tobytes().hex()
        said += [run.name, asked]
    return digest("\0".join(said).encode())


def check_prior(prior: Any) -> None:
    """Refuse what is no prior.

    Raises
    ------
    ParameterError
    """
    if prior is None:
        return
    if not isinstance(getattr(prior, "field", None), str) or not callable(
        getattr(prior, "factors", None)
    ):
        raise ParameterError(
            f"expected a prior with field and factors(values), got {type(prior).__qualname__}"
        )


def tell_apart(prior: Prior | None) -> str:
    """Settings of a prior; of a class of the caller's, its name."""
    # Not every repr is the same in every process.
    return repr(prior) if dataclasses.is_dataclass(prior) else type(prior).__qualname__


def resume(cursor: str | None, request: bytes) -> Cursor | None:
    """Where the pages before ended.

    Raises
    ------
    CursorError
    """
    return None if cursor is None else Cursor.loads(cursor, request)


def read_window(window: int | None, cursor: Cursor | None) -> int | None:
    """How many candidates a retriever gives; None to choose, and to grow as needed."""
    if window is None:
        return None if cursor is None else cursor.window
    return _validate.integer(window, "window", 1, _MOST)
