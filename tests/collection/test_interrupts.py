"""Ctrl-C at any moment: the call did all or nothing, and the collection goes on."""

from __future__ import annotations

import linecache
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from collection_model import DIM, opened, plain

import annx

try:
    import tantivy  # noqa: F401
except ImportError:
    TEXT = None
else:
    TEXT = "title"

PACKAGE = str(Path(annx.__file__).parent)
#: Interrupts of one operation, at lines evenly far apart: ANNX_INTERRUPTS=300 for as many as that.
POINTS = int(os.environ.get("ANNX_INTERRUPTS", "14"))
QUERY = np.ones(DIM, np.float32)


class Interrupt:
    """Raises KeyboardInterrupt at the n-th line that a part of this package runs."""

    def __init__(self, at, part=""):
        self.left = at
        self.part = f"{PACKAGE}/{part}"
        self.lines = 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *error):
        sys.settrace(self.before)

    def _call(self, frame, event, argument):
        return self._line if frame.f_code.co_filename.startswith(self.part) else None

    def _line(self, frame, event, argument):
        # Nothing but a tracer can come between `try` and what follows, nor between the end of a
        # `with` and letting go, which is a line event of `with` again.
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if event == "line" and not text.startswith(("with ", "try:")):
            self.lines += 1
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return self._line


def documents(ids, version):
    rng = np.random.default_rng(version)
    return [
        {
            "id": f"d{n}",
            "title": f"word{n % 3} version{version}",
            "version": version,
            "tags": [f"t{n % 4}", f"v{version}"],
            f"key{n % 5}": version + n / 2,
            "vector": rng.standard_normal(DIM),
            "s": {n % 6: 1.0 + version},
        }
        for n in ids
    ]


#: What to interrupt, and in which part of the package.
OPERATIONS = {
    "few": (lambda c, version: c.upsert(documents(range(8), version)), ""),
    "many": (lambda c, version: c.upsert(documents(range(20, 80 + version % 40), version)), ""),
    "delete": (lambda c, version: c.delete(f"d{n}" for n in range(version % 20, 60, 3)), ""),
    "checkpoint": (lambda c, version: c.checkpoint(), ""),
    "compact": (lambda c, version: c.compact(), ""),
    "search": (lambda c, version: c.search(TEXT and "word1", vector=QUERY, sparse={1: 1.0}), ""),
    "count": (lambda c, version: c.count({"tags": "t1", "key1": {"$gt": 1}}), "filters"),
    "columns": (lambda c, version: c.checkpoint(), "filters"),
}


def stored(document):
    """A document as it is read back."""
    indices, weights = zip(*document["s"].items(), strict=True)
    vector = document["vector"].astype(np.float32).tolist()
    return {**document, "vector": vector, "s": [list(indices), list(weights)]}


def found(collection):
    """All documents, and what each part finds of them."""
    held = {each["id"]: plain(each) for each in collection.iterate(vectors=True)}
    k = len(held) + 1
    parts = {
        "vector": collection.search(vector=QUERY, k=k, ef_search=1000).ids,
        "sparse": collection.search(sparse=dict.fromkeys(range(6), 1.0), k=k).ids,
        "filter": [each["id"] for each in collection.iterate(filter={"version": {"$gte": 0}})],
    }
    if TEXT:
        parts["text"] = collection.search("word0 word1 word2", vector=False, k=k).ids
    for name, ids in parts.items():
        assert sorted(ids) == sorted(held), name
    for number in range(4):
        tagged = sum(f"t{number}" in each["tags"] for each in held.values())
        assert collection.count({"tags": f"t{number}"}) == tagged
    for number in range(5):
        having = [each[f"key{number}"] for each in held.values() if f"key{number}" in each]
        assert collection.count({f"key{number}": {"$exists": True}}) == len(having)
        high = sum(value > 20 for value in having)
        assert collection.count({f"key{number}": {"$gt": 20}}) == high
    return held


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupted_call_does_all_or_nothing(tmp_path, name):
    operation, part = OPERATIONS[name]
    settings = {"text": TEXT, "sparse": "s", "durability": "none", "num_threads": 1}
    with opened(tmp_path, dim=DIM, **settings) as collection:
        collection.upsert(documents(range(60), 0))
        with Interrupt(0, part) as whole:
            operation(collection, 0)
        interrupted = 0
        for point in range(POINTS):
            version = point + 1
            before = found(collection)
            # What the operation finds to do.
            collection.upsert(documents(range(60), version))
            before |= {each["id"]: each for each in map(stored, documents(range(60), version))}
            try:
                with Interrupt(1 + point * whole.lines // POINTS, part):
                    operation(collection, version)
            except KeyboardInterrupt:
                interrupted += 1
            after = found(collection)
            # Nothing is held that others would wait for.
            other = threading.Thread(target=collection.upsert, args=[documents([999], version)])
            other.start()
            other.join(60)
            assert not other.is_alive()
            collection.delete("d999")
            operation(collection, version)
            assert after in (before, found(collection)), point
        assert interrupted > 0.7 * POINTS
        assert collection.check() == []
    with opened(tmp_path) as collection:
        found(collection)
        assert collection.check() == []
