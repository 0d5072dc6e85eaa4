"""One index, one filter and one collection, shared by threads that do all at once to them."""

from __future__ import annotations

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import annx

#: Longer at night.
SECONDS = float(os.environ.get("ANNX_STRESS_SECONDS", "4"))
DIM = 8
#: Labels that are always there, and change their vectors; half of them pass the filter.
KEPT = 200
PASSING = KEPT // 2


def row_of(label, version):
    """A vector of whole numbers that tells what it is of, and fits bytes."""
    local = np.random.default_rng([label, version])
    row = local.integers(0, 256, DIM).astype(np.float32)
    row[:3] = label // 256, label % 256, version % 256
    return row


def labels_in(rows):
    rows = np.asarray(rows, np.float64)
    return (256 * rows[:, 0] + rows[:, 1]).astype(np.int64)


class Everyone:
    """Runs jobs again and again, each on threads of its own, until time is up or one fails."""

    def __init__(self):
        self.stop = threading.Event()
        self.jobs = []

    def add(self, job, threads=1):
        self.jobs += [(job, len(self.jobs) + who) for who in range(threads)]

    def run(self, half_way):
        def work(job, seed):
            local = np.random.default_rng(seed)
            try:
                while not self.stop.is_set():
                    job(local)
            finally:
                self.stop.set()

        with ThreadPoolExecutor(len(self.jobs)) as pool:
            running = [pool.submit(work, *each) for each in self.jobs]
            self.stop.wait(SECONDS / 2)
            try:
                half_way()
                self.stop.wait(SECONDS / 2)
            finally:
                self.stop.set()
            for each in running:
                each.result(300)  # the last of it, slow under sanitizers


class SharedIndex:
    """An index, a filter on it, and what is known of them."""

    def __init__(self, folder):
        self.path = folder / "shared.annx"
        self.index = annx.Index(DIM, M=8, ef_construction=40, seed=1)
        self.index.add([row_of(label, 0) for label in range(KEPT)])
        self.only = annx.Filter(self.index, np.arange(PASSING))
        self.numbers = itertools.count(KEPT)
        self.lock = threading.Lock()
        self.present: set[int] = set()  # of those that may be removed
        self.removed: set[int] = set()
        # Versions that were begun, and that were acknowledged.
        self.begun, self.done = [0] * KEPT, [0] * KEPT
        self.updating = threading.Lock()

    def put(self, local):
        labels = [next(self.numbers) for _ in range(local.integers(1, 30))]
        self.index.add([row_of(label, 0) for label in labels], labels)
        with self.lock:
            self.present.update(labels)

    def remove(self, local):
        with self.lock:
            count = min(len(self.present) - 200, 30)
            labels = [self.present.pop() for _ in range(count)]
        if not labels:
            time.sleep(0.001)
            return
        self.index.remove(labels)
        with self.lock:
            self.removed.update(labels)

    def update(self, local):
        with self.updating:
            labels = local.choice(KEPT, 10, replace=False).tolist()
            for label in labels:
                self.begun[label] += 1
            self.index.update(labels, [row_of(label, self.begun[label]) for label in labels])
            for label in labels:
                self.done[label] = self.begun[label]

    def search(self, local):
        """The filter lets through what it should, in the version of the moment."""
        query = row_of(int(local.integers(KEPT)), 0)
        before = list(self.done)
        found = self.index.exact_search(query, k=PASSING + 1, filter=self.only)
        after = list(self.begun)
        labels, distances = found.labels[0, :-1], found.distances[0, :-1]
        assert found.labels[0, -1] == -1
        assert sorted(labels.tolist()) == list(range(PASSING))
        for label, distance in zip(labels.tolist(), distances.tolist(), strict=True):
            versions = range(before[label], after[label] + 1)
            ways = [((row_of(label, each) - query) ** 2).sum() for each in versions]
            assert any(abs(distance - way) <= 1e-4 * (1 + way) for way in ways), (label, distance)

    def walk(self, local):
        """By the graph: nothing twice, nothing that is gone or that does not pass."""
        with self.lock:
            gone = set(self.removed)
        queries = np.stack([row_of(int(local.integers(3000)), 0) for _ in range(4)])
        even = annx.Filter(self.index, np.arange(0, KEPT, 2))
        choices = [
            (None, lambda label: True),
            (self.only, lambda label: label < PASSING),
            (~self.only, lambda label: label >= PASSING),
            (self.only & even, lambda label: label < PASSING and label % 2 == 0),
            ([self.only, None, ~self.only, even], None),
        ]
        filter, passes = choices[local.integers(len(choices))]
        call = local.integers(4)
        if call == 0:
            hits = self.index.search(queries, k=7, filter=filter, report=True)
        elif call == 1:
            hits = self.index.search(queries, k=7, filter=filter, recall=0.9)
        elif call == 2:
            hits = self.index.search(queries, k=7, filter=filter, diversity=0.3)
        else:
            hits = self.index.search(queries, k=7, filter=filter, num_threads=2)
        for number, row in enumerate(hits.labels):
            labels = row[row >= 0].tolist()
            assert len(set(labels)) == len(labels)
            assert not gone.intersection(labels)
            if passes is None:
                assert number != 0 or all(label < PASSING for label in labels)
                assert number != 2 or all(label >= PASSING for label in labels)
            else:
                assert all(map(passes, labels))

    def tune(self, local):
        table = self.index.tune(k=int(local.integers(1, 20)))
        assert all(entry.ef_search >= 1 for entry in table.values())

    def look(self, local):
        info = self.index.info()
        assert info["n"] >= KEPT and info["codec"] in ("u8", "sq8")
        assert ("whole number" in info["codec_why"]) == (info["codec"] == "u8")
        report = self.index.check()
        assert report.ok, report
        assert "all but" in repr(~self.only) and 7 in self.index

    def save(self, local):
        with self.lock:
            gone = set(self.removed)
        incremental = bool(local.integers(2)) and self.path.exists()
        self.index.save(self.path, incremental=incremental)
        for copy in (annx.load(self.path), annx.Index.from_bytes(self.index.to_bytes())):
            assert not gone.intersection(copy.labels.tolist())
            assert set(range(KEPT)) <= set(copy.labels.tolist())
            labels = copy.labels[copy.labels >= 0]
            assert np.array_equal(labels_in(copy.get(labels)), labels)
        self.index.compact()

    def change_codec(self):
        """Rows come that bytes do not hold."""
        label = next(self.numbers)
        row = row_of(label, 0)
        row[-1] = 0.5
        self.index.add([row], [label])

    def verify(self):
        index = self.index
        kept = [index.get(label) for label in range(KEPT)]
        wanted = [row_of(label, self.done[label]) for label in range(KEPT)]
        assert self.begun == self.done and np.array_equal(kept, wanted)
        others = set(index.labels.tolist()) - set(range(KEPT))
        last = next(self.numbers)
        assert others == set(range(KEPT, last)) - self.removed
        assert np.array_equal(labels_in(index.get(index.labels)), index.labels)
        assert index.codec == "sq8" and index.check().ok


class SharedCollection:
    """A collection of batches, each written whole in one version."""

    EACH = 40  # more than are applied at once, so that new ones are prepared

    def __init__(self, folder):
        self.all = annx.Collection.open(
            folder / "shared", dim=DIM, durability="none", num_threads=1
        )
        self.acknowledged: dict[int, int] = {}
        self.gone: set[int] = set()
        self.turns = itertools.count()
        self.writing = [threading.Lock() for _ in range(8)]
        self.versions = itertools.count()

    def write(self, local):
        batch = int(local.integers(len(self.writing)))
        with self.writing[batch]:
            version = next(self.versions)
            self.all.upsert(
                {
                    "id": f"{batch}-{place}",
                    "batch": batch,
                    "version": version,
                    "vector": row_of(place, version),
                }
                for place in range(self.EACH)
            )
            self.acknowledged[batch] = version

    def pass_by(self, local):
        """A batch that comes and goes."""
        number = 100 + next(self.turns)
        ids = [f"{number}-{place}" for place in range(5)]
        self.all.upsert({"id": id, "batch": number, "vector": row_of(9, number)} for id in ids)
        assert all(document["batch"] == number for document in self.all.get(ids))
        assert self.all.count({"batch": number}) == 5
        assert self.all.delete(filter={"batch": number}) == 5
        self.gone.add(number)

    def read(self, local):
        before, gone = dict(self.acknowledged), set(self.gone)
        query = row_of(3, 0)
        filter = (None, {"batch": {"$lt": 100}})[local.integers(2)]
        found: dict[int, list] = {}
        for hit in self.all.search(vector=query, k=2000, ef_search=4000, filter=filter):
            assert hit["batch"] not in gone
            if hit["batch"] >= 100:
                assert filter is None
                continue
            place = int(hit["id"].partition("-")[2])
            held = row_of(place, hit["version"])
            way = float(((held - query) ** 2).sum())
            assert abs(hit.score + way) <= 1e-4 * (1 + way)
            found.setdefault(hit["batch"], []).append(hit["version"])
        for batch, versions in found.items():
            assert len(versions) == self.EACH and len(set(versions)) == 1, batch
        for batch, version in before.items():
            assert found[batch][0] >= version

    def keep(self, local):
        self.all.checkpoint()
        stats = self.all.stats()
        assert stats.documents >= 0 and stats.bytes > 0
        assert [each for each in self.all if each["batch"] < 0] == []
        time.sleep(0.05)

    def verify(self):
        assert self.all.check() == []
        batches = self.acknowledged
        assert len(self.all) == self.EACH * len(batches)
        for document in self.all.iterate(vectors=True):
            place = int(document["id"].partition("-")[2])
            assert document["version"] == batches[document["batch"]]
            assert np.array_equal(document["vector"], row_of(place, document["version"]))
        self.all.close()


@pytest.mark.filterwarnings("ignore::annx.TuningWarning")
def test_everything_at_once(engine, tmp_path):
    shared, documents = SharedIndex(tmp_path), SharedCollection(tmp_path)
    everyone = Everyone()
    for job in (shared.put, shared.search, shared.walk, documents.write, documents.read):
        everyone.add(job, threads=2)
    for job in (shared.remove, shared.update, shared.tune, shared.look, shared.save):
        everyone.add(job)
    for job in (documents.pass_by, documents.keep):
        everyone.add(job)
    everyone.run(half_way=shared.change_codec)
    shared.verify()
    documents.verify()
