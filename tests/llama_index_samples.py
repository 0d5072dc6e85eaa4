"""Nodes of LlamaIndex with metadata of all kinds, and queries for them."""

from __future__ import annotations

import numpy as np
import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

DIM = 8
NODES = 60


def metadata(number):
    made = {
        "number": number,
        "rate": number / 4,
        "city": ["Oslo", "oslo bay", "Bergen", ""][number % 4],
        "date": ["2020-01-01", "2020-01-01T00:00:00", "2021-06-01"][number % 3],
        "tags": [f"t{number % 2}", f"t{number % 5}"] if number % 3 else [],
        "sizes": [number % 4, 7],
        "seldom": "yes" if number % 7 == 0 else None,
        # Keys that the collection has for something else.
        "id": number % 4,
        "text": f"kind {number % 2}",
        "vector": number % 5,
    }
    if number % 5 == 0:
        del made["rate"]
    return made


def nodes_of(rng, count=NODES):
    centre = rng.standard_normal((6, DIM))
    rows = centre[np.arange(count) % 6] + 0.7 * rng.standard_normal((count, DIM))
    return [
        TextNode(
            id_=f"n{number}",
            text=f"node {number} is about {['foxes', 'hens', 'crows'][number % 3]} w{number}",
            metadata=metadata(number),
            embedding=np.float32(row).tolist(),
            relationships={
                NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc{number % 9}"),
            },
        )
        for number, row in enumerate(rows)
    ]


def asked(seed=1, **options):
    vector = np.random.default_rng(seed).standard_normal(DIM).tolist()
    return VectorStoreQuery(**{"query_embedding": vector, "similarity_top_k": NODES, **options})


def assert_same(got, want):
    assert got.ids == want.ids
    assert [node.node_id for node in got.nodes] == got.ids
    assert got.similarities == pytest.approx(want.similarities, abs=1e-5)
