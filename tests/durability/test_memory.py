"""Memory that runs out: nothing is allocated on a file's word, and an index goes on."""

from __future__ import annotations

import os
import resource
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from children import _address_space, run
from damage import DIM, KINDS, _corpus, _rows
from scenarios import LONG
from sealing import entries, repaired_head, repaired_log

import annx
from annx import FormatError
from annx._journal import ADD, Journal

#: Indexes that run out of it.
SEEDS = 600 if LONG else 30
#: For a file that claims more than there is: enough to open what it is made from.
ROOM = 12 << 20
#: What is there besides, for a child that sets limits of its own.
PLENTY = 1 << 30

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="needs fork and limits of Linux"
)


@pytest.fixture(autouse=True)
def _native(use_backend):
    use_backend("native")


def limit(room: int | None) -> None:
    """Leave so many bytes of address space to this process, or all that its parent left it."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard if room is None else _address_space() + room
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def results(judge, count, room):
    found = list(run(judge, range(count), room))
    assert len(found) == count
    bad = [(seed, verdict) for seed, verdict in found if "BAD" in verdict]
    assert not bad, bad[:5]
    return [verdict for _, verdict in found]


HUGE = (1 << 24, 1 << 30, (1 << 30) - 2, (1 << 32) - 1, 1 << 40, (1 << 62) + 64, (1 << 64) - 64)


def claims(data: bytes) -> list[bytes]:
    """Files that claim to hold far more than they do, with checksums that are right."""
    places = [(24, "<I"), (28, "<I"), (32, "<I"), (36, "<I"), (40, "<I"), (56, "<Q")]
    for place, name, offset, length in entries(data):
        places += [(place + 16, "<Q"), (place + 24, "<Q")]
        if name in ("levels", "down", "twins", "removed", "tuning"):
            places += [(offset + at, "<I") for at in range(0, length, 4)][:4]
    start = -(-max(o + n for _, _, o, n in entries(data)) // 64) * 64
    if start < len(data):  # length of a record; count and length of its first change
        places += [(start + 24, "<Q"), (start + 72, "<Q"), (start + 80, "<Q")]
    made = []
    for place, fmt in places:
        for value in HUGE:
            if value < 1 << 8 * struct.calcsize(fmt):
                changed = bytearray(data)
                struct.pack_into(fmt, changed, place, value)
                made.append(repaired_log(repaired_head(bytes(changed))))
    return made


def test_a_claim_allocates_nothing():
    files = [claims(_corpus(kind, variant)[0]) for kind in (0, 1, 7, 12) for variant in (1, 3)]
    files = [data for made in files for data in made]

    def judge(seed: int, folder: Path) -> str:
        path = folder / "claim.annx"
        path.write_bytes(files[seed])
        opened = 0
        ways = [lambda: annx.Index.from_bytes(files[seed], num_threads=1)]
        for options in ({}, {"mmap": True}, {"verify": "structure"}):
            ways.append(lambda options=options: annx.load(path, num_threads=1, **options))
        for way in ways:
            try:
                index = way()
                index.search(np.ones((2, index.dim), np.float32), k=3)
                opened += 1
            except (FormatError, annx.ReadOnlyError):
                pass
            except Exception as error:
                return f"BAD: {type(error).__name__}: {error}"
        return "opened" if opened else "refused"

    found = results(judge, len(files), ROOM)
    # A width of searches may be anything; what is left as it was opens too.
    assert found.count("refused") > 0.7 * len(found)


def batch(codec: str, seed: int, count: int) -> np.ndarray:
    x = _rows(count, codec, seed, codec == "auto")
    x[::5] = x[0]  # twins
    return x


def whole(index: annx.Index, before: dict[int, np.ndarray], changed: set[int]) -> str:
    """What is wrong with an index that ran out of memory, once there is enough again."""
    report = index.check()
    if not report.ok:
        return f"BAD: {report}"
    labels = index.labels
    held = dict(zip(labels.tolist(), index.get(labels), strict=True))
    for label, row in before.items():
        if label not in changed and not np.array_equal(held.get(label), row):
            return f"BAD: label {label} is gone, or another"
    if len(held) != len(labels):
        return "BAD: a label twice"
    again = annx.Index.from_bytes(index.to_bytes())
    if not np.array_equal(again.labels, labels):
        return "BAD: saved otherwise"
    return ""


def test_an_index_that_runs_out_of_memory_goes_on():
    def judge(seed: int, folder: Path) -> str:
        rng = np.random.default_rng(seed)
        metric, codec, keep = KINDS[seed % len(KINDS)]
        options = {"keep_vectors": keep} if codec in ("sq8", "sq10", "sq4", "turbo") else {}
        threads = 1 + seed % 2
        index = annx.Index(DIM, metric, codec=codec, M=3, ef_construction=20, **options)
        index.add(batch(codec, seed, 300), num_threads=threads)
        path = folder / "i.annx"
        index.save(path)
        labels = index.labels
        before = dict(zip(labels.tolist(), index.get(labels), strict=True))
        changed = set(labels[50:150].tolist())
        limit(int(2 ** rng.uniform(12, 23)))
        fell_short = 0
        for turn in range(40):
            some = rng.choice(labels[50:150], 20, replace=False)
            rows = batch(codec, 100 * seed + turn, int(2 ** rng.uniform(3, 13)))
            try:
                match turn % 4:
                    case 0 | 1:
                        index.add(rows, num_threads=threads)
                    case 2:
                        index.add(rows[:20], some[: len(rows)], upsert=True, num_threads=threads)
                    case 3:
                        here = [label for label in some.tolist() if label in index]
                        index.remove(here, num_threads=threads)
                index.search(rows[:4], k=3, num_threads=threads)
            except MemoryError:
                fell_short += 1
                if fell_short == 4:
                    break
            except Exception as error:
                limit(None)
                return f"BAD: {type(error).__name__}: {error}"
        limit(None)
        if wrong := whole(index, before, changed):
            return wrong
        index.add(batch(codec, seed, 40), num_threads=threads)
        # What the journal could not keep is saved all the same.
        index.save(path, incremental=True)
        if wrong := whole(annx.load(path), before, changed):
            return "after the save " + wrong
        if not np.array_equal(annx.load(path).labels, index.labels):
            return "BAD: the incremental save lost rows"
        return "fell short" if fell_short else "enough"

    found = results(judge, SEEDS, PLENTY)
    assert found.count("fell short") > SEEDS / 2


def test_loading_without_memory_is_a_memory_error():
    # Large enough that it does not fit what is left over from before.
    rng = np.random.default_rng(0)
    index = annx.Index(64, codec="f32", M=8, ef_construction=16)
    index.add(rng.standard_normal((40_000, 64), dtype=np.float32))
    data = index.to_bytes()

    def judge(seed: int, folder: Path) -> str:
        path = folder / "i.annx"
        if not path.exists() or path.stat().st_size != len(data):
            path.write_bytes(data)
        options = [{}, {"mmap": True}, {"verify": "structure"}][seed % 3]
        room = (seed + 1) * len(data) // 10
        limit(room)
        try:
            loaded = annx.load(path, num_threads=1 + seed % 2, **options)
            loaded.search(np.ones((2, 64), np.float32), k=3, num_threads=1 + seed % 2)
            verdict = "opened"
        except MemoryError:
            verdict = "fell short"
        except Exception as error:
            verdict = f"BAD: {type(error).__name__}: {error}"
        limit(None)
        if len(annx.load(path)) != 40_000:
            return "BAD: another index"
        return verdict

    found = results(judge, 24, PLENTY)
    assert {"opened", "fell short"} <= set(found)


def test_a_change_that_the_journal_has_no_memory_for_is_not_forgotten():
    class Part:
        nbytes = 8

        def copy(self):
            raise MemoryError

    journal = Journal()
    journal.begin(limit=1 << 20)
    journal.record(ADD, Part())
    assert journal.so_far() is None  # so that the next save writes everything


def test_a_file_is_read_without_room_for_threads(tmp_path, monkeypatch):
    index = annx.Index(64, codec="f32", M=4, ef_construction=8)
    index.add(np.random.default_rng(0).standard_normal((6000, 64), dtype=np.float32))
    index.save(tmp_path / "i.annx")

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert annx.load(tmp_path / "i.annx", num_threads=3).to_bytes() == index.to_bytes()
