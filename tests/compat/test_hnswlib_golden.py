"""Files that hnswlib 0.8.0 wrote, read where it is not installed."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import annx.compat.hnswlib as hnswlib

GOLDEN = Path(__file__).parents[1] / "golden" / "hnswlib"
MADE = runpy.run_path(str(GOLDEN / "make.py"))
ROWS, LABELS, DELETED = MADE["rows"](), MADE["labels"](), MADE["DELETED"]


def normalised(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_index(engine, space):
    index = hnswlib.Index(space, MADE["DIM"])
    index.load_index(GOLDEN / f"{space}.bin")
    assert (index.M, index.ef_construction) == (MADE["M"], 40)
    assert (index.max_elements, index.element_count) == (MADE["LIMIT"], MADE["N"])
    assert sorted(index.get_ids_list()) == sorted(LABELS.tolist())
    live = ~np.isin(LABELS, np.array(DELETED, np.uint64))
    want = normalised(ROWS) if space == "cosine" else ROWS
    assert np.allclose(index.get_items(LABELS[live]), want[live], rtol=1e-6)
    for label in DELETED:
        with pytest.raises(RuntimeError, match="marked deleted"):
            index.get_items([label])
    index.set_ef(MADE["N"])
    queries = ROWS[:40] + np.float32(0.01)
    rows = want[live].astype(np.float64)
    if space == "l2":
        truth = ((queries[:, None] - rows) ** 2).sum(axis=2)
    else:
        truth = 1 - (normalised(queries) if space == "cosine" else queries) @ rows.T
    labels, distances = index.knn_query(queries, 8)
    assert np.allclose(distances, np.sort(truth, axis=1)[:, :8], rtol=1e-4, atol=1e-5)
    assert set(labels.ravel().tolist()) <= set(LABELS[live].tolist())
    assert index._index.check().ok


def test_flat(engine):
    index = hnswlib.BFIndex("l2", MADE["DIM"])
    index.load_index(GOLDEN / "flat.bin")
    labels, distances = index.knn_query(ROWS[:20], 3)
    truth = np.sort(((ROWS[:20, None] - ROWS) ** 2).sum(axis=2), axis=1)[:, :3]
    assert np.allclose(distances, truth, atol=1e-6)
    assert (index.get_current_count(), index.get_max_elements()) == (MADE["N"], MADE["LIMIT"])
    assert np.array_equal(labels[1:, 0], LABELS[1:20])
