"""Data for the pytest-benchmark suites, and the libraries to compare.

    pytest benchmarks --benchmark-group-by=group
    pytest benchmarks --benchmark-autosave; pytest benchmarks --benchmark-compare

By default on so few rows that all suites take minutes; `--full` takes all of the sample, or
of the data that `--data` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Before NumPy loads its BLAS: all that is compared here runs on one thread.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import pytest
from numpy.typing import NDArray

from annx import datasets
from annx._bench.engines import Engine, Spec, installed, make
from annx._bench.truth import Truth

SAMPLE = Path(__file__).parent / "data" / "wordnet20k"
#: A build of so many 384-d rows takes about a second.
ROWS, QUERIES = 5_000, 500
#: What is compared, as library and variant.
CURVES = (("annx", "auto"), ("annx", "f32"), ("hnswlib", ""))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("annx")
    group.addoption("--full", action="store_true", help="all rows, and more dimensions")
    group.addoption("--data", type=Path, help="as `annx bench` takes it; must tell its metric")


@dataclass(frozen=True)
class Task:
    """Rows, queries, and what a perfect answer is."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]
    metric: str
    truth: Truth


@cache
def _task(path: Path | None, full: bool) -> Task:
    if path is not None:
        data = datasets.read_dataset(path)
    elif SAMPLE.is_dir():
        data = datasets.read_dataset(SAMPLE)
    else:
        data = datasets.generate("clusters")
    if not full:
        data = data.first(rows=ROWS, queries=QUERIES)
    base = np.asarray(data.base, np.float32)
    queries = np.asarray(data.queries, np.float32)
    metric = data.metric or "cosine"
    return Task(base, queries, metric, Truth(base, queries, 10, metric, data.neighbors))


@cache
def _built(spec: Spec, path: Path | None, full: bool) -> Engine:
    task = _task(path, full)
    engine = make(spec, task.base.shape[1])
    engine.build(engine.prepare(task.base), 1)
    return engine


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to take all rows."""
    return bool(request.config.getoption("--full"))


@pytest.fixture
def where(request: pytest.FixtureRequest, full: bool) -> tuple[Path | None, bool]:
    """Which data to take."""
    return request.config.getoption("--data"), full


@pytest.fixture
def task(where: tuple[Path | None, bool]) -> Task:
    """The sample, or clusters of random vectors where it is not shipped."""
    return _task(*where)


@pytest.fixture(params=CURVES, ids=lambda curve: "-".join(filter(None, curve)))
def spec(request: pytest.FixtureRequest, task: Task) -> Spec:
    """How to make each library's index in turn."""
    library, variant = request.param
    if not installed(library):
        pytest.skip(f"{library} is not installed")
    return Spec(library, task.metric, variant)


@pytest.fixture
def engine(spec: Spec, where: tuple[Path | None, bool]) -> Engine:
    """One library's index over the task's rows, built once a session."""
    return _built(spec, *where)


@pytest.fixture
def new_engine(spec: Spec, task: Task) -> Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments of one timed build, as ``benchmark.pedantic(setup=...)`` wants them."""

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        engine = make(spec, task.base.shape[1])
        return (engine, engine.prepare(task.base)), {}

    return setup
