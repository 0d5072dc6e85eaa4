"""What a document may be, and what is refused before anything changes."""

from __future__ import annotations

import datetime
import sys

import numpy as np
import pytest
from collection_model import opened

import annx
from annx.collection import VectorField, _writing


@pytest.fixture
def places(tmp_path):
    with opened(tmp_path / "places", dim=2, metric="cosine", durability="none") as collection:
        collection.upsert({"id": "kept", "vector": [1, 0], "n": 1})
        yield collection


STRANGE = [
    "🙂",
    "e\u0301 \u00e9",
    "'; DROP TABLE documents; --",
    '" OR 1=1',
    "a\0b",
    "*:* AND title:[a TO z] \\",
    "x" * 1000,
    " ",
    "\u202eright to left",
    "../../etc/passwd",
    "$where",
]


@pytest.mark.parametrize("text", STRANGE)
def test_ids_and_values_are_literal(places, text):
    document = {"id": text, text: text, "list": [text, {text: text}], "value": text}
    places.upsert([document])
    assert places.get(text) == document
    assert places.get([text, "kept"])[0] == document
    assert text in places
    assert list(places.iterate())[-1] == document
    assert places.count({"value": text}) == 1
    assert places.delete(filter={"value": text}) == 1
    assert text not in places and len(places) == 1


def test_equal_looking_ids_differ(places):
    places.upsert([{"id": "\u00e9"}, {"id": "e\u0301"}, {"id": "E\u0301"}])
    assert len(places) == 4


def test_large_documents(places):
    wide = {f"field {n}": n for n in range(10_000)}
    long = "word " * 200_000
    places.upsert([{"id": "wide", **wide}, {"id": "long", "text": long}, {"id": "empty", "t": ""}])
    assert places.get("wide") == {"id": "wide", **wide}
    assert places.get("long")["text"] == long
    assert places.get("empty") == {"id": "empty", "t": ""}
    assert places.count({"field 9999": 9999}) == 1


def test_values_come_back_as_json_has_them(places):
    places.upsert(
        {
            "id": "a",
            "date": datetime.date(2026, 1, 31),
            "time": datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC),
            "tuple": (1, 2.5, None, True),
            "numpy": [np.float32(0.5), np.int64(3), np.bool_(True), np.arange(3)],
            "big": 1 << 100,
            "zero": -0.0,
        }
    )
    assert places.get("a") == {
        "id": "a",
        "date": "2026-01-31",
        "time": "2026-01-31T12:00:00+00:00",
        "tuple": [1, 2.5, None, True],
        "numpy": [0.5, 3, True, [0, 1, 2]],
        "big": 1 << 100,
        "zero": 0.0,
    }


def test_of_one_id_in_a_batch_the_last_counts(places):
    assert places.upsert([{"id": "a", "n": 1}, {"id": "b"}, {"id": "a", "m": 2}]) == 3
    assert places.get(["a", "b"]) == [{"id": "a", "m": 2}, {"id": "b"}]
    assert len(places) == 3


deep = value = []
for _ in range(200):
    value.append(value := [])

BAD = {
    "not a mapping": ([3], annx.DocumentError, "document 1"),
    "no id": ([{"n": 1}], annx.DocumentError, "document 1.*'id'"),
    "an int as id": ([{"id": 1}], annx.DocumentError, "got 1"),
    "bytes as id": ([{"id": b"a"}], annx.DocumentError, "str"),
    "an empty id": ([{"id": ""}], annx.DocumentError, "empty"),
    "a surrogate in an id": ([{"id": "\ud800"}], annx.DocumentError, "surrogate"),
    "a surrogate in a text": ([{"id": "a", "t": "\udfff"}], annx.DocumentError, "surrogate"),
    "NaN": ([{"id": "a", "x": float("nan")}], annx.DocumentError, "'x'.*nan"),
    "infinity, nested": ([{"id": "a", "x": [{"y": 1e999}]}], annx.DocumentError, "inf"),
    "NaN in an array": ([{"id": "a", "x": np.array([np.nan])}], annx.DocumentError, "nan"),
    "bytes": ([{"id": "a", "x": b"1"}], annx.DocumentError, "bytes"),
    "a set": ([{"id": "a", "x": {1}}], annx.DocumentError, "set"),
    "an object": ([{"id": "a", "x": object()}], annx.DocumentError, "object"),
    "a key that is no str": ([{"id": "a", 3: 1}], annx.DocumentError, "got 3"),
    "a nested key": ([{"id": "a", "x": {None: 1}}], annx.DocumentError, "got None"),
    "nested too deep": ([{"id": "a", "x": deep}], annx.DocumentError, "nested"),
    "a short vector": ([{"id": "a", "vector": [1]}], annx.DimensionError, "'a'.*dim 2"),
    "several vectors": (
        [{"id": "a", "vector": [[1, 2], [3, 4]]}],
        annx.DocumentError,
        "one vector",
    ),
    "NaN in a vector": ([{"id": "a", "vector": [1, np.nan]}], annx.NonFiniteError, "'a'.*NaN"),
    "a zero vector": ([{"id": "a", "vector": [0, 0]}], annx.ZeroVectorError, "'a'.*zero"),
    "a str as vector": ([{"id": "a", "vector": "ab"}], annx.DtypeError, "'a'"),
    "a complex vector": ([{"id": "a", "vector": [1j, 2]}], annx.DtypeError, "complex"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("before", [0, 1, 40])
def test_bad_documents_change_nothing(places, case, before):
    bad, error, message = BAD[case]
    good = [{"id": f"good {n}", "vector": [1, n]} for n in range(before)]
    with pytest.raises(error, match=message.replace("document 1", f"document {before}")):
        places.upsert([*good, *bad, {"id": "after"}])
    assert list(places.iterate()) == [{"id": "kept", "n": 1}]
    assert [hit["id"] for hit in places.search(vector=[1, 0], k=50)] == ["kept"]


@pytest.mark.parametrize("documents", [None, 3, "text", b"bytes", [None], [["id", "a"]]])
def test_what_is_no_documents(places, documents):
    with pytest.raises(annx.DocumentError):
        places.upsert(documents)
    with pytest.raises(annx.DocumentError):
        places.update(documents)


def test_batches_before_an_error_stay(places):
    documents = [{"id": str(n)} for n in range(5)] + [{"id": ""}]
    with pytest.raises(annx.DocumentError, match="document 5"):
        places.upsert(iter(documents), batch_size=2)
    assert [each["id"] for each in places] == ["kept", "0", "1", "2", "3"]


def test_update_keeps_what_it_does_not_name(places):
    places.update([{"id": "kept", "m": 2}, {"id": "kept", "n": None}])
    assert places.get("kept") == {"id": "kept", "n": None, "m": 2}
    assert places.search(vector=[1, 0])[0]["id"] == "kept"
    places.update({"id": "kept", "vector": None})
    assert len(places.search(vector=[1, 0])) == 0
    with pytest.raises(annx.DocumentError, match="'no such'"):
        places.update([{"id": "kept", "n": 3}, {"id": "no such"}])
    assert places.get("kept")["n"] is None


def test_get_keeps_order_and_repeats(places):
    places.upsert({"id": "b"})
    ids = ["b", "none", "kept", "b"]
    assert [each and each["id"] for each in places.get(ids)] == ["b", None, "kept", "b"]
    assert places.get([]) == [] and places.get("none") is None
    for bad in (3, [3], "", [""]):
        with pytest.raises(annx.DocumentError):
            places.get(bad)


def test_delete_says_what(places):
    with pytest.raises(annx.ParameterError):
        places.delete()
    with pytest.raises(annx.ParameterError):
        places.delete(["kept"], filter={"n": 1})
    with pytest.raises(annx.FilterError):
        places.delete(filter={"n": {"$what": 1}})
    assert len(places) == 1
    assert places.delete("kept") == 1 and len(places) == 0


@pytest.mark.parametrize(
    "settings, rows",
    [
        ({"dim": 16, "metric": "hamming"}, np.arange(8, dtype=np.uint8).reshape(4, 2)),
        ({"dim": 3, "codec": "i8"}, np.arange(-6, 6).reshape(4, 3)),
        ({"dim": 3, "codec": "u8"}, np.arange(12).reshape(4, 3)),
        ({"dim": 3, "codec": "f16", "metric": "ip"}, np.eye(3) / 8),
        ({"dim": 70, "dtype": "float16", "metric": "cosine"}, np.arange(1, 281).reshape(4, 70)),
        ({"dim": 3, "codec": "bf16"}, np.arange(12).reshape(4, 3) / 2),
    ],
)
def test_every_kind_of_vector_survives(tmp_path, settings, rows):
    with opened(tmp_path, vectors={"v": VectorField(**settings)}) as collection:
        collection.upsert({"id": str(n), "v": row} for n, row in enumerate(rows))
    for path in tmp_path.glob("*.annx"):
        path.unlink()
    with (
        pytest.warns(annx.RebuildWarning, match="missing"),
        opened(tmp_path, read_only=True) as collection,
    ):
        assert collection.schema.vectors["v"] == VectorField(**settings)
        for n, row in enumerate(rows):
            np.testing.assert_array_equal(collection.get(str(n), vectors=True)["v"], row)
            assert collection.search(vector=row, k=1)[0]["id"] == str(n)


def test_schema_is_fixed(tmp_path):
    fields = {"a": {"dim": 2}, "b": {"dim": 3, "metric": "ip"}}
    annx.Collection.open(tmp_path, vectors=fields).close()
    annx.Collection.open(tmp_path, vectors=fields).close()
    annx.Collection.open(tmp_path).close()
    for other in (
        {"dim": 2},
        {"vectors": {"a": {"dim": 2}}},
        {"vectors": {**fields, "b": {"dim": 4, "metric": "ip"}}},
        {"sparse": ["s"]},
    ):
        with pytest.raises(annx.SchemaError, match="created with"):
            annx.Collection.open(tmp_path, **other)
    annx.Collection.open(tmp_path).close()


@pytest.mark.parametrize(
    "settings",
    [
        {"dim": 0},
        {"dim": 2, "metric": "manhattan"},
        {"dim": 2, "codec": "zip"},
        {"dim": 2, "vectors": {"v": {"dim": 2}}},
        {"metric": "l2"},
        {"vectors": {"id": {"dim": 2}}},
        {"vectors": {"": {"dim": 2}}},
        {"vectors": {"v": {"dim": 2, "colour": "red"}}},
        {"vectors": {"v": {"dim": 2, "M": 1}}},
        {"vectors": ["v"]},
        {"dim": 2, "sparse": ["vector"]},
        {"dim": 2, "sparse": ["s", "s"]},
        {"dim": 2, "embed": len},
        {"dim": 12, "metric": "hamming"},
        {"dim": 2, "stored": 5},
        {"dim": 2, "text": "a", "embed": len, "embed_from": 5},
        {"text": {"a": "en"}},
        {"vectors": {"v": 3}},
        {"dim": 2, "text": "a", "embed": {"no": len}},
    ],
)
def test_settings_that_make_no_collection(tmp_path, settings):
    with pytest.raises(annx.SchemaError) as caught:
        annx.Collection.open(tmp_path / "new", **settings)
    assert "annx.collection" not in str(caught.value) and "__init__" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments", [{"num_threads": 0}, {"num_threads": "2"}, {"text": "a", "embed": 5}]
)
def test_arguments_that_make_no_collection(tmp_path, arguments):
    """Though none of them is kept with it."""
    with pytest.raises(annx.ParameterError):
        annx.Collection.open(tmp_path / "new", dim=2, **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("path", "error"),
    [("", annx.ParameterError), ("a\0b", annx.ParameterError), ("a" * 300, annx.StorageError)],
)
def test_paths_that_name_no_folder(tmp_path, monkeypatch, path, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        annx.Collection.open(path, dim=2)
    assert not list(tmp_path.iterdir())


def test_settings_may_be_numpys_numbers(tmp_path):
    field = {"dim": np.int64(2), "M": np.int32(8), "seed": np.uint8(3)}
    for _ in range(2):
        with opened(tmp_path, vectors={"v": field}) as collection:
            assert collection.schema.vectors["v"] == VectorField(2, M=8, seed=3)


def test_stored_keys_come_back_and_are_not_filtered_by(tmp_path):
    settings = {"dim": 2, "stored": ["html", "raw"]}
    with annx.Collection.open(tmp_path / "pages", **settings) as pages:
        pages.upsert([{"id": "a", "html": "<p>", "raw": {"deep": 1}, "site": "x"}])
    with annx.Collection.open(tmp_path / "pages") as pages:
        assert pages.get("a") == {"id": "a", "html": "<p>", "raw": {"deep": 1}, "site": "x"}
        assert pages.count({"site": "x"}) == 1
        for name in ("html", "raw.deep"):
            with pytest.raises(annx.FilterError, match=name.split(".")[0]):
                pages.count({name: {"$exists": True}})
    with pytest.raises(annx.SchemaError, match="stored"):
        annx.Collection.open(tmp_path / "pages", stored="html")
    with pytest.raises(annx.SchemaError, match="twice"):
        annx.Collection.open(tmp_path / "other", dim=2, text="html", stored="html")


def test_text_without_its_extra_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(annx.MissingExtraError, match="text"):
        annx.Collection.open(tmp_path / "new", text="body")
    assert not (tmp_path / "new").exists()


def test_memory_of_a_long_write_is_that_of_a_batch(tmp_path, monkeypatch):
    """Documents are taken from an iterable as they are written."""
    monkeypatch.setattr(_writing, "_BATCH_BYTES", 1_000_000)

    def documents(size, most):
        before = len(collection)
        for n in range(100):
            yield {"id": f"{size} {n}", "text": "x" * size}
            assert n + 1 - (len(collection) - before) <= most

    with opened(tmp_path, dim=2, durability="none") as collection:
        assert collection.upsert(documents(100_000, 10)) == 100
        assert collection.upsert(documents(10, 7), batch_size=7) == 100
        assert len(collection) == 200
