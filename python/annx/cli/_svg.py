"""A recall/QPS plot as inline SVG; its colours are the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Room for tick labels and axis titles, in pixels.
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 10, 46
_MARKS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: (search parameters, recall, QPS) by ascending recall."""

    name: str
    points: Sequence[tuple[str, float, float]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """From data to pixels."""

    width: int
    height: int
    recall: tuple[float, float]
    qps: tuple[float, float]

    def x(self, recall: float) -> float:
        low, high = self.recall
        return _LEFT + (recall - low) / (high - low) * (self.width - _LEFT - _RIGHT)

    def y(self, qps: float) -> float:
        low, high = map(math.log, self.qps)
        share = (math.log(qps) - low) / (high - low)
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


def mark(number: int, x: float, y: float, title: str = "") -> str:
    """Draw the point mark of the curve `number`: told apart by shape as well as colour."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    style = f'class="mark c{number % 4}"'
    kind = _MARKS[number % len(_MARKS)]
    if kind == "circle":
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="4">{inside}</circle>'
    shapes = {
        "square": ((-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)),
        "triangle": ((0, -5), (4.6, 3.5), (-4.6, 3.5)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
    }
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[kind])
    return f'<polygon {style} points="{corners}">{inside}</polygon>'


def _recall_ticks(low: float, wide: bool) -> list[float]:
    spans = ((0.05, 0.01), (0.12, 0.02), (0.3, 0.05), (1.1, 0.2))
    step = next(step for span, step in spans if 1 - low <= span)
    step = step if wide else {0.01: 0.02, 0.02: 0.05, 0.05: 0.1, 0.2: 0.2}[step]
    first = math.ceil(round(low / step, 6))
    return [number * step for number in range(first, round(1 / step) + 1)]


def _qps_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _short(qps: float) -> str:
    return f"{qps / 1000:g}k" if qps >= 1000 else f"{qps:g}"


def _axes(frame: _Frame, k: int) -> list[str]:
    bottom, right = frame.height - _BOTTOM, frame.width - _RIGHT
    out = []
    for recall in _recall_ticks(frame.recall[0], frame.width >= 500):
        x = frame.x(recall)
        out.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{recall:.2f}</text>')
    for qps in _qps_ticks(*frame.qps):
        y = frame.y(qps)
        out.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(qps)}</text>')
    middle = (_TOP + bottom) / 2
    out.append(
        f'<text class="axis" x="{(_LEFT + right) / 2:.0f}" y="{frame.height - 6}" '
        f'text-anchor="middle">recall@{k}</text>'
    )
    out.append(
        f'<text class="axis" transform="rotate(-90)" x="{-middle:.0f}" y="13" '
        f'text-anchor="middle">queries per second</text>'
    )
    return out


def plot(curves: Sequence[Series], k: int, width: int, height: int) -> str:
    """Draw recall (linear) against QPS (logarithmic).

    Parameters
    ----------
    curves : sequence of Series
    k : int
        Of recall@k, for the axis.
    width, height : int
        In pixels; text is 12 px high, so give the width at which it will be seen.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    recalls = [recall for curve in curves for _, recall, _ in curve.points]
    speeds = [qps for curve in curves for _, _, qps in curve.points]
    floor = min(math.floor(min(recalls) * 50) / 50, 0.98)
    frame = _Frame(width, height, (floor, 1.0), (min(speeds) / 1.15, max(speeds) * 1.15))
    label = "Recall against queries per second"
    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">']
    out += _axes(frame, k)
    for number, curve in enumerate(curves):
        corners = " ".join(f"{frame.x(r):.1f},{frame.y(qps):.1f}" for _, r, qps in curve.points)
        out.append(f'<polyline class="curve c{number % 4}" points="{corners}"/>')
        for setting, recall, qps in curve.points:
            title = f"{curve.name}, {setting}: recall {recall:.4f}, {qps:,.0f} queries per second"
            out.append(mark(number, frame.x(recall), frame.y(qps), title))
    out.append("</svg>")
    return "\n".join(out)
