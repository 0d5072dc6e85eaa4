"""Plots as inline SVG; their colours are the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from annx._bench.labels import Box, placed

#: Room for tick labels and axis titles, in pixels.
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 10, 46
#: So many colours the style sheet has; marks and dashes tell apart what shares one.
COLOURS = 16
_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),  # a circle
    ((-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)),
    ((0, -5), (4.6, 3.5), (-4.6, 3.5)),
    ((0, -5), (5, 0), (0, 5), (-5, 0)),
    ((0, 5), (4.6, -3.5), (-4.6, -3.5)),
)
#: Width of a letter at most, on average: fonts differ.
_LETTER = 7.6
#: The same of a name in bold.
_BOLD = 8.6
#: The thin line of a bar is cut at so many times the longest bar: one library's slowest calls
#: would squeeze all bars to nothing.
_REACH = 3
#: Recall of 1 stands where 0.9995 would: no logarithm reaches it.
_PERFECT = 0.0005


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with what to say about it."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Series:
    """One curve, or one point of it.

    Attributes
    ----------
    number : int
        Chooses colour and mark; the same for a curve in all plots.
    bold : bool
        Whether it is what the page is about.
    named : bool
        Whether the name stands beside the first mark.
    """

    name: str
    number: int
    marks: Sequence[Mark]
    bold: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to a share of the width or height.

    Attributes
    ----------
    to_scale : callable
        Makes the values linear.
    ticks : sequence of (float, str)
        Values and their labels.
    """

    title: str
    low: float
    high: float
    to_scale: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Place between the ends: 0 is the low one."""
        low, high = self.to_scale(self.low), self.to_scale(self.high)
        return (self.to_scale(value) - low) / (high - low)


def nines(recall: float) -> float:
    """Scale on which 0.9, 0.99 and 0.999 are equally far apart."""
    return -math.log10(max(1 - recall, _PERFECT))


def recall_axis(values: Sequence[float], k: int, wide: bool = True) -> Axis:
    """Recall by the number of nines, from a bit below the least of `values` to 1."""
    steps = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]
    low = max((step for step in steps[:6] if step <= min(values)), default=0.0)
    shown = [0.0, 0.5, 0.8, 0.9, 0.99, 0.999, 1.0] if not wide else steps
    ticks = [(step, f"{step:g}") for step in shown if step >= low]
    return Axis(f"recall@{k}", low, 1.0, nines, ticks)


def log_axis(title: str, values: Sequence[float], wide: bool = True) -> Axis:
    """Logarithmic, with room around the values."""
    low, high = min(values) / 1.2, max(values) * 1.2
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if wide or high / low < 100 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return Axis(title, low, high, math.log10, [(t, short(t)) for t in ticks if low <= t <= high])


def short(value: float) -> str:
    """Write a number in few characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def mark(number: int, x: float, y: float, title: str = "", size: float = 1) -> str:
    """Draw the mark of a curve: told apart by shape as well as colour."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    style = f'class="mark c{number % COLOURS}"'
    shape = _SHAPES[number % len(_SHAPES)]
    if not shape:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="{4 * size:g}">{inside}</circle>'
    corners = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}" for dx, dy in shape)
    return f'<polygon {style} points="{corners}">{inside}</polygon>'


def _name(mark_at: float, box: Box, name: str) -> str:
    """Write a name towards its mark, with a font that may be narrower than its box."""
    place, anchor = (box.left, "start") if box.left > mark_at else (box.right, "end")
    middle = (box.top + box.bottom) / 2 + 4
    return f'<text x="{place:.1f}" y="{middle:.1f}" text-anchor="{anchor}">{escape(name)}</text>'


def plot(curves: Sequence[Series], x: Axis, y: Axis, width: int, height: int) -> str:
    """Draw curves in a frame.

    Parameters
    ----------
    curves : sequence of Series
    x, y : Axis
    width, height : int
        In pixels; text is 12 px high, so give the width at which it will be seen.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    bottom, right = height - _BOTTOM, width - _RIGHT

    def at_x(value: float) -> float:
        return _LEFT + x.share(value) * (right - _LEFT)

    def at_y(value: float) -> float:
        return bottom - y.share(value) * (bottom - _TOP)

    label = escape(f"{y.title} against {x.title}")
    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">']
    for value, text in x.ticks:
        place = at_x(value)
        out.append(
            f'<line class="grid" x1="{place:.1f}" y1="{_TOP}" x2="{place:.1f}" y2="{bottom}"/>'
            f'<text x="{place:.1f}" y="{bottom + 17}" text-anchor="middle">{text}</text>'
        )
    for value, text in y.ticks:
        place = at_y(value)
        out.append(
            f'<line class="grid" x1="{_LEFT}" y1="{place:.1f}" x2="{right}" y2="{place:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{text}</text>'
        )
    out.append(
        f'<text class="axis" x="{(_LEFT + right) / 2:.0f}" y="{height - 8}" '
        f'text-anchor="middle">{escape(x.title)}</text>'
        f'<text class="axis" transform="rotate(-90)" x="{-(_TOP + bottom) / 2:.0f}" y="13" '
        f'text-anchor="middle">{escape(y.title)}</text>'
    )
    # What the page is about is drawn last, above the others.
    curves = sorted(curves, key=lambda c: c.bold)
    named = [(c.marks[0], c.name) for c in curves if c.named and c.marks]
    beside = placed(
        [(at_x(point.x), at_y(point.y), name) for point, name in named],
        Box(_LEFT, _TOP, right, bottom),
    )
    for curve in curves:
        places = [(at_x(point.x), at_y(point.y), point.title) for point in curve.marks]
        corners = " ".join(f"{left:.1f},{top:.1f}" for left, top, _ in places)
        looks = "curve bold" if curve.bold else "curve"
        looks += " again" if curve.number >= COLOURS else ""
        out.append(f'<g class="s{curve.number}">')
        out.append(f'<polyline class="{looks} c{curve.number % COLOURS}" points="{corners}"/>')
        size = 1.4 if curve.bold else 1
        out += [mark(curve.number, *place, size) for place in places]
        if curve.named and places:
            out.append(_name(places[0][0], beside.pop(0), curve.name))
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out)


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar; `beyond` is a second end, drawn as a thin line, or an arrow to it."""

    name: str
    number: int
    value: float
    text: str
    beyond: float | None = None
    bold: bool = False


def bars(rows: Sequence[Bar], width: int, title: str) -> str:
    """Draw bars from 0, with a name on the left and a text behind each.

    Parameters
    ----------
    rows : sequence of Bar
    width : int
        In pixels.
    title : str
        For those who cannot see it.
    """
    step, thick = 24, 14
    left = 8 + max(((_BOLD if row.bold else _LETTER) * len(row.name) for row in rows), default=0)
    room = width - left - 8 - max((_LETTER * len(row.text) for row in rows), default=0)
    longest = max((row.value for row in rows), default=1) or 1
    most = min(_REACH * longest, max((row.beyond or 0 for row in rows), default=0))
    most = max(most, longest)
    height = step * len(rows) + 4
    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    for place, row in enumerate(rows):
        top, middle = step * place + 4, step * place + 15
        length = max(1.0, row.value / most * room)
        end = length
        out.append(
            f'<text class="{"name bold" if row.bold else "name"}" x="{left - 8:.1f}" y="{middle}" '
            f'text-anchor="end">{escape(row.name)}</text>'
            f'<rect class="mark c{row.number % COLOURS}" x="{left:.1f}" y="{top}" '
            f'width="{length:.1f}" height="{thick}" rx="2"/>'
        )
        if row.beyond is not None:
            end = max(length, min(row.beyond / most, 1) * room)
            line = top + thick / 2
            tip = "m-5 -4l5 4l-5 4" if row.beyond > most else "m0 -4v8"
            out.append(
                f'<path class="beyond" d="M{left + length:.1f} {line}H{left + end:.1f}{tip}"/>'
            )
        out.append(f'<text x="{left + end + 6:.1f}" y="{middle}">{escape(row.text)}</text>')
    out.append("</svg>")
    return "\n".join(out)
