"""The benchmark harness: a run, what it leaves out, and the report."""

from __future__ import annotations

import copy
import dataclasses
import importlib.machinery
import json
import os
import sys
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from broken_off import Stop, stop_at

pytest.importorskip("click")
pytest.importorskip("rich")

from annx._bench import machine, tables
from annx._bench.changes import changes
from annx._bench.comparison import EFS, Settings, installed_peers, variants
from annx._bench.curves import at_recall
from annx._bench.engines import LIBRARIES, Spec, engine_class, installed, make
from annx._bench.journal import Journal, load
from annx._bench.memory import resident
from annx._bench.page import page
from annx._bench.run import compare
from annx._bench.truth import Truth
from annx.cli import _answers
from annx.datasets import Dataset
from annx.errors import FormatError, ParameterError


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
    journal = Journal(emit=lambda record: emitted.append(record["record"]))
    return compare(blobs(), settings, journal=journal), emitted


def test_comparison_measures_everything(comparison):
    result, emitted = comparison
    names = ["annx f32", "annx f16"] + ["hnswlib"] * installed("hnswlib")
    assert result.curves() == names and not result.failures
    assert all(len(point.qps) == 2 and min(point.qps) > 0 for point in result.points)
    best = {name: max(p.recall for p in result.points if p.curve == name) for name in names}
    assert min(best.values()) > 0.98
    assert emitted[0] == "run" and emitted[-1] == "end"
    assert {"build", "recalls", "timing", "calls"} <= {*emitted}
    assert {found.curve for found in result.latencies} == {*names}
    assert all(
        0 < p50 <= p99 for f in result.latencies for p50, p99 in zip(f.p50, f.p99, strict=True)
    )
    # 1,200 rows of 16 float32 and 32 links are 0.23 MB.
    assert all(50_000 < build.file < 1_000_000 for build in result.builds)
    if resident() is not None:
        assert all(build.resident < 20_000_000 for build in result.builds)


def small(**options):
    return Settings("l2", rounds=2, efs=(10, 20), codecs=("f32", "f16"), peers=(), **options)


@pytest.mark.parametrize(
    "kind, number", [("build", 1), ("recalls", 1), ("timing", 3), ("calls", 2)]
)
def test_a_run_goes_on_where_it_was_broken_off(tmp_path, kind, number):
    path = tmp_path / "run.jsonl"
    with pytest.raises(Stop):
        compare(blobs(), small(), journal=Journal(path, stop_at(kind, number)))
    with path.open("a") as file:
        file.write('{"record": "timing", "build": "half a li')
    before = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
    result = compare(blobs(), small(), journal=Journal(path))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[: len(before)] == before, "nothing is measured twice"
    assert [record["record"] for record in records].count("end") == 1
    keys = [json.dumps({**r, "qps": 0, "waited": 0}) for r in records if r["record"] == "timing"]
    assert len(keys) == len({*keys})
    assert result.curves() == ["annx f32", "annx f16"]
    assert all(len(point.qps) == 2 for point in result.points)
    assert all(len(found.p50) == 2 for found in result.latencies)
    assert list(tmp_path.iterdir()) == [path], "saved indexes are removed at the end"


def test_a_finished_run_is_read_not_repeated(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    first = compare(blobs(), small(), journal=Journal(path))
    monkeypatch.setattr("annx._bench.builds.Worker", None)
    assert compare(blobs(), small(), journal=Journal(path)) == first
    assert load(path) == first
    with pytest.raises(ParameterError, match=r"another run \(settings seed was 0, is 1\)"):
        compare(blobs(), small(seed=1), journal=Journal(path))
    with pytest.raises(ParameterError, match="another run .dataset rows"):
        compare(blobs(1100), small(), journal=Journal(path))


@pytest.mark.parametrize(
    "text",
    ["", "{}\n{}", "[1]\n", '{"record": "run", "format": 99}\n', "no JSON\n{}\n",
     '{"record": "run", "format": 1}\n'],
)  # fmt: skip
def test_what_is_no_journal_is_refused(tmp_path, text):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(FormatError):
        load(path)


def test_changes_tell_noise_from_regressions(comparison):
    result = copy.deepcopy(comparison[0])
    for found in result.points:  # steadier than a busy machine is
        found.qps = [1e5 / found.setting["ef"], 1.01e5 / found.setting["ef"]]
    result.at_recall = at_recall(result.points, result.settings.targets, ("hnswlib",))
    assert {change.verdict for change in changes(result, result)} == {"same"}
    slower = copy.deepcopy(result)
    for found in slower.points:
        if found.curve == "annx f32":
            found.qps = [qps / 2 for qps in found.qps]
    slower.at_recall = at_recall(slower.points, slower.settings.targets, ("hnswlib",))
    slower.builds[1] = dataclasses.replace(slower.builds[1], file=slower.builds[1].file * 2)
    worse = {(c.curve, c.figure) for c in changes(result, slower) if c.verdict == "worse"}
    speeds = {("annx f32", f"QPS at recall {target:.2f}") for target in (0.90, 0.95, 0.99)}
    assert worse == speeds | {(result.builds[1].build, "file size")}
    better = {(c.curve, c.figure) for c in changes(slower, result) if c.verdict == "better"}
    assert better == worse
    noisy = copy.deepcopy(result)
    for found in noisy.points:
        found.qps[0] *= 0.5
    noisy.at_recall = at_recall(noisy.points, noisy.settings.targets, ())
    noisy.builds = [build for build in noisy.builds if build.curve != "hnswlib"]
    assert "worse" not in {c.verdict for c in changes(result, noisy) if "QPS" in c.figure}
    other = copy.deepcopy(result)
    other.dataset = {**other.dataset, "sha256": ""}
    with pytest.raises(ParameterError, match="differ in data"):
        changes(result, other)


@pytest.mark.parametrize(
    "module, program",
    [(None, "annx"), ("annx.cli.__main__", "python -m annx.cli"), ("a.b", "python -m a.b")],
)
def test_a_command_can_be_given_again(monkeypatch, module, program):
    spec = None if module is None else importlib.machinery.ModuleSpec(module, None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/a/bin/annx", "bench", os.path.abspath("my rows.npy")])
    assert machine._command() == f"{program} bench 'my rows.npy'"


def test_beams_are_at_least_k():
    settings = Settings("l2", k=30, efs=EFS[:5], rounds=1, latency=False, peers=())
    points = compare(blobs(), settings).points
    assert [p.setting["ef"] for p in points][:2] == [30, 40][: len(points)]


def test_a_library_that_dies_ends_its_curve_alone(monkeypatch):
    import annx._bench.worker as worker

    whole = worker.Worker.call

    def call(self, name, *args, **options):
        if name == "time" and self.spec.variant == "f16":
            self._process.kill()
        return whole(self, name, *args, **options)

    monkeypatch.setattr(worker.Worker, "call", call)
    settings = Settings("l2", rounds=1, efs=(10,), codecs=("f32", "f16"), peers=(), latency=False)
    result = compare(blobs(), settings)
    assert result.curves() == ["annx f32"]
    assert [failure.stage for failure in result.failures] == ["search"]
    assert "exit code" in result.failures[0].message


def test_a_build_that_takes_too_long_is_left_out(monkeypatch):
    monkeypatch.setattr("annx._bench.budget.allowance", lambda *values: 1e-9)
    result = compare(blobs(), small(minutes=10))
    assert result.curves() == ["annx f32"]
    assert [failure.stage for failure in result.failures] == ["left out"]
    assert "took longer than 0.0 s" in result.failures[0].message


@pytest.mark.skipif(not installed("usearch"), reason="usearch is not installed")
def test_a_run_names_what_it_had_no_time_for():
    peers = tuple(name for name in ("hnswlib", "usearch:f32") if installed(name.split(":")[0]))
    settings = Settings("l2", rounds=1, efs=(10,), peers=peers, latency=False, minutes=1e-6)
    result = compare(blobs(), settings)
    assert result.curves() == ["annx f32", *["hnswlib"] * installed("hnswlib")]
    assert [failure.stage for failure in result.failures] == ["left out"]
    assert "would take about" in result.failures[0].message
    assert "would take about" in page(result)


def test_of_annx_only_the_first_codec_stays_whatever_it_takes():
    codecs = ("auto", "compact", "turbo")
    settings = Settings("l2", rounds=1, efs=(10,), codecs=codecs, peers=(), minutes=1e-6)
    result = compare(blobs(dim=40), dataclasses.replace(settings, latency=False))
    assert result.curves() == ["annx auto"]
    left = {failure.build.split()[1] for failure in result.failures}
    assert left == {"compact", "turbo"}
    assert all("raise --minutes" in failure.message for failure in result.failures)


@pytest.mark.parametrize("whole", [True, False])
def test_two_presets_that_store_the_same_are_one_curve(tmp_path, whole):
    data = blobs(dim=40)
    if whole:
        base, queries = (np.rint(20 * rows).clip(0, 255) for rows in (data.base, data.queries))
        data = Dataset("whole", base, queries, None, "l2")
    codecs = ("auto", "compact", "turbo")
    settings = Settings("l2", rounds=1, efs=(10,), codecs=codecs, peers=(), latency=False)
    result = compare(data, settings, journal=Journal(tmp_path / "run.jsonl"))
    stores = tables.stores_lines(result)
    if whole:
        assert result.curves() == ["annx auto", "annx turbo"]
        assert stores[0].startswith("annx auto: u8: every value is a whole number")
        only = result.failures[0]
        assert only.build.startswith("annx compact") and only.stage == "left out"
        assert only.message.startswith("it stores these vectors as annx auto does (u8: ")
        assert [build.curve for build in result.builds] == result.curves()
    else:
        assert result.curves() == ["annx auto", "annx compact", "annx turbo"]
        assert not result.failures and len(stores) == 3
        assert stores[1].startswith("annx compact: sq10: ")
    assert all(escape(line) in page(result) for line in stores)
    assert load(tmp_path / "run.jsonl") == result


def test_a_codec_that_was_asked_for_needs_no_words(comparison):
    assert tables.stores_lines(comparison[0]) == []


@pytest.mark.skipif(not installed("hnswlib"), reason="hnswlib is not installed")
def test_no_peer_is_lost_without_a_word(tmp_path):
    packed = np.random.default_rng(0).integers(0, 256, (200, 4)).astype(np.uint8)
    data = Dataset("bits", packed[:180], packed[180:], None, "hamming")
    settings = Settings(
        "hamming", rounds=1, efs=(10,), codecs=("b1",), latency=False, absent=("ngt", "voyager")
    )
    result = compare(data, settings, journal=Journal(tmp_path / "run.jsonl"))
    assert tables.failure_lines(result) == [
        "hnswlib, left out: no metric hamming",
        "ngt, voyager, left out: not installed: pip install 'annx[peers]'",
    ]
    assert all(escape(line) in page(result) for line in tables.failure_lines(result))
    lines = (tmp_path / "run.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run.jsonl").write_text("".join(lines[:-1]))
    again = compare(data, settings, journal=Journal(tmp_path / "run.jsonl"))
    assert again.failures == result.failures, "said once, however often it goes on"


def test_every_installed_peer_gets_through_a_run():
    peers = installed_peers(every=True)
    settings = Settings("l2", rounds=1, efs=(10,), peers=peers, minutes=60)
    result = compare(blobs(2500, 32), settings)
    assert result.failures == []
    assert len(result.curves()) == 1 + len(peers)


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


def test_installed_peers_are_known():
    usual, every = set(installed_peers()), set(installed_peers(every=True))
    assert usual <= every
    for name in every:
        library, _, variant = name.partition(":")
        assert variant in LIBRARIES[library].variants and library != "annx"
        assert variants(name) == [(library, variant)]
    assert {name.partition(":")[0] for name in usual} == {n.partition(":")[0] for n in every}


class Tags(HTMLParser):
    """Fails on a tag that is closed but not open, and keeps what was left open."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.ids = []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_wellformed_and_needs_no_network(comparison):
    result, _ = comparison
    answers = [_answers.Answer("a < b & c", [_answers.Hit("w<b>", "d & e", 0.5, True)])]
    text = page(result, extra=_answers.html(answers), note="a <note>")
    assert "a &lt; b &amp; c" in text and "w&lt;b&gt;" in text and "a &lt;note&gt;" in text
    assert "http" not in text and "<script" not in text and "url(" not in text
    tags = Tags()
    tags.feed(text)
    assert not tags.open and len(tags.ids) == len({*tags.ids})
    for name in result.curves():
        assert name in text
    for word in ("prefers-color-scheme", "width=device-width", escape(result.machine.command)):
        assert word in text


@pytest.mark.skipif(not installed("hnswlib"), reason="hnswlib is not installed")
def test_page_leads_with_every_curve_of_annx(comparison):
    result, _ = comparison
    own, other, _ = (a for a in result.at_recall if a.recall == 0.95)
    said = f"{own.ratios['hnswlib'].median:.2f} times what hnswlib does at the same recall"
    said += f"; annx f16, {other.ratios['hnswlib'].median:.2f} times."
    assert said in page(result)


@pytest.mark.parametrize("left_out", ["latencies", "at_recall"])
def test_page_of_less(comparison, left_out):
    result = copy.copy(comparison[0])
    setattr(result, left_out, [])
    Tags().feed(page(result))


def test_tables_have_a_row_for_each_figure(comparison):
    result, _ = comparison
    engines = len(result.curves())
    for columns, rows, least in (
        (tables.recall_columns(result), tables.recall_rows(result), 3 * engines),
        (tables.cost_columns(result), tables.cost_rows(result), engines),
        (tables.POINT_COLUMNS, tables.point_rows(result), engines),
        (tables.pivot_columns(result), tables.pivot_rows(result), engines),
        (tables.LATENCY_COLUMNS, tables.latency_rows(result), engines),
    ):
        assert len(rows) >= least
        assert {len(row) for row in rows} == {len(columns)}
