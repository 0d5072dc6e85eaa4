"""The figures of the benchmark harness: truth, recall, fronts and interpolation."""

from __future__ import annotations

import numpy as np
import pytest

from annx._bench.curves import Point, at_recall, front, qps_at, recall_at
from annx._bench.truth import Truth, distances, true_neighbors


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


def test_recall_at_a_speed_is_the_reverse():
    points = front([point("a", 0.8, 1000.0), point("a", 0.9, 100.0), point("a", 0.95, 10.0)])
    for recall in (0.8, 0.83, 0.9, 0.93, 0.95):
        assert recall_at(points, qps_at(points, recall)) == pytest.approx(recall)
    assert recall_at(points, 2000) is None
    assert recall_at(points, 1) == 0.95


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
