"""The same script on hnswlib and on annx's twin of it, and what annx mends."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest
from hnswlib_indexes import SPACES, flat_of, index_of

import annx
import annx.compat.hnswlib as ours


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("hnswlib")


def recall(labels, truth):
    pairs = zip(labels.tolist(), truth.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) for a, b in pairs]) / truth.shape[1]


def test_the_surface_is_theirs(theirs):
    for name in ("Index", "BFIndex"):
        public = {each for each in dir(getattr(theirs, name)) if not each.startswith("_")}
        assert public <= set(dir(getattr(ours, name)))
        assert public >= {"add_items", "knn_query"}


@pytest.mark.parametrize("name", ["Index", "BFIndex"])
def test_keywords_and_defaults_are_theirs(theirs, name):
    """pybind11 writes a signature into each docstring."""
    for method in ("init_index", "add_items", "knn_query", "get_items", "load_index", "save_index"):
        bound = getattr(getattr(theirs, name), method, None)
        if bound is None:
            continue
        signature = bound.__doc__.split("(", 1)[1].split(") ->")[0]
        parts = [part.split(":") for part in signature.split(", ") if ":" in part]
        want = [part[0].strip() for part in parts if part[0].strip() != "self"]
        parameters = inspect.signature(getattr(getattr(ours, name), method)).parameters
        assert list(parameters)[1:] == want
        for part in parts:
            if "=" in part[1] and part[0].strip() in parameters:
                default = parameters[part[0].strip()].default
                assert str(default).strip("'") == part[1].split("=")[1].strip().strip("'\"")


def script(module, space):
    """Every method, as a user of hnswlib would call it; what comes out, by name."""
    out = {}
    fresh = module.Index(space, 12)
    out["before"] = [fresh.M, fresh.ef, fresh.ef_construction, fresh.max_elements]
    out["before"] += [fresh.element_count, repr(fresh)]
    index, rows = index_of(module, space, allow_replace_deleted=True)
    labels, distances = index.knn_query(rows[:50], k=5)
    out["labels"], out["distances"] = labels, distances
    out["one"] = index.knn_query(rows[3])
    out["threads"] = index.knn_query(rows[:50], k=5, num_threads=2)
    out["filter"] = index.knn_query(rows[:50], k=3, filter=lambda label: label % 3 == 0)
    out["none"] = index.knn_query(rows[:4], k=0)
    out["items"] = index.get_items([3, 1])
    out["list"] = [type(index.get_items([3, 1], return_type="list")[0][0]).__name__]
    out["no items"] = index.get_items()
    out["column"] = index.get_items(labels[:4, :1])
    index.mark_deleted(7)
    out["counts"] = [index.get_current_count(), index.get_max_elements(), index.element_count]
    out["ids"] = sorted(index.get_ids_list())
    index.add_items(rows[:2] + 1, ids=np.array([900, 901]), replace_deleted=True)
    index.add_items(rows[10] + 3, ids=5)
    index.add_items(3 * rows[11] + 4, 2**63 + 5)
    out["ids after"] = sorted(index.get_ids_list())
    out["updated"] = index.knn_query(rows[10] + 3, k=1)
    out["large"] = index.knn_query(3 * rows[11] + 4, k=1)
    index.resize_index(600)
    index.num_threads = 3
    index.ef = 70
    out["after"] = [index.M, index.ef, index.ef_construction, index.max_elements]
    out["after"] += [index.element_count, index.num_threads, index.space, index.dim]
    for number, again in enumerate([pickle.loads(pickle.dumps(index)), copy.deepcopy(index)]):
        out[f"copy {number}"] = again.knn_query(rows[:50], k=5)
        out[f"copied {number}"] = [again.M, again.ef, again.max_elements, again.num_threads]
    out["of index"] = module.Index(index=index).knn_query(rows[:50], k=5)
    out["of params"] = module.Index(params=index.__getstate__()[0]).knn_query(rows[:50], k=5)
    flat = flat_of(module, rows, space)
    out["flat"] = flat.knn_query(rows[:50], 5)
    flat.delete_vector(3)
    flat.delete_vector(3)
    out["flat after"] = [flat.get_current_count(), flat.get_max_elements(), repr(flat)]
    return out


@pytest.mark.parametrize("space", SPACES)
def test_the_same_script(theirs, space):
    """Equal values and types; of results, equal shapes and types, and as good ones."""
    got, want = script(ours, space), script(theirs, space)
    assert got.keys() == want.keys()
    for name, value in want.items():
        mine = got[name]
        if isinstance(value, list):
            assert mine == value, name
            continue
        mine, value = (each if isinstance(each, tuple) else (each,) for each in (mine, value))
        for a, b in zip(mine, value, strict=True):
            assert type(a) is np.ndarray and (a.shape, a.dtype) == (b.shape, b.dtype), name
            if a.dtype == np.uint64:
                # Neighbours at the edge of the beam may differ.
                assert np.count_nonzero(a != b) <= a.size // 20, name
    near = got["distances"] - want["distances"]
    assert np.abs(np.sort(near, axis=1)).max() < 1e-4 or np.mean(np.abs(near) < 1e-4) > 0.97


@pytest.mark.parametrize("space", SPACES)
def test_recall_is_theirs(theirs, space, rng):
    rows = rng.standard_normal((3000, 24), dtype=np.float32)
    queries = rng.standard_normal((200, 24), dtype=np.float32)
    truth = flat_of(ours, rows, space, 3000).knn_query(queries, 10)[0]
    found = {}
    for module in (ours, theirs):
        index = module.Index(space, 24)
        index.init_index(3000)
        index.add_items(rows)
        index.set_ef(40)
        found[module] = recall(index.knn_query(queries, 10)[0], truth)
    assert found[ours] > found[theirs] - 0.01 and found[ours] > 0.9


# A call that fails in hnswlib with an error, not a crash.
def with_deleted(module):
    index, _ = index_of(module, n=20, limit=20, allow_replace_deleted=True)
    index.mark_deleted(4)
    return index


ERRORS = {
    "space": lambda m: m.Index("cubic", 3),
    "flat space": lambda m: m.BFIndex("cubic", 3),
    "dim no number": lambda m: m.Index("l2", "3"),
    "init twice": lambda m: index_of(m)[0].init_index(3),
    "flat init twice": lambda m: flat_of(m, np.ones((1, 2), np.float32)).init_index(3),
    "negative limit": lambda m: m.Index("l2", 3).init_index(-1),
    "float M": lambda m: m.Index("l2", 3).init_index(10, M=2.5),
    "no limit": lambda m: m.Index("l2", 3).init_index(),
    "wrong dim": lambda m: index_of(m)[0].add_items(np.ones((2, 11))),
    "cube": lambda m: index_of(m)[0].add_items(np.ones((2, 2, 12))),
    "cube of queries": lambda m: index_of(m)[0].knn_query(np.ones((2, 2, 12))),
    "too many": lambda m: index_of(m)[0].add_items(np.ones((101, 12)) * np.arange(1, 102)[:, None]),
    "flat too many": lambda m: flat_of(m, np.eye(4, dtype=np.float32), limit=3),
    "ids short": lambda m: index_of(m)[0].add_items(np.ones((2, 12)), [1]),
    "one id of two": lambda m: index_of(m)[0].add_items(np.ones((2, 12)), 1),
    "no replacing": lambda m: index_of(m)[0].add_items(np.ones(12), 1, replace_deleted=True),
    "revive": lambda m: with_deleted(m).add_items(np.ones(12), 4),
    "k too large": lambda m: index_of(m)[0].knn_query(np.ones(12), k=401),
    "no element": lambda m: index_of(m, n=0)[0].knn_query(np.ones(12), k=1),
    "filter too narrow": lambda m: index_of(m)[0].knn_query(
        np.ones(12), 2, filter=lambda i: i == 3
    ),
    "filter no function": lambda m: index_of(m)[0].knn_query(np.ones(12), filter=[3]),
    "filter fails": lambda m: index_of(m)[0].knn_query(np.ones(12), filter=lambda i: [][i + 1]),
    "k no number": lambda m: index_of(m)[0].knn_query(np.ones(12), k=1.5),
    "negative k": lambda m: index_of(m)[0].knn_query(np.ones(12), k=-1),
    "negative ef": lambda m: index_of(m)[0].set_ef(-1),
    "get missing": lambda m: index_of(m)[0].get_items([1, 400]),
    "get deleted": lambda m: with_deleted(m).get_items([4]),
    "get one": lambda m: index_of(m)[0].get_items(3),
    "get as tuple": lambda m: index_of(m)[0].get_items([3], return_type="tuple"),
    "mark missing": lambda m: index_of(m)[0].mark_deleted(400),
    "mark twice": lambda m: with_deleted(m).mark_deleted(4),
    "mark float": lambda m: index_of(m)[0].mark_deleted(1.5),
    "mark negative": lambda m: index_of(m)[0].mark_deleted(-1),
    "unmark missing": lambda m: index_of(m)[0].unmark_deleted(400),
    "unmark live": lambda m: with_deleted(m).unmark_deleted(5),
    "shrink": lambda m: index_of(m)[0].resize_index(399),
    "load nothing": lambda m: m.Index("l2", 3).load_index("no such file"),
    "state": lambda m: m.Index.__setstate__(m.Index.__new__(m.Index), (1, 2)),
    "set space": lambda m: setattr(index_of(m)[0], "space", "ip"),
    "set M": lambda m: setattr(index_of(m)[0], "M", 3),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_of_their_types(theirs, case):
    with pytest.raises(Exception) as want:
        ERRORS[case](theirs)
    with pytest.raises(type(want.value)):
        ERRORS[case](ours)


# What hnswlib answers wrongly, takes in, or dies of.
MENDED = {
    "add first": (lambda m: m.Index("l2", 3).add_items(np.ones(3)), "not initiated"),
    "query first": (lambda m: m.Index("l2", 3).knn_query(np.ones(3)), "not initiated"),
    "get first": (lambda m: m.Index("l2", 3).get_items([1]), "not initiated"),
    "save first": (lambda m: m.Index("l2", 3).save_index("x"), "not initiated"),
    "flat query first": (lambda m: m.BFIndex("l2", 3).knn_query(np.ones(3)), "not initiated"),
    "dim 0": (lambda m: m.Index("l2", 0), "dim must be in"),
    "negative dim": (lambda m: m.Index("l2", -4), "dim must be in"),
    "M 0": (lambda m: m.Index("l2", 3).init_index(10, M=0), "M must be in 2"),
    "M 1": (lambda m: m.Index("l2", 3).init_index(10, M=1), "M must be in 2"),
    "query dim": (lambda m: index_of(m)[0].knn_query(np.ones(11)), "expected dim 12, got 11"),
    "flat query dim": (lambda m: flat_of(m, np.eye(3, 4)).knn_query(np.ones(5)), "expected dim 4"),
    "flat too few": (lambda m: flat_of(m, np.eye(3, 4)).knn_query(np.ones(4), 4), "contiguous"),
    "NaN": (lambda m: index_of(m)[0].add_items(np.full(12, np.nan)), "row 0 contains NaN"),
    "NaN query": (lambda m: index_of(m)[0].knn_query(np.full(12, np.nan)), "query 0 holds NaN"),
    "infinity": (lambda m: index_of(m)[0].add_items(np.full(12, np.inf)), "contains infinity"),
    "zero": (lambda m: index_of(m, "cosine")[0].add_items(np.zeros(12)), "row 0 is zero"),
    "negative id": (lambda m: index_of(m)[0].add_items(np.ones(12), -5), "must not be negative"),
    "float id": (lambda m: index_of(m)[0].add_items(np.ones(12), [1.5]), "whole numbers"),
    "text id": (lambda m: index_of(m)[0].add_items(np.ones(12), ["a"]), "whole numbers"),
    "last id": (lambda m: index_of(m)[0].add_items(np.ones(12), 2**64 - 1), "cannot be used"),
    "huge id": (lambda m: index_of(m)[0].add_items(np.ones(12), 2**64), "whole numbers"),
}


@pytest.mark.parametrize("case", MENDED)
def test_mended(case):
    call, message = MENDED[case]
    with pytest.raises(RuntimeError, match=message) as error:
        call(ours)
    assert isinstance(error.value, annx.AnnxError)


def test_an_error_changes_nothing():
    index, rows = index_of(ours, n=20, limit=21, allow_replace_deleted=True)
    index.mark_deleted(3)
    before = index.__getstate__()
    bad = np.ones((2, 12), np.float32)
    bad[1, 4] = np.nan
    for data, ids, replace in [(bad, [3, 50], True), (np.eye(3, 12), [50, 51, 52], True)]:
        with pytest.raises(RuntimeError):
            index.add_items(data, ids, replace_deleted=replace)
        assert index.__getstate__() == before
    assert len(rows) == index.element_count


def test_strided_and_foreign_rows(rng):
    """voyager stores other vectors than these views hold."""
    x = rng.standard_normal((64, 12)).astype(np.float64)
    for view in (x[::2], x[::-1], np.asfortranarray(x), x.tolist(), x.astype(np.float16)):
        index = ours.Index("l2", 12)
        index.init_index(len(view))
        index.add_items(view)
        assert np.array_equal(index.get_items(range(len(view))), np.asarray(view, np.float32))


def test_get_items_gives_back_what_was_added(rng):
    for space in SPACES:
        for rows in (rng.standard_normal((200, 40)), rng.integers(0, 9, (200, 40)) + 1.0):
            rows = rows.astype(np.float32)
            index = ours.Index(space, 40)
            index.init_index(500)
            index.add_items(rows)
            tolerance = 2e-7 if space == "cosine" else 0
            assert np.allclose(index.get_items(range(200)), rows, rtol=tolerance, atol=0)
            odd = rng.standard_normal((9, 40)).astype(np.float32)
            index.add_items(odd)
            assert np.allclose(index.get_items(range(200, 209)), odd, rtol=tolerance, atol=0)


def test_half_the_memory_if_asked(rng):
    rows = rng.standard_normal((500, 64), dtype=np.float32)
    size = {}
    for keep in ("f32", "f16"):
        index = ours.Index("l2", 64, keep_vectors=keep)
        index.init_index(500)
        index.add_items(rows)
        size[keep] = index.to_annx().info()["memory"]["originals"]
        assert np.allclose(index.get_items(range(500)), rows, rtol=1e-3, atol=1e-3)
    assert size["f16"] * 2 == size["f32"]
    with pytest.raises(RuntimeError, match="keep_vectors must be"):
        ours.Index("l2", 64, keep_vectors="f8")


def test_duplicates_do_no_harm(rng):
    """With a quarter of equal rows, hnswlib's recall falls to 0.6."""
    rows = rng.standard_normal((2000, 16), dtype=np.float32)
    rows[500:1000] = rows[500]
    index = ours.Index("l2", 16)
    index.init_index(2000)
    index.add_items(rows)
    index.set_ef(50)
    queries = rng.standard_normal((100, 16), dtype=np.float32)
    truth = flat_of(ours, rows, limit=2000).knn_query(queries, 10)[1]
    assert np.mean(index.knn_query(queries, 10)[1] <= truth[:, -1:] * 1.000001) > 0.97


def test_flat_cosine_normalises_queries(rng):
    """hnswlib 0.8.0 does not: its distances grow with the query."""
    rows = rng.standard_normal((50, 8), dtype=np.float32)
    flat = flat_of(ours, rows, "cosine")
    near, far = flat.knn_query(rows[:5], 3), flat.knn_query(rows[:5] * 100, 3)
    assert np.array_equal(near[0], far[0]) and np.allclose(near[1], far[1], atol=1e-6)


def test_loading_again_warns_and_replaces(tmp_path):
    index, rows = index_of(ours, n=30)
    index.save_index(tmp_path / "index.bin")
    index.mark_deleted(3)
    with pytest.warns(UserWarning, match="already inited"):
        index.load_index(str(tmp_path / "index.bin"))
    assert index.knn_query(rows[3])[0].tolist() == [[3]]
    assert index.max_elements == 500 and index.ef == 60


def test_adding_while_searching(rng):
    """hnswlib is not safe for this."""
    index, rows = index_of(ours, n=400, limit=3000)
    failures = []

    def search():
        try:
            for _ in range(60):
                labels, _ = index.knn_query(rows[:40], 1)
                assert np.mean(labels[:, 0] == np.arange(40)) > 0.97
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    for number in range(20):
        index.add_items(rng.standard_normal((100, 12), dtype=np.float32))
        index.mark_deleted(400 + number)
    thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_of_fork_has_a_lock_of_its_own():
    index, rows = index_of(ours, n=20)
    with index._adding:  # as by a thread that the child does not have
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there may be threads
            child = os.fork()
        if child == 0:
            try:
                index.add_items(rows[0] + 1)
                os._exit(0 if index.element_count == 21 else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert index.element_count == 20


def test_to_annx(rng):
    index, rows = index_of(ours, "cosine", n=50)
    index.mark_deleted(7)
    moved = index.to_annx()
    assert type(moved) is annx.Index and len(moved) == 49 and 7 not in moved
    assert moved.search(rows[3], 1).labels.tolist() == [[3]]
    index.unmark_deleted(7)
    assert index.knn_query(rows[7])[0].tolist() == [[7]]


def test_copies_are_their_own(rng):
    index, rows = index_of(ours, n=20)
    again = copy.copy(index)
    again.mark_deleted(3)
    assert index.knn_query(rows[3])[0].tolist() == [[3]]
    assert again.knn_query(rows[3])[0].tolist() != [[3]]
    fresh = pickle.loads(pickle.dumps(ours.Index("ip", 3)))
    assert fresh.M == 0 and repr(fresh) == "<hnswlib.Index(space='ip', dim=3)>"
    fresh.init_index(2)
    assert sys.getsizeof(pickle.dumps(fresh)) > 0
