"""Recommendations through the functions with which recommenders evaluates its own models.

Its pins do not go with newer pandas and transformers, so that it stands beside the other
packages without its dependencies, none of which its evaluation needs.
"""

from __future__ import annotations

import ecosystem
import numpy as np
import pytest

ecosystem.need("pandas", "recommenders.evaluation.python_evaluation")

import pandas as pd
from recommenders.evaluation import python_evaluation

from annx import DimensionError, ParameterError
from annx.integrations.recommenders import AnnxRecommender


@pytest.fixture
def world(rng):
    """Factors, names, what was seen and what is wanted."""
    users = rng.standard_normal((80, 16))
    items = rng.standard_normal((1000, 16)) * rng.uniform(0.2, 2, (1000, 1))
    names = np.array([f"u{number}" for number in rng.permutation(80)])
    ids = rng.permutation(5000)[:1000]
    scores = users @ items.T
    best = np.argsort(-scores, axis=1)[:, :30]
    rows = np.repeat(np.arange(80), 30)
    likes = pd.DataFrame({"userID": names[rows], "itemID": ids[best.ravel()], "rating": 1.0})
    seen = likes.sample(frac=0.6, random_state=0)
    return users, items, names, ids, scores, seen, likes.drop(seen.index)


def brute_force(world, k, seen=None):
    """The same data frame, of all scores."""
    users, items, names, ids, scores, _, _ = world
    scores = scores.copy()
    if seen is not None:
        rows = pd.Index(names).get_indexer(seen["userID"])
        scores[rows, pd.Index(ids).get_indexer(seen["itemID"])] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :k]
    return pd.DataFrame(
        {
            "userID": np.repeat(names, k),
            "itemID": ids[best.ravel()],
            "prediction": np.take_along_axis(scores, best, 1).ravel(),
        }
    )


def as_dict(frame):
    return dict(
        zip(zip(frame["userID"], frame["itemID"], strict=True), frame["prediction"], strict=True)
    )


@pytest.mark.parametrize("remove_seen", [False, True])
def test_top_items_are_those_of_all_scores(world, remove_seen):
    users, items, names, ids, _, seen, wanted = world
    model = AnnxRecommender(users, items, names, ids).fit(seen)
    got = model.recommend_k_items(pd.DataFrame({"userID": names}), 10, remove_seen=remove_seen)
    want = brute_force(world, 10, seen if remove_seen else None)
    assert got.columns.tolist() == want.columns.tolist() and len(got) == len(want)
    got, want = as_dict(got), as_dict(want)
    assert len(got.keys() & want.keys()) > 0.98 * len(want)
    for pair in got.keys() & want.keys():
        assert got[pair] == pytest.approx(want[pair], rel=1e-5)


@pytest.mark.parametrize(
    "metric", ["map", "map_at_k", "ndcg_at_k", "precision_at_k", "recall_at_k"]
)
def test_metrics_of_recommenders(world, metric):
    users, items, names, ids, _, seen, wanted = world
    model = AnnxRecommender(users, items, names, ids).fit(seen)
    measure = getattr(python_evaluation, metric)
    got = measure(wanted, model.recommend_k_items(wanted, 10, remove_seen=True), k=10)
    want = measure(wanted, brute_force(world, 10, seen), k=10)
    assert got == pytest.approx(want, rel=0.02)
    unfiltered = measure(wanted, model.recommend_k_items(wanted, 10), k=10)
    assert got > 1.5 * unfiltered


def test_each_user_once_and_best_first(world):
    users, items, names, ids, _, _, wanted = world
    model = AnnxRecommender(users, items, names, ids)
    found = model.recommend_k_items(wanted, 5)
    assert found["userID"].drop_duplicates().tolist() == wanted["userID"].drop_duplicates().tolist()
    assert (found.groupby("userID", sort=False).size() == 5).all()
    assert (
        found.groupby("userID")["prediction"].apply(lambda each: each.is_monotonic_decreasing).all()
    )


def test_fewer_items_than_asked_for():
    model = AnnxRecommender(np.eye(2), np.eye(2), col_item="film", col_user="who")
    model.fit(pd.DataFrame({"who": [0, 1, 7], "film": [1, 9, 0]}))
    found = model.recommend_k_items(pd.DataFrame({"who": [0, 1]}), 10, remove_seen=True)
    assert found[["who", "film"]].to_numpy().tolist() == [[0, 0], [1, 1], [1, 0]]
    assert model.recommend_k_items(pd.DataFrame({"who": []}, dtype=int)).empty


def test_bad_input():
    with pytest.raises(ParameterError, match="each of 2 users, got 1"):
        AnnxRecommender(np.eye(2), np.eye(2), ["a"])
    with pytest.raises(ParameterError, match="got x twice"):
        AnnxRecommender(np.eye(2), np.eye(2), item_ids=["x", "x"])
    with pytest.raises(ParameterError, match="users with factors, got 5"):
        AnnxRecommender(np.eye(2), np.eye(2)).recommend_k_items(pd.DataFrame({"userID": [0, 5]}))
    with pytest.raises(DimensionError):
        AnnxRecommender(np.eye(3), np.eye(2)).recommend_k_items(pd.DataFrame({"userID": [0]}))
