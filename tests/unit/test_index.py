"""The public class, apart from what the conformance suite asks of a backend."""

from __future__ import annotations

import doctest
import importlib
import json
import pickle

import numpy as np
import pytest
from conftest import load_backend

import annx
from annx._backends import select


@pytest.fixture(autouse=True)
def any_backend(use_backend):
    use_backend("reference")


def test_defaults():
    index = annx.Index(3)
    assert (index.metric, index.codec, index.M, index.ef_construction) == ("l2", "f32", 16, 200)
    assert (index.ef_search, index.seed, index.dim, len(index)) == (64, 0, 3, 0)
    assert annx.Index(16, "hamming").codec == "b1"


def test_numpy_integers_are_integers():
    index = annx.Index(np.int64(3), M=np.int32(4), seed=np.uint64(2**64 - 1))
    assert type(index.dim) is int and index.seed == 2**64 - 1
    index.add(np.eye(3))
    assert index.search(np.eye(3), np.int8(2), ef_search=np.int16(9)).labels.shape == (3, 2)


def test_repr():
    index = annx.Index(3, "cosine")
    index.add(np.eye(3))
    assert repr(index) == "<annx.Index 3 x 3 cosine u8>"


def test_info_is_plain_and_complete():
    index = annx.Index(3, "cosine", M=4)
    index.add([[0.5, 0, 0], [0, 1, 0], [2, 0, 0]])
    info = index.info()
    assert json.loads(json.dumps(info)) == info
    assert info["n"] == 3 and info["levels"] == [2]
    assert info["codec_why"] == "auto: dim below 32, where codes would save little"
    assert info["graph"] == {
        "mean_degree": 1.0,
        "tree_edges": 1,
        "occluded_share": 0.0,
        "twins": 1,
        "dead": 0,
        "free": 0,
    }
    memory = info["memory"]
    assert memory["total"] == sum(value for part, value in memory.items() if part != "total")
    assert annx.Index.from_bytes(index.to_bytes()).info()["codec_why"] == "as stored in the file"
    assert annx.Index(3, codec="f16").info()["codec_why"] == "asked for"


def test_the_labels_of_add_are_int64():
    index = annx.Index(2)
    assert index.add(np.empty((0, 2))).dtype == np.int64
    assert index.add(np.empty((0, 2)), labels=[]).shape == (0,)
    assert index.add([[1, 2]], labels=np.array([7], np.uint8)).dtype == np.int64


def test_results_are_tuples():
    index = annx.Index(2, "ip")
    index.add(np.eye(2))
    hits = index.search([3.0, 4.0], k=2)
    labels, distances = hits
    assert hits == (labels, distances) and isinstance(hits, annx.SearchResult)
    assert hits.similarities.tolist() == [[4.0, 3.0]]
    assert hits.similarities.dtype == np.float32
    assert repr(hits).startswith("SearchResult(labels=array([[1, 0]])")
    again = pickle.loads(pickle.dumps(hits))
    assert type(again) is type(hits)
    assert again.similarities.tolist() == hits.similarities.tolist()


def test_num_threads(monkeypatch):
    index = annx.Index(2, num_threads=3)
    index.add(np.eye(2))
    asked = []
    real = index._core.search

    def spy(queries, k, ef_search, num_threads, poll=None):
        asked.append(num_threads)
        return real(queries, k, ef_search, num_threads, poll)

    index._core_search = spy
    x = np.zeros((5, 2), np.float32)
    index.search(x[0])
    index.search(x[:1])
    index.search(x)
    index.search(x, num_threads=7)
    index.search(x[0], num_threads=7)
    index.search(x[0].tolist())
    assert asked == [1, 1, 3, 7, 7, 1]


def test_the_short_way_and_the_long_way_agree():
    index = annx.Index(4, codec="u8")
    index.add(np.arange(40).reshape(10, 4))
    row = np.array([4, 5, 6, 7], np.uint8)
    for query in (row, row[None], row.tolist(), row.astype(np.float64), row[None].copy("F")):
        assert index.search(query, k=1).labels.tolist() == [[1]]


def test_uint16_numbers_are_not_bfloat16_words():
    index = annx.Index(2, codec="bf16")
    index.add(np.array([[1, 2], [100, 200]], np.uint16))
    assert index.get([0, 1]).tolist() == [[1.0, 2.0], [100.0, 200.0]]
    assert index.search(np.array([100, 200], np.uint16), k=1).distances[0, 0] == 0


def test_from_bytes_takes_any_buffer():
    data = annx.Index(2).to_bytes()
    for form in (data, bytearray(data), memoryview(data)):
        assert len(annx.Index.from_bytes(form)) == 0


def test_subclasses_survive_pickling():
    copy = pickle.loads(pickle.dumps(Mine(3)))
    assert type(copy) is Mine


class Mine(annx.Index):
    pass


@pytest.mark.parametrize(
    "name",
    [
        "annx.index",
        "annx._persist",
        "annx._load",
        "annx._describe",
        "annx._result",
        "annx._backends.select",
    ],
)
def test_examples_in_docstrings(name, monkeypatch):
    monkeypatch.undo()
    for engine in ("native", "numba"):
        try:
            chosen = load_backend(engine)
        except pytest.skip.Exception:
            continue
        monkeypatch.setattr(select, "backend", lambda chosen=chosen: chosen)
        break
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_version():
    assert annx.__version__.count(".") == 2
    assert set(annx.__all__) <= set(dir(annx))
