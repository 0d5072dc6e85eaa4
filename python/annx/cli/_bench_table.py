"""Show a comparison as tables."""

from __future__ import annotations

from statistics import median

from annx.cli import _output
from annx.cli._bench_compare import BASELINE, Comparison, build_seconds, index_size

#: A process with a core of its own waits less than this share of the time.
BUSY = 0.05


def count(value: float | None) -> str:
    """Write a speed with thousands separated; a dash if there is none."""
    return "-" if value is None else f"{value:,.0f}"


def megabytes(size: int | None) -> str:
    """Write a size in MB of a million bytes."""
    return "-" if size is None else f"{size / 1e6:,.1f}"


def curve_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each beam width: ef, then recall and QPS of every engine."""
    by_place = {(point.ef, point.engine): point for point in comparison.points}
    rows = []
    for ef in sorted({point.ef for point in comparison.points}):
        row = [str(ef)]
        for name in comparison.names():
            point = by_place[ef, name]
            row += [f"{point.recall:.4f}", count(median(point.qps))]
        rows.append(row)
    return rows


def recall_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each target recall and engine: its QPS, and its ratio to the baseline."""
    rows = []
    for found in comparison.at_recall:
        row = [f"{found.recall:.2f}", found.engine, count(found.qps)]
        if found.ratio is not None and found.engine != BASELINE:
            row.append(f"{found.ratio:.2f}x ({found.ratio_low:.2f}-{found.ratio_high:.2f})")
        else:
            row.append("")
        rows.append(row)
    return rows


def recall_columns(comparison: Comparison) -> list[str]:
    """Name the columns of :func:`recall_rows`."""
    compared = f"to {BASELINE}" if BASELINE in comparison.names() else ""
    return ["recall", "", "QPS", compared]


def cost_rows(comparison: Comparison) -> list[list[str]]:
    """One row for each engine: build time, memory, cost of a single call."""
    rows = []
    for name in comparison.names():
        call = next((c for c in comparison.calls if c.engine == name), None)
        rows.append(
            [
                name,
                f"{build_seconds(comparison, name):.2f}",
                megabytes(index_size(comparison, name)),
                "-" if call is None else f"{call.overhead:.2f}",
            ]
        )
    return rows


def cost_columns(comparison: Comparison) -> list[str]:
    """Name the columns of :func:`cost_rows`."""
    threads = comparison.settings.threads
    what = "build CPU s" if comparison.settings.clock == "cpu" else "build s"
    return ["", f"{what}\n{threads} thread{'s' * (threads > 1)}", "index\nMB", "call cost\nµs"]


def machine_line(comparison: Comparison) -> str:
    """Name the machine and the versions in one line."""
    machine = comparison.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
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
        f"M={settings.M}, ef_construction={settings.ef_construction}, seed={settings.seed}"
    )


def busy_line(comparison: Comparison) -> str:
    """Say that the machine was busy, if it was; otherwise an empty string."""
    waited = median(share for point in comparison.points for share in point.waited)
    if waited < BUSY:
        return ""
    return (
        f"The machine was busy: searches waited {waited:.0%} of the time, so that "
        f"figures by the {comparison.settings.clock} clock are less sure than they look."
    )


def show(comparison: Comparison) -> None:
    """Print all tables."""
    k, rounds = comparison.settings.k, comparison.settings.rounds
    turns = "one round" if rounds == 1 else f"median of {rounds} rounds"
    _output.echo(data_line(comparison))
    _output.echo(machine_line(comparison))
    _output.heading(f"recall@{k} and queries per second, one thread, {turns}")
    columns = ["ef"]
    for name in comparison.names():
        columns += [f"{name}\nrecall", "\nQPS"]
    _output.table(columns, curve_rows(comparison), left=0)
    if comparison.at_recall:
        _output.heading("queries per second at equal recall (interpolated)")
        _output.table(recall_columns(comparison), recall_rows(comparison), left=2)
    _output.heading("cost")
    _output.table(cost_columns(comparison), cost_rows(comparison))
    if busy := busy_line(comparison):
        _output.echo()
        _output.echo(busy)
