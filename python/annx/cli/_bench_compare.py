"""The whole comparison: build, memory, recall against speed, cost of a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from annx.cli._bench_engines import (
    Engine,
    Spec,
    as_input,
    dimension,
    has_hnswlib,
    is_installed,
    make,
)
from annx.cli._bench_machine import Machine, describe
from annx.cli._bench_measure import (
    AtRecall,
    Point,
    Progress,
    SingleCall,
    at_recall,
    single_calls,
    sweep,
)
from annx.cli._bench_memory import index_bytes
from annx.cli._bench_truth import Truth
from annx.datasets import Dataset

#: Each about 1.4 times the one before: close enough to interpolate between.
EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)
TARGETS = (0.90, 0.95, 0.99)
BASELINE = "hnswlib"


@dataclass(frozen=True, slots=True)
class Settings:
    """What to compare, and how thoroughly.

    Attributes
    ----------
    codecs : tuple of str
        One annx index for each.
    peers : tuple of str
        Further libraries; those that are not installed are left out.
    baseline : bool
        Whether to compare with hnswlib, if it is installed and knows the metric.
    threads : int
        For builds; searches run on one.
    clock : str
        ``"wall"``, or ``"cpu"`` on a machine that is busy otherwise.
    """

    metric: str
    k: int = 10
    M: int = 16
    ef_construction: int = 200
    codecs: tuple[str, ...] = ("f32",)
    peers: tuple[str, ...] = ()
    baseline: bool = True
    efs: tuple[int, ...] = EFS
    targets: tuple[float, ...] = TARGETS
    rounds: int = 5
    threads: int = 1
    build_rounds: int = 1
    memory: bool = True
    calls: bool = True
    clock: str = "wall"
    seed: int = 0

    def spec(self, library: str, codec: str) -> Spec:
        """Describe one engine with these parameters."""
        return Spec(library, self.metric, codec, self.M, self.ef_construction, self.seed)


@dataclass(frozen=True, slots=True)
class Build:
    """Seconds to index the base, one entry a round, by the clock and of processor time."""

    engine: str
    threads: int
    seconds: list[float]
    cpu_seconds: list[float]


@dataclass(frozen=True, slots=True)
class Memory:
    """Growth of a process by the index; None where the system does not tell."""

    engine: str
    bytes: int | None


@dataclass(slots=True)
class Comparison:
    """All that was measured.

    Attributes
    ----------
    engines : list of Engine
        The indexes that were built, to search on in; not part of the record.
    """

    machine: Machine
    dataset: dict[str, Any]
    settings: Settings
    builds: list[Build] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    at_recall: list[AtRecall] = field(default_factory=list)
    calls: list[SingleCall] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)

    def names(self) -> list[str]:
        """Engines in the order of the tables."""
        return [build.engine for build in self.builds]

    def to_dict(self) -> dict[str, Any]:
        """Everything measured, as plain data."""
        parts = ("builds", "memory", "points", "at_recall", "calls")
        return {
            "machine": asdict(self.machine),
            "dataset": self.dataset,
            "settings": asdict(self.settings),
            **{part: [asdict(record) for record in getattr(self, part)] for part in parts},
        }


def specs(settings: Settings) -> list[Spec]:
    """Engines to compare; the baseline last."""
    libraries = [("annx", codec) for codec in settings.codecs]
    libraries += [(peer, "f32") for peer in settings.peers if is_installed(peer)]
    if settings.baseline and has_hnswlib() and settings.metric != "hamming":
        libraries.append((BASELINE, "f32"))
    return [settings.spec(library, codec) for library, codec in libraries]


def _build(
    chosen: Sequence[Spec], dataset: Dataset, settings: Settings, progress: Progress
) -> tuple[list[Engine], list[Build]]:
    inputs = [as_input(spec, dataset.base) for spec in chosen]
    builds = [Build(spec.name, settings.threads, [], []) for spec in chosen]
    engines: dict[int, Engine] = {}
    steps = settings.build_rounds * len(chosen)
    for turn in range(settings.build_rounds):
        for place in range(len(chosen)):
            which = (place + turn) % len(chosen)
            step = turn * len(chosen) + place
            progress(f"building {chosen[which].name}", step, steps)
            engines.pop(which, None)
            engine = make(chosen[which], dimension(chosen[which], dataset.base))
            begin, begin_cpu = time.perf_counter(), time.process_time()
            engine.build(inputs[which], settings.threads)
            builds[which].seconds.append(time.perf_counter() - begin)
            builds[which].cpu_seconds.append(time.process_time() - begin_cpu)
            engines[which] = engine
    progress("building", steps, steps)
    return [engines[which] for which in range(len(chosen))], builds


def call_overhead(settings: Settings, rounds: int = 7) -> list[SingleCall]:
    """Cost of a call on 1,000 x 16-d float32 vectors: small, so that the call shows."""
    rng = np.random.default_rng(settings.seed)
    base = rng.standard_normal((1000, 16), dtype=np.float32)
    queries = rng.standard_normal((2000, 16), dtype=np.float32)
    engines = []
    for spec in specs(Settings("l2", baseline=settings.baseline, seed=settings.seed)):
        engine = make(spec, 16)
        engine.build(base, 1)
        engines.append(engine)
    return single_calls(engines, queries, 10, 10, rounds, settings.clock)


def compare(
    dataset: Dataset,
    settings: Settings,
    *,
    progress: Progress = lambda what, done, total: None,
    emit: Callable[[str, Any], None] = lambda kind, record: None,
) -> Comparison:
    """Measure annx, and hnswlib beside it, on one data set.

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
    """
    about = {
        "name": dataset.name,
        "rows": len(dataset.base),
        "columns": int(dataset.base.shape[1]),
        "dtype": str(dataset.base.dtype),
        "queries": len(dataset.queries),
    }
    out = Comparison(describe(), about, settings)
    emit("machine", out.machine)
    emit("dataset", about)
    emit("settings", settings)

    def put(kind: str, into: list[Any], records: Sequence[Any]) -> None:
        into.extend(records)
        for record in records:
            emit(kind, record)

    chosen = specs(settings)
    if settings.memory:
        for done, spec in enumerate(chosen):
            progress(f"measuring memory of {spec.name}", done, len(chosen))
            grown = index_bytes(spec, dataset.base, settings.threads)
            put("memory", out.memory, [Memory(spec.name, grown)])
    out.engines, builds = _build(chosen, dataset, settings, progress)
    put("build", out.builds, builds)

    progress("finding the true neighbours", 0, 1)
    truth = Truth(dataset.base, dataset.queries, settings.k, settings.metric, dataset.neighbors)
    asked = [as_input(spec, dataset.queries) for spec in chosen]
    enough = max(settings.targets, default=1.0)
    efs = sorted({max(ef, settings.k) for ef in settings.efs})
    points = sweep(
        out.engines,
        asked,
        truth,
        settings.k,
        efs,
        settings.rounds,
        enough,
        progress,
        settings.clock,
    )
    put("point", out.points, points)
    baseline = BASELINE if BASELINE in out.names() else None
    put("at_recall", out.at_recall, at_recall(points, settings.targets, baseline, settings.k))
    if settings.calls:
        progress("measuring single calls", 0, 1)
        put("single_call", out.calls, call_overhead(settings))
    return out


def build_seconds(comparison: Comparison, engine: str) -> float:
    """Median build time of one engine, by the comparison's clock."""
    build = next(build for build in comparison.builds if build.engine == engine)
    return median(build.cpu_seconds if comparison.settings.clock == "cpu" else build.seconds)


def index_size(comparison: Comparison, engine: str) -> int | None:
    """Measured memory of one engine."""
    return next((m.bytes for m in comparison.memory if m.engine == engine), None)
