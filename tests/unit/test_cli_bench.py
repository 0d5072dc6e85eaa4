"""The benchmark harness: truth, recall, interpolation, the plot and the report."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from annx.cli import _bench_table, _output, _report, _svg
from annx.cli._bench_compare import EFS, Settings, call_overhead, compare
from annx.cli._bench_engines import has_hnswlib
from annx.cli._bench_measure import Point, at_recall, qps_at
from annx.cli._bench_memory import resident
from annx.cli._bench_truth import Truth, distances, true_neighbors
from annx.datasets import Dataset


def slow_distance(metric, a, b):
    if metric == "hamming":
        return float(sum((x ^ y).bit_count() for x, y in zip(a.tolist(), b.tolist(), strict=True)))
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "l2":
        return float(((a - b) ** 2).sum())
    if metric == "cosine":
        a, b = a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())
    return float(1 - (a * b).sum())


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine", "hamming"])
@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u1"])
def test_truth_matches_a_slow_twin(metric, dtype):
    rng = np.random.default_rng(0)
    low, high = (0, 200) if dtype == "u1" else (-100, 100)
    if metric == "hamming":
        dtype, low, high = "u1", 0, 256
    base = rng.integers(low, high, (300, 8)).astype(dtype)
    queries = rng.integers(low, high, (5, 8)).astype(dtype)
    want = np.array([[slow_distance(metric, query, row) for row in base] for query in queries])
    rows = np.tile(np.arange(300), (5, 1))
    np.testing.assert_allclose(distances(base, queries, rows, metric), want, atol=1e-12)
    found = true_neighbors(base, queries, 7, metric)
    np.testing.assert_allclose(
        np.take_along_axis(want, found, 1), np.sort(want, axis=1)[:, :7], atol=1e-12
    )


def test_recall_counts_ties_once_and_padding_never():
    base = np.array([[0.0], [1.0], [1.0], [1.0], [5.0]], np.float32)
    truth = Truth(base, np.zeros((1, 1), np.float32), 2, "l2")
    assert truth.recall(np.array([[0, 1]])) == 1.0
    assert truth.recall(np.array([[3, 0]])) == 1.0, "another row at the same distance"
    assert truth.recall(np.array([[0, 0]])) == 0.5, "one row named twice"
    assert truth.recall(np.array([[0, -1]])) == 0.5
    assert truth.recall(np.array([[4, -1]])) == 0.0


def test_truth_takes_given_neighbours_but_not_too_few():
    base = np.arange(10, dtype=np.float32)[:, None]
    query = np.zeros((1, 1), np.float32)
    wrong = np.array([[7, 8, 9]])
    assert Truth(base, query, 3, "l2", wrong).recall(np.array([[3, 4, 5]])) == 1.0
    assert Truth(base, query, 4, "l2", wrong).recall(np.array([[0, 1, 2, 3]])) == 1.0


def test_speed_is_interpolated_and_never_extrapolated():
    points = [Point("a", 20, 0.8, [1000.0]), Point("a", 40, 0.9, [100.0])]
    assert qps_at(points, 0.85, 10) == pytest.approx(1000 * 10**-0.5)
    assert qps_at(points, 0.8, 10) == pytest.approx(1000)
    assert qps_at(points, 0.9, 10) == pytest.approx(100)
    assert qps_at(points, 0.91, 10) is None
    assert qps_at(points, 0.79, 10) is None
    assert qps_at(points, 0.79, 20) == 1000, "no beam is narrower than k"


def test_ratios_are_taken_round_by_round():
    points = [
        Point("annx", 10, 0.8, [200.0, 400.0, 300.0]),
        Point("hnswlib", 10, 0.8, [100.0, 100.0, 100.0]),
        Point("annx", 20, 1.0, [200.0, 400.0, 300.0]),
        Point("hnswlib", 20, 1.0, [100.0, 100.0, 100.0]),
    ]
    annx_at, hnswlib_at = at_recall(points, [0.9], "hnswlib", 5)
    assert (annx_at.ratio, annx_at.ratio_low, annx_at.ratio_high) == pytest.approx((3, 2, 4))
    assert hnswlib_at.ratio == pytest.approx(1)


def clusters():
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((20, 16))
    points = centres[rng.integers(0, 20, 1240)] + 0.4 * rng.standard_normal((1240, 16))
    points = points.astype(np.float32)
    return Dataset("clusters", points[:1200], points[1200:], None, "l2")


@pytest.fixture(scope="module")
def comparison():
    emitted = []
    settings = Settings("l2", rounds=2, efs=(10, 40, 160), codecs=("f32", "f16"))
    result = compare(clusters(), settings, emit=lambda kind, record: emitted.append(kind))
    return result, emitted


def test_comparison_measures_everything(comparison):
    result, emitted = comparison
    names = ["annx f32", "annx f16"] + ["hnswlib"] * has_hnswlib()
    assert result.names() == names
    assert {point.engine for point in result.points} == set(names)
    assert all(len(point.qps) == 2 and min(point.qps) > 0 for point in result.points)
    best = {name: max(p.recall for p in result.points if p.engine == name) for name in names}
    assert min(best.values()) > 0.98
    assert {"machine", "dataset", "settings", "memory", "build", "point", "at_recall"} <= {*emitted}
    if resident() is not None:
        sizes = {memory.engine: memory.bytes for memory in result.memory}
        # 1,200 rows of 16 float32 and 32 links are 0.23 MB; pages and pools come on top.
        assert all(50_000 < size < 20_000_000 for size in sizes.values()), sizes


def test_comparison_is_plain_data(comparison):
    result, _ = comparison
    again = json.loads(json.dumps(_output.plain(result.to_dict())))
    assert again["machine"]["cpu"] and again["settings"]["seed"] == 0
    assert len(again["points"]) == len(result.points)


def test_beams_are_at_least_k():
    settings = Settings(
        "l2", k=30, efs=EFS[:5], rounds=1, memory=False, calls=False, baseline=False
    )
    result = compare(clusters(), settings)
    assert [point.ef for point in result.points][:2] == [30, 40][: len(result.points)]


def test_single_calls_are_measured():
    calls = call_overhead(Settings("l2"), rounds=1)
    assert calls[0].engine == "annx f32"
    assert 0 < calls[0].batched and calls[0].call < 1000


def test_report_is_one_wellformed_page_without_network(comparison):
    result, _ = comparison
    answers = [_report.Answer("a < b & c", [_report.Hit("w<b>", "d & e", 0.5, True)])]
    page = _report.page(result, answers)
    assert "a &lt; b &amp; c" in page and "w&lt;b&gt;" in page
    assert "http" not in page and "<script" not in page and "url(" not in page
    assert page.count("<svg") == page.count("</svg>") >= 2
    for name in result.names():
        assert name in page


def test_plot_keeps_every_point_inside():
    curves = [
        _svg.Series("a", [(10, 0.5, 90.0), (20, 0.97, 20.0)]),
        _svg.Series("b & c", [(10, 0.6, 1e6)]),
    ]
    for width, height in ((728, 400), (360, 330)):
        root = ElementTree.fromstring(_svg.plot(curves, 10, width, height))
        marks = root.findall("circle") + root.findall("polygon")
        assert len(marks) == 3
        for circle in root.findall("circle"):
            assert 0 < float(circle.get("cx")) < width
            assert 0 < float(circle.get("cy")) < height
        assert len(root.findall("text")) >= 5


def test_plot_of_perfect_recall_has_an_axis():
    ElementTree.fromstring(_svg.plot([_svg.Series("a", [(10, 1.0, 50.0)])], 10, 360, 330))


def test_tables_have_a_row_for_each_figure(comparison):
    result, _ = comparison
    engines = len(result.names())
    assert all(len(row) == 1 + 2 * engines for row in _bench_table.curve_rows(result))
    assert len(_bench_table.recall_rows(result)) == 3 * engines
    assert len(_bench_table.cost_rows(result)) == engines
