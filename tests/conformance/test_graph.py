from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS, clustered, vectors
from graphs import check_graph

import annx


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_every_row_is_reachable(backend, codec, metric, rng):
    index = annx.Index(64, metric, codec=codec, M=5, ef_construction=20)
    x = vectors(rng, 600, 64, codec)
    x[100:200] = x[0]
    index.add(x)
    check_graph(index)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10])
def test_small_graphs(backend, n, rng):
    index = annx.Index(4)
    index.add(vectors(rng, n, 4, "f32"))
    check_graph(index)


def test_hard_clusters_stay_connected(engine, rng):
    x, _ = clustered(rng, 3000, 8, clusters=30, spread=1e-3)
    index = annx.Index(8, M=4, ef_construction=16)
    index.add(x[np.argsort(x[:, 0])], num_threads=2)
    check_graph(index)


def test_inner_product_with_a_few_giants(engine, rng):
    """Rows that nobody's nearest neighbours include still have a way to them."""
    x = vectors(rng, 2000, 16, "f32")
    x[:20] *= 100
    index = annx.Index(16, "ip", M=4, ef_construction=20)
    index.add(x)
    check_graph(index)


def test_levels_thin_out_by_m(engine, rng):
    index = annx.Index(4, M=8, ef_construction=20)
    index.add(vectors(rng, 4000, 4, "f32"))
    levels = index.info()["levels"]
    assert levels[0] == 4000
    # 4000 / 8 = 500 expected, standard deviation 21.
    assert 400 <= levels[1] <= 600
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize(("codec", "metric"), [("f32", "l2"), ("i8", "cosine"), ("b1", "hamming")])
def test_any_number_of_threads_gives_the_same_bytes(engine, codec, metric, rng):
    x = vectors(rng, 2500, 64, codec)
    x[1000:1100] = x[0]
    results = set()
    for threads in (1, 2, 3):
        index = annx.Index(64, metric, codec=codec, M=8, ef_construction=40)
        index.add(x[:100], num_threads=threads)
        index.add(x[100:], num_threads=threads)
        results.add(index.to_bytes())
    assert len(results) == 1


def test_seed_decides_the_levels(engine, rng):
    x = vectors(rng, 1000, 8, "f32")
    results = []
    for seed in (1, 1, 2):
        index = annx.Index(8, seed=seed, ef_construction=20)
        index.add(x)
        results.append(index.to_bytes())
    assert results[0] == results[1] != results[2]


def test_reserving_changes_nothing(engine, rng):
    x = vectors(rng, 500, 8, "f32")
    plain, roomy = annx.Index(8), annx.Index(8, capacity=5000)
    plain.add(x)
    roomy.add(x)
    assert plain.to_bytes() == roomy.to_bytes()
