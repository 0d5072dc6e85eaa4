"""A damaged file is refused, or answers as the undamaged one; whoever damaged it."""

from __future__ import annotations

import os
import signal

import pytest
from children import run, summary
from damage import KINDS, VARIANTS, damaged, judge, original, prepare
from scenarios import LONG

import annx

SEEDS = int(os.environ.get("ANNX_DAMAGED_FILES", "100000" if LONG else "5000"))
FIRST = int(os.environ.get("ANNX_DAMAGED_FIRST", "0"))
#: Twice a file, and what opening any file takes.
ROOM = 64 << 20
#: Seconds of CPU that no file may take.
SECONDS = 1.0

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="needs fork and limits of Linux"
)


def test_damaged_files():
    prepare()
    results = list(run(judge, range(FIRST, FIRST + SEEDS), ROOM))
    bad = [(seed, r) for seed, r in results if "BAD" in (r if isinstance(r, str) else r.verdict)]
    slow = [(seed, r) for seed, r in results if not isinstance(r, str) and r.seconds > SECONDS]
    counts = summary(results)
    print(dict(counts), "slowest", max(r.seconds for _, r in results if not isinstance(r, str)))
    assert not bad, bad[:5]
    assert not slow, slow[:5]
    assert len(results) == SEEDS
    assert counts["refused"] > SEEDS / 2 and counts["another valid index"] > 0


def test_every_file_is_damaged_and_every_undamaged_one_opens():
    assert {original(seed) for seed in range(1000)} == {
        (kind, variant) for kind in range(len(KINDS)) for variant in range(VARIANTS)
    }
    assert damaged(5) == damaged(5)


def test_a_child_that_dies_is_told_of():
    def judge(seed, folder):
        if seed == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if seed == 9:
            bytes(1 << 30)
        return "fine"

    results = dict(run(judge, range(5, 12), 64 << 20))
    assert results[7] == "BAD: signal 9" and results[8] == "fine" and "error" in results[9]
    assert sorted(results) == list(range(5, 12))


def test_the_judge_tells_a_wrong_answer(monkeypatch, tmp_path):
    real = annx.Index.from_bytes
    seed = next(s for s in range(1000) if damaged(s)[1] == "flip" and s % 3)

    def trusting(data, **options):
        return real(_other(), **options)

    def _other():
        from damage import _corpus

        return _corpus((seed + 1) % len(KINDS), 0)[0]

    judge(seed, tmp_path)
    monkeypatch.setattr(annx.Index, "from_bytes", trusting)
    assert judge(seed, tmp_path).verdict.startswith("BAD")
