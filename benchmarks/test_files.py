"""Writing an index, and reading it until the first answer."""

from __future__ import annotations

import inspect

import pytest

import annx
from annx._bench.engines import make


def test_save(benchmark, engine, tmp_path, task):
    benchmark.group = f"save {len(task.base):,} rows"
    path = tmp_path / "index"
    benchmark.pedantic(engine.save, (path,), rounds=5, warmup_rounds=1)
    benchmark.extra_info["MB"] = round(path.stat().st_size / 1e6, 1)


def test_load_and_answer(benchmark, engine, tmp_path, task):
    benchmark.group = f"load {len(task.base):,} rows and answer a query"
    engine.save(tmp_path / "index")
    query = engine.prepare(task.queries[:1])[0]

    def load():
        again = make(engine.spec, task.base.shape[1])
        again.load(tmp_path / "index")
        again.use({"ef": 40})
        return again.search_one(query, 10)

    benchmark.pedantic(load, rounds=5, warmup_rounds=1)


@pytest.mark.skipif(
    "mmap" not in inspect.signature(annx.load).parameters, reason="annx maps no files yet"
)
def test_map_and_answer(benchmark, engine, tmp_path, task):
    if engine.spec.library != "annx":
        pytest.skip("it cannot map a file")
    benchmark.group = f"load {len(task.base):,} rows and answer a query"
    engine.save(tmp_path / "index")
    query = engine.prepare(task.queries[:1])[0]
    benchmark.pedantic(lambda: annx.load(tmp_path / "index", mmap=True).search(query, 10), rounds=5)
