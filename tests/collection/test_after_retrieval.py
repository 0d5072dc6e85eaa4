"""Priors, groups, diversity and rerankers, on top of what was found."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("tantivy")

from collection_jobs import COUNT, WORDS, numbered, order

from annx.collection import Collection, Decay, Popularity
from annx.errors import ParameterError

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
