from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS, all_distances, plain, tolerance, vectors

import annx

DIMS = [1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 128, 257, 768]


def check(index, x, queries, metric, codec, k):
    """Exact search agrees with float64, distance by distance."""
    rows, wanted = plain(x, codec), plain(queries, codec)
    labels, dists = index.exact_search(queries, k)
    truth = all_distances(metric, wanted, rows)
    close = tolerance(metric, wanted, rows)
    assert labels.dtype == np.int64 and dists.dtype == np.float32
    assert np.all(np.diff(dists, axis=1) >= 0)
    np.testing.assert_allclose(
        dists, np.take_along_axis(truth, labels, axis=1), rtol=2e-5, atol=close
    )
    np.testing.assert_allclose(dists, np.sort(truth, axis=1)[:, :k], rtol=2e-5, atol=close)
    assert all(len(set(row)) == k for row in labels.tolist())


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_exact_search_is_float64_for_every_dim(backend, codec, metric, rng):
    for dim in DIMS if codec != "b1" else [8 * dim for dim in DIMS]:
        x, queries = vectors(rng, 40, dim, codec), vectors(rng, 3, dim, codec)
        if metric == "cosine" and x.dtype.kind in "iu":
            x, queries = x | 1, queries | 1  # no zero vectors
        index = annx.Index(dim, metric, codec=codec)
        index.add(x)
        check(index, x, queries, metric, codec, 10)


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_search_reports_true_distances(backend, codec, metric, rng):
    dim = 48
    x, queries = vectors(rng, 300, dim, codec), vectors(rng, 20, dim, codec)
    index = annx.Index(dim, metric, codec=codec)
    index.add(x)
    labels, dists = index.search(queries, k=12, ef_search=300)
    truth = all_distances(metric, plain(queries, codec), plain(x, codec))
    close = tolerance(metric, plain(queries, codec), plain(x, codec))
    assert np.all(np.diff(dists, axis=1) >= 0)
    np.testing.assert_allclose(
        dists, np.take_along_axis(truth, labels, axis=1), rtol=2e-5, atol=close
    )
    # A beam as wide as the index is exact, because the graph is connected.
    np.testing.assert_allclose(dists, np.sort(truth, axis=1)[:, :12], rtol=2e-5, atol=close)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("scale", [1e-15, 1e-4, 1e4, 1e15])
def test_tiny_and_huge_values(backend, metric, scale, rng):
    x = (rng.standard_normal((30, 24)) * scale).astype(np.float32)
    index = annx.Index(24, metric)
    index.add(x)
    labels, dists = index.exact_search(x, k=1)
    truth = all_distances(metric, x.astype(np.float64), x.astype(np.float64))
    if metric == "ip":
        assert np.array_equal(labels[:, 0], truth.argmin(axis=1))
    else:
        assert np.array_equal(labels[:, 0], np.arange(30))
    size = (x.astype(np.float64) ** 2).sum(axis=1).max()
    bound = 1e-5 * (size if metric == "l2" else 1 + size if metric == "ip" else 1)
    assert np.abs(dists[:, 0] - truth.min(axis=1)).max() <= bound


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "i8", "u8", "b1"])
def test_get_returns_what_was_added(backend, codec, rng):
    metric = "hamming" if codec == "b1" else "l2"
    x = vectors(rng, 20, 64, codec)
    index = annx.Index(64, metric, codec=codec)
    index.add(x, labels=np.arange(20) * 7 - 52)
    assert np.array_equal(index.get(np.arange(20) * 7 - 52), x)
    one = index.get(-45)
    assert one.shape == x[1].shape and np.array_equal(one, x[1])
    assert index.get([]).shape == (0, x.shape[1])
    assert index.get([-45]).dtype == x.dtype


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "i8", "u8"])
def test_get_under_cosine(backend, codec, rng):
    x = vectors(rng, 20, 33, codec)
    index = annx.Index(33, "cosine", codec=codec)
    index.add(x)
    got = index.get(np.arange(20))
    if codec == "f32":
        np.testing.assert_allclose(got, x, rtol=1e-6)
    else:
        assert np.array_equal(got, x)


def test_similarities(backend, rng):
    x = rng.standard_normal((30, 8), dtype=np.float32)
    for metric in ("ip", "cosine", "l2"):
        index = annx.Index(8, metric)
        index.add(x)
        hits = index.exact_search(x[0], k=40)
        a = x.astype(np.float64)
        natural = {
            "ip": a @ a[0],
            "cosine": a @ a[0] / np.linalg.norm(a, axis=1) / np.linalg.norm(a[0]),
            "l2": -((a - a[0]) ** 2).sum(axis=1),
        }[metric]
        np.testing.assert_allclose(
            hits.similarities[0, :30], natural[hits.labels[0, :30]], rtol=1e-5, atol=1e-5
        )
        assert np.all(hits.similarities[0, 30:] == -np.inf)


def test_exact_ties_come_in_order_of_insertion(backend):
    index = annx.Index(4, codec="u8")
    index.add(np.ones((6, 4), np.uint8), labels=[9, 3, 7, 1, 8, 2])
    assert index.exact_search(np.ones(4, np.uint8), k=4).labels.tolist() == [[9, 3, 7, 1]]


def test_bf16_rows_whose_inverse_length_overflows(backend):
    """1 / 1e-40 is beyond float32: refused as zero, or compared as it should be."""
    index = annx.Index(2, "cosine", codec="bf16")
    try:
        index.add([[1e-40, 0.0], [0.0, 1.0]])
    except annx.ZeroVectorError:
        return
    assert index.exact_search([0.0, 2.0], k=2).distances.tolist() == [[0.0, 1.0]]
    annx.Index.from_bytes(index.to_bytes())
