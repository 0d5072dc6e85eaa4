"""Damaged and hostile index files of hnswlib: a typed error, or an index that works."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from hnswlib_indexes import HEADER, filled, loaded

import annx
import annx.compat.hnswlib as ours
from annx.compat import _hnswlib_file as files

#: Where the fields of the header stand, and their types.
FIELDS = {
    "offset of level 0": (0, "<Q"),
    "max_elements": (8, "<Q"),
    "elements": (16, "<Q"),
    "element size": (24, "<Q"),
    "label offset": (32, "<Q"),
    "vector offset": (40, "<Q"),
    "top level": (48, "<i"),
    "entry": (52, "<I"),
    "upper M": (56, "<Q"),
    "base M": (64, "<Q"),
    "M": (72, "<Q"),
    "factor": (80, "<d"),
    "ef_construction": (88, "<Q"),
}
MUTATIONS = int(os.environ.get("ANNX_FILE_MUTATIONS", "2000"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file as hnswlib writes it, with removed elements, equal rows and three levels."""
    index, rows, queries = filled(ours, n=300, dim=6, M=4, repeats=30)
    path = tmp_path_factory.mktemp("whole") / "index.bin"
    index.save_index(path)
    return path.read_bytes(), queries


def put(data, field, value):
    place, kind = FIELDS[field]
    out = bytearray(data)
    struct.pack_into(kind, out, place, value)
    return bytes(out)


HOSTILE = [
    ("offset of level 0", 4),
    ("max_elements", 299),
    ("max_elements", 1 << 32),
    ("elements", 301),
    ("elements", 1 << 61),
    ("elements", 0),
    ("element size", 0),
    ("element size", 1 << 40),
    ("label offset", 0),
    ("vector offset", 0),
    ("top level", -1),
    ("top level", 60),
    ("entry", 299),
    ("entry", 300),
    ("entry", 0xFFFFFFFF),
    ("upper M", 3),
    ("base M", 9),
    ("M", 0),
    ("M", 1 << 50),
    ("factor", np.nan),
    ("factor", -1.0),
    ("ef_construction", 0),
    ("ef_construction", 1 << 63),
]


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_headers(tmp_path, whole, field, value):
    """hnswlib writes beyond its memory for the second of these (its issue 673)."""
    path = tmp_path / "index.bin"
    path.write_bytes(put(whole[0], field, value))
    fresh = ours.Index("l2", 6)
    with pytest.raises(RuntimeError, match=r"index\.bin: ") as error:
        fresh.load_index(path)
    assert isinstance(error.value, annx.FormatError)
    assert fresh.element_count == 0 and fresh.M == 0


def test_wrong_dim_and_other_files(tmp_path, whole):
    path = tmp_path / "index.bin"
    path.write_bytes(whole[0])
    with pytest.raises(annx.FormatError, match="expected dim 7, got 6"):
        ours.Index("l2", 7).load_index(path)
    annx.Index(6).save(path)
    with pytest.raises(annx.FormatError):
        ours.Index("l2", 6).load_index(path)
    with pytest.raises(annx.FormatError, match="not a regular file"):
        ours.Index("l2", 6).load_index(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\[Errno 2\] Cannot open file: '.*none'"):
        ours.Index("l2", 6).load_index(tmp_path / "none")


def test_a_failed_load_keeps_the_index(tmp_path, whole):
    path = tmp_path / "index.bin"
    path.write_bytes(whole[0])
    index = loaded(ours, path, dim=6)
    want = index.knn_query(np.ones(6), 3)
    path.write_bytes(whole[0][:-1])
    with pytest.raises(annx.FormatError):
        index.load_index(path)
    got = index.knn_query(np.ones(6), 3)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def mutate(data, rng):
    """One seeded damage: a cut, a flipped bit, a byte, a field, a page of zeros or of another."""
    out = bytearray(data)
    kind = rng.integers(7)
    place = int(rng.integers(len(out)))
    if kind == 0:
        return bytes(out[:place])
    if kind == 1:
        out[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        out[int(rng.integers(HEADER))] = int(rng.integers(256))
    elif kind == 3:
        at, format = FIELDS[str(rng.choice(list(FIELDS)))]
        size = struct.calcsize(format)
        out[at : at + size] = rng.bytes(size)
    elif kind == 4:
        at = place // 4 * 4
        value = int(rng.choice([0, 1, 0xFFFFFFFF, 0x10000, 299, 300, 1 << 31]))
        out[at : at + 4] = struct.pack("<I", value)[: len(out) - at]
    elif kind == 5:
        out[place : place + 256] = bytes(len(out[place : place + 256]))
    else:
        other = int(rng.integers(len(out)))
        out[place : place + 64] = out[other : other + 64][: len(out[place : place + 64])]
    return bytes(out)


def test_mutated_files(tmp_path, whole):
    """A typed error, or an index that is valid and works: hnswlib crashes on one in six."""
    data, queries = whole
    path = tmp_path / "index.bin"
    outcomes = {"refused": 0, "read": 0}
    for seed in range(MUTATIONS):
        damaged = mutate(data, np.random.default_rng(seed))
        path.write_bytes(damaged)
        index = ours.Index("l2", 6)
        try:
            index.load_index(path)
        except annx.FormatError:
            outcomes["refused"] += 1
            assert index.element_count == 0
            continue
        outcomes["read"] += 1
        if index.element_count == 0:
            continue
        assert index._index.check().ok, seed
        k = min(3, index.element_count - len(index._deleted))
        if k:
            labels, distances = index.knn_query(queries[:4], k)
            assert np.isfinite(distances).all() and (np.diff(distances, axis=1) >= 0).all()
            assert set(labels.ravel().tolist()) <= set(index.get_ids_list())
        if seed % 8 == 0 and index.max_elements >= index.element_count + 2:
            index.add_items(queries[:2], [2**62, 2**62 + 1])
    assert outcomes["refused"] > MUTATIONS // 4 and outcomes["read"] > MUTATIONS // 10


def test_file_size_is_that_of_the_format(whole):
    content = files._parse(np.frombuffer(whole[0], np.uint8), 6)
    levels = [300, *(len(nodes) for nodes, *_ in content.upper)]
    assert files.file_size(6, 4, levels) == len(whole[0])
    assert len(levels) > 3
