"""What fields a collection has: fixed when it is created, stored in its records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from annx import _validate
from annx.collection._text import TextField
from annx.errors import ParameterError, SchemaError

#: The key of a document's id.
ID = "id"
#: The vector field of a collection that is opened with `dim`.
VECTOR = "vector"

#: Settings that are whole numbers, and in which range.
_WHOLE = (
    ("dim", 1, _validate.MAX_DIM),
    ("M", 2, _validate.MAX_M),
    ("ef_construction", 1, _validate.MAX_EF),
    ("ef_search", 1, _validate.MAX_EF),
    ("seed", 0, _validate.MAX_SEED),
)
_DTYPES = ("auto", "float32", "float16", "int8", "uint8")


@dataclass(frozen=True, slots=True)
class VectorField:
    """A named vector of each document.

    Parameters
    ----------
    dim : int
    metric : {"l2", "ip", "cosine", "hamming"}
    codec : str
        How the index keeps vectors, as for `annx.Index`.
    dtype : {"auto", "float32", "float16", "int8", "uint8"}
        How the records keep them. ``"auto"``: as the codec takes them in, which is float32
        for all but ``"f16"``, ``"i8"``, ``"u8"`` and ``"b1"``.
    M, ef_construction, ef_search, seed : int
        As for `annx.Index`.

    Raises
    ------
    SchemaError
        A setting is out of range, or codec, metric and dim do not go together.
    """

    dim: int
    metric: str = "l2"
    codec: str = "auto"
    dtype: str = "auto"
    M: int = 16
    ef_construction: int = 200
    ef_search: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        codec = "b1" if self.metric == "hamming" and self.codec == "auto" else self.codec
        try:
            for name, low, most in _WHOLE:
                # NumPy's are no numbers to JSON.
                number = _validate.integer(getattr(self, name), name, low, most)
                object.__setattr__(self, name, number)
            _validate.choice(self.metric, "metric", _validate.METRICS)
            _validate.choice(self.dtype, "dtype", _DTYPES)
            _validate.pair(codec, self.metric, self.dim)
        except ParameterError as error:
            raise SchemaError(str(error)) from None
        natural = {"f16": "float16", "i8": "int8", "u8": "uint8", "b1": "uint8"}
        dtype = natural.get(codec, "float32") if self.dtype == "auto" else self.dtype
        if codec == "b1" and dtype != "uint8":
            raise SchemaError(f"metric 'hamming' goes with dtype 'uint8', got {dtype!r}")
        object.__setattr__(self, "codec", codec)
        object.__setattr__(self, "dtype", dtype)


@dataclass(frozen=True, slots=True)
class SparseField:
    """A sparse vector of each document, such as SPLADE weights."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a collection that are more than payload.

    Attributes
    ----------
    vectors : mapping of str to VectorField
    text : mapping of str to TextField
    sparse : mapping of str to SparseField
    embed_from : mapping of str to tuple of str
        For each vector field that text is embedded into: the text fields that it is made of.
    stored : tuple of str
        Payload keys that are kept alone: no filter sees them.
    """

    vectors: Mapping[str, VectorField] = field(default_factory=dict)
    text: Mapping[str, TextField] = field(default_factory=dict)
    sparse: Mapping[str, SparseField] = field(default_factory=dict)
    embed_from: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.vectors, *self.text, *self.sparse, *self.stored]
        for name in names:
            if not isinstance(name, str) or not name:
                raise SchemaError(f"expected field names as non-empty str, got {name!r}")
            if name == ID:
                raise SchemaError("'id' is the key of a document's id and cannot be a field")
            if names.count(name) > 1:
                raise SchemaError(f"field {name!r} is given twice")
        for name, sources in self.embed_from.items():
            if name not in self.vectors:
                raise SchemaError(f"embed_from: no vector field {name!r}")
            for source in sources:
                if source not in self.text:
                    raise SchemaError(f"embed_from: no text field {source!r}")

    @property
    def special(self) -> frozenset[str]:
        """Fields that are not in the payload: vectors and sparse vectors."""
        return frozenset((*self.vectors, *self.sparse))

    def dumps(self) -> str:
        """Write as JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def loads(cls, text: str) -> Schema:
        """Read what `dumps` wrote.

        Raises
        ------
        SchemaError
        """
        try:
            stored = json.loads(text)
            return cls(
                {name: VectorField(**kept) for name, kept in stored["vectors"].items()},
                {name: TextField(**kept) for name, kept in stored["text"].items()},
                {name: SparseField(**kept) for name, kept in stored["sparse"].items()},
                {name: tuple(kept) for name, kept in stored["embed_from"].items()},
                tuple(stored.get("stored", ())),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SchemaError(f"the stored settings cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller of `open` says of the fields; None where nothing is said."""

    vectors: Mapping[str, VectorField] | None
    text: Mapping[str, TextField] | None
    sparse: Mapping[str, SparseField] | None
    embed_from: Mapping[str, tuple[str, ...]] | None
    stored: tuple[str, ...] | None = None
    embed: Any = None

    def create(self) -> Schema | None:
        """Make the settings of a new collection; None if none are given."""
        if self.vectors is None and self.text is None and self.sparse is None:
            return None
        vectors, text, sources = self.vectors or {}, self.text or {}, self.embed_from
        if sources is None and self.embed is not None:
            names = list(self.embed if isinstance(self.embed, Mapping) else vectors)
            if len(names) != 1 and not isinstance(self.embed, Mapping):
                raise SchemaError(f"expected embed as a mapping of fields of {names} to models")
            if not text:
                raise SchemaError("embed needs text fields to make vectors of")
            sources = dict.fromkeys(names, tuple(text))
        return Schema(vectors, text, self.sparse or {}, sources or {}, self.stored or ())

    def check(self, stored: Schema) -> None:
        """Refuse settings that are not those of the collection.

        Raises
        ------
        SchemaError
        """
        for kind in ("vectors", "text", "sparse", "embed_from"):
            wanted, has = getattr(self, kind), getattr(stored, kind)
            if wanted is not None and dict(wanted) != dict(has):
                raise SchemaError(
                    f"the collection was created with {kind} {dict(has)}, got {dict(wanted)}"
                )
        if self.stored is not None and set(self.stored) != set(stored.stored):
            raise SchemaError(
                f"the collection was created with stored {list(stored.stored)}, "
                f"got {list(self.stored)}"
            )


def wanted(
    dim: int | None,
    metric: str | None,
    codec: str | None,
    vectors: Mapping[str, Any] | None,
    text: Any,
    sparse: Any,
    embed: Any,
    embed_from: Any,
    stored: Any = None,
) -> Wanted:
    """Read the arguments of `Collection.open`.

    Raises
    ------
    SchemaError
    """
    if dim is not None:
        if vectors is not None:
            raise SchemaError("expected dim or vectors, got both")
        given = {"metric": metric, "codec": codec}
        settings = {key: value for key, value in given.items() if value is not None}
        vectors = {VECTOR: {"dim": dim, **settings}}
    elif metric is not None or codec is not None:
        raise SchemaError("metric and codec go with dim; with vectors they stand in each field")
    vector_fields = None
    if vectors is not None:
        vector_fields = _fields(vectors, "vectors", VectorField)
    text_fields = None if text is None else _fields(text, "text", TextField)
    sparse_fields = None if sparse is None else _fields(sparse, "sparse", SparseField)
    sources = None if embed_from is None else _sources(embed_from, vector_fields)
    kept = None if stored is None else _names(stored, "stored")
    return Wanted(vector_fields, text_fields, sparse_fields, sources, kept, embed)


_F = TypeVar("_F")


def _fields(given: Any, name: str, kind: type[_F]) -> dict[str, _F]:
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Sequence) and kind is not VectorField:
        if len(set(map(repr, given))) < len(given):
            raise SchemaError(f"{name}: a field is given twice")
        given = dict.fromkeys(given, {})
    if not isinstance(given, Mapping):
        raise SchemaError(f"{name}: expected a mapping of names to settings, got {given!r}")
    fields = {}
    for key, settings in given.items():
        if isinstance(settings, kind):
            fields[key] = settings
            continue
        if not isinstance(settings, Mapping | None):
            raise SchemaError(
                f"{name}: field {key!r}: expected {kind.__name__} or a mapping of its settings, "
                f"got {settings!r}"
            )
        try:
            fields[key] = kind(**(settings or {}))
        except TypeError as error:
            said = str(error).removeprefix(f"{kind.__name__}.__init__() ")
            raise SchemaError(f"{name}: field {key!r}: {said}") from None
    return fields


def _sources(given: Any, vectors: Mapping[str, VectorField] | None) -> dict[str, tuple[str, ...]]:
    if isinstance(given, Mapping):
        return {name: _names(each, "embed_from") for name, each in given.items()}
    names = list(vectors or ())
    if len(names) != 1:
        raise SchemaError("embed_from: expected a mapping of vector fields to text fields")
    return {names[0]: _names(given, "embed_from")}


def _names(given: Any, name: str) -> tuple[str, ...]:
    try:
        return tuple(_validate.names(given, name))
    except ParameterError as error:
        raise SchemaError(str(error)) from None
