"""Distances from one query to many rows, by instruction set, on one thread.

Beside NumPy and, where it is installed, simsimd: the ratio to the fastest of a table is in
brackets. `GB/s` in the extra columns counts the rows that were read.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import annx

native = pytest.importorskip("annx._native")

ISAS = annx.cpu_info()["available"]
#: Rows of 2 MB: they stay in most processors' second cache.
BYTES = 2 << 20
DTYPES = {"f32": "f4", "f16": "f2", "i8": "i1", "u8": "u1"}
DIMS = (16, 128, 384, 1024)


def rows_and_query(kind, dim):
    rng = np.random.default_rng(dim)
    dtype = np.dtype(DTYPES[kind])
    count = BYTES // (dim * dtype.itemsize)
    low, high = (0, 256) if kind == "u8" else (-127, 128)
    whole = rng.integers(low, high, (count + 1, dim))
    if dtype.kind == "f":
        whole = whole / 100
    whole = whole.astype(dtype)
    return whole[:count], whole[count]


def note(benchmark, rows):
    benchmark.extra_info["rows"] = len(rows)
    seconds = benchmark.stats.stats.median if benchmark.stats else None  # None: disabled
    if seconds:
        benchmark.extra_info["GB/s"] = round(rows.nbytes / seconds / 1e9, 2)


def exact(rows, query):
    return ((rows.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_annx(benchmark, isa, kind, dim, full):
    if not full and dim not in (128, 384):
        pytest.skip("with --full")
    rows, query = rows_and_query(kind, dim)
    benchmark.group = f"l2 {kind} dim {dim}"
    stride = rows.strides[0]
    got = benchmark(native.kernel_distances, isa, "l2", kind, query, rows, stride, dim)
    np.testing.assert_allclose(got, exact(rows, query), rtol=1e-3)
    note(benchmark, rows)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kind", DTYPES)
def test_numpy(benchmark, kind, dim, full):
    """A matrix product over float32, which other types have to become first."""
    if not full and dim not in (128, 384):
        pytest.skip("with --full")
    rows, query = rows_and_query(kind, dim)
    benchmark.group = f"l2 {kind} dim {dim}"
    asked = query.astype(np.float32)
    squares = (rows.astype(np.float32) ** 2).sum(axis=1)
    got = benchmark(
        lambda: squares - 2 * (rows.astype(np.float32, copy=False) @ asked) + asked @ asked
    )
    np.testing.assert_allclose(got, exact(rows, query), rtol=1e-2)
    note(benchmark, rows)


@pytest.mark.skipif(importlib.util.find_spec("simsimd") is None, reason="simsimd is not installed")
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("kind", ["f32", "f16", "i8", "u8"])
def test_simsimd(benchmark, kind, dim, full):
    import simsimd

    if not full and dim not in (128, 384):
        pytest.skip("with --full")
    rows, query = rows_and_query(kind, dim)
    benchmark.group = f"l2 {kind} dim {dim}"
    got = benchmark(simsimd.cdist, query[None], rows, "sqeuclidean")
    np.testing.assert_allclose(np.asarray(got)[0], exact(rows, query), rtol=1e-2)
    note(benchmark, rows)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("how", ["annx f32", "annx f16", "annx i8", "numpy f32"])
def test_exact_search(benchmark, how, dim, full):
    """The kernels and a heap of k, against a matrix product and `argpartition`."""
    if not full and dim not in (128, 384):
        pytest.skip("with --full")
    rng = np.random.default_rng(dim)
    whole = rng.integers(-127, 128, (4097, dim)).astype(np.int8)
    base, query = whole[:-1].astype(np.float32), whole[-1].astype(np.float32)
    squares = (base**2).sum(axis=1)

    def by_numpy():
        return np.argpartition(squares - 2 * (base @ query), 10)[:10]

    benchmark.group = f"10 nearest of {len(base):,} rows, dim {dim}"
    library, _, codec = how.partition(" ")
    if library == "numpy":
        benchmark(by_numpy)
        return
    # The graph is not used here: a small one is built sooner.
    index = annx.Index(dim, codec=codec, M=4, ef_construction=10)
    stored = whole if codec == "i8" else whole.astype(DTYPES[codec])
    index.add(stored[:-1], num_threads=1)
    hits = benchmark(index.exact_search, stored[-1], 10, num_threads=1)
    assert len({*by_numpy().tolist()} & {*hits.labels[0].tolist()}) >= 9
