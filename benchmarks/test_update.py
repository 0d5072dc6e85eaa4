"""Replacing and removing rows of an index that is in use."""

from __future__ import annotations

import numpy as np
import pytest

from annx._bench.engines import make


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_add_to_a_built_index(benchmark, spec, task, share):
    count = int(share * len(task.base))
    benchmark.group = f"add {count:,} rows to {len(task.base) - count:,}, 1 thread"
    labels = np.arange(len(task.base) - count, len(task.base))

    def setup():
        engine = make(spec, task.base.shape[1])
        rows = engine.prepare(task.base)
        if spec.library == "hnswlib":
            engine.build(rows[:-count], 1)
            engine.index.resize_index(len(rows))
        else:
            engine.build(rows[:-count], 1)
        return (engine, rows[-count:]), {}

    def add(engine, rows):
        if spec.library == "hnswlib":
            engine.index.add_items(rows, labels, num_threads=1)
        else:
            engine.index.add(rows, labels=labels, num_threads=1)

    benchmark.extra_info["rows"] = count
    benchmark.pedantic(add, setup=setup, rounds=3)


@pytest.mark.parametrize("what", ["replace", "remove"])
def test_change_a_tenth(benchmark, spec, task, what):
    """hnswlib marks what it removes and walks through it ever after; annx mends the graph."""
    labels = np.random.default_rng(0).choice(len(task.base), len(task.base) // 10, replace=False)
    benchmark.group = f"{what} {len(labels):,} of {len(task.base):,} rows, 1 thread"

    def setup():
        engine = make(spec, task.base.shape[1])
        rows = engine.prepare(task.base)
        engine.build(rows, 1)
        return (engine, rows[labels[::-1]]), {}

    def replace(engine, rows):
        if spec.library == "hnswlib":
            engine.index.add_items(rows, labels, num_threads=1)
        else:
            engine.index.add(rows, labels=labels, upsert=True, num_threads=1)

    def remove(engine, rows):
        if spec.library == "hnswlib":
            for label in labels:
                engine.index.mark_deleted(label)
        else:
            engine.index.remove(labels, num_threads=1)

    benchmark.extra_info["rows"] = len(labels)
    benchmark.pedantic({"replace": replace, "remove": remove}[what], setup=setup, rounds=3)
