from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from conftest import load_backend
from data import PAIRS, recall, truth_of, vectors

import annx
from annx._rows import to_rows

EVERY = ["reference", "numba", "native"]


def built(rng, codec="f32", metric="l2", n=300, **options):
    index = annx.Index(32, metric, codec=codec, ef_search=80, seed=5, **options)
    x = vectors(rng, n, 32, codec)
    x[20:40] = x[0]
    index.add(x, labels=np.arange(n) * 3 - 1000)
    return index, x


def same_answers(a, b, queries):
    for call in ("search", "exact_search"):
        one, other = getattr(a, call)(queries, k=7), getattr(b, call)(queries, k=7)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.distances, other.distances)


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_round_trip(backend, codec, metric, rng, tmp_path):
    index, x = built(rng, codec, metric, M=6, ef_construction=50)
    path = tmp_path / "i.annx"
    index.save(path)
    assert path.read_bytes() == index.to_bytes()
    for other in (
        annx.load(path),
        annx.load(str(path), num_threads=1),
        annx.Index.from_bytes(index.to_bytes()),
        pickle.loads(pickle.dumps(index)),
        copy.deepcopy(index),
    ):
        assert other.to_bytes() == index.to_bytes()
        assert np.array_equal(other.labels, index.labels)
        for name in ("dim", "metric", "codec", "M", "ef_construction", "ef_search", "seed"):
            assert getattr(other, name) == getattr(index, name)
        same_answers(index, other, x[:20])
        assert np.array_equal(other.get(index.labels), index.get(index.labels))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_small_indexes(backend, n, rng):
    index = annx.Index(32, "cosine")
    index.add(vectors(rng, n, 32, "f32"))
    other = annx.Index.from_bytes(index.to_bytes())
    assert len(other) == n
    other.add(vectors(rng, 5, 32, "f32"))
    assert other.labels.tolist() == list(range(n + 5))


@pytest.mark.parametrize("reader", EVERY)
@pytest.mark.parametrize("writer", EVERY)
@pytest.mark.parametrize(
    ("codec", "metric"),
    [("f32", "l2"), ("f32", "cosine"), ("f16", "ip"), ("bf16", "cosine"), ("i8", "cosine"),
     ("u8", "l2"), ("b1", "hamming")],
)  # fmt: skip
def test_one_writes_another_reads_and_extends(use_backend, writer, reader, codec, metric, rng):
    load_backend(reader)
    use_backend(writer)
    index, x = built(rng, codec, metric)
    data = index.to_bytes()
    use_backend(reader)
    other = annx.Index.from_bytes(data)
    assert other.to_bytes() == data or reader == "reference"
    queries = vectors(rng, 20, 32, codec)
    want = index.exact_search(queries, k=5)
    got = other.exact_search(queries, k=5)
    np.testing.assert_allclose(got.distances, want.distances, rtol=1e-5, atol=2e-4)
    wide = other.search(queries, k=5, ef_search=300)
    np.testing.assert_allclose(wide.distances, want.distances, rtol=1e-5, atol=2e-4)
    more = vectors(rng, 300, 32, codec)
    more[:5] = x[0]
    assert other.add(more).tolist() == list(range(0, 300))
    assert len(other) == 600
    wide = other.search(queries, k=5, ef_search=600)
    np.testing.assert_allclose(
        wide.distances, other.exact_search(queries, k=5).distances, rtol=1e-5, atol=2e-4
    )
    zero = other.search(x[0], k=26).distances[0, :26]
    # Backends may round a unit vector differently in the last digit.
    assert np.ptp(zero) <= (1e-6 if (codec, metric) == ("f32", "cosine") else 0)
    annx.Index.from_bytes(other.to_bytes())


def test_recall_of_an_extended_file(engine, rng):
    x, queries = vectors(rng, 3000, 16, "f32"), vectors(rng, 100, 16, "f32")
    index = annx.Index(16)
    index.add(x[:1500])
    index = annx.Index.from_bytes(index.to_bytes())
    index.add(x[1500:])
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, "l2", 10), x, queries, "l2") >= 0.97


def test_a_saved_index_continues_as_the_original(engine, rng):
    x = vectors(rng, 800, 16, "f32")
    x[300:320] = x[0]
    index = annx.Index(16, ef_construction=40)
    index.add(x[:400])
    other = annx.Index.from_bytes(index.to_bytes())
    index.add(x[400:])
    other.add(x[400:])
    assert index.to_bytes() == other.to_bytes()


def test_missing_file(backend, tmp_path):
    with pytest.raises(FileNotFoundError):
        annx.load(tmp_path / "none.annx")
    with pytest.raises(IsADirectoryError):
        annx.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        annx.Index(3).save(tmp_path / "none" / "i.annx")


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_encode_gives_the_rows_that_add_stores(engine, codec, metric, rng):
    check_encoding(rng, codec, metric)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(
    ("codec", "keep"),
    [("sq8", "f32"), ("sq8", "f16"), ("sq10", "none"), ("sq4", "f16"), ("sq4", "none")],
)
def test_encode_gives_the_codes_that_add_stores(engine, codec, keep, metric, rng):
    check_encoding(rng, codec, metric, keep_vectors=keep)


def check_encoding(rng, codec, metric, **options):
    index = annx.Index(32, metric, codec=codec, **options)
    x = vectors(rng, 300, 32, codec if codec in ("i8", "u8", "b1", "f16") else "f32")
    rows = to_rows(x, 32, index._config.input_codec)
    before = index.to_bytes()
    encoded = index._core.encode(rows, num_threads=2)
    assert index.to_bytes() == before
    index.add(x)
    state = index._core.export_state()
    for got, want in zip(encoded, (state.rows, state.originals, state.norms), strict=True):
        assert got is want is None or (got.dtype == want.dtype and np.array_equal(got, want))
