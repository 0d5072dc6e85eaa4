"""Compare vector, keyword and hybrid search of a collection on queries with known answers.

    python benchmarks/hybrid.py DATA

DATA is a folder with docs.jsonl.gz (id, words, definition; line i describes row i of base.npy),
base.npy, queries.jsonl.gz (text, relevant: the id of the definition that it illustrates) and
query.npy, such as benchmarks/data/wordnet20k. Prints success@10 and MRR@10 of each way to search,
on the second half of the queries; the first half is for choosing settings. With ``--oracles`` and
ranx and bm25s installed, also what these make of the same texts and vectors.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from annx.collection import Collection, TextField

WINDOW = 100
DEPTH = 10
#: The words of a definition are its title: the boost is what the first half of the queries prefers
#: of 1, 2, 3 and 4.
BOOST = 4.0


def read_lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def score(runs, relevant):
    """success@10 and MRR@10 of ranked ids."""
    places = [
        ids[:DEPTH].index(wanted) + 1 if wanted in ids[:DEPTH] else np.inf
        for ids, wanted in zip(runs, relevant, strict=True)
    ]
    return float(np.mean(np.isfinite(places))), float(np.mean(1 / np.array(places)))


def fill(folder, docs, base, boost):
    fields = {"words": TextField(boost=boost), "definition": TextField()}
    collection = Collection.open(
        folder, dim=base.shape[1], metric="cosine", text=fields, durability="process"
    )
    rows = base.astype(np.float32)
    start = time.perf_counter()
    collection.upsert({**doc, "vector": row} for doc, row in zip(docs, rows, strict=True))
    taken = time.perf_counter() - start
    print(f"{len(docs):,} documents in {taken:.1f} s: {len(docs) / taken:,.0f} a second")
    return collection


def ways(collection, queries, vectors):
    """Names of ways to search, with what each finds."""
    options = {
        "vector": lambda text, vector: {"vector": vector, "k": WINDOW},
        "keyword": lambda text, vector: {"text": text, "k": WINDOW},
        "hybrid, rrf": lambda text, vector: {"text": text, "vector": vector},
        "hybrid, wsum": lambda text, vector: {"text": text, "vector": vector, "fusion": "wsum"},
    }
    for name, build in options.items():
        taken, found = [], []
        for query, vector in zip(queries, vectors, strict=True):
            asked = build(query["text"], vector)
            start = time.perf_counter()
            found.append(collection.search(**asked))
            taken.append(time.perf_counter() - start)
        yield name, found, float(np.median(taken)) * 1e3


def oracles(docs, base, queries, vectors, boost):
    """The same by brute force, bm25s and ranx: name and ranked ids."""
    import re

    import bm25s
    import ranx

    ids = np.array([doc["id"] for doc in docs])
    total = np.zeros((len(queries), len(docs)), np.float32)
    for field, weight in (("words", boost), ("definition", 1.0)):
        index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        index.index([re.findall(r"\w+", doc[field].lower()) for doc in docs], show_progress=False)
        for number, query in enumerate(queries):
            total[number] += weight * index.get_scores(re.findall(r"\w+", query["text"].lower()))
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    near = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ unit.T
    runs = {}
    for name, scores in (("keyword", total), ("vector", near)):
        best = np.argsort(-scores, axis=1, kind="stable")[:, :WINDOW]
        runs[name] = {
            str(number): {
                str(ids[row]): float(scores[number, row])
                for row in rows
                if name == "vector" or scores[number, row] > 0
            }
            for number, rows in enumerate(best)
        }
        # ranx refuses queries without hits.
        for hits in runs[name].values():
            if not hits:
                hits[""] = 0.0
    given = [ranx.Run(runs[name]) for name in ("keyword", "vector")]
    for hits in runs.values():
        yield [sorted(run, key=run.get, reverse=True) for run in hits.values()]
    fused = [
        ranx.fuse(given, norm=None, method="rrf", params={"k": 60}),
        ranx.fuse(given, norm="min-max", method="wsum", params={"weights": [1.0, 1.0]}),
    ]
    # Fused scores are often equal, and ranx leaves open in which order they then come: here that
    # of the documents, as in a collection.
    order = {str(id): place for place, id in enumerate(ids)}
    for run in fused:
        each = (run.run[str(number)] for number in range(len(queries)))
        yield [
            sorted(scores, key=lambda id: (-round(scores[id], 12), order.get(id, -1)))
            for scores in each
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--boost", type=float, default=BOOST)
    parser.add_argument("--first-half", action="store_true", help="where settings are chosen")
    parser.add_argument("--oracles", action="store_true")
    asked = parser.parse_args()
    if not (asked.data / "docs.jsonl.gz").exists():
        print(f"SKIP: no docs.jsonl.gz in {asked.data}", file=sys.stderr)
        return
    docs = read_lines(asked.data / "docs.jsonl.gz")
    queries = read_lines(asked.data / "queries.jsonl.gz")
    base = np.load(asked.data / "base.npy").astype(np.float32)
    vectors = np.load(asked.data / "query.npy").astype(np.float32)
    half = len(queries) // 2
    part = slice(None, half) if asked.first_half else slice(half, None)
    queries, vectors = queries[part], vectors[part]
    relevant = [query["relevant"] for query in queries]
    with tempfile.TemporaryDirectory() as folder:
        with fill(folder, docs, base, asked.boost) as collection:
            for name, found, taken in ways(collection, queries, vectors):
                success, mrr = score([hits.ids for hits in found], relevant)
                print(f"{name:20} success@10 {success:.3f}  MRR@10 {mrr:.3f}  {taken:.2f} ms")
    if asked.oracles:
        names = ["bm25s", "brute force", "ranx rrf", "ranx wsum"]
        made = oracles(docs, base, queries, vectors, asked.boost)
        for name, found in zip(names, made, strict=True):
            success, mrr = score(found, relevant)
            print(f"{name:20} success@10 {success:.3f}  MRR@10 {mrr:.3f}")


if __name__ == "__main__":
    main()
