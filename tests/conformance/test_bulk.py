"""Many rows into an empty index at once."""

from __future__ import annotations

import time

import numpy as np
import pytest
from data import clustered, recall, truth_of, vectors
from graphs import check_graph

import annx

MANY = 6000


def some(rng, metric="l2", twins=False):
    x, centres = clustered(rng, MANY, 24)
    if twins:
        x[1000:1500] = x[0]
    queries = centres[rng.integers(len(centres), size=100)] + 0.3 * vectors(rng, 100, 24, "f32")
    return x, queries, truth_of(queries, x, metric, 10)


@pytest.mark.parametrize(
    ("codec", "metric"),
    [
        ("f32", "l2"),
        ("f32", "ip"),
        ("sq8", "cosine"),
        ("sq4", "cosine"),
        ("sq4", "ip"),
        ("u8", "l2"),
        ("turbo", "l2"),
        ("turbo", "cosine"),
    ],
)
def test_graph_and_recall(engine, codec, metric, rng):
    x, queries, truth = some(rng, metric)
    if codec == "u8":
        x, queries = (np.clip(np.rint(rows * 20 + 128), 0, 255) for rows in (x, queries))
        truth = truth_of(queries, x, metric, 10)
    index = annx.Index(24, metric, codec=codec)
    assert np.array_equal(index.add(x), np.arange(MANY))
    check_graph(index)
    levels = index.info()["levels"]
    twins = index.info()["graph"]["twins"]
    assert levels[0] == MANY - twins
    # 6000 / 16 = 375 expected, standard deviation 19.
    assert 290 <= levels[1] <= 460 and levels == sorted(levels, reverse=True)
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth, x, queries, metric) >= 0.97


def test_as_good_as_row_by_row_and_after(engine, rng):
    x, queries, truth = some(rng, twins=True)
    index = annx.Index(24, codec="f32")
    index.add(x[:5500])
    for first in range(5500, MANY, 100):
        index.add(x[first : first + 100])
    check_graph(index)
    assert index.info()["graph"]["twins"] == 500
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth, x, queries, "l2") >= 0.97
    equal = index.search(x[0], k=501)
    assert set(equal.labels[0].tolist()) == {0, *range(1000, 1500)}
    assert not equal.distances.any()


@pytest.mark.parametrize("codec", ["f32", "sq8", "sq4"])
def test_any_number_of_threads_gives_the_same_bytes(engine, codec, rng):
    x, *_ = some(rng, twins=True)
    results = set()
    for threads in (1, 2, 3):
        index = annx.Index(24, codec=codec, M=8, ef_construction=40)
        index.add(x, num_threads=threads)
        results.add(index.to_bytes())
    assert len(results) == 1


def test_labels_of_ones_own(engine, rng):
    x, *_ = some(rng)
    labels = rng.permutation(10**9 + np.arange(MANY) * 977)
    index = annx.Index(24, codec="f32", M=8, ef_construction=40)
    index.add(x, labels)
    assert np.array_equal(index.labels, labels)
    assert np.array_equal(index.get(labels[::7]), x[::7])
    own = index.search(x[::7], k=1).labels[:, 0]
    assert (own == labels[::7]).mean() > 0.97


class StopAddingError(Exception):
    pass


@pytest.mark.parametrize("codec", ["f32", "auto"])
def test_what_progress_raises_leaves_whole_rows(engine, codec, rng):
    """The C++ core builds all of them or none."""
    x = vectors(rng, 3 * MANY, 48, "f32")
    x[100:200] = x[0]
    index = annx.Index(48, codec=codec)

    def stop(done, total):
        if done > 0:
            raise StopAddingError

    with pytest.raises(StopAddingError):
        index.add(x, progress=stop)
    kept = len(index)
    assert kept < len(x)
    assert kept == 0 or engine != "native"
    check_graph(index)
    annx.Index.from_bytes(index.to_bytes())
    labels = index.search(x[0], k=3).labels
    assert labels.max() < kept
    assert index.add(x[:500]).tolist() == list(range(kept, kept + 500))
    check_graph(index)
    own = index.search(x[200:500], k=1).labels[:, 0]
    assert (np.isin(own, np.arange(kept + 200, kept + 500)) | (own < kept)).all()


def test_all_rows_equal(engine):
    index = annx.Index(40)
    index.add(np.full((MANY, 40), 0.5, np.float32))
    check_graph(index)
    hits = index.search(np.full(40, 0.5), k=MANY)
    assert set(hits.labels[0].tolist()) == set(range(MANY)) and not hits.distances.any()


@pytest.mark.parametrize("piece", [MANY, 300])
def test_the_narrowest_graph_is_built_quickly(engine, piece, rng):
    x = vectors(rng, MANY, 8, "f32")
    index = annx.Index(8, M=2, ef_construction=1)
    index.add(x[:piece])
    start = time.perf_counter()
    for first in range(piece, MANY, piece):
        index.add(x[first : first + piece])
    if piece == MANY:
        start = time.perf_counter()
        index = annx.Index(8, M=2, ef_construction=1)
        index.add(x)
    # 0.1 to 0.5 s; a walk that degenerates to a chain takes minutes.
    assert time.perf_counter() - start < 20
    check_graph(index)


@pytest.mark.parametrize("codec", ["f32", "f16", "sq8", "sq4", "turbo"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_rows_full_of_ties_give_no_link_twice(engine, codec, metric, rng):
    """A pair's distance depends by a rounding on which rows it is computed with."""
    x = (rng.integers(0, 4, (MANY, 48)) * np.float32(0.1)).astype(
        np.float16 if codec == "f16" else np.float32
    )
    x[:, 0] += 1
    index = annx.Index(48, metric, codec=codec)
    index.add(x)
    check_graph(index)
    assert len(annx.Index.from_bytes(index.to_bytes())) == MANY
