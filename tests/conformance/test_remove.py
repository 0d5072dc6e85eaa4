"""Removing, replacing, and giving memory back."""

from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS, recall, truth_of, vectors
from graphs import check_graph

import annx

#: Every way to store, with what is kept beside it.
STORED = [
    *((codec, metric, "auto") for codec, metric in PAIRS),
    ("sq8", "l2", "f16"),
    ("sq8", "cosine", "f32"),
    ("sq8", "ip", "none"),
    ("sq10", "cosine", "auto"),
    ("sq4", "l2", "none"),
    ("sq4", "cosine", "f16"),
    ("turbo", "l2", "auto"),
    ("turbo", "ip", "f16"),
]
#: Codecs that take float32 and may keep it.
CODED = ("sq8", "sq10", "sq4", "turbo")


@pytest.fixture(params=["reference", "native", "numba"])
def living(request, use_backend):
    """Backends that remove."""
    return use_backend(request.param)


def built(x, codec, metric, keep="auto", **options):
    options = {"M": 5, "ef_construction": 30, "ef_search": 100} | options
    keep = {"keep_vectors": keep} if codec in CODED else {}
    index = annx.Index(64, metric, codec=codec, **keep, **options)
    index.add(x)
    return index


def rows_for(rng, n, codec):
    return vectors(rng, n, 64, "f32" if codec in CODED else codec)


@pytest.mark.parametrize(("codec", "metric", "keep"), STORED)
def test_removed_labels_are_gone_and_the_rest_is_found(living, codec, metric, keep, rng):
    x = rows_for(rng, 600, codec)
    index = built(x, codec, metric, keep)
    gone = rng.permutation(600)[:350]
    for part in np.array_split(gone, 13):
        index.remove(part)
        assert not np.isin(index.search(x[part], k=20).labels, part).any()
    left = np.setdiff1d(np.arange(600), gone)
    assert len(index) == 250
    assert np.array_equal(index.labels, left)
    assert not any(int(label) in index for label in gone[:20])
    hits = index.search(x[left], k=250, ef_search=600)
    assert (np.sort(hits.labels, axis=1) == left).all()
    assert np.isinf(index.search(x[:3], k=300).distances[:, 250:]).all()
    check_graph(index)


def test_a_label_can_come_back(living, rng):
    x = vectors(rng, 40, 4, "f32")
    index = annx.Index(4)
    index.add(x[:20])
    for turn in range(3):
        index.remove(7)
        with pytest.raises(annx.LabelError, match="7 is not in the index"):
            index.get(7)
        index.add(x[20 + turn], [7])
        assert np.array_equal(index.get(7), x[20 + turn])
        assert index.search(x[20 + turn], k=1).labels[0, 0] == 7
    check_graph(index)


def test_numbering_goes_on_behind_a_removed_highest(living):
    index = annx.Index(2)
    index.add(np.eye(2, dtype=np.float32))
    index.remove(1)
    assert index.add([[3, 4]]).tolist() == [2]


@pytest.mark.parametrize("way", ["bytes", "file", "log", "compact"])
def test_numbering_goes_on_after_a_file(living, way, tmp_path):
    """No label comes again for another row, be it that of a removed highest."""
    path = tmp_path / "i.annx"
    index = annx.Index(2)
    index.add(np.eye(2, dtype=np.float32), [5, 9])

    def reopened():
        if way == "bytes":
            return annx.Index.from_bytes(index.to_bytes())
        if way == "compact":
            index.compact()
        index.save(path, incremental=way == "log")
        return annx.load(path)

    index = reopened()
    index.remove(9)
    index = reopened()
    assert index.add([[3, 4]]).tolist() == [10]
    index.remove([5, 10])
    index = reopened()
    assert index.add([[3, 4]]).tolist() == [11]


def test_the_last_label_of_all(living):
    index = annx.Index(2)
    index.add(np.eye(2, dtype=np.float32), [5, 2**63 - 1])
    index.remove(2**63 - 1)
    copy = annx.Index.from_bytes(index.to_bytes())
    with pytest.raises(annx.LabelError):
        copy.add(np.eye(2, dtype=np.float32))


@pytest.mark.parametrize("labels", [[0, 99], [3, 3], [-1], 99])
def test_a_wrong_label_changes_nothing(living, labels):
    index = annx.Index(2)
    index.add(np.arange(20, dtype=np.float32).reshape(10, 2))
    before = index.to_bytes()
    with pytest.raises(annx.LabelError):
        index.remove(labels)
    assert index.to_bytes() == before


def test_all_gone_and_on(living, rng):
    x = vectors(rng, 100, 8, "f32")
    index = annx.Index(8)
    index.add(x)
    index.remove(np.arange(100))
    assert len(index) == 0 and not len(index.labels)
    assert (index.search(x, k=3).labels == -1).all()
    assert annx.Index.from_bytes(index.to_bytes()).labels.size == 0
    index.compact()
    assert index.add(x).tolist() == list(range(100, 200))
    assert (index.search(x, k=1).labels[:, 0] == np.arange(100, 200)).all()
    check_graph(index)


def test_one_left(living, rng):
    x = vectors(rng, 500, 8, "f32")
    index = annx.Index(8, M=3)
    index.add(x)
    index.remove(np.delete(np.arange(500), 321))
    assert index.search(x[:5], k=2).labels.tolist() == [[321, -1]] * 5
    index.add(x[:50], np.arange(1000, 1050))
    assert index.search(x[:50], k=1).labels[:, 0].tolist() == list(range(1000, 1050))
    check_graph(index)
    index.compact()
    check_graph(index)


@pytest.mark.parametrize(("codec", "metric", "keep"), STORED)
def test_upsert_replaces(living, codec, metric, keep, rng):
    x = rows_for(rng, 500, codec)
    fresh = rows_for(rng, 500, codec)
    index = built(x, codec, metric, keep)
    index.add(fresh[100:], np.arange(100, 500), upsert=True)
    index.update(5, fresh[5])
    now = fresh.copy()
    now[:100] = x[:100]
    now[5] = fresh[5]
    same = annx.Index(64, metric, codec=codec, **({"keep_vectors": keep} if codec in CODED else {}))
    same.add(now)
    assert np.array_equal(index.get(np.arange(500)), same.get(np.arange(500)))
    assert np.array_equal(np.sort(index.labels), np.arange(500))
    assert len(index) == 500
    own = index.search(now, k=1, ef_search=600).distances
    np.testing.assert_allclose(own, same.exact_search(now, k=1).distances, rtol=1e-5, atol=1e-5)
    check_graph(index)


def test_upsert_of_new_labels_adds(living):
    index = annx.Index(2)
    index.add([[0, 0], [1, 1]], [3, 4])
    index.add([[5, 5], [6, 6]], [4, 9], upsert=True)
    assert sorted(index.labels.tolist()) == [3, 4, 9]
    assert index.get([4, 9]).tolist() == [[5, 5], [6, 6]]
    with pytest.raises(annx.LabelError, match="twice"):
        index.add([[5, 5], [6, 6]], [8, 8], upsert=True)
    with pytest.raises(annx.LabelError, match="12 is not in the index"):
        index.update([3, 12], [[5, 5], [6, 6]])
    with pytest.raises(annx.LabelError, match="already"):
        index.add([[5, 5]], [3])


def test_twins_come_and_go(living, rng):
    """Rows equal to others, removed and replaced in every order."""
    distinct = vectors(rng, 6, 4, "f32")
    index = annx.Index(4, M=2, ef_construction=10)
    mirror = {}
    for _ in range(300):
        label = int(rng.integers(40))
        if label in mirror and rng.random() < 0.5:
            index.remove(label)
            del mirror[label]
        else:
            row = distinct[rng.integers(6)]
            index.add(row, [label], upsert=True)
            mirror[label] = row
        assert sorted(index.labels.tolist()) == sorted(mirror)
        if mirror:
            hits = index.search(distinct, k=len(mirror))
            assert (np.sort(hits.labels, axis=1) == sorted(mirror)).all()
            for label in mirror:
                assert np.array_equal(index.get(label), mirror[label])
    check_graph(index)


def test_slots_are_used_again(engine, rng):
    x = vectors(rng, 2000, 16, "f32")
    index = annx.Index(16)
    index.add(x)
    before = index.info()["memory"]
    for _ in range(5):
        gone = rng.permutation(index.labels)[:1000]
        index.remove(gone)
        index.add(x[:1000] + 1)
    state = index._core.export_state()
    assert len(state.rows) <= 2100
    assert index.info()["memory"]["rows"] <= 1.06 * before["rows"]
    check_graph(index)


def test_dead_rows_are_few_and_nothing_leads_to_free_slots(engine, rng):
    x = vectors(rng, 3000, 16, "f32")
    index = annx.Index(16, M=6)
    index.add(x)
    for part in np.array_split(rng.permutation(3000)[:2900], 40):
        index.remove(part)
        graph = index.info()["graph"]
        assert graph["dead"] <= 32
        check_graph(index)


def test_compact_gives_back_half_of_all_memory(use_backend, rng):
    """Of small rows too, whose labels and lookups weigh most."""
    use_backend("native")
    x = rng.integers(0, 256, (20_000, 16), dtype=np.uint8)
    index = annx.Index(16, codec="u8")
    index.add(x)
    index.search(x, 1)
    before = index.info()["memory"]["total"]
    index.remove(np.arange(0, 20_000, 2))
    index.compact()
    assert index.info()["memory"]["total"] < 0.6 * before


def test_compact_gives_memory_back(living, rng):
    x = vectors(rng, 4000, 32, "f32")
    index = annx.Index(32, codec="f32", ef_search=100)
    index.add(x)
    full = index.info()["memory"]
    gone = rng.permutation(4000)[:2000]
    index.remove(gone)
    index.compact()
    left = np.setdiff1d(np.arange(4000), gone)
    assert np.array_equal(index.labels, left)
    memory = index.info()["memory"]
    assert all(memory[part] <= 0.55 * full[part] for part in ("rows", "links") if part in full)
    queries = vectors(rng, 100, 32, "f32")
    place = np.searchsorted(left, index.search(queries, k=10).labels)
    fresh = annx.Index(32, codec="f32", ef_search=100)
    fresh.add(x[left])
    truth = truth_of(queries, x[left], "l2", 10)
    ours = recall(place, truth, x[left], queries, "l2")
    theirs = recall(fresh.search(queries, k=10).labels, truth, x[left], queries, "l2")
    assert ours >= theirs - 0.02
    check_graph(index)


def test_recall_survives_churn(engine, rng):
    x, queries = vectors(rng, 3000, 24, "f32"), vectors(rng, 100, 24, "f32")
    index = annx.Index(24, codec="f32", ef_construction=100)
    index.add(x)
    now = x.copy()
    for _ in range(3):
        for part in np.array_split(rng.permutation(3000), 10):
            now[part] = vectors(rng, len(part), 24, "f32")
            index.add(now[part], part, upsert=True)
    fresh = annx.Index(24, codec="f32", ef_construction=100)
    fresh.add(now)
    truth = truth_of(queries, now, "l2", 10)
    ours = recall(index.search(queries, ef_search=40).labels, truth, now, queries, "l2")
    theirs = recall(fresh.search(queries, ef_search=40).labels, truth, now, queries, "l2")
    assert ours >= theirs - 0.02
    check_graph(index)


@pytest.mark.parametrize(("codec", "metric", "keep"), STORED)
def test_what_was_removed_survives_a_file(living, codec, metric, keep, rng):
    x = rows_for(rng, 400, codec)
    x[50:60] = x[0]
    index = built(x, codec, metric, keep)
    index.remove(np.arange(0, 200, 3))
    again = annx.Index.from_bytes(index.to_bytes())
    assert again.to_bytes() == index.to_bytes()
    assert np.array_equal(again.labels, index.labels)
    for each in (index, again):
        each.add(rows_for(np.random.default_rng(3), 120, codec), np.arange(1000, 1120))
        each.remove(np.arange(1000, 1090))
        each.add(x[:9], np.arange(300, 309), upsert=True)
    assert again.to_bytes() == index.to_bytes()
    check_graph(again)


def test_any_number_of_threads_removes_alike(engine, rng, monkeypatch):
    x = vectors(rng, 2500, 16, "f32")
    x[1000:1100] = x[0]
    picks = rng.permutation(2500)
    results = set()
    # Nor does it depend on the clock, by which the Numba backend cuts its work into steps.
    for threads, seconds in ((1, 1e-9), (2, 10.0), (3, 0.05)):
        monkeypatch.setattr("annx._backends.numba_work._STEP", seconds)
        index = annx.Index(16, M=4, ef_construction=30)
        index.add(x, num_threads=threads)
        index.remove(picks[:700], num_threads=threads)
        index.add(x[picks[:300]] + 1, picks[900:1200], upsert=True, num_threads=threads)
        middle = index.to_bytes()
        index.compact(num_threads=threads)
        results.add((middle, index.to_bytes()))
    assert len(results) == 1
