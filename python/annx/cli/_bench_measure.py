"""Time several engines against each other, in turns, so that drift hits all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from numpy.typing import NDArray

from annx.cli._bench_engines import Engine
from annx.cli._bench_truth import Truth

#: A shorter measurement is repeated until it lasts this long: clock and scheduler noise.
MIN_SECONDS = 0.05

#: ``wall`` is what users see; ``cpu`` counts this process alone, for busy machines.
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}

#: Told what is being done, how many steps of it are finished, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Point:
    """One engine at one beam width.

    Attributes
    ----------
    qps : list of float
        Queries per second, one thread, one entry a round.
    waited : list of float
        Share of the time that the process did not run, one entry a round: near 0 on an
        idle machine.
    """

    engine: str
    ef: int
    recall: float
    qps: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


def _seconds(
    engine: Engine, queries: NDArray[Any], k: int, clock: str = "wall"
) -> tuple[float, float]:
    """Seconds that one pass over `queries` takes, and the share of them spent waiting."""
    passes = 0
    begin = {name: read() for name, read in CLOCKS.items()}
    while True:
        engine.search(queries, k)
        passes += 1
        spent = {name: read() - begin[name] for name, read in CLOCKS.items()}
        if spent["wall"] >= MIN_SECONDS:
            return spent[clock] / passes, max(0.0, 1 - spent["cpu"] / spent["wall"])


def sweep(
    engines: Sequence[Engine],
    queries: Sequence[NDArray[Any]],
    truth: Truth,
    k: int,
    efs: Sequence[int],
    rounds: int,
    enough: float,
    progress: Progress,
    clock: str = "wall",
) -> list[Point]:
    """Measure recall and speed of every engine at every beam width.

    A round visits each width once and lets the engines take turns at it, the first turn
    going round. Widths past the one at which every engine reaches the recall `enough`
    are left out.

    Parameters
    ----------
    engines : sequence of Engine
    queries : sequence of ndarray of shape (n_queries, d)
        What each engine is given.
    """
    levels: list[list[Point]] = []
    for done, ef in enumerate(efs):
        progress("measuring recall", done, len(efs))
        level = []
        for engine, asked in zip(engines, queries, strict=True):
            engine.set_ef(ef)
            level.append(Point(engine.spec.name, ef, truth.recall(engine.search(asked, k))))
        levels.append(level)
        if all(point.recall >= enough for point in level):
            break
    steps = rounds * len(levels)
    for turn in range(rounds):
        for number, level in enumerate(levels):
            progress("measuring speed", turn * len(levels) + number, steps)
            for place in range(len(engines)):
                which = (place + turn) % len(engines)
                engines[which].set_ef(level[which].ef)
                seconds, waited = _seconds(engines[which], queries[which], k, clock)
                level[which].qps.append(len(queries[which]) / seconds)
                level[which].waited.append(waited)
    progress("measuring speed", steps, steps)
    return [point for level in levels for point in level]


def qps_at(points: Sequence[Point], recall: float, k: int, turn: int | None = None) -> float | None:
    """Speed at a recall between measured points; None outside them.

    The logarithm of the speed is taken as linear in recall between two neighbouring
    widths, as recall/QPS plots with a logarithmic axis show it. A beam of k is the
    narrowest there is: where it exceeds the recall asked for, its speed is the answer.

    Parameters
    ----------
    points : sequence of Point
        Of one engine, by ascending ef.
    recall : float
    k : int
    turn : int, optional
        The round to look at; the median of all by default.
    """
    speeds = [median(p.qps) if turn is None else p.qps[turn] for p in points]
    if points[0].ef <= k and recall < points[0].recall:
        return speeds[0]
    for left in range(len(points) - 1):
        low, high = points[left].recall, points[left + 1].recall
        if low <= recall <= high:
            share = (recall - low) / (high - low) if high > low else 1.0
            return math.exp(
                (1 - share) * math.log(speeds[left]) + share * math.log(speeds[left + 1])
            )
    return None


@dataclass(frozen=True, slots=True)
class AtRecall:
    """One engine's speed where it reaches a given recall.

    Attributes
    ----------
    ratio, ratio_low, ratio_high : float or None
        Median, least and greatest of the rounds' ratios to the baseline's speed.
    """

    engine: str
    recall: float
    qps: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


def at_recall(
    points: Sequence[Point], targets: Sequence[float], baseline: str | None, k: int
) -> list[AtRecall]:
    """Every engine's speed at each of `targets`, and its ratio to `baseline`."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point.engine, []).append(point)
    rounds = len(points[0].qps)
    out = []
    for recall in targets:
        for engine, curve in curves.items():
            ratios: list[float] = []
            if baseline is not None:
                for turn in range(rounds):
                    own = qps_at(curve, recall, k, turn)
                    other = qps_at(curves[baseline], recall, k, turn)
                    if own is not None and other is not None:
                        ratios.append(own / other)
            middle = (median(ratios), min(ratios), max(ratios)) if ratios else (None,) * 3
            out.append(AtRecall(engine, recall, qps_at(curve, recall, k), *middle))
    return out


@dataclass(frozen=True, slots=True)
class SingleCall:
    """What a call for one query costs beyond the search itself, in microseconds.

    Attributes
    ----------
    call : float
        One query, one call.
    batched : float
        One query's share of a call for all of them.
    overhead : float
        The difference; with its least and greatest value over the rounds.
    """

    engine: str
    call: float
    batched: float
    overhead: float
    overhead_low: float
    overhead_high: float


def single_calls(
    engines: Sequence[Engine],
    queries: NDArray[Any],
    k: int,
    ef: int,
    rounds: int,
    clock: str = "wall",
) -> list[SingleCall]:
    """Compare one call a query with one call for all queries, on one thread."""
    apart = list(queries)
    costs: list[list[tuple[float, float]]] = [[] for _ in engines]
    for engine in engines:
        engine.set_ef(ef)
        engine.search_each(apart, k)
    for turn in range(rounds):
        for place in range(len(engines)):
            which = (place + turn) % len(engines)
            begin = CLOCKS[clock]()
            engines[which].search_each(apart, k)
            each = (CLOCKS[clock]() - begin) / len(apart)
            batched = _seconds(engines[which], queries, k, clock)[0] / len(apart)
            costs[which].append((each * 1e6, batched * 1e6))
    out = []
    for engine, cost in zip(engines, costs, strict=True):
        extra = [each - batched for each, batched in cost]
        out.append(
            SingleCall(
                engine.spec.name,
                median(each for each, _ in cost),
                median(batched for _, batched in cost),
                median(extra),
                min(extra),
                max(extra),
            )
        )
    return out
