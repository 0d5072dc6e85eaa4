"""The benchmark harness: truth, recall, interpolation, the plot and the report."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from annx._bench import tables
from annx._bench.comparison import EFS, Settings, installed_peers
from annx._bench.curves import Point, at_recall, front, qps_at
from annx._bench.engines import LIBRARIES, Spec, engine_class, installed, make
from annx._bench.generate import GENERATORS
from annx._bench.memory import resident
from annx._bench.run import compare
from annx._bench.truth import Truth, distances, true_neighbors
from annx.cli import _output, _report, _svg
from annx.datasets import Dataset
from annx.errors import ParameterError


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


def point(curve, recall, *qps):
    return Point(curve, curve, {"ef": 10}, recall, list(qps), [0.0] * len(qps))


def test_front_keeps_what_nothing_beats():
    points = [point("a", recall, qps) for recall, qps in [(0.8, 9), (0.7, 9), (0.9, 5), (0.85, 4)]]
    assert [(p.recall, p.qps[0]) for p in front(points)] == [(0.8, 9), (0.9, 5)]


def test_speed_is_interpolated_and_never_extrapolated():
    points = front([point("a", 0.8, 1000.0), point("a", 0.9, 100.0)])
    assert qps_at(points, 0.85) == pytest.approx(1000 * 10**-0.5)
    assert qps_at(points, 0.8) == pytest.approx(1000)
    assert qps_at(points, 0.9) == pytest.approx(100)
    assert qps_at(points, 0.91) is None
    assert qps_at(points, 0.5) == 1000, "what reaches more than is asked for will do"
    assert qps_at([], 0.5) is None


def test_ratios_are_taken_round_by_round():
    points = [
        point("annx", 0.8, 200.0, 400.0, 300.0),
        point("hnswlib", 0.8, 100.0, 100.0, 100.0),
        point("annx", 1.0, 200.0, 400.0, 300.0),
        point("hnswlib", 1.0, 50.0, 50.0, 50.0),
    ]
    own, other = at_recall(points, [0.8], ["hnswlib", "absent"])
    assert own.ratios.keys() == {"hnswlib"} and not other.ratios
    ratio = own.ratios["hnswlib"]
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((3, 2, 4))
    assert (own.qps, own.qps_low, own.qps_high) == pytest.approx((300, 200, 400))


def test_best_build_of_a_baseline_counts():
    slow, fast = point("hnswlib", 0.95, 10.0), point("hnswlib", 0.96, 20.0)
    slow.build, fast.build = "M=8", "M=16"
    own, _ = at_recall([point("annx", 0.97, 40.0), slow, fast], [0.95], ["hnswlib"])
    assert own.ratios["hnswlib"].median == pytest.approx(2)


def blobs(rows=1200, dim=16):
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((20, dim))
    points = centres[rng.integers(0, 20, rows + 40)] + 0.4 * rng.standard_normal((rows + 40, dim))
    points = points.astype(np.float32)
    return Dataset("blobs", points[:rows], points[rows:], None, "l2")


@pytest.fixture(scope="module")
def comparison():
    emitted = []
    peers = ("hnswlib",) if installed("hnswlib") else ()
    settings = Settings("l2", rounds=2, efs=(10, 40, 160), codecs=("f32", "f16"), peers=peers)
    result = compare(blobs(), settings, emit=lambda kind, record: emitted.append(kind))
    return result, emitted


def test_comparison_measures_everything(comparison):
    result, emitted = comparison
    names = ["annx f32", "annx f16"] + ["hnswlib"] * installed("hnswlib")
    assert result.curves() == names and not result.failures
    assert all(len(point.qps) == 2 and min(point.qps) > 0 for point in result.points)
    best = {name: max(p.recall for p in result.points if p.curve == name) for name in names}
    assert min(best.values()) > 0.98
    kinds = {"machine", "dataset", "settings", "build", "point", "at_recall", "latency"}
    assert kinds <= {*emitted}
    assert {found.curve for found in result.latencies} == {*names}
    assert all(
        0 < p50 <= p99 for f in result.latencies for p50, p99 in zip(f.p50, f.p99, strict=True)
    )
    # 1,200 rows of 16 float32 and 32 links are 0.23 MB.
    assert all(50_000 < build.file < 1_000_000 for build in result.builds)
    if resident() is not None:
        assert all(build.resident < 20_000_000 for build in result.builds)


def test_comparison_is_plain_data(comparison):
    result, _ = comparison
    again = json.loads(json.dumps(_output.plain(result.to_dict())))
    assert again["machine"]["cpu"] and again["settings"]["seed"] == 0
    assert len(again["points"]) == len(result.points)


def test_beams_are_at_least_k():
    settings = Settings("l2", k=30, efs=EFS[:5], rounds=1, latency=False, peers=())
    points = compare(blobs(), settings).points
    assert [p.setting["ef"] for p in points][:2] == [30, 40][: len(points)]


def test_a_library_that_dies_ends_its_curve_alone(monkeypatch):
    import annx._bench.worker as worker

    whole = worker.Worker.call

    def call(self, name, *args):
        if name == "time" and self.spec.variant == "f16":
            self._process.kill()
        return whole(self, name, *args)

    monkeypatch.setattr(worker.Worker, "call", call)
    settings = Settings("l2", rounds=1, efs=(10,), codecs=("f32", "f16"), peers=(), latency=False)
    result = compare(blobs(), settings)
    assert result.curves() == ["annx f32"]
    assert [failure.stage for failure in result.failures] == ["search"]
    assert "exit code" in result.failures[0].message


def test_unknown_names_are_refused_before_any_work():
    with pytest.raises(ParameterError, match="expected a peer of faiss, hnswlib"):
        Settings("l2", peers=("nothing",)).specs()
    with pytest.raises(ParameterError, match="codec"):
        Settings("l2", codecs=("nothing",)).specs()


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize(
    "library, variant",
    [(name, variant) for name, found in LIBRARIES.items() for variant in found.variants or ["f32"]],
)
def test_every_engine_finds_the_truth_and_keeps_it(library, variant, metric, tmp_path):
    if not installed(library):
        pytest.skip(f"{library} is not installed")
    spec = Spec(library, metric, variant)
    if not engine_class(spec).knows(metric):
        pytest.skip(f"{library} has no {metric}")
    data = blobs(rows=2000, dim=32)
    engine = make(spec, 32)
    engine.fit(data.base)
    engine.build(engine.prepare(data.base), 1)
    truth = Truth(data.base, data.queries, 10, metric)
    asked = engine.prepare(data.queries)
    engine.use(engine.settings(10, (200,))[-1])
    found = engine.search(asked, 10)
    assert found.shape == (len(data.queries), 10)
    # Eight bits and no second stage cost some libraries a tenth.
    assert truth.recall(found) > 0.75
    engine.search_one(asked[0], 10)
    engine.save(tmp_path / "index")
    again = make(spec, 32)
    again.load(tmp_path / "index")
    again.use(again.settings(10, (200,))[-1])
    np.testing.assert_array_equal(again.search(asked, 10), found)
    engine.close()
    again.close()


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_data_is_reproducible_and_fit(name):
    data = GENERATORS[name](rows=3000, seed=5)
    again = GENERATORS[name](rows=3000, seed=5)
    np.testing.assert_array_equal(data.base, again.base)
    np.testing.assert_array_equal(data.queries, again.queries)
    assert not np.array_equal(data.base, GENERATORS[name](rows=3000, seed=6).base)
    assert len(data.base) == 3000 and len(data.queries) == 500
    assert data.base.shape[1] == data.queries.shape[1]
    assert np.isfinite(data.base).all() and data.base.any(axis=1).all()


def test_installed_peers_are_known():
    assert set(installed_peers()) <= LIBRARIES.keys() - {"annx"}


def test_report_is_one_wellformed_page_without_network(comparison):
    result, _ = comparison
    answers = [_report.Answer("a < b & c", [_report.Hit("w<b>", "d & e", 0.5, True)])]
    page = _report.page(result, answers)
    assert "a &lt; b &amp; c" in page and "w&lt;b&gt;" in page
    assert "http" not in page and "<script" not in page and "url(" not in page
    assert page.count("<svg") == page.count("</svg>") >= 2
    for name in result.curves():
        assert name in page


def test_plot_keeps_every_point_inside():
    curves = [
        _svg.Series("a", [("ef=10", 0.5, 90.0), ("ef=20", 0.97, 20.0)]),
        _svg.Series("b & c", [("ef=10", 0.6, 1e6)]),
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
    ElementTree.fromstring(_svg.plot([_svg.Series("a", [("ef=10", 1.0, 50.0)])], 10, 360, 330))


def test_tables_have_a_row_for_each_figure(comparison):
    result, _ = comparison
    engines = len(result.curves())
    for columns, rows, least in (
        (tables.recall_columns(result), tables.recall_rows(result), 3 * engines),
        (tables.cost_columns(result), tables.cost_rows(result), engines),
        (tables.POINT_COLUMNS, tables.point_rows(result), engines),
        (tables.LATENCY_COLUMNS, tables.latency_rows(result), engines),
    ):
        assert len(rows) >= least
        assert {len(row) for row in rows} == {len(columns)}
