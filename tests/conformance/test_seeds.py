"""Clusters far apart are found, whatever the order in which their rows came."""

from __future__ import annotations

import numpy as np
import pytest
from data import plain, vectors

import annx
from annx._backends.base import MAX_SEEDS


def islands(rng, sizes, dim, far):
    """Rows of clusters, one after the other, and the cluster of each."""
    of = np.repeat(np.arange(len(sizes)), sizes)
    centres = far * rng.standard_normal((len(sizes), dim))
    return (centres[of] + rng.standard_normal((len(of), dim))).astype(np.float32), of


def in_batches(index, x, step, start=0):
    for first in range(start, len(x), step):
        index.add(x[first : first + step])


def seeds_of(index):
    return index._core.export_state().seeds


@pytest.mark.parametrize("options", [{}, {"M": 8, "ef_construction": 60}], ids=["default", "small"])
@pytest.mark.parametrize(("sizes", "step"), [((60, 1500), 3), ((700, 700), 1), ((90,) * 20, 10)])
def test_clusters_that_come_one_after_the_other(engine, sizes, step, options, rng):
    x, of = islands(rng, sizes, 8, 100)
    index = annx.Index(8, codec="f32", **options)
    index.add(x[of == 0])
    in_batches(index, x, step, sizes[0])
    for cluster in range(len(sizes)):
        mine = x[of == cluster]
        found = index.search(mine, 1, ef_search=32).labels[:, 0]
        assert (found == np.flatnonzero(of == cluster)).mean() > 0.98


def test_more_clusters_than_seeds_at_once(engine, rng):
    """Whole clusters could be found by no search, nor by one from between two of them."""
    x, _ = islands(rng, (40,) * 200, 8, 100)
    x = x[rng.permutation(len(x))]
    index = annx.Index(8, codec="f32", ef_construction=60)
    index.add(x)
    found = index.search(x, 1, ef_search=32).labels[:, 0]
    assert (found == np.arange(len(x))).mean() > 0.998
    between = (x[:100] + x[100:200]) / 2
    hits = index.search(between, 10, ef_search=300)
    exact = index.exact_search(between, 10)
    assert (hits.distances <= exact.distances[:, -1:] * (1 + 1e-6)).mean() > 0.95
    gone = rng.permutation(len(x))[:4000]
    index.remove(gone)
    left = np.setdiff1d(np.arange(len(x)), gone)
    found = index.search(x[left], 1, ef_search=64).labels[:, 0]
    assert (found == left).mean() > 0.995


def test_removals_leave_ways_between_clusters(engine, rng):
    """One row of a hundred was no longer found by a search of this width."""
    x, _ = islands(rng, (40,) * 300, 32, 100)
    x = x[rng.permutation(len(x))]
    index = annx.Index(32, codec="f32")
    index.add(x)
    index.remove(np.arange(6000))
    left = np.arange(6000, len(x))
    assert (index.search(x[left], 1, ef_search=64).labels[:, 0] == left).mean() > 0.9985


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("order", ["sorted", "mixed"])
@pytest.mark.parametrize("bulk", [True, False])
def test_every_cluster_has_a_seed(engine, metric, order, bulk, rng):
    x, of = islands(rng, (50,) * 40, 32, 10)
    if order == "mixed":
        mix = rng.permutation(len(x))
        x, of = x[mix], of[mix]
    index = annx.Index(32, metric, codec="f32", M=4, ef_construction=20)
    in_batches(index, x, len(x) if bulk else 25)
    seeds = seeds_of(index)
    assert len(seeds) == MAX_SEEDS
    assert set(of[seeds]) == set(range(40))


def test_removed_seeds_leave_their_clusters_to_others(engine, rng):
    x, of = islands(rng, (80,) * 20, 16, 50)
    index = annx.Index(16, codec="f32", M=6, ef_construction=40)
    in_batches(index, x, 40)
    for _ in range(3):
        index.remove(index.labels[np.isin(index.labels, seeds_of(index))])
        index.repair()
    left = index.labels
    assert set(of[left]) == set(range(20))
    assert set(seeds_of(index)) <= set(left)
    found = index.search(x[left], 1, ef_search=32).labels[:, 0]
    assert (found == left).mean() > 0.98
    index.compact()
    found = index.search(x[left], 1, ef_search=32).labels[:, 0]
    assert (found == left).mean() > 0.98
    assert index.check().ok


def test_all_removed_and_on(engine, rng):
    x, _ = islands(rng, (100, 100), 8, 50)
    index = annx.Index(8, codec="f32")
    index.add(x)
    index.remove(index.labels)
    assert len(seeds_of(index)) == 0
    index.add(x, np.arange(200))
    assert (index.search(x, 1).labels[:, 0] == np.arange(200)).mean() > 0.98


@pytest.mark.parametrize("codec", ["f32", "turbo", "b1"])
def test_a_reloaded_index_goes_on_alike(engine, codec, rng):
    metric = "hamming" if codec == "b1" else "l2"
    x = vectors(rng, 1200, 64, codec)
    index = annx.Index(64, metric, codec=codec, M=6, ef_construction=30)
    in_batches(index, x[:800], 100)
    copy = annx.Index.from_bytes(index.to_bytes())
    assert np.array_equal(seeds_of(copy), seeds_of(index))
    for one in (index, copy):
        one.remove(np.arange(0, 400, 3))
        in_batches(one, x[800:], 50)
    assert copy.to_bytes() == index.to_bytes()


def test_a_file_without_seeds_opens(engine, rng, tmp_path):
    """As one that another writer made."""
    x = vectors(rng, 300, 8, "f32")
    index = annx.Index(8, codec="f32")
    index.add(x[:200])
    state = index._core.export_state()
    state.seeds = state.seeds[:0]
    other = annx.Index(8, codec="f32")
    other._core.import_state(state)
    other.save(tmp_path / "i.annx")
    for options in ({}, {"mmap": True}):
        loaded = annx.load(tmp_path / "i.annx", **options)
        assert (loaded.search(x[:200], 1).labels[:, 0] == np.arange(200)).all()
    loaded = annx.load(tmp_path / "i.annx")
    loaded.add(x[200:])
    assert len(seeds_of(loaded)) == MAX_SEEDS


def test_no_row_is_far_from_all_seeds(engine, rng):
    """At most 8 times as far as the best choice of as many could bring them.

    The two nearest seeds are apart at most 4 times that, and only rows that were nearer to
    a seed than this are none (Charikar et al., "Incremental clustering and dynamic
    information retrieval", 1997).
    """
    x = (vectors(rng, 3000, 3, "f32") * np.exp(vectors(rng, 3000, 1, "f32"))).astype(np.float32)
    index = annx.Index(3, codec="f32")
    in_batches(index, x, 100)
    rows = plain(x, "f32")
    # Farthest first, which is within twice the best.
    chosen = [0]
    far = np.linalg.norm(rows - rows[0], axis=1)
    while len(chosen) < MAX_SEEDS:
        chosen.append(int(far.argmax()))
        far = np.minimum(far, np.linalg.norm(rows - rows[chosen[-1]], axis=1))
    seeds = rows[seeds_of(index)]
    reached = np.linalg.norm(rows[:, None] - seeds[None], axis=2).min(axis=1).max()
    assert reached <= 8 * far.max()
