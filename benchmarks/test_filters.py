"""Filters of a million documents: the mask of five clauses, and the search that it limits."""

from __future__ import annotations

import time
from functools import cache
from itertools import count

import numpy as np
import pytest

import annx
from annx.filters import Columns, F

ROWS, FEW = 1_000_000, 100_000
#: Documents made at a time, so that they are never all in memory.
BATCH = 10_000


@cache
def _columns(rows: int) -> Columns:
    rng = np.random.default_rng(0)
    columns = Columns()
    for start in range(0, rows, BATCH):
        cat, tags = rng.integers(0, 50, BATCH).tolist(), rng.integers(0, 40, (BATCH, 3)).tolist()
        price, city = rng.random(BATCH).tolist(), rng.integers(0, 1000, BATCH).tolist()
        noted = rng.random(BATCH) < 0.5
        documents = [
            {
                "id": f"doc{start + i}",
                "cat": cat[i],
                "price": price[i],
                "tags": [f"tag{tag}" for tag in tags[i]],
                "city": f"city{city[i]}",
                "posted": str(np.datetime64("2020-01-01T00:00:00") + (start + i)),
                **({"note": i} if noted[i] else {}),
            }
            for i in range(BATCH)
        ]
        columns.upsert(np.arange(start, start + BATCH), documents)
    return columns


@pytest.fixture
def rows(full):
    return ROWS if full else FEW


@pytest.fixture
def columns(rows):
    return _columns(rows)


def _five(i):
    """Five clauses on six values, other ones for each i."""
    tags = [f"tag{(i * 7 + j) % 40}" for j in range(3)]
    price = 0.05 + (i % 97) / 1000
    return (F("cat") == i % 50) | (
        (F("price") < price)
        & F("tags").contains_any(tags)
        & F("note").exists()
        & F("city").prefix(f"city{i % 90 + 10}")
    )


def test_mask(benchmark, columns, rows):
    """Operands change from call to call; what the columns keep of earlier calls helps."""
    benchmark.group = f"mask of 5 clauses, {rows:,} rows"
    turn = count()
    for _ in range(60):  # as many as it takes until each tag was asked for
        columns.mask(_five(next(turn)))
    benchmark(lambda: columns.mask(_five(next(turn))))
    benchmark.extra_info["matches"] = columns.count(_five(0))


def test_mask_with_nothing_kept(benchmark, columns, rows):
    benchmark.group = f"mask of 5 clauses, {rows:,} rows"
    turn = count()
    benchmark.pedantic(
        lambda: columns.mask(_five(next(turn))), setup=columns._cache.clear, rounds=50
    )


def test_mask_after_a_write(benchmark, columns, rows):
    benchmark.group = f"mask of 5 clauses, {rows:,} rows"
    turn = count()
    document = {"cat": 1, "price": 0.5, "tags": ["tag1", "tag2"], "city": "city1", "note": 1}

    def write():
        columns.upsert([next(turn)], [document])
        len(columns)

    benchmark.pedantic(lambda: columns.mask(_five(next(turn))), setup=write, rounds=50)


def test_filtered_search(benchmark, columns, rows):
    """Top 10 of the documents that pass, by vectors of 32 dimensions."""
    benchmark.group = f"mask of 5 clauses and top 10 of {rows:,} rows"
    index = _index(rows)
    queries = np.random.default_rng(2).standard_normal((1000, 32), dtype=np.float32)
    turn = count()

    def search():
        i = next(turn)
        passing = annx.Filter.by_label(index, columns.mask(_five(i)))
        return index.search(queries[i % 1000], 10, filter=passing)

    for _ in range(60):
        search()
    benchmark(search)


@cache
def _index(rows):
    index = annx.Index(32)
    index.add(np.random.default_rng(1).standard_normal((rows, 32), dtype=np.float32))
    return index


@pytest.mark.parametrize("what", ["city", "tags"])
def test_facets(benchmark, columns, rows, what):
    benchmark.group = f"facets of {rows:,} rows"
    mask = columns.mask(F("price") < 0.1)
    benchmark(columns.facets, what, mask)


def test_write_and_read(benchmark, columns, rows):
    """All columns as bytes; the time is that of reading them, the other is told beside it."""
    benchmark.group = f"read the columns of {rows:,} rows"
    start = time.perf_counter()
    data = columns.to_bytes()
    benchmark.extra_info["seconds to write"] = round(time.perf_counter() - start, 3)
    benchmark.extra_info["MB"] = round(len(data) / 1e6, 1)
    benchmark.extra_info["MB in memory"] = round(columns.nbytes / 1e6, 1)
    benchmark.pedantic(Columns.from_bytes, (data,), rounds=10)


def test_upsert(benchmark):
    benchmark.group = "put 10,000 documents of 7 fields into columns"
    columns = _columns(FEW)
    documents = [
        {name: columns.values(name, [row])[0] for name in columns.fields} for row in range(BATCH)
    ]

    def upsert():
        new = Columns()
        new.upsert(np.arange(BATCH), documents)
        return len(new)

    benchmark.pedantic(upsert, rounds=5)
