"""Small data for the pytest-benchmark suites, and the libraries to compare."""

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
#: A build of so many 384-d rows takes about a second, so that the suites take a minute.
ROWS, QUERIES = 5_000, 500
LIBRARIES = ("annx", "hnswlib")


@dataclass(frozen=True)
class Task:
    """Rows, queries, and what a perfect answer is."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]
    metric: str
    truth: Truth


@cache
def _task() -> Task:
    data = datasets.read_dataset(SAMPLE) if SAMPLE.is_dir() else datasets.generate("clusters")
    base = np.asarray(data.base[:ROWS], np.float32)
    queries = np.asarray(data.queries[:QUERIES], np.float32)
    metric = data.metric or "cosine"
    return Task(base, queries, metric, Truth(base, queries, 10, metric))


def _spec(library: str, metric: str) -> Spec:
    if not installed(library):
        pytest.skip(f"{library} is not installed")
    return Spec(library, metric, "f32" if library == "annx" else "")


@cache
def _built(library: str) -> Engine:
    task = _task()
    engine = make(_spec(library, task.metric), task.base.shape[1])
    engine.build(engine.prepare(task.base), 1)
    return engine


@pytest.fixture
def task() -> Task:
    """The sample, or clusters of random vectors where it is not shipped."""
    return _task()


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    """Each library in turn."""
    return str(request.param)


@pytest.fixture
def spec(library: str, task: Task) -> Spec:
    """How to make one library's index."""
    return _spec(library, task.metric)


@pytest.fixture
def engine(library: str) -> Engine:
    """One library's index over the task's rows, built once a session."""
    return _built(library)


@pytest.fixture
def new_engine(spec: Spec, task: Task) -> Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments of one timed build, as ``benchmark.pedantic(setup=...)`` wants them."""
    return lambda: ((make(spec, task.base.shape[1]), task.base), {})
