"""Files of documents in and out."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from collection_model import opened, plain

import annx

FIELDS = {"vectors": {"v": {"dim": 3}, "bits": {"dim": 16, "metric": "hamming"}}, "sparse": ["s"]}
DOCUMENTS = [
    {"id": "all", "v": [0.1, 1e-30, -3], "bits": np.array([1, 255], np.uint8), "s": {7: 0.1, 2: 3}},
    {"id": "none"},
    {"id": "🙂 \u2028 \n", "text": 'line\nbreak "quoted" \u2028', "n": 1, "flag": True},
    {"id": "mixed", "n": "one", "list": [1, 2], "flag": False, "big": 1 << 80, "f": 0.1},
    {"id": "nested", "list": [3], "deep": {"a": [{"b": None}]}, "tags": ["x", "y"], "f": 2.0},
    {"id": "empty", "tags": [], "title": "", "deep": {}, "v": [0, 0, 0]},
]


@pytest.fixture
def source(tmp_path):
    with opened(tmp_path / "source", durability="none", **FIELDS) as collection:
        collection.upsert(DOCUMENTS)
        yield collection


def everything(collection, **options):
    return [plain(each) for each in collection.iterate(vectors=True, **options)]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.parquet", "out.ndjson"])
@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_what_is_exported_is_imported_again(tmp_path, source, name, batch_size):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    told = []
    path = tmp_path / name
    assert source.export_file(path, progress=lambda *pair: told.append(pair)) == len(DOCUMENTS)
    assert told[-1] == (len(DOCUMENTS), len(DOCUMENTS))
    told.clear()
    with opened(tmp_path / "copy", durability="none", **FIELDS) as copy:
        done = copy.import_file(
            path, batch_size=batch_size, progress=lambda *pair: told.append(pair)
        )
        assert done == len(DOCUMENTS) and told[-1] == (done, done)
        assert everything(copy) == everything(source)
        assert copy.import_file(path) == done and len(copy) == done
        assert copy.check() == []


def test_export_of_a_part(tmp_path, source):
    path = tmp_path / "part.jsonl"
    assert source.export_file(path, filter={"tags": "x"}, vectors=False) == 1
    assert json.loads(path.read_text("utf-8"))["id"] == "nested"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["part.jsonl"]


def test_beir_folders(tmp_path):
    folder = tmp_path / "beir"
    folder.mkdir()
    lines = [
        {"_id": "1", "title": "Ape", "text": "An animal", "metadata": {"url": "x", "year": 1999}},
        {"_id": "2", "title": "", "text": "Two", "metadata": {}},
        {"_id": "3", "title": "Three", "text": "words"},
    ]
    (folder / "corpus.jsonl").write_text("\n\n".join(map(json.dumps, lines)), "utf-8")
    with opened(tmp_path / "c", dim=2, durability="none") as collection:
        assert collection.import_file(folder) == 3
        assert collection.get("1") == {
            "id": "1",
            "title": "Ape",
            "text": "An animal",
            "url": "x",
            "year": 1999,
        }
        assert collection.export_file(tmp_path / "again") == 3
        first = everything(collection)
    with opened(tmp_path / "d", dim=2, durability="none") as collection:
        collection.import_file(tmp_path / "again")
        assert everything(collection) == first
    (folder / "corpus.jsonl").rename(folder / "plain.jsonl")
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as file:
        file.write(json.dumps({"_id": "9", "text": "packed"}))
    with opened(tmp_path / "e", dim=2, durability="none") as collection:
        assert collection.import_file(folder) == 1
        with pytest.raises(annx.DocumentError, match="plain.jsonl, line 1: no key 'id'"):
            collection.import_file(folder / "plain.jsonl")
        renamed = {"_id": "id", "text": "body"}
        assert collection.import_file(folder / "plain.jsonl", rename=renamed) == 3
        assert collection.get("2") == {"id": "2", "title": "", "body": "Two", "metadata": {}}


@pytest.mark.parametrize(
    "line, error",
    [
        ('{"id": "bad"', annx.DocumentError),
        ("[1]", annx.DocumentError),
        ('{"no": "id"}', annx.DocumentError),
        ('{"id": 3}', annx.DocumentError),
        ('{"id": "bad", "x": NaN}', annx.DocumentError),
        ('{"id": "bad", "v": [1, 2]}', annx.DimensionError),
        ('{"id": "bad", "v": [1, 2, Infinity]}', annx.NonFiniteError),
        ('{"id": "bad", "s": {"a": 1}}', annx.DocumentError),
        ("[" * 100_000, annx.DocumentError),
        ('{"id": "\\ud800"}', annx.DocumentError),
        ("\x80", annx.DocumentError),
    ],
)
def test_a_bad_line_is_named_and_whole_batches_stay(tmp_path, line, error):
    path = tmp_path / "bad.jsonl"
    good = [json.dumps({"id": str(n)}) for n in range(7)]
    path.write_bytes("\n".join([*good, "", line, '{"id": "after"}']).encode("latin-1"))
    with opened(tmp_path / "c", durability="none", **FIELDS) as collection:
        with pytest.raises(error, match=r"bad\.jsonl, line 9"):
            collection.import_file(path, batch_size=3)
        assert [each["id"] for each in collection] == [str(n) for n in range(6)]
        assert collection.check() == []


def test_files_that_cannot_be_read(tmp_path, source):
    for name, error in (
        ("none.jsonl", FileNotFoundError),
        ("none.xlsx", annx.ParameterError),
        ("no folder", FileNotFoundError),
    ):
        with pytest.raises(error):
            source.import_file(tmp_path / name)
    with pytest.raises(annx.ParameterError):
        source.import_file(tmp_path / "x.jsonl", format="csv")
    with pytest.raises(annx.ParameterError):
        source.import_file(tmp_path / "x.jsonl", rename={"a": 1})
    whole = gzip.compress(b'{"id": "a"}\n' * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    (tmp_path / "flip.jsonl.gz").write_bytes(whole[:20] + b"\xff" + whole[21:])
    for name in ("cut.jsonl.gz", "flip.jsonl.gz"):
        with pytest.raises(OSError, match=name):
            source.import_file(tmp_path / name)
    (tmp_path / "junk.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(OSError):
        source.import_file(tmp_path / "junk.jsonl.gz")
    with pytest.raises(OSError):
        source.export_file(tmp_path / "no folder" / "x.jsonl")
    assert len(source) == len(DOCUMENTS)


def test_junk_instead_of_parquet(tmp_path, source):
    pytest.importorskip("pyarrow")
    path = tmp_path / "junk.parquet"
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(annx.ParameterError):
        source.import_file(path)


def test_parquet_of_others(tmp_path):
    """Dates, dictionaries, float16, lists of vectors: what pandas and datasets write."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    import datetime

    rows = np.arange(6, dtype=np.float16).reshape(2, 3)
    table = pyarrow.table(
        {
            "id": pyarrow.array(["a", "b"]).dictionary_encode(),
            "v": pyarrow.array(rows.tolist(), pyarrow.list_(pyarrow.float32())),
            "when": [datetime.datetime(2026, 1, 1), None],
            "n": pyarrow.array([1, None], pyarrow.int8()),
        }
    )
    parquet.write_table(table, tmp_path / "x.pq")
    with opened(tmp_path / "c", vectors={"v": {"dim": 3}}, durability="none") as collection:
        assert collection.import_file(tmp_path / "x.pq") == 2
        assert everything(collection) == [
            {"id": "a", "when": "2026-01-01T00:00:00", "n": 1, "v": [0, 1, 2]},
            {"id": "b", "v": [3, 4, 5]},
        ]
        bad = pyarrow.table({"id": ["c"], "raw": [b"bytes"]})
        parquet.write_table(bad, tmp_path / "bad.parquet")
        with pytest.raises(annx.DocumentError, match=r"bad\.parquet, row 1.*bytes"):
            collection.import_file(tmp_path / "bad.parquet")
