"""Checkpoints, compaction, statistics, and how much opening has to replay."""

from __future__ import annotations

import numpy as np
import pytest
from collection_model import DIM, Model, kill, opened

import annx
from annx.collection import _store, _vectors


def documents(first, count, version=0):
    rng = np.random.default_rng([first, version])
    return [
        {"id": f"d{n}", "vector": row, "n": version}
        for n, row in enumerate(rng.standard_normal((count, DIM), np.float32), first)
    ]


def compare(collection, *batches):
    model = Model()
    for batch in batches:
        model.upsert(batch)
    model.compare(collection, np.ones(DIM, np.float32))
    assert collection.check() == []


def vectors_file(folder):
    (path,) = folder.glob("vector-0.*.annx")
    return path


def test_few_changes_are_added_to_the_file_and_many_write_it_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(_vectors, "_LOG_ROWS", 30)
    saves = []
    save = annx.Index.save

    def watched(self, path, *, incremental=False):
        saves.append(incremental)
        save(self, path, incremental=incremental)

    monkeypatch.setattr(annx.Index, "save", watched)
    batches = [documents(0, 300)]
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert(batches[0])
        for step in range(4):
            batches.append(documents(300 + step, 12))
            collection.upsert(batches[-1])
            collection.checkpoint()
    with opened(tmp_path) as collection:
        compare(collection, *batches)
        batches.append(documents(0, 2, 1))
        collection.upsert(batches[-1])
    with opened(tmp_path) as collection:
        compare(collection, *batches)
    # Whole, as there is none yet; 12 rows added; 12 more would be over 30, with what is noted
    # beside rows as short as these: whole again; 12 and 2 added.
    assert saves == [False, True, False, True, True]
    assert len(list(tmp_path.glob("vector-0.*"))) == 1


def test_payload_alone_leaves_the_file_of_vectors_as_it_is(tmp_path):
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert(documents(0, 50))
    before = vectors_file(tmp_path)
    data, stamp = before.read_bytes(), before.stat().st_mtime_ns
    with opened(tmp_path) as collection:
        collection.update([{"id": f"d{n}", "n": 7} for n in range(50)])
        collection.upsert([{**each, "n": 8} for each in documents(0, 20)])  # equal vectors
    after = vectors_file(tmp_path)
    assert after.name != before.name
    assert after.read_bytes() == data and after.stat().st_mtime_ns == stamp
    with opened(tmp_path) as collection:
        assert collection.check() == [] and collection.count({"n": 7}) == 30


@pytest.mark.parametrize("size", [1, 10, 100])
def test_the_lag_is_bounded_by_itself(tmp_path, monkeypatch, size):
    monkeypatch.setattr(_store, "_LAG", 40)
    monkeypatch.setattr(_store, "_LAG_SHARE", 0.1)
    batches = []
    collection = annx.Collection.open(tmp_path, dim=DIM, durability="none")
    for first in range(0, 600, size):
        batches.append(documents(first, size))
        collection.upsert(batches[-1])
        lag = max(part.lag for part in collection.stats().parts.values())
        assert lag <= max(40, 0.1 * (first + size)) + size
    kill(collection)
    with opened(tmp_path) as collection:
        compare(collection, *batches)


def test_stats_say_what_there_is(tmp_path):
    with opened(tmp_path, dim=DIM, sparse="s", durability="none") as collection:
        collection.upsert(documents(0, 50))
        stats = collection.stats()
        assert stats.documents == 50
        assert stats.parts.keys() == {"records", "columns", "vector:vector", "sparse:s"}
        assert stats.parts["vector:vector"].lag == 50
        assert stats.parts["vector:vector"].sequence == 0 < stats.sequence
        collection.checkpoint()
        stats = collection.stats()
        for name, part in stats.parts.items():
            assert part.lag == 0 and part.sequence == stats.sequence, name
            assert part.bytes > 0
        on_disk = sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".lock")
        shared = sum(path.stat().st_size for path in tmp_path.glob("*-shm"))
        assert stats.bytes in (on_disk, on_disk - shared)


def test_what_a_search_has_made_durable_does_not_lag(tmp_path):
    pytest.importorskip("tantivy")
    with opened(tmp_path, text="title", durability="none") as collection:
        collection.upsert([{"id": "a", "title": "red"}])
        assert collection.stats().parts["text"].lag == 1
        collection.search("red")
        stats = collection.stats()
        assert stats.parts["text"].sequence == stats.sequence and stats.parts["text"].lag == 0
        collection.upsert([{"id": "b", "title": "red"}])
        assert collection.stats().parts["text"].lag > 0


def test_compact_gives_space_back(tmp_path):
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert({**each, "text": "x" * 2000} for each in documents(0, 1000))
        collection.checkpoint()
        before = collection.stats()
        collection.delete(f"d{n}" for n in range(10, 1000))
        collection.compact()
        after = collection.stats()
        for name in before.parts:
            assert after.parts[name].bytes < before.parts[name].bytes / 2, name
        assert len(collection) == 10 and collection.check() == []
        collection.compact()
    with opened(tmp_path) as collection:
        assert len(collection) == 10 and collection.check() == []


def test_ids_get_new_rows_after_they_were_deleted(tmp_path):
    """So that nothing that is derived can take a new document for an old one."""
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        batch = documents(0, 3)
        collection.upsert(batch)
        collection.delete("d0")
        collection.upsert(batch[:1])
        assert [each["id"] for each in collection] == ["d1", "d2", "d0"]
        collection.delete(["d0", "d1", "d2"])
        collection.compact()
    with opened(tmp_path) as collection:
        collection.upsert(batch)
        compare(collection, batch)
        with collection._view.snapshot() as snapshot:
            assert min(snapshot.rows_of(["d0", "d1", "d2"]).values()) > 3


def test_a_relative_path_is_that_of_its_moment(tmp_path, monkeypatch):
    """A program that changes its directory keeps writing to the collection that it opened."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with (
        annx.Collection.open("here", dim=DIM, sparse="s", durability="none") as collection,
        annx.Collection.open("here", read_only=True) as reader,
    ):
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert collection.path == tmp_path / "here"
        batch = documents(0, 50)
        collection.upsert(batch)
        assert len(reader) == 50
        collection.checkpoint()
        collection.delete("d0")
        collection.compact()
        assert collection.stats().parts["vector:vector"].bytes > 0
    assert not list((tmp_path / "elsewhere").iterdir())
    with opened(tmp_path / "here") as collection:
        compare(collection, batch[1:])
