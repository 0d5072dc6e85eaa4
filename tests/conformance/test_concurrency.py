"""Writers and readers at once: nothing lost, nothing that was removed, nothing torn."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from graphs import check_graph

import annx

#: Longer at night: seconds, and operations.
SECONDS = float(os.environ.get("ANNX_STRESS_SECONDS", "6"))
OPERATIONS = int(os.environ.get("ANNX_STRESS_OPERATIONS", "12000"))
DIM = 8


def row_of(label, version):
    """A vector that tells what it is of."""
    seed = np.random.default_rng([label, version])
    row = seed.standard_normal(DIM).astype(np.float32)
    row[0], row[1] = label, version
    return row


def test_stress(engine):
    """4 threads add, 4 search, 2 remove, 1 saves and compacts."""
    index = annx.Index(DIM, codec="f32", ef_construction=40, M=8)
    index.add([row_of(label, 0) for label in range(2000)])
    numbers = itertools.count(2000)
    added: list[list[int]] = [[] for _ in range(4)]
    removed: set[int] = set()
    present = set(range(2000))
    lock = threading.Lock()
    stop = threading.Event()

    def add(who):
        local = np.random.default_rng(who)
        while not stop.is_set():
            labels = [next(numbers) for _ in range(local.integers(1, 40))]
            index.add([row_of(label, 0) for label in labels], labels)
            added[who] += labels
            # Nobody removes these before they are updated: that would be an error.
            picks = labels[:5] if local.random() < 0.3 else []
            with lock:
                present.update(labels[len(picks) :])
            if picks:
                index.update(picks, [row_of(label, 1) for label in picks])
                with lock:
                    present.update(picks)

    def remove(who):
        local = np.random.default_rng(100 + who)
        while not stop.is_set():
            with lock:
                picks = [present.pop() for _ in range(min(len(present) - 500, 30)) if present]
            if not picks:
                time.sleep(0.001)
                continue
            local.shuffle(picks)
            index.remove(picks)
            with lock:
                removed.update(picks)

    def search(who):
        local = np.random.default_rng(200 + who)
        while not stop.is_set():
            with lock:
                gone = set(removed)
            queries = np.stack([row_of(int(local.integers(0, 4000)), 0) for _ in range(8)])
            call = local.integers(4)
            if call == 0:
                hits = index.search(queries, k=10)
            elif call == 1:
                hits = index.exact_search(queries, k=10)
            elif call == 2:
                allowed = annx.Filter(index, local.integers(0, 5000, 3000))
                hits = index.search(queries, k=10, filter=allowed if who % 2 else ~allowed)
            else:
                found = index.range_search(queries, 30.0)
                assert not gone.intersection(found.labels.tolist())
                continue
            labels = hits.labels[hits.labels >= 0].tolist()
            assert not gone.intersection(labels)
            for row in hits.labels:
                real = row[row >= 0].tolist()
                assert len(real) == len(set(real))

    def save(who):
        while not stop.is_set():
            with lock:
                gone = set(removed)
            other = annx.Index.from_bytes(index.to_bytes())
            assert not gone.intersection(other.labels.tolist())
            rows = other.get(other.labels)
            assert np.array_equal(rows[:, 0].astype(np.int64), other.labels)
            index.compact()
            time.sleep(0.05)

    jobs = [(add, 4), (search, 4), (remove, 2), (save, 1)]
    with ThreadPoolExecutor(11) as pool:
        running = [pool.submit(job, who) for job, count in jobs for who in range(count)]
        start = time.monotonic()
        while time.monotonic() - start < SECONDS and not any(job.done() for job in running):
            time.sleep(0.05)
        stop.set()
        for job in running:
            job.result(60)
    everything = set(range(2000)).union(*added) - removed
    assert set(index.labels.tolist()) == everything
    rows = index.get(index.labels)
    assert np.array_equal(rows[:, 0].astype(np.int64), index.labels)
    check_graph(index)


class History:
    """What threads called and saw, with the moments of each call's begin and end."""

    def __init__(self):
        self.clock = itertools.count()
        self.events: list[list[tuple]] = []

    def run(self, index, threads, operations, labels):
        each = operations // threads

        def work(who):
            local = np.random.default_rng(who)
            events = []
            for number in range(each):
                label = int(local.integers(labels))
                kind = ("put", "put", "remove", "get", "search")[local.integers(5)]
                version = who * each + number + 1
                begin = next(self.clock)
                seen = self.call(index, kind, label, version)
                events.append((label, kind, version, seen, begin, next(self.clock)))
            return events

        with ThreadPoolExecutor(threads) as pool:
            for events in pool.map(work, range(threads)):
                self.events.append(events)

    @staticmethod
    def call(index, kind, label, version):
        try:
            if kind == "put":
                index.add(row_of(label, version), [label], upsert=True)
                return version
            if kind == "remove":
                index.remove([label])
                return 0
            if kind == "get":
                return int(index.get(label)[1])
            allowed = index.exact_search(row_of(label, version), k=1, filter=[label])
            if allowed.labels[0, 0] == -1:
                return 0
            return ("at", float(allowed.distances[0, 0]))
        except annx.LabelError:
            return 0

    def check(self, labels):
        """Whether each label's calls have an order in which one thread could have seen the same.

        By search with memory, which ends soon because few calls on one label overlap.
        """
        calls = [event for events in self.events for event in events]
        for label in range(labels):
            own = sorted((c for c in calls if c[0] == label), key=lambda c: c[4])
            assert linearizable(own), f"label {label}"


def linearizable(calls):
    """Wing and Gong's search, over states (calls done, value)."""
    done = frozenset()
    seen = set()
    stack = [(0, done, 0)]
    n = len(calls)
    while stack:
        first, ahead, value = stack.pop()
        while first < n and first in ahead:
            ahead = ahead - {first}
            first += 1
        if first == n:
            return True
        if (first, ahead, value) in seen:
            continue
        seen.add((first, ahead, value))
        # Calls that began before every call that is still open has ended.
        end = calls[first][5]
        for i in range(first, n):
            if calls[i][4] > end:
                break
            if i not in ahead:
                end = min(end, calls[i][5])
        for i in range(first, n):
            if calls[i][4] > end:
                break
            if i in ahead:
                continue
            after = step(calls[i], value)
            if after is not None:
                stack.append((first, ahead | {i}, after))
    return False


def step(call, value):
    """The value after a call, or None if it cannot have seen what it saw."""
    label, kind, version, seen, _, _ = call
    if kind == "put":
        return version
    if kind == "remove":
        return 0
    if kind == "search" and isinstance(seen, tuple):
        if value == 0:
            return None
        true = float(((row_of(label, version) - row_of(label, value)) ** 2).sum())
        return value if abs(true - seen[1]) <= 1e-3 * (1 + true) else None
    return value if seen == value else None


@pytest.mark.parametrize("threads", [1, 8])
def test_histories_are_linearizable(engine, threads):
    index = annx.Index(DIM, codec="f32", ef_construction=20, M=4)
    history = History()
    history.run(index, threads, OPERATIONS, labels=40)
    history.check(labels=40)
    check_graph(index)


def test_the_checker_finds_faults():
    read_old = [(0, "put", 5, 5, 0, 1), (0, "remove", 0, 0, 2, 3), (0, "get", 0, 5, 4, 5)]
    lost = [(0, "put", 5, 5, 0, 1), (0, "get", 0, 0, 2, 3)]
    overlapping = [(0, "put", 5, 5, 0, 4), (0, "get", 0, 0, 1, 2), (0, "get", 0, 5, 3, 5)]
    back = [(0, "put", 5, 5, 0, 9), (0, "get", 0, 5, 1, 2), (0, "get", 0, 0, 3, 4)]
    assert not linearizable(read_old) and not linearizable(lost)
    assert linearizable(overlapping) and not linearizable(back)


def test_an_upsert_is_never_both_and_never_none(engine, rng):
    index = annx.Index(DIM, codec="f32")
    index.add([row_of(label, 0) for label in range(300)])
    stop = threading.Event()

    def write():
        for version in itertools.count(1):
            if stop.is_set():
                return
            labels = np.arange(100, 140)
            index.add([row_of(label, version) for label in labels], labels, upsert=True)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(300):
                found = index.exact_search(row_of(120, 0), k=300).labels[0]
                assert sorted(found.tolist()) == list(range(300))
                walked = index.search(row_of(120, 0), k=140, ef_search=400).labels[0]
                assert len(set(walked.tolist())) == 140
        finally:
            stop.set()
        writing.result(30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_in_the_midst_of_everything(engine):
    """A child searches, adds, removes and saves, whatever its parent's threads were doing."""
    script = """
        import os, sys, threading, time, warnings
        import numpy as np
        import annx
        warnings.simplefilter("ignore")
        rng = np.random.default_rng(0)
        x = rng.standard_normal((6000, 8), dtype=np.float32)
        index = annx.Index(8, codec="f32", ef_construction=60)
        index.add(x, num_threads=2)
        stop = threading.Event()

        def write():
            start = 6000
            while not stop.is_set():
                index.add(x[:300] + 1, np.arange(start, start + 300), num_threads=2)
                index.remove(np.arange(start, start + 300), num_threads=2)
                start += 300

        def search():
            while not stop.is_set():
                index.search(x[:200], k=3, num_threads=2)

        threads = [threading.Thread(target=each) for each in (write, search, search)]
        for thread in threads:
            thread.start()
        bad = 0
        for turn in range(5):
            time.sleep(0.02 + 0.012 * turn)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    own = index.search(x, k=1, num_threads=2).labels[:, 0]
                    known = np.arange(6000)
                    fine = (own == known).mean() > 0.99
                    index.add(x[:100] + 2, np.arange(10**6, 10**6 + 100), num_threads=2)
                    index.remove(known[:400])
                    again = annx.Index.from_bytes(index.to_bytes())
                    fine &= 10**6 + 7 in again and 5 not in again and 500 in again
                    index.compact()
                    fine &= index.search(x[500], k=1).labels[0, 0] == 500
                    code = 0 if fine else 2
                finally:
                    os._exit(code)
            bad |= os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        stop.set()
        for thread in threads:
            thread.join()
        index.add(x[:10] + 3, np.arange(2 * 10**6, 2 * 10**6 + 10))
        sys.exit(bad)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"ANNX_BACKEND": engine},
        check=True,
        timeout=300,  # under TSan a fork takes 20 seconds
    )


def test_spawn(engine, tmp_path):
    script = tmp_path / "spawn.py"
    script.write_text(
        textwrap.dedent("""
            import multiprocessing
            import numpy as np
            import annx

            def work(index):
                index.add(np.full((2, 8), 9, np.float32), num_threads=2)
                return index.search(np.full(8, 9), k=2).labels.tolist()

            if __name__ == "__main__":
                index = annx.Index(8, codec="f32")
                x = np.random.default_rng(0).standard_normal((500, 8), dtype=np.float32)
                index.add(x)
                index.search(x, num_threads=2)
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    assert pool.apply(work, (index,)) == [[500, 501]]
                assert work(index) == [[500, 501]]
        """)
    )
    subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"ANNX_BACKEND": engine},
        check=True,
        timeout=120,
    )
