"""Vectors made of text by a model of the caller's."""

from __future__ import annotations

import numpy as np
import pytest
from collection_model import opened

import annx

pytest.importorskip("tantivy")

LETTERS = "abcd"


class Model:
    """Counts letters; as a model of sentence-transformers, it is callable with something else."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        assert isinstance(texts, list)
        self.asked += texts
        return np.array([[text.count(letter) + 0.5 for letter in LETTERS] for text in texts])

    def __call__(self, features):
        raise AssertionError("the model was called, not asked to encode")


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def notes(tmp_path, model):
    fields = {"dim": 4, "metric": "cosine", "text": ["title", "body"]}
    with opened(tmp_path / "notes", embed=model, durability="none", **fields) as collection:
        yield collection


def stored(collection, id):
    return collection.get(id, vectors=True).get("vector")


def test_documents_and_queries_need_text_alone(notes, model):
    notes.upsert([{"id": "1", "title": "aa", "body": "a"}, {"id": "2", "body": "bbb"}])
    assert model.asked == ["aa\na", "bbb"]
    assert notes.search(vector="aaaa", k=1)[0]["id"] == "1"
    assert notes.search("bbb", k=1)[0]["id"] == "2"
    np.testing.assert_array_equal(stored(notes, "1"), [3.5, 0.5, 0.5, 0.5])


def test_vectors_that_are_given_stay_and_no_text_makes_none(notes, model):
    notes.upsert([{"id": "1", "body": "a", "vector": [9, 9, 9, 1]}, {"id": "2", "n": 1}])
    notes.upsert([{"id": "3", "title": "", "body": None}])
    assert model.asked == []
    np.testing.assert_array_equal(stored(notes, "1"), [9, 9, 9, 1])
    assert stored(notes, "2") is None and stored(notes, "3") is None


def test_update_makes_a_vector_again_where_its_text_changes(notes, model):
    notes.upsert({"id": "1", "title": "a", "body": "b"})
    model.asked.clear()
    notes.update({"id": "1", "n": 1, "title": "a"})
    assert model.asked == []
    notes.update({"id": "1", "body": "cc"})
    assert model.asked == ["a\ncc"]
    notes.update({"id": "1", "body": "d", "vector": [1, 2, 3, 4]})
    assert model.asked == ["a\ncc"]
    np.testing.assert_array_equal(stored(notes, "1"), [1, 2, 3, 4])
    notes.update({"id": "1", "title": None, "body": None})
    assert stored(notes, "1") is None


@pytest.mark.parametrize(
    "embed, error",
    [
        (lambda texts: np.ones((len(texts) + 1, 4)), annx.DimensionError),
        (lambda texts: np.ones(4), annx.DimensionError),
        (lambda texts: np.ones((len(texts), 3)), annx.DimensionError),
        (lambda texts: np.full((len(texts), 4), np.nan), annx.NonFiniteError),
        (lambda texts: 1 / 0, ZeroDivisionError),
    ],
)
def test_models_that_fail_change_nothing(tmp_path, embed, error):
    with opened(tmp_path, dim=4, text="body", embed=embed, durability="none") as collection:
        with pytest.raises(error):
            collection.upsert([{"id": "1", "body": "a"}])
        assert len(collection) == 0


def test_several_models(tmp_path):
    fields = {"vectors": {"t": {"dim": 4}, "b": {"dim": 4}}, "text": ["title", "body"]}
    title, body = Model(), Model()
    sources = {"t": "title", "b": ["body", "title"]}
    models = {"t": title, "b": body.encode}
    with opened(tmp_path, embed=models, embed_from=sources, **fields) as collection:
        collection.upsert({"id": "1", "title": "a", "body": "b"})
    assert title.asked == ["a"] and body.asked == ["b\na"]
    with opened(tmp_path) as collection:  # without models: no vectors made
        collection.upsert({"id": "2", "title": "a"})
        assert collection.get("2", vectors=True).keys() == {"id", "title"}
        with pytest.raises(annx.ParameterError, match="embed"):
            collection.search(vector={"t": "a"})
    with pytest.raises(annx.SchemaError):
        annx.Collection.open(tmp_path, embed=Model())
    with pytest.raises(annx.SchemaError):
        annx.Collection.open(tmp_path, embed={"no field": Model()})
    with pytest.raises(annx.ParameterError):
        annx.Collection.open(tmp_path, embed={"t": 3})
    annx.Collection.open(tmp_path).close()  # and nothing holds the lock
