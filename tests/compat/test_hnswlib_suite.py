"""What hnswlib's own Python tests ask of it, on the sizes that they ask it at or a fifth of these.

After ``tests/python/bindings_test*.py`` of its repository, as of version 0.8.0.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import annx.compat.hnswlib as hnswlib


def random_rows(rng, n, dim):
    return rng.random((n, dim), dtype=np.float32)


def own_label_share(index, rows, first=0):
    labels, _ = index.knn_query(rows, k=1)
    return np.mean(labels.reshape(-1) == np.arange(first, first + len(rows)))


def new_index(limit, dim=16, space="l2", ef=100, M=16, ef_construction=100, **options):
    index = hnswlib.Index(space=space, dim=dim)
    index.init_index(max_elements=limit, ef_construction=ef_construction, M=M, **options)
    index.set_ef(ef)
    index.set_num_threads(4)
    return index


def test_half_saved_half_added_later(rng, tmp_path):
    rows = random_rows(rng, 10_000, 16)
    index = new_index(10_000, ef=10)
    index.add_items(rows[:5000])
    assert own_label_share(index, rows[:5000]) == pytest.approx(1.0, abs=5e-4)
    path = str(tmp_path / "first_half.bin")
    index.save_index(path)
    index = hnswlib.Index(space="l2", dim=16)
    index.load_index(path)
    index.add_items(rows[5000:])
    assert own_label_share(index, rows) == pytest.approx(1.0, abs=5e-4)


def test_filter(rng):
    rows = random_rows(rng, 10_000, 16)
    index = new_index(10_000, ef=10)
    flat = hnswlib.BFIndex(space="l2", dim=16)
    flat.init_index(max_elements=10_000)
    index.add_items(rows)
    flat.add_items(rows)
    assert own_label_share(index, rows) == pytest.approx(1.0, abs=5e-4)
    labels, _ = index.knn_query(rows, k=1, filter=lambda label: label % 2 == 0, num_threads=1)
    assert np.mean(labels.reshape(-1) == np.arange(len(rows))) == pytest.approx(0.5, abs=5e-4)
    assert np.max(np.mod(labels, 2)) == 0
    labels, _ = flat.knn_query(rows[:2000], k=1, filter=lambda label: label % 2 == 0)
    assert np.mean(labels.reshape(-1) == np.arange(2000)) == 0.5


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_getting_items(rng, space):
    rows = random_rows(rng, 2000, 16)
    labels = np.arange(len(rows))
    index = new_index(len(rows), space=space)
    with pytest.raises(Exception, match="Label not found"):
        index.get_items(labels)
    index.add_items(rows, labels)
    with pytest.raises(ValueError, match="list of indices"):
        index.get_items(labels[0])
    assert np.allclose(rows, index.get_items(labels), atol=1e-6)
    assert np.allclose(rows[:5], index.get_items(labels[:5], return_type="list"), atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_labels_marks_and_files(seed, tmp_path):
    rows = random_rows(np.random.default_rng(seed), 4000, 16)
    one, two = rows[:2000], rows[2000:]
    index = new_index(4000)
    index.add_items(one)
    labels, _ = index.knn_query(one, k=1)
    assert np.mean(np.abs(one - index.get_items(labels))) < 1e-4
    path = str(tmp_path / "first_half.bin")
    index.save_index(path)
    index = hnswlib.Index(space="l2", dim=16)
    index.load_index(path)
    index.set_ef(100)
    index.add_items(two)
    assert own_label_share(index, rows) == pytest.approx(1.0, abs=5e-4)
    assert sorted(index.get_ids_list()) == list(range(4000))

    deleted = set(index.knn_query(one, k=1)[0].flatten())
    for label in deleted:
        index.mark_deleted(label)
    found, _ = index.knn_query(two, k=1)
    assert np.mean(np.abs(two - index.get_items(found))) < 1e-3
    assert not deleted & set(index.knn_query(one, k=1)[0].flatten())

    path = str(tmp_path / "with_deleted.bin")
    index.save_index(path)
    index = hnswlib.Index(space="l2", dim=16)
    index.load_index(path)
    index.set_ef(100)
    assert not deleted & set(index.knn_query(one, k=1)[0].flatten())
    for label in deleted:
        index.unmark_deleted(label)
    assert own_label_share(index, one) == pytest.approx(1.0, abs=5e-4)


def test_metadata(rng):
    index = new_index(1000)
    index.add_items(random_rows(rng, 1000, 16))
    assert (index.get_max_elements(), index.get_current_count()) == (1000, 1000)
    assert (index.space, index.dim, index.M, index.ef_construction) == ("l2", 16, 16, 100)
    assert (index.max_elements, index.element_count) == (1000, 1000)


def distances_to_all(space, rows, queries):
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    if space == "l2":
        return ((rows[None] - queries[:, None]) ** 2).sum(axis=2)
    dots = queries @ rows.T
    if space == "cosine":
        dots /= np.linalg.norm(rows, axis=1) * np.linalg.norm(queries, axis=1)[:, None]
    return 1 - dots


@pytest.mark.parametrize(("space", "dim"), [("ip", 16), ("l2", 53), ("cosine", 32)])
def test_pickles(rng, space, dim):
    rows, queries = random_rows(rng, 1000, dim), random_rows(rng, 100, dim)
    index = hnswlib.Index(space=space, dim=dim)
    index.num_threads = 4
    of_new = pickle.loads(pickle.dumps(index))
    for each in (index, of_new):
        each.init_index(max_elements=1000, ef_construction=200, M=32)
        each.ef = 400
    of_empty = pickle.loads(pickle.dumps(index))
    for each in (index, of_new, of_empty):
        each.add_items(rows)
    of_full = pickle.loads(pickle.dumps(index))
    truth = np.sort(distances_to_all(space, rows, queries), axis=1)[:, :25]
    for each in (index, of_new, of_empty, of_full):
        assert np.allclose(each.get_items(), index.get_items())
        _, distances = each.knn_query(queries, k=25)
        assert np.count_nonzero((distances - truth) ** 2 > 1e-3) <= 50
        assert (each.ef, each.M, each.ef_construction) == (400, 32, 200)


def test_recall_and_flat_files(rng, tmp_path):
    rows, queries = random_rows(rng, 10_000, 32), random_rows(rng, 20, 32)
    index = new_index(10_000, 32, ef=200, ef_construction=200)
    flat = hnswlib.BFIndex(space="l2", dim=32)
    flat.init_index(max_elements=10_000)
    index.add_items(rows)
    flat.add_items(rows)
    found, truth = index.knn_query(queries, 10)[0], flat.knn_query(queries, 10)[0]
    shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
    assert np.mean(shared) > 9.5
    path = str(tmp_path / "bf_index.bin")
    flat.save_index(path)
    flat = hnswlib.BFIndex(space="l2", dim=32)
    flat.load_index(path)
    assert np.array_equal(flat.knn_query(queries, 10)[0], truth)


def test_replacing_the_deleted(rng, tmp_path):
    n = 2000
    batches = random_rows(rng, 4 * n, 16).reshape(4, n, 16)
    labels = np.arange(4 * n).reshape(4, n)
    index = new_index(2 * n, ef_construction=200, allow_replace_deleted=True)
    index.add_items(batches[0], labels[0])
    index.add_items(batches[1], labels[1])
    deleted = set(index.knn_query(batches[1], k=1)[0].flatten())
    for label in deleted:
        index.mark_deleted(label)
    found, _ = index.knn_query(batches[0], k=1)
    assert np.mean(np.abs(batches[0] - index.get_items(found))) < 1e-3
    assert not deleted & set(index.knn_query(batches[1], k=1)[0].flatten())

    third = slice(0, len(deleted))
    index.add_items(batches[2][third], labels[2][third], replace_deleted=True)
    left = sorted(set(range(2 * n)) - deleted)
    assert (batches[:2].reshape(-1, 16)[left] == index.get_items(left)).all()
    assert (batches[2][third] == index.get_items(labels[2][third])).all()
    for label in labels[2][third]:
        index.mark_deleted(label)
    path = str(tmp_path / "index.bin")
    index.save_index(path)
    index = hnswlib.Index(space="l2", dim=16)
    index.set_num_threads(4)
    index.load_index(path, max_elements=2 * n, allow_replace_deleted=True)
    index.add_items(batches[3][third], labels[3][third], replace_deleted=True)
    found, _ = index.knn_query(batches[3][third], k=1)
    assert np.mean(found.reshape(-1) == labels[3][third]) > 0.98
    for label in labels[3][third]:
        index.mark_deleted(label)
    again = pickle.loads(pickle.dumps(index))
    again.add_items(batches[2][third], labels[2][third], replace_deleted=True)
    found, _ = again.knn_query(batches[2][third], k=1)
    assert np.mean(found.reshape(-1) == labels[2][third]) > 0.98


def test_recall_after_replacing(rng):
    n = 2000
    batches = random_rows(rng, 3 * n, 16).reshape(3, n, 16)
    labels = np.arange(3 * n).reshape(3, n)
    queries = random_rows(rng, 200, 16)
    replaced = new_index(2 * n, ef_construction=200, allow_replace_deleted=True)
    plain = new_index(2 * n, ef_construction=200)
    flat = hnswlib.BFIndex(space="l2", dim=16)
    flat.init_index(max_elements=2 * n)
    replaced.set_num_threads(50)
    replaced.add_items(batches[0], labels[0])
    replaced.add_items(batches[1], labels[1])
    for label in labels[1]:
        replaced.mark_deleted(label)
    replaced.add_items(batches[2], labels[2], replace_deleted=True)
    for index in (plain, flat):
        index.add_items(batches[0], labels[0])
        index.add_items(batches[2], labels[2])
    truth = flat.knn_query(queries, 100)[0].tolist()
    for index in (replaced, plain):
        found = index.knn_query(queries, 100)[0].tolist()
        shared = [len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]
        assert np.mean(shared) > 98


@pytest.mark.parametrize("seed", range(0, 16, 3))
def test_resizing(seed):
    rows = random_rows(np.random.default_rng(seed), 2000, 16)
    index = new_index(1000, ef=20)
    index.set_num_threads(seed % 8)
    index.add_items(rows[:1000])
    assert own_label_share(index, rows[:1000]) == pytest.approx(1.0, abs=5e-4)
    assert np.abs(rows[:1000] - index.get_items(list(range(1000)))).max() < 1e-4
    index.resize_index(2000)
    index.add_items(rows[1000:])
    assert own_label_share(index, rows) == pytest.approx(1.0, abs=5e-4)
    assert np.abs(rows - index.get_items(list(range(2000)))).max() < 1e-4
    assert sorted(index.get_ids_list()) == list(range(2000))


SPACES = {
    "l2": [[0.0, 1.0, 2.0, 2.0, 2.0]],
    "ip": [[-2.0, -1.0, 0.0, 0.0, 0.0]],
    "cosine": [[0, 1.835e-01, 4.23e-01, 4.23e-01, 4.23e-01]],
}


@pytest.mark.parametrize("space", SPACES)
def test_spaces(space):
    corner = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]])
    for right in range(1, 128, 9):
        for left in range(1, 32, 5):
            rows = np.pad(corner, [(0, 0), (left, right)]).astype(np.float64)
            index = new_index(5, rows.shape[1], space, ef=10)
            index.add_items(rows)
            _, distances = index.knn_query(rows[-1:], k=5)
            assert np.mean(np.abs(distances - SPACES[space])) < 1e-3


def test_replacing_with_many_threads(rng):
    n = 300
    batches = random_rows(rng, 3 * n, 16).reshape(3, n, 16)
    labels = np.arange(3 * n).reshape(3, n)
    for _ in range(5):
        index = new_index(2 * n, ef_construction=200, allow_replace_deleted=True)
        index.set_num_threads(50)
        index.add_items(batches[0], labels[0])
        index.add_items(batches[1], labels[1])
        deleted = np.unique(index.knn_query(batches[1], k=1)[0])
        for label in deleted:
            index.mark_deleted(label)
        found, _ = index.knn_query(batches[0], k=1)
        assert np.mean(np.abs(batches[0] - index.get_items(found))) < 1e-3
        assert not np.intersect1d(index.knn_query(batches[1], k=1)[0], deleted).size
        index.add_items(batches[2][: len(deleted)], labels[2][: len(deleted)], replace_deleted=True)
        assert index.element_count == 2 * n
