"""What a comparison was asked to do, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

import annx
from annx._bench.curves import AtRecall, Point
from annx._bench.engines import LIBRARIES, Setting, Spec, engine_class, installed
from annx._bench.machine import Machine
from annx._bench.plan import Plan
from annx.errors import ParameterError

#: Each about 1.4 times the one before: close enough to interpolate between.
EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)
TARGETS = (0.90, 0.95, 0.99)
BASELINE = "hnswlib"
#: The stage at which what was never tried has failed.
LEFT_OUT = "left out"
#: Curves that the others' speeds are divided by, where they were measured.
BASELINES = (BASELINE, "symqg")


@dataclass(frozen=True, slots=True)
class Settings:
    """What to compare, and how thoroughly.

    Attributes
    ----------
    codecs : tuple of str
        One annx curve for each.
    peers : tuple of str
        Libraries, or single variants of them as ``"usearch:i8"``.
    M, ef_construction : tuple of int
        One build of every curve for each pair.
    threads : int
        For builds; searches run on one.
    minutes : float, optional
        How long the run may take, roughly: fewer queries and rounds are measured, and builds
        that do not fit are left out, but for those of the first codec and of the baseline.
    clock : str
        ``"wall"``, or ``"cpu"`` on a machine that is busy otherwise.
    absent : tuple of str
        Libraries that would have been compared, were they installed.
    """

    metric: str
    k: int = 10
    M: tuple[int, ...] = (16,)
    ef_construction: tuple[int, ...] = (200,)
    codecs: tuple[str, ...] = ("f32",)
    peers: tuple[str, ...] = (BASELINE,)
    efs: tuple[int, ...] = EFS
    targets: tuple[float, ...] = TARGETS
    rounds: int = 5
    threads: int = 1
    build_rounds: int = 1
    latency: bool = True
    minutes: float | None = None
    clock: str = "wall"
    seed: int = 0
    absent: tuple[str, ...] = ()

    def specs(self) -> list[Spec]:
        """Every build, annx first; libraries that lack the metric are left out.

        Raises
        ------
        ParameterError
            A peer or codec is unknown, or the codec does not fit the metric.
        ImportError
            A peer was named and is not installed.
        """
        for codec in self.codecs:
            annx.Index(8, self.metric, codec=codec)  # refuses what it does not know
        return [spec for spec in self._specs() if engine_class(spec).knows(self.metric)]

    def _specs(self) -> list[Spec]:
        curves = [("annx", codec) for codec in self.codecs]
        curves += [curve for peer in self.peers for curve in variants(peer)]
        return [
            Spec(library, self.metric, variant, m, construction, self.seed)
            for library, variant in dict.fromkeys(curves)
            for m in self.M
            for construction in self.ef_construction
        ]

    def left_out(self) -> list[Failure]:
        """What is not compared, and why, before anything is tried."""
        out = {
            spec.curve: f"no metric {self.metric}"
            for spec in self._specs()
            if not engine_class(spec).knows(self.metric)
        }
        out |= dict.fromkeys(self.absent, "not installed: pip install 'annx[peers]'")
        return [Failure(name, LEFT_OUT, why) for name, why in out.items()]

    def is_sure(self, spec: Spec) -> bool:
        """Whether a build stays, whatever it takes."""
        return spec.curve in (f"annx {self.codecs[0]}", BASELINE)

    def rank(self, curve: str) -> tuple[int, int]:
        """Where a curve stands in tables: codecs and peers in the order they were given."""
        library, _, variant = curve.partition(" ")
        if library == "annx":
            return self.codecs.index(variant) if variant in self.codecs else 0, 0
        for number, peer in enumerate(self.peers, len(self.codecs)):
            named, _, only = peer.partition(":")
            if named == library and only in ("", variant):
                return number, list(LIBRARIES[library].variants).index(variant)
        return len(self.codecs) + len(self.peers), 0


def absent_libraries() -> tuple[str, ...]:
    """Libraries that could be compared, were they installed."""
    return tuple(name for name in LIBRARIES if not installed(name))


def variants(peer: str) -> list[tuple[str, str]]:
    """Library and variant of all curves that a peer's name stands for."""
    library, _, variant = peer.partition(":")
    found = LIBRARIES.get(library)
    if found is None or library == "annx" or (variant and variant not in found.variants):
        known = ", ".join(sorted(LIBRARIES.keys() - {"annx"}))
        raise ParameterError(f"expected a peer of {known} (or library:variant), got {peer!r}")
    if not installed(library):
        raise ImportError(
            f"{library} is not installed: pip install {found.package}", name=found.module
        )
    return [(library, name) for name in ([variant] if variant else found.variants)]


def installed_peers(every: bool = False) -> tuple[str, ...]:
    """Names of the peers that can be compared here: usual variants, or every one."""
    out = []
    for name, library in LIBRARIES.items():
        if name == "annx" or not installed(name):
            continue
        chosen = library.usual if library.usual and not every else library.variants
        out += [f"{name}:{variant}" if variant else name for variant in chosen]
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Build:
    """What indexing the base cost, one entry of the times a round.

    Attributes
    ----------
    resident, peak : int or None
        Growth of a process of its own, after the build and at most during it.
    file : int or None
        Bytes of the saved index; None where the library cannot save it.
    stores : str
        What a preset has come to for these rows, in words; empty if there was no choice.
    """

    curve: str
    build: str
    threads: int
    seconds: list[float]
    cpu_seconds: list[float]
    resident: int | None
    peak: int | None
    file: int | None
    stores: str = ""


@dataclass(slots=True)
class Latency:
    """Microseconds of a call for one query, one entry a round.

    Attributes
    ----------
    setting : dict
        The fastest one that reaches the recall asked for, or the most thorough one.
    """

    curve: str
    build: str
    setting: Setting
    recall: float
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """A library that did not get through, and what it said."""

    build: str
    stage: str
    message: str


@dataclass(slots=True)
class Comparison:
    """All that was measured.

    Attributes
    ----------
    recall_queries : int or None
        So many of the queries were used to measure recall.
    plan : Plan or None
        So many queries and rounds, to measure speed.
    times : dict of str to float
        Seconds that each step took.
    """

    machine: Machine
    dataset: dict[str, Any]
    settings: Settings
    builds: list[Build] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    at_recall: list[AtRecall] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    recall_queries: int | None = None
    plan: Plan | None = None
    times: dict[str, float] = field(default_factory=dict)

    def curves(self) -> list[str]:
        """Curves with at least one point, in the order of the tables."""
        measured = {point.curve for point in self.points}
        return [name for name in dict.fromkeys(b.curve for b in self.builds) if name in measured]

    def of(self, curve: str) -> list[Build]:
        """All builds of one curve."""
        return [build for build in self.builds if build.curve == curve]


def build_seconds(comparison: Comparison, build: Build) -> float:
    """Median build time, by the comparison's clock."""
    return median(build.cpu_seconds if comparison.settings.clock == "cpu" else build.seconds)
