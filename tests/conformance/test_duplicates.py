from __future__ import annotations

import numpy as np
import pytest
from data import recall, truth_of, vectors

import annx


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_quarter_of_equal_rows(engine, metric, rng):
    """hnswlib falls from 0.98 to 0.57 here."""
    x = vectors(rng, 4000, 16, "f32")
    same = rng.choice(4000, 1000, replace=False)
    x[same] = x[same[0]]
    others = np.setdiff1d(np.arange(4000), same)
    queries = vectors(rng, 100, 16, "f32")
    index = annx.Index(16, metric)
    index.add(x)
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, metric, 10), x, queries, metric) >= 0.97
    own = index.search(x[others[:300]], k=1).labels[:, 0]
    assert (own == others[:300]).mean() >= 0.99
    all_equal = index.search(x[same[0]], k=1000)
    assert set(all_equal.labels[0].tolist()) == set(same.tolist())
    assert np.ptp(all_equal.distances) == 0
    assert index.info()["graph"]["twins"] == 999


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "i8", "u8", "b1"])
def test_pairs_of_equal_rows(engine, codec, rng):
    metric = "hamming" if codec == "b1" else "l2"
    half = vectors(rng, 300, 64, codec)
    index = annx.Index(64, metric, codec=codec)
    index.add(np.concatenate([half, half]))
    labels, dists = index.search(half, k=2)
    assert np.all(dists == 0)
    assert np.array_equal(np.sort(labels, axis=1), np.arange(300)[:, None] + [0, 300])


def test_all_rows_equal(backend):
    index = annx.Index(8)
    index.add(np.ones((500, 8)))
    labels, dists = index.search(np.ones(8), k=500)
    assert set(labels[0].tolist()) == set(range(500)) and np.all(dists == 0)
    assert len(set(index.search(np.zeros(8), k=20).labels[0].tolist())) == 20
    index.add(np.zeros((3, 8)), labels=[1000, 1001, 1002])
    assert set(index.search(np.zeros(8), k=3).labels[0].tolist()) == {1000, 1001, 1002}


def test_minus_zero_equals_zero_in_distance(backend):
    index = annx.Index(2)
    index.add([[0.0, 1.0], [-0.0, 1.0]])
    assert set(index.search([0.0, 1.0], k=2).labels[0].tolist()) == {0, 1}
