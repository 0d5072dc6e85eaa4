"""Random data and calls, against the slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import ReferenceCore, decode

import annx
from annx._check import check_state

CALM = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def batches(draw, codec):
    """A few batches of rows, with equal and near-equal rows among them."""
    dim = draw(st.sampled_from([8, 24, 40])) if codec == "b1" else draw(st.integers(1, 40))
    columns = dim // 8 if codec == "b1" else dim
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    few = draw(st.booleans())
    result = []
    for size in draw(st.lists(st.integers(0, 25), min_size=1, max_size=4)):
        if codec in ("u8", "b1"):
            rows = rng.integers(0, 3 if few else 256, (size, columns), dtype=np.uint8)
        elif codec == "i8":
            rows = rng.integers(-2 if few else -128, 2 if few else 128, (size, columns), np.int8)
        else:
            rows = rng.standard_normal((size, columns)).astype(np.float32)
            rows = np.round(rows) if few else rows.astype(np.float16).astype(np.float32)
            if codec == "bf16":
                rows = (rows.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        result.append(rows)
    return dim, result


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_small_indexes_are_exact(engine, codec, metric):
    """A beam at least as wide as the index finds the true neighbours, ties apart."""

    @CALM
    @given(data=batches(codec), k=st.integers(1, 60), m=st.integers(2, 6))
    def run(data, k, m):
        dim, parts = data
        if metric == "cosine":
            parts = [rows[(rows != 0).any(axis=1)] for rows in parts]
        index = annx.Index(dim, metric, codec=codec, M=m, ef_construction=10, ef_search=128)
        twin = ReferenceCore(index._config)
        labels = 7
        for rows in parts:
            wanted = np.arange(labels, labels + len(rows)) * 5
            labels += len(rows)
            index.add(rows, wanted)
            words = (rows.view(np.uint32) >> 16).astype(np.uint16) if codec == "bf16" else rows
            words = words.astype(np.float16) if codec == "f16" else words
            twin.add(words, wanted, num_threads=1)
        check_state(index._config, index._core.export_state())
        queries = max(parts, key=len)[:5]
        if not len(queries):
            return
        raw = (queries.view(np.uint32) >> 16).astype(np.uint16) if codec == "bf16" else queries
        want_labels, want = twin.exact_search(raw, k, 1)
        squares = (decode(codec, twin._rows) ** 2).sum(axis=1).max()
        close = 2e-6 * (1 + (0 if metric == "cosine" else squares))
        for got_labels, got in (index.search(queries, k), index.exact_search(queries, k)):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=close)
            assert np.array_equal(got_labels == -1, want_labels == -1)
            for row in got_labels.tolist():
                found = [label for label in row if label != -1]
                assert len(set(found)) == len(found)
        assert np.array_equal(index.labels, twin.labels())
        again = annx.Index.from_bytes(index.to_bytes())
        assert np.array_equal(again.search(queries, k).labels, index.search(queries, k).labels)

    run()
