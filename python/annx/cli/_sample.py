"""A collection of texts with their vectors, and queries to it."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx import datasets
from annx.errors import FormatError

#: Where a clone of annx keeps its sample.
DEFAULT = Path("benchmarks/data/wordnet20k")


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the collection."""

    id: str
    words: str
    definition: str


@dataclass(frozen=True, slots=True)
class Query:
    """One question, and the id of the document that it illustrates."""

    text: str
    relevant: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Row i of the vectors belongs to document i, and likewise for the queries."""

    data: datasets.Dataset
    documents: list[Document]
    queries: list[Query]

    def matching(self, words: str) -> list[int]:
        """Numbers of the queries whose text contains all `words`, ignoring case."""
        wanted = words.lower().split()
        return [
            number
            for number, query in enumerate(self.queries)
            if all(word in query.text.lower() for word in wanted)
        ]


def load(folder: Path) -> Sample:
    """Read base, query, docs.jsonl.gz and queries.jsonl.gz of `folder`.

    Raises
    ------
    FormatError
        A file is damaged, or has another number of entries than the vectors.
    FileNotFoundError
        A file is missing.
    """
    data = datasets.read_dataset(folder)
    documents = [
        Document(str(line["id"]), str(line["words"]), str(line["definition"]))
        for line in _lines(folder / "docs.jsonl.gz", {"id", "words", "definition"})
    ]
    queries = [
        Query(str(line["text"]), str(line["relevant"]))
        for line in _lines(folder / "queries.jsonl.gz", {"text", "relevant"})
    ]
    for name, texts, vectors in (
        ("docs.jsonl.gz", documents, data.base),
        ("queries.jsonl.gz", queries, data.queries),
    ):
        if len(texts) != len(vectors):
            raise FormatError(
                f"{name}: expected {len(vectors)} lines, one for each vector, got {len(texts)}"
            )
    return Sample(_in_memory(data), documents, queries)


def _in_memory(data: datasets.Dataset) -> datasets.Dataset:
    def copy(rows: NDArray[Any]) -> NDArray[Any]:
        return np.array(rows)

    return datasets.Dataset(
        data.name, copy(data.base), copy(data.queries), data.neighbors, "cosine"
    )


def _lines(path: Path, keys: set[str]) -> list[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise FormatError(f"{path.name}: {error}") from error
    for number, record in enumerate(records):
        if not isinstance(record, dict) or not keys <= record.keys():
            raise FormatError(f"{path.name}: line {number + 1}: expected {sorted(keys)}")
    return records
