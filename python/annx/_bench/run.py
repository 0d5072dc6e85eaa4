"""Run a comparison: build, recall, speed in turns, latency."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from annx._bench.builds import Builds
from annx._bench.clock import Clock
from annx._bench.comparison import Comparison, Settings
from annx._bench.crew import Crew, Progress
from annx._bench.journal import Journal, about
from annx._bench.machine import describe
from annx._bench.recalls import Recalls
from annx._bench.rounds import Rounds
from annx.datasets import Dataset


def compare(
    dataset: Dataset,
    settings: Settings,
    *,
    progress: Progress = lambda what, done, total: None,
    journal: Journal | None = None,
    clock: Clock | None = None,
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
    clock : Clock, optional
        What the time is measured by, if it has begun to run before.

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
    clock = clock or Clock(settings.minutes)
    journal = journal or Journal()
    journal.start(about(dataset), settings, describe())
    if journal.is_complete():
        return journal.comparison()
    clock.go_on(journal.spent())
    indexes = None if journal.path is None else journal.path.with_name(journal.path.name + ".work")
    if indexes is not None:
        indexes.mkdir(exist_ok=True)
    crew = Crew(settings, progress, journal, clock)
    try:
        with tempfile.TemporaryDirectory(prefix="annx-bench-") as name:
            folder = Path(name)
            dataset = shuffled(dataset, settings.seed)
            np.save(folder / "base.npy", dataset.base)
            np.save(folder / "queries.npy", dataset.queries)
            crew.lap("reading")
            Builds(crew, len(dataset.base), indexes).run(specs, folder)
            tried = Recalls(crew, dataset).run()
            Rounds(crew, tried, len(dataset.queries)).run()
    finally:
        crew.stop()
    journal.put("time", {"step": "the end", "seconds": clock.lap()})
    journal.put("end", {})
    if indexes is not None:
        shutil.rmtree(indexes, ignore_errors=True)
    return journal.comparison()


def shuffled(dataset: Dataset, seed: int) -> Dataset:
    """Bring the queries into a seeded order: the first ones then stand for all."""
    order = np.random.default_rng(seed).permutation(len(dataset.queries))
    near = dataset.neighbors
    return replace(
        dataset,
        queries=dataset.queries[order],
        neighbors=None if near is None else near[order],
    )
