"""A comparison as one static page that needs no network and no script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from statistics import median

from annx._bench import tables
from annx._bench.comparison import BASELINE, Build, Comparison, build_seconds
from annx._bench.curves import Point, front, qps_at, recall_at, speed
from annx._bench.engines import Spec, engine_class
from annx._bench.journal import plain
from annx._bench.style import STYLE
from annx._bench.svg import Axis, Bar, Mark, Series, bars, log_axis, mark, plot, recall_axis

#: Recall at which the bars compare speeds.
SHOWN_RECALL = 0.95
#: What lies beneath is not drawn: nobody would use it.
_LEAST_RECALL = 0.7
_WIDE, _NARROW = 828, 358
#: Without it the figures of byte codes would look like a free gift.
BYTES = """These vectors are whole numbers of 8 bits, which byte codes (annx's auto and compact
among them) keep as they are; other libraries hold the same values as float32. Vectors that are
not bytes already would be rounded, or rescored."""
METHOD = """Each build is a process of its own, pinned to one processor while it is searched;
only one works at a time. They take turns at every step of every round, so that whatever else the
machine does hits all alike. Figures are medians of the rounds, with the least and the greatest.
Recall is counted by distance, recomputed in float64 from the rows that were returned: a row
counts if it is no farther than the true k-th. Speeds at a recall are interpolated between the
points of a curve's front (the points that no other of the curve beats in both). Queries are
the same for all, handed over in the type and scale that a library wants. Memory is the growth of
the process."""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Write a table, and the same as Markdown to copy."""
    if not rows:
        return ""
    names = [name.replace("\n", " ").strip() for name in columns]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    own = [any(cell.startswith("annx") for cell in row) for row in rows]
    body = "".join(
        f"<tr{' class=own' * mine}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row, mine in zip(rows, own, strict=True)
    )
    lines = [names, ["---"] * len(names), *rows]
    markdown = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f'<div class="scroll"><table class="left{left}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
        f"<details><summary>copy as Markdown</summary><pre>{escape(markdown)}</pre></details>"
    )


def _both(draw: Sequence[str]) -> str:
    wide, narrow = draw
    return f'<div class="wide">{wide}</div>\n<div class="narrow">{narrow}</div>'


class _Page:
    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.curves = comparison.curves()
        self.numbers = {name: number for number, name in enumerate(self.curves)}
        self.fronts = {
            name: front([point for point in comparison.points if point.curve == name])
            for name in self.curves
        }

    def is_own(self, curve: str) -> bool:
        return curve.startswith("annx")

    def qps(self, curve: str) -> float | None:
        """Speed at the recall that is shown, as the tables have it."""
        for found in self.comparison.at_recall:
            if (found.curve, found.recall) == (curve, SHOWN_RECALL):
                return found.qps
        return qps_at(self.fronts[curve], SHOWN_RECALL)

    def lead(self) -> str:
        """Say in one sentence what annx reaches."""
        shown = [found for found in self.comparison.at_recall if found.recall == SHOWN_RECALL]
        own = {a.curve: a for a in shown if self.is_own(a.curve) and a.qps is not None}
        first = own.get(self.curves[0])
        if first is None or first.qps is None:
            return ""
        text = (
            f"At {SHOWN_RECALL:.0%} recall {first.curve} answers {first.qps:,.0f} queries a "
            "second on one thread"
        )
        if ratio := first.ratios.get(BASELINE):
            text += f", {ratio.median:.2f} times what {BASELINE} does at the same recall"
            for name, found in own.items():
                if found is not first and (ratio := found.ratios.get(BASELINE)):
                    text += f"; {name}, {ratio.median:.2f} times"
        return f'<p class="lead">{escape(text)}.</p>'

    def legend(self) -> tuple[str, str]:
        """Name the curves, and the style by which a tick box hides one."""
        items, rules = [], []
        for name, number in self.numbers.items():
            sample = f'<svg viewBox="0 0 14 14" aria-hidden="true">{mark(number, 7, 7)}</svg>'
            items.append(
                f'<label><input type="checkbox" id="t{number}" checked>{sample}'
                f"{escape(name)}</label>"
            )
            rules.append(f"body:has(#t{number}:not(:checked)) .s{number} {{ display: none; }}")
        return f'<div class="legend">{"".join(items)}</div>', "\n".join(rules)

    def _point_title(self, point: Point) -> str:
        return (
            f"{tables.point_name(self.comparison, point)}, {tables.setting_text(point.setting)}: "
            f"recall {point.recall:.4f}, {speed(point):,.0f} queries per second"
        )

    def speeds(self) -> str:
        """Recall against queries per second."""
        series = [
            Series(
                name,
                self.numbers[name],
                [Mark(p.recall, speed(p), self._point_title(p)) for p in points],
                self.is_own(name),
            )
            for name, points in self.fronts.items()
        ]
        recalls = [point.x for curve in series for point in curve.marks]
        # A curve that is nowhere near would squeeze the others into a corner.
        recalls = [max(recall, _LEAST_RECALL) for recall in recalls]
        qps = [p.y for curve in series for p in curve.marks if p.x >= min(recalls)]
        series = [
            Series(s.name, s.number, [p for p in s.marks if p.x >= min(recalls)], s.bold)
            for s in series
        ]
        k = self.comparison.settings.k
        return _both(
            [
                plot(
                    series,
                    recall_axis(recalls, k, wide),
                    log_axis("queries per second", qps, wide),
                    width,
                    height,
                )
                for wide, width, height in ((True, _WIDE, 480), (False, _NARROW, 380))
            ]
        )

    def speed_bars(self) -> str:
        """Queries per second at one recall."""
        rows = []
        for name in self.curves:
            qps = self.qps(name)
            if qps is None:
                best = self.fronts[name][-1].recall
                rows.append(Bar(name, self.numbers[name], 0, f"reaches {best:.3f}"))
                continue
            rows.append(Bar(name, self.numbers[name], qps, f"{qps:,.0f}", bold=self.is_own(name)))
        rows.sort(key=lambda row: -row.value)
        return self._bars(rows, "queries per second")

    def _bars(self, rows: Sequence[Bar], title: str) -> str:
        return _both([bars(rows, width, title) for width in (_WIDE, _NARROW)])

    def builds(self) -> str:
        """Build time against what the index then finds in the same time."""
        reference = next((name for name in (BASELINE, *self.curves) if name in self.fronts), None)
        if reference is None:
            return ""
        qps = self.qps(reference) or speed(self.fronts[reference][-1])
        series, recalls, times = [], [], []
        for build in self.comparison.builds:
            points = [p for p in self.comparison.points if p.build == build.build]
            recall = recall_at(front(points), qps)
            if recall is None:
                continue
            seconds = build_seconds(self.comparison, build)
            title = f"{self._build_name(build)}: {seconds:.1f} s, recall {recall:.4f}"
            point = Mark(max(seconds, 1e-3), recall, title)
            own = self.is_own(build.curve)
            number = self.numbers[build.curve]
            series.append(Series(self._build_name(build), number, [point], own, named=True))
            recalls.append(max(recall, _LEAST_RECALL))
            times.append(point.x)
        if not series:
            return ""
        threads = self.comparison.settings.threads
        named = f"build time in seconds, {threads} thread{'s' * (threads > 1)}"
        figures = []
        for wide, width, height in ((True, _WIDE, 380), (False, _NARROW, 340)):
            y = recall_axis(recalls, self.comparison.settings.k, wide)
            shown = [s for s in series if s.marks[0].y >= min(recalls)]
            figures.append(plot(shown, log_axis(named, times, wide), _named(y), width, height))
        return (
            _both(figures)
            + f'<p class="soft">Recall where a curve answers {qps:,.0f} queries a second, as '
            f"{escape(reference)} does at {SHOWN_RECALL:.0%}; what is never as fast is left "
            "out. Up and to the left is better.</p>"
        )

    def _build_name(self, build: Build) -> str:
        return build.build if tables.several_builds(self.comparison) else build.curve

    def memory(self) -> str:
        """Resident memory, and the peak of the build."""
        rows = [
            Bar(
                self._build_name(build),
                self.numbers[build.curve],
                build.resident / 1e6,
                tables.megabytes(build.resident)
                + ("" if build.peak is None else f" / {tables.megabytes(build.peak)}"),
                None if build.peak is None else build.peak / 1e6,
                self.is_own(build.curve),
            )
            for build in self.comparison.builds
            if build.resident is not None and build.curve in self.numbers
        ]
        rows.sort(key=lambda row: row.value)
        return self._bars(rows, "resident memory in MB") if rows else ""

    def latency(self) -> str:
        """Median and 99th percentile of a single call."""
        rows = [
            Bar(
                found.curve,
                self.numbers[found.curve],
                median(found.p50),
                f"{median(found.p50):,.0f} / {median(found.p99):,.0f}",
                median(found.p99),
                self.is_own(found.curve),
            )
            for found in self.comparison.latencies
            if found.curve in self.numbers
        ]
        rows.sort(key=lambda row: row.value)
        return self._bars(rows, "microseconds of a call")

    def notes(self) -> list[str]:
        """What a reader of the figures has to know about single libraries."""
        out = {}
        for build in self.comparison.builds:
            library, _, variant = build.curve.partition(" ")
            note = engine_class(Spec(library, self.comparison.settings.metric, variant)).note
            if note:
                out[library] = note
        return list(out.values())


def _named(axis: Axis) -> Axis:
    return Axis(f"{axis.title} at equal speed", axis.low, axis.high, axis.to_scale, axis.ticks)


def _how(page: _Page) -> str:
    comparison = page.comparison
    machine = comparison.machine
    rows = {
        "Data": tables.data_line(comparison),
        "Command": machine.command,
        "Machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB, "
        f"{machine.system}, huge pages {machine.huge_pages}",
        "annx": f"backend {machine.backend}, {machine.isa}, commit {machine.commit or 'unknown'}",
        "Versions": ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
        "Python": machine.python,
        "When": machine.when,
        "Time": tables.time_line(comparison),
        "SHA-256 of the data": str(comparison.dataset.get("sha256", "")),
    }
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)
    notes = "".join(f"<li>{escape(note)}.</li>" for note in page.notes())
    failures = "".join(f"<li>{escape(line)}.</li>" for line in tables.failure_lines(comparison))
    settings = json.dumps(plain(comparison.settings), indent=1)
    return (
        f"<p>{escape(METHOD)}</p>\n"
        + (f"<ul>{notes}{failures}</ul>\n" if notes or failures else "")
        + f"<dl>{items}</dl>\n"
        f"<details><summary>all settings</summary><pre>{escape(settings)}</pre></details>"
    )


def _stores(comparison: Comparison) -> str:
    lines = tables.stores_lines(comparison)
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<p class="soft">What these vectors are stored as:</p>\n<ul class="soft">{items}</ul>'


def page(comparison: Comparison, *, extra: str = "", note: str = "") -> str:
    """Write the page.

    Parameters
    ----------
    comparison : Comparison
    extra : str
        HTML before the part on how it was run.
    note : str
        What a reader of the plot must know about the data.

    Returns
    -------
    str
        A whole HTML document.
    """
    made = _Page(comparison)
    peers = [name for name in made.curves if not made.is_own(name)]
    title = f"annx on {comparison.dataset['name']}"
    if peers:
        title = f"annx and its peers on {comparison.dataset['name']}"
    legend, rules = made.legend()
    rounds, busy = tables.rounds(comparison), tables.busy_line(comparison)
    cut, missing = tables.cut_line(comparison), tables.left_out_line(comparison)
    if not note and comparison.dataset["dtype"] in ("int8", "uint8"):
        note = BYTES
    about = f"{tables.data_line(comparison)}. {tables.machine_line(comparison)}."
    latency = ""
    if comparison.latencies:
        latency = f"""<h2>One call for one query</h2>
{made.latency()}
<p class="soft">Microseconds: bars show the median of all queries, thin lines reach to the 99th
percentile, arrows towards it. Each curve at its fastest setting that reaches a recall of 0.95, or
at its most thorough one.</p>
{table(tables.LATENCY_COLUMNS, tables.latency_rows(comparison), 2)}"""
    memory = made.memory()
    points = table(tables.POINT_COLUMNS, tables.point_rows(comparison), 2)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}
{rules}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="soft">{escape(about)}</p>
{made.lead()}
{f'<p class="warn">{escape(busy)}</p>' if busy else ""}
{f'<p class="soft">{escape(cut)}</p>' if cut else ""}
{f'<p class="soft">{escape(note)}</p>' if note else ""}
<h2>Recall and speed</h2>
{legend}
{made.speeds()}
<p class="soft">One thread. Up and to the right is better; the axis of recall is stretched towards
1, where each step costs more. Each mark is one setting of the search.</p>
{f'<p class="soft">{escape(missing)}</p>' if missing else ""}
<h2>Queries per second at {SHOWN_RECALL:.0%} recall</h2>
{made.speed_bars()}
<h2>At equal recall</h2>
{table(tables.pivot_columns(comparison), tables.pivot_rows(comparison))}
<p class="soft">Queries per second on one thread, interpolated, and factors to others: medians of
{rounds} rounds in turns.</p>
<details><summary>with the least and the greatest of the rounds</summary>
{table(tables.recall_columns(comparison), tables.recall_rows(comparison), 2)}
</details>
<h2>Build time against recall</h2>
{made.builds()}
<h2>Memory</h2>
{memory}
<p class="soft">MB that the index adds to a process of its own: bars show it after the build, thin
lines reach to the peak of the build.</p>
{table(tables.cost_columns(comparison), tables.cost_rows(comparison))}
{_stores(comparison)}
{latency}
{extra}
<h2>Every point</h2>
<details><summary>all points of all fronts</summary>{points}</details>
<h2>What was run, and how</h2>
{_how(made)}
</body>
</html>
"""
