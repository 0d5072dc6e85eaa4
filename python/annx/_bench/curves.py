"""From measured points to curves: the best of them, and what they say at a recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from annx._bench.engines import Setting


@dataclass(slots=True)
class Point:
    """One build, searched with one setting.

    Attributes
    ----------
    curve : str
        Library and variant.
    build : str
        The curve and the parameters of the build.
    qps : list of float
        Queries per second, one thread, one entry a round.
    waited : list of float
        Share of the time that the process did not run, one entry a round: near 0 on an
        idle machine.
    """

    curve: str
    build: str
    setting: Setting
    recall: float
    qps: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


def speed(point: Point, turn: int | None = None) -> float:
    """Queries per second in one round, or the median of all."""
    return median(point.qps) if turn is None else point.qps[turn]


def front(points: Sequence[Point]) -> list[Point]:
    """Keep the points that no other beats in recall and speed, by ascending recall."""
    out: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.recall, -speed(p))):
        if not out or speed(point) > speed(out[-1]):
            out.append(point)
    return out[::-1]


def qps_at(curve: Sequence[Point], recall: float, turn: int | None = None) -> float | None:
    """Speed at a recall between the points of a front; None above them.

    The logarithm of the speed is taken as linear in recall between two neighbours, as
    recall/QPS plots with a logarithmic axis show it. Beneath the first point, which is the
    fastest of all, its speed is the answer: it reaches more than what is asked for.

    Parameters
    ----------
    curve : sequence of Point
        As :func:`front` gives it.
    recall : float
    turn : int, optional
        The round to look at; the median of all by default.
    """
    if not curve or recall > curve[-1].recall:
        return None
    if recall <= curve[0].recall:
        return speed(curve[0], turn)
    right = next(number for number, point in enumerate(curve) if point.recall >= recall)
    low, high = curve[right - 1], curve[right]
    share = (recall - low.recall) / (high.recall - low.recall)
    return math.exp((1 - share) * math.log(speed(low, turn)) + share * math.log(speed(high, turn)))


def recall_at(curve: Sequence[Point], qps: float) -> float | None:
    """Recall at a speed: the reverse of :func:`qps_at`; None if nothing is as fast."""
    if not curve or qps > speed(curve[0]):
        return None
    if qps <= speed(curve[-1]):
        return curve[-1].recall
    right = next(number for number, point in enumerate(curve) if speed(point) <= qps)
    low, high = curve[right - 1], curve[right]
    share = math.log(qps / speed(low)) / math.log(speed(high) / speed(low))
    return low.recall + share * (high.recall - low.recall)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median, least and greatest of the rounds' ratios."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtRecall:
    """One curve's speed where it reaches a given recall.

    Attributes
    ----------
    qps : float or None
        Median of the rounds, with the least and the greatest; None if out of reach.
    ratios : dict of str to Ratio
        To each baseline that reaches the recall too.
    """

    curve: str
    recall: float
    qps: float | None
    qps_low: float | None
    qps_high: float | None
    ratios: dict[str, Ratio]


def _rounds(points: Sequence[Point]) -> int:
    return min((len(point.qps) for point in points), default=0)


def at_recall(
    points: Sequence[Point], targets: Sequence[float], baselines: Sequence[str]
) -> list[AtRecall]:
    """Every curve's speed at each of `targets`, and its ratios to the `baselines`.

    Parameters
    ----------
    points : sequence of Point
        All that was measured; the points of one curve may come from several builds.
    targets : sequence of float
    baselines : sequence of str
        Names of curves.
    """
    by_curve: dict[str, list[Point]] = {}
    for point in points:
        by_curve.setdefault(point.curve, []).append(point)
    fronts = {name: front(found) for name, found in by_curve.items()}
    turns = range(_rounds(points))
    out = []
    for recall in targets:
        speeds = {
            name: [qps for turn in turns if (qps := qps_at(found, recall, turn)) is not None]
            for name, found in fronts.items()
        }
        for name, own in speeds.items():
            ratios = {}
            for baseline in baselines:
                pairs = zip(own, speeds.get(baseline, ()), strict=False)
                each = [mine / other for mine, other in pairs]
                if each and baseline != name:
                    ratios[baseline] = Ratio(median(each), min(each), max(each))
            low, middle, high = (min(own), median(own), max(own)) if own else (None,) * 3
            out.append(AtRecall(name, recall, middle, low, high, ratios))
    return out
