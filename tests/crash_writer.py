"""Writes to a collection until it is killed, and says what was acknowledged.

Run as ``python crash_writer.py FOLDER SEED``: one line of JSON on stdout before each write,
``{"begin": [...]}``, and one after it, ``{"end": n}``.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import annx
from annx.collection import _store

DIM = 8
try:
    import tantivy  # noqa: F401
except ImportError:
    TEXT = None
else:
    TEXT = ["title"]
SETTINGS = {"dim": DIM, "metric": "l2", "text": TEXT, "sparse": ["weights"]}


def document(id, version):
    """The document that a version of an id is; all of it follows from the two."""
    rng = np.random.default_rng([int(id[1:]), version])
    made = {"id": id, "version": version, "title": f"title of {id} in version {version}"}
    if version % 7:
        made["vector"] = rng.integers(-50, 50, DIM).astype(np.float32).tolist()
    if version % 5:
        made["weights"] = [[version % 50, 100], [1.0, float(version)]]
    return made


def operations(seed):
    """What to do, one after another, without end: (ids and versions put, ids deleted)."""
    rng = np.random.default_rng(seed)
    version = 0
    while True:
        version += 1
        count = int(rng.choice([1, 3, 40, 200]))
        ids = [f"d{n}" for n in sorted({int(n) for n in rng.integers(0, 2000, count)})]
        if rng.random() < 0.2:
            yield [], ids
        else:
            yield [[id, version] for id in ids], []


def main():
    folder, seed = sys.argv[1], int(sys.argv[2])
    # Checkpoints often enough to be killed in them.
    _store._LAG = 300
    collection = annx.Collection.open(folder, durability="process", **SETTINGS)
    print(json.dumps({"open": True}), flush=True)
    for number, (put, gone) in enumerate(operations(seed)):
        print(json.dumps({"begin": [put, gone]}), flush=True)
        if put:
            collection.upsert([document(id, version) for id, version in put])
        else:
            collection.delete(gone)
        if number % 50 == 49:
            collection.compact()
        print(json.dumps({"end": number}), flush=True)


if __name__ == "__main__":
    main()
