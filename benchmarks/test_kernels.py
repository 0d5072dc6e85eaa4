"""One query against many rows: annx's kernels beside NumPy, on one thread.

`Index.exact_search` is the kernels and a heap of k; NumPy does the same work with a
matrix product and `argpartition`.
"""

from __future__ import annotations

import numpy as np
import pytest

import annx

ROWS, K = 4096, 10


def by_numpy(base, squares, query):
    """Nearest rows by squared Euclidean distance, as NumPy does it best."""
    distances = squares - 2 * (base @ query)
    return np.argpartition(distances, K)[:K]


@pytest.mark.parametrize("dim", [16, 128, 384, 1024])
@pytest.mark.parametrize("how", ["annx f32", "annx f16", "annx i8", "numpy f32"])
def test_scan(benchmark, dim, how):
    rng = np.random.default_rng(dim)
    whole = rng.integers(-127, 128, (ROWS + 1, dim)).astype(np.int8)
    base, query = whole[:ROWS].astype(np.float32), whole[ROWS].astype(np.float32)
    squares = (base**2).sum(axis=1)
    benchmark.group = f"scan {ROWS:,} rows of {dim}"
    want = set(by_numpy(base, squares, query))
    library, _, codec = how.partition(" ")
    if library == "numpy":
        benchmark(by_numpy, base, squares, query)
        return
    # The graph is not used here: a small one is built sooner.
    index = annx.Index(dim, codec=codec, M=4, ef_construction=10)
    stored = whole if codec == "i8" else whole.astype({"f32": "f4", "f16": "f2"}[codec])
    index.add(stored[:ROWS], num_threads=1)
    hits = benchmark(index.exact_search, stored[ROWS], K, num_threads=1)
    assert len(want & set(hits.labels[0].tolist())) >= K - 1
