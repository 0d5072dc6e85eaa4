"""What became faster, slower, smaller or larger between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from annx._bench.comparison import BASELINE, Comparison, build_seconds
from annx._bench.curves import Ratio
from annx.errors import ParameterError

#: Shares by which a figure may be worse: clocks vary, sizes hardly do.
SPEED, BUILD, MEMORY, FILE = 0.05, 0.15, 0.05, 0.01
#: For speeds and calls over other parts of the queries, some of which are harder.
OTHER_QUERIES = 0.10


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two runs.

    Attributes
    ----------
    old, new : Ratio or None
        None where it was not reached or not measured.
    relative : bool
        Whether the figure is a ratio to hnswlib of the same run, which a busier or another
        machine does not change much.
    verdict : str
        ``"better"``, ``"worse"``, ``"same"``, or ``""`` where there is nothing to compare.
    """

    curve: str
    figure: str
    old: Ratio | None
    new: Ratio | None
    relative: bool
    verdict: str

    @property
    def factor(self) -> float | None:
        """New by old."""
        if self.old is None or self.new is None or not self.old.median:
            return None
        return self.new.median / self.old.median


def _verdict(old: Ratio | None, new: Ratio | None, tolerance: float, larger: bool) -> str:
    """Tell noise from change: medians differ by the tolerance, and the rounds do not overlap."""
    if old is None or new is None:
        if old is None and new is None:
            return ""
        return "worse" if new is None else "better"
    up, down = new.median > old.median * (1 + tolerance), old.median > new.median * (1 + tolerance)
    if up and new.low > old.high:
        return "better" if larger else "worse"
    if down and new.high < old.low:
        return "worse" if larger else "better"
    return "same"


def _spread(values: list[float]) -> Ratio:
    return Ratio(median(values), min(values), max(values))


def _divide(values: list[float], others: list[float] | None) -> Ratio | None:
    if not values:
        return None
    if others is None:
        return _spread(values)
    return _spread([value / other for value, other in zip(values, others, strict=False)])


def _speeds(run: Comparison, relative: bool) -> dict[tuple[str, str], Ratio | None]:
    out: dict[tuple[str, str], Ratio | None] = {}
    for found in run.at_recall:
        name = found.curve, f"QPS at recall {found.recall:.2f}"
        if relative:
            out[name] = found.ratios.get(BASELINE)
        elif found.qps is None or found.qps_low is None or found.qps_high is None:
            out[name] = None
        else:
            out[name] = Ratio(found.qps, found.qps_low, found.qps_high)
    return out


def _latencies(run: Comparison, relative: bool) -> dict[tuple[str, str], Ratio | None]:
    base = next((found for found in run.latencies if found.curve == BASELINE), None)
    out: dict[tuple[str, str], Ratio | None] = {}
    for found in run.latencies:
        for figure in ("p50", "p99"):
            others = getattr(base, figure) if relative else None
            out[found.curve, f"{figure} of one call"] = _divide(getattr(found, figure), others)
    return out


def _builds(run: Comparison, relative: bool) -> dict[tuple[str, str], Ratio | None]:
    others = {
        build.build.removeprefix(BASELINE): build_seconds(run, build) for build in run.of(BASELINE)
    }
    out: dict[tuple[str, str], Ratio | None] = {}
    for build in run.builds:
        other = others.get(build.build.removeprefix(build.curve))
        seconds = build_seconds(run, build)
        value = seconds / other if relative and other else seconds
        out[build.build, "build time"] = Ratio(value, value, value)
    return out


def _sizes(run: Comparison, what: str) -> dict[tuple[str, str], Ratio | None]:
    out: dict[tuple[str, str], Ratio | None] = {}
    for build in run.builds:
        size = getattr(build, what)
        label = {"resident": "resident memory", "file": "file size"}[what]
        out[build.build, label] = None if size is None else Ratio(size, size, size)
    return out


def queries(old: Comparison, new: Comparison) -> list[tuple[str, Any, Any]]:
    """How many queries, and rounds, each of two runs had time for."""
    out: list[tuple[str, Any, Any]] = [
        ("queries for recall", old.recall_queries, new.recall_queries)
    ]
    if old.plan is not None and new.plan is not None:
        out += [
            ("queries for speed", old.plan.queries, new.plan.queries),
            ("queries for single calls", old.plan.calls, new.plan.calls),
            ("rounds", old.plan.rounds, new.plan.rounds),
        ]
    return out


def changes(old: Comparison, new: Comparison) -> list[Change]:
    """Compare all figures of two runs over the same data.

    Speeds, latencies and build times are compared as ratios to hnswlib's of the same run
    if both runs have it.

    Raises
    ------
    ParameterError
        The runs are of different data, or of different k.
    """
    same: list[tuple[str, Any, Any]] = [
        ("data", old.dataset, new.dataset),
        ("metric", old.settings.metric, new.settings.metric),
        ("k", old.settings.k, new.settings.k),
        ("build threads", old.settings.threads, new.settings.threads),
    ]
    for what, one, other in same:
        if one != other:
            raise ParameterError(f"the runs differ in {what}: {one!r} and {other!r}")
    other = any(was != now for what, was, now in queries(old, new) if what.startswith("queries"))
    speed = OTHER_QUERIES if other else SPEED
    relative = all(BASELINE in run.curves() for run in (old, new))
    figures = [
        (_speeds(old, relative), _speeds(new, relative), speed, True, relative),
        (_latencies(old, relative), _latencies(new, relative), speed, False, relative),
        (_builds(old, relative), _builds(new, relative), BUILD, False, relative),
        (_sizes(old, "resident"), _sizes(new, "resident"), MEMORY, False, False),
        (_sizes(old, "file"), _sizes(new, "file"), FILE, False, False),
    ]
    out = []
    for before, after, tolerance, larger, is_ratio in figures:
        for curve, figure in [name for name in before if name in after]:
            if is_ratio and curve.split(" M=")[0] == BASELINE:
                continue  # 1 by definition
            was, now = before[curve, figure], after[curve, figure]
            verdict = _verdict(was, now, tolerance, larger)
            out.append(Change(curve, figure, was, now, is_ratio, verdict))
    return out
