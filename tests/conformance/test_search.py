from __future__ import annotations

import numpy as np
import pytest
from data import clustered, recall, truth_of, vectors

import annx


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_recall_on_clusters(engine, metric, rng):
    x, centres = clustered(rng, 4000, 24)
    queries = centres[rng.integers(len(centres), size=100)]
    queries = queries + 0.3 * rng.standard_normal(queries.shape, dtype=np.float32)
    index = annx.Index(24, metric)
    index.add(x)
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, metric, 10), x, queries, metric) >= 0.97


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "i8", "u8"])
def test_recall_on_random_rows(engine, codec, rng):
    x, queries = vectors(rng, 3000, 16, codec), vectors(rng, 100, 16, codec)
    index = annx.Index(16, codec=codec)
    index.add(x)
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, "l2", 10), x, queries, "l2") >= 0.97


def test_recall_of_bits(engine, rng):
    x, queries = vectors(rng, 3000, 64, "b1"), vectors(rng, 100, 64, "b1")
    index = annx.Index(64, "hamming")
    index.add(x)
    found = index.search(queries, k=10, ef_search=200)
    # Ties are many: compare distances.
    exact = index.exact_search(queries, k=10)
    assert (found.distances <= exact.distances[:, -1:]).mean() >= 0.95


def test_recall_rises_with_ef_search(engine, rng):
    x, queries = vectors(rng, 4000, 32, "f32"), vectors(rng, 100, 32, "f32")
    index = annx.Index(32, M=8, ef_construction=60)
    index.add(x)
    truth = truth_of(queries, x, "l2", 10)
    recalls = [
        recall(index.search(queries, k=10, ef_search=ef).labels, truth, x, queries, "l2")
        for ef in (10, 40, 400)
    ]
    assert recalls[0] < recalls[1] < recalls[2]
    index.ef_search = 400
    assert recall(index.search(queries, k=10).labels, truth, x, queries, "l2") == recalls[2]


def test_rows_in_sorted_order_do_not_hurt(engine, rng):
    x, _ = clustered(rng, 4000, 16, clusters=20, spread=0.05)
    x = x[np.argsort(x[:, 0])]
    queries = x[rng.integers(4000, size=100)] + np.float32(0.01)
    index = annx.Index(16)
    index.add(x)
    found = index.search(queries, k=10, ef_search=64).labels
    assert recall(found, truth_of(queries, x, "l2", 10), x, queries, "l2") >= 0.97


def test_adding_in_pieces_is_as_good(engine, rng):
    x, queries = vectors(rng, 2000, 16, "f32"), vectors(rng, 50, 16, "f32")
    index = annx.Index(16)
    for first in (0, 1, 2, 10, 500, 501):
        last = {0: 1, 1: 2, 2: 10, 10: 500, 500: 501, 501: 2000}[first]
        assert index.add(x[first:last]).tolist() == list(range(first, last))
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, "l2", 10), x, queries, "l2") >= 0.97


def test_results_do_not_depend_on_batch_or_threads(backend, rng):
    x, queries = vectors(rng, 500, 20, "f32"), vectors(rng, 70, 20, "f32")
    index = annx.Index(20, "cosine", num_threads=2)
    index.add(x)
    labels, dists = index.search(queries, k=5)
    for threads in (1, 3, None):
        again = index.search(queries, k=5, num_threads=threads)
        assert np.array_equal(again.labels, labels) and np.array_equal(again.distances, dists)
    for i in range(0, 70, 7):
        one = index.search(queries[i], k=5)
        assert one.labels.shape == (1, 5)
        assert np.array_equal(one.labels[0], labels[i])
        assert np.array_equal(one.distances[0], dists[i])
    exact = [index.exact_search(queries, k=5, num_threads=t) for t in (1, 2, 3)]
    assert all(np.array_equal(each.labels, exact[0].labels) for each in exact)


@pytest.mark.parametrize("search", ["search", "exact_search"])
def test_short_results_are_padded(backend, search):
    index = annx.Index(3, "ip")
    run = getattr(index, search)
    labels, dists = run([1, 2, 3], k=4)
    assert labels.tolist() == [[-1] * 4] and np.all(dists == np.inf)
    index.add(np.eye(3), labels=[5, 6, 7])
    labels, dists = run([1, 2, 3], k=5)
    assert labels.tolist() == [[7, 6, 5, -1, -1]]
    assert dists.tolist() == [[-2, -1, 0, np.inf, np.inf]]
    assert run(np.empty((0, 3)), k=5).labels.shape == (0, 5)
    assert run([1, 2, 3], k=1000).labels.shape == (1, 1000)


def test_one_row(backend):
    index = annx.Index(2, "cosine")
    assert index.add([3.0, 4.0], labels=77).tolist() == [77]
    assert index.search([6.0, 8.0], k=1).labels.tolist() == [[77]]
    assert len(index) == 1 and 77 in index and 0 not in index


def test_k_above_ef_search(engine, rng):
    x = vectors(rng, 400, 8, "f32")
    index = annx.Index(8, ef_search=1)
    index.add(x)
    labels = index.search(x[:5], k=100).labels
    assert np.all(labels != -1) and np.array_equal(labels[:, 0], np.arange(5))


def test_queries_of_every_form(backend, rng):
    x = rng.integers(-8, 8, (50, 6)).astype(np.float32)
    index = annx.Index(6)
    index.add(x)
    want = index.search(x[:8], k=3)
    readonly = x[:8].copy()
    readonly.flags.writeable = False
    wide = np.zeros((8, 12), np.float32)
    wide[:, ::2] = x[:8]
    forms = [
        x[:8].tolist(),
        x[:8].astype(np.float64),
        x[:8].astype(np.float16),
        x[:8].astype(np.int8),
        x[:8].astype(">f4"),
        np.asfortranarray(x[:8]),
        wide[:, ::2],
        x[:8][::-1][::-1],
        readonly,
        np.frombuffer(b"." + x[:8].tobytes(), np.uint8)[1:].view(np.float32).reshape(8, 6),
    ]
    for form in forms:
        assert np.array_equal(index.search(form, k=3).labels, want.labels)
        assert np.array_equal(index.exact_search(form, k=3).distances, want.distances)
        other = annx.Index(6)
        other.add(form)
        assert np.array_equal(other.get(np.arange(8)), x[:8])
