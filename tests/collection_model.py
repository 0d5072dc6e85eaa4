"""The slow twin of a collection: a dict, and distances one by one."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import annx

DIM = 4


def kill(collection):
    """Leave a collection as a process that is killed would, as far as one process can."""
    store = collection._view.store
    store.records.close()
    store.lock.close()
    store._closed = "killed"


def plain(document):
    """A document whose arrays compare."""
    if document is None:
        return None
    made = {}
    for key, value in document.items():
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, tuple):
            value = [each.tolist() for each in value]
        made[key] = value
    return made


class Model:
    """What a collection of documents with one vector (l2) holds."""

    def __init__(self):
        self.documents = {}

    def upsert(self, documents):
        for document in documents:
            document = {k: v for k, v in document.items() if not (k == "vector" and v is None)}
            # An id keeps its place while it lives.
            self.documents[document["id"]] = document

    def update(self, documents):
        for change in documents:
            merged = {**self.documents[change["id"]], **change}
            if merged.get("vector", 0) is None:
                del merged["vector"]
            self.documents[change["id"]] = merged

    def delete(self, ids):
        for id in ids:
            self.documents.pop(id, None)

    def search(self, query):
        """All ids that have a vector with their scores, best first."""
        scores = {
            id: -float(((np.float32(document["vector"]) - np.float32(query)) ** 2).sum())
            for id, document in self.documents.items()
            if "vector" in document
        }
        return dict(sorted(scores.items(), key=lambda pair: -pair[1]))

    def compare(self, collection, query):
        """Fail where a collection differs."""
        assert len(collection) == collection.count() == len(self.documents)
        assert [plain(each) for each in collection.iterate(vectors=True)] == [
            plain(each) for each in self.documents.values()
        ]
        ids = [*self.documents, "no such id"]
        want = [plain(self.documents.get(id)) for id in ids]
        assert [plain(each) for each in collection.get(ids, vectors=True)] == want
        self.compare_search(collection, query)

    def compare_search(self, collection, query):
        want = self.search(query)
        hits = collection.search(vector=query, k=len(want) + 3, ef_search=400)
        found = {hit["id"]: hit.score for hit in hits}
        assert found.keys() == want.keys()
        assert list(found.values()) == sorted(found.values(), reverse=True)
        for id, score in want.items():
            assert found[id] == pytest.approx(score, rel=1e-4, abs=1e-4)


@contextlib.contextmanager
def opened(folder, **settings):
    collection = annx.Collection.open(folder, **settings)
    try:
        yield collection
    finally:
        with contextlib.suppress(annx.StorageError):
            collection.close()
