"""Many threads on one collection: whole batches, and all that was acknowledged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from collection_model import DIM, opened

import annx
from annx.collection._gate import Gate

TOGETHER = 40  # more than are applied at once, so that new rows are prepared


def vector(number, place, version):
    return np.array([number, place, version, 1], np.float32)


def batch(number, version):
    return [
        {
            "id": f"{number}-{place}",
            "batch": number,
            "place": place,
            "version": version,
            "vector": vector(number, place, version),
        }
        for place in range(TOGETHER)
    ]


@pytest.mark.parametrize("reader_opens_its_own", [False, True])
def test_searches_see_whole_batches_while_writes_go_on(tmp_path, reader_opens_its_own):
    acknowledged = {}
    done = threading.Event()
    folder = tmp_path / "shared"

    def write(collection, seed):
        for step in range(30):
            number, version = 10 * seed + step % 8, step
            collection.upsert(batch(number, version))
            acknowledged[number] = version

    def look(collection):
        query = np.zeros(DIM, np.float32)
        looks = 0
        while not done.is_set() or looks < 3:
            looks += 1
            before = dict(acknowledged)
            for filter in (None, {"version": {"$gte": 0}}):
                hits = collection.search(vector=query, k=1000, ef_search=2000, filter=filter)
                versions = {}
                for hit in hits:
                    versions.setdefault(hit["batch"], []).append(hit["version"])
                    held = vector(hit["batch"], hit["place"], hit["version"])
                    assert hit.score == -float(held @ held), "a document and another's vector"
                for found in versions.values():
                    assert len(found) == TOGETHER, "half a batch"
                    assert len(set(found)) == 1, "two versions of one batch"
                for number, version in before.items():
                    assert versions[number][0] >= version, "an acknowledged write is missing"
            for number, version in before.items():
                assert collection.count({"batch": number, "version": version}) in (0, TOGETHER)
        return looks

    with opened(folder, dim=DIM, durability="none", num_threads=1) as collection:
        other = annx.Collection.open(folder, read_only=True) if reader_opens_its_own else collection
        with ThreadPoolExecutor(5) as pool:
            lookers = [pool.submit(look, other) for _ in range(2)]
            writers = [pool.submit(write, collection, seed) for seed in (1, 2)]
            try:
                for writer in writers:
                    writer.result()
            finally:
                done.set()
            assert all(looker.result() for looker in lookers)
        if reader_opens_its_own:
            other.close()
        assert collection.check() == []


def test_rows_that_are_prepared_take_nobodys_place(tmp_path, monkeypatch):
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert(batch(5, 50))
        store, found = collection._view.store, []
        prepare = store._prepare

        def prepare_and_search(new):
            prepare(new)
            assert len(collection._view.store.parts["vector:vector"].index) == 2 * TOGETHER
            with ThreadPoolExecutor(1) as pool:
                search = pool.submit(collection.search, vector=np.zeros(DIM), k=TOGETHER)
                found.append({hit["batch"] for hit in search.result(60)})
                assert len(search.result()) == TOGETHER

        monkeypatch.setattr(store, "_prepare", prepare_and_search)
        collection.upsert(batch(1, 1))  # nearer
        assert found == [{5}]
        assert {hit["batch"] for hit in collection.search(vector=np.zeros(DIM), k=TOGETHER)} == {1}


def test_a_write_that_fails_leaves_no_trace(tmp_path, monkeypatch):
    """Also where rows were prepared, which searches may not see."""
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert(batch(1, 0))
        store = collection._view.store
        monkeypatch.setattr(store.records, "commit", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collection.upsert(batch(2, 0))
        monkeypatch.undo()
        hits = collection.search(vector=np.ones(DIM), k=1000, ef_search=2000)
        assert {hit["batch"] for hit in hits} == {1} and len(collection) == TOGETHER
        collection.upsert(batch(3, 0))
        assert collection.check() == []
        hits = collection.search(vector=np.ones(DIM), k=1000, ef_search=2000)
        assert sorted({hit["batch"] for hit in hits}) == [1, 3] and len(hits) == 2 * TOGETHER


@pytest.mark.parametrize("part", ["columns", "vector:vector"])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_part_that_fails_after_the_commit_catches_up(tmp_path, monkeypatch, part, error):
    with opened(tmp_path, dim=DIM, durability="none") as collection:
        collection.upsert(batch(1, 0))

        def fail(changes, sequence):
            raise error

        monkeypatch.setattr(collection._view.store.parts[part], "apply", fail)
        with pytest.raises(error):
            collection.upsert(batch(2, 0)[:3])
        monkeypatch.undo()
        hits = collection.search(vector=np.ones(DIM), k=1000, ef_search=2000)
        assert len(hits) == len(collection) == TOGETHER + 3
        assert collection.count({"batch": 2}) == 3
        assert collection.check() == []


def test_the_gate_lets_a_thread_in_again():
    gate = Gate()
    entered = []
    with gate.shared():
        writer = threading.Thread(target=lambda: [gate.exclusive().__enter__(), entered.append(1)])
        writer.start()
        while not gate._waiting:
            pass
        # Waits behind the writer, if it does not know its own thread.
        with gate.shared():
            assert not entered
    writer.join(10)
    assert entered
    gate = Gate()
    with gate.exclusive(), gate.exclusive(), gate.shared():
        pass
    with gate.shared(), gate.shared():
        pass


def test_closed_is_closed(tmp_path):
    collection = annx.Collection.open(tmp_path, dim=DIM)
    collection.close()
    collection.close()
    for call in (
        lambda: collection.upsert({"id": "a"}),
        lambda: collection.get("a"),
        lambda: collection.search(vector=np.ones(DIM)),
        lambda: len(collection),
        lambda: collection.stats(),
        lambda: collection.compact(),
    ):
        with pytest.raises(annx.ClosedError, match="closed"):
            call()
