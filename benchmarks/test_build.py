"""Time to index the same rows with the same parameters."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("threads", [1, 2])
def test_build(benchmark, new_engine, threads, task):
    if threads > (os.cpu_count() or 1):
        pytest.skip("not so many processors")
    benchmark.group = f"build {len(task.base):,} rows, {threads} thread(s)"
    benchmark.extra_info["rows"] = len(task.base)
    benchmark.pedantic(lambda engine, base: engine.build(base, threads), setup=new_engine, rounds=3)
