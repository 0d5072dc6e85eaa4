"""Documents with everything, for searches of a collection."""

from __future__ import annotations

import numpy as np

WORDS = "red green blue fast slow old new data engineer house river senior junior".split()
CITIES = ["Oslo", "Bergen", "Paris", None]
COUNT = 400


def made(rng, row):
    """A document with everything; some things missing from some."""
    document = {
        "id": f"d{row}",
        "vector": rng.standard_normal(8, np.float32),
        "image": rng.standard_normal(4, np.float32),
        "title": " ".join(rng.choice(WORDS, 3)),
        "body": " ".join(rng.choice(WORDS, rng.integers(0, 12))),
        "splade": {int(i): float(w) for i, w in zip(*sparse(rng), strict=True)},
        "city": CITIES[row % 4],
        "rate": int(rng.integers(0, 100)),
        "clicks": int(rng.integers(0, 1000)),
        "posted": f"2026-01-{row % 28 + 1:02}",
        "tags": sorted(set(rng.choice(["a", "b", "c"], 2).tolist())),
    }
    for name, every in (("vector", 9), ("image", 7), ("title", 8), ("splade", 6), ("rate", 5)):
        if row % every == 1:
            del document[name]
    return document


def sparse(rng):
    return rng.choice(30, 5, replace=False), np.round(rng.random(5), 3)


def pairs(hits):
    return [(hit.id, hit.score) for hit in hits]


def numbered(hits):
    """Ids in order, equal scores in order of rows, as `fuse` has them for dicts in order."""
    return {hit.id: hit.score for hit in hits}


def order(ids):
    return sorted(ids, key=lambda id: int(id[1:]))
