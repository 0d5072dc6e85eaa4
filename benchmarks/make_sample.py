"""Cut a small, shippable sample from a folder of embedded documents and queries.

The folder holds base.npy, query.npy, gt.npy (true neighbours, best first),
docs.jsonl.gz (id, words, definition; line i describes row i of base) and
queries.jsonl.gz (text, relevant). The sample keeps, for each of its queries, the
document that the query illustrates and its true nearest neighbours, so that results
read as they would over the whole collection; the rest is drawn at random.

    python benchmarks/make_sample.py FOLDER benchmarks/data/wordnet20k
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Example "sentences" of fewer words ("a raw wound") say too little to search with.
MIN_WORDS = 5
CHUNK = 8192


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    # mtime=0: the same input gives the same bytes.
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def to_int8(rows: NDArray[Any]) -> NDArray[np.int8]:
    """Scale each row so that its largest element becomes 127; cosine ignores the scale."""
    out = np.empty(rows.shape, np.int8)
    for start in range(0, len(rows), CHUNK):
        block = rows[start : start + CHUNK].astype(np.float32)
        block *= 127.0 / np.abs(block).max(axis=1, keepdims=True)
        out[start : start + CHUNK] = np.rint(block)
    return out


def choose(
    docs: list[dict[str, Any]],
    queries: list[dict[str, Any]],
    truth: NDArray[np.integer],
    size: int,
    n_queries: int,
    neighbours: int,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the documents (ascending) and of the queries (random order) to keep."""
    rng = np.random.default_rng(seed)
    row_of = {doc["id"]: row for row, doc in enumerate(docs)}
    first_with_text = {query["text"]: row for row, query in reversed(list(enumerate(queries)))}
    usable = sorted(row for text, row in first_with_text.items() if len(text.split()) >= MIN_WORDS)
    if len(usable) < n_queries:
        raise SystemExit(f"need {n_queries} queries, the folder has {len(usable)} usable ones")
    query_rows = rng.permutation(usable)[:n_queries]
    own = np.array([row_of[queries[row]["relevant"]] for row in query_rows])
    needed = np.union1d(own, truth[query_rows, :neighbours])
    if len(needed) > size:
        raise SystemExit(f"the queries alone need {len(needed)} documents, asked for {size}")
    others = np.setdiff1d(np.arange(len(docs)), needed)
    extra = rng.choice(others, size - len(needed), replace=False)
    return np.union1d(needed, extra), query_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    docs = read_lines(options.folder / "docs.jsonl.gz")
    queries = read_lines(options.folder / "queries.jsonl.gz")
    truth = np.load(options.folder / "gt.npy")
    base = np.load(options.folder / "base.npy", mmap_mode="r")
    vectors = np.load(options.folder / "query.npy")
    doc_rows, query_rows = choose(
        docs,
        queries,
        truth,
        options.size,
        options.queries,
        options.neighbours,
        options.seed,
    )

    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "base.npy", to_int8(base[doc_rows]))
    np.save(options.out / "query.npy", to_int8(vectors[query_rows]))
    write_lines(options.out / "docs.jsonl.gz", [docs[row] for row in doc_rows])
    write_lines(options.out / "queries.jsonl.gz", [queries[row] for row in query_rows])


if __name__ == "__main__":
    main()
