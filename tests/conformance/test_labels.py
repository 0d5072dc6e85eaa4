from __future__ import annotations

import numpy as np
import pytest

import annx

LOW, HIGH = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def rows(n, start=0):
    return np.arange(start * 4, (start + n) * 4, dtype=np.float32).reshape(n, 4)


def test_labels_number_on_from_the_highest(backend):
    index = annx.Index(4)
    assert index.add(rows(3)).tolist() == [0, 1, 2]
    assert index.add(rows(2, 3), labels=[50, 7]).tolist() == [50, 7]
    assert index.add(rows(2, 5)).tolist() == [51, 52]
    assert index.labels.tolist() == [0, 1, 2, 50, 7, 51, 52]
    assert index.labels.dtype == np.int64


def test_negative_labels_and_the_ends_of_int64(backend):
    index = annx.Index(4)
    wanted = [-5, LOW, HIGH - 1, -2]
    index.add(rows(4), labels=wanted)
    assert index.labels.tolist() == wanted
    assert all(label in index for label in wanted)
    assert index.search(rows(4), k=1).labels[:, 0].tolist() == wanted
    assert index.add(rows(1, 4)).tolist() == [HIGH]
    with pytest.raises(annx.LabelError, match="no 1 labels are left"):
        index.add(rows(1, 5))
    assert len(index) == 5


def test_only_negative_labels_number_on_from_zero(backend):
    index = annx.Index(4)
    index.add(rows(2), labels=[-9, -2])
    assert index.add(rows(2, 2)).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_any_integer_dtype(backend, dtype):
    index = annx.Index(4)
    index.add(rows(3), labels=np.array([3, 1, 2], dtype))
    assert index.labels.tolist() == [3, 1, 2]


def test_contains(backend):
    index = annx.Index(4)
    index.add(rows(3), labels=[4, 5, 6])
    assert 4 in index and np.int8(5) in index
    for label in (-1, 0, 7, 4.0, True, "4", None, 10**30, [4]):
        assert label not in index


def test_labels_are_a_copy(backend):
    index = annx.Index(4)
    index.add(rows(3))
    index.labels[:] = 9
    assert index.labels.tolist() == [0, 1, 2]


def test_many_shuffled_labels(engine, rng):
    labels = rng.permutation(10**9 + np.arange(3000) * 977)
    x = rng.standard_normal((3000, 4), dtype=np.float32)
    index = annx.Index(4, M=4, ef_construction=20)
    for first in range(0, 3000, 700):
        index.add(x[first : first + 700], labels[first : first + 700])
    assert np.array_equal(index.labels, labels)
    assert np.array_equal(index.get(labels[::7]), x[::7])
    assert not any(int(label) + 1 in index for label in labels[:200])
