"""Whole benchmark runs against a clock that only libraries of paper move."""

from __future__ import annotations

import json
from html import escape

import numpy as np
import pytest
from broken_off import Stop, stop_at

from annx._bench import tables
from annx._bench.changes import changes
from annx._bench.clock import Clock
from annx._bench.comparison import Settings
from annx._bench.curves import Point
from annx._bench.journal import Journal, load
from annx._bench.page import page
from annx._bench.plan import Plan
from annx._bench.recalls import promising
from annx._bench.run import compare
from annx._bench.truth import true_neighbors
from annx._bench.worker import Built, LateError, Timed
from annx.datasets import Dataset

EFS = (10, 14, 20, 28, 40, 56, 80, 112, 160)
QUERIES = 5000


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    base = rng.standard_normal((300, 4)).astype(np.float32)
    queries = rng.standard_normal((QUERIES, 4)).astype(np.float32)
    return Dataset("paper", base, queries, true_neighbors(base, queries, 10, "l2"), "l2")


class Paper:
    """Libraries whose times are written down; every call moves the clock.

    Attributes
    ----------
    builds : dict of str to float
        Seconds of a build, by curve.
    foretold : dict of str to float
        Where the small builds say otherwise.
    speeds : dict of str to float
        Queries per second at ef=10.
    slowed : float
        By how much searches are slower when they are timed than before.
    """

    def __init__(self, builds, speeds, foretold=(), slowed=1.0):
        self.builds, self.speeds, self.slowed = builds, speeds, slowed
        self.foretold = {**builds, **dict(foretold)}
        self.seconds, self.calls = 0.0, []
        self.made, self.near = [], []

    def __call__(self):
        return self.seconds

    def worker(self, spec, folder, threads):
        self.made.append(spec.name)
        return PaperWorker(self, spec, folder)


class PaperWorker:
    def __init__(self, paper, spec, folder):
        self.paper, self.spec = paper, spec
        base, queries = np.load(folder / "base.npy"), np.load(folder / "queries.npy")
        if not paper.near:  # the queries are the same for all
            paper.near = [true_neighbors(base, queries, 10, spec.metric)]
        self.near = paper.near[0]

    def call(self, name, *args, seconds=None):
        self.paper.calls.append((self.spec.curve, name, *args))
        return (
            getattr(self, name)(*args, seconds) if name == "build" else getattr(self, name)(*args)
        )

    def stop(self):
        pass

    def settings(self, k, efs):
        if self.spec.library == "scann":  # two things to set: no ladder
            return [{"ef": ef, "reorder": more} for ef in efs for more in (1, 4)]
        return [{"ef": ef} for ef in efs]

    def rehearse(self, limit):
        self.paper.seconds += 0.02 * self.paper.builds[self.spec.curve]
        return [(300, self.paper.foretold[self.spec.curve])]

    def build(self, rounds, path, seconds):
        taken = self.paper.builds[self.spec.curve]
        if seconds is not None and taken > seconds:
            self.paper.seconds += seconds
            raise LateError(seconds)
        self.paper.seconds += taken
        if path is not None:
            open(path, "w").close()
        return [Built(taken, taken, 10**6, 10**6, 10**6, "")]

    def load(self, path):
        self.paper.seconds += 0.1

    def per_query(self, setting):
        more = 1 + 0.4 * setting.get("reorder", 0)
        return more * setting["ef"] ** 0.9 / 10**0.9 / self.paper.speeds[self.spec.curve]

    def find(self, setting, k, queries):
        seconds = self.per_query(setting)
        self.paper.seconds += queries * seconds
        found = self.near[:queries].copy()
        lost = np.random.default_rng(setting["ef"]).random(found.shape) < 1 / setting["ef"]
        found[lost] = -1
        return found, seconds

    look = find

    def time(self, setting, k, queries, least):
        once = queries * self.per_query(setting) * self.paper.slowed
        passes = max(1, int(np.ceil(least / once)))
        self.paper.seconds += passes * once + 100 * self.per_query(setting) + 0.002
        return Timed(once, once, 0.0)

    def latencies(self, setting, k, queries):
        self.paper.seconds += (queries + 100) * self.per_query(setting)
        return np.full(queries, 1e6 * self.per_query(setting))


#: Builds of 100,000 x 384 on two processors, and queries a second at ef=10.
BUILDS = {
    "annx auto": 6, "annx compact": 6, "annx turbo": 8, "hnswlib": 19, "symqg": 15,
    "vsag sq8_uniform": 27, "faiss hnsw-sq8": 23, "faiss ivf-pq-fs": 13, "usearch f32": 40,
    "usearch i8": 17, "voyager": 45, "scann": 15, "svs f16": 46, "ngt onng": 300,
}  # fmt: skip
SPEEDS = {
    "annx auto": 77e3, "annx compact": 75e3, "annx turbo": 86e3, "hnswlib": 16e3, "symqg": 84e3,
    "vsag sq8_uniform": 17e3, "faiss hnsw-sq8": 27e3, "faiss ivf-pq-fs": 27e3, "usearch f32": 8e3,
    "usearch i8": 15e3, "voyager": 6e3, "scann": 20e3, "svs f16": 24e3, "ngt onng": 4e3,
}  # fmt: skip
PEERS = (
    "hnswlib", "symqg", "vsag:sq8_uniform", "faiss:hnsw-sq8", "faiss:ivf-pq-fs", "usearch:f32",
    "usearch:i8", "voyager", "scann", "svs:f16", "ngt:onng",
)  # fmt: skip


@pytest.fixture
def play(monkeypatch, data):
    monkeypatch.setattr("annx._bench.comparison.installed", lambda name: True)

    def run(paper, minutes, *, path=None, emit=None, rounds=3, peers=PEERS, clock=None):
        monkeypatch.setattr("annx._bench.builds.Worker", paper.worker)
        codecs = ("auto", "compact", "turbo")
        settings = Settings(
            "l2", codecs=codecs, peers=peers, efs=EFS, rounds=rounds, minutes=minutes
        )
        clock = clock or Clock(minutes, paper)
        return compare(data, settings, journal=Journal(path, emit), clock=clock)

    return run


def names(result):
    """Curves that were measured, and those that were named as missing."""
    return set(result.curves()), {f.build.split(" M=")[0] for f in result.failures}


@pytest.mark.parametrize("minutes", [1, 1.5, 2, 3, 5, 8, 10, 20, 60])
def test_a_run_keeps_to_its_time_and_names_what_it_leaves_out(play, minutes):
    paper = Paper(BUILDS, SPEEDS)
    result = play(paper, minutes)
    assert 0.3 * minutes < paper.seconds / 60 <= minutes or minutes == 60
    measured, missing = names(result)
    assert measured | missing == {*BUILDS} and not measured & missing
    assert {"annx auto", "hnswlib"} <= measured
    assert all("raise --minutes" in failure.message for failure in result.failures)
    text = page(result)
    assert escape(tables.left_out_line(result)) in text
    assert all(name in tables.left_out_line(result) for name in missing)
    assert all(escape(line) in text for line in tables.failure_lines(result))
    assert result.plan.queries >= 200 and result.plan.rounds >= 2
    assert result.recall_queries >= 1000
    assert all(len(point.qps) == result.plan.rounds for point in result.points)
    cut = result.plan != Plan(QUERIES, 3, QUERIES) or result.recall_queries < QUERIES
    assert bool(tables.cut_line(result)) == cut
    assert escape(tables.cut_line(result)) in text
    assert sum(result.times.values()) == pytest.approx(paper.seconds, abs=0.1)


def test_ten_minutes_are_enough_for_every_peer_but_the_slowest(play):
    result = play(Paper(BUILDS, SPEEDS), 10)
    assert names(result)[1] == {"ngt onng"}
    assert "would take about 5 minutes" in result.failures[0].message
    assert result.plan.rounds == 3 and result.plan.queries >= 1000


def test_without_minutes_all_is_measured(play):
    result = play(Paper(BUILDS, SPEEDS), None)
    assert names(result) == ({*BUILDS}, set())
    assert result.recall_queries == QUERIES and result.plan == Plan(QUERIES, 3, QUERIES)
    assert tables.cut_line(result) == ""


def test_cheap_builds_come_first_and_tables_keep_their_order(play):
    paper = Paper(BUILDS, SPEEDS)
    result = play(paper, 60)
    built = [curve for curve, name, *_ in paper.calls if name == "build"]
    assert built[:2] == ["annx auto", "hnswlib"]
    assert built[2:] == sorted(built[2:], key=BUILDS.__getitem__)
    assert [build.curve for build in result.builds] == result.curves() == [*BUILDS]


def test_a_build_that_was_ended_is_charged_and_named(play):
    wrong = {**BUILDS, "usearch i8": 2000.0}
    paper = Paper(wrong, SPEEDS, foretold={"usearch i8": 17.0})
    result = play(paper, 10)
    said = {f.build.split(" M=")[0]: f.message for f in result.failures}
    assert "its build took longer than" in said["usearch i8"]
    assert "17 s were foretold" in said["usearch i8"]
    assert paper.seconds <= 600


def test_sure_builds_that_take_all_the_time_leave_room_for_nothing_else(play):
    paper = Paper({**BUILDS, "hnswlib": 500.0}, SPEEDS)
    result = play(paper, 5)
    assert names(result)[0] == {"annx auto", "hnswlib"}
    assert result.plan.queries == 200 and result.plan.rounds == 2 and result.plan.calls == 0
    assert "no single calls" in tables.cut_line(result)
    assert paper.seconds < 540 and "It took 8:" in tables.time_line(result)


def test_a_last_round_that_no_longer_fits_is_cut(play):
    paper = Paper(BUILDS, SPEEDS, slowed=1.7)
    result = play(paper, 10)
    assert result.plan.rounds == 2 and "2 of 3 rounds" in tables.cut_line(result)
    assert all(len(point.qps) == 2 for point in result.points)
    assert "medians of\n2 rounds" in page(result)
    assert paper.seconds <= 600


@pytest.mark.parametrize("slowed, calls", [(2.2, 1500), (2.25, 0)])
def test_single_calls_give_way_to_speed_that_took_too_long(play, slowed, calls):
    paper = Paper(BUILDS, SPEEDS, slowed=slowed)
    result = play(paper, 10)
    assert result.plan == Plan(2000, 2, calls)
    assert len(result.latencies) == (len(result.curves()) if calls else 0)
    said = f"single calls with {calls:,} of 5,000 queries" if calls else "no single calls"
    assert f"2 of 3 rounds, {said}" in tables.cut_line(result)
    assert paper.seconds <= 600


def test_all_libraries_answer_the_same_queries_in_all_rounds(play):
    paper = Paper(BUILDS, SPEEDS)
    result = play(paper, 4)
    assert result.plan.queries < QUERIES and result.recall_queries < QUERIES
    assert {args[2] for _, name, *args in paper.calls if name == "time"} == {result.plan.queries}
    assert {args[2] for _, name, *args in paper.calls if name == "find"} == {result.recall_queries}
    assert {args[2] for _, name, *args in paper.calls if name == "latencies"} == {result.plan.calls}


def test_settings_beyond_what_is_needed_are_not_measured(play):
    result = play(Paper(BUILDS, SPEEDS), 10)
    for curve in result.curves():
        points = [point for point in result.points if point.curve == curve]
        beyond = [point for point in points if point.recall >= 0.99]
        assert beyond, "but all that is asked for is reached"
        assert len(beyond) <= (1 if curve != "scann" else 3)
        if curve == "scann":
            assert {point.setting["reorder"] for point in points} == {1}, "4 finds no more"


def test_of_two_things_to_set_what_is_beaten_or_beyond_goes_no_further():
    def point(recall, qps):
        return Point("a", "a", {"x": recall, "y": qps}, recall, [qps])

    ladder = [point(0.5, 900), point(0.9, 500), point(0.99, 100)]
    beyond = [point(0.995, 80), point(0.996, 60), point(0.997, 50)]
    beaten, close = point(0.89, 300), point(0.89, 400)
    far = [point(0.998, 49), point(0.9985, 20)]
    kept = promising([*far, beaten, *beyond, close, *ladder], 0.995)
    assert kept == sorted([*ladder, close, *beyond], key=lambda p: p.recall)
    assert promising([*ladder, *far], 0.995) == [*ladder, *far], "two steps may be needed"


@pytest.mark.parametrize(
    "kind, number", [("build", 3), ("recalls", 2), ("timing", 9), ("timing", 200)]
)
def test_a_run_that_goes_on_keeps_its_plan_and_its_time(play, tmp_path, kind, number):
    path = tmp_path / "run.jsonl"
    paper = Paper(BUILDS, SPEEDS)
    with pytest.raises(Stop):
        play(paper, 5, path=path, emit=stop_at(kind, number))
    plans = [json.loads(x) for x in path.read_text().splitlines() if '"plan"' in x]
    before = paper.seconds
    again = Paper(BUILDS, SPEEDS)
    result = play(again, 5, path=path)
    assert before + again.seconds < 1.1 * 300, "the time of the first attempt counts"
    kept = [json.loads(x) for x in path.read_text().splitlines() if '"plan"' in x]
    assert kept[: len(plans)] == plans
    assert len([plan for plan in kept if plan["step"] == "recall"]) == 1
    assert len({plan["queries"] for plan in kept if plan["step"] == "speed"}) == 1
    measured, missing = names(result)
    assert measured | missing == {*BUILDS} and not measured & missing
    assert all(len(point.qps) == result.plan.rounds for point in result.points)
    assert load(path) == result


def test_a_round_that_was_broken_off_and_then_cut_is_not_counted(play, tmp_path):
    seen = []

    def stop(record):
        seen.append(record)
        if record["record"] == "timing" and record["turn"] == 2 and len(seen) % 7 == 0:
            raise Stop

    path = tmp_path / "run.jsonl"
    with pytest.raises(Stop):
        play(Paper(BUILDS, SPEEDS), 10, path=path, emit=stop)
    assert load(path).plan.rounds == 3
    again = Paper(BUILDS, SPEEDS)
    again.seconds = 600.0
    clock = Clock(10, lambda: again.seconds)
    clock.go_on(600)
    result = play(again, 10, path=path, clock=clock)
    assert result.plan.rounds == 2
    assert {point.curve for point in result.points} == names(result)[0]
    assert all(len(point.qps) == 2 for point in result.points)
    assert {*BUILDS} == set.union(*names(result))


def test_files_without_a_plan_are_of_all_queries(play, tmp_path):
    path = tmp_path / "old.jsonl"
    result = play(Paper(BUILDS, SPEEDS), None, path=path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    old = [record for record in records if record["record"] not in ("plan", "time")]
    for record in old:
        for point in record.get("points", ()):
            del point["seconds"]
    write(path, old)
    read = load(path)
    assert read.recall_queries == QUERIES and read.plan == Plan(QUERIES, 3, QUERIES)
    assert read.points == result.points
    assert tables.cut_line(read) == tables.time_line(read) == ""
    assert {change.verdict for change in changes(read, result)} == {"same"}
    # Broken off, it goes on as it began.
    write(path, [r for r in old if r["record"] != "end" and r.get("turn", 0) < 2])
    again = play(Paper(BUILDS, SPEEDS), None, path=path)
    assert [len(point.qps) for point in again.points] == [3] * len(result.points)
    assert again.plan == Plan(QUERIES, 3, QUERIES)


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_other_queries_make_a_comparison_less_sure(play):
    full, part = play(Paper(BUILDS, SPEEDS), None), play(Paper(BUILDS, SPEEDS), 4)
    slower = Paper(BUILDS, {**SPEEDS, "annx auto": SPEEDS["annx auto"] / 1.08})

    def worse(old, new):
        found = changes(old, new)
        return {c.curve for c in found if "QPS" in c.figure and c.verdict == "worse"}

    assert worse(full, play(slower, None)) == {"annx auto"}
    slower.seconds = 0
    assert worse(full, play(slower, 4)) == worse(full, part) == set()
    slower = Paper(BUILDS, {**SPEEDS, "annx auto": SPEEDS["annx auto"] / 1.3})
    assert worse(full, play(slower, 4)) == {"annx auto"}
