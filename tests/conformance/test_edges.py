"""Codes of edges: what they estimate, and that they follow all that they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from data import clustered, vectors

import annx

DIM = 40


@pytest.fixture(params=["l2", "ip", "cosine"])
def metric(request):
    return request.param


def rows_of(rng, n, whole):
    x, _ = clustered(rng, n, DIM)
    return np.clip(np.rint(x * 30 + 120), 0, 255) if whole else x


def assert_as_from_a_file(index, queries):
    """A file holds no codes of edges, so that a copy has made all of them anew."""
    copy = annx.Index.from_bytes(index.to_bytes())
    for ef in (10, 60):
        ours, theirs = (i.search(queries, k=10, ef_search=ef) for i in (index, copy))
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.distances, theirs.distances)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("M", [3, 16, 20])
def test_they_follow_every_change(engine, metric, whole, M, rng):
    x, queries = rows_of(rng, 1500, whole), rows_of(rng, 40, whole)
    index = annx.Index(DIM, metric, codec="turbo", M=M, ef_construction=40)
    for first in range(0, 900, 300):
        index.add(x[first : first + 300])
        assert_as_from_a_file(index, queries)
    index.remove(rng.permutation(900)[:400])
    assert_as_from_a_file(index, queries)
    index.add(x[900:1300], labels=np.arange(5000, 5400))
    assert_as_from_a_file(index, queries)
    index.add(x[1300:], labels=np.arange(5000, 5200), upsert=True)
    assert_as_from_a_file(index, queries)
    index.compact()
    assert_as_from_a_file(index, queries)


def test_bulk_build_and_after(engine, rng):
    x, queries = rows_of(rng, 6000, False), rows_of(rng, 40, False)
    index = annx.Index(DIM, codec="turbo", M=8, ef_construction=40)
    index.add(x[:5500])
    assert_as_from_a_file(index, queries)
    index.add(x[5500:])
    assert_as_from_a_file(index, queries)


@pytest.mark.parametrize("dim", [1, 5, 16, 33, 200, 600])
def test_recall(engine, metric, dim, rng):
    x, centres = clustered(rng, 3000, dim)
    queries = centres[rng.integers(len(centres), size=50)] + 0.3 * vectors(rng, 50, dim, "f32")
    index = annx.Index(dim, metric, codec="turbo")
    index.add(x)
    want = index.exact_search(queries, k=10).distances[:, -1:]
    got = index.search(queries, k=10, ef_search=200).distances
    assert (got <= want + 1e-5 * np.abs(want)).mean() > 0.95


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_beam_as_narrow_as_k_returns_rows_that_it_only_estimated(engine, metric, rng):
    x, _ = clustered(rng, 8000, 96)
    queries = x[:100] + 0.5 * vectors(rng, 100, 96, "f32")
    found = {}
    for codec in ("sq10", "turbo"):
        index = annx.Index(96, metric, codec=codec)
        index.add(x)
        want = index.exact_search(queries, k=60).distances[:, -1:]
        got = index.search(queries, k=60, ef_search=60).distances
        found[codec] = (got <= want + 1e-5 * np.abs(want)).mean()
    assert found["turbo"] > found["sq10"] - 0.03


def test_a_zero_vector_and_near_copies(engine, rng):
    x = np.repeat(vectors(rng, 30, DIM, "f32"), 20, axis=0)
    x[1::2] += np.float32(1e-4) * vectors(rng, 300, DIM, "f32")
    x[0] = 0
    index = annx.Index(DIM, codec="turbo")
    index.add(x)
    hits = index.search(x, k=1, ef_search=100)
    assert np.isfinite(hits.distances).all()
    # 10-bit codes: a step is within |x| / 508, and an error of 4 deviations within this.
    assert (hits.distances[:, 0] <= 3e-3 * (1e-3 + (x**2).sum(axis=1))).mean() > 0.99
    assert (hits.distances >= 0).all()


def test_the_narrowest_beams_walk(engine, rng):
    """The node that a walk starts from takes no place from nearer ones."""
    x, queries = vectors(rng, 3000, DIM, "f32"), vectors(rng, 200, DIM, "f32")
    index = annx.Index(DIM, codec="turbo")
    index.add(x)
    nearest = index.exact_search(queries, k=1).distances[:, 0]
    shares = []
    for ef in (1, 2, 4, 16):
        found = index.search(queries, k=1, ef_search=ef).distances[:, 0]
        shares.append((found <= nearest * 1.00001).mean())
    assert shares[0] > 0.12 and shares == sorted(shares)
