"""One library in a process of its own, told what to do through a pipe.

What one library does to the allocator, to its threads or to the whole process leaves the
others alone, and a crash ends its curve, not the run.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._bench import memory
from annx._bench.budget import foretold, rehearsed
from annx._bench.clock import duration
from annx._bench.engines import Engine, Setting, Spec, make
from annx._bench.plan import WARM_QUERIES

#: Rows that a library indexes first, so that what it loads once is not its index's memory.
_WARM_ROWS = 2000
#: A first look is repeated until it lasts this long, and its fastest pass counts.
_LOOK_SECONDS = 0.02
#: Variables that size the thread pools of BLAS and OpenMP when they are loaded.
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(Exception):
    """A library failed, or took its process down; the message is for the report."""


class LateError(WorkerError):
    """A library took longer than it was given, and its process was ended."""

    def __init__(self, seconds: float) -> None:
        self.late = f"took longer than {duration(seconds)}"
        super().__init__(f"it {self.late}")


@dataclass(frozen=True, slots=True)
class Built:
    """What a build cost.

    Attributes
    ----------
    resident, peak : int or None
        Growth of the process after the build, and at most during it, beside the input.
    file : int or None
        Bytes of the saved index.
    stores : str
        As :meth:`Engine.stores`.
    """

    seconds: float
    cpu_seconds: float
    resident: int | None
    peak: int | None
    file: int | None
    stores: str


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds for one pass over those queries that count, and the share of time spent waiting."""

    wall: float
    cpu: float
    waited: float


def cores() -> list[int]:
    """Processors that this process may use; empty where the system does not tell."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:
        return []


def _pin(where: Sequence[int]) -> None:
    """Keep all threads of this process, those of libraries too, on some processors."""
    if not where:
        return
    tasks = Path("/proc/self/task")
    threads = [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
    for thread in threads:
        try:
            os.sched_setaffinity(thread, where)
        except (AttributeError, OSError):
            continue  # it ended meanwhile, or the system has no such call


class _Job:
    """What runs in the process."""

    def __init__(self, spec: Spec, folder: str, threads: int, everywhere: list[int]) -> None:
        self.spec, self.threads, self.cores = spec, threads, everywhere
        self.folder = Path(folder)
        self.queries = np.load(self.folder / "queries.npy")
        bits = 8 if spec.metric == "hamming" else 1
        self.dim = int(self.queries.shape[1]) * bits
        self.engine = self._make()
        self.asked = self.engine.prepare(self.queries)
        _pin(self.cores[: self.threads])

    def _make(self) -> Engine:
        engine = make(self.spec, self.dim)
        engine.fit(np.load(self.folder / "base.npy", mmap_mode="r"))
        return engine

    def rehearse(self, limit: float) -> list[tuple[int, float]]:
        """Rows and seconds of small builds; of the smaller alone if the other takes too long."""
        base = np.load(self.folder / "base.npy", mmap_mode="r")
        small, large = rehearsed(len(base))
        # A copy: some libraries refuse arrays that they may not write to.
        few = self.engine.prepare(np.array(base[:large]))
        # Twice: the first time, a library also loads what it needs.
        out = [(small, min(self._build_seconds(few[:small]) for _ in range(2)))]
        if small < large and foretold(out, large) <= limit:
            out.append((large, self._build_seconds(few)))
        return out

    def _build_seconds(self, rows: NDArray[Any]) -> float:
        engine = self._make()
        begin = time.perf_counter()
        engine.build(rows, self.threads)
        seconds = time.perf_counter() - begin
        engine.close()
        return seconds

    def build(self, repeats: int, path: str | None) -> list[Built]:
        base = self.engine.prepare(np.load(self.folder / "base.npy"))
        warm = self._make()
        warm.build(base[:_WARM_ROWS], self.threads)
        warm.use(warm.settings(1, (10,))[0])
        warm.search(self.asked[:8], 1)
        warm.close()
        del warm
        out = []
        for _ in range(repeats):
            self.engine.close()
            self.engine = self._make()
            memory.settle()
            before, fresh = memory.resident(), memory.reset_peak()
            begin, begin_cpu = time.perf_counter(), time.process_time()
            self.engine.build(base, self.threads)
            spent = time.perf_counter() - begin, time.process_time() - begin_cpu
            high = memory.peak() if fresh else None
            self.engine.use(self.engine.settings(1, (10,))[0])
            self.engine.search(self.asked[:64], 1)
            memory.settle()
            after = memory.resident()
            grown = None if before is None or after is None else after - before
            # The search after the build may have taken more than the build itself.
            high = None if high is None or after is None else max(high, after)
            most = None if before is None or high is None else high - before
            out.append(Built(*spent, grown, most, None, self.engine.stores()))
        size = self._save(path)
        self._ready()
        return [replace(built, file=size) for built in out]

    def _save(self, path: str | None) -> int | None:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            place = Path(folder) / "index"
            try:
                self.engine.save(place)
            except NotImplementedError:
                return None
            size = memory.disk_bytes(place)
            if path is not None:
                shutil.move(place, path)
        return size

    def load(self, path: str) -> None:
        self.engine.load(Path(path))
        self._ready()

    def _ready(self) -> None:
        _pin(self.cores[-1:])

    def settings(self, k: int, efs: tuple[int, ...]) -> list[Setting]:
        return self.engine.settings(k, efs)

    def look(self, setting: Setting, k: int, queries: int) -> tuple[NDArray[np.int64], float]:
        """What the first queries find, and seconds of one of them: a first look."""
        self.engine.use(setting)
        asked, spent, best = self.asked[:queries], 0.0, float("inf")
        while spent < _LOOK_SECONDS:
            begin = time.perf_counter()
            found = self.engine.search(asked, k)
            once = time.perf_counter() - begin
            spent, best = spent + once, min(best, once)
        return np.asarray(found, np.int64), best / len(asked)

    def find(self, setting: Setting, k: int, queries: int) -> tuple[NDArray[np.int64], float]:
        """What the first queries find, and seconds of one of them."""
        self.engine.use(setting)
        asked = self.asked[:queries]
        begin = time.perf_counter()
        found = self.engine.search(asked, k)
        seconds = (time.perf_counter() - begin) / len(asked)
        return np.asarray(found, np.int64), seconds

    def time(self, setting: Setting, k: int, queries: int, least: float) -> Timed:
        self.engine.use(setting)
        asked = self.asked[:queries]
        # The last ones: the first are those that count.
        self.engine.search(self.asked[-WARM_QUERIES:], k)
        passes = 0
        begin, begin_cpu = time.perf_counter(), time.process_time()
        while True:
            self.engine.search(asked, k)
            passes += 1
            wall = time.perf_counter() - begin
            if wall >= least:
                cpu = time.process_time() - begin_cpu
                return Timed(wall / passes, cpu / passes, max(0.0, 1 - cpu / wall))

    def latencies(self, setting: Setting, k: int, queries: int) -> NDArray[np.float64]:
        """Microseconds of a call for one query, for each of the first ones."""
        self.engine.use(setting)
        one, clock = self.engine.search_one, time.perf_counter
        for query in self.asked[-WARM_QUERIES:]:
            one(query, k)
        out = np.empty(min(queries, len(self.asked)))
        for number, query in enumerate(self.asked[: len(out)]):
            begin = clock()
            one(query, k)
            out[number] = clock() - begin
        return out * 1e6


def _serve(pipe: Connection, log: str, *arguments: Any) -> None:
    # What libraries print would tear the progress bar; their last words are kept.
    with open(log, "wb") as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    job: _Job | None = None
    while True:
        name, args = pipe.recv()
        try:
            if name == "stop":
                if job is not None:
                    job.engine.close()
                return
            if job is None:
                job = _Job(*arguments)
            answer = True, getattr(job, name)(*args)
        except Exception as error:  # whatever a library raises ends its curve alone
            answer = False, f"{type(error).__name__}: {error}"
        pipe.send(answer)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _POOLS}
    os.environ.update(dict.fromkeys(_POOLS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Worker:
    """A handle on the process of one engine.

    Parameters
    ----------
    spec : Spec
    folder : Path
        Holds ``base.npy`` and ``queries.npy``.
    threads : int
        For the build; searches run on one, pinned to one processor.
    """

    def __init__(self, spec: Spec, folder: Path, threads: int) -> None:
        self.spec = spec
        # Not fork: the child would inherit this process's memory and threads.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._log = folder / f"{spec.name}.log"
        arguments = (theirs, str(self._log), spec, str(folder), threads, cores())
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        with _environment(threads):
            self._process.start()
        theirs.close()

    def call(self, name: str, *args: Any, seconds: float | None = None) -> Any:
        """Let the process do one thing, and wait for the answer, so many seconds at most.

        Raises
        ------
        WorkerError
            The library raised, or its process ended.
        LateError
            It took longer, and its process was ended.
        """
        try:
            self._pipe.send((name, args))
            if not self._pipe.poll(seconds):
                self._process.kill()
                raise LateError(seconds or 0.0)
            done, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            said = self._last_words()
            raise WorkerError(f"the process ended with exit code {code}{said}") from None
        if not done:
            raise WorkerError(answer)
        return answer

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").split("\n")
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last[:200]}" if last else ""

    def stop(self) -> None:
        """End the process."""
        try:
            self._pipe.send(("stop", ()))
        except OSError:
            pass
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
