"""Quality on real queries, equal to that of ranx and bm25s over the same texts and vectors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tantivy")

import reference_bm25 as bm25

ROOT = Path(__file__).parents[2]
DATA = ROOT / "benchmarks" / "data" / "wordnet20k"
DOCUMENTS, QUERIES = 2000, 100


@pytest.fixture(scope="module")
def hybrid():
    """The script that measures this at full size."""
    spec = importlib.util.spec_from_file_location("hybrid", ROOT / "benchmarks" / "hybrid.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_hybrid_equals_ranx_and_bm25s(hybrid, tmp_path):
    pytest.importorskip("ranx")
    pytest.importorskip("bm25s")
    if not DATA.exists():
        pytest.skip("not in this archive: benchmarks/data")
    docs = hybrid.read_lines(DATA / "docs.jsonl.gz")
    base = np.load(DATA / "base.npy").astype(np.float32)
    queries = hybrid.read_lines(DATA / "queries.jsonl.gz")[:QUERIES]
    vectors = np.load(DATA / "query.npy").astype(np.float32)[:QUERIES]
    relevant = [query["relevant"] for query in queries]
    # What tantivy defines as bm25s does: lengths up to 40 words, which it does not round.
    plain = [
        place
        for place, doc in enumerate(docs)
        if doc["definition"].isascii() and len(bm25.words(doc["definition"])) <= 40
    ]
    first = [place for place in plain if docs[place]["id"] in set(relevant)]
    chosen = sorted({*first, *plain[:DOCUMENTS]})
    docs, base = [docs[place] for place in chosen], base[chosen]
    found = {}
    with hybrid.fill(tmp_path, docs, base, hybrid.BOOST) as collection:
        for name, hits, _ in hybrid.ways(collection, queries, vectors):
            found[name] = hybrid.score([each.ids for each in hits], relevant)
    names = ["keyword", "vector", "hybrid, rrf", "hybrid, wsum"]
    made = hybrid.oracles(docs, base, queries, vectors, hybrid.BOOST)
    for name, ranked in zip(names, made, strict=True):
        assert found[name] == pytest.approx(hybrid.score(ranked, relevant), abs=5e-4), name
    for way in ("hybrid, rrf", "hybrid, wsum"):
        for alone in ("keyword", "vector"):
            assert found[way][0] > found[alone][0] and found[way][1] > found[alone][1]
