"""Speed of a batch on one thread, at the smallest beam that reaches a recall."""

from __future__ import annotations

import numpy as np
import pytest

import annx

EFS = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 96, 112, 136, 160, 224, 320, 448, 640)


def smallest(engine, task, recall):
    """Set the smallest beam that reaches a recall; return it and what it reaches."""
    asked = engine.prepare(task.queries)
    for ef in EFS:
        engine.use({"ef": ef})
        reached = task.truth.recall(np.asarray(engine.search(asked, 10)))
        if reached >= recall:
            return ef, reached
    pytest.skip(f"recall {recall} is out of reach: {reached:.4f} at ef {ef}")


@pytest.mark.parametrize("recall", [0.90, 0.95, 0.99])
def test_batch_at_recall(benchmark, engine, task, recall):
    ef, reached = smallest(engine, task, recall)
    benchmark.group = f"search {len(task.queries)} queries at recall@10 >= {recall:.2f}"
    benchmark.extra_info.update(ef=ef, recall=reached)
    asked = engine.prepare(task.queries)
    benchmark.pedantic(engine.search, (asked, 10), rounds=20, warmup_rounds=2)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_filtered(benchmark, engine, task, share):
    """The same rows allowed for all queries; hnswlib asks a Python function about each."""
    few = task.queries[:20]
    allowed = np.random.default_rng(0).random(len(task.base)) < share
    benchmark.group = f"{len(few)} filtered queries, {share:.1%} of the rows pass"
    asked = engine.prepare(few)
    engine.use({"ef": 80})
    if engine.spec.library == "annx":
        labels = annx.Filter(engine.index, np.flatnonzero(allowed))

        def search():
            return engine.index.search(asked, 10, filter=labels, num_threads=1).labels
    else:
        passes = allowed.tolist()

        def search():
            found, _ = engine.index.knn_query(asked, 10, num_threads=1, filter=passes.__getitem__)
            return found

    try:
        found = benchmark.pedantic(search, rounds=5, warmup_rounds=1)
    except RuntimeError:
        pytest.skip("it returns nothing where fewer than k pass")
    assert allowed[found[found >= 0]].all()
