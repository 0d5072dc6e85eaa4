"""What one call for one query costs, on data so small that the call shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from annx._bench.engines import make


def test_single_query_of_16_dims(benchmark, spec):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((1000, 16), dtype=np.float32)
    engine = make(replace(spec, metric="l2"), 16)
    engine.build(base, 1)
    engine.use({"ef": 10})
    benchmark.group = "one query, 1,000 x 16-d, ef 10"
    benchmark(engine.search_one, base[3], 10)


def test_single_query_of_the_sample(benchmark, engine, task):
    engine.use({"ef": 40})
    queries = list(engine.prepare(task.queries[:100]))
    benchmark.group = "100 queries one by one, ef 40"
    benchmark(lambda: [engine.search_one(query, 10) for query in queries])
