from __future__ import annotations

import collection_jobs
import keyword_index
import numpy as np
import pytest

from annx.collection import Collection


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A collection of 400 documents with everything. Not to be changed."""
    rng = np.random.default_rng(7)
    pytest.importorskip("tantivy")
    with Collection.open(
        tmp_path_factory.mktemp("jobs"),
        vectors={"vector": {"dim": 8, "metric": "cosine"}, "image": {"dim": 4, "metric": "l2"}},
        text=["title", "body"],
        sparse="splade",
    ) as collection:
        collection.upsert([collection_jobs.made(rng, row) for row in range(collection_jobs.COUNT)])
        yield collection


@pytest.fixture
def queries(rng):
    return {
        "text": "senior data engineer",
        "vector": {"vector": rng.standard_normal(8), "image": rng.standard_normal(4)},
        "sparse": dict(zip(*(part.tolist() for part in collection_jobs.sparse(rng)), strict=True)),
    }


@pytest.fixture
def texts(rng):
    """Rows and documents, some without a field, some with none."""

    def some(length):
        return " ".join(rng.choice(keyword_index.WORDS, length))

    made = {}
    for row in range(300):
        document = {"title": some(rng.integers(0, 4)), "body": some(rng.integers(0, 30))}
        if row % 7 == 0:
            del document["title"]
        made[row] = document
    return made


@pytest.fixture
def open_in(tmp_path):
    """A function that opens the keyword index in a folder; all are closed afterwards."""
    pytest.importorskip("tantivy")
    from annx.collection._keywords import Keywords

    opened = []

    def make(name="text", fields=keyword_index.FIELDS, **options):
        opened.append(Keywords(tmp_path / name, fields, **options))
        return opened[-1]

    yield make
    for keywords in opened:
        keywords.close()
