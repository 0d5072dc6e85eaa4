"""Run a comparison: build, recall, speed in turns, latency."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from annx._bench.comparison import (
    BASELINES,
    Build,
    Comparison,
    Failure,
    Latency,
    Settings,
)
from annx._bench.curves import Point, at_recall, front
from annx._bench.engines import Spec
from annx._bench.machine import describe
from annx._bench.truth import Truth
from annx._bench.worker import MIN_SECONDS, Built, Timed, Worker, WorkerError
from annx.datasets import Dataset

#: Told what is being done, how many steps of it are finished, and of how many.
Progress = Callable[[str, int, int], None]
#: Given the kind of each record and the record, as soon as it is known.
Emit = Callable[[str, Any], None]

#: Recall at which single calls are timed.
LATENCY_RECALL = 0.95
#: A setting that another beats by this much in a first look is not measured further.
_HOPELESS = 1.5


class _Run:
    def __init__(
        self, dataset: Dataset, settings: Settings, progress: Progress, emit: Emit
    ) -> None:
        self.dataset, self.settings = dataset, settings
        self.progress, self.emit = progress, emit
        about = {
            "name": dataset.name,
            "rows": len(dataset.base),
            "columns": int(dataset.base.shape[1]),
            "dtype": str(dataset.base.dtype),
            "queries": len(dataset.queries),
        }
        self.out = Comparison(describe(), about, settings)
        self.workers: list[Worker] = []
        self.points: dict[str, list[Point]] = {}
        emit("machine", self.out.machine)
        emit("dataset", about)
        emit("settings", settings)

    def put(self, kind: str, into: list[Any], record: Any) -> None:
        into.append(record)
        self.emit(kind, record)

    def fail(self, worker: Worker, stage: str, error: WorkerError) -> None:
        """Drop a library that failed, and remember why."""
        name = worker.spec.name
        self.put("failure", self.out.failures, Failure(name, stage, str(error)))
        self.points.pop(name, None)
        self.workers.remove(worker)
        worker.stop()

    def build(self, specs: Sequence[Spec], folder: Path) -> None:
        for done, spec in enumerate(specs):
            self.progress(f"building {spec.name}", done, len(specs))
            worker = Worker(spec, folder, self.settings.threads)
            self.workers.append(worker)
            try:
                costs: list[Built] = worker.call("build", self.settings.build_rounds, None)
            except WorkerError as error:
                self.fail(worker, "build", error)
                continue
            # The first build of a process shows its memory best: later ones reuse it.
            first = costs[0]
            record = Build(
                spec.curve,
                spec.name,
                self.settings.threads,
                [cost.seconds for cost in costs],
                [cost.cpu_seconds for cost in costs],
                first.resident,
                first.peak,
                first.file,
            )
            self.put("build", self.out.builds, record)

    def find_recalls(self, truth: Truth) -> None:
        """Try every setting once, up to the recall that is asked for."""
        k, enough = self.settings.k, max(self.settings.targets, default=1.0)
        for done, worker in enumerate(list(self.workers)):
            self.progress("measuring recall", done, len(self.workers))
            spec = worker.spec
            found: list[Point] = []
            try:
                settings = worker.call("settings", k, self.settings.efs)
                ladder = all(len(setting) == 1 for setting in settings)
                for setting in settings:
                    recall = truth.recall(worker.call("find", setting, k))
                    once: Timed = worker.call("time", setting, k, 0.0)
                    point = Point(spec.curve, spec.name, setting, recall)
                    point.qps.append(1 / once.cpu)
                    found.append(point)
                    if ladder and recall >= enough:
                        break
            except WorkerError as error:
                self.fail(worker, "search", error)
                continue
            if not ladder:
                found = _promising(found)
            self.points[spec.name] = [replace(p, qps=[], waited=[]) for p in found]

    def time(self) -> None:
        """Let the engines take turns at each step of their ladders, round by round."""
        steps = max((len(points) for points in self.points.values()), default=0)
        rounds, k = self.settings.rounds, self.settings.k
        for turn in range(rounds):
            for step in range(steps):
                self.progress("measuring speed", turn * steps + step, rounds * steps)
                for worker in self._turned(turn):
                    points = self.points[worker.spec.name]
                    if step >= len(points):
                        continue
                    point = points[step]
                    try:
                        timed: Timed = worker.call("time", point.setting, k, MIN_SECONDS)
                    except WorkerError as error:
                        self.fail(worker, "search", error)
                        continue
                    seconds = timed.cpu if self.settings.clock == "cpu" else timed.wall
                    point.qps.append(len(self.dataset.queries) / seconds)
                    point.waited.append(timed.waited)
        self.progress("measuring speed", rounds * steps, rounds * steps)
        for points in self.points.values():
            for point in points:
                self.put("point", self.out.points, point)

    def _turned(self, turn: int) -> list[Worker]:
        start = turn % max(1, len(self.workers))
        return self.workers[start:] + self.workers[:start]

    def time_calls(self) -> None:
        """Time single calls where each curve reaches a recall, in turns."""
        chosen: dict[str, Latency] = {}
        for curve in self.out.curves():
            best = front([point for point in self.out.points if point.curve == curve])
            point = next((p for p in best if p.recall >= LATENCY_RECALL), best[-1])
            chosen[point.build] = Latency(curve, point.build, point.setting, point.recall)
        rounds = self.settings.rounds
        for turn in range(rounds):
            self.progress("measuring single calls", turn, rounds)
            for worker in self._turned(turn):
                latency = chosen.get(worker.spec.name)
                if latency is None:
                    continue
                try:
                    times = worker.call("latencies", latency.setting, self.settings.k)
                except WorkerError as error:
                    del chosen[worker.spec.name]
                    self.fail(worker, "single calls", error)
                    continue
                latency.p50.append(float(np.percentile(times, 50)))
                latency.p99.append(float(np.percentile(times, 99)))
        for latency in chosen.values():
            self.put("latency", self.out.latencies, latency)

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()


def _promising(points: list[Point]) -> list[Point]:
    """Leave out the settings that others beat by far, by ascending recall."""
    best = front(points)
    kept = [
        point
        for point in points
        if not any(
            other.recall >= point.recall and other.qps[0] > _HOPELESS * point.qps[0]
            for other in best
        )
    ]
    return sorted(kept, key=lambda point: point.recall)


def compare(
    dataset: Dataset,
    settings: Settings,
    *,
    progress: Progress = lambda what, done, total: None,
    emit: Emit = lambda kind, record: None,
) -> Comparison:
    """Measure annx and its peers on one data set.

    Each build lives in a process of its own, pinned to one processor while it is
    searched; only one of them works at a time, and they take turns.

    Parameters
    ----------
    dataset : Dataset
    settings : Settings
    progress : callable, optional
    emit : callable, optional
        Given the kind of each record and the record, as soon as it is known.

    Returns
    -------
    Comparison
        A library that fails is among its failures; the others go on.

    Raises
    ------
    ParameterError, ImportError
        As :meth:`Settings.specs`.
    """
    specs = settings.specs()
    run = _Run(dataset, settings, progress, emit)
    try:
        with tempfile.TemporaryDirectory(prefix="annx-bench-") as name:
            folder = Path(name)
            np.save(folder / "base.npy", dataset.base)
            np.save(folder / "queries.npy", dataset.queries)
            run.build(specs, folder)
            progress("finding the true neighbours", 0, 1)
            truth = Truth(
                dataset.base, dataset.queries, settings.k, settings.metric, dataset.neighbors
            )
            run.find_recalls(truth)
            run.time()
            for record in at_recall(run.out.points, settings.targets, BASELINES):
                run.put("at_recall", run.out.at_recall, record)
            if settings.latency:
                run.time_calls()
    finally:
        run.stop()
    return run.out
