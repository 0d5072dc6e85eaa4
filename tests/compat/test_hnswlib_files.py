"""hnswlib's files: read and written, and those of brute force damaged, too."""

from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest
from hnswlib_indexes import HEADER, SPACES, filled, loaded

import annx
import annx.compat.hnswlib as ours


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("hnswlib")


def recall(found, truth):
    """Share of hits that are as near as the k-th of the truth."""
    return np.mean(found[1] <= truth[1][:, -1:] * (1 + 1e-5) + 1e-6)


def marked(index):
    """Ids that are marked deleted, by what their vectors cannot be had."""
    ids = []
    for label in index.get_ids_list():
        try:
            index.get_items([label])
        except RuntimeError:
            ids.append(label)
    return sorted(ids)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("writer", ["theirs", "ours"])
@pytest.mark.parametrize("repeats", [0, 300])
def test_both_ways(theirs, tmp_path, space, writer, repeats):
    """Either reads the other's file and finds what the other finds."""
    path = tmp_path / "index.bin"
    module = theirs if writer == "theirs" else ours
    index, rows, queries = filled(module, space, repeats=repeats)
    index.save_index(str(path))
    assert path.stat().st_size == index.index_file_size()
    gone = marked(index)
    live = np.array(sorted(set(index.get_ids_list()) - set(gone)), np.uint64)
    flat = ours.BFIndex(space, 20)
    flat.init_index(len(live))
    flat.add_items(index.get_items(live), live)
    truth = flat.knn_query(queries, 10)
    before = recall(index.knn_query(queries, 10), truth)
    for reader in (theirs, ours):
        again = loaded(reader, path, space)
        assert (again.M, again.ef_construction, again.max_elements) == (8, 80, 1510)
        assert again.element_count == 1500 and marked(again) == gone
        assert sorted(again.get_ids_list()) == sorted(index.get_ids_list())
        assert np.allclose(again.get_items(live[:50]), flat_items(index, live[:50], space))
        # Copies of one vector fill each other's lists in hnswlib's own graph.
        assert recall(again.knn_query(queries, 10), truth) > before - (0.05 if repeats else 0.02)
        again.unmark_deleted(gone[0])
        again.add_items(queries[:5], np.arange(5))
        assert recall(again.knn_query(queries[:5], 1), (None, np.full((5, 1), 1e-6))) == (
            1.0 if space != "ip" else pytest.approx(1, abs=1)
        )
        if reader is ours:
            assert again._index.check().ok
            again.save_index(str(tmp_path / "again.bin"))
            assert loaded(theirs, tmp_path / "again.bin", space).element_count == 1505


def flat_items(index, labels, space):
    items = np.asarray(index.get_items(labels))
    if space == "cosine":
        items = items / np.linalg.norm(items, axis=1, keepdims=True)
    return items


def test_every_twin_is_found_in_hnswlib(theirs, tmp_path):
    """Equal rows are no nodes here; in the file they hang from the one that is."""
    for M, copies in [(2, 40), (16, 300)]:
        rng = np.random.default_rng(M)
        rows = rng.standard_normal((600, 12), dtype=np.float32)
        rows[100 : 100 + copies] = rows[5]
        rows[500:510] = rows[6]
        index = ours.Index("l2", 12)
        index.init_index(600, M=M)
        index.add_items(rows)
        index.save_index(str(tmp_path / "twins.bin"))
        again = loaded(theirs, tmp_path / "twins.bin", dim=12, ef=400)
        labels, distances = again.knn_query(rows[5], copies + 1)
        assert set(labels[0].tolist()) == {5, *range(100, 100 + copies)}
        assert not distances.any()
        labels, _ = again.knn_query(rows[6], 11)
        assert set(labels[0].tolist()) == {6, *range(500, 510)}


def test_a_file_is_read_on_its_own_graph(theirs, tmp_path, monkeypatch):
    """Building anew would take a hundred times as long."""
    index, rows, queries = filled(theirs)
    index.save_index(str(tmp_path / "index.bin"))
    monkeypatch.setattr(annx.Index, "add", None)
    again = loaded(ours, tmp_path / "index.bin")
    assert again.element_count == 1500


def test_a_graph_in_pieces_is_built_anew(theirs, tmp_path):
    index, rows, queries = filled(theirs)
    path = tmp_path / "index.bin"
    index.save_index(str(path))
    data = bytearray(path.read_bytes())
    size = struct.unpack_from("<Q", data, 24)[0]
    for element in range(0, 1500, 2):
        data[HEADER + size * element : HEADER + size * element + 2] = b"\0\0"
    path.write_bytes(data)
    again = loaded(ours, path)
    assert again._index.check().ok
    assert again.knn_query(queries, 10)[0].shape == (100, 10)


def test_a_label_that_hnswlib_doubled_is_read_once(theirs, tmp_path):
    """Its replace_deleted gives one label to two elements; the last one is the one it finds."""
    index = theirs.Index("l2", 4)
    index.init_index(3, allow_replace_deleted=True)
    index.add_items(np.eye(3, 4, dtype=np.float32), [1, 2, 3])
    index.mark_deleted(3)
    index.add_items(np.full(4, 9, np.float32), 1, replace_deleted=True)
    index.save_index(str(tmp_path / "double.bin"))
    again = loaded(ours, tmp_path / "double.bin", dim=4)
    assert sorted(again.get_ids_list()) == [1, 2]
    assert again.get_items([1]).tolist() == [[9, 9, 9, 9]]


def test_of_two_marks_of_a_label_the_last_counts(theirs, tmp_path):
    for order in ([1, 1], [1, 2]):
        index = theirs.Index("l2", 2)
        index.init_index(2)
        index.add_items(np.eye(2, dtype=np.float32), [1, 2])
        index.mark_deleted(order[-1])
        path = tmp_path / "index.bin"
        index.save_index(str(path))
        data = bytearray(path.read_bytes())
        size, label = struct.unpack_from("<QQ", data, 24)
        data[HEADER + size + label : HEADER + size + label + 8] = struct.pack("<Q", 1)
        path.write_bytes(data)
        again = loaded(ours, path, dim=2)
        assert again.get_ids_list() == [1]
        assert marked(again) == ([1] if order[-1] == 2 else [])
        assert again.element_count == 1


def test_empty_and_single(theirs, tmp_path):
    for n in (0, 1, 2):
        for writer, reader in [(theirs, ours), (ours, theirs), (ours, ours)]:
            index = writer.Index("l2", 3)
            index.init_index(5)
            if n:
                index.add_items(np.eye(n, 3, dtype=np.float32))
            index.save_index(str(tmp_path / "small.bin"))
            again = loaded(reader, tmp_path / "small.bin", dim=3)
            assert again.element_count == n
            assert again.max_elements == 5 or (reader is theirs and n == 0)
            if reader is ours or n:  # hnswlib crashes on adding to an empty index it has read
                again.add_items(np.ones(3, np.float32), 9)
                assert again.knn_query(np.ones(3, np.float32))[0].tolist() == [[9]]


def test_the_size_told_is_the_size_written(tmp_path, rng):
    index = ours.Index("l2", 8)
    index.init_index(600, M=3, allow_replace_deleted=True)
    index.add_items(rng.standard_normal((600, 8)))
    for first in range(0, 300, 50):
        for label in range(first, first + 50):
            index.mark_deleted(label)
        rows = rng.standard_normal((40, 8))
        index.add_items(rows, np.arange(40) + 1000 + first, replace_deleted=True)
        told = index.index_file_size()
        index.save_index(tmp_path / "index.bin")
        assert (tmp_path / "index.bin").stat().st_size == told


def test_limits_of_a_loaded_index(tmp_path):
    index, *_ = filled(ours, n=100)
    index.save_index(tmp_path / "index.bin")
    for asked, limit in [(0, 110), (50, 110), (100, 100), (700, 700)]:
        assert loaded(ours, tmp_path / "index.bin", max_elements=asked).max_elements == limit


def test_a_failed_write_keeps_the_older_file(tmp_path):
    index, *_ = filled(ours, n=100)
    with pytest.raises(OSError):
        index.save_index(tmp_path / "no" / "such" / "folder")
    index.save_index(tmp_path / "index.bin")
    before = (tmp_path / "index.bin").read_bytes()
    index.add_items(np.ones((1, 20)), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            index.save_index(tmp_path / "index.bin")
    assert (tmp_path / "index.bin").read_bytes() == before
    assert os.listdir(tmp_path) == ["index.bin"]


def test_indexes_and_pickles_of_hnswlib(theirs):
    for space in SPACES:
        index, rows, queries = filled(theirs, space)
        state = pickle.loads(pickle.dumps(index)).__getstate__()[0]
        moved = [ours.Index(params=state), ours.Index(index=index), ours.Index(index)]
        want = index.knn_query(queries, 5)
        for each in moved:
            assert (each.space, each.dim, each.M, each.ef) == (space, 20, 8, 60)
            assert (each.max_elements, each.element_count) == (1510, 1500)
            assert marked(each) == marked(index)
            labels, distances = each.knn_query(queries, 5)
            assert np.mean(labels == want[0]) > 0.97
    new = ours.Index(theirs.Index("ip", 3))
    assert (new.space, new.dim, new.M, new.element_count) == ("ip", 3, 0, 0)


BAD_PARAMS = {
    "no levels": lambda p: p.pop("element_levels"),
    "short levels": lambda p: p.update(element_levels=p["element_levels"][:3]),
    "negative level": lambda p: p["element_levels"].__setitem__(0, -1),
    "short lists": lambda p: p.update(link_lists=p["link_lists"][:-4]),
    "short level 0": lambda p: p.update(data_level0=p["data_level0"][:-4]),
    "text": lambda p: p.update(M="eight"),
    "negative M": lambda p: p.update(max_M=-1),
    "huge count": lambda p: p.update(cur_element_count=1 << 62),
    "version": lambda p: p.update(ser_version=2),
    "no threads": lambda p: p.pop("num_threads"),
    "nothing": lambda p: p.clear(),
}


@pytest.mark.parametrize("damage", BAD_PARAMS)
def test_damaged_params(theirs, damage):
    params = filled(theirs, n=50)[0].__getstate__()[0]
    BAD_PARAMS[damage](params)
    with pytest.raises(RuntimeError) as error:
        ours.Index(params=params)
    assert isinstance(error.value, annx.AnnxError)


# --- Brute force ---------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_flat_files_both_ways(theirs, tmp_path, space, rng):
    rows = rng.standard_normal((80, 9), dtype=np.float32)
    queries = rows[:5] / np.linalg.norm(rows[:5], axis=1, keepdims=True)
    for writer in (theirs, ours):
        index = writer.BFIndex(space, 9)
        index.init_index(100)
        index.add_items(rows, np.arange(80) + 7)
        path = str(tmp_path / "flat.bin")
        index.save_index(path)
        want = index.knn_query(queries, 6)
        for reader in (theirs, ours):
            again = reader.BFIndex(space, 9)
            again.load_index(path)
            got = again.knn_query(queries, 6)
            assert np.array_equal(got[0], want[0])
            assert np.allclose(got[1], want[1], rtol=1e-4, atol=1e-5)
            assert (again.get_current_count(), again.get_max_elements()) == (80, 100)
        # hnswlib forgets which labels it has read.
        again.add_items(rows[:1], [8])
        assert again.get_current_count() == 80


FLAT_DAMAGE = {
    "empty": lambda d: b"",
    "short": lambda d: d[:-1],
    "long": lambda d: d + b"\0",
    "more than there is room for": lambda d: d[:16] + struct.pack("<Q", 101) + d[24:],
    "huge": lambda d: struct.pack("<QQQ", 1 << 60, 44, 80) + d[24:],
    "other dim": lambda d: d[:8] + struct.pack("<Q", 40) + d[16:],
    "label twice": lambda d: d[: 24 + 36] + d[24 + 80 : 24 + 88] + d[24 + 44 :],
    "NaN": lambda d: d[:24] + struct.pack("<f", np.nan) + d[28:],
}


@pytest.mark.parametrize("damage", FLAT_DAMAGE)
def test_damaged_flat_files(tmp_path, damage, rng):
    index = ours.BFIndex("l2", 9)
    index.init_index(100)
    index.add_items(rng.standard_normal((80, 9), dtype=np.float32))
    path = tmp_path / "flat.bin"
    index.save_index(path)
    path.write_bytes(FLAT_DAMAGE[damage](path.read_bytes()))
    again = ours.BFIndex("l2", 9)
    with pytest.raises(RuntimeError) as error:
        again.load_index(path)
    assert isinstance(error.value, annx.AnnxError) and again.get_current_count() == 0
