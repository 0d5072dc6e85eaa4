"""A search ends by how distances grow: between half and twice its width, where it pays."""

from __future__ import annotations

import numpy as np
import pytest
from data import vectors

import annx
from annx._backends.base import GROWTH_RANKS

RANKS = 1 << np.arange(GROWTH_RANKS)


def crowds(rng, n, dim, count=60):
    """Clusters of very different widths, so that some rows stand out and others crowd."""
    of = rng.integers(count, size=n)
    width = np.exp(0.8 * rng.standard_normal((count, 1)))
    centres = 2 * rng.standard_normal((count, dim))
    return (centres[of] + width[of] * rng.standard_normal((n, dim))).astype(np.float32)


def growth_of(index):
    return index._core.export_state().growth


def made(rng, n=3000, dim=12, metric="l2", **options):
    x = crowds(rng, n, dim)
    index = annx.Index(dim, metric, **({"codec": "f32", "ef_construction": 60} | options))
    index.add(x)
    return index, x


def without(index):
    """The same index, with searches that end when their beam is expanded."""
    state = index._core.export_state()
    state.growth = np.zeros_like(state.growth)
    other = annx.Index(index.dim, index.metric, codec="f32", ef_construction=60)
    other._core.import_state(state)
    return other


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_it_is_that_of_brute_force(engine, metric, rng):
    x = crowds(rng, 2200, 12, 6)
    index = annx.Index(12, metric, codec="f32", ef_construction=60)
    index.add(x)
    growth = growth_of(index)
    rows = x.astype(np.float64)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sample = rows[::7]
    dist = (sample**2).sum(1)[:, None] - 2 * sample @ rows.T + (rows**2).sum(1)
    near = np.sort(dist, axis=1)[:, RANKS]  # the row itself is at rank 0
    median = np.median(near / near[:, 4:5], axis=0)
    # It was learned from 64 rows.
    assert np.allclose(growth[1:], median, rtol=0.25)
    assert 0 < growth[0] <= len(x)


@pytest.mark.parametrize("codec", ["f32", "sq8", "turbo"])
@pytest.mark.parametrize("ef", [16, 50])
def test_the_width_is_kept_within_a_factor_of_two(engine, codec, ef, rng):
    index, x = made(rng, dim=24, codec=codec)
    queries = x[:200] + 0.3 * rng.standard_normal((200, 24)).astype(np.float32)
    expanded = index.search(queries, 10, ef_search=ef, report=True).report.visited
    assert expanded.min() >= max(10, ef // 2)
    assert expanded.max() <= 2 * ef
    # It differs: otherwise nothing is decided.
    assert expanded.max() > 1.3 * expanded.min()


def test_it_pays(engine, rng):
    """For as many nodes, no lower recall than that of a beam."""
    index, x = made(rng)
    beam = without(index)
    queries = x[:500] + 0.5 * rng.standard_normal((500, 12)).astype(np.float32)
    bound = index.exact_search(queries, 10).distances[:, -1:] * (1 + 1e-5)

    def measured(index, ef):
        found = index.search(queries, 10, ef_search=ef, report=True)
        return found.report.visited.mean(), (found.distances <= bound).mean()

    efs = [10, 12, 14, 16, 20, 24, 28, 32, 40, 50, 64, 80]
    nodes, recalls = np.transpose([measured(beam, ef) for ef in efs])
    for ef in (14, 20, 32):
        cost, recall = measured(index, ef)
        assert recall >= np.interp(cost, nodes, recalls) - 0.003


@pytest.mark.parametrize("codec", ["f32", "sq8", "sq4", "turbo"])
def test_a_beam_over_half_of_the_rows_finds_all(engine, codec, rng):
    index, x = made(rng, dim=24, codec=codec, n=1500)
    queries = x[:50] + 0.3 * rng.standard_normal((50, 24)).astype(np.float32)
    exact = index.exact_search(queries, 10)
    found = index.search(queries, 10, ef_search=1500)
    assert (found.labels == exact.labels).mean() > 0.995


@pytest.mark.parametrize("k", [1, 10, 100])
def test_filters_go_by_it_too(engine, k, rng):
    index, x = made(rng)
    queries = x[:100] + 0.3 * rng.standard_normal((100, 12)).astype(np.float32)
    for share in (0.9, 0.5):
        allowed = np.flatnonzero(rng.random(len(x)) < share)
        exact = index.search(queries, k, filter=allowed, ef_search=len(x))
        found = index.search(queries, k, filter=allowed, ef_search=max(40, 2 * k))
        hits = found.distances <= exact.distances[:, -1:] * (1 + 1e-5)
        assert hits.mean() > 0.97


def test_distances_below_zero_are_left_alone(engine, rng):
    index, _ = made(rng, metric="ip")
    assert not growth_of(index)[1:].any()
    bits = annx.Index(64, "hamming", codec="b1")
    bits.add(vectors(rng, 2000, 64, "b1"))
    assert not growth_of(bits)[1:].any()


def test_copies_and_small_indexes_tell_nothing(engine, rng):
    index, _ = made(rng, n=1000)
    assert not growth_of(index)[1:].any()
    few = annx.Index(4, codec="f32")
    few.add(np.repeat(vectors(rng, 20, 4, "f32"), 100, axis=0))
    assert not growth_of(few)[1:].any()
    assert (few.search(np.zeros((3, 4), np.float32), 5).labels >= 0).all()


def test_it_is_learned_again_after_as_many_rows(engine, rng):
    x = vectors(rng, 4000, 6, "f32")
    index = annx.Index(6, codec="f32", ef_construction=40)
    index.add(x[:1100])
    first = growth_of(index)
    index.add(x[1100:1200])
    assert np.array_equal(growth_of(index)[1:], first[1:])
    # Rows of one dimension, where distances grow with the square of the rank.
    line = np.zeros((2800, 6), np.float32)
    line[:, 0] = rng.random(2800) * 1000
    index.add(line)
    assert not np.array_equal(growth_of(index)[1:], first[1:])


def test_it_outlives_files_and_compaction(engine, rng, tmp_path):
    index, x = made(rng)
    queries = x[:100] + np.float32(0.1)
    want = index.search(queries, 10, ef_search=20)
    index.save(tmp_path / "i.annx")
    for options in ({}, {"mmap": True}):
        loaded = annx.load(tmp_path / "i.annx", **options)
        assert np.array_equal(growth_of(loaded), growth_of(index))
        assert np.array_equal(loaded.search(queries, 10, ef_search=20).labels, want.labels)
    growth = growth_of(index)
    index.remove(np.arange(1000))
    index.compact()
    assert np.array_equal(growth_of(index), growth)


def test_a_file_without_it_opens(engine, rng, tmp_path):
    """As one of an earlier version."""
    index, x = made(rng)
    state = index._core.export_state()
    state.growth = state.growth[:0]
    other = annx.Index(12, codec="f32", ef_construction=60)
    other._core.import_state(state)
    other.save(tmp_path / "i.annx")
    loaded = annx.load(tmp_path / "i.annx")
    assert (loaded.search(x[:300], 1, ef_search=40).labels[:, 0] == np.arange(300)).mean() > 0.99
    loaded.add(crowds(rng, 1100, 12))
    assert growth_of(loaded)[1:].all()


@pytest.mark.parametrize("steep", [1e-30, 1e30])
def test_whatever_a_file_says_about_it(engine, steep, rng):
    index, x = made(rng)
    state = index._core.export_state()
    state.growth[1:] = np.sort(np.geomspace(1, steep, GROWTH_RANKS)).astype(np.float32)
    other = annx.Index(12, codec="f32", ef_construction=60)
    other._core.import_state(state)
    copies = np.repeat(x[:1], 12, axis=0)  # as many at distance 0 as are asked for
    other.add(copies + np.float32(0), np.arange(5000, 5012))
    for queries in (x[:50], np.full((1, 12), 1e15, np.float32)):
        want = other.exact_search(queries, 10)
        found = other.search(queries, 10, ef_search=100)
        near = found.distances <= want.distances[:, -1:] * (1 + 1e-5)
        assert near.mean() > 0.95
