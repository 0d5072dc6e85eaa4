"""Documents as callers have them, checked and made into what the records hold."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._rows import read_array, to_rows
from annx.collection._schema import ID, Schema, VectorField
from annx.errors import AnnxError, DocumentError

#: A sparse vector: indices, ascending, and their values.
Sparse = tuple[NDArray[np.uint32], NDArray[np.float32]]

_MAX_DEPTH = 64
_AS_THEY_ARE = (str, int, bool, type(None))
# `json.dumps` with settings makes an encoder each time: a third of what a document costs.
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_CODEC_OF = {"float32": "f32", "float16": "f16", "int8": "i8", "uint8": "u8"}


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents that are written together.

    Attributes
    ----------
    ids : list of str
        Distinct.
    payloads : list of str
        JSON of what is neither id nor vector.
    documents : list of dict
        As they will be read back, vectors with them.
    """

    ids: list[str]
    payloads: list[str]
    documents: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)


#: What messages call a document, by its place in a sequence.
Label = Callable[[int], str]


def numbered(first: int = 0) -> Label:
    """Call documents by their numbers, from `first` on."""
    return lambda place: f"document {first + place}"


def check_id(value: Any, where: str = "") -> str:
    """Return an id.

    Raises
    ------
    DocumentError
        Not a str, empty, or with surrogates, which no file can hold.
    """
    place = where and f"{where}: "
    if not isinstance(value, str):
        raise DocumentError(f"{place}expected an id as str, got {value!r}")
    if not value:
        raise DocumentError(f"{place}expected an id, got the empty str")
    if not value.isascii():
        _refuse_surrogates(value, f"{place}id {value!r}")
    return str(value)


def check_documents(documents: Sequence[Any], label: Label) -> None:
    """Refuse what is no document.

    Raises
    ------
    DocumentError
    """
    for position, document in enumerate(documents):
        if not isinstance(document, Mapping):
            kind = type(document).__qualname__
            raise DocumentError(f"{label(position)}: expected a mapping, got {kind}")
        if ID not in document:
            raise DocumentError(f"{label(position)}: no key 'id'")


def encode(
    documents: Sequence[Mapping[str, Any]],
    schema: Schema,
    check: Callable[[str, NDArray[Any]], None],
    label: Label,
) -> Batch:
    """Check documents and make them a batch; of those with one id the last counts.

    Parameters
    ----------
    documents : sequence of mapping
    schema : Schema
    check : callable
        Raises for rows that the index of a vector field would refuse.
    label : callable
        What messages call a document, by its place.

    Raises
    ------
    DocumentError
        A document, its id, or a value that JSON cannot hold.
    DimensionError, DtypeError, NonFiniteError, ZeroVectorError
        A vector.
    """
    check_documents(documents, label)
    last = {check_id(each[ID], label(place)): place for place, each in enumerate(documents)}
    ids = list(last)
    chosen = [documents[place] for place in last.values()]
    wheres = [f"{label(place)} ({id!r})" for id, place in last.items()]
    made: list[dict[str, Any]] = []
    payloads = []
    special = schema.special
    for id, document, where in zip(ids, chosen, wheres, strict=True):
        payload = _payload(document, special, schema, where)
        payloads.append(dump_payload(payload, where))
        made.append({ID: id, **payload})
    for name, settings in schema.vectors.items():
        having = [place for place, each in enumerate(chosen) if each.get(name) is not None]
        if not having:
            continue
        values = [chosen[place][name] for place in having]
        labels = [wheres[place] for place in having]
        for place, row in zip(having, _vectors(values, name, settings, check, labels), strict=True):
            made[place][name] = row
    for name in schema.sparse:
        for target, document, where in zip(made, chosen, wheres, strict=True):
            value = document.get(name)
            if value is not None:
                target[name] = sparse_vector(value, f"{where}, field {name!r}")
    return Batch(ids, payloads, made)


def _payload(
    document: Mapping[str, Any], special: frozenset[str], schema: Schema, where: str
) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for key, value in document.items():
        if type(key) is not str:
            raise DocumentError(f"{where}: expected keys as str, got {key!r}")
        if key == ID or key in special:
            continue
        if type(value) not in _AS_THEY_ARE:
            value = _plain(value, where, key, 0)
        payload[key] = value
    for name in schema.text:
        value = payload.get(name)
        if value is not None and not isinstance(value, str):
            kind = type(value).__qualname__
            raise DocumentError(f"{where}: expected text field {name!r} as str, got {kind}")
    return payload


def dump_payload(payload: Mapping[str, Any], where: str) -> str:
    """Write values that `encode` has made plain as JSON."""
    text = _dumps(payload)
    if not text.isascii():
        _refuse_surrogates(text, where)
    return text


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(
            f"{where}: expected text that UTF-8 can hold, got the lone surrogate "
            f"{text[error.start]!r}"
        ) from None


def _plain(value: Any, where: str, key: str, depth: int) -> Any:
    """Make a value one that JSON gives back as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | bool) or value is None:
        return value if type(value) in _AS_THEY_ARE else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DocumentError(f"{where}, field {key!r}: JSON has no {value}")
        return float(value)
    if isinstance(value, datetime.date):  # datetime is one
        return value.isoformat()
    if depth > _MAX_DEPTH:
        raise DocumentError(f"{where}, field {key!r}: nested deeper than {_MAX_DEPTH}")
    if isinstance(value, Mapping):
        for inner in value:
            if type(inner) is not str:
                raise DocumentError(f"{where}, field {key!r}: expected keys as str, got {inner!r}")
        return {inner: _plain(each, where, key, depth + 1) for inner, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, where, key, depth + 1) for each in value]
    kind = type(value).__qualname__
    raise DocumentError(f"{where}, field {key!r}: expected a value for JSON, got {kind}")


def _vectors(
    values: list[Any],
    name: str,
    settings: VectorField,
    check: Callable[[str, NDArray[Any]], None],
    labels: list[str],
) -> NDArray[Any]:
    codec = "b1" if settings.metric == "hamming" else _CODEC_OF[settings.dtype]
    if all(type(value) is np.ndarray and value.ndim == 1 for value in values) or all(
        type(value) is list for value in values
    ):
        try:
            rows = to_rows(values, settings.dim, codec)
            if len(rows) == len(values):
                check(name, rows)
                return rows
        except AnnxError:
            pass  # one by one then, to name the document
    made = []
    for value, label in zip(values, labels, strict=True):
        try:
            rows = to_rows(value, settings.dim, codec)
            if len(rows) != 1:
                raise DocumentError(f"expected one vector, got {len(rows)}")
            check(name, rows)
        except AnnxError as error:
            message = str(error).removeprefix("row 0").lstrip(": ")
            raise type(error)(f"{label}, field {name!r}: {message}") from None
        made.append(rows[0])
    return np.stack(made)


def sparse_vector(value: Any, where: str = "sparse vector") -> Sparse:
    """Read a sparse vector.

    It is a mapping of index to weight, a mapping of ``"indices"`` and ``"values"``, a pair
    of these, or a SciPy row.

    Raises
    ------
    DocumentError
    """
    if hasattr(value, "tocsr"):
        csr = value.tocsr()
        if csr.ndim == 2 and csr.shape[0] != 1:
            raise DocumentError(f"{where}: expected one sparse row, got {csr.shape[0]}")
        pair: tuple[Any, Any] = (csr.indices, csr.data)
    elif isinstance(value, Mapping) and value.keys() == {"indices", "values"}:
        pair = (value["indices"], value["values"])
    elif isinstance(value, Mapping):
        pair = (list(value), list(value.values()))
    elif isinstance(value, tuple | list) and len(value) == 2:
        pair = (value[0], value[1])
    else:
        raise DocumentError(
            f"{where}: expected a mapping of index to weight, a pair (indices, weights) or a "
            f"sparse row, got {type(value).__qualname__}"
        )
    try:
        indices, weights = (read_array(each).array for each in pair)
    except AnnxError as error:
        raise DocumentError(f"{where}: {error}") from None
    if indices.ndim != 1 or indices.shape != weights.shape:
        raise DocumentError(
            f"{where}: expected as many indices as weights, got {indices.shape} and {weights.shape}"
        )
    if len(indices) == 0:
        return np.empty(0, np.uint32), np.empty(0, np.float32)
    if indices.dtype.kind not in "iu":
        raise DocumentError(f"{where}: expected indices as integers, got {indices.dtype}")
    if indices.min() < 0 or indices.max() > np.iinfo(np.uint32).max - 1:
        raise DocumentError(f"{where}: expected indices from 0 to 2**32 - 2")
    with np.errstate(over="ignore"):
        single = weights.astype(np.float32)
    if not np.isfinite(single).all():
        raise DocumentError(f"{where}: expected finite weights of float32")
    order = np.argsort(indices, kind="stable")
    places = indices[order].astype(np.uint32)
    if (places[1:] == places[:-1]).any():
        raise DocumentError(f"{where}: an index is given twice")
    present = single[order] != 0
    return places[present], single[order][present]
