"""A comparison as rows of text, for a terminal and for a page."""

from __future__ import annotations

from statistics import median

from annx._bench.clock import minutes_text
from annx._bench.comparison import BASELINES, Comparison, build_seconds
from annx._bench.curves import Point, front, speed
from annx._bench.engines import LIBRARIES, Setting

#: A process with a core of its own waits less than this share of the time.
BUSY = 0.05


def count(value: float | None) -> str:
    """Write a speed with thousands separated; a dash if there is none."""
    return "-" if value is None else f"{value:,.0f}"


def megabytes(size: int | None) -> str:
    """Write a size in MB of a million bytes."""
    return "-" if size is None else f"{size / 1e6:,.1f}"


def setting_text(setting: Setting) -> str:
    """Write the parameters of a search."""
    return " ".join(f"{name}={value:g}" for name, value in setting.items())


def baselines(comparison: Comparison) -> list[str]:
    """Curves that the others are compared with."""
    return [name for name in BASELINES if name in comparison.curves()]


def several_builds(comparison: Comparison) -> bool:
    """Whether a curve was built with more than one set of parameters."""
    return len(comparison.settings.M) * len(comparison.settings.ef_construction) > 1


def point_name(comparison: Comparison, point: Point) -> str:
    """Name a point's curve, with the parameters of the build where they differ."""
    return point.build if several_builds(comparison) else point.curve


def recall_columns(comparison: Comparison) -> list[str]:
    """Name the columns of :func:`recall_rows`."""
    ratios = [f"to {name}" for name in baselines(comparison)]
    return ["recall", "", "QPS", "(least-most)", *ratios]


def recall_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each target recall and curve: its QPS, and its ratios to the baselines."""
    rows = []
    for found in comparison.at_recall:
        spread = "" if found.qps is None else f"{count(found.qps_low)}-{count(found.qps_high)}"
        row = [f"{found.recall:.2f}", found.curve, count(found.qps), spread]
        for name in baselines(comparison):
            ratio = found.ratios.get(name)
            row.append(
                "" if ratio is None else f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"
            )
        rows.append(row)
    return rows


def pivot_columns(comparison: Comparison) -> list[str]:
    """Name the columns of :func:`pivot_rows`."""
    out = [""]
    for recall in comparison.settings.targets:
        out.append(f"QPS at {recall:.2f}")
        out += [f"to {name}" for name in baselines(comparison)]
    return out


def pivot_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each curve: QPS and ratios at every target recall."""
    rows = []
    for curve in comparison.curves():
        row = [curve]
        for found in comparison.at_recall:
            if found.curve != curve:
                continue
            row.append(count(found.qps))
            for name in baselines(comparison):
                ratio = found.ratios.get(name)
                row.append("" if ratio is None else f"{ratio.median:.2f}x")
        rows.append(row)
    return rows


def cost_columns(comparison: Comparison) -> list[str]:
    """Name the columns of :func:`cost_rows`."""
    threads = comparison.settings.threads
    what = "build CPU s" if comparison.settings.clock == "cpu" else "build s"
    return [
        "",
        f"{what}\n{threads} thread{'s' * (threads > 1)}",
        "resident\nMB",
        "peak\nMB",
        "file\nMB",
    ]


def cost_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each build: its time, memory and size."""
    rows = []
    for build in comparison.builds:
        name = build.build if several_builds(comparison) else build.curve
        rows.append(
            [
                name,
                f"{build_seconds(comparison, build):.2f}",
                megabytes(build.resident),
                megabytes(build.peak),
                megabytes(build.file),
            ]
        )
    return rows


LATENCY_COLUMNS = ["", "search", "recall", "p50\nµs", "p99\nµs"]


def latency_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each curve: what a call for one query takes."""
    return [
        [
            found.curve,
            setting_text(found.setting),
            f"{found.recall:.4f}",
            f"{median(found.p50):,.0f}",
            f"{median(found.p99):,.0f}",
        ]
        for found in comparison.latencies
    ]


POINT_COLUMNS = ["", "search", "recall", "QPS", "(least-most)"]


def point_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each point of each curve's front."""
    rows = []
    for curve in comparison.curves():
        for point in front([point for point in comparison.points if point.curve == curve]):
            rows.append(
                [
                    point_name(comparison, point),
                    setting_text(point.setting),
                    f"{point.recall:.4f}",
                    count(speed(point)),
                    f"{count(min(point.qps))}-{count(max(point.qps))}",
                ]
            )
    return rows


def stores_lines(comparison: Comparison) -> list[str]:
    """Say what annx's presets have come to, one line for each curve."""
    found = {build.curve: build.stores for build in comparison.builds if build.stores}
    return [f"{curve}: {stores}" for curve, stores in found.items()]


def failure_lines(comparison: Comparison) -> list[str]:
    """Say what is missing, and why; what has the same reason stands in one line."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for failure in comparison.failures:
        reasons.setdefault((failure.stage, failure.message), []).append(failure.build)
    return [f"{', '.join(builds)}, {stage}: {said}" for (stage, said), builds in reasons.items()]


def machine_line(comparison: Comparison) -> str:
    """Name the machine and the versions of what was compared in one line."""
    machine = comparison.machine
    libraries = {curve.partition(" ")[0] for curve in comparison.curves()}
    packages = {LIBRARIES[library].package for library in libraries} | {"numpy"}
    if machine.backend == "numba":
        packages.add("numba")
    versions = ", ".join(
        f"{name} {version}" for name, version in machine.versions.items() if name in packages
    )
    return (
        f"{machine.cpu}, {machine.cores} cores; {machine.backend} {machine.isa}; "
        f"Python {machine.python}, {versions}"
    )


def data_line(comparison: Comparison) -> str:
    """Name the data and the parameters in one line."""
    data, settings = comparison.dataset, comparison.settings
    return (
        f"{data['name']}: {data['rows']:,} x {data['columns']} {data['dtype']}, "
        f"{data['queries']:,} queries, {settings.metric}; "
        f"M={_numbers(settings.M)}, ef_construction={_numbers(settings.ef_construction)}, "
        f"seed={settings.seed}"
    )


def _numbers(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def rounds(comparison: Comparison) -> int:
    """How often everything was timed."""
    return comparison.settings.rounds if comparison.plan is None else comparison.plan.rounds


def cut_line(comparison: Comparison) -> str:
    """Say what was measured less thoroughly than was asked for; otherwise an empty string."""
    total, settings, plan = comparison.dataset["queries"], comparison.settings, comparison.plan
    cut = []
    if comparison.recall_queries is not None and comparison.recall_queries < total:
        cut.append(f"recall with {comparison.recall_queries:,} of {total:,} queries")
    if plan is not None:
        if plan.queries < total:
            cut.append(f"speed with {plan.queries:,} of {total:,} queries")
        if plan.rounds < settings.rounds:
            cut.append(f"{plan.rounds} of {settings.rounds} rounds")
        if settings.latency and plan.calls == 0:
            cut.append("no single calls")
        elif settings.latency and plan.calls < total:
            cut.append(f"single calls with {plan.calls:,} of {total:,} queries")
    if not cut:
        return ""
    return f"Measured, to keep to the time: {', '.join(cut)}; the same queries for all."


def left_out_line(comparison: Comparison) -> str:
    """Name what is not among the curves; otherwise an empty string."""
    names = [failure.build for failure in comparison.failures]
    if not several_builds(comparison):
        names = [name.partition(" M=")[0] for name in names]
    if not names:
        return ""
    return f"Not among the curves, for reasons given at the end: {', '.join(names)}."


def time_line(comparison: Comparison) -> str:
    """Say how long it took, and what that went to."""
    times, minutes = comparison.times, comparison.settings.minutes
    if not times:
        return ""
    asked = "" if minutes is None else f" of {minutes_text(60 * minutes)}"
    parts = ", ".join(
        f"{step} {minutes_text(seconds)}" for step, seconds in times.items() if seconds >= 0.5
    )
    whole = f"It took {minutes_text(sum(times.values()))}{asked} minutes"
    return f"{whole}: {parts}." if parts else f"{whole}."


def busy_line(comparison: Comparison) -> str:
    """Say that the machine was busy, if it was; otherwise an empty string."""
    shares = [share for point in comparison.points for share in point.waited]
    waited = median(shares) if shares else 0.0
    if waited < BUSY:
        return ""
    return (
        f"The machine was busy: searches waited {waited:.0%} of the time, so that "
        f"figures by the {comparison.settings.clock} clock are less sure than they look."
    )
