"""Speed of a batch on one thread, at the smallest beam that reaches a recall."""

from __future__ import annotations

import pytest

EFS = (10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 56, 68, 80, 96, 112, 136, 160)


@pytest.mark.parametrize("recall", [0.90, 0.95, 0.99])
def test_batch_at_recall(benchmark, engine, task, recall):
    for ef in EFS:
        engine.use({"ef": ef})
        reached = task.truth.recall(engine.search(task.queries, 10))
        if reached >= recall:
            break
    else:
        pytest.fail(f"recall {recall} is out of reach: {reached:.4f} at ef {ef}")
    benchmark.group = f"search {len(task.queries)} queries at recall@10 >= {recall:.2f}"
    benchmark.extra_info.update(ef=ef, recall=reached)
    benchmark.pedantic(engine.search, (task.queries, 10), rounds=20, warmup_rounds=2)
