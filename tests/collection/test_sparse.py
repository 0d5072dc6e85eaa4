"""Sparse retrieval against inner products taken one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annx.collection._derived import Change
from annx.collection._sparse import SparseIndex
from annx.errors import DocumentError, RebuildWarning


def pair(vector):
    """As documents of changes hold it."""
    items = sorted(vector.items())
    return np.array([i for i, _ in items], np.uint32), np.array([w for _, w in items], np.float32)


def put(index, vectors, sequence):
    index.apply(
        [Change(row, None if v is None else {"s": pair(v)}) for row, v in vectors.items()],
        sequence,
    )


def ranked(query, vectors, k, allowed=None):
    found = []
    for row, vector in vectors.items():
        if allowed is not None and not (row < len(allowed) and allowed[row]):
            continue
        if shared := query.keys() & vector.keys():
            found.append((-sum(query[i] * vector[i] for i in shared), row))
    return [(row, -score) for score, row in sorted(found)[:k]]


def same(found, wanted):
    assert found[0].tolist() == [row for row, _ in wanted]
    assert found[1].tolist() == pytest.approx([score for _, score in wanted])


# Multiples of 1/4 add up exactly in any order, so that ties are ties.
weights = st.integers(-20, 40).filter(bool).map(lambda n: n / 4)
vector = st.dictionaries(st.integers(0, 12), weights, max_size=6)
batch = st.dictionaries(st.integers(0, 15), st.none() | vector, max_size=6)


@settings(deadline=None)
@given(st.lists(batch, max_size=12), vector, st.integers(1, 20), st.data())
def test_equals_inner_products(tmp_path_factory, batches, query, k, data):
    folder = tmp_path_factory.mktemp("sparse")
    index = SparseIndex(folder, "s", "s")
    model = {}
    for sequence, changes in enumerate(batches, 1):
        put(index, changes, sequence)
        for row, vector in changes.items():
            model.pop(row, None)
            if vector is not None:
                model[row] = vector
        if data.draw(st.booleans()):
            index.commit()
            index = SparseIndex(folder, "s", "s")
            assert index.sequence == sequence
        if data.draw(st.booleans()):
            index.compact()
    same(index.search(query, k), ranked(query, model, k))
    allowed = np.array(data.draw(st.lists(st.booleans(), max_size=20)), np.bool_)
    same(index.search(query, k, allowed), ranked(query, model, k, allowed))


def test_takes_csr_rows_and_pairs(tmp_path):
    scipy = pytest.importorskip("scipy.sparse")
    index = SparseIndex(tmp_path, "s", "s")
    put(index, {0: {1: 2.0, 7: 1.0}, 1: {7: 3.0}}, 1)
    query = scipy.csr_matrix([[0, 1, 0, 0, 0, 0, 0, 2]])
    wanted = [(1, 6.0), (0, 4.0)]
    same(index.search(query, 5), wanted)
    same(index.search(([1, 7], [1.0, 2.0]), 5), wanted)
    same(index.search({1: 1.0, 7: 2.0}, 5), wanted)


@pytest.mark.parametrize("query", ["text", {1: np.nan}, {"a": 1.0}, {-1: 1.0}, ([1], [1, 2])])
def test_refuses_what_is_no_sparse_vector(tmp_path, query):
    with pytest.raises(DocumentError):
        SparseIndex(tmp_path, "s", "s").search(query, 3)


def test_unchanged_vectors_are_kept(tmp_path):
    index = SparseIndex(tmp_path, "s", "s")
    put(index, {0: {1: 2.0}}, 1)
    index.apply([Change(0, {"s": pair({1: 9.0})}, frozenset(["s"]))], 2)
    same(index.search({1: 1.0}, 3), [(0, 2.0)])
    index.commit()
    assert SparseIndex(tmp_path, "s", "s").sequence == 2


def test_any_damage_is_seen(tmp_path, rng):
    index = SparseIndex(tmp_path, "s", "s")
    put(index, {row: {int(i): 1.5 for i in rng.choice(50, 5)} for row in range(20)}, 3)
    index.commit()
    (path,) = tmp_path.glob("s.*")
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 10, 39, len(whole) - 1)] + [whole + b"x"]
    for place in range(len(whole)):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for data in damaged:
        path.write_bytes(data)
        with pytest.warns(RebuildWarning):
            assert SparseIndex(tmp_path, "s", "s").sequence == 0


def test_a_reader_writes_nothing(tmp_path):
    index = SparseIndex(tmp_path, "s", "s")
    put(index, {0: {1: 2.0}}, 1)
    index.commit()
    before = sorted(tmp_path.iterdir())
    reader = SparseIndex(tmp_path, "s", "s", read_only=True)
    put(reader, {1: {1: 3.0}}, 2)
    same(reader.search({1: 1.0}, 3), [(1, 3.0), (0, 2.0)])
    reader.clear()
    assert sorted(tmp_path.iterdir()) == before
