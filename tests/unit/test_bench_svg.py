"""Plots, bars and colours of the benchmark's page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from annx._bench import svg
from annx._bench.style import STYLE


@pytest.mark.parametrize("width, height", [(828, 480), (358, 380)])
def test_plot_keeps_every_point_inside(width, height):
    curves = [
        svg.Series("a", 0, [svg.Mark(0.5, 90.0, "<1>"), svg.Mark(0.97, 20.0, "2")], True),
        svg.Series("b & c", 13, [svg.Mark(1.0, 1e6, "3")]),
    ]
    points = [point for curve in curves for point in curve.marks]
    wide = width > 500
    x = svg.recall_axis([point.x for point in points], 10, wide)
    y = svg.log_axis("queries per second", [point.y for point in points], wide)
    root = ElementTree.fromstring(svg.plot(curves, x, y, width, height))
    marks = [*root.iter("circle"), *root.iter("polygon")]
    assert len(marks) == 3
    for circle in root.iter("circle"):
        assert 0 < float(circle.get("cx")) < width
        assert 0 < float(circle.get("cy")) < height
    assert len([*root.iter("text")]) >= 5


def test_bars_keep_texts_inside():
    rows = [svg.Bar("a long name", 0, 10.0, "10", 12.0), svg.Bar("b", 1, 0.0, "out of reach")]
    rows.append(svg.Bar("annx compact", 2, 5.0, "5", bold=True))
    root = ElementTree.fromstring(svg.bars(rows, 358, "t"))
    for text in root.iter("text"):
        left = float(text.get("x"))
        wide = (8.4 if "bold" in text.get("class", "") else 7) * len(text.text)
        assert (left - wide >= 0) if text.get("text-anchor") == "end" else (left + wide <= 358)


def test_bars_are_not_squeezed_by_one_long_tail():
    rows = [svg.Bar("a", 0, 10, "10 / 20", 20), svg.Bar("b", 1, 40, "40 / 4,000", 4000)]
    root = ElementTree.fromstring(svg.bars(rows, 800, "t"))
    a, b = (float(bar.get("width")) for bar in root.iter("rect"))
    assert b == pytest.approx(4 * a, rel=0.01) and a > 40
    cut = [path.get("d").endswith("l-5 4") for path in root.iter("path")]
    assert cut == [False, True], "an arrow tells that the line goes on"
    less = ElementTree.fromstring(svg.bars(rows[:1], 800, "t"))
    assert not next(less.iter("path")).get("d").endswith("l-5 4")


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_of_curves_stand_out_from_the_page(scheme):
    page_colour = re.findall(r"--page: (#\w+)", STYLE)[scheme]
    half = STYLE.split("prefers-color-scheme: dark")[scheme]
    colours = re.findall(r"--c\d+: (#\w+)", half)
    assert len(set(colours)) == svg.COLOURS == len(colours)
    for colour in colours:
        low, high = sorted((luminance(colour), luminance(page_colour)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour
