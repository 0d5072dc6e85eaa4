"""Searches of a collection, from retrieval to the page."""

from __future__ import annotations

import base64
import datetime
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("tantivy")

from annx.collection import Collection, Decay, Highlight, Popularity, TextQuery, fuse
from annx.errors import (
    AnnxError,
    CursorError,
    DimensionError,
    DocumentError,
    FilterError,
    ParameterError,
)

WORDS = "red green blue fast slow old new data engineer house river senior junior".split()
CITIES = ["Oslo", "Bergen", "Paris", None]
COUNT = 400


def made(rng, row):
    """A document with everything; some things missing from some."""
    document = {
        "id": f"d{row}",
        "vector": rng.standard_normal(8, np.float32),
        "image": rng.standard_normal(4, np.float32),
        "title": " ".join(rng.choice(WORDS, 3)),
        "body": " ".join(rng.choice(WORDS, rng.integers(0, 12))),
        "splade": {int(i): float(w) for i, w in zip(*sparse(rng), strict=True)},
        "city": CITIES[row % 4],
        "rate": int(rng.integers(0, 100)),
        "clicks": int(rng.integers(0, 1000)),
        "posted": f"2026-01-{row % 28 + 1:02}",
        "tags": sorted(set(rng.choice(["a", "b", "c"], 2).tolist())),
    }
    for name, every in (("vector", 9), ("image", 7), ("title", 8), ("splade", 6), ("rate", 5)):
        if row % every == 1:
            del document[name]
    return document


def sparse(rng):
    return rng.choice(30, 5, replace=False), np.round(rng.random(5), 3)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    rng = np.random.default_rng(7)
    with Collection.open(
        tmp_path_factory.mktemp("jobs"),
        vectors={"vector": {"dim": 8, "metric": "cosine"}, "image": {"dim": 4, "metric": "l2"}},
        text=["title", "body"],
        sparse="splade",
    ) as collection:
        collection.upsert([made(rng, row) for row in range(COUNT)])
        yield collection


@pytest.fixture
def queries(rng):
    return {
        "text": "senior data engineer",
        "vector": {"vector": rng.standard_normal(8), "image": rng.standard_normal(4)},
        "sparse": dict(zip(*(part.tolist() for part in sparse(rng)), strict=True)),
    }


def pairs(hits):
    return [(hit.id, hit.score) for hit in hits]


def numbered(hits):
    """Ids in order, equal scores in order of rows, as `fuse` has them for dicts in order."""
    return {hit.id: hit.score for hit in hits}


def order(ids):
    return sorted(ids, key=lambda id: int(id[1:]))


# Fusion


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


# Priors


def test_priors_multiply_fused_scores(jobs, queries):
    plain = jobs.search(**queries, k=COUNT, window=COUNT)
    prior = Decay("posted", datetime.timedelta(days=5), origin="2026-01-20", weight=0.7)
    found = jobs.search(**queries, k=COUNT, window=COUNT, prior=prior)
    base = numbered(plain)
    start = datetime.date(2026, 1, 20)
    for hit in found:
        days = abs((datetime.date.fromisoformat(hit["posted"]) - start).days)
        assert hit.score == pytest.approx(base[hit.id] * (0.3 + 0.7 * 0.5 ** (days / 5)))
    assert list(found.scores) == sorted(found.scores, reverse=True)
    assert set(found.ids) == set(plain.ids)
    clicks = jobs.search(**queries, k=COUNT, window=COUNT, prior=Popularity("clicks", 0.5, 50))
    for hit in clicks:
        assert hit.score == pytest.approx(
            base[hit.id] * (0.5 + 0.5 * hit["clicks"] / (hit["clicks"] + 50))
        )


def test_decay_has_its_shapes():
    away = np.array([0.0, 5.0, 10.0, 20.0, np.nan])
    wanted = {
        "exp": [1, 1, 0.5, 0.125, 1],
        "gauss": [1, 1, 0.5, 0.5**9, 1],
        "linear": [1, 1, 0.5, 0, 1],
    }
    for shape, factors in wanted.items():
        decay = Decay("x", scale=5, origin=0, offset=5, shape=shape)
        assert decay.factors(away).tolist() == pytest.approx(factors)
    assert Decay("x", 3600).factors(np.array([datetime.datetime.now().timestamp()])) > 0.99


def test_a_prior_of_the_callers_own(jobs, queries):
    @dataclass(frozen=True)
    class Cheap:
        field: str = "rate"

        def factors(self, values):
            return np.where(values < 50, 1.0, 0.0)

    found = jobs.search(**queries, k=20, prior=Cheap())
    assert all(hit["rate"] < 50 for hit in found)

    class Broken(Cheap):
        def factors(self, values):
            return -values

    with pytest.raises(ParameterError, match="factors"):
        jobs.search(**queries, prior=Broken())


# Groups and diversity


@pytest.mark.parametrize("most", [1, 3])
def test_groups_are_capped(jobs, queries, most):
    whole = jobs.search(**queries, k=COUNT, window=COUNT)
    taken = Counter()
    wanted = []
    for hit in whole:
        city = hit["city"]
        if city is None or taken[city] < most:
            taken[city] += 1
            wanted.append(hit.id)
    found = jobs.search(**queries, k=20, window=COUNT, group_by="city", max_per_group=most)
    assert found.ids == wanted[:20]


def test_groups_fill_the_page_from_beyond_the_window(tmp_path):
    """The 300 nearest are one group: more candidates are asked for until the page is full."""
    with Collection.open(tmp_path, dim=2) as points:
        points.upsert(
            {"id": str(n), "vector": [float(n), 0.0], "group": 0 if n < 300 else n}
            for n in range(310)
        )
        found = points.search(vector=[0.0, 0.0], k=5, group_by="group")
        assert found.ids == ["0", "300", "301", "302", "303"]


@pytest.mark.parametrize("diversity", [0.2, 0.7, 1.0])
def test_diversity_is_maximal_marginal_relevance(jobs, queries, diversity):
    query = {"vector": {"vector": queries["vector"]["vector"]}}
    whole = jobs.search(**query, k=60, vectors=True)
    scores = whole.scores
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    unit = [hit["vector"] / np.linalg.norm(hit["vector"].astype(np.float64)) for hit in whole]
    picked = []
    while len(picked) < 8:
        worth = [
            -np.inf
            if place in picked
            else (1 - diversity) * relevance[place]
            - diversity * max((unit[place] @ unit[other] for other in picked), default=0.0)
            for place in range(60)
        ]
        picked.append(int(np.argmax(worth)))
    found = jobs.search(**query, k=8, window=60, diversity=diversity)
    assert found.ids == [whole[place].id for place in picked]


# Rerankers


def test_a_reranker_over_texts(jobs, queries):
    seen = {}

    def longest(query, texts):
        seen["query"], seen["texts"] = query, texts
        return [len(text) for text in texts]

    found = jobs.search(**queries, k=10, window=30, reranker=longest)
    assert seen["query"] == "senior data engineer" and len(seen["texts"]) == 30
    first = jobs.search(**queries, k=30, window=30)
    texts = {
        hit.id: "\n".join(part for part in (hit.get("title"), hit.get("body")) if part)
        for hit in first
    }
    wanted = sorted(order(texts), key=lambda id: -len(texts[id]))
    assert found.ids == wanted[:10]
    assert found[0].explain().reranked == len(texts[found.ids[0]])
    assert list(texts.values()) == seen["texts"]


def test_a_cross_encoder_is_given_pairs(jobs):
    class Model:
        def rank(self):
            raise AssertionError

        def __call__(self):
            raise AssertionError

        def predict(self, given):
            assert all(query == "red" for query, _ in given)
            return np.array([[text.count("red")] for _, text in given])

    found = jobs.search("red", k=5, reranker=Model())
    assert list(found.scores) == sorted(found.scores, reverse=True)


def test_features_are_what_they_are_called(jobs, queries):
    hits = jobs.search(
        **queries, k=30, features=["rate", "posted", "missing"], prior=Popularity("clicks")
    )
    names = hits.feature_names
    assert names == (
        *("text_score", "text_rank", "vector_score", "vector_rank", "image_score", "image_rank"),
        *("splade_score", "splade_rank", "rrf", "prior", "rate", "posted", "missing"),
    )
    matrix = hits.features()
    assert matrix.shape == (30, len(names)) and matrix.dtype == np.float32
    for hit, row in zip(hits, matrix, strict=True):
        said = hit.explain()
        value = dict(zip(names, row.tolist(), strict=True))
        for name, found in said.retrievers.items():
            if found is None:
                assert np.isnan(value[f"{name}_score"]) and np.isnan(value[f"{name}_rank"])
            else:
                assert value[f"{name}_rank"] == found.rank
                assert value[f"{name}_score"] == pytest.approx(found.score, rel=1e-5)
        assert value["rrf"] == pytest.approx(said.fused, rel=1e-5)
        assert value["prior"] == pytest.approx(said.prior, rel=1e-5)
        assert value["rate"] == pytest.approx(hit.get("rate", np.nan), nan_ok=True)
        date = datetime.datetime.fromisoformat(hit["posted"]).replace(tzinfo=datetime.UTC)
        assert value["posted"] == np.float32(date.timestamp())
        assert np.isnan(value["missing"])
    with pytest.raises(ParameterError, match="features="):
        jobs.search(**queries).features()


@pytest.mark.filterwarnings("ignore")
def test_lightgbm_learns_to_rank(jobs, rng):
    """Clicks follow the rate alone: trained on logged features, the ranker orders by it."""
    lightgbm = pytest.importorskip("lightgbm")
    matrices, targets, sizes = [], [], []
    for _ in range(20):
        hits = jobs.search(" ".join(rng.choice(WORDS, 3)), k=50, features=["rate"])
        matrices.append(hits.features())
        targets += [min(hit.get("rate", 0) // 20, 4) for hit in hits]
        sizes.append(len(hits))
    ranker = lightgbm.LGBMRanker(
        n_estimators=30, min_child_samples=5, num_threads=1, verbose=-1, random_state=0
    )
    ranker.fit(np.concatenate(matrices), targets, group=sizes)
    plain = jobs.search("old house", k=10)
    found = jobs.search("old house", k=10, reranker=ranker, features=["rate"])
    assert found.feature_names[-1] == "rate"
    assert found.scores.tolist() == pytest.approx(ranker.predict(found.features()).tolist())
    mean = {name: np.mean([hit.get("rate", 0) for hit in hits])
            for name, hits in (("plain", plain), ("found", found))}  # fmt: skip
    assert mean["found"] > mean["plain"] + 20


@pytest.mark.parametrize(
    "reranker",
    [5, lambda q, t: [1.0], lambda q, t: [np.nan] * len(t), lambda q, t: np.ones((len(t), 2))],
)
def test_refuses_rerankers_that_are_none(jobs, reranker):
    with pytest.raises(ParameterError, match="reranker"):
        jobs.search("red", reranker=reranker)


# Facets and highlights


def test_facets_count_the_matches(jobs, queries):
    def counted(documents, field):
        count = Counter()
        for document in documents:
            values = document.get(field)
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    count[value] += 1
        return dict(count)

    documents = list(jobs)
    fields = {"city": 100, "tags": 100, "rate": 1000}
    red = [d for d in documents if "red" in f"{d.get('title', '')} {d['body']}".split()]
    found = jobs.search("red", k=3, facets=fields)
    assert {name: dict(found.facets[name]) for name in fields} == {
        name: counted(red, name) for name in fields
    }
    found = jobs.search("red", k=3, facets=fields, filter={"rate": {"$lt": 30}})
    cheap = [d for d in red if d.get("rate", 99) < 30]
    assert dict(found.facets["city"]) == counted(cheap, "city")
    both = jobs.search(**queries, k=3, facets="city", filter={"rate": {"$lt": 30}})
    cheap = [d for d in documents if d.get("rate", 99) < 30]
    assert dict(both.facets["city"]) == counted(cheap, "city")
    query = queries["sparse"]
    share = [d for d in jobs.iterate(vectors=True)
             if "splade" in d and set(d["splade"][0].tolist()) & query.keys()]  # fmt: skip
    found = jobs.search(sparse=query, facets=["city"])
    assert dict(found.facets["city"]) == counted(share, "city")
    some = jobs.search(**queries, k=5, window=5, facets="tags", facet_scope="candidates")
    whole = jobs.search(**queries, k=20, window=5)
    assert dict(some.facets["tags"]) == counted(whole.documents, "tags")


def test_highlights(jobs):
    found = jobs.search("senior engineer", k=5, highlight=True)
    for hit in found:
        assert hit.highlights
        for name, snippet in hit.highlights.items():
            assert "<b>senior</b>" in snippet or "<b>engineer</b>" in snippet
            assert snippet.replace("<b>", "").replace("</b>", "") in hit[name]
    found = jobs.search("senior", highlight=Highlight(fields=["title"], before="*", after="*"))
    assert any("*senior*" in hit.highlights.get("title", "") for hit in found)
    assert jobs.search("senior", k=1)[0].highlights == {}


# Pages


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group_by": "city", "max_per_group": 5},
        {"diversity": 0.4},
        {"prior": Popularity("clicks")},
        {"filter": {"tags": "a"}},
        {"reranker": lambda query, texts: [len(text) for text in texts]},
    ],
)
@pytest.mark.parametrize("kind", ["text", "vector", "all"])
def test_pages_are_one_search_in_parts(jobs, queries, options, kind):
    query = {
        "text": {"text": "senior data"},
        "vector": {"vector": {"vector": queries["vector"]["vector"]}},
        "all": queries,
    }[kind]
    whole = jobs.search(**query, k=60, window=100, **options)
    ids, cursor = [], None
    for _ in range(6):
        page = jobs.search(**query, k=10, window=100, cursor=cursor, **options)
        ids += page.ids
        cursor = page.cursor
        if cursor is None:
            break
    assert ids == whole.ids


def test_pages_go_to_the_end(jobs, queries):
    """Of one retriever, and of fused ones whose window grows: every match once."""
    for query in ({"text": "red"}, queries):
        everything = {hit.id for hit in jobs.search(**query, k=COUNT, window=COUNT)}
        ids, cursor = [], None
        while True:
            page = jobs.search(**query, k=37, cursor=cursor)
            ids += page.ids
            cursor = page.cursor
            if cursor is None:
                break
        assert len(ids) == len(set(ids)) and set(ids) == everything


def test_pages_are_stable_under_writes(tmp_path, rng):
    with Collection.open(tmp_path, dim=4, text="t") as docs:

        def document(n):
            vector = rng.standard_normal(4)
            return {"id": f"d{n}", "vector": vector, "t": " ".join(rng.choice(WORDS, 4)), "n": n}

        docs.upsert(document(n) for n in range(120))
        untouched = {f"d{n}" for n in range(0, 120, 2)}
        query, shown, cursor = rng.standard_normal(4), [], None
        new = 1000
        while True:
            page = docs.search("red fast data", vector=query, k=7, cursor=cursor)
            shown += page.ids
            cursor = page.cursor
            if cursor is None:
                break
            odd = [int(n) * 2 + 1 for n in rng.choice(60, 3)]
            docs.upsert([document(odd[0]), document(new), document(new + 1)])
            docs.delete([f"d{odd[1]}", f"d{new - 1}"])
            new += 2
        assert len(shown) == len(set(shown))
        assert untouched <= set(shown)


def test_cursors_are_refused_when_damaged_or_anothers(jobs, queries):
    cursor = jobs.search(**queries, k=5).cursor
    assert jobs.search(**queries, k=50, cursor=cursor)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    damaged = ["", "x", "💥", "a" * 500_000, cursor[:-3], cursor + "AAAA", "é" * 10, 5]
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        damaged.append(base64.urlsafe_b64encode(changed).decode())
    for text in damaged:
        with pytest.raises(CursorError):
            jobs.search(**queries, cursor=text)
    for other in ({"filter": {"city": "Oslo"}}, {"fusion": "wsum"}, {"text": "red"}):
        with pytest.raises(CursorError, match="another query"):
            jobs.search(**{**queries, **other}, cursor=cursor)


# Embedding


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


# What is refused


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({}, ParameterError),
        ({"vector": [1, 2]}, ParameterError),  # of which field?
        ({"vector": {"no": [1, 2]}}, ParameterError),
        ({"vector": {"vector": [1, 2]}}, DimensionError),
        ({"vector": {"vector": [np.nan] * 8}}, AnnxError),
        ({"vector": "words"}, ParameterError),
        ({"vector": {"vector": "words"}}, ParameterError),
        ({"sparse": "x"}, DocumentError),
        ({"sparse": {"no": {1: 1.0}}}, DocumentError),
        ({"text": 5}, ParameterError),
        ({"text": {"no": "x"}}, ParameterError),
        ({"text": TextQuery("x", fields=["no"])}, ParameterError),
        ({"text": "x", "k": 0}, ParameterError),
        ({"text": "x", "k": 1.5}, ParameterError),
        ({"text": "x", "filter": {"city": {"$no": 1}}}, FilterError),
        ({"text": "x", "filter": 5}, FilterError),
        ({"text": "x", "fusion": "max"}, ParameterError),
        ({"text": "x", "norm": "max"}, ParameterError),
        ({"text": "x", "weights": [1, 2]}, ParameterError),
        ({"text": "x", "weights": {"vector": 1}}, ParameterError),
        ({"text": "x", "weights": [-1]}, ParameterError),
        ({"text": "x", "rank_constant": -1}, ParameterError),
        ({"text": "x", "window": 0}, ParameterError),
        ({"text": "x", "max_per_group": 0}, ParameterError),
        ({"text": "x", "diversity": 2}, ParameterError),
        ({"text": "x", "diversity": 0.5, "diversity_field": "title"}, ParameterError),
        ({"text": "x", "facets": {"city": 0}}, ParameterError),
        ({"text": "x", "facets": "title"}, FilterError),
        ({"text": "x", "facet_scope": "some"}, ParameterError),
        ({"text": "x", "highlight": ["no"]}, ParameterError),
        ({"text": "x", "fusion": "wsum", "norm": "none", "prior": Popularity("a")}, ParameterError),
        ({"text": "\ud800"}, ParameterError),
    ],
)
def test_refuses_what_means_nothing(jobs, query, error):
    with pytest.raises(error):
        jobs.search(**query)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Decay("x", 0),
        lambda: Decay("x", 1, at_scale=1),
        lambda: Decay("x", 1, shape="cubic"),
        lambda: Decay("x", 1, origin="yesterday"),
        lambda: Decay("x", 1, offset=-1),
        lambda: Decay("x", 1, weight=2),
        lambda: Popularity("x", 2),
        lambda: Popularity("x", pivot=0),
        lambda: Highlight(max_chars=0),
        lambda: Highlight(fields="title"),
    ],
)
def test_refuses_settings_that_mean_nothing(make):
    with pytest.raises(ParameterError):
        make()
