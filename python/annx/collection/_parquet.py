"""Documents in Parquet files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annx._extra import extra
from annx.collection._files import Source, as_json
from annx.collection._schema import ID, Schema
from annx.errors import DocumentError, ParameterError

if TYPE_CHECKING:
    import pyarrow

_BATCH = 1000
# Marks columns of JSON text, of values that one type of Arrow's does not hold.
_JSON = b"annx.json"


def source(path: Path, schema: Schema) -> Source:
    """Open a file to import.

    Raises
    ------
    OSError
    ParameterError
        It is no Parquet file.
    MissingExtraError
        pyarrow is not installed.
    """
    with extra("datasets"):
        import pyarrow
        import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            total = file.metadata.num_rows
    except pyarrow.ArrowInvalid as error:
        raise ParameterError(f"{path}: {error}") from None
    return Source(lambda: _rows(path, schema), total)


def _rows(path: Path, schema: Schema) -> Iterator[tuple[Any, str]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        packed = {f.name for f in file.schema_arrow if f.metadata and _JSON in f.metadata}
        batches = file.iter_batches(_BATCH)
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowInvalid, OSError) as error:
                raise DocumentError(f"{path}, row {number + 1} or later: {error}") from None
            if batch is None:
                return
            columns = {
                name: _column(column, name in schema.vectors, name in packed)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for place in range(batch.num_rows):
                number += 1
                values = ((name, column[place]) for name, column in columns.items())
                # Parquet does not tell a value that is missing from one that is null.
                document = {name: value for name, value in values if value is not None}
                yield document, f"{path}, row {number}"


def _column(column: pyarrow.Array, vector: bool, packed: bool) -> list[Any]:
    if vector and not column.null_count and str(column.type).startswith("fixed_size_list"):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return list(flat.reshape(len(column), -1))
    values: list[Any] = column.to_pylist()
    if packed:
        return [None if value is None else json.loads(value) for value in values]
    return values


def write(
    path: Path,
    documents: Callable[[], Iterable[Mapping[str, Any]]],
    schema: Schema,
    told: Callable[[int], None],
) -> int:
    """Write documents as rows; goes through them twice, first for the types of columns.

    Raises
    ------
    MissingExtraError
        pyarrow is not installed.
    OSError
    """
    with extra("datasets"):
        import pyarrow
        import pyarrow.parquet

    arrow = _schema(documents(), schema)
    packed = {field.name for field in arrow if field.metadata and _JSON in field.metadata}
    count = 0
    rows = iter(documents())
    with pyarrow.parquet.ParquetWriter(path, arrow) as writer:
        while some := list(islice(rows, _BATCH)):
            columns = [_values(some, field, field.name in packed) for field in arrow]
            writer.write_batch(pyarrow.record_batch(columns, schema=arrow))
            count += len(some)
            told(count)
    return count


def _values(documents: list[Mapping[str, Any]], field: pyarrow.Field, packed: bool) -> Any:
    import pyarrow

    values = [as_json(document.get(field.name)) for document in documents]
    if packed:
        values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pyarrow.array(values, type=field.type)


def _schema(documents: Iterable[Mapping[str, Any]], schema: Schema) -> pyarrow.Schema:
    """Find a type for each key; JSON text where the values are of several."""
    import pyarrow

    kinds: dict[str, set[str]] = {}
    for document in documents:
        for key, value in document.items():
            kinds.setdefault(key, set()).add(_kind(value))
    plain = {
        "str": pyarrow.string(),
        "bool": pyarrow.bool_(),
        "int": pyarrow.int64(),
        "float": pyarrow.float64(),
        "null": pyarrow.null(),
    }
    fields = [pyarrow.field(ID, pyarrow.string())]
    for key, found in kinds.items():
        if key == ID:
            continue
        if key in schema.vectors:
            settings = schema.vectors[key]
            columns = settings.dim // 8 if settings.metric == "hamming" else settings.dim
            inner = pyarrow.from_numpy_dtype(np.dtype(settings.dtype))
            fields.append(pyarrow.field(key, pyarrow.list_(inner, columns)))
            continue
        if key in schema.sparse:
            parts = {"indices": pyarrow.uint32(), "values": pyarrow.float32()}
            kind = pyarrow.struct([(name, pyarrow.list_(each)) for name, each in parts.items()])
            fields.append(pyarrow.field(key, kind))
            continue
        found = found - {"null"} or {"null"}
        name = next(iter(found)) if len(found) == 1 else "other"
        if name in plain:
            fields.append(pyarrow.field(key, plain[name]))
        elif name.startswith("list of ") and name[8:] in plain:
            fields.append(pyarrow.field(key, pyarrow.list_(plain[name[8:]])))
        else:
            fields.append(pyarrow.field(key, pyarrow.string(), metadata={_JSON: b"1"}))
    return pyarrow.schema(fields)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | str | float):
        return type(value).__name__
    if isinstance(value, int):
        return "int" if -(1 << 63) <= value < 1 << 63 else "other"
    if isinstance(value, list):
        inner = {_kind(each) for each in value}
        return f"list of {inner.pop()}" if len(inner) == 1 and "null" not in inner else "other"
    return "other"
