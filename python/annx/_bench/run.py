"""Run a comparison: build, recall, speed in turns, latency."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from annx._bench.budget import BUILD_SHARE, LEAST_SECONDS, PATIENCE, duration, left_out
from annx._bench.comparison import LEFT_OUT, Build, Comparison, Failure, Settings
from annx._bench.curves import Point, front
from annx._bench.engines import Spec
from annx._bench.journal import Journal, about
from annx._bench.machine import describe
from annx._bench.truth import Truth
from annx._bench.worker import MIN_SECONDS, Built, LateError, Timed, Worker, WorkerError
from annx.datasets import Dataset

#: Told what is being done, how many steps of it are finished, and of how many.
Progress = Callable[[str, int, int], None]

#: Recall at which single calls are timed.
LATENCY_RECALL = 0.95
#: A setting that another beats by this much in a first look is not measured further.
_HOPELESS = 1.5


class _Run:
    """What `compare` does, step by step; each skips what the journal knows already."""

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        progress: Progress,
        journal: Journal,
        indexes: Path | None,
    ) -> None:
        self.dataset, self.settings = dataset, settings
        self.progress, self.journal, self.indexes = progress, journal, indexes
        self.workers: list[Worker] = []
        self.points: dict[str, list[Point]] = {}
        self.allowed: dict[str, float] = {}  # seconds of a build

    def fail(self, worker: Worker, stage: str, error: WorkerError) -> None:
        """Drop a library that failed, and remember why."""
        name = worker.spec.name
        self.journal.put("failure", Failure(name, stage, str(error)))
        self.points.pop(name, None)
        self.workers.remove(worker)
        worker.stop()

    def build(self, specs: Sequence[Spec], folder: Path) -> None:
        """Start a process for each index, and build it there, or load what was built."""
        failed = self.journal.failed()
        for failure in self.settings.left_out():
            if failure.build not in failed:
                self.journal.put("failure", failure)
        for spec in specs:
            if spec.name not in failed:
                self.workers.append(Worker(spec, folder, self.settings.threads))
        if self.settings.minutes is not None:
            self._leave_out()
        for done, worker in enumerate(list(self.workers)):
            name = worker.spec.name
            kept = None
            if self.indexes is not None:
                kept = self.indexes / re.sub(r"[^\w=.-]", "_", name)
            try:
                if name in self.journal.built() and kept is not None and kept.exists():
                    self.progress(f"loading {name}", done, len(self.workers))
                    worker.call("load", str(kept))
                else:
                    self.progress(f"building {name}", done, len(self.workers))
                    self._build(worker, kept)
            except LateError as error:
                reason = f"its build: {error}, far more than a few rows foretold: raise --minutes"
                self.fail(worker, LEFT_OUT, WorkerError(reason))
            except WorkerError as error:
                self.fail(worker, "build", error)

    def _leave_out(self) -> None:
        """Do without the builds that would take too long, by how long a few rows take."""
        predicted: dict[str, float] = {}
        built = self.journal.built()
        for done, worker in enumerate(list(self.workers)):
            name = worker.spec.name
            if name in built:
                continue
            self.progress("estimating build times", done, len(self.workers))
            try:
                predicted[name] = worker.call("rehearse") * self.settings.build_rounds
            except WorkerError as error:
                self.fail(worker, "build", error)
        spent = sum(sum(record["seconds"]) for record in self.journal.of("build"))
        seconds = 60 * (self.settings.minutes or 0) * BUILD_SHARE
        sure = {w.spec.name for w in self.workers if self.settings.is_sure(w.spec)}
        for name in predicted.keys() - sure:
            self.allowed[name] = max(LEAST_SECONDS, PATIENCE * predicted[name])
        for name in left_out(predicted, sure, seconds - spent):
            worker = next(worker for worker in self.workers if worker.spec.name == name)
            reason = (
                f"its build would take about {duration(predicted[name])}, and all of them may "
                f"take {duration(seconds)}: raise --minutes"
            )
            self.fail(worker, LEFT_OUT, WorkerError(reason))

    def _build(self, worker: Worker, kept: Path | None) -> None:
        path = None if kept is None else str(kept)
        spec = worker.spec
        costs: list[Built] = worker.call(
            "build", self.settings.build_rounds, path, seconds=self.allowed.get(spec.name)
        )
        if spec.name in self.journal.built():
            return  # it could not be saved the first time, which was the one to measure
        # The first build of a process shows its memory best: later ones reuse it.
        first = costs[0]
        if twin := self._twin(spec, first.stores):
            reason = f"it stores these vectors as {twin} does ({first.stores})"
            self.fail(worker, LEFT_OUT, WorkerError(reason))
            return
        record = Build(
            spec.curve,
            spec.name,
            self.settings.threads,
            [cost.seconds for cost in costs],
            [cost.cpu_seconds for cost in costs],
            first.resident,
            first.peak,
            first.file,
            first.stores,
        )
        self.journal.put("build", record)

    def _twin(self, spec: Spec, stores: str) -> str | None:
        """Name the curve of the same index, where two presets have come to the same."""
        same = {replace(spec, variant=codec).name for codec in self.settings.codecs}
        for record in self.journal.of("build"):
            if stores and record["build"] in same and record.get("stores") == stores:
                return str(record["curve"])
        return None

    def find_recalls(self, truth: Truth) -> None:
        """Try every setting once, up to the recall that is asked for."""
        for done, worker in enumerate(list(self.workers)):
            self.progress("measuring recall", done, len(self.workers))
            name = worker.spec.name
            known = self.journal.points(name)
            if known is None:
                try:
                    known = self._recalls(worker, truth)
                except WorkerError as error:
                    self.fail(worker, "search", error)
                    continue
                kept = [{"setting": p.setting, "recall": p.recall} for p in known]
                curve = worker.spec.curve
                self.journal.put("recalls", {"curve": curve, "build": name, "points": kept})
            self.points[name] = known

    def _recalls(self, worker: Worker, truth: Truth) -> list[Point]:
        k, enough = self.settings.k, max(self.settings.targets, default=1.0)
        settings = worker.call("settings", k, self.settings.efs)
        is_ladder = all(len(setting) == 1 for setting in settings)
        found = []
        for setting in settings:
            recall = truth.recall(worker.call("find", setting, k))
            point = Point(worker.spec.curve, worker.spec.name, setting, recall)
            if not is_ladder:
                once: Timed = worker.call("time", setting, k, 0.0)
                point.qps.append(1 / once.wall)
            found.append(point)
            if is_ladder and recall >= enough:
                break
        return found if is_ladder else _promising(found)

    def time(self) -> None:
        """Let the engines take turns at each step of their ladders, round by round."""
        steps = max((len(points) for points in self.points.values()), default=0)
        rounds = self.settings.rounds
        for turn in range(rounds):
            for step in range(steps):
                self.progress("measuring speed", turn * steps + step, rounds * steps)
                for worker in self._turned(turn):
                    points = self.points[worker.spec.name]
                    if step < len(points):
                        self._time(worker, points[step], turn)
        self.progress("measuring speed", rounds * steps, rounds * steps)

    def _time(self, worker: Worker, point: Point, turn: int) -> None:
        if self.journal.has_timing(point.build, point.setting, turn):
            return
        try:
            timed: Timed = worker.call("time", point.setting, self.settings.k, MIN_SECONDS)
        except WorkerError as error:
            self.fail(worker, "search", error)
            return
        seconds = timed.cpu if self.settings.clock == "cpu" else timed.wall
        record = {
            "build": point.build,
            "setting": point.setting,
            "turn": turn,
            "qps": len(self.dataset.queries) / seconds,
            "waited": timed.waited,
        }
        self.journal.put("timing", record)

    def _turned(self, turn: int) -> list[Worker]:
        start = turn % max(1, len(self.workers))
        return self.workers[start:] + self.workers[:start]

    def time_calls(self) -> None:
        """Time single calls where each curve reaches a recall, in turns."""
        measured = self.journal.comparison()
        chosen: dict[str, Point] = {}
        for curve in measured.curves():
            best = front([point for point in measured.points if point.curve == curve])
            point = next((p for p in best if p.recall >= LATENCY_RECALL), best[-1])
            chosen[point.build] = point
        rounds = self.settings.rounds
        for turn in range(rounds):
            self.progress("measuring single calls", turn, rounds)
            for worker in self._turned(turn):
                name = worker.spec.name
                if name not in chosen or self.journal.has_calls(name, turn):
                    continue
                point = chosen[name]
                try:
                    times = worker.call("latencies", point.setting, self.settings.k)
                except WorkerError as error:
                    self.fail(worker, "single calls", error)
                    continue
                record = {
                    "curve": point.curve,
                    "build": name,
                    "setting": point.setting,
                    "recall": point.recall,
                    "turn": turn,
                    "p50": float(np.percentile(times, 50)),
                    "p99": float(np.percentile(times, 99)),
                }
                self.journal.put("calls", record)

    def stop(self) -> None:
        """End all processes."""
        while self.workers:
            self.workers.pop().stop()


def _promising(points: list[Point]) -> list[Point]:
    """Leave out the settings that others beat by far; by ascending recall."""
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
    journal: Journal | None = None,
) -> Comparison:
    """Measure annx and its peers on one data set.

    Each build lives in a process of its own, pinned to one processor while it is
    searched; only one of them works at a time, and they take turns.

    Parameters
    ----------
    dataset : Dataset
    settings : Settings
    progress : callable, optional
    journal : Journal, optional
        Where every record goes. If it has a file, that is what a run can go on from after
        it was broken off; the indexes are kept beside it until the end.

    Returns
    -------
    Comparison
        A library that fails is among its failures; the others go on.

    Raises
    ------
    ParameterError, ImportError
        As :meth:`Settings.specs`; or the journal is another run's.
    """
    specs = settings.specs()
    journal = journal or Journal()
    journal.start(about(dataset), settings, describe())
    if journal.is_complete():
        return journal.comparison()
    indexes = None if journal.path is None else journal.path.with_name(journal.path.name + ".work")
    if indexes is not None:
        indexes.mkdir(exist_ok=True)
    run = _Run(dataset, settings, progress, journal, indexes)
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
            if settings.latency:
                run.time_calls()
    finally:
        run.stop()
    journal.put("end", {})
    if indexes is not None:
        shutil.rmtree(indexes, ignore_errors=True)
    return journal.comparison()
