"""Any series of calls leaves a collection as a dict would be, also after it is opened again."""

from __future__ import annotations

import tempfile

import numpy as np
from collection_model import DIM, Model, kill
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import annx
from annx.filters import parse

IDS = st.sampled_from([*"abcdefgh", "å", "🙂", "'; DROP TABLE documents; --", "x" * 300, "a\0b"])
VECTORS = st.none() | st.lists(st.integers(-8, 8).map(float), min_size=DIM, max_size=DIM)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3
        )
    ),
    max_leaves=6,
)
PAYLOAD = st.dictionaries(st.sampled_from(["n", "city", "$lt", "Ω.x", ""]), VALUES, max_size=3)


FILTERS = st.sampled_from(
    [
        {"n": {"$gt": 0}},
        {"city": "a"},
        {"n": None},
        {"Ω.x": {"$exists": True}},
        {"": True},
        {"id": {"$in": ["a", "b", "🙂", "a\0b"]}},
        {"id": {"$nin": ["c", "å", "many 3"]}},
    ]
)


def filter_none(*values):
    return [value for value in values if value is not None]


@st.composite
def documents(draw):
    made = {"id": draw(IDS), **draw(PAYLOAD)}
    vector = draw(VECTORS)
    if vector is not None:
        made["vector"] = np.array(vector, np.float32)
    return made


class Collections(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.collection = annx.Collection.open(
            self.folder.name, dim=DIM, durability="none", num_threads=1
        )
        self.reader = None
        self.model = Model()
        self.query = np.ones(DIM, np.float32)

    @rule(batch=st.lists(documents(), max_size=6), size=st.sampled_from([1, 2, 1000]))
    def upsert(self, batch, size):
        assert self.collection.upsert(batch, batch_size=size) == len(batch)
        self.model.upsert(batch)

    @rule(many=st.integers(33, 60), seed=st.integers(0, 9))
    def upsert_many(self, many, seed):
        vectors = np.random.default_rng(seed).integers(-8, 8, (many, DIM)).astype(np.float32)
        batch = [{"id": f"many {i}", "vector": row} for i, row in enumerate(vectors)]
        self.collection.upsert(batch)
        self.model.upsert(batch)

    @rule(batch=st.lists(documents(), max_size=4))
    def update(self, batch):
        known = [each for each in batch if each["id"] in self.model.documents]
        if len(known) < len(batch):
            try:
                self.collection.update(batch)
                raise AssertionError("an id that is not there was updated")
            except annx.DocumentError:
                pass
        self.collection.update(known)
        self.model.update(known)

    @rule(ids=st.lists(IDS, max_size=4))
    def delete(self, ids):
        there = len({id for id in ids if id in self.model.documents})
        assert self.collection.delete(ids) == there
        self.model.delete(ids)

    @rule(filter=FILTERS)
    def delete_by_filter(self, filter):
        gone = [id for id, each in self.model.documents.items() if parse(filter).matches(each)]
        assert self.collection.delete(filter=filter) == len(gone)
        self.model.delete(gone)

    @rule(filter=FILTERS)
    def filter(self, filter):
        want = [id for id, each in self.model.documents.items() if parse(filter).matches(each)]
        for collection in filter_none(self.collection, self.reader):
            assert collection.count(filter) == len(want)
            found = collection.iterate(filter=filter, batch_size=3)
            assert [each["id"] for each in found] == want
            hits = collection.search(vector=self.query, k=200, filter=filter)
            ranked = [id for id in self.model.search(self.query) if id in want]
            assert {hit["id"] for hit in hits} == set(ranked)

    @rule(
        batch=st.lists(documents(), min_size=1, max_size=3),
        bad=st.sampled_from(
            [
                {"id": ""},
                {"id": 3},
                {},
                {"id": "a", "vector": [1.0]},
                {"id": "a", "n": float("nan")},
            ]
        ),
    )
    def refuse(self, batch, bad):
        try:
            self.collection.upsert([*batch, bad])
            raise AssertionError("taken")
        except annx.AnnxError:
            pass

    @rule()
    def reopen(self):
        self.collection.close()
        self.collection = annx.Collection.open(self.folder.name, durability="none", num_threads=1)

    @rule()
    def kill(self):
        kill(self.collection)
        self.collection = annx.Collection.open(self.folder.name, durability="none", num_threads=1)

    @rule()
    def compact(self):
        self.collection.compact()

    @rule()
    def checkpoint(self):
        self.collection.checkpoint()

    @precondition(lambda self: self.reader is None)
    @rule()
    def open_reader(self):
        self.reader = annx.Collection.open(self.folder.name, read_only=True, num_threads=1)

    @precondition(lambda self: self.reader is not None)
    @rule()
    def read(self):
        self.model.compare(self.reader, self.query)

    @precondition(lambda self: self.reader is not None)
    @rule()
    def close_reader(self):
        self.reader.close()
        self.reader = None

    @invariant()
    def agrees(self):
        self.model.compare(self.collection, self.query)

    def teardown(self):
        problems = self.collection.check()
        self.collection.close()
        if self.reader is not None:
            self.reader.close()
        self.folder.cleanup()
        assert problems == []


TestCollections = Collections.TestCase
TestCollections.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
