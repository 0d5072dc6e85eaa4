"""Codes of 8 and 10 bits, vectors kept beside them, and whole numbers behind float32."""

from __future__ import annotations

import numpy as np
import pytest
import reference_codes as codes
from data import all_distances, clustered, recall, tolerance, truth_of, vectors

import annx
from annx._backends.base import Config
from annx._check import check_state

METRICS = ("l2", "ip", "cosine")
KEEPS = ("f16", "f32", "none")
#: Codecs of codes, with what is kept beside them.
CODES = [("sq8", keep) for keep in KEEPS] + [
    ("sq10", "none"), ("sq10", "f16"), ("sq4", "none"), ("sq4", "f16"),
]  # fmt: skip


def whole(rng, n, dim):
    return rng.integers(0, 256, (n, dim)).astype(np.float32)


def built(x, metric="l2", **options):
    index = annx.Index(x.shape[1], metric, **options)
    index.add(x)
    return index


def check_distances(index, queries, k, stored, **options):
    """Both searches report float64's distances to `stored`, by label."""
    truth = all_distances(index.metric, queries.astype(np.float64), stored.astype(np.float64))
    close = tolerance(index.metric, queries.astype(np.float64), stored.astype(np.float64)) / 16
    for hits in (index.search(queries, k, **options), index.exact_search(queries, k)):
        want = np.take_along_axis(truth, hits.labels, axis=1)
        np.testing.assert_allclose(hits.distances, want, rtol=1e-5, atol=close)
        assert np.all(np.diff(hits.distances, axis=1) >= 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("keep", ["f16", "f32"])
@pytest.mark.parametrize("codec", ["sq8", "sq4"])
def test_distances_are_those_of_the_kept_vectors(backend, codec, metric, keep, rng):
    for dim in (1, 3, 33, 64, 100):
        x, queries = vectors(rng, 300, dim, "f32"), vectors(rng, 20, dim, "f32")
        x += np.copysign(np.float32(0.01), x)  # not beneath float16's normal numbers
        index = built(x, metric, codec=codec, keep_vectors=keep)
        assert index.codec == codec and index.info()["keep_vectors"] == keep
        stored = index.get(np.arange(300))
        check_distances(index, queries, 12, stored, ef_search=300)
        if keep == "f16":
            assert np.array_equal(stored, x.astype(np.float16).astype(np.float32))
        else:
            np.testing.assert_allclose(stored, x, rtol=1e-6 if metric == "cosine" else 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("codec", "finer"), [("sq8", 1), ("sq10", 4), ("sq4", 3.7)])
def test_distances_of_codes_alone_are_near(backend, metric, codec, finer, rng):
    for dim in (33, 64, 100):
        x, queries = vectors(rng, 300, dim, "f32"), vectors(rng, 20, dim, "f32")
        index = built(x, metric, codec=codec, keep_vectors="none")
        truth = all_distances(metric, queries.astype(np.float64), x.astype(np.float64))
        size = 1 / dim if metric == "cosine" else 1
        # Half a step is 1/254 of the largest coordinate, some 4 for Gaussian rows.
        for hits in (index.search(queries, 12, ef_search=300), index.exact_search(queries, 12)):
            want = np.take_along_axis(truth, hits.labels, axis=1)
            assert np.abs(hits.distances - want).max() <= 0.12 * np.sqrt(dim) * size / finer
        stored = index.get(np.arange(300))
        assert np.abs(stored - x).max() <= 0.1 / finer
        errors = np.linalg.norm(stored - x, axis=1) / np.linalg.norm(x, axis=1)
        assert errors.max() <= 0.015 / finer


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", ["sq10", "turbo", "sq4"])
@pytest.mark.parametrize("dim", [1, 2, 7, 31, 33, 130])
def test_distances_are_those_of_all_ten_bits(engine, use_backend, metric, codec, dim, rng):
    """Against float64, from the codes that the engine itself stored."""
    x, queries = vectors(rng, 300, dim, "f32"), vectors(rng, 20, dim, "f32")
    index = built(x, metric, codec=codec, keep_vectors="none")
    if codec == "turbo" and index.codec == "f32":
        assert dim <= 2
        pytest.skip("300 rows on a line are too close for codes")
    assert index.codec == ("sq10" if codec == "turbo" else codec)
    rows = index._core.export_state().rows
    truth = np.stack([codes.distances(index._config, query, rows) for query in queries])
    close = 4 * tolerance(metric, queries.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(
        index.get(index.labels), codes.decode(index._config, rows), rtol=1e-5, atol=1e-5
    )
    for hits in (index.search(queries, 12, ef_search=300), index.exact_search(queries, 12)):
        want = np.take_along_axis(truth, hits.labels, axis=1)
        np.testing.assert_allclose(hits.distances, want, rtol=1e-5, atol=close)
        assert np.all(np.diff(hits.distances, axis=1) >= 0)
    nearest = np.sort(truth, axis=1)[:, :12]
    np.testing.assert_allclose(hits.distances, nearest, rtol=1e-5, atol=close)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("M", [2, 8, 16, 40])
@pytest.mark.parametrize("preset", ["compact", "turbo"])
@pytest.mark.parametrize("kind", ["floats", "bytes"])
def test_recall_of_presets_at_any_degree(engine, metric, M, preset, kind, rng):
    x, centres = clustered(rng, 1500, 48, spread=0.5)
    queries = centres[rng.integers(len(centres), size=50)] + 0.5 * vectors(rng, 50, 48, "f32")
    if kind == "bytes":
        x, queries = (np.clip(np.rint(30 * rows + 128), 0, 255) for rows in (x, queries))
    index = annx.Index(48, metric, codec=preset, M=M)
    for part in np.array_split(x.astype(np.float32), 3):
        index.add(part)
    assert index._config.edge_bits == (2 if preset == "turbo" else 0)
    truth = truth_of(queries, x, metric, 10)
    found = index.search(queries, k=10, ef_search=400).labels
    # Rows all on one side of 0 have few neighbours under ip: at four links a node, 0.82 on average
    # of twelve draws, 0.70 at worst.
    least = 0.65 if (M, metric, kind) == (2, "ip", "bytes") else 0.9 if M == 2 else 0.95
    assert recall(found, truth, x, queries, metric) >= least
    again = annx.Index.from_bytes(index.to_bytes())
    assert again._config == index._config
    assert np.array_equal(again.search(queries, k=10, ef_search=400).labels, found)


@pytest.mark.parametrize("codec", ["sq10", "turbo", "sq4"])
def test_rows_nearly_or_wholly_alike(backend, codec, rng):
    """Constant rows, and rows that differ by less than a code does."""
    x = np.repeat(np.array([1, -3, 0, 1e-3], np.float32), 50)[:, None] * np.ones(37, np.float32)
    x[:50] += (1e-6 * rng.standard_normal((50, 37))).astype(np.float32)
    index = built(x, codec=codec, keep_vectors="none")
    hits = index.search(x, k=50, ef_search=400)
    # Zero and a thousandth count as alike.
    for first, last in ((0, 50), (50, 100), (100, 200)):
        assert ((first <= hits.labels[first:last]) & (hits.labels[first:last] < last)).all()
    size = (x.astype(np.float64) ** 2).sum(axis=1)
    # 2 e.x of the errors e: random rows have 3e-4 of their square in the median of both codecs and
    # 1.5e-3 at most, this one 3e-5 in steps of 1 / 508 and 1.7e-3 in those of 1 / 476.
    close = 2e-3 if codec == "sq4" else 1e-4
    assert (np.abs(hits.distances[:, 0]) <= close * size + 1e-9).all()
    check_state(index._config, index._core.export_state())


@pytest.mark.parametrize("metric", METRICS)
def test_whole_numbers_and_queries_of_any_kind(backend, metric, rng):
    x = whole(rng, 300, 48)
    index = built(x, metric)
    assert (index.codec, index.get(0).dtype) == ("u8", np.float32)
    assert np.array_equal(index.get(index.labels), x)
    for queries in (x[:9], x[:9] + np.float32(0.25), vectors(rng, 9, 48, "f32"), -3 * x[:9],
                    1000 * x[:9], whole(rng, 9, 48)):  # fmt: skip
        check_distances(index, queries, 7, x, ef_search=300)
    below = x - 128
    index = built(below, metric)
    assert index.codec == "i8" and np.array_equal(index.get(index.labels), below)
    check_distances(index, vectors(rng, 9, 48, "f32") * 50, 7, below, ef_search=300)
    check_distances(index, below[:9], 7, below, ef_search=300)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("keep", KEEPS)
def test_recall_of_codes(engine, metric, keep, rng):
    x, centres = clustered(rng, 4000, 64, spread=0.5)
    queries = centres[rng.integers(len(centres), size=100)] + 0.5 * vectors(rng, 100, 64, "f32")
    truth = truth_of(queries, x, metric, 10)

    def measure(**options):
        found = built(x, metric, **options).search(queries, k=10, ef_search=100).labels
        return recall(found, truth, x, queries, metric)

    plain = measure(codec="f32")
    loss = 0.05 if keep == "none" else 0.005
    assert measure(codec="sq8", keep_vectors=keep) >= plain - loss
    assert measure(codec="sq4", keep_vectors=keep) >= plain - (loss if keep != "none" else 0.02)
    if keep == "none":
        for finer in ("compact", "turbo"):
            assert measure(codec=finer) >= plain - 0.02


ODD = ["one coordinate 1000 times the others", "one coordinate far off", "sorted", "drifting",
       "first rows unusual"]  # fmt: skip


def odd(name, rng, dim):
    """Rows, queries and their nearest."""
    x, _ = clustered(rng, 4000, dim, spread=0.5)
    if name == "one coordinate 1000 times the others":
        x[:, 7] *= 1000
    elif name == "one coordinate far off":
        x[:, 7] += 30
    elif name == "sorted":
        x = x[np.argsort(x[:, 0])]
    elif name == "drifting":
        x += np.linspace(0, 20, 4000, dtype=np.float32)[:, None]
    else:
        x[:500] *= 100
    x = np.ascontiguousarray(x)
    picks = rng.choice(4000, 100, replace=False)
    spread = np.std(x, axis=0) / 10
    queries = x[picks] + (spread * rng.standard_normal((100, dim))).astype(np.float32)
    return x, queries, truth_of(queries, x, "l2", 10)


def recall_in_pieces(x, queries, truth, pieces, ef_search, **options):
    index = annx.Index(x.shape[1], **options)
    for part in np.array_split(x, pieces):
        index.add(part)
    found = index.search(queries, k=10, ef_search=ef_search).labels
    return recall(found, truth, x, queries, "l2")


@pytest.mark.parametrize("pieces", [1, 8])
@pytest.mark.parametrize("name", ODD)
def test_odd_data_does_no_harm(engine, name, pieces, rng):
    data = odd(name, rng, 48)
    plain, coded = (recall_in_pieces(*data, pieces, 100, codec=codec) for codec in ("f32", "sq8"))
    assert coded >= plain - 0.02


@pytest.mark.parametrize("pieces", [1, 8])
@pytest.mark.parametrize("name", ODD)
def test_wide_beams_make_up_for_four_bits(engine, name, pieces, rng):
    """Of rows that they hardly tell apart."""
    data = odd(name, rng, 300)
    coded = recall_in_pieces(*data, pieces, 800, codec="sq4", keep_vectors="f16")
    assert coded >= recall_in_pieces(*data, pieces, 100, codec="f32") - 0.02


@pytest.mark.parametrize(("codec", "keep"), [*CODES, ("turbo", "auto")])
@pytest.mark.parametrize("metric", METRICS)
def test_twins(backend, codec, keep, metric, rng):
    x = vectors(rng, 400, 40, "f32")
    x[200:300] = x[0]
    index = built(x, metric, codec=codec, keep_vectors=keep)
    assert index.info()["graph"]["twins"] == 100
    hits = index.search(x[0], k=101, ef_search=400)
    if metric != "ip":
        assert set(hits.labels[0].tolist()) == {0, *range(200, 300)}
        assert np.ptp(hits.distances) == 0
    check_state(index._config, index._core.export_state())


@pytest.mark.parametrize("codec", ["sq8", "sq10", "sq4"])
def test_equal_codes_of_unequal_rows_are_no_twins(backend, codec, rng):
    """A row and its double have the same codes."""
    x = vectors(rng, 100, 40, "f32")
    index = built(np.vstack([x, 2 * x]), codec=codec, keep_vectors="none")
    assert index.info()["graph"]["twins"] == 0
    assert np.array_equal(index.search(2 * x, k=1).labels[:, 0], np.arange(100, 200))


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize(("codec", "keep"), [*CODES, ("turbo", "none")])
def test_zero_rows(backend, metric, codec, keep):
    x = np.zeros((5, 40), np.float32)
    x[1, 3] = 0.5
    index = built(x, metric, codec=codec, keep_vectors=keep)
    assert np.array_equal(index.search(x[1], k=1).labels, [[1]])
    hits = index.search(x[0], k=5, ef_search=50)
    assert sorted(hits.labels[0].tolist()) == [0, 1, 2, 3, 4]
    assert np.ptp(hits.distances[0, :4]) == 0 and np.isfinite(hits.distances).all()
    assert not index.get([0, 2, 3, 4]).any()
    annx.Index.from_bytes(index.to_bytes())
    with pytest.raises(annx.ZeroVectorError, match=r"\b0\b.*zero"):
        built(x, "cosine", codec=codec)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("codec", "keep"),
    [("sq8", "f32"), ("sq8", "none"), ("sq10", "none"), ("turbo", "auto"), ("sq4", "none"),
     ("sq4", "f32")],
)  # fmt: skip
@pytest.mark.parametrize("scale", [1e-44, 1e-42, 1e-38, 1e-30, 1e-15, 1e4, 1e17])
def test_tiny_and_huge_vectors(backend, metric, codec, keep, scale, rng):
    x = (rng.standard_normal((60, 40)) * scale).astype(np.float32)
    if metric == "cosine" and scale < 1e-37:
        return
    index = built(x, metric, codec=codec, keep_vectors=keep)
    again = annx.Index.from_bytes(index.to_bytes())
    assert np.abs(again.get(index.labels) - x).max() <= max(0.1 * scale, 1e-35)
    assert np.isfinite(index.search(x, k=3).distances).all()


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize(
    ("codec", "keep", "step"),
    [("sq8", "none", 1), ("sq10", "none", 0.25), ("sq4", "none", 0.25), ("sq4", "f16", 1)],
)
def test_every_seed_rotates_alike_in_every_backend(
    use_backend, engine, seed, codec, keep, step, rng
):
    x = vectors(rng, 100, 37, "f32")
    index = built(x, codec=codec, keep_vectors=keep, seed=seed)
    got = index._core.export_state().rows
    use_backend("reference")
    want = built(x, codec=codec, keep_vectors=keep, seed=seed)._core.export_state().rows
    read = [codes.codes_of(index._config, rows) for rows in (got, want)]
    # The last digit of float32 decides a rounding now and then.
    assert np.abs(read[0] - read[1]).max() <= step
    assert (read[0] != read[1]).mean() < 0.004
    first = codes.first_factor(index._config)
    factors = [rows[:, first : first + 8].copy().view(np.float32) for rows in (got, want)]
    np.testing.assert_allclose(*factors, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("codec", "keep"), [("sq8", "none"), ("sq10", "none"), ("sq4", "none"), ("sq4", "f32")]
)
@pytest.mark.parametrize("dim", [1, 2, 7, 31, 33, 130])
def test_engines_store_the_same_bytes(use_backend, metric, codec, keep, dim, rng):
    x = vectors(rng, 60, dim, "f32") * np.logspace(-20, 12, 60, dtype=np.float32)[:, None]
    x[-1] = 1
    stored = []
    for name in ("native", "numba"):
        use_backend(name)
        stored.append(built(x, metric, codec=codec, keep_vectors=keep)._core.export_state().rows)
    assert np.array_equal(*stored)


STORAGES = {
    "l2-f16": ("l2", {"codec": "sq8", "keep_vectors": "f16"}),
    "ip-f32": ("ip", {"codec": "sq8", "keep_vectors": "f32"}),
    "cosine-f16": ("cosine", {"codec": "sq8", "keep_vectors": "f16"}),
    "cosine-f32": ("cosine", {"codec": "sq8", "keep_vectors": "f32"}),
    "cosine-codes": ("cosine", {"codec": "sq8", "keep_vectors": "none"}),
    "l2-sq10": ("l2", {"codec": "sq10"}),
    "ip-sq10-f16": ("ip", {"codec": "sq10", "keep_vectors": "f16"}),
    "l2-sq4": ("l2", {"codec": "sq4", "keep_vectors": "none"}),
    "cosine-sq4": ("cosine", {"codec": "sq4", "keep_vectors": "none"}),
    "ip-sq4-f16": ("ip", {"codec": "sq4", "keep_vectors": "f16"}),
    "ip-compact": ("ip", {"codec": "compact"}),
    "cosine-compact": ("cosine", {"codec": "compact"}),
    "l2-turbo": ("l2", {"codec": "turbo"}),
    "ip-turbo": ("ip", {"codec": "turbo"}),
    "cosine-turbo": ("cosine", {"codec": "turbo"}),
    "cosine-turbo-f16": ("cosine", {"codec": "turbo", "keep_vectors": "f16"}),
    "l2-turbo-u8": ("l2", {"codec": "turbo"}),
    "cosine-turbo-u8": ("cosine", {"codec": "turbo"}),
    "l2-u8": ("l2", {"codec": "auto"}),
    "cosine-u8": ("cosine", {"codec": "auto"}),
}
EVERY = ["reference", "numba", "native"]


@pytest.mark.parametrize("reader", EVERY)
@pytest.mark.parametrize("writer", EVERY)
@pytest.mark.parametrize("storage", STORAGES)
def test_one_writes_another_reads_and_extends(use_backend, writer, reader, storage, rng):
    metric, options = STORAGES[storage]
    x = whole(rng, 300, 36) + 1 if storage.endswith("u8") else vectors(rng, 300, 36, "f32")
    x = np.minimum(x, 255)
    x[20:40] = x[0]
    use_backend(writer)
    index = built(x, metric, **options, seed=9)
    data = index.to_bytes()
    queries = vectors(rng, 10, 36, "f32")
    want = index.exact_search(queries, k=5)
    use_backend(reader)
    other = annx.Index.from_bytes(data)
    assert other._config == index._config
    assert other.to_bytes() == data or reader == "reference"
    np.testing.assert_allclose(other.get(other.labels), index.get(index.labels), rtol=1e-5,
                               atol=1e-5)  # fmt: skip
    close = {"rtol": 1e-3, "atol": 1e-3} if "codes" in storage else {"rtol": 1e-5, "atol": 2e-5}
    np.testing.assert_allclose(other.exact_search(queries, k=5).distances, want.distances, **close)
    wide = other.search(queries, k=5, ef_search=300)
    np.testing.assert_allclose(wide.distances, want.distances, **close)
    other.add(x[::-1])
    assert len(other) == 600
    assert other._config == index._config
    again = annx.Index.from_bytes(other.to_bytes())
    assert again._config == index._config
    assert np.array_equal(again.search(queries, k=5).labels, other.search(queries, k=5).labels)


@pytest.mark.parametrize("codec", ["auto", "turbo"])
def test_any_number_of_threads_gives_the_same_bytes(engine, codec, rng):
    x = vectors(rng, 1500, 40, "f32")
    results = set()
    for threads in (1, 2, 3):
        index = annx.Index(40, "cosine", codec=codec, M=8, ef_construction=40)
        index.add(x[:100], num_threads=threads)
        index.add(x[100:], num_threads=threads)
        results.add(index.to_bytes())
    assert len(results) == 1


def test_strides_follow_from_the_configuration():
    shape = (5, "cosine", "sq8", 2, 10, 0)
    assert Config(*shape).row_stride == 16
    assert Config(*shape, "f16").kept_stride == 16 and Config(*shape, "f32").kept_stride == 20
    assert Config(5, "l2", "sq8", 2, 10, 0, "f16").kept_stride == 12
    assert Config(5, "l2", "sq10", 2, 10, 0).row_stride == 20
    assert Config(17, "l2", "sq10", 2, 10, 0, edge_bits=2).row_stride == 20 + 8 + 8
    assert Config(5, "l2", "sq4", 2, 10, 0).row_stride == 4 + 8 + 4 + 4
    assert Config(17, "l2", "sq4", 2, 10, 0).row_stride == 12 + 8 + 12 + 8
    assert Config(16, "l2", "sq4", 2, 10, 0, "f16").row_stride == 8 + 8 + 8
