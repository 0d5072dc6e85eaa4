"""The processes that take part in a run, and where what they find is written."""

from __future__ import annotations

from collections.abc import Callable

from annx._bench.clock import Clock
from annx._bench.comparison import LEFT_OUT, Failure, Settings
from annx._bench.engines import Spec
from annx._bench.journal import Journal
from annx._bench.worker import Worker, WorkerError

#: Told what is being done, how many steps of it are finished, and of how many.
Progress = Callable[[str, int, int], None]


class Crew:
    """One process for each build that is still in the run.

    Parameters
    ----------
    settings : Settings
    progress : callable
    journal : Journal
    clock : Clock
    """

    def __init__(
        self, settings: Settings, progress: Progress, journal: Journal, clock: Clock
    ) -> None:
        self.settings, self.progress = settings, progress
        self.journal, self.clock = journal, clock
        self.workers: list[Worker] = []
        #: Settings of a search that each build knows.
        self.ladders: dict[str, int] = {}

    def worker(self, name: str) -> Worker:
        """The process of a build."""
        return next(worker for worker in self.workers if worker.spec.name == name)

    def turned(self, turn: int) -> list[Worker]:
        """All processes; another one begins each round."""
        start = turn % max(1, len(self.workers))
        return self.workers[start:] + self.workers[:start]

    def is_sure(self, spec: Spec) -> bool:
        """Whether a build stays, whatever it takes."""
        return self.settings.is_sure(spec)

    def sure(self) -> set[str]:
        """Names of all builds that stay."""
        return {worker.spec.name for worker in self.workers if self.is_sure(worker.spec)}

    def fail(self, worker: Worker, stage: str, error: WorkerError) -> None:
        """Drop a library that failed, and remember why."""
        self.journal.put("failure", Failure(worker.spec.name, stage, str(error)))
        self.workers.remove(worker)
        worker.stop()

    def leave_out(self, worker: Worker, reason: str) -> None:
        """Drop a library that there is no time for."""
        self.fail(worker, LEFT_OUT, WorkerError(reason))

    def lap(self, step: str) -> None:
        """Note what the time since the last such note went to."""
        self.journal.put("time", {"step": step, "seconds": self.clock.lap()})

    def stop(self) -> None:
        """End all processes."""
        while self.workers:
            self.workers.pop().stop()
