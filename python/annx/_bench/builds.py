"""The first part of a run: build every index that there is time for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from annx._bench import budget
from annx._bench.clock import duration
from annx._bench.comparison import LEFT_OUT, Build
from annx._bench.crew import Crew
from annx._bench.engines import Spec
from annx._bench.plan import least_searches
from annx._bench.worker import Built, LateError, Worker, WorkerError

#: Seconds that small builds may take in any case.
_LEAST_PATIENCE = 5.0


class Builds:
    """Builds, or loads what was built before the run was broken off.

    Parameters
    ----------
    crew : Crew
    rows : int
        Of the base.
    indexes : Path, optional
        Folder that the indexes are kept in until the end of the run.
    """

    def __init__(self, crew: Crew, rows: int, indexes: Path | None) -> None:
        self.crew, self.rows, self.indexes = crew, rows, indexes
        self.predicted: dict[str, float] = {}
        self.done: list[tuple[float, float]] = []

    def run(self, specs: Sequence[Spec], folder: Path) -> None:
        """Start a process for each build, then build one after the other."""
        crew = self.crew
        failed = crew.journal.failed()
        for failure in crew.settings.left_out():
            if failure.build not in failed:
                crew.journal.put("failure", failure)
        for spec in specs:
            if spec.name not in failed:
                crew.workers.append(Worker(spec, folder, crew.settings.threads))
        self._wait()
        crew.lap("loading")
        if math.isfinite(crew.clock.seconds):
            self._foretell()
        crew.lap("estimates")
        for worker in list(crew.workers):
            if worker.spec.name in crew.journal.built():
                self._attempt(worker, None)
        to_build = {
            worker.spec.name: self.predicted.get(worker.spec.name, 0.0)
            for worker in crew.workers
            if worker.spec.name not in crew.journal.built()
        }
        names = budget.in_order(to_build, crew.sure())
        for number, name in enumerate(names):
            self._in_turn(crew.worker(name), names[number + 1 :])
            crew.lap("builds")

    def _wait(self) -> None:
        """Let all libraries be loaded, which would disturb whatever is measured meanwhile."""
        crew, settings = self.crew, self.crew.settings
        for done, worker in enumerate(list(crew.workers)):
            crew.progress("loading the libraries", done, len(crew.workers))
            try:
                found = worker.call("settings", settings.k, settings.efs)
                crew.ladders[worker.spec.name] = len(found)
            except WorkerError as error:
                crew.fail(worker, "build", error)

    def _foretell(self) -> None:
        """Estimate the time of each build from small ones."""
        crew = self.crew
        built = crew.journal.built()
        waiting = [worker for worker in crew.workers if worker.spec.name not in built]
        # All small builds may take a quarter of the time for builds.
        limit = budget.BUILD_SHARE * crew.clock.seconds / 4 / max(1, len(waiting))
        for done, worker in enumerate(waiting):
            name = worker.spec.name
            crew.progress("estimating build times", done, len(waiting))
            sure = crew.is_sure(worker.spec)
            try:
                # Six times: what is loaded first and an estimate that errs are no reason yet.
                patience = None if sure else max(_LEAST_PATIENCE, 6 * limit)
                samples = worker.call("rehearse", limit, seconds=patience)
            except LateError as error:
                crew.leave_out(worker, f"its build: a small one {error.late}: raise --minutes")
            except WorkerError as error:
                crew.fail(worker, "build", error)
            else:
                seconds = budget.foretold(samples, self.rows)
                self.predicted[name] = seconds * crew.settings.build_rounds

    def _in_turn(self, worker: Worker, later: Sequence[str]) -> None:
        """Build if there is time for it."""
        crew, name = self.crew, worker.spec.name
        if not math.isfinite(crew.clock.seconds) or crew.is_sure(worker.spec):
            self._attempt(worker, None)
            return
        factor = budget.trend(self.done)
        own = factor * self.predicted[name]
        others = [factor * self.predicted[other] for other in later]
        in_run = [*crew.journal.built(), name]
        searches = sum(least_searches(crew.ladders.get(each, 0)) for each in in_run)
        spent, seconds = crew.clock.spent(), crew.clock.seconds
        left = budget.time_for_builds(seconds, spent, searches)
        allowed = budget.allowance(own, others, left, seconds)
        if allowed:
            self._attempt(worker, allowed)
            return
        rest = f"{duration(left)} were" if left > 0 else "nothing was"
        crew.leave_out(
            worker,
            f"its build would take about {duration(own)}, and of the time for builds {rest} left: "
            "raise --minutes",
        )

    def _attempt(self, worker: Worker, seconds: float | None) -> None:
        crew, name = self.crew, worker.spec.name
        kept = None
        if self.indexes is not None:
            kept = self.indexes / re.sub(r"[^\w=.-]", "_", name)
        done = sum(other.spec.name in crew.journal.built() for other in crew.workers)
        try:
            if name in crew.journal.built() and kept is not None and kept.exists():
                crew.progress(f"loading {name}", done, len(crew.workers))
                worker.call("load", str(kept))
            else:
                crew.progress(f"building {name}", done, len(crew.workers))
                self._build(worker, kept, seconds)
        except LateError as error:
            crew.leave_out(
                worker,
                f"its build {error.late}, and {duration(self.predicted[name])} were foretold: "
                "raise --minutes",
            )
        except WorkerError as error:
            crew.fail(worker, "build", error)

    def _build(self, worker: Worker, kept: Path | None, seconds: float | None) -> None:
        crew, spec = self.crew, worker.spec
        path = None if kept is None else str(kept)
        rounds = crew.settings.build_rounds
        costs: list[Built] = worker.call("build", rounds, path, seconds=seconds)
        if spec.name in crew.journal.built():
            return  # it could not be saved the first time, which was the one to measure
        # The first build of a process shows its memory best: later ones reuse it.
        first = costs[0]
        if twin := self._twin(spec, first.stores):
            reason = f"it stores these vectors as {twin} does ({first.stores})"
            crew.fail(worker, LEFT_OUT, WorkerError(reason))
            return
        if spec.library != "annx" and spec.name in self.predicted:
            # annx's builds of many rows take another path than those of few.
            taken = sum(cost.seconds for cost in costs)
            self.done.append((self.predicted[spec.name], taken))
        record = Build(
            spec.curve,
            spec.name,
            crew.settings.threads,
            [cost.seconds for cost in costs],
            [cost.cpu_seconds for cost in costs],
            first.resident,
            first.peak,
            first.file,
            first.stores,
        )
        crew.journal.put("build", record)

    def _twin(self, spec: Spec, stores: str) -> str | None:
        """Name the curve of the same index, where two presets have come to the same."""
        same = {replace(spec, variant=codec).name for codec in self.crew.settings.codecs}
        for record in self.crew.journal.of("build"):
            if stores and record["build"] in same and record.get("stores") == stores:
                return str(record["curve"])
        return None
