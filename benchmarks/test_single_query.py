"""What one call for one query costs, on data so small that the call shows."""

from __future__ import annotations

import numpy as np

from annx.cli._bench_engines import Spec, make


def test_single_query_of_16_dims(benchmark, spec):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((1000, 16), dtype=np.float32)
    engine = make(Spec(spec.library, "l2"), 16)
    engine.build(base, 1)
    engine.set_ef(10)
    queries = [base[3]]
    benchmark.group = "one query, 1,000 x 16-d, ef 10"
    benchmark(engine.search_each, queries, 10)


def test_single_query_of_the_sample(benchmark, engine, task):
    engine.set_ef(40)
    queries = list(task.queries[:100])
    benchmark.group = "100 queries one by one, ef 40"
    benchmark(engine.search_each, queries, 10)
