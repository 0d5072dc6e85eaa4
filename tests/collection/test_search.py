"""What a search finds, by each retriever and by several."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("tantivy")

from collection_jobs import COUNT, WORDS, order, pairs

from annx.collection import Collection, Popularity, TextQuery, fuse


@pytest.mark.parametrize("method", ["rrf", "wsum"])
@pytest.mark.parametrize("filter", [None, {"city": "Oslo"}, {"rate": {"$lt": 10}}])
def test_hybrid_is_the_fusion_of_single_searches(jobs, queries, method, filter):
    """Text, two vectors of a document and a sparse vector, against `fuse` of each alone."""
    weights = {"text": 2.0, "vector": 1.0, "image": 0.5, "splade": 0.25}
    vectors = queries["vector"]
    runs = [
        jobs.search("senior data engineer", k=100, filter=filter),
        jobs.search(vector={"vector": vectors["vector"]}, k=100, filter=filter),
        jobs.search(vector={"image": vectors["image"]}, k=100, filter=filter),
        jobs.search(sparse=queries["sparse"], k=100, filter=filter),
    ]
    wanted = dict(fuse([pairs(run) for run in runs], method, weights=list(weights.values())))
    found = jobs.search(**queries, k=50, filter=filter, fusion=method, weights=weights, window=100)
    ranked = sorted(order(wanted), key=lambda id: -round(wanted[id], 12))
    assert found.ids == ranked[:50]
    assert found.scores == pytest.approx([wanted[id] for id in found.ids])
    for hit in found:
        said = hit.explain()
        assert list(said.retrievers) == list(weights)
        for name, run in zip(weights, runs, strict=True):
            if hit.id in run.ids:
                rank = run.ids.index(hit.id) + 1
                assert said.retrievers[name].rank == rank
                assert said.retrievers[name].score == pytest.approx(run[rank - 1].score)
                assert said.retrievers[name].weight == weights[name]
            else:
                assert said.retrievers[name] is None


def test_several_vectors_for_one_field(jobs, rng):
    both = rng.standard_normal((2, 8))
    runs = [jobs.search(vector={"vector": each}, k=100) for each in both]
    wanted = dict(fuse([pairs(run) for run in runs]))
    found = jobs.search(vector={"vector": both}, k=20)
    assert found.scores == pytest.approx([wanted[id] for id in found.ids])
    assert list(found[0].explain().retrievers) == ["vector[0]", "vector[1]"]


def test_text_fields_asked_apart_are_retrievers(jobs):
    found = jobs.search({"title": "red", "body": "blue green"}, k=10)
    assert list(found[0].explain().retrievers) == ["text:title", "text:body"]
    title = jobs.search(TextQuery("red", fields=["title"]), k=100)
    assert {hit.id for hit in found if hit.explain().retrievers["text:title"]} <= set(title.ids)


@pytest.mark.parametrize(
    "filter",
    [
        {"city": "Oslo"},
        {"rate": 7},
        {"tags": {"$in": ["a"]}},
        {"city": "nowhere"},
        {"$not": {"city": "Paris"}},
    ],
)
def test_a_filter_gives_k_hits_where_k_pass(jobs, queries, filter):
    passing = {document["id"] for document in jobs.iterate(filter=filter)}
    everything = [document["id"] for document in jobs]
    for query in (
        {"text": " ".join(WORDS)},
        {"vector": {"vector": queries["vector"]["vector"]}},
        queries,
    ):
        whole = jobs.search(**query, k=COUNT)
        there = [id for id in whole.ids if id in passing]
        found = jobs.search(**query, k=15, filter=filter)
        assert set(found.ids) <= passing
        assert len(found) == min(15, len(there))
        if len(query) == 1:
            assert found.ids == there[:15]
        for hit in found:
            assert hit.explain().passing == len(passing)
    assert len(everything) == COUNT


def test_scores_alone_are_natural(jobs, queries):
    (best,) = jobs.search(vector={"image": queries["vector"]["image"]}, k=1)
    document = jobs.get(best.id, vectors=True)
    away = document["image"].astype(np.float64) - queries["vector"]["image"]
    assert best.score == pytest.approx(-(away**2).sum(), rel=1e-4)
    assert best.explain().fusion == "none"


def test_explanations_can_be_read(jobs, queries):
    hits = jobs.search(
        **queries,
        filter={"city": "Oslo"},
        prior=Popularity("clicks"),
        reranker=lambda q, t: [float(len(text)) for text in t],
    )
    text = str(hits[0].explain())
    for part in ("score", "reranker", "prior x", "rrf", "text: ", "image: ", "splade: ", "pass"):
        assert part in text
    plans = hits[0].explain().plans
    assert plans["vector"] in ("graph", "two-hop", "scan", "fallback")
    assert plans["text"] in ("over-fetch", "rows") and plans["splade"] == "scan"
    assert "<Hit 'd" in repr(hits) and "Hits([" in repr(hits)


def test_text_alone_where_the_collection_embeds(tmp_path):
    def embed(texts):
        return np.array([[text.count("red"), text.count("blue"), 1.0] for text in texts])

    fields = {"vectors": {"v": {"dim": 3, "metric": "cosine"}}, "text": "t"}
    with Collection.open(tmp_path, **fields, embed=embed, embed_from="t") as docs:
        docs.upsert([{"id": "r", "t": "red"}, {"id": "b", "t": "blue"}, {"id": "rb", "t": "x"}])
        found = docs.search("red", k=3)
        assert list(found[0].explain().retrievers) == ["text", "v"]
        assert found.ids[0] == "r" and len(found) == 3
        assert list(docs.search("red", vector=False)[0].explain().retrievers) == ["text"]
        assert docs.search(vector="blue blue", k=1).ids == ["b"]
        assert docs.search(TextQuery("blue"), k=1).ids == ["b"]


# Other processes


def test_a_reader_in_another_process_sees_each_write(tmp_path):
    with Collection.open(tmp_path, dim=2, text="t", sparse="s") as docs:
        docs.upsert([{"id": "a", "vector": [1, 0], "t": "first", "s": {1: 1.0}}])
        code = """
            import sys
            from annx.collection import Collection
            with Collection.open(sys.argv[1], read_only=True) as docs:
                for line in sys.stdin:
                    found = docs.search("first second third", vector=[1, 0], sparse={1: 1.0})
                    print(*found.ids, flush=True)
        """
        run = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path)]
        with subprocess.Popen(
            run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:

            def ask():
                process.stdin.write("\n")
                process.stdin.flush()
                return process.stdout.readline().split()

            assert ask() == ["a"]
            docs.upsert([{"id": "b", "vector": [0, 1], "t": "second", "s": {1: 2.0}}])
            assert sorted(ask()) == ["a", "b"]
            docs.delete("a")
            docs.checkpoint()
            assert ask() == ["b"]
            docs.upsert([{"id": "c", "t": "third"}])
            assert sorted(ask()) == ["b", "c"]
            process.stdin.close()
        assert process.returncode == 0
