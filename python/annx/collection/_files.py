"""Files of documents: JSON lines, Parquet, BEIR folders; read and written a batch at a time."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from annx import _validate
from annx.collection._schema import ID, Schema
from annx.errors import DocumentError, ParameterError

FORMATS = ("auto", "jsonl", "parquet", "beir")
_CORPUS = "corpus.jsonl"
_TEXT = ("title", "text")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to import.

    Attributes
    ----------
    documents : callable
        Yields each document and where it stands.
    total : int
        How many there are.
    """

    documents: Callable[[], Iterator[tuple[Any, str]]]
    total: int


def kind_of(path: Path, format: str) -> str:
    """Say which format a path is of.

    Raises
    ------
    ParameterError
    """
    name = _validate.choice(format, "format", FORMATS)
    if name != "auto":
        return name
    if path.is_dir() or not path.suffix:
        return "beir"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    if suffixes[-1:] in ([".jsonl"], [".ndjson"], [".json"]):
        return "jsonl"
    if suffixes[-1:] in ([".parquet"], [".pq"]):
        return "parquet"
    raise ParameterError(
        f"{path}: expected .jsonl, .jsonl.gz, .parquet or a folder; or pass format"
    )


def source(path: Path, format: str, schema: Schema) -> Source:
    """Open what is to be imported.

    Raises
    ------
    ParameterError
        It is of no known format.
    OSError
    MissingExtraError
        Parquet without pyarrow.
    """
    kind = kind_of(path, format)
    if kind == "parquet":
        from annx.collection import _parquet

        return _parquet.source(path, schema)
    if kind == "beir":
        file = path / _CORPUS if path.is_dir() else path
        if not file.exists() and file.with_name(file.name + ".gz").exists():
            file = file.with_name(file.name + ".gz")
        return Source(lambda: _from_beir(file), _lines(file))
    return Source(lambda: _from_jsonl(path), _lines(path))


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[bytes]]:
    if path.suffix.lower() == ".gz":
        try:
            with gzip.open(path, mode) as packed:
                yield packed  # type: ignore[misc]
        except (EOFError, zlib.error) as error:  # cut off, or damaged
            raise gzip.BadGzipFile(f"{path}: {error}") from error
    else:
        with path.open(mode) as file:
            yield file


def _lines(path: Path) -> int:
    with _opened(path, "rb") as file:
        return sum(1 for line in file if not line.isspace())


def _from_jsonl(path: Path) -> Iterator[tuple[Any, str]]:
    with _opened(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            where = f"{path}, line {number}"
            try:
                yield json.loads(line), where
            except (ValueError, RecursionError) as error:
                raise DocumentError(f"{where}: expected an object of JSON: {error}") from None


def _from_beir(path: Path) -> Iterator[tuple[Any, str]]:
    for found, where in _from_jsonl(path):
        if not isinstance(found, Mapping) or "_id" not in found:
            raise DocumentError(f"{where}: expected an object with '_id'")
        document = {key: value for key, value in found.items() if key not in ("_id", "metadata")}
        metadata = found.get("metadata") or {}
        if not isinstance(metadata, Mapping):
            raise DocumentError(f"{where}: expected 'metadata' as an object")
        for key, value in metadata.items():
            if key in document or key == ID:
                raise DocumentError(f"{where}: {key!r} is in the document and in its metadata")
            document[key] = value
        yield {ID: found["_id"], **document}, where


def write(
    path: Path,
    kind: str,
    documents: Callable[[], Iterable[Mapping[str, Any]]],
    schema: Schema,
    told: Callable[[int], None],
) -> int:
    """Write documents to a file, whole or not at all; return how many.

    Raises
    ------
    OSError
    MissingExtraError
        Parquet without pyarrow.
    """
    file = path
    if kind == "beir":
        path.mkdir(parents=True, exist_ok=True)
        file = path / _CORPUS
    new = file.with_name(f".{secrets.token_hex(8)}.{file.name}")
    try:
        if kind == "parquet":
            from annx.collection import _parquet

            count = _parquet.write(new, documents, schema, told)
        elif kind == "beir":
            count = _write_lines(new, map(_to_beir, documents()), told)
        else:
            count = _write_lines(new, documents(), told)
        os.replace(new, file)
    finally:
        new.unlink(missing_ok=True)
    return count


def _write_lines(
    path: Path, documents: Iterable[Mapping[str, Any]], told: Callable[[int], None]
) -> int:
    count = 0
    with _opened(path, "wb") as file:
        for count, document in enumerate(documents, 1):
            plain = {key: as_json(value) for key, value in document.items()}
            file.write(json.dumps(plain, ensure_ascii=False).encode() + b"\n")
            told(count)
    return count


def _to_beir(document: Mapping[str, Any]) -> dict[str, Any]:
    line = {"_id": document[ID]}
    for name in _TEXT:
        line[name] = document.get(name) or ""
    metadata = {key: value for key, value in document.items() if key != ID and key not in _TEXT}
    return {**line, "metadata": metadata}


def as_json(value: Any) -> Any:
    """Make a vector or sparse vector of a document what JSON has for it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        indices, values = value
        return {"indices": indices.tolist(), "values": values.tolist()}
    return value
