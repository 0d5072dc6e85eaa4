"""Measures and significance against ir-measures, ranx, SciPy and arithmetic by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import ecosystem
import numpy as np
import pytest

ecosystem.need("ir_measures", "scipy", "ranx")

import ir_measures
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import annx
from annx import DimensionError, ParameterError
from annx.evaluation import (
    compare,
    compare_runs,
    evaluate,
    neighbor_recall,
    paired_difference,
    write_qrels,
    write_run,
)

MEASURES = ["nDCG@10", "nDCG", "RR@10", "RR", "AP", "AP@100", "R@5", "R@100", "Success@10", "P@5"]
# ranx's names of the same.
RANX = {
    "nDCG@10": "ndcg@10",
    "RR@10": "mrr@10",
    "AP@100": "map@100",
    "R@5": "recall@5",
    "Success@10": "hit_rate@10",
    "P@5": "precision@5",
}

ASK_RANX = """
import json, sys
import ranx
given = json.load(sys.stdin)
qrels = ranx.Qrels(given["qrels"])
runs = [ranx.Run(run, name=name) for name, run in given["runs"].items()]
measures = given["measures"]
if given["test"] is None:
    print(json.dumps(dict(ranx.evaluate(qrels, runs[0], measures))))
else:
    report = ranx.compare(qrels, runs, measures, stat_test=given["test"])
    found = report.comparisons[frozenset(given["runs"])]
    print(json.dumps({name: float(found[name]["p_value"]) for name in measures}))
"""


def ask_ranx(qrels, runs, measures, test=None):
    """What ranx says, without Numba, whose compilation takes a minute."""
    judged = {q: {d: g for d, g in docs.items() if g > 0} for q, docs in qrels.items()}
    given = {"qrels": judged, "runs": runs, "measures": measures, "test": test}
    said = subprocess.run(
        [sys.executable, "-c", ASK_RANX],
        input=json.dumps(given),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout.splitlines()[-1])


def made(seed, queries=60, documents=120, quality=1.0):
    """Graded judgements, and a run whose scores follow them as far as its quality goes."""
    rng = np.random.default_rng(seed)
    names = [f"d{i}" for i in range(documents)]
    qrels, run = {}, {}
    for query in range(queries):
        grades = np.maximum(0, rng.integers(-20, 4, documents))
        grades[rng.integers(documents)] = 1
        scores = quality * grades + rng.standard_normal(documents)
        top = np.argsort(-scores)[: rng.integers(1, 60)]
        judged = np.flatnonzero((grades > 0) | (rng.random(documents) < 0.1))
        qrels[f"q{query}"] = {names[i]: int(grades[i]) for i in judged}
        run[f"q{query}"] = {names[i]: float(scores[i]) for i in top}
    return qrels, run


def test_is_ir_measures():
    qrels, run = made(0)
    del run["q3"]
    run["unjudged"] = {"d1": 1.0}
    found = evaluate(run, qrels, MEASURES)
    want = ir_measures.calc_aggregate([ir_measures.parse_measure(m) for m in MEASURES], qrels, run)
    for name in MEASURES:
        assert found[name] == pytest.approx(want[ir_measures.parse_measure(name)], abs=1e-12)
    assert found.per_query["AP"]["q3"] == 0 and found.queries == tuple(qrels)
    for metric in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run):
        assert found.per_query["nDCG@10"][metric.query_id] == metric.value
    assert dict(evaluate(run, qrels, ["MRR@10", "MAP@100"])) == {
        "MRR@10": found["RR@10"],
        "MAP@100": found["AP@100"],
    }


def test_is_ranx():
    qrels, run = made(1)
    found = evaluate(run, qrels, list(RANX))
    want = ask_ranx(qrels, {"run": run}, list(RANX.values()))
    for ours, theirs in RANX.items():
        assert found[ours] == pytest.approx(want[theirs], abs=1e-6), ours


@given(st.data())
@settings(max_examples=50)
def test_is_arithmetic_by_hand(data):
    names = list("abcdefgh")
    grades = {name: data.draw(st.integers(0, 2)) for name in names}
    order = data.draw(st.permutations(names))[: data.draw(st.integers(1, 8))]
    run = {"q": {name: float(-place) for place, name in enumerate(order)}}
    found = evaluate(run, {"q": grades}, ["RR", "R@3", "Success@3", "AP", "nDCG@5"])
    relevant = [name for name in names if grades[name] > 0]
    hits = [grades[name] > 0 for name in order]
    first = hits.index(True) if any(hits) else None
    assert found["RR"] == pytest.approx(0 if first is None else 1 / (first + 1))
    assert found["Success@3"] == any(hits[:3])
    total = max(1, len(relevant))
    assert found["R@3"] == pytest.approx(sum(hits[:3]) / total)
    precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
    assert found["AP"] == pytest.approx(sum(precisions) / total)
    discounts = 1 / np.log2(np.arange(2, 7))
    gains = np.array([grades[name] for name in order][:5])
    ideal = np.array(sorted(grades.values(), reverse=True)[:5])
    best = (ideal * discounts).sum()
    want = (gains * discounts[: len(gains)]).sum() / best if best else 0
    assert found["nDCG@5"] == pytest.approx(want)


def test_measures_that_do_not_exist():
    qrels, run = made(0, 3)
    for name in ("HitRate@10", "nDCG@x", "", "ndcg_cut_10"):
        with pytest.raises(ParameterError, match="nDCG@10, got"):
            evaluate(run, qrels, [name])
    with pytest.raises(ParameterError, match="at least one measure"):
        evaluate(run, qrels, [])
    with pytest.raises(ParameterError, match="judgements"):
        evaluate(run, {})


def test_fishers_test_over_all_permutations(rng):
    a, b = rng.random((2, 10))
    change = b - a
    signs = 1 - 2 * ((np.arange(2**10)[:, None] >> np.arange(10)) & 1)
    means = (signs * change).mean(axis=1)
    want = (np.abs(means) >= abs(change.mean()) - 1e-12).mean()
    found = paired_difference(a, b)
    assert found.p_value == pytest.approx(want, abs=2 / 2**10)
    assert found.delta == pytest.approx(change.mean()) and found.a == pytest.approx(a.mean())
    assert found.low < found.delta < found.high


def test_p_values_are_those_of_scipy_and_ranx():
    qrels, weak = made(2, 150, quality=1.0)
    _, strong = made(2, 150, quality=1.1)
    for method, test in (("permutation", "fisher"), ("t", "student")):
        ours = compare_runs(weak, strong, qrels, measures=["RR@10", "AP@100"], method=method)
        theirs = ask_ranx(qrels, {"weak": weak, "strong": strong}, ["mrr@10", "map@100"], test)
        for name, their_name in (("RR@10", "mrr@10"), ("AP@100", "map@100")):
            p_value = theirs[their_name]
            tolerance = 0.03 if method == "permutation" else 1e-4
            assert ours.measures[name].p_value == pytest.approx(p_value, abs=tolerance)
    values = np.array(list(ours.per_query["RR@10"].values()))
    want = stats.ttest_rel(values[:, 1], values[:, 0]).pvalue
    assert ours.measures["RR@10"].p_value == pytest.approx(want)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(4)
    covered = false_alarms = 0
    for trial in range(300):
        a = rng.exponential(size=40)
        b = a + rng.standard_normal(40) * 0.5 + 0.2
        found = paired_difference(a, b, resamples=500, seed=trial)
        covered += found.low <= 0.2 <= found.high
        null = paired_difference(a, a + rng.standard_normal(40), resamples=500, seed=trial)
        false_alarms += null.p_value < 0.05
    assert 0.9 < covered / 300 <= 0.985  # 0.95 but for the bootstrap's own error at n = 40
    assert 0.02 < false_alarms / 300 < 0.09


def test_equal_seeds_and_equal_values():
    a, b = np.random.default_rng(0).random((2, 50))
    assert paired_difference(a, b) == paired_difference(a, b)
    assert paired_difference(a, b, seed=1) != paired_difference(a, b)
    assert paired_difference(a, a)[2:] == (0, 0, 0, 1)
    assert paired_difference([0.5], [0.7]).p_value == 1
    for method in ("permutation", "t"):
        constant = paired_difference(np.zeros(30), np.ones(30), method=method)
        assert constant.p_value < 0.001 and constant.low == constant.high == 1


def test_bad_values():
    for a, b in (([1, 2], [1]), ([], []), ([[1]], [[1]])):
        with pytest.raises(DimensionError):
            paired_difference(a, b)
    for wrong in ({"method": "fisher"}, {"confidence": 1}, {"resamples": 0}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            paired_difference([1, 2], [2, 3], **wrong)


@pytest.fixture
def index(rng):
    rows = rng.standard_normal((3000, 24), dtype=np.float32)
    index = annx.Index(24, "cosine")
    index.add(rows, labels=np.arange(3000) + 100)
    return index


def test_neighbor_recall_is_that_of_labels(index, rng):
    queries = rng.standard_normal((50, 24), dtype=np.float32)
    truth = index.exact_search(queries, 10).labels
    for width in (10, 30, 300):
        found = index.search(queries, 10, ef_search=width).labels
        want = np.mean([len(np.intersect1d(*rows)) for rows in zip(found, truth, strict=True)]) / 10
        assert neighbor_recall(index, queries, ef_search=width) == pytest.approx(want, abs=0.006)
    assert neighbor_recall(index, queries, recall=1.0) == 1
    assert neighbor_recall(index, queries, filter=[100, 101]) == 1
    assert neighbor_recall(index, queries, filter=[]) == 1


def test_neighbor_recall_counts_by_distance():
    index = annx.Index(2)
    index.add(np.tile([[0, 0], [3, 4]], (500, 1)))
    # Any 10 of the 500 at distance 0 are the nearest.
    assert neighbor_recall(index, [[0, 0]], 10) == 1
    with pytest.raises(ParameterError, match="empty"):
        neighbor_recall(annx.Index(2), [[0, 0]])
    with pytest.raises(ParameterError, match="at least one query"):
        neighbor_recall(index, np.empty((0, 2)))


def test_compares_indexes(index, rng):
    queries = {f"q{i}": rng.standard_normal(24) for i in range(40)}
    documents = [f"doc{label}" for label in range(3100)]
    truth = index.exact_search(list(queries.values()), 3).labels
    qrels = {
        name: {documents[label]: 1 for label in row}
        for name, row in zip(queries, truth, strict=True)
    }
    poor = annx.Index(24, "cosine", M=2, ef_construction=2, ef_search=1)
    poor.add(index.get(index.labels), labels=index.labels)
    found = compare(index, poor, {**queries, "unjudged": np.ones(24)}, qrels, k=10, ids=documents)
    assert found.measures["R@100"].a > 0.99
    assert found.measures["R@100"].b < found.measures["R@100"].a
    assert found.measures["R@100"].p_value < 0.05
    near, far = found.neighbor_recall
    assert near == pytest.approx(neighbor_recall(index, list(queries.values())))
    assert near > 0.98 > far
    assert set(found.runs[0]) == set(queries) == set(found.queries)
    assert list(found.runs[0]["q0"])[:3] == [documents[label] for label in truth[0]]
    assert all(0 < each.p50 <= each.p95 <= each.p99 for each in found.latency)
    assert found.overlap < 1
    text = str(found)
    for part in ("a (a) and b (b) over 40 queries", "nDCG@10", "true 10 nearest", "worst for b"):
        assert part in text


def test_worst_queries_and_counts():
    qrels = {f"q{i}": {"x": 1} for i in range(4)}
    a = {f"q{i}": ["x", "y"] for i in range(4)}
    b = {"q0": ["x"], "q1": ["y", "x"], "q2": ["y"], "q3": ["z", "y", "x"]}
    texts = {name: f"text of {name}" for name in qrels}
    by_text = {text: name for name, text in texts.items()}
    found = compare(
        lambda text: a[by_text[text]],
        lambda text: b[by_text[text]],
        texts,
        qrels,
        measures=["RR", "Success@1"],
        names=("old", "new"),
    )
    assert [row.id for row in found.worst()] == ["q2", "q3", "q1"]
    assert found.worst(n=1)[0] == ("q2", 1, 0, "text of q2") and found.worst()[0].delta == -1
    assert found.counts("Success@1") == (0, 1, 3)
    assert found.per_query["RR"]["q1"] == (1, 0.5)
    assert found.measures["RR"].delta == pytest.approx(np.mean([0, -0.5, -1, -2 / 3]))
    assert "text of q2" in str(found) and "old (a) and new (b)" in str(found)
    assert found.neighbor_recall == (None, None) and "nearest" not in str(found)
    with pytest.raises(ParameterError, match="'AP'"):
        found.worst("AP")


@pytest.mark.parametrize(
    "answer",
    [
        ["b", "a"],
        [("b", 0.9), ("a", 0.1)],
        [SimpleNamespace(id="b", score=2), SimpleNamespace(id="a", score=1)],
        {"a": 0.1, "b": 0.9},
        np.array(["b", "a"]),
        iter(["b", "b", "a"]),
        [1, 0],
        annx.SearchResult(np.array([[1, 0, -1]]), np.array([[0.1, 0.2, np.inf]])),
    ],
    ids=["ids", "pairs", "hits", "mapping", "array", "repeated", "labels", "SearchResult"],
)
def test_what_a_system_may_return(answer):
    kept = list(answer) if not hasattr(answer, "keys") and not hasattr(answer, "labels") else answer
    found = compare(
        lambda query: kept,
        SimpleNamespace(search=lambda query, k: ["a", "b"][:k]),
        {"q": None},
        {"q": {"a": 1}},
        ids=["a", "b"],
        measures=["RR"],
        k=2,
    )
    assert list(found.runs[0]["q"]) == ["b", "a"]
    assert found.per_query["RR"]["q"] == (0.5, 1)


def test_queries_of_keywords():
    def search(*, text, vector=None, k):
        return [text.split()[-1]][:k]

    found = compare(
        SimpleNamespace(search=search),
        SimpleNamespace(search=lambda text, k, vector: ["x"]),
        {"q": {"text": "find a", "vector": [1.0]}},
        {"q": {"a": 1}},
        measures=["RR"],
    )
    assert found.per_query["RR"]["q"] == (1, 0) and "find a" in str(found)


def test_compares_collections(tmp_path, rng):
    rows = rng.standard_normal((300, 8), dtype=np.float32)
    with annx.Collection.open(tmp_path / "c", dim=8, metric="cosine") as documents:
        documents.upsert([{"id": f"d{i}", "vector": row} for i, row in enumerate(rows)])
        queries = {f"q{i}": {"vector": rows[i]} for i in range(20)}
        qrels = {f"q{i}": {f"d{i}": 1} for i in range(20)}
        far = lambda query: documents.search(vector=-query["vector"], k=10)  # noqa: E731
        found = compare(documents, far, queries, qrels, k=10, measures=["RR"])
    assert found.measures["RR"].a == 1 and found.measures["RR"].b == 0


def test_places_count_where_scores_tie():
    # By score alone, ir-measures would order these by id.
    tied = [("a", 1.0), ("z", 1.0)]
    found = compare(
        lambda q: tied, lambda q: tied[::-1], {"q": 0}, {"q": {"z": 1}}, measures=["RR"]
    )
    assert found.per_query["RR"]["q"] == (0.5, 1)


def test_bad_systems():
    qrels, ask = {"q": {"a": 1}}, {"q": "text"}

    def good(query):
        return ["a"]

    for bad, message in (
        (3, "callable"),
        (lambda q: "a", "got str"),
        (lambda q: 7, "got int"),
        (lambda q: [None], "hits with an id"),
        (lambda q: [5], "got none for 5"),
        (lambda q: annx.SearchResult(np.ones((2, 1)), np.ones((2, 1))), "one query"),
    ):
        with pytest.raises(ParameterError, match=message):
            compare(good, bad, ask, qrels, ids={1: "a"})
    with pytest.raises(ParameterError, match="judgements of the queries"):
        compare(good, good, {"p": "text"}, qrels)
    with pytest.raises(ParameterError, match="k to be positive"):
        compare(good, good, ask, qrels, k=0)
    with pytest.raises(ParameterError, match="two names"):
        compare(good, good, ask, qrels, names=("a",))
    with pytest.raises(RuntimeError, match="broken"):

        def broken(query):
            raise RuntimeError("broken")

        compare(good, broken, ask, qrels)


def test_the_command(tmp_path):
    from click.testing import CliRunner

    from annx.cli._app import cli

    qrels, weak = made(5, 40)
    _, strong = made(5, 40, quality=2)
    write_qrels(tmp_path / "test.tsv", qrels, format="beir")
    write_run(tmp_path / "weak.run", weak)
    write_run(tmp_path / "strong.run.gz", strong)

    def run(*words, status=0):
        paths = [str(tmp_path / word) if "." in word else word for word in words]
        result = CliRunner().invoke(cli, ["eval", *paths])
        assert result.exit_code == status, result.output
        return result

    want = evaluate(weak, qrels, ["nDCG@10", "P@5"])
    text = run("test.tsv", "weak.run").stdout
    assert f"nDCG@10     {want['nDCG@10']:.4f}" in text and "40 queries" in text
    one = json.loads(run("test.tsv", "weak.run", "--measures", "P@5", "--json").stdout)
    assert one == {"queries": 40, "measures": {"P@5": pytest.approx(want["P@5"])}}
    found = compare_runs(weak, strong, qrels, names=("weak.run", "strong.run.gz"))
    assert run("test.tsv", "weak.run", "strong.run.gz").stdout == f"{found}\n"
    lines = run("test.tsv", "weak.run", "strong.run.gz", "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert records[0]["delta"] == pytest.approx(found.measures["nDCG@10"].delta)
    assert {"a", "b", "low", "high", "p_value", "better", "same", "worse"} <= records[0].keys()
    (tmp_path / "bad.run").write_text("q1 Q0 d1\n")
    assert "bad.run:1: expected" in run("test.tsv", "bad.run", status=1).stderr
